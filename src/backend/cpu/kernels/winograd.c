/* Convolution forward and backward data by Winograd's algorithm; see winograd_plan.h. */
#include "backend/cpu/kernels/winograd.h"

#include <string.h>

#include "backend/cpu/kernels/conv_block.h"
#include "backend/cpu/kernels/winograd_run.h"
#include "base/memory.h"

typedef struct winograd_job {
    const sn_winograd_plan *plan;
    const float *x, *w;
    float *y, *packed; /* (36, block: (in_channels, kernel, rows)) */
    int64_t packed_frequency;
    int64_t blocks, groups;
} winograd_job;

static int64_t first_row(const winograd_job *job, int64_t block)
{
    return sn_conv_split(job->plan->out_channels, job->blocks, block);
}

/* w[t], lane r: weight t of tap z along D, of row `first` + r and the kernel as it is applied to the input. */
static void gather_weights(vf w[], const winograd_job *job, int z, int64_t first, int64_t rows,
                           int64_t channel)
{
    const sn_winograd_plan *plan = job->plan;
    const int plane = plan->kernel * plan->kernel, last = plan->kernel * plane - 1;
    const float *from = job->w + first * plan->weight_out + channel * plan->weight_in;
    for (int t = 0; t < plane; t++)
        w[t] = (vf){0};
    for (int64_t r = 0; r < rows; r++, from += plan->weight_out)
        for (int t = 0; t < plane; t++)
            w[t][r] = from[plan->mirrored ? last - z * plane - t : z * plane + t];
}

/* The frequencies of the weights of one tap along D. */
SN_INLINE void transform_weights(const int kernel, vf u[SN_WINOGRAD_FREQUENCIES], const vf w[])
{
    vf rows[SN_WINOGRAD_MAX_KERNEL][SN_WINOGRAD_INPUT];
    for (int y = 0; y < kernel; y++)
        winograd_weights(kernel, w + kernel * y, rows[y]);
    for (int x = 0; x < SN_WINOGRAD_INPUT; x++) {
        vf column[SN_WINOGRAD_MAX_KERNEL], v[SN_WINOGRAD_INPUT];
        for (int y = 0; y < kernel; y++)
            column[y] = rows[y][x];
        winograd_weights(kernel, column, v);
        for (int y = 0; y < SN_WINOGRAD_INPUT; y++)
            u[y * SN_WINOGRAD_INPUT + x] = v[y];
    }
}

/* Weights of one input channel and one block, as the block kernel reads them: (kernel, rows) of each frequency. */
static void pack_weights(const winograd_job *job, int64_t block, int64_t channel)
{
    float out[SN_WINOGRAD_FREQUENCIES][SN_WINOGRAD_MAX_KERNEL * SN_CONV_BLOCK_ROWS + LANES];
    vf w[SN_WINOGRAD_MAX_KERNEL * SN_WINOGRAD_MAX_KERNEL], u[SN_WINOGRAD_FREQUENCIES];
    const int kernel = job->plan->kernel;
    int64_t first = first_row(job, block), rows = first_row(job, block + 1) - first;
    for (int z = 0; z < kernel; z++)
        for (int64_t r = 0; r < rows;
             r += LANES) { /* what is stored past the rows, the next ones overwrite */
            gather_weights(w, job, z, first + r, rows - r < LANES ? rows - r : LANES, channel);
            if (kernel == 3)
                transform_weights(3, u, w);
            else
                transform_weights(5, u, w);
            for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++)
                vf_store(out[f] + z * rows + r, u[f]);
        }
    float *to = job->packed + (first * job->plan->in_channels + channel * rows) * kernel;
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++, to += job->packed_frequency)
        memcpy(to, out[f], (size_t)(kernel * rows) * sizeof *to);
}

