/**
 * The stand-in's part for kernels: a kernel is an ordinary function, run for one thread of one block after the
 * other.
 */
#ifndef TESTS_BACKEND_CUDA_HOST_CUDA_RUNTIME_H
#define TESTS_BACKEND_CUDA_HOST_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __shared__ static /* blocks run one after the other */

struct cuda_host_index {
    unsigned x;
};

extern cuda_host_index threadIdx, blockIdx, gridDim;

/** Wait for the other threads of the block; all or none of them may come here. */
void __syncthreads();

/** Enqueue blocks of SN_CUDA_BLOCK threads. */
cudaError_t cuda_host_enqueue(cudaStream_t stream, unsigned blocks, unsigned threads,
                              std::function<void()> thread);

template <typename... Parameters, typename... Arguments>
cudaError_t cuda_host_launch(void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
                             cudaStream_t stream, Arguments... arguments)
{
    std::tuple<Parameters...> given(arguments...); /* as they are now, not when it runs */
    return cuda_host_enqueue(stream, blocks, threads, [=] { std::apply(kernel, given); });
}

#define SN_LAUNCH(kernel, blocks, stream, ...)                                                               \
    cuda_host_launch(kernel, (unsigned)(blocks), SN_CUDA_BLOCK, stream, __VA_ARGS__)

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function);

template <typename T> T atomicAdd(T *to, T value)
{
    T before = *to;
    *to += value;
    return before;
}

static inline uint32_t __float_as_uint(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float __uint_as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
