/**
 * The search: ask the optimiser, find or train the network, tell the study; until enough answers are in.
 *
 * What a point stands for and how a network is trained are the objective's business. The order of the answers
 * is the trajectory; it depends on the optimiser's settings and the objective only, never on when a process
 * was stopped and started again, and not on the number of workers: those that the next question leaves idle
 * train what will most probably be asked after it (search/ahead.h), and answers are committed in the
 * optimiser's order.
 */
#ifndef SN_SEARCH_SEARCH_H
#define SN_SEARCH_SEARCH_H

#include <stdint.h>

#include "search/optimiser.h"
#include "search/stopping.h"
#include "study/study.h"

/* docs/method.md section 7 */
#define SN_SEARCH_WORST_F 10.0    /* f of a point without a Dice */
#define SN_SEARCH_LEAST_DICE 1e-4 /* -ln of it is the largest f of a trained network */

enum { SN_SEARCH_WORKERS = 1024, SN_NO_WORKER = -1 };

/** f = -ln(max(dice, 1e-4)); 10 where dice is not a number. */
double sn_search_value(double dice);

/** What a point of the search space stands for. Strings: sn_string_*; sn_proposal_clear frees them. */
typedef struct sn_proposal {
    char *arch;            /* the decoded point as text */
    char *network;         /* key of the result; NULL where the point is illegal */
    sn_outcome outcome;    /* SN_OUTCOME_TRAINED: a network that fits; _ILLEGAL; _MEMORY: over the budget */
    char *reason;          /* why it is illegal or too large; else NULL */
    int64_t parameters;    /* trainable; 0 where unknown */
    int64_t planned_bytes; /* peak of the training's memory plan; 0 where unknown */
    int64_t kept_bytes;    /* that the training takes beside its plan where there is room: cases on a GPU */
    bool recomputed;       /* it fits since blocks are computed twice */
} sn_proposal;

void sn_proposal_clear(sn_proposal *proposal);

/** What a training gave. Strings: sn_string_*; sn_trial_result_clear frees them. */
typedef struct sn_trial_result {
    sn_outcome outcome;  /* trained, memory or failed */
    char *reason;        /* why it is not trained, or not to the end; else NULL */
    double dice;         /* mean validation Dice of the best epoch; used where it is trained */
    char *labels;        /* JSON object, label name -> validation Dice; may be NULL */
    double step_seconds; /* an image's training step, median over the epochs; 0: not measured */
    bool stopped;        /* it was told to stop before there was a result; nothing else is set */
} sn_trial_result;

void sn_trial_result_clear(sn_trial_result *result);

/** What a running training reports to; it stores at once. */
typedef struct sn_search_reporter sn_search_reporter;

/** The training begins again, since it died as `death` says. Epochs reported again replace the first. */
sn_status sn_search_report_retry(sn_search_reporter *reporter, const char *death, sn_error *error);

/** An epoch (1, 2, ...) ended: mean training loss, mean validation Dice (NaN: not measured). */
sn_status sn_search_report_epoch(sn_search_reporter *reporter, int epoch, double loss, double dice,
                                 double seconds, sn_error *error);

/** What is searched, and who trains. What a point stands for and what a training gives depend on x alone. */
typedef struct sn_search_objective {
    /**
     * Say what a point stands for; no training, microseconds to milliseconds.
     *
     * @param[out] proposal zeroed before; cleared by the search, also after an error
     * @param[in]  x        (dimension)
     */
    sn_status (*propose)(sn_proposal *proposal, const double *x, int dimension, void *context,
                         sn_error *error);
    /**
     * Begin to train the network of `x`; returns at once.
     *
     * @param[in] worker   idle, 0 <= worker < workers
     * @param[in] proposal of x, its outcome SN_OUTCOME_TRAINED; it and x stay where they are
     * @param[in] reporter of this training, until it ends
     */
    sn_status (*begin)(int worker, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error);
    /**
     * Wait for the end of one of the trainings. One that fails is a result; an error ends the search, which
     * can go on later.
     *
     * @param[out] worker that is idle now; SN_NO_WORKER: none has ended, and `wait` is false
     * @param[out] result zeroed before; cleared by the search, also after an error
     */
    sn_status (*wait)(int *worker, sn_trial_result *result, bool wait, void *context, sn_error *error);
    /** Tell a worker to stop its training; `wait` says when it has. */
    void (*stop)(int worker, void *context);
    /** Stop all that run; when it returns, nothing is running or reports any more. */
    void (*end)(void *context);
    void *context;
} sn_search_objective;

/** How far the search is. */
typedef struct sn_search_state {
    int iterations;                  /* wanted */
    int committed;                   /* answered */
    int trained;                     /* networks that gave a Dice */
    int best_iteration;              /* 0: none yet */
    double best_dice;                /* NaN: none yet */
    char best_network[SN_HASH_TEXT]; /* key; empty: none yet */
    double seconds_left; /* estimate for the open iterations; NaN before the first training ended */
    int running;         /* trainings under way */
    int stopped;         /* trainings of this call that were stopped: they were begun on a wrong guess */
    int hopeless;        /* trainings of this call that were stopped since they were hopeless */
    int ahead;           /* trainings of this study with a result that no answer rests on yet */
    int taken;           /* networks that answers rest on and another study has trained */
    int least_epoch, most_epoch; /* that a running training has reached; 0: none has ended one */
    double counted_seconds;      /* of the trainings of this call that answers rest on */
    bool overtime;               /* it ended at its deadline, before it had its iterations */
} sn_search_state;

/** Who watches; each may be NULL. What the arguments point to is valid during the call. */
typedef struct sn_search_observer {
    void (*trial_started)(const sn_search_state *state, const sn_proposal *proposal, void *context);
    void (*epoch_done)(const sn_search_state *state, const sn_study_epoch *epoch, void *context);
    void (*iteration_committed)(const sn_search_state *state, const sn_study_iteration *iteration,
                                void *context);
    void *context;
} sn_search_observer;

typedef struct sn_search_options {
    int iterations;                /* answers wanted, those already in the study counted */
    sn_stopping_settings stopping; /* of hopeless trainings */
    int workers;                   /* trainings at once, 1 to SN_SEARCH_WORKERS */
    int places;      /* with memory of their own, taken in turn: worker w is at w modulo places; 0: one */
    int64_t memory;  /* bytes that all trainings at one place may take together; 0: no limit */
    double deadline; /* of sn_clock_now: no training is begun after it; 0: none */
    const sn_search_observer *observer; /* may be NULL */
} sn_search_options;

#define SN_SEARCH_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        .iterations = 300, .workers = 1, .observer = NULL                                                    \
    }

/**
 * Search until the study holds `iterations` answers; begins where the study ends. Stops at
 * sn_interrupt_request. After its deadline it goes on as long as the next question's training is under way,
 * then ends with what it has.
 *
 * @param[out] state     where it ended, also on error
 * @param[in]  study     open for writing; it gets the settings algorithm, population, seed, lower, upper,
 *                       start, stop_rule, stop_early
 * @param[in]  objective its settings are the caller's to store
 * @return SN_OK; SN_ERR_ARG the study was begun with another optimiser; SN_ERR_INPUT the study's questions
 * are not those of this optimiser; SN_ERR_INTERRUPTED; SN_ERR_IO; whatever the objective returns. All that
 * was committed stays and the same call goes on.
 * Source: docs/method.md section 7.
 */
sn_status sn_search_run(sn_search_state *state, sn_study *study, const sn_optimiser_settings *optimiser,
                        const sn_search_objective *objective, const sn_search_options *options,
                        sn_error *error);

#endif
