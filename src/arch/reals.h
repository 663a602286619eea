/**
 * Real-valued hyperparameters: how a network is trained, as far as a search space or a text says so.
 *
 * A search tries few of all real numbers, those of a short decimal text, so that a value that was recorded is
 * had again to the last bit, and near points share a training.
 */
#ifndef SN_ARCH_REALS_H
#define SN_ARCH_REALS_H

#include <math.h>
#include <stdbool.h>

#include "arch/arch.h"

typedef enum sn_real {
    SN_REAL_LEARNING_RATE,
    SN_REAL_DROPOUT,
    SN_REAL_LOSS_EXPONENT, /* of the exponential logarithmic loss, both terms */
    SN_REALS,
} sn_real;

typedef struct sn_real_info {
    const char *name;
    double min, max;       /* allowed values, both included */
    bool logarithmic;      /* the optimiser sees log10 of it, and it has 3 digits; else it has 3 decimals */
    const char *precision; /* the same for a person: "3 digits" */
} sn_real_info;

/** What is known of one; lives for ever. */
const sn_real_info *sn_real_describe(sn_real real);

/** The real of a name, or -1. */
int sn_real_find(const char *name);

/** The nearest value of a short text. */
double sn_real_round(sn_real real, double value);

/** A value for each; NaN: nothing is said of it. */
typedef struct sn_reals {
    double value[SN_REALS];
} sn_reals;

#define SN_REALS_INIT                                                                                        \
    {                                                                                                        \
        {                                                                                                    \
            NAN, NAN, NAN                                                                                    \
        }                                                                                                    \
    }

/** "n=21 ... ops=2,0,2 learning_rate=0.00215": an architecture and rounded values; `*text`: sn_free. */
sn_status sn_reals_format(char **text, const sn_arch *arch, const sn_reals *reals, sn_error *error);

/** Read what sn_reals_format wrote, values of any precision. SN_ERR_ARG as sn_arch_parse. */
sn_status sn_reals_parse(sn_arch *arch, sn_reals *reals, const char *text, sn_error *error);

#endif
