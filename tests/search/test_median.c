/* Early stopping: the rule against its definition, and the same search for any number of workers. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "landscape.h"
#include "search/median.h"

enum { ITERATIONS = 120, EPOCHS = 8, FIRST = 2, NEVER = -1 };

static char folder[64], study_path[128];

/* In memory where that is possible: hundreds of trials, each of which waits for the disk. */
static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s/segnas3d-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int folder_remove(void **state)
{
    (void)state;
    return sn_folder_remove(folder, NULL) == SN_OK ? 0 : -1;
}

/* Some learn fast and some slowly, and in some epochs less than before: courses cross. */
static double dice_at(int network, int epoch)
{
    double speed = 0.2 + (network * 40503u >> 4) % 100 / 50.0, dip = (network + epoch) % 3 == 0 ? 0.1 : 0;
    return landscape_dice(network) * (1 - exp(-speed * epoch)) - dip;
}

static double best_at(int network, int epoch)
{
    double best = 0;
    for (int e = 1; e <= epoch; e++)
        best = fmax(best, dice_at(network, e));
    return best;
}

typedef struct trainings {
    int count, epochs; /* that were begun; that were trained */
    int cut_at;        /* this one, counted from 0, is interrupted after three epochs */
    int failing;       /* networks of this remainder by 7 fail in their last epoch */
    hall *workers;
} trainings;

static sn_status train(sn_trial_result *result, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error)
{
    sn_status status = SN_OK;
    trainings *self = context;
    int network = atoi(proposal->network), number = self->count++;
    (void)x, (void)dimension;
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        if (epoch == EPOCHS && network % 7 == self->failing) {
            result->outcome = SN_OUTCOME_FAILED;
            return sn_string_copy(&result->reason, "the loss is not a number", error);
        }
        self->epochs++;
        SN_TRY(sn_search_report_epoch(reporter, epoch, 1, dice_at(network, epoch), 0.1, error));
        result->stopped = self->workers->cut;
        if (result->stopped)
            goto done;
        if (epoch == 3 && number == self->cut_at)
            return sn_error_set(error, SN_ERR_INTERRUPTED, "interrupted");
    }
    result->dice = best_at(network, EPOCHS);
done:
    return status;
}

/* Search in the study of this name; `*trained` has cut_at and failing. */
static sn_status run(sn_search_state *state, trainings *trained, const char *name, int workers,
                     int stop_early, sn_error *error)
{
    sn_study *study;
    sn_optimiser_settings optimiser = landscape_optimiser(1);
    hall crew = {.train = train, .context = trained};
    sn_search_objective objective = hall_objective(&crew);
    sn_search_options options = {.iterations = ITERATIONS, .workers = workers, .stop_early = stop_early};
    trained->workers = &crew;
    snprintf(study_path, sizeof study_path, "%s/%s", folder, name);
    assert_int_equal(sn_study_open(&study, study_path, NULL), SN_OK);
    sn_status status = sn_search_run(state, study, &optimiser, &objective, &options, error);
    sn_study_close(study);
    return status;
}

/* The same without a mishap; the study as JSON, the caller's. */
static json_t *search(trainings *trained, const char *name, int workers, int stop_early)
{
    sn_search_state state;
    sn_error error = SN_ERROR_INIT;
    sn_study *study;
    json_t *root;
    if (run(&state, trained, name, workers, stop_early, &error) != SN_OK)
        fail_msg("%s", error.text);
    assert_int_equal(state.committed, ITERATIONS);
    assert_int_equal(sn_study_open_read(&study, study_path, NULL), SN_OK);
    assert_int_equal(sn_study_json(&root, study, NULL), SN_OK);
    sn_study_close(study);
    return root;
}

static const trainings calm = {.cut_at = NEVER, .failing = NEVER};

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The epoch at which a network is stopped after `count` others, that were stopped at `ends`; EPOCHS: not. */
static int end_by_definition(int network, const int *networks, const int *ends, int count)
{
    for (int epoch = FIRST; epoch <= EPOCHS && count >= SN_MEDIAN_TRAININGS; epoch++) {
        double values[ITERATIONS];
        for (int i = 0; i < count; i++)
            values[i] = best_at(networks[i], epoch < ends[i] ? epoch : ends[i]);
        qsort(values, (size_t)count, sizeof *values, compare_doubles);
        if (best_at(network, epoch) < values[(count - 1) / 2])
            return epoch;
    }
    return EPOCHS;
}

