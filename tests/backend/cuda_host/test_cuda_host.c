/* The cuda backend on a stand-in for CUDA's runtime: the same sources, kernels included, without a GPU. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/checked/checked.h"
#include "backend/cuda/device.h"
#include "backend/plugin.h"
#include "base/memory.h"
#include "conformance.h"

extern const sn_cuda_plugin plugin __asm__(SN_CUDA_PLUGIN);

static op_runner open_cuda(sn_precision precision)
{
    return runner_open_as(plugin.backend, &(sn_device_options){.threads = 1, .precision = precision});
}

/* Nothing is left of its memory. */
static void close_cuda(op_runner *runner)
{
    runner_close(runner);
    assert_int_equal(cuda_host.used, 0);
}

/* ---- conformance ---- */

/* bf16 has 8 bits; what is summed is exact, its operands and the result are rounded. */
static tolerance bf16(sn_op_kind kind, int output)
{
    switch (kind) {
    case SN_OP_CONV3D:
    case SN_OP_CONV3D_BACKWARD_DATA:
    case SN_OP_CONV3D_BACKWARD_WEIGHTS:
        return (tolerance){5e-3, 2e-2};
    default:
        return conformance_float32(kind, output);
    }
}

static void bf16_agrees_with_ref(void **state)
{
    (void)state;
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    assert_non_null(strstr(runner.backend->kernels(runner.device), "bf16"));
    conformance_run(&runner, SN_BF16, bf16);
    close_cuda(&runner);
}

#ifndef __SANITIZE_ADDRESS__ /* which sees as much, and makes these take minutes */
static void float32_agrees_with_ref(void **state)
{
    (void)state;
    op_runner runner = open_cuda(SN_PRECISION_FLOAT32);
    runner.runs = 2; /* the second is recorded */
    conformance_run(&runner, SN_F32, conformance_float32);
    close_cuda(&runner);
}

static op_runner open_checked(sn_precision precision)
{
    sn_error error = SN_ERROR_INIT;
    op_runner runner = {.backend = sn_backend_checked(&sn_backend_ref)};
    const sn_device_options options = {.threads = 1, .precision = precision};
    if (sn_checked_open(&runner.device, plugin.backend, &options, &error) != SN_OK)
        fail_msg("%s", error.text);
    return runner;
}

static void checked_float32_agrees_with_ref(void **state)
{
    (void)state;
    op_runner runner = open_checked(SN_PRECISION_FLOAT32);
    conformance_run(&runner, SN_F32, conformance_float32);
    close_cuda(&runner);
}

static void checked_bf16_agrees_with_ref(void **state)
{
    (void)state;
    op_runner runner = open_checked(SN_PRECISION_BF16);
    conformance_run(&runner, SN_BF16, bf16);
    close_cuda(&runner);
}
#endif

/* ---- programs ---- */

enum { MOST_OPS = 8 };

/* Operations on tensors that are laid one after the other in one buffer. */
typedef struct sequence {
    sn_op ops[MOST_OPS];
    int count;
    size_t bytes;
} sequence;

static sn_operand put(sequence *of, sn_operand operand)
{
    operand.offset = of->bytes;
    of->bytes += (size_t)sn_round_up((int64_t)sn_tensor_bytes(&operand.desc), SN_ALIGNMENT);
    return operand;
}

/* The first `inputs` of the operands are inputs; what ends them has no extent. */
static void append(sequence *to, sn_op_kind kind, sn_op_params params, int inputs, const sn_operand *operands)
{
    sn_error error = SN_ERROR_INIT;
    sn_op *op = &to->ops[to->count++];
    *op = (sn_op){.kind = kind, .params = params, .input_count = inputs};
    memcpy(op->inputs, operands, (size_t)inputs * sizeof *operands);
    for (const sn_operand *out = operands + inputs; out->desc.shape[0] > 0; out++)
        op->outputs[op->output_count++] = *out;
    if (sn_op_check(op, &error) != SN_OK)
        fail_msg("%s", error.text);
}

#define APPEND(to, kind, params, inputs, ...)                                                                \
    append(to, kind, params, inputs, (const sn_operand[]){__VA_ARGS__, {.buffer = 0}})

