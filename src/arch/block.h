/**
 * The canonical form of a block: what a block computes, freed from how its matrix spells it.
 *
 * Unrolled, every node is a sum of terms. A term is one operation with weights of its own applied to a node:
 * a convolution, or the skip from the block's input (an identity only where channel counts agree). A skip
 * from a later node only passes that node's terms on, so it leaves no trace but how often a term is counted:
 *
 *   count[v][t] = (t ends at v) + sum over skips u > v of count[u][t],  u not the input.
 *
 * Nodes that no term reads vanish, equal nodes are one, and two terms are two even where they do the same
 * (a + b has twice the weights of a + a). Nodes and terms are numbered by what they do alone, so two matrices
 * that differ in unused operations, in the order of nodes or in how skips carry a sum give the same block.
 */
#ifndef SN_ARCH_BLOCK_H
#define SN_ARCH_BLOCK_H

#include "arch/arch.h"

typedef struct sn_term {
    sn_block_op op; /* a convolution, or SN_BLOCK_SKIP: then source is 0 */
    int source;     /* node that it reads */
} sn_term;

typedef struct sn_block {
    int nodes;       /* 0 is the input, nodes-1 the output; a node's terms read earlier nodes */
    int terms;       /* >= 1 */
    sn_term *term;   /* [terms], in the order in which nodes need them first */
    uint32_t *count; /* [nodes][terms]: how often node v adds term t; 0 for node 0 */
} sn_block;

/**
 * The canonical form of an architecture's block.
 *
 * Exact for up to 5040 orders of nodes that look alike; a larger block with more may keep two forms of one
 * network (never one form of two networks).
 *
 * @param[out] block caller owns, sn_block_free; NULL on error
 * @return SN_OK; SN_ERR_ARG an illegal block, or not a SegNAS network; SN_ERR_MEMORY
 */
sn_status sn_block_create(sn_block **block, const sn_arch *arch, sn_error *error);
void sn_block_free(sn_block *block);

/** How often node v adds term t. */
uint32_t sn_block_count(const sn_block *block, int node, int term);

/** True where both compute the same. */
bool sn_block_equal(const sn_block *a, const sn_block *b);

/** "t1 = Conv(3,1) v0; t2 = Conv(5,1) v0; v1 = t1 + 2 t2"; equal blocks, equal text. `*text` is the
 * caller's, sn_free. */
sn_status sn_block_format(char **text, const sn_block *block, sn_error *error);

#endif
