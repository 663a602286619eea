/*
 * A program is one CUDA graph: the kernels of all its operations, recorded when it is made, launched as one.
 * Consecutive updates of parameters (NADAM, AVERAGE) are joined: one kernel runs over all of them.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/conv.h"
#include "backend/cuda/device.h"
#include "base/memory.h"

struct sn_program {
    cudaGraphExec_t graph;
    sn_cuda_joined *joined; /* on the device */
};

/* What is needed while a program is made. */
typedef struct recording {
    sn_device *device;
    const sn_op *ops;
    int op_count;
    sn_buffer *const *buffers;
    sn_cuda_joined *joined; /* one an operation; only those of joined ones are used */
    sn_cuda_joined *table;  /* the same on the device */
    sn_cuda_conv **convs;   /* one an operation; NULL where it is no convolution */
} recording;

static void *operand_data(const recording *self, const sn_operand *operand)
{
    const sn_buffer *buffer = self->buffers[operand->buffer];
    assert(operand->offset % SN_ALIGNMENT == 0);
    assert(operand->offset + sn_tensor_bytes(&operand->desc) <= buffer->bytes);
    return buffer->data + operand->offset;
}

static void *workspace_data(const recording *self, const sn_op *op)
{
    const size_t bytes = sn_cuda_device_workspace(self->device, op);
    if (bytes == 0)
        return NULL;
    const sn_buffer *buffer = self->buffers[op->workspace.buffer];
    assert(op->workspace.offset % SN_ALIGNMENT == 0);
    assert(op->workspace.offset + bytes <= buffer->bytes);
    return buffer->data + op->workspace.offset;
}

/* ---- joining ---- */

static bool overlap(const sn_operand *a, const sn_operand *b)
{
    return a->buffer == b->buffer && a->offset < b->offset + sn_tensor_bytes(&b->desc) &&
           b->offset < a->offset + sn_tensor_bytes(&a->desc);
}

/* Whether two operations may run in any order: none changes what the other reads or changes. */
static bool are_independent(const sn_op *a, const sn_op *b)
{
    bool shared = false;
    for (int o = 0; o < a->output_count; o++) {
        for (int i = 0; i < b->input_count; i++)
            shared = shared || overlap(&a->outputs[o], &b->inputs[i]);
        for (int p = 0; p < b->output_count; p++)
            shared = shared || overlap(&a->outputs[o], &b->outputs[p]);
    }
    for (int o = 0; o < b->output_count; o++)
        for (int i = 0; i < a->input_count; i++)
            shared = shared || overlap(&b->outputs[o], &a->inputs[i]);
    return !shared;
}

static bool is_joined(const sn_op *op)
{
    return op->kind == SN_OP_NADAM || op->kind == SN_OP_AVERAGE;
}

/* What changes from step to step: t. */
static const sn_operand *scalars_of(const sn_op *op)
{
    return &op->inputs[op->kind == SN_OP_NADAM ? 0 : 1];
}

static bool are_alike(const sn_op *a, const sn_op *b)
{
    const sn_operand *t = scalars_of(a), *u = scalars_of(b);
    return a->kind == b->kind && t->buffer == u->buffer && t->offset == u->offset &&
           (a->kind == SN_OP_AVERAGE ||
            memcmp(&a->params.nadam, &b->params.nadam, sizeof a->params.nadam) == 0);
}

/* How many operations from `first` on run as one. */
static int run_length(const recording *self, int first)
{
    const sn_op *op = self->ops + first;
    int count = 1;
    bool goes_on = is_joined(op);
    while (goes_on && first + count < self->op_count) {
        const sn_op *next = op + count;
        goes_on = are_alike(op, next);
        for (int i = 0; i < count && goes_on; i++)
            goes_on = are_independent(op + i, next);
        count += goes_on;
    }
    return count;
}

/* The tensors of `count` operations from `first` on; returns the parts of all of them. */
static int64_t join(recording *self, int first, int count)
{
    int64_t parts = 0;
    for (int i = first; i < first + count; i++) {
        const sn_op *op = &self->ops[i];
        sn_cuda_joined *to = &self->joined[i];
        to->count = sn_tensor_count(&op->outputs[0].desc);
        to->first_part = parts;
        for (int o = 0; o < op->output_count; o++)
            to->data[o] = operand_data(self, &op->outputs[o]);
        if (op->kind == SN_OP_AVERAGE)
            to->data[1] = operand_data(self, &op->inputs[0]);
        parts += sn_cuda_parts(to->count);
    }
    return parts;
}

/* ---- recording ---- */

/* "batchnorm (1,16,64,64,64) -> (1,16,64,64,64)" */
static void describe(char *text, size_t room, const sn_op *op)
{
    const int64_t *x = op->inputs[0].desc.shape, *y = op->outputs[0].desc.shape;
    snprintf(text, room, "%s (%lld,%lld,%lld,%lld,%lld) -> (%lld,%lld,%lld,%lld,%lld)",
             sn_op_describe(op->kind)->name, (long long)x[0], (long long)x[1], (long long)x[2],
             (long long)x[3], (long long)x[4], (long long)y[0], (long long)y[1], (long long)y[2],
             (long long)y[3], (long long)y[4]);
}

