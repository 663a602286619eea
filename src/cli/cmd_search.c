/* segnas3d search: from a data set to the best network of a space. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/searching.h"
#include "cli/training.h"
#include "search/relay.h"
#include "search/simulate.h"
#include "search/trial.h"
#include "search/warm.h"

/* What each of several workers adds, as a share of a lone one: the rest are wrong guesses. */
static const double WORTH_OF_A_WORKER = 0.75;

static const double NOT_SIMULATED = -1;

typedef struct search_options {
    cli_training training;
    const char *output, *space, *algorithm;
    int64_t iterations;
    int64_t workers;         /* 0: not given */
    int64_t ranks_per_trial; /* likewise */
    sn_ranks *ranks;         /* those beside this one; NULL: this process is by itself */
    double hours;            /* that no training is begun after; 0: no limit */
    double trial_hours;      /* 0: no limit */
    const char *stop_early;
    const char *warm_start; /* folder of an earlier study; NULL: none */
    double simulate;        /* seconds of a made-up training; NOT_SIMULATED: real ones */
    double began;           /* when the command did, of sn_clock_now */
} search_options;

/* A data set, or NULL where none is given: it is needed unless trainings are simulated. */
static sn_status dataset_check(const char *dataset, const search_options *options, const cli_syntax *syntax,
                               sn_error *error)
{
    bool simulated = options->simulate != NOT_SIMULATED;
    if (simulated && dataset != NULL)
        return sn_error_set(error, SN_ERR_ARG, "search: --simulate takes no data set; leave \"%s\" out",
                            dataset);
    if (!simulated && dataset == NULL)
        return sn_error_set(error, SN_ERR_ARG, "search: an argument is missing; usage: segnas3d search %s",
                            syntax->usage);
    return SN_OK;
}

/* Workers are processes of this machine, or ranks. */
static sn_status ranks_check(const search_options *options, sn_error *error)
{
    int ranks = sn_comm_started();
    if (ranks > 1 && options->workers != 0)
        return sn_error_set(
            error, SN_ERR_ARG,
            "search: option --workers: the workers are the %d ranks beside the first; leave it "
            "out, or start the program without mpirun or srun",
            ranks - 1);
    if (ranks == 1 && options->ranks_per_trial != 0)
        return sn_error_set(error, SN_ERR_ARG,
                            "search: option --ranks-per-trial: there are no ranks; start the program with "
                            "mpirun or srun, or leave it out");
    return SN_OK;
}

static sn_status parse(const char **dataset, search_options *options, int argc, char **argv, sn_error *error)
{
    cli_option table[CLI_TRAINING_OPTIONS + 12] = {
        {"output", 'o', CLI_TEXT, "STUDY", &options->output, "the study's folder; an existing study goes on",
         0, 0, true},
        {"space", 0, CLI_TEXT, "segnas11|segnas4|segnas7|FILE", &options->space, "what is searched", 0, 0,
         false},
        {"iterations", 'i', CLI_INTEGER, "N", &options->iterations,
         "points to try, the initial population and repeated ones counted", 1, 1000000, false},
        {"algorithm", 0, CLI_CHOICE, "crs|direct|isres|esch|random", &options->algorithm,
         "what asks for points", 0, 0, false},
        {"workers", 'w', CLI_INTEGER, "N", &options->workers,
         "trainings at once, each in a process of its own; default 1; the result does not depend on it", 1,
         SN_SEARCH_WORKERS, false},
        {"ranks-per-trial", 0, CLI_INTEGER, "R", &options->ranks_per_trial,
         "under mpirun or srun: ranks that train one network together; the result does not depend on it", 1,
         SN_GROUP_MEMBERS, false},
        {"hours", 0, CLI_NUMBER, "H", &options->hours,
         "begin no training after this time and end with the best so far; the same command goes on", 1e-9,
         1e6, false},
        {"stop-early", 0, CLI_CHOICE, "none|median|halving", &options->stop_early,
         "stop hopeless trainings: worse than half of the earlier ones, or not among the best third", 0, 0,
         false},
        {"warm-start", 0, CLI_TEXT, "STUDY", &options->warm_start,
         "begin at the best network of an earlier study, and do not train again what it has trained", 0, 0,
         false},
        {"trial-hours", 0, CLI_NUMBER, "H", &options->trial_hours,
         "give up a training that takes longer; the result then depends on the machine's speed", 0.0001, 1e6,
         false},
        {"simulate", 0, CLI_NUMBER, "SECONDS", &options->simulate,
         "try space, algorithm and workers without a data set: trainings that last so long and mean nothing",
         0, 1e6, false},
    };
    cli_training_table(table + 11, &options->training, "what computes; workers take the GPUs in turn");
    const cli_syntax syntax = {
        .command = "search",
        .usage = "(DATASET | --simulate SECONDS) -o STUDY [--space SPACE] [--iterations N]",
        .about = "Searches a space of architectures for the network with the best validation Dice and writes "
                 "it to "
                 "STUDY/best.safetensors. Interrupted in whatever way, the same command goes on and ends as "
                 "if it had "
                 "never stopped; with more --iterations it goes further.",
        .options = table,
        .operands_max = 1,
    };
    int operands;
    sn_status status = cli_parse(&operands, &syntax, argc, argv, error);
    *dataset = operands > 0 ? argv[0] : NULL;
    if (status == SN_OK)
        status = dataset_check(*dataset, options, &syntax, error);
    return status == SN_OK ? ranks_check(options, error) : status;
}