static const sn_op_params none, convolution = {.conv3d = {3, 1, 1, 1}},
                                normalisation = {.batchnorm = {.epsilon = 1e-5}},
                                nadam = {.nadam = {0.9, 0.999, 1e-8}};

/* A program on a device, and its memory. */
typedef struct loaded {
    op_runner runner;
    sn_buffer *buffers[2]; /* the second: workspace of each operation in turn */
    sn_program *program;
} loaded;

static loaded load(op_runner runner, const sequence *of)
{
    loaded made = {.runner = runner};
    const sn_backend *backend = runner.backend;
    sn_error error = SN_ERROR_INIT;
    sn_op ops[MOST_OPS];
    size_t most = 0;
    memcpy(ops, of->ops, sizeof ops);
    for (int i = 0; i < of->count; i++) {
        size_t bytes = backend->workspace(runner.device, &ops[i]);
        most = bytes > most ? bytes : most;
        ops[i].workspace.buffer = 1;
        ops[i].workspace.offset = SN_ALIGNMENT;
    }
    if (backend->alloc(runner.device, &made.buffers[0], of->bytes, &error) != SN_OK ||
        backend->alloc(runner.device, &made.buffers[1], SN_ALIGNMENT + most, &error) != SN_OK ||
        backend->program_create(runner.device, &made.program, ops, of->count, made.buffers, 2, &error) !=
            SN_OK)
        fail_msg("%s: %s", backend->name, error.text);
    return made;
}

static void unload(loaded *self)
{
    self->runner.backend->program_free(self->runner.device, self->program);
    self->runner.backend->free(self->runner.device, self->buffers[1]);
    self->runner.backend->free(self->runner.device, self->buffers[0]);
}

/* Send all of the buffer, run, and receive it. */
static void run(const loaded *self, const float *before, float *after, size_t bytes)
{
    sn_error error = SN_ERROR_INIT;
    const sn_backend *backend = self->runner.backend;
    backend->upload(self->runner.device, self->buffers[0], 0, before, bytes);
    if (backend->program_run(self->runner.device, self->program, &error) != SN_OK)
        fail_msg("%s: %s", backend->name, error.text);
    backend->download(self->runner.device, self->buffers[0], 0, after, bytes);
    assert_int_equal(backend->synchronise(self->runner.device, &error), SN_OK);
}

/* The same on ref. */
static void run_on_ref(const sequence *of, const float *before, float *after)
{
    op_runner runner = runner_open(&sn_backend_ref, 1);
    loaded on_ref = load(runner, of);
    run(&on_ref, before, after, of->bytes);
    unload(&on_ref);
    runner_close(&runner);
}

/* Positive, so that they may be variances. */
static float *some_values(size_t bytes)
{
    float *values = malloc(bytes);
    assert_non_null(values);
    for (size_t i = 0; i < bytes / sizeof *values; i++)
        values[i] = (float)(i * 7919 % 1000 + 1) / 1000;
    return values;
}

static void assert_close(const float *is, const float *wanted, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof *is;
         i++) /* an index of pooling is no float, and has the same bits */
        if (memcmp(is + i, wanted + i, sizeof *is) != 0 && !(fabsf(is[i] - wanted[i]) <= 1e-4f))
            fail_msg("value %zu of the buffer is %g, on ref %g", i, is[i], wanted[i]);
}

/* Run twice on the stand-in, and on ref; returns the kernels that one run launched. */
static int compare_with_ref(const sequence *of)
{
    float *before = some_values(of->bytes), *first = malloc(of->bytes), *second = malloc(of->bytes);
    float *wanted = malloc(of->bytes);
    assert_true(first != NULL && second != NULL && wanted != NULL);
    op_runner runner = open_cuda(SN_PRECISION_FLOAT32);
    loaded on_gpu = load(runner, of);
    run(&on_gpu, before, first, of->bytes);
    int launches = cuda_host.launches;
    run(&on_gpu, before, second, of->bytes);
    launches = cuda_host.launches - launches;
    run_on_ref(of, before, wanted);
    assert_memory_equal(first, second, of->bytes);
    assert_close(first, wanted, of->bytes);
    unload(&on_gpu);
    close_cuda(&runner);
    free(before);
    free(first);
    free(second);
    free(wanted);
    return launches;
}

