#include "harness.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "rounded.h"

static double *zeros(const sn_operand *operand)
{
    double *values = calloc((size_t)sn_tensor_count(&operand->desc), sizeof *values);
    assert_non_null(values);
    return values;
}

op_values op_values_make(const sn_op *op)
{
    op_values values = {0};
    for (int i = 0; i < op->input_count; i++)
        values.in[i] = zeros(&op->inputs[i]);
    for (int o = 0; o < op->output_count; o++)
        values.out[o] = zeros(&op->outputs[o]);
    return values;
}

void op_values_clear(op_values *values)
{
    for (int i = 0; i < SN_OP_MAX_INPUTS; i++)
        free(values->in[i]);
    for (int o = 0; o < SN_OP_MAX_OUTPUTS; o++)
        free(values->out[o]);
    *values = (op_values){0};
}

void op_values_copy(op_values *to, const op_values *from, const sn_op *op)
{
    for (int i = 0; i < op->input_count; i++)
        memcpy(to->in[i], from->in[i], (size_t)sn_tensor_count(&op->inputs[i].desc) * sizeof(double));
    for (int o = 0; o < op->output_count; o++)
        memcpy(to->out[o], from->out[o], (size_t)sn_tensor_count(&op->outputs[o].desc) * sizeof(double));
}

op_runner runner_open_as(const sn_backend *backend, const sn_device_options *options)
{
    op_runner made = {.backend = backend};
    sn_error error = SN_ERROR_INIT;
    if (backend->open(&made.device, options, &error) != SN_OK)
        fail_msg("%s: %s", backend->name, error.text);
    return made;
}

op_runner runner_open(const sn_backend *backend, int threads)
{
    return runner_open_as(backend, &(sn_device_options){.threads = threads});
}

void runner_close(op_runner *runner)
{
    runner->backend->close(runner->device);
    *runner = (op_runner){0};
}

op_runner ref;

int ref_open(void **state)
{
    (void)state;
    ref = runner_open(&sn_backend_ref, 1);
    return 0;
}

int ref_close(void **state)
{
    (void)state;
    runner_close(&ref);
    return 0;
}

/* The channels of a tensor in bf16, and those that fill them up. */
static int64_t channels_with_filling(const sn_operand *operand)
{
    return (operand->desc.shape[1] + 7) / 8 * 8;
}

/* Where element i of a tensor in bf16 lies: (N, voxels, channels). */
static int64_t channels_last(const sn_operand *operand, int64_t i)
{
    int64_t channels = operand->desc.shape[1], voxels = sn_tensor_voxels(&operand->desc);
    int64_t image = i / (channels * voxels), channel = i / voxels % channels, voxel = i % voxels;
    return (image * voxels + voxel) * channels_with_filling(operand) + channel;
}

static void *encode_bf16(const sn_operand *operand, const double *values)
{
    uint16_t *data = calloc(sn_tensor_bytes(&operand->desc), 1);
    assert_non_null(data);
    for (int64_t i = 0; i < sn_tensor_count(&operand->desc); i++) {
        float value = (float)rounded_to_bf16(values[i]);
        memcpy(data + channels_last(operand, i), (char *)&value + 2, 2); /* little endian: the upper half */
    }
    return data;
}

/* What fills up the channels is zero. */
static void decode_bf16(const sn_operand *operand, const uint16_t *data, double *values)
{
    const int64_t channels = operand->desc.shape[1], stored = channels_with_filling(operand);
    for (int64_t i = 0; i < sn_tensor_count(&operand->desc); i++) {
        float value = 0;
        memcpy((char *)&value + 2, data + channels_last(operand, i), 2);
        values[i] = value;
    }
    for (int64_t v = 0; v < operand->desc.shape[0] * sn_tensor_voxels(&operand->desc); v++)
        for (int64_t c = channels; c < stored; c++)
            assert_int_equal(data[v * stored + c] & 0x7FFF, 0); /* or -0 */
}

/* Values as an operand's type; the caller frees. */
static void *encode(const sn_operand *operand, const double *values)
{
    if (operand->desc.dtype == SN_BF16)
        return encode_bf16(operand, values);
    int64_t count = sn_tensor_count(&operand->desc);
    void *data = malloc(sn_tensor_bytes(&operand->desc));
    assert_non_null(data);
    for (int64_t i = 0; i < count; i++)
        if (operand->desc.dtype == SN_F64)
            ((double *)data)[i] = values[i];
        else if (operand->desc.dtype == SN_F32)
            ((float *)data)[i] = (float)values[i];
        else
            ((uint8_t *)data)[i] = (uint8_t)values[i];
    return data;
}

static void decode(const sn_operand *operand, const void *data, double *values)
{
    if (operand->desc.dtype == SN_BF16) {
        decode_bf16(operand, data, values);
        return;
    }
    int64_t count = sn_tensor_count(&operand->desc);
    for (int64_t i = 0; i < count; i++)
        if (operand->desc.dtype == SN_F64)
            values[i] = ((const double *)data)[i];
        else if (operand->desc.dtype == SN_F32)
            values[i] = ((const float *)data)[i];
        else
            values[i] = ((const uint8_t *)data)[i];
}

/* The bytes of an operand, and a gap behind it. */
static size_t room_of(const sn_operand *operand)
{
    return sn_tensor_room(&operand->desc) + SN_ALIGNMENT;
}

