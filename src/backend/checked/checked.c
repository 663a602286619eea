#include "backend/checked/checked.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "backend/bf16.h"
#include "base/memory.h"

enum { GUARD = 4 * SN_ALIGNMENT }; /* bytes before and behind every buffer */

/* What outputs and workspace hold before an operation: all bits set is NaN in every real type; the second
 * poison is finite, for what hides a NaN, such as max(NaN, 0). */
enum { PASSES = 2 };
static const struct {
    unsigned char real, u8;
} poisons[PASSES] = {{0xFF, 0xAB}, {0x3F, 0x55}};

struct sn_device {
    const sn_backend *inner;
    sn_device *device; /* of inner */
};

struct sn_buffer {
    sn_buffer *inner; /* GUARD + bytes + GUARD */
    size_t bytes;
};

/* Host copies of one inner buffer. */
typedef struct buffer_image {
    unsigned char *poisoned; /* before the operation */
    unsigned char *after[PASSES];
    size_t bytes;
} buffer_image;

struct sn_program {
    sn_op *ops;            /* at their place in the inner buffers */
    sn_program **programs; /* of inner, one for each operation */
    int op_count;
    sn_buffer **buffers;  /* of inner */
    buffer_image *images; /* of each buffer */
    int buffer_count;
};

sn_status sn_checked_open(sn_device **out, const sn_backend *inner, const sn_device_options *options,
                          sn_error *error)
{
    sn_status status;
    sn_device *device = NULL;
    *out = NULL;
    SN_TRY(sn_alloc(&device, 1, sizeof *device, error));
    SN_TRY(inner->open(&device->device, options, error));
    device->inner = inner;
    *out = device;
    device = NULL; /* now the caller's */
done:
    sn_free(device);
    return status;
}

static sn_status open_ref(sn_device **device, const sn_device_options *options, sn_error *error)
{
    return sn_checked_open(device, &sn_backend_ref, options, error);
}

static sn_status open_cpu(sn_device **device, const sn_device_options *options, sn_error *error)
{
    return sn_checked_open(device, &sn_backend_cpu, options, error);
}

static void checked_close(sn_device *device)
{
    if (device != NULL)
        device->inner->close(device->device);
    sn_free(device);
}

static const char *checked_kernels(const sn_device *device)
{
    return device->inner->kernels(device->device);
}

static sn_dtype checked_values(const sn_device *device)
{
    return sn_backend_values(device->inner, device->device);
}

static void checked_free(sn_device *device, sn_buffer *buffer)
{
    if (buffer != NULL)
        device->inner->free(device->device, buffer->inner);
    sn_free(buffer);
}

static sn_status checked_alloc(sn_device *device, sn_buffer **out, size_t bytes, sn_error *error)
{
    sn_status status;
    sn_buffer *buffer = NULL;
    unsigned char guard[GUARD];
    *out = NULL;
    SN_TRY(sn_alloc(&buffer, 1, sizeof *buffer, error));
    SN_TRY(device->inner->alloc(device->device, &buffer->inner, bytes + 2 * GUARD, error));
    buffer->bytes = bytes;
    memset(guard, poisons[0].real, GUARD);
    device->inner->upload(device->device, buffer->inner, 0, guard, GUARD);
    device->inner->upload(device->device, buffer->inner, GUARD + bytes, guard, GUARD);
    *out = buffer;
    buffer = NULL; /* now the caller's */
done:
    checked_free(device, buffer);
    return status;
}

static void checked_upload(sn_device *device, sn_buffer *buffer, size_t offset, const void *data,
                           size_t bytes)
{
    assert(offset + bytes <= buffer->bytes);
    device->inner->upload(device->device, buffer->inner, GUARD + offset, data, bytes);
}

static void checked_download(sn_device *device, const sn_buffer *buffer, size_t offset, void *data,
                             size_t bytes)
{
    assert(offset + bytes <= buffer->bytes);
    device->inner->download(device->device, buffer->inner, GUARD + offset, data, bytes);
}

static sn_status checked_synchronise(sn_device *device, sn_error *error)
{
    return device->inner->synchronise(device->device, error);
}

