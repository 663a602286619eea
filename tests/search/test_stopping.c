/* Early stopping: the rules against their definitions, the same search for any number of workers, what it saves. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "landscape.h"
#include "scratch.h"
#include "search/simulate.h"
#include "search/stopping.h"

enum { ITERATIONS = 120, EPOCHS = 8, FIRST = 2, NEVER = -1 };

static const sn_stopping_settings median = {SN_STOPPING_MEDIAN, FIRST}, halving = {SN_STOPPING_HALVING, 1};
static const sn_stopping_settings never = {SN_STOPPING_NONE, 0};
static const sn_stopping_settings *const rules[] = {&median, &halving};
enum { RULES = 2 };

static char study_path[128];

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
                     const sn_stopping_settings *rule, sn_error *error)
{
    sn_study *study;
    sn_optimiser_settings optimiser = landscape_optimiser(1);
    hall crew = {.train = train, .context = trained};
    sn_search_objective objective = hall_objective(&crew);
    sn_search_options options = {.iterations = ITERATIONS, .workers = workers, .stopping = *rule};
    trained->workers = &crew;
    snprintf(study_path, sizeof study_path, "%s/%s", folder, name);
    assert_int_equal(sn_study_open(&study, study_path, NULL), SN_OK);
    sn_status status = sn_search_run(state, study, &optimiser, &objective, &options, error);
    sn_study_close(study);
    return status;
}

/* The same without a mishap; the study as JSON, the caller's. */
static json_t *search(trainings *trained, const char *name, int workers, const sn_stopping_settings *rule)
{
    sn_search_state state;
    sn_error error = SN_ERROR_INIT;
    sn_study *study;
    json_t *root;
    if (run(&state, trained, name, workers, rule, &error) != SN_OK)
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

/* The trainings before one: their networks, and the epochs at which they were stopped; EPOCHS: not. */
typedef struct past {
    int networks[ITERATIONS], ends[ITERATIONS], count;
} past;

/* The epoch at which the median rule stops a network. */
static int end_by_median(int network, const past *earlier)
{
    for (int epoch = FIRST; epoch <= EPOCHS && earlier->count >= SN_MEDIAN_TRAININGS; epoch++) {
        double values[ITERATIONS];
        for (int i = 0; i < earlier->count; i++)
            values[i] = best_at(earlier->networks[i], epoch < earlier->ends[i] ? epoch : earlier->ends[i]);
        qsort(values, (size_t)earlier->count, sizeof *values, compare_doubles);
        if (best_at(network, epoch) < values[(earlier->count - 1) / 2])
            return epoch;
    }
    return EPOCHS;
}

/* The same of halving, by sorting what reached each rung: the best third, at least one, goes on. */
static int end_by_halving(int network, const past *earlier)
{
    static const int rungs[] = {1, 3};
    for (int rung = 0; rung < 2; rung++) {
        double values[ITERATIONS + 1];
        int count = 0;
        for (int i = 0; i < earlier->count; i++)
            if (earlier->ends[i] >= rungs[rung])
                values[count++] = best_at(earlier->networks[i], rungs[rung]);
        double own = values[count++] = best_at(network, rungs[rung]);
        qsort(values, (size_t)count, sizeof *values, compare_doubles);
        int going = (count + 2) / 3;
        if (own < values[count - going])
            return rungs[rung];
    }
    return EPOCHS;
}

static void assert_values_are_those_of(const sn_stopping_settings *rule,
                                       int end_by_rule(int network, const past *earlier))
{
    past before = {.count = 0};
    int stopped = 0;
    trainings trained = calm;
    json_t *root = search(&trained, sn_stopping_name(rule->rule), 1, rule), *iteration;
    size_t i;
    json_array_foreach(json_object_get(root, "iterations"), i, iteration)
    {
        if (strcmp(json_string_value(json_object_get(iteration, "outcome")), "trained") != 0)
            continue;
        int network = atoi(json_string_value(json_object_get(iteration, "network")));
        int end = end_by_rule(network, &before);
        double dice = json_number_value(json_object_get(iteration, "dice"));
        assert_true(dice == best_at(network, end));
        assert_true(json_number_value(json_object_get(iteration, "f")) == sn_search_value(dice));
        stopped += end < EPOCHS;
        before.networks[before.count] = network;
        before.ends[before.count++] = end;
    }
    print_message("%s: %d of %d trainings are stopped\n", sn_stopping_name(rule->rule), stopped,
                  before.count);
    assert_true(stopped > 10 && stopped < before.count - 3);
    json_decref(root);
}

static void every_value_is_that_of_the_rule(void **state)
{
    (void)state;
    assert_values_are_those_of(&median, end_by_median);
    assert_values_are_those_of(&halving, end_by_halving);
}

static void it_saves_epochs_and_keeps_the_best(void **state)
{
    (void)state;
    sn_search_state ended;
    trainings whole = calm;
    assert_int_equal(run(&ended, &whole, "whole", 1, &never, NULL), SN_OK);
    assert_int_equal(ended.hopeless, 0);
    assert_true(whole.epochs == whole.count * EPOCHS);
    for (int r = 0; r < RULES; r++) {
        trainings early = calm;
        assert_int_equal(run(&ended, &early, sn_stopping_name(rules[r]->rule), 1, rules[r], NULL), SN_OK);
        print_message("%s: %d epochs of %d trainings, %d of %d without it\n",
                      sn_stopping_name(rules[r]->rule), early.epochs, early.count, whole.epochs, whole.count);
        assert_true(early.epochs < 0.8 * early.count * EPOCHS);
        assert_true(ended.hopeless > 10);
        assert_true(ended.best_dice == best_at(atoi(ended.best_network), EPOCHS)); /* it was not stopped */
    }
}

static void any_number_of_workers_goes_the_same_way(void **state)
{
    (void)state;
    for (int r = 0; r < RULES; r++) {
        for (int failing = NEVER; failing <= 1; failing++) {
            trainings trained = calm;
            char name[48];
            trained.failing = failing;
            snprintf(name, sizeof name, "one-%d-%d", r, failing);
            json_t *one = search(&trained, name, 1, rules[r]);
            for (int workers = 2; workers <= 16; workers *= 2) {
                snprintf(name, sizeof name, "%d-%d-%d", workers, r, failing);
                json_t *several = search(&trained, name, workers, rules[r]);
                assert_true(json_equal(one, several));
                json_decref(several);
            }
            json_decref(one);
        }
    }
}

static void assert_a_cut_changes_nothing(const sn_stopping_settings *rule, const json_t *whole, int workers,
                                         int cut)
{
    char name[48];
    sn_search_state ended;
    trainings first = calm, rest = calm;
    first.cut_at = cut;
    snprintf(name, sizeof name, "cut-%s-%d-%d", sn_stopping_name(rule->rule), workers, cut);
    sn_status status = run(&ended, &first, name, workers, rule, NULL);
    assert_true(status == SN_ERR_INTERRUPTED || status == SN_OK); /* or stopped before it was cut */
    json_t *cut_study = search(&rest, name, workers, rule);
    assert_true(json_equal(whole, cut_study));
    json_decref(cut_study);
}

static void a_search_cut_in_any_training_ends_the_same_way(void **state)
{
    (void)state;
    for (int r = 0; r < RULES; r++) {
        trainings trained = calm;
        json_t *whole = search(&trained, sn_stopping_name(rules[r]->rule), 1, rules[r]);
        for (int workers = 1; workers <= 4; workers += 3)
            for (int cut = 0; cut < 60; cut += 3)
                assert_a_cut_changes_nothing(rules[r], whole, workers, cut);
        json_decref(whole);
    }
}

static void another_choice_is_refused(void **state)
{
    (void)state;
    sn_search_state ended;
    sn_error error = SN_ERROR_INIT;
    trainings trained = calm;
    json_decref(search(&trained, "one", 1, &median));
    assert_int_equal(run(&ended, &trained, "one", 1, &never, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "begun with stop_rule \"median\", now stop_rule is \"none\""));
}

static void rules_are_found_by_name(void **state)
{
    (void)state;
    sn_stopping_settings settings;
    assert_int_equal(sn_stopping_parse(&settings, "halving", 100, NULL), SN_OK);
    assert_true(settings.rule == SN_STOPPING_HALVING && settings.first == 12);
    assert_int_equal(sn_stopping_parse(&settings, "median", 5, NULL), SN_OK);
    assert_true(settings.rule == SN_STOPPING_MEDIAN && settings.first == 2);
    assert_int_equal(sn_stopping_parse(&settings, "none", 5, NULL), SN_OK);
    assert_true(settings.rule == SN_STOPPING_NONE && settings.first == 0);
    assert_int_equal(sn_stopping_parse(&settings, "mean", 5, NULL), SN_ERR_ARG);
}

/* ---- what it saves ---- */

enum { SEGNAS11 = 11 };

static int seeds = 5; /* the program's argument; 20 for the table of docs/search.md */

/* A training of the simulation, counted in `context`. */
static sn_status simulate(sn_trial_result *result, const sn_proposal *proposal, const double *x,
                          int dimension, sn_search_reporter *reporter, void *context, sn_error *error)
{
    sn_status status;
    sn_arch arch;
    sn_reals reals;
    double course[SN_SIMULATION_EPOCHS];
    trainings *self = context;
    (void)x, (void)dimension;
    SN_TRY(sn_reals_parse(&arch, &reals, proposal->arch, error));
    SN_TRY(sn_simulation_course(course, &arch, &reals, error));
    self->count++;
    for (int epoch = 1; epoch <= SN_SIMULATION_EPOCHS; epoch++) {
        self->epochs++;
        SN_TRY(sn_search_report_epoch(reporter, epoch, 1, course[epoch - 1], 0.1, error));
        result->stopped = self->workers->cut;
        if (result->stopped)
            goto done;
    }
    result->dice = course[SN_SIMULATION_EPOCHS - 1];
done:
    return status;
}

/* Search SegNAS11 on the simulation's landscape. */
static sn_search_state simulated_search(trainings *trained, const sn_space *space, uint32_t seed,
                                        const char *rule, int iterations)
{
    sn_search_state state;
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    double lower[SEGNAS11], upper[SEGNAS11];
    sn_simulation simulation = {.space = space};
    sn_search_objective points = sn_simulation_objective(&simulation);
    hall crew = {.train = simulate, .context = trained, .space = &points};
    sn_search_objective objective = hall_objective(&crew);
    sn_optimiser_settings optimiser = {.dimension = SEGNAS11, .lower = lower, .upper = upper, .seed = seed};
    sn_search_options options = {.iterations = iterations, .workers = 1};
    optimiser.population = sn_optimiser_population(SN_OPTIMISER_CRS2_LM, SEGNAS11);
    sn_space_bounds(space, lower, upper);
    trained->workers = &crew;
    assert_int_equal(sn_stopping_parse(&options.stopping, rule, SN_SIMULATION_EPOCHS, NULL), SN_OK);
    snprintf(study_path, sizeof study_path, "%s/simulated", folder);
    assert_int_equal(sn_study_open(&study, study_path, NULL), SN_OK);
    if (sn_search_run(&state, study, &optimiser, &objective, &options, &error) != SN_OK)
        fail_msg("%s", error.text);
    sn_study_close(study);
    assert_int_equal(sn_folder_remove(study_path, NULL), SN_OK);
    return state;
}

/* What one rule does, over all seeds. */
typedef struct savings {
    double epochs, trained, best, worst; /* means, and the least best Dice */
} savings;

static savings savings_of(const sn_space *space, const char *rule, int iterations)
{
    savings sum = {.worst = 1};
    for (uint32_t seed = 1; seed <= (uint32_t)seeds; seed++) {
        trainings trained = {.count = 0};
        sn_search_state state = simulated_search(&trained, space, seed, rule, iterations);
        sum.epochs += (double)trained.epochs / seeds;
        sum.trained += (double)trained.count / seeds;
        sum.best += state.best_dice / seeds;
        sum.worst = fmin(sum.worst, state.best_dice);
    }
    print_message("%-8s%4d iterations%7.0f epochs%7.1f trainings  best Dice %.4f (least %.4f)\n", rule,
                  iterations, sum.epochs, sum.trained, sum.best, sum.worst);
    return sum;
}

static void rules_save_epochs_and_find_about_the_same(void **state)
{
    (void)state;
    sn_space space;
    assert_int_equal(sn_space_load(&space, "segnas11", NULL), SN_OK);
    savings none = savings_of(&space, "none", 300), by_median = savings_of(&space, "median", 300);
    savings by_halving = savings_of(&space, "halving", 300), fewer = savings_of(&space, "none", 110);
    assert_true(fabs(none.epochs - none.trained * SN_SIMULATION_EPOCHS) < 1e-6);
    assert_true(by_halving.epochs < fewer.epochs && by_halving.best > fewer.best);
    assert_true(by_median.epochs < 0.8 * none.epochs && by_halving.epochs < 0.5 * none.epochs);
    assert_true(by_median.best > none.best - 0.01 && by_halving.best > none.best - 0.02);
    sn_space_clear(&space);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int argc, char **argv)
{
    seeds = argc > 1 ? atoi(argv[1]) : seeds;
    const struct CMUnitTest tests[] = {
        TEST(every_value_is_that_of_the_rule),
        TEST(it_saves_epochs_and_keeps_the_best),
        TEST(any_number_of_workers_goes_the_same_way),
        TEST(a_search_cut_in_any_training_ends_the_same_way),
        TEST(another_choice_is_refused),
        TEST(rules_are_found_by_name),
        TEST(rules_save_epochs_and_find_about_the_same),
    };
    return cmocka_run_group_tests_name("stopping", tests, NULL, NULL);
}
