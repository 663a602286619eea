/* Training together: any number of members gives the bits of one. They are threads, also where a router stands between
 * them as between processes. */
#include "train/blobs.h"

#include "base/interrupt.h"
#include "comm/router.h"
#include "train/task.h"

enum { EPOCHS = 2 };

static sn_task task; /* nine cases of blobs: five to train, an odd batch at the end */
static char *root;

static int setup(void **state)
{
    if (blobs_setup(&task, state, 9) != 0)
        return 1;
    root = *state;
    assert_true(task.split.count[SN_TRAINING] > 3 && task.split.count[SN_VALIDATION] > 1);
    return 0;
}

static int teardown(void **state)
{
    return blobs_teardown(&task, state);
}

static sn_task_run run_of(const char *arch, int batch)
{
    sn_error error = SN_ERROR_INIT;
    sn_task_run run = {.options = SN_TRAIN_OPTIONS_INIT, .device = "cpu", .threads = 1};
    CHECK_OK(sn_arch_parse(&run.arch, arch, &error), error);
    run.options.epochs = EPOCHS;
    run.options.batch = batch;
    return run;
}

typedef struct member {
    sn_task_run run;
    int number, members, descriptor;
    const char *path;
    const sn_train_observer *observer;
    sn_train_result result;
    sn_status status;
    sn_error error;
    pthread_t thread;
} member;

static void *member_train(void *context)
{
    member *self = context;
    self->status =
        sn_group_open(&self->run.group, self->descriptor, self->number, self->members, &self->error);
    if (self->status == SN_OK)
        self->status =
            sn_task_train(&self->result, &task, &self->run, self->path, self->observer, &self->error);
    sn_group_close(self->run.group);
    return NULL;
}

/* Train in `members` threads with a router; `observer` is that of member 0. */
static void train_together(member *all, const sn_task_run *run, int members,
                           const sn_train_observer *observer)
{
    router between;
    router_begin(&between, members);
    for (int m = 0; m < members; m++) {
        all[m] = (member){.run = *run, .number = m, .members = members, .descriptor = between.outer[m]};
        all[m].path = in_folder(root, "together.safetensors");
        all[m].observer = m == 0 ? observer : NULL;
        pthread_create(&all[m].thread, NULL, member_train, &all[m]);
    }
    for (int m = 0; m < members; m++)
        pthread_join(all[m].thread, NULL);
    router_end(&between);
}

/* What a member of sn_group_run does. */
static sn_status run_member(sn_group *group, void *context, sn_error *error)
{
    member *self = (member *)context + sn_group_member(group);
    self->run.group = group;
    return sn_task_train(&self->result, &task, &self->run, self->path, self->observer, error);
}

/* The same without a router. */
static void train_in_threads(member *all, const sn_task_run *run, int members,
                             const sn_train_observer *observer)
{
    sn_error error = SN_ERROR_INIT;
    for (int m = 0; m < members; m++)
        all[m] = (member){.run = *run, .path = in_folder(root, "together.safetensors")};
    all[0].observer = observer;
    sn_status status = sn_group_run(members, run_member, all, &error);
    for (int m = 0; m < members; m++) {
        all[m].status = status;
        all[m].error = error;
    }
}

static void assert_same_training(const sn_train_result *a, const sn_train_result *b)
{
    assert_int_equal(a->best_epoch, b->best_epoch);
    assert_memory_equal(&a->dice, &b->dice, sizeof a->dice);
    assert_int_equal(a->weights.count, b->weights.count);
    assert_true(a->weights.count > 5);
    for (int i = 0; i < a->weights.count; i++)
        assert_memory_equal(a->weights.items[i].data, b->weights.items[i].data,
                            sn_tensor_bytes(&a->weights.items[i].desc));
}

/* Losses add up on the device where one process trains by itself, and here where several do. */
static sn_status keep_loss(const sn_train_epoch *epoch, void *context, sn_error *error)
{
    (void)error;
    ((double *)context)[epoch->epoch - 1] = epoch->loss;
    return SN_OK;
}

static void any_number_of_members_gives_the_bits_of_one(void **state)
{
    static const struct {
        const char *arch;
        int batch;
    } cases[] = {{"n=8 p=2 sup=1 res=1 nodes=3 ops=2,0,2", 3},
                 {"n=9 p=2 sup=1 res=0 nodes=4 ops=3,6,2,6,4,2", 2},
                 {"n=8 p=2 sup=0 res=1 nodes=4 ops=2,3,6,0,4,6", 5},
                 {"n=24 p=1 sup=0 res=0 nodes=2 ops=2", 4}};
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sn_error error = SN_ERROR_INIT;
        sn_train_result alone;
        double losses[EPOCHS], together[EPOCHS];
        sn_train_observer observer = {.epoch_done = keep_loss, .context = losses};
        sn_task_run run = run_of(cases[c].arch, cases[c].batch);
        CHECK_OK(sn_task_train(&alone, &task, &run, in_folder(root, "alone.safetensors"), &observer, &error),
                 error);
        assert_true(losses[0] > 0 && losses[1] > 0 && losses[1] != losses[0]);
        observer.context = together;
        for (int members = 2; members <= 4; members++) {
            member all[ROUTER_MEMBERS];
            if ((members + (int)c) % 2 == 0)
                train_together(all, &run, members, &observer);
            else
                train_in_threads(all, &run, members, &observer);
            assert_memory_equal(losses, together, sizeof losses);
            for (int m = 0; m < members; m++)
                CHECK_OK(all[m].status, all[m].error);
            assert_same_training(&alone, &all[0].result);
            assert_memory_equal(&alone.dice, &all[1].result.dice, sizeof alone.dice);
            assert_int_equal(all[1].result.weights.count, 0);
            for (int m = 0; m < members; m++)
                sn_train_result_clear(&all[m].result);
        }
        sn_train_result_clear(&alone);
    }
}

/* Asks all to stop in the second epoch. */
static void stop_in_second_epoch(int epoch, int done, int total, void *context)
{
    (void)total, (void)context;
    if (epoch == 2 && done == 3)
        sn_interrupt_request();
}

static void another_number_of_members_goes_on_from_a_checkpoint(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_train_result alone;
    member all[ROUTER_MEMBERS];
    const sn_train_observer stop = {.image_done = stop_in_second_epoch};
    sn_task_run run = run_of("n=8 p=2 sup=1 res=1 nodes=3 ops=2,0,2", 3);
    run.options.epochs = 3;
    CHECK_OK(sn_task_train(&alone, &task, &run, in_folder(root, "alone.safetensors"), NULL, &error), error);
    run.checkpoint = in_folder(root, "checkpoint");
    for (int threads = 0; threads < 2; threads++) {
        (threads ? train_in_threads : train_together)(all, &run, 3, &stop);
        sn_interrupt_clear();
        for (int m = 0; m < 3; m++) {
            assert_int_equal(all[m].status, SN_ERR_INTERRUPTED);
            assert_string_equal(all[m].error.text, "interrupted");
            sn_train_result_clear(&all[m].result);
        }
        assert_true(sn_path_exists(run.checkpoint));
    }
    train_together(all, &run, 2, NULL);
    CHECK_OK(all[0].status, all[0].error);
    assert_same_training(&alone, &all[0].result);
    for (int m = 0; m < 2; m++)
        sn_train_result_clear(&all[m].result);
    sn_train_result_clear(&alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_members_gives_the_bits_of_one),
        cmocka_unit_test(another_number_of_members_goes_on_from_a_checkpoint),
    };
    return cmocka_run_group_tests_name("together", tests, setup, teardown);
}
