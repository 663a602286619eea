/**
 * Trainings in worker processes, several at once: what an objective's `begin`, `wait`, `stop` and `end` call.
 *
 * The worker reports each epoch as {"epoch": 1, "loss": 0.9, "dice": 0.5 or null, "seconds": 3.2} and gives
 * {"dice": 0.8, "labels": {"name": 0.8, ...}, "step_seconds": 0.1 or nothing} as its result. It logs to STUDY/log/trial-<network>.log.
 */
#ifndef SN_SEARCH_CREW_H
#define SN_SEARCH_CREW_H

#include <jansson.h>

#include "search/ranks.h"
#include "search/search.h"

typedef struct sn_crew sn_crew;

typedef struct sn_crew_options {
    const char *folder;   /* of the study */
    int workers;          /* 1 to SN_SEARCH_WORKERS */
    int threads;          /* of each worker: it has so many cores for itself where there are enough for all */
    double limit_seconds; /* of one attempt at a training, over which it has failed; 0: none */
    sn_ranks *ranks; /* whose groups are the workers, in place of processes of this machine; NULL: none */
} sn_crew_options;

/** Make a crew of which nobody works yet; free with sn_crew_free. Strings outlive it. */
sn_status sn_crew_create(sn_crew **crew, const sn_crew_options *options, sn_error *error);

/** Stops what runs, as sn_crew_end. NULL is allowed. */
void sn_crew_free(sn_crew *crew);

/**
 * Begin a training with an idle worker.
 *
 * @param[in] job          what the worker's handler needs
 * @param[in] memory_limit of the worker's data in bytes; 0: none
 * @return as sn_worker_begin
 */
sn_status sn_crew_begin(sn_crew *crew, int worker, const json_t *job, const char *network,
                        int64_t memory_limit, sn_search_reporter *reporter, sn_error *error);

/**
 * As an objective's `wait`.
 *
 * @return as sn_worker_attend; SN_ERR_FAILED a worker's result is not as above
 */
sn_status sn_crew_wait(int *worker, sn_trial_result *result, bool wait, sn_crew *crew, sn_error *error);

/** Ask a worker to stop; sn_crew_wait tells when it has. */
void sn_crew_stop(sn_crew *crew, int worker);

/** Stop all and wait until they have ended, seconds at most; they report nothing more. */
void sn_crew_end(sn_crew *crew);

/** The report of one epoch, for the worker; NaN becomes null. `*report` is the caller's, json_decref. */
sn_status sn_crew_epoch(json_t **report, int epoch, double loss, double dice, double seconds,
                        sn_error *error);

#endif
