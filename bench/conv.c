/*
 * The cpu backend's convolutions, timed one by one: GFLOP/s and the share of the FMA peak, which is measured
 * beside each case, because other work on the machine changes it.
 *
 * Usage: bench_conv [threads [words that a case's name contains...]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/threads.h"
#include "bench/convolution.h"
#include "bench/fma.h"

enum { REPEATS = 7 };

/* The shortest of REPEATS runs, in seconds, and the highest peak measured between them. */
static sn_status time_convolution(bench_convolution *convolution, int threads, double *shortest, double *peak,
                                  sn_error *error)
{
    sn_status status;
    *shortest = *peak = 0;
    for (int i = 0; i <= REPEATS; i++) {
        double took, now;
        SN_TRY(bench_convolution_run(convolution, &took, error));
        now = bench_fma_peak(threads);
        if (i > 0 && (*shortest == 0 || took < *shortest))
            *shortest = took;
        *peak = now > *peak ? now : *peak;
    }
done:
    return status;
}

static sn_status run_case(const sn_backend *backend, sn_device *device, int threads, const sn_op *op,
                          const char *name, sn_error *error)
{
    sn_status status;
    bench_convolution convolution;
    double took, peak;
    SN_TRY(bench_convolution_open(&convolution, op, backend, device, error));
    SN_TRY(time_convolution(&convolution, threads, &took, &peak, error));
    double gflops = 2e-9 * (double)sn_op_multiply_adds(op) / took;
    printf("%-52s %9.3f ms %7.1f GFLOP/s %5.1f %% of %.0f\n", name, took * 1e3, gflops,
           peak > 0 ? 100 * gflops / peak : 0, peak);
done:
    bench_convolution_close(&convolution);
    return status;
}

static sn_status run_all(const sn_backend *backend, sn_device *device, int threads, int word_count,
                         char **words, sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0; i < bench_shape_count; i++)
        for (int k = 0; k < BENCH_KINDS; k++) {
            char name[2 * BENCH_NAME], shape[BENCH_NAME];
            bench_shape_name(shape, &bench_shapes[i]);
            snprintf(name, sizeof name, "%s %s", sn_op_describe(bench_kinds[k])->name, shape);
            sn_op op = bench_convolution_op(bench_kinds[k], &bench_shapes[i]);
            if (bench_wanted(name, word_count, words))
                SN_TRY(run_case(backend, device, threads, &op, name, error));
        }
done:
    return status;
}

int main(int argc, char **argv)
{
    sn_error error = SN_ERROR_INIT;
    sn_device *device = NULL;
    const sn_backend *backend = &sn_backend_cpu;
    int threads = argc > 1 ? atoi(argv[1]) : sn_threads_default();
    sn_status status = backend->open(&device, &(sn_device_options){.threads = threads}, &error);
    if (status == SN_OK)
        status = run_all(backend, device, threads, argc > 2 ? argc - 2 : 0, argv + 2, &error);
    if (status != SN_OK)
        fprintf(stderr, "bench_conv: %s\n", error.text);
    backend->close(device);
    return sn_status_exit_code(status);
}
