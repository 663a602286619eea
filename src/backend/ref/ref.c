/* The reference backend: host memory, one thread, every operand of an operation copied to double in the
 * workspace, the operation computed there, the outputs copied back. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/bf16.h"
#include "backend/ref/ref_ops.h"
#include "base/memory.h"

struct sn_device {
    sn_device_options options; /* one thread runs, however many are allowed */
};

struct sn_buffer {
    unsigned char *data;
    size_t bytes;
};

struct sn_program {
    sn_op *ops;
    int op_count;
    sn_buffer **buffers;
};

static const sn_ref_kernel kernels[SN_OP_KINDS] = {
    [SN_OP_CONV3D] = sn_ref_conv3d,
    [SN_OP_CONV3D_BACKWARD_DATA] = sn_ref_conv3d_backward_data,
    [SN_OP_CONV3D_BACKWARD_WEIGHTS] = sn_ref_conv3d_backward_weights,
    [SN_OP_BIAS] = sn_ref_bias,
    [SN_OP_BIAS_BACKWARD] = sn_ref_bias_backward,
    [SN_OP_BATCHNORM] = sn_ref_batchnorm,
    [SN_OP_BATCHNORM_APPLY] = sn_ref_batchnorm_apply,
    [SN_OP_BATCHNORM_BACKWARD] = sn_ref_batchnorm_backward,
    [SN_OP_BATCHNORM_RUNNING] = sn_ref_batchnorm_running,
    [SN_OP_PRELU] = sn_ref_prelu,
    [SN_OP_PRELU_BACKWARD] = sn_ref_prelu_backward,
    [SN_OP_SUM] = sn_ref_sum,
    [SN_OP_MAXPOOL] = sn_ref_maxpool,
    [SN_OP_MAXPOOL_BACKWARD] = sn_ref_maxpool_backward,
    [SN_OP_UPSAMPLE] = sn_ref_upsample,
    [SN_OP_UPSAMPLE_BACKWARD] = sn_ref_upsample_backward,
    [SN_OP_CONCAT] = sn_ref_concat,
    [SN_OP_WINDOW] = sn_ref_window,
    [SN_OP_CHANNEL_DROPOUT] = sn_ref_channel_dropout,
    [SN_OP_AFFINE_WARP] = sn_ref_affine_warp,
    [SN_OP_TO_BF16] = sn_ref_to_bf16,
    [SN_OP_SOFTMAX] = sn_ref_softmax,
    [SN_OP_LOSS] = sn_ref_loss,
    [SN_OP_OVERLAP] = sn_ref_overlap,
    [SN_OP_ARGMAX] = sn_ref_argmax,
    [SN_OP_NADAM] = sn_ref_nadam,
    [SN_OP_AVERAGE] = sn_ref_average,
};

static sn_status ref_open(sn_device **device, const sn_device_options *options, sn_error *error)
{
    sn_status status = sn_alloc(device, 1, sizeof **device, error);
    if (status == SN_OK)
        (*device)->options = *options;
    return status;
}

static void ref_close(sn_device *device)
{
    sn_free(device);
}

static void ref_free(sn_device *device, sn_buffer *buffer)
{
    (void)device;
    if (buffer != NULL)
        sn_free(buffer->data);
    sn_free(buffer);
}

static const char *ref_kernels(const sn_device *device)
{
    (void)device;
    return "double";
}

static sn_status ref_alloc(sn_device *device, sn_buffer **out, size_t bytes, sn_error *error)
{
    sn_status status;
    sn_buffer *buffer = NULL;
    *out = NULL;
    SN_TRY(sn_alloc(&buffer, 1, sizeof *buffer, error));
    SN_TRY(sn_alloc(&buffer->data, bytes, 1, error));
    buffer->bytes = bytes;
    *out = buffer;
    buffer = NULL; /* now the caller's */
done:
    ref_free(device, buffer);
    return status;
}

static void ref_upload(sn_device *device, sn_buffer *buffer, size_t offset, const void *data, size_t bytes)
{
    (void)device;
    assert(offset + bytes <= buffer->bytes);
    memcpy(buffer->data + offset, data, bytes);
}

static void ref_download(sn_device *device, const sn_buffer *buffer, size_t offset, void *data, size_t bytes)
{
    (void)device;
    assert(offset + bytes <= buffer->bytes);
    memcpy(data, buffer->data + offset, bytes);
}

static sn_status ref_synchronise(sn_device *device, sn_error *error)
{
    (void)device, (void)error;
    return SN_OK; /* operations have finished when they return */
}

static bool ref_supports(sn_device *device, const sn_op *op, char reason[SN_REASON_TEXT])
{
    (void)device;
    sn_error error = SN_ERROR_INIT;
    if (sn_op_check(op, &error) == SN_OK)
        return true;
    snprintf(reason, SN_REASON_TEXT, "%.*s", SN_REASON_TEXT - 1, error.text);
    return false;
}

/* Every operand in double. */
static size_t ref_workspace(sn_device *device, const sn_op *op)
{
    (void)device;
    int64_t count = 0;
    for (int i = 0; i < op->input_count; i++)
        count += sn_tensor_count(&op->inputs[i].desc);
    for (int o = 0; o < op->output_count; o++)
        count += sn_tensor_count(&op->outputs[o].desc);
    return (size_t)count * sizeof(double);
}

static void ref_program_free(sn_device *device, sn_program *program)
{
    (void)device;
    if (program != NULL) {
        sn_free(program->ops);
        sn_free(program->buffers);
    }
    sn_free(program);
}

