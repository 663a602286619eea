#include "dataset/check.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "dataset/preprocess.h"
#include "dataset/split.h"
#include "volume/nifti.h"

/* What is measured of one readable case. */
typedef struct measure {
    double spacing_mm[3]; /* canonical D,H,W */
    double extent[3];
    char image_hash[SN_HASH_TEXT];
    int case_index;
} measure;

typedef struct check {
    const sn_dataset *dataset;
    const sn_check_options *options;
    sn_check_summary *summary;
    measure *measures; /* (summary->readable) */
} check;

/* A finding: count it and report it. */
static void found(check *self, sn_check_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void found(check *self, sn_check_level level, const char *format, ...)
{
    char text[1280];
    va_list arguments;
    int *counters[] = {&self->summary->faults, &self->summary->warnings, &self->summary->notes};
    (*counters[level])++;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (self->options->report != NULL)
        self->options->report(self->options->context, level, text);
}

/* ---- one case ---- */

/* A file's channels on the first file's grid? */
static bool grid_fits(check *self, const char *path, const sn_grid *grid, const char *first_path,
                      const sn_grid *first)
{
    char difference[SN_GRID_DIFFERENCE];
    if (sn_grid_equal(first, grid, SN_GRID_TOLERANCE_MM, difference))
        return true;
    found(self, SN_CHECK_FAULT, "%s: not on the grid of %s: %s; resample it", path, first_path, difference);
    return false;
}

/* Turn the failure to read a file into a finding; only a lack of memory ends the check. */
static sn_status read_failed(check *self, const sn_error *fault, sn_error *error)
{
    if (fault->status == SN_ERR_MEMORY)
        return sn_error_set(error, SN_ERR_MEMORY, "%s", fault->text);
    found(self, SN_CHECK_FAULT, "%s", fault->text);
    return SN_OK;
}

/* Read channel file `c` of an image; `*volume` is NULL where it has a fault. */
static sn_status image_file_read(check *self, const sn_case *item, int c, sn_volume **volume, sn_error *error)
{
    const char *path = item->images[c];
    int expected = item->image_count == 1 ? self->dataset->channels : 1;
    sn_error fault = SN_ERROR_INIT;
    *volume = NULL;
    if (!sn_path_exists(path)) {
        found(self, SN_CHECK_FAULT,
              "%s: missing: case \"%s\" has no image of channel %d (%s); add it or remove the case", path,
              item->name, c, self->dataset->channel_names[c]);
        return SN_OK;
    }
    if (sn_nifti_read_volume(volume, path, &fault) != SN_OK)
        return read_failed(self, &fault, error);
    if ((*volume)->channels == expected)
        return SN_OK;
    found(self, SN_CHECK_FAULT, "%s: has %" PRId64 " channel%s, %d expected; correct it or dataset.json",
          path, (*volume)->channels, (*volume)->channels == 1 ? "" : "s", expected);
    sn_volume_free(*volume);
    *volume = NULL;
    return SN_OK;
}

/* Warn of a channel whose voxels are all the same. */
static void constant_check(check *self, const char *path, const sn_volume *volume)
{
    int64_t voxels = sn_grid_voxels(&volume->grid);
    for (int64_t c = 0; c < volume->channels; c++) {
        const float *data = volume->data + c * voxels;
        int64_t same = 1;
        while (same < voxels && data[same] == data[0])
            same++;
        if (same == voxels)
            found(self, SN_CHECK_WARNING,
                  "%s: every voxel of channel %" PRId64 " of the file is %g; it shows nothing", path, c,
                  (double)data[0]);
    }
}

/* Read an image's files one by one, so that each one's fault is found. */
static sn_status case_check_image(check *self, const sn_case *item, sn_grid *grid, measure *out, bool *sound,
                                  sn_error *error)
{
    sn_status status;
    sn_volume *volume = NULL;
    sn_hash *hash = NULL;
    int readable = 0;
    SN_TRY(sn_hash_begin(&hash, error));
    for (int c = 0; c < item->image_count; c++) {
        SN_TRY(image_file_read(self, item, c, &volume, error));
        if (volume == NULL)
            continue;
        constant_check(self, item->images[c], volume);
        if (readable == 0)
            *grid = volume->grid;
        else if (!grid_fits(self, item->images[c], &volume->grid, item->images[0], grid))
            *sound = false;
        readable++;
        sn_hash_add(hash, volume->data,
                    (size_t)(volume->channels * sn_grid_voxels(&volume->grid)) * sizeof *volume->data);
        sn_volume_free(volume);
        volume = NULL;
    }
    *sound = *sound && readable == item->image_count;
    sn_hash_end(hash, out->image_hash);
    hash = NULL;
done:
    sn_hash_end(hash, NULL);
    sn_volume_free(volume);
    return status;
}

/* Count one value of a label map and find its first voxel. */
static int64_t value_count(const sn_labelmap *map, int32_t value, int64_t *first)
{
    int64_t count = 0, voxels = sn_grid_voxels(&map->grid);
    for (int64_t i = 0; i < voxels; i++) {
        if (map->data[i] != value)
            continue;
        if (count++ == 0)
            *first = i;
    }
    return count;
}

/* Count the values of a label map that could be read. */
static sn_status values_check(check *self, const sn_case *item, const sn_labelmap *map, bool *sound,
                              sn_error *error)
{
    int32_t *values;
    int64_t value_total, first = 0;
    sn_status status = sn_labelmap_values(&values, &value_total, map, error);
    if (status != SN_OK)
        return status;
    for (int64_t v = 0; v < value_total; v++) {
        int class = sn_label_table_find(self->dataset->labels, values[v]);
        int64_t count = value_count(map, values[v], &first);
        if (class >= 0) {
            self->summary->labels[class].voxels += count;
            self->summary->labels[class].cases++;
            continue;
        }
        const int64_t *extent = map->grid.extent; /* D,H,W */
        found(self, SN_CHECK_FAULT,
              "%s: label value %" PRId32 " in %" PRId64 " voxels, first at (%" PRId64 ",%" PRId64 ",%" PRId64
              "), is not listed in dataset.json; list it under \"labels\" or correct the file",
              item->label, values[v], count, first % extent[2], first / extent[2] % extent[1],
              first / (extent[2] * extent[1]));
        *sound = false;
    }
    if (value_total == 1 && values[0] == 0)
        found(self, SN_CHECK_WARNING, "%s: the label map is empty: case \"%s\" has background only",
              item->label, item->name);
    sn_free(values);
    return SN_OK;
}

/* `image_grid` NULL: the image could not be read. */
static sn_status case_check_label(check *self, const sn_case *item, const sn_grid *image_grid, bool *sound,
                                  sn_error *error)
{
    sn_labelmap *map = NULL;
    sn_error fault = SN_ERROR_INIT;
    if (!sn_path_exists(item->label)) {
        found(self, SN_CHECK_FAULT,
              "%s: missing: the image of case \"%s\" has no label; add it or remove the case", item->label,
              item->name);
        *sound = false;
        return SN_OK;
    }
    if (sn_nifti_read_labelmap(&map, item->label, &fault) != SN_OK) {
        *sound = false;
        return read_failed(self, &fault, error);
    }
    if (image_grid != NULL && !grid_fits(self, item->label, &map->grid, item->images[0], image_grid))
        *sound = false;
    sn_status status = values_check(self, item, map, sound, error);
    sn_labelmap_free(map);
    return status;
}

static sn_status case_check(check *self, int index, sn_error *error)
{
    const sn_case *item = &self->dataset->cases[index];
    measure *out = &self->measures[self->summary->readable];
    sn_grid grid, canonical;
    bool sound = true;
    sn_status status = case_check_image(self, item, &grid, out, &sound, error);
    if (status == SN_OK)
        status = case_check_label(self, item, sound ? &grid : NULL, &sound, error);
    if (status != SN_OK || !sound)
        return status;
    sn_grid_canonical(&canonical, &grid);
    sn_grid_spacing(out->spacing_mm, &canonical);
    for (int a = 0; a < 3; a++)
        out->extent[a] = (double)canonical.extent[a];
    out->case_index = index;
    self->summary->readable++;
    return SN_OK;
}

/* ---- the data set as a whole ---- */

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Smallest, median and largest of `count` values, which are sorted. */
static sn_check_range range_of(double *values, int count)
{
    if (count == 0)
        return (sn_check_range){0, 0, 0};
    qsort(values, (size_t)count, sizeof *values, double_compare);
    double median = (values[(count - 1) / 2] + values[count / 2]) / 2;
    return (sn_check_range){values[0], median, values[count - 1]};
}

static sn_status ranges_fill(check *self, sn_error *error)
{
    sn_check_summary *summary = self->summary;
    double *values;
    sn_status status = sn_alloc(&values, (size_t)summary->readable, sizeof *values, error);
    if (status != SN_OK)
        return status;
    for (int a = 0; a < 3; a++) {
        for (int i = 0; i < summary->readable; i++)
            values[i] = self->measures[i].spacing_mm[a];
        summary->spacing_mm[a] = range_of(values, summary->readable);
        for (int i = 0; i < summary->readable; i++)
            values[i] = self->measures[i].extent[a];
        summary->extent[a] = range_of(values, summary->readable);
    }
    sn_free(values);
    return SN_OK;
}

/* The smallest spacing sets everybody's grid: say so where one case is far from the others. */
static void spacings_check(check *self)
{
    static const char *const axes[3] = {"superior-inferior", "anterior-posterior", "left-right"};
    for (int a = 0; a < 3; a++) {
        sn_check_range range = self->summary->spacing_mm[a];
        if (!(range.max > 2 * range.min))
            continue;
        for (int i = 0; i < self->summary->readable; i++) {
            if (self->measures[i].spacing_mm[a] != range.min)
                continue;
            const sn_case *item = &self->dataset->cases[self->measures[i].case_index];
            found(self, SN_CHECK_NOTE,
                  "%s: spacing %.3g mm along %s, others up to %.3g mm; all cases are resampled to the "
                  "smallest spacing",
                  item->images[0], range.min, axes[a], range.max);
            break;
        }
    }
}

/* Two cases with the same voxels end up on both sides of a split. */
static void copies_check(check *self)
{
    for (int i = 0; i < self->summary->readable; i++)
        for (int j = 0; j < i; j++) {
            const measure *a = &self->measures[j], *b = &self->measures[i];
            if (strcmp(a->image_hash, b->image_hash) != 0)
                continue;
            found(self, SN_CHECK_WARNING,
                  "%s: the same image as %s; remove one, or keep both together by --groups",
                  self->dataset->cases[b->case_index].images[0],
                  self->dataset->cases[a->case_index].images[0]);
            break;
        }
}

static void count_check(check *self)
{
    if (self->dataset->count < SN_SPLIT_PARTS)
        found(self, SN_CHECK_FAULT,
              "%s: %d labelled case%s; training, validation and test need one each: add cases",
              self->dataset->path, self->dataset->count, self->dataset->count == 1 ? "" : "s");
}

static void labels_check(check *self)
{
    const sn_label_table *labels = self->dataset->labels;
    if (labels->count > SN_CLASSES_MAX)
        found(self, SN_CHECK_FAULT, "%s: \"labels\" lists %d values; at most %d can be learned: merge some",
              self->dataset->path, labels->count, SN_CLASSES_MAX);
    for (int c = 1; c < labels->count; c++)
        if (self->summary->readable > 0 && self->summary->labels[c].cases == 0)
            found(self, SN_CHECK_WARNING, "%s: no case has label %" PRId32 " (\"%s\"); it cannot be learned",
                  self->dataset->path, labels->values[c], labels->names[c]);
}

static bool path_is_used(const sn_dataset *dataset, const char *path)
{
    for (int i = 0; i < dataset->count; i++) {
        const sn_case *item = &dataset->cases[i];
        if (strcmp(item->label, path) == 0)
            return true;
        for (int c = 0; c < item->image_count; c++)
            if (strcmp(item->images[c], path) == 0)
                return true;
    }
    return false;
}

/* Warn of the NIfTI files in a folder of the data set that no case names. */
static sn_status unused_check(check *self, const char *name, sn_error *error)
{
    sn_status status;
    struct dirent **entries = NULL;
    char *folder = NULL, *path = NULL;
    int count = 0;
    SN_TRY(sn_path_join(&folder, self->dataset->folder, name, error));
    count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *file = entries[i]->d_name;
        if (file[0] == '.' || !sn_nifti_name(file))
            continue;
        SN_TRY(sn_path_join(&path, folder, file, error));
        if (!path_is_used(self->dataset, path))
            found(self, SN_CHECK_WARNING, "%s: no case of dataset.json uses this file; list it or remove it",
                  path);
        sn_free(path);
        path = NULL;
    }
done:
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    sn_free(path);
    sn_free(folder);
    return status;
}

