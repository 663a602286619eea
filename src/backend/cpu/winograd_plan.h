/**
 * Winograd convolution: how a 3^3 or 5^3 convolution of dilation 1 or 2 is cut into pieces.
 *
 * Tiles of 4^3 (2^3) outputs are computed from 6^3 inputs by F(4, 3) (F(2, 5)) along each axis (A. Lavin, S. Gray,
 * "Fast algorithms for convolutional neural networks", 2016). Both tensors of a convolution are transformed into
 * 216 frequencies; for each of them what is left is a product of matrices, channels by channels: 216
 * multiplications for 64 outputs in place of 64*27 (216 for 8 in place of 8*125).
 *
 * A dilation splits the grid into dilation^3 sub-grids, voxel dilation*j + phase being voxel j of sub-grid
 * `phase`. Each is convolved for itself, without dilation.
 *
 * Points 0, +-3/4, +-3/2 and infinity: a third of the error of 0, +-1, +-2 and half of 0, +-1, 2, -1/2, and
 * still symmetric, so that two frequencies share most of their sums.
 */
#ifndef SN_BACKEND_CPU_WINOGRAD_PLAN_H
#define SN_BACKEND_CPU_WINOGRAD_PLAN_H

#include <stdbool.h>

#include "backend/op.h"

enum {
    SN_WINOGRAD_INPUT = 6,         /* inputs of a tile along an axis, and its frequencies */
    SN_WINOGRAD_PLANE = 36,        /* frequencies of a plane, */
    SN_WINOGRAD_FREQUENCIES = 216, /* and of all three axes */
    SN_WINOGRAD_MAX_KERNEL = 5,
    SN_WINOGRAD_MAX_TILE = 4,
    SN_WINOGRAD_FEWEST_ROWS = 6, /* output channels of a block of the inner kernel, for any vectors */
    SN_WINOGRAD_BLOCK = 32,      /* deep, backward weights: output channels of a unit of work, at most, */
    SN_WINOGRAD_ROWS = 64,       /* and its input channels, */
    SN_WINOGRAD_CHUNK_DW = 16,   /* of which so many are worked on together in the end */
    SN_WINOGRAD_CHUNK = 32,      /* deep: input channels whose weights are gathered together, */
    SN_WINOGRAD_DEPTH = 256,     /* and multiplied together, at most */
    SN_WINOGRAD_LANES = 16, /* memory is laid out for vectors of so many floats, whatever the processor's */
};

/*
 * There are two ways to do this. Where lanes are tiles, the work is cut into units: `unit_z` layers by `unit_y` rows
 * of tiles, of one phase along D and H. In a unit, frequency f of a channel is one row of floats: layer after layer, in
 * each its rows of tiles, in each the tiles along W, of which both phases are worked on together, first those of phase 0,
 * then those of phase 1.
 *
 * Where lanes are channels ("deep": many channels), the work is cut into slabs of whole layers of tiles. Either each
 * thread works on slabs of its own, or, where those would not come out even, all of them on one slab after the other. What
 * is read of a slab is transformed into frequencies, (216, tiles, channels). Then, for each vector of output channels, the
 * weights are transformed, all tiles of each frequency multiplied with them, and the outputs transformed. Backward weights
 * multiplies the frequencies of x and dy, and transforms the sums of each slab.
 */
typedef struct sn_winograd_plan {
    int kernel, tile; /* weights, and outputs of a tile, along an axis: 3, 4 or 5, 2 */
    int dilation;     /* 1 or 2 */
    int64_t images, in_channels, out_channels; /* of the convolution that is computed */
    int64_t extent[3], sub_extent[3];          /* of the whole grid, of its first sub-grid */
    /* floats of w from one output channel, one input channel, one tap to the next */
    int64_t weight_out, weight_in, weight_tap;
    bool mirrored;                /* backward data: the kernel is read from its end */
    int64_t tiles_z, tiles_y;     /* of a sub-grid */
    int64_t sub_tiles_x, tiles_x; /* of a row of a sub-grid, of its sub-grids along W together */
    bool is_dw;                   /* backward weights */
    bool deep;                    /* of what follows only the next three and `partials` are used then */
    int64_t tiles;                /* of an image, in all sub-grids */
    int64_t slab;                 /* layers of tiles that are worked on together, at most */
    bool apart;                   /* slabs may be worked on by a thread each */
    int64_t unit_z, unit_y;
    int64_t units_z, units_y; /* of a sub-grid */
    int64_t in_block;         /* input channels transformed together */
    int64_t group;            /* output channels of a unit of work, at most */
    int64_t rounds;           /* the output channels are cut into as many parts, one after the other */
    int64_t sub_row; /* floats of a sub-grid's row of pixels in scratch memory, zeros around it included */
    int64_t row;     /* of all of them */
    int64_t line;    /* floats of one frequency of a layer of tiles there */
    /* Backward weights: sums formed apart, then added in order; deep: one for each slab of a thread's own, one for all
     * others, none for a single one; else 0. */
    int64_t partials;
} sn_winograd_plan;

/**
 * Choose what the lanes are, and cut a convolution into units.
 *
 * @return whether it is worth it: 3^3 or 5^3, dilation 1 or 2, and expected to take fewer than `cycles` of
 *         one thread
 */
