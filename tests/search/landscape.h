/**
 * A made-up search for tests: SegNAS4's bounds, a rugged landscape of Dice, illegal points, networks over the
 * budget, and points that mean the same network.
 */
#ifndef SN_TESTS_LANDSCAPE_H
#define SN_TESTS_LANDSCAPE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "search/search.h"

enum { LANDSCAPE_DIMENSION = 4 };

static const double landscape_lower[] = {8, 2, 0, 0};
static const double landscape_upper[] = {33, 6, 2, 2};

static inline sn_optimiser_settings landscape_optimiser(uint32_t seed)
{
    return (sn_optimiser_settings){
        .algorithm = SN_OPTIMISER_CRS2_LM,
        .dimension = LANDSCAPE_DIMENSION,
        .lower = landscape_lower,
        .upper = landscape_upper,
        .seed = seed,
        .population = sn_optimiser_population(SN_OPTIMISER_CRS2_LM, LANDSCAPE_DIMENSION),
    };
}

static inline void landscape_decode(int v[LANDSCAPE_DIMENSION], const double *x)
{
    for (int i = 0; i < LANDSCAPE_DIMENSION; i++)
        v[i] = (int)fmin(floor(x[i]), landscape_upper[i] - 1);
}

/* Two values of n in a row mean the same network, so that repeated ones abound. */
static inline int landscape_network(const int v[LANDSCAPE_DIMENSION])
{
    return ((v[0] / 2 * 10 + v[1]) * 10 + v[2]) * 10 + v[3];
}

static inline int landscape_illegal(const int v[LANDSCAPE_DIMENSION])
{
    return (v[0] * 7 + v[1] * 3) % 6 == 0;
}

static inline int landscape_too_large(const int v[LANDSCAPE_DIMENSION])
{
    return (v[0] / 2) << v[1] > 400;
}

/* What training the network would give. */
static inline double landscape_dice(int network)
{
    double smooth = 0.8 - 0.3 * pow((network / 1000 - 11) / 12.0, 2);
    return smooth + 0.1 * ((network * 2654435761u >> 8) % 1000) / 1000.0;
}

/* `context` is not used. */
static inline sn_status landscape_propose(sn_proposal *proposal, const double *x, int dimension,
                                          void *context, sn_error *error)
{
    sn_status status;
    int v[LANDSCAPE_DIMENSION];
    (void)dimension, (void)context;
    landscape_decode(v, x);
    SN_TRY(sn_string_format(&proposal->arch, error, "n=%d p=%d sup=%d res=%d", v[0], v[1], v[2], v[3]));
    if (landscape_illegal(v)) {
        proposal->outcome = SN_OUTCOME_ILLEGAL;
        SN_TRY(sn_string_copy(&proposal->reason, "a second source", error));
        goto done;
    }
    SN_TRY(sn_string_format(&proposal->network, error, "%d", landscape_network(v)));
    proposal->parameters = 1000 * v[0];
    if (landscape_too_large(v)) {
        proposal->outcome = SN_OUTCOME_MEMORY;
        SN_TRY(sn_string_copy(&proposal->reason, "over the budget", error));
    } else {
        proposal->outcome = SN_OUTCOME_TRAINED;
    }
done:
    return status;
}

#endif
