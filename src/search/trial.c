#include "search/trial.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "search/simulate.h"

#define MODEL ".safetensors"
#define CHECKPOINT ".checkpoint"

static sn_status model_path(char **path, const char *folder, const char *network, const char *suffix,
                            sn_error *error)
{
    return sn_string_format(path, error, "%s/models/%s%s", folder, network, suffix);
}

/* ---- the master's side ---- */

/* What a worker keeps of the cases, which is the same in each: it is told how many they are. */
static sn_status propose_kept(sn_proposal *proposal, const sn_trials *trials, const sn_task_run *run,
                              const sn_train_memory *memory, sn_error *error)
{
    int beside;
    const int *count = trials->task->split.count;
    const sn_train_shape shape = sn_task_shape(trials->task);
    if (!sn_device_is_gpu(run->device))
        return SN_OK;
    sn_status status = sn_device_beside(&beside, run->device, trials->workers, error);
    if (status == SN_OK)
        proposal->kept_bytes = sn_train_kept_bytes(memory, &shape, count[SN_TRAINING] + count[SN_VALIDATION],
                                                   run->memory, beside);
    return status;
}

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
    SN_TRY(propose_kept(proposal, trials, run, &memory, error));
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

/* How the network of a point is trained. */
static void point_run(sn_task_run *run, sn_reals *reals, const sn_trials *trials, const double *x)
{
    *run = trials->run;
    sn_space_arch(&run->arch, trials->space, x);
    sn_space_reals(reals, trials->space, x);
    sn_train_options_adopt(&run->options, reals);
}

static sn_status propose(sn_proposal *proposal, const double *x, int dimension, void *context,
                         sn_error *error)
{
    sn_status status;
    const sn_trials *trials = context;
    sn_task_run run;
    sn_reals reals;
    char reason[SN_ARCH_REASON];
    (void)dimension;
    point_run(&run, &reals, trials, x);
    SN_TRY(sn_reals_format(&proposal->arch, &run.arch, &reals, error));
    if (sn_arch_legal(&run.arch, reason)) {
        SN_TRY(propose_network(proposal, trials, &run, error));
    } else {
        proposal->outcome = SN_OUTCOME_ILLEGAL;
        SN_TRY(sn_string_copy(&proposal->reason, reason, error));
    }
done:
    return status;
}

