/* The optimiser by replay against NLopt itself, run once and uninterrupted. */
#include "cmocka_all.h"

#include <math.h>
#include <nlopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "search/optimiser.h"

enum { MAXIMUM = 400, LARGEST_DIMENSION = 11 };

/* The bounds of SegNAS11; a smaller problem takes the first of them. */
static const double lower[] = {8, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0};
static const double upper[] = {33, 6, 2, 2, 5, 7, 7, 7, 7, 7, 7};

static sn_optimiser_settings make_settings(int dimension, uint32_t seed)
{
    return (sn_optimiser_settings){
        .algorithm = SN_OPTIMISER_CRS2_LM,
        .dimension = dimension,
        .lower = lower,
        .upper = upper,
        .seed = seed,
        .population = sn_optimiser_population(dimension),
    };
}

/* A value as a search gives it: a function of the integer parts, with plateaus of 10 and many ties. */
static double value_of(const double *x, int dimension)
{
    double sum = 0;
    for (int i = 0; i < dimension; i++) {
        double position = (floor(x[i]) - lower[i]) / (upper[i] - lower[i]) - 0.4;
        sum += position * position;
    }
    return (int)floor(x[dimension - 1] + x[0]) % 5 == 0 ? 10 : sum;
}

/* What NLopt asks when nothing stops it. */
typedef struct recording {
    nlopt_opt nlopt;
    int count, wanted;
    double points[MAXIMUM * LARGEST_DIMENSION];
    double values[MAXIMUM];
} recording;

static double record(unsigned dimension, const double *x, double *gradient, void *context)
{
    recording *self = context;
    (void)gradient;
    double value = value_of(x, (int)dimension);
    if (self->count < self->wanted) {
        memcpy(self->points + (size_t)self->count * dimension, x, dimension * sizeof *x);
        self->values[self->count++] = value;
    } else {
        nlopt_force_stop(self->nlopt);
    }
    return value;
}

static recording *record_run(int dimension, uint32_t seed, int wanted)
{
    recording *self = calloc(1, sizeof *self);
    double x[LARGEST_DIMENSION], least;
    self->wanted = wanted;
    self->nlopt = nlopt_create(NLOPT_GN_CRS2_LM, (unsigned)dimension);
    nlopt_set_lower_bounds(self->nlopt, lower);
    nlopt_set_upper_bounds(self->nlopt, upper);
    nlopt_set_population(self->nlopt, 10u * ((unsigned)dimension + 1));
    nlopt_set_min_objective(self->nlopt, record, self);
    for (int i = 0; i < dimension; i++)
        x[i] = (lower[i] + upper[i]) / 2;
    nlopt_srand(seed);
    nlopt_optimize(self->nlopt, x, &least);
    nlopt_destroy(self->nlopt);
    assert_int_equal(self->count, wanted);
    return self;
}

static void replay_equals_one_uninterrupted_run(void **state)
{
    (void)state;
    static const int dimensions[] = {1, 2, 4, 7, 11};
    for (int d = 0; d < 5; d++) {
        int dimension = dimensions[d];
        for (uint32_t seed = 1; seed <= 4; seed++) {
            sn_optimiser_settings settings = make_settings(dimension, seed * 1000003u);
            recording *run = record_run(dimension, settings.seed, MAXIMUM);
            for (int n = 0; n < MAXIMUM; n++) {
                double x[LARGEST_DIMENSION];
                const double *expected = run->points + (size_t)n * (size_t)dimension;
                assert_int_equal(sn_optimiser_ask(x, &settings, run->points, run->values, n, NULL), SN_OK);
                assert_memory_equal(x, expected, (size_t)dimension * sizeof *x);
            }
            free(run);
        }
    }
}

static void the_same_answers_give_the_same_question_whatever_was_asked_before(void **state)
{
    (void)state;
    sn_optimiser_settings settings = make_settings(4, 7), other = make_settings(11, 8);
    recording *run = record_run(4, 7, 100), *noise = record_run(11, 8, 200);
    for (int n = 99; n >= 0; n -= 11) { /* backwards, with another problem between */
        double x[4], y[11];
        assert_int_equal(sn_optimiser_ask(y, &other, noise->points, noise->values, 2 * n, NULL), SN_OK);
        assert_int_equal(sn_optimiser_ask(x, &settings, run->points, run->values, n, NULL), SN_OK);
        assert_memory_equal(x, run->points + (size_t)n * 4, sizeof x);
    }
    free(run);
    free(noise);
}

static void the_first_question_is_the_middle_of_the_bounds(void **state)
{
    (void)state;
    double x[11];
    sn_optimiser_settings settings = make_settings(11, 1);
    assert_int_equal(sn_optimiser_ask(x, &settings, NULL, NULL, 0, NULL), SN_OK);
    for (int i = 0; i < 11; i++)
        assert_true(x[i] == (lower[i] + upper[i]) / 2);
}