static bool checked_supports(sn_device *device, const sn_op *op, char reason[SN_REASON_TEXT])
{
    return device->inner->supports(device->device, op, reason);
}

static size_t checked_workspace(sn_device *device, const sn_op *op)
{
    return device->inner->workspace(device->device, op);
}

static void checked_program_free(sn_device *device, sn_program *program)
{
    if (program == NULL)
        return;
    for (int i = 0; program->programs != NULL && i < program->op_count; i++)
        device->inner->program_free(device->device, program->programs[i]);
    for (int b = 0; program->images != NULL && b < program->buffer_count; b++) {
        sn_free(program->images[b].poisoned);
        for (int pass = 0; pass < PASSES; pass++)
            sn_free(program->images[b].after[pass]);
    }
    sn_free(program->images);
    sn_free(program->buffers);
    sn_free(program->programs);
    sn_free(program->ops);
    sn_free(program);
}

/* Operands and workspace of all operations, before anything is bound. */
static sn_status check_ops(sn_device *device, const sn_op *ops, int op_count, sn_buffer *const *buffers,
                           int buffer_count, sn_error *error)
{
    sn_status status = SN_OK;
    size_t *bytes = NULL;
    SN_TRY(sn_alloc(&bytes, (size_t)buffer_count, sizeof *bytes, error));
    for (int b = 0; b < buffer_count; b++)
        bytes[b] = buffers[b]->bytes;
    for (int i = 0; i < op_count; i++) {
        SN_TRY(sn_op_check(&ops[i], error));
        SN_TRY(sn_checked_locations(&ops[i], checked_workspace(device, &ops[i]), bytes, buffer_count, error));
    }
done:
    sn_free(bytes);
    return status;
}

static sn_status create_image(buffer_image *image, const sn_buffer *buffer, sn_error *error)
{
    sn_status status = SN_OK;
    image->bytes = buffer->bytes + 2 * GUARD;
    SN_TRY(sn_alloc(&image->poisoned, image->bytes, 1, error));
    for (int pass = 0; pass < PASSES; pass++)
        SN_TRY(sn_alloc(&image->after[pass], image->bytes, 1, error));
done:
    return status;
}

/* One inner program for each operation, its operands moved behind the front guard. */
static sn_status bind_op(sn_device *device, sn_program *program, int index, const sn_op *given,
                         sn_error *error)
{
    sn_op *op = &program->ops[index];
    *op = *given;
    for (int i = 0; i < op->input_count; i++)
        op->inputs[i].offset += GUARD;
    for (int o = 0; o < op->output_count; o++)
        op->outputs[o].offset += GUARD;
    op->workspace.offset += GUARD;
    return device->inner->program_create(device->device, &program->programs[index], op, 1, program->buffers,
                                         program->buffer_count, error);
}

static sn_status checked_program_create(sn_device *device, sn_program **out, const sn_op *ops, int op_count,
                                        sn_buffer *const *buffers, int buffer_count, sn_error *error)
{
    sn_status status;
    sn_program *program = NULL;
    *out = NULL;
    SN_TRY(check_ops(device, ops, op_count, buffers, buffer_count, error));
    SN_TRY(sn_alloc(&program, 1, sizeof *program, error));
    program->op_count = op_count;
    program->buffer_count = buffer_count;
    SN_TRY(sn_alloc(&program->ops, (size_t)op_count, sizeof *program->ops, error));
    SN_TRY(sn_alloc(&program->programs, (size_t)op_count, sizeof *program->programs, error));
    SN_TRY(sn_alloc(&program->buffers, (size_t)buffer_count, sizeof *program->buffers, error));
    SN_TRY(sn_alloc(&program->images, (size_t)buffer_count, sizeof *program->images, error));
    for (int b = 0; b < buffer_count; b++) {
        program->buffers[b] = buffers[b]->inner;
        SN_TRY(create_image(&program->images[b], buffers[b], error));
    }
    for (int i = 0; i < op_count; i++)
        SN_TRY(bind_op(device, program, i, &ops[i], error));
    *out = program;
    program = NULL; /* now the caller's */
done:
    checked_program_free(device, program);
    return status;
}