static sn_cuda_call bind_call(const recording *self, int index)
{
    const sn_op *op = &self->ops[index];
    sn_cuda_call call = {.op = op, .conv = self->convs[index], .stream = self->device->stream};
    for (int i = 0; i < op->input_count; i++)
        call.in[i] = operand_data(self, &op->inputs[i]);
    for (int o = 0; o < op->output_count; o++)
        call.out[o] = operand_data(self, &op->outputs[o]);
    call.workspace = workspace_data(self, op);
    return call;
}

/* Enqueue `count` operations from `first` on, which run as one. */
static sn_status enqueue(recording *self, int first, int count, sn_error *error)
{
    char what[SN_REASON_TEXT];
    sn_cuda_call call = bind_call(self, first);
    if (call.conv != NULL)
        return sn_cuda_conv_run(call.conv, &call, error);
    call.joined = self->table + first;
    call.joined_count = count;
    call.joined_parts = is_joined(call.op) ? join(self, first, count) : 0;
    describe(what, sizeof what, call.op);
    return sn_cuda_check(sn_cuda_kernels[call.op->kind](&call), what, error);
}

static sn_status enqueue_all(recording *self, sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0, count; i < self->op_count && status == SN_OK; i += count) {
        count = run_length(self, i);
        status = enqueue(self, i, count, error);
    }
    return status;
}

/* Record what is enqueued instead of running it. */
static sn_status record(cudaGraphExec_t *graph, recording *self, sn_error *error)
{
    sn_status status;
    cudaGraph_t recorded = NULL;
    cudaStream_t stream = self->device->stream;
    SN_TRY(sn_cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "recording", error));
    status = enqueue_all(self, error);
    cudaError_t ended = cudaStreamEndCapture(stream, &recorded);
    if (status == SN_OK)
        status = sn_cuda_check(ended, "recording", error);
    if (status == SN_OK)
        status = sn_cuda_check(cudaGraphInstantiate(graph, recorded, 0), "a graph of kernels", error);
    if (recorded != NULL)
        cudaGraphDestroy(recorded);
done:
    return status;
}

static sn_status plan_convolutions(recording *self, sn_error *error)
{
    sn_status status = SN_OK;
    char reason[SN_REASON_TEXT];
    for (int i = 0; i < self->op_count; i++) {
        if (!sn_cuda_supports(self->device, &self->ops[i], reason))
            return sn_error_set(error, SN_ERR_UNSUPPORTED, "%s", reason);
        if (sn_cuda_kernels[self->ops[i].kind] == NULL)
            SN_TRY(sn_cuda_conv_make(&self->convs[i], self->device->cudnn, &self->ops[i],
                                     self->device->precision, error));
    }
done:
    return status;
}

static void recording_clear(recording *self)
{
    for (int i = 0; self->convs != NULL && i < self->op_count; i++)
        sn_cuda_conv_free(self->convs[i]);
    sn_free(self->convs);
    sn_free(self->joined);
}

/* ---- programs ---- */

sn_status sn_cuda_program_create(sn_device *device, sn_program **program, const sn_op *ops, int op_count,
                                 sn_buffer *const *buffers, int buffer_count, sn_error *error)
{
    sn_status status;
    sn_program *made = NULL;
    const size_t count = (size_t)op_count, bytes = count * sizeof *made->joined;
    recording self = {device, ops, op_count, buffers, NULL, NULL, NULL};
    (void)buffer_count;
    *program = NULL;
    SN_TRY(sn_cuda_check(cudaSetDevice(device->index), "a program", error));
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    SN_TRY(sn_alloc(&self.joined, count, sizeof *self.joined, error));
    SN_TRY(sn_alloc(&self.convs, count, sizeof(sn_cuda_conv *), error));
    SN_TRY(sn_cuda_alloc(device, &made->joined, bytes, error));
    self.table = made->joined;
    SN_TRY(plan_convolutions(&self, error));
    SN_TRY(record(&made->graph, &self, error));
    SN_TRY(
        sn_cuda_check(sn_cuda_send(&device->staging, made->joined, self.joined, bytes), "a program", error));
    *program = made;
    made = NULL; /* now the caller's */
done:
    recording_clear(&self);
    sn_cuda_program_free(device, made);
    return status;
}

void sn_cuda_program_free(sn_device *device, sn_program *program)
{
    if (program == NULL)
        return;
    cudaSetDevice(device->index);
    cudaStreamSynchronize(device->stream); /* it may still be running */
    if (program->graph != NULL)
        cudaGraphExecDestroy(program->graph);
    cudaFree(program->joined);
    sn_free(program);
}

sn_status sn_cuda_program_run(sn_device *device, sn_program *program, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_cuda_check(device->broken, "an earlier operation", error));
    SN_TRY(sn_cuda_check(cudaSetDevice(device->index), "a program", error));
    SN_TRY(sn_cuda_check(cudaGraphLaunch(program->graph, device->stream), "a program", error));
done:
    return status;
}
