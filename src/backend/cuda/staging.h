/**
 * Copies between host and device through pinned memory: what is sent is copied there and goes on by itself,
 * in the order of the stream.
 */
#ifndef SN_BACKEND_CUDA_STAGING_H
#define SN_BACKEND_CUDA_STAGING_H

#include <stddef.h>

#include <cuda_runtime_api.h>

enum {
    SN_CUDA_SLOTS = 8,
    SN_CUDA_SLOT_BYTES = 4 << 20, /* all slots hold the inputs of two steps of 128x128x128 */
};

/* Slots are filled one after the other, each with one or more copies, and again when these have arrived. */
typedef struct sn_cuda_staging {
    char *memory; /* SN_CUDA_SLOTS of SN_CUDA_SLOT_BYTES */
    cudaEvent_t sent[SN_CUDA_SLOTS];
    int slot;    /* that is being filled */
    size_t used; /* bytes of it */
    cudaStream_t stream;
} sn_cuda_staging;

/** Make the memory; close also after an error. */
cudaError_t sn_cuda_staging_open(sn_cuda_staging *staging, cudaStream_t stream);
void sn_cuda_staging_close(sn_cuda_staging *staging);

/** Send; `data` is free when it returns. Waits only while all slots are on their way. */
cudaError_t sn_cuda_send(sn_cuda_staging *staging, void *to, const void *data, size_t bytes);

/** Wait until all before it has been done, and receive. */
cudaError_t sn_cuda_receive(sn_cuda_staging *staging, void *data, const void *from, size_t bytes);

#endif
