#include "volume/resample.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

/*
 * Source indices closer to a whole number than this are that number, and ratios closer to 1 are 1: where
 * grids agree up to the rounding of 32-bit numbers in headers, values must be copied and zeros stay zero.
 */
static const double INDEX_ROUNDING = 1e-4;

/* How far, in voxels, a target axis may stray from its source axis over its whole length. */
static const double AXIS_TOLERANCE = 0.01;

/* One axis of the target grid: source index along source axis `axis` = scale * target index + offset. */
typedef struct axis_map {
    int axis;
    double scale, offset;
} axis_map;

static sn_status axes_match(axis_map maps[3], const sn_grid *source, const sn_grid *target, sn_error *error)
{
    double map[3][4], spacing[3];
    bool used[3] = {false};
    sn_grid_map(map, target, source);
    sn_grid_spacing(spacing, source);
    for (int t = 0; t < 3; t++) {
        int axis = 0;
        for (int s = 1; s < 3; s++)
            if (fabs(map[s][t]) * spacing[s] > fabs(map[axis][t]) * spacing[axis])
                axis = s;
        for (int s = 0; s < 3; s++) {
            double stray = fabs(map[s][t]) * (double)(target->extent[t] - 1);
            if (s != axis && stray > AXIS_TOLERANCE)
                return sn_error_set(
                    error, SN_ERR_ARG,
                    "resample: the axes of the two grids are not parallel: they part by %.3g voxels", stray);
        }
        if (used[axis])
            return sn_error_set(error, SN_ERR_ARG, "resample: the axes of the two grids are not parallel");
        used[axis] = true;
        maps[t] = (axis_map){.axis = axis, .scale = map[axis][t], .offset = map[axis][3]};
    }
    return SN_OK;
}

/* The source index of target index `t`; false where it lies beyond the outer faces of `extent` voxels. */
static bool source_index(double *x, const axis_map *map, int64_t t, int64_t extent)
{
    *x = map->scale * (double)t + map->offset;
    if (fabs(*x - round(*x)) < INDEX_ROUNDING)
        *x = round(*x);
    return *x >= -0.5 - INDEX_ROUNDING && *x <= (double)extent - 0.5 + INDEX_ROUNDING;
}

/* The weights along one source axis: out[t] = sum of weight[start[t] + q] * in[first[t] + q]. */
typedef struct taps {
    int64_t source, target; /* extents */
    int64_t *first;         /* (target) */
    int64_t *start;         /* (target + 1) */
    float *weight;
} taps;

static void taps_clear(taps *self)
{
    sn_free(self->first);
    sn_free(self->start);
    sn_free(self->weight);
}

/*
 * Weights of the triangle max(0, 1 - |q - x| / r) around source index x, cut at the image's ends and scaled
 * to sum 1. r = 1 is linear interpolation; r = |scale| > 1 also averages over what one coarser voxel covers.
 */
static sn_status taps_init(taps *self, const axis_map *map, int64_t source, int64_t target, bool antialias,
                           sn_error *error)
{
    sn_status status;
    double ratio = fabs(map->scale), r = antialias && ratio > 1 + INDEX_ROUNDING ? ratio : 1;
    double widest = fmin((double)source, 2 * ceil(r) + 1);
    *self = (taps){.source = source, .target = target};
    SN_TRY(sn_alloc(&self->first, (size_t)target, sizeof *self->first, error));
    SN_TRY(sn_alloc(&self->start, (size_t)target + 1, sizeof *self->start, error));
    SN_TRY(sn_alloc(&self->weight, (size_t)target * (size_t)widest, sizeof *self->weight, error));
    for (int64_t t = 0; t < target; t++) {
        double x, sum = 0;
        self->start[t + 1] = self->start[t];
        if (!source_index(&x, map, t, source))
            continue;
        int64_t first = (int64_t)fmax(0, floor(x - r) + 1);
        int64_t last = (int64_t)fmin((double)(source - 1), ceil(x + r) - 1);
        for (int64_t q = first; q <= last; q++)
            sum += 1 - fabs((double)q - x) / r;
        self->first[t] = first;
        for (int64_t q = first; q <= last; q++)
            self->weight[self->start[t + 1]++] = (float)((1 - fabs((double)q - x) / r) / sum);
    }
done:
    return status;
}

