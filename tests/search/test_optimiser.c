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
        .population = sn_optimiser_population(SN_OPTIMISER_CRS2_LM, dimension),
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

static recording *record_algorithm(nlopt_algorithm algorithm, unsigned population, int dimension,
                                   uint32_t seed, int wanted)
{
    recording *self = calloc(1, sizeof *self);
    double x[LARGEST_DIMENSION], least;
    self->wanted = wanted;
    self->nlopt = nlopt_create(algorithm, (unsigned)dimension);
    nlopt_set_lower_bounds(self->nlopt, lower);
    nlopt_set_upper_bounds(self->nlopt, upper);
    nlopt_set_population(self->nlopt, population);
    nlopt_set_min_objective(self->nlopt, record, self);
    for (int i = 0; i < dimension; i++)
        x[i] = (lower[i] + upper[i]) / 2;
    nlopt_srand(seed);
    nlopt_optimize(self->nlopt, x, &least);
    nlopt_destroy(self->nlopt);
    assert_int_equal(self->count, wanted);
    return self;
}

static recording *record_run(int dimension, uint32_t seed, int wanted)
{
    return record_algorithm(NLOPT_GN_CRS2_LM, 10u * ((unsigned)dimension + 1), dimension, seed, wanted);
}

static void assert_replay_equals(const recording *run, const sn_optimiser_settings *settings)
{
    size_t dimension = (size_t)settings->dimension;
    for (int n = 0; n < run->count; n++) {
        double x[LARGEST_DIMENSION];
        assert_int_equal(sn_optimiser_ask(x, settings, run->points, run->values, n, NULL), SN_OK);
        assert_memory_equal(x, run->points + (size_t)n * dimension, dimension * sizeof *x);
    }
}

static void replay_equals_one_uninterrupted_run(void **state)
{
    (void)state;
    static const int dimensions[] = {1, 2, 4, 7, 11};
    for (int d = 0; d < 5; d++) {
        for (uint32_t seed = 1; seed <= 4; seed++) {
            sn_optimiser_settings settings = make_settings(dimensions[d], seed * 1000003u);
            recording *run = record_run(dimensions[d], settings.seed, MAXIMUM);
            assert_replay_equals(run, &settings);
            free(run);
        }
    }
}

static void replay_equals_one_run_of_each_algorithm(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        nlopt_algorithm nlopt;
    } cases[] = {{"crs", NLOPT_GN_CRS2_LM},
                 {"direct", NLOPT_GN_DIRECT_L_RAND},
                 {"isres", NLOPT_GN_ISRES},
                 {"esch", NLOPT_GN_ESCH}};
    for (int i = 0; i < 4; i++) {
        for (int dimension = 2; dimension <= 11; dimension += 3) {
            sn_optimiser_settings settings = make_settings(dimension, 77);
            assert_int_equal(sn_optimiser_parse(&settings.algorithm, cases[i].name, NULL), SN_OK);
            assert_string_equal(sn_optimiser_name(settings.algorithm), cases[i].name);
            settings.population = sn_optimiser_population(settings.algorithm, dimension);
            recording *run =
                record_algorithm(cases[i].nlopt, (unsigned)settings.population, dimension, 77, MAXIMUM);
            assert_replay_equals(run, &settings);
            free(run);
        }
    }
}

static void an_unknown_algorithm_is_refused(void **state)
{
    (void)state;
    sn_optimiser_algorithm algorithm;
    assert_int_equal(sn_optimiser_parse(&algorithm, "simplex", NULL), SN_ERR_ARG);
}

static void random_points_are_uniform_and_take_no_notice_of_answers(void **state)
{
    (void)state;
    double points[MAXIMUM * 4], values[MAXIMUM] = {0}, sum[4] = {0}, x[4];
    sn_optimiser_settings settings = make_settings(4, 5);
    settings.algorithm = SN_OPTIMISER_RANDOM;
    settings.population = 0;
    for (int n = 0; n < MAXIMUM; n++) {
        assert_int_equal(sn_optimiser_ask(points + 4 * n, &settings, points, values, n, NULL), SN_OK);
        for (int i = 0; i < 4; i++) {
            sum[i] += (points[4 * n + i] - lower[i]) / (upper[i] - lower[i]);
            assert_true(points[4 * n + i] >= lower[i] && points[4 * n + i] <= upper[i]);
        }
    }
    for (int i = 0; i < 4; i++) {
        assert_true(points[i] == (lower[i] + upper[i]) / 2);
        assert_true(fabs(sum[i] / MAXIMUM - 0.5) < 4 * sqrt(1.0 / 12 / MAXIMUM)); /* 4 standard deviations */
    }
    for (int n = 0; n < MAXIMUM; n++)
        values[n] = n;
    assert_int_equal(sn_optimiser_ask(x, &settings, points, values, 100, NULL), SN_OK);
    assert_memory_equal(x, points + 400, sizeof x);
    settings.seed = 6;
    assert_int_equal(sn_optimiser_ask(x, &settings, points, values, 100, NULL), SN_ERR_INPUT);
}

