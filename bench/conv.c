/*
 * The cpu backend's operations, timed one by one: GFLOP/s and the share of the FMA peak, which is measured
 * beside each case, because other work on the machine changes it.
 *
 * Usage: bench_conv [threads [words that a case's name contains...]]
 */
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "base/random.h"

enum { REPEATS = 7, FMA_CHAINS = 12, FMA_STEPS = 200000 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Independent chains of multiply-adds in registers. */
#define FMA_LOOP(name, lanes, attribute)                                                                     \
    typedef float name##_vector __attribute__((vector_size(4 * (lanes))));                                   \
    attribute static float name(void)                                                                        \
    {                                                                                                        \
        name##_vector sum[FMA_CHAINS], factor = {0.5f}, all = {0};                                           \
        _Pragma("GCC unroll 12") for (int c = 0; c < FMA_CHAINS; c++) sum[c] = all + (float)c;               \
        for (int i = 0; i < FMA_STEPS; i++) {                                                                \
            _Pragma("GCC unroll 12") for (int c = 0; c < FMA_CHAINS; c++)                                    \
            {                                                                                                \
                sum[c] = sum[c] * factor + factor;                                                           \
                __asm__("" : "+x"(sum[c]));                                                                  \
            }                                                                                                \
        }                                                                                                    \
        _Pragma("GCC unroll 12") for (int c = 0; c < FMA_CHAINS; c++) all += sum[c];                         \
        return all[0];                                                                                       \
    }

#if defined(__x86_64__)
FMA_LOOP(fma_avx512, 16, __attribute__((target("avx512f"))))
FMA_LOOP(fma_avx2, 8, __attribute__((target("avx2,fma"))))
#endif

/* Multiply-adds a second of `threads` threads, in GFLOP/s; 0 where unknown. */
static double measure_peak(int threads)
{
#if defined(__x86_64__)
    const bool wide = __builtin_cpu_supports("avx512f");
    if (!wide && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
        return 0;
    float sink = 0;
    double start = seconds();
#pragma omp parallel num_threads(threads) reduction(+ : sink)
    sink += wide ? fma_avx512() : fma_avx2();
    double took = seconds() - start;
    return 2.0 * (wide ? 16 : 8) * FMA_CHAINS * FMA_STEPS * threads / took * (sink == 1 ? 1.0 : 1e-9);
#else
    (void)threads;
    return 0;
#endif
}

typedef struct bench_case {
    sn_op_kind kind;
    int64_t in_channels, out_channels, extent[3];
    int kernel, dilation, stride;
} bench_case;

static sn_op make_op(const bench_case *c)
{
    int k = c->kernel, pad = c->stride == 1 ? c->dilation * (k - 1) / 2 : 0;
    sn_tensor_desc x = {SN_F32, {1, c->in_channels, c->extent[0], c->extent[1], c->extent[2]}}, y = x;
    sn_tensor_desc w = {SN_F32, {c->out_channels, c->in_channels, k, k, k}};
    y.shape[1] = c->out_channels;
    for (int i = 2; i < SN_DIMS; i++)
        y.shape[i] = (x.shape[i] + 2 * pad - c->dilation * (k - 1) - 1) / c->stride + 1;
    sn_op op = {.kind = c->kind, .input_count = 2, .output_count = 1};
    op.params.conv3d = (sn_conv3d_params){k, c->dilation, c->stride, pad};
    op.inputs[0].desc = c->kind == SN_OP_CONV3D_BACKWARD_DATA ? y : x;
    op.inputs[1].desc = c->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS ? y : w;
    op.outputs[0].desc = c->kind == SN_OP_CONV3D ? y : c->kind == SN_OP_CONV3D_BACKWARD_DATA ? x : w;
    return op;
}

static sn_status fill(const sn_backend *backend, sn_device *device, sn_buffer *buffer,
                      const sn_operand *operand, sn_error *error)
{
    sn_status status;
    float *values = NULL;
    int64_t count = sn_tensor_count(&operand->desc);
    sn_random random = sn_random_begin(1, SN_RANDOM_TEST, operand->offset);
    SN_TRY(sn_alloc(&values, (size_t)count, sizeof *values, error));
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)sn_random_next(&random) / 4294967296.0f - 0.5f;
    backend->upload(device, buffer, operand->offset, values, (size_t)count * sizeof *values);
done:
    sn_free(values);
    return status;
}

/* The shortest of REPEATS runs, in seconds, and the highest peak measured between them. */
static sn_status time_program(const sn_backend *backend, sn_device *device, sn_program *program, int threads,
                              double *shortest, double *peak, sn_error *error)
{
    sn_status status;
    *shortest = *peak = 0;
    for (int i = 0; i <= REPEATS; i++) {
        double start = seconds();
        SN_TRY(backend->program_run(device, program, error));
        backend->synchronise(device);
        double took = seconds() - start, now = measure_peak(threads);
        if (i > 0 && (*shortest == 0 || took < *shortest))
            *shortest = took;
        *peak = now > *peak ? now : *peak;
    }
done:
    return status;
}

static sn_status run_case(const sn_backend *backend, sn_device *device, int threads, const bench_case *c,
                          const char *name, sn_error *error)
{
    sn_status status;
    sn_buffer *buffer = NULL, *workspace = NULL;
    sn_program *program = NULL;
    sn_op op = make_op(c);
    sn_operand *operands[3] = {&op.inputs[0], &op.inputs[1], &op.outputs[0]};
    size_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        operands[i]->offset = bytes;
        bytes += (size_t)sn_round_up((int64_t)sn_tensor_bytes(&operands[i]->desc), SN_ALIGNMENT);
    }
    SN_TRY(sn_op_check(&op, error));
    SN_TRY(backend->alloc(device, &buffer, bytes, error));
    SN_TRY(backend->alloc(device, &workspace, backend->workspace(device, &op), error));
    for (int i = 0; i < 2; i++)
        SN_TRY(fill(backend, device, buffer, operands[i], error));
    SN_TRY(backend->program_create(device, &program, &op, 1, &buffer, 1, workspace, error));
    double took, peak;
    SN_TRY(time_program(backend, device, program, threads, &took, &peak, error));
    double gflops = 2e-9 * (double)sn_op_multiply_adds(&op) / took;
    printf("%-52s %9.3f ms %7.1f GFLOP/s %5.1f %% of %.0f\n", name, took * 1e3, gflops,
           peak > 0 ? 100 * gflops / peak : 0, peak);
done:
    backend->program_free(device, program);
    backend->free(device, workspace);
    backend->free(device, buffer);
    return status;
}

