/* Convolution backward weights by Winograd's algorithm; see winograd_plan.h. */
#include <string.h>

#include "backend/cpu/kernels/conv_sums.h"
#include "backend/cpu/kernels/share.h"
#include "backend/cpu/kernels/winograd.h"
#include "backend/cpu/kernels/winograd_run.h"
#include "base/memory.h"

typedef struct weights_job {
    const sn_winograd_plan *plan;
    const float *x, *dy;
    float *dw, *partials; /* (partials, K^3, I, O) */
    int64_t groups, in_blocks;
} weights_job;

/* A range of output channels, in blocks, by a range of input channels; its scratch memory. */
typedef struct weights_part {
    int64_t out_first, out_count, blocks;
    int64_t in_first, in_count;
    winograd_space space;
    winograd_field x, dy;
    float *sums; /* (216, sums_size) */
    int64_t sums_size;
} weights_part;

/* All frequencies of one channel of a unit of dy, then zeros to the end of the channel. */
static void gradient_channel(float *v, const winograd_field *field, const sn_winograd_plan *plan,
                             const winograd_unit *unit, const float *dy, const winograd_space *space)
{
    float *end = winograd_channel(true, v, field->frequency, plan, unit, dy, space);
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++)
        for (float *at = end; at < v + field->channel; at++)
            at[f * field->frequency] = 0;
}

/* The frequencies of x and dy in one unit. */
static void transform_unit(const weights_job *job, weights_part *part, const winograd_unit *unit)
{
    const sn_winograd_plan *plan = job->plan;
    const int64_t voxels = winograd_voxels(plan);
    part->x.channel = unit->tiles;
    part->dy.channel = sn_round_up(unit->tiles, SN_WINOGRAD_LANES);
    winograd_input_channels(&part->x, plan, unit,
                            job->x + (unit->image * plan->in_channels + part->in_first) * voxels,
                            part->in_count, &part->space);
    float *end = part->x.values + part->in_count * part->x.channel;
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++) /* what vectors read there is multiplied by 0 */
        memset(end + f * part->x.frequency, 0, SN_WINOGRAD_LANES * sizeof *end);
    const float *dy = job->dy + (unit->image * plan->out_channels + part->out_first) * voxels;
    for (int64_t c = 0; c < part->out_count; c++, dy += voxels)
        gradient_channel(part->dy.values + c * part->dy.channel, &part->dy, plan, unit, dy, &part->space);
}

static int64_t block_first(const weights_part *part, int64_t block)
{
    return sn_conv_split(part->out_count, part->blocks, block);
}

/* Add one unit to the sums. */
static void sum_unit(weights_part *part, const winograd_unit *unit)
{
    static const int32_t no_shift = 0;
    const int64_t vectors = sn_conv_parts(unit->tiles, LANES);
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++) {
        const sn_conv_streams streams = {.x = part->x.values + f * part->x.frequency,
                                         .x_channel = part->x.channel,
                                         .channels = part->in_count,
                                         .offsets = &no_shift,
                                         .taps = 1};
        float *sums = part->sums + f * part->sums_size;
        for (int64_t b = 0; b < part->blocks; b++) {
            int64_t first = block_first(part, b), rows = block_first(part, b + 1) - first;
            SN_CONV_SUM_BLOCK(rows, part->dy.values + f * part->dy.frequency + first * part->dy.channel,
                              part->dy.channel, &streams, vectors, sums);
            sums += sn_conv_block_sums(part->in_count, rows);
        }
    }
}

/* Sums [first, first + LANES) of a group of streams of a block to the weights of their pairs of channels: added, or
 * written to a partial sum. `dw` is the block's first output channel. */
static void write_sums(float *dw, const weights_part *part, const sn_winograd_plan *plan, const float *sums,
                       int64_t rows, int64_t group, int64_t first, bool add)
{
    const int64_t together = SN_CONV_SUM_STREAMS(rows), taps = sn_winograd_taps(plan);
    float w[SN_WINOGRAD_MAX_KERNEL * SN_WINOGRAD_MAX_KERNEL * SN_WINOGRAD_MAX_KERNEL * LANES];
    if (plan->kernel == 3)
        winograd_kernel_back(3, w, LANES, sums + first, part->sums_size);
    else
        winograd_kernel_back(5, w, LANES, sums + first, part->sums_size);
    int64_t place[LANES], lane[LANES], count = 0; /* of those lanes that hold a sum */
    for (int64_t i = 0; i < LANES && first + i < rows * together; i++) {
        int64_t row = (first + i) / together, channel = group * together + (first + i) % together;
        if (channel >= part->in_count)
            continue;
        place[count] = (part->in_first + channel) * plan->weight_in + row;
        lane[count++] = i;
    }
    for (int64_t t = 0; t < taps; t++, dw += plan->weight_tap)
        for (int64_t i = 0; i < count; i++) {
            float value = w[t * LANES + lane[i]], *to = dw + place[i];
            *to = add ? *to + value : value;
        }
}

