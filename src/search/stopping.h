/**
 * Which trainings are hopeless: two rules, each of which compares a training with those whose answers were
 * committed before it.
 *
 * Median rule: a training is stopped at the first epoch at which more than half of the earlier ones had a
 * better best validation Dice so far. One that was stopped itself counts in later epochs with the Dice that
 * it had. The rule needs some trainings to compare with, and leaves the first quarter of the epochs alone.
 *
 * Successive halving: at a rung, epochs r, 3r, 9r, ..., a training goes on only if its best Dice so far is
 * among the best third of all that reached this rung, itself counted, those that were stopped at it too. The
 * first one at a rung goes on.
 *
 * The value of a training that is stopped is its own best Dice so far. The rules are functions of recorded
 * epochs and of the order of the commits alone, so a training that was run to its end before its turn is
 * judged as if it had been stopped. A stopped training is never the best: another one has a higher Dice.
 *
 * Sources: Golovin et al., "Google Vizier: a service for black-box optimization", KDD 2017, with the best
 * Dice so far in place of running averages; Li et al., "A system for massively parallel hyperparameter
 * tuning", MLSys 2020, as the variant that stops a training for good and never promotes it later.
 */
#ifndef SN_SEARCH_STOPPING_H
#define SN_SEARCH_STOPPING_H

#include "study/study.h"

enum {
    SN_MEDIAN_TRAININGS = 10, /* that are needed to compare with */
    SN_HALVING_FACTOR = 3,    /* one of so many goes on, to so many times the epochs */
};

typedef enum sn_stopping_rule {
    SN_STOPPING_NONE,    /* "none": every training runs to its end */
    SN_STOPPING_MEDIAN,  /* "median" */
    SN_STOPPING_HALVING, /* "halving" */
    SN_STOPPING_RULES,
} sn_stopping_rule;

typedef struct sn_stopping_settings {
    sn_stopping_rule rule;
    int first; /* epoch at which a training may be stopped: the first of all, or rung r; 0: no rule */
} sn_stopping_settings;

/** Settings of a rule by name for trainings of `epochs`: the median's first is E/4, halving's r is E/9. */
sn_status sn_stopping_parse(sn_stopping_settings *settings, const char *rule, int epochs, sn_error *error);

/** The name that a study stores: "median". */
const char *sn_stopping_name(sn_stopping_rule rule);

typedef struct sn_stopping sn_stopping;

/** What a rule says of a training. */
typedef struct sn_verdict {
    int epoch;   /* at which it is stopped; 0: it is not, as far as its epochs are recorded */
    double dice; /* its best up to then */
} sn_verdict;

/** A rule with nothing to compare with yet; free with sn_stopping_free. */
sn_status sn_stopping_create(sn_stopping **stopping, const sn_stopping_settings *settings, sn_error *error);

/** NULL is allowed. */
void sn_stopping_free(sn_stopping *stopping);

/** Judge a training by the epochs that the study has of it. */
sn_status sn_stopping_judge(sn_verdict *verdict, const sn_stopping *stopping, sn_study *study, int64_t trial,
                            sn_error *error);

/** Commit a training, judged by `verdict`: later ones are compared with it. */
sn_status sn_stopping_commit(sn_stopping *stopping, sn_study *study, int64_t trial, const sn_verdict *verdict,
                             sn_error *error);

#endif
