/* The cpu backend: threads and vector kernels of its own, in float. */
#include "backend/backend.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels.h"
#include "base/memory.h"

struct sn_device {
    int threads;
    const sn_cpu_kernels *kernels;
    sn_cpu_team team; /* its scratch memory is enough for every program made so far */
};

struct sn_buffer {
    char *data;
    size_t bytes;
};

struct sn_program {
    int op_count;
    sn_op *ops;
    sn_cpu_call *calls;   /* one an operation */
    sn_conv_plan **plans; /* one an operation; NULL where it is no convolution */
};

static void cpu_close(sn_device *device)
{
    if (device == NULL)
        return;
    sn_free(device->team.shares);
    sn_free(device->team.scratch);
    sn_free(device);
}

static sn_status cpu_open(sn_device **device, const sn_device_options *options, sn_error *error)
{
    sn_status status;
    sn_device *made = NULL;
    *device = NULL;
    if (options->threads < 1)
        return sn_error_set(error, SN_ERR_ARG, "cpu: %d threads, must be at least 1", options->threads);
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->threads = options->threads;
    made->kernels = sn_cpu_kernels_select();
    SN_TRY(sn_alloc(&made->team.shares, (size_t)made->threads, sizeof *made->team.shares, error));
    *device = made;
    made = NULL;
done:
    cpu_close(made);
    return status;
}

static const char *cpu_kernels(const sn_device *device)
{
    return device->kernels->name;
}

static void cpu_buffer_free(sn_device *device, sn_buffer *buffer)
{
    (void)device;
    if (buffer != NULL)
        sn_free(buffer->data);
    sn_free(buffer);
}

/* Vectors may read past the last value of a tensor, up to SN_ALIGNMENT bytes. */
static sn_status cpu_alloc(sn_device *device, sn_buffer **buffer, size_t bytes, sn_error *error)
{
    sn_status status;
    sn_buffer *made = NULL;
    *buffer = NULL;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->bytes = bytes;
    SN_TRY(sn_alloc(&made->data, bytes + SN_ALIGNMENT, 1, error));
    *buffer = made;
    made = NULL;
done:
    cpu_buffer_free(device, made);
    return status;
}

static void cpu_upload(sn_device *device, sn_buffer *buffer, size_t offset, const void *data, size_t bytes)
{
    (void)device;
    assert(offset + bytes <= buffer->bytes);
    memcpy(buffer->data + offset, data, bytes);
}

static void cpu_download(sn_device *device, const sn_buffer *buffer, size_t offset, void *data, size_t bytes)
{
    (void)device;
    assert(offset + bytes <= buffer->bytes);
    memcpy(data, buffer->data + offset, bytes);
}

static sn_status cpu_synchronise(sn_device *device, sn_error *error)
{
    (void)device, (void)error;
    return SN_OK; /* program_run returns when all is done */
}

static bool cpu_supports(sn_device *device, const sn_op *op, char reason[SN_REASON_TEXT])
{
    (void)device;
    const char *refused = sn_op_beside_f32(op);
    if (refused == NULL)
        return true;
    snprintf(reason, SN_REASON_TEXT, "%s: the cpu backend computes in f32, not %s",
             sn_op_describe(op->kind)->name, refused);
    return false;
}

static size_t cpu_workspace(sn_device *device, const sn_op *op)
{
    (void)device;
    return sn_cpu_workspace(op);
}

static void cpu_program_free(sn_device *device, sn_program *program)
{
    (void)device;
    if (program == NULL)
        return;
    for (int i = 0; program->plans != NULL && i < program->op_count; i++)
        sn_conv_plan_free(program->plans[i]);
    sn_free(program->plans);
    sn_free(program->calls);
    sn_free(program->ops);
    sn_free(program);
}

static void *operand_data(const sn_operand *operand, sn_buffer *const *buffers)
{
    sn_buffer *buffer = buffers[operand->buffer];
    assert(operand->offset % SN_ALIGNMENT == 0);
    assert(operand->offset + sn_tensor_bytes(&operand->desc) <= buffer->bytes);
    return buffer->data + operand->offset;
}

