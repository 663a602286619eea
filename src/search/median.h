/**
 * The median rule: which trainings are hopeless.
 *
 * A training is stopped at the first epoch at which more than half of the trainings that were committed
 * before it had a better best validation Dice so far; its value is its own best Dice so far. One that was
 * stopped itself counts in later epochs with the Dice that it had. The rule needs some trainings to compare
 * with, and does not stop the first epochs.
 *
 * It is a function of recorded epochs and of the order of the commits alone, so a training that was run to
 * its end before its turn is judged as if it had been stopped. A stopped training is never the best: another
 * one has a higher Dice.
 *
 * Source: Golovin et al., "Google Vizier: a service for black-box optimization", KDD 2017, with the best Dice
 * so far in place of running averages.
 */
#ifndef SN_SEARCH_MEDIAN_H
#define SN_SEARCH_MEDIAN_H

#include "study/study.h"

enum { SN_MEDIAN_TRAININGS = 10 }; /* that are needed to compare with */

typedef struct sn_median sn_median;

/** What the rule says of a training. */
typedef struct sn_verdict {
    int epoch;   /* at which it is stopped; 0: it is not, as far as its epochs are recorded */
    double dice; /* its best up to then */
} sn_verdict;

/** A rule with nothing to compare with yet, that stops from epoch `first` on; free with sn_median_free. */
sn_status sn_median_create(sn_median **median, int first, sn_error *error);

/** NULL is allowed. */
void sn_median_free(sn_median *median);

/** Judge a training by the epochs that the study has of it. */
sn_status sn_median_judge(sn_verdict *verdict, const sn_median *median, sn_study *study, int64_t trial,
                          sn_error *error);

/** Commit a training, judged by `verdict`: later ones are compared with it. */
sn_status sn_median_commit(sn_median *median, sn_study *study, int64_t trial, const sn_verdict *verdict,
                           sn_error *error);

#endif
