/* Trials: real trainings in worker processes. The program is its own worker. */
#include "train/blobs.h"

#include <math.h>
#include <unistd.h>

#include "model/model.h"
#include "search/trial.h"

static sn_task task;
static sn_space space;
static char *root;

static int setup(void **state)
{
    sn_error error = SN_ERROR_INIT;
    if (blobs_setup(&task, state, 6) != 0)
        return 1;
    root = *state;
    write_text(
        root, "space.json",
        "{\"n\": {\"lower\": 8, \"upper\": 12}, \"p\": 2, \"sup\": {\"lower\": 0, \"upper\": 2}, \"res\": 1, "
        "\"nodes\": 2, \"ops\": [{\"lower\": 0, \"upper\": 3}]}");
    CHECK_OK(sn_space_load(&space, in_folder(root, "space.json"), &error), error);
    return 0;
}

static int teardown(void **state)
{
    sn_space_clear(&space);
    return blobs_teardown(&task, state);
}

static sn_trials trials_in(const char *folder)
{
    sn_trials trials = {.space = &space,
                        .task = &task,
                        .folder = folder,
                        .run = {.options = SN_TRAIN_OPTIONS_INIT, .device = "cpu"}};
    trials.run.threads = 2;
    trials.run.options.epochs = 1;
    return trials;
}

/* Search until the study holds `iterations` answers. */
static sn_search_state search(sn_trials *trials, int iterations, int workers)
{
    sn_error error = SN_ERROR_INIT;
    sn_study *study;
    sn_search_state state;
    double lower[3], upper[3];
    assert_int_equal(sn_space_dimensions(&space), 3);
    sn_space_bounds(&space, lower, upper);
    sn_optimiser_settings optimiser = {
        .dimension = 3, .lower = lower, .upper = upper, .seed = 1, .population = 40};
    sn_search_objective objective = sn_trials_objective(trials);
    sn_search_options options = {.iterations = iterations, .workers = workers};
    sn_crew_options crew = {.folder = trials->folder, .workers = workers, .threads = 1};
    CHECK_OK(sn_crew_create(&trials->crew, &crew, &error), error);
    CHECK_OK(sn_study_open(&study, trials->folder, &error), error);
    CHECK_OK(sn_search_run(&state, study, &optimiser, &objective, &options, &error), error);
    CHECK_OK(sn_trials_tidy(study, state.best_network, state.best_dice, &error), error);
    sn_study_close(study);
    sn_crew_free(trials->crew);
    return state;
}

static json_t *study_json(const char *folder)
{
    sn_error error = SN_ERROR_INIT;
    sn_study *study;
    json_t *json;
    CHECK_OK(sn_study_open_read(&study, folder, &error), error);
    CHECK_OK(sn_study_json(&json, study, &error), error);
    sn_study_close(study);
    return json;
}

static void a_search_cut_and_gone_on_is_the_whole_one(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_trials whole = trials_in(in_folder(root, "whole")), cut = trials_in(in_folder(root, "cut"));
    sn_search_state ended = search(&whole, 8, 1);
    assert_true(ended.best_iteration > 0);
    search(&cut, 3, 3);
    search(&cut, 8, 2);
    json_t *a = study_json(whole.folder), *b = study_json(cut.folder);
    json_t *first = json_array_get(json_object_get(a, "pareto"), 0);
    assert_true(json_number_value(json_object_get(first, "step_seconds")) > 0);
    json_object_del(a, "pareto"); /* has times in it */
    json_object_del(b, "pareto");
    assert_true(json_equal(a, b));
    assert_int_equal(json_array_size(json_object_get(a, "iterations")), 8);
    json_decref(a);
    json_decref(b);
    CHECK_OK(sn_trials_finish(whole.folder, ended.best_network, &error), error);
    sn_model model;
    double dice;
    CHECK_OK(sn_model_load(&model, in_folder(root, "whole/best.safetensors"), &error), error);
    assert_int_equal(json_unpack(model.training, "{s:{s:F}}", "validation", "dice", &dice), 0);
    assert_true(dice == ended.best_dice);
    sn_model_clear(&model);
}

