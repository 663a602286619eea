#include "search/search.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/memory.h"

/* A search under way. */
typedef struct search {
    sn_search_state *state;
    sn_study *study;
    const sn_optimiser_settings *optimiser;
    const sn_search_objective *objective;
    const sn_search_observer *observer; /* never NULL */
    double *points;                     /* (capacity, dimension), the first state->committed are set */
    double *values;                     /* (capacity) */
    int capacity;
    double training_seconds; /* of all finished trainings */
} search;

struct sn_search_reporter {
    search *owner;
    const sn_proposal *proposal;
    int64_t trial;
    double began; /* the last attempt, monotonic seconds */
};

/* The result of a network, out of the study. */
typedef struct known_trial {
    int64_t id;
    bool finished;
    bool used; /* an earlier iteration rests on it */
    sn_outcome outcome;
    double dice;
    char *reason;
} known_trial;

double sn_search_value(double dice)
{
    if (!isfinite(dice))
        return SN_SEARCH_WORST_F;
    return -log(fmax(dice, SN_SEARCH_LEAST_DICE)) + 0.0; /* + 0: a Dice of 1 gives 0, not -0 */
}

void sn_proposal_clear(sn_proposal *proposal)
{
    sn_free(proposal->arch);
    sn_free(proposal->network);
    sn_free(proposal->reason);
    *proposal = (sn_proposal){.arch = NULL};
}

void sn_trial_result_clear(sn_trial_result *result)
{
    sn_free(result->reason);
    sn_free(result->labels);
    *result = (sn_trial_result){.reason = NULL};
}

/* ---- the trials ---- */

static sn_status attempt_begin(sn_search_reporter *reporter, sn_error *error)
{
    const sn_proposal *proposal = reporter->proposal;
    sn_study_trial trial = {
        .network = proposal->network,
        .arch = proposal->arch,
        .parameters = proposal->parameters,
        .planned_bytes = proposal->planned_bytes,
    };
    reporter->began = sn_clock_now();
    return sn_study_trial_begin(&reporter->trial, reporter->owner->study, &trial, error);
}

sn_status sn_search_report_retry(sn_search_reporter *reporter, sn_error *error)
{
    return attempt_begin(reporter, error);
}

sn_status sn_search_report_epoch(sn_search_reporter *reporter, int epoch, double loss, double dice,
                                 double seconds, sn_error *error)
{
    const search *self = reporter->owner;
    sn_study_epoch row = {
        .trial = reporter->trial, .epoch = epoch, .loss = loss, .dice = dice, .seconds = seconds};
    sn_status status = sn_study_epoch_append(self->study, &row, error);
    if (status == SN_OK && self->observer->epoch_done != NULL)
        self->observer->epoch_done(self->state, &row, self->observer->context);
    return status;
}

static sn_status trial_finish(search *self, const sn_search_reporter *reporter, const sn_trial_result *result,
                              sn_error *error)
{
    sn_study_trial trial = {
        .id = reporter->trial,
        .outcome = result->outcome,
        .reason = result->reason,
        .dice = NAN,
        .seconds = sn_clock_now() - reporter->began,
    };
    if (result->outcome == SN_OUTCOME_TRAINED && isfinite(result->dice)) {
        trial.dice = result->dice;
        trial.labels = result->labels;
    } else if (result->outcome == SN_OUTCOME_TRAINED) {
        trial.outcome = SN_OUTCOME_FAILED;
        trial.reason = "the validation Dice is not a number";
    }
    self->training_seconds += trial.seconds;
    return sn_study_trial_finish(self->study, &trial, error);
}

