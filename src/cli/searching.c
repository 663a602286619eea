#include "cli/searching.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "search/trial.h"

/* ---- on the way ---- */

typedef struct watcher {
    const sn_progress *progress;
    sn_study *study;
    int epochs, workers;
} watcher;

/* "epoch 3/20" of the one training, or "7 at epoch 3-17/20  2 ahead" of several. */
static int describe_trainings(char *note, size_t size, const watcher *self, const sn_search_state *state)
{
    if (self->workers == 1)
        return snprintf(note, size, "epoch %d/%d", state->most_epoch, self->epochs);
    int length = snprintf(note, size, "%d at epoch %d-%d/%d", state->running, state->least_epoch,
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
    if (proposal->recomputed)
        sn_log(SN_LOG_INFO, "%s  blocks are computed twice, to need no more than %.0f MiB", proposal->arch,
               (double)proposal->planned_bytes / 0x1p20);
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
        sn_log(SN_LOG_INFO, "%d/%d  %s  %s  Dice %.4f%s%s%s", iteration->number, state->iterations,
               iteration->arch, sn_outcome_name(iteration->outcome), iteration->dice,
               iteration->reason != NULL ? "  " : "", iteration->reason != NULL ? iteration->reason : "",
               iteration->number == state->best_iteration ? "  best" : "");
    if (sn_trials_tidy(self->study, state->best_network, state->best_dice, &error) != SN_OK)
        sn_log(SN_LOG_WARNING, "%s", error.text);
}

static sn_status run(sn_search_state *state, sn_study *study, const cli_searching *self,
                     const sn_search_observer *observer, sn_error *error)
{
    sn_status status;
    int dimension = sn_space_dimensions(self->space);
    double *lower = NULL, *upper = NULL;
    const sn_search_options options = {.iterations = self->iterations,
                                       .stopping = self->stopping,
                                       .workers = self->workers,
                                       .places = self->places,
                                       .memory = self->memory,
                                       .deadline = self->deadline,
                                       .observer = observer};
    sn_optimiser_settings optimiser = {.dimension = dimension, .seed = self->seed, .start = self->start};
    SN_TRY(sn_alloc(&lower, (size_t)dimension, sizeof *lower, error));
    SN_TRY(sn_alloc(&upper, (size_t)dimension, sizeof *upper, error));
    sn_space_bounds(self->space, lower, upper);
    SN_TRY(sn_optimiser_parse(&optimiser.algorithm, self->algorithm, error));
    optimiser.population = sn_optimiser_population(optimiser.algorithm, dimension);
    optimiser.lower = lower;
    optimiser.upper = upper;
    SN_TRY(sn_search_run(state, study, &optimiser, &self->objective, &options, error));
done:
    sn_free(lower);
    sn_free(upper);
    return status;
}

sn_status cli_searching_run(sn_search_state *state, double *seconds, cli_context *context, sn_study *study,
                            const cli_searching *searching, sn_error *error)
{
    sn_status status;
    double began = sn_clock_now();
    watcher watch = {context->progress, study, searching->epochs, searching->workers};
    const sn_search_observer observer = {trial_started, epoch_done, iteration_committed, &watch};
    SN_TRY(run(state, study, searching, &observer, error));
    if (state->best_iteration == 0 && !state->overtime)
        status =
            sn_error_set(error, SN_ERR_FAILED, "%s: not one network could be trained; see the log folder",
                         sn_study_folder(study));
done:
    *seconds = sn_clock_now() - began;
    sn_progress_bar_clear(context->bar);
    return status;
}

/* ---- at the end ---- */

/* What several workers were good for: of this run of the command. */
static void print_workers(const sn_search_state *state, int workers, double seconds)
{
    char wall[32], trainings[32];
    sn_progress_duration(wall, seconds);
    sn_progress_duration(trainings, state->counted_seconds);
    printf("%-32s%d finished, %d stopped\n", "trainings not needed", state->ahead, state->stopped);
    printf("%-32s%.1f with %d workers: trainings of %s in %s\n", "speed-up", state->counted_seconds / seconds,
           workers, trainings, wall);
}

void cli_searching_print(const sn_search_state *state, double seconds, int workers)
{
    printf("%-32s%d of %d, %d trained\n", "iterations", state->committed, state->iterations, state->trained);
    if (state->overtime)
        printf("%-32sthe time of --hours is over; the same command goes on\n", "ended early");
    if (state->best_iteration > 0) {
        printf("%-32s%d\n", "best iteration", state->best_iteration);
        printf("%-32s%.4f\n", "mean validation Dice", state->best_dice);
    }
    if (state->taken > 0)
        printf("%-32s%d\n", "trainings taken over", state->taken);
    if (state->hopeless > 0)
        printf("%-32s%d\n", "trainings stopped early", state->hopeless);
    if (workers > 1)
        print_workers(state, workers, seconds);
}
