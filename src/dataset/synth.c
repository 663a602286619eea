#include "dataset/synth.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/random.h"
#include "dataset/dataset.h"
#include "dataset/field.h"
#include "volume/labels.h"
#include "volume/nifti.h"

/*
 * How far the cases of a cohort differ from the volume they come from: uniform in +- each limit, logarithms
 * are natural. The deformation's coefficients stay below 0.4 steps of its lattice, so it does not fold
 * (field.h); it is about 2 mm rms.
 */
static const double ROTATION_DEG = 5; /* about each axis */
static const double STRETCH = 0.06;   /* along each axis */
static const double SHIFT_MM = 4;     /* along each axis */
static const double LATTICE_MM = 32, DEFORMATION_MM = 9;
static const double LOG_GAMMA = 0.25; /* the contrast's exponent */
static const double BIAS_LATTICE_MM = 80, LOG_BIAS = 0.35;
static const double NOISE_LOW = 0.01, NOISE_HIGH = 0.04; /* deviation, as a share of the brightest voxel */

/* What every case is made from. */
typedef struct source {
    sn_volume *image; /* (1,D,H,W) */
    sn_labelmap *map; /* same grid; merged */
    sn_label_table *labels;
    float brightest;            /* of the image */
    sn_grid target;             /* grid of the cases */
    double map_to_source[3][4]; /* voxel of a case -> voxel of the image */
    int64_t samples[3]; /* the image is averaged over so many points of a case's voxel along each axis */
} source;

static void source_clear(source *self)
{
    sn_volume_free(self->image);
    sn_labelmap_free(self->map);
    sn_label_table_free(self->labels);
}

/* ---- the labels ---- */

/* Relabel a map: values[i] becomes classes[i]; every value of the map is among `values`. */
static void map_relabel(sn_labelmap *map, const int32_t *values, const int32_t *classes, int64_t count)
{
    int64_t voxels = sn_grid_voxels(&map->grid), at = 0;
    for (int64_t i = 0; i < voxels; i++) {
        while (values[at] != map->data[i]) /* neighbours mostly have the same label */
            at = at + 1 < count ? at + 1 : 0;
        map->data[i] = classes[at];
    }
}

/* One structure: {"name": [values]} becomes the class `class`. */
static sn_status structure_read(int32_t *classes, const int32_t *values, int64_t count, int32_t class,
                                const char *name, const json_t *members, const char *path, sn_error *error)
{
    if (!json_is_array(members) || json_array_size(members) == 0)
        return sn_error_set(error, SN_ERR_INPUT, "%s: \"%s\" must be a list of label values", path, name);
    for (size_t m = 0; m < json_array_size(members); m++) {
        const json_t *member = json_array_get(members, m);
        int64_t at = 0;
        while (at < count && !(json_is_integer(member) && values[at] == json_integer_value(member)))
            at++;
        if (at == count || values[at] == 0)
            return sn_error_set(
                error, SN_ERR_INPUT,
                "%s: \"%s\", entry %zu: must be a value that occurs in the label file, and not 0", path, name,
                m);
        if (classes[at] != 0)
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: value %" PRId32 " is in two structures, \"%s\" is the second", path,
                                values[at], name);
        classes[at] = class;
    }
    return SN_OK;
}

/* Merge labels into the structures of a file. */
static sn_status structures_merge(source *self, const int32_t *values, int64_t count, const char *path,
                                  sn_error *error)
{
    sn_status status;
    json_t *root = NULL, *members;
    const char *name;
    int32_t *classes = NULL;
    SN_TRY(sn_alloc(&classes, (size_t)count, sizeof *classes, error));
    SN_TRY(sn_json_load(&root, path, error));
    if (!json_is_object(root) || json_object_size(root) == 0) {
        status =
            sn_error_set(error, SN_ERR_INPUT, "%s: must be an object {\"name\": [label values], ...}", path);
        goto done;
    }
    json_object_foreach(root, name, members)
    {
        int32_t class = self->labels->count;
        SN_TRY(structure_read(classes, values, count, class, name, members, path, error));
        SN_TRY(sn_label_table_add(self->labels, class, name, error));
    }
    map_relabel(self->map, values, classes, count);
done:
    json_decref(root);
    sn_free(classes);
    return status;
}

