#include "search/crew.h"

#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"
#include "search/cores.h"
#include "search/worker.h"

struct sn_crew {
    sn_crew_options options;
    sn_worker **workers; /* (options.workers) of this machine; NULL: idle */
    char **logs;         /* (options.workers) the file each writes to; NULL: idle */
    cpu_set_t *cores;    /* (options.workers) NULL: they share what this process may use */
};

/* ---- what a worker says ---- */

sn_status sn_crew_epoch(json_t **report, int epoch, double loss, double dice, double seconds, sn_error *error)
{
    json_t *measured = isfinite(dice) ? json_real(dice) : json_null();
    *report =
        json_pack("{s:i, s:f, s:o, s:f}", "epoch", epoch, "loss", loss, "dice", measured, "seconds", seconds);
    return *report != NULL ? SN_OK
                           : sn_error_set(error, SN_ERR_NUMERIC, "loss is not a number at epoch %d", epoch);
}

static sn_status on_retry(const char *death, void *context, sn_error *error)
{
    return sn_search_report_retry(context, death, error);
}

static sn_status on_report(const json_t *report, void *context, sn_error *error)
{
    static const char where[] = "a worker's report";
    sn_status status;
    int64_t epoch;
    double loss, seconds, dice = NAN;
    SN_TRY(sn_json_integer(&epoch, report, "epoch", where, error));
    SN_TRY(sn_json_number(&loss, report, "loss", where, error));
    SN_TRY(sn_json_number(&seconds, report, "seconds", where, error));
    if (sn_json_has(report, "dice"))
        SN_TRY(sn_json_number(&dice, report, "dice", where, error));
    SN_TRY(sn_search_report_epoch(context, (int)epoch, loss, dice, seconds, error));
done:
    return status;
}

