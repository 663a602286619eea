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

/* One of the target: out (after) from in (source, after), from index `first` on. */
static void taps_blend(float *restrict out, const float *restrict in, const sn_taps *self, int64_t t,
                       int64_t first, int64_t after)
{
    const int64_t begin = self->start[t], end = self->start[t + 1];
    if (begin == end)
        memset(out, 0, (size_t)after * sizeof *out);
    for (int64_t q = begin; q < end; q++) {
        const float weight = self->weight[q], *from = in + (self->first[t] + q - begin - first) * after;
        for (int64_t a = 0; a < after; a++)
            out[a] = q == begin ? weight * from[a] : out[a] + weight * from[a];
    }
}

/* Along H: out (target,W) from in (source,W). */
static void taps_along_h(float *restrict out, const float *restrict in, const sn_taps *self, int64_t W)
{
    for (int64_t t = 0; t < self->target; t++)
        taps_blend(out + t * W, in, self, t, 0, W);
}

/* Along W: out (H,target) from in (H,source). */
static void taps_along_w(float *restrict out, const float *restrict in, const sn_taps *self, int64_t H)
{
    for (int64_t h = 0; h < H; h++, in += self->source, out += self->target)
        for (int64_t t = 0; t < self->target; t++) {
            const int64_t begin = self->start[t];
            float sum = 0;
            for (int64_t q = begin; q < self->start[t + 1]; q++)
                sum += self->weight[q] * in[self->first[t] + q - begin];
            out[t] = sum;
        }
}

void sn_separable_clear(sn_separable *self)
{
    for (int axis = 0; axis < 3; axis++)
        taps_clear(&self->taps[axis]);
}

sn_status sn_separable_init(sn_separable *self, const sn_grid *source, const sn_grid *target, bool antialias,
                            sn_error *error)
{
    sn_status status;
    sn_axis_map maps[3];
    const int64_t *extent = target->extent, stride[3] = {extent[1] * extent[2], extent[2], 1};
    *self = (sn_separable){0};
    SN_TRY(sn_axes_match(maps, source, target, error));
    for (int t = 0; t < 3; t++) {
        const int axis = maps[t].axis;
        SN_TRY(taps_init(&self->taps[axis], &maps[t], source->extent[axis], extent[t], antialias, error));
        self->stride[axis] = stride[t];
        if (axis == 0)
            self->reversed = maps[t].scale < 0;
    }
done:
    return status;
}

/* Whether fewer values remain in between if H goes first. */
static bool h_first(const sn_separable *self)
{
    const sn_taps *h = &self->taps[1], *w = &self->taps[2];
    return h->target * w->source <= h->source * w->target;
}

static int64_t between(const sn_separable *self)
{
    const sn_taps *h = &self->taps[1], *w = &self->taps[2];
    return h_first(self) ? h->target * w->source : h->source * w->target;
}

int64_t sn_separable_scratch(const sn_separable *self)
{
    return self->taps[1].source * self->taps[2].source + between(self);
}

int sn_separable_threads(const sn_separable *self, int threads, int64_t floats)
{
    const int64_t most = threads * (10LL << 20) / (floats * (int64_t)sizeof(float));
    const int64_t useful = most < sn_separable_slices(self) ? most : sn_separable_slices(self);
    return useful < 1 ? 1 : useful < threads ? (int)useful : threads;
}

int64_t sn_separable_end(const sn_separable *self, int64_t slice)
{
    const sn_taps *slices = &self->taps[0];
    int64_t count = slices->start[slice + 1] - slices->start[slice];
    return count > 0 ? slices->first[slice] + count : 0;
}

void sn_separable_slice(float *plane, const float *in, int64_t first, const sn_separable *self, int64_t slice,
                        float *scratch)
{
    const sn_taps *h = &self->taps[1], *w = &self->taps[2];
    float *blended = scratch, *half = scratch + h->source * w->source;
    taps_blend(blended, in, &self->taps[0], slice, first, h->source * w->source);
    if (h_first(self)) {
        taps_along_h(half, blended, h, w->source);
        taps_along_w(plane, half, w, h->target);
    } else {
        taps_along_w(half, blended, w, h->source);
        taps_along_h(plane, half, h, w->target);
    }
}
