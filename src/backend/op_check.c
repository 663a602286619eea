/* Whether operands fit an operation: one function for each family of operations in op.h. */
#include <stdio.h>
#include <string.h>

#include "backend/op.h"

enum { SHAPE_TEXT = 128 };

#define SHAPE(...) ((const int64_t[SN_DIMS]){__VA_ARGS__})
#define VECTOR(channels) SHAPE(1, channels, 1, 1, 1)

static const char *const axis_names[3] = {"D", "H", "W"};

static const char *dtype_name(sn_dtype dtype)
{
    switch (dtype) {
    case SN_F64:
        return "f64";
    case SN_F32:
        return "f32";
    case SN_BF16:
        return "bf16";
    case SN_U8:
        return "u8";
    }
    return "unknown type";
}

/* "f32 (1,16,32,32,32)" */
static const char *shape_text(char text[SHAPE_TEXT], sn_dtype dtype, const int64_t shape[SN_DIMS])
{
    snprintf(text, SHAPE_TEXT, "%s (%lld,%lld,%lld,%lld,%lld)", dtype_name(dtype), (long long)shape[0],
             (long long)shape[1], (long long)shape[2], (long long)shape[3], (long long)shape[4]);
    return text;
}

static const char *op_name(const sn_op *op)
{
    return sn_op_describe(op->kind)->name;
}

static bool is_real(sn_dtype dtype)
{
    return dtype == SN_F64 || dtype == SN_F32 || dtype == SN_BF16;
}

static sn_status expect(const sn_op *op, const char *name, const sn_operand *operand, sn_dtype dtype,
                        const int64_t shape[SN_DIMS], sn_error *error)
{
    const sn_tensor_desc *desc = &operand->desc;
    if (desc->dtype == dtype && memcmp(desc->shape, shape, sizeof desc->shape) == 0)
        return SN_OK;
    char is[SHAPE_TEXT], wanted[SHAPE_TEXT];
    return sn_error_set(error, SN_ERR_ARG, "%s: %s is %s, expected %s", op_name(op), name,
                        shape_text(is, desc->dtype, desc->shape), shape_text(wanted, dtype, shape));
}

static sn_status expect_input(const sn_op *op, int input, const char *name, sn_dtype dtype,
                              const int64_t shape[SN_DIMS], sn_error *error)
{
    return expect(op, name, &op->inputs[input], dtype, shape, error);
}

static sn_status expect_output(const sn_op *op, int output, const char *name, sn_dtype dtype,
                               const int64_t shape[SN_DIMS], sn_error *error)
{
    return expect(op, name, &op->outputs[output], dtype, shape, error);
}

/* The first input decides what "real" is. */
static sn_status expect_real(const sn_op *op, const char *name, sn_error *error)
{
    sn_dtype dtype = op->inputs[0].desc.dtype;
    if (is_real(dtype))
        return SN_OK;
    return sn_error_set(error, SN_ERR_ARG, "%s: %s is %s, expected f64, f32 or bf16", op_name(op), name,
                        dtype_name(dtype));
}

/* Of operations that are without bf16. */
static sn_status expect_wide(const sn_op *op, const char *name, sn_dtype dtype, sn_error *error)
{
    if (dtype == SN_F64 || dtype == SN_F32)
        return SN_OK;
    return sn_error_set(error, SN_ERR_ARG, "%s: %s is %s, expected f64 or f32", op_name(op), name,
                        dtype_name(dtype));
}

/* A condition on a parameter, with the value that broke it. */
static sn_status expect_parameter(const sn_op *op, bool holds, const char *name, double value,
                                  const char *condition, sn_error *error)
{
    if (holds)
        return SN_OK;
    return sn_error_set(error, SN_ERR_ARG, "%s: %s is %g, must be %s", op_name(op), name, value, condition);
}

