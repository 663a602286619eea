/**
 * The state of one training; shared by train.c (the loop) and checkpoint.c (keeping it).
 */
#ifndef SN_TRAIN_TRAINER_H
#define SN_TRAIN_TRAINER_H

#include "nn/executor.h"
#include "nn/nadam.h"
#include "train/feed.h"
#include "train/together.h"
#include "train/train.h"

enum { SN_EPOCHS_TIMED = 1000 };

typedef struct sn_trainer {
    const sn_train_input *input;
    const sn_backend *backend;
    sn_device *device;
    sn_train_graph graph;
    sn_executor *executor;
    sn_feed *feed;
    sn_together *together; /* NULL: by itself */
    sn_nadam nadam;
    int classes;
    int epoch;               /* epochs finished */
    int best_epoch;          /* 1, 2, ...; 0: none yet */
    sn_train_epoch *history; /* (options->epochs) */
    double *label_dice;      /* (options->epochs, classes): what history[e].label_dice points to */
    int timed;               /* epochs of this call that were timed */
    double step_seconds[SN_EPOCHS_TIMED]; /* an image's step in each, at its number modulo SN_EPOCHS_TIMED */
    sn_arrays best;                       /* SN_WEIGHTS_NETWORK after best_epoch */
    sn_arrays state;                      /* SN_WEIGHTS_ALL, room for a checkpoint */
    double saved_at;     /* when the last checkpoint was written, sn_clock_now; 0: none yet */
    double save_seconds; /* how long that took */
} sn_trainer;

/**
 * Write the state after an epoch to input->checkpoint, unless there is none, no epoch is left, or the work since the
 * last one would not be worth it: writing may take up a twentieth of the time. SN_ERR_IO; SN_ERR_MEMORY.
 */
sn_status sn_checkpoint_keep(sn_trainer *trainer, sn_error *error);

/** Restore the state from input->checkpoint; nothing happens where it is missing, damaged or another
 * training's. */
sn_status sn_checkpoint_restore(sn_trainer *trainer, sn_error *error);

#endif
