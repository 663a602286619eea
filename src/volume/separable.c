#include "volume/separable.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

/* How far, in voxels, a target axis may stray from its source axis over its whole length. */
static const double AXIS_TOLERANCE = 0.01;

sn_status sn_axes_match(sn_axis_map maps[3], const sn_grid *source, const sn_grid *target, sn_error *error)
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
        maps[t] = (sn_axis_map){.axis = axis, .scale = map[axis][t], .offset = map[axis][3]};
    }
    return SN_OK;
}

bool sn_source_index(double *x, const sn_axis_map *map, int64_t t, int64_t extent)
{
    *x = map->scale * (double)t + map->offset;
    if (fabs(*x - round(*x)) < SN_INDEX_ROUNDING)
        *x = round(*x);
    return *x >= -0.5 - SN_INDEX_ROUNDING && *x <= (double)extent - 0.5 + SN_INDEX_ROUNDING;
}

static void taps_clear(sn_taps *self)
{
    sn_free(self->first);
    sn_free(self->start);
    sn_free(self->weight);
}

/*
 * Weights of the triangle max(0, 1 - |q - x| / r) around source index x, cut at the image's ends and scaled
 * to sum 1. r = 1 is linear interpolation; r = |scale| > 1 also averages over what one coarser voxel covers.
 */
static sn_status taps_init(sn_taps *self, const sn_axis_map *map, int64_t source, int64_t target,
                           bool antialias, sn_error *error)
{
    sn_status status;
    double ratio = fabs(map->scale), r = antialias && ratio > 1 + SN_INDEX_ROUNDING ? ratio : 1;
    double widest = fmin((double)source, 2 * ceil(r) + 1);
    *self = (sn_taps){.source = source, .target = target};
    SN_TRY(sn_alloc(&self->first, (size_t)target, sizeof *self->first, error));
    SN_TRY(sn_alloc(&self->start, (size_t)target + 1, sizeof *self->start, error));
    SN_TRY(sn_alloc(&self->weight, (size_t)target * (size_t)widest, sizeof *self->weight, error));
    for (int64_t t = 0; t < target; t++) {
        double x, sum = 0;
        self->start[t + 1] = self->start[t];
        if (!sn_source_index(&x, map, t, source))
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
static void taps_apply(float *restrict out, const float *restrict in, const sn_taps *self, int64_t before,
                       int64_t after)
{
    for (int64_t b = 0; b < before; b++) {
        for (int64_t t = 0; t < self->target; t++) {
            float *row = out + (b * self->target + t) * after;
            memset(row, 0, (size_t)after * sizeof *row);
            for (int64_t q = self->start[t]; q < self->start[t + 1]; q++) {
                int64_t place = b * self->source + self->first[t] - self->origin + q - self->start[t];
                for (int64_t a = 0; a < after; a++)
                    row[a] += self->weight[q] * in[place * after + a];
            }
        }
    }
}

void sn_separable_clear(sn_separable *self)
{
    for (int axis = 0; axis < 3; axis++)
        taps_clear(&self->taps[axis]);
}

static double growth(const sn_separable *self, int axis)
{
    return (double)self->taps[axis].target / (double)self->taps[axis].source;
}

sn_status sn_separable_init(sn_separable *self, const sn_grid *source, const sn_grid *target, bool antialias,
                            sn_error *error)
{
    sn_status status;
    *self = (sn_separable){.order = {0, 1, 2}};
    SN_TRY(sn_axes_match(self->maps, source, target, error));
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
static void permute(float *out, const float *in, const sn_separable *self)
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

sn_status sn_separable_apply(float *out, const float *in, const sn_separable *self, sn_error *error)
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
