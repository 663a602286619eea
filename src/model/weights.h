/**
 * Weights: the persistent tensors of an executor as named arrays, and back.
 */
#ifndef SN_MODEL_WEIGHTS_H
#define SN_MODEL_WEIGHTS_H

#include "model/safetensors.h"
#include "nn/executor.h"

/** Which tensors of a graph weights hold. */
typedef enum sn_weights_kind {
    SN_WEIGHTS_NETWORK, /* what a prediction needs: parameters and running statistics; out of a training's
                           graph, their averages */
    SN_WEIGHTS_ALL,     /* what training needs to go on: the optimiser's moments and the averages too */
} sn_weights_kind;

/**
 * Copy weights out of an executor.
 *
 * @param[in,out] weights all zero, or of an earlier call with the same graph and kind (its memory is used
 * again); sn_arrays_clear
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_weights_download(sn_arrays *weights, const sn_graph *graph, sn_executor *executor,
                              sn_weights_kind kind, sn_error *error);

/**
 * Check that weights fit a graph: every tensor of the kind is there, in its shape and type, and all numbers.
 *
 * @param[in] source the file they come from, for the error text
 * @return SN_OK; SN_ERR_INPUT naming the tensor that is missing or does not fit
 */
sn_status sn_weights_check(const sn_arrays *weights, const sn_graph *graph, sn_weights_kind kind,
                           const char *source, sn_error *error);

/** Copy weights that fit (sn_weights_check) into an executor of the graph. */
void sn_weights_upload(const sn_arrays *weights, const sn_graph *graph, sn_executor *executor,
                       sn_weights_kind kind);

#endif
