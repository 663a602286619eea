/**
 * The store of a search: a folder with study.db (SQLite), models/, log/ and the trainings' cache/.
 *
 * One process at a time may write a study; any number may read it meanwhile. Everything that is appended is
 * safe from a kill at once; a finished training is safe from a power cut too. Whatever happens, what is
 * stored is a prefix of what was done, and the search goes on from it.
 */
#ifndef SN_STUDY_STUDY_H
#define SN_STUDY_STUDY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"

typedef struct sn_study sn_study;

/** What became of a point of the search. */
typedef enum sn_outcome {
    SN_OUTCOME_TRAINED,  /* trained for this point */
    SN_OUTCOME_REPEATED, /* an earlier point led to the same network: its result */
    SN_OUTCOME_ILLEGAL,  /* not a network */
    SN_OUTCOME_MEMORY,   /* out of memory: planned, or when it ran */
    SN_OUTCOME_FAILED,   /* the training failed */
} sn_outcome;

/** "trained", "repeated", "illegal", "memory" or "failed". */
const char *sn_outcome_name(sn_outcome outcome);

/* ---- the folder ---- */

/**
 * Open a study for writing; it is created where there is none. Removes what a killed process left
 * half-written.
 *
 * @param[out] study  close with sn_study_close; NULL on error
 * @param[in]  folder made with its parents if missing
 * @return SN_OK; SN_ERR_FAILED another process is working on this study (names its id); SN_ERR_ARG the
 * folder holds other files; SN_ERR_INPUT a damaged study, or a newer program's (an older one's is brought to
 * this program's form); SN_ERR_IO
 */
sn_status sn_study_open(sn_study **study, const char *folder, sn_error *error);

/** Open a study for reading only, also while another process writes it; SN_ERR_INPUT where there is none. */
sn_status sn_study_open_read(sn_study **study, const char *folder, sn_error *error);

/** Close and unlock; NULL is allowed. */
void sn_study_close(sn_study *study);

/** Close a study whose search failed; one in which nothing was done is removed. NULL is allowed. */
void sn_study_abandon(sn_study *study);

/** Whether nothing was done in a study yet: no iteration, and no training but what was taken over. */
sn_status sn_study_is_empty(bool *empty, sn_study *study, sn_error *error);

/** The study's folder as it was given; the study's. */
const char *sn_study_folder(const sn_study *study);

/* ---- settings ---- */

/** Store one setting, replacing an earlier value. SN_ERR_IO. */
sn_status sn_study_setting_put(sn_study *study, const char *name, const json_t *value, sn_error *error);

/** Read one setting; `*value` is the caller's (json_decref), NULL where it is not stored. */
sn_status sn_study_setting_get(json_t **value, sn_study *study, const char *name, sn_error *error);

/**
 * Hold the settings of a command against those the study was begun with: all that a result or the order of
 * questions depends on. A study in which nothing was done takes them, whatever it was given before.
 *
 * @param[in] settings object: option name without dashes -> value; compared exactly (json_equal)
 * @return SN_OK; SN_ERR_ARG one differs, or the study was begun without it (names it, both values and the
 * fix); SN_ERR_IO
 */
sn_status sn_study_settings_agree(sn_study *study, const json_t *settings, sn_error *error);

/* ---- iterations ---- */

/** One answered question of the optimiser. */
typedef struct sn_study_iteration {
    int number;          /* 1, 2, ... */
    int dimension;       /* of x */
    const double *x;     /* (dimension) the point, to the last bit */
    const char *arch;    /* what the point decodes to, as text */
    const char *network; /* key; NULL where there is no network */
    sn_outcome outcome;
    const char
        *reason;   /* why there is no Dice, or only that of a training that was stopped early; else NULL */
    double dice;   /* mean validation Dice; NaN where there is none */
    double f;      /* what the optimiser was told; finite */
    int64_t trial; /* the training it rests on; 0 where there was none */
} sn_study_iteration;

/** Append an iteration; its number must be the next one. SN_ERR_ARG it is not; SN_ERR_IO. */
sn_status sn_study_iteration_append(sn_study *study, const sn_study_iteration *iteration, sn_error *error);

/** Called with one row; what it points to is valid during the call. Anything but SN_OK ends the walk. */
typedef sn_status sn_study_iteration_visitor(const sn_study_iteration *iteration, void *context,
                                             sn_error *error);

/** Visit all iterations in order. */
sn_status sn_study_iterations_visit(sn_study *study, sn_study_iteration_visitor *visitor, void *context,
                                    sn_error *error);

/** Hash of all points asked and values received, in order: equal where two searches went the same way. */
sn_status sn_study_trajectory(char text[SN_HASH_TEXT], sn_study *study, sn_error *error);

/**
 * The architecture of the best iteration: the first with the lowest f that has a Dice.
 *
 * @param[out] arch as text, the caller's, sn_free; NULL: there is none yet
 */
sn_status sn_study_best_arch(char **arch, sn_study *study, sn_error *error);