static void a_program_gives_the_same_bits_each_time_it_runs_recorded_or_not(void **state)
{
    (void)state;
    sequence of = {.count = 0};
    sn_operand x = put(&of, operand_of(SN_F32, 1, 3, 6, 8, 6)),
               w = put(&of, operand_of(SN_F32, 4, 3, 3, 3, 3));
    sn_operand y = put(&of, operand_of(SN_F32, 1, 4, 6, 8, 6)), z = put(&of, like(&y));
    sn_operand gamma = put(&of, vector_of(SN_F32, 4)), beta = put(&of, like(&gamma));
    sn_operand m = put(&of, like(&gamma)), v = put(&of, like(&gamma)), dw = put(&of, like(&w));
    sn_operand pooled = put(&of, operand_of(SN_F32, 1, 4, 3, 4, 3));
    sn_operand index = put(&of, operand_of(SN_U8, 1, 4, 3, 4, 3));
    APPEND(&of, SN_OP_CONV3D, convolution, 2, x, w, y);
    APPEND(&of, SN_OP_BATCHNORM, normalisation, 3, y, gamma, beta, z, m, v);
    APPEND(&of, SN_OP_MAXPOOL, none, 1, z, pooled, index);
    APPEND(&of, SN_OP_CONV3D_BACKWARD_WEIGHTS, convolution, 2, x, z, dw);
    compare_with_ref(&of);
    cuda_host.records = false;
    compare_with_ref(&of);
    cuda_host.records = true;
}

/* p, gradient, m and v of `count` values. */
static void append_nadam(sequence *of, sn_operand t, int count)
{
    sn_operand p = put(of, vector_of(SN_F32, count));
    sn_operand grad = put(of, like(&p)), m = put(of, like(&p)), v = put(of, like(&p));
    APPEND(of, SN_OP_NADAM, nadam, 1, t, p, grad, m, v);
}

static void all_parameters_are_updated_by_one_kernel(void **state)
{
    (void)state;
    sequence of = {.count = 0};
    sn_operand t = put(&of, operand_of(SN_F64, 1, 1, 1, 1, 4));
    append_nadam(&of, t, 5000); /* more than one part */
    append_nadam(&of, t, 1);
    append_nadam(&of, t, 8192);
    append_nadam(&of, t, 37);
    assert_int_equal(compare_with_ref(&of), 1);
}

static sn_operand append_average(sequence *of, sn_operand x, sn_operand t)
{
    sn_operand average = put(of, like(&x));
    APPEND(of, SN_OP_AVERAGE, none, 2, x, t, average);
    return average;
}

static void averages_are_joined_unless_one_needs_another(void **state)
{
    (void)state;
    sequence of = {.count = 0};
    sn_operand t = put(&of, operand_of(SN_F64, 1, 1, 1, 1, 1)), other = put(&of, like(&t));
    sn_operand x = put(&of, vector_of(SN_F32, 4097));
    append_average(&of, put(&of, vector_of(SN_F32, 3)), t);
    sn_operand average = append_average(&of, x, t);
    assert_int_equal(compare_with_ref(&of), 1);
    append_average(&of, average, t);
    assert_int_equal(compare_with_ref(&of), 2);
    append_average(&of, x, other);
    assert_int_equal(compare_with_ref(&of), 3);
}

static void a_program_of_nothing_runs(void **state)
{
    (void)state;
    sequence of = {.count = 0, .bytes = SN_ALIGNMENT};
    assert_int_equal(compare_with_ref(&of), 0);
}

/* Who counts runs knows how far the device is, though what is sent for them is little. */
static void the_host_is_few_runs_ahead(void **state)
{
    (void)state;
    sequence of = {.count = 0};
    sn_error error = SN_ERROR_INIT;
    sn_operand t = put(&of, operand_of(SN_F64, 1, 1, 1, 1, 4));
    append_nadam(&of, t, 37);
    op_runner runner = open_cuda(SN_PRECISION_FLOAT32);
    loaded on_gpu = load(runner, &of);
    const int before = cuda_host.launches;
    for (int runs = 1; runs <= 4 * SN_CUDA_AHEAD; runs++) {
        assert_int_equal(runner.backend->program_run(runner.device, on_gpu.program, &error), SN_OK);
        assert_int_equal(cuda_host.launches - before, runs < SN_CUDA_AHEAD ? 0 : runs - SN_CUDA_AHEAD);
    }
    unload(&on_gpu);
    close_cuda(&runner);
}

