/* Convolution backward weights by Winograd's algorithm where lanes are channels; see winograd_plan.h. */
#include "backend/cpu/kernels/conv_sums.h"
#include "backend/cpu/kernels/product.h"
#include "backend/cpu/kernels/winograd_deep.h"
#include "backend/cpu/kernels/winograd_run.h"

_Static_assert(SN_PRODUCT_VECTORS *LANES <= SN_WINOGRAD_BLOCK,
               "the plan's scratch memory is for blocks of so many lanes");

/* A block of output channels by some input channels. */
typedef struct weights_unit {
    sn_lane_block block;
    int64_t first, count; /* input channels */
    winograd_lanes sums;  /* input channels in place of tiles */
    float *weights;       /* (K^3, channels of a chunk, lanes) */
} weights_unit;

/* Floats from one tap of a chunk's weights to the next. */
static int64_t weights_tap(void)
{
    return sn_winograd_frequency(SN_WINOGRAD_CHUNK_DW, SN_WINOGRAD_BLOCK);
}

static weights_unit unit_of(const sn_winograd_plan *plan, int64_t blocks, int64_t index, int64_t first,
                            float *scratch)
{
    const int64_t most = sn_winograd_deep_rows(plan);
    weights_unit unit = {.block = sn_lane_block_of(plan->out_channels, blocks, index), .first = first};
    unit.count = plan->in_channels - first < most ? plan->in_channels - first : most;
    unit.sums = (winograd_lanes){scratch, sn_winograd_frequency(most, unit.block.lanes), unit.block.lanes};
    unit.weights = scratch + SN_WINOGRAD_FREQUENCIES * unit.sums.frequency;
    return unit;
}

/* Gradients of `count` input channels from the sums of all frequencies. */
static void transform_sums(const weights_unit *unit, const sn_winograd_plan *plan, const float *sums,
                           int64_t count)
{
    for (int64_t v = 0; v < count * unit->block.lanes; v += LANES)
        if (plan->kernel == 3)
            winograd_kernel_back(3, unit->weights + v, weights_tap(), sums + v, unit->sums.frequency);
        else
            winograd_kernel_back(5, unit->weights + v, weights_tap(), sums + v, unit->sums.frequency);
}

/* Where the gradients of a slab go: those of all but the last are summed apart, so that dw is added to once. A thread's own
 * slab is the first of a partial sum that never ends. */
typedef struct weights_target {
    float *dw, *partial; /* (K^3, I, O) */
    bool first, last;    /* slab */
} weights_target;

/* The gradients of one tap of `count` output channels, which only this thread writes, from value `at` on; those at
 * at + next are needed soon. */
static void add_row(const weights_target *target, int64_t at, const float *from, int64_t count, int64_t next)
{
    const bool first = target->first, last = target->last;
    float *partial = target->partial + at, *to = last ? target->dw + at : partial;
    int64_t lane = 0;
    for (; lane + LANES <= count; lane += LANES) {
        vf value = vf_load(from + lane);
        if (!first)
            value += vf_load(partial + lane);
        vf_store(to + lane, last ? vf_load(to + lane) + value : value);
        __builtin_prefetch(to + lane + next, 1, 2);
    }
    for (; lane < count; lane++) {
        float value = first ? from[lane] : partial[lane] + from[lane];
        to[lane] = last ? to[lane] + value : value;
    }
}

/* From the sums of all frequencies to gradients. */
static void write_weights(const weights_unit *unit, const sn_winograd_plan *plan,
                          const weights_target *target)
{
    const int64_t taps = sn_winograd_taps(plan), lanes = unit->block.lanes;
    for (int64_t first = 0; first < unit->count; first += SN_WINOGRAD_CHUNK_DW) {
        int64_t rest = unit->count - first, count = rest < SN_WINOGRAD_CHUNK_DW ? rest : SN_WINOGRAD_CHUNK_DW;
        int64_t at = (unit->first + first) * plan->weight_in + unit->block.first;
        transform_sums(unit, plan, unit->sums.values + first * lanes, count);
        for (int64_t t = 0; t < taps; t++, at += plan->weight_tap)
            for (int64_t i = 0; i < count; i++)
                add_row(target, at + i * plan->weight_in, unit->weights + t * weights_tap() + i * lanes,
                        unit->block.count, winograd_next_tap(plan, t, count));
    }
}

