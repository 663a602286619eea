/* Convolution forward and backward data by Winograd's algorithm; see winograd_plan.h. */
#include "backend/cpu/kernels/winograd.h"
#include "backend/cpu/kernels/conv_block.h"
#include "backend/cpu/kernels/lanes.h"
#include "backend/cpu/kernels/share.h"
#include "backend/cpu/kernels/winograd_run.h"
#include "base/memory.h"

_Static_assert((int)SN_CONV_BLOCK_ROWS >= (int)SN_WINOGRAD_FEWEST_ROWS,
               "the plan's workspace is for blocks of so many rows");

typedef struct winograd_job {
    const sn_winograd_plan *plan;
    const float *x, *w;
    float *y, *packed;                 /* the frequencies of a round's weights */
    int64_t first_row, rows;           /* output channels of the round, */
    int64_t blocks, in_blocks, groups; /* and what they and the input channels are cut into */
} winograd_job;

/* From the round's first output channel on. */
static int64_t block_row(const winograd_job *job, int64_t block)
{
    return sn_conv_split(job->rows, job->blocks, block);
}

/* Floats of all weights in one frequency. */
static int64_t packed_frequency(const winograd_job *job)
{
    return job->plan->in_channels * job->rows + job->in_blocks * job->blocks * LANES;
}

/* Weights (channels, rows) of a block of output channels and the input channels from `first` on, `count` of
 * them. What vectors write past them has room. */
static float *packed_at(const winograd_job *job, int64_t block, int64_t first, int64_t count)
{
    int64_t before = first / job->plan->in_block * job->blocks + block;
    return job->packed + first * job->rows + count * block_row(job, block) + before * LANES;
}

/* Frequencies of the weights of LANES rows, in the order in which they are applied to the input. */
static void transform_weights(float *to, int64_t frequency, const sn_winograd_plan *plan, const float *w,
                              int64_t tap)
{
    const float *first = plan->mirrored ? w + (sn_winograd_taps(plan) - 1) * tap : w;
    if (plan->kernel == 3)
        winograd_kernel(3, to, frequency, first, plan->mirrored ? -tap : tap);
    else
        winograd_kernel(5, to, frequency, first, plan->mirrored ? -tap : tap);
}

/* Weights of one block and of the input channels from `first` on, as the block kernel reads them. Where rows lie apart,
 * they are brought together first: (K^3, channels, lanes). */
static void pack_weights(const winograd_job *job, int64_t block, int64_t first, float *scratch)
{
    const sn_winograd_plan *plan = job->plan;
    const int64_t row = block_row(job, block), rows = block_row(job, block + 1) - row;
    const int64_t rest = plan->in_channels - first, count = rest < plan->in_block ? rest : plan->in_block;
    const int64_t frequency = packed_frequency(job), lanes = sn_conv_parts(rows, LANES) * LANES;
    const float *w = job->w + (job->first_row + row) * plan->weight_out + first * plan->weight_in;
    float *to = packed_at(job, block, first, count);
    int64_t channel = plan->weight_in, tap = plan->weight_tap;
    if (plan->weight_out != 1) {
        for (int64_t t = 0; t < sn_winograd_taps(plan); t++, w += plan->weight_tap)
            sn_to_lanes(scratch + t * count * lanes, lanes, rows, w, plan->weight_out, count,
                        plan->weight_tap);
        w = scratch;
        channel = lanes;
        tap = count * lanes;
    }
    for (int64_t i = 0; i < count; i++)
        for (int64_t r = 0; r < rows; r += LANES) /* what is written past the rows, the next ones overwrite */
            transform_weights(to + i * rows + r, frequency, plan, w + i * channel + r, tap);
}

