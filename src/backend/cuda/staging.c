#include "backend/cuda/staging.h"

#include <string.h>

/* Go on if `expression`, a cudaError_t, is a success. */
#define TRY(expression)                                                                                      \
    do {                                                                                                     \
        cudaError_t code = (expression);                                                                     \
        if (code != cudaSuccess)                                                                             \
            return code;                                                                                     \
    } while (0)

enum { ALL_BYTES = SN_CUDA_SLOTS * SN_CUDA_SLOT_BYTES };

cudaError_t sn_cuda_staging_open(sn_cuda_staging *staging, cudaStream_t stream)
{
    *staging = (sn_cuda_staging){.stream = stream};
    for (int s = 0; s < SN_CUDA_SLOTS; s++)
        TRY(cudaEventCreateWithFlags(&staging->sent[s], cudaEventDisableTiming));
    return cudaMallocHost((void **)&staging->memory, ALL_BYTES);
}

void sn_cuda_staging_close(sn_cuda_staging *staging)
{
    for (int s = 0; s < SN_CUDA_SLOTS; s++)
        if (staging->sent[s] != NULL)
            cudaEventDestroy(staging->sent[s]);
    if (staging->memory != NULL)
        cudaFreeHost(staging->memory);
    *staging = (sn_cuda_staging){0};
}

cudaError_t sn_cuda_send(sn_cuda_staging *staging, void *to, const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        if (staging->used == SN_CUDA_SLOT_BYTES) {
            staging->slot = (staging->slot + 1) % SN_CUDA_SLOTS;
            staging->used = 0;
            TRY(cudaEventSynchronize(staging->sent[staging->slot]));
        }
        size_t room = SN_CUDA_SLOT_BYTES - staging->used, piece = bytes - at < room ? bytes - at : room;
        char *place = staging->memory + (size_t)staging->slot * SN_CUDA_SLOT_BYTES + staging->used;
        memcpy(place, (const char *)data + at, piece);
        TRY(cudaMemcpyAsync((char *)to + at, place, piece, cudaMemcpyHostToDevice, staging->stream));
        TRY(cudaEventRecord(staging->sent[staging->slot], staging->stream));
        staging->used += piece;
        at += piece;
    }
    return cudaSuccess;
}

cudaError_t sn_cuda_receive(sn_cuda_staging *staging, void *data, const void *from, size_t bytes)
{
    TRY(cudaStreamSynchronize(staging->stream)); /* so all slots are free */
    for (size_t at = 0; at < bytes;) {
        size_t piece = bytes - at < ALL_BYTES ? bytes - at : ALL_BYTES;
        TRY(cudaMemcpyAsync(staging->memory, (const char *)from + at, piece, cudaMemcpyDeviceToHost,
                            staging->stream));
        TRY(cudaStreamSynchronize(staging->stream));
        memcpy((char *)data + at, staging->memory, piece);
        at += piece;
    }
    return cudaSuccess;
}
