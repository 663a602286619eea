/* The search, in one process: it can be cut anywhere and ends the same way. */
#include "cmocka_all.h"

#include <nlopt.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "landscape.h"
#include "scratch.h"

enum { ITERATIONS = 66, NEVER = -1 };

static char study_path[128];

/* The folder is the study, until one is chosen. */
static int study_make(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    snprintf(study_path, sizeof study_path, "%s", folder);
    return 0;
}

/* A fresh study in the test's folder. */
static void study_choose(const char *name)
{
    snprintf(study_path, sizeof study_path, "%s/%s", folder, name);
}

static sn_study *open_study(void)
{
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    if (sn_study_open(&study, study_path, &error) != SN_OK)
        fail_msg("%s", error.text);
    return study;
}

/* ---- a made-up training ---- */

typedef struct trainings {
    int count;          /* how many were begun */
    int networks[1000]; /* which */
    int cut_at;         /* this one, counted from 0, is interrupted in its second epoch */
    double nan_above;   /* a network with a larger Dice than this gives NaN */
    int failing;        /* this network fails */
    const hall *crowd;  /* a training in it is out of memory unless it is alone; NULL: never */
    int crowded;        /* how often that was */
    int workers;        /* trainings at once */
    double deadline;    /* of the search */
    double seconds;     /* that a training takes indeed */
} trainings;

static const trainings trainings_none = {.cut_at = NEVER, .nan_above = 2, .failing = NEVER, .workers = 1};

static sn_status train(sn_trial_result *result, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error)
{
    sn_status status;
    trainings *self = context;
    int v[LANDSCAPE_DIMENSION];
    (void)dimension;
    landscape_decode(v, x);
    int network = landscape_network(v);
    assert_int_equal(network, atoi(proposal->network));
    self->networks[self->count] = network;
    nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * self->seconds)}, NULL);
    SN_TRY(sn_search_report_epoch(reporter, 1, 0.9, NAN, 0.1, error));
    if (self->count++ == self->cut_at)
        return sn_error_set(error, SN_ERR_INTERRUPTED, "interrupted");
    SN_TRY(sn_search_report_epoch(reporter, 2, 0.8, landscape_dice(network), 0.1, error));
    result->dice = landscape_dice(network);
    result->dice = result->dice > self->nan_above ? NAN : result->dice;
    result->step_seconds = network % 2 == 0 ? 1e-3 * network : 0;
    SN_TRY(sn_string_copy(&result->labels, "{\"a\":0.5}", error));
    if (self->crowd != NULL && hall_running(self->crowd) > 0) {
        self->crowded++;
        result->outcome = SN_OUTCOME_MEMORY;
        SN_TRY(sn_string_copy(&result->reason, "killed by the kernel's memory control", error));
    }
    if (network == self->failing) {
        result->outcome = SN_OUTCOME_FAILED;
        SN_TRY(sn_string_copy(&result->reason, "loss is NaN at epoch 2", error));
    }
done:
    return status;
}

static sn_status run_in(sn_search_state *state, hall *workers, const sn_optimiser_settings *optimiser,
                        const sn_search_options *options, sn_error *error)
{
    sn_search_objective objective = hall_objective(workers);
    sn_study *study = open_study();
    sn_status status = sn_search_run(state, study, optimiser, &objective, options, error);
    sn_study_close(study);
    return status;
}

static sn_status run_with(sn_search_state *state, trainings *trained, uint32_t seed, int iterations,
                          const sn_search_observer *observer, sn_error *error)
{
    sn_optimiser_settings optimiser = landscape_optimiser(seed);
    sn_search_options options = {.iterations = iterations,
                                 .workers = trained->workers,
                                 .deadline = trained->deadline,
                                 .observer = observer};
    hall workers = {.train = train, .context = trained};
    return run_in(state, &workers, &optimiser, &options, error);
}