/* What `tiles` tiles add. */
static void run_unit(const sn_winograd_plan *plan, const winograd_lanes *x, const winograd_lanes *dy,
                     const weights_unit *unit, int64_t tiles, const weights_target *target)
{
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++) {
        const sn_product product = {.rows = unit->count,
                                    .depth = tiles,
                                    .vectors = unit->block.vectors,
                                    .a = x->values + f * x->frequency + unit->first,
                                    .a_row = 1,
                                    .a_depth = x->lanes,
                                    .b = dy->values + f * dy->frequency + unit->block.first,
                                    .b_depth = dy->lanes,
                                    .c = unit->sums.values + f * unit->sums.frequency,
                                    .c_row = unit->sums.lanes};
        SN_PRODUCT_RUN(&product);
    }
    write_weights(unit, plan, target);
}

/* What all slabs of a convolution have in common. */
typedef struct weights_job {
    const sn_cpu_call *call;
    const sn_winograd_plan *plan;
    winograd_lanes x, dy; /* frequencies, of this thread or of all */
    float *scratch;       /* of this thread */
} weights_job;

static weights_job job_of(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    weights_job job = {call, plan, .scratch = winograd_deep_scratch(call, plan)};
    job.x = winograd_lanes_of(winograd_deep_values(call, plan), plan, plan->in_channels);
    job.dy =
        winograd_lanes_of(job.x.values + SN_WINOGRAD_FREQUENCIES * job.x.frequency, plan, plan->out_channels);
    return job;
}

static weights_target target_of(const weights_job *job, int64_t slab)
{
    const sn_winograd_plan *plan = job->plan;
    float *dw = job->call->out[0], *partials = winograd_deep_partials(job->call, plan);
    if (plan->apart)
        return (weights_target){dw, partials + slab * sn_winograd_weights(plan), true, false};
    return (weights_target){dw, partials, slab == 0, slab == sn_winograd_slabs(plan) - 1};
}

/* One slab by this thread alone. */
static void run_slab(const weights_job *job, int64_t index)
{
    const sn_winograd_plan *plan = job->plan;
    const winograd_slab slab = winograd_slab_of(plan, index);
    const weights_target target = target_of(job, index);
    const int64_t blocks = sn_conv_parts(sn_conv_parts(plan->out_channels, LANES), SN_PRODUCT_VECTORS);
    winograd_deep_field(&job->x, plan, job->call->in[0], plan->in_channels, slab, false, job->scratch);
    winograd_deep_field(&job->dy, plan, job->call->in[1], plan->out_channels, slab, true, job->scratch);
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t i = 0; i < plan->in_channels; i += sn_winograd_deep_rows(plan)) {
            weights_unit unit = unit_of(plan, blocks, b, i, job->scratch);
            run_unit(plan, &job->x, &job->dy, &unit, slab.count * sn_winograd_layer_tiles(plan), &target);
        }
}

/* One slab by all threads of a parallel region. */
static void share_slab(const weights_job *job, int64_t index)
{
    const sn_winograd_plan *plan = job->plan;
    const winograd_slab slab = winograd_slab_of(plan, index);
    const weights_target target = target_of(job, index);
    const int64_t vectors = sn_conv_parts(plan->out_channels, LANES), rows = sn_winograd_deep_rows(plan);
    int64_t blocks = sn_conv_parts(vectors, SN_PRODUCT_VECTORS);
    if (blocks * sn_conv_parts(plan->in_channels, rows) < job->call->threads)
        blocks = vectors;
    winograd_deep_share_field(&job->x, plan, job->call->in[0], plan->in_channels, slab, false, job->scratch);
    winograd_deep_share_field(&job->dy, plan, job->call->in[1], plan->out_channels, slab, true, job->scratch);
#pragma omp barrier
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t i = 0; i < plan->in_channels; i += rows) {
            weights_unit unit = unit_of(plan, blocks, b, i, job->scratch);
            run_unit(plan, &job->x, &job->dy, &unit, slab.count * sn_winograd_layer_tiles(plan), &target);
        }
}

void SN_CPU_NAME(sn_winograd_deep_backward_weights)(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    const int64_t slabs = sn_winograd_slabs(plan);
#pragma omp parallel num_threads(call->threads)
    {
        const weights_job job = job_of(call, plan);
        if (sn_winograd_apart(plan, call->threads)) {
            sn_cpu_share_out(call, slabs);
            for (int64_t s; sn_cpu_take(call, &s);)
                run_slab(&job, s);
        } else {
            for (int64_t s = 0; s < slabs; s++)
                share_slab(&job, s);
        }
        if (plan->apart)
            sn_conv_add_partials(call->out[0], winograd_deep_partials(call, plan), plan->partials,
                                 sn_winograd_weights(plan));
    }
}