sn_status sn_dataset_check(sn_check_summary *summary, const sn_dataset *dataset,
                           const sn_check_options *options, sn_error *error)
{
    sn_status status;
    check self = {dataset, options, summary, NULL};
    *summary = (sn_check_summary){.cases = dataset->count, .label_count = dataset->labels->count};
    SN_TRY(sn_alloc(&summary->labels, (size_t)summary->label_count, sizeof *summary->labels, error));
    SN_TRY(sn_alloc(&self.measures, (size_t)dataset->count, sizeof *self.measures, error));
    for (int i = 0; i < dataset->count; i++) {
        SN_TRY(sn_interrupt_check(error));
        SN_TRY(case_check(&self, i, error));
        sn_progress_report(options->progress, "checking", i + 1, dataset->count, dataset->cases[i].name);
    }
    SN_TRY(ranges_fill(&self, error));
    count_check(&self);
    spacings_check(&self);
    copies_check(&self);
    labels_check(&self);
    SN_TRY(unused_check(&self, "imagesTr", error));
    SN_TRY(unused_check(&self, "labelsTr", error));
done:
    sn_free(self.measures);
    if (status != SN_OK)
        sn_check_summary_clear(summary);
    return status;
}

void sn_check_summary_clear(sn_check_summary *summary)
{
    sn_free(summary->labels);
    summary->labels = NULL;
    summary->label_count = 0;
}
