/**
 * What kernels share: launches, the part of a tensor that a block works on, sums in a fixed order.
 *
 * A tensor is (planes, voxels), a plane being one channel of one image. Most kernels are launched with one
 * block for each part of each plane, so that what belongs to a channel is the same for a whole block,
 * neighbouring threads touch neighbouring voxels, and no thread divides more than 32-bit numbers.
 */
#ifndef SN_BACKEND_CUDA_DEVICE_CUH
#define SN_BACKEND_CUDA_DEVICE_CUH

#include <cuda_runtime.h>

#include "backend/cuda/runtime.h"

/* Enqueue blocks of SN_CUDA_BLOCK threads; the value is a cudaError_t. The tests' stand-in has its own. */
#ifndef SN_LAUNCH
#define SN_LAUNCH(kernel, blocks, stream, ...)                                                               \
    (kernel<<<(unsigned)(blocks), SN_CUDA_BLOCK, 0, stream>>>(__VA_ARGS__), cudaGetLastError())
#endif

/* Go on if `expression`, a cudaError_t, is a success. */
#define SN_CUDA_TRY(expression)                                                                              \
    do {                                                                                                     \
        cudaError_t error_ = (expression);                                                                   \
        if (error_ != cudaSuccess)                                                                           \
            return error_;                                                                                   \
    } while (0)

/* N*C. */
static inline int64_t planes_of(const sn_tensor_desc *desc)
{
    return desc->shape[0] * desc->shape[1];
}

/* Blocks for all parts of all planes. */
static inline int64_t blocks_of(const sn_tensor_desc *desc)
{
    return planes_of(desc) * sn_cuda_parts(sn_tensor_voxels(desc));
}

/* Blocks of one thread for each element. */
static inline int64_t blocks_for(int64_t count)
{
    return (count + SN_CUDA_BLOCK - 1) / SN_CUDA_BLOCK;
}

typedef struct part {
    int64_t plane;
    int first, end; /* voxels of the plane */
} part;

static inline __device__ part part_of(int64_t block, int voxels)
{
    int parts = (voxels + SN_CUDA_PART - 1) / SN_CUDA_PART;
    int first = (int)(block % parts) * SN_CUDA_PART;
    return part{block / parts, first, voxels - first < SN_CUDA_PART ? voxels : first + SN_CUDA_PART};
}

/* Loops over the voxels of a part: `v`, that of this thread. */
#define FOR_EACH_VOXEL(part) for (int v = (part).first + (int)threadIdx.x; v < (part).end; v += SN_CUDA_BLOCK)

/* sums = those over all threads of the block, in every thread: always added in the same order. */
template <int COUNT> static __device__ void block_sum(double (&sums)[COUNT])
{
    __shared__ double shared[COUNT][SN_CUDA_BLOCK];
    for (int i = 0; i < COUNT; i++)
        shared[i][threadIdx.x] = sums[i];
    for (unsigned half = SN_CUDA_BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            for (int i = 0; i < COUNT; i++)
                shared[i][threadIdx.x] += shared[i][threadIdx.x + half];
    }
    __syncthreads();
    for (int i = 0; i < COUNT; i++)
        sums[i] = shared[i][0];
    __syncthreads(); /* before the next sum takes the memory */
}

/* The first stage of a sum over a plane: partials (blocks, COUNT) = the sums of this block. */
template <int COUNT> static __device__ void store_partial(double *partials, double (&sums)[COUNT])
{
    block_sum(sums);
    if (threadIdx.x == 0)
        for (int i = 0; i < COUNT; i++)
            partials[(int64_t)blockIdx.x * COUNT + i] = sums[i];
}

/* The second stage, of one plane: sums = those of all its parts, in every thread. */
template <int COUNT>
static __device__ void sum_partials(double (&sums)[COUNT], const double *partials, int64_t plane, int voxels)
{
    int parts = (voxels + SN_CUDA_PART - 1) / SN_CUDA_PART;
    const double *own = partials + plane * parts * COUNT;
    for (int i = 0; i < COUNT; i++)
        sums[i] = 0;
    for (int p = (int)threadIdx.x; p < parts; p += SN_CUDA_BLOCK)
        for (int i = 0; i < COUNT; i++)
            sums[i] += own[p * COUNT + i];
    block_sum(sums);
}

#endif
