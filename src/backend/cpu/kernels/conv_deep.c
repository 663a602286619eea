/*
 * Convolution forward and backward data of few voxels and many channels. A run of output voxels by a few
 * vectors of output channels is summed in registers: each input value is broadcast, and multiplied by the
 * weights of the tap that leads to it.
 */
#include <string.h>

#include "backend/cpu/kernels/conv_deep.h"
#include "backend/cpu/kernels/lanes.h"

enum { PREFETCH = 16 /* channels ahead, where single taps are packed */ };

/* A chunk of input channels and a block of output channels. */
typedef struct chunk_job {
    const float *x; /* first channel */
    int64_t x_channel, channels;
    int step;       /* from one voxel of a run to the next */
    const float *w; /* (channels, taps, lanes) */
    int64_t w_channel;
    bool add; /* to the sums */
} chunk_job;

/* sums[j] += w * x[at + j*step] where bit j of `wanted` is set, or for each j. */
SN_INLINE void add_channel(const int voxels, const int vectors, const bool all, vf *sums, const float *w,
                           const float *x, int64_t at, int step, unsigned wanted)
{
    vf weight[SN_DEEP_VECTORS];
    SN_UNROLL
    for (int k = 0; k < vectors; k++) {
        weight[k] = vf_load(w + k * LANES);
        SN_KEEP(weight[k]);
    }
    SN_UNROLL
    for (int j = 0; j < voxels; j++) {
        if (!all && !(wanted >> j & 1))
            continue;
        SN_UNROLL
        for (int k = 0; k < vectors; k++)
            sums[j * vectors + k] += weight[k] * x[at + j * step];
    }
}

/* sums (voxels, lanes) (+)= what all taps add to a run */
SN_INLINE void sum_run(const int voxels, const int vectors, const chunk_job *job, const sn_deep_run *run,
                       float *sums)
{
    vf sum[SN_DEEP_MAX_VOXELS * SN_DEEP_VECTORS];
    SN_UNROLL
    for (int i = 0; i < voxels * vectors; i++)
        sum[i] = job->add ? vf_load(sums + i * LANES) : (vf){0};
    for (int i = 0; i < run->visits; i++) {
        const sn_deep_visit visit = run->visit[i];
        const float *w = job->w + (int64_t)visit.tap * vectors * LANES, *x = job->x;
        const int step = job->step;
        if (visit.voxels == (1u << voxels) - 1)
            for (int64_t c = 0; c < job->channels; c++, w += job->w_channel, x += job->x_channel)
                add_channel(voxels, vectors, true, sum, w, x, visit.input, step, 0);
        else
            for (int64_t c = 0; c < job->channels; c++, w += job->w_channel, x += job->x_channel)
                add_channel(voxels, vectors, false, sum, w, x, visit.input, step, visit.voxels);
    }
    SN_UNROLL
    for (int i = 0; i < voxels * vectors; i++)
        vf_store(sums + i * LANES, sum[i]);
}

typedef void run_kernel(const chunk_job *job, const sn_deep_run *run, float *sums);

#define RUN(voxels, vectors)                                                                                 \
    static void run_##voxels##_##vectors(const chunk_job *job, const sn_deep_run *run, float *sums)          \
    {                                                                                                        \
        sum_run(voxels, vectors, job, run, sums);                                                            \
    }
#define RUNS(vectors)                                                                                        \
    RUN(1, vectors)                                                                                          \
    RUN(2, vectors)                                                                                          \
    RUN(3, vectors)                                                                                          \
    RUN(4, vectors)                                                                                          \
    RUN(5, vectors)                                                                                          \
    RUN(6, vectors)
#define LIST(vectors)                                                                                        \
    {                                                                                                        \
        NULL, run_1_##vectors, run_2_##vectors, run_3_##vectors, run_4_##vectors, run_5_##vectors,           \
            run_6_##vectors                                                                                  \
    }
RUNS(1)
RUNS(2)
#if LANES == 16
RUNS(3)
RUNS(4)
#endif

static run_kernel *const kernels[SN_DEEP_VECTORS + 1][SN_DEEP_MAX_VOXELS + 1] = {
    {NULL},  LIST(1), LIST(2),
#if LANES == 16
    LIST(3), LIST(4),
#endif
};