static void what_does_not_fit_is_not_trained(void **state)
{
    (void)state;
    sn_trials trials = trials_in(in_folder(root, "small"));
    trials.run.memory = 1 << 20;
    sn_search_state ended = search(&trials, 4, 1);
    assert_int_equal(ended.trained, 0);
    json_t *json = study_json(trials.folder), *iteration;
    size_t index;
    json_array_foreach(json_object_get(json, "iterations"), index, iteration)
    {
        const char *outcome;
        double f;
        assert_int_equal(json_unpack(iteration, "{s:s, s:F}", "outcome", &outcome, "f", &f), 0);
        assert_true(strcmp(outcome, "memory") == 0 || strcmp(outcome, "illegal") == 0);
        assert_true(f == 10);
    }
    json_decref(json);
}

static void propose(sn_proposal *proposal, sn_trials *trials, int64_t memory)
{
    static const double point[3] = {8.5, 1.5, 2.5};
    sn_error error = SN_ERROR_INIT;
    trials->run.memory = memory;
    sn_search_objective objective = sn_trials_objective(trials);
    *proposal = (sn_proposal){0};
    CHECK_OK(objective.propose(proposal, point, 3, objective.context, &error), error);
}

static void what_fits_with_blocks_computed_twice_is_trained(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_trials trials = trials_in(root);
    sn_train_shape shape = sn_task_shape(&task);
    sn_train_memory twice;
    sn_arch arch;
    sn_proposal unlimited, limited, refused;
    propose(&unlimited, &trials, 0);
    assert_false(unlimited.recomputed);
    CHECK_OK(sn_arch_parse(&arch, unlimited.arch, &error), error);
    CHECK_OK(sn_train_plan(&twice, &arch, &shape, &trials.run.options, SN_RECOMPUTE_SEGMENTS, "cpu", &error),
             error);
    assert_true(twice.bytes < unlimited.planned_bytes);
    propose(&limited, &trials, unlimited.planned_bytes - 1);
    assert_int_equal(limited.outcome, SN_OUTCOME_TRAINED);
    assert_true(limited.recomputed);
    assert_true(limited.planned_bytes == twice.bytes);
    assert_string_equal(limited.network, unlimited.network); /* the result is the same */
    propose(&refused, &trials, twice.bytes - 1);
    assert_int_equal(refused.outcome, SN_OUTCOME_MEMORY);
    assert_names(refused.reason, (const char *[]){"needs", "MiB", NULL});
    sn_proposal_clear(&unlimited);
    sn_proposal_clear(&limited);
    sn_proposal_clear(&refused);
}

/* Put a training into a study, and its files into the folder of models; finished where it has a Dice. */
static void put_trial(sn_study *study, const char *key, double dice)
{
    char name[96];
    sn_error error = SN_ERROR_INIT;
    sn_study_trial trial = {.network = key, .arch = "n=8", .outcome = SN_OUTCOME_TRAINED, .dice = dice};
    CHECK_OK(sn_study_trial_begin(&trial.id, study, &trial, &error), error);
    if (!isnan(dice))
        CHECK_OK(sn_study_trial_finish(study, &trial, &error), error);
    snprintf(name, sizeof name, "kept/models/%s.safetensors", key);
    write_text(root, name, "1");
    snprintf(name, sizeof name, "kept/models/%s.checkpoint", key);
    write_text(root, name, "2");
}

static bool is_kept(const char *key, const char *suffix)
{
    char name[96];
    snprintf(name, sizeof name, "kept/models/%s%s", key, suffix);
    return sn_path_exists(in_folder(root, name));
}

