/**
 * The GPUs of this machine.
 */
#ifndef SN_BACKEND_CUDA_GPU_H
#define SN_BACKEND_CUDA_GPU_H

#include "backend/plugin.h"

/** How many there are; 0 with the reason in words. */
int sn_cuda_count(char reason[SN_REASON_TEXT]);

/** Its name and compute capability; cheap, since nothing is started on it. */
void sn_cuda_identify(sn_gpu *gpu, int index);

/** What GPU `index` is, and whether it can be used; it becomes the current one of this thread. */
void sn_cuda_describe(sn_gpu *gpu, int index);

#endif