/* ---- with a data set ---- */

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

/* The memory budget: the option's, else the study's from its beginning, else the device's; resolved once. */
static sn_status resolve_memory(int64_t *memory, sn_study *study, const char *device, sn_error *error)
{
    json_t *stored = NULL;
    if (*memory != 0)
        return SN_OK;
    sn_status status = sn_study_setting_get(&stored, study, "memory", error);
    if (status == SN_OK && stored == NULL)
        status = cli_memory_default(memory, device, error);
    else
        *memory = json_integer_value(stored);
    json_decref(stored);
    return status;
}

/* Workers and threads of each: the options', else the ranks, else one; and a share of the cores. */
static void resolve_workers(search_options *options)
{
    if (options->ranks != NULL)
        options->workers = sn_ranks_groups(options->ranks);
    else if (options->workers == 0)
        options->workers = 1;
    int64_t share =
        options->ranks != NULL ? sn_ranks_threads(options->ranks) : sn_threads_default() / options->workers;
    if (options->training.threads == 0)
        options->training.threads = share > 0 ? share : 1;
}

/* When no training is begun any more, of sn_clock_now; 0: never. */
static double deadline(const search_options *options)
{
    return options->hours == 0 ? 0 : options->began + 3600 * options->hours;
}

/* What the search has of an earlier study. `*start` is the caller's, sn_free. */
static sn_status warm_start(double **start, sn_study *study, const sn_space *space,
                            const search_options *options, sn_error *error)
{
    if (options->warm_start != NULL && strcmp(options->algorithm, "direct") == 0)
        sn_log(SN_LOG_WARNING, "--warm-start: DIRECT begins in the middle of the bounds all the same");
    return sn_warm_start(start, study, options->warm_start, space, error);
}

/* "cpu" or "cuda bf16". That a precision is said of a GPU only is no setting that is missing. */
static sn_status device_setting(json_t *settings, const char *device, sn_precision precision, sn_error *error)
{
    char *text = NULL;
    const char *kind = sn_device_kind(device);
    sn_status status = precision == SN_PRECISION_AUTO
                           ? sn_string_copy(&text, kind, error)
                           : sn_string_format(&text, error, "%s %s", kind, sn_precision_name(precision));
    json_object_del(settings, "precision");
    json_object_set_new(settings, "device", json_string(text));
    sn_free(text);
    return status;
}

/* All that the trajectory depends on, as the study keeps it; of what differs, the first is named. */
static sn_status settings_agree(sn_study *study, const sn_trials *trials, double trial_hours, sn_error *error)
{
    sn_status status;
    json_t *settings = json_pack("{s:b}", "simulated", false), *options = NULL, *space = NULL, *data = NULL;
    SN_TRY(sn_train_options_to_json(&options, &trials->run.options, error));
    SN_TRY(sn_space_to_json(&space, trials->space, error));
    SN_TRY(sn_task_identity(&data, trials->task, error));
    json_object_update(settings, options);
    json_object_set(settings, "space", space);
    json_object_set(settings, "dataset", json_object_get(data, "fingerprint"));
    json_object_del(data, "fingerprint");
    json_object_update(settings, data);
    json_object_set_new(settings, "memory", json_integer(trials->run.memory));
    SN_TRY(device_setting(settings, trials->run.device, trials->run.options.precision, error));
    json_object_set_new(settings, "trial_hours", json_real(trial_hours));
    json_object_set_new(settings, "loss_exponent", json_real(trials->run.options.loss_exponent));
    SN_TRY(sn_study_settings_agree(study, settings, error));
done:
    json_decref(settings);
    json_decref(options);
    json_decref(space);
    json_decref(data);
    return status;
}