/* Keep every label under its value. */
static sn_status labels_keep(source *self, const int32_t *values, int64_t count, sn_error *error)
{
    sn_status status = SN_OK;
    for (int64_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "label %" PRId32, values[i]);
        if (values[i] != 0)
            SN_TRY(sn_label_table_add(self->labels, values[i], name, error));
    }
done:
    return status;
}

static sn_status source_read_labels(source *self, const char *path, const char *structures, sn_error *error)
{
    sn_status status;
    int32_t *values = NULL;
    int64_t count;
    SN_TRY(sn_nifti_read_labelmap(&self->map, path, error));
    SN_TRY(sn_labelmap_values(&values, &count, self->map, error));
    SN_TRY(sn_label_table_create(&self->labels, error));
    if (structures != NULL)
        SN_TRY(structures_merge(self, values, count, structures, error));
    else
        SN_TRY(labels_keep(self, values, count, error));
    if (self->labels->count < 2)
        status =
            sn_error_set(error, SN_ERR_INPUT, "%s: the label map is empty; give one with structures", path);
done:
    sn_free(values);
    return status;
}

/* ---- the image ---- */

/* The grid of the cases, and how they sample the image. */
static sn_status source_set_target(source *self, double spacing_mm, sn_error *error)
{
    const sn_grid *grid = &self->image->grid;
    double from[3], to[3];
    self->target = *grid;
    if (spacing_mm > 0) {
        sn_status status = sn_grid_isotropic(&self->target, grid, spacing_mm, error);
        if (status != SN_OK)
            return status;
    }
    sn_grid_map(self->map_to_source, &self->target, grid);
    sn_grid_spacing(to, &self->target);
    sn_grid_spacing(from, grid);
    double finest = fmin(from[0], fmin(from[1], from[2]));
    for (int a = 0; a < 3; a++)
        self->samples[a] = (int64_t)fmin(8, fmax(1, round(to[a] / finest)));
    if (!(spacing_mm > 0))
        self->samples[0] = self->samples[1] = self->samples[2] = 1;
    return SN_OK;
}

static sn_status source_read(source *self, const char *image, const char *labels,
                             const sn_synth_options *options, sn_error *error)
{
    sn_status status;
    char difference[SN_GRID_DIFFERENCE];
    char *const paths[1] = {(char *)image};
    SN_TRY(sn_image_read(&self->image, paths, 1, 1, error));
    SN_TRY(source_read_labels(self, labels, options->structures, error));
    if (!sn_grid_equal(&self->image->grid, &self->map->grid, SN_GRID_TOLERANCE_MM, difference)) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: not on the grid of %s: %s; resample it", labels,
                              image, difference);
        goto done;
    }
    int64_t voxels = sn_grid_voxels(&self->image->grid);
    for (int64_t i = 0; i < voxels; i++)
        self->brightest = fmaxf(self->brightest, self->image->data[i]);
    if (!(self->brightest > 0)) {
        status = sn_error_set(error, SN_ERR_INPUT,
                              "%s: the image has no voxel above 0; give one that shows something", image);
        goto done;
    }
    SN_TRY(source_set_target(self, options->spacing_mm, error));
done:
    return status;
}

/* Trilinear value at a voxel position; 0 outside the voxels' boxes. */
static double image_sample(const sn_volume *image, const double x[3])
{
    const int64_t *extent = image->grid.extent;
    int64_t low[3], high[3];
    double part[3], value = 0;
    for (int a = 0; a < 3; a++) {
        if (x[a] < -0.5 || x[a] > (double)extent[a] - 0.5)
            return 0;
        double inside = fmin(fmax(x[a], 0), (double)(extent[a] - 1));
        low[a] = (int64_t)inside;
        high[a] = low[a] + 1 < extent[a] ? low[a] + 1 : low[a];
        part[a] = inside - (double)low[a];
    }
    for (int corner = 0; corner < 8; corner++) {
        int64_t d = corner & 4 ? high[0] : low[0], h = corner & 2 ? high[1] : low[1];
        int64_t w = corner & 1 ? high[2] : low[2];
        value += (corner & 4 ? part[0] : 1 - part[0]) * (corner & 2 ? part[1] : 1 - part[1]) *
                 (corner & 1 ? part[2] : 1 - part[2]) * image->data[(d * extent[1] + h) * extent[2] + w];
    }
    return value;
}

