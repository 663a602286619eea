/**
 * A task: the data side of a training. Which data set, how it is preprocessed, split and cached.
 *
 * It is prepared and built once (by `train`, or by a search's master) and opened again from its JSON form by
 * every worker.
 */
#ifndef SN_TRAIN_TASK_H
#define SN_TRAIN_TASK_H

#include "base/progress.h"
#include "dataset/cache.h"
#include "dataset/dataset.h"
#include "dataset/split.h"
#include "train/train.h"

typedef struct sn_task_options {
    const char *dataset; /* folder or dataset.json */
    int64_t size[3];     /* D,H,W of the box; 0,0,0: the smallest that holds every case */
    sn_split_options split;
    int cases; /* of all parts together, kept in proportion; 0: all */
} sn_task_options;

typedef struct sn_task {
    sn_dataset *dataset;
    char fingerprint[SN_HASH_TEXT];
    sn_preprocessing preprocessing;
    sn_split split;
    char *folder;    /* of the cache; NULL before sn_task_build */
    sn_cache *cache; /* of the training and validation cases; NULL before sn_task_build */
} sn_task;

/**
 * Open a data set, split it and determine its preprocessing. Reads every file once and writes nothing: what
 * is wrong with the options or the data set's files is said before anything is made.
 *
 * @param[out] task     sn_task_clear
 * @param[in]  progress may be NULL
 * @return SN_OK; SN_ERR_ARG, SN_ERR_INPUT an option or the data set is wrong; SN_ERR_INTERRUPTED
 */
sn_status sn_task_prepare(sn_task *task, const sn_task_options *options, const sn_progress *progress,
                          sn_error *error);

/**
 * Build and map the cache of a prepared task in `folder`; goes on where it was stopped.
 *
 * @return SN_OK; SN_ERR_INPUT a case is wrong; SN_ERR_IO; SN_ERR_INTERRUPTED
 */
sn_status sn_task_build(sn_task *task, const char *folder, int threads, const sn_progress *progress,
                        sn_error *error);

/**
 * What of a task results depend on: {"fingerprint", "preprocessing", "split"}, not where things lie. `*json`
 * is the caller's, json_decref.
 */
sn_status sn_task_identity(json_t **json, const sn_task *task, sn_error *error);

/** All that sn_task_open needs of a built task; `*json` is the caller's, json_decref. */
sn_status sn_task_to_json(json_t **json, const sn_task *task, sn_error *error);

/** Open a built task again: the data set is not looked through, the cache is only mapped. */
sn_status sn_task_open(sn_task *task, const json_t *json, sn_error *error);

/** Free what a task holds; an all-zero task is allowed. */
void sn_task_clear(sn_task *task);

/** The shape of the task's networks. */
sn_train_shape sn_task_shape(const sn_task *task);

/** How one network of a task is trained. */
typedef struct sn_task_run {
    sn_arch arch;
    sn_train_options options;
    const char *device; /* as sn_train_on_gpus */
    int threads;
    int64_t memory;         /* budget in bytes, of each GPU; 0: none */
    int beside;             /* as sn_train_input has it */
    const char *checkpoint; /* file; NULL: none */
    sn_group *group;        /* as sn_train_input has it */
} sn_task_run;

/**
 * The key of a result: a hash of the network and of all else that its weights depend on (data, preprocessing,
 * split, options, kind of device and its kernels). Equal keys, equal weights; threads and memory play no part.
 */
sn_status sn_task_key(char key[SN_HASH_TEXT], const sn_task *task, const sn_task_run *run, sn_error *error);

/**
 * Train a network and write its model file; of a group, member 0 writes it.
 *
 * @param[out] result sn_train_result_clear
 * @param[in]  path   the model file
 * @return as sn_train and sn_model_save
 */
sn_status sn_task_train(sn_train_result *result, const sn_task *task, const sn_task_run *run,
                        const char *path, const sn_train_observer *observer, sn_error *error);

/** {label name: validation Dice or null, ...} of the foreground; `*json` is the caller's, json_decref. */
sn_status sn_task_label_dice(json_t **json, const sn_task *task, const double *label_dice, sn_error *error);

#endif
