/*
 * Training on a GPU: the cuda backend, as a plug-in, on a stand-in for CUDA's runtime (tests/backend/cuda_host). Which
 * cases it keeps changes no bit; what goes wrong on it is said as what it is.
 */
#include "train/blobs.h"

#include <dlfcn.h>

#include "backend/device.h"
#include "cuda_runtime_api.h"

enum { EPOCHS = 3, CASES = 4, SKIPPED = 77 };

static sn_task task; /* six cases of blobs, three to train, one to validate */
static char *root;
static struct cuda_host *gpu;  /* the plug-in's */
static sn_train_result wanted; /* of small_run, of a training that keeps nothing */

static sn_task_run small_run(void)
{
    sn_error error = SN_ERROR_INIT;
    sn_task_run run = {.options = SN_TRAIN_OPTIONS_INIT, .device = "cuda", .threads = 1};
    CHECK_OK(sn_arch_parse(&run.arch, "n=2 p=1 sup=0 res=0 nodes=2 ops=2", &error), error);
    run.options.precision = SN_PRECISION_FLOAT32;
    run.options.epochs = EPOCHS;
    run.options.batch = 2;
    return run;
}

static int64_t planned_bytes(const sn_task_run *run)
{
    sn_error error = SN_ERROR_INIT;
    sn_train_memory memory;
    sn_train_shape shape = sn_task_shape(&task);
    CHECK_OK(sn_train_fit(&memory, &run->arch, &shape, &run->options, run->device, 0, &error), error);
    return memory.bytes;
}

static int64_t case_bytes(void)
{
    sn_train_shape shape = sn_task_shape(&task);
    return sn_train_case_bytes(&shape);
}

/* What was sent in each epoch. */
typedef struct sendings {
    int64_t before, of[EPOCHS];
} sendings;

static sn_status note_sent(const sn_train_epoch *epoch, void *context, sn_error *error)
{
    (void)error;
    sendings *self = context;
    self->of[epoch->epoch - 1] = (int64_t)gpu->sent - self->before;
    self->before = (int64_t)gpu->sent;
    return SN_OK;
}

/* Train, and say how many cases were sent in each epoch; 0 of one: none was, only numbers. */
static sn_train_result train(const sn_task_run *run, int sent[EPOCHS])
{
    sn_error error = SN_ERROR_INIT;
    sn_train_result result;
    sendings all = {.before = (int64_t)gpu->sent};
    const sn_train_observer observer = {.epoch_done = note_sent, .context = &all};
    CHECK_OK(sn_task_train(&result, &task, run, in_folder(root, "model.safetensors"), &observer, &error),
             error);
    for (int e = 0; e < EPOCHS; e++)
        sent[e] = (int)(all.of[e] / case_bytes());
    assert_int_equal(gpu->used, 0);
    return result;
}

static void assert_same_training(const sn_train_result *a, const sn_train_result *b)
{
    assert_int_equal(a->best_epoch, b->best_epoch);
    assert_memory_equal(&a->dice, &b->dice, sizeof a->dice);
    assert_int_equal(a->weights.count, b->weights.count);
    for (int i = 0; i < a->weights.count; i++)
        assert_memory_equal(a->weights.items[i].data, b->weights.items[i].data,
                            sn_tensor_bytes(&a->weights.items[i].desc));
}

static int setup(void **state)
{
    if (blobs_setup(&task, state, 6) != 0)
        return 1;
    root = *state;
    assert_int_equal(task.split.count[SN_TRAINING] + task.split.count[SN_VALIDATION], CASES);
    int sent[EPOCHS];
    sn_task_run run = small_run();
    run.memory = planned_bytes(&run);
    wanted = train(&run, sent);
    return 0;
}

static int teardown(void **state)
{
    sn_train_result_clear(&wanted);
    return blobs_teardown(&task, state);
}

/* A training that keeps all cases sends each once; one that keeps none, in each epoch. The weights are the same. */
static void trains_and_keeps(const sn_task_run *run, bool keeps)
{
    int sent[EPOCHS];
    sn_train_result is = train(run, sent);
    assert_in_range(sent[0], CASES, CASES + 1); /* and initial values */
    for (int e = 1; e < EPOCHS; e++)
        assert_int_equal(sent[e], keeps ? 0 : CASES);
    assert_same_training(&wanted, &is);
    sn_train_result_clear(&is);
}