/* The label of the nearest voxel; background outside. */
static int32_t map_sample(const sn_labelmap *map, const double x[3])
{
    const int64_t *extent = map->grid.extent;
    int64_t at[3];
    for (int a = 0; a < 3; a++) {
        at[a] = (int64_t)floor(x[a] + 0.5);
        if (at[a] < 0 || at[a] >= extent[a])
            return 0;
    }
    return map->data[(at[0] * extent[1] + at[1]) * extent[2] + at[2]];
}

/* ---- one case ---- */

/* What makes a case differ from its source. */
typedef struct variation {
    double spacing_mm[3], centre[3]; /* of the case's grid */
    double affine[3][3];             /* about the centre, mm */
    double shift_mm[3];
    sn_field *deformation; /* 3 components, mm */
    sn_field *bias;        /* 1 component, natural logarithm of the gain */
    double gamma, noise;
} variation;

static void variation_clear(variation *self)
{
    sn_field_free(self->deformation);
    sn_field_free(self->bias);
}

static double within(sn_random *random, double limit)
{
    return limit * (2 * sn_random_uniform(random) - 1);
}

/* affine = rotation about each axis in turn, times a stretch of each axis. */
static void affine_draw(double affine[3][3], sn_random *random)
{
    memset(affine, 0, 9 * sizeof(double));
    for (int a = 0; a < 3; a++)
        affine[a][a] = 1 + within(random, STRETCH);
    for (int a = 0; a < 3; a++) {
        double angle = within(random, ROTATION_DEG) * 3.14159265358979323846 / 180;
        int p = (a + 1) % 3, q = (a + 2) % 3;
        for (int column = 0; column < 3; column++) {
            double first = affine[p][column], second = affine[q][column];
            affine[p][column] = cos(angle) * first - sin(angle) * second;
            affine[q][column] = sin(angle) * first + cos(angle) * second;
        }
    }
}

static sn_status variation_draw(variation *self, const sn_grid *grid, sn_random *random, sn_error *error)
{
    sn_status status;
    double lattice[3], bias[3];
    sn_grid_spacing(self->spacing_mm, grid);
    for (int a = 0; a < 3; a++) {
        self->centre[a] = (double)(grid->extent[a] - 1) / 2;
        self->shift_mm[a] = within(random, SHIFT_MM);
        lattice[a] = LATTICE_MM / self->spacing_mm[a];
        bias[a] = BIAS_LATTICE_MM / self->spacing_mm[a];
    }
    affine_draw(self->affine, random);
    self->gamma = exp(within(random, LOG_GAMMA));
    self->noise = NOISE_LOW + (NOISE_HIGH - NOISE_LOW) * sn_random_uniform(random);
    SN_TRY(sn_field_create(&self->deformation, 3, grid->extent, lattice, DEFORMATION_MM, random, error));
    SN_TRY(sn_field_create(&self->bias, 1, grid->extent, bias, LOG_BIAS, random, error));
done:
    return status;
}

/* Where a point of a case lies in the source, both in voxels; displacement_mm: the deformation there. */
static void source_position(double out[3], const source *from, const variation *by, const double point[3],
                            const double displacement_mm[3])
{
    double mm[3], voxel[3];
    for (int a = 0; a < 3; a++)
        mm[a] = (point[a] - by->centre[a]) * by->spacing_mm[a];
    for (int a = 0; a < 3; a++) {
        double moved = by->shift_mm[a] + displacement_mm[a];
        for (int b = 0; b < 3; b++)
            moved += by->affine[a][b] * mm[b];
        voxel[a] = by->centre[a] + moved / by->spacing_mm[a];
    }
    for (int a = 0; a < 3; a++) {
        const double *row = from->map_to_source[a];
        out[a] = row[0] * voxel[0] + row[1] * voxel[1] + row[2] * voxel[2] + row[3];
    }
}