/* Who trains: several workers have cores of their own where there are enough. */
static sn_status crew_create(sn_crew **crew, const search_options *options, int threads, sn_error *error)
{
    sn_status status;
    const sn_crew_options how = {
        .folder = options->output,
        .workers = (int)options->workers,
        .threads = threads,
        .limit_seconds = 3600 * options->trial_hours,
        .ranks = options->ranks,
    };
    if (options->trial_hours > 0)
        sn_log(SN_LOG_WARNING, "--trial-hours: what is found depends on how fast this machine is");
    if (options->ranks != NULL)
        SN_TRY(sn_ranks_meet(options->ranks, options->output, error));
    SN_TRY(sn_crew_create(crew, &how, error));
done:
    return status;
}

/*
 * How many places there are, and what the trainings at one may take together, in bytes, beside what each of its workers
 * needs anyway: all are at one place, the machines, or each GPU is one. Which GPUs other machines have is not known here:
 * no limit.
 */
static sn_status places_find(cli_searching *searching, const search_options *options, int64_t budget,
                             sn_error *error)
{
    sn_status status = SN_OK;
    const char *device = options->training.device;
    int beside;
    if (options->ranks != NULL && sn_device_is_gpu(device))
        return SN_OK;
    if (options->ranks != NULL) {
        searching->memory = sn_ranks_memory(options->ranks) / 10 * 9;
    } else {
        SN_TRY(sn_device_count(&searching->places, device, error));
        SN_TRY(sn_device_beside(&beside, device, searching->workers, error));
        SN_TRY(cli_memory_together(&searching->memory, device, 1 + beside, error));
    }
    searching->memory = budget > searching->memory ? budget : searching->memory;
done:
    return status;
}

/* ---- the best network's model ---- */

static sn_status log_epoch(const sn_train_epoch *epoch, void *context, sn_error *error)
{
    (void)context, (void)error;
    sn_log(SN_LOG_INFO, "the best network's model: epoch %d  validation Dice %.4f", epoch->epoch,
           epoch->dice);
    return SN_OK;
}

/* Write best.safetensors; its network is trained again where an earlier study has not kept its model. */
static sn_status finish(sn_study *study, const sn_trials *trials, const sn_search_state *state,
                        sn_error *error)
{
    sn_status status;
    const sn_train_observer observer = {.epoch_done = log_epoch};
    char *arch = NULL;
    if (state->overtime && !sn_trials_has_model(trials->folder, state->best_network)) {
        printf("%-32snone yet: the earlier study has not kept it; there is no time left to train it\n",
               "model");
        return SN_OK;
    }
    SN_TRY(sn_study_best_arch(&arch, study, error));
    SN_TRY(sn_trials_restore(trials, state->best_network, arch, &observer, error));
    SN_TRY(sn_trials_finish(trials->folder, state->best_network, error));
    printf("%-32s%s/best.safetensors\n", "model", trials->folder);
done:
    sn_free(arch);
    return status;
}

static sn_status search_trials(cli_context *context, sn_study *study, sn_trials *trials,
                               const search_options *options, sn_error *error)
{
    sn_status status;
    sn_search_state state;
    double seconds, *start = NULL;
    int workers = (int)options->workers, threads = trials->run.threads, cores = sn_threads_default();
    cli_searching searching = {
        .space = trials->space,
        .objective = sn_trials_objective(trials),
        .algorithm = options->algorithm,
        .seed = (uint32_t)options->training.seed,
        .iterations = (int)options->iterations,
        .workers = workers,
        .epochs = trials->run.options.epochs,
        .deadline = deadline(options),
    };
    trials->workers = workers;
    SN_TRY(places_find(&searching, options, trials->run.memory, error));
    SN_TRY(sn_stopping_parse(&searching.stopping, options->stop_early, searching.epochs, error));
    if (options->ranks == NULL && workers > 1 && workers * threads > cores)
        sn_log(SN_LOG_WARNING, "%d workers of %d threads share %d cores; fewer of either are faster", workers,
               threads, cores);
    SN_TRY(warm_start(&start, study, trials->space, options, error));
    searching.start = start;
    SN_TRY(crew_create(&trials->crew, options, threads, error));
    SN_TRY(cli_searching_run(&state, &seconds, context, study, &searching, error));
    if (state.best_iteration > 0)
        SN_TRY(finish(study, trials, &state, error));
    cli_searching_print(&state, seconds, workers);
done:
    sn_crew_free(trials->crew);
    sn_free(start);
    return status;
}