/* out (before, target, after) from in (before, source, after). */
static void taps_apply(float *restrict out, const float *restrict in, const taps *self, int64_t before,
                       int64_t after)
{
    for (int64_t b = 0; b < before; b++) {
        for (int64_t t = 0; t < self->target; t++) {
            float *row = out + (b * self->target + t) * after;
            const float *from = in + (b * self->source + self->first[t]) * after;
            memset(row, 0, (size_t)after * sizeof *row);
            for (int64_t q = self->start[t]; q < self->start[t + 1]; q++, from += after)
                for (int64_t a = 0; a < after; a++)
                    row[a] += self->weight[q] * from[a];
        }
    }
}

/* Everything that is the same for all channels. */
typedef struct resampling {
    axis_map maps[3]; /* by target axis */
    taps taps[3];     /* by source axis */
    int order[3];     /* of the source axes: those that shrink most first */
    int64_t target[3];
} resampling;

static void plan_clear(resampling *self)
{
    for (int axis = 0; axis < 3; axis++)
        taps_clear(&self->taps[axis]);
}

static double growth(const resampling *self, int axis)
{
    return (double)self->taps[axis].target / (double)self->taps[axis].source;
}

static sn_status plan_init(resampling *self, const sn_grid *source, const sn_grid *target, bool antialias,
                           sn_error *error)
{
    sn_status status;
    *self = (resampling){.order = {0, 1, 2}};
    SN_TRY(axes_match(self->maps, source, target, error));
    for (int t = 0; t < 3; t++) {
        int axis = self->maps[t].axis;
        self->target[t] = target->extent[t];
        SN_TRY(taps_init(&self->taps[axis], &self->maps[t], source->extent[axis], target->extent[t],
                         antialias, error));
    }
    for (int i = 1; i < 3; i++)
        for (int j = i; j > 0 && growth(self, self->order[j]) < growth(self, self->order[j - 1]); j--) {
            int swapped = self->order[j];
            self->order[j] = self->order[j - 1];
            self->order[j - 1] = swapped;
        }
done:
    return status;
}

/* out, in target order, from `in`, whose axes are still in source order. */
static void permute(float *out, const float *in, const resampling *self)
{
    int64_t stride[3], source_stride[3];
    source_stride[2] = 1;
    source_stride[1] = self->taps[2].target;
    source_stride[0] = self->taps[1].target * self->taps[2].target;
    for (int t = 0; t < 3; t++)
        stride[t] = source_stride[self->maps[t].axis];
    for (int64_t d = 0; d < self->target[0]; d++)
        for (int64_t h = 0; h < self->target[1]; h++)
            for (int64_t w = 0; w < self->target[2]; w++)
                *out++ = in[d * stride[0] + h * stride[1] + w * stride[2]];
}

/* One channel: out (D',H',W') from in (D,H,W). */
static sn_status plan_apply(float *out, const float *in, const resampling *self, sn_error *error)
{
    sn_status status = SN_OK;
    float *current = NULL, *next = NULL;
    int64_t extent[3] = {self->taps[0].source, self->taps[1].source, self->taps[2].source};
    for (int pass = 0; pass < 3; pass++) {
        int axis = self->order[pass];
        int64_t before = 1, after = 1;
        for (int a = 0; a < axis; a++)
            before *= extent[a];
        for (int a = axis + 1; a < 3; a++)
            after *= extent[a];
        extent[axis] = self->taps[axis].target;
        SN_TRY(sn_alloc(&next, (size_t)(before * extent[axis] * after), sizeof *next, error));
        taps_apply(next, pass == 0 ? in : current, &self->taps[axis], before, after);
        sn_free(current);
        current = next;
        next = NULL;
    }
    permute(out, current, self);
done:
    sn_free(current);
    return status;
}

