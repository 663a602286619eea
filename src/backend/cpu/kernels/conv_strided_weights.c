/*
 * Convolution backward weights where kernel and stride are 2: dw[tap, i, o] += sum over voxels v of
 * x[i, 2*v + tap] * dy[o, v]. The eight taps of an input channel by a few vectors of output channels are summed in
 * registers, each value of x broadcast.
 */
#include "backend/cpu/kernels/conv_strided.h"
#include "backend/cpu/kernels/conv_sums.h"
#include "backend/cpu/kernels/lanes.h"
#include "backend/cpu/kernels/share.h"

/* Vectors of output channels that are summed beside each other, at most. */
#if LANES == 16
enum { MAX_VECTORS = 3 };
#else
enum { MAX_VECTORS = 1 };
#endif
enum {
    TAPS = SN_STRIDED_TAPS,
    LINE = 16, /* floats of a line of the cache */
};

/* Some rows of an image of dy, a block of output channels by an input channel. */
typedef struct slab_job {
    const sn_strided_plan *plan;
    int64_t first, rows;
    const float *x;  /* the channel */
    const float *dy; /* (rows, width, lanes) */
    float *dw;       /* (taps, ...), the block's lanes */
    int64_t count;   /* lanes that have a channel */
    bool add;        /* to what dw holds */
} slab_job;

/* Sum over a row of dy; x: the rows of its taps. The next channel's, `next` floats further on, are needed soon. */
SN_INLINE void add_row(const int vectors, vf sum[], const float *const x[], int64_t next, const float *dy,
                       int64_t width)
{
    for (int64_t v = 0; v < 2 * width; v += LINE) {
        SN_UNROLL
        for (int t = 0; t < TAPS / 2; t++)
            __builtin_prefetch(x[t] + v + next, 0, 2);
    }
    for (int64_t v = 0; v < 2 * width; v += 2, dy += vectors * LANES) {
        vf gradient[MAX_VECTORS];
        SN_UNROLL
        for (int k = 0; k < vectors; k++) {
            gradient[k] = vf_load(dy + k * LANES);
            SN_KEEP(gradient[k]);
        }
        SN_UNROLL
        for (int t = 0; t < TAPS; t++) {
            SN_UNROLL
            for (int k = 0; k < vectors; k++)
                sum[t * vectors + k] += gradient[k] * x[t / 2][v + t % 2];
        }
    }
}

SN_INLINE void correlate(const int vectors, const slab_job *job)
{
    const sn_strided_plan *plan = job->plan;
    const int64_t row = plan->in[2], plane = plan->in[1] * row, width = plan->out[2];
    const int64_t weight_tap = plan->in_channels * plan->out_channels;
    vf sum[TAPS * MAX_VECTORS];
    SN_UNROLL
    for (int i = 0; i < TAPS * vectors; i++) {
        sum[i] = (vf){0};
        __builtin_prefetch(job->dw + i / vectors * weight_tap + i % vectors * LANES, 1, 2);
    }
    for (int64_t r = 0; r < job->rows; r++) {
        int64_t z = (job->first + r) / plan->out[1], y = (job->first + r) % plan->out[1];
        const float *from = job->x + 2 * z * plane + 2 * y * row;
        const float *const x[TAPS / 2] = {from, from + row, from + plane, from + plane + row};
        add_row(vectors, sum, x, plan->in[0] * plane, job->dy + r * width * vectors * LANES, width);
    }
    SN_UNROLL
    for (int t = 0; t < TAPS; t++) {
        SN_UNROLL
        for (int k = 0; k < vectors; k++) {
            float *to = job->dw + t * weight_tap + k * LANES;
            int64_t count = job->count - k * LANES;
            vf value = sum[t * vectors + k];
            vf_store_first(to, job->add ? vf_load_first(to, count) + value : value, count);
        }
    }
}

typedef void correlate_kernel(const slab_job *job);

#define CORRELATE(vectors)                                                                                   \
    static void correlate_##vectors(const slab_job *job)                                                     \
    {                                                                                                        \
        correlate(vectors, job);                                                                             \
    }
CORRELATE(1)
#if LANES == 16
CORRELATE(2)
CORRELATE(3)
#endif

static correlate_kernel *const kernels[MAX_VECTORS + 1] = {
    NULL,
    correlate_1,
#if LANES == 16
    correlate_2,
    correlate_3,
#endif
};

/* A block of output channels by input channels [begin, end), over the slabs of one partial sum. */
static void run_unit(const sn_cpu_call *call, const sn_strided_plan *plan, int64_t partial,
                     const sn_lane_block *block, int64_t begin, int64_t end)
{
    const int64_t rows = plan->out[0] * plan->out[1], out_voxels = rows * plan->out[2];
    const int64_t in_voxels = plan->in[0] * plan->in[1] * plan->in[2];
    const int64_t slabs = plan->images * plan->slabs, weights = plan->in_channels * plan->out_channels;
    float *dw = (float *)call->workspace + partial * TAPS * weights + block->first;
    float *lanes = sn_cpu_thread_scratch(call);
    slab_job job = {.plan = plan, .dy = lanes, .count = block->count};
    for (int64_t s = sn_conv_split(slabs, plan->partials, partial);
         s < sn_conv_split(slabs, plan->partials, partial + 1); s++, job.add = true) {
        int64_t image = s / plan->slabs;
        const float *x = (const float *)call->in[0] + image * plan->in_channels * in_voxels;
        const float *dy =
            (const float *)call->in[1] + (image * plan->out_channels + block->first) * out_voxels;
        job.first = sn_conv_split(rows, plan->slabs, s % plan->slabs);
        job.rows = sn_conv_split(rows, plan->slabs, s % plan->slabs + 1) - job.first;
        sn_to_lanes(lanes, block->lanes, block->count, dy + job.first * plan->out[2], out_voxels,
                    job.rows * plan->out[2], LINE);
        for (int64_t i = begin; i < end; i++) {
            job.x = x + i * in_voxels;
            job.dw = dw + i * plan->out_channels;
            kernels[block->vectors](&job);
        }
    }
}

/* A unit has all input channels, so that dy is brought into lanes once, but each thread shall have two units. */
static int64_t choose_groups(const sn_strided_plan *plan, int64_t blocks, int threads)
{
    int64_t groups = sn_conv_parts(2 * (int64_t)threads, plan->partials * blocks);
    return groups < plan->in_channels ? groups : plan->in_channels;
}

void SN_CPU_NAME(sn_strided_backward_weights)(const sn_cpu_call *call, const sn_strided_plan *plan)
{
    const int64_t blocks = sn_conv_parts(sn_conv_parts(plan->out_channels, LANES), MAX_VECTORS);
    const int64_t groups = choose_groups(plan, blocks, call->threads);
#pragma omp parallel num_threads(call->threads)
    {
        sn_cpu_share_out(call, plan->partials * blocks * groups);
        for (int64_t unit; sn_cpu_take(call, &unit);) {
            sn_lane_block block = sn_lane_block_of(plan->out_channels, blocks, unit / groups % blocks);
            run_unit(call, plan, unit / groups / blocks, &block,
                     sn_conv_split(plan->in_channels, groups, unit % groups),
                     sn_conv_split(plan->in_channels, groups, unit % groups + 1));
        }
        sn_conv_add_partials(call->out[0], call->workspace, plan->partials,
                             TAPS * plan->in_channels * plan->out_channels);
    }
}
