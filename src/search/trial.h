/**
 * Trials: what the search's points mean and how their networks are trained, each in a worker process.
 *
 * STUDY/models holds the best network so far, those that may yet become it, and the states of trainings that
 * are not finished; best.safetensors is the winner.
 */
#ifndef SN_SEARCH_TRIAL_H
#define SN_SEARCH_TRIAL_H

#include "arch/space.h"
#include "search/crew.h"
#include "search/search.h"
#include "search/worker.h"
#include "train/task.h"

typedef struct sn_trials {
    const sn_space *space;
    const sn_task *task;
    const char *folder; /* of the study */
    sn_task_run run;    /* how each network is trained; arch and checkpoint are set for each */
    int workers;        /* of this machine, at once; of ranks each knows how many are on its own */
    sn_crew *crew;      /* who trains */
} sn_trials;

/** The objective of a search over `trials`, which it keeps by reference. */
sn_search_objective sn_trials_objective(sn_trials *trials);

/** The worker: trains the job's network, reports each epoch, writes its model; or simulates. No context. */
sn_worker_handler sn_trial_handler;

/**
 * Remove from STUDY/models the models that cannot become the best one any more, and the states of finished
 * trainings.
 *
 * @param[in] best      key of the best network so far; empty: none yet
 * @param[in] best_dice its Dice; a model that no answer rests on yet is kept where it has more
 * @return SN_OK; SN_ERR_IO
 */
sn_status sn_trials_tidy(sn_study *study, const char *best, double best_dice, sn_error *error);

/** Copy the model of a network from the folder of an earlier study where that still has it. SN_ERR_IO. */
sn_status sn_trials_take_model(const char *folder, const char *earlier, const char *network, sn_error *error);

/** Whether the study has the model of a network. */
bool sn_trials_has_model(const char *folder, const char *network);

/**
 * Train the network of an answer once more where its model is not there, as of one that was taken over from a
 * study that has not kept it. In this process; goes on where it was interrupted.
 *
 * @param[in] best   key of the network
 * @param[in] arch   of an iteration that rests on it
 * @param[in] observer may be NULL
 * @return as sn_task_train; SN_ERR_FAILED on this processor it is another training
 */
sn_status sn_trials_restore(const sn_trials *trials, const char *best, const char *arch,
                            const sn_train_observer *observer, sn_error *error);

/** Write the model of network `best` (a key) to STUDY/best.safetensors. SN_ERR_INPUT missing; SN_ERR_IO. */
sn_status sn_trials_finish(const char *folder, const char *best, sn_error *error);

/** What a search will take, before it begins. */
typedef struct sn_trials_estimate {
    double image_seconds; /* one training image, mean over the networks of the space that can be trained */
    double trained_share; /* of random points: legal and within the memory budget */
    double
        search_seconds; /* `iterations` trainings of the mean network, times trained_share, one at a time */
} sn_trials_estimate;

/**
 * Estimate a search: the mean work of 100 random points, at the measured speed of the network nearest to it.
 *
 * @return SN_OK; SN_ERR_ARG no point can be trained: no legal network fits the memory budget
 */
sn_status sn_trials_estimate_time(sn_trials_estimate *estimate, const sn_trials *trials, int iterations,
                                  sn_error *error);

#endif
