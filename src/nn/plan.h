/**
 * The memory plan: where every tensor lies, so that the peak is known before anything runs.
 */
#ifndef SN_NN_PLAN_H
#define SN_NN_PLAN_H

#include "backend/backend.h"
#include "nn/graph.h"

typedef struct sn_plan {
    size_t *offsets;     /* [tensor]: bytes from the start of the persistent buffer or of the arena */
    size_t **workspaces; /* [program][node]: where the operation's workspace starts in the arena */
    int program_count;
    size_t persistent_bytes; /* parameters, gradients, moments, averages, inputs, results */
    size_t arena_bytes;      /* the largest over the programs, workspaces included */
    size_t unplanned_bytes;  /* the arena if nothing were reused or recomputed: the sum of a program's values
                                and gradients, the largest over the programs */
} sn_plan;

/**
 * Lay out all tensors of a graph for a device: transients and workspaces that do not live at the same time share
 * memory.
 *
 * @param[out] plan sn_plan_clear
 * @param[in]  device an open device of `backend` (asked for workspace sizes)
 */
sn_status sn_plan_make(sn_plan *plan, const sn_graph *graph, const sn_backend *backend, sn_device *device,
                       sn_error *error);
void sn_plan_clear(sn_plan *plan);

/** Everything a run needs: persistent + arena, in bytes. */
size_t sn_plan_peak_bytes(const sn_plan *plan);

#endif
