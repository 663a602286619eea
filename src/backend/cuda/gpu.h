/**
 * The GPUs of this machine.
 */
#ifndef SN_BACKEND_CUDA_GPU_H
#define SN_BACKEND_CUDA_GPU_H

#include <cuda_runtime_api.h>

#include "backend/plugin.h"

/** How many there are; 0 with the reason in words. */
int sn_cuda_count(char reason[SN_REASON_TEXT]);

/** Whether an error is that this build has no kernels for the GPU: neither its own nor any that the driver translates. */
bool sn_cuda_lacks_kernels(cudaError_t code);

/** Its name, compute capability and memory; cheap, since nothing is started on it. */
void sn_cuda_identify(sn_gpu *gpu, int index);

/**
 * What GPU `index` is, what is free on it, and whether it can be used; it becomes the current one of this thread.
 *
 * That takes a context, some hundred MiB of the GPU, and nobody else gets one where the GPU is for one process at a
 * time: so it is ended at once.
 *
 * @param[in] keep the context: this process computes
 */
void sn_cuda_describe(sn_gpu *gpu, int index, bool keep);

#endif
