/**
 * Work in processes of their own, several side by side: whatever happens there is an outcome here.
 *
 * The master starts its own program (/proc/self/exe) with the hidden sub-command `worker`. The job, a JSON
 * object, is the worker's whole standard input; its reports are JSON objects, one a line, on descriptor 3;
 * its standard output and error go to a log. The worker is killed when the master dies.
 *
 *     {"report": {...}}                        any number of times
 *     {"alive": true}                          likewise: it works on
 *     {"result": {...}}                        at the end, or
 *     {"error": {"status": 4, "text": "..."}}  in its place
 */
#ifndef SN_SEARCH_WORKER_H
#define SN_SEARCH_WORKER_H

#include <jansson.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* ---- the worker's process ---- */

typedef struct sn_worker_reporter sn_worker_reporter;

/** Send a report to the master; numbers in it are finite (JSON has no NaN). SN_ERR_IO the master is gone. */
sn_status sn_worker_report(sn_worker_reporter *reporter, const json_t *report, sn_error *error);

/** Tell the master that the work goes on; sends at most one line a second, so it may be called often. */
void sn_worker_beat(sn_worker_reporter *reporter);

/**
 * The work. It asks sn_interrupt_requested often and then returns SN_ERR_INTERRUPTED within a few seconds.
 *
 * @param[out] result object; the caller's, json_decref
 * @param[in]  job    object, as the master gave it
 * @return SN_OK; an error, which sn_worker_attend tells the master
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

enum { SN_WORKER_CONNECTION = 4 }; /* to the other members of its group (comm/group.h), where it has any */

enum { SN_WORKERS = 1024 }; /* side by side, at most */

/** One job, in a worker or between two of them. */
typedef struct sn_worker sn_worker;

/** How the work ended. */
typedef enum sn_worker_end {
    SN_WORKER_RUNNING, /* it did not yet */
    SN_WORKER_DONE,    /* `result` holds what the handler gave */
    SN_WORKER_MEMORY,  /* out of memory: reported by the worker, or killed by the kernel's memory control */
    SN_WORKER_FAILED, /* a NaN, reported by the worker (SN_ERR_NUMERIC); over its time; died once too often */
    SN_WORKER_STOPPED, /* as sn_worker_stop asked */
    SN_WORKER_DIED,    /* where `attempts` is 0: `reason` says what happened to it */
} sn_worker_end;

typedef struct sn_worker_outcome {
    sn_worker_end end;
    char *reason;   /* one line: why it has failed or is out of memory; else NULL */
    json_t *result; /* NULL where it is not done */
} sn_worker_outcome;

void sn_worker_outcome_clear(sn_worker_outcome *outcome);

typedef struct sn_worker_options {
    const char *log;        /* file that the worker's output is appended to */
    int attempts;           /* how often a worker that dies is started again, the first time counted; 0: its
                             * death is the outcome */
    double grace_seconds;   /* between SIGTERM and SIGKILL when it is to end */
    double silence_seconds; /* a worker that sends no line for so long hangs: it is killed and so has died */
    double limit_seconds;   /* of one attempt; 0: none. Over it the work has failed */
    int64_t memory_limit;   /* of the worker's data in bytes, RLIMIT_DATA; 0: none */
    int connection; /* one of sn_worker_sockets, that the worker gets as its SN_WORKER_CONNECTION; 0: none */
    const cpu_set_t *cores; /* that it may run on; NULL: those of this process */
    /** Before the worker is started again, with what happened to it; may be NULL. An error ends the work. */
    sn_status (*on_retry)(const char *death, void *context, sn_error *error);
    /** For each report; may be NULL. An error ends the work. */
    sn_status (*on_report)(const json_t *report, void *context, sn_error *error);
    void *context;
} sn_worker_options;

#define SN_WORKER_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        .attempts = 3, .grace_seconds = 5, .silence_seconds = 1800                                           \
    }

/**
 * Begin a job in a worker process. Called from the main thread: the kernel ties the worker's life to the
 * thread that starts it.
 *
 * @param[out] worker  sn_worker_free; NULL on error
 * @param[in]  options what it points to outlives the worker
 * @return SN_OK; SN_ERR_IO no process can be started; SN_ERR_MEMORY
 */
sn_status sn_worker_begin(sn_worker **worker, const json_t *job, const sn_worker_options *options,
                          sn_error *error);

/**
 * A death is no result: say whether there shall be another attempt, of which on_retry is told, or what the
 * outcome is.
 *
 * @param[out] again    the caller is to start another attempt; then `outcome` is not set
 * @param[in]  attempts that there were
 * @return SN_OK; as on_retry; SN_ERR_MEMORY
 */
sn_status sn_worker_retry(bool *again, sn_worker_outcome *outcome, const sn_worker_options *options,
                          int attempts, const char *death, sn_error *error);

/**
 * Two ends of a connection, both closed on exec; none of them is among the descriptors that a worker gets.
 *
 * @param[out] ends the caller's, close; -1 where there is none, on error
 * @return SN_OK; SN_ERR_IO
 */
sn_status sn_worker_sockets(int ends[2], sn_error *error);

/** Wait until something has happened to one of the workers, a tenth of a second at most; some may be NULL. */
void sn_workers_wait(sn_worker *const *workers, int count);

/**
 * Take what the worker sent and do what is due; never waits. A worker that dies (crash, kill, exit without a
 * result), hangs or reports SN_ERR_FAILED is started again, up to `attempts` times.
 *
 * @param[out] outcome zeroed or cleared before; sn_worker_outcome_clear, also after an error
 * @return SN_OK; SN_ERR_INTERRUPTED it ended since the program was interrupted; SN_ERR_IO no process can be
 * started; any other error that the worker reports, since it says something about the world and not about the
 * job
 */
sn_status sn_worker_attend(sn_worker_outcome *outcome, sn_worker *worker, sn_error *error);

/** Ask the worker to end, as an interrupt does; sn_worker_attend tells when it has. */
void sn_worker_stop(sn_worker *worker);

/** Free; one that still runs is stopped and waited for. NULL is allowed. */
void sn_worker_free(sn_worker *worker);

#endif
