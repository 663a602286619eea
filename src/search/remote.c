#include "search/remote.h"

#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"
#include "search/worker.h"

sn_status sn_remote_epoch(json_t **report, int epoch, double loss, double dice, double seconds,
                          sn_error *error)
{
    json_t *measured = isfinite(dice) ? json_real(dice) : json_null();
    *report =
        json_pack("{s:i, s:f, s:o, s:f}", "epoch", epoch, "loss", loss, "dice", measured, "seconds", seconds);
    return *report != NULL ? SN_OK
                           : sn_error_set(error, SN_ERR_NUMERIC, "loss is not a number at epoch %d", epoch);
}

static sn_status on_retry(void *context, sn_error *error)
{
    return sn_search_report_retry(context, error);
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
    text = json_dumps(labels, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: the Dice of the labels");
    else
        status = sn_string_copy(&result->labels, text, error);
done:
    free(text);
    return status;
}

sn_status sn_remote_train(sn_trial_result *result, const json_t *job, const char *folder, const char *network,
                          sn_search_reporter *reporter, sn_error *error)
{
    sn_status status;
    sn_worker_outcome outcome = {.reason = NULL};
    sn_worker_options options = SN_WORKER_OPTIONS_INIT;
    char *log = NULL;
    SN_TRY(sn_string_format(&log, error, "%s/log/trial-%s.log", folder, network));
    options.log = log;
    options.on_retry = on_retry;
    options.on_report = on_report;
    options.context = reporter;
    SN_TRY(sn_worker_run(&outcome, job, &options, error));
    if (outcome.end == SN_WORKER_DONE) {
        result->outcome = SN_OUTCOME_TRAINED;
        SN_TRY(result_read(result, outcome.result, error));
    } else {
        result->outcome = outcome.end == SN_WORKER_MEMORY ? SN_OUTCOME_MEMORY : SN_OUTCOME_FAILED;
        result->reason = outcome.reason;
        outcome.reason = NULL;
    }
done:
    sn_worker_outcome_clear(&outcome);
    sn_free(log);
    return status;
}