/* ---- copies and memory ---- */

static void what_is_uploaded_may_change_at_once_and_comes_back(void **state)
{
    (void)state;
    enum { BYTES = SN_CUDA_SLOTS * SN_CUDA_SLOT_BYTES + 12345 };
    sn_error error = SN_ERROR_INIT;
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    sn_buffer *buffer;
    char *sent = malloc(BYTES), *received = malloc(BYTES), *wanted = malloc(BYTES);
    assert_true(sent != NULL && received != NULL && wanted != NULL);
    for (int i = 0; i < BYTES; i++)
        sent[i] = wanted[i] = (char)(i * 31 + i / 4096);
    assert_int_equal(runner.backend->alloc(runner.device, &buffer, BYTES + SN_ALIGNMENT, &error), SN_OK);
    runner.backend->upload(runner.device, buffer, SN_ALIGNMENT, sent, BYTES);
    memset(sent, 0, BYTES);
    runner.backend->download(runner.device, buffer, SN_ALIGNMENT, received, BYTES);
    assert_memory_equal(received, wanted, BYTES);
    runner.backend->download(runner.device, buffer, 0, received, SN_ALIGNMENT);
    assert_memory_equal(received, sent, SN_ALIGNMENT); /* memory is zeroed */
    runner.backend->free(runner.device, buffer);
    close_cuda(&runner);
    free(sent);
    free(received);
    free(wanted);
}

static void an_upload_does_not_wait_for_the_device(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    sn_buffer *buffer;
    const size_t bytes = SN_CUDA_SLOT_BYTES;
    char *data = calloc(bytes, 1);
    assert_non_null(data);
    assert_int_equal(runner.backend->alloc(runner.device, &buffer, bytes, &error), SN_OK);
    const int waits = cuda_host.waits;
    for (int i = 0; i < 1000; i++)
        runner.backend->upload(runner.device, buffer, 0, data, 16);
    for (int i = 0; i < SN_CUDA_SLOTS - 1; i++)
        runner.backend->upload(runner.device, buffer, 0, data, bytes);
    assert_int_equal(cuda_host.waits, waits);
    runner.backend->free(runner.device, buffer);
    close_cuda(&runner);
    free(data);
}

static void out_of_memory_says_what_is_free(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    const size_t memory = cuda_host.memory;
    sn_buffer *buffer, *other;
    cuda_host.memory = 1000;
    assert_int_equal(runner.backend->alloc(runner.device, &buffer, 600, &error), SN_OK);
    assert_int_equal(runner.backend->alloc(runner.device, &other, 500, &error), SN_ERR_MEMORY);
    assert_null(other);
    assert_string_equal(error.text, "GPU 0 is out of memory: 500 bytes asked for, 400 of 1000 are free");
    assert_int_equal(runner.backend->alloc(runner.device, &other, 400, &error), SN_OK);
    sn_op op = {.kind = SN_OP_SUM, .input_count = 1, .output_count = 1};
    op.inputs[0] = op.outputs[0] = vector_of(SN_F32, 100);
    sn_program *program;
    assert_int_equal(runner.backend->program_create(runner.device, &program, &op, 1, &buffer, 1, &error),
                     SN_ERR_MEMORY);
    assert_null(program);
    runner.backend->free(runner.device, other);
    runner.backend->free(runner.device, buffer);
    cuda_host.memory = memory;
    close_cuda(&runner);
}

/* ---- values that are no numbers ---- */

static const sn_dtype types[2] = {SN_F32, SN_BF16};

static void a_score_that_is_no_number_makes_the_loss_none(void **state)
{
    (void)state;
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    for (int index = 0; index < op_case_count(); index++) {
        for (int t = 0; t < 2; t++) {
            op_case which = op_case_get(index, types[t]);
            if (which.op.kind != SN_OP_LOSS)
                continue;
            op_values values = op_values_make(&which.op);
            op_values_copy(&values, &conformance_given[index], &which.op);
            values.in[0][sn_tensor_count(&which.op.inputs[0].desc) - 1] = NAN;
            op_run(&runner, &which.op, &values);
            assert_true(isnan(values.out[0][0]));
            op_values_clear(&values);
        }
    }
    close_cuda(&runner);
}

