/* Convolution forward and backward data by Winograd's algorithm where lanes are channels; see winograd_plan.h. */
#include "backend/cpu/kernels/winograd_deep.h"

#include "backend/cpu/kernels/product.h"
#include "backend/cpu/kernels/winograd_run.h"

/* Vectors of a unit of work. */
enum { VECTORS = LANES == SN_WINOGRAD_LANES ? 1 : SN_PRODUCT_VECTORS };

_Static_assert(VECTORS *LANES <= SN_WINOGRAD_LANES,
               "the plan's scratch memory is for units of so many lanes");

/* Output channels in some layers of tiles, with what they need of a thread's scratch memory. */
typedef struct deep_unit {
    sn_lane_block block;
    int64_t first, layers; /* of all images */
    int64_t slab;          /* the first layer whose inputs are transformed */
    float *gathered;       /* (K^3, channels of a chunk, lanes) */
    winograd_lanes w, y;   /* frequencies of weights: input channels in place of tiles; of outputs */
    float *planes;         /* (planes of a tile, voxels, LANES) */
} deep_unit;

/* Floats from one tap of a chunk's weights to the next. */
static int64_t gathered_tap(void)
{
    return sn_winograd_frequency(SN_WINOGRAD_CHUNK, SN_WINOGRAD_LANES);
}

static deep_unit unit_of(const sn_winograd_plan *plan, sn_lane_block block, float *scratch)
{
    deep_unit unit = {.block = block, .gathered = scratch};
    unit.w.values = scratch + sn_winograd_taps(plan) * gathered_tap();
    unit.w.lanes = unit.y.lanes = block.lanes;
    unit.w.frequency = sn_winograd_frequency(sn_winograd_deep_depth(plan), SN_WINOGRAD_LANES);
    unit.y.values = unit.w.values + SN_WINOGRAD_FREQUENCIES * unit.w.frequency;
    unit.y.frequency = sn_winograd_deep_frequency(plan, SN_WINOGRAD_LANES);
    unit.planes = unit.y.values + SN_WINOGRAD_FREQUENCIES * unit.y.frequency;
    return unit;
}

/* One tap of the weights of `count` input channels of the block; what lies `next` floats further on is needed soon. */
static void gather_tap(float *to, const sn_winograd_plan *plan, const sn_lane_block *block, const float *w,
                       int64_t count, int64_t next)
{
    if (plan->weight_out != 1) {
        sn_to_lanes(to, block->lanes, block->count, w, plan->weight_out, count, next);
        return;
    }
    for (int64_t i = 0; i < count; i++, w += plan->weight_in)
        for (int64_t lane = 0; lane < block->lanes; lane += LANES) {
            vf_store(to + i * block->lanes + lane, vf_load(w + lane));
            __builtin_prefetch(w + lane + next, 0, 2);
        }
}

/* Weights of the block and of input channels [first, first + count). */
static void gather_weights(const deep_unit *unit, const sn_winograd_plan *plan, const float *w, int64_t first,
                           int64_t count)
{
    w += unit->block.first * plan->weight_out + first * plan->weight_in;
    for (int64_t t = 0; t < sn_winograd_taps(plan); t++, w += plan->weight_tap)
        gather_tap(unit->gathered + t * gathered_tap(), plan, &unit->block, w, count,
                   winograd_next_tap(plan, t, SN_WINOGRAD_CHUNK));
}

/* Their frequencies, from `to` on. */
static void transform_weights(const deep_unit *unit, const sn_winograd_plan *plan, float *to, int64_t count)
{
    const int64_t tap = plan->mirrored ? -gathered_tap() : gathered_tap();
    const float *first =
        unit->gathered + (plan->mirrored ? (sn_winograd_taps(plan) - 1) * gathered_tap() : 0);
    for (int64_t v = 0; v < count * unit->block.lanes; v += LANES)
        if (plan->kernel == 3)
            winograd_kernel(3, to + v, unit->w.frequency, first + v, tap);
        else
            winograd_kernel(5, to + v, unit->w.frequency, first + v, tap);
}