/* Search up to `iterations` in the chosen study. */
static void run_to(int iterations)
{
    sn_search_state state;
    sn_error error = SN_ERROR_INIT;
    trainings trained = trainings_none;
    if (run_with(&state, &trained, 1, iterations, NULL, &error) != SN_OK)
        fail_msg("%s", error.text);
    assert_int_equal(state.committed, iterations);
}

/* The chosen study as JSON; the caller's. */
static json_t *study_json(void)
{
    json_t *root;
    sn_study *study;
    assert_int_equal(sn_study_open_read(&study, study_path, NULL), SN_OK);
    assert_int_equal(sn_study_json(&root, study, NULL), SN_OK);
    sn_study_close(study);
    return root;
}

/* The study of an uninterrupted search; the caller's. */
static json_t *whole_search(void)
{
    study_choose("whole");
    run_to(ITERATIONS);
    return study_json();
}

static void assert_study_equals(const json_t *expected)
{
    json_t *got = study_json();
    assert_string_equal(json_string_value(json_object_get(got, "trajectory")),
                        json_string_value(json_object_get(expected, "trajectory")));
    assert_true(json_equal(got, expected));
    json_decref(got);
}

static const char *text_of(const json_t *iteration, const char *field)
{
    return json_string_value(json_object_get(iteration, field));
}

static double number_of(const json_t *iteration, const char *field)
{
    return json_number_value(json_object_get(iteration, field));
}

/* ---- the answers ---- */

static void value_is_minus_log_dice_and_always_finite(void **state)
{
    (void)state;
    assert_true(fabs(sn_search_value(0.5) - 0.69314718055994531) < 1e-15);
    assert_true(fabs(sn_search_value(0) - 9.2103403719761836) < 1e-14);
    assert_true(sn_search_value(-1) == sn_search_value(0) && sn_search_value(1e-9) == sn_search_value(0));
    assert_true(sn_search_value(1) == 0 && !signbit(sn_search_value(1)));
    assert_true(sn_search_value(NAN) == 10 && sn_search_value(-INFINITY) == 10);
}

/* NLopt's own objective over the landscape, written without the search. */
typedef struct direct_run {
    nlopt_opt nlopt;
    int count;
    double sequence[ITERATIONS][LANDSCAPE_DIMENSION + 1]; /* x and f */
} direct_run;

static double direct_objective(unsigned dimension, const double *x, double *gradient, void *context)
{
    direct_run *run = context;
    int v[LANDSCAPE_DIMENSION];
    (void)gradient;
    landscape_decode(v, x);
    double f =
        landscape_illegal(v) || landscape_too_large(v) ? 10 : -log(landscape_dice(landscape_network(v)));
    if (run->count < ITERATIONS) {
        memcpy(run->sequence[run->count], x, dimension * sizeof *x);
        run->sequence[run->count++][dimension] = f;
    } else {
        nlopt_force_stop(run->nlopt);
    }
    return f;
}

static void trajectory_is_that_of_nlopt_run_directly(void **state)
{
    (void)state;
    char hash[SN_HASH_TEXT];
    double x[] = {20.5, 4, 1, 1}, least;
    direct_run run = {.nlopt = nlopt_create(NLOPT_GN_CRS2_LM, LANDSCAPE_DIMENSION)};
    nlopt_set_lower_bounds(run.nlopt, landscape_lower);
    nlopt_set_upper_bounds(run.nlopt, landscape_upper);
    nlopt_set_population(run.nlopt, 50);
    nlopt_set_min_objective(run.nlopt, direct_objective, &run);
    nlopt_srand(1);
    nlopt_optimize(run.nlopt, x, &least);
    nlopt_destroy(run.nlopt);
    assert_int_equal(run.count, ITERATIONS);
    sn_hash_bytes(hash, run.sequence, sizeof run.sequence);
    json_t *root = whole_search();
    assert_string_equal(text_of(root, "trajectory"), hash);
    json_decref(root);
}