/* An oracle that knows the values of a recording from its question `next` on, as far as `end`. */
typedef struct reading {
    const recording *run;
    int next, end, dimension;
} reading;

static bool read_on(double *value, const double *x, void *context)
{
    reading *self = context;
    size_t dimension = (size_t)self->dimension;
    if (self->next == self->end)
        return false;
    assert_memory_equal(x, self->run->points + (size_t)self->next * dimension, dimension * sizeof *x);
    *value = self->run->values[self->next++];
    return true;
}

static void an_oracle_is_as_good_as_a_record(void **state)
{
    (void)state;
    for (int algorithm = 0; algorithm < SN_OPTIMISERS; algorithm++) {
        double points[150 * 4], values[150], x[4];
        recording run = {.count = 150};
        sn_optimiser_settings settings = make_settings(4, 9);
        settings.algorithm = (sn_optimiser_algorithm)algorithm;
        settings.population = sn_optimiser_population(settings.algorithm, 4);
        for (int n = 0; n < 150; n++) {
            assert_int_equal(sn_optimiser_ask(points + 4 * n, &settings, points, values, n, NULL), SN_OK);
            values[n] = value_of(points + 4 * n, 4);
        }
        memcpy(run.points, points, sizeof points);
        memcpy(run.values, values, sizeof values);
        for (int known = 0; known < 149; known += 37) {
            reading rest = {&run, known, 149, 4};
            assert_int_equal(sn_optimiser_follow(x, &settings, points, values, known, read_on, &rest, NULL),
                             SN_OK);
            assert_int_equal(rest.next, 149);
            assert_memory_equal(x, points + 4 * 149, sizeof x);
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

static void the_first_question_is_the_start_where_one_is_given(void **state)
{
    (void)state;
    static const double start[] = {9.5, 5.25, 0.5, 1};
    double x[4];
    for (int algorithm = 0; algorithm < SN_OPTIMISERS; algorithm++) {
        sn_optimiser_settings settings = make_settings(4, 1);
        settings.algorithm = (sn_optimiser_algorithm)algorithm;
        settings.population = sn_optimiser_population(settings.algorithm, 4);
        settings.start = start;
        assert_int_equal(sn_optimiser_ask(x, &settings, NULL, NULL, 0, NULL), SN_OK);
        assert_int_equal(memcmp(x, start, sizeof x) == 0, algorithm != SN_OPTIMISER_DIRECT);
    }
}

static void questions_of_the_population_do_not_depend_on_the_answers(void **state)
{
    (void)state;
    sn_optimiser_settings settings = make_settings(4, 3);
    recording *run = record_run(4, 3, 60);
    double other[60], x[4];
    for (int n = 0; n < 60; n++)
        other[n] = -n; /* another best than the run's */
    assert_int_equal(sn_optimiser_population(SN_OPTIMISER_CRS2_LM, 4), 50);
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
    static const double same[] = {8, 2, 0, 0}, outside[] = {20, 6.5, 1, 1};
    double x[4];
    sn_optimiser_settings settings[] = {make_settings(0, 1), make_settings(4, 1), make_settings(4, 1),
                                        make_settings(4, 1)};
    settings[1].population = 4;
    settings[2].upper = same;
    settings[3].start = outside;
    for (int i = 0; i < 4; i++)
        assert_int_equal(sn_optimiser_ask(x, &settings[i], NULL, NULL, 0, NULL), SN_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_equals_one_uninterrupted_run),
        cmocka_unit_test(replay_equals_one_run_of_each_algorithm),
        cmocka_unit_test(an_unknown_algorithm_is_refused),
        cmocka_unit_test(random_points_are_uniform_and_take_no_notice_of_answers),
        cmocka_unit_test(an_oracle_is_as_good_as_a_record),
        cmocka_unit_test(the_same_answers_give_the_same_question_whatever_was_asked_before),
        cmocka_unit_test(the_first_question_is_the_middle_of_the_bounds),
        cmocka_unit_test(the_first_question_is_the_start_where_one_is_given),
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