static void every_value_is_that_of_the_rule(void **state)
{
    (void)state;
    int networks[ITERATIONS], ends[ITERATIONS], count = 0, stopped = 0;
    trainings trained = calm;
    json_t *root = search(&trained, "one", 1, FIRST), *iteration;
    size_t i;
    json_array_foreach(json_object_get(root, "iterations"), i, iteration)
    {
        if (strcmp(json_string_value(json_object_get(iteration, "outcome")), "trained") != 0)
            continue;
        int network = atoi(json_string_value(json_object_get(iteration, "network")));
        int end = end_by_definition(network, networks, ends, count);
        double dice = json_number_value(json_object_get(iteration, "dice"));
        assert_true(dice == best_at(network, end));
        assert_true(json_number_value(json_object_get(iteration, "f")) == sn_search_value(dice));
        stopped += end < EPOCHS;
        networks[count] = network;
        ends[count++] = end;
    }
    print_message("%d of %d trainings are stopped\n", stopped, count);
    assert_true(stopped > 10 && stopped < count - SN_MEDIAN_TRAININGS);
    json_decref(root);
}

static void it_saves_epochs_and_keeps_the_best(void **state)
{
    (void)state;
    sn_search_state ended;
    trainings whole = calm, early = calm;
    assert_int_equal(run(&ended, &whole, "whole", 1, 0, NULL), SN_OK);
    assert_int_equal(ended.hopeless, 0);
    assert_int_equal(run(&ended, &early, "early", 1, FIRST, NULL), SN_OK);
    print_message("%d epochs of %d trainings, %d of %d without it\n", early.epochs, early.count, whole.epochs,
                  whole.count);
    assert_true(whole.epochs == whole.count * EPOCHS && early.epochs < 0.8 * early.count * EPOCHS);
    assert_true(ended.hopeless > 10);
    assert_true(ended.best_dice == best_at(atoi(ended.best_network), EPOCHS)); /* it was not stopped */
}

static void any_number_of_workers_goes_the_same_way(void **state)
{
    (void)state;
    for (int failing = NEVER; failing <= 1; failing++) {
        trainings trained = calm;
        char name[32];
        trained.failing = failing;
        snprintf(name, sizeof name, "one-%d", failing);
        json_t *one = search(&trained, name, 1, FIRST);
        for (int workers = 2; workers <= 16; workers *= 2) {
            snprintf(name, sizeof name, "%d-%d", workers, failing);
            json_t *several = search(&trained, name, workers, FIRST);
            assert_true(json_equal(one, several));
            json_decref(several);
        }
        json_decref(one);
    }
}

static void a_search_cut_in_any_training_ends_the_same_way(void **state)
{
    (void)state;
    trainings trained = calm;
    json_t *whole = search(&trained, "whole", 1, FIRST);
    for (int workers = 1; workers <= 4; workers += 3) {
        for (int cut = 0; cut < 60; cut += 3) {
            char name[32];
            sn_search_state ended;
            trainings first = calm, rest = calm;
            first.cut_at = cut;
            snprintf(name, sizeof name, "cut-%d-%d", workers, cut);
            sn_status status = run(&ended, &first, name, workers, FIRST, NULL);
            assert_true(status == SN_ERR_INTERRUPTED || status == SN_OK); /* or stopped before it was cut */
            json_t *cut_study = search(&rest, name, workers, FIRST);
            assert_true(json_equal(whole, cut_study));
            json_decref(cut_study);
        }
    }
    json_decref(whole);
}

static void another_choice_is_refused(void **state)
{
    (void)state;
    sn_search_state ended;
    sn_error error = SN_ERROR_INIT;
    trainings trained = calm;
    json_decref(search(&trained, "one", 1, FIRST));
    assert_int_equal(run(&ended, &trained, "one", 1, 0, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "begun with stop_early 2, now stop_early is 0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_value_is_that_of_the_rule),
        TEST(it_saves_epochs_and_keeps_the_best),
        TEST(any_number_of_workers_goes_the_same_way),
        TEST(a_search_cut_in_any_training_ends_the_same_way),
        TEST(another_choice_is_refused),
    };
    return cmocka_run_group_tests_name("median", tests, NULL, NULL);
}