static void each_case_is_sent_once(void **state)
{
    (void)state;
    const sn_task_run run = small_run();
    trains_and_keeps(&run, true);
}

static void all_cases_fit_the_budget_beside_the_plan_or_none_is_kept(void **state)
{
    (void)state;
    sn_task_run run = small_run();
    run.memory = planned_bytes(&run) + CASES * case_bytes();
    trains_and_keeps(&run, true);
    run.memory--;
    trains_and_keeps(&run, false);
}

static void trainings_side_by_side_share_the_budget(void **state)
{
    (void)state;
    sn_task_run run = small_run();
    run.beside = 2;
    run.memory = 3 * (planned_bytes(&run) + CASES * case_bytes());
    trains_and_keeps(&run, true);
    run.memory--;
    trains_and_keeps(&run, false);
}

/* What is free when the plan has its memory, less what CUDA takes for itself. */
static void what_is_not_free_is_not_taken(void **state)
{
    (void)state;
    const size_t memory = gpu->memory;
    const sn_task_run run = small_run();
    gpu->memory = SN_DEVICE_GPU_OWN + (size_t)(CASES * case_bytes()); /* but for the plan */
    trains_and_keeps(&run, false);
    gpu->memory = memory;
}

static void memory_that_is_refused_after_all_is_done_without(void **state)
{
    (void)state;
    const sn_task_run run = small_run();
    gpu->refused = (size_t)(CASES * case_bytes());
    trains_and_keeps(&run, false);
    gpu->refused = 0;
}

/* The GPU fails after this image of the second epoch. */
static void fail_in_second_epoch(int epoch, int done, int total, void *context)
{
    assert_int_equal(total, CASES);
    if (epoch == 2 && done == *(int *)context)
        gpu->fault = cudaErrorLaunchFailure;
}

/* Whatever shows it first, a loss, the counts of a validation or the weights: it is no loss that is not a number. And
 * nothing of it is in the checkpoint. */
static void a_gpu_that_fails_is_named_and_the_training_goes_on_from_before(void **state)
{
    (void)state;
    sn_task_run run = small_run();
    run.checkpoint = in_folder(root, "checkpoint");
    for (int image = 1; image <= CASES; image++) {
        sn_error error = SN_ERROR_INIT;
        sn_train_result result;
        const sn_train_observer observer = {.image_done = fail_in_second_epoch, .context = &image};
        unlink(run.checkpoint);
        assert_int_equal(
            sn_task_train(&result, &task, &run, in_folder(root, "model.safetensors"), &observer, &error),
            SN_ERR_FAILED);
        assert_non_null(strstr(error.text, "unspecified launch failure"));
        sn_train_result_clear(&result);
        gpu->fault = cudaSuccess;
        CHECK_OK(sn_task_train(&result, &task, &run, in_folder(root, "model.safetensors"), NULL, &error),
                 error);
        assert_same_training(&wanted, &result);
        sn_train_result_clear(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_is_sent_once),
        cmocka_unit_test(all_cases_fit_the_budget_beside_the_plan_or_none_is_kept),
        cmocka_unit_test(trainings_side_by_side_share_the_budget),
        cmocka_unit_test(what_is_not_free_is_not_taken),
        cmocka_unit_test(memory_that_is_refused_after_all_is_done_without),
        cmocka_unit_test(a_gpu_that_fails_is_named_and_the_training_goes_on_from_before),
    };
    char path[4096];
    const char *folder = getenv("SEGNAS3D_PLUGINS");
    if (folder == NULL) {
        printf("skipped: there is no C++ compiler\n");
        return SKIPPED;
    }
    snprintf(path, sizeof path, "%s/segnas3d-cuda.so", folder);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* as the program does: it is loaded once */
    gpu = plugin == NULL ? NULL : dlsym(plugin, "cuda_host");
    if (gpu == NULL) {
        printf("%s\n", dlerror());
        return EXIT_FAILURE;
    }
    return cmocka_run_group_tests_name("gpu", tests, setup, teardown);
}
