/* Convolution forward and backward data, directly: tiles of the input times blocks of packed weights. */
#include "backend/cpu/kernels/conv_block.h"
#include "backend/cpu/kernels/conv_deep.h"
#include "backend/cpu/kernels/conv_strided.h"
#include "backend/cpu/kernels/conv_tile.h"
#include "backend/cpu/kernels/share.h"
#include "backend/cpu/kernels/winograd_run.h"

/* One pass of a convolution, and how its output channels are cut into blocks and groups of blocks. */
typedef struct conv_job {
    const sn_conv_plan *plan;
    const sn_conv_pass *pass;
    const float *x, *w;
    float *y, *packed; /* of a block: (in_channels, taps, rows) */
    int64_t blocks, groups;
} conv_job;

static int64_t first_row(const conv_job *job, int64_t block)
{
    return sn_conv_split(job->plan->out_channels, job->blocks, block);
}

static float *packed_block(const conv_job *job, int64_t block)
{
    return job->packed + first_row(job, block) * job->plan->in_channels * job->pass->tap_count;
}

/* Weights of one input channel and one block, as `multiply` reads them. */
static void pack_weights(const conv_job *job, int64_t block, int64_t channel)
{
    const sn_conv_plan *plan = job->plan;
    const int taps = job->pass->tap_count;
    int64_t first = first_row(job, block), rows = first_row(job, block + 1) - first;
    float *to = packed_block(job, block) + channel * taps * rows;
    for (int t = 0; t < taps; t++) {
        int64_t at = channel * plan->weight_in + job->pass->taps[t].weight * plan->weight_tap;
        for (int64_t r = 0; r < rows; r++)
            *to++ = job->w[at + (first + r) * plan->weight_out];
    }
}

/* Copy a row in whole vectors where `room` floats may be written, else one by one. */
static void write_row(float *to, const float *row, int64_t count, int64_t room)
{
    int64_t i = 0;
    for (; i < count && i + LANES <= room; i += LANES)
        vf_store(to + i, vf_load(row + i));
    for (; i < count; i++)
        to[i] = row[i];
}

/* Write a tile of one output channel to its place. */
static void write_channel(const conv_job *job, const sn_conv_tile *tile, const sn_conv_sweep *sweep,
                          const float *from, float *channel)
{
    const sn_conv_plan *plan = job->plan;
    const int step = plan->out_step;
    const sn_conv_axis *axis = job->pass->axis;
    const bool whole_rows = tile->extent[2] == plan->out[2];
    for (int64_t z = 0; z < tile->extent[0]; z++)
        for (int64_t y = 0; y < tile->extent[1]; y++) {
            int64_t to_z = (tile->at[0] + z) * step + axis[0].out_phase;
            int64_t to_y = (tile->at[1] + y) * step + axis[1].out_phase;
            float *to = channel + (to_z * plan->out[1] + to_y) * plan->out[2] + tile->at[2] * step;
            const float *row = from + z * sweep->out_z + y * sweep->out_y;
            int64_t rows = whole_rows ? tile->extent[1] - y : 1; /* of ours, one after the other */
            if (step == 1)
                write_row(to, row, tile->extent[2], rows * tile->extent[2]);
            else
                for (int64_t i = 0; i < tile->extent[2]; i++)
                    to[i * step + axis[2].out_phase] = row[i];
        }
}

/* All runs of one block over one tile. */
static void run_block(const sn_conv_block *block, sn_conv_run *kernel, const sn_conv_pass *pass,
                      const sn_conv_sweep *sweep)
{
    for (int64_t z = 0; z < sweep->runs_z; z++)
        for (int64_t y = 0; y < sweep->runs_y; y++)
            kernel(block, block->x + z * pass->plane + y * pass->row,
                   block->y + z * sweep->out_z + y * sweep->out_y, sweep->vectors);
}

/* Where a tile's results are summed: in scratch memory, or where they belong. */
typedef struct conv_results {
    bool in_place;
    float *y;        /* of output (0,0,0), first channel */
    int64_t channel; /* floats from one channel to the next */
    sn_conv_sweep sweep;
} conv_results;

static conv_results results_of(const conv_job *job, const sn_conv_tile *tile, float *sums, float *output)
{
    const int64_t *out = job->plan->out;
    conv_results to = {.in_place = job->pass->in_place && tile->extent[2] % LANES == 0, .y = sums};
    to.sweep = sn_conv_sweep_of(job->pass, tile->extent, LANES);
    to.channel = to.sweep.out_size;
    if (to.in_place) {
        to.sweep.out_z = out[1] * out[2];
        to.sweep.out_y = out[2];
        to.y = output + tile->at[0] * to.sweep.out_z + tile->at[1] * to.sweep.out_y + tile->at[2];
        to.channel = sn_conv_voxels(out);
    }
    return to;
}