/* The outputs of one tile of a vector of channels, into planes. */
SN_INLINE void output_tile(const int tile, float *space, const sn_winograd_plan *plan,
                           const winograd_place *place, const float *m, int64_t frequency)
{
    enum { N = SN_WINOGRAD_INPUT };
    vf planes[SN_WINOGRAD_MAX_TILE][N][N];
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) {
            vf u[N], d[SN_WINOGRAD_MAX_TILE];
            for (int z = 0; z < N; z++)
                u[z] = vf_load(m + ((z * N + y) * N + x) * frequency);
            winograd_output(tile, u, d);
            for (int z = 0; z < tile; z++)
                planes[z][y][x] = d[z];
        }
    for (int z = 0; z < tile; z++) {
        vf rows[SN_WINOGRAD_MAX_TILE][N];
        for (int x = 0; x < N; x++) {
            vf u[N], d[SN_WINOGRAD_MAX_TILE];
            for (int y = 0; y < N; y++)
                u[y] = planes[z][y][x];
            winograd_output(tile, u, d);
            for (int y = 0; y < tile; y++)
                rows[y][x] = d[y];
        }
        for (int y = 0; y < tile; y++) {
            float *line = winograd_line_of(space, plan, place, z, y);
            vf d[SN_WINOGRAD_MAX_TILE];
            winograd_output(tile, rows[y], d);
            for (int x = 0; x < tile && line != NULL; x++)
                if (place->at[2][x] >= 0)
                    vf_store(line + place->at[2][x] * LANES, d[x]);
        }
    }
}

/* Input channels [first, first + count): their part of all outputs' frequencies. */
static void multiply(const sn_winograd_plan *plan, const winograd_lanes *x, const deep_unit *unit,
                     int64_t first, int64_t count)
{
    const float *first_tile =
        x->values + (unit->first - unit->slab) * sn_winograd_layer_tiles(plan) * x->lanes;
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++) {
        const sn_product product = {.rows = unit->layers * sn_winograd_layer_tiles(plan),
                                    .depth = count,
                                    .vectors = unit->block.vectors,
                                    .a = first_tile + f * x->frequency + first,
                                    .a_row = x->lanes,
                                    .a_depth = 1,
                                    .b = unit->w.values + f * unit->w.frequency,
                                    .b_depth = unit->w.lanes,
                                    .c = unit->y.values + f * unit->y.frequency,
                                    .c_row = unit->y.lanes,
                                    .add = first > 0};
        SN_PRODUCT_RUN(&product);
    }
}

/* A layer of tiles, which are whole planes of an image, of a vector of channels. */
static void output_layer(const deep_unit *unit, const sn_winograd_plan *plan, int64_t layer, int64_t lane,
                         float *y)
{
    const int64_t plane = plan->extent[1] * plan->extent[2], voxels = winograd_voxels(plan);
    const int64_t layers = sn_winograd_layers(plan), tiles = sn_winograd_layer_tiles(plan);
    const int64_t first = layer % layers * tiles, rest = unit->block.count - lane;
    const float *m = unit->y.values + (layer - unit->first) * tiles * unit->y.lanes + lane;
    winograd_place place;
    for (int64_t t = 0; t < tiles; t++, m += unit->y.lanes) {
        place = winograd_place_of(plan, first + t, 0, plan->tile);
        if (plan->tile == 4)
            output_tile(4, unit->planes, plan, &place, m, unit->y.frequency);
        else
            output_tile(2, unit->planes, plan, &place, m, unit->y.frequency);
    }
    y += (layer / layers * plan->out_channels + unit->block.first + lane) * voxels;
    for (int z = 0; z < plan->tile && place.at[0][z] >= 0; z++)
        sn_from_lanes(y + place.at[0][z] * plane, voxels, rest < LANES ? rest : LANES,
                      unit->planes + z * plane * LANES, LANES, plane, false);
}