static void questions_of_the_population_do_not_depend_on_the_answers(void **state)
{
    (void)state;
    sn_optimiser_settings settings = make_settings(4, 3);
    recording *run = record_run(4, 3, 60);
    double other[60], x[4];
    for (int n = 0; n < 60; n++)
        other[n] = -n; /* another best than the run's */
    assert_int_equal(sn_optimiser_population(4), 50);
    for (int n = 0; n < 50; n++) {
        assert_int_equal(sn_optimiser_ask(x, &settings, run->points, other, n, NULL), SN_OK);
        assert_memory_equal(x, run->points + (size_t)n * 4, sizeof x);
    }
    assert_int_equal(sn_optimiser_ask(x, &settings, run->points, other, 50, NULL), SN_OK);
    assert_memory_not_equal(x, run->points + 50 * 4, sizeof x);
    free(run);
}

static void questions_lie_within_the_bounds_and_do_not_end(void **state)
{
    (void)state;
    double points[MAXIMUM * 2], values[MAXIMUM];
    sn_optimiser_settings settings = make_settings(2, 5);
    for (int n = 0; n < MAXIMUM; n++) { /* each answer better than the last: CRS accepts all */
        double *x = points + 2 * n;
        assert_int_equal(sn_optimiser_ask(x, &settings, points, values, n, NULL), SN_OK);
        for (int i = 0; i < 2; i++)
            assert_true(x[i] >= lower[i] && x[i] <= upper[i]);
        values[n] = -n;
    }
}

static void equal_answers_do_not_end_it(void **state)
{
    (void)state;
    double points[MAXIMUM * 2], values[MAXIMUM];
    sn_optimiser_settings settings = make_settings(2, 5);
    for (int n = 0; n < MAXIMUM; n++) {
        assert_int_equal(sn_optimiser_ask(points + 2 * n, &settings, points, values, n, NULL), SN_OK);
        values[n] = 10;
    }
}

static void a_question_that_differs_in_the_last_bit_is_noticed(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    double x[4];
    sn_optimiser_settings settings = make_settings(4, 3);
    recording *run = record_run(4, 3, 100);
    for (int n = 0; n < 100; n += 33) { /* in the population and after it */
        double *changed = run->points + (size_t)n * 4 + 1;
        double kept = *changed;
        char question[32];
        *changed = nextafter(kept, 100);
        assert_int_equal(sn_optimiser_ask(x, &settings, run->points, run->values, 100, &error), SN_ERR_INPUT);
        snprintf(question, sizeof question, "question %d ", n + 1);
        assert_non_null(strstr(error.text, question));
        *changed = kept;
    }
    assert_int_equal(sn_optimiser_ask(x, &settings, run->points, run->values, 100, &error), SN_OK);
    free(run);
}

static void another_seed_population_or_bound_is_noticed(void **state)
{
    (void)state;
    static const double wider[] = {33, 6, 2, 3};
    double x[4];
    recording *run = record_run(4, 3, 100);
    sn_optimiser_settings settings[3] = {make_settings(4, 4), make_settings(4, 3), make_settings(4, 3)};
    settings[1].population = 49;
    settings[2].upper = wider;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sn_optimiser_ask(x, &settings[i], run->points, run->values, 100, NULL),
                         SN_ERR_INPUT);
    free(run);
}

static void an_answer_that_is_not_finite_is_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    double x[4];
    sn_optimiser_settings settings = make_settings(4, 3);
    recording *run = record_run(4, 3, 3);
    run->values[1] = NAN;
    assert_int_equal(sn_optimiser_ask(x, &settings, run->points, run->values, 3, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "answer 2"));
    run->values[1] = -INFINITY;
    assert_int_equal(sn_optimiser_ask(x, &settings, run->points, run->values, 3, &error), SN_ERR_ARG);
    free(run);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    static const double same[] = {8, 2, 0, 0};
    double x[4];
    sn_optimiser_settings settings[3] = {make_settings(0, 1), make_settings(4, 1), make_settings(4, 1)};
    settings[1].population = 4;
    settings[2].upper = same;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sn_optimiser_ask(x, &settings[i], NULL, NULL, 0, NULL), SN_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_equals_one_uninterrupted_run),
        cmocka_unit_test(the_same_answers_give_the_same_question_whatever_was_asked_before),
        cmocka_unit_test(the_first_question_is_the_middle_of_the_bounds),
        cmocka_unit_test(questions_of_the_population_do_not_depend_on_the_answers),
        cmocka_unit_test(questions_lie_within_the_bounds_and_do_not_end),
        cmocka_unit_test(equal_answers_do_not_end_it),
        cmocka_unit_test(a_question_that_differs_in_the_last_bit_is_noticed),
        cmocka_unit_test(another_seed_population_or_bound_is_noticed),
        cmocka_unit_test(an_answer_that_is_not_finite_is_refused),
        cmocka_unit_test(wrong_settings_are_refused),
    };
    return cmocka_run_group_tests_name("optimiser", tests, NULL, NULL);
}
