/* Folded networks predict what the networks themselves do. */
#include "cmocka_all.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "nn/fold.h"
#include "nn/networks.h"

enum { CLASSES = 3 };

typedef struct prediction {
    const sn_backend *backend;
    sn_device *device;
    sn_graph *graph;
    sn_executor *executor;
} prediction;

static void succeed(sn_status status, const sn_error *error)
{
    if (status != SN_OK)
        fail_msg("%s", error->text);
}

/* A network where some convolutions can be folded into and some cannot. */
static sn_tensor network_of_cases(sn_graph *graph, sn_tensor image, int classes)
{
    sn_tensor x = sn_graph_conv3d(graph, "read_twice", image, 4, 3, 1, 1);
    sn_tensor y = sn_graph_batchnorm(graph, "kept.1", x, true);
    x = sn_graph_sum(graph, (sn_tensor[]){x, y}, 2);
    x = sn_graph_batchnorm(graph, "kept.2", x, true);
    x = sn_graph_conv3d(graph, "strided", x, 5, 2, 1, 2);
    x = sn_graph_batchnorm(graph, "folded.1", x, true);
    x = sn_graph_conv3d_transposed(graph, "transposed", x, 3);
    x = sn_graph_batchnorm(graph, "folded.2", x, false);
    x = sn_graph_conv3d(graph, "scores", x, classes, 1, 1, 1);
    return sn_graph_bias(graph, "scores", x);
}

/* Running statistics as training leaves them, other parameters than the initial ones. */
static double random_value(const sn_tensor_info *info, sn_random *random)
{
    double normal = sn_random_normal(random);
    if (strstr(info->name, ".running_variance") != NULL)
        return exp(normal);
    return strstr(info->name, ".gamma") != NULL ? 1 + 0.3 * normal : 0.3 * normal;
}

static void write_random(prediction *self, sn_tensor tensor)
{
    const sn_tensor_info *info = sn_graph_tensor(self->graph, tensor);
    sn_random random = sn_random_begin(6, SN_RANDOM_TEST, (uint64_t)tensor);
    int64_t count = sn_tensor_count(&info->desc);
    void *values = NULL;
    assert_int_equal(sn_alloc(&values, (size_t)count, sn_dtype_size(info->desc.dtype), NULL), SN_OK);
    for (int64_t i = 0; i < count; i++) {
        double value = random_value(info, &random);
        if (info->desc.dtype == SN_F64)
            ((double *)values)[i] = value;
        else
            ((float *)values)[i] = (float)value;
    }
    sn_executor_upload(self->executor, tensor, values);
    sn_free(values);
}

static void prediction_open(prediction *self, network *build, const char *device, sn_dtype real, bool fold)
{
    int program;
    sn_error error = SN_ERROR_INIT;
    succeed(sn_graph_create(&self->graph, real, &error), &error);
    succeed(sn_graph_begin_program(self->graph, &program, "predict", SN_MODE_PREDICT, &error), &error);
    sn_tensor image =
        sn_graph_persistent(self->graph, "image", SN_ROLE_INPUT, (sn_tensor_desc){real, {1, 2, 4, 8, 12}});
    sn_graph_result(self->graph, "scores", build(self->graph, image, CLASSES));
    if (fold)
        succeed(sn_fold_graph(self->graph, &error), &error);
    succeed(sn_backend_find(&self->backend, device, &error), &error);
    succeed(self->backend->open(&self->device, &(sn_device_options){.threads = 1}, &error), &error);
    succeed(sn_executor_create(&self->executor, self->graph, self->backend, self->device, &error), &error);
    for (sn_tensor t = 0; t < sn_graph_tensor_count(self->graph); t++) {
        sn_role role = sn_graph_tensor(self->graph, t)->role;
        if (role == SN_ROLE_INPUT || role == SN_ROLE_PARAMETER || role == SN_ROLE_STATE)
            write_random(self, t);
    }
    succeed(sn_fold_weights(self->executor, self->graph, &error), &error);
}

static void prediction_close(prediction *self)
{
    sn_executor_free(self->executor);
    self->backend->close(self->device);
    sn_graph_free(self->graph);
}

/* The scores as doubles; sn_free. */
static double *prediction_run(prediction *self, int64_t *count)
{
    sn_error error = SN_ERROR_INIT;
    double *values = NULL;
    sn_tensor scores = sn_graph_find(self->graph, "scores");
    const sn_tensor_desc *desc = &sn_graph_tensor(self->graph, scores)->desc;
    *count = sn_tensor_count(desc);
    assert_int_equal(sn_alloc(&values, (size_t)*count, sizeof *values, NULL), SN_OK);
    succeed(sn_executor_run(self->executor, 0, &error), &error);
    assert_int_equal(sn_executor_download(self->executor, scores, values, NULL), SN_OK);
    for (int64_t i = *count - 1; i >= 0 && desc->dtype == SN_F32; i--) /* the last first: in place */
        values[i] = ((float *)values)[i];
    return values;
}

static int count_kind(const sn_graph *graph, sn_op_kind kind)
{
    int count = 0;
    for (int n = 0; n < sn_graph_node_count(graph, 0); n++)
        count += sn_graph_node(graph, 0, n)->kind == kind;
    return count;
}

static void check_equal(network *build, const char *device, sn_dtype real, double tolerance, int unfolded)
{
    prediction whole, folded;
    int64_t count;
    double largest = 0;
    prediction_open(&whole, build, device, real, false);
    prediction_open(&folded, build, device, real, true);
    assert_int_equal(count_kind(folded.graph, SN_OP_BATCHNORM_APPLY), unfolded);
    assert_int_equal(sn_graph_parameters(folded.graph), sn_graph_parameters(whole.graph));
    assert_true(sn_executor_plan(folded.executor)->arena_bytes <=
                sn_executor_plan(whole.executor)->arena_bytes);
    double *a = prediction_run(&whole, &count), *b = prediction_run(&folded, &count);
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(a[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(a[i] - b[i]) <= tolerance * largest))
            fail_msg("%s: score %d is %g, should be %g", device, (int)i, b[i], a[i]);
    sn_free(a);
    sn_free(b);
    prediction_close(&whole);
    prediction_close(&folded);
}

static void folded_networks_give_the_scores_of_the_whole_ones(void **state)
{
    static const struct {
        network *build;
        int unfolded; /* normalisations that stay */
    } cases[] = {{network_segnas, 0}, {network_unet, 2}, {network_vnet, 0}, {network_of_cases, 2}};
    (void)state;
    for (int c = 0; c < 4; c++) {
        check_equal(cases[c].build, "checked:ref", SN_F64, 1e-12, cases[c].unfolded);
        check_equal(cases[c].build, "checked:ref", SN_F32, 1e-5, cases[c].unfolded);
        check_equal(cases[c].build, "checked:cpu", SN_F32, 1e-5, cases[c].unfolded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folded_networks_give_the_scores_of_the_whole_ones),
    };
    return cmocka_run_group_tests_name("fold", tests, NULL, NULL);
}
