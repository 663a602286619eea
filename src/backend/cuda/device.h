/**
 * An open GPU, and what its functions share: one stream, on which everything happens in order.
 */
#ifndef SN_BACKEND_CUDA_DEVICE_H
#define SN_BACKEND_CUDA_DEVICE_H

#include "backend/backend.h"
#include "backend/cuda/cudnn_plan.h"
#include "backend/cuda/staging.h"

/* Runs of programs that may wait for the GPU: so many that it has always something to do, so few that who counts them
 * knows how far it is, and who stops need not wait long. */
enum { SN_CUDA_AHEAD = 8 };

/* What takes time and memory on the GPU is made when something is to be computed (sn_cuda_start): most devices are
 * opened to plan for them. */
struct sn_device {
    int index;
    sn_precision precision; /* not AUTO */
    cudaStream_t stream;    /* NULL: not started */
    sn_cuda_staging staging;
    cudaEvent_t ran[SN_CUDA_AHEAD]; /* after each of the last runs, at its number modulo SN_CUDA_AHEAD */
    int64_t runs;
    sn_cudnn *cudnn;
    cudaError_t broken; /* what went wrong in a function that has no status; the next run or wait tells */
    char kernels[192];
};

struct sn_buffer {
    char *data; /* on the device */
    size_t bytes;
};

/**
 * Say that CUDA failed.
 *
 * @param[in] what for what, e.g. an operation
 * @return SN_ERR_MEMORY, SN_ERR_UNSUPPORTED (no kernels for this GPU) or SN_ERR_FAILED; SN_OK of cudaSuccess
 */
sn_status sn_cuda_check(cudaError_t code, const char *what, sn_error *error);

/** Make the device ready to compute, if it is not, and the current one of this thread. */
sn_status sn_cuda_start(sn_device *device, sn_error *error);

/** Allocate zeroed memory on the device; cudaFree. SN_ERR_MEMORY with how much is free. */
sn_status sn_cuda_alloc(sn_device *device, void *out, size_t bytes, sn_error *error);

/* The functions of sn_backend that program.c has. */
sn_status sn_cuda_program_create(sn_device *device, sn_program **program, const sn_op *ops, int op_count,
                                 sn_buffer *const *buffers, int buffer_count, sn_error *error);
void sn_cuda_program_free(sn_device *device, sn_program *program);
sn_status sn_cuda_program_run(sn_device *device, sn_program *program, sn_error *error);

/** Bytes of workspace of any operation. */
size_t sn_cuda_device_workspace(sn_device *device, const sn_op *op);

/** Whether an operation can run; if not, why. */
bool sn_cuda_supports(sn_device *device, const sn_op *op, char reason[SN_REASON_TEXT]);

#endif