static sn_status trial_run(search *self, const sn_proposal *proposal, const double *x, sn_error *error)
{
    const sn_search_objective *objective = self->objective;
    sn_status status;
    sn_trial_result result = {.reason = NULL};
    sn_search_reporter reporter = {.owner = self, .proposal = proposal};
    SN_TRY(attempt_begin(&reporter, error));
    if (self->observer->trial_started != NULL)
        self->observer->trial_started(self->state, proposal, self->observer->context);
    SN_TRY(objective->train(&result, proposal, x, self->optimiser->dimension, &reporter, objective->context,
                            error));
    SN_TRY(trial_finish(self, &reporter, &result, error));
done:
    sn_trial_result_clear(&result);
    return status;
}

static sn_status known_trial_take(const sn_study_trial *trial, void *context, sn_error *error)
{
    known_trial *known = context;
    known->id = trial->id;
    known->finished = trial->finished != 0;
    known->used = trial->first_iteration != 0;
    known->outcome = trial->outcome;
    known->dice = trial->dice;
    return trial->reason == NULL ? SN_OK : sn_string_copy(&known->reason, trial->reason, error);
}

/*
 * Find the result of a network, after training it if there is none. A training that was finished before the
 * process was killed, but not committed as an iteration, is found here as if it had just ended.
 */
static sn_status trial_obtain(known_trial *known, search *self, const sn_proposal *proposal, const double *x,
                              sn_error *error)
{
    sn_status status;
    SN_TRY(sn_study_trial_find(self->study, proposal->network, known_trial_take, known, error));
    if (!known->finished) {
        SN_TRY(trial_run(self, proposal, x, error));
        SN_TRY(sn_study_trial_find(self->study, proposal->network, known_trial_take, known, error));
    }
done:
    return status;
}

/* ---- the iterations ---- */

/* Count an answer, from the study or new. */
static void iteration_count(search *self, const sn_study_iteration *iteration)
{
    sn_search_state *state = self->state;
    int dimension = self->optimiser->dimension;
    memcpy(self->points + (size_t)state->committed * dimension, iteration->x, dimension * sizeof(double));
    self->values[state->committed++] = iteration->f;
    state->trained += iteration->outcome == SN_OUTCOME_TRAINED;
    bool better = state->best_iteration == 0 || iteration->f < self->values[state->best_iteration - 1];
    if (isfinite(iteration->dice) && better) {
        state->best_iteration = iteration->number;
        state->best_dice = iteration->dice;
        snprintf(state->best_network, sizeof state->best_network, "%s", iteration->network);
    }
}

/* Expect of each open iteration what the committed ones cost on average. */
static void time_estimate(search *self)
{
    sn_search_state *state = self->state;
    int open = state->iterations - state->committed;
    state->seconds_left = self->training_seconds > 0 && state->committed > 0
                              ? self->training_seconds / state->committed * (open > 0 ? open : 0)
                              : NAN;
}

static sn_status iteration_commit(search *self, const sn_study_iteration *iteration, sn_error *error)
{
    sn_status status = sn_study_iteration_append(self->study, iteration, error);
    if (status != SN_OK)
        return status;
    iteration_count(self, iteration);
    time_estimate(self);
    if (self->observer->iteration_committed != NULL)
        self->observer->iteration_committed(self->state, iteration, self->observer->context);
    return SN_OK;
}

/* Ask one question, find its answer, commit it. `x` is (dimension) of scratch. */
static sn_status search_step(search *self, double *x, sn_error *error)
{
    const sn_search_objective *objective = self->objective;
    int dimension = self->optimiser->dimension;
    sn_status status;
    sn_proposal proposal = {.arch = NULL};
    known_trial known = {.dice = NAN};
    SN_TRY(sn_optimiser_ask(x, self->optimiser, self->points, self->values, self->state->committed, error));
    SN_TRY(objective->propose(&proposal, x, dimension, objective->context, error));
    sn_study_iteration iteration = {
        .number = self->state->committed + 1,
        .dimension = dimension,
        .x = x,
        .arch = proposal.arch,
        .network = proposal.network,
        .outcome = proposal.outcome,
        .reason = proposal.reason,
        .dice = NAN,
    };
    if (proposal.outcome == SN_OUTCOME_TRAINED) {
        SN_TRY(trial_obtain(&known, self, &proposal, x, error));
        iteration.trial = known.id;
        iteration.outcome = known.used ? SN_OUTCOME_REPEATED : known.outcome;
        iteration.reason = known.reason;
        iteration.dice = known.dice;
    }
    iteration.f = sn_search_value(iteration.dice);
    SN_TRY(iteration_commit(self, &iteration, error));
done:
    sn_free(known.reason);
    sn_proposal_clear(&proposal);
    return status;
}

