#include "search/search.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "search/ahead.h"
#include "search/stopping.h"

/* A training under way, or a worker that is idle. */
struct sn_search_reporter {
    struct search *owner;
    sn_point *point; /* NULL: idle */
    int64_t trial;
    int epoch;     /* that it has reached */
    double began;  /* the last attempt, monotonic seconds */
    bool stopping; /* it was told to stop */
    bool hopeless; /* likewise, as hopeless, which gives it a value */
    double dice;   /* that value */
    bool crowded;  /* another training was under way at some time */
};

/* A search under way. */
typedef struct search {
    sn_search_state *state;
    sn_study *study;
    const sn_optimiser_settings *optimiser;
    const sn_search_objective *objective;
    const sn_search_options *options;
    const sn_search_observer *observer; /* never NULL */
    sn_ledger *ledger;
    sn_stopping *stopping; /* NULL: no training is stopped early */
    double *points;        /* (capacity, dimension), the first state->committed are set */
    double *values;        /* (capacity) */
    double *trained;       /* (capacity) answers of trainings, the first trained_count are set */
    int capacity, trained_count;
    const sn_network *asked;     /* that the next question waits for; NULL: none was asked yet */
    sn_search_reporter *workers; /* (options->workers) */
    double training_seconds;     /* of all finished trainings */
} search;

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

/* ---- the trainings ---- */

/* The epochs that the running trainings have reached. */
static void epochs_count(search *self)
{
    sn_search_state *state = self->state;
    state->least_epoch = state->most_epoch = 0;
    for (int i = 0, met = 0; i < self->options->workers; i++) {
        const sn_search_reporter *worker = &self->workers[i];
        if (worker->point == NULL)
            continue;
        state->least_epoch =
            met++ == 0 || worker->epoch < state->least_epoch ? worker->epoch : state->least_epoch;
        state->most_epoch = worker->epoch > state->most_epoch ? worker->epoch : state->most_epoch;
    }
}

static sn_status attempt_begin(sn_search_reporter *reporter, sn_error *error)
{
    const sn_proposal *proposal = &reporter->point->proposal;
    sn_study_trial trial = {
        .network = proposal->network,
        .arch = proposal->arch,
        .parameters = proposal->parameters,
        .planned_bytes = proposal->planned_bytes,
    };
    reporter->began = sn_clock_now();
    return sn_study_trial_begin(&reporter->trial, reporter->owner->study, &trial, error);
}

sn_status sn_search_report_retry(sn_search_reporter *reporter, const char *death, sn_error *error)
{
    sn_status status;
    sn_log(SN_LOG_WARNING, "%s: %s; it is started again", reporter->point->proposal.arch, death);
    SN_TRY(sn_study_retry_append(reporter->owner->study, reporter->trial, death, error));
    SN_TRY(attempt_begin(reporter, error));
done:
    return status;
}

/* Stop the training that the next question waits for, where it is certain that the rule stops it. */
static sn_status asked_judge(search *self, sn_error *error)
{
    sn_verdict verdict;
    if (self->stopping == NULL || self->asked == NULL || self->asked->worker == SN_NO_WORKER)
        return SN_OK;
    sn_search_reporter *worker = &self->workers[self->asked->worker];
    sn_status status = sn_stopping_judge(&verdict, self->stopping, self->study, worker->trial, error);
    if (status != SN_OK || verdict.epoch == 0)
        return status;
    if (!worker->stopping)
        self->objective->stop(self->asked->worker, self->objective->context);
    worker->stopping = worker->hopeless = true;
    worker->dice = verdict.dice;
    return SN_OK;
}

sn_status sn_search_report_epoch(sn_search_reporter *reporter, int epoch, double loss, double dice,
                                 double seconds, sn_error *error)
{
    search *self = reporter->owner;
    sn_study_epoch row = {
        .trial = reporter->trial, .epoch = epoch, .loss = loss, .dice = dice, .seconds = seconds};
    sn_status status = sn_study_epoch_append(self->study, &row, error);
    if (status != SN_OK)
        return status;
    reporter->epoch = epoch;
    epochs_count(self);
    if (self->observer->epoch_done != NULL)
        self->observer->epoch_done(self->state, &row, self->observer->context);
    return reporter->point->network == self->asked ? asked_judge(self, error) : SN_OK;
}

