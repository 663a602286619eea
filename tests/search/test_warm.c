/* Warm starts: a search from an earlier study goes the way of one that trains all by itself. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "landscape.h"
#include "scratch.h"
#include "search/warm.h"

enum { ITERATIONS = 120, EPOCHS = 6, NEVER = -1 };

static char path[128], other_path[128];
static sn_space space;

static int setup(void **state)
{
    (void)state;
    return sn_space_load(&space, "segnas4", NULL) == SN_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sn_space_clear(&space);
    return 0;
}

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- trainings ---- */

typedef struct trainings {
    int count;
    int cut_at; /* this one, counted from 0, is interrupted after two epochs */
    hall *workers;
} trainings;

static sn_status train(sn_trial_result *result, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error)
{
    sn_status status;
    trainings *self = context;
    int network = atoi(proposal->network), number = self->count++;
    double speed = 0.3 + (network * 40503u >> 4) % 100 / 50.0;
    (void)x, (void)dimension;
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        result->dice = landscape_dice(network) * (1 - exp(-speed * epoch));
        SN_TRY(sn_search_report_epoch(reporter, epoch, 1, result->dice, 0.1, error));
        result->stopped = self->workers->cut;
        if (result->stopped)
            goto done;
        if (epoch == 2 && number == self->cut_at)
            return sn_error_set(error, SN_ERR_INTERRUPTED, "interrupted");
    }
done:
    return status;
}

/* How a search is made. */
typedef struct search_plan {
    const char *name, *earlier; /* studies in the folder; NULL: from nothing */
    const double *start;        /* the first question, where it is not from a study */
    sn_optimiser_algorithm algorithm;
    uint32_t seed;
    const char *rule;
    int workers, cut_at;
} search_plan;

static const search_plan usual = {.name = "study", .seed = 1, .rule = "none", .workers = 1, .cut_at = NEVER};

/* How it went. */
typedef struct course {
    sn_search_state state;
    int trained;
    char trajectory[SN_HASH_TEXT];
    double start[LANDSCAPE_DIMENSION]; /* the first question */
} course;

static sn_status first_question(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    (void)error;
    if (iteration->number == 1)
        memcpy(context, iteration->x, LANDSCAPE_DIMENSION * sizeof(double));
    return SN_OK;
}

static sn_status search(course *went, const search_plan *plan, sn_error *error)
{
    sn_status status;
    sn_study *study = NULL;
    trainings trained = {.cut_at = plan->cut_at};
    hall crew = {.train = train, .context = &trained};
    sn_search_objective objective = hall_objective(&crew);
    sn_search_options options = {.iterations = ITERATIONS, .workers = plan->workers};
    sn_optimiser_settings optimiser = landscape_optimiser(plan->seed);
    double *start = NULL;
    optimiser.algorithm = plan->algorithm;
    optimiser.population = sn_optimiser_population(plan->algorithm, LANDSCAPE_DIMENSION);
    trained.workers = &crew;
    snprintf(other_path, sizeof other_path, "%s/%s", folder, plan->earlier == NULL ? "" : plan->earlier);
    SN_TRY(sn_stopping_parse(&options.stopping, plan->rule, EPOCHS, error));
    SN_TRY(sn_study_open(&study, in_folder(plan->name), error));
    SN_TRY(sn_warm_start(&start, study, plan->earlier == NULL ? NULL : other_path, &space, error));
    optimiser.start = start != NULL ? start : plan->start;
    status = sn_search_run(&went->state, study, &optimiser, &objective, &options, error);
    went->trained = trained.count;
    if (status == SN_OK)
        status = sn_study_trajectory(went->trajectory, study, error);
    if (status == SN_OK)
        status = sn_study_iterations_visit(study, first_question, went->start, error);
done:
    sn_study_close(study);
    sn_free(start);
    return status;
}

static course search_well(const search_plan *plan)
{
    course went;
    sn_error error = SN_ERROR_INIT;
    if (search(&went, plan, &error) != SN_OK)
        fail_msg("%s", error.text);
    return went;
}

/* The earlier study: CRS, seed 1. */
static course earlier_search(void)
{
    search_plan earlier = usual;
    earlier.name = "earlier";
    return search_well(&earlier);
}

/* A plan of a search that begins from the earlier study, in another way than that one. */
static search_plan warm_plan(const char *name, sn_optimiser_algorithm algorithm, const char *rule,
                             int workers)
{
    search_plan warm = usual;
    warm.name = name;
    warm.earlier = "earlier";
    warm.algorithm = algorithm;
    warm.seed = 5;
    warm.rule = rule;
    warm.workers = workers;
    return warm;
}

/* The same search with all its trainings, for comparison. */
static course cold_search(const search_plan *warm, const double *start)
{
    search_plan cold = *warm;
    cold.name = "cold";
    cold.earlier = NULL;
    cold.start = start;
    cold.workers = 1;
    course went = search_well(&cold);
    assert_int_equal(sn_folder_remove(in_folder("cold"), NULL), SN_OK);
    return went;
}

/* ---- tests ---- */

static void the_search_begins_at_the_best_network(void **state)
{
    (void)state;
    course earlier = earlier_search();
    search_plan plan = warm_plan("warm", SN_OPTIMISER_CRS2_LM, "none", 1);
    course warm = search_well(&plan);
    int v[LANDSCAPE_DIMENSION];
    landscape_decode(v, warm.start);
    assert_int_equal(landscape_network(v), atoi(earlier.state.best_network));
    assert_true(warm.state.best_dice >= earlier.state.best_dice);
}

