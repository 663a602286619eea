/**
 * Data sets: what dataset.json says, in the Medical Segmentation Decathlon's form ("modality", "training")
 * and in nnU-Net v2's ("channel_names", "file_ending"; cases found in imagesTr and labelsTr, or listed under
 * "dataset").
 *
 * Sources: http://medicaldecathlon.com (dataset.json of each task); nnU-Net v2,
 * documentation/dataset_format.md.
 */
#ifndef SN_DATASET_DATASET_H
#define SN_DATASET_DATASET_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/progress.h"
#include "base/status.h"
#include "volume/labels.h"
#include "volume/volume.h"

typedef struct sn_case {
    char *name;      /* file name of the image without extension and channel suffix; unique in the data set */
    int image_count; /* 1 (a single channel, or a 4D file that holds them all) or the number of channels */
    char **images;   /* (image_count) paths, channel 0 first; need not exist (check.h looks) */
    char *label;     /* path; need not exist; NULL for a test case */
} sn_case;

typedef struct sn_dataset {
    char *path;   /* dataset.json */
    char *folder; /* that holds it */
    char *name;
    int channels;
    char **channel_names; /* (channels) */
    sn_label_table *labels;
    int count; /* cases with a label, sorted by name: an index into `cases` means a case everywhere */
    sn_case *cases;
    int test_count; /* cases of imagesTs, without a label, sorted by name */
    sn_case *tests;
} sn_dataset;

/**
 * Read a dataset.json. No volume is opened: whether the files are there and sound is check.h's to say.
 *
 * Labels may have any integer values; 0 is the background. nnU-Net's regions (a list of values) and its
 * "ignore" label are refused.
 *
 * @param[out] dataset caller owns, sn_dataset_close; NULL on error
 * @param[in]  path    the data set's folder or its dataset.json
 * @return SN_OK; SN_ERR_INPUT with file, field, value and fix; SN_ERR_MEMORY
 */
sn_status sn_dataset_open(sn_dataset **dataset, const char *path, sn_error *error);

/** Free a data set; NULL is allowed. */
void sn_dataset_close(sn_dataset *dataset);

/** The index in `cases` of the case of this name, or -1. */
int sn_dataset_find(const sn_dataset *dataset, const char *name);

/**
 * Hash the content of a data set: dataset.json and the names and bytes of all labelled cases' files. Does not
 * depend on where the data set lies. Reads every file once.
 *
 * @param[out] text     the hash
 * @param[in]  progress in files; may be NULL
 * @return SN_OK; SN_ERR_INPUT a file cannot be read; SN_ERR_INTERRUPTED (base/interrupt.h)
 */
sn_status sn_dataset_fingerprint(char text[SN_HASH_TEXT], const sn_dataset *dataset,
                                 const sn_progress *progress, sn_error *error);

/**
 * Read the image of one case, or any image given as files.
 *
 * @param[out] image    (channels,D,H,W) as stored on disk, not reoriented; caller owns, sn_volume_free; NULL
 * on error
 * @param[in]  paths    (path_count) one file with all channels, or one file a channel on the same grid
 * @param[in]  channels expected
 * @return SN_OK; SN_ERR_INPUT a file is missing or damaged, has NaN, the number of channels or the grids
 * differ
 */
sn_status sn_image_read(sn_volume **image, char *const *paths, int path_count, int channels, sn_error *error);

/**
 * The name of a case from an image's path: the file name without its extension; with `strip_channel` also
 * without nnU-Net's channel suffix _0000 (any four digits).
 *
 * @param[out] name caller owns, sn_free
 */
sn_status sn_case_name(char **name, const char *path, bool strip_channel, sn_error *error);

#endif
