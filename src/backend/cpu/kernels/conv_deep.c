/*
 * Convolution forward and backward data of few voxels and many channels: for each tap a product of matrices. A few
 * pairs of voxels by a few vectors of output channels are summed in registers, each input value broadcast. Backward data
 * turns the weights first, a tile at a time; where that takes too long see conv_deep_data.c.
 */
#include "backend/cpu/kernels/conv_deep.h"

#include <string.h>

#include "backend/cpu/kernels/lanes.h"

enum {
    MAX_PAIRS = 6,
    LINE = 16, /* floats of a line of the cache */
};

/* One tap: a chunk of input channels by a block of output channels. */
typedef struct tap_job {
    const float *x; /* first channel */
    int64_t x_channel, channels;
    const float *w; /* (channels, lanes), w_channel apart */
    int64_t w_channel;
    const float *next; /* weights that are needed next, in rows; where they are turned, about as many */
    int64_t next_row;
    float *sums; /* (voxels, lanes) */
} tap_job;

/* sums[out] += sum over channels of w * x[in], for each pair */
SN_INLINE void add_pairs(const int count, const int vectors, const tap_job *job, const sn_deep_pair *pairs)
{
    vf sum[MAX_PAIRS * SN_DEEP_VECTORS];
    const float *x[MAX_PAIRS], *w = job->w, *next = job->next;
    const int64_t lanes = vectors * LANES, end = job->channels * job->x_channel;
    SN_UNROLL
    for (int j = 0; j < count; j++) {
        x[j] = job->x + pairs[j].in;
        SN_UNROLL
        for (int k = 0; k < vectors; k++)
            sum[j * vectors + k] = vf_load(job->sums + pairs[j].out * lanes + k * LANES);
    }
    for (int64_t c = 0; c < end; c += job->x_channel, w += job->w_channel, next += job->next_row) {
        vf weight[SN_DEEP_VECTORS];
        SN_UNROLL
        for (int k = 0; k < vectors; k++) {
            weight[k] = vf_load(w + k * LANES);
            SN_KEEP(weight[k]);
            __builtin_prefetch(next + k * LANES, 0, 2);
        }
        SN_UNROLL
        for (int j = 0; j < count; j++) {
            SN_UNROLL
            for (int k = 0; k < vectors; k++)
                sum[j * vectors + k] += weight[k] * x[j][c];
        }
    }
    SN_UNROLL
    for (int j = 0; j < count; j++) {
        SN_UNROLL
        for (int k = 0; k < vectors; k++)
            vf_store(job->sums + pairs[j].out * lanes + k * LANES, sum[j * vectors + k]);
    }
}

typedef void pairs_kernel(const tap_job *job, const sn_deep_pair *pairs);

#define PAIRS(count, vectors)                                                                                \
    static void pairs_##count##_##vectors(const tap_job *job, const sn_deep_pair *pairs)                     \
    {                                                                                                        \
        add_pairs(count, vectors, job, pairs);                                                               \
    }
#define KERNELS(vectors)                                                                                     \
    PAIRS(1, vectors)                                                                                        \
    PAIRS(2, vectors)                                                                                        \
    PAIRS(3, vectors)                                                                                        \
    PAIRS(4, vectors)                                                                                        \
    PAIRS(5, vectors)                                                                                        \
    PAIRS(6, vectors)
#define LIST(vectors)                                                                                        \
    {                                                                                                        \
        NULL, pairs_1_##vectors, pairs_2_##vectors, pairs_3_##vectors, pairs_4_##vectors, pairs_5_##vectors, \
            pairs_6_##vectors                                                                                \
    }
KERNELS(1)
KERNELS(2)
#if LANES == 16
KERNELS(3)
KERNELS(4)
#endif

static pairs_kernel *const kernels[SN_DEEP_VECTORS + 1][MAX_PAIRS + 1] = {
    {NULL},  LIST(1), LIST(2),
#if LANES == 16
    LIST(3), LIST(4),
#endif
};

/* A unit of work: a slab of one image, some blocks of output channels. */
typedef struct deep_unit {
    const sn_deep_plan *plan;
    const sn_deep_slab *slab;
    int64_t blocks;     /* of all output channels, of which */
    int64_t begin, end; /* are these */
    const float *x, *w; /* of the image; all */
    float *turned;      /* backward: weights of a tile, (channels, lanes) */
    float *sums;        /* (blocks, voxels, lanes) */
} deep_unit;

static sn_lane_block block_at(const deep_unit *unit, int64_t b)
{
    return sn_lane_block_of(unit->plan->out_channels, unit->blocks, b);
}

static float *sums_at(const deep_unit *unit, const sn_lane_block *block)
{
    return unit->sums + (block->first - block_at(unit, unit->begin).first) * unit->slab->count;
}

/* Weights that are used together: one tap, a chunk of input channels, a block of output channels. */
typedef struct weights_tile {
    const sn_deep_tap *tap;
    int64_t first, channels;
    sn_lane_block block;
    const float *from;
} weights_tile;

static int64_t tile_count(const deep_unit *unit)
{
    return unit->slab->tap_count * unit->plan->chunks * (unit->end - unit->begin);
}

