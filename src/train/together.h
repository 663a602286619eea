/**
 * Data-parallel training: several members of a group train one network, with the bits of one by itself.
 *
 * Image i of a batch is computed by member i mod R from gradients of zero. The values of all gradients, one
 * after another, are cut into R slices; each member owns one. In each round of R images every member sends
 * slice s of its image's gradient to the owner of s, which adds them in the images' order to its sum. After
 * the batch all gather the sums and take the same step. Every kernel adds a complete sum to a gradient once,
 * so (0 + g1) + g2 + g3 has the bits that one by itself computes. Losses, statistics of the batch normalisations
 * and the counts of the validation are gathered and used in the images' order, too.
 */
#ifndef SN_TRAIN_TOGETHER_H
#define SN_TRAIN_TOGETHER_H

#include "comm/group.h"
#include "nn/executor.h"
#include "train/step.h"

typedef struct sn_together sn_together;

/**
 * Prepare for the exchanges of a training.
 *
 * @param[out] together sn_together_free; NULL on error
 * @param[in]  group    of two or more; outlives it, as graph and executor do
 */
sn_status sn_together_create(sn_together **together, sn_group *group, const sn_train_graph *graph,
                             sn_executor *executor, sn_error *error);
void sn_together_free(sn_together *together);

/** Set the gradients to zero, before an image of any round but the first of a batch. */
void sn_together_clear(sn_together *together);

/**
 * End a round: `images` members, 1 to R, from member 0 on, have run the program `train`. The sums take their
 * gradients, the running statistics their statistics.
 *
 * @param[out] losses (images) of all
 * @param[in]  loss   of this member's image
 * @param[in]  first  whether the batch begins with this round
 * @return as sn_group_exchange
 */
sn_status sn_together_round(double *losses, sn_together *together, int images, double loss, bool first,
                            sn_error *error);

/** End a batch: the gradients are the sums of all images. */
sn_status sn_together_gather(sn_together *together, sn_error *error);

/**
 * Share values that members computed in turn: row i is member (i mod R)'s.
 *
 * @param[in,out] rows (count, width); the own ones are set
 */
sn_status sn_together_rows(double *rows, sn_group *group, int count, int width, sn_error *error);

#endif
