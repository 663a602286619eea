/**
 * The optimiser as a pure function: the same settings and the same answers so far give the same next
 * question.
 *
 * NLopt asks through a callback and cannot be stopped and resumed. Here it is run from its beginning each
 * time, is given the recorded answers, and the first point it asks beyond them is the next question. A run of
 * n questions through sn_optimiser_ask equals one uninterrupted nlopt_optimize, bit for bit. Source: Kaelo
 * and Ali, "Some variants of the controlled random search algorithm for global optimization", Journal of
 * Optimization Theory and Applications 130, 2006 (CRS2 with local mutation), as NLopt does it.
 */
#ifndef SN_SEARCH_OPTIMISER_H
#define SN_SEARCH_OPTIMISER_H

#include <stdint.h>

#include "base/status.h"

typedef enum sn_optimiser_algorithm {
    SN_OPTIMISER_CRS2_LM, /* "crs": NLOPT_GN_CRS2_LM */
} sn_optimiser_algorithm;

typedef struct sn_optimiser_settings {
    sn_optimiser_algorithm algorithm;
    int dimension;       /* n_h >= 1 */
    const double *lower; /* (dimension) */
    const double *upper; /* (dimension) > lower; a point may lie on it */
    uint32_t seed;       /* NLopt takes 32 bits */
    int population;      /* > dimension; sn_optimiser_population gives the method's */
} sn_optimiser_settings;

/** The method's population: 10*(n_h+1). Its first member is the middle of the bounds. */
int sn_optimiser_population(int dimension);

/** The name that a study stores: "crs". */
const char *sn_optimiser_name(sn_optimiser_algorithm algorithm);

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

#endif
