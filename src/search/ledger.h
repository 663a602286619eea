/**
 * What a search knows of points and networks, so that each question of a replay costs microseconds: what a
 * point stands for is asked of the objective once, and points with the same network share its result.
 */
#ifndef SN_SEARCH_LEDGER_H
#define SN_SEARCH_LEDGER_H

#include "search/search.h"

/** A network that was met, whichever points led to it. */
typedef struct sn_network {
    int worker; /* that trains it; SN_NO_WORKER: none */
    bool alone; /* it is to be trained while no other is: it was out of memory beside others */
    bool known; /* it has its result, and all below is set */
    bool used;  /* an iteration rests on it */
    bool taken; /* it was taken over from another study */
    bool fresh; /* it was trained in this run of the program */
    int64_t trial;
    sn_outcome outcome; /* trained, memory or failed */
    char *reason;       /* the ledger's; NULL where it is trained to the end */
    double dice;        /* NaN where it is not trained */
    double seconds;     /* that the training took */
} sn_network;

/** A point of the search space. */
typedef struct sn_point {
    double *x; /* (dimension) */
    sn_proposal proposal;
    sn_network *network; /* NULL where there is nothing to train */
} sn_point;

typedef struct sn_ledger sn_ledger;

/** Make an empty ledger; free with sn_ledger_free. The objective outlives it. */
sn_status sn_ledger_create(sn_ledger **ledger, const sn_search_objective *objective, int dimension,
                           sn_error *error);

/** NULL is allowed. */
void sn_ledger_free(sn_ledger *ledger);

/** Find a point, asking the objective where it is new. `*point` is the ledger's and stays where it is. */
sn_status sn_ledger_point(sn_point **point, sn_ledger *ledger, const double *x, sn_error *error);

/** Find a network by its key, made where it is new. `*network` is the ledger's and stays where it is. */
sn_status sn_ledger_network(sn_network **network, sn_ledger *ledger, const char *key, sn_error *error);

/** Note the result of a training: id, outcome, reason, dice, seconds, origin and first_iteration of `trial`. */
sn_status sn_network_learn(sn_network *network, const sn_study_trial *trial, sn_error *error);

/** A training that was or would have been stopped early is trained, with this Dice. `reason` is copied. */
sn_status sn_network_judge(sn_network *network, double dice, const char *reason, sn_error *error);

/** Whether the answer of a point is known; then `*f` is it. */
bool sn_point_answer(double *f, const sn_point *point);

#endif