/* What the worker's handler gave, as the search wants it. */
static sn_status result_read(sn_trial_result *result, const json_t *given, sn_error *error)
{
    static const char where[] = "a worker's result";
    sn_status status;
    json_t *labels;
    char *text = NULL;
    SN_TRY(sn_json_number(&result->dice, given, "dice", where, error));
    SN_TRY(sn_json_object(&labels, given, "labels", where, error));
    if (sn_json_has(given, "step_seconds"))
        SN_TRY(sn_json_number(&result->step_seconds, given, "step_seconds", where, error));
    text = json_dumps(labels, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: the Dice of the labels");
    else
        status = sn_string_copy(&result->labels, text, error);
done:
    free(text);
    return status;
}

/* What an ended worker leaves, as the search wants it. */
static sn_status outcome_read(sn_trial_result *result, sn_worker_outcome *outcome, sn_error *error)
{
    if (outcome->end == SN_WORKER_DONE) {
        result->outcome = SN_OUTCOME_TRAINED;
        return result_read(result, outcome->result, error);
    }
    result->stopped = outcome->end == SN_WORKER_STOPPED;
    result->outcome = outcome->end == SN_WORKER_MEMORY ? SN_OUTCOME_MEMORY : SN_OUTCOME_FAILED;
    result->reason = outcome->reason;
    outcome->reason = NULL;
    return SN_OK;
}

/* ---- the crew ---- */

sn_status sn_crew_create(sn_crew **crew, const sn_crew_options *options, sn_error *error)
{
    sn_status status;
    sn_crew *self = NULL;
    size_t workers = (size_t)options->workers;
    *crew = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->options = *options;
    SN_TRY(sn_alloc(&self->workers, workers, sizeof(sn_worker *), error));
    SN_TRY(sn_alloc(&self->logs, workers, sizeof(char *), error));
    SN_TRY(sn_alloc(&self->cores, workers, sizeof *self->cores, error));
    if (options->workers == 1 || options->ranks != NULL ||
        !sn_cores_share_out(self->cores, options->workers, options->threads)) {
        sn_free(self->cores);
        self->cores = NULL;
    }
    *crew = self;
    self = NULL;
done:
    sn_crew_free(self);
    return status;
}

/* Forget a worker that has ended; one that has not is stopped first. */
static void worker_dismiss(sn_crew *self, int worker)
{
    if (self->options.ranks != NULL)
        sn_ranks_dismiss(self->options.ranks, worker);
    else
        sn_worker_free(self->workers[worker]);
    sn_free(self->logs[worker]);
    self->workers[worker] = NULL;
    self->logs[worker] = NULL;
}

void sn_crew_stop(sn_crew *crew, int worker)
{
    if (crew->options.ranks != NULL)
        sn_ranks_stop(crew->options.ranks, worker);
    else
        sn_worker_stop(crew->workers[worker]);
}

void sn_crew_end(sn_crew *crew)
{
    for (int i = 0; i < crew->options.workers; i++)
        if (crew->logs[i] != NULL)
            sn_crew_stop(crew, i); /* all first: they end side by side */
    for (int i = 0; i < crew->options.workers; i++)
        worker_dismiss(crew, i);
}

void sn_crew_free(sn_crew *crew)
{
    if (crew == NULL)
        return;
    if (crew->workers != NULL && crew->logs != NULL)
        sn_crew_end(crew);
    sn_free(crew->workers);
    sn_free(crew->logs);
    sn_free(crew->cores);
    sn_free(crew);
}

sn_status sn_crew_begin(sn_crew *crew, int worker, const json_t *job, const char *network,
                        int64_t memory_limit, sn_search_reporter *reporter, sn_error *error)
{
    sn_status status;
    sn_worker_options options = SN_WORKER_OPTIONS_INIT;
    SN_TRY(
        sn_string_format(&crew->logs[worker], error, "%s/log/trial-%s.log", crew->options.folder, network));
    options.log = crew->logs[worker];
    options.limit_seconds = crew->options.limit_seconds;
    options.memory_limit = memory_limit;
    options.cores = crew->cores == NULL ? NULL : &crew->cores[worker];
    options.on_retry = on_retry;
    options.on_report = on_report;
    options.context = reporter;
    if (crew->options.ranks != NULL)
        SN_TRY(sn_ranks_begin(crew->options.ranks, worker, job, &options, error));
    else
        SN_TRY(sn_worker_begin(&crew->workers[worker], job, &options, error));
done:
    if (status != SN_OK)
        worker_dismiss(crew, worker);
    return status;
}

static sn_status worker_attend(sn_worker_outcome *outcome, sn_crew *self, int worker, sn_error *error)
{
    return self->options.ranks != NULL ? sn_ranks_attend(outcome, self->options.ranks, worker, error)
                                       : sn_worker_attend(outcome, self->workers[worker], error);
}

/* Attend to all; `*worker` is one that has ended, or SN_NO_WORKER. */
static sn_status crew_attend(int *worker, sn_trial_result *result, sn_crew *self, sn_error *error)
{
    sn_status status = SN_OK;
    sn_worker_outcome outcome = {.reason = NULL};
    *worker = SN_NO_WORKER;
    for (int i = 0; i < self->options.workers && *worker == SN_NO_WORKER; i++) {
        if (self->logs[i] == NULL)
            continue;
        SN_TRY(worker_attend(&outcome, self, i, error));
        if (outcome.end == SN_WORKER_RUNNING)
            continue;
        SN_TRY(outcome_read(result, &outcome, error));
        worker_dismiss(self, i);
        *worker = i;
    }
done:
    sn_worker_outcome_clear(&outcome);
    return status;
}

sn_status sn_crew_wait(int *worker, sn_trial_result *result, bool wait, sn_crew *crew, sn_error *error)
{
    sn_status status = crew_attend(worker, result, crew, error);
    while (status == SN_OK && *worker == SN_NO_WORKER && wait) {
        if (crew->options.ranks != NULL)
            sn_ranks_wait(crew->options.ranks);
        else
            sn_workers_wait(crew->workers, crew->options.workers);
        status = crew_attend(worker, result, crew, error);
    }
    return status;
}
