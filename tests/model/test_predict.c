/* Prediction: on the image's own grid, the same in tiles as in one piece. */
#include "dataset/fixture.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/build.h"
#include "backend/backend.h"
#include "base/random.h"
#include "model/predict.h"
#include "model/weights.h"

/* A network with random weights; of 1x1x1 convolutions a voxel sees nothing but its pooling windows. */
static sn_model random_model(const char *arch, int classes)
{
    sn_error error = SN_ERROR_INIT;
    sn_model model = {.preprocessing = {.spacing_mm = 1, .size = {8, 8, 8}, .channels = 1}};
    const sn_backend *backend;
    sn_device *device;
    sn_graph *graph;
    sn_executor *executor;
    CHECK_OK(sn_arch_parse(&model.arch, arch, &error), error);
    CHECK_OK(sn_label_table_create(&model.labels, &error), error);
    CHECK_OK(sn_label_table_add(model.labels, 7, "seven", &error), error);
    CHECK_OK(sn_label_table_add(model.labels, 2035, "large", &error), error);
    for (int c = 3; c < classes; c++)
        CHECK_OK(sn_label_table_add(model.labels, 1000 + c, "more", &error), error);
    model.training = json_object();
    CHECK_OK(sn_backend_find(&backend, "cpu", &error), error);
    CHECK_OK(backend->open(&device, &(sn_device_options){.threads = 1}, &error), error);
    CHECK_OK(sn_graph_create(&graph, SN_F32, &error), error);
    CHECK_OK(sn_arch_prediction_graph(graph, &model.arch, 1, model.preprocessing.size, classes, &error),
             error);
    CHECK_OK(sn_executor_create(&executor, graph, backend, device, &error), error);
    CHECK_OK(sn_executor_initialise(executor, 1, &error), error);
    CHECK_OK(sn_weights_download(&model.weights, graph, executor, SN_WEIGHTS_NETWORK, &error), error);
    sn_executor_free(executor);
    sn_graph_free(graph);
    backend->close(device);
    return model;
}

static sn_volume *random_image(sn_grid grid)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *image;
    sn_random random = sn_random_begin(3, SN_RANDOM_TEST, 0);
    CHECK_OK(sn_volume_create(&image, &grid, 1, &error), error);
    for (int64_t v = 0; v < sn_grid_voxels(&grid); v++)
        image->data[v] = (float)(10 + sn_random_normal(&random));
    return image;
}

static sn_labelmap *predict(const sn_model *model, const sn_volume *image, int64_t memory, int threads,
                            sn_prediction_info *info)
{
    sn_error error = SN_ERROR_INIT;
    sn_predictor *predictor;
    sn_labelmap *labels;
    sn_predictor_options options = {.device = "cpu", .threads = threads, .memory = memory};
    CHECK_OK(sn_predictor_create(&predictor, model, "model", &options, &error), error);
    CHECK_OK(sn_predict(&labels, info, predictor, image, NULL, &error), error);
    sn_predictor_free(predictor);
    return labels;
}

static int64_t total(const sn_prediction_info *info)
{
    return info->memory.network + info->memory.image;
}

static void tiles_predict_what_the_whole_image_does(void **state)
{
    (void)state;
    sn_prediction_info whole_info, tiled_info;
    sn_model model = random_model("n=8 p=2 sup=1 res=1 nodes=3 ops=1,0,1", 3);
    sn_volume *image = random_image(grid_of(37, 26, 43, 1, 1, 1));
    sn_labelmap *whole = predict(&model, image, 0, 2, &whole_info);
    assert_int_equal(whole_info.tiles, 1);
    sn_labelmap *tiled = predict(&model, image, total(&whole_info) / 4, 2, &tiled_info);
    assert_true(tiled_info.tiles > 8 && tiled_info.tile[0] < 37);
    assert_true(total(&tiled_info) <= total(&whole_info) / 4);
    int64_t voxels = sn_grid_voxels(&image->grid), differ = 0, foreground = 0;
    for (int64_t v = 0; v < voxels; v++) {
        differ += whole->data[v] != tiled->data[v];
        foreground += whole->data[v] != 0;
    }
    assert_true(foreground > voxels / 20); /* a map of one label would prove nothing */
    assert_true(differ <= voxels / 10000); /* rounding of the averages may turn a tie */
    sn_labelmap_free(whole);
    sn_labelmap_free(tiled);
    sn_volume_free(image);
    sn_model_clear(&model);
}

