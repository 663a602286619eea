/**
 * A training in a worker process, as the search sees it: what an objective's `train` calls.
 *
 * The worker reports each epoch as {"epoch": 1, "loss": 0.9, "dice": 0.5 or null, "seconds": 3.2} and gives
 * {"dice": 0.8, "labels": {"name": 0.8, ...}} as its result.
 */
#ifndef SN_SEARCH_REMOTE_H
#define SN_SEARCH_REMOTE_H

#include <jansson.h>

#include "search/search.h"

/**
 * Train in a worker process; it logs to STUDY/log/trial-<network>.log.
 *
 * @param[out] result as the objective's `train` returns it
 * @param[in]  job    what the worker's handler needs
 * @param[in]  folder of the study
 * @return as sn_worker_run; SN_ERR_FAILED the worker's result is not as above
 */
sn_status sn_remote_train(sn_trial_result *result, const json_t *job, const char *folder, const char *network,
                          sn_search_reporter *reporter, sn_error *error);

/** The report of one epoch, for the worker; NaN becomes null. `*report` is the caller's, json_decref. */
sn_status sn_remote_epoch(json_t **report, int epoch, double loss, double dice, double seconds,
                          sn_error *error);

#endif