static sn_status check_tensor(const sn_op *op, const char *role, int index, const sn_operand *operand,
                              sn_error *error)
{
    char text[SHAPE_TEXT];
    const sn_tensor_desc *desc = &operand->desc;
    int64_t bytes = 2 * (int64_t)sizeof(double); /* of a value, or of one channel that is stored as several */
    for (int i = 0; i < SN_DIMS; i++)
        if (desc->shape[i] < 1 || __builtin_mul_overflow(bytes, desc->shape[i], &bytes))
            return sn_error_set(error, SN_ERR_ARG,
                                "%s: %s %d is %s: each extent is at least 1, and all fit memory", op_name(op),
                                role, index, shape_text(text, desc->dtype, desc->shape));
    return SN_OK;
}

static sn_status check_counts(const sn_op *op, sn_error *error)
{
    const sn_op_info *info = sn_op_describe(op->kind);
    if (op->input_count < info->min_inputs || op->input_count > info->max_inputs)
        return sn_error_set(error, SN_ERR_ARG, "%s: has %d inputs, takes %d to %d", info->name,
                            op->input_count, info->min_inputs, info->max_inputs);
    if (op->output_count != info->outputs)
        return sn_error_set(error, SN_ERR_ARG, "%s: has %d outputs, gives %d", info->name, op->output_count,
                            info->outputs);
    sn_status status = SN_OK;
    for (int i = 0; i < op->input_count; i++)
        SN_TRY(check_tensor(op, "input", i, &op->inputs[i], error));
    for (int o = 0; o < op->output_count; o++)
        SN_TRY(check_tensor(op, "output", o, &op->outputs[o], error));
done:
    return status;
}

static sn_status check_conv3d_params(const sn_op *op, sn_error *error)
{
    sn_status status;
    const sn_conv3d_params *p = &op->params.conv3d;
    SN_TRY(expect_parameter(op, p->kernel >= 1, "kernel", p->kernel, "at least 1", error));
    SN_TRY(expect_parameter(op, p->dilation >= 1, "dilation", p->dilation, "at least 1", error));
    SN_TRY(expect_parameter(op, p->stride >= 1, "stride", p->stride, "at least 1", error));
    SN_TRY(expect_parameter(op, p->pad >= 0, "pad", p->pad, "at least 0", error));
done:
    return status;
}

/* x and y are those of the forward convolution, whatever their part in this operation. */
static sn_status check_conv3d(const sn_op *op, const sn_operand *x, const sn_operand *w, const sn_operand *y,
                              sn_error *error)
{
    sn_status status;
    const sn_conv3d_params *p = &op->params.conv3d;
    const int64_t *in = x->desc.shape, *weights = w->desc.shape, *out = y->desc.shape;
    sn_dtype real = op->inputs[0].desc.dtype, w_type = sn_dtype_of_channels(real);
    SN_TRY(expect_real(op, "input 0", error));
    SN_TRY(check_conv3d_params(op, error));
    if (weights[1] != in[1])
        return sn_error_set(error, SN_ERR_ARG, "%s: weights expect %lld channels, input has %lld",
                            op_name(op), (long long)weights[1], (long long)in[1]);
    if (weights[0] != out[1])
        return sn_error_set(error, SN_ERR_ARG, "%s: weights give %lld channels, output has %lld", op_name(op),
                            (long long)weights[0], (long long)out[1]);
    int64_t expected[SN_DIMS] = {in[0], weights[0]};
    for (int i = 0; i < 3; i++) {
        int64_t room = in[2 + i] + 2 * (int64_t)p->pad - (int64_t)p->dilation * (p->kernel - 1) - 1;
        if (room < 0)
            return sn_error_set(error, SN_ERR_ARG,
                                "%s: %s = %lld is too small for kernel %d, dilation %d, pad %d", op_name(op),
                                axis_names[i], (long long)in[2 + i], p->kernel, p->dilation, p->pad);
        expected[2 + i] = room / p->stride + 1;
    }
    SN_TRY(expect(op, "x", x, real, in, error));
    SN_TRY(expect(op, "w", w, w_type, SHAPE(weights[0], weights[1], p->kernel, p->kernel, p->kernel), error));
    SN_TRY(expect(op, "y", y, real, expected, error));
done:
    return status;
}