static void each_outcome_occurs_and_is_told_with_its_value(void **state)
{
    (void)state;
    int seen[SN_OUTCOME_FAILED + 1] = {0};
    json_t *root = whole_search(), *iteration;
    size_t i;
    json_array_foreach(json_object_get(root, "iterations"), i, iteration)
    {
        double x[LANDSCAPE_DIMENSION];
        int v[LANDSCAPE_DIMENSION];
        for (size_t d = 0; d < LANDSCAPE_DIMENSION; d++)
            x[d] = json_real_value(json_array_get(json_object_get(iteration, "x"), d));
        landscape_decode(v, x);
        int expected = landscape_illegal(v) ? SN_OUTCOME_ILLEGAL : SN_OUTCOME_TRAINED;
        if (expected == SN_OUTCOME_TRAINED && landscape_too_large(v))
            expected = SN_OUTCOME_MEMORY;
        const char *outcome = text_of(iteration, "outcome");
        int repeated = strcmp(outcome, "repeated") == 0;
        if (!repeated)
            assert_string_equal(outcome, sn_outcome_name((sn_outcome)expected));
        seen[repeated ? SN_OUTCOME_REPEATED : expected]++;
        if (expected == SN_OUTCOME_TRAINED) {
            double dice = landscape_dice(landscape_network(v));
            assert_true(number_of(iteration, "dice") == dice);
            assert_true(fabs(number_of(iteration, "f") + log(dice)) < 1e-15);
        } else {
            assert_true(json_is_null(json_object_get(iteration, "dice")));
            assert_true(number_of(iteration, "f") == 10);
        }
    }
    for (int outcome = SN_OUTCOME_TRAINED; outcome <= SN_OUTCOME_MEMORY; outcome++)
        assert_true(seen[outcome] > 0);
    json_decref(root);
}

static void a_network_is_trained_once(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 9; workers += 4) {
        char name[32];
        sn_search_state ended;
        trainings trained = trainings_none;
        trained.workers = workers;
        snprintf(name, sizeof name, "%d", workers);
        study_choose(name);
        assert_int_equal(run_with(&ended, &trained, 1, 300, NULL, NULL), SN_OK);
        for (int i = 0; i < trained.count; i++)
            for (int j = 0; j < i; j++)
                assert_int_not_equal(trained.networks[i], trained.networks[j]);
        assert_true(trained.count > 20 && trained.count < 250);
        assert_int_equal(ended.trained + ended.ahead, trained.count);
        assert_true(workers > 1 || ended.ahead == 0);
    }
}

static void workers_share_the_memory(void **state)
{
    (void)state;
    enum { WORKERS = 4, LIMIT = 50 << 20 };
    sn_search_state ended;
    trainings trained = trainings_none;
    sn_optimiser_settings optimiser = landscape_optimiser(1);
    sn_search_options options = {.iterations = ITERATIONS, .workers = WORKERS, .memory = LIMIT};
    hall tight = {.train = train, .context = &trained}, wide = tight, divided = tight;
    json_t *whole = whole_search();
    study_choose("tight");
    assert_int_equal(run_in(&ended, &tight, &optimiser, &options, NULL), SN_OK);
    assert_study_equals(whole);
    assert_true(tight.most_running > 1 && tight.most_taken <= LIMIT);
    study_choose("divided"); /* two pairs of workers, each with as much memory */
    options.places = divided.places = 2;
    trained = trainings_none;
    assert_int_equal(run_in(&ended, &divided, &optimiser, &options, NULL), SN_OK);
    assert_study_equals(whole);
    assert_true(divided.most_taken > 0 && divided.most_taken <= LIMIT && divided.now < tight.now);
    study_choose("wide");
    options.memory = 0;
    trained = trainings_none;
    assert_int_equal(run_in(&ended, &wide, &optimiser, &options, NULL), SN_OK);
    assert_study_equals(whole);
    assert_true(wide.most_running == WORKERS && wide.most_taken > LIMIT && wide.now < tight.now);
    json_decref(whole);
}