static void relu_keeps_what_is_no_number(void **state)
{
    (void)state;
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    sn_op op = {.kind = SN_OP_BIAS, .params.bias = {true}, .input_count = 2, .output_count = 1};
    op.inputs[1] = vector_of(SN_F32, 1);
    for (int t = 0; t < 2; t++) {
        op.inputs[0] = op.outputs[0] = operand_of(types[t], 1, 1, 1, 1, 3);
        op_values values = op_values_make(&op);
        values.in[0][0] = NAN;
        values.in[0][1] = -1;
        op_run(&runner, &op, &values);
        assert_true(isnan(values.out[0][0]));
        assert_true(values.out[0][1] == 0 && values.out[0][2] == 0);
        op_values_clear(&values);
    }
    close_cuda(&runner);
}

/* Bit patterns of float32, and what becomes of them: ties to even, and nothing but NaN becomes one. */
static void bf16_is_the_nearest(void **state)
{
    (void)state;
    static const struct {
        uint32_t wide;
        uint16_t bf16;
    } roundings[] = {
        {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, {0x3F808001, 0x3F81}, {0x3F807FFF, 0x3F80},
        {0xBF818000, 0xBF82}, {0x7F7FFFFF, 0x7F80}, {0x7F800000, 0x7F80}, {0x80000000, 0x8000},
        {0x00008000, 0x0000}, {0x00018000, 0x0002}, {0x7F800001, 0x7FC0}, {0xFFFFFFFF, 0xFFFF},
    };
    enum { COUNT = sizeof roundings / sizeof *roundings };
    sn_error error = SN_ERROR_INIT;
    sequence of = {.count = 0};
    uint32_t given[COUNT];
    uint16_t is[COUNT][SN_BF16_CHANNELS];
    sn_operand x = put(&of, operand_of(SN_F32, 1, 1, 1, 1, COUNT));
    sn_operand y = put(&of, operand_of(SN_BF16, 1, 1, 1, 1, COUNT)), z = put(&of, like(&y));
    for (int i = 0; i < COUNT; i++)
        given[i] = roundings[i].wide;
    APPEND(&of, SN_OP_TO_BF16, none, 1, x, y);
    APPEND(&of, SN_OP_SUM, none, 1, y, z); /* stores them in another way */
    op_runner runner = open_cuda(SN_PRECISION_BF16);
    loaded on_gpu = load(runner, &of);
    runner.backend->upload(runner.device, on_gpu.buffers[0], x.offset, given, sizeof given);
    assert_int_equal(runner.backend->program_run(runner.device, on_gpu.program, &error), SN_OK);
    for (int k = 0; k < 2; k++) {
        runner.backend->download(runner.device, on_gpu.buffers[0], k == 0 ? y.offset : z.offset, is,
                                 sizeof is);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(is[i][0], roundings[i].bf16);
    }
    unload(&on_gpu);
    close_cuda(&runner);
}

/* ---- what GPUs there are ---- */

static void without_a_gpu_the_reason_is_said(void **state)
{
    (void)state;
    char reason[SN_REASON_TEXT];
    const struct cuda_host usual = cuda_host;
    assert_int_equal(plugin.count(reason), 1);
    cuda_host.driver = 0;
    assert_int_equal(plugin.count(reason), 0);
    assert_string_equal(reason, "no NVIDIA driver is installed");
    cuda_host.driver = 12020;
    assert_int_equal(plugin.count(reason), 0);
    assert_string_equal(reason,
                        "the NVIDIA driver is for CUDA 12.2, this build needs 13.0; install a newer driver");
    cuda_host = usual;
    cuda_host.gpus = 0;
    assert_int_equal(plugin.count(reason), 0);
    assert_string_equal(reason, "the NVIDIA driver finds no GPU");
    cuda_host = usual;
}

static void a_gpu_without_kernels_has_a_problem(void **state)
{
    (void)state;
    static const cudaError_t codes[] = {cudaErrorNoKernelImageForDevice, cudaErrorInvalidDeviceFunction,
                                        cudaErrorUnsupportedPtxVersion};
    sn_gpu gpu;
    sn_buffer *buffer;
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        cuda_host.kernels = codes[i];
        plugin.describe(&gpu, 0);
        assert_string_equal(gpu.problem,
                            "this build has no kernels for compute capability 9.0; build for it with "
                            "-DCMAKE_CUDA_ARCHITECTURES=90");
        assert_int_equal(runner.backend->alloc(runner.device, &buffer, 1, NULL), SN_ERR_UNSUPPORTED);
    }
    cuda_host.kernels = cudaSuccess;
    close_cuda(&runner);
    plugin.describe(&gpu, 0);
    assert_string_equal(gpu.problem, "");
    assert_int_equal(gpu.total_bytes, cuda_host.memory);
}