static void a_warm_search_goes_the_way_of_a_cold_one(void **state)
{
    (void)state;
    static const char *const rules[] = {"none", "median", "halving"};
    earlier_search();
    for (int i = 0; i < 3; i++) {
        for (int workers = 1; workers <= 8; workers *= 2) {
            search_plan plan = warm_plan("warm", SN_OPTIMISER_CRS2_LM, rules[i], workers);
            course warm = search_well(&plan), cold = cold_search(&plan, warm.start);
            assert_string_equal(warm.trajectory, cold.trajectory);
            assert_true(warm.state.taken > 10);
            if (workers == 1)
                assert_int_equal(warm.trained + warm.state.taken, cold.trained);
            assert_int_equal(sn_folder_remove(in_folder("warm"), NULL), SN_OK);
        }
    }
}

static void so_does_one_of_another_algorithm(void **state)
{
    (void)state;
    earlier_search();
    for (int algorithm = 0; algorithm < SN_OPTIMISERS; algorithm++) {
        search_plan plan = warm_plan("warm", (sn_optimiser_algorithm)algorithm, "none", 3);
        course warm = search_well(&plan), cold = cold_search(&plan, warm.start);
        assert_string_equal(warm.trajectory, cold.trajectory);
        assert_true(warm.state.taken > 5);
        assert_int_equal(sn_folder_remove(in_folder("warm"), NULL), SN_OK);
    }
}

static void it_goes_on_when_the_earlier_study_is_gone(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    earlier_search();
    search_plan plan = warm_plan("warm", SN_OPTIMISER_CRS2_LM, "halving", 3);
    course whole = search_well(&plan), cut;
    plan.name = "cut";
    plan.cut_at = 7;
    assert_int_equal(search(&cut, &plan, &error), SN_ERR_INTERRUPTED);
    assert_int_equal(sn_folder_remove(in_folder("earlier"), NULL), SN_OK);
    plan.cut_at = NEVER;
    cut = search_well(&plan);
    assert_string_equal(cut.trajectory, whole.trajectory);
    assert_int_equal(cut.state.taken, whole.state.taken);
    plan.name = "late"; /* one that did not begin has nothing to begin with */
    assert_int_equal(search(&cut, &plan, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "earlier: not a study"));
}

static void another_start_is_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    course went;
    earlier_search();
    search_plan plan = warm_plan("warm", SN_OPTIMISER_CRS2_LM, "none", 1);
    search_well(&plan);
    plan.earlier = NULL;
    assert_int_equal(search(&went, &plan, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "now warm_start is null"));
    plan.earlier = "warm";
    assert_int_equal(search(&went, &plan, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "cannot start from its own study"));
}

static void trainings_of_other_data_are_not_taken(void **state)
{
    (void)state;
    sn_study *study;
    double *start;
    earlier_search();
    assert_int_equal(sn_study_open(&study, in_folder("other"), NULL), SN_OK);
    json_t *epochs = json_integer(7);
    assert_int_equal(sn_study_setting_put(study, "epochs", epochs, NULL), SN_OK);
    json_decref(epochs);
    snprintf(other_path, sizeof other_path, "%s/earlier", folder);
    assert_int_equal(sn_warm_start(&start, study, other_path, &space, NULL), SN_OK);
    assert_non_null(start); /* the point is of use all the same */
    sn_free(start);
    sn_study_close(study);
    search_plan plan = warm_plan("other", SN_OPTIMISER_CRS2_LM, "none", 1);
    course went = search_well(&plan);
    assert_int_equal(went.state.taken, 0);
}

static void a_study_without_a_network_gives_no_start(void **state)
{
    (void)state;
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    course went;
    assert_int_equal(sn_study_open(&study, in_folder("earlier"), NULL), SN_OK);
    sn_study_close(study);
    search_plan plan = warm_plan("warm", SN_OPTIMISER_CRS2_LM, "none", 1);
    assert_int_equal(search(&went, &plan, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "has no trained network to start from"));
}

/* What the earlier study has of models, the new one has: here a file under the best network's key. */
static void models_are_copied(void **state)
{
    (void)state;
    course earlier = earlier_search();
    char model[256];
    size_t size;
    char *data;
    snprintf(model, sizeof model, "%s/earlier/models/%s.safetensors", folder, earlier.state.best_network);
    assert_int_equal(sn_file_write(model, "weights", 7, NULL), SN_OK);
    search_plan plan = warm_plan("warm", SN_OPTIMISER_CRS2_LM, "none", 1);
    search_well(&plan);
    snprintf(model, sizeof model, "%s/warm/models/%s.safetensors", folder, earlier.state.best_network);
    assert_int_equal(sn_file_read(&data, &size, model, NULL), SN_OK);
    assert_true(size == 7 && memcmp(data, "weights", 7) == 0);
    sn_free(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_search_begins_at_the_best_network),
        TEST(a_warm_search_goes_the_way_of_a_cold_one),
        TEST(so_does_one_of_another_algorithm),
        TEST(it_goes_on_when_the_earlier_study_is_gone),
        TEST(another_start_is_refused),
        TEST(trainings_of_other_data_are_not_taken),
        TEST(a_study_without_a_network_gives_no_start),
        TEST(models_are_copied),
    };
    return cmocka_run_group_tests_name("warm", tests, setup, teardown);
}
