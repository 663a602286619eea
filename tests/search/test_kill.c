/*
 * A search of real processes on a real disk, killed at random moments. This program is the test, the master
 * and the worker.
 */
#include "cmocka_all.h"

#include <dirent.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/random.h"
#include "landscape.h"
#include "search/crew.h"
#include "search/worker.h"

enum { ITERATIONS = 60, EPOCHS = 3, KILLS = 20 };

extern char **environ;

static char folder[] = "/tmp/segnas3d-test-kill-XXXXXX";

/* ---- the worker, and the master ---- */

/* Train: a few epochs of a millisecond each. Every seventh network runs into a NaN. */
static sn_status handler(json_t **result, const json_t *job, sn_worker_reporter *reporter, void *context,
                         sn_error *error)
{
    static const struct timespec millisecond = {.tv_nsec = 1000000};
    sn_status status = SN_OK;
    json_t *report = NULL;
    int network = atoi(json_string_value(json_object_get(job, "network")));
    double dice = landscape_dice(network);
    (void)context;
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        double loss = epoch == 2 && network % 7 == 0 ? NAN : 1.0 / epoch;
        nanosleep(&millisecond, NULL);
        SN_TRY(sn_interrupt_check(error));
        SN_TRY(sn_crew_epoch(&report, epoch, loss, dice, 0.001, error));
        SN_TRY(sn_worker_report(reporter, report, error));
        json_decref(report);
        report = NULL;
    }
    *result = json_pack("{s:f, s:{s:f}}", "dice", dice, "labels", "whole", dice);
done:
    json_decref(report);
    return status;
}

static sn_status begin(int worker, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error)
{
    (void)x, (void)dimension;
    json_t *job = json_pack("{s:s}", "network", proposal->network);
    sn_status status = sn_crew_begin(context, worker, job, proposal->network, 0, reporter, error);
    json_decref(job);
    return status;
}

static sn_status wait_for(int *worker, sn_trial_result *result, bool wait, void *context, sn_error *error)
{
    return sn_crew_wait(worker, result, wait, context, error);
}

static void stop(int worker, void *context)
{
    sn_crew_stop(context, worker);
}

static void end(void *context)
{
    sn_crew_end(context);
}

static int master(char *path, int workers)
{
    sn_optimiser_settings optimiser = landscape_optimiser(11);
    sn_crew_options crew_options = {.folder = path, .workers = workers, .threads = 1};
    sn_search_options options = {.iterations = ITERATIONS, .workers = workers};
    sn_search_state state;
    sn_crew *crew = NULL;
    sn_study *study = NULL;
    sn_error error = SN_ERROR_INIT;
    sn_status status;
    sn_interrupt_install();
    SN_TRY(sn_study_open(&study, path, &error));
    SN_TRY(sn_crew_create(&crew, &crew_options, &error));
    sn_search_objective objective = {landscape_propose, begin, wait_for, stop, end, crew};
    SN_TRY(sn_search_run(&state, study, &optimiser, &objective, &options, &error));
done:
    sn_crew_free(crew);
    sn_study_close(study);
    if (status != SN_OK && status != SN_ERR_INTERRUPTED)
        fprintf(stderr, "%s\n", error.text);
    return sn_status_exit_code(status);
}

/* ---- the test ---- */

static pid_t start_master(char *path, int workers)
{
    char program[] = "test_kill", command[] = "master", number[16];
    char *arguments[] = {program, command, path, number, NULL};
    pid_t pid;
    snprintf(number, sizeof number, "%d", workers);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
    return pid;
}

/* Search to the end. */
static void finish(char *path, int workers)
{
    int ended;
    assert_int_equal(waitpid(start_master(path, workers), &ended, 0) > 0, 1);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), 0);
}

/* The study's JSON without what depends on its folder's name; the caller's. */
static json_t *study_json(const char *path)
{
    json_t *root;
    sn_study *study;
    assert_int_equal(sn_study_open_read(&study, path, NULL), SN_OK);
    assert_int_equal(sn_study_json(&root, study, NULL), SN_OK);
    sn_study_close(study);
    return root;
}

static sn_status count_epochs(const sn_study_epoch *epoch, void *context, sn_error *error)
{
    (void)epoch, (void)error;
    ++*(int *)context;
    return SN_OK;
}

static sn_status check_trial(const sn_study_trial *trial, void *context, sn_error *error)
{
    int epochs = 0;
    if (trial->first_iteration == 0)
        return SN_OK; /* a wrong guess; a single worker makes none */
    assert_true(trial->finished != 0);
    assert_int_equal(sn_study_epochs_visit(context, trial->id, count_epochs, &epochs, error), SN_OK);
    assert_int_equal(trial->outcome, atoi(trial->network) % 7 == 0 ? SN_OUTCOME_FAILED : SN_OUTCOME_TRAINED);
    assert_int_equal(epochs, trial->outcome == SN_OUTCOME_TRAINED ? EPOCHS : 1);
    return SN_OK;
}

