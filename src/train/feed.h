/**
 * The cases of a training on their way to the inputs of its graph. A thread reads ahead (dataset/loader.h); a GPU that
 * has room for all cases keeps each one that it was sent, and neither reads nor sends it again.
 */
#ifndef SN_TRAIN_FEED_H
#define SN_TRAIN_FEED_H

#include "dataset/cache.h"
#include "nn/executor.h"
#include "train/step.h"

typedef struct sn_feed sn_feed;

/**
 * Make a feed that keeps nothing.
 *
 * @param[out] feed sn_feed_free; NULL on error. All else outlives it
 */
sn_status sn_feed_create(sn_feed **feed, const sn_cache *cache, const sn_train_graph *graph,
                         sn_executor *executor, sn_error *error);

/** Stops reading; NULL is allowed. */
void sn_feed_free(sn_feed *feed);

/** Keep up to `cases` different cases on the device from now on; once. As sn_executor_reserve; after an error nothing is
 * kept. */
sn_status sn_feed_keep(sn_feed *feed, int cases, sn_error *error);

/**
 * Begin to hand out cases in the given order; what an earlier call has left is forgotten.
 *
 * @param[in] cases (count) indices of different cases of the cache, copied
 */
sn_status sn_feed_begin(sn_feed *feed, const int *cases, int count, sn_error *error);

/** Put the next case's image and labels into the graph's inputs; false after the last. */
bool sn_feed_next(int *case_index, sn_feed *feed);

#endif
