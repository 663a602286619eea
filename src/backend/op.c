#include "backend/op.h"

#include <string.h>

#include <assert.h>

#include "base/memory.h"
#include "base/random.h"

enum { ANY_INPUT = 0xFF };

/* Bits of inputs and outputs. */
#define BIT(index) (1u << (index))

static const sn_op_info op_infos[SN_OP_KINDS] = {
    /* name, fewest and most inputs, outputs, updated ones, added ones, inputs whose memory output 0 may take */
    [SN_OP_CONV3D] = {"conv3d", 2, 2, 1, 0, 0, 0},
    [SN_OP_CONV3D_BACKWARD_DATA] = {"conv3d_backward_data", 2, 2, 1, 0, 0, 0},
    [SN_OP_CONV3D_BACKWARD_WEIGHTS] = {"conv3d_backward_weights", 2, 2, 1, BIT(0), BIT(0), 0},
    [SN_OP_BIAS] = {"bias", 2, 2, 1, 0, 0, BIT(0)},
    [SN_OP_BIAS_BACKWARD] = {"bias_backward", 1, 1, 1, BIT(0), BIT(0), 0},
    [SN_OP_BATCHNORM] = {"batchnorm", 3, 3, 3, 0, 0, BIT(0)},
    [SN_OP_BATCHNORM_APPLY] = {"batchnorm_apply", 5, 5, 1, 0, 0, BIT(0)},
    [SN_OP_BATCHNORM_BACKWARD] = {"batchnorm_backward", 6, 6, 3, BIT(1) | BIT(2), BIT(1) | BIT(2),
                                  BIT(0) | BIT(5)},
    [SN_OP_BATCHNORM_RUNNING] = {"batchnorm_running", 2, 2, 2, BIT(0) | BIT(1), 0, 0},
    [SN_OP_PRELU] = {"prelu", 2, 2, 1, 0, 0, BIT(0)},
    [SN_OP_PRELU_BACKWARD] = {"prelu_backward", 3, 3, 2, BIT(1), BIT(1), BIT(0) | BIT(2)},
    [SN_OP_SUM] = {"sum", 1, SN_OP_MAX_INPUTS, 1, 0, 0, ANY_INPUT},
    [SN_OP_MAXPOOL] = {"maxpool", 1, 1, 2, 0, 0, 0},
    [SN_OP_MAXPOOL_BACKWARD] = {"maxpool_backward", 2, 2, 1, 0, 0, 0},
    [SN_OP_UPSAMPLE] = {"upsample", 1, 1, 1, 0, 0, 0},
    [SN_OP_UPSAMPLE_BACKWARD] = {"upsample_backward", 1, 1, 1, 0, 0, 0},
    [SN_OP_CONCAT] = {"concat", 1, SN_OP_MAX_INPUTS, 1, 0, 0, 0},
    [SN_OP_WINDOW] = {"window", 1, 1, 1, 0, 0, 0},
    [SN_OP_CHANNEL_DROPOUT] = {"channel_dropout", 2, 2, 1, 0, 0, BIT(0)},
    [SN_OP_AFFINE_WARP] = {"affine_warp", 2, 2, 1, 0, 0, 0},
    [SN_OP_TO_BF16] = {"to_bf16", 1, 1, 1, 0, 0, 0},
    [SN_OP_SOFTMAX] = {"softmax", 1, 1, 1, 0, 0, BIT(0)},
    [SN_OP_LOSS] = {"loss", 3, 3, 2, BIT(0), BIT(0), 0},
    [SN_OP_OVERLAP] = {"overlap", 2, 2, 1, 0, 0, 0},
    [SN_OP_ARGMAX] = {"argmax", 1, 1, 1, 0, 0, 0},
    [SN_OP_NADAM] = {"nadam", 1, 1, 4, BIT(0) | BIT(1) | BIT(2) | BIT(3), 0, 0},
    [SN_OP_AVERAGE] = {"average", 2, 2, 1, BIT(0), 0, 0},
};

size_t sn_dtype_size(sn_dtype dtype)
{
    switch (dtype) {
    case SN_F64:
        return 8;
    case SN_F32:
        return 4;
    case SN_BF16:
        return 2;
    case SN_U8:
        return 1;
    }
    assert(!"unknown type");
    return 0;
}

sn_dtype sn_dtype_of_channels(sn_dtype real)
{
    return real == SN_BF16 ? SN_F32 : real;
}