/* The source's mean over a lattice of points in a case's voxel, all moved by the centre's displacement. */
static double voxel_mean(const source *from, const variation *by, const int64_t voxel[3],
                         const double displacement_mm[3])
{
    const int64_t *n = from->samples;
    double sum = 0, point[3], x[3];
    for (int64_t i = 0; i < n[0] * n[1] * n[2]; i++) {
        const int64_t at[3] = {i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]};
        for (int a = 0; a < 3; a++)
            point[a] = (double)voxel[a] + ((double)at[a] + 0.5) / (double)n[a] - 0.5;
        source_position(x, from, by, point, displacement_mm);
        sum += image_sample(from->image, x);
    }
    return sum / (double)(n[0] * n[1] * n[2]);
}

/* Contrast, bias field and noise; what is not above 0 becomes 0, the background. */
static float intensity(double value, const source *from, const variation *by, const int64_t voxel[3],
                       sn_random *random)
{
    double bias;
    if (value <= 0)
        return 0;
    sn_field_evaluate(&bias, by->bias, voxel);
    double relative =
        pow(value / from->brightest, by->gamma) * exp(bias) + by->noise * sn_random_normal(random);
    return (float)(from->brightest * fmax(relative, 0));
}

static void case_fill(sn_volume *image, sn_labelmap *map, const source *from, const variation *by,
                      sn_random *random)
{
    const int64_t *extent = image->grid.extent;
    int64_t i = 0, voxel[3];
    for (voxel[0] = 0; voxel[0] < extent[0]; voxel[0]++)
        for (voxel[1] = 0; voxel[1] < extent[1]; voxel[1]++)
            for (voxel[2] = 0; voxel[2] < extent[2]; voxel[2]++, i++) {
                const double point[3] = {(double)voxel[0], (double)voxel[1], (double)voxel[2]};
                double displacement_mm[3], x[3];
                sn_field_evaluate(displacement_mm, by->deformation, voxel);
                source_position(x, from, by, point, displacement_mm);
                map->data[i] = map_sample(from->map, x);
                double value = voxel_mean(from, by, voxel, displacement_mm);
                image->data[i] = intensity(value, from, by, voxel, random);
            }
}

static sn_status case_write(const char *folder, const char *kind, int index, const sn_volume *image,
                            const sn_labelmap *map, sn_error *error)
{
    char *path = NULL;
    sn_status status = sn_string_format(&path, error, "%s/%s/case_%03d.nii.gz", folder, kind, index);
    if (status == SN_OK && image != NULL)
        status = sn_nifti_write_volume(path, image, error);
    else if (status == SN_OK)
        status = sn_nifti_write_labelmap(path, map, error);
    sn_free(path);
    return status;
}

static sn_status case_make(const char *folder, const source *from, int index, uint64_t seed, sn_error *error)
{
    sn_status status;
    sn_random random = sn_random_begin(seed, SN_RANDOM_SYNTHESIS, (uint64_t)index);
    variation by = {0};
    sn_volume *image = NULL;
    sn_labelmap *map = NULL;
    SN_TRY(variation_draw(&by, &from->target, &random, error));
    SN_TRY(sn_volume_create(&image, &from->target, 1, error));
    SN_TRY(sn_labelmap_create(&map, &from->target, error));
    case_fill(image, map, from, &by, &random);
    SN_TRY(case_write(folder, "imagesTr", index, image, NULL, error));
    SN_TRY(case_write(folder, "labelsTr", index, NULL, map, error));
done:
    sn_labelmap_free(map);
    sn_volume_free(image);
    variation_clear(&by);
    return status;
}

/* ---- the data set ---- */