static sn_status check_bias(const sn_op *op, sn_error *error)
{
    sn_status status;
    const int64_t *x = op->inputs[0].desc.shape;
    sn_dtype real = op->inputs[0].desc.dtype;
    SN_TRY(expect_real(op, "input 0", error));
    if (op->kind == SN_OP_BIAS) {
        SN_TRY(expect_input(op, 1, "b", sn_dtype_of_channels(real), VECTOR(x[1]), error));
        SN_TRY(expect_output(op, 0, "y", real, x, error));
    } else {
        SN_TRY(expect_output(op, 0, "db", sn_dtype_of_channels(real), VECTOR(x[1]), error));
    }
done:
    return status;
}

static sn_status check_batchnorm(const sn_op *op, sn_error *error)
{
    sn_status status;
    const int64_t *x = op->inputs[0].desc.shape;
    const int64_t *each = SHAPE(x[0], x[1], 1, 1, 1); /* statistics of every image */
    sn_dtype real = op->inputs[0].desc.dtype, own = sn_dtype_of_channels(real);
    double epsilon = op->params.batchnorm.epsilon;
    SN_TRY(expect_real(op, "x", error));
    SN_TRY(expect_parameter(op, epsilon > 0, "epsilon", epsilon, "greater than 0", error));
    SN_TRY(expect_input(op, 1, "gamma", own, VECTOR(x[1]), error));
    SN_TRY(expect_input(op, 2, "beta", own, VECTOR(x[1]), error));
    SN_TRY(expect_output(op, 0, op->kind == SN_OP_BATCHNORM_BACKWARD ? "dx" : "y", real, x, error));
    if (op->kind == SN_OP_BATCHNORM) {
        SN_TRY(expect_output(op, 1, "m", own, each, error));
        SN_TRY(expect_output(op, 2, "v", own, each, error));
    } else if (op->kind == SN_OP_BATCHNORM_BACKWARD) {
        SN_TRY(expect_input(op, 3, "m", own, each, error));
        SN_TRY(expect_input(op, 4, "v", own, each, error));
        SN_TRY(expect_input(op, 5, "dy", real, x, error));
        SN_TRY(expect_output(op, 1, "dgamma", own, VECTOR(x[1]), error));
        SN_TRY(expect_output(op, 2, "dbeta", own, VECTOR(x[1]), error));
    } else {
        const int64_t *given = op->inputs[3].desc.shape[0] == 1 ? VECTOR(x[1]) : each;
        SN_TRY(expect_input(op, 3, "m", own, given, error));
        SN_TRY(expect_input(op, 4, "v", own, given, error));
    }
done:
    return status;
}

static sn_status check_batchnorm_running(const sn_op *op, sn_error *error)
{
    sn_status status;
    const int64_t *m = op->inputs[0].desc.shape;
    sn_dtype real = op->inputs[0].desc.dtype;
    double momentum = op->params.batchnorm.momentum, voxels = (double)op->params.batchnorm.voxels;
    SN_TRY(expect_wide(op, "m", real, error));
    SN_TRY(expect_parameter(op, momentum >= 0 && momentum <= 1, "momentum", momentum, "in [0, 1]", error));
    SN_TRY(expect_parameter(op, voxels >= 1, "voxels", voxels, "at least 1", error));
    SN_TRY(expect_input(op, 0, "m", real, SHAPE(m[0], m[1], 1, 1, 1), error));
    SN_TRY(expect_input(op, 1, "v", real, SHAPE(m[0], m[1], 1, 1, 1), error));
    SN_TRY(expect_output(op, 0, "running mean", real, VECTOR(m[1]), error));
    SN_TRY(expect_output(op, 1, "running variance", real, VECTOR(m[1]), error));
done:
    return status;
}

