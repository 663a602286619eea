/* The kernels by kind of operation, and what memory they need beside their operands. */
#include "backend/cuda/kernels/kernels.h"

sn_cuda_kernel *const sn_cuda_kernels[SN_OP_KINDS] = {
    [SN_OP_BIAS] = sn_cuda_bias,
    [SN_OP_BIAS_BACKWARD] = sn_cuda_bias_backward,
    [SN_OP_BATCHNORM] = sn_cuda_batchnorm,
    [SN_OP_BATCHNORM_APPLY] = sn_cuda_batchnorm_apply,
    [SN_OP_BATCHNORM_BACKWARD] = sn_cuda_batchnorm_backward,
    [SN_OP_BATCHNORM_RUNNING] = sn_cuda_batchnorm_running,
    [SN_OP_PRELU] = sn_cuda_prelu,
    [SN_OP_PRELU_BACKWARD] = sn_cuda_prelu_backward,
    [SN_OP_SUM] = sn_cuda_sum,
    [SN_OP_MAXPOOL] = sn_cuda_maxpool,
    [SN_OP_MAXPOOL_BACKWARD] = sn_cuda_maxpool_backward,
    [SN_OP_UPSAMPLE] = sn_cuda_upsample,
    [SN_OP_UPSAMPLE_BACKWARD] = sn_cuda_upsample_backward,
    [SN_OP_CONCAT] = sn_cuda_concat,
    [SN_OP_WINDOW] = sn_cuda_window,
    [SN_OP_CHANNEL_DROPOUT] = sn_cuda_channel_dropout,
    [SN_OP_AFFINE_WARP] = sn_cuda_affine_warp,
    [SN_OP_TO_BF16] = sn_cuda_to_bf16,
    [SN_OP_SOFTMAX] = sn_cuda_softmax,
    [SN_OP_LOSS] = sn_cuda_loss,
    [SN_OP_OVERLAP] = sn_cuda_overlap,
    [SN_OP_ARGMAX] = sn_cuda_argmax,
    [SN_OP_NADAM] = sn_cuda_nadam,
    [SN_OP_AVERAGE] = sn_cuda_average,
};

sn_cuda_spread sn_cuda_spread_of(const sn_tensor_desc *desc)
{
    const int most_across =
        SN_CUDA_BLOCK / SN_BF16_CHANNELS; /* so that a block has a thread for each channel, too */
    const bool is_bf16 = desc->dtype == SN_BF16;
    sn_cuda_spread spread = {.channels = (int)desc->shape[1], .voxels = (int)sn_tensor_voxels(desc)};
    spread.vectors = is_bf16 ? (int)sn_tensor_stored_channels(desc) / SN_BF16_CHANNELS : spread.channels;
    spread.groups = is_bf16 ? (spread.vectors + most_across - 1) / most_across : spread.vectors;
    spread.across = (spread.vectors + spread.groups - 1) / spread.groups;
    spread.span = SN_CUDA_BLOCK / spread.across * SN_CUDA_RUN;
    spread.parts = (spread.voxels + spread.span - 1) / spread.span;
    return spread;
}

size_t sn_cuda_workspace(const sn_op *op)
{
    const sn_tensor_desc *x = &op->inputs[0].desc;
    const int64_t planes = x->shape[0] * x->shape[1];
    const size_t one_sum = (size_t)planes * (size_t)sn_cuda_spread_of(x).parts * sizeof(double);
    switch (op->kind) {
    case SN_OP_BIAS_BACKWARD:
    case SN_OP_PRELU_BACKWARD:
        return one_sum;
    case SN_OP_BATCHNORM:
        return 2 * one_sum;
    case SN_OP_BATCHNORM_BACKWARD:
        return 2 * one_sum + (size_t)planes * 2 * sizeof(float);
    case SN_OP_LOSS:
        return sn_cuda_loss_workspace(op);
    case SN_OP_OVERLAP:
        return (size_t)planes * 3 * sizeof(uint64_t);
    default:
        return 0;
    }
}
