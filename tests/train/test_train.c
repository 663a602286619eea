/* Training: the same weights whatever the threads and interruptions; its needs are known before it runs. */
#include "train/blobs.h"

#include <math.h>

#include "backend/backend.h"
#include "base/interrupt.h"
#include "model/model.h"
#include "train/task.h"

enum { EPOCHS = 4, IMAGES = 3 + 1 }; /* to train and to validate, an epoch */

static sn_task task; /* six cases of blobs, three to train, one to validate */
static char *root;

static int setup(void **state)
{
    if (blobs_setup(&task, state, 6) != 0)
        return 1;
    root = *state;
    return 0;
}

static int teardown(void **state)
{
    return blobs_teardown(&task, state);
}

static sn_task_run small_run(int threads)
{
    sn_error error = SN_ERROR_INIT;
    sn_task_run run = {.options = SN_TRAIN_OPTIONS_INIT, .device = "cpu", .threads = threads};
    CHECK_OK(sn_arch_parse(&run.arch, "n=8 p=2 sup=1 res=1", &error), error);
    run.options.epochs = EPOCHS;
    run.options.batch = 2;
    return run;
}

static sn_status train(sn_train_result *result, const sn_task_run *run, const sn_train_observer *observer,
                       sn_error *error)
{
    return sn_task_train(result, &task, run, in_folder(root, "model.safetensors"), observer, error);
}

static void assert_same_weights(const sn_train_result *a, const sn_train_result *b)
{
    assert_int_equal(a->best_epoch, b->best_epoch);
    assert_int_equal(a->weights.count, b->weights.count);
    assert_true(a->weights.count > 10);
    for (int i = 0; i < a->weights.count; i++) {
        assert_string_equal(a->weights.items[i].name, b->weights.items[i].name);
        assert_memory_equal(a->weights.items[i].data, b->weights.items[i].data,
                            sn_tensor_bytes(&a->weights.items[i].desc));
    }
}

static void weights_do_not_depend_on_threads(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result one, two;
    sn_task_run run = small_run(1);
    CHECK_OK(train(&one, &run, NULL, &error), error);
    run.threads = 2;
    CHECK_OK(train(&two, &run, NULL, &error), error);
    assert_same_weights(&one, &two);
    sn_train_result_clear(&one);
    sn_train_result_clear(&two);
}

static const float *floats_of(const sn_arrays *arrays, const char *name)
{
    return (const float *)(const void *)sn_arrays_find(arrays, name)->data;
}

/* Ends the training after the epoch in *context, as a kill between two epochs does. */
static sn_status stop_after_epoch(const sn_train_epoch *epoch, void *context, sn_error *error)
{
    return epoch->epoch == *(int *)context ? sn_error_set(error, SN_ERR_INTERRUPTED, "stopped") : SN_OK;
}

/*
 * Each step's weights in their average, by hand: with one step an epoch, step i of T counts for C(i+7, 8) of
 * C(T+8, 9). The checkpoint holds both.
 */
static void the_average_is_that_of_all_steps(void **state)
{
    enum { STEPS = 3 };
    static const double weights[STEPS] = {1.0 / 55, 9.0 / 55, 45.0 / 55};
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result part;
    sn_arrays steps[STEPS] = {{0}};
    sn_task_run run = small_run(1);
    run.options.batch = 3;
    run.checkpoint = in_folder(root, "steps");
    for (int step = 1; step <= STEPS; step++) {
        json_t *record = NULL;
        sn_train_observer observer = {.epoch_done = stop_after_epoch, .context = &step};
        assert_int_equal(train(&part, &run, &observer, &error), SN_ERR_INTERRUPTED);
        sn_train_result_clear(&part);
        CHECK_OK(sn_safetensors_read(&record, &steps[step - 1], run.checkpoint, &error), error);
        json_decref(record);
    }
    int compared = 0;
    for (int i = 0; i < steps[0].count; i++) {
        char name[SN_ARRAY_NAME + 8];
        snprintf(name, sizeof name, "%s.average", steps[0].items[i].name);
        const sn_array *found = sn_arrays_find(&steps[STEPS - 1], name);
        for (int64_t k = 0; found != NULL && k < sn_tensor_count(&found->desc); k++, compared++) {
            double mean = 0;
            for (int step = 0; step < STEPS; step++)
                mean += weights[step] * floats_of(&steps[step], steps[0].items[i].name)[k];
            assert_true(fabs(floats_of(&steps[STEPS - 1], name)[k] - mean) <= 1e-6 * fmax(1, fabs(mean)));
        }
    }
    assert_true(compared > 1000);
    for (int step = 0; step < STEPS; step++)
        sn_arrays_clear(&steps[step]);
}

