#include "volume/labeller.h"

#include <omp.h>

#include "base/memory.h"
#include "volume/separable.h"

struct sn_labeller {
    sn_separable plan;
    int32_t *labels;
    const int32_t *values; /* (classes) */
    int64_t classes;
    int64_t done; /* slices of the label map, in the order in which they come */
    int threads;
    int64_t each;   /* floats of scratch memory for one */
    float *scratch; /* (threads, each) */
};

/* Of a thread: a plane of the largest probabilities so far, one of a class, and what that takes. */
static int64_t scratch_of(const sn_separable *plan)
{
    return 2 * sn_separable_plane(plan) + sn_separable_scratch(plan);
}

void sn_labeller_free(sn_labeller *self)
{
    if (self == NULL)
        return;
    sn_separable_clear(&self->plan);
    sn_free(self->scratch);
    sn_free(self);
}

sn_status sn_labeller_create(sn_labeller **labeller, sn_labelmap *labels, const sn_grid *source,
                             const int32_t values[], int64_t classes, int threads, sn_error *error)
{
    sn_status status;
    sn_labeller *self = NULL;
    *labeller = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->labels = labels->data;
    self->values = values;
    self->classes = classes;
    SN_TRY(sn_separable_init(&self->plan, source, &labels->grid, false, error));
    self->each = scratch_of(&self->plan);
    self->threads = sn_separable_threads(&self->plan, threads, self->each);
    SN_TRY(sn_alloc(&self->scratch, (size_t)(self->threads * self->each), sizeof *self->scratch, error));
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
    sn_separable plan;
    sn_status status = sn_separable_init(&plan, source, target, false, error);
    if (status == SN_OK)
        *bytes = scratch_of(&plan) * (int64_t)sizeof(float);
    sn_separable_clear(&plan);
    return status;
}

/* The slice of the label map that comes as number `number`. */
static int64_t slice_of(const sn_labeller *self, int64_t number)
{
    return self->plan.reversed ? sn_separable_slices(&self->plan) - 1 - number : number;
}

/* Take class `c` wherever its probability is the largest so far. */
static void take_class(const sn_labeller *self, int64_t slice, int64_t c, float *best, const float *plane)
{
    const sn_separable *plan = &self->plan;
    int32_t *labels = self->labels + slice * plan->stride[0];
    int64_t v = 0;
    for (int64_t h = 0; h < plan->taps[1].target; h++)
        for (int64_t w = 0; w < plan->taps[2].target; w++, v++)
            if (c == 0 || plane[v] > best[v]) {
                best[v] = plane[v];
                labels[h * plan->stride[1] + w * plan->stride[2]] = self->values[c];
            }
}

static void label_slice(const sn_labeller *self, const sn_slices *slices, int64_t slice, float *scratch)
{
    const sn_separable *plan = &self->plan;
    const int64_t of_class = slices->depth * plan->taps[1].source * plan->taps[2].source;
    float *best = scratch, *plane = best + sn_separable_plane(plan);
    for (int64_t c = 0; c < self->classes && sn_separable_end(plan, slice) > 0; c++) {
        sn_separable_slice(plane, slices->data + c * of_class, slices->first, plan, slice,
                           plane + sn_separable_plane(plan));
        take_class(self, slice, c, best, plane);
    }
}

void sn_labeller_add(sn_labeller *self, const sn_slices *slices, int64_t end)
{
    int64_t ready = self->done;
    while (ready < sn_separable_slices(&self->plan) &&
           sn_separable_end(&self->plan, slice_of(self, ready)) <= end)
        ready++;
#pragma omp parallel for num_threads(self->threads)
    for (int64_t i = self->done; i < ready; i++)
        label_slice(self, slices, slice_of(self, i), self->scratch + omp_get_thread_num() * self->each);
    self->done = ready;
}
