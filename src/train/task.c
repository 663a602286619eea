#include "train/task.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arch/build.h"
#include "backend/device.h"
#include "base/json.h"
#include "base/memory.h"
#include "model/model.h"
#include "train/gpus.h"

/* ---- begin and end ---- */

/* The cache's options of a task; `cases` (training, then validation) is the caller's, sn_free. */
static sn_status cache_options(sn_cache_options *options, int **cases, const sn_task *task, sn_error *error)
{
    const sn_split *split = &task->split;
    int training = split->count[SN_TRAINING], count = training + split->count[SN_VALIDATION];
    sn_status status = sn_alloc(cases, (size_t)count, sizeof **cases, error);
    if (status != SN_OK)
        return status;
    memcpy(*cases, split->cases[SN_TRAINING], (size_t)training * sizeof **cases);
    memcpy(*cases + training, split->cases[SN_VALIDATION], (size_t)(count - training) * sizeof **cases);
    *options = (sn_cache_options){task->folder, task->fingerprint, task->preprocessing, *cases, count};
    return SN_OK;
}

static sn_status open_cache(sn_task *task, sn_error *error)
{
    sn_status status;
    sn_cache_options options;
    int *cases = NULL;
    SN_TRY(cache_options(&options, &cases, task, error));
    SN_TRY(sn_cache_open(&task->cache, task->dataset, &options, error));
done:
    sn_free(cases);
    return status;
}

static sn_status check_split(const sn_task *task, sn_error *error)
{
    for (int part = SN_TRAINING; part <= SN_VALIDATION; part++)
        if (task->split.count[part] == 0)
            return sn_error_set(error, SN_ERR_INPUT, "%s: the split has no %s case", task->dataset->path,
                                sn_split_part_name((sn_split_part)part));
    return SN_OK;
}

sn_status sn_task_prepare(sn_task *task, const sn_task_options *options, const sn_progress *progress,
                          sn_error *error)
{
    sn_status status;
    *task = (sn_task){0};
    SN_TRY(sn_dataset_open(&task->dataset, options->dataset, error));
    SN_TRY(sn_split_make(&task->split, task->dataset, &options->split, error));
    if (options->cases > 0)
        sn_split_limit(&task->split, options->cases, options->split.seed);
    SN_TRY(check_split(task, error));
    SN_TRY(sn_preprocessing_determine(&task->preprocessing, task->dataset, options->size, error));
    SN_TRY(sn_dataset_fingerprint(task->fingerprint, task->dataset, progress, error));
done:
    if (status != SN_OK)
        sn_task_clear(task);
    return status;
}

sn_status sn_task_build(sn_task *task, const char *folder, int threads, const sn_progress *progress,
                        sn_error *error)
{
    sn_status status;
    sn_cache_options options;
    int *cases = NULL;
    SN_TRY(sn_string_copy(&task->folder, folder, error));
    SN_TRY(cache_options(&options, &cases, task, error));
    SN_TRY(sn_cache_build(task->dataset, &options, threads, progress, error));
    SN_TRY(open_cache(task, error));
done:
    sn_free(cases);
    return status;
}

/* ---- as JSON ---- */

sn_status sn_task_identity(json_t **json, const sn_task *task, sn_error *error)
{
    sn_status status;
    json_t *preprocessing = NULL, *split = NULL;
    *json = NULL;
    SN_TRY(sn_preprocessing_to_json(&preprocessing, &task->preprocessing, error));
    SN_TRY(sn_split_to_json(&split, &task->split, task->dataset, error));
    *json = json_pack("{s:s, s:O, s:O}", "fingerprint", task->fingerprint, "preprocessing", preprocessing,
                      "split", split);
    if (*json == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: a task");
done:
    json_decref(preprocessing);
    json_decref(split);
    return status;
}

/* Set a field to a path that holds in any working folder. */
static sn_status set_path(json_t *json, const char *field, const char *path, sn_error *error)
{
    char *resolved = realpath(path, NULL);
    sn_status status = SN_OK;
    if (resolved == NULL)
        status = sn_error_set(error, SN_ERR_IO, "%s: cannot be found any more: %s", path, strerror(errno));
    else if (json_object_set_new(json, field, json_string(resolved)) != 0)
        status = sn_error_set(error, SN_ERR_INPUT, "%s: the path is not UTF-8; rename its folders", resolved);
    free(resolved);
    return status;
}

sn_status sn_task_to_json(json_t **json, const sn_task *task, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_task_identity(json, task, error));
    SN_TRY(set_path(*json, "dataset", task->dataset->path, error));
    SN_TRY(set_path(*json, "cache", task->folder, error));
done:
    if (status != SN_OK) {
        json_decref(*json);
        *json = NULL;
    }
    return status;
}

sn_status sn_task_open(sn_task *task, const json_t *json, sn_error *error)
{
    static const char where[] = "task";
    sn_status status;
    json_t *preprocessing, *split;
    const char *dataset, *fingerprint, *folder;
    *task = (sn_task){0};
    SN_TRY(sn_json_string(&dataset, json, "dataset", where, error));
    SN_TRY(sn_json_string(&fingerprint, json, "fingerprint", where, error));
    SN_TRY(sn_json_string(&folder, json, "cache", where, error));
    SN_TRY(sn_json_object(&preprocessing, json, "preprocessing", where, error));
    SN_TRY(sn_json_object(&split, json, "split", where, error));
    SN_TRY(sn_dataset_open(&task->dataset, dataset, error));
    SN_TRY(sn_preprocessing_from_json(&task->preprocessing, preprocessing, where, error));
    SN_TRY(sn_split_from_json(&task->split, split, task->dataset, where, error));
    SN_TRY(sn_string_copy(&task->folder, folder, error));
    strncpy(task->fingerprint, fingerprint, sizeof task->fingerprint - 1);
    SN_TRY(open_cache(task, error));
done:
    if (status != SN_OK)
        sn_task_clear(task);
    return status;
}