/* Frequencies of up to LANES tiles to their rows of pixels: row y, in order, at out[y]. */
SN_INLINE void output_tiles(const int tile, const float *m, int64_t frequency,
                            vf out[SN_WINOGRAD_MAX_TILE][SN_WINOGRAD_MAX_TILE])
{
    vf rows[SN_WINOGRAD_MAX_TILE][SN_WINOGRAD_INPUT];
    SN_UNROLL
    for (int x = 0; x < SN_WINOGRAD_INPUT; x++) {
        vf column[SN_WINOGRAD_INPUT], y[SN_WINOGRAD_MAX_TILE];
        SN_UNROLL
        for (int k = 0; k < SN_WINOGRAD_INPUT; k++)
            column[k] = vf_load(m + (k * SN_WINOGRAD_INPUT + x) * frequency);
        winograd_output(tile, column, y);
        SN_UNROLL
        for (int k = 0; k < tile; k++)
            rows[k][x] = y[k];
    }
    SN_UNROLL
    for (int y = 0; y < tile; y++) {
        vf part[SN_WINOGRAD_MAX_TILE];
        winograd_output(tile, rows[y], part);
        if (tile == 4)
            sn_join_4(part, out[y]);
        else
            sn_join_2(part, out[y]);
    }
}

/* Store `count` floats. What lies `next` floats further on is written soon. */
SN_INLINE void store_pixels(float *to, const vf pixels[], int64_t count, int64_t next)
{
    int64_t whole = count / LANES;
    for (int64_t i = 0; i < whole; i++) {
        vf_store(to + i * LANES, pixels[i]);
        __builtin_prefetch(to + i * LANES + next, 1, 2);
    }
    if (count % LANES != 0)
        memcpy(to + whole * LANES, &pixels[whole], (size_t)(count % LANES) * sizeof *to);
}

/* The pixels of two sub-grids along W in turn. */
SN_INLINE void join_pixels(const int tile, const vf first[], const vf second[], vf pixels[])
{
    SN_UNROLL
    for (int i = 0; i < tile; i++)
        sn_join_2((const vf[2]){first[i], second[i]}, pixels + 2 * i);
}

/* One row of tiles of one plane of one output channel. */
SN_INLINE void output_row(const int dilation, const int tile, float *plane, const sn_winograd_plan *plan,
                          const winograd_unit *unit, int64_t tile_row, const float *m, int64_t frequency)
{
    const int64_t width = plan->extent[2], pixels = dilation * tile * LANES;
    for (int64_t t = 0; t < plan->sub_tiles_x; t += LANES) {
        vf out[2][SN_WINOGRAD_MAX_TILE][SN_WINOGRAD_MAX_TILE];
        int64_t x = t * dilation * tile, count = width - x < pixels ? width - x : pixels;
        for (int p = 0; p < dilation; p++)
            output_tiles(tile, m + p * plan->sub_tiles_x + t, frequency, out[p]);
        for (int i = 0; i < tile; i++) {
            int64_t y = winograd_line(plan, unit, tile_row * tile + i);
            if (y >= plan->extent[1])
                break;
            vf joined[2 * SN_WINOGRAD_MAX_TILE];
            if (dilation == 2)
                join_pixels(tile, out[0][i], out[1][i], joined);
            store_pixels(plane + y * width + x, dilation == 2 ? joined : out[0][i], count,
                         winograd_voxels(plan));
        }
    }
}

/* One output channel of a unit. */
SN_INLINE void output_planes(const int dilation, const int tile, float *y, const sn_winograd_plan *plan,
                             const winograd_unit *unit, const float *m, int64_t frequency)
{
    for (int64_t z = unit->z; z < unit->z + unit->planes; z++) {
        float *plane = y + winograd_plane(plan, unit, z) * plan->extent[1] * plan->extent[2];
        for (int64_t r = unit->y; r < unit->y + unit->rows; r++, m += plan->tiles_x)
            output_row(dilation, tile, plane, plan, unit, r, m, frequency);
    }
}

/* The same, by a function for each kernel and dilation. */
static void output_channel(float *y, const sn_winograd_plan *plan, const winograd_unit *unit, const float *m,
                           int64_t frequency)
{
    if (plan->dilation == 1 && plan->tile == 4)
        output_planes(1, 4, y, plan, unit, m, frequency);
    else if (plan->dilation == 1)
        output_planes(1, 2, y, plan, unit, m, frequency);
    else if (plan->tile == 4)
        output_planes(2, 4, y, plan, unit, m, frequency);
    else
        output_planes(2, 2, y, plan, unit, m, frequency);
}

