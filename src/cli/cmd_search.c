/* segnas3d search: from a data set to the best network of a space. */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/training.h"
#include "search/trial.h"

typedef struct search_options {
    cli_training training;
    const char *output, *space, *algorithm;
    int64_t iterations;
} search_options;

static sn_status parse(const char **dataset, search_options *options, int argc, char **argv, sn_error *error)
{
    cli_option table[CLI_TRAINING_OPTIONS + 5] = {
        {"output", 'o', CLI_TEXT, "STUDY", &options->output, "the study's folder; an existing study goes on",
         0, 0, true},
        {"space", 0, CLI_TEXT, "segnas11|segnas4|segnas7|FILE", &options->space, "what is searched", 0, 0,
         false},
        {"iterations", 'i', CLI_INTEGER, "N", &options->iterations,
         "points to try, the initial population and repeated ones counted", 1, 1000000, false},
        {"algorithm", 0, CLI_CHOICE, "crs|direct|isres|esch|random", &options->algorithm,
         "what asks for points", 0, 0, false},
    };
    cli_training_table(table + 4, &options->training);
    const cli_syntax syntax = {
        .command = "search",
        .usage = "DATASET -o STUDY [--space SPACE] [--iterations N]",
        .about = "Searches a space of architectures for the network with the best validation Dice and writes "
                 "it to "
                 "STUDY/best.safetensors. Interrupted in whatever way, the same command goes on and ends as "
                 "if it had "
                 "never stopped; with more --iterations it goes further.",
        .options = table,
        .operands_min = 1,
        .operands_max = 1,
    };
    int operands;
    sn_status status = cli_parse(&operands, &syntax, argc, argv, error);
    *dataset = argv[0];
    return status;
}

/* ---- what is shown ---- */

typedef struct watcher {
    const sn_progress *progress;
    const sn_trials *trials;
    int epochs;
} watcher;

static void report(const watcher *self, const sn_search_state *state, int epoch)
{
    char note[128], left[32] = "";
    int length = snprintf(note, sizeof note, "epoch %d/%d", epoch, self->epochs);
    if (!isnan(state->best_dice))
        length += snprintf(note + length, sizeof note - (size_t)length, "  best %.4f", state->best_dice);
    if (!isnan(state->seconds_left)) {
        sn_progress_duration(left, state->seconds_left);
        snprintf(note + length, sizeof note - (size_t)length, "  about %s left", left);
    }
    sn_progress_report(self->progress, "trial", state->committed, state->iterations, note);
}

static void trial_started(const sn_search_state *state, const sn_proposal *proposal, void *context)
{
    (void)proposal;
    report(context, state, 0);
}

static void epoch_done(const sn_search_state *state, const sn_study_epoch *epoch, void *context)
{
    report(context, state, epoch->epoch);
}

static void iteration_committed(const sn_search_state *state, const sn_study_iteration *iteration,
                                void *context)
{
    const watcher *self = context;
    sn_error error = SN_ERROR_INIT;
    if (isnan(iteration->dice))
        sn_log(SN_LOG_INFO, "%d/%d  %s  %s: %s", iteration->number, state->iterations, iteration->arch,
               sn_outcome_name(iteration->outcome), iteration->reason);
    else
        sn_log(SN_LOG_INFO, "%d/%d  %s  %s  Dice %.4f%s", iteration->number, state->iterations,
               iteration->arch, sn_outcome_name(iteration->outcome), iteration->dice,
               iteration->number == state->best_iteration ? "  best" : "");
    if (sn_trials_keep(self->trials->folder, state->best_network, &error) != SN_OK)
        sn_log(SN_LOG_WARNING, "%s", error.text);
}

static sn_status count_iteration(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    (void)iteration, (void)error;
    --*(int *)context;
    return SN_OK;
}

/* Say what the iterations that are still open will take. */
static sn_status announce(sn_study *study, const sn_trials *trials, int iterations, sn_error *error)
{
    sn_status status;
    int open = iterations;
    sn_trials_estimate estimate;
    char duration[32];
    SN_TRY(sn_study_iterations_visit(study, count_iteration, &open, error));
    if (open <= 0)
        goto done;
    SN_TRY(sn_trials_estimate_time(&estimate, trials, open, error));
    sn_progress_duration(duration, estimate.search_seconds);
    sn_log(SN_LOG_INFO,
           "%d iterations will take about %s, less where networks repeat: %.0f %% of points can be trained, "
           "%.3g s an image of the mean network",
           open, duration, 100 * estimate.trained_share, estimate.image_seconds);
done:
    return status;
}

static void print_result(const char *folder, const sn_search_state *state)
{
    printf("%-32s%s/best.safetensors\n", "model", folder);
    printf("%-32s%d of %d, %d trained\n", "iterations", state->committed, state->iterations, state->trained);
    printf("%-32s%d\n", "best iteration", state->best_iteration);
    printf("%-32s%.4f\n", "mean validation Dice", state->best_dice);
}

/* ---- the command ---- */

