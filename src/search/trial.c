#include "search/trial.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "search/remote.h"

#define MODEL ".safetensors"
#define CHECKPOINT ".checkpoint"

static sn_status model_path(char **path, const char *folder, const char *network, const char *suffix,
                            sn_error *error)
{
    return sn_string_format(path, error, "%s/models/%s%s", folder, network, suffix);
}

/* ---- the master's side ---- */

/* Whether a legal network fits the budget, and what it is called. */
static sn_status propose_network(sn_proposal *proposal, const sn_trials *trials, const sn_task_run *run,
                                 sn_error *error)
{
    sn_status status;
    char key[SN_HASH_TEXT];
    sn_train_memory memory;
    sn_train_shape shape = sn_task_shape(trials->task);
    SN_TRY(sn_task_key(key, trials->task, run, error));
    SN_TRY(sn_string_copy(&proposal->network, key, error));
    SN_TRY(sn_train_fit(&memory, &run->arch, &shape, &run->options, run->device, run->memory, error));
    proposal->planned_bytes = memory.bytes;
    proposal->parameters = memory.parameters;
    proposal->recomputed = memory.recompute == SN_RECOMPUTE_SEGMENTS;
    proposal->outcome = SN_OUTCOME_TRAINED;
    if (run->memory > 0 && proposal->planned_bytes > run->memory) {
        proposal->outcome = SN_OUTCOME_MEMORY;
        SN_TRY(sn_string_format(&proposal->reason, error, "needs %.0f MiB, the budget is %.0f MiB",
                                (double)proposal->planned_bytes / 0x1p20, (double)run->memory / 0x1p20));
    }
done:
    return status;
}

static sn_status propose(sn_proposal *proposal, const double *x, int dimension, void *context,
                         sn_error *error)
{
    sn_status status;
    const sn_trials *trials = context;
    sn_task_run run = trials->run;
    char reason[SN_ARCH_REASON];
    (void)dimension;
    sn_space_arch(&run.arch, trials->space, x);
    SN_TRY(sn_arch_format(&proposal->arch, &run.arch, error));
    if (sn_arch_legal(&run.arch, reason)) {
        SN_TRY(propose_network(proposal, trials, &run, error));
    } else {
        proposal->outcome = SN_OUTCOME_ILLEGAL;
        SN_TRY(sn_string_copy(&proposal->reason, reason, error));
    }
done:
    return status;
}

