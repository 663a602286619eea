/*
 * A program runs as one CUDA graph: the kernels of all its operations, recorded once, launched together. Its first run
 * is not recorded, since CUDA and cuDNN load kernels when they are used for the first time; and one that cannot be
 * recorded is enqueued operation by operation every time.
 * Consecutive updates of parameters (NADAM, AVERAGE) are joined: one kernel runs over all of them.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/conv.h"
#include "backend/cuda/device.h"
#include "base/memory.h"

struct sn_program {
    sn_device *device;
    sn_op *ops;
    int op_count;
    sn_buffer **buffers;
    sn_cuda_joined *joined; /* one an operation; only those of joined ones are used */
    sn_cuda_joined *table;  /* the same on the device */
    sn_cuda_conv **convs;   /* one an operation; NULL where it is no convolution */
    int64_t runs;
    cudaGraphExec_t graph; /* NULL: not recorded yet, or it cannot be */
};

static void *operand_data(const sn_program *self, const sn_operand *operand)
{
    const sn_buffer *buffer = self->buffers[operand->buffer];
    assert(operand->offset % SN_ALIGNMENT == 0);
    assert(operand->offset + sn_tensor_bytes(&operand->desc) <= buffer->bytes);
    return buffer->data + operand->offset;
}

static void *workspace_data(const sn_program *self, const sn_op *op)
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
static int run_length(const sn_program *self, int first)
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

/* List the tensors of `count` operations from `first` on, which run as one. */
static void join(sn_program *self, int first, int count)
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
}

/* All runs of them, to the device. */
static sn_status join_all(sn_program *self, sn_error *error)
{
    for (int i = 0, count; i < self->op_count; i += count) {
        count = run_length(self, i);
        if (is_joined(&self->ops[i]))
            join(self, i, count);
    }
    return sn_cuda_check(sn_cuda_send(&self->device->staging, self->table, self->joined,
                                      (size_t)self->op_count * sizeof *self->joined),
                         "a program", error);
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

static sn_cuda_call bind_call(const sn_program *self, int index)
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
static sn_status enqueue(sn_program *self, int first, int count, sn_error *error)
{
    char what[SN_REASON_TEXT];
    sn_cuda_call call = bind_call(self, first);
    if (call.conv != NULL)
        return sn_cuda_conv_run(call.conv, &call, error);
    if (is_joined(call.op)) {
        const sn_cuda_joined *last = &self->joined[first + count - 1];
        call.joined = self->table + first;
        call.joined_count = count;
        call.joined_parts = last->first_part + sn_cuda_parts(last->count);
    }
    describe(what, sizeof what, call.op);
    return sn_cuda_check(sn_cuda_kernels[call.op->kind](&call), what, error);
}

static sn_status enqueue_all(sn_program *self, sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0, count; i < self->op_count && status == SN_OK; i += count) {
        count = run_length(self, i);
        status = enqueue(self, i, count, error);
    }
    return status;
}

/* Record what is enqueued instead of running it. Where that fails the program does without a graph. */
static void record(sn_program *self)
{
    cudaGraph_t recorded = NULL;
    cudaStream_t stream = self->device->stream;
    if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
        sn_status status = enqueue_all(self, NULL);
        if (cudaStreamEndCapture(stream, &recorded) != cudaSuccess || status != SN_OK ||
            cudaGraphInstantiate(&self->graph, recorded, 0) != cudaSuccess)
            self->graph = NULL;
        if (self->graph != NULL &&
            cudaGraphUpload(self->graph, stream) != cudaSuccess) { /* no memory for it */
            cudaGraphExecDestroy(self->graph);
            self->graph = NULL;
        }
        if (recorded != NULL)
            cudaGraphDestroy(recorded);
    }
    cudaGetLastError(); /* that it cannot be recorded is no error */
}

static sn_status plan_convolutions(sn_program *self, sn_error *error)
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

/* ---- programs ---- */

static sn_status program_alloc(sn_program **program, sn_device *device, int op_count, int buffer_count,
                               sn_error *error)
{
    sn_status status;
    sn_program *made = NULL;
    const size_t count = (size_t)op_count;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->device = device;
    made->op_count = op_count;
    SN_TRY(sn_alloc(&made->ops, count, sizeof *made->ops, error));
    SN_TRY(sn_alloc(&made->buffers, (size_t)buffer_count, sizeof *made->buffers, error));
    SN_TRY(sn_alloc(&made->joined, count, sizeof *made->joined, error));
    SN_TRY(sn_alloc(&made->convs, count, sizeof *made->convs, error));
    SN_TRY(sn_cuda_alloc(device, &made->table, count * sizeof *made->table, error));
    *program = made;
    made = NULL;
done:
    sn_cuda_program_free(device, made);
    return status;
}

sn_status sn_cuda_program_create(sn_device *device, sn_program **program, const sn_op *ops, int op_count,
                                 sn_buffer *const *buffers, int buffer_count, sn_error *error)
{
    sn_status status;
    sn_program *made = NULL;
    *program = NULL;
    SN_TRY(sn_cuda_start(device, error));
    SN_TRY(program_alloc(&made, device, op_count, buffer_count, error));
    memcpy(made->ops, ops, (size_t)op_count * sizeof *ops);
    memcpy(made->buffers, buffers, (size_t)buffer_count * sizeof *buffers);
    SN_TRY(plan_convolutions(made, error));
    SN_TRY(join_all(made, error));
    *program = made;
    made = NULL; /* now the caller's */
done:
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
    cudaFree(program->table);
    for (int i = 0; program->convs != NULL && i < program->op_count; i++)
        sn_cuda_conv_free(program->convs[i]);
    sn_free(program->convs);
    sn_free(program->joined);
    sn_free(program->buffers);
    sn_free(program->ops);
    sn_free(program);
}

sn_status sn_cuda_program_run(sn_device *device, sn_program *program, sn_error *error)
{
    sn_status status;
    cudaEvent_t ran = device->ran[device->runs++ % SN_CUDA_AHEAD];
    SN_TRY(sn_cuda_check(device->broken, "an earlier operation", error));
    SN_TRY(sn_cuda_check(cudaSetDevice(device->index), "a program", error));
    SN_TRY(sn_cuda_check(cudaEventSynchronize(ran), "an earlier program", error));
    if (++program->runs == 2)
        record(program);
    if (program->graph == NULL)
        SN_TRY(enqueue_all(program, error));
    else
        SN_TRY(sn_cuda_check(cudaGraphLaunch(program->graph, device->stream), "a program", error));
    SN_TRY(sn_cuda_check(cudaEventRecord(ran, device->stream), "a program", error));
done:
    return status;
}
