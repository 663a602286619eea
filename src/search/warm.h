/**
 * Warm start: what a new study has of an earlier one.
 *
 * - Trainings. A result belongs to a network (its key), so a network that the earlier study trained to its end
 *   with the same data, options and device is not trained again, whatever the space, the algorithm and the
 *   number of iterations of the two searches. It counts as if it had been trained here.
 * - The first question. The search begins at the earlier study's best network, as near as the new space comes
 *   to it, and not in the middle of the bounds. With CRS and ISRES it is a member of the initial population.
 *
 * Both are copied into the new study when it begins, models that the earlier one still has too; after that it
 * can be removed.
 */
#ifndef SN_SEARCH_WARM_H
#define SN_SEARCH_WARM_H

#include "arch/space.h"
#include "study/study.h"

/**
 * Take over what an earlier study has, as long as nothing was done in `study`; later, see that it is the same
 * earlier study.
 *
 * @param[out] start   (dimensions of the space) the first question, sn_free; NULL: the middle of the bounds
 * @param[in]  study   has all settings that a training depends on
 * @param[in]  earlier folder of another study; NULL: a search that begins from nothing
 * @return SN_OK; SN_ERR_ARG the study was begun from another one; SN_ERR_INPUT `earlier` is no study, or has
 * no network; SN_ERR_IO
 */
sn_status sn_warm_start(double **start, sn_study *study, const char *earlier, const sn_space *space,
                        sn_error *error);

#endif