/* An output whose old value counts: it is updated, or it lies where an input lies. */
static bool keeps_value(const sn_op *op, int output)
{
    bool keeps = sn_op_describe(op->kind)->updated_outputs >> output & 1;
    for (int i = 0; i < op->input_count; i++)
        keeps = keeps || sn_checked_overlap(&op->outputs[output], &op->inputs[i]);
    return keeps;
}

/* Write a poison into the images' outputs and the workspace, and the images into the buffers. */
static void poison(sn_device *device, sn_program *program, const sn_op *op, int pass)
{
    for (int o = 0; o < op->output_count; o++) {
        const sn_operand *output = &op->outputs[o];
        if (!keeps_value(op, o))
            memset(program->images[output->buffer].poisoned + output->offset,
                   output->desc.dtype == SN_U8 ? poisons[pass].u8 : poisons[pass].real,
                   sn_tensor_bytes(&output->desc));
    }
    size_t scratch = checked_workspace(device, op);
    if (scratch > 0)
        memset(program->images[op->workspace.buffer].poisoned + op->workspace.offset, poisons[pass].real,
               scratch);
    for (int b = 0; b < program->buffer_count; b++)
        device->inner->upload(device->device, program->buffers[b], 0, program->images[b].poisoned,
                              program->images[b].bytes);
}

/* Where the output or the workspace that holds a byte of a buffer ends; `byte` itself where none does. */
static size_t writable_until(sn_device *device, const sn_op *op, int buffer, size_t byte)
{
    size_t end = op->workspace.offset + checked_workspace(device, op);
    if (op->workspace.buffer == buffer && byte >= op->workspace.offset && byte < end)
        return end;
    for (int o = 0; o < op->output_count; o++) {
        const sn_operand *output = &op->outputs[o];
        end = output->offset + sn_tensor_bytes(&output->desc);
        if (output->buffer == buffer && byte >= output->offset && byte < end)
            return end;
    }
    return byte;
}

/* The first byte from `from` on in which a and b differ, or `bytes`. */
static size_t first_difference(const unsigned char *a, const unsigned char *b, size_t from, size_t bytes)
{
    if (memcmp(a + from, b + from, bytes - from) == 0)
        return bytes;
    while (a[from] == b[from])
        from++;
    return from;
}

/* Nothing but outputs and the workspace that the operation asked for may change. */
static sn_status check_unchanged(sn_device *device, const sn_program *program, const sn_op *op, int pass,
                                 sn_error *error)
{
    for (int b = 0; b < program->buffer_count; b++) {
        const buffer_image *image = &program->images[b];
        for (size_t byte = 0, end; byte < image->bytes; byte = end) {
            byte = first_difference(image->poisoned, image->after[pass], byte, image->bytes);
            end = byte == image->bytes ? byte : writable_until(device, op, b, byte);
            if (byte < image->bytes && end == byte)
                return sn_error_set(
                    error, SN_ERR_FAILED,
                    "checked: %s changed byte %td of buffer %d, which is no output and no workspace",
                    sn_op_describe(op->kind)->name, (ptrdiff_t)byte - GUARD, b);
        }
    }
    return SN_OK;
}

/* Values of an operand, with those that fill up channels of bf16. */
static int64_t count_of(const sn_operand *operand)
{
    return (int64_t)(sn_tensor_bytes(&operand->desc) / sn_dtype_size(operand->desc.dtype));
}

/* Value i, in the order of memory, of an operand in one of the images. */
static double value_at(const sn_operand *operand, const unsigned char *data, int64_t i)
{
    double f64;
    float f32;
    if (operand->desc.dtype == SN_F64) {
        memcpy(&f64, data + operand->offset + (size_t)i * sizeof f64, sizeof f64);
        return f64;
    }
    if (operand->desc.dtype == SN_F32) {
        memcpy(&f32, data + operand->offset + (size_t)i * sizeof f32, sizeof f32);
        return f32;
    }
    if (operand->desc.dtype == SN_BF16) {
        uint16_t bf16;
        memcpy(&bf16, data + operand->offset + (size_t)i * sizeof bf16, sizeof bf16);
        return sn_bf16_to_float(bf16);
    }
    return 0; /* u8 is always finite */
}

