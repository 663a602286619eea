/**
 * Training: a pure function of architecture, data, split and options, that can be interrupted and goes on.
 *
 * Of all epochs the one with the best validation Dice gives the weights.
 * Source: docs/method.md sections 4 and 5.
 */
#ifndef SN_TRAIN_TRAIN_H
#define SN_TRAIN_TRAIN_H

#include "comm/group.h"
#include "dataset/cache.h"
#include "dataset/split.h"
#include "model/weights.h"
#include "train/step.h"

typedef struct sn_train_epoch {
    int epoch;                /* 1, 2, ... */
    double loss;              /* mean over the training images */
    double dice;              /* mean over the foreground labels of label_dice; NaN where none occurs */
    const double *label_dice; /* (classes) mean over validation cases; NaN where a label never occurs */
    double seconds;
    bool best; /* no earlier epoch has a higher Dice */
} sn_train_epoch;

/** Who watches; each may be NULL. An error returned ends the training. */
typedef struct sn_train_observer {
    /** Images done of the epoch's, training and validation together. */
    void (*image_done)(int epoch, int done, int total, void *context);
    /** An epoch ended; after a restart first every earlier one again, in order. */
    sn_status (*epoch_done)(const sn_train_epoch *epoch, void *context, sn_error *error);
    void *context;
} sn_train_observer;

typedef struct sn_train_input {
    const sn_arch *arch;
    const sn_cache *cache;
    const sn_split *split; /* training and validation, neither empty */
    const sn_train_options *options;
    const char *device; /* as sn_device_open */
    int threads;        /* >= 1; the weights do not depend on it */
    int64_t memory;     /* budget in bytes; 0: none */
    int beside;         /* other trainings that may be on the same GPU: as sn_train_kept_bytes has them */
    /** A file that the state is kept in between epochs, and gone on from; NULL: none. Writing it takes at most
     * a twentieth of the time. What it was made for is written in it: another training's file is ignored. */
    const char *checkpoint;
    /** Members that train the network together, each called with the same input but for its device, for the same
     * bits; NULL: this one by itself. Member 0 writes the checkpoint and has the weights. */
    sn_group *group;
    const char *key; /* says what the training is: architecture, data, split, options */
} sn_train_input;

typedef struct sn_train_result {
    int best_epoch;      /* 1, 2, ... */
    double dice;         /* of the best epoch */
    double *label_dice;  /* (classes) of the best epoch */
    double seconds;      /* of all epochs */
    double step_seconds; /* an image's, median over the last 1000 epochs in this call; 0: none */
    sn_arrays weights;   /* SN_WEIGHTS_NETWORK of the best epoch; empty but for member 0 */
} sn_train_result;

void sn_train_result_clear(sn_train_result *result);

/**
 * Train a network.
 *
 * @param[out] result   sn_train_result_clear
 * @param[in]  observer may be NULL
 * @return SN_OK; SN_ERR_MEMORY over the budget (said before anything runs) or out of memory; SN_ERR_NUMERIC
 * the loss is not a number; SN_ERR_INTERRUPTED (the same call goes on from the checkpoint); SN_ERR_IO
 */
sn_status sn_train(sn_train_result *result, const sn_train_input *input, const sn_train_observer *observer,
                   sn_error *error);

/** Whether a file is the checkpoint of another training than `key` says, which sn_train would overwrite. */
bool sn_checkpoint_is_foreign(const char *path, const char *key);

#endif
