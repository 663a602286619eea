/**
 * The executor: a graph bound to a device, ready to run.
 */
#ifndef SN_NN_EXECUTOR_H
#define SN_NN_EXECUTOR_H

#include "nn/plan.h"

typedef struct sn_executor sn_executor;

/**
 * Plan, allocate and bind a graph.
 *
 * @param[out] executor caller owns; the graph and the device must outlive it
 * @return SN_OK; SN_ERR_MEMORY; SN_ERR_UNSUPPORTED naming the operation and the reason
 */
sn_status sn_executor_create(sn_executor **executor, const sn_graph *graph, const sn_backend *backend,
                             sn_device *device, sn_error *error);
void sn_executor_free(sn_executor *executor);

/** The plan in force; the executor's. */
const sn_plan *sn_executor_plan(const sn_executor *executor);

/** Write a persistent tensor: `data` has its whole size and type. */
void sn_executor_upload(sn_executor *executor, sn_tensor tensor, const void *data);
/** Read a persistent tensor, after the programs run so far. What went wrong in one of them may only show now. */
sn_status sn_executor_download(sn_executor *executor, sn_tensor tensor, void *data, sn_error *error);

/** Allocate memory beside the plan, once, that persistent tensors are copied to and from without the host; of a backend
 * that can (`copy`). SN_ERR_MEMORY. */
sn_status sn_executor_reserve(sn_executor *executor, size_t bytes, sn_error *error);

/** Copy a persistent tensor, as the programs run so far leave it, to a place there, */
void sn_executor_keep(sn_executor *executor, sn_tensor tensor, size_t offset);
/** and back. */
void sn_executor_recall(sn_executor *executor, sn_tensor tensor, size_t offset);

/** Initial values of all parameters, drawn by (seed, number of the parameter in order of creation), and of
 * all states; gradients, moments and averages become zero. */
sn_status sn_executor_initialise(sn_executor *executor, uint64_t seed, sn_error *error);

/** Run one program; its index is sn_graph_begin_program's. */
sn_status sn_executor_run(sn_executor *executor, int program, sn_error *error);

#endif