static sn_status check_prelu(const sn_op *op, sn_error *error)
{
    sn_status status;
    const int64_t *x = op->inputs[0].desc.shape;
    sn_dtype real = op->inputs[0].desc.dtype;
    SN_TRY(expect_real(op, "x", error));
    SN_TRY(expect_input(op, 1, "a", sn_dtype_of_channels(real), VECTOR(x[1]), error));
    if (op->kind == SN_OP_PRELU) {
        SN_TRY(expect_output(op, 0, "y", real, x, error));
    } else {
        SN_TRY(expect_input(op, 2, "dy", real, x, error));
        SN_TRY(expect_output(op, 0, "dx", real, x, error));
        SN_TRY(expect_output(op, 1, "da", sn_dtype_of_channels(real), VECTOR(x[1]), error));
    }
done:
    return status;
}

static sn_status check_sum(const sn_op *op, sn_error *error)
{
    sn_status status;
    const sn_tensor_desc *first = &op->inputs[0].desc;
    SN_TRY(expect_real(op, "input 0", error));
    for (int i = 1; i < op->input_count; i++)
        SN_TRY(expect_input(op, i, "an input", first->dtype, first->shape, error));
    SN_TRY(expect_output(op, 0, "y", first->dtype, first->shape, error));
done:
    return status;
}

static sn_status check_maxpool(const sn_op *op, const sn_operand *x, const sn_operand *y,
                               const sn_operand *index, sn_error *error)
{
    sn_status status;
    const int64_t *in = x->desc.shape;
    sn_dtype real = op->inputs[0].desc.dtype;
    const int64_t *out = SHAPE(in[0], in[1], in[2] / 2, in[3] / 2, in[4] / 2);
    SN_TRY(expect_real(op, "input 0", error));
    for (int i = 0; i < 3; i++)
        SN_TRY(expect_parameter(op, in[2 + i] % 2 == 0, axis_names[i], (double)in[2 + i], "even", error));
    SN_TRY(expect(op, "x", x, real, in, error));
    SN_TRY(expect(op, "y", y, real, out, error));
    SN_TRY(expect(op, "index", index, real == SN_BF16 ? SN_BF16 : SN_U8, out, error));
done:
    return status;
}

static sn_status check_upsample(const sn_op *op, const sn_operand *x, const sn_operand *y, sn_error *error)
{
    sn_status status;
    const int64_t *in = x->desc.shape;
    int64_t factor = op->params.upsample.factor;
    sn_dtype real = op->inputs[0].desc.dtype;
    SN_TRY(expect_real(op, "input 0", error));
    SN_TRY(expect_parameter(op, factor >= 1, "factor", (double)factor, "at least 1", error));
    SN_TRY(expect(op, "x", x, real, in, error));
    SN_TRY(
        expect(op, "y", y, real, SHAPE(in[0], in[1], in[2] * factor, in[3] * factor, in[4] * factor), error));
done:
    return status;
}

static sn_status check_concat(const sn_op *op, sn_error *error)
{
    sn_status status;
    const int64_t *first = op->inputs[0].desc.shape;
    sn_dtype real = op->inputs[0].desc.dtype;
    int64_t channels = 0;
    SN_TRY(expect_real(op, "input 0", error));
    for (int i = 0; i < op->input_count; i++) {
        int64_t own = op->inputs[i].desc.shape[1];
        SN_TRY(
            expect_input(op, i, "an input", real, SHAPE(first[0], own, first[2], first[3], first[4]), error));
        channels += own;
    }
    SN_TRY(expect_output(op, 0, "y", real, SHAPE(first[0], channels, first[2], first[3], first[4]), error));
done:
    return status;
}

static sn_status check_window(const sn_op *op, sn_error *error)
{
    sn_status status = SN_OK;
    const sn_tensor_desc *x = &op->inputs[0].desc;
    const int64_t *y = op->outputs[0].desc.shape;
    if (x->dtype != SN_U8)
        SN_TRY(expect_real(op, "x", error));
    SN_TRY(expect_output(op, 0, "y", x->dtype, SHAPE(x->shape[0], y[1], y[2], y[3], y[4]), error));
done:
    return status;
}