/* Store the result of a training; all about it is in the ledger then. */
static sn_status training_finish(search *self, const sn_search_reporter *worker,
                                 const sn_trial_result *result, sn_error *error)
{
    sn_status status;
    sn_study_trial trial = {
        .id = worker->trial,
        .outcome = result->outcome,
        .reason = result->reason,
        .dice = NAN,
        .seconds = sn_clock_now() - worker->began,
        .step_seconds = result->step_seconds > 0 ? result->step_seconds : NAN,
    };
    if (result->outcome == SN_OUTCOME_TRAINED && isfinite(result->dice)) {
        trial.dice = result->dice;
        trial.labels = result->labels;
    } else if (result->outcome == SN_OUTCOME_TRAINED) {
        trial.outcome = SN_OUTCOME_FAILED;
        trial.reason = "the validation Dice is not a number";
    }
    SN_TRY(sn_study_trial_finish(self->study, &trial, error));
    SN_TRY(sn_network_learn(worker->point->network, &trial, error));
    worker->point->network->fresh = true;
    self->training_seconds += trial.seconds;
    self->state->ahead++;
done:
    return status;
}

/* Out of memory beside others says nothing about the network: it is trained again, by itself. */
static sn_status training_defer(search *self, const sn_search_reporter *worker, const sn_trial_result *result,
                                sn_error *error)
{
    const sn_proposal *proposal = &worker->point->proposal;
    worker->point->network->alone = true;
    sn_log(SN_LOG_WARNING, "%s: %s, beside other trainings; it will be tried alone", proposal->arch,
           result->reason);
    return sn_study_retry_append(self->study, worker->trial, result->reason, error);
}

/* A training was stopped as hopeless, which is its result. */
static sn_status training_judged(search *self, const sn_search_reporter *worker, sn_error *error)
{
    char reason[] = "stopped early";
    const sn_trial_result result = {.outcome = SN_OUTCOME_TRAINED, .reason = reason, .dice = worker->dice};
    self->state->hopeless++;
    return training_finish(self, worker, &result, error);
}

/* Take the result of one training; `*worker` is SN_NO_WORKER where none has ended. */
static sn_status training_take(int *worker, search *self, bool wait, sn_error *error)
{
    sn_status status;
    const sn_search_objective *objective = self->objective;
    sn_trial_result result = {.reason = NULL};
    SN_TRY(objective->wait(worker, &result, wait, objective->context, error));
    if (*worker == SN_NO_WORKER)
        goto done;
    sn_search_reporter *ended = &self->workers[*worker];
    self->state->stopped += result.stopped && !ended->hopeless;
    if (!result.stopped && result.outcome == SN_OUTCOME_MEMORY && ended->crowded)
        SN_TRY(training_defer(self, ended, &result, error));
    else if (!result.stopped)
        SN_TRY(training_finish(self, ended, &result, error));
    else if (ended->hopeless)
        SN_TRY(training_judged(self, ended, error));
    ended->point->network->worker = SN_NO_WORKER;
    *ended = (sn_search_reporter){.owner = self};
    self->state->running--;
    epochs_count(self);
done:
    sn_trial_result_clear(&result);
    return status;
}

/* Wait until a training has ended; then take all that have. */
static sn_status trainings_take(search *self, sn_error *error)
{
    int worker;
    sn_status status = training_take(&worker, self, true, error);
    while (status == SN_OK && worker != SN_NO_WORKER && self->state->running > 0)
        status = training_take(&worker, self, false, error);
    return status;
}

static sn_status training_begin(search *self, int worker, sn_point *point, sn_error *error)
{
    sn_status status;
    const sn_search_objective *objective = self->objective;
    sn_search_reporter *reporter = &self->workers[worker];
    *reporter = (sn_search_reporter){.owner = self, .point = point};
    SN_TRY(attempt_begin(reporter, error));
    SN_TRY(objective->begin(worker, &point->proposal, point->x, self->optimiser->dimension, reporter,
                            objective->context, error));
    point->network->worker = worker;
    self->state->running++;
    for (int i = 0; i < self->options->workers && self->state->running > 1; i++)
        self->workers[i].crowded = true;
    epochs_count(self);
    if (self->observer->trial_started != NULL)
        self->observer->trial_started(self->state, &point->proposal, self->observer->context);
done:
    if (status != SN_OK)
        reporter->point = NULL;
    return status;
}

