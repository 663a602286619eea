/* segnas3d search: from a data set to the best network of a space. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/training.h"
#include "search/trial.h"

/* What each of several workers adds, as a share of a lone one: the rest are wrong guesses (docs/search.md). */
static const double WORTH_OF_A_WORKER = 0.75;

typedef struct search_options {
    cli_training training;
    const char *output, *space, *algorithm;
    int64_t iterations, workers;
    double trial_hours; /* 0: no limit */
} search_options;

static sn_status parse(const char **dataset, search_options *options, int argc, char **argv, sn_error *error)
{
    cli_option table[CLI_TRAINING_OPTIONS + 7] = {
        {"output", 'o', CLI_TEXT, "STUDY", &options->output, "the study's folder; an existing study goes on",
         0, 0, true},
        {"space", 0, CLI_TEXT, "segnas11|segnas4|segnas7|FILE", &options->space, "what is searched", 0, 0,
         false},
        {"iterations", 'i', CLI_INTEGER, "N", &options->iterations,
         "points to try, the initial population and repeated ones counted", 1, 1000000, false},
        {"algorithm", 0, CLI_CHOICE, "crs|direct|isres|esch|random", &options->algorithm,
         "what asks for points", 0, 0, false},
        {"workers", 'w', CLI_INTEGER, "N", &options->workers,
         "trainings at once, each in a process of its own; the result does not depend on it", 1,
         SN_SEARCH_WORKERS, false},
        {"trial-hours", 0, CLI_NUMBER, "H", &options->trial_hours,
         "give up a training that takes longer; the result then depends on the machine's speed", 0.0001, 1e6,
         false},
    };
    cli_training_table(table + 6, &options->training);
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
    sn_study *study;
    int epochs, workers;
} watcher;

/* "epoch 3/20" of the one training, or "7 training, epochs 3-17/20  2 ahead" of several. */
static int describe_trainings(char *note, size_t size, const watcher *self, const sn_search_state *state)
{
    if (self->workers == 1)
        return snprintf(note, size, "epoch %d/%d", state->most_epoch, self->epochs);
    int length = snprintf(note, size, "%d training, epochs %d-%d/%d", state->running, state->least_epoch,
                          state->most_epoch, self->epochs);
    if (state->ahead > 0)
        length += snprintf(note + length, size - (size_t)length, "  %d ahead", state->ahead);
    return length;
}

static void report(const watcher *self, const sn_search_state *state)
{
    char note[160], left[32] = "";
    int length = describe_trainings(note, sizeof note, self, state);
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
    report(context, state);
}

static void epoch_done(const sn_search_state *state, const sn_study_epoch *epoch, void *context)
{
    (void)epoch;
    report(context, state);
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
    if (sn_trials_tidy(self->study, state->best_network, state->best_dice, &error) != SN_OK)
        sn_log(SN_LOG_WARNING, "%s", error.text);
}

static sn_status count_iteration(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    (void)iteration, (void)error;
    --*(int *)context;
    return SN_OK;
}

/* Say what the iterations that are still open will take. */
static sn_status announce(sn_study *study, const sn_trials *trials, const search_options *options,
                          sn_error *error)
{
    sn_status status;
    int open = (int)options->iterations, workers = (int)options->workers;
    sn_trials_estimate estimate;
    char duration[32];
    SN_TRY(sn_study_iterations_visit(study, count_iteration, &open, error));
    if (open <= 0)
        goto done;
    SN_TRY(sn_trials_estimate_time(&estimate, trials, open, error));
    sn_progress_duration(duration,
                         estimate.search_seconds / (workers == 1 ? 1 : WORTH_OF_A_WORKER * workers));
    sn_log(SN_LOG_INFO,
           "%d iterations will take about %s, less where networks repeat: %.0f %% of points can be trained, "
           "%.3g s an image of the mean network",
           open, duration, 100 * estimate.trained_share, estimate.image_seconds);
done:
    return status;
}