static void the_front_has_the_best_and_what_was_measured(void **state)
{
    (void)state;
    json_t *root = whole_search(), *best = json_object_get(root, "best"), *choice;
    json_t *front = json_object_get(root, "pareto");
    size_t i;
    json_array_foreach(front, i, choice)
    {
        int network = atoi(text_of(choice, "network"));
        assert_true(number_of(choice, "dice") == landscape_dice(network));
        assert_true(number_of(choice, "step_seconds") ==
                    (network % 2 == 0 ? 1e-3 * network : 0)); /* null: 0 */
        assert_true(number_of(choice, "parameters") * (1 << 20) == number_of(choice, "planned_bytes") * 1000);
    }
    assert_string_equal(text_of(json_array_get(front, 0), "network"), text_of(best, "network"));
    assert_true(json_array_size(front) > 1);
    json_decref(root);
}

static void best_is_the_first_of_the_highest_dice(void **state)
{
    (void)state;
    sn_search_state ended;
    trainings trained = trainings_none;
    json_t *root = whole_search(), *iteration, *best = NULL;
    size_t i;
    json_array_foreach(json_object_get(root, "iterations"), i, iteration)
    {
        if (number_of(iteration, "dice") > (best == NULL ? 0 : number_of(best, "dice")))
            best = iteration;
    }
    assert_true(json_equal(json_object_get(root, "best"), best));
    assert_int_equal(run_with(&ended, &trained, 1, ITERATIONS, NULL, NULL), SN_OK); /* nothing left to do */
    assert_int_equal(trained.count, 0);
    assert_int_equal(ended.best_iteration, (int)number_of(best, "iteration"));
    assert_true(ended.best_dice == number_of(best, "dice"));
    assert_string_equal(ended.best_network, text_of(best, "network"));
    json_decref(root);
}

static void a_failed_training_scores_ten_and_is_not_tried_again(void **state)
{
    (void)state;
    sn_search_state ended;
    json_t *root, *iteration, *whole = whole_search();
    trainings trained = trainings_none;
    size_t i;
    int failed = 0, repeated = 0;
    trained.nan_above = number_of(json_object_get(whole, "best"), "dice") - 0.02;
    json_array_foreach(json_object_get(whole, "iterations"), i, iteration)
    {
        if (trained.failing == NEVER && strcmp(text_of(iteration, "outcome"), "repeated") == 0)
            trained.failing = atoi(text_of(iteration, "network")); /* in the population: met twice anyhow */
    }
    study_choose("failing");
    assert_int_equal(run_with(&ended, &trained, 1, 300, NULL, NULL), SN_OK);
    root = study_json();
    json_array_foreach(json_object_get(root, "iterations"), i, iteration)
    {
        const char *network = text_of(iteration, "network"), *outcome = text_of(iteration, "outcome");
        assert_true(isfinite(number_of(iteration, "f")));
        if (strcmp(outcome, "failed") == 0) {
            failed++;
            assert_true(number_of(iteration, "f") == 10);
            assert_string_equal(text_of(iteration, "reason"), atoi(network) == trained.failing
                                                                  ? "loss is NaN at epoch 2"
                                                                  : "the validation Dice is not a number");
        } else if (network != NULL && atoi(network) == trained.failing) {
            assert_string_equal(outcome, "repeated");
            assert_true(number_of(iteration, "f") == 10);
            repeated++;
        }
    }
    assert_true(failed >= 2 && repeated >= 1);
    json_decref(root);
    json_decref(whole);
}

