#include "volume/labeller.h"

#include <math.h>

#include "base/memory.h"
#include "volume/separable.h"

/* Layers of the label map that are made at once: what bounds memory. */
enum { LABELLED_AT_ONCE = 16 };

struct sn_labeller {
    sn_separable plan;
    sn_labelmap *labels;
    const int32_t *values; /* (classes) */
    int64_t classes;
    int64_t plane;         /* voxels in a layer of the probabilities */
    int axis;              /* of the label map, along which the layers come */
    int64_t done;          /* of its layers, in the order in which they come */
    float *best, *current; /* of LABELLED_AT_ONCE layers */
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

/* The axis of the label map along which layers come. */
static int layer_axis(const sn_axis_map maps[3])
{
    int axis = 0;
    while (maps[axis].axis != 0)
        axis++;
    return axis;
}

/* Voxels of the label map that are made at once. */
static int64_t voxels_at_once(const sn_grid *target, int axis)
{
    return sn_grid_voxels(target) / target->extent[axis] * LABELLED_AT_ONCE;
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
    self->axis = layer_axis(self->plan.maps);
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
    int axis = layer_axis(maps);
    int64_t to = voxels_at_once(target, axis);
    double layers = fmin((double)source->extent[0], ceil(fabs(maps[axis].scale) * LABELLED_AT_ONCE + 2));
    int64_t from = source->extent[1] * source->extent[2] * (int64_t)layers;
    *bytes = (2 * to + 2 * (to > from ? to : from)) * (int64_t)sizeof(float); /* the latter to interpolate */
    return SN_OK;
}

static int64_t target_layers(const sn_labeller *self)
{
    return self->plan.target[self->axis];
}

/* The layer of the label map that comes as number `number`. */
static int64_t layer_of(const sn_labeller *self, int64_t number)
{
    return self->plan.maps[self->axis].scale > 0 ? number : target_layers(self) - 1 - number;
}

/* The end of the layers of probabilities that layer `t` of the label map needs; 0: it lies outside of them. */
static int64_t needed_end(const sn_taps *layers, int64_t t)
{
    int64_t count = layers->start[t + 1] - layers->start[t];
    return count > 0 ? layers->first[t] + count : 0;
}

/* The weights of layers [begin, end) of the label map alone; they stay those of `all`. */
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
    part.source = last - first;
    return part;
}

/* Take class `c` wherever its probability is the largest so far, in the layers from `begin` on. */
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

/* Label layers [begin, end) of the label map. */
static sn_status label_layers(sn_labeller *self, const sn_layers *layers, int64_t begin, int64_t end,
                              sn_error *error)
{
    sn_status status = SN_OK;
    sn_separable part = self->plan; /* its arrays stay the labeller's */
    part.taps[0] = taps_part(&self->plan.taps[0], begin, end);
    part.target[self->axis] = end - begin;
    for (int64_t c = 0; c < self->classes && part.taps[0].source > 0; c++) {
        int64_t layer = c * layers->depth + part.taps[0].origin - layers->first;
        SN_TRY(sn_separable_apply(self->current, layers->data + layer * self->plane, &part, error));
        take_class(self, c, part.target, begin);
    }
done:
    return status;
}

sn_status sn_labeller_add(sn_labeller *self, const sn_layers *layers, int64_t end, sn_error *error)
{
    sn_status status = SN_OK;
    while (status == SN_OK) {
        int64_t ready = self->done;
        while (ready < target_layers(self) && ready < self->done + LABELLED_AT_ONCE &&
               needed_end(&self->plan.taps[0], layer_of(self, ready)) <= end)
            ready++;
        if (ready == self->done)
            break;
        int64_t one = layer_of(self, self->done), other = layer_of(self, ready - 1);
        int64_t begin = one < other ? one : other;
        status = label_layers(self, layers, begin, begin + ready - self->done, error);
        self->done = ready;
    }
    return status;
}