/* Multiply all frequencies of some input channels with the weights of blocks [begin, end). */
static void multiply(const winograd_job *job, const winograd_unit *unit, const winograd_field *in,
                     const winograd_field *out, int64_t first, int64_t count, int64_t begin, int64_t end)
{
    int32_t offsets[SN_WINOGRAD_MAX_KERNEL];
    winograd_offsets(offsets, job->plan, unit);
    int64_t vectors = (unit->planes * unit->tiles + LANES - 1) / LANES;
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++)
        for (int64_t b = begin; b < end; b++) {
            int64_t row = first_row(job, b), rows = first_row(job, b + 1) - row;
            sn_conv_block block = {.x = in->values + f * in->frequency,
                                   .x_channel = in->channel,
                                   .channels = count,
                                   .offsets = offsets,
                                   .taps = job->plan->kernel,
                                   .y_channel = out->channel,
                                   .add = first > 0};
            block.w = job->packed + f * job->packed_frequency +
                      (row * job->plan->in_channels + first * rows) * job->plan->kernel;
            block.y = out->values + f * out->frequency + (row - first_row(job, begin)) * out->channel;
            SN_CONV_RUNS[rows](&block, block.x, block.y, vectors);
        }
}

/* Blocks [begin, end) of one unit. */
static void run_unit(const winograd_job *job, const winograd_unit *unit, int64_t begin, int64_t end,
                     float *scratch)
{
    const sn_winograd_plan *plan = job->plan;
    const int64_t voxels = winograd_voxels(plan);
    const int64_t first = first_row(job, begin), channels = first_row(job, end) - first;
    float *rows = scratch;
    winograd_field in = {.values = rows + (SN_WINOGRAD_INPUT + 1) * plan->row,
                         .channel = (unit->planes + plan->kernel - 1) * unit->tiles};
    in.frequency = sn_winograd_frequency(plan->in_block, in.channel);
    winograd_field out = {.values = in.values + SN_WINOGRAD_FREQUENCIES * in.frequency,
                          .channel = sn_round_up(unit->planes * unit->tiles, SN_WINOGRAD_LANES)};
    out.frequency = sn_winograd_frequency(channels, out.channel);
    memset(rows, 0, (size_t)((SN_WINOGRAD_INPUT + 1) * plan->row) * sizeof *rows);
    for (int64_t i = 0; i < plan->in_channels; i += plan->in_block) {
        int64_t rest = plan->in_channels - i, count = rest < plan->in_block ? rest : plan->in_block;
        winograd_input_channels(&in, plan, unit, job->x + (unit->image * plan->in_channels + i) * voxels,
                                count, rows);
        multiply(job, unit, &in, &out, i, count, begin, end);
    }
    float *y = job->y + (unit->image * plan->out_channels + first) * voxels;
    for (int64_t o = 0; o < channels; o++)
        output_channel(y + o * voxels, plan, unit, out.values + o * out.channel, out.frequency);
}

/* Blocks are taken together, so that a unit is transformed once for all of them, but not so many that there
 * are too few units of work for the threads. */
static int64_t choose_groups(const winograd_job *job, int threads)
{
    int64_t fewest = sn_conv_parts(job->blocks, SN_CONV_MAX_GROUP / SN_CONV_BLOCK_ROWS);
    int64_t wanted = sn_conv_parts(4 * (int64_t)threads, sn_winograd_units(job->plan));
    int64_t groups = fewest > wanted ? fewest : wanted;
    return groups < job->blocks ? groups : job->blocks;
}

void SN_CPU_NAME(sn_winograd_conv3d)(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    winograd_job job = {.plan = plan, .x = call->in[0], .w = call->in[1], .y = call->out[0]};
    job.packed = call->workspace;
    job.packed_frequency = plan->out_channels * plan->in_channels * plan->kernel;
    job.blocks = sn_conv_parts(plan->out_channels, SN_CONV_BLOCK_ROWS);
    job.groups = choose_groups(&job, call->threads);
#pragma omp parallel num_threads(call->threads)
    {
        float *scratch = sn_cpu_thread_scratch(call);
#pragma omp for collapse(2) schedule(static)
        for (int64_t block = 0; block < job.blocks; block++)
            for (int64_t i = 0; i < plan->in_channels; i++)
                pack_weights(&job, block, i);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t u = 0; u < sn_winograd_units(plan); u++)
            for (int64_t g = 0; g < job.groups; g++) {
                winograd_unit unit = winograd_unit_of(plan, u);
                run_unit(&job, &unit, sn_conv_split(job.blocks, job.groups, g),
                         sn_conv_split(job.blocks, job.groups, g + 1), scratch);
            }
    }
}