static void what_may_become_the_best_model_is_kept(void **state)
{
    (void)state;
    static const char best[] = "00000000000000000000000000000001",
                      worse[] = "00000000000000000000000000000002",
                      better[] = "00000000000000000000000000000003",
                      open[] = "00000000000000000000000000000004";
    sn_error error = SN_ERROR_INIT;
    sn_study *study;
    double x[1] = {0};
    sn_study_iteration iteration = {
        .number = 1, .dimension = 1, .x = x, .arch = "n=8", .network = best, .trial = 1};
    CHECK_OK(sn_study_open(&study, in_folder(root, "kept"), &error), error);
    put_trial(study, best, 0.7);
    put_trial(study, worse, 0.6);
    put_trial(study, better, 0.8);
    put_trial(study, open, NAN);
    write_text(root,
               "kept/models/"
               "00000000000000000000000000000002.safetensors.77.tmp",
               "another worker's");
    CHECK_OK(sn_study_iteration_append(study, &iteration, &error), error);
    CHECK_OK(sn_trials_tidy(study, best, 0.7, &error), error);
    assert_true(is_kept(best, ".safetensors") && !is_kept(best, ".checkpoint"));
    assert_true(!is_kept(worse, ".safetensors") && !is_kept(worse, ".checkpoint"));
    assert_true(is_kept(better, ".safetensors") && !is_kept(better, ".checkpoint"));
    assert_true(is_kept(open, ".safetensors") && is_kept(open, ".checkpoint"));
    assert_true(is_kept(worse, ".safetensors.77.tmp"));
    sn_study_close(study);
}

/* The Dice that a model file says it has; -1: there is none. */
static double model_dice(const char *path)
{
    sn_model model;
    double dice = -1;
    if (sn_model_load(&model, path, NULL) == SN_OK)
        assert_int_equal(json_unpack(model.training, "{s:{s:F}}", "validation", "dice", &dice), 0);
    sn_model_clear(&model);
    return dice;
}

static void a_model_that_was_not_kept_is_trained_again(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    char path[512], arch[128];
    sn_trials trials = trials_in(in_folder(root, "restored"));
    sn_search_state ended = search(&trials, 3, 1);
    json_t *json = study_json(trials.folder);
    snprintf(arch, sizeof arch, "%s",
             json_string_value(json_object_get(json_object_get(json, "best"), "arch")));
    json_decref(json);
    snprintf(path, sizeof path, "%s/models/%s.safetensors", trials.folder, ended.best_network);
    assert_int_equal(unlink(path), 0);
    CHECK_OK(sn_trials_restore(&trials, ended.best_network, arch, NULL, &error), error);
    assert_true(model_dice(path) == ended.best_dice);
    CHECK_OK(sn_trials_restore(&trials, ended.best_network, arch, NULL, &error), error); /* it is there */
    assert_int_equal(unlink(path), 0);
    trials.run.options.epochs = 2; /* another training */
    assert_int_equal(sn_trials_restore(&trials, ended.best_network, arch, NULL, &error), SN_ERR_FAILED);
    assert_true(model_dice(path) == -1);
}

static void the_estimate_knows_what_cannot_be_trained(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_trials trials = trials_in(root);
    sn_trials_estimate estimate;
    CHECK_OK(sn_trials_estimate_time(&estimate, &trials, 300, &error), error);
    assert_true(fabs(estimate.trained_share - 2.0 / 3) <
                0.15); /* op 0 alone is no network: a third of the points */
    assert_true(estimate.image_seconds > 0 &&
                estimate.search_seconds > 300 * 0.5 * 3 * estimate.image_seconds);
    trials.run.memory = 1000;
    assert_int_equal(sn_trials_estimate_time(&estimate, &trials, 300, &error), SN_ERR_ARG);
    assert_names(error.text, (const char *[]){"--memory", NULL});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_cut_and_gone_on_is_the_whole_one),
        cmocka_unit_test(what_does_not_fit_is_not_trained),
        cmocka_unit_test(what_fits_with_blocks_computed_twice_is_trained),
        cmocka_unit_test(what_may_become_the_best_model_is_kept),
        cmocka_unit_test(a_model_that_was_not_kept_is_trained_again),
        cmocka_unit_test(the_estimate_knows_what_cannot_be_trained),
    };
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        return sn_worker_main(argv[2], sn_trial_handler, NULL);
    return cmocka_run_group_tests_name("trial", tests, setup, teardown);
}
