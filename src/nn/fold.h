/**
 * Batch normalisation as a part of the convolution before it, for prediction, where its statistics are fixed.
 *
 * With s = gamma/sqrt(v + epsilon), m and v the running statistics:
 *
 *     (conv(x, w) - m)*s + beta = conv(x, w*s) + (beta - m*s)
 *
 * so that a bias, with ReLU where the normalisation had it, is all that remains. It takes beta's place.
 */
#ifndef SN_NN_FOLD_H
#define SN_NN_FOLD_H

#include "nn/executor.h"

/**
 * Fold the batch normalisations of a graph whose only program was built in predict mode. One stays as it is
 * where something else reads the convolution's result or its weights, or where no convolution is before it.
 *
 * The graph keeps its tensors and their names; before it runs, the weights written to it must be folded too,
 * by sn_fold_weights.
 *
 * @return SN_OK; the graph's first error; SN_ERR_MEMORY
 */
sn_status sn_fold_graph(sn_graph *graph, sn_error *error);

/** Fold weights that have been written to an executor of a folded graph; once after each writing of them. */
sn_status sn_fold_weights(sn_executor *executor, const sn_graph *graph, sn_error *error);

#endif
