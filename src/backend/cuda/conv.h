/**
 * A convolution of op.h on a GPU: operands are packed as cuDNN's fastest kernels want them, the plan is run,
 * its result unpacked.
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
 * @param[in]  op        forward, backward data or backward weights, of float32 tensors
 * @param[in]  precision not SN_PRECISION_AUTO
 * @return SN_OK; SN_ERR_MEMORY; SN_ERR_UNSUPPORTED: cuDNN has no kernel for it
 */
sn_status sn_cuda_conv_make(sn_cuda_conv **conv, sn_cudnn *cudnn, const sn_op *op, sn_precision precision,
                            sn_error *error);
void sn_cuda_conv_free(sn_cuda_conv *conv);

/** Bytes of workspace: packed operands and what cuDNN may use. */
size_t sn_cuda_conv_workspace(const sn_op *op, sn_precision precision);

/** Enqueue the convolution. */
sn_status sn_cuda_conv_run(const sn_cuda_conv *conv, const sn_cuda_call *call, sn_error *error);

#ifdef __cplusplus
}
#endif

#endif