static void what_is_out_of_memory_beside_others_is_tried_alone(void **state)
{
    (void)state;
    sn_search_state ended;
    trainings trained = trainings_none;
    sn_optimiser_settings optimiser = landscape_optimiser(1);
    sn_search_options options = {.iterations = ITERATIONS, .workers = 3};
    hall workers = {.train = train, .context = &trained};
    json_t *whole = whole_search();
    study_choose("crowded");
    trained.crowd = &workers;
    assert_int_equal(run_in(&ended, &workers, &optimiser, &options, NULL), SN_OK);
    assert_true(trained.crowded > 0);
    assert_study_equals(whole);
    json_decref(whole);
}

/* ---- cut, and go on ---- */

static void a_search_cut_after_any_iteration_ends_the_same_way(void **state)
{
    (void)state;
    json_t *whole = whole_search();
    for (int cut = 0; cut < ITERATIONS; cut++) {
        char name[32];
        snprintf(name, sizeof name, "cut-%d", cut);
        study_choose(name);
        run_to(cut);
        run_to(ITERATIONS);
        assert_study_equals(whole);
    }
    json_decref(whole);
}

/* The first run is cut in its first training, the next in its second, ... */
static void assert_cuts_change_nothing(int workers)
{
    json_t *whole = whole_search();
    study_choose("cut");
    for (int cut = 0;; cut++) {
        sn_search_state ended;
        trainings trained = trainings_none;
        trained.workers = workers;
        trained.cut_at = cut % 3;
        sn_status status = run_with(&ended, &trained, 1, ITERATIONS, NULL, NULL);
        if (status == SN_OK)
            break;
        assert_int_equal(status, SN_ERR_INTERRUPTED);
        assert_true(cut < 200);
    }
    assert_study_equals(whole);
    json_decref(whole);
}

static void a_search_cut_in_any_training_ends_the_same_way(void **state)
{
    (void)state;
    assert_cuts_change_nothing(1);
}

static void several_workers_cut_in_any_training_end_the_same_way(void **state)
{
    (void)state;
    assert_cuts_change_nothing(4);
}