static sn_status check_channel_dropout(const sn_op *op, sn_error *error)
{
    sn_status status;
    const sn_tensor_desc *x = &op->inputs[0].desc;
    double rate = op->params.dropout.rate;
    uint32_t stream = op->params.dropout.stream;
    SN_TRY(expect_real(op, "x", error));
    SN_TRY(expect_parameter(op, rate >= 0 && rate < 1, "rate", rate, "in [0, 1)", error));
    SN_TRY(expect_parameter(op, stream < 1u << 24, "stream", stream, "less than 2^24", error));
    SN_TRY(expect_input(op, 1, "key", SN_U8, SHAPE(1, 1, 1, 1, 16), error));
    SN_TRY(expect_output(op, 0, "y", x->dtype, x->shape, error));
done:
    return status;
}

static sn_status check_affine_warp(const sn_op *op, sn_error *error)
{
    sn_status status = SN_OK;
    const sn_tensor_desc *x = &op->inputs[0].desc;
    if (x->dtype != SN_U8 || !op->params.warp.nearest)
        SN_TRY(expect_wide(op, op->params.warp.nearest ? "x" : "x of a linear warp", x->dtype, error));
    SN_TRY(expect_input(op, 1, "M", SN_F64, SHAPE(1, 1, 1, 3, 4), error));
    SN_TRY(expect_output(op, 0, "y", x->dtype, x->shape, error));
done:
    return status;
}

static sn_status check_to_bf16(const sn_op *op, sn_error *error)
{
    sn_status status;
    const sn_tensor_desc *x = &op->inputs[0].desc;
    SN_TRY(expect_wide(op, "x", x->dtype, error));
    SN_TRY(expect_output(op, 0, "y", SN_BF16, x->shape, error));
done:
    return status;
}

static sn_status check_loss_params(const sn_op *op, sn_error *error)
{
    sn_status status = SN_OK;
    double smooth = op->params.loss.smooth;
    double dice_gamma = op->params.loss.dice_gamma, ce_gamma = op->params.loss.ce_gamma;
    SN_TRY(expect_parameter(op, smooth > 0, "smooth", smooth, "greater than 0", error));
    if (op->params.loss.kind == SN_LOSS_EXPLOG) {
        SN_TRY(expect_parameter(op, dice_gamma > 0, "dice_gamma", dice_gamma, "greater than 0", error));
        SN_TRY(expect_parameter(op, ce_gamma > 0, "ce_gamma", ce_gamma, "greater than 0", error));
    }
done:
    return status;
}

/* Softmax, loss, overlap, argmax: scores first, then labels. */
static sn_status check_scores(const sn_op *op, sn_error *error)
{
    sn_status status;
    const int64_t *scores = op->inputs[0].desc.shape;
    const int64_t *labels = SHAPE(scores[0], 1, scores[2], scores[3], scores[4]);
    sn_dtype real = op->inputs[0].desc.dtype;
    SN_TRY(expect_real(op, "scores", error));
    if (op->kind == SN_OP_SOFTMAX) {
        SN_TRY(expect_output(op, 0, "probabilities", sn_dtype_of_channels(real), scores, error));
        return SN_OK;
    }
    SN_TRY(
        expect_parameter(op, scores[1] <= 256, "C", (double)scores[1], "at most 256: labels are u8", error));
    if (op->kind == SN_OP_ARGMAX) {
        SN_TRY(expect_output(op, 0, "labels", SN_U8, labels, error));
        return SN_OK;
    }
    SN_TRY(expect_input(op, 1, "labels", SN_U8, labels, error));
    if (op->kind == SN_OP_OVERLAP) {
        SN_TRY(expect_output(op, 0, "counts", SN_F64, SHAPE(scores[0], scores[1], 1, 1, 3), error));
        return SN_OK;
    }
    SN_TRY(check_loss_params(op, error));
    SN_TRY(expect_input(op, 2, "weights", sn_dtype_of_channels(real), VECTOR(scores[1]), error));
    SN_TRY(expect_output(op, 0, "loss", SN_F64, SHAPE(1, 1, 1, 1, 1), error));
    SN_TRY(expect_output(op, 1, "dscores", real, scores, error));
done:
    return status;
}

