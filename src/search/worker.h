/**
 * Work in a process of its own: whatever happens there is an outcome here.
 *
 * The master starts its own program (/proc/self/exe) with the hidden sub-command `worker`. The job, a JSON
 * object, is the worker's whole standard input; its reports are JSON objects, one a line, on descriptor 3;
 * its standard output and error go to a log. The worker is killed when the master dies.
 *
 *     {"report": {...}}                        any number of times
 *     {"result": {...}}                        at the end, or
 *     {"error": {"status": 4, "text": "..."}}  in its place
 */
#ifndef SN_SEARCH_WORKER_H
#define SN_SEARCH_WORKER_H

#include <jansson.h>

#include "base/status.h"

/* ---- the worker's process ---- */

typedef struct sn_worker_reporter sn_worker_reporter;

/** Send a report to the master; numbers in it are finite (JSON has no NaN). SN_ERR_IO the master is gone. */
sn_status sn_worker_report(sn_worker_reporter *reporter, const json_t *report, sn_error *error);

/**
 * The work. It asks sn_interrupt_requested often and then returns SN_ERR_INTERRUPTED within a few seconds.
 *
 * @param[out] result object; the caller's, json_decref
 * @param[in]  job    object, as the master gave it
 * @return SN_OK; an error, which sn_worker_run tells the master
 */
typedef sn_status sn_worker_handler(json_t **result, const json_t *job, sn_worker_reporter *reporter,
                                    void *context, sn_error *error);

/**
 * The whole of the sub-command: take a job, do it, report. Ignores SIGINT: a Ctrl-C reaches the master too,
 * which decides.
 *
 * @param[in] master_pid the one argument of the sub-command, a decimal number
 * @return the process's exit code; 0 where the handler returned, whatever it returned
 */
int sn_worker_main(const char *master_pid, sn_worker_handler *handler, void *context);

/* ---- the master's process ---- */

/** How the work ended. */
typedef enum sn_worker_end {
    SN_WORKER_DONE,   /* `result` holds what the handler gave */
    SN_WORKER_MEMORY, /* out of memory: reported by the worker, or killed by the kernel's memory control */
    SN_WORKER_FAILED, /* a NaN, reported by the worker (SN_ERR_NUMERIC), or it died once too often */
} sn_worker_end;

typedef struct sn_worker_outcome {
    sn_worker_end end;
    char *reason;   /* one line: why it is not done; NULL where it is */
    json_t *result; /* NULL where it is not done */
} sn_worker_outcome;

void sn_worker_outcome_clear(sn_worker_outcome *outcome);

typedef struct sn_worker_options {
    const char *log;      /* file that the worker's output is appended to */
    int attempts;         /* how often a worker that dies is started again, the first time counted */
    double grace_seconds; /* between SIGTERM and SIGKILL after an interrupt */
    /** Before the worker is started again; may be NULL. An error ends the work. */
    sn_status (*on_retry)(void *context, sn_error *error);
    /** For each report; may be NULL. An error ends the work. */
    sn_status (*on_report)(const json_t *report, void *context, sn_error *error);
    void *context;
} sn_worker_options;

#define SN_WORKER_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        .attempts = 3, .grace_seconds = 5                                                                    \
    }

/**
 * Do a job in a worker process and wait for it.
 *
 * A worker that dies (crash, kill, exit without a result) or reports SN_ERR_FAILED is started again, up to
 * `attempts` times. Called from the main thread: the kernel ties the worker's life to the thread that starts
 * it.
 *
 * @param[out] outcome zeroed or cleared before; sn_worker_outcome_clear, also after an error
 * @return SN_OK; SN_ERR_INTERRUPTED the worker was stopped; SN_ERR_IO no process can be started; any other
 * error that the worker reports, since it says something about the world and not about the job
 */
sn_status sn_worker_run(sn_worker_outcome *outcome, const json_t *job, const sn_worker_options *options,
                        sn_error *error);

#endif
