/*
 * Training steps of one network, timed: forward, loss and backward of one image, and
 * Nadam's update; no dropout, and augmentation by the identity. peer_torch.py does the same work in PyTorch,
 * from the same weights, image and labels.
 *
 * Usage: bench_step ARCH DxHxW CLASSES THREADS STEPS SECONDS [DEVICE PRECISION]
 * The device is the cpu unless another one is named, with the precision of its convolutions. One step first that is not
 * timed, of a GPU two, for the second is recorded; then at least STEPS steps and at least SECONDS seconds.
 *
 * Prints a JSON object: parameters, milliseconds and losses of the steps, peak_bytes (of the process during
 * the steps, above what it had before the network was made; of a GPU, what is not free on it any more),
 * planned_bytes (the memory plan's peak).
 * Exit code 9: not enough memory.
 */
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/device.h"
#include "base/clock.h"
#include "base/memory.h"
#include "bench/pattern.h"
#include "dataset/preprocess.h"
#include "nn/executor.h"
#include "nn/nadam.h"
#include "train/step.h"

enum { OUT_OF_MEMORY = 9, MOST_STEPS = 100 };

typedef struct measurement {
    sn_arch arch;
    sn_train_shape shape;
    const char *device;
    sn_precision precision;
    int threads, steps;
    double seconds;
} measurement;

/* ---- memory of this process, or of the GPU ---- */

/* A field of /proc/self/status: VmRSS or VmHWM, the memory this process has or has had at most, in bytes. */
static int64_t resident(const char *field)
{
    char line[256];
    long long kibibytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), ":%lld", &kibibytes);
    if (file != NULL)
        fclose(file);
    return kibibytes * 1024;
}

/* From here on VmHWM is the peak of what follows; memory that is free but was kept goes back first. */
static sn_status forget_peak(sn_error *error)
{
    malloc_trim(0);
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file == NULL || fputs("5", file) < 0 || fclose(file) != 0)
        return sn_error_set(error, SN_ERR_IO, "/proc/self/clear_refs cannot be written");
    return SN_OK;
}

/* Memory that is used before a training. */
static sn_status usage_begin(int64_t *bytes, const measurement *what, sn_error *error)
{
    *bytes = resident("VmRSS");
    return sn_device_is_gpu(what->device) ? sn_device_memory(bytes, what->device, 0, error) : SN_OK;
}

/* What a training took of it at most; of a GPU, what it has still. */
static sn_status usage_end(int64_t *bytes, int64_t begin, const measurement *what, sn_error *error)
{
    sn_status status = SN_OK;
    *bytes = resident("VmHWM") - begin;
    if (sn_device_is_gpu(what->device)) {
        status = sn_device_memory(bytes, what->device, 0, error);
        *bytes = begin - *bytes;
    }
    return status;
}

/* ---- a training ---- */

typedef struct training {
    const sn_backend *backend;
    sn_device *device;
    sn_train_graph graph;
    sn_executor *executor;
    sn_nadam nadam;
} training;

/* The pattern with He's variance for the weights of a convolution; false for all other parameters. */
static bool is_convolution(double *scale, const sn_tensor_info *info)
{
    const int64_t *s = info->desc.shape;
    int64_t terms = info->initial == SN_INITIAL_HE_TRANSPOSED ? s[1] : s[1] * s[2] * s[3] * s[4];
    *scale = sqrt(24.0 / (double)terms);
    return info->role == SN_ROLE_PARAMETER &&
           (info->initial == SN_INITIAL_HE_NORMAL || info->initial == SN_INITIAL_HE_TRANSPOSED);
}

static sn_status upload_pattern(training *self, sn_tensor tensor, double scale, sn_error *error)
{
    float *values;
    int64_t count = sn_tensor_count(&sn_graph_tensor(self->graph.graph, tensor)->desc);
    sn_status status = sn_alloc(&values, (size_t)count, sizeof *values, error);
    if (status != SN_OK)
        return status;
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)(scale * bench_pattern(i));
    sn_executor_upload(self->executor, tensor, values);
    sn_free(values);
    return SN_OK;
}

/* Labels that occur equally often, and w_l = (1/f_l)^0.5 of them. */
static sn_status upload_labels(training *self, int classes, sn_error *error)
{
    sn_status status;
    uint8_t *labels = NULL;
    float *weights = NULL;
    int64_t voxels = sn_tensor_count(&sn_graph_tensor(self->graph.graph, self->graph.labels)->desc);
    SN_TRY(sn_alloc(&labels, (size_t)voxels, sizeof *labels, error));
    SN_TRY(sn_alloc(&weights, (size_t)classes, sizeof *weights, error));
    for (int64_t v = 0; v < voxels; v++)
        labels[v] = (uint8_t)((bench_pattern(v) + 0.5) * classes);
    for (int l = 0; l < classes; l++)
        weights[l] = sqrtf((float)classes);
    sn_executor_upload(self->executor, self->graph.labels, labels);
    sn_executor_upload(self->executor, self->graph.label_weights, weights);
done:
    sn_free(labels);
    sn_free(weights);
    return status;
}