/* From sums of frequencies to dw, or to a partial sum of it. */
static void write_part(const weights_job *job, const weights_part *part, float *dw, bool add)
{
    const sn_winograd_plan *plan = job->plan;
    const float *sums = part->sums;
    for (int64_t b = 0; b < part->blocks; b++) {
        int64_t first = block_first(part, b), rows = block_first(part, b + 1) - first;
        int64_t groups = sn_conv_parts(part->in_count, SN_CONV_SUM_STREAMS(rows));
        float *to = dw + part->out_first + first;
        for (int64_t g = 0; g < groups; g++, sums += sn_conv_sums_size(rows))
            for (int64_t i = 0; i < sn_conv_sums_size(rows); i += LANES)
                write_sums(to, part, plan, sums, rows, g, i, add);
    }
}

static weights_part part_of(const weights_job *job, int64_t group, int64_t in_block, float *scratch)
{
    const sn_winograd_plan *plan = job->plan;
    weights_part part = {.out_first = sn_conv_split(plan->out_channels, job->groups, group),
                         .in_first = sn_conv_split(plan->in_channels, job->in_blocks, in_block),
                         .space = winograd_space_of(plan, scratch)};
    part.out_count = sn_conv_split(plan->out_channels, job->groups, group + 1) - part.out_first;
    part.in_count = sn_conv_split(plan->in_channels, job->in_blocks, in_block + 1) - part.in_first;
    part.blocks = sn_conv_parts(part.out_count, SN_CONV_SUM_ROWS);
    part.x.values = part.space.rest;
    part.x.frequency = sn_winograd_frequency(plan->in_block, sn_winograd_unit_tiles(plan));
    part.dy.values = part.x.values + SN_WINOGRAD_FREQUENCIES * part.x.frequency;
    part.dy.frequency = sn_winograd_frequency(plan->group, sn_winograd_unit_lanes(plan));
    part.sums = part.dy.values + SN_WINOGRAD_FREQUENCIES * part.dy.frequency;
    for (int64_t b = 0; b < part.blocks; b++)
        part.sums_size +=
            sn_conv_block_sums(part.in_count, block_first(&part, b + 1) - block_first(&part, b));
    return part;
}

/* One part over the units of one partial sum. */
static void run_part(const weights_job *job, int64_t partial, int64_t group, int64_t in_block, float *scratch)
{
    const sn_winograd_plan *plan = job->plan;
    weights_part part = part_of(job, group, in_block, scratch);
    const int64_t units = sn_winograd_units(plan), weights = sn_winograd_weights(plan);
    memset(part.sums, 0, (size_t)(SN_WINOGRAD_FREQUENCIES * part.sums_size) * sizeof *part.sums);
    for (int64_t u = sn_conv_split(units, plan->partials, partial);
         u < sn_conv_split(units, plan->partials, partial + 1); u++) {
        winograd_unit unit = winograd_unit_of(plan, u);
        transform_unit(job, &part, &unit);
        sum_unit(&part, &unit);
    }
    if (plan->partials == 1)
        write_part(job, &part, job->dw, true);
    else
        write_part(job, &part, job->partials + partial * weights, false);
}

void SN_CPU_NAME(sn_winograd_backward_weights)(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    weights_job job = {.plan = plan, .x = call->in[0], .dy = call->in[1]};
    job.dw = call->out[0];
    job.partials = call->workspace;
    job.groups = sn_conv_parts(plan->out_channels, plan->group);
    job.in_blocks = sn_conv_parts(plan->in_channels, plan->in_block);
#pragma omp parallel num_threads(call->threads)
    {
        float *scratch = sn_cpu_thread_scratch(call);
        sn_cpu_share_out(call, plan->partials * job.in_blocks * job.groups);
        for (int64_t part; sn_cpu_take(call, &part);)
            run_part(&job, part / job.groups / job.in_blocks, part % job.groups,
                     part / job.groups % job.in_blocks, scratch);
        if (plan->partials > 1)
            sn_conv_add_partials(job.dw, job.partials, plan->partials, sn_winograd_weights(plan));
    }
}
