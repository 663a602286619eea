/**
 * Convolutions backward where kernel and stride are 2, as between the levels of a network: each voxel of x meets one tap
 * at most.
 *
 *   backward data     dx[i, 2*v + tap] = sum over o of w[tap, i, o] * dy[o, v]
 *   backward weights  dw[tap, i, o] += sum over voxels v of x[i, 2*v + tap] * dy[o, v]
 *
 * For dx lanes are its neighbouring voxels. Each voxel of dy is copied twice, side by side, and multiplied with a pair of
 * weights, of the even voxel and of the odd one. A few vectors of dy, a chunk, are copied to the smallest cache for all
 * channels of dx, while those of the next one are fetched from memory.
 *
 * For dw lanes are output channels. A slab of dy is brought into lanes and stays in a cache for all input channels. x is
 * read where it lies, each value once and in order, and broadcast: all taps of an input channel are summed in registers
 * over the whole slab.
 */
#ifndef SN_BACKEND_CPU_CONV_STRIDED_H
#define SN_BACKEND_CPU_CONV_STRIDED_H

#include <stdbool.h>

#include "backend/op.h"

enum {
    SN_STRIDED_TAPS = 8,
    SN_STRIDED_COLUMNS = 6, /* vectors of a chunk of dy, at most */
    SN_STRIDED_BLOCK = 48,  /* output channels whose gradients are summed together, at most; whole vectors */
};

typedef struct sn_strided_plan {
    int64_t images, in_channels, out_channels;
    int64_t in[3], out[3]; /* extents of x and y */
    /* backward weights, of backward data 0: */
    int64_t slabs;    /* of an image of dy: as many parts of its rows */
    int64_t partials; /* sums of some slabs each, formed apart, then added in order */
} sn_strided_plan;

/** Whether this is the way to compute a convolution, from its shapes alone; `deep`: whether conv_deep.h suits it, too. */
bool sn_strided_suits(const sn_op *op, bool deep);

/** How one is cut into slabs. */
sn_strided_plan sn_strided_plan_of(const sn_op *op);

/** Bytes of workspace: the weights in the order in which they are multiplied, or the partial sums. */
size_t sn_strided_workspace(const sn_op *op);

/** Bytes of scratch memory a thread needs: a chunk or a slab of dy. */
size_t sn_strided_scratch(const sn_strided_plan *plan);

#endif
