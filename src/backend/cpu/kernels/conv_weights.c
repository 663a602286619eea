/* Convolution backward weights, directly: dw[o, i, tap] += sum over voxels of dy[o, v] * x[i, v + shift of tap]. */
#include "backend/cpu/kernels/conv_deep.h"
#include "backend/cpu/kernels/conv_strided.h"
#include "backend/cpu/kernels/conv_sums.h"
#include "backend/cpu/kernels/conv_tile.h"
#include "backend/cpu/kernels/share.h"
#include "backend/cpu/kernels/winograd_run.h"

/* A range of output channels, in blocks, by a range of input channels. */
typedef struct weights_unit {
    int64_t out_first, out_count, blocks;
    int64_t in_first, in_count;
    float *input, *gradient, *sums; /* scratch */
} weights_unit;

typedef struct weights_job {
    const sn_conv_plan *plan;
    const sn_conv_pass *pass;
    const float *x, *dy;
    float *dw, *partials; /* (partials, K^3, I, O) */
    int64_t groups, in_blocks;
} weights_job;

/* Copy a tile of one channel of dy, 0 between its rows; up to LANES - 1 floats more are written. */
static void copy_gradient(float *to, const float *dy, const sn_conv_plan *plan, const sn_conv_tile *tile,
                          const sn_conv_sweep *sweep)
{
    int64_t done = 0;
    for (int64_t z = 0; z < tile->extent[0]; z++)
        for (int64_t y = 0; y < tile->extent[1]; y++) {
            int64_t at = z * sweep->out_z + y * sweep->out_y;
            int64_t from = (tile->at[0] + z) * plan->out[1] + tile->at[1] + y;
            sn_conv_clear(to + done, at - done);
            sn_conv_copy(to + at, dy + from * plan->out[2] + tile->at[2], tile->extent[2],
                         sn_conv_voxels(plan->out));
            done = at + tile->extent[2];
        }
    sn_conv_clear(to + done, sweep->out_size - LANES - done);
}

static int64_t block_sums(const weights_job *job, const weights_unit *unit, int64_t rows)
{
    return sn_conv_block_sums(unit->in_count * job->pass->tap_count, rows);
}

/* One stretch of voxels of a tile: all blocks. */
static void sum_stretch(const weights_job *job, const weights_unit *unit, const float *dy, int64_t dy_channel,
                        sn_conv_input input, int64_t vectors)
{
    const sn_conv_streams streams = {.x = input.origin,
                                     .x_channel = input.channel,
                                     .channels = unit->in_count,
                                     .offsets = job->pass->offsets,
                                     .taps = job->pass->tap_count};
    float *sums = unit->sums;
    for (int64_t b = 0; b < unit->blocks; b++) {
        int64_t first = sn_conv_split(unit->out_count, unit->blocks, b);
        int64_t rows = sn_conv_split(unit->out_count, unit->blocks, b + 1) - first;
        SN_CONV_SUM_BLOCK(rows, dy + first * dy_channel, dy_channel, &streams, vectors, sums);
        sums += block_sums(job, unit, rows);
    }
}

/* Whether dy is copied, even if it could be used where it lies: channels at multiples of 4096 bytes share lines of a
 * cache, and many streams would read them there. */
static bool copies_gradient(const weights_unit *unit, int64_t voxels)
{
    return voxels % 1024 == 0 && unit->in_count > 32 && unit->out_count > 24;
}

static void sum_tile(const weights_job *job, const weights_unit *unit, const sn_conv_tile *tile)
{
    const sn_conv_plan *plan = job->plan;
    const sn_conv_pass *pass = job->pass;
    const sn_conv_sweep sweep = sn_conv_sweep_of(pass, tile->extent, LANES);
    sn_conv_input input =
        sn_conv_input_of(plan, pass, tile, job->x, unit->in_first, unit->in_count, unit->input);
    int64_t voxels = sn_conv_voxels(plan->out), dy_channel = voxels;
    const float *dy = job->dy + (tile->image * plan->out_channels + unit->out_first) * voxels;
    if (sn_conv_in_place(plan, tile) && !copies_gradient(unit, voxels)) {
        dy += tile->at[2];
    } else {
        for (int64_t o = 0; o < unit->out_count; o++)
            copy_gradient(unit->gradient + o * sweep.out_size, dy + o * voxels, plan, tile, &sweep);
        dy = unit->gradient;
        dy_channel = sweep.out_size;
    }
    const float *origin = input.origin;
    for (int64_t z = 0; z < sweep.runs_z; z++)
        for (int64_t y = 0; y < sweep.runs_y; y++)
            for (int64_t v = 0; v < sweep.vectors; v += SN_CONV_STRETCH) {
                int64_t rest = sweep.vectors - v;
                input.origin = origin + z * pass->plane + y * pass->row + v * LANES;
                sum_stretch(job, unit, dy + z * sweep.out_z + y * sweep.out_y + v * LANES, dy_channel, input,
                            rest < SN_CONV_STRETCH ? rest : SN_CONV_STRETCH);
            }
}

