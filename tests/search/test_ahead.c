/*
 * Guessing ahead: several workers go the way of one, in less time. In SegNAS11, on the landscape of a
 * simulation, in a time that is reckoned.
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "landscape.h"
#include "scratch.h"
#include "search/simulate.h"

enum { ITERATIONS = 300, SEEDS = 20, DIMENSION = 11 };

static sn_space space;
static sn_simulation simulation = {.space = &space};
static double lower[DIMENSION], upper[DIMENSION];

static int setup(void **state)
{
    if (folder_make(state) != 0 || sn_space_load(&space, "segnas11", NULL) != SN_OK)
        return -1;
    sn_space_bounds(&space, lower, upper);
    return sn_space_dimensions(&space) == DIMENSION ? 0 : -1;
}

static int teardown(void **state)
{
    sn_space_clear(&space);
    return folder_remove(state);
}

static sn_status train(sn_trial_result *result, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error)
{
    sn_arch arch;
    sn_reals reals;
    (void)proposal, (void)dimension, (void)reporter, (void)context;
    sn_space_arch(&arch, &space, x);
    sn_space_reals(&reals, &space, x);
    return sn_simulation_dice(&result->dice, &arch, &reals, error);
}

/* How a search went. */
typedef struct course {
    double rounds; /* the time it took, in trainings */
    sn_search_state state;
    char trajectory[SN_HASH_TEXT];
} course;

static course search_to(int iterations, sn_optimiser_algorithm algorithm, uint32_t seed, int workers,
                        double (*length)(const sn_proposal *proposal))
{
    course went;
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    char path[128];
    sn_search_objective points = sn_simulation_objective(&simulation);
    hall workplace = {.train = train, .length = length, .space = &points};
    sn_search_objective objective = hall_objective(&workplace);
    sn_optimiser_settings optimiser = {.algorithm = algorithm,
                                       .dimension = DIMENSION,
                                       .lower = lower,
                                       .upper = upper,
                                       .seed = seed,
                                       .population = sn_optimiser_population(algorithm, DIMENSION)};
    sn_search_options options = {.iterations = iterations, .workers = workers};
    snprintf(path, sizeof path, "%s/study", folder);
    assert_int_equal(sn_study_open(&study, path, NULL), SN_OK);
    if (sn_search_run(&went.state, study, &optimiser, &objective, &options, &error) != SN_OK)
        fail_msg("%s", error.text);
    assert_int_equal(sn_study_trajectory(went.trajectory, study, NULL), SN_OK);
    sn_study_close(study);
    assert_int_equal(sn_folder_remove(path, NULL), SN_OK);
    went.rounds = workplace.now;
    return went;
}

static course search(sn_optimiser_algorithm algorithm, uint32_t seed, int workers,
                     double (*length)(const sn_proposal *proposal))
{
    return search_to(ITERATIONS, algorithm, seed, workers, length);
}

/* ---- tests ---- */

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void eight_workers_need_a_fifth_of_the_rounds(void **state)
{
    (void)state;
    double gains[SEEDS];
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        course one = search(SN_OPTIMISER_CRS2_LM, seed, 1, NULL);
        course eight = search(SN_OPTIMISER_CRS2_LM, seed, 8, NULL);
        assert_string_equal(eight.trajectory, one.trajectory);
        assert_true(one.rounds == one.state.trained && one.state.ahead == 0);
        gains[seed - 1] = one.rounds / eight.rounds;
    }
    qsort(gains, SEEDS, sizeof *gains, compare_doubles);
    double median = (gains[SEEDS / 2 - 1] + gains[SEEDS / 2]) / 2;
    print_message("8 workers, %d seeds: %.2f to %.2f times fewer rounds, median %.2f\n", SEEDS, gains[0],
                  gains[SEEDS - 1], median);
    assert_true(median >= 5);
}

/* The square of the channels, from 1/6 to 2.6. */
static double length_of_network(const sn_proposal *proposal)
{
    double n = atoi(proposal->arch + strlen("n="));
    return n * n / 400;
}

static void trainings_of_unequal_length_go_the_same_way(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 3; seed++) {
        course one = search(SN_OPTIMISER_CRS2_LM, seed, 1, length_of_network);
        for (int workers = 2; workers <= 16; workers *= 2) {
            course many = search(SN_OPTIMISER_CRS2_LM, seed, workers, length_of_network);
            assert_string_equal(many.trajectory, one.trajectory);
            print_message("%d workers: %.2f times as fast\n", workers, one.rounds / many.rounds);
            assert_true(one.rounds / many.rounds > 0.6 * workers);
        }
    }
}

static void each_algorithm_goes_the_same_way_with_several_workers(void **state)
{
    (void)state;
    for (int algorithm = 0; algorithm < SN_OPTIMISERS; algorithm++) {
        course one = search((sn_optimiser_algorithm)algorithm, 3, 1, NULL);
        course eight = search((sn_optimiser_algorithm)algorithm, 3, 8, NULL);
        assert_string_equal(eight.trajectory, one.trajectory);
        print_message("%s: %.2f times as fast\n", sn_optimiser_name((sn_optimiser_algorithm)algorithm),
                      one.rounds / eight.rounds);
        assert_true(one.rounds / eight.rounds > 2);
    }
}

static void a_thousand_iterations_cost_less_than_5_ms_each(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 8; workers += 7) {
        clock_t began = clock();
        search_to(1000, SN_OPTIMISER_CRS2_LM, 1, workers, NULL);
        double milliseconds = 1e3 * (double)(clock() - began) / CLOCKS_PER_SEC / 1000;
        print_message("%d workers: %.2f ms an iteration\n", workers, milliseconds);
        assert_true(milliseconds < 5);
    }
}

/* Two spellings of one network: in the second, node 2 only passes the input's convolution on. */
static void the_landscape_is_one_of_networks(void **state)
{
    (void)state;
    static const char *const same[] = {"n=16 nodes=2 ops=2", "n=16 nodes=3 ops=2,0,6"};
    double dice[2], other;
    sn_arch arch;
    sn_reals reals = SN_REALS_INIT;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sn_arch_parse(&arch, same[i], NULL), SN_OK);
        assert_int_equal(sn_simulation_dice(&dice[i], &arch, &reals, NULL), SN_OK);
    }
    assert_true(dice[0] == dice[1] && dice[0] > 0.5 && dice[0] < 1);
    arch.n = 9;
    assert_int_equal(sn_simulation_dice(&other, &arch, &reals, NULL), SN_OK);
    assert_true(other < dice[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_workers_need_a_fifth_of_the_rounds),
        cmocka_unit_test(trainings_of_unequal_length_go_the_same_way),
        cmocka_unit_test(each_algorithm_goes_the_same_way_with_several_workers),
        cmocka_unit_test(a_thousand_iterations_cost_less_than_5_ms_each),
        cmocka_unit_test(the_landscape_is_one_of_networks),
    };
    return cmocka_run_group_tests_name("ahead", tests, setup, teardown);
}