/* Asks for a stop in the middle of the epoch in *context. */
static void stop_in_epoch(int epoch, int done, int total, void *context)
{
    (void)total;
    if (epoch == *(int *)context && done == 2)
        sn_interrupt_request();
}

typedef struct counter {
    int epochs, images; /* that ended; that were computed, those of validation too */
} counter;

static sn_status count_epochs(const sn_train_epoch *epoch, void *context, sn_error *error)
{
    counter *count = context;
    (void)error;
    assert_int_equal(epoch->epoch, ++count->epochs);
    return SN_OK;
}

static void count_images(int epoch, int done, int total, void *context)
{
    counter *count = context;
    (void)epoch, (void)done, (void)total;
    count->images++;
}

static void a_training_cut_anywhere_ends_with_the_same_weights(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result whole, part, resumed;
    sn_task_run run = small_run(2);
    CHECK_OK(train(&whole, &run, NULL, &error), error);
    for (int cut = 1; cut <= EPOCHS; cut++)
        for (int inside = 0; inside <= 1; inside++) {
            char name[32];
            snprintf(name, sizeof name, "cut-%d-%d", cut, inside);
            run.checkpoint = in_folder(root, name);
            sn_train_observer observer = {.context = &cut};
            if (inside)
                observer.image_done = stop_in_epoch;
            else
                observer.epoch_done = stop_after_epoch;
            assert_int_equal(train(&part, &run, &observer, &error), SN_ERR_INTERRUPTED);
            sn_train_result_clear(&part);
            sn_interrupt_clear();
            counter count = {0};
            sn_train_observer again = {count_images, count_epochs, &count};
            CHECK_OK(train(&resumed, &run, &again, &error), error);
            assert_int_equal(count.epochs, EPOCHS); /* those before the cut are told again */
            assert_true(count.images <= (EPOCHS - (cut > 1 || !inside)) * IMAGES);
            assert_same_weights(&whole, &resumed);
            sn_train_result_clear(&resumed);
        }
    sn_train_result_clear(&whole);
}

static void a_strange_checkpoint_is_ignored(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result whole, other, again;
    sn_task_run run = small_run(2);
    CHECK_OK(train(&whole, &run, NULL, &error), error);
    run.checkpoint = in_folder(root, "strange");
    write_text(root, "strange", "not a checkpoint");
    assert_false(sn_checkpoint_is_foreign(run.checkpoint, "this one"));
    CHECK_OK(train(&again, &run, NULL, &error), error);
    assert_same_weights(&whole, &again);
    sn_train_result_clear(&again);
    remove(in_folder(root, "strange"));
    run.options.seed = 2; /* leaves its checkpoint */
    CHECK_OK(train(&other, &run, NULL, &error), error);
    char key[SN_HASH_TEXT];
    CHECK_OK(sn_task_key(key, &task, &run, &error), error);
    assert_false(sn_checkpoint_is_foreign(run.checkpoint, key));
    run.options.seed = 1;
    CHECK_OK(sn_task_key(key, &task, &run, &error), error);
    assert_true(sn_checkpoint_is_foreign(run.checkpoint, key));
    CHECK_OK(train(&again, &run, NULL, &error), error);
    assert_same_weights(&whole, &again);
    sn_train_result_clear(&whole);
    sn_train_result_clear(&other);
    sn_train_result_clear(&again);
}

static void blobs_are_learned(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result result;
    sn_task_run run = small_run(2);
    run.options.epochs = 40;
    run.options.batch = 1;
    run.options.learning_rate = 3e-3;
    CHECK_OK(train(&result, &run, NULL, &error), error);
    assert_true(result.dice > 0.8);
    assert_true(result.step_seconds > 0 && result.step_seconds < result.seconds / 40);
    assert_true(fabs(result.dice - (result.label_dice[1] + result.label_dice[2]) / 2) < 1e-12);
    sn_train_result_clear(&result);
}