/* Add (or write, to partial sums) what a unit has summed to its part of dw. */
static void write_sums(const weights_job *job, const weights_unit *unit, float *dw, bool add)
{
    const sn_conv_plan *plan = job->plan;
    const int64_t taps = job->pass->tap_count;
    const float *sums = unit->sums;
    for (int64_t b = 0; b < unit->blocks; b++) {
        int64_t first = sn_conv_split(unit->out_count, unit->blocks, b);
        int64_t rows = sn_conv_split(unit->out_count, unit->blocks, b + 1) - first;
        for (int64_t s = 0; s < unit->in_count * taps; s++) {
            float *to = dw + s % taps * plan->weight_tap + (unit->in_first + s / taps) * plan->weight_in +
                        unit->out_first + first;
            for (int64_t r = 0; r < rows; r++) {
                float sum = sums[sn_conv_sum_at(rows, r, s)];
                to[r] = add ? to[r] + sum : sum;
            }
        }
        sums += block_sums(job, unit, rows);
    }
}

static weights_unit unit_of(const weights_job *job, int64_t group, int64_t in_block, float *scratch)
{
    const sn_conv_plan *plan = job->plan;
    weights_unit unit = {.out_first = sn_conv_split(plan->out_channels, job->groups, group),
                         .in_first = sn_conv_split(plan->in_channels, job->in_blocks, in_block)};
    unit.out_count = sn_conv_split(plan->out_channels, job->groups, group + 1) - unit.out_first;
    unit.in_count = sn_conv_split(plan->in_channels, job->in_blocks, in_block + 1) - unit.in_first;
    unit.blocks = sn_conv_parts(unit.out_count, SN_CONV_SUM_ROWS);
    unit.input = scratch;
    unit.gradient = unit.input + job->pass->in_block * job->pass->channel;
    unit.sums = unit.gradient + plan->group * job->pass->sweep.out_size;
    return unit;
}

/* One unit over the tiles of one partial sum. */
static void run_unit(const weights_job *job, int64_t partial, int64_t group, int64_t in_block, float *scratch)
{
    const sn_conv_plan *plan = job->plan;
    weights_unit unit = unit_of(job, group, in_block, scratch);
    int64_t tiles = plan->images * sn_conv_tiles(job->pass), sums = 0;
    for (int64_t b = 0; b < unit.blocks; b++)
        sums += block_sums(job, &unit,
                           sn_conv_split(unit.out_count, unit.blocks, b + 1) -
                               sn_conv_split(unit.out_count, unit.blocks, b));
    memset(unit.sums, 0, (size_t)sums * sizeof *unit.sums);
    for (int64_t t = sn_conv_split(tiles, plan->partials, partial);
         t < sn_conv_split(tiles, plan->partials, partial + 1); t++) {
        sn_conv_tile tile = sn_conv_tile_of(job->pass, t);
        sum_tile(job, &unit, &tile);
    }
    int64_t size = job->pass->tap_count * plan->weight_tap;
    if (plan->partials == 1)
        write_sums(job, &unit, job->dw, true);
    else
        write_sums(job, &unit, job->partials + partial * size, false);
}

static void run_direct(const sn_cpu_call *call)
{
    const sn_conv_plan *plan = call->plan;
    weights_job job = {.plan = plan, .pass = plan->passes, .x = call->in[0], .dy = call->in[1]};
    job.dw = call->out[0];
    job.partials = call->workspace;
    job.groups = sn_conv_parts(plan->out_channels, plan->group);
    job.in_blocks = sn_conv_parts(plan->in_channels, job.pass->in_block);
    int64_t size = job.pass->tap_count * plan->weight_tap;
#pragma omp parallel num_threads(call->threads)
    {
        float *scratch = sn_cpu_thread_scratch(call);
        sn_cpu_share_out(call, plan->partials * job.in_blocks * job.groups);
        for (int64_t unit; sn_cpu_take(call, &unit);)
            run_unit(&job, unit / job.groups / job.in_blocks, unit % job.groups,
                     unit / job.groups % job.in_blocks, scratch);
        if (plan->partials > 1)
            sn_conv_add_partials(job.dw, job.partials, plan->partials, size);
    }
}

void SN_CPU_RUN(conv3d_backward_weights)(const sn_cpu_call *call)
{
    const sn_conv_plan *plan = call->plan;
    if (plan->way == SN_CONV_WINOGRAD && plan->winograd.deep)
        SN_CPU_NAME(sn_winograd_deep_backward_weights)(call, &plan->winograd);
    else if (plan->way == SN_CONV_WINOGRAD)
        SN_CPU_NAME(sn_winograd_backward_weights)(call, &plan->winograd);
    else if (plan->way == SN_CONV_DEEP)
        SN_CPU_NAME(sn_deep_backward_weights)(call, plan->deep);
    else if (plan->way == SN_CONV_STRIDED)
        SN_CPU_NAME(sn_strided_backward_weights)(call, &plan->strided);
    else
        run_direct(call);
}
