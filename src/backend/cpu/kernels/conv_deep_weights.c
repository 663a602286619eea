/*
 * Convolution backward weights of few voxels and many channels: dw[tap, i, o] += sum over the pairs of voxels of the tap
 * of x[i, in] * dy[o, out]. A few input channels by a few vectors of output channels are summed in registers, each value
 * of x broadcast.
 */
#include "backend/cpu/kernels/conv_deep.h"

enum { MAX_ROWS = 6 };

/* One tap: some input channels (rows) by a block of output channels. */
typedef struct tap_job {
    const sn_deep_plan *plan;
    const sn_deep_tap *tap;
    const float *x;  /* (images, in_channels, voxels), from the first row on */
    const float *dy; /* (images, voxels, plan->row), the block's lanes */
    float *dw;       /* (rows, weight_in), the block's lanes */
    int64_t next;    /* floats from there to what is needed next */
    int64_t count;   /* lanes that have a channel */
} tap_job;

SN_INLINE void correlate(const int rows, const int vectors, const tap_job *job)
{
    const sn_deep_plan *plan = job->plan;
    vf sum[MAX_ROWS * SN_DEEP_VECTORS];
    const float *x = job->x, *dy = job->dy;
    SN_UNROLL
    for (int i = 0; i < rows * vectors; i++) {
        sum[i] = (vf){0};
        __builtin_prefetch(job->dw + job->next + i / vectors * plan->weight_in + i % vectors * LANES, 1);
    }
    for (int64_t n = 0; n < plan->images; n++) {
        for (const sn_deep_pair *pair = job->tap->pairs; pair < job->tap->pairs + job->tap->count; pair++) {
            vf gradient[SN_DEEP_VECTORS];
            SN_UNROLL
            for (int k = 0; k < vectors; k++) {
                gradient[k] = vf_load(dy + pair->out * plan->row + k * LANES);
                SN_KEEP(gradient[k]);
            }
            SN_UNROLL
            for (int r = 0; r < rows; r++) {
                SN_UNROLL
                for (int k = 0; k < vectors; k++)
                    sum[r * vectors + k] += gradient[k] * x[r * plan->in_voxels + pair->in];
            }
        }
        x += plan->in_channels * plan->in_voxels;
        dy += plan->out_voxels * plan->row;
    }
    SN_UNROLL
    for (int r = 0; r < rows; r++) {
        SN_UNROLL
        for (int k = 0; k < vectors; k++) {
            float *to = job->dw + r * plan->weight_in + k * LANES;
            int64_t count = job->count - k * LANES;
            vf_store_first(to, vf_load_first(to, count) + sum[r * vectors + k], count);
        }
    }
}

typedef void correlate_kernel(const tap_job *job);

#define CORRELATE(rows, vectors)                                                                             \
    static void correlate_##rows##_##vectors(const tap_job *job)                                             \
    {                                                                                                        \
        correlate(rows, vectors, job);                                                                       \
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

/* A block of output channels by input channels [begin, end). */
static void run_unit(const sn_cpu_call *call, const sn_deep_plan *plan, const sn_lane_block *block,
                     int64_t begin, int64_t end)
{
    const sn_deep_slab *all = &plan->slabs[0];
    int64_t groups = sn_conv_parts(end - begin, MAX_ROWS);
    tap_job job = {.plan = plan, .dy = (const float *)call->workspace + block->first, .count = block->count};
    for (int64_t g = 0; g < groups; g++) {
        int64_t i = begin + sn_conv_split(end - begin, groups, g);
        int64_t rows = begin + sn_conv_split(end - begin, groups, g + 1) - i;
        job.x = (const float *)call->in[0] + i * plan->in_voxels;
        for (job.tap = all->taps; job.tap < all->taps + all->tap_count; job.tap++) {
            job.dw = (float *)call->out[0] + job.tap->weight * plan->weight_tap + i * plan->weight_in +
                     block->first;
            job.next = sn_deep_next(plan, job.tap, rows * plan->weight_in);
            kernels[block->vectors][rows](&job);
        }
    }
}

void SN_CPU_NAME(sn_deep_backward_weights)(const sn_cpu_call *call, const sn_deep_plan *plan)
{
    int64_t blocks = sn_conv_parts(sn_conv_parts(plan->out_channels, LANES), SN_DEEP_VECTORS);
#pragma omp parallel num_threads(call->threads)
    {
        sn_deep_pack(call->workspace, plan, call->in[1], plan->out_channels, plan->out_voxels);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t c = 0; c < plan->chunks; c++) {
                sn_lane_block block = sn_lane_block_of(plan->out_channels, blocks, b);
                run_unit(call, plan, &block, sn_conv_split(plan->in_channels, plan->chunks, c),
                         sn_conv_split(plan->in_channels, plan->chunks, c + 1));
            }
    }
}