/* Weights that no float can hold after the first step. */
static void a_loss_that_is_no_number_ends_the_training(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result result;
    sn_task_run run = small_run(1);
    run.options.batch = 1;
    run.options.learning_rate = 1e39;
    assert_int_equal(train(&result, &run, NULL, &error), SN_ERR_NUMERIC);
    assert_string_equal(error.text, "the loss is not a number in epoch 1");
    sn_train_result_clear(&result);
}

static int64_t planned_bytes(const sn_task_run *run, sn_recompute recompute)
{
    sn_error error = SN_ERROR_INIT;
    sn_train_memory memory;
    sn_train_shape shape = sn_task_shape(&task);
    CHECK_OK(sn_train_plan(&memory, &run->arch, &shape, &run->options, recompute, "cpu", &error), error);
    assert_int_equal(memory.recompute, recompute);
    return memory.bytes;
}

static void a_network_over_the_budget_is_refused_before_it_runs(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result result;
    sn_task_run run = small_run(2);
    int64_t bytes = planned_bytes(&run, SN_RECOMPUTE_SEGMENTS);
    run.memory = bytes - 1;
    assert_int_equal(train(&result, &run, NULL, &error), SN_ERR_MEMORY);
    assert_names(error.text, (const char *[]){"MiB", "--memory", NULL});
    run.memory = bytes;
    run.options.epochs = 1;
    CHECK_OK(train(&result, &run, NULL, &error), error);
    sn_train_result_clear(&result);
}

static void a_budget_below_the_peak_costs_time_and_no_bit(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result unlimited, limited;
    sn_train_memory memory;
    sn_train_shape shape = sn_task_shape(&task);
    sn_task_run run = small_run(2);
    int64_t kept = planned_bytes(&run, SN_RECOMPUTE_CHEAP),
            recomputed = planned_bytes(&run, SN_RECOMPUTE_SEGMENTS);
    assert_true(recomputed < kept);
    CHECK_OK(train(&unlimited, &run, NULL, &error), error);
    run.memory = (kept + recomputed) / 2;
    CHECK_OK(sn_train_fit(&memory, &run.arch, &shape, &run.options, "cpu", run.memory, &error), error);
    assert_int_equal(memory.recompute, SN_RECOMPUTE_SEGMENTS);
    assert_true(memory.bytes == recomputed);
    CHECK_OK(train(&limited, &run, NULL, &error), error);
    assert_same_weights(&unlimited, &limited);
    sn_train_result_clear(&unlimited);
    sn_train_result_clear(&limited);
}

static void a_budget_of_the_peak_or_none_computes_nothing_dear_twice(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_memory memory;
    sn_train_shape shape = sn_task_shape(&task);
    sn_task_run run = small_run(1);
    int64_t kept = planned_bytes(&run, SN_RECOMPUTE_CHEAP);
    for (int limited = 0; limited <= 1; limited++) {
        CHECK_OK(sn_train_fit(&memory, &run.arch, &shape, &run.options, "cpu", limited ? kept : 0, &error),
                 error);
        assert_int_equal(memory.recompute, SN_RECOMPUTE_CHEAP);
        assert_true(memory.bytes == kept);
    }
}

static void assert_key(bool same, const char *key, const sn_task_run *run)
{
    sn_error error = SN_ERROR_INIT;
    char other[SN_HASH_TEXT];
    CHECK_OK(sn_task_key(other, &task, run, &error), error);
    assert_int_equal(strcmp(key, other) == 0, same);
}

static void what_changes_no_weights_is_not_in_the_key(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    char key[SN_HASH_TEXT];
    sn_task_run run = small_run(1), same = small_run(2), spelled = small_run(1);
    same.memory = 12345678;
    same.checkpoint = "elsewhere";
    CHECK_OK(sn_arch_parse(&spelled.arch, "n=8 p=2 sup=1 res=1 nodes=4 ops=2,0,0,6,0,2", &error), error);
    CHECK_OK(sn_task_key(key, &task, &run, &error), error);
    assert_key(true, key, &same);
    assert_key(true, key, &spelled); /* a node that only passes on is no node */
}