/* The memory budget: the option's, else the study's from its beginning, else the machine's; resolved once. */
static sn_status resolve_memory(int64_t *memory, sn_study *study, sn_error *error)
{
    json_t *stored = NULL;
    if (*memory != 0)
        return SN_OK;
    sn_status status = sn_study_setting_get(&stored, study, "memory", error);
    *memory = stored == NULL ? cli_memory_default() : json_integer_value(stored);
    json_decref(stored);
    return status;
}

/* All that the trajectory depends on, as the study keeps it; of what differs, the first is named. */
static sn_status settings_agree(sn_study *study, const sn_trials *trials, sn_error *error)
{
    sn_status status;
    json_t *settings = NULL, *space = NULL, *data = NULL;
    SN_TRY(sn_train_options_to_json(&settings, &trials->run.options, error));
    SN_TRY(sn_space_to_json(&space, trials->space, error));
    SN_TRY(sn_task_identity(&data, trials->task, error));
    json_object_set(settings, "space", space);
    json_object_set(settings, "dataset", json_object_get(data, "fingerprint"));
    json_object_del(data, "fingerprint");
    json_object_update(settings, data);
    json_object_set_new(settings, "memory", json_integer(trials->run.memory));
    json_object_set_new(settings, "device", json_string(trials->run.device));
    SN_TRY(sn_study_settings_agree(study, settings, error));
done:
    json_decref(settings);
    json_decref(space);
    json_decref(data);
    return status;
}

static sn_status run_search(cli_context *context, sn_study *study, sn_trials *trials,
                            const search_options *options, sn_error *error)
{
    sn_status status;
    int dimension = sn_space_dimensions(trials->space);
    double *lower = NULL, *upper = NULL;
    sn_search_state state = {0};
    sn_search_objective objective = sn_trials_objective(trials);
    watcher watch = {context->progress, trials, trials->run.options.epochs};
    sn_search_observer observer = {trial_started, epoch_done, iteration_committed, &watch};
    sn_search_options how = {.iterations = (int)options->iterations, .observer = &observer};
    sn_optimiser_settings optimiser = {.dimension = dimension, .seed = (uint32_t)options->training.seed};
    SN_TRY(sn_alloc(&lower, (size_t)dimension, sizeof *lower, error));
    SN_TRY(sn_alloc(&upper, (size_t)dimension, sizeof *upper, error));
    sn_space_bounds(trials->space, lower, upper);
    SN_TRY(sn_optimiser_parse(&optimiser.algorithm, options->algorithm, error));
    optimiser.population = sn_optimiser_population(optimiser.algorithm, dimension);
    optimiser.lower = lower;
    optimiser.upper = upper;
    SN_TRY(sn_search_run(&state, study, &optimiser, &objective, &how, error));
    sn_progress_bar_clear(context->bar);
    if (state.best_iteration == 0) {
        status = sn_error_set(error, SN_ERR_FAILED,
                              "%s: not one network could be trained; see the log folder", trials->folder);
        goto done;
    }
    SN_TRY(sn_trials_finish(trials->folder, state.best_network, error));
    print_result(trials->folder, &state);
done:
    sn_free(lower);
    sn_free(upper);
    return status;
}

sn_status cmd_search(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    const char *dataset;
    char *cache = NULL;
    search_options options = {
        .training = cli_training_defaults(), .space = "segnas11", .algorithm = "crs", .iterations = 300};
    sn_task_options task_options;
    sn_study *study = NULL;
    sn_space space = {0};
    sn_task task = {0};
    sn_trials trials = {.space = &space, .task = &task};
    SN_TRY(parse(&dataset, &options, argc, argv, error));
    trials.folder = options.output;
    SN_TRY(cli_training_apply(&task_options, &trials.run, &options.training, dataset, error));
    SN_TRY(sn_space_load(&space, options.space, error));
    if (sn_space_dimensions(&space) == 0) {
        status =
            sn_error_set(error, SN_ERR_INPUT,
                         "%s: leaves nothing to search; give a hyperparameter {\"lower\": a, \"upper\": b}",
                         options.space);
        goto done;
    }
    SN_TRY(sn_task_prepare(&task, &task_options, context->progress, error));
    SN_TRY(sn_study_open(&study, options.output, error));
    SN_TRY(resolve_memory(&trials.run.memory, study, error));
    SN_TRY(settings_agree(study, &trials, error));
    cli_training_announce(&task);
    SN_TRY(sn_path_join(&cache, options.output, "cache", error));
    SN_TRY(sn_task_build(&task, cache, trials.run.threads, context->progress, error));
    SN_TRY(announce(study, &trials, (int)options.iterations, error));
    SN_TRY(run_search(context, study, &trials, &options, error));
done:
    if (status == SN_OK || status == SN_ERR_INTERRUPTED)
        sn_study_close(study);
    else
        sn_study_abandon(study);
    sn_task_clear(&task);
    sn_space_clear(&space);
    sn_free(cache);
    return status;
}
