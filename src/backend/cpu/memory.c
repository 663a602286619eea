/* How much memory the kernels need beside their operands. */
#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels.h"

static size_t loss_workspace(const sn_tensor_desc *scores)
{
    int64_t voxels = sn_tensor_voxels(scores), channels = scores->shape[1];
    size_t sums = (size_t)(sn_cpu_chunks(voxels) * (3 * channels + 1)) * sizeof(double);
    return sums + (size_t)(2 * voxels) * sizeof(float);
}

/* `count` sums over each chunk of each channel of an image. */
static size_t chunk_sums(const sn_tensor_desc *x, int64_t count)
{
    return (size_t)(count * x->shape[1] * sn_cpu_chunks(sn_tensor_voxels(x))) * sizeof(double);
}

size_t sn_cpu_workspace(const sn_op *op)
{
    const sn_tensor_desc *x = &op->inputs[0].desc;
    switch (op->kind) {
    case SN_OP_CONV3D:
    case SN_OP_CONV3D_BACKWARD_DATA:
    case SN_OP_CONV3D_BACKWARD_WEIGHTS:
        return sn_conv_workspace(op);
    case SN_OP_LOSS:
        return loss_workspace(x);
    case SN_OP_BIAS_BACKWARD:
    case SN_OP_PRELU_BACKWARD:
        return chunk_sums(x, 1);
    case SN_OP_BATCHNORM:
    case SN_OP_BATCHNORM_BACKWARD:
        return chunk_sums(x, 2);
    case SN_OP_OVERLAP:
        return (size_t)(x->shape[0] * x->shape[1] * 3) * sizeof(int64_t);
    default:
        return 0;
    }
}

size_t sn_cpu_scratch(const sn_op *op, const void *plan, int threads)
{
    size_t channels = (size_t)op->inputs[0].desc.shape[1];
    size_t block = channels * SN_CPU_CLASS_BLOCK * sizeof(float);
    switch (op->kind) {
    case SN_OP_CONV3D:
    case SN_OP_CONV3D_BACKWARD_DATA:
    case SN_OP_CONV3D_BACKWARD_WEIGHTS:
        return sn_conv_scratch(plan, threads);
    case SN_OP_SOFTMAX:
    case SN_OP_ARGMAX:
        return block;
    case SN_OP_OVERLAP:
        return block + channels * 3 * sizeof(int64_t);
    case SN_OP_LOSS:
        return block + channels * 2 * 64; /* two vectors of double sums a class, of at most 64 bytes */
    default:
        return 0;
    }
}
