/**
 * Evaluation of predictions against references: per case and label, means, and the summary as JSON.
 */
#ifndef SN_METRICS_SUMMARY_H
#define SN_METRICS_SUMMARY_H

#include <stdbool.h>

#include "metrics/overlap.h"
#include "volume/labels.h"
#include "volume/volume.h"

/* One label of one case. */
typedef struct sn_label_metrics {
    sn_overlap overlap;
    double dice, iou; /* NaN where the label is in neither map; 0 where it is in one only */
    double hd95_mm;   /* distance.h: NaN where in neither, infinity where in one only */
    double reference_mm3, prediction_mm3;
} sn_label_metrics;

typedef struct sn_case_metrics {
    char *reference_file, *prediction_file;
    sn_label_metrics *labels; /* by label of the summary */
} sn_case_metrics;

/* Means over the cases (or over labels of such means); NaN where nothing was averaged. */
typedef struct sn_mean_metrics {
    double dice, iou;                     /* over the cases that have the label in either map */
    double hd95_mm;                       /* over the cases that have it in both */
    double tp, fp, fn, tn, n_pred, n_ref; /* voxels, over all cases; n_pred = tp + fp, n_ref = tp + fn */
    double reference_mm3, prediction_mm3; /* over all cases */
    int64_t absent;                       /* cases left out of dice and iou */
    int64_t infinite;                     /* cases left out of hd95_mm: the label is in one map only */
} sn_mean_metrics;

typedef struct sn_summary {
    sn_label_table *labels; /* class 0 is the background and has no metrics: label l is class l + 1 */
    int label_count;        /* foreground labels: labels->count - 1 */
    int64_t case_count;
    sn_case_metrics *cases;
    sn_mean_metrics *mean;           /* by label */
    sn_mean_metrics foreground_mean; /* over the labels that have a mean; counts are summed */
    int64_t missing;                 /* references without a prediction that were passed over */
} sn_summary;

/**
 * Make a summary without cases.
 *
 * @param[out] summary caller owns, sn_summary_free; NULL on error
 * @param[in]  labels  copied; the background and the labels to evaluate
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_summary_create(sn_summary **summary, const sn_label_table *labels, sn_error *error);

/** Free a summary; NULL is allowed. */
void sn_summary_free(sn_summary *summary);

/**
 * Evaluate one case and bring the means up to date.
 *
 * @param[in] reference, prediction           on the same grid
 * @param[in] reference_file, prediction_file their names, copied
 * @return SN_OK; SN_ERR_INPUT the grids differ, both files are named; SN_ERR_MEMORY
 */
sn_status sn_summary_add(sn_summary *summary, const sn_labelmap *reference, const char *reference_file,
                         const sn_labelmap *prediction, const char *prediction_file, sn_error *error);

/**
 * The summary as JSON in the shape of nnU-Net v2's summary.json: "foreground_mean", "mean" by label value,
 * "metric_per_case" with "metrics" by label value, "prediction_file" and "reference_file"; each metrics
 * object holds Dice, IoU, FN, FP, TN, TP, n_pred, n_ref and, ours, HD95 (mm), volume_pred and volume_ref
 * (mm3); the means also "n_absent" and "n_infinite". Ours too: "labels" (value -> name), "n_missing". NaN and
 * infinity are written as null: nnU-Net's NaN is not JSON.
 *
 * @param[out] text caller owns, sn_free; ends with a newline
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_summary_json(char **text, const sn_summary *summary, sn_error *error);

typedef struct sn_evaluate_options {
    const sn_label_table *labels; /* NULL: the values other than 0 that occur in the reference files */
    bool partial;                 /* pass over references without a prediction (they are counted) */
    /* Called after each case; false stops with SN_ERR_INTERRUPTED. May be NULL. */
    bool (*progress)(void *context, int64_t done, int64_t total, const char *file);
    void *context;
} sn_evaluate_options;

#define SN_EVALUATE_OPTIONS_INIT                                                                             \
    {                                                                                                        \
        NULL, false, NULL, NULL                                                                              \
    }

/**
 * Evaluate the predictions in a folder against the references in another. Files belong together when their
 * names are equal up to .nii or .nii.gz; predictions without a reference are ignored.
 *
 * @param[out] summary caller owns, sn_summary_free; cases in the order of their names; NULL on error
 * @param[in]  reference_folder, prediction_folder
 * @param[in]  options NULL: the defaults
 * @return SN_OK; SN_ERR_INPUT a folder without label maps, a missing prediction, grids that differ (both
 * files are named), or a file that cannot be read; SN_ERR_MEMORY; SN_ERR_INTERRUPTED
 */
sn_status sn_evaluate_folders(sn_summary **summary, const char *reference_folder,
                              const char *prediction_folder, const sn_evaluate_options *options,
                              sn_error *error);

#endif
