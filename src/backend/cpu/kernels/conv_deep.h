/**
 * Convolutions whose lanes are channels: see backend/cpu/conv_deep.h.
 */
#ifndef SN_BACKEND_CPU_KERNELS_CONV_DEEP_H
#define SN_BACKEND_CPU_KERNELS_CONV_DEEP_H

#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels/lanes.h"
#include "backend/cpu/kernels/run.h"

/* Vectors of channels that are summed beside each other, at most. */
#if LANES == 16
enum { SN_DEEP_VECTORS = 4 };
#else
enum { SN_DEEP_VECTORS = 2 };
#endif

/* Floats from some rows of weights at a tap to what is needed next: the same rows at the next tap, after the last one
 * those that lie `rows` floats further on at the first. */
static inline int64_t sn_deep_next(const sn_deep_plan *plan, const sn_deep_tap *tap, int64_t rows)
{
    const sn_deep_tap *first = plan->slabs[0].taps, *end = first + plan->slabs[0].tap_count;
    if (tap + 1 < end)
        return (tap[1].weight - tap->weight) * plan->weight_tap;
    return (first->weight - tap->weight) * plan->weight_tap + rows;
}

/* dy (images, channels, voxels) becomes (images, voxels, plan->row), 0 past the channels; for all threads of a
 * parallel region. */
static inline void sn_deep_pack(float *to, const sn_deep_plan *plan, const float *dy, int64_t channels,
                                int64_t voxels)
{
    enum { TOGETHER = 64 }; /* voxels that a thread puts in order */
#pragma omp for collapse(2) schedule(static)
    for (int64_t n = 0; n < plan->images; n++)
        for (int64_t v = 0; v < voxels; v += TOGETHER) {
            int64_t rest = voxels - v;
            sn_to_lanes(to + (n * voxels + v) * plan->row, plan->row, channels,
                        dy + n * channels * voxels + v, voxels, rest < TOGETHER ? rest : TOGETHER, 0);
        }
}

void SN_CPU_NAME(sn_deep_conv3d)(const sn_cpu_call *call, const sn_deep_plan *plan);
void SN_CPU_NAME(sn_deep_backward_data)(const sn_cpu_call *call, const sn_deep_plan *plan);
void SN_CPU_NAME(sn_deep_backward_weights)(const sn_cpu_call *call, const sn_deep_plan *plan);

#endif