static sn_status check_nadam(const sn_op *op, sn_error *error)
{
    static const char *const names[4] = {"p", "grad", "m", "v"};
    sn_status status;
    const sn_tensor_desc *p = &op->outputs[0].desc;
    SN_TRY(expect_input(op, 0, "t", SN_F64, SHAPE(1, 1, 1, 1, 4), error));
    SN_TRY(expect_wide(op, "p", p->dtype, error));
    for (int o = 1; o < 4; o++)
        SN_TRY(expect_output(op, o, names[o], p->dtype, p->shape, error));
done:
    return status;
}

static sn_status check_average(const sn_op *op, sn_error *error)
{
    sn_status status;
    const sn_tensor_desc *x = &op->inputs[0].desc;
    SN_TRY(expect_wide(op, "x", x->dtype, error));
    SN_TRY(expect_input(op, 1, "t", SN_F64, SHAPE(1, 1, 1, 1, 1), error));
    SN_TRY(expect_output(op, 0, "a", x->dtype, x->shape, error));
done:
    return status;
}

sn_status sn_op_check(const sn_op *op, sn_error *error)
{
    if (op->kind < 0 || op->kind >= SN_OP_KINDS)
        return sn_error_set(error, SN_ERR_ARG, "operation: kind %d does not exist", (int)op->kind);
    sn_status status = check_counts(op, error);
    if (status != SN_OK)
        return status;

    const sn_operand *in = op->inputs, *out = op->outputs;
    switch (op->kind) {
    case SN_OP_CONV3D:
        return check_conv3d(op, &in[0], &in[1], &out[0], error);
    case SN_OP_CONV3D_BACKWARD_DATA:
        return check_conv3d(op, &out[0], &in[1], &in[0], error);
    case SN_OP_CONV3D_BACKWARD_WEIGHTS:
        return check_conv3d(op, &in[0], &out[0], &in[1], error);
    case SN_OP_BIAS:
    case SN_OP_BIAS_BACKWARD:
        return check_bias(op, error);
    case SN_OP_BATCHNORM:
    case SN_OP_BATCHNORM_APPLY:
    case SN_OP_BATCHNORM_BACKWARD:
        return check_batchnorm(op, error);
    case SN_OP_BATCHNORM_RUNNING:
        return check_batchnorm_running(op, error);
    case SN_OP_PRELU:
    case SN_OP_PRELU_BACKWARD:
        return check_prelu(op, error);
    case SN_OP_SUM:
        return check_sum(op, error);
    case SN_OP_MAXPOOL:
        return check_maxpool(op, &in[0], &out[0], &out[1], error);
    case SN_OP_MAXPOOL_BACKWARD:
        return check_maxpool(op, &out[0], &in[0], &in[1], error);
    case SN_OP_UPSAMPLE:
        return check_upsample(op, &in[0], &out[0], error);
    case SN_OP_UPSAMPLE_BACKWARD:
        return check_upsample(op, &out[0], &in[0], error);
    case SN_OP_CONCAT:
        return check_concat(op, error);
    case SN_OP_WINDOW:
        return check_window(op, error);
    case SN_OP_CHANNEL_DROPOUT:
        return check_channel_dropout(op, error);
    case SN_OP_AFFINE_WARP:
        return check_affine_warp(op, error);
    case SN_OP_TO_BF16:
        return check_to_bf16(op, error);
    case SN_OP_SOFTMAX:
    case SN_OP_LOSS:
    case SN_OP_OVERLAP:
    case SN_OP_ARGMAX:
        return check_scores(op, error);
    case SN_OP_NADAM:
        return check_nadam(op, error);
    case SN_OP_AVERAGE:
        return check_average(op, error);
    case SN_OP_KINDS:
        break;
    }
    return SN_ERR_ARG;
}
