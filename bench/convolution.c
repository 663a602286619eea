#include "bench/convolution.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "bench/pattern.h"

const sn_op_kind bench_kinds[BENCH_KINDS] = {SN_OP_CONV3D, SN_OP_CONV3D_BACKWARD_DATA,
                                             SN_OP_CONV3D_BACKWARD_WEIGHTS};

sn_op bench_convolution_op(sn_op_kind kind, const bench_shape *shape)
{
    int k = shape->kernel, pad = shape->stride == 1 ? shape->dilation * (k - 1) / 2 : 0;
    const int64_t *e = shape->extent;
    sn_tensor_desc x = {SN_F32, {1, shape->in_channels, e[0], e[1], e[2]}}, y = x;
    sn_tensor_desc w = {SN_F32, {shape->out_channels, shape->in_channels, k, k, k}};
    y.shape[1] = shape->out_channels;
    for (int i = 2; i < SN_DIMS; i++)
        y.shape[i] = (x.shape[i] + 2 * pad - shape->dilation * (k - 1) - 1) / shape->stride + 1;
    sn_op op = {.kind = kind, .input_count = 2, .output_count = 1};
    op.params.conv3d = (sn_conv3d_params){k, shape->dilation, shape->stride, pad};
    op.inputs[0].desc = kind == SN_OP_CONV3D_BACKWARD_DATA ? y : x;
    op.inputs[1].desc = kind == SN_OP_CONV3D_BACKWARD_WEIGHTS ? y : w;
    op.outputs[0].desc = kind == SN_OP_CONV3D ? y : kind == SN_OP_CONV3D_BACKWARD_DATA ? x : w;
    return op;
}

const sn_operand *bench_convolution_operand(const sn_op *op, int index)
{
    return index < op->input_count ? &op->inputs[index] : &op->outputs[0];
}

sn_status bench_convolution_values(float **values, const sn_op *op, int index, sn_error *error)
{
    int64_t count = sn_tensor_count(&bench_convolution_operand(op, index)->desc);
    sn_status status = sn_alloc(values, (size_t)count, sizeof **values, error);
    for (int64_t i = 0; status == SN_OK && i < count; i++)
        (*values)[i] = (float)bench_pattern(i + 1000003 * index);
    return status;
}

static sn_status upload_inputs(bench_convolution *self, sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0; status == SN_OK && i < self->op.input_count; i++) {
        float *values;
        const sn_operand *input = &self->op.inputs[i];
        status = bench_convolution_values(&values, &self->op, i, error);
        if (status == SN_OK)
            sn_tensor_upload(self->backend, self->device, self->buffer, input->offset, &input->desc,
                             input == sn_op_weights(&self->op), values);
        sn_free(values);
    }
    return status;
}

sn_status bench_convolution_open(bench_convolution *out, const sn_op *op, const sn_backend *backend,
                                 sn_device *device, sn_error *error)
{
    sn_status status;
    *out = (bench_convolution){.op = *op, .backend = backend, .device = device};
    sn_operand *operands[BENCH_OPERANDS] = {&out->op.inputs[0], &out->op.inputs[1], &out->op.outputs[0]};
    size_t bytes = 0;
    for (int i = 0; i < BENCH_OPERANDS; i++) {
        operands[i]->offset = bytes;
        bytes += (size_t)sn_round_up((int64_t)sn_tensor_bytes(&operands[i]->desc), SN_ALIGNMENT);
    }
    SN_TRY(sn_op_check(&out->op, error));
    out->op.workspace.offset = bytes;
    bytes += backend->workspace(device, &out->op);
    SN_TRY(backend->alloc(device, &out->buffer, bytes, error));
    SN_TRY(upload_inputs(out, error));
    SN_TRY(backend->program_create(device, &out->program, &out->op, 1, &out->buffer, 1, error));
done:
    return status;
}

void bench_convolution_close(bench_convolution *convolution)
{
    convolution->backend->program_free(convolution->device, convolution->program);
    convolution->backend->free(convolution->device, convolution->buffer);
}

sn_status bench_convolution_run(bench_convolution *convolution, double *seconds, sn_error *error)
{
    double start = sn_clock_now();
    sn_status status = convolution->backend->program_run(convolution->device, convolution->program, error);
    if (status == SN_OK)
        status = convolution->backend->synchronise(convolution->device, error);
    *seconds = sn_clock_now() - start;
    return status;
}

bool bench_wanted(const char *name, int count, char **words)
{
    for (int i = 0; i < count; i++)
        if (strstr(name, words[i]) == NULL)
            return false;
    return true;
}
