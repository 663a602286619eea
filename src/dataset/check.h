/**
 * The check of a data set: every fault, not only the first, each with the file and the fix.
 */
#ifndef SN_DATASET_CHECK_H
#define SN_DATASET_CHECK_H

#include <stdint.h>

#include "base/progress.h"
#include "dataset/dataset.h"

typedef enum sn_check_level {
    SN_CHECK_FAULT,   /* training would fail or learn nonsense */
    SN_CHECK_WARNING, /* probably not what was meant */
    SN_CHECK_NOTE,    /* worth knowing */
} sn_check_level;

typedef struct sn_check_options {
    void (*report)(void *context, sn_check_level level,
                   const char *text); /* one line a finding; may be NULL */
    void *context;
    const sn_progress *progress; /* in cases; may be NULL */
} sn_check_options;

typedef struct sn_check_range {
    double min, median, max;
} sn_check_range;

typedef struct sn_check_label {
    int64_t voxels; /* over all label maps that could be read */
    int cases;      /* in which the label is present */
} sn_check_label;

typedef struct sn_check_summary {
    int cases;    /* with a label, as listed */
    int readable; /* without a fault; spacings and extents are over these */
    int faults, warnings, notes;
    sn_check_range spacing_mm[3]; /* D,H,W in canonical orientation */
    sn_check_range extent[3];     /* voxels, D,H,W in canonical orientation */
    int label_count;              /* as the data set's label table */
    sn_check_label *labels;       /* (label_count) */
} sn_check_summary;

/**
 * Go through all cases of a data set and report every fault.
 *
 * Faults: a file is missing or damaged; an image without its label or a label without its image; channels,
 * image and label on different grids; NaN or infinite voxels; a label value that dataset.json does not list.
 * Warnings: an empty label map; files that dataset.json does not use; a label that no case has; two cases
 * with the same image. Notes: spacings that differ by more than a factor of two.
 *
 * @param[out] summary caller's, sn_check_summary_clear
 * @return SN_OK also where faults were found (summary->faults counts them); SN_ERR_INTERRUPTED; SN_ERR_MEMORY
 */
sn_status sn_dataset_check(sn_check_summary *summary, const sn_dataset *dataset,
                           const sn_check_options *options, sn_error *error);

/** Free what a summary holds. */
void sn_check_summary_clear(sn_check_summary *summary);

#endif