/* Every training that is used is finished and has all its epochs. */
static void assert_trials_complete(const char *path)
{
    sn_study *study;
    assert_int_equal(sn_study_open_read(&study, path, NULL), SN_OK);
    assert_int_equal(sn_study_trials_visit(study, check_trial, study, NULL), SN_OK);
    sn_study_close(study);
}

/* Search to the end in a fresh study; its JSON is the caller's. */
static json_t *whole_search(char *path, size_t size)
{
    snprintf(path, size, "%s/whole", folder);
    finish(path, 1);
    assert_trials_complete(path);
    return study_json(path);
}

/* A child of `master` that lives, other than `not`; 0: none. */
static pid_t find_worker(pid_t master, pid_t not )
{
    pid_t found = 0;
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; found == 0 && (entry = readdir(processes)) != NULL;) {
        char path[300], kind;
        int parent;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = atoi(entry->d_name) > 0 ? fopen(path, "r") : NULL;
        if (file == NULL)
            continue;
        if (fscanf(file, "%*d (%*[^)]) %c %d", &kind, &parent) == 2 && parent == master && kind != 'Z' &&
            atoi(entry->d_name) != not )
            found = atoi(entry->d_name);
        fclose(file);
    }
    closedir(processes);
    return found;
}

/*
 * Start the search KILLS times and end it each time with `number` after up to 60 ms, one or two of its
 * workers before it; then let it finish. Three deaths of one training would be a result.
 */
static void search_with_signals(char *path, int workers, int number, uint64_t stream)
{
    sn_random random = sn_random_begin(2, SN_RANDOM_TEST, stream);
    int ended, cut = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = start_master(path, workers), worker = 0;
        for (int victim = 0; victim < 2; victim++) {
            usleep(sn_random_below(&random, 20000));
            worker = find_worker(pid, worker);
            if (worker > 0)
                kill(worker, SIGKILL);
        }
        usleep(sn_random_below(&random, 20000));
        kill(pid, number);
        assert_int_equal(waitpid(pid, &ended, 0), pid);
        cut += WIFSIGNALED(ended) || WEXITSTATUS(ended) == 130;
        assert_true(WIFSIGNALED(ended) || WEXITSTATUS(ended) == 130 || WEXITSTATUS(ended) == 0);
    }
    assert_true(cut > 0);
    finish(path, workers);
}

static void assert_study_equals(const json_t *whole, const char *path)
{
    json_t *got = study_json(path);
    assert_string_equal(json_string_value(json_object_get(got, "trajectory")),
                        json_string_value(json_object_get(whole, "trajectory")));
    assert_true(json_equal(got, whole));
    assert_trials_complete(path);
    json_decref(got);
}

static void assert_signals_change_nothing(int number)
{
    char path[128];
    json_t *whole = whole_search(path, sizeof path);
    for (int workers = 1; workers <= 4; workers += 3) {
        snprintf(path, sizeof path, "%s/cut-%d-%d", folder, number, workers);
        search_with_signals(path, workers, number, (uint64_t)(10 * number + workers));
        assert_study_equals(whole, path);
    }
    json_decref(whole);
}

static void a_search_killed_at_random_moments_ends_the_same_way(void **state)
{
    (void)state;
    assert_signals_change_nothing(SIGKILL);
}

static void a_search_interrupted_at_random_moments_ends_the_same_way(void **state)
{
    (void)state;
    assert_signals_change_nothing(SIGTERM);
}

static void any_number_of_workers_goes_the_same_way(void **state)
{
    char path[128];
    json_t *whole = whole_search(path, sizeof path);
    (void)state;
    for (int workers = 2; workers <= 8; workers *= 2) {
        snprintf(path, sizeof path, "%s/workers-%d", folder, workers);
        finish(path, workers);
        assert_study_equals(whole, path);
    }
    json_decref(whole);
}

static int folder_make(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int folder_remove(void **state)
{
    (void)state;
    return sn_folder_remove(folder, NULL) == SN_OK ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "worker") == 0)
        return sn_worker_main(arguments[2], handler, NULL);
    if (count == 4 && strcmp(arguments[1], "master") == 0)
        return master(arguments[2], atoi(arguments[3]));
    const struct CMUnitTest tests[] = {
        TEST(any_number_of_workers_goes_the_same_way),
        TEST(a_search_killed_at_random_moments_ends_the_same_way),
        TEST(a_search_interrupted_at_random_moments_ends_the_same_way),
    };
    return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
