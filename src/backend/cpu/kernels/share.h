/**
 * How threads share out an operation: by place. Each thread has a stretch of neighbouring voxels of all channels, about
 * the same one in most operations on a grid, so that it reads what it wrote itself: cores that do not share a cache wait
 * long for each other's.
 */
#ifndef SN_BACKEND_CPU_SHARE_H
#define SN_BACKEND_CPU_SHARE_H

#include <assert.h>
#include <stdbool.h>

#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels/run.h"

/* Parts [begin, end) of a channel. */
typedef struct sn_cpu_part {
    int64_t begin, end;
} sn_cpu_part;

/* What this thread has of channel c, inside a parallel region: each of `channels` channels is cut into `parts`, and
 * those of all channels, part by part, into even shares. */
static inline sn_cpu_part sn_cpu_own(int64_t parts, int64_t channels, int64_t c)
{
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    int64_t first = sn_conv_split(parts * channels, threads, thread);
    int64_t end = sn_conv_split(parts * channels, threads, thread + 1);
    return (sn_cpu_part){first / channels + (c < first % channels), end / channels + (c < end % channels)};
}

/* Neighbouring voxels of one channel. */
typedef struct sn_cpu_span {
    int64_t begin; /* from the start of the tensor */
    int64_t count; /* may be 0 */
} sn_cpu_span;

/* Those of its chunks [part.begin, part.end); plane is n*C + c. */
static inline sn_cpu_span sn_cpu_span_of(int64_t plane, int64_t voxels, sn_cpu_part part)
{
    int64_t begin = sn_conv_smaller(part.begin * SN_CPU_CHUNK, voxels);
    return (sn_cpu_span){plane * voxels + begin, sn_conv_smaller(part.end * SN_CPU_CHUNK, voxels) - begin};
}

static inline sn_cpu_span sn_cpu_chunk_of(int64_t plane, int64_t voxels, int64_t chunk)
{
    return sn_cpu_span_of(plane, voxels, (sn_cpu_part){chunk, chunk + 1});
}

/* Those that this thread has of it. */
static inline sn_cpu_span sn_cpu_own_span(int64_t plane, int64_t channels, int64_t voxels)
{
    return sn_cpu_span_of(plane, voxels, sn_cpu_own(sn_cpu_chunks(voxels), channels, plane % channels));
}

/* The sum over chunks, in their order, of values that lie `stride` apart. */
static inline double sn_cpu_add_chunks(const double *values, int64_t chunks, int64_t stride)
{
    double sum = 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        sum += values[chunk * stride];
    return sum;
}

/* Begin to share out units [0, units); for all threads of a parallel region. */
static inline void sn_cpu_share_out(const sn_cpu_call *call, int64_t units)
{
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    assert(units <= UINT32_MAX);
    uint64_t first = (uint64_t)sn_conv_split(units, threads, thread);
    uint64_t end = (uint64_t)sn_conv_split(units, threads, thread + 1);
    atomic_store(&call->team->shares[thread].left, first << 32 | end);
#pragma omp barrier
}

/* The next unit of this thread: of its own share from the first on, then of another's from the last back, so that no
 * thread waits for a slower one. False, for all threads at once, when all units are done. */
static inline bool sn_cpu_take(const sn_cpu_call *call, int64_t *unit)
{
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    for (int i = 0; i < threads; i++) {
        _Atomic uint64_t *share = &call->team->shares[(thread + i) % threads].left;
        uint64_t left = atomic_load(share);
        while (left >> 32 < (uint32_t)left) {
            uint64_t rest = i == 0 ? left + ((uint64_t)1 << 32) : left - 1;
            *unit = (int64_t)(i == 0 ? left >> 32 : (uint32_t)rest);
            if (atomic_compare_exchange_weak(share, &left, rest))
                return true;
        }
    }
#pragma omp barrier
    return false;
}

#endif
