/**
 * Looking at an architecture: its block as a drawing or for Graphviz, its layers as a table. All return text
 * that is the caller's (sn_free).
 */
#ifndef SN_ARCH_DRAW_H
#define SN_ARCH_DRAW_H

#include "arch/arch.h"
#include "nn/graph.h"

/**
 * The block graph with boxes and arrows (UTF-8), as its matrix spells it, legal or not:
 *
 *   ┌───────────┐
 *   │ 1  input  ├─────┬───────────┐
 *   └───────────┘     │           │
 *                 Conv(3,1)   Conv(5,1)
 *   ┌───────────┐     │           │
 *   │ 2         │◀────┘           │
 *   ...
 *
 * @return SN_OK; SN_ERR_ARG not a SegNAS network: the baselines have no block; SN_ERR_MEMORY
 */
sn_status sn_draw_block(char **text, const sn_arch *arch, sn_error *error);

/** The block graph as a Graphviz digraph. Returns as sn_draw_block. */
sn_status sn_draw_dot(char **text, const sn_arch *arch, sn_error *error);

/**
 * A table of a program's operations: layer, operation, output C x D x H x W, parameters, multiply-adds, and
 * a last line with the sums.
 */
sn_status sn_draw_layers(char **text, const sn_graph *graph, int program, sn_error *error);

#endif
