/*
 * Convolutions of the cpu backend beside oneDNN's, in oneDNN's best case: in the better of two layouts, and
 * without the time to bring tensors there. Ours work on dense N, C, D, H, W.
 *
 * Usage: bench_layers THREADS [words that "layer <operation> <shape>" contains...]
 *
 * Prints a JSON object a line: layer, direction, medians of segnas3d and onednn in milliseconds, oneDNN's
 * layout, the repeats, and the root mean square of their difference in that of oneDNN's result. Differences of single
 * values are checked.
 */
#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "bench/convolution.h"
#include "bench/onednn.h"

enum { REPEATS = 5, MOST_REPEATS = 51 };
static const double least_seconds = 0.2;

/* The peers of one comparison: ours first, then oneDNN in each layout. */
enum { OURS, ONEDNN, PEERS = ONEDNN + BENCH_LAYOUTS };

typedef struct comparison {
    sn_op op;
    bench_convolution ours;
    bench_onednn onednn[BENCH_LAYOUTS];
    bool available[BENCH_LAYOUTS]; /* oneDNN has the convolution in this layout */
    double difference; /* root mean square, in that of oneDNN's result; the largest of its layouts */
    int repeats;
    double seconds[PEERS][MOST_REPEATS];
} comparison;

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static sn_status comparison_open(comparison *self, const sn_op *op, const sn_backend *backend,
                                 sn_device *device, sn_error *error)
{
    *self = (comparison){.op = *op};
    sn_status status = bench_convolution_open(&self->ours, op, backend, device, error);
    for (int l = 0; status == SN_OK && l < BENCH_LAYOUTS; l++) {
        status = bench_onednn_open(&self->onednn[l], op, (bench_layout)l, error);
        self->available[l] = status == SN_OK;
        if (status == SN_ERR_UNSUPPORTED)
            status = SN_OK;
    }
    return status;
}

static void comparison_close(comparison *self)
{
    for (int l = 0; l < BENCH_LAYOUTS; l++)
        bench_onednn_close(&self->onednn[l]);
    bench_convolution_close(&self->ours);
}

/* One run of each peer, one after the other. */
static sn_status run_peers(comparison *self, double seconds[PEERS], sn_error *error)
{
    sn_status status;
    SN_TRY(bench_convolution_run(&self->ours, &seconds[OURS], error));
    for (int l = 0; l < BENCH_LAYOUTS; l++)
        if (self->available[l])
            SN_TRY(bench_onednn_run(&self->onednn[l], &seconds[ONEDNN + l], error));
done:
    return status;
}

/* Hold the results of the first run against each other: they are sums of the same products. */
static sn_status check_results(comparison *self, sn_error *error)
{
    sn_status status;
    float *ours = NULL, *theirs = NULL;
    const sn_operand *output = &self->ours.op.outputs[0];
    int64_t count = sn_tensor_count(&output->desc);
    SN_TRY(sn_alloc(&ours, (size_t)count, sizeof *ours, error));
    sn_tensor_download(self->ours.backend, self->ours.device, self->ours.buffer, output->offset,
                       &output->desc, output == sn_op_weights(&self->ours.op), ours);
    for (int l = 0; l < BENCH_LAYOUTS; l++) {
        double scale = 0, largest = 0, squares = 0, of_onednn = 0;
        if (!self->available[l])
            continue;
        SN_TRY(bench_onednn_result(&theirs, &self->onednn[l], &self->op, error));
        for (int64_t i = 0; i < count; i++) {
            double difference = (double)ours[i] - (double)theirs[i];
            scale = fmax(scale, fabs((double)ours[i]));
            largest = fmax(largest, fabs(difference));
            squares += difference * difference;
            of_onednn += (double)theirs[i] * (double)theirs[i];
        }
        self->difference = fmax(self->difference, sqrt(squares / of_onednn));
        if (!(largest <= 1e-4 * scale)) {
            status = sn_error_set(error, SN_ERR_FAILED, "results differ by %g of %g", largest, scale);
            goto done;
        }
        sn_free(theirs);
        theirs = NULL;
    }
done:
    sn_free(ours);
    sn_free(theirs);
    return status;
}

static sn_status time_peers(comparison *self, sn_error *error)
{
    sn_status status;
    double seconds[PEERS] = {0}, total = 0;
    SN_TRY(run_peers(self, seconds, error)); /* not timed: memory and caches are cold */
    SN_TRY(check_results(self, error));
    while (self->repeats < REPEATS || (total < least_seconds && self->repeats < MOST_REPEATS)) {
        SN_TRY(run_peers(self, seconds, error));
        for (int p = 0; p < PEERS; p++) {
            self->seconds[p][self->repeats] = seconds[p];
            total += seconds[p];
        }
        self->repeats++;
    }
done:
    return status;
}

static void print_result(comparison *self, const char *layer, const char *direction)
{
    int best = -1;
    double fastest = 0;
    for (int l = 0; l < BENCH_LAYOUTS; l++) {
        double middle = median(self->seconds[ONEDNN + l], self->repeats);
        if (self->available[l] && (best < 0 || middle < fastest)) {
            fastest = middle;
            best = l;
        }
    }
    json_t *result = json_pack("{ss ss sf sf si}", "layer", layer, "direction", direction, "segnas3d",
                               median(self->seconds[OURS], self->repeats) * 1e3, "difference",
                               self->difference, "repeats", self->repeats);
    if (best >= 0)
        json_object_update_new(result, json_pack("{sf ss}", "onednn", fastest * 1e3, "layout",
                                                 bench_layout_name((bench_layout)best)));
    json_dumpf(result, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(result);
}

static sn_status compare(const sn_backend *backend, sn_device *device, int direction,
                         const bench_shape *shape, const char *layer, sn_error *error)
{
    static const char *const directions[BENCH_KINDS] = {"forward", "backward data", "backward weights"};
    sn_status status;
    comparison self;
    sn_op op = bench_convolution_op(bench_kinds[direction], shape);
    SN_TRY(comparison_open(&self, &op, backend, device, error));
    SN_TRY(time_peers(&self, error));
    print_result(&self, layer, directions[direction]);
done:
    comparison_close(&self);
    return status;
}

static sn_status compare_all(const sn_backend *backend, sn_device *device, int word_count, char **words,
                             sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0; i < bench_shape_count; i++)
        for (int k = 0; k < BENCH_KINDS; k++) {
            char layer[BENCH_NAME], name[2 * BENCH_NAME];
            bench_shape_name(layer, &bench_shapes[i]);
            snprintf(name, sizeof name, "layer %s %s", sn_op_describe(bench_kinds[k])->name, layer);
            if (!bench_wanted(name, word_count, words))
                continue;
            fprintf(stderr, "%s\n", name);
            SN_TRY(compare(backend, device, k, &bench_shapes[i], layer, error));
        }
done:
    return status;
}

int main(int argc, char **argv)
{
    sn_error error = SN_ERROR_INIT;
    sn_device *device = NULL;
    const sn_backend *backend = &sn_backend_cpu;
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: bench_layers THREADS [WORD...]\n");
        return 2;
    }
    omp_set_num_threads(threads); /* oneDNN's */
    sn_status status = backend->open(&device, &(sn_device_options){.threads = threads}, &error);
    if (status == SN_OK)
        status = compare_all(backend, device, argc - 2, argv + 2, &error);
    if (status != SN_OK)
        fprintf(stderr, "bench_layers: %s\n", error.text);
    backend->close(device);
    return sn_status_exit_code(status);
}
