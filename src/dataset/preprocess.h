/**
 * From a scan to the network's input: canonical orientation, one isotropic spacing for the data set, a box
 * that holds every case, z-scores. Reorientation, resampling and padding are one resampling to one grid.
 *
 * Source: docs/method.md section 6.
 */
#ifndef SN_DATASET_PREPROCESS_H
#define SN_DATASET_PREPROCESS_H

#include <jansson.h>
#include <stdint.h>

#include "dataset/dataset.h"
#include "volume/labels.h"
#include "volume/volume.h"

enum { SN_CLASSES_MAX = 255 }; /* class indices are stored as uint8_t */

/* Raised where the same image comes to give other bits: then what was made of earlier ones is not taken for theirs. */
enum { SN_PREPROCESS_REVISION = 2 };

typedef struct sn_preprocessing {
    double spacing_mm; /* isotropic */
    int64_t size[3];   /* D,H,W of the box, voxels */
    int channels;
} sn_preprocessing;

/**
 * Read the option --size: "auto" (0,0,0), "S" (a cube), "DxHxW".
 *
 * @return SN_OK; SN_ERR_ARG anything else
 */
sn_status sn_size_parse(int64_t size[3], const char *text, sn_error *error);

/**
 * Determine the preprocessing of a data set from the headers of its labelled cases' images.
 *
 * auto: the smallest spacing s0 of all cases and axes, and the smallest box that holds every case at that
 * spacing. A given box: the cases share the spacing at which the largest just fits, max over cases and axes
 * of extent_mm / size, that is, s0 * (largest extent at s0) / size: padding to a cube and resizing to S^3 in
 * one step.
 *
 * @param[in] size D,H,W; 0,0,0 for auto
 * @return SN_OK; SN_ERR_INPUT a header cannot be read
 */
sn_status sn_preprocessing_determine(sn_preprocessing *out, const sn_dataset *dataset, const int64_t size[3],
                                     sn_error *error);

/** {"spacing_mm": 1.0, "size": [D, H, W], "channels": 1}; `*out` is the caller's, json_decref. */
sn_status sn_preprocessing_to_json(json_t **out, const sn_preprocessing *preprocessing, sn_error *error);

/** Read what sn_preprocessing_to_json wrote; `source` names the file in error texts. */
sn_status sn_preprocessing_from_json(sn_preprocessing *out, const json_t *json, const char *source,
                                     sn_error *error);

/**
 * The network's grid for one image: canonical orientation, the isotropic spacing, centred on the image. Each
 * axis has the box's size, or the image's own where that is larger: nothing is ever cropped.
 */
sn_status sn_preprocess_grid(sn_grid *out, const sn_preprocessing *preprocessing, const sn_grid *image,
                             sn_error *error);

/**
 * Preprocess an image: resample to `grid` (trilinear), then each channel to z-scores over its non-zero
 * voxels; zero voxels and padding stay exactly 0. A channel that is constant where it is not zero becomes 0.
 *
 * @param[out] out     (C,D,H,W) on `grid`; caller owns, sn_volume_free; NULL on error
 * @param[in]  image   as read
 * @param[in]  grid    of sn_preprocess_grid
 * @param[in]  threads >= 1; the result does not depend on it
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_preprocess_image(sn_volume **out, const sn_volume *image, const sn_grid *grid, int threads,
                              sn_error *error);

/**
 * Preprocess a label map: resample to `grid` (nearest), then values to class indices.
 *
 * @param[out] out    (D,H,W) class indices on `grid`; caller owns, sn_free; NULL on error
 * @param[in]  source the file it comes from, for the error text
 * @return SN_OK; SN_ERR_INPUT a value that the table does not list; SN_ERR_UNSUPPORTED more than
 * SN_CLASSES_MAX classes; SN_ERR_MEMORY
 */
sn_status sn_preprocess_labels(uint8_t **out, const sn_labelmap *map, const sn_label_table *labels,
                               const sn_grid *grid, const char *source, sn_error *error);

#endif