/* One tile, blocks [begin, end): sums over all input channels, a block of them at a time. */
static void run_unit(const conv_job *job, const sn_conv_tile *tile, int64_t begin, int64_t end,
                     float *scratch)
{
    const sn_conv_plan *plan = job->plan;
    const sn_conv_pass *pass = job->pass;
    int64_t out_voxels = sn_conv_voxels(plan->out), first = first_row(job, begin);
    float *output = job->y + (tile->image * plan->out_channels + first) * out_voxels;
    const conv_results to = results_of(job, tile, scratch + pass->in_block * pass->channel, output);
    for (int64_t i = 0; i < plan->in_channels; i += pass->in_block) {
        int64_t rest = plan->in_channels - i, count = rest < pass->in_block ? rest : pass->in_block;
        sn_conv_input input = sn_conv_input_of(plan, pass, tile, job->x, i, count, scratch);
        for (int64_t b = begin; b < end; b++) {
            int64_t row = first_row(job, b), rows = first_row(job, b + 1) - row;
            sn_conv_block block = {.x = input.origin,
                                   .x_channel = input.channel,
                                   .channels = count,
                                   .offsets = pass->offsets,
                                   .taps = pass->tap_count,
                                   .w = packed_block(job, b) + i * pass->tap_count * rows,
                                   .y = to.y + (row - first) * to.channel,
                                   .y_channel = to.channel,
                                   .add = i > 0,
                                   .far = to.in_place};
            run_block(&block, SN_CONV_RUNS[rows], pass, &to.sweep);
        }
    }
    for (int64_t o = 0; !to.in_place && o < first_row(job, end) - first; o++, output += out_voxels)
        write_channel(job, tile, &to.sweep, to.y + o * to.channel, output);
}

/* Blocks are taken together, so that a tile is copied once for all of them, but not so many that there are
 * too few units of work for the threads, or that their sums leave a cache. */
static int64_t choose_groups(const conv_job *job, int64_t tiles, int threads)
{
    const int64_t rows = sn_conv_parts(job->plan->out_channels, job->blocks);
    const bool sums = job->plan->dense || !job->pass->in_place; /* of all tiles or the last one */
    int64_t fewest = sums ? sn_conv_parts(job->blocks, SN_CONV_MAX_GROUP / rows) : 1;
    int64_t wanted = sn_conv_parts(4 * (int64_t)threads, tiles);
    int64_t groups = fewest > wanted ? fewest : wanted;
    return groups < job->blocks ? groups : job->blocks;
}

static void run_direct(const sn_cpu_call *call)
{
    const sn_conv_plan *plan = call->plan;
    conv_job job = {.plan = plan, .x = call->in[0], .w = call->in[1], .y = call->out[0]};
    job.packed = call->workspace;
    job.blocks = sn_conv_parts(plan->out_channels, SN_CONV_LONG_BLOCK_ROWS);
    for (int p = 0; p < plan->pass_count; p++) {
        job.pass = &plan->passes[p];
        int64_t tiles = plan->images * sn_conv_tiles(job.pass);
        job.groups = choose_groups(&job, tiles, call->threads);
#pragma omp parallel num_threads(call->threads)
        {
            float *scratch = sn_cpu_thread_scratch(call);
#pragma omp for collapse(2) schedule(static)
            for (int64_t block = 0; block < job.blocks; block++)
                for (int64_t i = 0; i < plan->in_channels; i++)
                    pack_weights(&job, block, i);
            sn_cpu_share_out(call, tiles * job.groups);
            for (int64_t unit; sn_cpu_take(call, &unit);) {
                sn_conv_tile tile = sn_conv_tile_of(job.pass, unit / job.groups);
                int64_t group = unit % job.groups;
                run_unit(&job, &tile, sn_conv_split(job.blocks, job.groups, group),
                         sn_conv_split(job.blocks, job.groups, group + 1), scratch);
            }
        }
    }
}

void SN_CPU_RUN(conv3d)(const sn_cpu_call *call)
{
    const sn_conv_plan *plan = call->plan;
    if (plan->way == SN_CONV_WINOGRAD && plan->winograd.deep)
        SN_CPU_NAME(sn_winograd_deep_conv3d)(call, &plan->winograd);
    else if (plan->way == SN_CONV_WINOGRAD)
        SN_CPU_NAME(sn_winograd_conv3d)(call, &plan->winograd);
    else if (plan->way == SN_CONV_DEEP && plan->deep->in_order)
        SN_CPU_NAME(sn_deep_backward_data)(call, plan->deep);
    else if (plan->way == SN_CONV_DEEP)
        SN_CPU_NAME(sn_deep_conv3d)(call, plan->deep);
    else if (plan->way == SN_CONV_STRIDED)
        SN_CPU_NAME(sn_strided_backward_data)(call, &plan->strided);
    else
        run_direct(call);
}
