/**
 * How a convolution is cut into pieces: taps, tiles, blocks of channels.
 *
 * All three convolutions are correlations of stride 1 between an input and an output:
 *   forward           input x, output y
 *   backward data     input dy, output dx, the kernel mirrored
 *   backward weights  input x, output dy, which is read
 * A stride s splits a grid into s^3 sub-grids, voxel s*j + phase being voxel j of sub-grid `phase`: the
 * forward input is read as s^3 sub-grids by one pass; each sub-grid of a backward output is a pass of its own
 * with the taps that reach it. Output voxel v of a pass is the sum over its taps of w * input[v + shift].
 *
 * A tile of the input is copied, with its halo, next to each other: rows of `row` floats, planes of `plane`.
 * Where a tile spans the whole extent, one halo of zeros is the right edge of a row and the left edge of the
 * next one. A shift is then one offset for all voxels of the tile, so vectors run over the tile as if it were
 * one long row; what they compute in the halo is thrown away. Where rows of the output are whole vectors and
 * copying results would take longer than the vectors at the ends of rows, vectors run along rows, and results are
 * written where they belong.
 */
#ifndef SN_BACKEND_CPU_CONV_PLAN_H
#define SN_BACKEND_CPU_CONV_PLAN_H

#include <stdbool.h>

#include "backend/cpu/conv_deep.h"
#include "backend/cpu/conv_strided.h"
#include "backend/cpu/winograd_plan.h"
#include "backend/op.h"

enum {
    SN_CONV_MAX_LANES = 16,
    SN_CONV_SLACK = 64,       /* floats that the last vectors may read past a tile */
    SN_CONV_MAX_GROUP = 56,   /* output channels of a unit of work, at most */
    SN_CONV_MAX_GROUP_DW = 36 /* the same of backward weights */
};

typedef struct sn_conv_tap {
    int weight;     /* index in the K^3 weights */
    int phase[3];   /* sub-grid of the input it reads */
    int shift[3];   /* in voxels of that sub-grid */
    int32_t offset; /* the same in the copied tile, in floats */
} sn_conv_tap;

/* One axis of a copied tile. */
typedef struct sn_conv_axis {
    int64_t extent;    /* outputs of the pass */
    int64_t tile;      /* outputs of a tile; the last one may have fewer */
    int64_t tiles;     /* along this axis */
    int64_t low, high; /* the smallest (<= 0) and largest (>= 0) shift */
    int64_t base;      /* zeros before the first copied index */
    int64_t first;     /* the first copied index, from the tile's first output */
    int64_t count;     /* copied indices, zeros among them */
    int phases;        /* sub-grids of the input */
    int out_phase;     /* sub-grid of the output */
} sn_conv_axis;

/* How vectors run over a tile: runs_z*runs_y runs of `vectors`. Output (z,y,x): z*out_z + y*out_y + x. */
typedef struct sn_conv_sweep {
    int64_t runs_z, runs_y, vectors;
    int64_t out_z, out_y;
    int64_t out_size; /* floats from one output channel to the next: a vector more than they take */
} sn_conv_sweep;

typedef enum sn_conv_runs {
    SN_CONV_RUN_ROWS,   /* one run a row */
    SN_CONV_RUN_PLANES, /* one run a plane */
    SN_CONV_RUN_ALL,    /* one run in all */
    SN_CONV_RUN_KINDS,
} sn_conv_runs;

typedef struct sn_conv_pass {
    sn_conv_axis axis[3]; /* D, H, W */
    int tap_count;
    sn_conv_tap *taps;
    int32_t *offsets;          /* of the taps */
    int64_t row, plane;        /* floats from one row, one plane of a copied sub-grid to the next */
    int64_t origin;            /* position of output (0,0,0) in it */
    int64_t sub_grid, channel; /* floats from one sub-grid, one channel to the next */
    sn_conv_runs runs;
    sn_conv_sweep sweep; /* of a whole tile */
    int64_t in_block;    /* input channels worked on together */
    bool in_place;       /* results are written where they belong, of tiles whose rows are whole vectors */
} sn_conv_pass;

typedef enum sn_conv_way {
    SN_CONV_DIRECT,   /* lanes are voxels, as above */
    SN_CONV_DEEP,     /* lanes are channels, few voxels: conv_deep.h */
    SN_CONV_STRIDED,  /* backward where kernel and stride are 2: conv_strided.h */
    SN_CONV_WINOGRAD, /* lanes are tiles, or channels: winograd_plan.h */
} sn_conv_way;

typedef struct sn_conv_plan {
    sn_conv_way way; /* of the others only their own plan is made */
    sn_deep_plan *deep;
    sn_strided_plan strided;
    sn_winograd_plan winograd;
    int64_t images, in_channels, out_channels; /* of a pass */
    int64_t in[3], out[3];                     /* extents */
    int in_step, out_step;                     /* stride of the sub-grids */
    /* floats of w from one output channel, one input channel, one tap to the next */
    int64_t weight_out, weight_in, weight_tap;
    bool is_dw;       /* backward weights */
    bool dense;       /* one tap without shift: tiles can be used where they lie */
    int64_t group;    /* output channels of a unit of work, at most */
    int64_t partials; /* backward weights: sums formed apart, then added in order */
    int pass_count;
    sn_conv_pass *passes;
} sn_conv_plan;

/**
 * Plan a convolution for vectors of `lanes` floats.
 *
 * @param[out] plan caller owns, sn_conv_plan_free
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_conv_plan_make(sn_conv_plan **plan, const sn_op *op, int lanes, sn_error *error);
void sn_conv_plan_free(sn_conv_plan *plan);

/** Bytes of workspace: weights in the order or the form that kernels need, the partial sums of dw, or inputs in another
 * form. */
size_t sn_conv_workspace(const sn_op *op);

/** Bytes of scratch memory that each of so many threads needs. */
size_t sn_conv_scratch(const sn_conv_plan *plan, int threads);

/** How vectors run over a tile of `extent` outputs. */
sn_conv_sweep sn_conv_sweep_of(const sn_conv_pass *pass, const int64_t extent[3], int lanes);

/** The parts of [0, count) are as even as they can be: the first index of part `part` of `parts`. */
static inline int64_t sn_conv_split(int64_t count, int64_t parts, int64_t part)
{
    int64_t base = count / parts, extra = count % parts;
    return base * part + (part < extra ? part : extra);
}

static inline int64_t sn_conv_smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t sn_conv_larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/** The fewest even parts of at most `limit`. */
static inline int64_t sn_conv_parts(int64_t count, int64_t limit)
{
    return (count + limit - 1) / limit;
}

#endif