/* Forget the iterations from `number` on, but not their trainings, as a kill between the commits would. */
static void iterations_forget(int number)
{
    char path[160], sql[64];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/study.db", study_path);
    snprintf(sql, sizeof sql, "DELETE FROM iterations WHERE number >= %d", number);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void results_that_were_not_committed_are_used_as_if_new(void **state)
{
    (void)state;
    json_t *whole = whole_search();
    for (int number = ITERATIONS; number >= 1; number--) {
        sn_search_state ended;
        trainings trained = trainings_none;
        iterations_forget(number);
        assert_int_equal(run_with(&ended, &trained, 1, ITERATIONS, NULL, NULL), SN_OK);
        assert_int_equal(trained.count, 0);
        assert_study_equals(whole);
    }
    json_decref(whole);
}

static void stop_after_ten(const sn_search_state *state, const sn_study_iteration *iteration, void *context)
{
    (void)iteration, (void)context;
    if (state->committed == 10)
        sn_interrupt_request();
}

static void an_interrupt_keeps_what_is_committed(void **state)
{
    (void)state;
    sn_search_state ended;
    trainings trained = trainings_none;
    sn_search_observer observer = {.iteration_committed = stop_after_ten};
    json_t *whole = whole_search();
    study_choose("interrupted");
    sn_status status = run_with(&ended, &trained, 1, ITERATIONS, &observer, NULL);
    sn_interrupt_clear();
    assert_int_equal(status, SN_ERR_INTERRUPTED);
    assert_int_equal(ended.committed, 10);
    run_to(ITERATIONS);
    assert_study_equals(whole);
    json_decref(whole);
}

static void more_iterations_go_on_with_the_same_search(void **state)
{
    (void)state;
    json_t *whole = whole_search(), *longer;
    run_to(ITERATIONS + 40);
    longer = study_json();
    for (size_t i = 0; i < ITERATIONS; i++)
        assert_true(json_equal(json_array_get(json_object_get(longer, "iterations"), i),
                               json_array_get(json_object_get(whole, "iterations"), i)));
    json_decref(longer);
    json_decref(whole);
}

static void a_search_without_time_begins_no_training(void **state)
{
    (void)state;
    sn_search_state ended;
    trainings trained = trainings_none;
    trained.deadline = sn_clock_now();
    assert_int_equal(run_with(&ended, &trained, 1, ITERATIONS, NULL, NULL), SN_OK);
    assert_true(ended.overtime && trained.count == 0 && ended.trained == 0);
    trained.deadline = 0;
    assert_int_equal(run_with(&ended, &trained, 1, ITERATIONS, NULL, NULL), SN_OK);
    assert_true(!ended.overtime && ended.committed == ITERATIONS);
}

static void a_search_in_portions_of_time_ends_as_in_one(void **state)
{
    (void)state;
    json_t *whole = whole_search();
    for (int workers = 1; workers <= 4; workers += 3) {
        char name[32];
        sn_search_state ended = {.overtime = true};
        int portions = 0, before = 0;
        snprintf(name, sizeof name, "%d", workers);
        study_choose(name);
        for (; ended.overtime; portions++) {
            trainings trained = trainings_none;
            trained.workers = workers;
            trained.seconds = 0.002;
            trained.deadline = sn_clock_now() + 0.03;
            assert_int_equal(run_with(&ended, &trained, 1, ITERATIONS, NULL, NULL), SN_OK);
            assert_true(ended.running == 0 && ended.committed >= before && portions < 1000);
            before = ended.committed;
        }
        assert_true(portions > 1);
        assert_int_equal(ended.committed, ITERATIONS);
        assert_study_equals(whole);
    }
    json_decref(whole);
}

static void another_algorithm_is_refused(void **state)
{
    (void)state;
    sn_search_state ended;
    sn_error error = SN_ERROR_INIT;
    trainings trained = trainings_none;
    hall workers = {.train = train, .context = &trained};
    sn_optimiser_settings optimiser = landscape_optimiser(1);
    sn_search_options options = SN_SEARCH_OPTIONS_INIT;
    run_to(5);
    optimiser.algorithm = SN_OPTIMISER_RANDOM;
    assert_int_equal(run_in(&ended, &workers, &optimiser, &options, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "algorithm \"crs\""));
}

static void another_seed_is_refused(void **state)
{
    (void)state;
    sn_search_state ended;
    sn_error error = SN_ERROR_INIT;
    trainings trained = trainings_none;
    run_to(5);
    assert_int_equal(run_with(&ended, &trained, 2, ITERATIONS, NULL, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "seed 1"));
    assert_non_null(strstr(error.text, "seed is 2"));
    assert_int_equal(trained.count, 0);
}

static void a_study_whose_points_were_changed_is_refused(void **state)
{
    (void)state;
    char path[160];
    sqlite3 *db;
    sn_search_state ended;
    sn_error error = SN_ERROR_INIT;
    trainings trained = trainings_none;
    run_to(5);
    snprintf(path, sizeof path, "%s/study.db", study_path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE iterations SET x = (SELECT x FROM iterations WHERE number = 2)"
                                  " WHERE number = 4",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(run_with(&ended, &trained, 1, ITERATIONS, NULL, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "question 4"));
}

/* Search with a limit on the size of files, which must end in SN_ERR_IO. Does not return. */
static void search_until_full(void)
{
    struct rlimit limit = {.rlim_cur = 250000, .rlim_max = 250000};
    sn_search_state ended;
    trainings trained = trainings_none;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(run_with(&ended, &trained, 1, ITERATIONS, NULL, NULL) == SN_ERR_IO ? 0 : 1);
}

static void a_search_goes_on_after_the_disk_was_full(void **state)
{
    (void)state;
    int ended;
    json_t *whole = whole_search();
    study_choose("full");
    pid_t child = fork();
    if (child == 0)
        search_until_full();
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    run_to(ITERATIONS);
    assert_study_equals(whole);
    json_decref(whole);
}

/* ---- progress ---- */

typedef struct watched {
    int trials, epochs, iterations;
    double seconds_left;
} watched;

static void watch_trial(const sn_search_state *state, const sn_proposal *proposal, void *context)
{
    (void)state;
    assert_non_null(proposal->network);
    ((watched *)context)->trials++;
}

static void watch_epoch(const sn_search_state *state, const sn_study_epoch *epoch, void *context)
{
    (void)state;
    assert_true(epoch->epoch == 1 || epoch->epoch == 2);
    ((watched *)context)->epochs++;
}

static void watch_iteration(const sn_search_state *state, const sn_study_iteration *iteration, void *context)
{
    watched *self = context;
    assert_int_equal(state->committed, iteration->number);
    assert_int_equal(++self->iterations, iteration->number);
    assert_true(isnan(state->seconds_left) || state->seconds_left >= 0);
    self->seconds_left = state->seconds_left;
}

static void the_observer_sees_every_trial_epoch_and_iteration(void **state)
{
    (void)state;
    watched seen = {.trials = 0};
    sn_search_state ended;
    trainings trained = trainings_none;
    sn_search_observer observer = {.trial_started = watch_trial,
                                   .epoch_done = watch_epoch,
                                   .iteration_committed = watch_iteration,
                                   .context = &seen};
    assert_int_equal(run_with(&ended, &trained, 1, ITERATIONS, &observer, NULL), SN_OK);
    assert_int_equal(seen.trials, trained.count);
    assert_int_equal(seen.epochs, 2 * trained.count);
    assert_int_equal(seen.iterations, ITERATIONS);
    assert_true(seen.seconds_left == 0);
}

static void a_thousand_iterations_cost_less_than_5_ms_each(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 8; workers += 7) {
        char name[32];
        sn_search_state ended;
        trainings trained = trainings_none;
        trained.workers = workers;
        snprintf(name, sizeof name, "%d", workers);
        study_choose(name);
        clock_t began = clock();
        assert_int_equal(run_with(&ended, &trained, 1, 1000, NULL, NULL), SN_OK);
        double milliseconds = 1e3 * (double)(clock() - began) / CLOCKS_PER_SEC / 1000;
        print_message("%d workers: %.2f ms an iteration\n", workers, milliseconds);
        assert_true(milliseconds < 5);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, study_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(value_is_minus_log_dice_and_always_finite),
        TEST(trajectory_is_that_of_nlopt_run_directly),
        TEST(each_outcome_occurs_and_is_told_with_its_value),
        TEST(a_network_is_trained_once),
        TEST(workers_share_the_memory),
        TEST(what_is_out_of_memory_beside_others_is_tried_alone),
        TEST(the_front_has_the_best_and_what_was_measured),
        TEST(best_is_the_first_of_the_highest_dice),
        TEST(a_failed_training_scores_ten_and_is_not_tried_again),
        TEST(a_search_cut_after_any_iteration_ends_the_same_way),
        TEST(a_search_cut_in_any_training_ends_the_same_way),
        TEST(several_workers_cut_in_any_training_end_the_same_way),
        TEST(results_that_were_not_committed_are_used_as_if_new),
        TEST(an_interrupt_keeps_what_is_committed),
        TEST(more_iterations_go_on_with_the_same_search),
        TEST(a_search_without_time_begins_no_training),
        TEST(a_search_in_portions_of_time_ends_as_in_one),
        TEST(another_algorithm_is_refused),
        TEST(another_seed_is_refused),
        TEST(a_study_whose_points_were_changed_is_refused),
        TEST(a_search_goes_on_after_the_disk_was_full),
        TEST(the_observer_sees_every_trial_epoch_and_iteration),
        TEST(a_thousand_iterations_cost_less_than_5_ms_each),
    };
    return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
