/**
 * Guessing ahead: which networks a search will ask for, before the answers that decide it are known.
 *
 * The optimiser is a function of the answers, so what it asks after an open question is known as soon as that
 * question's answer is guessed. Guesses branch: the tree of questions is walked from the most probable on.
 * They decide only what is trained early. An answer that is committed is always a trained one, so the
 * trajectory is that of a search without guesses.
 *
 * What CRS asks after its initial population depends on little: whether the answer is worse than the worst
 * member of the population (rejected) or not (accepted). The population is the `population` lowest of all
 * answers. The questions of an initial population, of one generation of ISRES or ESCH and of one division of
 * DIRECT do not depend on each other's answers at all, so there one guess is as good as another.
 */
#ifndef SN_SEARCH_AHEAD_H
#define SN_SEARCH_AHEAD_H

#include "search/ledger.h"

/** Where the search is. */
typedef struct sn_ahead_input {
    const sn_optimiser_settings *optimiser;
    sn_ledger *ledger;
    const double *points; /* (count, dimension) the committed questions */
    const double *values; /* (count) their answers */
    int count;
    int iterations;        /* no question beyond this number matters */
    const double *trained; /* (trained_count) answers of trainings, the newest last: what a guess rests on */
    int trained_count;
} sn_ahead_input;

/** A point whose network has no result yet. */
typedef struct sn_ahead {
    sn_point *point;
    double probability; /* that the search will ask for it, as far as it is known now */
} sn_ahead;

/**
 * The networks without a result that the search will most probably ask for, each once, most probable first.
 * The first is the next question itself where that is open.
 *
 * @param[out] list  (limit)
 * @param[out] count of list; less than limit where not as many questions are left
 * @return SN_OK; SN_ERR_MEMORY; as the objective's propose
 */
sn_status sn_ahead_look(sn_ahead *list, int *count, int limit, const sn_ahead_input *input, sn_error *error);

#endif