static bool is_finite(const sn_program *program, const sn_operand *operand)
{
    for (int64_t i = 0; i < count_of(operand); i++)
        if (!isfinite(value_at(operand, program->images[operand->buffer].poisoned, i)))
            return false;
    return true;
}

static bool all_given_is_finite(const sn_program *program, const sn_op *op)
{
    bool finite = true;
    for (int i = 0; i < op->input_count; i++)
        finite = finite && is_finite(program, &op->inputs[i]);
    for (int o = 0; o < op->output_count; o++)
        finite = finite && (!keeps_value(op, o) || is_finite(program, &op->outputs[o]));
    return finite;
}

/* Both runs agree in every bit, and finite values give no NaN. */
static sn_status check_outputs(const sn_program *program, const sn_op *op, sn_error *error)
{
    const char *name = sn_op_describe(op->kind)->name;
    bool finite = all_given_is_finite(program, op);
    for (int o = 0; o < op->output_count; o++) {
        const sn_operand *output = &op->outputs[o];
        const buffer_image *image = &program->images[output->buffer];
        size_t size = sn_dtype_size(output->desc.dtype);
        for (int64_t i = 0; i < count_of(output); i++) {
            size_t at = output->offset + (size_t)i * size;
            if (memcmp(image->after[0] + at, image->after[1] + at, size) != 0)
                return sn_error_set(
                    error, SN_ERR_FAILED,
                    "checked: %s: element %lld of output %d differs between two runs: it depends on memory "
                    "that was not written, or was not written itself",
                    name, (long long)i, o);
            if (finite && isnan(value_at(output, image->after[0], i)))
                return sn_error_set(error, SN_ERR_NUMERIC,
                                    "checked: %s: element %lld of output %d is NaN, all inputs are finite",
                                    name, (long long)i, o);
        }
    }
    return SN_OK;
}

static void download_images(sn_device *device, sn_program *program, int pass)
{
    for (int b = 0; b < program->buffer_count; b++) {
        buffer_image *image = &program->images[b];
        device->inner->download(device->device, program->buffers[b], 0,
                                pass < 0 ? image->poisoned : image->after[pass], image->bytes);
    }
}

static sn_status run_op(sn_device *device, sn_program *program, int index, sn_error *error)
{
    sn_status status = SN_OK;
    const sn_op *op = &program->ops[index];
    download_images(device, program, -1);
    for (int pass = 0; pass < PASSES; pass++) {
        poison(device, program, op, pass);
        SN_TRY(device->inner->program_run(device->device, program->programs[index], error));
        SN_TRY(device->inner->synchronise(device->device, error));
        download_images(device, program, pass);
        SN_TRY(check_unchanged(device, program, op, pass, error));
    }
    SN_TRY(check_outputs(program, op, error));
done:
    return status;
}

static sn_status checked_program_run(sn_device *device, sn_program *program, sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0; i < program->op_count; i++)
        SN_TRY(run_op(device, program, i, error));
done:
    return status;
}

#define CHECKED(open_inner, taps)                                                                            \
    {                                                                                                        \
        .name = "checked", .taps_first = taps, .open = open_inner, .close = checked_close,                   \
        .kernels = checked_kernels, .values = checked_values, .alloc = checked_alloc, .free = checked_free,  \
        .upload = checked_upload, .download = checked_download, .synchronise = checked_synchronise,          \
        .supports = checked_supports, .workspace = checked_workspace,                                        \
        .program_create = checked_program_create, .program_free = checked_program_free,                      \
        .program_run = checked_program_run,                                                                  \
    }

static const sn_backend checked_ref = CHECKED(open_ref, false);
static const sn_backend checked_cpu = CHECKED(open_cpu, true);

const sn_backend *sn_backend_checked(const sn_backend *inner)
{
    assert(inner == &sn_backend_ref || inner == &sn_backend_cpu);
    return inner == &sn_backend_ref ? &checked_ref : &checked_cpu;
}
