#include "dataset/preprocess.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "volume/nifti.h"
#include "volume/resample.h"

/* ---- what is determined once for a data set ---- */

/* Read a whole number >= 1 that ends at `end` ('x' or the end of the text); advances past it. */
static bool extent_parse(int64_t *extent, const char **text, char end)
{
    char *rest;
    if (**text < '0' || **text > '9')
        return false;
    *extent = strtoll(*text, &rest, 10);
    if (*rest != end || *extent < 1 || *extent > 65535)
        return false;
    *text = end == '\0' ? rest : rest + 1;
    return true;
}

sn_status sn_size_parse(int64_t size[3], const char *text, sn_error *error)
{
    const char *rest = text;
    size[0] = size[1] = size[2] = 0;
    if (strcmp(text, "auto") == 0)
        return SN_OK;
    if (extent_parse(&size[0], &rest, '\0')) {
        size[1] = size[2] = size[0];
        return SN_OK;
    }
    rest = text;
    if (extent_parse(&size[0], &rest, 'x') && extent_parse(&size[1], &rest, 'x') &&
        extent_parse(&size[2], &rest, '\0'))
        return SN_OK;
    return sn_error_set(error, SN_ERR_ARG, "size \"%s\": must be auto, a cube (128) or DxHxW (48x64x48)",
                        text);
}

/* The extents and spacings of all cases in canonical orientation. */
typedef struct cohort {
    double spacing_mm;   /* the smallest of all cases and axes */
    double extent_mm[3]; /* the largest of all cases: voxels times spacing */
} cohort;

static sn_status cohort_measure(cohort *out, const sn_dataset *dataset, sn_error *error)
{
    sn_status status = SN_OK;
    *out = (cohort){.spacing_mm = INFINITY};
    for (int i = 0; i < dataset->count; i++) {
        sn_grid grid, canonical;
        double spacing_mm[3];
        SN_TRY(sn_nifti_read_grid(&grid, NULL, dataset->cases[i].images[0], error));
        sn_grid_canonical(&canonical, &grid);
        sn_grid_spacing(spacing_mm, &canonical);
        for (int a = 0; a < 3; a++) {
            out->spacing_mm = fmin(out->spacing_mm, spacing_mm[a]);
            out->extent_mm[a] = fmax(out->extent_mm[a], (double)canonical.extent[a] * spacing_mm[a]);
        }
    }
done:
    return status;
}

sn_status sn_preprocessing_determine(sn_preprocessing *out, const sn_dataset *dataset, const int64_t size[3],
                                     sn_error *error)
{
    cohort all;
    int labels = dataset->labels->count;
    if (labels > SN_CLASSES_MAX)
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: \"labels\" lists %d values; at most %d can be learned: merge some",
                            dataset->path, labels, SN_CLASSES_MAX);
    sn_status status = cohort_measure(&all, dataset, error);
    if (status != SN_OK)
        return status;
    bool automatic = size[0] == 0;
    *out = (sn_preprocessing){.spacing_mm = automatic ? all.spacing_mm : 0, .channels = dataset->channels};
    for (int a = 0; a < 3; a++) {
        if (automatic) /* as sn_grid_isotropic rounds */
            out->size[a] = (int64_t)fmax(1, round(all.extent_mm[a] / all.spacing_mm));
        else {
            out->size[a] = size[a];
            out->spacing_mm = fmax(out->spacing_mm, all.extent_mm[a] / (double)size[a]);
        }
    }
    return SN_OK;
}

sn_status sn_preprocessing_to_json(json_t **out, const sn_preprocessing *preprocessing, sn_error *error)
{
    const int64_t *size = preprocessing->size;
    *out = json_pack("{s:f, s:[I,I,I], s:i}", "spacing_mm", preprocessing->spacing_mm, "size",
                     (json_int_t)size[0], (json_int_t)size[1], (json_int_t)size[2], "channels",
                     preprocessing->channels);
    return *out != NULL ? SN_OK
                        : sn_error_set(error, SN_ERR_MEMORY, "out of memory for the preprocessing's JSON");
}

