/**
 * Convolution of few voxels and many channels, as deep in a network: lanes are channels of the output.
 *
 * For each tap of the kernel it is known beforehand which voxels of the input and of the output meet. What lies outside
 * the input is never multiplied: of the 27 taps of a 3^3 kernel an output of 2^3 voxels meets 8 at each voxel, one of 1^3
 * a single one. A tap is then a product of matrices, pairs of voxels by channels by channels. Its weights travel from
 * memory once, and only where it meets something.
 *
 * Backward data either turns the weights, or uses them in order, with lanes that are channels of dy: then sums over lanes
 * are left.
 *
 * As in conv_plan.h the input and the output of backward data are dy and dx; backward weights reads x and dy,
 * its output.
 */
#ifndef SN_BACKEND_CPU_CONV_DEEP_H
#define SN_BACKEND_CPU_CONV_DEEP_H

#include <stdbool.h>

#include "backend/op.h"

enum {
    SN_DEEP_MAX_BLOCK = 64,  /* output channels that are summed together, at most; whole vectors */
    SN_DEEP_MAX_TURNED = 64, /* input channels of a tap whose weights are turned together, at most */
    SN_DEEP_MAX_ROWS = 6,    /* the same as MAX_BLOCK where weights are used in order */
};

/* A voxel of the input and one of the output that a tap joins. */
typedef struct sn_deep_pair {
    int32_t in, out;
} sn_deep_pair;

/* A tap that meets the input, in the order of its outputs. */
typedef struct sn_deep_tap {
    int weight; /* index in the K^3 weights */
    int64_t count;
    const sn_deep_pair *pairs;
} sn_deep_tap;

/* Some outputs, one after the other. */
typedef struct sn_deep_slab {
    int64_t first, count;
    int tap_count;
    sn_deep_tap *taps;
} sn_deep_slab;

typedef struct sn_deep_plan {
    int64_t images, in_channels, out_channels;
    int64_t in_voxels, out_voxels;
    /* floats of w from one output channel, one input channel, one tap to the next */
    int64_t weight_out, weight_in, weight_tap;
    bool backward;  /* data */
    bool in_order;  /* backward data uses the weights in order: lanes are channels of the input */
    int64_t chunks; /* the input channels are cut into as many */
    int64_t lanes;  /* of a unit of work, at most; backward weights: 0 */
    int64_t row;    /* floats of a voxel of dy where its channels are lanes: in_order and backward weights */
    int64_t slab_count; /* in_order and backward weights: 1 */
    sn_deep_slab *slabs;
    sn_deep_tap *taps;
    sn_deep_pair *pairs;
} sn_deep_plan;

/** Whether this is the way to compute a convolution: from its shapes alone. */
bool sn_deep_suits(const sn_op *op);

/** Cycles of one thread that it takes, about. */
double sn_deep_cycles(const sn_op *op);

/**
 * Plan a convolution.
 *
 * @param[out] plan caller owns, sn_deep_plan_free
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_deep_plan_make(sn_deep_plan **plan, const sn_op *op, sn_error *error);
void sn_deep_plan_free(sn_deep_plan *plan);

/** Bytes of workspace: dy in the order of its lanes. */
size_t sn_deep_workspace(const sn_op *op);

/** Bytes of scratch memory a thread needs. */
size_t sn_deep_scratch(const sn_deep_plan *plan);

#endif