/* ---- what is trained next ---- */

static bool same_place(const search *self, int worker, int other)
{
    return self->options->places <= 1 || worker % self->options->places == other % self->options->places;
}

/* What a network's training takes of the memory of its place. */
static int64_t taken_bytes(const sn_point *point)
{
    return point->proposal.planned_bytes + point->proposal.kept_bytes;
}

/* Whether a network fits beside those running at the worker's place; if none is running, it does. */
static bool memory_suffices(const search *self, int worker, const sn_point *point)
{
    int64_t taken = taken_bytes(point);
    bool alone = point->network->alone;
    for (int i = 0; i < self->options->workers; i++) {
        const sn_point *other = self->workers[i].point;
        taken += other == NULL || !same_place(self, worker, i) ? 0 : taken_bytes(other);
        alone = alone || (other != NULL && other->network->alone);
    }
    bool fits = self->options->memory == 0 || taken <= self->options->memory;
    return self->state->running == 0 || (fits && !alone);
}

/* An idle worker with memory for the network; SN_NO_WORKER: none. */
static int worker_for(const search *self, const sn_point *point)
{
    for (int i = 0; i < self->options->workers; i++)
        if (self->workers[i].point == NULL && memory_suffices(self, i, point))
            return i;
    return SN_NO_WORKER;
}

static bool is_listed(const sn_ahead *list, int count, const sn_point *point)
{
    for (int i = 0; i < count; i++)
        if (list[i].point->network == point->network)
            return true;
    return false;
}

/* Give idle workers what is listed. Where memory is short, room is made for the first and others are left. */
static sn_status workers_begin(search *self, const sn_ahead *list, int count, sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0; i < count; i++) {
        if (list[i].point->network->worker != SN_NO_WORKER)
            continue;
        int worker = worker_for(self, list[i].point);
        if (worker == SN_NO_WORKER && i == 0)
            break;
        if (worker != SN_NO_WORKER)
            SN_TRY(training_begin(self, worker, list[i].point, error));
    }
done:
    return status;
}

/* Stop trainings that are not listed any more, as many as listed ones wait for a worker. */
static void workers_release(search *self, const sn_ahead *list, int count)
{
    int waiting = 0;
    for (int i = 0; i < count; i++)
        waiting += list[i].point->network->worker == SN_NO_WORKER;
    for (int i = 0; i < self->options->workers && waiting > 0; i++) {
        sn_search_reporter *worker = &self->workers[i];
        if (worker->point == NULL || is_listed(list, count, worker->point))
            continue;
        waiting--;
        if (!worker->stopping)
            self->objective->stop(i, self->objective->context);
        worker->stopping = true;
    }
}

/* Let the workers train what will most probably be asked. */
static sn_status workers_employ(search *self, sn_error *error)
{
    sn_status status;
    sn_ahead *list = NULL;
    int count = 0;
    const sn_ahead_input input = {
        .optimiser = self->optimiser,
        .ledger = self->ledger,
        .points = self->points,
        .values = self->values,
        .count = self->state->committed,
        .iterations = self->options->iterations,
        .trained = self->trained,
        .trained_count = self->trained_count,
    };
    SN_TRY(sn_alloc(&list, (size_t)self->options->workers, sizeof *list, error));
    SN_TRY(sn_ahead_look(list, &count, self->options->workers, &input, error));
    SN_TRY(workers_begin(self, list, count, error));
    workers_release(self, list, count);
done:
    sn_free(list);
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
    if (iteration->outcome == SN_OUTCOME_TRAINED || iteration->outcome == SN_OUTCOME_FAILED)
        self->trained[self->trained_count++] = iteration->f;
    bool better = state->best_iteration == 0 || iteration->f < self->values[state->best_iteration - 1];
    if (isfinite(iteration->dice) && better) {
        state->best_iteration = iteration->number;
        state->best_dice = iteration->dice;
        snprintf(state->best_network, sizeof state->best_network, "%s", iteration->network);
    }
}