/**
 * The study as `inspect STUDY --json` prints it: "trajectory", "iterations", "best" (the iteration of
 * sn_study_best_arch; null where there is none) and "pareto" (sn_study_pareto_visit). Print it with
 * JSON_REAL_PRECISION(17).
 *
 * @param[out] root the caller's, json_decref
 */
sn_status sn_study_json(json_t **root, sn_study *study, sn_error *error);

/* ---- trainings ---- */

/** One training of one network. */
typedef struct sn_study_trial {
    int64_t id;            /* 1, 2, ... */
    const char *network;   /* key */
    const char *arch;      /* as text: the first spelling that was met */
    int64_t parameters;    /* trainable */
    int64_t planned_bytes; /* peak of the training's memory plan */
    int attempts;          /* how often it was begun */
    int64_t started;       /* the last attempt, seconds since 1970 (UTC) */
    int64_t finished;      /* likewise; 0 while it is unfinished, and then nothing below is set */
    sn_outcome outcome;    /* trained, memory or failed */
    const char *reason;    /* NULL where it is trained */
    double dice;           /* mean validation Dice of the best epoch; NaN where it is not trained */
    const char *labels;    /* JSON object, label name -> validation Dice; NULL where it is not trained */
    double seconds;        /* the last attempt took */
    double step_seconds;   /* median of an image's training step; NaN where it was not measured */
    const char *origin;    /* the study that it was taken over from; NULL: it was trained for this one */
    int first_iteration;   /* the first iteration that rests on it; 0: none yet */
} sn_study_trial;

typedef sn_status sn_study_trial_visitor(const sn_study_trial *trial, void *context, sn_error *error);

/**
 * Begin an attempt at training a network, the first or, where it is unfinished, a further one. Epochs of
 * earlier attempts stay: the new one replaces those that it does not take over from a checkpoint.
 *
 * @param[out] id    of the trial
 * @param[in]  trial network, arch, parameters, planned_bytes
 * @return SN_OK; SN_ERR_ARG this network has its result already; SN_ERR_IO
 */
sn_status sn_study_trial_begin(int64_t *id, sn_study *study, const sn_study_trial *trial, sn_error *error);

/** Note why the last attempt at a trial came to nothing: it was killed, crashed, hung. SN_ERR_IO. */
sn_status sn_study_retry_append(sn_study *study, int64_t trial, const char *reason, sn_error *error);

/**
 * Finish a trial: id, outcome, reason, dice, labels, seconds, step_seconds of `trial`. On disk when it
 * returns.
 */
sn_status sn_study_trial_finish(sn_study *study, const sn_study_trial *trial, sn_error *error);

/** Visit the trial of a network if there is one; not visiting is no error. */
sn_status sn_study_trial_find(sn_study *study, const char *network, sn_study_trial_visitor *visitor,
                              void *context, sn_error *error);

/** Visit all trials in the order in which they were first begun. */
sn_status sn_study_trials_visit(sn_study *study, sn_study_trial_visitor *visitor, void *context,
                                sn_error *error);

/**
 * Take over the trainings that an earlier study ran to their end, with their epochs, each under its key; what
 * was taken over before goes. For a study in which nothing was done yet.
 *
 * @param[out] count of trainings
 * @return SN_OK; SN_ERR_IO: nothing was changed
 */
sn_status sn_study_take_over(int *count, sn_study *study, sn_study *earlier, sn_error *error);

/** A trained network that iterations rest on, by what one may choose it for. */
typedef struct sn_study_choice {
    int iteration;       /* the first one */
    const char *arch;    /* of that iteration */
    const char *network; /* key */
    double dice;         /* the more, the better; the less of what follows */
    int64_t parameters;
    int64_t planned_bytes;
    double step_seconds; /* NaN: not measured; it then decides nothing */
} sn_study_choice;

typedef sn_status sn_study_choice_visitor(const sn_study_choice *choice, void *context, sn_error *error);

/**
 * Visit the Pareto front, the highest Dice first: the networks that no other one equals or beats in Dice,
 * parameters, planned memory and step time, and beats in one of them.
 */
sn_status sn_study_pareto_visit(sn_study *study, sn_study_choice_visitor *visitor, void *context,
                                sn_error *error);

/** One epoch of a trial. */
typedef struct sn_study_epoch {
    int64_t trial;
    int epoch;   /* 1, 2, ... */
    double loss; /* mean of the training loss */
    double dice; /* mean validation Dice; NaN where it was not measured */
    double seconds;
} sn_study_epoch;

typedef sn_status sn_study_epoch_visitor(const sn_study_epoch *epoch, void *context, sn_error *error);

/** Append an epoch to an unfinished trial; the same epoch again replaces the first. SN_ERR_IO. */
sn_status sn_study_epoch_append(sn_study *study, const sn_study_epoch *epoch, sn_error *error);

/** Visit the epochs of a trial in order. */
sn_status sn_study_epochs_visit(sn_study *study, int64_t trial, sn_study_epoch_visitor *visitor,
                                void *context, sn_error *error);

#endif