static sn_status ref_program_create(sn_device *device, sn_program **out, const sn_op *ops, int op_count,
                                    sn_buffer *const *buffers, int buffer_count, sn_error *error)
{
    sn_status status;
    sn_program *program = NULL;
    *out = NULL;
    for (int i = 0; i < op_count; i++)
        SN_TRY(sn_op_check(&ops[i], error));
    SN_TRY(sn_alloc(&program, 1, sizeof *program, error));
    SN_TRY(sn_alloc(&program->ops, (size_t)op_count, sizeof *program->ops, error));
    SN_TRY(sn_alloc(&program->buffers, (size_t)buffer_count, sizeof *program->buffers, error));
    memcpy(program->ops, ops, (size_t)op_count * sizeof *ops);
    memcpy(program->buffers, buffers, (size_t)buffer_count * sizeof *buffers);
    program->op_count = op_count;
    *out = program;
    program = NULL; /* now the caller's */
done:
    ref_program_free(device, program);
    return status;
}

/* Where an operand's values lie. */
static unsigned char *operand_data(const sn_program *program, const sn_operand *operand)
{
    const sn_buffer *buffer = program->buffers[operand->buffer];
    assert(operand->offset + sn_tensor_bytes(&operand->desc) <= buffer->bytes);
    return buffer->data + operand->offset;
}

static void load(double *values, const sn_tensor_desc *desc, const void *data)
{
    int64_t count = sn_tensor_count(desc);
    if (desc->dtype == SN_F64)
        memcpy(values, data, (size_t)count * sizeof *values);
    else if (desc->dtype == SN_F32)
        for (int64_t i = 0; i < count; i++)
            values[i] = ((const float *)data)[i];
    else if (desc->dtype == SN_BF16)
        for (int64_t i = 0; i < count; i++)
            values[i] = sn_bf16_to_float(((const uint16_t *)data)[sn_bf16_place(desc, i)]);
    else
        for (int64_t i = 0; i < count; i++)
            values[i] = ((const uint8_t *)data)[i];
}

static void store_bf16(uint16_t *data, const sn_tensor_desc *desc, const double *values)
{
    memset(data, 0, sn_tensor_bytes(desc));
    for (int64_t i = 0; i < sn_tensor_count(desc); i++)
        data[sn_bf16_place(desc, i)] = sn_bf16_round((float)values[i]);
}

/* Add what is rounded to the type. */
static void add(void *data, const sn_tensor_desc *desc, const double *values)
{
    int64_t count = sn_tensor_count(desc);
    for (int64_t i = 0; i < count; i++)
        if (desc->dtype == SN_F64)
            ((double *)data)[i] += values[i];
        else
            ((float *)data)[i] += (float)values[i];
}

static void store(void *data, const sn_tensor_desc *desc, const double *values)
{
    int64_t count = sn_tensor_count(desc);
    if (desc->dtype == SN_F64)
        memcpy(data, values, (size_t)count * sizeof *values);
    else if (desc->dtype == SN_F32)
        for (int64_t i = 0; i < count; i++)
            ((float *)data)[i] = (float)values[i];
    else if (desc->dtype == SN_BF16)
        store_bf16(data, desc, values);
    else
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)data)[i] = (uint8_t)values[i];
}

static void run_op(const sn_program *program, const sn_op *op)
{
    const sn_op_info *info = sn_op_describe(op->kind);
    double *in[SN_OP_MAX_INPUTS], *out[SN_OP_MAX_OUTPUTS];
    const sn_buffer *buffer = program->buffers[op->workspace.buffer];
    assert(op->workspace.offset + ref_workspace(NULL, op) <= buffer->bytes);
    double *values = (double *)(buffer->data + op->workspace.offset);
    for (int i = 0; i < op->input_count; i++) {
        in[i] = values;
        load(in[i], &op->inputs[i].desc, operand_data(program, &op->inputs[i]));
        values += sn_tensor_count(&op->inputs[i].desc);
    }
    for (int o = 0; o < op->output_count; o++) {
        int64_t count = sn_tensor_count(&op->outputs[o].desc);
        out[o] = values;
        if (info->added_outputs >> o & 1)
            memset(out[o], 0, (size_t)count * sizeof *out[o]);
        else if (info->updated_outputs >> o & 1)
            load(out[o], &op->outputs[o].desc, operand_data(program, &op->outputs[o]));
        values += count;
    }
    kernels[op->kind](op, in, out);
    for (int o = 0; o < op->output_count; o++) {
        void *data = operand_data(program, &op->outputs[o]);
        if (info->added_outputs >> o & 1)
            add(data, &op->outputs[o].desc, out[o]);
        else
            store(data, &op->outputs[o].desc, out[o]);
    }
}

static sn_status ref_program_run(sn_device *device, sn_program *program, sn_error *error)
{
    (void)device;
    (void)error;
    for (int i = 0; i < program->op_count; i++)
        run_op(program, &program->ops[i]);
    return SN_OK;
}

const sn_backend sn_backend_ref = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .kernels = ref_kernels,
    .alloc = ref_alloc,
    .free = ref_free,
    .upload = ref_upload,
    .download = ref_download,
    .synchronise = ref_synchronise,
    .supports = ref_supports,
    .workspace = ref_workspace,
    .program_create = ref_program_create,
    .program_free = ref_program_free,
    .program_run = ref_program_run,
};
