/*
 * The training step of whole networks: gradients in float on the cpu, or the device that the environment variable
 * SEGNAS3D_TEST_DEVICE names, against plain loops in double; and of values in bf16, by plain loops, or on that device.
 */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>

#include "backend/device.h"
#include "base/random.h"
#include "nn/executor.h"
#include "rounded.h"
#include "train/step.h"

enum { CLASSES = 3 };
/* Relative L2 of what is allowed: of one tensor, and of all. In bf16 values are rounded 20 times and more on their way,
 * and most gradients are sums that nearly cancel; two devices that round in the same places are closer to each other,
 * where no ReLU changes its mind. */
typedef struct tolerance {
    double one, all;
} tolerance;

static const tolerance in_float = {1e-4, 1e-4}, in_bf16 = {0.5, 0.15}, as_rounded = {0.5, 0.05};
static const double least =
    1e-3; /* a tensor that is smaller beside the largest gradient is held against this part of that */

/* A training step on one device. */
typedef struct step_run {
    const sn_backend *backend;
    sn_device *device;
    sn_train_graph graph;
    sn_executor *executor;
} step_run;

static void succeed(sn_status status, const sn_error *error)
{
    if (status != SN_OK)
        fail_msg("%s", error->text);
}

static int64_t count_of(const step_run *run, sn_tensor tensor)
{
    return sn_tensor_count(&sn_graph_tensor(run->graph.graph, tensor)->desc);
}

/* Upload doubles as the type of the graph. */
static void upload(step_run *run, sn_tensor tensor, const double *values)
{
    int64_t count = count_of(run, tensor);
    if (sn_graph_tensor(run->graph.graph, tensor)->desc.dtype == SN_F64) {
        sn_executor_upload(run->executor, tensor, values);
        return;
    }
    float *floats = malloc((size_t)count * sizeof *floats);
    for (int64_t i = 0; i < count; i++)
        floats[i] = (float)values[i];
    sn_executor_upload(run->executor, tensor, floats);
    free(floats);
}

static double *download(const step_run *run, sn_tensor tensor)
{
    int64_t count = count_of(run, tensor);
    double *values = malloc((size_t)count * sizeof *values);
    if (sn_graph_tensor(run->graph.graph, tensor)->desc.dtype == SN_F64) {
        assert_int_equal(sn_executor_download(run->executor, tensor, values, NULL), SN_OK);
        return values;
    }
    float *floats = malloc((size_t)count * sizeof *floats);
    assert_int_equal(sn_executor_download(run->executor, tensor, floats, NULL), SN_OK);
    for (int64_t i = 0; i < count; i++)
        values[i] = floats[i];
    free(floats);
    return values;
}

