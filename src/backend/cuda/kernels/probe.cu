/* Whether the GPU can run what this build was compiled for. */
#include "backend/cuda/kernels/device.cuh"

static __global__ void nothing()
{
}

cudaError_t sn_cuda_probe(void)
{
    cudaFuncAttributes attributes;
    return cudaFuncGetAttributes(&attributes, (const void *)nothing);
}
