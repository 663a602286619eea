/* The inner kernel of backward weights: a block of rows by a few streams is summed in registers over a stretch of
 * voxels, then over the lanes. */
#include "backend/cpu/kernels/conv_sums.h"

#include "backend/cpu/kernels/shuffle.h"

enum {
    MAX_STREAMS = 6,
    MAX_SUMS = 32, /* of a block, rounded up to whole vectors */
};

/* sums[r*streams + s] += sum over `vectors` of dy[r] * x[s] */
SN_INLINE void correlate(const int rows, const int streams, const float *dy, int64_t dy_channel,
                         const float *const x[], int64_t vectors, float *sums)
{
    vf sum[MAX_SUMS];
    const float *from[MAX_STREAMS];
    SN_UNROLL
    for (int s = 0; s < streams; s++)
        from[s] = x[s];
    SN_UNROLL
    for (int i = 0; i < MAX_SUMS; i++)
        sum[i] = (vf){0};
    for (int64_t v = 0; v < vectors * LANES; v += LANES) {
        vf input[MAX_STREAMS];
        SN_UNROLL
        for (int s = 0; s < streams; s++) {
            input[s] = vf_load(from[s] + v);
            SN_KEEP(input[s]);
            __builtin_prefetch(from[s] + v + SN_CONV_STRETCH * LANES, 0, 2); /* of the next stretch */
        }
        SN_UNROLL
        for (int r = 0; r < rows; r++) {
            vf gradient = vf_load(dy + r * dy_channel + v);
            SN_KEEP(gradient);
            SN_UNROLL
            for (int s = 0; s < streams; s++)
                sum[r * streams + s] += gradient * input[s];
        }
    }
    SN_UNROLL
    for (int i = 0; i < rows * streams; i += LANES)
        vf_store(sums + i, vf_load(sums + i) + vf_totals(sum + i));
}

typedef void correlate_kernel(const float *dy, int64_t dy_channel, const float *const x[], int64_t vectors,
                              float *sums);

#define CORRELATE(rows)                                                                                      \
    static void correlate_##rows(const float *dy, int64_t dy_channel, const float *const x[],                \
                                 int64_t vectors, float *sums)                                               \
    {                                                                                                        \
        correlate(rows, SN_CONV_SUM_STREAMS(rows), dy, dy_channel, x, vectors, sums);                        \
    }
CORRELATE(1)
CORRELATE(2)
CORRELATE(3)
CORRELATE(4)
#if LANES == 16
CORRELATE(5)
CORRELATE(6)
CORRELATE(7)
CORRELATE(8)
CORRELATE(9)
#endif

static correlate_kernel *const kernels[SN_CONV_SUM_ROWS + 1] = {
    NULL,        correlate_1, correlate_2, correlate_3, correlate_4,
#if LANES == 16
    correlate_5, correlate_6, correlate_7, correlate_8, correlate_9,
#endif
};

void SN_CONV_SUM_BLOCK(int64_t rows, const float *dy, int64_t dy_channel, const sn_conv_streams *streams,
                       int64_t vectors, float *sums)
{
    const int together = SN_CONV_SUM_STREAMS(rows);
    const float *x[MAX_STREAMS], *channel = streams->x;
    int64_t left = streams->channels * streams->taps;
    for (int tap = 0; left > 0; left -= together, sums += sn_conv_sums_size(rows)) {
        for (int s = 0; s < together; s++) {
            x[s] = channel + streams->offsets[tap];
            if (s + 1 < left && ++tap == streams->taps) { /* past the last stream the last one is repeated */
                tap = 0;
                channel += streams->x_channel;
            }
        }
        kernels[rows](dy, dy_channel, x, vectors, sums);
    }
}