typedef struct report {
    int64_t bytes;
    sn_prediction_info info;
} report;

/* Bytes by which a process grows beyond what it ever had, while it predicts. The image was there before, and counts. */
static report measure(const sn_model *model, const sn_volume *image, int64_t memory)
{
    struct rusage before, after;
    report found = {.bytes = (int64_t)sizeof(float) * sn_grid_voxels(&image->grid)};
    getrusage(RUSAGE_SELF, &before);
    sn_labelmap_free(predict(model, image, memory, 2, &found.info));
    getrusage(RUSAGE_SELF, &after);
    found.bytes += (after.ru_maxrss - before.ru_maxrss) * 1024;
    return found;
}

/* The same in a process of its own: a peak never falls. */
static report measure_apart(const sn_model *model, const sn_volume *image, int64_t memory)
{
    report found = {0};
    int ends[2], result;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        found = measure(model, image, memory);
        _exit(write(ends[1], &found, sizeof found) != sizeof found);
    }
    close(ends[1]);
    ssize_t bytes = read(ends[0], &found, sizeof found);
    close(ends[0]);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    assert_int_equal(bytes, sizeof found);
    return found;
}

/* Runs first: its processes are copies of one that has not computed yet. */
static void a_budget_holds_for_all_that_a_prediction_takes(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__ /* which has a memory of its own */
    skip();
#endif
    const int64_t slack = 32 << 20, budget = 150 << 20;
    sn_model model = random_model("n=2 p=2 sup=0 res=0 nodes=2 ops=1", 40);
    sn_volume *image = random_image(grid_of(150, 110, 120, 1, 1, 1));
    report whole = measure_apart(&model, image, 0);
    assert_int_equal(whole.info.tiles, 1);
    assert_true(llabs(whole.bytes - total(&whole.info)) < slack);
    assert_true(whole.bytes > 3 * budget); /* otherwise the other one would prove nothing */
    report tiled = measure_apart(&model, image, budget);
    assert_true(tiled.info.tiles > 1 && total(&tiled.info) <= budget);
    print_message("as a whole %.0f MiB, in %d tiles %.0f MiB, %.0f planned\n", (double)whole.bytes / 0x1p20,
                  tiled.info.tiles, (double)tiled.bytes / 0x1p20, (double)total(&tiled.info) / 0x1p20);
    assert_true(tiled.bytes < budget + slack);
    sn_volume_free(image);
    sn_model_clear(&model);
}

static void a_plan_without_an_image_is_that_of_one(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    const int64_t size[3] = {24, 20, 28};
    sn_prediction_memory memory;
    sn_prediction_info info;
    sn_model model = random_model("n=8 p=2 sup=1 res=1", 3);
    sn_volume *image = random_image(grid_of(24, 20, 28, 1, 1, 1));
    CHECK_OK(sn_prediction_plan(&memory, &model.arch, 1, 3, size, "cpu", SN_PRECISION_AUTO, &error), error);
    sn_labelmap_free(predict(&model, image, 0, 2, &info));
    assert_true(memory.network == info.memory.network && memory.image == info.memory.image);
    sn_volume_free(image);
    sn_model_clear(&model);
}