static sn_status training_begin(training *self, const measurement *what, sn_error *error)
{
    static const double identity[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    sn_status status;
    double scale;
    sn_train_options options = SN_TRAIN_OPTIONS_INIT;
    options.dropout = 0;
    SN_TRY(
        sn_device_open(&self->backend, &self->device, what->device, what->precision, what->threads, error));
    SN_TRY(sn_train_graph_make(&self->graph, &what->arch, &what->shape, &options, SN_RECOMPUTE_CHEAP,
                               sn_backend_values(self->backend, self->device), error));
    SN_TRY(sn_executor_create(&self->executor, self->graph.graph, self->backend, self->device, error));
    SN_TRY(sn_executor_initialise(self->executor, options.seed, error));
    for (sn_tensor t = 0; t < sn_graph_tensor_count(self->graph.graph); t++)
        if (is_convolution(&scale, sn_graph_tensor(self->graph.graph, t)))
            SN_TRY(upload_pattern(self, t, scale, error));
    SN_TRY(upload_pattern(self, self->graph.image, 1, error));
    SN_TRY(upload_labels(self, what->shape.classes, error));
    sn_executor_upload(self->executor, self->graph.matrix, identity);
done:
    return status;
}

static void training_end(training *self)
{
    sn_executor_free(self->executor);
    sn_train_graph_clear(&self->graph);
    sn_device_close(self->backend, self->device);
}

static sn_status training_step(training *self, double *loss, sn_error *error)
{
    sn_status status;
    double scalars[4];
    sn_executor_upload(self->executor, self->graph.loss, &(double){0});
    SN_TRY(sn_executor_run(self->executor, self->graph.train, error));
    SN_TRY(sn_executor_run(self->executor, self->graph.running, error));
    sn_nadam_next(&self->nadam, 1, scalars);
    sn_executor_upload(self->executor, self->graph.nadam, scalars);
    sn_executor_upload(self->executor, self->graph.average, &(double){0.5});
    SN_TRY(sn_executor_run(self->executor, self->graph.update, error));
    SN_TRY(sn_executor_download(self->executor, self->graph.loss, loss, error));
done:
    return status;
}

/* ---- the measurement ---- */

static sn_status measurement_parse(measurement *out, int argc, char **argv, sn_error *error)
{
    sn_status status = SN_OK;
    if (argc != 7 && argc != 9)
        return sn_error_set(error, SN_ERR_ARG,
                            "usage: bench_step ARCH DxHxW CLASSES THREADS STEPS SECONDS [DEVICE PRECISION]");
    *out = (measurement){.shape = {.channels = 1, .classes = atoi(argv[3])},
                         .device = argc == 9 ? argv[7] : "cpu",
                         .threads = atoi(argv[4]),
                         .steps = atoi(argv[5]),
                         .seconds = atof(argv[6])};
    SN_TRY(sn_arch_parse(&out->arch, argv[1], error));
    SN_TRY(sn_size_parse(out->shape.size, argv[2], error));
    if (argc == 9)
        SN_TRY(sn_precision_parse(&out->precision, argv[8], error));
    SN_TRY(sn_device_precision(&out->precision, out->device, error));
    if (out->shape.size[0] == 0 || out->threads < 1 || out->steps < 1 || out->steps > MOST_STEPS)
        status = sn_error_set(error, SN_ERR_ARG, "an extent, a thread and 1 to %d steps", MOST_STEPS);
done:
    return status;
}

/* Add the milliseconds and losses of the steps to `result`. */
static sn_status run_steps(json_t *result, training *self, const measurement *what, sn_error *error)
{
    sn_status status;
    double loss, total = 0;
    json_t *milliseconds = json_array(), *losses = json_array();
    json_object_set_new(result, "milliseconds", milliseconds);
    json_object_set_new(result, "losses", losses);
    for (int before = sn_device_is_gpu(what->device) ? 2 : 1; before > 0; before--) {
        SN_TRY(training_step(self, &loss, error));
        json_array_append_new(losses, json_real(loss));
    }
    for (int step = 0; step < what->steps || (total < what->seconds && step < MOST_STEPS); step++) {
        double start = sn_clock_now();
        SN_TRY(training_step(self, &loss, error));
        double took = sn_clock_now() - start;
        total += took;
        json_array_append_new(milliseconds, json_real(took * 1e3));
        json_array_append_new(losses, json_real(loss));
    }
done:
    return status;
}

static sn_status measure(const measurement *what, sn_error *error)
{
    sn_status status;
    training self = {.nadam = SN_NADAM_INIT};
    json_t *result = json_object();
    int64_t before, peak;
    SN_TRY(usage_begin(&before, what, error));
    SN_TRY(training_begin(&self, what, error));
    SN_TRY(forget_peak(error));
    SN_TRY(run_steps(result, &self, what, error));
    SN_TRY(usage_end(&peak, before, what, error));
    size_t planned = sn_plan_peak_bytes(sn_executor_plan(self.executor));
    json_object_update_new(result, json_pack("{sI sI sI}", "parameters",
                                             (json_int_t)sn_graph_parameters(self.graph.graph), "peak_bytes",
                                             (json_int_t)peak, "planned_bytes", (json_int_t)planned));
    json_dumpf(result, stdout, JSON_REAL_PRECISION(9));
    putchar('\n');
done:
    json_decref(result);
    training_end(&self);
    return status;
}

int main(int argc, char **argv)
{
    sn_error error = SN_ERROR_INIT;
    measurement what;
    sn_status status = measurement_parse(&what, argc, argv, &error);
    if (status == SN_OK)
        status = measure(&what, &error);
    if (status != SN_OK)
        fprintf(stderr, "bench_step: %s\n", error.text);
    return status == SN_ERR_MEMORY ? OUT_OF_MEMORY : sn_status_exit_code(status);
}
