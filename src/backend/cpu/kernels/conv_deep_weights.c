/*
 * Convolution backward weights of few voxels and many channels: dw[o, i, tap] += sum over voxels v that the
 * tap meets of dy[o, v] * x[i, step*v + shift]. A few input channels by a few vectors of output channels are
 * summed in registers, each value of x broadcast.
 */
#include "backend/cpu/kernels/conv_deep.h"
#include "backend/cpu/kernels/lanes.h"

enum { MAX_ROWS = 6 };

/* sums (rows, taps, lanes) = of one tap and `rows` input channels */
SN_INLINE void correlate(const int rows, const int vectors, const sn_deep_plan *plan, const sn_deep_tap *tap,
                         const float *x, const float *dy, float *sums)
{
    vf sum[MAX_ROWS * SN_DEEP_VECTORS];
    const int64_t channel = plan->in_voxels, lanes = vectors * LANES, step = plan->in_step;
    SN_UNROLL
    for (int i = 0; i < rows * vectors; i++)
        sum[i] = (vf){0};
    for (int64_t n = 0; n < plan->images;
         n++, x += plan->in_channels * channel, dy += plan->out_voxels * lanes)
        for (int64_t z = tap->low[0]; z < tap->high[0]; z++)
            for (int64_t y = tap->low[1]; y < tap->high[1]; y++) {
                int64_t in_row = (step * z + tap->shift[0]) * plan->in[1] + step * y + tap->shift[1];
                int64_t in = in_row * plan->in[2] + tap->shift[2];
                const float *row = dy + (z * plan->out[1] + y) * plan->out[2] * lanes;
                for (int64_t v = tap->low[2]; v < tap->high[2]; v++) {
                    const float *at = x + in + step * v;
                    vf gradient[SN_DEEP_VECTORS];
                    SN_UNROLL
                    for (int k = 0; k < vectors; k++) {
                        gradient[k] = vf_load(row + v * lanes + k * LANES);
                        SN_KEEP(gradient[k]);
                    }
                    SN_UNROLL
                    for (int r = 0; r < rows; r++) {
                        SN_UNROLL
                        for (int k = 0; k < vectors; k++)
                            sum[r * vectors + k] += gradient[k] * at[r * channel];
                    }
                }
            }
    SN_UNROLL
    for (int r = 0; r < rows; r++) {
        SN_UNROLL
        for (int k = 0; k < vectors; k++)
            vf_store(sums + r * plan->tap_count * lanes + k * LANES, sum[r * vectors + k]);
    }
}

typedef void correlate_kernel(const sn_deep_plan *plan, const sn_deep_tap *tap, const float *x,
                              const float *dy, float *sums);

#define CORRELATE(rows, vectors)                                                                             \
    static void correlate_##rows##_##vectors(const sn_deep_plan *plan, const sn_deep_tap *tap,               \
                                             const float *x, const float *dy, float *sums)                   \
    {                                                                                                        \
        correlate(rows, vectors, plan, tap, x, dy, sums);                                                    \
    }
#define KERNELS(vectors)                                                                                     \
    CORRELATE(1, vectors)                                                                                    \
    CORRELATE(2, vectors)                                                                                    \
    CORRELATE(3, vectors)                                                                                    \
    CORRELATE(4, vectors)                                                                                    \
    CORRELATE(5, vectors)                                                                                    \
    CORRELATE(6, vectors)
#define LIST(vectors)                                                                                        \
    {                                                                                                        \
        NULL, correlate_1_##vectors, correlate_2_##vectors, correlate_3_##vectors, correlate_4_##vectors,    \
            correlate_5_##vectors, correlate_6_##vectors                                                     \
    }
KERNELS(1)
KERNELS(2)
#if LANES == 16
KERNELS(3)
KERNELS(4)
#endif

static correlate_kernel *const kernels[SN_DEEP_VECTORS + 1][MAX_ROWS + 1] = {
    {NULL},  LIST(1), LIST(2),
#if LANES == 16
    LIST(3), LIST(4),
#endif
};

/* Where a block of dy begins. */
static float *packed_block(const sn_cpu_call *call, const sn_deep_plan *plan, const sn_deep_block *block)
{
    return (float *)call->workspace + block->first * plan->images * plan->out_voxels;
}

/* A block of dy (images, channels, voxels) becomes (images, voxels, lanes). */
static void pack_block(const sn_cpu_call *call, const sn_deep_plan *plan, const sn_deep_block *block)
{
    float *to = packed_block(call, plan, block);
    for (int64_t n = 0; n < plan->images; n++) {
        const float *from =
            (const float *)call->in[1] + (n * plan->out_channels + block->first) * plan->out_voxels;
        for (int64_t v = 0; v < plan->out_voxels; v++, to += block->lanes)
            for (int64_t lane = 0; lane < block->lanes; lane++)
                to[lane] = lane < block->count ? from[lane * plan->out_voxels + v] : 0;
    }
}

/* dw += sums (channels, taps, lanes) */
static void add_taps(float *dw, const sn_deep_plan *plan, const sn_deep_block *block, const float *sums,
                     int64_t channels)
{
    for (int64_t i = 0; i < channels; i++)
        for (int t = 0; t < plan->tap_count; t++)
            for (int64_t lane = 0; lane < block->count; lane++)
                dw[lane + i * plan->weight_in + plan->taps[t].weight * plan->weight_tap] +=
                    sums[(i * plan->tap_count + t) * block->lanes + lane];
}

/* A block of output channels by a chunk of input channels. */
static void run_unit(const sn_cpu_call *call, const sn_deep_plan *plan, const sn_deep_block *block,
                     int64_t first, float *sums)
{
    int64_t rest = plan->in_channels - first, channels = rest < plan->chunk ? rest : plan->chunk;
    int64_t groups = sn_conv_parts(channels, MAX_ROWS);
    const float *x = (const float *)call->in[0] + first * plan->in_voxels;
    float *dw = (float *)call->out[0] + block->first * plan->weight_out + first * plan->weight_in;
    for (int64_t g = 0; g < groups; g++) {
        int64_t i = sn_conv_split(channels, groups, g), rows = sn_conv_split(channels, groups, g + 1) - i;
        for (int t = 0; t < plan->tap_count; t++)
            kernels[block->vectors][rows](plan, &plan->taps[t], x + i * plan->in_voxels,
                                          packed_block(call, plan, block),
                                          sums + (i * plan->tap_count + t) * block->lanes);
    }
    add_taps(dw, plan, block, sums, channels);
}

void SN_CPU_NAME(sn_deep_backward_weights)(const sn_cpu_call *call, const sn_deep_plan *plan)
{
    int64_t blocks = sn_conv_parts(sn_conv_parts(plan->out_channels, LANES), SN_DEEP_VECTORS);
#pragma omp parallel num_threads(call->threads)
    {
        float *scratch = sn_cpu_thread_scratch(call);
#pragma omp for schedule(static)
        for (int64_t b = 0; b < blocks; b++) {
            sn_deep_block block = sn_deep_block_of(plan->out_channels, blocks, b);
            pack_block(call, plan, &block);
        }
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t i = 0; i < plan->in_channels; i += plan->chunk) {
                sn_deep_block block = sn_deep_block_of(plan->out_channels, blocks, b);
                run_unit(call, plan, &block, i, scratch);
            }
    }
}
