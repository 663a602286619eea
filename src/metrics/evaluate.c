#include "metrics/summary.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "volume/nifti.h"

/* The label maps of a folder, by name. */
typedef struct listing {
    const char *folder;
    struct dirent **entries;
    int count;
} listing;

static void listing_clear(listing *self)
{
    for (int e = 0; e < self->count; e++)
        free(self->entries[e]);
    free(self->entries);
}

/* Hidden files are not data: archives from a Mac hold one "._x.nii.gz" for each x.nii.gz. */
static int is_volume(const struct dirent *entry)
{
    const char *ending = entry->d_name + sn_nifti_stem(entry->d_name);
    return entry->d_name[0] != '.' && ending[0] != '\0' && strcmp(ending, ".img") != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static sn_status listing_init(listing *self, const char *folder, sn_error *error)
{
    *self = (listing){.folder = folder};
    int count = scandir(folder, &self->entries, is_volume, by_name);
    if (count < 0)
        return sn_error_set(error, errno == ENOMEM ? SN_ERR_MEMORY : SN_ERR_INPUT,
                            "%s: cannot read the folder: %s", folder, strerror(errno));
    self->count = count;
    if (count == 0)
        return sn_error_set(error, SN_ERR_INPUT, "%s: no .nii or .nii.gz files in this folder", folder);
    return SN_OK;
}

/* The path of the file with this name up to its ending; `*path` is NULL where there is none. */
static sn_status listing_find(char **path, const listing *self, const char *name, sn_error *error)
{
    size_t stem = sn_nifti_stem(name);
    *path = NULL;
    for (int e = 0; e < self->count; e++) {
        const char *candidate = self->entries[e]->d_name;
        if (sn_nifti_stem(candidate) == stem && strncmp(candidate, name, stem) == 0)
            return sn_path_join(path, self->folder, candidate, error);
    }
    return SN_OK;
}

/* A reference and its prediction. */
typedef struct file_pair {
    char *reference, *prediction;
} file_pair;

typedef struct evaluation {
    listing references, predictions;
    file_pair *pairs;
    int64_t count, missing;
} evaluation;

static void evaluation_clear(evaluation *self)
{
    for (int64_t p = 0; p < self->count; p++) {
        sn_free(self->pairs[p].reference);
        sn_free(self->pairs[p].prediction);
    }
    sn_free(self->pairs);
    listing_clear(&self->references);
    listing_clear(&self->predictions);
}

static sn_status evaluation_init(evaluation *self, const char *reference_folder,
                                 const char *prediction_folder, bool partial, sn_error *error)
{
    sn_status status;
    char *reference = NULL, *prediction = NULL;
    *self = (evaluation){.count = 0};
    SN_TRY(listing_init(&self->references, reference_folder, error));
    SN_TRY(listing_init(&self->predictions, prediction_folder, error));
    SN_TRY(sn_alloc(&self->pairs, (size_t)self->references.count, sizeof *self->pairs, error));
    for (int r = 0; r < self->references.count; r++) {
        const char *name = self->references.entries[r]->d_name;
        SN_TRY(listing_find(&prediction, &self->predictions, name, error));
        if (prediction == NULL && partial) {
            self->missing++;
            continue;
        }
        SN_TRY(sn_path_join(&reference, reference_folder, name, error));
        if (prediction == NULL) {
            status =
                sn_error_set(error, SN_ERR_INPUT, "%s: its prediction %s/%s is missing: predict this case",
                             reference, prediction_folder, name);
            goto done;
        }
        self->pairs[self->count++] = (file_pair){reference, prediction};
        reference = prediction = NULL;
    }
    if (self->count == 0)
        status = sn_error_set(error, SN_ERR_INPUT, "%s: none of its files has the name of one in %s",
                              prediction_folder, reference_folder);
done:
    sn_free(reference);
    sn_free(prediction);
    return status;
}

static int value_compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Add the values of one label map that the table lacks. */
static sn_status labels_add(sn_label_table *table, const char *path, sn_error *error)
{
    sn_status status;
    sn_labelmap *map = NULL;
    int32_t *values = NULL;
    int64_t count;
    char name[16];
    SN_TRY(sn_nifti_read_labelmap(&map, path, error));
    SN_TRY(sn_labelmap_values(&values, &count, map, error));
    for (int64_t n = 0; n < count; n++) {
        if (sn_label_table_find(table, values[n]) >= 0)
            continue;
        snprintf(name, sizeof name, "%" PRId32, values[n]);
        SN_TRY(sn_label_table_add(table, values[n], name, error));
    }
done:
    sn_free(values);
    sn_labelmap_free(map);
    return status;
}

/* The labels of all references, ascending; a label's name is its value. */
static sn_status labels_collect(sn_label_table **labels, const evaluation *cases, sn_error *error)
{
    sn_status status;
    sn_label_table *found = NULL, *sorted = NULL;
    int32_t *values = NULL;
    char name[16];
    *labels = NULL;
    SN_TRY(sn_label_table_create(&found, error));
    for (int64_t p = 0; p < cases->count; p++)
        SN_TRY(labels_add(found, cases->pairs[p].reference, error));
    SN_TRY(sn_alloc(&values, (size_t)found->count, sizeof *values, error));
    memcpy(values, found->values, (size_t)found->count * sizeof *values);
    qsort(values + 1, (size_t)found->count - 1, sizeof *values, value_compare);
    SN_TRY(sn_label_table_create(&sorted, error));
    for (int class = 1; class < found->count; class ++) {
        snprintf(name, sizeof name, "%" PRId32, values[class]);
        SN_TRY(sn_label_table_add(sorted, values[class], name, error));
    }
    *labels = sorted;
    sorted = NULL;
done:
    sn_free(values);
    sn_label_table_free(found);
    sn_label_table_free(sorted);
    return status;
}

static sn_status pair_evaluate(sn_summary *summary, const file_pair *pair, sn_error *error)
{
    sn_status status;
    sn_labelmap *reference = NULL, *prediction = NULL;
    SN_TRY(sn_nifti_read_labelmap(&reference, pair->reference, error));
    SN_TRY(sn_nifti_read_labelmap(&prediction, pair->prediction, error));
    SN_TRY(sn_summary_add(summary, reference, pair->reference, prediction, pair->prediction, error));
done:
    sn_labelmap_free(reference);
    sn_labelmap_free(prediction);
    return status;
}

sn_status sn_evaluate_folders(sn_summary **summary, const char *reference_folder,
                              const char *prediction_folder, const sn_evaluate_options *options,
                              sn_error *error)
{
    static const sn_evaluate_options defaults = SN_EVALUATE_OPTIONS_INIT;
    sn_status status;
    evaluation cases;
    sn_label_table *collected = NULL;
    sn_summary *self = NULL;
    *summary = NULL;
    options = options == NULL ? &defaults : options;
    SN_TRY(evaluation_init(&cases, reference_folder, prediction_folder, options->partial, error));
    if (options->labels == NULL)
        SN_TRY(labels_collect(&collected, &cases, error));
    SN_TRY(sn_summary_create(&self, options->labels == NULL ? collected : options->labels, error));
    self->missing = cases.missing;
    for (int64_t p = 0; p < cases.count; p++) {
        SN_TRY(pair_evaluate(self, &cases.pairs[p], error));
        if (options->progress != NULL &&
            !options->progress(options->context, p + 1, cases.count, cases.pairs[p].reference)) {
            status = sn_error_set(error, SN_ERR_INTERRUPTED, "evaluate: interrupted");
            goto done;
        }
    }
    *summary = self;
    self = NULL;
done:
    sn_summary_free(self);
    sn_label_table_free(collected);
    evaluation_clear(&cases);
    return status;
}