/* A large image for a coarse network: its own bytes are most, and fewer slices at once would save nothing. */
static void tiles_are_thin_only_where_probabilities_are_what_needs_memory(void **state)
{
    (void)state;
    sn_prediction_info info;
    sn_model few = random_model("n=8 p=2 sup=0 res=0", 3), many = random_model("n=2 p=2 sup=0 res=0", 60);
    sn_volume *fine = random_image(grid_of(120, 96, 96, 0.5, 0.5, 0.5)),
              *same = random_image(grid_of(64, 56, 60, 1, 1, 1));
    sn_labelmap_free(predict(&few, fine, 0, 2, &info));
    sn_labelmap_free(predict(&few, fine, info.memory.image + info.memory.network / 3, 2, &info));
    assert_true(info.tiles > 1);
    for (int a = 1; a < 3; a++) /* of 60x48x48 */
        assert_true(info.tile[0] * 2 > info.tile[a]);
    sn_labelmap_free(predict(&many, same, 0, 2, &info));
    sn_labelmap_free(predict(&many, same, total(&info) / 3, 2, &info));
    assert_true(info.tile[0] * 2 <= info.tile[1] && info.tile[0] * 2 <= info.tile[2]);
    sn_volume_free(fine);
    sn_volume_free(same);
    sn_model_clear(&few);
    sn_model_clear(&many);
}

/* Statistics as training leaves them. */
static void draw_statistics(sn_model *model)
{
    sn_random random = sn_random_begin(5, SN_RANDOM_TEST, 0);
    for (int i = 0; i < model->weights.count; i++) {
        const sn_array *array = &model->weights.items[i];
        float *values = (float *)(void *)array->data;
        bool is_variance = strstr(array->name, ".running_variance") != NULL;
        if (!is_variance && strstr(array->name, ".running_mean") == NULL)
            continue;
        for (int64_t v = 0; v < sn_tensor_count(&array->desc); v++)
            values[v] =
                (float)(is_variance ? 0.5 + sn_random_uniform(&random) : 0.3 * sn_random_normal(&random));
    }
}

/* The probabilities of the network as it was trained, of an image that is the whole input; sn_free. */
static float *probabilities_of(const sn_model *model, const sn_volume *input)
{
    sn_error error = SN_ERROR_INIT;
    const sn_backend *backend;
    sn_device *device;
    sn_graph *graph;
    sn_executor *executor;
    float *probabilities;
    const int64_t *extent = input->grid.extent;
    CHECK_OK(sn_backend_find(&backend, "cpu", &error), error);
    CHECK_OK(backend->open(&device, &(sn_device_options){.threads = 1}, &error), error);
    CHECK_OK(sn_graph_create(&graph, SN_F32, &error), error);
    CHECK_OK(sn_arch_prediction_graph(graph, &model->arch, 1, extent, 3, &error), error);
    CHECK_OK(sn_executor_create(&executor, graph, backend, device, &error), error);
    sn_weights_upload(&model->weights, graph, executor, SN_WEIGHTS_NETWORK);
    sn_executor_upload(executor, sn_graph_find(graph, "image"), input->data);
    CHECK_OK(sn_executor_run(executor, 0, &error), error);
    CHECK_OK(sn_alloc(&probabilities, (size_t)(3 * sn_grid_voxels(&input->grid)), sizeof(float), &error),
             error);
    assert_int_equal(
        sn_executor_download(executor, sn_graph_find(graph, "probabilities"), probabilities, NULL), SN_OK);
    sn_executor_free(executor);
    sn_graph_free(graph);
    backend->close(device);
    return probabilities;
}