sn_status sn_volume_resample(sn_volume **out, const sn_volume *in, const sn_grid *target, sn_error *error)
{
    sn_status status;
    resampling plan;
    sn_volume *self = NULL;
    int64_t source_voxels = sn_grid_voxels(&in->grid), target_voxels;
    *out = NULL;
    SN_TRY(plan_init(&plan, &in->grid, target, true, error));
    SN_TRY(sn_volume_create(&self, target, in->channels, error));
    target_voxels = sn_grid_voxels(target);
    for (int64_t c = 0; c < in->channels; c++)
        SN_TRY(plan_apply(self->data + c * target_voxels, in->data + c * source_voxels, &plan, error));
    *out = self;
    self = NULL;
done:
    sn_volume_free(self);
    plan_clear(&plan);
    return status;
}

/* nearest[t] = the offset in the source array of target index t's nearest voxel on this axis; -1 outside. */
static sn_status nearest_create(int64_t **nearest, const axis_map *map, int64_t source, int64_t target,
                                int64_t stride, sn_error *error)
{
    sn_status status = sn_alloc(nearest, (size_t)target, sizeof **nearest, error);
    for (int64_t t = 0; status == SN_OK && t < target; t++) {
        double x;
        bool inside = source_index(&x, map, t, source);
        /* Halfway between two voxels it is always the second, whichever way rounding went. */
        double index = fmin(fmax(floor(x + 0.5 + INDEX_ROUNDING), 0), (double)(source - 1));
        (*nearest)[t] = inside ? (int64_t)index * stride : -1;
    }
    return status;
}

sn_status sn_labelmap_resample(sn_labelmap **out, const sn_labelmap *in, const sn_grid *target,
                               sn_error *error)
{
    sn_status status;
    axis_map maps[3];
    int64_t *nearest[3] = {NULL};
    sn_labelmap *self = NULL;
    const int64_t *source = in->grid.extent;
    const int64_t stride[3] = {source[1] * source[2], source[2], 1};
    *out = NULL;
    SN_TRY(axes_match(maps, &in->grid, target, error));
    for (int t = 0; t < 3; t++)
        SN_TRY(nearest_create(&nearest[t], &maps[t], source[maps[t].axis], target->extent[t],
                              stride[maps[t].axis], error));
    SN_TRY(sn_labelmap_create(&self, target, error));
    int32_t *data = self->data;
    for (int64_t d = 0; d < target->extent[0]; d++)
        for (int64_t h = 0; h < target->extent[1]; h++)
            for (int64_t w = 0; w < target->extent[2]; w++, data++)
                if (nearest[0][d] >= 0 && nearest[1][h] >= 0 && nearest[2][w] >= 0)
                    *data = in->data[nearest[0][d] + nearest[1][h] + nearest[2][w]];
    *out = self;
    self = NULL;
done:
    sn_labelmap_free(self);
    for (int t = 0; t < 3; t++)
        sn_free(nearest[t]);
    return status;
}

sn_status sn_labelmap_from_probabilities(sn_labelmap **out, const sn_volume *probabilities,
                                         const int32_t values[], const sn_grid *target, sn_error *error)
{
    sn_status status;
    resampling plan;
    sn_labelmap *self = NULL;
    float *best = NULL, *current = NULL;
    int64_t source_voxels = sn_grid_voxels(&probabilities->grid), voxels;
    *out = NULL;
    SN_TRY(plan_init(&plan, &probabilities->grid, target, false, error));
    SN_TRY(sn_labelmap_create(&self, target, error));
    voxels = sn_grid_voxels(target);
    SN_TRY(sn_alloc(&best, (size_t)voxels, sizeof *best, error));
    SN_TRY(sn_alloc(&current, (size_t)voxels, sizeof *current, error));
    for (int64_t c = 0; c < probabilities->channels; c++) {
        SN_TRY(plan_apply(current, probabilities->data + c * source_voxels, &plan, error));
        for (int64_t v = 0; v < voxels; v++) {
            if (c == 0 || current[v] > best[v]) {
                best[v] = current[v];
                self->data[v] = values[c];
            }
        }
    }
    *out = self;
    self = NULL;
done:
    sn_labelmap_free(self);
    sn_free(best);
    sn_free(current);
    plan_clear(&plan);
    return status;
}