/* A context takes memory of the GPU, or the GPU itself where it is for one process at a time. */
static void who_only_asks_keeps_no_context(void **state)
{
    (void)state;
    sn_gpu gpu;
    sn_buffer *buffer;
    sn_error error = SN_ERROR_INIT;
    cuda_host.gpus = 2;
    cuda_host.contexts = 0;
    plugin.identify(&gpu, 1);
    assert_string_equal(gpu.name, "stand-in");
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    sn_op op = op_case_get(0, SN_F32).op;
    assert_true(runner.backend->workspace(runner.device, &op) > 0);
    assert_int_equal(cuda_host.contexts, 0);
    plugin.describe(&gpu, 1);
    assert_int_equal(gpu.free_bytes, cuda_host.memory);
    assert_int_equal(cuda_host.contexts, 0);
    assert_int_equal(runner.backend->alloc(runner.device, &buffer, 1000, &error), SN_OK);
    plugin.describe(&gpu, 0);
    assert_int_equal(gpu.free_bytes, cuda_host.memory - 1000);
    assert_int_equal(cuda_host.contexts, 1); /* of what computes */
    runner.backend->free(runner.device, buffer);
    close_cuda(&runner);
    plugin.describe(&gpu, 0);
    assert_int_equal(cuda_host.contexts, 0);
    cuda_host.gpus = 1;
}

static sn_status try_open(int index, sn_precision precision)
{
    sn_error error = SN_ERROR_INIT;
    sn_device *device;
    const sn_device_options options = {.threads = 1, .index = index, .precision = precision};
    sn_status status = plugin.backend->open(&device, &options, &error);
    plugin.backend->close(device);
    assert_true((status == SN_OK) == (device != NULL));
    return status;
}

static void a_device_opens_with_what_it_has(void **state)
{
    (void)state;
    assert_int_equal(try_open(0, SN_PRECISION_TF32), SN_OK);
    assert_int_equal(try_open(1, SN_PRECISION_AUTO), SN_ERR_ARG);
    cuda_host.major = 7;
    assert_int_equal(try_open(0, SN_PRECISION_AUTO), SN_OK);
    assert_int_equal(try_open(0, SN_PRECISION_FLOAT32), SN_OK);
    assert_int_equal(try_open(0, SN_PRECISION_BF16), SN_ERR_UNSUPPORTED);
    cuda_host.major = 9;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_agrees_with_ref),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(float32_agrees_with_ref),
        cmocka_unit_test(checked_float32_agrees_with_ref),
        cmocka_unit_test(checked_bf16_agrees_with_ref),
#endif
        cmocka_unit_test(a_program_gives_the_same_bits_each_time_it_runs_recorded_or_not),
        cmocka_unit_test(all_parameters_are_updated_by_one_kernel),
        cmocka_unit_test(averages_are_joined_unless_one_needs_another),
        cmocka_unit_test(a_program_of_nothing_runs),
        cmocka_unit_test(the_host_is_few_runs_ahead),
        cmocka_unit_test(what_is_uploaded_may_change_at_once_and_comes_back),
        cmocka_unit_test(an_upload_does_not_wait_for_the_device),
        cmocka_unit_test(out_of_memory_says_what_is_free),
        cmocka_unit_test(a_score_that_is_no_number_makes_the_loss_none),
        cmocka_unit_test(relu_keeps_what_is_no_number),
        cmocka_unit_test(bf16_is_the_nearest),
        cmocka_unit_test(without_a_gpu_the_reason_is_said),
        cmocka_unit_test(a_gpu_without_kernels_has_a_problem),
        cmocka_unit_test(who_only_asks_keeps_no_context),
        cmocka_unit_test(a_device_opens_with_what_it_has),
    };
    return cmocka_run_group_tests_name("cuda_host", tests, conformance_setup, conformance_teardown);
}