static sn_status search_dataset(cli_context *context, sn_study **study, const sn_space *space,
                                const char *dataset, const search_options *options, sn_error *error)
{
    sn_status status;
    char *cache = NULL;
    sn_task_options task_options;
    sn_task task = {0};
    sn_trials trials = {.space = space, .task = &task, .folder = options->output};
    SN_TRY(cli_training_apply(&task_options, &trials.run, &options->training, dataset, error));
    if (trials.run.options.loss != SN_LOSS_EXPLOG && sn_space_has(space, "loss_exponent")) {
        status = sn_error_set(error, SN_ERR_ARG, "%s: \"loss_exponent\": the loss %s has none; leave it out",
                              options->space, options->training.loss);
        goto done;
    }
    SN_TRY(sn_task_prepare(&task, &task_options, context->progress, error));
    SN_TRY(sn_study_open(study, options->output, error));
    SN_TRY(resolve_memory(&trials.run.memory, *study, trials.run.device, error));
    SN_TRY(settings_agree(*study, &trials, options->trial_hours, error));
    cli_training_announce(&task);
    SN_TRY(sn_path_join(&cache, options->output, "cache", error));
    SN_TRY(sn_task_build(&task, cache, sn_threads_default(), context->progress, error));
    SN_TRY(announce(*study, &trials, options, error));
    SN_TRY(search_trials(context, *study, &trials, options, error));
done:
    sn_task_clear(&task);
    sn_free(cache);
    return status;
}

/* ---- simulated ---- */

static sn_status simulation_agrees(sn_study *study, const sn_space *space, double trial_hours,
                                   sn_error *error)
{
    sn_status status;
    json_t *settings = NULL, *stored = NULL;
    SN_TRY(sn_space_to_json(&stored, space, error));
    settings = json_pack("{s:b, s:O, s:f}", "simulated", true, "space", stored, "trial_hours", trial_hours);
    SN_TRY(sn_study_settings_agree(study, settings, error));
done:
    json_decref(settings);
    json_decref(stored);
    return status;
}

static sn_status search_simulation(cli_context *context, sn_study **study, const sn_space *space,
                                   const search_options *options, sn_error *error)
{
    sn_status status;
    sn_search_state state;
    double seconds, *start = NULL;
    sn_simulation simulation = {.space = space, .seconds = options->simulate};
    cli_searching searching = {
        .space = space,
        .objective = sn_simulation_objective(&simulation),
        .algorithm = options->algorithm,
        .seed = (uint32_t)options->training.seed,
        .iterations = (int)options->iterations,
        .workers = (int)options->workers,
        .epochs = SN_SIMULATION_EPOCHS,
        .deadline = deadline(options),
    };
    SN_TRY(sn_stopping_parse(&searching.stopping, options->stop_early, searching.epochs, error));
    SN_TRY(sn_study_open(study, options->output, error));
    SN_TRY(simulation_agrees(*study, space, options->trial_hours, error));
    SN_TRY(warm_start(&start, *study, space, options, error));
    searching.start = start;
    SN_TRY(crew_create(&simulation.crew, options, 1, error));
    SN_TRY(cli_searching_run(&state, &seconds, context, *study, &searching, error));
    printf("%-32snone: trainings were simulated\n", "model");
    cli_searching_print(&state, seconds, searching.workers);
done:
    sn_crew_free(simulation.crew);
    sn_free(start);
    return status;
}

/* ---- the command ---- */

/* Rank 0 of several, or the only process: search. */
static sn_status search(cli_context *context, const char *dataset, search_options *options, sn_error *error)
{
    sn_status status;
    sn_study *study = NULL;
    sn_space space = {0};
    resolve_workers(options);
    SN_TRY(sn_space_load(&space, options->space, error));
    if (sn_space_dimensions(&space) == 0) {
        status =
            sn_error_set(error, SN_ERR_INPUT,
                         "%s: leaves nothing to search; give a hyperparameter {\"lower\": a, \"upper\": b}",
                         options->space);
        goto done;
    }
    if (options->simulate == NOT_SIMULATED)
        SN_TRY(search_dataset(context, &study, &space, dataset, options, error));
    else
        SN_TRY(search_simulation(context, &study, &space, options, error));
done:
    if (status == SN_OK || status == SN_ERR_INTERRUPTED)
        sn_study_close(study);
    else
        sn_study_abandon(study);
    sn_space_clear(&space);
    return status;
}

sn_status cmd_search(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    const char *dataset;
    search_options options = {.training = cli_training_defaults(),
                              .space = "segnas11",
                              .algorithm = "crs",
                              .stop_early = "none",
                              .iterations = 300,
                              .simulate = NOT_SIMULATED,
                              .began = sn_clock_now()};
    options.training.threads = 0; /* not given */
    SN_TRY(parse(&dataset, &options, argc, argv, error));
    SN_TRY(sn_comm_open(&context->comm, error));
    if (sn_comm_rank(context->comm) > 0) {
        status = sn_relay_run(context->comm, error);
        goto done;
    }
    if (sn_comm_size(context->comm) > 1)
        SN_TRY(sn_ranks_open(&options.ranks, context->comm,
                             options.ranks_per_trial == 0 ? 1 : (int)options.ranks_per_trial, error));
    SN_TRY(search(context, dataset, &options, error));
done:
    sn_ranks_close(options.ranks);
    return status;
}