/* Weights of a block and of input channels [first, first + count), as (channels, taps, lanes). */
static void pack(float *to, const sn_deep_plan *plan, const sn_deep_block *block, const float *w,
                 int64_t first, int64_t count)
{
    for (int64_t i = first; i < first + count; i++)
        for (int t = 0; t < plan->tap_count; t++)
            for (int64_t lane = 0; lane < block->lanes; lane++) {
                int64_t at = plan->taps[t].weight * plan->weight_tap + i * plan->weight_in;
                *to++ = lane < block->count ? w[at + (block->first + lane) * plan->weight_out] : 0;
            }
}

/* A unit of work: some runs of one image, one block of output channels. */
typedef struct deep_unit {
    int64_t image;
    sn_deep_block block;
    const sn_deep_run *runs, *end;
} deep_unit;

/* Put what was summed, (voxels, lanes), to its place in y (channels, voxels). */
static void write_sums(const sn_deep_plan *plan, const deep_unit *unit, const float *sums, float *y)
{
    for (int64_t lane = 0; lane < unit->block.count; lane++, y += plan->out_voxels) {
        const float *from = sums + lane;
        for (const sn_deep_run *run = unit->runs; run < unit->end; run++)
            for (int j = 0; j < run->count; j++, from += unit->block.lanes)
                y[run->output + (int64_t)j * plan->out_step] = *from;
    }
}

static void run_unit(const sn_cpu_call *call, const sn_deep_plan *plan, const deep_unit *unit, float *scratch)
{
    const sn_deep_block *block = &unit->block;
    float *packed = scratch, *sums = packed + plan->chunk * plan->tap_count * block->lanes;
    const float *x = (const float *)call->in[0] + unit->image * plan->in_channels * plan->in_voxels;
    float *y = (float *)call->out[0] + (unit->image * plan->out_channels + block->first) * plan->out_voxels;
    chunk_job job = {.x_channel = plan->in_voxels, .step = plan->in_step, .w = packed};
    job.w_channel = plan->tap_count * block->lanes;
    for (int64_t first = 0; first < plan->in_channels; first += plan->chunk) {
        int64_t rest = plan->in_channels - first;
        job.channels = rest < plan->chunk ? rest : plan->chunk;
        job.x = x + first * plan->in_voxels;
        job.add = first > 0;
        pack(packed, plan, block, call->in[1], first, job.channels);
        for (const sn_deep_run *run = unit->runs; run < unit->end; run++)
            kernels[block->vectors][run->count](&job, run,
                                                sums + (run->first - unit->runs->first) * block->lanes);
    }
    write_sums(plan, unit, sums, y);
}

/* Each voxel is summed in the same order whatever the blocks, so more threads may have more of them. */
static int64_t choose_blocks(const sn_deep_plan *plan, int threads)
{
    int64_t vectors = sn_conv_parts(plan->out_channels, LANES);
    int64_t fewest = sn_conv_parts(vectors, SN_DEEP_VECTORS);
    int64_t wanted = sn_conv_parts(threads, plan->images * plan->slabs);
    int64_t blocks = fewest > wanted ? fewest : wanted;
    return blocks < vectors ? blocks : vectors;
}

void SN_CPU_NAME(sn_deep_conv3d)(const sn_cpu_call *call, const sn_deep_plan *plan)
{
    int64_t blocks = choose_blocks(plan, call->threads);
#pragma omp parallel for collapse(3) num_threads(call->threads) schedule(dynamic)
    for (int64_t image = 0; image < plan->images; image++)
        for (int64_t s = 0; s < plan->slabs; s++)
            for (int64_t b = 0; b < blocks; b++) {
                deep_unit unit = {.image = image, .block = sn_deep_block_of(plan->out_channels, blocks, b)};
                unit.runs = plan->runs + sn_conv_split(plan->run_count, plan->slabs, s);
                unit.end = plan->runs + sn_conv_split(plan->run_count, plan->slabs, s + 1);
                run_unit(call, plan, &unit, sn_cpu_thread_scratch(call));
            }
}