void sn_task_clear(sn_task *task)
{
    sn_cache_close(task->cache);
    sn_split_clear(&task->split);
    sn_dataset_close(task->dataset);
    sn_free(task->folder);
    *task = (sn_task){0};
}

sn_train_shape sn_task_shape(const sn_task *task)
{
    const int64_t *size = task->preprocessing.size;
    return (sn_train_shape){
        task->preprocessing.channels, task->dataset->labels->count, {size[0], size[1], size[2]}};
}

/* ---- training ---- */

/* Add the kind of device and its kernels, without which results are equal up to rounding only. */
static sn_status add_device(json_t *json, const sn_task_run *run, sn_error *error)
{
    sn_status status;
    const sn_backend *backend = NULL;
    sn_device *device = NULL;
    SN_TRY(sn_device_open(&backend, &device, run->device, run->options.precision, 1, error));
    json_object_set_new(json, "device", json_string(sn_device_kind(run->device)));
    json_object_set_new(json, "kernels", json_string(backend->kernels(device)));
done:
    sn_device_close(backend, device);
    return status;
}

sn_status sn_task_key(char key[SN_HASH_TEXT], const sn_task *task, const sn_task_run *run, sn_error *error)
{
    sn_status status;
    char network[SN_HASH_TEXT];
    json_t *options = NULL, *all = NULL;
    char *text = NULL;
    sn_train_shape shape = sn_task_shape(task);
    SN_TRY(sn_arch_key(network, &run->arch, shape.channels, shape.classes, error));
    SN_TRY(sn_train_options_to_json(&options, &run->options, error));
    SN_TRY(sn_task_identity(&all, task, error));
    SN_TRY(add_device(all, run, error));
    json_object_del(json_object_get(all, "split"), sn_split_part_name(SN_TESTING));
    json_object_set(all, "options", options);
    json_object_set_new(all, "network", json_string(network));
    json_object_set_new(all, "preprocessing_revision", json_integer(SN_PREPROCESS_REVISION));
    text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: a key");
    else
        sn_hash_bytes(key, text, strlen(text));
done:
    free(text);
    json_decref(options);
    json_decref(all);
    return status;
}

sn_status sn_task_label_dice(json_t **json, const sn_task *task, const double *label_dice, sn_error *error)
{
    const sn_label_table *labels = task->dataset->labels;
    *json = json_object();
    for (int l = 1; l < labels->count; l++)
        json_object_set_new(*json, labels->names[l],
                            isnan(label_dice[l]) ? json_null() : json_real(label_dice[l]));
    return *json == NULL ? sn_error_set(error, SN_ERR_MEMORY, "out of memory: a Dice table") : SN_OK;
}

/* How the network was trained: the model file's record. */
static sn_status make_record(json_t **record, const sn_task *task, const sn_task_run *run,
                             const sn_train_result *result, const char *key, sn_error *error)
{
    sn_status status;
    json_t *options = NULL, *split = NULL, *labels = NULL, *dice;
    SN_TRY(sn_train_options_to_json(&options, &run->options, error));
    SN_TRY(sn_split_to_json(&split, &task->split, task->dataset, error));
    SN_TRY(sn_task_label_dice(&labels, task, result->label_dice, error));
    dice = isnan(result->dice) ? json_null() : json_real(result->dice);
    *record = json_pack("{s:s, s:s, s:s, s:O, s:O, s:s, s:i, s:f, s:{s:o, s:O}}", "key", key, "dataset",
                        task->dataset->name, "fingerprint", task->fingerprint, "options", options, "split",
                        split, "device", sn_device_kind(run->device), "best_epoch", result->best_epoch,
                        "seconds", result->seconds, "validation", "dice", dice, "labels", labels);
    if (*record == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: a training record");
done:
    json_decref(options);
    json_decref(split);
    json_decref(labels);
    return status;
}

static sn_status save_model(const sn_task *task, const sn_task_run *run, const sn_train_result *result,
                            const char *key, const char *path, sn_error *error)
{
    sn_status status;
    sn_model model = {.arch = run->arch,
                      .preprocessing = task->preprocessing,
                      .labels = task->dataset->labels,
                      .weights = result->weights}; /* borrowed, but for the record */
    SN_TRY(make_record(&model.training, task, run, result, key, error));
    SN_TRY(sn_model_save(&model, path, error));
done:
    json_decref(model.training);
    return status;
}

sn_status sn_task_train(sn_train_result *result, const sn_task *task, const sn_task_run *run,
                        const char *path, const sn_train_observer *observer, sn_error *error)
{
    sn_status status;
    char key[SN_HASH_TEXT];
    *result = (sn_train_result){0};
    SN_TRY(sn_task_key(key, task, run, error));
    sn_train_input input = {.arch = &run->arch,
                            .cache = task->cache,
                            .split = &task->split,
                            .options = &run->options,
                            .device = run->device,
                            .threads = run->threads,
                            .memory = run->memory,
                            .beside = run->beside,
                            .checkpoint = run->checkpoint,
                            .group = run->group,
                            .key = key};
    SN_TRY(sn_train_on_gpus(result, &input, observer, error));
    if (sn_group_member(run->group) == 0)
        SN_TRY(save_model(task, run, result, key, path, error));
done:
    return status;
}
