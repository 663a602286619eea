#include "volume/labeller.h"

#include <math.h>

#include "base/memory.h"
#include "volume/separable.h"

/* Slices of the label map that are made at once: what bounds memory. */
enum { LABELLED_AT_ONCE = 16 };

struct sn_labeller {
    sn_separable plan;
    sn_labelmap *labels;
    const int32_t *values; /* (classes) */
    int64_t classes;
    int64_t plane;         /* voxels in a slice of the probabilities */
    int axis;              /* of the label map, along which the slices come */
    int64_t done;          /* of its slices, in the order in which they come */
    float *best, *current; /* of LABELLED_AT_ONCE slices */
};

void sn_labeller_free(sn_labeller *self)
{
    if (self == NULL)
        return;
    sn_separable_clear(&self->plan);
    sn_free(self->best);
    sn_free(self->current);
    sn_free(self);
}

/* The axis of the label map along which slices come. */
static int slice_axis(const sn_axis_map maps[3])
{
    int axis = 0;
    while (maps[axis].axis != 0)
        axis++;
    return axis;
}

/* Voxels of the label map that are made at once. */
static int64_t voxels_at_once(const sn_grid *target, int axis)
{
    int64_t slices = target->extent[axis] < LABELLED_AT_ONCE ? target->extent[axis] : LABELLED_AT_ONCE;
    return sn_grid_voxels(target) / target->extent[axis] * slices;
}

sn_status sn_labeller_create(sn_labeller **labeller, sn_labelmap *labels, const sn_grid *source,
                             const int32_t values[], int64_t classes, sn_error *error)
{
    sn_status status;
    sn_labeller *self = NULL;
    *labeller = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->labels = labels;
    self->values = values;
    self->classes = classes;
    self->plane = source->extent[1] * source->extent[2];
    SN_TRY(sn_separable_init(&self->plan, source, &labels->grid, false, error));
    self->axis = slice_axis(self->plan.maps);
    size_t voxels = (size_t)voxels_at_once(&labels->grid, self->axis);
    SN_TRY(sn_alloc(&self->best, voxels, sizeof *self->best, error));
    SN_TRY(sn_alloc(&self->current, voxels, sizeof *self->current, error));
    for (int64_t v = 0; v < sn_grid_voxels(&labels->grid); v++)
        labels->data[v] = values[0];
    *labeller = self;
    self = NULL;
done:
    sn_labeller_free(self);
    return status;
}

sn_status sn_labeller_bytes(int64_t *bytes, const sn_grid *source, const sn_grid *target, sn_error *error)
{
    sn_axis_map maps[3];
    sn_status status = sn_axes_match(maps, source, target, error);
    if (status != SN_OK)
        return status;
    int axis = slice_axis(maps);
    int64_t to = voxels_at_once(target, axis);
    double slices = fmin((double)source->extent[0], ceil(fabs(maps[axis].scale) * LABELLED_AT_ONCE + 2));
    int64_t from = source->extent[1] * source->extent[2] * (int64_t)fmax(slices, LABELLED_AT_ONCE);
    *bytes = (2 * to + 2 * (to > from ? to : from)) * (int64_t)sizeof(float); /* the latter to interpolate */
    return SN_OK;
}

static int64_t target_slices(const sn_labeller *self)
{
    return self->plan.target[self->axis];
}

/* The slice of the label map that comes as number `number`. */
static int64_t slice_of(const sn_labeller *self, int64_t number)
{
    return self->plan.maps[self->axis].scale > 0 ? number : target_slices(self) - 1 - number;
}

/* The end of the slices of probabilities that slice `t` of the label map needs; 0: it lies outside of them. */
static int64_t needed_end(const sn_taps *slices, int64_t t)
{
    int64_t count = slices->start[t + 1] - slices->start[t];
    return count > 0 ? slices->first[t] + count : 0;
}

/* The weights of slices [begin, end) of the label map alone; they stay those of `all`. */
static sn_taps taps_part(const sn_taps *all, int64_t begin, int64_t end)
{
    sn_taps part = *all;
    int64_t first = all->source, last = 0;
    for (int64_t t = begin; t < end; t++) {
        int64_t needed = needed_end(all, t);
        if (needed > 0 && all->first[t] < first)
            first = all->first[t];
        last = needed > last ? needed : last;
    }
    part.target = end - begin;
    part.first += begin;
    part.start += begin;
    part.origin = first;
    part.source = last > first ? last - first : 0;
    return part;
}

/* Take class `c` wherever its probability is the largest so far, in the slices from `begin` on. */
static void take_class(sn_labeller *self, int64_t c, const int64_t extent[3], int64_t begin)
{
    const int64_t *whole = self->plan.target;
    int64_t from[3] = {0}, v = 0;
    from[self->axis] = begin;
    for (int64_t d = 0; d < extent[0]; d++)
        for (int64_t h = 0; h < extent[1]; h++) {
            int32_t *row = self->labels->data + ((d + from[0]) * whole[1] + h + from[1]) * whole[2] + from[2];
            for (int64_t w = 0; w < extent[2]; w++, v++)
                if (c == 0 || self->current[v] > self->best[v]) {
                    self->best[v] = self->current[v];
                    row[w] = self->values[c];
                }
        }
}

/* Label slices [begin, end) of the label map. */
static sn_status label_slices(sn_labeller *self, const sn_slices *slices, int64_t begin, int64_t end,
                              sn_error *error)
{
    sn_status status = SN_OK;
    sn_separable part = self->plan; /* its arrays stay the labeller's */
    part.taps[0] = taps_part(&self->plan.taps[0], begin, end);
    part.target[self->axis] = end - begin;
    for (int64_t c = 0; c < self->classes && part.taps[0].source > 0; c++) {
        int64_t slice = c * slices->depth + part.taps[0].origin - slices->first;
        SN_TRY(sn_separable_apply(self->current, slices->data + slice * self->plane, &part, error));
        take_class(self, c, part.target, begin);
    }
done:
    return status;
}

sn_status sn_labeller_add(sn_labeller *self, const sn_slices *slices, int64_t end, sn_error *error)
{
    sn_status status = SN_OK;
    while (status == SN_OK) {
        int64_t ready = self->done;
        while (ready < target_slices(self) && ready < self->done + LABELLED_AT_ONCE &&
               needed_end(&self->plan.taps[0], slice_of(self, ready)) <= end)
            ready++;
        if (ready == self->done)
            break;
        int64_t one = slice_of(self, self->done), other = slice_of(self, ready - 1);
        int64_t begin = one < other ? one : other;
        status = label_slices(self, slices, begin, begin + ready - self->done, error);
        self->done = ready;
    }
    return status;
}