sn_status sn_preprocessing_from_json(sn_preprocessing *out, const json_t *json, const char *source,
                                     sn_error *error)
{
    sn_status status;
    json_t *size;
    int64_t channels = 0;
    *out = (sn_preprocessing){0};
    SN_TRY(sn_json_number(&out->spacing_mm, json, "spacing_mm", source, error));
    SN_TRY(sn_json_integer(&channels, json, "channels", source, error));
    SN_TRY(sn_json_array(&size, json, "size", source, error));
    bool sound = out->spacing_mm > 0 && channels > 0 && channels <= INT32_MAX && json_array_size(size) == 3;
    for (size_t a = 0; sound && a < 3; a++) {
        out->size[a] = json_integer_value(json_array_get(size, a)); /* 0 for what is not an integer */
        sound = out->size[a] > 0;
    }
    out->channels = (int)channels;
    if (!sound)
        status = sn_error_set(error, SN_ERR_INPUT,
                              "%s: the preprocessing needs spacing_mm > 0, channels > 0 and three sizes > 0",
                              source);
done:
    return status;
}

sn_status sn_preprocess_grid(sn_grid *out, const sn_preprocessing *preprocessing, const sn_grid *image,
                             sn_error *error)
{
    sn_grid isotropic;
    int64_t box[3];
    sn_status status = sn_grid_isotropic(&isotropic, image, preprocessing->spacing_mm, error);
    if (status != SN_OK)
        return status;
    for (int a = 0; a < 3; a++)
        box[a] = isotropic.extent[a] > preprocessing->size[a] ? isotropic.extent[a] : preprocessing->size[a];
    return sn_grid_box(out, &isotropic, box, error);
}

/* ---- one image, one label map ---- */

/* z = (x - mean) / sd over the voxels that are not 0; these stay 0. */
static void channel_standardise(float *voxels, int64_t count)
{
    double sum = 0, square = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += voxels[i];
        used += voxels[i] != 0;
    }
    double mean = used > 0 ? sum / (double)used : 0;
    for (int64_t i = 0; i < count; i++)
        if (voxels[i] != 0)
            square += (voxels[i] - mean) * (voxels[i] - mean);
    double deviation = used > 0 ? sqrt(square / (double)used) : 0;
    bool constant = deviation <= 1e-6 * fabs(mean);
    for (int64_t i = 0; i < count; i++)
        if (voxels[i] != 0)
            voxels[i] = constant ? 0 : (float)((voxels[i] - mean) / deviation);
}

sn_status sn_preprocess_image(sn_volume **out, const sn_volume *image, const sn_grid *grid, int threads,
                              sn_error *error)
{
    sn_status status = sn_volume_resample(out, image, grid, threads, error);
    if (status != SN_OK)
        return status;
    int64_t voxels = sn_grid_voxels(grid);
    for (int64_t c = 0; c < image->channels; c++)
        channel_standardise((*out)->data + c * voxels, voxels);
    return SN_OK;
}

sn_status sn_preprocess_labels(uint8_t **out, const sn_labelmap *map, const sn_label_table *labels,
                               const sn_grid *grid, const char *source, sn_error *error)
{
    sn_status status;
    sn_labelmap *resampled = NULL;
    uint8_t *classes = NULL;
    *out = NULL;
    if (labels->count > SN_CLASSES_MAX)
        return sn_error_set(error, SN_ERR_UNSUPPORTED, "%s: %d labels; at most %d are supported", source,
                            labels->count, SN_CLASSES_MAX);
    SN_TRY(sn_labelmap_resample(&resampled, map, grid, error));
    int64_t voxels = sn_grid_voxels(grid);
    SN_TRY(sn_alloc(&classes, (size_t)voxels, 1, error));
    int32_t value = 0; /* neighbours mostly have the same label */
    int found = 0;
    for (int64_t i = 0; i < voxels; i++) {
        if (resampled->data[i] != value) {
            value = resampled->data[i];
            found = sn_label_table_find(labels, value);
        }
        if (found < 0) {
            status = sn_error_set(error, SN_ERR_INPUT,
                                  "%s: label value %" PRId32
                                  " is not listed in dataset.json; list it under \"labels\"",
                                  source, value);
            goto done;
        }
        classes[i] = (uint8_t)found;
    }
    *out = classes;
    classes = NULL;
done:
    sn_free(classes);
    sn_labelmap_free(resampled);
    return status;
}