bool sn_winograd_plan_make(sn_winograd_plan *plan, const sn_op *op, double cycles);

/** Bytes of workspace: the transformed weights; deep: the frequencies of what is read; the partial sums of dw. */
size_t sn_winograd_workspace(const sn_winograd_plan *plan);

/** Bytes of scratch memory that each of so many threads needs. */
size_t sn_winograd_scratch(const sn_winograd_plan *plan, int threads);

/** Floats of one frequency of `rows` rows of `row` floats each, and what vectors touch past it: an odd number of vectors,
 * since frequencies that lie a multiple of 4096 bytes apart would share lines of a cache. */
static inline int64_t sn_winograd_frequency(int64_t rows, int64_t row)
{
    int64_t vectors = (rows * row + SN_WINOGRAD_LANES - 1) / SN_WINOGRAD_LANES + 2;
    return (vectors | 1) * SN_WINOGRAD_LANES;
}

/** Weights of a pair of channels. */
static inline int64_t sn_winograd_taps(const sn_winograd_plan *plan)
{
    return plan->kernel * plan->kernel * plan->kernel;
}

/** Weights of all pairs of channels. */
static inline int64_t sn_winograd_weights(const sn_winograd_plan *plan)
{
    return sn_winograd_taps(plan) * plan->weight_tap;
}

/** Deep: input channels whose weights are multiplied together. */
static inline int64_t sn_winograd_deep_depth(const sn_winograd_plan *plan)
{
    return plan->in_channels < SN_WINOGRAD_DEPTH ? plan->in_channels : SN_WINOGRAD_DEPTH;
}

/** Deep: layers of tiles of an image, those of each phase along D after each other. */
static inline int64_t sn_winograd_layers(const sn_winograd_plan *plan)
{
    return plan->dilation * plan->tiles_z;
}

/** Deep: slabs that the layers of all images are cut into. */
static inline int64_t sn_winograd_slabs(const sn_winograd_plan *plan)
{
    return (plan->images * sn_winograd_layers(plan) + plan->slab - 1) / plan->slab;
}

/** Deep: whether slabs are shared out among so many threads evenly: the one that has most has at most 15 % more. */
static inline bool sn_winograd_is_even(const sn_winograd_plan *plan, int64_t threads)
{
    int64_t turns = (sn_winograd_slabs(plan) + threads - 1) / threads;
    return 100 * threads * turns * plan->slab <= 115 * plan->images * sn_winograd_layers(plan);
}

/** Deep: whether each of so many threads works on slabs of its own, so that none reads frequencies that another wrote. */
static inline bool sn_winograd_apart(const sn_winograd_plan *plan, int64_t threads)
{
    return plan->apart && threads > 1 && sn_winograd_is_even(plan, threads);
}

/** Deep: tiles of a layer. */
static inline int64_t sn_winograd_layer_tiles(const sn_winograd_plan *plan)
{
    return plan->tiles / sn_winograd_layers(plan);
}

/** Deep: floats of one frequency of a slab's tiles of so many channels. */
static inline int64_t sn_winograd_deep_frequency(const sn_winograd_plan *plan, int64_t channels)
{
    int64_t lanes = (channels + SN_WINOGRAD_LANES - 1) / SN_WINOGRAD_LANES * SN_WINOGRAD_LANES;
    return sn_winograd_frequency(plan->slab * sn_winograd_layer_tiles(plan), lanes);
}

/** Deep: floats of the frequencies of a slab, of the tensors that are read. */
int64_t sn_winograd_deep_floats(const sn_winograd_plan *plan);

/** Deep, backward weights: input channels of a unit of work, at most. */
static inline int64_t sn_winograd_deep_rows(const sn_winograd_plan *plan)
{
    return plan->in_channels < SN_WINOGRAD_ROWS ? plan->in_channels : SN_WINOGRAD_ROWS;
}

/** Units of work: of each image, layers and rows of tiles, phase along D, phase along H. */
static inline int64_t sn_winograd_units(const sn_winograd_plan *plan)
{
    return plan->images * plan->dilation * plan->dilation * plan->units_z * plan->units_y;
}

/** Tiles of the largest unit. */
static inline int64_t sn_winograd_unit_tiles(const sn_winograd_plan *plan)
{
    return plan->unit_z * plan->unit_y * plan->tiles_x;
}

/** The same in whole vectors. */
static inline int64_t sn_winograd_unit_lanes(const sn_winograd_plan *plan)
{
    return (sn_winograd_unit_tiles(plan) + SN_WINOGRAD_LANES - 1) / SN_WINOGRAD_LANES * SN_WINOGRAD_LANES;
}

/** Floats of the rows of pixels in scratch memory: of six lines, and one of zeros. */
static inline int64_t sn_winograd_pixels(const sn_winograd_plan *plan)
{
    return (SN_WINOGRAD_INPUT + 1) * plan->row;
}

/** Floats of the frequencies of planes there: of six planes of tiles. */
static inline int64_t sn_winograd_planes(const sn_winograd_plan *plan)
{
    return SN_WINOGRAD_INPUT * SN_WINOGRAD_PLANE * plan->line;
}

#endif
