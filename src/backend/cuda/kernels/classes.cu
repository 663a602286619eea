/* Softmax, argmax and overlap: what is done over the classes of each voxel. */
#include "backend/cuda/kernels/classes.cuh"
#include "backend/cuda/kernels/kernels.h"

static int64_t blocks_of(const sn_tensor_desc *scores)
{
    return blocks_of_items(scores->shape[0], sn_tensor_voxels(scores));
}

/* p may be the scores, where both are float32. */
template <typename T> static __global__ void softmax(float *p, const T *scores, classes in, classes out)
{
    const part own = part_of(blockIdx.x, in.voxels);
    FOR_EACH_VOXEL(own)
    {
        const T *from = voxel_of(scores, in, own.item, v);
        float *to = voxel_of(p, out, own.item, v);
        const float highest = best_class(from, in).score;
        const float sum = sum_exponentials(from, in, highest, -1).all;
        FOR_EACH_VECTOR(T, in, c)
        {
            const values<T> some = load_classes(from, in, c);
            FOR_EACH_CLASS(T, in, c, k)
            {
                to[(int64_t)(c + k) * out.pitch] = probability(some.of[k], highest, sum);
            }
        }
    }
}

template <typename T> static cudaError_t launch_softmax(const sn_cuda_call *call)
{
    const sn_tensor_desc *scores = &call->op->inputs[0].desc;
    return SN_LAUNCH(softmax<T>, blocks_of(scores), call->stream, (float *)call->out[0],
                     (const T *)call->in[0], classes_of(scores), classes_of(&call->op->outputs[0].desc));
}

cudaError_t sn_cuda_softmax(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_softmax, call);
}

template <typename T> static __global__ void argmax(uint8_t *labels, const T *scores, classes in)
{
    const part own = part_of(blockIdx.x, in.voxels);
    FOR_EACH_VOXEL(own)
    {
        labels[own.item * in.voxels + v] = (uint8_t)best_class(voxel_of(scores, in, own.item, v), in).which;
    }
}

template <typename T> static cudaError_t launch_argmax(const sn_cuda_call *call)
{
    const sn_tensor_desc *scores = &call->op->inputs[0].desc;
    return SN_LAUNCH(argmax<T>, blocks_of(scores), call->stream, (uint8_t *)call->out[0],
                     (const T *)call->in[0], classes_of(scores));
}

cudaError_t sn_cuda_argmax(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_argmax, call);
}

/* Integers, so that the order of adding does not matter. */
typedef unsigned long long counter;

/* counts (N, C, 3), first of the block, then of the image. */
template <typename T>
static __global__ void count_overlap(counter *counts, const T *scores, const uint8_t *labels, classes in)
{
    __shared__ unsigned shared[SN_CUDA_CLASSES * 3];
    const part own = part_of(blockIdx.x, in.voxels);
    labels += own.item * in.voxels;
    counts += own.item * in.channels * 3;
    for (int i = (int)threadIdx.x; i < in.channels * 3; i += SN_CUDA_BLOCK)
        shared[i] = 0;
    __syncthreads();
    FOR_EACH_VOXEL(own)
    {
        int truth = labels[v], found = best_class(voxel_of(scores, in, own.item, v), in).which;
        if (truth == found)
            atomicAdd(&shared[3 * truth], 1u);
        atomicAdd(&shared[3 * truth + 1], 1u);
        atomicAdd(&shared[3 * found + 2], 1u);
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < in.channels * 3; i += SN_CUDA_BLOCK)
        if (shared[i] > 0)
            atomicAdd(&counts[i], (counter)shared[i]);
}

static __global__ void write_counts(double *to, const counter *counts, int count)
{
    const int i = (int)(blockIdx.x * SN_CUDA_BLOCK + threadIdx.x);
    if (i < count)
        to[i] = (double)counts[i];
}

template <typename T> static cudaError_t launch_overlap(const sn_cuda_call *call)
{
    const sn_tensor_desc *scores = &call->op->inputs[0].desc;
    const int count = (int)(scores->shape[0] * scores->shape[1]) * 3;
    counter *counts = (counter *)call->workspace;
    SN_CUDA_TRY(cudaMemsetAsync(counts, 0, (size_t)count * sizeof *counts, call->stream));
    SN_CUDA_TRY(SN_LAUNCH(count_overlap<T>, blocks_of(scores), call->stream, counts, (const T *)call->in[0],
                          (const uint8_t *)call->in[1], classes_of(scores)));
    return SN_LAUNCH(write_counts, blocks_for(count), call->stream, (double *)call->out[0], counts, count);
}

cudaError_t sn_cuda_overlap(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_overlap, call);
}
