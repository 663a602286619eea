/**
 * A convolution of op.h on a GPU: cuDNN's plan on the values where they lie; in bf16 weights are packed before, their
 * gradient is unpacked after it.
 */
#ifndef SN_BACKEND_CUDA_CONV_H
#define SN_BACKEND_CUDA_CONV_H

#include "backend/cuda/cudnn_plan.h"
#include "backend/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sn_cuda_conv sn_cuda_conv;

/**
 * Plan a convolution.
 *
 * @param[out] conv      caller owns, sn_cuda_conv_free before `cudnn` is closed
 * @param[in]  op        forward, backward data or backward weights
 * @param[in]  precision not SN_PRECISION_AUTO; with SN_PRECISION_BF16 values are bf16, else float32
 * @return SN_OK; SN_ERR_MEMORY; SN_ERR_UNSUPPORTED: cuDNN has no kernel for it
 */
sn_status sn_cuda_conv_make(sn_cuda_conv **conv, sn_cudnn *cudnn, const sn_op *op, sn_precision precision,
                            sn_error *error);
void sn_cuda_conv_free(sn_cuda_conv *conv);

/** Bytes of workspace: packed weights and what cuDNN may use. */
size_t sn_cuda_conv_workspace(const sn_op *op, sn_precision precision);

/** Enqueue the convolution. */
sn_status sn_cuda_conv_run(const sn_cuda_conv *conv, const sn_cuda_call *call, sn_error *error);

#ifdef __cplusplus
}
#endif

#endif