/* A bright ball in noise and its label; a rotation by the identity. */
static void upload_image(step_run *run, const int64_t size[3])
{
    static const double matrix[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, weights[CLASSES] = {1.2, 2.5, 3};
    int64_t voxels = size[0] * size[1] * size[2];
    double *image = malloc((size_t)voxels * sizeof *image);
    uint8_t *labels = malloc((size_t)voxels);
    sn_random random = sn_random_begin(5, SN_RANDOM_TEST, 0);
    for (int64_t v = 0; v < voxels; v++) {
        labels[v] = v % size[2] > size[2] / 2 ? (v / size[2] % size[1] > 8 ? 2 : 1) : 0;
        image[v] = labels[v] + 0.5 * sn_random_normal(&random);
    }
    upload(run, run->graph.image, image);
    sn_executor_upload(run->executor, run->graph.labels, labels);
    sn_executor_upload(run->executor, run->graph.matrix, matrix);
    upload(run, run->graph.label_weights, weights);
    free(labels);
    free(image);
}

/* Of 8 bits: exact in every type that convolutions multiply in. */
static void round_weights(step_run *run)
{
    for (sn_tensor t = 0; t < sn_graph_tensor_count(run->graph.graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(run->graph.graph, t);
        if (info->role != SN_ROLE_PARAMETER || !info->weights)
            continue;
        double *values = download(run, t);
        for (int64_t i = 0; i < count_of(run, t); i++)
            values[i] = rounded_to_bf16(values[i]);
        upload(run, t, values);
        free(values);
    }
}

/* One image forward and backward; dropout keeps the same channels on every device. */
static step_run run_step(const char *device, const char *arch_text, const int64_t size[3], sn_dtype values)
{
    const sn_precision precision = values == SN_BF16 ? SN_PRECISION_BF16 : SN_PRECISION_FLOAT32;
    static const uint8_t key[16] = {1, 2, 3};
    sn_error error = SN_ERROR_INIT;
    step_run run = {0};
    sn_arch arch;
    sn_train_options options = SN_TRAIN_OPTIONS_INIT;
    const sn_train_shape shape = {.channels = 1, .classes = CLASSES, .size = {size[0], size[1], size[2]}};
    succeed(sn_arch_parse(&arch, arch_text, &error), &error);
    succeed(sn_device_open(&run.backend, &run.device, device, precision, 2, &error), &error);
    succeed(sn_train_graph_make(&run.graph, &arch, &shape, &options, SN_RECOMPUTE_CHEAP, values, &error),
            &error);
    succeed(sn_executor_create(&run.executor, run.graph.graph, run.backend, run.device, &error), &error);
    succeed(sn_executor_initialise(run.executor, 7, &error), &error);
    if (values == SN_BF16)
        round_weights(&run);
    upload_image(&run, size);
    sn_executor_upload(run.executor, run.graph.dropout_key, key);
    succeed(sn_executor_run(run.executor, run.graph.train, &error), &error);
    succeed(sn_executor_run(run.executor, run.graph.running, &error), &error);
    return run;
}

static void end_step(step_run *run)
{
    sn_executor_free(run->executor);
    sn_train_graph_clear(&run->graph);
    sn_device_close(run->backend, run->device);
}

static double norm_of(const step_run *run, sn_tensor tensor)
{
    double *values = download(run, tensor), norm = 0;
    for (int64_t i = 0; i < count_of(run, tensor); i++)
        norm += values[i] * values[i];
    free(values);
    return sqrt(norm);
}

static bool is_gradient(const step_run *run, sn_tensor tensor)
{
    return sn_graph_tensor(run->graph.graph, tensor)->role == SN_ROLE_GRADIENT;
}

static double largest_norm(const step_run *run)
{
    double largest = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(run->graph.graph); t++)
        largest = is_gradient(run, t) ? fmax(largest, norm_of(run, t)) : largest;
    return largest;
}

/* Weights of one tap and one input channel only scale what batch normalisation scales back: but for its epsilon their
 * gradient is 0, a sum in which all is cancelled. It is held against the others, by `floor`. Returns the difference. */
static double compare_gradient(const char *arch, const step_run *is, const step_run *wanted, sn_tensor tensor,
                               double floor, double allowed)
{
    const char *name = sn_graph_tensor(wanted->graph.graph, tensor)->name;
    double *a = download(is, sn_graph_find(is->graph.graph, name)), *b = download(wanted, tensor),
           difference = 0, norm = norm_of(wanted, tensor);
    for (int64_t i = 0; i < count_of(wanted, tensor); i++)
        difference += (a[i] - b[i]) * (a[i] - b[i]);
    assert_true(norm > 0);
    double relative = sqrt(difference) / fmax(norm, floor);
    if (!(relative <= allowed))
        fail_msg("%s: %s differs by %.2g", arch, name, relative);
    free(b);
    free(a);
    return sqrt(difference);
}

static void compare_steps(const char *arch, const step_run *is, const step_run *wanted, tolerance allowed)
{
    const double floor = least * largest_norm(wanted);
    double differences = 0, norms = 0;
    int compared = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(wanted->graph.graph); t++)
        if (is_gradient(wanted, t)) {
            differences += pow(compare_gradient(arch, is, wanted, t, floor, allowed.one), 2);
            norms += pow(norm_of(wanted, t), 2);
            compared++;
        }
    assert_true(compared > 10);
    assert_true(sqrt(differences / norms) <= allowed.all);
}

static bool has_bf16(const char *device)
{
    const sn_backend *backend;
    sn_device *opened;
    sn_error error = SN_ERROR_INIT;
    succeed(sn_device_open(&backend, &opened, device, SN_PRECISION_AUTO, 1, &error), &error);
    bool has = sn_backend_values(backend, opened) == SN_BF16;
    sn_device_close(backend, opened);
    return has;
}

static void compare(const char *arch, int64_t d, int64_t h, int64_t w)
{
    const int64_t size[3] = {d, h, w};
    const char *device = getenv("SEGNAS3D_TEST_DEVICE");
    device = device == NULL ? "cpu" : device;
    step_run exact = run_step("ref", arch, size, SN_F64), rounded = run_step("ref", arch, size, SN_BF16);
    step_run tested = run_step(device, arch, size, SN_F32);
    compare_steps(arch, &tested, &exact, in_float);
    compare_steps(arch, &rounded, &exact, in_bf16);
    end_step(&tested);
    if (has_bf16(device)) {
        tested = run_step(device, arch, size, SN_BF16);
        compare_steps(arch, &tested, &rounded, as_rounded);
        end_step(&tested);
    }
    end_step(&rounded);
    end_step(&exact);
}

static void gradients_of_a_segnas4_network(void **state)
{
    (void)state;
    compare("n=8 p=2 sup=1 res=1", 12, 20, 18);
}

static void gradients_of_a_network_of_5_3_kernels(void **state)
{
    (void)state;
    compare("n=8 p=2 sup=0 res=1 nodes=3 ops=2,2,3", 8, 16, 16);
}

static void gradients_of_a_network_with_skips_and_dilation(void **state)
{
    (void)state;
    compare("n=8 p=2 sup=0 res=0 nodes=4 ops=6,2,4,0,5,1", 8, 16, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_segnas4_network),
        cmocka_unit_test(gradients_of_a_network_of_5_3_kernels),
        cmocka_unit_test(gradients_of_a_network_with_skips_and_dilation),
    };
    return cmocka_run_group_tests_name("accuracy", tests, NULL, NULL);
}