/* The job of a worker; `*job` is the caller's, json_decref. */
static sn_status make_job(json_t **job, const sn_trials *trials, const sn_proposal *proposal, sn_error *error)
{
    sn_status status;
    json_t *task = NULL, *options = NULL;
    char *model = NULL, *checkpoint = NULL;
    SN_TRY(sn_task_to_json(&task, trials->task, error));
    SN_TRY(sn_train_options_to_json(&options, &trials->run.options, error));
    SN_TRY(model_path(&model, trials->folder, proposal->network, MODEL, error));
    SN_TRY(model_path(&checkpoint, trials->folder, proposal->network, CHECKPOINT, error));
    *job = json_pack("{s:O, s:s, s:O, s:s, s:i, s:I, s:s, s:s}", "task", task, "arch", proposal->arch,
                     "options", options, "device", trials->run.device, "threads", trials->run.threads,
                     "memory", (json_int_t)trials->run.memory, "model", model, "checkpoint", checkpoint);
    if (*job == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: a trial's job");
done:
    json_decref(task);
    json_decref(options);
    sn_free(model);
    sn_free(checkpoint);
    return status;
}

static sn_status train(sn_trial_result *result, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error)
{
    sn_status status;
    const sn_trials *trials = context;
    json_t *job = NULL;
    (void)x, (void)dimension;
    SN_TRY(make_job(&job, trials, proposal, error));
    SN_TRY(sn_remote_train(result, job, trials->folder, proposal->network, reporter, error));
done:
    json_decref(job);
    return status;
}

sn_search_objective sn_trials_objective(sn_trials *trials)
{
    return (sn_search_objective){.propose = propose, .train = train, .context = trials};
}

/* ---- the worker's side ---- */

static sn_status report_epoch(const sn_train_epoch *epoch, void *context, sn_error *error)
{
    sn_status status;
    json_t *report = NULL;
    SN_TRY(sn_remote_epoch(&report, epoch->epoch, epoch->loss, epoch->dice, epoch->seconds, error));
    SN_TRY(sn_worker_report(context, report, error));
done:
    json_decref(report);
    return status;
}

/* The run and the paths of a job; strings belong to the job. */
static sn_status read_job(sn_task_run *run, const char **model, const json_t *job, sn_error *error)
{
    static const char where[] = "job";
    sn_status status;
    const char *arch;
    json_t *options;
    int64_t threads;
    SN_TRY(sn_json_string(&arch, job, "arch", where, error));
    SN_TRY(sn_arch_parse(&run->arch, arch, error));
    SN_TRY(sn_json_object(&options, job, "options", where, error));
    SN_TRY(sn_train_options_from_json(&run->options, options, where, error));
    SN_TRY(sn_json_string(&run->device, job, "device", where, error));
    SN_TRY(sn_json_integer(&threads, job, "threads", where, error));
    SN_TRY(sn_json_integer(&run->memory, job, "memory", where, error));
    SN_TRY(sn_json_string(&run->checkpoint, job, "checkpoint", where, error));
    SN_TRY(sn_json_string(model, job, "model", where, error));
    run->threads = (int)threads;
done:
    return status;
}

sn_status sn_trial_handler(json_t **result, const json_t *job, sn_worker_reporter *reporter, void *context,
                           sn_error *error)
{
    sn_status status;
    sn_task task = {0};
    sn_task_run run = {.threads = 1};
    sn_train_result trained = {0};
    sn_train_observer observer = {.epoch_done = report_epoch, .context = reporter};
    const char *model;
    json_t *data, *labels = NULL;
    (void)context;
    SN_TRY(read_job(&run, &model, job, error));
    SN_TRY(sn_json_object(&data, job, "task", "job", error));
    SN_TRY(sn_task_open(&task, data, error));
    SN_TRY(sn_task_train(&trained, &task, &run, model, &observer, error));
    SN_TRY(sn_task_label_dice(&labels, &task, trained.label_dice, error));
    *result = json_pack("{s:f, s:O}", "dice", trained.dice, "labels", labels);
    if (*result == NULL)
        status = sn_error_set(error, SN_ERR_NUMERIC, "no foreground label occurs in the validation cases");
done:
    json_decref(labels);
    sn_train_result_clear(&trained);
    sn_task_clear(&task);
    return status;
}

/* ---- the models ---- */

sn_status sn_trials_keep(const char *folder, const char *best, sn_error *error)
{
    sn_status status;
    char *models = NULL, *path = NULL;
    DIR *directory = NULL;
    const struct dirent *entry;
    size_t length = strlen(best);
    SN_TRY(sn_path_join(&models, folder, "models", error));
    directory = opendir(models);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.' || (length > 0 && strncmp(entry->d_name, best, length) == 0 &&
                                        strcmp(entry->d_name + length, MODEL) == 0))
            continue;
        SN_TRY(sn_path_join(&path, models, entry->d_name, error));
        if (unlink(path) != 0 && errno != ENOENT) {
            status = sn_error_set(error, SN_ERR_IO, "%s: cannot remove: %s", path, strerror(errno));
            goto done;
        }
        sn_free(path);
        path = NULL;
    }
done:
    if (directory != NULL)
        closedir(directory);
    sn_free(path);
    sn_free(models);
    return status;
}

sn_status sn_trials_finish(const char *folder, const char *best, sn_error *error)
{
    sn_status status;
    char *from = NULL, *to = NULL, *data = NULL;
    size_t size;
    SN_TRY(model_path(&from, folder, best, MODEL, error));
    SN_TRY(sn_path_join(&to, folder, "best" MODEL, error));
    SN_TRY(sn_file_read(&data, &size, from, error));
    SN_TRY(sn_file_write(to, data, size, error));
done:
    sn_free(from);
    sn_free(to);
    sn_free(data);
    return status;
}
