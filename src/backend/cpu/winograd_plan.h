/**
 * Winograd convolution: how a 3^3 or 5^3 convolution of dilation 1 or 2 is cut into pieces.
 *
 * In each plane (H, W) tiles of 4x4 (2x2) outputs are computed from 6x6 inputs by F(4x4, 3x3) (F(2x2, 5x5); A.
 * Lavin, S. Gray, "Fast algorithms for convolutional neural networks", 2016); along D the taps stay plain. Both
 * tensors of a convolution are transformed, plane by plane, into 36 frequencies; for each frequency what is left
 * is a convolution with a few taps along D, which the direct kernels compute: 36*3 multiplications for 16 outputs
 * in place of 16*27 (36*5 for 4 in place of 4*125). Transforming D too would halve them again, but the tensors
 * between would be half as large again and the error several times larger.
 *
 * A dilation splits the grid into dilation^3 sub-grids, voxel dilation*j + phase being voxel j of sub-grid
 * `phase`. Each is convolved for itself, without dilation; only along W they are worked on together.
 *
 * Points 0, +-3/4, +-3/2 and infinity: a third of the error of 0, +-1, +-2 and half of 0, +-1, 2, -1/2, and
 * still symmetric, so that two frequencies share most of their sums.
 */
#ifndef SN_BACKEND_CPU_WINOGRAD_PLAN_H
#define SN_BACKEND_CPU_WINOGRAD_PLAN_H

#include <stdbool.h>

#include "backend/op.h"

enum {
    SN_WINOGRAD_INPUT = 6, /* inputs of a tile along H and W, and its frequencies */
    SN_WINOGRAD_FREQUENCIES = 36,
    SN_WINOGRAD_MAX_KERNEL = 5,
    SN_WINOGRAD_MAX_TILE = 4,
    SN_WINOGRAD_LANES = 16, /* memory is laid out for vectors of so many floats, whatever the processor's */
};

/*
 * The work is cut into units: `unit_z` planes by `unit_y` rows of tiles, of one phase along D and H. In a
 * unit, frequency f of a channel is one row of floats, plane after plane, in each the tiles in their order:
 * the shift of a tap along D is the tiles of a plane. A row has first the tiles of phase 0 along W, then
 * those of phase 1.
 */
typedef struct sn_winograd_plan {
    int kernel, tile; /* weights, and outputs of a tile, along an axis: 3, 4 or 5, 2 */
    int dilation;     /* 1 or 2 */
    int64_t images, in_channels, out_channels; /* of the convolution that is computed */
    int64_t extent[3], sub_extent[3];          /* of the whole grid, of its first sub-grid */
    int64_t weight_out, weight_in; /* floats of w from one output, one input channel to the next */
    bool mirrored;                 /* backward data: the kernel is read from its end */
    int64_t tiles_y;               /* of a sub-grid */
    int64_t sub_tiles_x, tiles_x;  /* of a row of a sub-grid, of its sub-grids along W together */
    int64_t unit_z, unit_y;
    int64_t units_z, units_y; /* of a sub-grid */
    int64_t in_block;         /* input channels transformed together */
    int64_t group;            /* output channels of a unit of work, at most */
    int64_t sub_row;  /* floats of a sub-grid's row of pixels in scratch memory, zeros around it included */
    int64_t row;      /* of all of them */
    int64_t partials; /* backward weights: sums formed apart, then added in order; else 0 */
} sn_winograd_plan;

/**
 * Cut a convolution into units.
 *
 * @return whether it is worth it: 3^3 or 5^3, dilation 1 or 2, and expected to take fewer than `cycles` of
 *         one thread
 */
bool sn_winograd_plan_make(sn_winograd_plan *plan, const sn_op *op, double cycles);

/** Bytes of workspace: the transformed weights, or the partial sums of dw. */
size_t sn_winograd_workspace(const sn_winograd_plan *plan);

/** Bytes of scratch memory a thread needs. */
size_t sn_winograd_scratch(const sn_winograd_plan *plan);

/** Units of work: of each image, phase along D, phase along H, planes and rows of tiles. */
static inline int64_t sn_winograd_units(const sn_winograd_plan *plan)
{
    return plan->images * plan->dilation * plan->dilation * plan->units_z * plan->units_y;
}

/** Floats of one channel of the largest unit: of the input with its planes before and after, of the output. */
static inline int64_t sn_winograd_in_channel(const sn_winograd_plan *plan)
{
    return (plan->unit_z + plan->kernel - 1) * plan->unit_y * plan->tiles_x;
}

static inline int64_t sn_winograd_out_channel(const sn_winograd_plan *plan)
{
    int64_t tiles = plan->unit_z * plan->unit_y * plan->tiles_x;
    return (tiles + SN_WINOGRAD_LANES - 1) / SN_WINOGRAD_LANES * SN_WINOGRAD_LANES;
}

/** Floats of one frequency of `channels` channels of `channel` floats each, and what vectors touch past it. */
static inline int64_t sn_winograd_frequency(int64_t channels, int64_t channel)
{
    return channels * channel + 2 * SN_WINOGRAD_LANES;
}

#endif