/* The normalisations are folded into the convolutions; a label may differ where two are equally likely. */
static void a_prediction_is_that_of_the_network_as_trained(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_model model = random_model("n=8 p=2 sup=1 res=1 nodes=4 ops=2,3,6,0,4,6", 3);
    sn_volume *image = random_image(grid_of(13, 16, 20, 1, 1, 1)), *input;
    sn_grid grid;
    int64_t voxels = sn_grid_voxels(&image->grid), foreground = 0;
    draw_statistics(&model);
    sn_labelmap *labels = predict(&model, image, 0, 1, NULL);
    CHECK_OK(sn_preprocess_grid(&grid, &model.preprocessing, &image->grid, &error), error);
    CHECK_OK(sn_preprocess_image(&input, image, &grid, 1, &error), error);
    assert_int_equal(sn_grid_voxels(&grid), voxels);
    float *p = probabilities_of(&model, input);
    for (int64_t v = 0; v < voxels; v++) {
        int chosen = labels->data[v] == 7 ? 1 : labels->data[v] == 2035 ? 2 : 0;
        foreground += chosen != 0;
        for (int l = 0; l < 3; l++)
            assert_true(p[chosen * voxels + v] >= p[l * voxels + v] - 1e-5F);
    }
    assert_true(foreground > voxels / 20);
    sn_free(p);
    sn_labelmap_free(labels);
    sn_volume_free(image);
    sn_volume_free(input);
    sn_model_clear(&model);
}

/* The image as read from a file with other axes gives the same labels at the same places. */
static void the_result_lies_on_the_image_s_own_grid(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_model model = random_model("n=8 p=2 sup=0 res=0", 3);
    sn_grid grid = grid_of(12, 10, 14, 1, 1, 1), turned;
    int foreground = 0;
    sn_volume *image = random_image(grid), *other;
    /* i runs to the feet, j to the left, k to the front: voxel (k,j,i) is (11-i, k, 13-j) of `grid`. */
    const int64_t extent[3] = {10, 14, 12};
    double origin[3];
    sn_grid_position(origin, &grid, (double[]){11, 0, 13});
    const double affine[3][4] = {{0, -1, 0, origin[0]}, {0, 0, 1, origin[1]}, {-1, 0, 0, origin[2]}};
    CHECK_OK(sn_grid_make(&turned, extent, affine, &error), error);
    CHECK_OK(sn_volume_create(&other, &turned, 1, &error), error);
    for (int k = 0; k < 10; k++)
        for (int j = 0; j < 14; j++)
            for (int i = 0; i < 12; i++)
                other->data[(k * 14 + j) * 12 + i] = image->data[((11 - i) * 10 + k) * 14 + 13 - j];
    sn_labelmap *straight = predict(&model, image, 0, 1, NULL), *back = predict(&model, other, 0, 2, NULL);
    assert_true(sn_grid_equal(&straight->grid, &grid, 1e-6, NULL));
    assert_true(sn_grid_equal(&back->grid, &turned, 1e-6, NULL));
    for (int k = 0; k < 10; k++)
        for (int j = 0; j < 14; j++)
            for (int i = 0; i < 12; i++) {
                int32_t label = back->data[(k * 14 + j) * 12 + i];
                assert_int_equal(label, straight->data[((11 - i) * 10 + k) * 14 + 13 - j]);
                assert_true(label == 0 || label == 7 || label == 2035);
                foreground += label != 0;
            }
    assert_true(foreground > 84); /* of 1680 */
    sn_labelmap_free(straight);
    sn_labelmap_free(back);
    sn_volume_free(image);
    sn_volume_free(other);
    sn_model_clear(&model);
}

static void a_wrong_number_of_channels_is_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_model model = random_model("n=8 p=2", 3);
    sn_grid grid = grid_of(8, 8, 8, 1, 1, 1);
    sn_predictor *predictor;
    sn_labelmap *labels;
    sn_volume *image;
    sn_predictor_options options = {.device = "cpu", .threads = 1};
    CHECK_OK(sn_volume_create(&image, &grid, 2, &error), error);
    CHECK_OK(sn_predictor_create(&predictor, &model, "m.safetensors", &options, &error), error);
    assert_int_equal(sn_predict(&labels, NULL, predictor, image, NULL, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *[]){"2 channels", "expects 1", "m.safetensors", NULL});
    sn_predictor_free(predictor);
    sn_volume_free(image);
    sn_model_clear(&model);
}