/* Expect of each open iteration what the committed ones cost on average; the workers share it. */
static void time_estimate(search *self)
{
    sn_search_state *state = self->state;
    int open = state->iterations - state->committed;
    double cost = self->training_seconds / self->options->workers;
    state->seconds_left =
        cost > 0 && state->committed > 0 ? cost / state->committed * (open > 0 ? open : 0) : NAN;
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

/* Fill in what rests on a training, which is used from now on. */
static void iteration_rest(search *self, sn_study_iteration *iteration, sn_network *network)
{
    iteration->trial = network->trial;
    iteration->outcome = network->used ? SN_OUTCOME_REPEATED : network->outcome;
    iteration->reason = network->reason;
    iteration->dice = network->dice;
    self->state->ahead -= !network->used && !network->taken;
    self->state->taken += !network->used && network->taken;
    if (network->fresh && !network->used)
        self->state->counted_seconds += network->seconds;
    network->used = true;
}

/* Judge a network that a first answer will rest on by the rule, whether it was stopped or not. */
static sn_status network_judge(search *self, sn_network *network, sn_error *error)
{
    sn_status status;
    sn_verdict verdict;
    char reason[64];
    if (self->stopping == NULL || network->used)
        return SN_OK;
    SN_TRY(sn_stopping_judge(&verdict, self->stopping, self->study, network->trial, error));
    snprintf(reason, sizeof reason, "stopped early, at epoch %d", verdict.epoch);
    if (verdict.epoch > 0)
        SN_TRY(sn_network_judge(network, verdict.dice, reason, error));
    if (network->outcome == SN_OUTCOME_TRAINED)
        SN_TRY(sn_stopping_commit(self->stopping, self->study, network->trial, &verdict, error));
done:
    return status;
}

/* Ask one question and commit its answer, where that is known. `x` is (dimension) of scratch. */
static sn_status question_step(bool *known, search *self, double *x, sn_error *error)
{
    sn_status status;
    sn_point *point;
    double f;
    SN_TRY(sn_optimiser_ask(x, self->optimiser, self->points, self->values, self->state->committed, error));
    SN_TRY(sn_ledger_point(&point, self->ledger, x, error));
    *known = sn_point_answer(&f, point);
    self->asked = point->network;
    if (!*known)
        goto done;
    if (point->network != NULL)
        SN_TRY(network_judge(self, point->network, error));
    sn_point_answer(&f, point);
    sn_study_iteration iteration = {
        .number = self->state->committed + 1,
        .dimension = self->optimiser->dimension,
        .x = x,
        .arch = point->proposal.arch,
        .network = point->proposal.network,
        .outcome = point->proposal.outcome,
        .reason = point->proposal.reason,
        .dice = NAN,
        .f = f,
    };
    if (point->network != NULL)
        iteration_rest(self, &iteration, point->network);
    SN_TRY(iteration_commit(self, &iteration, error));
done:
    return status;
}

/* Commit all answers that are known. */
static sn_status answers_commit(search *self, double *x, sn_error *error)
{
    sn_status status = SN_OK;
    bool known = true;
    while (known && self->state->committed < self->options->iterations) {
        SN_TRY(sn_interrupt_check(error));
        SN_TRY(question_step(&known, self, x, error));
    }
done:
    return status;
}

/* Begin trainings, but none after the deadline; then the search ends when nothing that runs is asked for. */
static sn_status trainings_begin(bool *ended, search *self, sn_error *error)
{
    *ended = self->options->deadline > 0 && sn_clock_now() >= self->options->deadline;
    if (!*ended)
        return workers_employ(self, error);
    *ended = self->asked->worker == SN_NO_WORKER;
    return SN_OK;
}

/* ---- the search ---- */

static json_t *reals_to_json(const double *values, int count)
{
    json_t *array = values == NULL ? json_null() : json_array();
    for (int i = 0; values != NULL && i < count; i++)
        json_array_append_new(array, json_real(values[i]));
    return array;
}

static sn_status settings_agree(sn_study *study, const sn_optimiser_settings *optimiser,
                                const sn_stopping_settings *stopping, sn_error *error)
{
    json_t *settings =
        json_pack("{s:s, s:s, s:i, s:i, s:I, s:o, s:o, s:o}", "algorithm",
                  sn_optimiser_name(optimiser->algorithm), "stop_rule", sn_stopping_name(stopping->rule),
                  "stop_early", stopping->first, "population", optimiser->population, "seed",
                  (json_int_t)optimiser->seed, "lower", reals_to_json(optimiser->lower, optimiser->dimension),
                  "upper", reals_to_json(optimiser->upper, optimiser->dimension), "start",
                  reals_to_json(optimiser->start, optimiser->dimension));
    if (settings == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: the optimiser's settings");
    sn_status status = sn_study_settings_agree(study, settings, error);
    json_decref(settings);
    return status;
}

/* A training that was finished before the process was killed is found as if it had just ended. */
static sn_status trial_load(const sn_study_trial *trial, void *context, sn_error *error)
{
    sn_status status;
    search *self = context;
    sn_network *network;
    if (trial->finished == 0)
        return SN_OK;
    SN_TRY(sn_ledger_network(&network, self->ledger, trial->network, error));
    SN_TRY(sn_network_learn(network, trial, error));
    if (trial->origin == NULL)
        self->training_seconds += trial->seconds;
    self->state->ahead += trial->origin == NULL && trial->first_iteration == 0;
    self->state->taken += trial->origin != NULL && trial->first_iteration != 0;
done:
    return status;
}

static sn_status capacity_count(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    int *capacity = context;
    (void)error;
    *capacity = iteration->number > *capacity ? iteration->number : *capacity;
    return SN_OK;
}

/* Take over the judgement of a network, and compare with it as before. */
static sn_status judgement_load(search *self, const sn_study_iteration *iteration, sn_error *error)
{
    sn_status status;
    sn_network *network;
    sn_verdict verdict;
    SN_TRY(sn_ledger_network(&network, self->ledger, iteration->network, error));
    SN_TRY(sn_stopping_judge(&verdict, self->stopping, self->study, iteration->trial, error));
    SN_TRY(sn_network_judge(network, iteration->dice, iteration->reason, error));
    SN_TRY(sn_stopping_commit(self->stopping, self->study, iteration->trial, &verdict, error));
done:
    return status;
}

static sn_status iteration_load(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    search *self = context;
    if (iteration->dimension != self->optimiser->dimension || iteration->number != self->state->committed + 1)
        return sn_error_set(error, SN_ERR_INPUT, "%s/study.db: damaged: iteration %d does not fit the others",
                            sn_study_folder(self->study), iteration->number);
    iteration_count(self, iteration);
    bool judged = self->stopping != NULL && iteration->outcome == SN_OUTCOME_TRAINED;
    return judged ? judgement_load(self, iteration, error) : SN_OK;
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
    SN_TRY(sn_alloc(&self->trained, (size_t)self->capacity, sizeof(double), error));
    SN_TRY(sn_alloc(&self->workers, (size_t)self->options->workers, sizeof *self->workers, error));
    SN_TRY(sn_ledger_create(&self->ledger, self->objective, self->optimiser->dimension, error));
    if (self->options->stopping.rule != SN_STOPPING_NONE)
        SN_TRY(sn_stopping_create(&self->stopping, &self->options->stopping, error));
    SN_TRY(sn_study_trials_visit(self->study, trial_load, self, error));
    SN_TRY(sn_study_iterations_visit(self->study, iteration_load, self, error));
    time_estimate(self);
done:
    return status;
}

static void search_clear(search *self)
{
    self->objective->end(self->objective->context);
    self->state->stopped += self->state->running;
    self->state->running = 0;
    sn_ledger_free(self->ledger);
    sn_stopping_free(self->stopping);
    sn_free(self->points);
    sn_free(self->values);
    sn_free(self->trained);
    sn_free(self->workers);
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
        .options = options,
        .observer = options->observer == NULL ? &nobody : options->observer,
    };
    *state = (sn_search_state){.iterations = options->iterations, .best_dice = NAN, .seconds_left = NAN};
    SN_TRY(settings_agree(study, optimiser, &options->stopping, error));
    SN_TRY(search_load(&self, error));
    SN_TRY(sn_alloc(&x, (size_t)optimiser->dimension, sizeof *x, error));
    SN_TRY(answers_commit(&self, x, error));
    while (state->committed < options->iterations) {
        SN_TRY(trainings_begin(&state->overtime, &self, error));
        if (state->overtime)
            break;
        SN_TRY(asked_judge(&self, error));
        SN_TRY(trainings_take(&self, error));
        SN_TRY(answers_commit(&self, x, error));
    }
done:
    search_clear(&self);
    sn_free(x);
    return status;
}
