#include "metrics/summary.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "metrics/distance.h"

sn_status sn_summary_create(sn_summary **summary, const sn_label_table *labels, sn_error *error)
{
    sn_status status;
    sn_summary *self = NULL;
    *summary = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    SN_TRY(sn_label_table_copy(&self->labels, labels, error));
    self->label_count = labels->count - 1;
    SN_TRY(sn_alloc(&self->mean, (size_t)self->label_count, sizeof *self->mean, error));
    *summary = self;
    self = NULL;
done:
    sn_summary_free(self);
    return status;
}

static void case_clear(sn_case_metrics *self)
{
    sn_free(self->reference_file);
    sn_free(self->prediction_file);
    sn_free(self->labels);
}

void sn_summary_free(sn_summary *summary)
{
    if (summary == NULL)
        return;
    for (int64_t c = 0; c < summary->case_count; c++)
        case_clear(&summary->cases[c]);
    sn_free(summary->cases);
    sn_free(summary->mean);
    sn_label_table_free(summary->labels);
    sn_free(summary);
}

/* The numbers of a mean, by their names in nnU-Net's summary.json (the last three are ours). */
static const struct field {
    const char *key;
    size_t offset; /* of a double in sn_mean_metrics */
    bool whole;    /* a whole number in a single case */
} fields[] = {
    {"Dice", offsetof(sn_mean_metrics, dice), false},
    {"FN", offsetof(sn_mean_metrics, fn), true},
    {"FP", offsetof(sn_mean_metrics, fp), true},
    {"IoU", offsetof(sn_mean_metrics, iou), false},
    {"TN", offsetof(sn_mean_metrics, tn), true},
    {"TP", offsetof(sn_mean_metrics, tp), true},
    {"n_pred", offsetof(sn_mean_metrics, n_pred), true},
    {"n_ref", offsetof(sn_mean_metrics, n_ref), true},
    {"HD95", offsetof(sn_mean_metrics, hd95_mm), false},
    {"volume_pred", offsetof(sn_mean_metrics, prediction_mm3), false},
    {"volume_ref", offsetof(sn_mean_metrics, reference_mm3), false},
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

static double *field_of(sn_mean_metrics *metrics, int f)
{
    return (double *)((char *)metrics + fields[f].offset);
}

/* One label of one case as the mean of that case alone. */
static sn_mean_metrics mean_of_one(const sn_label_metrics *metrics)
{
    const sn_overlap *overlap = &metrics->overlap;
    return (sn_mean_metrics){
        .dice = metrics->dice,
        .iou = metrics->iou,
        .hd95_mm = metrics->hd95_mm,
        .tp = (double)overlap->tp,
        .fp = (double)overlap->fp,
        .fn = (double)overlap->fn,
        .tn = (double)overlap->tn,
        .n_pred = (double)(overlap->tp + overlap->fp),
        .n_ref = (double)(overlap->tp + overlap->fn),
        .reference_mm3 = metrics->reference_mm3,
        .prediction_mm3 = metrics->prediction_mm3,
        .absent = isnan(metrics->dice),
        .infinite = isinf(metrics->hd95_mm) != 0,
    };
}

/* Sums of the finite numbers of each field, and how many there were. */
typedef struct sums {
    sn_mean_metrics sum;
    int64_t count[FIELDS];
} sums;

static void sums_add(sums *self, sn_mean_metrics metrics)
{
    for (int f = 0; f < FIELDS; f++) {
        double value = *field_of(&metrics, f);
        if (!isfinite(value))
            continue;
        *field_of(&self->sum, f) += value;
        self->count[f]++;
    }
    self->sum.absent += metrics.absent;
    self->sum.infinite += metrics.infinite;
}

static sn_mean_metrics sums_mean(const sums *self)
{
    sn_mean_metrics mean = self->sum;
    for (int f = 0; f < FIELDS; f++)
        *field_of(&mean, f) = self->count[f] == 0 ? NAN : *field_of(&mean, f) / (double)self->count[f];
    return mean;
}

static void summary_average(sn_summary *summary)
{
    sums foreground = {0};
    for (int l = 0; l < summary->label_count; l++) {
        sums label = {0};
        for (int64_t c = 0; c < summary->case_count; c++)
            sums_add(&label, mean_of_one(&summary->cases[c].labels[l]));
        summary->mean[l] = sums_mean(&label);
        sums_add(&foreground, summary->mean[l]);
    }
    summary->foreground_mean = sums_mean(&foreground);
}

/* Room for one more case; it counts only after case_count is raised. */
static sn_status summary_grow(sn_summary *summary, sn_error *error)
{
    sn_case_metrics *grown;
    size_t count = (size_t)summary->case_count;
    sn_status status = sn_alloc(&grown, count + 1, sizeof *grown, error);
    if (status != SN_OK)
        return status;
    if (count > 0)
        memcpy(grown, summary->cases, count * sizeof *grown);
    sn_free(summary->cases);
    summary->cases = grown;
    return SN_OK;
}

/* Evaluate all labels of one case. */
static sn_status case_measure(sn_label_metrics *metrics, const sn_summary *summary,
                              const sn_labelmap *reference, const sn_labelmap *prediction, sn_error *error)
{
    sn_status status;
    sn_overlap *overlaps = NULL;
    const int32_t *labels = summary->labels->values + 1;
    double spacing[3], voxel_mm3 = sn_grid_voxel_volume(&reference->grid);
    sn_grid_spacing(spacing, &reference->grid);
    SN_TRY(sn_alloc(&overlaps, (size_t)summary->label_count, sizeof *overlaps, error));
    SN_TRY(sn_overlap_count(overlaps, labels, summary->label_count, reference->data, prediction->data,
                            sn_grid_voxels(&reference->grid), error));
    for (int l = 0; l < summary->label_count; l++) {
        metrics[l] = (sn_label_metrics){
            .overlap = overlaps[l],
            .dice = sn_overlap_dice(&overlaps[l]),
            .iou = sn_overlap_iou(&overlaps[l]),
            .reference_mm3 = (double)(overlaps[l].tp + overlaps[l].fn) * voxel_mm3,
            .prediction_mm3 = (double)(overlaps[l].tp + overlaps[l].fp) * voxel_mm3,
        };
        SN_TRY(sn_hd95(&metrics[l].hd95_mm, reference->data, prediction->data, reference->grid.extent,
                       spacing, labels[l], error));
    }
done:
    sn_free(overlaps);
    return status;
}

sn_status sn_summary_add(sn_summary *summary, const sn_labelmap *reference, const char *reference_file,
                         const sn_labelmap *prediction, const char *prediction_file, sn_error *error)
{
    sn_status status;
    sn_case_metrics item = {0};
    char difference[SN_GRID_DIFFERENCE];
    if (!sn_grid_equal(&reference->grid, &prediction->grid, SN_GRID_TOLERANCE_MM, difference))
        return sn_error_set(error, SN_ERR_INPUT, "%s and %s: %s: resample one to the other's grid",
                            reference_file, prediction_file, difference);
    SN_TRY(sn_string_copy(&item.reference_file, reference_file, error));
    SN_TRY(sn_string_copy(&item.prediction_file, prediction_file, error));
    SN_TRY(sn_alloc(&item.labels, (size_t)summary->label_count, sizeof *item.labels, error));
    SN_TRY(case_measure(item.labels, summary, reference, prediction, error));
    SN_TRY(summary_grow(summary, error));
    summary->cases[summary->case_count++] = item;
    summary_average(summary);
    return SN_OK;
done:
    case_clear(&item);
    return status;
}

/* JSON has no NaN and no infinity: null. */
static json_t *json_number(double value, bool whole)
{
    if (!isfinite(value))
        return json_null();
    return whole ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *json_metrics(sn_mean_metrics metrics, bool one_case)
{
    json_t *object = json_object();
    for (int f = 0; f < FIELDS; f++)
        json_object_set_new(object, fields[f].key,
                            json_number(*field_of(&metrics, f), one_case && fields[f].whole));
    if (!one_case) {
        json_object_set_new(object, "n_absent", json_integer(metrics.absent));
        json_object_set_new(object, "n_infinite", json_integer(metrics.infinite));
    }
    return object;
}

static json_t *json_case(const sn_summary *summary, const sn_case_metrics *item)
{
    char label[16];
    json_t *object = json_object(), *metrics = json_object();
    for (int l = 0; l < summary->label_count; l++) {
        snprintf(label, sizeof label, "%" PRId32, summary->labels->values[l + 1]);
        json_object_set_new(metrics, label, json_metrics(mean_of_one(&item->labels[l]), true));
    }
    json_object_set_new(object, "metrics", metrics);
    json_object_set_new(object, "prediction_file", json_string(item->prediction_file));
    json_object_set_new(object, "reference_file", json_string(item->reference_file));
    return object;
}

sn_status sn_summary_json(char **text, const sn_summary *summary, sn_error *error)
{
    char label[16];
    json_t *root = json_object(), *mean = json_object(), *cases = json_array(), *labels = json_object();
    *text = NULL;
    for (int l = 0; l < summary->label_count; l++) {
        snprintf(label, sizeof label, "%" PRId32, summary->labels->values[l + 1]);
        json_object_set_new(mean, label, json_metrics(summary->mean[l], false));
        json_object_set_new(labels, label, json_string(summary->labels->names[l + 1]));
    }
    for (int64_t c = 0; c < summary->case_count; c++)
        json_array_append_new(cases, json_case(summary, &summary->cases[c]));
    json_object_set_new(root, "foreground_mean", json_metrics(summary->foreground_mean, false));
    json_object_set_new(root, "labels", labels);
    json_object_set_new(root, "mean", mean);
    json_object_set_new(root, "metric_per_case", cases);
    json_object_set_new(root, "n_missing", json_integer(summary->missing));
    char *dumped = json_dumps(root, JSON_INDENT(4));
    json_decref(root);
    if (dumped == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "summary: out of memory");
    sn_status status = sn_string_format(text, error, "%s\n", dumped);
    free(dumped);
    return status;
}
