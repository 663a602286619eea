/**
 * The inner kernel of convolutions: a block of output channels by a run of vectors of voxels.
 */
#ifndef SN_BACKEND_CPU_CONV_BLOCK_H
#define SN_BACKEND_CPU_CONV_BLOCK_H

#include <stdbool.h>

#include "backend/cpu/kernels/vector.h"

/* Output channels of a block, at most: of a few vectors of voxels beside each other; and of one vector, where each input
 * is read once for all of them, which pays where a weight is broadcast at no cost. */
#if LANES == 16
enum { SN_CONV_BLOCK_ROWS = 14, SN_CONV_LONG_BLOCK_ROWS = 28 };
#else
enum { SN_CONV_BLOCK_ROWS = 6, SN_CONV_LONG_BLOCK_ROWS = 6 };
#endif

/* A block of output channels and of input channels. */
typedef struct sn_conv_block {
    const float *x; /* of output (0,0,0), first input channel */
    int64_t x_channel;
    int64_t channels; /* inputs */
    const int32_t *offsets;
    int taps;
    const float *w; /* (channels, taps, rows) */
    float *y;
    int64_t y_channel;
    bool add; /* to what y holds */
    bool far; /* y is not in a cache: it is fetched while sums are formed */
} sn_conv_block;

/**
 * y[r, v] (+)= sum over channels and taps of w[channel, tap, r] * x[channel, offset of tap + v], for `vectors`
 * vectors of voxels v. `x` and `y` are block->x and block->y, moved to the run's first voxel.
 */
typedef void sn_conv_run(const sn_conv_block *block, const float *x, float *y, int64_t vectors);

#define SN_CONV_RUNS SN_CPU_NAME(sn_conv_runs)

/** [rows] The kernel of a block of so many rows. */
extern sn_conv_run *const SN_CONV_RUNS[SN_CONV_LONG_BLOCK_ROWS + 1];

#endif
