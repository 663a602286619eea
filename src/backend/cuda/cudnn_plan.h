/**
 * Convolutions by cuDNN: one plan, of one kernel of cuDNN, for each shape.
 *
 * The same GPU and the same cuDNN give the same bits: no plan depends on a measurement, and no kernel is used
 * whose sums have no fixed order.
 */
#ifndef SN_BACKEND_CUDA_CUDNN_PLAN_H
#define SN_BACKEND_CUDA_CUDNN_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "backend/backend.h"

#ifndef SN_CUDNN_WORKSPACE
#define SN_CUDNN_WORKSPACE ((size_t)64 << 20) /* bytes that a plan may use */
#endif

enum {
    SN_CUDNN_CHANNELS = 8,         /* SN_PRECISION_BF16: channels are multiples of it, 16 bytes */
    SN_CUDNN_ALIGNMENT = 256,      /* bytes: of packed tensors and the workspace */
};

/* The tensors by their part in the forward convolution. */
typedef enum sn_cudnn_part {
    SN_CUDNN_X,
    SN_CUDNN_W,
    SN_CUDNN_Y,
    SN_CUDNN_PARTS,
} sn_cudnn_part;

/*
 * A convolution; the result is computed from the two others. Tensors are dense: bfloat16 N,D,H,W,C (w:
 * O,K,K,K,I) where the precision is SN_PRECISION_BF16, else float32 N,C,D,H,W. Extents are N,C,D,H,W (w:
 * O,I,K,K,K) for both.
 */
typedef struct sn_cudnn_shape {
    sn_cudnn_part result;   /* Y: forward, X: backward data, W: backward weights */
    sn_precision precision; /* not SN_PRECISION_AUTO */
    int64_t extents[SN_CUDNN_PARTS][SN_DIMS];
    int dilation, stride, pad;
} sn_cudnn_shape;

typedef struct sn_cudnn sn_cudnn;
typedef struct sn_cudnn_plan sn_cudnn_plan;

/** Open cuDNN for the current device and a stream; close frees it, with all its plans. */
sn_status sn_cudnn_open(sn_cudnn **cudnn, cudaStream_t stream, sn_error *error);
void sn_cudnn_close(sn_cudnn *cudnn);

/** cuDNN's version: 92801 is 9.28.1. */
int sn_cudnn_version(void);

/**
 * The plan for a shape: made when it is asked for the first time; slow.
 *
 * @param[out] plan belongs to `cudnn`
 * @return SN_OK; SN_ERR_MEMORY; SN_ERR_UNSUPPORTED with the shape: nothing suits within SN_CUDNN_WORKSPACE
 */
sn_status sn_cudnn_plan_get(const sn_cudnn_plan **plan, sn_cudnn *cudnn, const sn_cudnn_shape *shape,
                            sn_error *error);

/** Bytes of workspace that a plan uses, at most SN_CUDNN_WORKSPACE. */
size_t sn_cudnn_plan_workspace(const sn_cudnn_plan *plan);

/**
 * Enqueue a convolution: the result is overwritten.
 *
 * @param[in] data      x, w and y on the device, aligned to 16 bytes
 * @param[in] workspace sn_cudnn_plan_workspace bytes, aligned to SN_CUDNN_ALIGNMENT
 */
sn_status sn_cudnn_plan_run(const sn_cudnn_plan *plan, void *const data[SN_CUDNN_PARTS], void *workspace,
                            sn_error *error);

#ifdef __cplusplus
}
#endif

#endif
