/**
 * A made-up search: the real space, the real rules of what a network is and which spellings are one, and real
 * worker processes; but a training only takes its time, and its Dice lies on a fixed landscape. It needs no
 * data set.
 */
#ifndef SN_SEARCH_SIMULATE_H
#define SN_SEARCH_SIMULATE_H

#include "arch/space.h"
#include "search/crew.h"
#include "search/worker.h"

enum { SN_SIMULATION_EPOCHS = 9 }; /* that a training reports */

typedef struct sn_simulation {
    const sn_space *space;
    double seconds; /* that a training lasts */
    sn_crew *crew;  /* who trains; NULL: only propose is called */
} sn_simulation;

/** The objective of a search over `simulation`, which it keeps by reference. */
sn_search_objective sn_simulation_objective(sn_simulation *simulation);

/**
 * The validation Dice of a network by its canonical form. Smooth but for a tenth of the range, which is as
 * good as random: best at 24 channels, 3 poolings, deep supervision, residual connections and a few 3x3x3
 * convolutions; trained at a learning rate of 0.001, a dropout of 0.1 and a loss exponent of 0.3, which also
 * stand for what is not said.
 *
 * @return SN_OK; SN_ERR_ARG an illegal block; SN_ERR_MEMORY
 */
sn_status sn_simulation_dice(double *dice, const sn_arch *arch, const sn_reals *reals, sn_error *error);

/**
 * The validation Dice of a network after each epoch; the last is sn_simulation_dice. Some networks learn fast
 * and some slowly, which is as good as random, so that courses cross.
 *
 * @return as sn_simulation_dice
 */
sn_status sn_simulation_course(double course[SN_SIMULATION_EPOCHS], const sn_arch *arch,
                               const sn_reals *reals, sn_error *error);

/** Whether a job is one of a simulation: then it is sn_simulation_handler's. */
bool sn_simulation_owns(const json_t *job);

/** The worker's side. No context. */
sn_worker_handler sn_simulation_handler;

#endif