static const bench_case cases[] = {
    {0, 21, 21, {48, 64, 48}, 3, 1, 1},  {0, 42, 42, {24, 32, 24}, 3, 1, 1},
    {0, 84, 84, {12, 16, 12}, 3, 1, 1},  {0, 168, 168, {6, 8, 6}, 3, 1, 1},
    {0, 63, 21, {48, 64, 48}, 3, 1, 1},  {0, 252, 84, {12, 16, 12}, 3, 1, 1},
    {0, 1, 21, {48, 64, 48}, 3, 1, 1},   {0, 21, 21, {64, 64, 64}, 3, 1, 1},
    {0, 16, 16, {64, 64, 64}, 3, 1, 1},  {0, 26, 26, {64, 64, 64}, 3, 1, 1},
    {0, 8, 8, {64, 64, 64}, 3, 1, 1},    {0, 32, 32, {64, 64, 64}, 3, 1, 1},
    {0, 3, 3, {64, 64, 64}, 3, 1, 1},    {0, 21, 21, {64, 64, 64}, 5, 1, 1},
    {0, 21, 21, {64, 64, 64}, 3, 2, 1},  {0, 21, 21, {64, 64, 64}, 5, 2, 1},
    {0, 21, 42, {48, 64, 48}, 1, 1, 1},  {0, 21, 20, {64, 64, 64}, 1, 1, 1},
    {0, 168, 168, {8, 8, 8}, 1, 1, 1},   {0, 256, 256, {8, 8, 8}, 3, 1, 1},
    {0, 512, 512, {4, 4, 4}, 3, 1, 1},   {0, 42, 21, {48, 64, 48}, 2, 1, 2},
    {0, 64, 64, {37, 29, 43}, 3, 1, 1},  {0, 1600, 800, {4, 4, 4}, 3, 1, 1},
    {0, 1024, 1024, {1, 1, 1}, 3, 1, 1}, {0, 512, 512, {2, 2, 2}, 3, 1, 1},
    {0, 1024, 512, {2, 2, 2}, 3, 1, 1},  {0, 256, 256, {4, 4, 4}, 3, 1, 1},
    {0, 512, 512, {3, 4, 3}, 3, 1, 1},   {0, 128, 128, {8, 8, 8}, 3, 1, 1},
    {0, 256, 256, {4, 4, 4}, 3, 2, 1},   {0, 512, 512, {2, 2, 2}, 5, 1, 1},
    {0, 128, 128, {4, 4, 4}, 5, 1, 1},   {0, 1024, 1024, {2, 2, 2}, 1, 1, 1},
    {0, 1024, 512, {2, 2, 2}, 2, 1, 2},
};

static bool wanted(const char *name, int count, char **words)
{
    for (int i = 0; i < count; i++)
        if (strstr(name, words[i]) == NULL)
            return false;
    return true;
}

static sn_status run_all(const sn_backend *backend, sn_device *device, int threads, int word_count,
                         char **words, sn_error *error)
{
    static const sn_op_kind kinds[3] = {SN_OP_CONV3D, SN_OP_CONV3D_BACKWARD_DATA,
                                        SN_OP_CONV3D_BACKWARD_WEIGHTS};
    sn_status status = SN_OK;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 3; k++) {
            bench_case c = cases[i];
            char name[128];
            c.kind = kinds[k];
            snprintf(name, sizeof name, "%s %lld->%lld @%lldx%lldx%lld k%d d%d s%d",
                     sn_op_describe(c.kind)->name, (long long)c.in_channels, (long long)c.out_channels,
                     (long long)c.extent[0], (long long)c.extent[1], (long long)c.extent[2], c.kernel,
                     c.dilation, c.stride);
            if (wanted(name, word_count, words))
                SN_TRY(run_case(backend, device, threads, &c, name, error));
        }
done:
    return status;
}

int main(int argc, char **argv)
{
    sn_error error = SN_ERROR_INIT;
    sn_device *device = NULL;
    const sn_backend *backend = &sn_backend_cpu;
    int threads = argc > 1 ? atoi(argv[1]) : omp_get_max_threads();
    sn_status status = backend->open(&device, &(sn_device_options){.threads = threads}, &error);
    if (status == SN_OK)
        status = run_all(backend, device, threads, argc > 2 ? argc - 2 : 0, argv + 2, &error);
    if (status != SN_OK)
        fprintf(stderr, "bench_conv: %s\n", error.text);
    backend->close(device);
    return sn_status_exit_code(status);
}
