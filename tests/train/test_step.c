/* One training step of the networks that the program trains, kept and with its blocks computed twice. */
#include "arch/arch_of.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "nn/executor.h"
#include "train/step.h"

static const sn_train_shape shape = {.channels = 2, .classes = 3, .size = {8, 12, 8}};

typedef struct step {
    const sn_backend *backend;
    sn_device *device;
    sn_train_graph graph;
    sn_executor *executor;
} step;

static void succeed(sn_status status, const sn_error *error)
{
    if (status != SN_OK)
        fail_msg("%s", error->text);
}

static void step_open(step *self, const char *arch_text, sn_recompute recompute, const char *device)
{
    sn_error error = SN_ERROR_INIT;
    const sn_train_options options = SN_TRAIN_OPTIONS_INIT;
    sn_arch arch = arch_of(arch_text);
    succeed(sn_backend_find(&self->backend, device, &error), &error);
    succeed(self->backend->open(&self->device, &(sn_device_options){.threads = 1}, &error), &error);
    succeed(sn_train_graph_make(&self->graph, &arch, &shape, &options, recompute, SN_F32, &error), &error);
    succeed(sn_executor_create(&self->executor, self->graph.graph, self->backend, self->device, &error),
            &error);
    succeed(sn_executor_initialise(self->executor, 1, &error), &error);
}

static void step_close(step *self)
{
    sn_executor_free(self->executor);
    sn_train_graph_clear(&self->graph);
    self->backend->close(self->device);
}

static void upload_inputs(step *self)
{
    enum { VOXELS = 8 * 12 * 8 };
    static const double matrix[3][4] = {{1, 0.1, 0, 0.3}, {-0.1, 1, 0, 0.2}, {0, 0, 1, -0.4}};
    static const float label_weights[3] = {1, 2, 3};
    static const uint64_t key[2] = {3, 7};
    float image[2 * VOXELS];
    uint8_t labels[VOXELS];
    sn_random random = sn_random_begin(4, SN_RANDOM_TEST, 0);
    for (int v = 0; v < 2 * VOXELS; v++)
        image[v] = (float)sn_random_normal(&random);
    for (int v = 0; v < VOXELS; v++)
        labels[v] = (uint8_t)sn_random_below(&random, 3);
    sn_executor_upload(self->executor, self->graph.image, image);
    sn_executor_upload(self->executor, self->graph.labels, labels);
    sn_executor_upload(self->executor, self->graph.matrix, matrix);
    sn_executor_upload(self->executor, self->graph.label_weights, label_weights);
    sn_executor_upload(self->executor, self->graph.dropout_key, key);
}

/* All gradients and running statistics after one image, one after another; free. */
static char *run_image(step *self, size_t *bytes)
{
    sn_error error = SN_ERROR_INIT;
    char *all = malloc(sn_executor_plan(self->executor)->persistent_bytes);
    upload_inputs(self);
    succeed(sn_executor_run(self->executor, self->graph.train, &error), &error);
    succeed(sn_executor_run(self->executor, self->graph.running, &error), &error);
    *bytes = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(self->graph.graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(self->graph.graph, t);
        if (info->role != SN_ROLE_GRADIENT && info->role != SN_ROLE_STATE)
            continue;
        assert_int_equal(sn_executor_download(self->executor, t, all + *bytes, NULL), SN_OK);
        *bytes += sn_tensor_bytes(&info->desc);
    }
    return all;
}

static const char *const networks[] = {
    "n=8 p=2 sup=1 res=1 nodes=3 ops=2,0,2",
    "n=9 p=2 sup=1 res=0 nodes=4 ops=3,6,2,6,4,2",
    "n=8 p=2 sup=0 res=1 nodes=4 ops=2,3,6,0,4,6",
    "n=8 p=2 sup=0 res=0 nodes=2 ops=6",
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static void blocks_computed_twice_change_no_bit(void **state)
{
    static const char *const devices[] = {"cpu", "checked:cpu", "checked:ref"};
    (void)state;
    for (int n = 0; n < NETWORKS; n++)
        for (int d = 0; d < 3; d++) {
            step kept, twice;
            size_t bytes, same_bytes;
            step_open(&kept, networks[n], SN_RECOMPUTE_CHEAP, devices[d]);
            step_open(&twice, networks[n], SN_RECOMPUTE_SEGMENTS, devices[d]);
            char *a = run_image(&kept, &bytes), *b = run_image(&twice, &same_bytes);
            assert_int_equal(bytes, same_bytes);
            assert_memory_equal(a, b, bytes);
            free(a);
            free(b);
            step_close(&kept);
            step_close(&twice);
        }
}

static int64_t planned_bytes(const char *arch_text, const int64_t size, sn_recompute recompute)
{
    sn_error error = SN_ERROR_INIT;
    const sn_train_options options = SN_TRAIN_OPTIONS_INIT;
    const sn_train_shape at = {1, 2, {size, size, size}};
    sn_train_memory memory;
    sn_arch arch = arch_of(arch_text);
    succeed(sn_train_plan(&memory, &arch, &at, &options, recompute, "cpu", &error), &error);
    return memory.bytes;
}

/* Where several convolutions of one block are large. */
static void the_peak_is_lower_with_blocks_computed_twice(void **state)
{
    static const char *const more[] = {"n=26 p=3 sup=0 res=1 nodes=3 ops=2,2,3", "net=unet3d", "net=vnet"};
    (void)state;
    for (int n = 0; n < 3; n++)
        for (int64_t size = 64; size <= 128; size *= 2)
            assert_true(planned_bytes(more[n], size, SN_RECOMPUTE_SEGMENTS) <
                        planned_bytes(more[n], size, SN_RECOMPUTE_CHEAP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_computed_twice_change_no_bit),
        cmocka_unit_test(the_peak_is_lower_with_blocks_computed_twice),
    };
    return cmocka_run_group_tests_name("step", tests, NULL, NULL);
}