static void run_unit(const sn_cpu_call *call, const sn_winograd_plan *plan, const winograd_lanes *x,
                     const deep_unit *unit)
{
    const int64_t depth = sn_winograd_deep_depth(plan);
    for (int64_t first = 0; first < plan->in_channels; first += depth) {
        int64_t end = first + depth < plan->in_channels ? first + depth : plan->in_channels;
        for (int64_t i = first; i < end; i += SN_WINOGRAD_CHUNK) {
            int64_t count = end - i < SN_WINOGRAD_CHUNK ? end - i : SN_WINOGRAD_CHUNK;
            gather_weights(unit, plan, call->in[1], i, count);
            transform_weights(unit, plan, unit->w.values + (i - first) * unit->w.lanes, count);
        }
        multiply(plan, x, unit, first, end - first);
    }
    for (int64_t layer = unit->first; layer < unit->first + unit->layers; layer++)
        for (int64_t lane = 0; lane < unit->block.count; lane += LANES)
            output_layer(unit, plan, layer, lane, call->out[0]);
}

/* Blocks of output channels. */
static int64_t blocks_of(const sn_winograd_plan *plan)
{
    return sn_conv_parts(sn_conv_parts(plan->out_channels, LANES), VECTORS);
}

/* One slab by this thread alone. */
static void run_slab(const sn_cpu_call *call, const sn_winograd_plan *plan, const winograd_lanes *x,
                     winograd_slab slab)
{
    float *scratch = winograd_deep_scratch(call, plan);
    const int64_t blocks = blocks_of(plan);
    winograd_deep_field(x, plan, call->in[0], plan->in_channels, slab, false, scratch);
    for (int64_t b = 0; b < blocks; b++) {
        deep_unit unit = unit_of(plan, sn_lane_block_of(plan->out_channels, blocks, b), scratch);
        unit.first = unit.slab = slab.first;
        unit.layers = slab.count;
        run_unit(call, plan, x, &unit);
    }
}

/* What threads share out of a slab: blocks of output channels by parts of its layers of tiles. Each part transforms the
 * weights for itself, which costs as much as to multiply some tiles. Each output is summed in the same order whatever
 * they are. */
static int64_t choose_parts(const sn_winograd_plan *plan, int64_t blocks, int64_t threads)
{
    const int64_t weights = (18 + sn_winograd_taps(plan)) / 8; /* in tiles */
    int64_t best = 0, least = 0;
    for (int64_t parts = 1; parts <= plan->slab; parts++) {
        int64_t tiles = sn_conv_parts(plan->slab, parts) * sn_winograd_layer_tiles(plan);
        int64_t cost = sn_conv_parts(blocks * parts, threads) * (weights + tiles);
        if (best == 0 || cost < least) {
            least = cost;
            best = parts;
        }
    }
    return best;
}

/* One slab by all threads of a parallel region. */
static void share_slab(const sn_cpu_call *call, const sn_winograd_plan *plan, const winograd_lanes *x,
                       winograd_slab slab)
{
    float *scratch = winograd_deep_scratch(call, plan);
    const int64_t blocks = blocks_of(plan), parts = choose_parts(plan, blocks, call->threads);
    winograd_deep_share_field(x, plan, call->in[0], plan->in_channels, slab, false, scratch);
#pragma omp barrier
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t part = 0; part < parts; part++) {
            deep_unit unit = unit_of(plan, sn_lane_block_of(plan->out_channels, blocks, b), scratch);
            unit.slab = slab.first;
            unit.first = slab.first + sn_conv_split(slab.count, parts, part);
            unit.layers = slab.first + sn_conv_split(slab.count, parts, part + 1) - unit.first;
            run_unit(call, plan, x, &unit);
        }
}

void SN_CPU_NAME(sn_winograd_deep_conv3d)(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    const int64_t slabs = sn_winograd_slabs(plan);
#pragma omp parallel num_threads(call->threads)
    {
        const winograd_lanes x = winograd_lanes_of(winograd_deep_values(call, plan), plan, plan->in_channels);
        if (sn_winograd_apart(plan, call->threads)) {
            sn_cpu_share_out(call, slabs);
            for (int64_t s; sn_cpu_take(call, &s);)
                run_slab(call, plan, &x, winograd_slab_of(plan, s));
        } else {
            for (int64_t s = 0; s < slabs; s++)
                share_slab(call, plan, &x, winograd_slab_of(plan, s));
        }
    }
}