/* Lay all operands one after the other in buffer 0, the workspace in buffer 1; returns the bytes that buffer 0
 * takes. */
static size_t lay_out(sn_op *op, int in_place)
{
    size_t end = 0;
    op->workspace.buffer = 1;
    op->workspace.offset = 0;
    for (int i = 0; i < op->input_count; i++) {
        op->inputs[i].buffer = 0;
        op->inputs[i].offset = end;
        end += room_of(&op->inputs[i]);
    }
    for (int o = 0; o < op->output_count; o++) {
        op->outputs[o].buffer = 0;
        op->outputs[o].offset = end;
        end += room_of(&op->outputs[o]);
    }
    if (in_place != NOT_IN_PLACE)
        op->outputs[0].offset = op->inputs[in_place].offset;
    return end - SN_ALIGNMENT; /* none behind the last one */
}

static void send(const op_runner *runner, sn_buffer *buffer, const sn_op *op, const sn_operand *operand,
                 const double *values)
{
    void *data = encode(operand, values);
    sn_tensor_upload(runner->backend, runner->device, buffer, operand->offset, &operand->desc,
                     operand == sn_op_weights(op), data);
    free(data);
}

static void receive(const op_runner *runner, const sn_buffer *buffer, const sn_op *op,
                    const sn_operand *operand, double *values)
{
    void *data = malloc(sn_tensor_bytes(&operand->desc));
    assert_non_null(data);
    sn_tensor_download(runner->backend, runner->device, buffer, operand->offset, &operand->desc,
                       operand == sn_op_weights(op), data);
    decode(operand, data, values);
    free(data);
}

/* Bytes of 255, which are no numbers: what an operation must not read, or not use. */
static void poison(const op_runner *runner, sn_buffer *buffer, size_t bytes)
{
    unsigned char *data = malloc(bytes);
    assert_true(data != NULL || bytes == 0);
    memset(data, 0xFF, bytes);
    runner->backend->upload(runner->device, buffer, 0, data, bytes);
    free(data);
}

/* All of the buffer poisoned, but what the operation reads. */
static void send_operands(const op_runner *runner, sn_buffer *buffer, size_t bytes, const sn_op *op,
                          const op_values *values)
{
    poison(runner, buffer, bytes);
    for (int i = 0; i < op->input_count; i++)
        send(runner, buffer, op, &op->inputs[i], values->in[i]);
    for (int o = 0; o < op->output_count; o++)
        if (sn_op_describe(op->kind)->updated_outputs >> o & 1)
            send(runner, buffer, op, &op->outputs[o], values->out[o]);
}

/* Run a program, and receive all of buffer 0. */
static sn_status run(char *after, const op_runner *runner, sn_program *program, sn_buffer *const buffers[2],
                     size_t bytes, const sn_op *op, const op_values *values, sn_error *error)
{
    send_operands(runner, buffers[0], bytes, op, values);
    poison(runner, buffers[1], runner->backend->workspace(runner->device, op));
    sn_status status = runner->backend->program_run(runner->device, program, error);
    runner->backend->download(runner->device, buffers[0], 0, after, bytes);
    return status == SN_OK ? runner->backend->synchronise(runner->device, error) : status;
}

sn_status op_try(const op_runner *runner, const sn_op *given, op_values *values, int in_place,
                 sn_error *error)
{
    sn_status status;
    const sn_backend *backend = runner->backend;
    sn_device *device = runner->device;
    sn_buffer *buffers[2] = {NULL, NULL};
    sn_program *program = NULL;
    sn_op op = *given;
    size_t bytes = lay_out(&op, in_place);
    char *after = malloc(bytes), *again = malloc(bytes);
    assert_true(after != NULL && again != NULL);
    SN_TRY(sn_op_check(&op, error));
    SN_TRY(backend->alloc(device, &buffers[0], bytes, error));
    SN_TRY(backend->alloc(device, &buffers[1], backend->workspace(device, &op), error));
    SN_TRY(backend->program_create(device, &program, &op, 1, buffers, 2, error));
    SN_TRY(run(after, runner, program, buffers, bytes, &op, values, error));
    for (int i = 1; i < runner->runs; i++) {
        SN_TRY(run(again, runner, program, buffers, bytes, &op, values, error));
        if (memcmp(again, after, bytes) != 0)
            fail_msg("%s: %s: run %d of a program gives other bits than the first", backend->name,
                     sn_op_describe(op.kind)->name, i + 1);
    }
    for (int o = 0; o < op.output_count; o++)
        receive(runner, buffers[0], &op, &op.outputs[o], values->out[o]);
done:
    free(again);
    free(after);
    backend->program_free(device, program);
    backend->free(device, buffers[1]);
    backend->free(device, buffers[0]);
    return status;
}

void op_run(const op_runner *runner, const sn_op *op, op_values *values)
{
    sn_error error = SN_ERROR_INIT;
    if (op_try(runner, op, values, NOT_IN_PLACE, &error) != SN_OK)
        fail_msg("%s: %s", runner->backend->name, error.text);
}

sn_operand operand_of(sn_dtype dtype, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w)
{
    return (sn_operand){.desc = {.dtype = dtype, .shape = {n, c, d, h, w}}};
}

sn_operand vector_of(sn_dtype dtype, int64_t channels)
{
    return operand_of(dtype, 1, channels, 1, 1, 1);
}

sn_operand like(const sn_operand *other)
{
    return (sn_operand){.desc = other->desc};
}
