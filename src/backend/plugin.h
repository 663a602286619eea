/**
 * What segnas3d-cuda.so gives: one table under the name SN_CUDA_PLUGIN. It stands by itself, without the
 * program's libraries.
 */
#ifndef SN_BACKEND_PLUGIN_H
#define SN_BACKEND_PLUGIN_H

#include "backend/backend.h"

#define SN_CUDA_PLUGIN "sn_cuda_plugin"

enum { SN_CUDA_PLUGIN_VERSION = 5 };

typedef struct sn_gpu {
    char name[128];
    int major, minor; /* compute capability */
    size_t total_bytes, free_bytes;
    char problem[SN_REASON_TEXT]; /* why it cannot be used; empty: usable */
} sn_gpu;

/** Whether it has bf16 and tf32: tensor cores take both from compute capability 8.0 on. */
static inline bool sn_gpu_has_bf16(const sn_gpu *gpu)
{
    return gpu->major >= 8;
}

typedef struct sn_cuda_plugin {
    int version;               /* SN_CUDA_PLUGIN_VERSION of its build */
    const sn_backend *backend; /* opens sn_device_options.index */
    int (*count)(
        char reason[SN_REASON_TEXT]); /* GPUs; 0: the reason says why (no driver, a driver too old, none) */
    void (*identify)(sn_gpu *gpu, int index); /* what it is, not what is free; takes nothing of it */
    void (*describe)(sn_gpu *gpu, int index); /* all; slow, and what it takes for that it gives back */
} sn_cuda_plugin;

#endif
