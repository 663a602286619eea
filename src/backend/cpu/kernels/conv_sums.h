/**
 * The inner kernel of backward weights: correlations of a block of output channels with streams of the input.
 *
 * Lanes are voxels. A stream is one tap of one input channel.
 */
#ifndef SN_BACKEND_CPU_CONV_SUMS_H
#define SN_BACKEND_CPU_CONV_SUMS_H

#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels/vector.h"

/* Rows (output channels) of a block, at most, and the streams that it is correlated with at once. */
#if LANES == 16
enum { SN_CONV_SUM_ROWS = 9 };
#define SN_CONV_SUM_STREAMS(rows) ((rows) <= 4 ? 6 : 3)
#else
enum { SN_CONV_SUM_ROWS = 4 };
#define SN_CONV_SUM_STREAMS(rows) 3
#endif

/* Vectors of voxels that are worked on together: SN_CONV_SUM_ROWS of them fit a first-level cache. */
enum { SN_CONV_STRETCH = 32 };

/* Streams: taps of input channels. */
typedef struct sn_conv_streams {
    const float *x; /* of output (0,0,0), first channel */
    int64_t x_channel, channels;
    const int32_t *offsets;
    int taps;
} sn_conv_streams;

#define SN_CONV_SUM_BLOCK SN_CPU_NAME(sn_conv_sum_block)

/** Add the sums over `vectors` of dy[row] * x[stream], for all rows of a block and all streams, to `sums`. */
void SN_CONV_SUM_BLOCK(int64_t rows, const float *dy, int64_t dy_channel, const sn_conv_streams *streams,
                       int64_t vectors, float *sums);

/** Floats of the sums of one block and one group of streams. */
static inline int64_t sn_conv_sums_size(int64_t rows)
{
    return (rows * SN_CONV_SUM_STREAMS(rows) + LANES - 1) / LANES * LANES;
}

/** Floats of the sums of one block and `streams` streams. */
static inline int64_t sn_conv_block_sums(int64_t streams, int64_t rows)
{
    return sn_conv_parts(streams, SN_CONV_SUM_STREAMS(rows)) * sn_conv_sums_size(rows);
}

/** Where the sum of one row and one stream lies among them. */
static inline int64_t sn_conv_sum_at(int64_t rows, int64_t row, int64_t stream)
{
    const int64_t together = SN_CONV_SUM_STREAMS(rows);
    return stream / together * sn_conv_sums_size(rows) + row * together + stream % together;
}

/** dw += the partial sums, (partials, count), in their order; for all threads of a parallel region. */
static inline void sn_conv_add_partials(float *dw, const float *partials, int64_t partial_count,
                                        int64_t count)
{
#pragma omp for schedule(static)
    for (int64_t w = 0; w < count; w++) {
        float sum = partials[w];
        for (int64_t p = 1; p < partial_count; p++)
            sum += partials[p * count + w];
        dw[w] += sum;
    }
}

#endif