bool sn_tensor_desc_equal(const sn_tensor_desc *a, const sn_tensor_desc *b)
{
    return a->dtype == b->dtype && memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

int64_t sn_tensor_count(const sn_tensor_desc *desc)
{
    return desc->shape[0] * desc->shape[1] * sn_tensor_voxels(desc);
}

int64_t sn_tensor_stored_channels(const sn_tensor_desc *desc)
{
    const int64_t channels = desc->shape[1];
    return desc->dtype == SN_BF16 ? sn_round_up(channels, SN_BF16_CHANNELS) : channels;
}

size_t sn_tensor_bytes(const sn_tensor_desc *desc)
{
    const int64_t stored = desc->shape[0] * sn_tensor_stored_channels(desc) * sn_tensor_voxels(desc);
    return (size_t)stored * sn_dtype_size(desc->dtype);
}

size_t sn_tensor_room(const sn_tensor_desc *desc)
{
    return (size_t)sn_round_up((int64_t)sn_tensor_bytes(desc), SN_ALIGNMENT);
}

int64_t sn_tensor_voxels(const sn_tensor_desc *desc)
{
    return desc->shape[2] * desc->shape[3] * desc->shape[4];
}

const sn_op_info *sn_op_describe(sn_op_kind kind)
{
    assert(kind >= 0 && kind < SN_OP_KINDS);
    return &op_infos[kind];
}

bool sn_op_concat_place(size_t *offset, const sn_op *op, int input)
{
    *offset = 0;
    for (int i = 0; i < input; i++)
        *offset += sn_tensor_bytes(&op->inputs[i].desc);
    const sn_tensor_desc *x = &op->inputs[input].desc;
    return x->shape[0] == 1 && x->dtype != SN_BF16 && *offset % SN_ALIGNMENT == 0;
}

bool sn_op_window_place(size_t *offset, const sn_op *op)
{
    const int64_t *in = op->inputs[0].desc.shape, *out = op->outputs[0].desc.shape;
    const int64_t *from = op->params.window.offset;
    const sn_dtype dtype = op->inputs[0].desc.dtype;
    bool whole = in[0] == 1 && dtype != SN_BF16 && from[0] >= 0 && from[0] + out[1] <= in[1];
    for (int d = 1; d < 4; d++)
        whole = whole && from[d] == 0 && out[d + 1] == in[d + 1];
    size_t channel = sn_dtype_size(dtype) * (size_t)sn_tensor_voxels(&op->inputs[0].desc);
    *offset = whole ? channel * (size_t)from[0] : 0;
    return whole && *offset % SN_ALIGNMENT == 0;
}

static bool any_is_bf16(const sn_operand *operands, int count)
{
    bool found = false;
    for (int i = 0; i < count; i++)
        found = found || operands[i].desc.dtype == SN_BF16;
    return found;
}

sn_dtype sn_op_real(const sn_op *op)
{
    return op->kind == SN_OP_NADAM ? op->outputs[0].desc.dtype : op->inputs[0].desc.dtype;
}

const char *sn_op_beside_f32(const sn_op *op)
{
    if (any_is_bf16(op->inputs, op->input_count) || any_is_bf16(op->outputs, op->output_count))
        return "bf16";
    return sn_op_real(op) == SN_F64 ? "f64" : NULL;
}

const sn_operand *sn_op_weights(const sn_op *op)
{
    if (op->kind == SN_OP_CONV3D || op->kind == SN_OP_CONV3D_BACKWARD_DATA)
        return &op->inputs[1];
    return op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS ? &op->outputs[0] : NULL;
}

int64_t sn_op_multiply_adds(const sn_op *op)
{
    const sn_operand *weights = sn_op_weights(op);
    if (weights == NULL)
        return 0;
    /* The output of the forward convolution. */
    const sn_operand *y = op->kind == SN_OP_CONV3D                 ? &op->outputs[0]
                          : op->kind == SN_OP_CONV3D_BACKWARD_DATA ? &op->inputs[0]
                                                                   : &op->inputs[1];
    return sn_tensor_count(&weights->desc) * y->desc.shape[0] * sn_tensor_voxels(&y->desc);
}

static uint64_t read_little_endian(const uint8_t bytes[8])
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

double sn_op_dropout_scale(const uint8_t key[16], uint32_t stream, int64_t channel, double rate)
{
    assert(stream < BIT(24));
    /* The low byte says what the numbers are for, the rest which dropout; each channel has its own block. */
    sn_random random = sn_random_begin(read_little_endian(key), SN_RANDOM_DROPOUT | stream << 8,
                                       read_little_endian(key + 8));
    random.counter[0] = (uint32_t)channel;
    return sn_random_uniform(&random) < rate ? 0 : 1 / (1 - rate);
}
