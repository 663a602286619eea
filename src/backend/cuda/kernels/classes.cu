/* Softmax, argmax and overlap: what is done over the classes of each voxel. */
#include "backend/cuda/kernels/classes.cuh"
#include "backend/cuda/kernels/kernels.h"

/* A "plane" is an image here: all classes of a voxel are worked on together. */
static int64_t image_blocks(const sn_tensor_desc *scores)
{
    return scores->shape[0] * sn_cuda_parts(sn_tensor_voxels(scores));
}

/* p may be the scores. */
static __global__ void softmax(float *p, const float *scores, int channels, int voxels)
{
    part own = part_of(blockIdx.x, voxels);
    scores += own.plane * channels * voxels;
    p += own.plane * channels * voxels;
    FOR_EACH_VOXEL(own)
    {
        float sum = exp_classes(p + v, scores + v, channels, voxels);
        for (int c = 0; c < channels; c++)
            p[v + (int64_t)c * voxels] /= sum;
    }
}

cudaError_t sn_cuda_softmax(const sn_cuda_call *call)
{
    const sn_tensor_desc *scores = &call->op->inputs[0].desc;
    return SN_LAUNCH(softmax, image_blocks(scores), call->stream, (float *)call->out[0],
                     (const float *)call->in[0], (int)scores->shape[1], (int)sn_tensor_voxels(scores));
}

static __global__ void argmax(uint8_t *labels, const float *scores, int channels, int voxels)
{
    part own = part_of(blockIdx.x, voxels);
    scores += own.plane * channels * voxels;
    labels += own.plane * voxels;
    FOR_EACH_VOXEL(own)
    {
        labels[v] = (uint8_t)best_class(scores + v, channels, voxels);
    }
}

cudaError_t sn_cuda_argmax(const sn_cuda_call *call)
{
    const sn_tensor_desc *scores = &call->op->inputs[0].desc;
    return SN_LAUNCH(argmax, image_blocks(scores), call->stream, (uint8_t *)call->out[0],
                     (const float *)call->in[0], (int)scores->shape[1], (int)sn_tensor_voxels(scores));
}

/* Integers, so that the order of adding does not matter. */
typedef unsigned long long counter;

/* counts (N, C, 3), first of the block, then of the image. */
static __global__ void count_overlap(counter *counts, const float *scores, const uint8_t *labels,
                                     int channels, int voxels)
{
    __shared__ unsigned shared[SN_CUDA_CLASSES * 3];
    part own = part_of(blockIdx.x, voxels);
    scores += own.plane * channels * voxels;
    labels += own.plane * voxels;
    counts += own.plane * channels * 3;
    for (int i = (int)threadIdx.x; i < channels * 3; i += SN_CUDA_BLOCK)
        shared[i] = 0;
    __syncthreads();
    FOR_EACH_VOXEL(own)
    {
        int truth = labels[v], found = best_class(scores + v, channels, voxels);
        if (truth == found)
            atomicAdd(&shared[3 * truth], 1u);
        atomicAdd(&shared[3 * truth + 1], 1u);
        atomicAdd(&shared[3 * found + 2], 1u);
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < channels * 3; i += SN_CUDA_BLOCK)
        if (shared[i] > 0)
            atomicAdd(&counts[i], (counter)shared[i]);
}

static __global__ void write_counts(double *to, const counter *counts, int count)
{
    const int i = (int)(blockIdx.x * SN_CUDA_BLOCK + threadIdx.x);
    if (i < count)
        to[i] = (double)counts[i];
}

cudaError_t sn_cuda_overlap(const sn_cuda_call *call)
{
    const sn_tensor_desc *scores = &call->op->inputs[0].desc;
    const int count = (int)planes_of(scores) * 3;
    counter *counts = (counter *)call->workspace;
    SN_CUDA_TRY(cudaMemsetAsync(counts, 0, (size_t)count * sizeof *counts, call->stream));
    SN_CUDA_TRY(SN_LAUNCH(count_overlap, image_blocks(scores), call->stream, counts,
                          (const float *)call->in[0], (const uint8_t *)call->in[1], (int)scores->shape[1],
                          (int)sn_tensor_voxels(scores)));
    return SN_LAUNCH(write_counts, blocks_for(count), call->stream, (double *)call->out[0], counts, count);
}