/* Blocks, which lie next to each other, come first, then chunks, then taps. */
static weights_tile tile_of(const deep_unit *unit, int64_t index)
{
    const sn_deep_plan *plan = unit->plan;
    const int64_t blocks = unit->end - unit->begin, chunk = index / blocks % plan->chunks;
    const int64_t lines = sn_conv_parts(plan->in_channels, LINE);
    weights_tile tile = {.tap = unit->slab->taps + index / blocks / plan->chunks};
    tile.block = block_at(unit, unit->begin + index % blocks);
    tile.first = LINE * sn_conv_split(lines, plan->chunks, chunk);
    tile.channels = LINE * sn_conv_split(lines, plan->chunks, chunk + 1) - tile.first;
    if (tile.first + tile.channels > plan->in_channels)
        tile.channels = plan->in_channels - tile.first;
    tile.from = unit->w + tile.tap->weight * plan->weight_tap + tile.first * plan->weight_in +
                tile.block.first * plan->weight_out;
    return tile;
}

/* Multiply with one tile. The next one is fetched meanwhile. */
static void run_tile(const deep_unit *unit, const weights_tile *tile, const weights_tile *next)
{
    const sn_deep_plan *plan = unit->plan;
    const sn_deep_tap *tap = tile->tap;
    const int64_t parts = sn_conv_parts(tap->count, MAX_PAIRS), lanes = tile->block.lanes;
    tap_job job = {.x = unit->x + tile->first * plan->in_voxels,
                   .x_channel = plan->in_voxels,
                   .channels = tile->channels,
                   .w = tile->from,
                   .w_channel = plan->weight_in,
                   .next = next->from,
                   .next_row = plan->backward ? plan->weight_out : plan->weight_in,
                   .sums = sums_at(unit, &tile->block) - unit->slab->first * lanes};
    if (plan->backward) {
        sn_to_lanes(unit->turned, lanes, tile->block.count, tile->from, plan->weight_out, tile->channels, 0);
        job.w = unit->turned;
        job.w_channel = lanes;
    }
    for (int64_t p = 0; p < parts; p++) {
        int64_t begin = sn_conv_split(tap->count, parts, p), end = sn_conv_split(tap->count, parts, p + 1);
        kernels[tile->block.vectors][end - begin](&job, tap->pairs + begin);
    }
}

static void write_sums(const deep_unit *unit, float *y)
{
    const int64_t voxels = unit->plan->out_voxels;
    for (int64_t b = unit->begin; b < unit->end; b++) {
        const sn_lane_block block = block_at(unit, b);
        sn_from_lanes(y + block.first * voxels + unit->slab->first, voxels, block.count,
                      sums_at(unit, &block), block.lanes, unit->slab->count, false);
    }
}

static void run_unit(const deep_unit *unit, float *y)
{
    const int64_t tiles = tile_count(unit);
    const sn_lane_block last = block_at(unit, unit->end - 1);
    const float *end = sums_at(unit, &last) + last.lanes * unit->slab->count;
    memset(unit->sums, 0, (size_t)(end - unit->sums) * sizeof *unit->sums);
    for (int64_t i = 0; i < tiles; i++) {
        weights_tile tile = tile_of(unit, i), next = tile_of(unit, i + 1 < tiles ? i + 1 : i);
        run_tile(unit, &tile, &next);
    }
    write_sums(unit, y);
}

static deep_unit unit_of(const sn_cpu_call *call, const sn_deep_plan *plan, int64_t image, int64_t slab)
{
    deep_unit unit = {.plan = plan, .slab = &plan->slabs[slab], .w = call->in[1]};
    unit.x = (const float *)call->in[0] + image * plan->in_channels * plan->in_voxels;
    unit.turned = sn_cpu_thread_scratch(call);
    unit.sums = unit.turned + SN_DEEP_MAX_TURNED * SN_DEEP_MAX_BLOCK;
    return unit;
}

/* Each voxel is summed in the same order whatever the blocks, so more threads may have more of them. */
static int64_t choose_blocks(const sn_deep_plan *plan, int threads)
{
    int64_t vectors = sn_conv_parts(plan->out_channels, LANES);
    int64_t fewest = sn_conv_parts(vectors, SN_DEEP_VECTORS);
    int64_t wanted = sn_conv_parts(threads, plan->images * plan->slab_count);
    int64_t blocks = fewest > wanted ? fewest : wanted;
    return blocks < vectors ? blocks : vectors;
}

/* The blocks of a unit are neighbours, so that weights are read in long pieces; but each thread shall have a unit. */
static int64_t choose_groups(const sn_deep_plan *plan, int64_t blocks, int threads)
{
    int64_t lanes = sn_conv_parts(plan->out_channels, LANES) * LANES;
    int64_t fewest = sn_conv_parts(lanes, plan->lanes);
    int64_t wanted = sn_conv_parts(threads, plan->images * plan->slab_count);
    int64_t groups = fewest > wanted ? fewest : wanted;
    return groups < blocks ? groups : blocks;
}

void SN_CPU_NAME(sn_deep_conv3d)(const sn_cpu_call *call, const sn_deep_plan *plan)
{
    int64_t blocks = choose_blocks(plan, call->threads), groups = choose_groups(plan, blocks, call->threads);
#pragma omp parallel for collapse(3) num_threads(call->threads) schedule(dynamic)
    for (int64_t image = 0; image < plan->images; image++)
        for (int64_t s = 0; s < plan->slab_count; s++)
            for (int64_t g = 0; g < groups; g++) {
                deep_unit unit = unit_of(call, plan, image, s);
                unit.blocks = blocks;
                unit.begin = sn_conv_split(blocks, groups, g);
                unit.end = sn_conv_split(blocks, groups, g + 1);
                run_unit(&unit, (float *)call->out[0] + image * plan->out_channels * plan->out_voxels);
            }
}