static void a_budget_too_small_for_any_tile_is_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_model model = random_model("n=8 p=2", 3);
    sn_predictor *predictor;
    sn_labelmap *labels;
    sn_volume *image = random_image(grid_of(8, 8, 8, 1, 1, 1));
    sn_predictor_options options = {.device = "cpu", .threads = 1, .memory = 1000};
    CHECK_OK(sn_predictor_create(&predictor, &model, "m.safetensors", &options, &error), error);
    assert_int_equal(sn_predict(&labels, NULL, predictor, image, NULL, &error), SN_ERR_MEMORY);
    assert_names(error.text, (const char *[]){"m.safetensors", "--memory", NULL});
    sn_predictor_free(predictor);
    sn_volume_free(image);
    sn_model_clear(&model);
}

static void a_model_is_read_as_it_was_written(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_model model = random_model("n=8 p=2", 3), read;
    const char *path = in_folder(*state, "model.safetensors");
    CHECK_OK(sn_model_save(&model, path, &error), error);
    CHECK_OK(sn_model_load(&read, path, &error), error);
    assert_memory_equal(&read.arch.ops, &model.arch.ops, sizeof model.arch.ops);
    assert_int_equal(read.preprocessing.size[2], 8);
    assert_int_equal(read.labels->values[2], 2035);
    assert_int_equal(read.weights.count, model.weights.count);
    for (int i = 0; i < read.weights.count; i++)
        assert_memory_equal(sn_arrays_find(&model.weights, read.weights.items[i].name)->data,
                            read.weights.items[i].data, sn_tensor_bytes(&read.weights.items[i].desc));
    sn_model_clear(&model);
    sn_model_clear(&read);
}

static void weights_of_another_network_are_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_model model = random_model("n=8 p=2", 3);
    sn_predictor *predictor;
    sn_predictor_options options = {.device = "cpu", .threads = 1};
    model.arch.n = 9;
    assert_int_equal(sn_predictor_create(&predictor, &model, "m.safetensors", &options, &error),
                     SN_ERR_INPUT);
    assert_names(error.text, (const char *[]){"m.safetensors", "do not fit", NULL});
    sn_model_clear(&model);
}

static void weights_that_are_no_numbers_are_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_model model = random_model("n=8 p=2", 3);
    sn_predictor *predictor;
    sn_predictor_options options = {.device = "cpu", .threads = 1};
    ((float *)(void *)model.weights.items[1].data)[2] = NAN;
    assert_int_equal(sn_predictor_create(&predictor, &model, "m.safetensors", &options, &error),
                     SN_ERR_INPUT);
    assert_names(error.text, (const char *[]){"m.safetensors", "damaged", model.weights.items[1].name, NULL});
    sn_model_clear(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_holds_for_all_that_a_prediction_takes),
        cmocka_unit_test(a_plan_without_an_image_is_that_of_one),
        cmocka_unit_test(tiles_are_thin_only_where_probabilities_are_what_needs_memory),
        cmocka_unit_test(a_prediction_is_that_of_the_network_as_trained),
        cmocka_unit_test(tiles_predict_what_the_whole_image_does),
        cmocka_unit_test(the_result_lies_on_the_image_s_own_grid),
        cmocka_unit_test(a_wrong_number_of_channels_is_refused),
        cmocka_unit_test(a_budget_too_small_for_any_tile_is_refused),
        cmocka_unit_test_setup_teardown(a_model_is_read_as_it_was_written, folder_setup, folder_teardown),
        cmocka_unit_test(weights_of_another_network_are_refused),
        cmocka_unit_test(weights_that_are_no_numbers_are_refused),
    };
    return cmocka_run_group_tests_name("predict", tests, NULL, NULL);
}