/* The third axis: from all frequencies of `count` tiles to those of planes, (36, line) each. */
SN_INLINE void output_depth(const int tile, float *planes, const sn_winograd_plan *plan, const float *m,
                            int64_t frequency, int64_t count)
{
    for (int f = 0; f < SN_WINOGRAD_PLANE; f++)
        for (int64_t t = 0; t < count; t += LANES) {
            vf v[SN_WINOGRAD_INPUT], y[SN_WINOGRAD_MAX_TILE];
            SN_UNROLL
            for (int k = 0; k < SN_WINOGRAD_INPUT; k++)
                v[k] = vf_load(m + (k * SN_WINOGRAD_PLANE + f) * frequency + t);
            winograd_output(tile, v, y);
            SN_UNROLL
            for (int k = 0; k < tile; k++)
                vf_store(planes + (k * SN_WINOGRAD_PLANE + f) * plan->line + t, y[k]);
        }
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
                          const winograd_unit *unit, int64_t tile_row, const float *m)
{
    const int64_t width = plan->extent[2], pixels = dilation * tile * LANES;
    for (int64_t t = 0; t < plan->sub_tiles_x; t += LANES) {
        vf out[2][SN_WINOGRAD_MAX_TILE][SN_WINOGRAD_MAX_TILE];
        int64_t x = t * dilation * tile, count = width - x < pixels ? width - x : pixels;
        for (int p = 0; p < dilation; p++)
            output_tiles(tile, m + p * plan->sub_tiles_x + t, plan->line, out[p]);
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
SN_INLINE void output_volume(const int dilation, const int tile, float *y, const sn_winograd_plan *plan,
                             const winograd_unit *unit, const float *m, int64_t frequency, float *planes)
{
    const int64_t count = unit->rows * plan->tiles_x;
    for (int64_t z = 0; z < unit->layers; z++, m += count) {
        output_depth(tile, planes, plan, m, frequency, count);
        for (int k = 0; k < tile; k++) {
            int64_t plane = winograd_plane(plan, unit, (unit->z + z) * tile + k);
            const float *from = planes + k * SN_WINOGRAD_PLANE * plan->line;
            for (int64_t r = 0; r < unit->rows && plane < plan->extent[0]; r++, from += plan->tiles_x)
                output_row(dilation, tile, y + plane * plan->extent[1] * plan->extent[2], plan, unit,
                           unit->y + r, from);
        }
    }
}

/* The same, by a function for each kernel and dilation. */
static void output_channel(float *y, const sn_winograd_plan *plan, const winograd_unit *unit, const float *m,
                           int64_t frequency, float *planes)
{
    if (plan->dilation == 1 && plan->tile == 4)
        output_volume(1, 4, y, plan, unit, m, frequency, planes);
    else if (plan->dilation == 1)
        output_volume(1, 2, y, plan, unit, m, frequency, planes);
    else if (plan->tile == 4)
        output_volume(2, 4, y, plan, unit, m, frequency, planes);
    else
        output_volume(2, 2, y, plan, unit, m, frequency, planes);
}

/* Multiply all frequencies of `count` input channels from `first` on with the weights of blocks [begin, end). */
static void multiply(const winograd_job *job, const winograd_unit *unit, const winograd_field *in,
                     const winograd_field *out, int64_t first, int64_t count, int64_t begin, int64_t end)
{
    static const int32_t no_shift = 0;
    const int64_t vectors = sn_conv_parts(unit->tiles, LANES), frequency = packed_frequency(job);
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++)
        for (int64_t b = begin; b < end; b++) {
            int64_t row = block_row(job, b), rows = block_row(job, b + 1) - row;
            sn_conv_block block = {.x = in->values + f * in->frequency,
                                   .x_channel = in->channel,
                                   .channels = count,
                                   .offsets = &no_shift,
                                   .taps = 1,
                                   .y_channel = out->channel,
                                   .add = first > 0};
            block.w = packed_at(job, b, first, count) + f * frequency;
            block.y = out->values + f * out->frequency + (row - block_row(job, begin)) * out->channel;
            SN_CONV_RUNS[rows](&block, block.x, block.y, vectors);
        }
}

/* Blocks [begin, end) of one unit. */
static void run_unit(const winograd_job *job, const winograd_unit *unit, int64_t begin, int64_t end,
                     float *scratch)
{
    const sn_winograd_plan *plan = job->plan;
    const int64_t voxels = winograd_voxels(plan);
    const int64_t first = block_row(job, begin), channels = block_row(job, end) - first;
    const winograd_space space = winograd_space_of(plan, scratch);
    winograd_field in = {.values = space.rest, .channel = unit->tiles};
    in.frequency = sn_winograd_frequency(plan->in_block, in.channel);
    winograd_field out = {.values = in.values + SN_WINOGRAD_FREQUENCIES * in.frequency,
                          .channel = sn_round_up(unit->tiles, SN_WINOGRAD_LANES)};
    out.frequency = sn_winograd_frequency(channels, out.channel);
    for (int64_t i = 0; i < plan->in_channels; i += plan->in_block) {
        int64_t rest = plan->in_channels - i, count = rest < plan->in_block ? rest : plan->in_block;
        winograd_input_channels(&in, plan, unit, job->x + (unit->image * plan->in_channels + i) * voxels,
                                count, &space);
        multiply(job, unit, &in, &out, i, count, begin, end);
    }
    float *y = job->y + (unit->image * plan->out_channels + job->first_row + first) * voxels;
    for (int64_t o = 0; o < channels; o++)
        output_channel(y + o * voxels, plan, unit, out.values + o * out.channel, out.frequency, space.planes);
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

/* The output channels of one round; for all threads of a parallel region. */
static void run_round(const sn_cpu_call *call, const winograd_job *job)
{
    float *scratch = sn_cpu_thread_scratch(call);
    const sn_winograd_plan *plan = job->plan;
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t block = 0; block < job->blocks; block++)
        for (int64_t i = 0; i < plan->in_channels; i += plan->in_block)
            pack_weights(job, block, i, scratch);
    sn_cpu_share_out(call, sn_winograd_units(plan) * job->groups);
    for (int64_t u; sn_cpu_take(call, &u);) {
        winograd_unit unit = winograd_unit_of(plan, u / job->groups);
        int64_t group = u % job->groups;
        run_unit(job, &unit, sn_conv_split(job->blocks, job->groups, group),
                 sn_conv_split(job->blocks, job->groups, group + 1), scratch);
    }
}

void SN_CPU_NAME(sn_winograd_conv3d)(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
#pragma omp parallel num_threads(call->threads)
    for (int64_t round = 0; round < plan->rounds; round++) {
        winograd_job job = {.plan = plan, .x = call->in[0], .w = call->in[1], .y = call->out[0]};
        job.packed = call->workspace;
        job.first_row = sn_conv_split(plan->out_channels, plan->rounds, round);
        job.rows = sn_conv_split(plan->out_channels, plan->rounds, round + 1) - job.first_row;
        job.blocks = sn_conv_parts(job.rows, SN_CONV_BLOCK_ROWS);
        job.in_blocks = sn_conv_parts(plan->in_channels, plan->in_block);
        job.groups = choose_groups(&job, call->threads);
        run_round(call, &job);
    }
}