/* The job of a worker, which computes on device number `seat` of those named; `*job` is the caller's, json_decref. */
static sn_status make_job(json_t **job, const sn_trials *trials, const sn_task_run *run, int seat,
                          const char *network, sn_error *error)
{
    sn_status status;
    json_t *task = NULL, *options = NULL;
    char *arch = NULL, *model = NULL, *checkpoint = NULL;
    SN_TRY(sn_task_to_json(&task, trials->task, error));
    SN_TRY(sn_train_options_to_json(&options, &run->options, error));
    SN_TRY(sn_arch_format(&arch, &run->arch, error));
    SN_TRY(model_path(&model, trials->folder, network, MODEL, error));
    SN_TRY(model_path(&checkpoint, trials->folder, network, CHECKPOINT, error));
    *job =
        json_pack("{s:O, s:s, s:O, s:s, s:i, s:i, s:i, s:I, s:s, s:s}", "task", task, "arch", arch, "options",
                  options, "device", run->device, "seat", seat, "seats", trials->workers, "threads",
                  run->threads, "memory", (json_int_t)run->memory, "model", model, "checkpoint", checkpoint);
    if (*job == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: a trial's job");
done:
    json_decref(task);
    json_decref(options);
    sn_free(arch);
    sn_free(model);
    sn_free(checkpoint);
    return status;
}

/*
 * A worker that needs twice its plan and much beside it, for the program, the stacks of threads and the
 * copies that a checkpoint is made from, is out of control: it shall fail before the machine does. What CUDA maps
 * for itself may be any amount.
 */
static int64_t memory_limit(const sn_trials *trials, const sn_proposal *proposal)
{
#ifdef __SANITIZE_ADDRESS__
    return (void)trials, (void)proposal, 0; /* its own tables are larger */
#else
    if (sn_device_is_gpu(trials->run.device))
        return 0;
    return 2 * proposal->planned_bytes + (1 << 30) + ((int64_t)trials->run.threads << 24);
#endif
}

static sn_status begin(int worker, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error)
{
    sn_status status;
    const sn_trials *trials = context;
    json_t *job = NULL;
    sn_task_run run;
    sn_reals reals;
    (void)dimension;
    point_run(&run, &reals, trials, x);
    SN_TRY(make_job(&job, trials, &run, worker, proposal->network, error));
    SN_TRY(sn_crew_begin(trials->crew, worker, job, proposal->network, memory_limit(trials, proposal),
                         reporter, error));
done:
    json_decref(job);
    return status;
}

static sn_status wait_for(int *worker, sn_trial_result *result, bool wait, void *context, sn_error *error)
{
    return sn_crew_wait(worker, result, wait, ((sn_trials *)context)->crew, error);
}

static void stop(int worker, void *context)
{
    sn_crew_stop(((sn_trials *)context)->crew, worker);
}

static void end(void *context)
{
    sn_crew_end(((sn_trials *)context)->crew);
}

sn_search_objective sn_trials_objective(sn_trials *trials)
{
    return (sn_search_objective){propose, begin, wait_for, stop, end, trials};
}

/* ---- the worker's side ---- */

static sn_status report_epoch(const sn_train_epoch *epoch, void *context, sn_error *error)
{
    sn_status status;
    json_t *report = NULL;
    SN_TRY(sn_crew_epoch(&report, epoch->epoch, epoch->loss, epoch->dice, epoch->seconds, error));
    SN_TRY(sn_worker_report(context, report, error));
done:
    json_decref(report);
    return status;
}

static void report_image(int epoch, int done_images, int total, void *context)
{
    (void)epoch, (void)done_images, (void)total;
    sn_worker_beat(context);
}

/* The run and the paths of a job; strings belong to the job, that of the device is `device`. */
static sn_status read_job(sn_task_run *run, char device[SN_DEVICE_NAME], const char **model,
                          const json_t *job, sn_error *error)
{
    static const char where[] = "job";
    sn_status status;
    const char *arch, *devices;
    json_t *options;
    int64_t threads, seat, seats;
    SN_TRY(sn_json_string(&arch, job, "arch", where, error));
    SN_TRY(sn_arch_parse(&run->arch, arch, error));
    SN_TRY(sn_json_object(&options, job, "options", where, error));
    SN_TRY(sn_train_options_from_json(&run->options, options, where, error));
    SN_TRY(sn_json_string(&devices, job, "device", where, error));
    SN_TRY(sn_json_integer(&seat, job, "seat", where, error));
    SN_TRY(sn_json_integer(&seats, job, "seats", where, error));
    SN_TRY(sn_device_choose(device, devices, (int)seat, error));
    SN_TRY(sn_device_beside(&run->beside, devices, (int)seats, error));
    SN_TRY(sn_json_integer(&threads, job, "threads", where, error));
    SN_TRY(sn_json_integer(&run->memory, job, "memory", where, error));
    SN_TRY(sn_json_string(&run->checkpoint, job, "checkpoint", where, error));
    SN_TRY(sn_json_string(model, job, "model", where, error));
    run->threads = (int)threads;
    run->device = device;
done:
    return status;
}

/* Where a training has several members, this process is one of them. */
static sn_status group_open(sn_group **group, const json_t *job, sn_error *error)
{
    sn_status status;
    int64_t member, members;
    if (!sn_json_has(job, "members"))
        return SN_OK;
    SN_TRY(sn_json_integer(&member, job, "member", "job", error));
    SN_TRY(sn_json_integer(&members, job, "members", "job", error));
    SN_TRY(sn_group_open(group, SN_WORKER_CONNECTION, (int)member, (int)members, error));
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
    sn_train_observer observer = {report_image, report_epoch, reporter};
    const char *model;
    char device[SN_DEVICE_NAME];
    json_t *data, *labels = NULL;
    if (sn_simulation_owns(job))
        return sn_simulation_handler(result, job, reporter, context, error);
    SN_TRY(read_job(&run, device, &model, job, error));
    SN_TRY(sn_json_object(&data, job, "task", "job", error));
    SN_TRY(sn_task_open(&task, data, error));
    SN_TRY(group_open(&run.group, job, error));
    SN_TRY(sn_task_train(&trained, &task, &run, model, &observer, error));
    SN_TRY(sn_task_label_dice(&labels, &task, trained.label_dice, error));
    *result = json_pack("{s:f, s:O, s:f}", "dice", trained.dice, "labels", labels, "step_seconds",
                        trained.step_seconds);
    if (*result == NULL)
        status = sn_error_set(error, SN_ERR_NUMERIC, "no foreground label occurs in the validation cases");
done:
    json_decref(labels);
    sn_train_result_clear(&trained);
    sn_group_close(run.group);
    sn_task_clear(&task);
    return status;
}

/* ---- the models ---- */

/* What the study says of the network of a file. */
typedef struct file_owner {
    bool finished, used;
    double dice; /* NaN: none */
} file_owner;

static sn_status owner_read(const sn_study_trial *trial, void *context, sn_error *error)
{
    (void)error;
    *(file_owner *)context = (file_owner){trial->finished != 0, trial->first_iteration != 0,
                                          trial->finished != 0 ? trial->dice : NAN};
    return SN_OK;
}

/* Whether a file of STUDY/models may go. Any other name than <key>.safetensors and <key>.checkpoint stays. */
static sn_status file_is_useless(bool *useless, sn_study *study, const char *name, const char *best,
                                 double best_dice, sn_error *error)
{
    char network[SN_HASH_TEXT] = "";
    file_owner owner = {.dice = NAN};
    const char *suffix = strchr(name, '.');
    *useless = false;
    if (suffix == NULL || suffix - name != SN_HASH_TEXT - 1 ||
        (strcmp(suffix, MODEL) != 0 && strcmp(suffix, CHECKPOINT) != 0))
        return SN_OK;
    memcpy(network, name, SN_HASH_TEXT - 1);
    sn_status status = sn_study_trial_find(study, network, owner_read, &owner, error);
    bool better = isfinite(owner.dice) && (best[0] == '\0' || owner.dice > best_dice);
    bool wanted = strcmp(network, best) == 0 || (!owner.used && better);
    *useless = owner.finished && (strcmp(suffix, CHECKPOINT) == 0 || !wanted);
    return status;
}

sn_status sn_trials_tidy(sn_study *study, const char *best, double best_dice, sn_error *error)
{
    sn_status status;
    char *models = NULL, *path = NULL;
    DIR *directory = NULL;
    const struct dirent *entry;
    SN_TRY(sn_path_join(&models, sn_study_folder(study), "models", error));
    directory = opendir(models);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        bool useless;
        SN_TRY(file_is_useless(&useless, study, entry->d_name, best, best_dice, error));
        if (!useless)
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

bool sn_trials_has_model(const char *folder, const char *network)
{
    char *path = NULL;
    bool has = model_path(&path, folder, network, MODEL, NULL) == SN_OK && sn_path_exists(path);
    sn_free(path);
    return has;
}

sn_status sn_trials_restore(const sn_trials *trials, const char *best, const char *arch,
                            const sn_train_observer *observer, sn_error *error)
{
    sn_status status;
    sn_task_run run = trials->run;
    sn_reals reals;
    sn_train_result result = {0};
    char key[SN_HASH_TEXT];
    char *model = NULL, *checkpoint = NULL;
    SN_TRY(model_path(&model, trials->folder, best, MODEL, error));
    if (sn_path_exists(model))
        goto done;
    SN_TRY(model_path(&checkpoint, trials->folder, best, CHECKPOINT, error));
    SN_TRY(sn_reals_parse(&run.arch, &reals, arch, error));
    sn_train_options_adopt(&run.options, &reals);
    run.checkpoint = checkpoint;
    SN_TRY(sn_task_key(key, trials->task, &run, error));
    if (strcmp(key, best) != 0)
        status = sn_error_set(error, SN_ERR_FAILED,
                              "%s: the model of the best network, %s, is missing, and on this processor it "
                              "would be another one; train it with `train --study`",
                              trials->folder, arch);
    else
        status = sn_task_train(&result, trials->task, &run, model, observer, error);
    if (status == SN_OK)
        unlink(checkpoint);
done:
    sn_train_result_clear(&result);
    sn_free(model);
    sn_free(checkpoint);
    return status;
}

sn_status sn_trials_take_model(const char *folder, const char *earlier, const char *network, sn_error *error)
{
    sn_status status;
    char *from = NULL, *to = NULL;
    SN_TRY(model_path(&from, earlier, network, MODEL, error));
    SN_TRY(model_path(&to, folder, network, MODEL, error));
    if (sn_path_exists(from))
        SN_TRY(sn_file_copy(to, from, error));
done:
    sn_free(from);
    sn_free(to);
    return status;
}

sn_status sn_trials_finish(const char *folder, const char *best, sn_error *error)
{
    sn_status status;
    char *from = NULL, *to = NULL;
    SN_TRY(model_path(&from, folder, best, MODEL, error));
    SN_TRY(sn_path_join(&to, folder, "best" MODEL, error));
    SN_TRY(sn_file_copy(to, from, error));
done:
    sn_free(from);
    sn_free(to);
    return status;
}
