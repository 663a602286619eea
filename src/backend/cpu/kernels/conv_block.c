/* The inner kernel of convolutions: outputs in registers, each weight broadcast once for all of them. */
#include "backend/cpu/kernels/conv_block.h"

#include <stddef.h>

/* Vectors of voxels beside each other: as many sums as there are registers, less some for inputs and a weight. */
#if LANES == 16
#define COLUMNS(rows) ((rows) <= 7 ? 4 : (rows) <= 9 ? 3 : (rows) <= 14 ? 2 : 1)
#else
#define COLUMNS(rows) ((rows) <= 3 ? 3 : (rows) <= 6 ? 2 : 1)
#endif
enum { MAX_COLUMNS = 4, MAX_SUMS = 28 };

/* What will be written. */
SN_INLINE void fetch(const int rows, const int columns, const sn_conv_block *job, float *y)
{
    SN_UNROLL
    for (int r = 0; r < rows; r++) {
        SN_UNROLL
        for (int c = 0; c < columns; c++)
            __builtin_prefetch(y + r * job->y_channel + c * LANES + LANES - 1, 1, 2);
    }
}

/* y[r, c] (+)= sum over channels and taps of w[channel, tap, r] * x[channel, offset of tap, c] */
SN_INLINE void multiply(const int rows, const int columns, const sn_conv_block *job, const float *x, float *y)
{
    vf sum[MAX_SUMS];
    SN_UNROLL
    for (int r = 0; r < rows; r++) {
        SN_UNROLL
        for (int c = 0; c < columns; c++)
            sum[r * columns + c] = job->add ? vf_load(y + r * job->y_channel + c * LANES) : (vf){0};
    }
    if (job->far)
        fetch(rows, columns, job, y);
    const float *w = job->w;
    const int taps = job->taps;
    for (int64_t i = 0; i < job->channels; i++, x += job->x_channel)
        for (int t = 0; t < taps; t++, w += rows) {
            const float *at = x + job->offsets[t];
            vf input[MAX_COLUMNS];
            SN_UNROLL
            for (int c = 0; c < columns; c++) {
                input[c] = vf_load(at + c * LANES);
                SN_KEEP(input[c]);
                __builtin_prefetch(at + (2 * columns + c + 1) * LANES - 1, 0, 2); /* in two steps */
            }
            SN_UNROLL
            for (int r = 0; r < rows; r++) {
                SN_UNROLL
                for (int c = 0; c < columns; c++)
                    sum[r * columns + c] += w[r] * input[c];
            }
        }
    SN_UNROLL
    for (int r = 0; r < rows; r++) {
        SN_UNROLL
        for (int c = 0; c < columns; c++)
            vf_store(y + r * job->y_channel + c * LANES, sum[r * columns + c]);
    }
}

/* A whole run: full steps of COLUMNS(rows) vectors, then what is left. */
SN_INLINE void run(const int rows, const sn_conv_block *job, const float *x, float *y, int64_t vectors)
{
    const int columns = COLUMNS(rows);
    for (; vectors >= columns; vectors -= columns) {
        multiply(rows, columns, job, x, y);
        x += columns * LANES;
        y += columns * LANES;
    }
    if (columns > 3 && vectors == 3)
        multiply(rows, 3, job, x, y);
    else if (columns > 2 && vectors == 2)
        multiply(rows, 2, job, x, y);
    else if (columns > 1 && vectors == 1)
        multiply(rows, 1, job, x, y);
}

#define RUN(rows)                                                                                            \
    static void run_##rows(const sn_conv_block *job, const float *x, float *y, int64_t vectors)              \
    {                                                                                                        \
        run(rows, job, x, y, vectors);                                                                       \
    }
RUN(1)
RUN(2)
RUN(3)
RUN(4)
RUN(5)
RUN(6)
#if LANES == 16
RUN(7)
RUN(8)
RUN(9)
RUN(10)
RUN(11)
RUN(12)
RUN(13)
RUN(14)
RUN(15)
RUN(16)
RUN(17)
RUN(18)
RUN(19)
RUN(20)
RUN(21)
RUN(22)
RUN(23)
RUN(24)
RUN(25)
RUN(26)
RUN(27)
RUN(28)
#endif

sn_conv_run *const SN_CONV_RUNS[SN_CONV_LONG_BLOCK_ROWS + 1] = {
    NULL,   run_1,  run_2,  run_3,  run_4,  run_5,  run_6,
#if LANES == 16
    run_7,  run_8,  run_9,  run_10, run_11, run_12, run_13, run_14, run_15, run_16, run_17,
    run_18, run_19, run_20, run_21, run_22, run_23, run_24, run_25, run_26, run_27, run_28,
#endif
};