/* dataset.json in the Decathlon's form. */
static sn_status description_write(const char *folder, const char *name, const source *from, int count,
                                   sn_error *error)
{
    sn_status status;
    char *path = NULL, key[16], image[64], labels[64];
    json_t *names = json_object(), *training = json_array();
    for (int c = 0; c < from->labels->count; c++) {
        snprintf(key, sizeof key, "%" PRId32, from->labels->values[c]);
        json_object_set_new(names, key, json_string(from->labels->names[c]));
    }
    for (int i = 0; i < count; i++) {
        snprintf(image, sizeof image, "./imagesTr/case_%03d.nii.gz", i);
        snprintf(labels, sizeof labels, "./labelsTr/case_%03d.nii.gz", i);
        json_array_append_new(training, json_pack("{s:s, s:s}", "image", image, "label", labels));
    }
    json_t *root = json_pack("{s:s, s:s, s:s, s:{s:s}, s:o, s:i, s:i, s:o, s:[]}", "name", name,
                             "description", "A synthetic cohort: one labelled volume, deformed",
                             "tensorImageSize", "3D", "modality", "0", "image", "labels", names,
                             "numTraining", count, "numTest", 0, "training", training, "test");
    SN_TRY(sn_path_join(&path, folder, "dataset.json", error));
    SN_TRY(sn_json_save(path, root, error));
done:
    json_decref(root);
    sn_free(path);
    return status;
}

static sn_status folders_create(const char *folder, sn_error *error)
{
    sn_status status;
    char *images = NULL, *labels = NULL;
    SN_TRY(sn_path_join(&images, folder, "imagesTr", error));
    SN_TRY(sn_path_join(&labels, folder, "labelsTr", error));
    SN_TRY(sn_folder_create(images, error));
    SN_TRY(sn_folder_create(labels, error));
done:
    sn_free(images);
    sn_free(labels);
    return status;
}

static sn_status cohort_make(const char *folder, const char *name, const source *from,
                             const sn_synth_options *options, sn_error *error)
{
    sn_status status;
    SN_TRY(folders_create(folder, error));
    for (int i = 0; i < options->count; i++) {
        SN_TRY(sn_interrupt_check(error));
        SN_TRY(case_make(folder, from, i, options->seed, error));
        sn_progress_report(options->progress, "making the cohort", i + 1, options->count, NULL);
    }
    SN_TRY(description_write(folder, name, from, options->count, error));
done:
    return status;
}

static sn_status options_check(const char *out, const sn_synth_options *options, sn_error *error)
{
    if (options->count < 1)
        return sn_error_set(error, SN_ERR_ARG, "%d cases: must be at least 1", options->count);
    if (!(options->spacing_mm >= 0) || !isfinite(options->spacing_mm))
        return sn_error_set(error, SN_ERR_ARG, "spacing %g mm: must be > 0", options->spacing_mm);
    if (sn_path_exists(out))
        return sn_error_set(error, SN_ERR_INPUT, "%s: exists already; remove it or give another name", out);
    return SN_OK;
}

sn_status sn_synthesise(const char *out, const char *image, const char *labels,
                        const sn_synth_options *options, sn_error *error)
{
    sn_status status;
    source from = {0};
    char *folder = NULL, *temporary = NULL;
    SN_TRY(sn_string_copy(&folder, out, error));
    for (size_t end = strlen(folder); end > 1 && folder[end - 1] == '/'; end--)
        folder[end - 1] = '\0';
    SN_TRY(options_check(folder, options, error));
    SN_TRY(source_read(&from, image, labels, options, error));
    SN_TRY(sn_string_format(&temporary, error, "%s.tmp", folder));
    SN_TRY(sn_folder_remove(temporary, error)); /* of a run that was killed */
    SN_TRY(cohort_make(temporary, sn_path_name(folder), &from, options, error));
    if (rename(temporary, folder) != 0)
        status = sn_path_error(folder, "create", errno, error);
done:
    if (status != SN_OK && temporary != NULL)
        sn_folder_remove(temporary, NULL);
    sn_free(temporary);
    sn_free(folder);
    source_clear(&from);
    return status;
}