/* What several workers were good for: of this run of the command. */
static void print_workers(const sn_search_state *state, int workers, double seconds)
{
    char wall[32], trainings[32];
    sn_progress_duration(wall, seconds);
    sn_progress_duration(trainings, state->counted_seconds);
    printf("%-32s%d finished and %d stopped, of %d\n", "trainings not needed", state->ahead, state->stopped,
           state->trained + state->ahead + state->stopped);
    printf("%-32s%.1f with %d workers: trainings of %s in %s\n", "speed-up", state->counted_seconds / seconds,
           workers, trainings, wall);
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

/* The threads of a worker: the option's, else its share of the cores. */
static void resolve_threads(search_options *options)
{
    int64_t share = sn_threads_default() / options->workers;
    if (options->training.threads == 0)
        options->training.threads = share > 0 ? share : 1;
}

/* All that the trajectory depends on, as the study keeps it; of what differs, the first is named. */
static sn_status settings_agree(sn_study *study, const sn_trials *trials, double trial_hours, sn_error *error)
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
    json_object_set_new(settings, "trial_hours", json_real(trial_hours));
    SN_TRY(sn_study_settings_agree(study, settings, error));
done:
    json_decref(settings);
    json_decref(space);
    json_decref(data);
    return status;
}

/* The cores and the memory of each worker, and what they all may use together. */
static sn_status employ(sn_trials *trials, sn_search_options *how, const search_options *options,
                        sn_error *error)
{
    const sn_crew_options crew = {
        .folder = trials->folder,
        .workers = (int)options->workers,
        .threads = trials->run.threads,
        .limit_seconds = 3600 * options->trial_hours,
    };
    int64_t machine = cli_memory_default();
    how->workers = crew.workers;
    how->memory = trials->run.memory > machine ? trials->run.memory : machine;
    if (crew.workers > 1 && crew.workers * crew.threads > sn_threads_default())
        sn_log(SN_LOG_WARNING, "%d workers of %d threads share %d cores; fewer of either are faster",
               crew.workers, crew.threads, sn_threads_default());
    return sn_crew_create(&trials->crew, &crew, error);
}

static sn_status run_search(cli_context *context, sn_study *study, sn_trials *trials,
                            const search_options *options, sn_error *error)
{
    sn_status status;
    int dimension = sn_space_dimensions(trials->space);
    double *lower = NULL, *upper = NULL, began = sn_clock_now();
    sn_search_state state = {0};
    sn_search_objective objective = sn_trials_objective(trials);
    watcher watch = {context->progress, study, trials->run.options.epochs, (int)options->workers};
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
    SN_TRY(employ(trials, &how, options, error));
    SN_TRY(sn_search_run(&state, study, &optimiser, &objective, &how, error));
    sn_progress_bar_clear(context->bar);
    if (state.best_iteration == 0) {
        status = sn_error_set(error, SN_ERR_FAILED,
                              "%s: not one network could be trained; see the log folder", trials->folder);
        goto done;
    }
    SN_TRY(sn_trials_finish(trials->folder, state.best_network, error));
    print_result(trials->folder, &state);
    if (how.workers > 1)
        print_workers(&state, how.workers, sn_clock_now() - began);
done:
    sn_crew_free(trials->crew);
    sn_free(lower);
    sn_free(upper);
    return status;
}

sn_status cmd_search(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    const char *dataset;
    char *cache = NULL;
    search_options options = {.training = cli_training_defaults(),
                              .space = "segnas11",
                              .algorithm = "crs",
                              .iterations = 300,
                              .workers = 1};
    sn_task_options task_options;
    sn_study *study = NULL;
    sn_space space = {0};
    sn_task task = {0};
    sn_trials trials = {.space = &space, .task = &task};
    options.training.threads = 0; /* not given */
    SN_TRY(parse(&dataset, &options, argc, argv, error));
    resolve_threads(&options);
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
    SN_TRY(settings_agree(study, &trials, options.trial_hours, error));
    cli_training_announce(&task);
    SN_TRY(sn_path_join(&cache, options.output, "cache", error));
    SN_TRY(sn_task_build(&task, cache, sn_threads_default(), context->progress, error));
    SN_TRY(announce(study, &trials, &options, error));
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