static void what_changes_the_weights_is_in_the_key(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    char key[SN_HASH_TEXT];
    sn_task_run run = small_run(1), other[7];
    for (int i = 0; i < 7; i++)
        other[i] = run;
    other[0].options.epochs++;
    other[1].options.batch++;
    other[2].options.seed++;
    other[3].options.learning_rate *= 1.0000001;
    other[4].options.dropout = 0;
    other[5].options.loss = SN_LOSS_DICE_CE;
    other[6].device = "checked:cpu";
    CHECK_OK(sn_task_key(key, &task, &run, &error), error);
    for (int i = 0; i < 7; i++)
        assert_key(false, key, &other[i]);
    const sn_backend *backend;
    sn_device *device;
    CHECK_OK(sn_backend_find(&backend, "cpu", &error), error);
    CHECK_OK(backend->open(&device, &(sn_device_options){.threads = 1}, &error), error);
    bool portable = strncmp(backend->kernels(device), "portable", 8) == 0; /* all that this processor has */
    backend->close(device);
    setenv("SEGNAS3D_ISA", "portable", 1);
    assert_key(portable, key, &run);
    unsetenv("SEGNAS3D_ISA");
}

static void a_task_opens_again_from_its_json(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    json_t *json;
    sn_task again;
    char key[SN_HASH_TEXT], other[SN_HASH_TEXT];
    sn_task_run run = small_run(1);
    CHECK_OK(sn_task_to_json(&json, &task, &error), error);
    CHECK_OK(sn_task_open(&again, json, &error), error);
    CHECK_OK(sn_task_key(key, &task, &run, &error), error);
    CHECK_OK(sn_task_key(other, &again, &run, &error), error);
    assert_string_equal(key, other);
    for (int part = SN_TRAINING; part <= SN_VALIDATION; part++)
        for (int i = 0; i < task.split.count[part]; i++)
            assert_memory_equal(sn_cache_labels(task.cache, task.split.cases[part][i]),
                                sn_cache_labels(again.cache, again.split.cases[part][i]), 14 * 16 * 18);
    sn_task_clear(&again);
    json_decref(json);
}

static void the_model_file_tells_how_it_was_trained(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result result;
    sn_model model;
    double dice;
    int best, epochs;
    sn_task_run run = small_run(2);
    run.options.epochs = 1;
    CHECK_OK(train(&result, &run, NULL, &error), error);
    CHECK_OK(sn_model_load(&model, in_folder(root, "model.safetensors"), &error), error);
    assert_int_equal(json_unpack(model.training, "{s:i, s:{s:F}, s:{s:i}}", "best_epoch", &best, "validation",
                                 "dice", &dice, "options", "epochs", &epochs),
                     0);
    assert_int_equal(best, 1);
    assert_int_equal(epochs, 1);
    assert_true(dice == result.dice);
    assert_int_equal(model.labels->values[2], 5);
    assert_string_equal(model.labels->names[2], "dim");
    sn_model_clear(&model);
    sn_train_result_clear(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_do_not_depend_on_threads),
        cmocka_unit_test(the_average_is_that_of_all_steps),
        cmocka_unit_test(a_training_cut_anywhere_ends_with_the_same_weights),
        cmocka_unit_test(a_strange_checkpoint_is_ignored),
        cmocka_unit_test(blobs_are_learned),
        cmocka_unit_test(a_loss_that_is_no_number_ends_the_training),
        cmocka_unit_test(a_network_over_the_budget_is_refused_before_it_runs),
        cmocka_unit_test(a_budget_below_the_peak_costs_time_and_no_bit),
        cmocka_unit_test(a_budget_of_the_peak_or_none_computes_nothing_dear_twice),
        cmocka_unit_test(what_changes_no_weights_is_not_in_the_key),
        cmocka_unit_test(what_changes_the_weights_is_in_the_key),
        cmocka_unit_test(a_task_opens_again_from_its_json),
        cmocka_unit_test(the_model_file_tells_how_it_was_trained),
    };
    return cmocka_run_group_tests_name("train", tests, setup, teardown);
}
