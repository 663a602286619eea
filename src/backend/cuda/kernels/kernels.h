/**
 * The kernels, one launcher for each kind of operation but the convolutions; op.h says what each one means.
 */
#ifndef SN_BACKEND_CUDA_KERNELS_H
#define SN_BACKEND_CUDA_KERNELS_H

#include "backend/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

sn_cuda_kernel sn_cuda_bias, sn_cuda_bias_backward, sn_cuda_prelu, sn_cuda_prelu_backward;
sn_cuda_kernel sn_cuda_sum, sn_cuda_channel_dropout;
sn_cuda_kernel sn_cuda_batchnorm, sn_cuda_batchnorm_apply, sn_cuda_batchnorm_backward;
sn_cuda_kernel sn_cuda_batchnorm_running;
sn_cuda_kernel sn_cuda_maxpool, sn_cuda_maxpool_backward;
sn_cuda_kernel sn_cuda_upsample, sn_cuda_upsample_backward;
sn_cuda_kernel sn_cuda_to_bf16;
sn_cuda_kernel sn_cuda_concat, sn_cuda_window, sn_cuda_affine_warp;
sn_cuda_kernel sn_cuda_softmax, sn_cuda_argmax, sn_cuda_overlap, sn_cuda_loss;
sn_cuda_kernel sn_cuda_nadam, sn_cuda_average;

/** Bytes of workspace of the loss. */
size_t sn_cuda_loss_workspace(const sn_op *op);

#ifdef __cplusplus
}
#endif

#endif
