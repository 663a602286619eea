#include "volume/resample.h"

#include <math.h>
#include <omp.h>

#include "base/memory.h"
#include "volume/separable.h"

/* Put a slice in its place. */
static void place(float *out, const float *plane, const sn_separable *plan)
{
    for (int64_t h = 0; h < plan->taps[1].target; h++)
        for (int64_t w = 0; w < plan->taps[2].target; w++)
            out[h * plan->stride[1] + w * plan->stride[2]] = *plane++;
}

sn_status sn_volume_resample(sn_volume **out, const sn_volume *in, const sn_grid *target, int threads,
                             sn_error *error)
{
    sn_status status;
    sn_separable plan;
    sn_volume *self = NULL;
    float *scratch = NULL;
    *out = NULL;
    SN_TRY(sn_separable_init(&plan, &in->grid, target, true, error));
    SN_TRY(sn_volume_create(&self, target, in->channels, error));
    const int64_t source_voxels = sn_grid_voxels(&in->grid), target_voxels = sn_grid_voxels(target);
    const int64_t each = sn_separable_scratch(&plan) + sn_separable_plane(&plan);
    threads = sn_separable_threads(&plan, threads, each);
    SN_TRY(sn_alloc(&scratch, (size_t)(threads * each), sizeof *scratch, error));
#pragma omp parallel for collapse(2) num_threads(threads)
    for (int64_t c = 0; c < in->channels; c++)
        for (int64_t s = 0; s < sn_separable_slices(&plan); s++) {
            float *plane = scratch + omp_get_thread_num() * each;
            sn_separable_slice(plane, in->data + c * source_voxels, 0, &plan, s,
                               plane + sn_separable_plane(&plan));
            place(self->data + c * target_voxels + s * plan.stride[0], plane, &plan);
        }
    *out = self;
    self = NULL;
done:
    sn_free(scratch);
    sn_volume_free(self);
    sn_separable_clear(&plan);
    return status;
}

/* nearest[t] = the offset in the source array of target index t's nearest voxel on this axis; -1 outside. */
static sn_status nearest_create(int64_t **nearest, const sn_axis_map *map, int64_t source, int64_t target,
                                int64_t stride, sn_error *error)
{
    sn_status status = sn_alloc(nearest, (size_t)target, sizeof **nearest, error);
    for (int64_t t = 0; status == SN_OK && t < target; t++) {
        double x;
        bool inside = sn_source_index(&x, map, t, source);
        /* Halfway between two voxels it is always the second, whichever way rounding went. */
        double index = fmin(fmax(floor(x + 0.5 + SN_INDEX_ROUNDING), 0), (double)(source - 1));
        (*nearest)[t] = inside ? (int64_t)index * stride : -1;
    }
    return status;
}

sn_status sn_labelmap_resample(sn_labelmap **out, const sn_labelmap *in, const sn_grid *target,
                               sn_error *error)
{
    sn_status status;
    sn_axis_map maps[3];
    int64_t *nearest[3] = {NULL};
    sn_labelmap *self = NULL;
    const int64_t *source = in->grid.extent;
    const int64_t stride[3] = {source[1] * source[2], source[2], 1};
    *out = NULL;
    SN_TRY(sn_axes_match(maps, &in->grid, target, error));
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
