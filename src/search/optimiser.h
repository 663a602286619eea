/**
 * The optimiser as a pure function: the same settings and the same answers so far give the same next
 * question.
 *
 * NLopt asks through a callback and cannot be stopped and resumed. Here it is run from its beginning each
 * time, is given the recorded answers, and the first point it asks beyond them is the next question. A run of
 * n questions through sn_optimiser_ask equals one uninterrupted nlopt_optimize, bit for bit.
 *
 * Sources: Kaelo and Ali, "Some variants of the controlled random search algorithm for global optimization",
 * Journal of Optimization Theory and Applications 130, 2006 (CRS2 with local mutation); Gablonsky and Kelley,
 * "A locally-biased form of the DIRECT algorithm", Journal of Global Optimization 21, 2001; Runarsson and
 * Yao, "Search biases in constrained evolutionary optimization", IEEE Transactions on Systems, Man, and
 * Cybernetics C 35, 2005 (ISRES); da Silva Santos et al., "Designing novel photonic devices by bio-inspired
 * computing", IEEE Photonics Technology Letters 22, 2010 (ESCH); all as NLopt does them.
 */
#ifndef SN_SEARCH_OPTIMISER_H
#define SN_SEARCH_OPTIMISER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef enum sn_optimiser_algorithm {
    SN_OPTIMISER_CRS2_LM, /* "crs": NLOPT_GN_CRS2_LM */
    SN_OPTIMISER_DIRECT,  /* "direct": NLOPT_GN_DIRECT_L_RAND, whose ties are broken with the seed */
    SN_OPTIMISER_ISRES,   /* "isres": NLOPT_GN_ISRES */
    SN_OPTIMISER_ESCH,    /* "esch": NLOPT_GN_ESCH */
    SN_OPTIMISER_RANDOM,  /* "random": the start, then uniform points, whatever the answers */
    SN_OPTIMISERS,
} sn_optimiser_algorithm;

typedef struct sn_optimiser_settings {
    sn_optimiser_algorithm algorithm;
    int dimension;       /* n_h >= 1 */
    const double *lower; /* (dimension) */
    const double *upper; /* (dimension) > lower; a point may lie on it */
    uint32_t seed;       /* NLopt takes 32 bits */
    int population;      /* of sn_optimiser_population, or for CRS any > dimension */
    const double *start; /* (dimension) the first question; NULL: the middle of the bounds, as DIRECT's is */
} sn_optimiser_settings;

/**
 * How many points an algorithm works with at once: CRS 10*(n_h+1), as in the paper; ISRES 20*(n_h+1) and ESCH
 * 40, NLopt's own; 0 where there is no population.
 */
int sn_optimiser_population(sn_optimiser_algorithm algorithm, int dimension);

/** The name that a study stores: "crs". */
const char *sn_optimiser_name(sn_optimiser_algorithm algorithm);

/** The algorithm of a name; SN_ERR_ARG where there is none. */
sn_status sn_optimiser_parse(sn_optimiser_algorithm *algorithm, const char *name, sn_error *error);

/**
 * The next question.
 *
 * @param[out] x      (dimension)
 * @param[in]  points (count, dimension) the questions so far, as they were asked
 * @param[in]  values (count) their answers, finite
 * @return SN_OK; SN_ERR_ARG settings or a value are not as above; SN_ERR_INPUT the optimiser asks other
 * questions than `points`: another NLopt or other settings; SN_ERR_MEMORY
 */
sn_status sn_optimiser_ask(double *x, const sn_optimiser_settings *settings, const double *points,
                           const double *values, int count, sn_error *error);

/** Answers a question beyond the recorded ones; false: it has no answer. */
typedef bool sn_optimiser_oracle(double *value, const double *x, void *context);

/**
 * The first question that neither the recorded answers nor the oracle answers: sn_optimiser_ask with answers
 * that are found while it runs.
 *
 * @param[in] oracle asked for each question beyond the first `count`, in order; gives finite values
 * @return as sn_optimiser_ask
 */
sn_status sn_optimiser_follow(double *x, const sn_optimiser_settings *settings, const double *points,
                              const double *values, int count, sn_optimiser_oracle *oracle, void *context,
                              sn_error *error);

#endif