static void *workspace_data(const sn_op *op, sn_buffer *const *buffers)
{
    size_t bytes = sn_cpu_workspace(op);
    if (bytes == 0)
        return NULL;
    sn_buffer *buffer = buffers[op->workspace.buffer];
    assert(op->workspace.offset % SN_ALIGNMENT == 0);
    assert(op->workspace.offset + bytes <= buffer->bytes);
    return buffer->data + op->workspace.offset;
}

static sn_cpu_call bind_call(const sn_device *device, const sn_op *op, sn_buffer *const *buffers)
{
    sn_cpu_call call = {.op = op, .team = &device->team, .threads = device->threads};
    for (int i = 0; i < op->input_count; i++)
        call.in[i] = operand_data(&op->inputs[i], buffers);
    for (int o = 0; o < op->output_count; o++)
        call.out[o] = operand_data(&op->outputs[o], buffers);
    call.workspace = workspace_data(op, buffers);
    return call;
}

/* Enough scratch memory for a program; programs run one after the other, and leave nothing there. */
static sn_status reserve_scratch(sn_device *device, size_t bytes, sn_error *error)
{
    sn_cpu_team *team = &device->team;
    char *larger;
    if (bytes <= team->scratch_bytes)
        return SN_OK;
    sn_status status = sn_alloc(&larger, (size_t)device->threads, bytes, error);
    if (status != SN_OK)
        return status;
    sn_free(team->scratch);
    team->scratch = larger;
    team->scratch_bytes = bytes;
    return SN_OK;
}

/* Plan every operation, with scratch memory that is enough for each of them. */
static sn_status plan_calls(sn_device *device, sn_program *program, sn_buffer *const *buffers,
                            sn_error *error)
{
    sn_status status = SN_OK;
    size_t scratch = 0;
    for (int i = 0; i < program->op_count; i++) {
        sn_op *op = &program->ops[i];
        if (sn_op_multiply_adds(op) > 0)
            SN_TRY(sn_conv_plan_make(&program->plans[i], op, device->kernels->lanes, error));
        program->calls[i] = bind_call(device, op, buffers);
        program->calls[i].plan = program->plans[i];
        size_t bytes = sn_cpu_scratch(op, program->plans[i], device->threads);
        if (bytes > scratch)
            scratch = bytes;
    }
    SN_TRY(reserve_scratch(device, (size_t)sn_round_up((int64_t)scratch, SN_ALIGNMENT), error));
done:
    return status;
}

static sn_status cpu_program_create(sn_device *device, sn_program **program, const sn_op *ops, int op_count,
                                    sn_buffer *const *buffers, int buffer_count, sn_error *error)
{
    sn_status status;
    sn_program *made = NULL;
    char reason[SN_REASON_TEXT];
    (void)buffer_count;
    *program = NULL;
    for (int i = 0; i < op_count; i++)
        if (!cpu_supports(device, &ops[i], reason))
            return sn_error_set(error, SN_ERR_UNSUPPORTED, "%s", reason);
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->op_count = op_count;
    SN_TRY(sn_alloc(&made->ops, (size_t)op_count, sizeof *made->ops, error));
    memcpy(made->ops, ops, (size_t)op_count * sizeof *ops);
    SN_TRY(sn_alloc(&made->calls, (size_t)op_count, sizeof *made->calls, error));
    SN_TRY(sn_alloc(&made->plans, (size_t)op_count, sizeof *made->plans, error));
    SN_TRY(plan_calls(device, made, buffers, error));
    *program = made;
    made = NULL;
done:
    cpu_program_free(device, made);
    return status;
}

static sn_status cpu_program_run(sn_device *device, sn_program *program, sn_error *error)
{
    (void)error;
    for (int i = 0; i < program->op_count; i++)
        device->kernels->run[program->ops[i].kind](&program->calls[i]);
    return SN_OK;
}

const sn_backend sn_backend_cpu = {
    .name = "cpu",
    .taps_first = true,
    .open = cpu_open,
    .close = cpu_close,
    .kernels = cpu_kernels,
    .alloc = cpu_alloc,
    .free = cpu_buffer_free,
    .upload = cpu_upload,
    .download = cpu_download,
    .synchronise = cpu_synchronise,
    .supports = cpu_supports,
    .workspace = cpu_workspace,
    .program_create = cpu_program_create,
    .program_free = cpu_program_free,
    .program_run = cpu_program_run,
};