/* ---- the search ---- */

static json_t *reals_to_json(const double *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_real(values[i]));
    return array;
}

static sn_status settings_agree(sn_study *study, const sn_optimiser_settings *optimiser, sn_error *error)
{
    json_t *settings =
        json_pack("{s:s, s:i, s:I, s:o, s:o}", "algorithm", sn_optimiser_name(optimiser->algorithm),
                  "population", optimiser->population, "seed", (json_int_t)optimiser->seed, "lower",
                  reals_to_json(optimiser->lower, optimiser->dimension), "upper",
                  reals_to_json(optimiser->upper, optimiser->dimension));
    if (settings == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: the optimiser's settings");
    sn_status status = sn_study_settings_agree(study, settings, error);
    json_decref(settings);
    return status;
}

static sn_status seconds_add(const sn_study_trial *trial, void *context, sn_error *error)
{
    double *seconds = context;
    (void)error;
    *seconds += trial->finished != 0 ? trial->seconds : 0;
    return SN_OK;
}

static sn_status capacity_count(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    int *capacity = context;
    (void)error;
    *capacity = iteration->number > *capacity ? iteration->number : *capacity;
    return SN_OK;
}

static sn_status iteration_load(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    search *self = context;
    if (iteration->dimension != self->optimiser->dimension || iteration->number != self->state->committed + 1)
        return sn_error_set(error, SN_ERR_INPUT, "%s/study.db: damaged: iteration %d does not fit the others",
                            sn_study_folder(self->study), iteration->number);
    iteration_count(self, iteration);
    return SN_OK;
}

/* Take over what the study holds. */
static sn_status search_load(search *self, sn_error *error)
{
    sn_status status;
    self->capacity = self->state->iterations;
    SN_TRY(sn_study_iterations_visit(self->study, capacity_count, &self->capacity, error));
    SN_TRY(
        sn_alloc(&self->points, (size_t)self->capacity * self->optimiser->dimension, sizeof(double), error));
    SN_TRY(sn_alloc(&self->values, (size_t)self->capacity, sizeof(double), error));
    SN_TRY(sn_study_iterations_visit(self->study, iteration_load, self, error));
    SN_TRY(sn_study_trials_visit(self->study, seconds_add, &self->training_seconds, error));
    time_estimate(self);
done:
    return status;
}

sn_status sn_search_run(sn_search_state *state, sn_study *study, const sn_optimiser_settings *optimiser,
                        const sn_search_objective *objective, const sn_search_options *options,
                        sn_error *error)
{
    static const sn_search_observer nobody = {.context = NULL};
    sn_status status;
    double *x = NULL;
    search self = {
        .state = state,
        .study = study,
        .optimiser = optimiser,
        .objective = objective,
        .observer = options->observer == NULL ? &nobody : options->observer,
    };
    *state = (sn_search_state){.iterations = options->iterations, .best_dice = NAN, .seconds_left = NAN};
    SN_TRY(settings_agree(study, optimiser, error));
    SN_TRY(search_load(&self, error));
    SN_TRY(sn_alloc(&x, (size_t)optimiser->dimension, sizeof *x, error));
    while (state->committed < options->iterations) {
        SN_TRY(sn_interrupt_check(error));
        SN_TRY(search_step(&self, x, error));
    }
done:
    sn_free(x);
    sn_free(self.points);
    sn_free(self.values);
    return status;
}
