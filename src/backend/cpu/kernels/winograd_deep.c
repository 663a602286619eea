/* Convolution forward and backward data by Winograd's algorithm where lanes are channels; see winograd_plan.h. */
#include "backend/cpu/kernels/winograd_deep.h"

#include "backend/cpu/kernels/product.h"
#include "backend/cpu/kernels/winograd_run.h"

_Static_assert(SN_PRODUCT_VECTORS *LANES <= SN_WINOGRAD_BLOCK,
               "the plan's scratch memory is for blocks of so many lanes");

/* A block of output channels, with what it needs of a thread's scratch memory. */
typedef struct deep_unit {
    sn_deep_block block;
    float *weights;   /* (channels of a chunk, K^3, lanes) */
    winograd_lanes w; /* their frequencies: a chunk's channels in place of tiles */
    winograd_lanes y;
    float *volume; /* (voxels, LANES) */
} deep_unit;

static deep_unit unit_of(const sn_winograd_plan *plan, int64_t blocks, int64_t index, float *scratch)
{
    const int64_t taps = plan->kernel * plan->kernel * plan->kernel;
    deep_unit unit = {.block = sn_deep_block_of(plan->out_channels, blocks, index), .weights = scratch};
    const int64_t lanes = unit.block.lanes;
    unit.w.values = scratch + SN_WINOGRAD_CHUNK * taps * lanes;
    unit.w.lanes = unit.y.lanes = lanes;
    unit.w.frequency = sn_winograd_frequency(SN_WINOGRAD_CHUNK, lanes);
    unit.y.values = unit.w.values + SN_WINOGRAD_FREQUENCIES * unit.w.frequency;
    unit.y.frequency = sn_winograd_frequency(SN_WINOGRAD_SLAB, lanes);
    unit.volume = unit.y.values + SN_WINOGRAD_FREQUENCIES * unit.y.frequency;
    return unit;
}

/* The frequencies of the weights of the block and of input channels [first, first + count). */
static void transform_weights(const deep_unit *unit, const sn_winograd_plan *plan, const float *w,
                              int64_t first, int64_t count)
{
    const int64_t taps = plan->kernel * plan->kernel * plan->kernel, lanes = unit->block.lanes;
    const float *from = w + unit->block.first * plan->weight_out + first * plan->weight_in;
    for (int64_t t = 0; t < taps; t++, from += plan->weight_tap)
        for (int64_t i = 0; i < count; i++)
            for (int64_t lane = 0; lane < lanes; lane++)
                unit->weights[(i * taps + t) * lanes + lane] =
                    lane < unit->block.count ? from[i * plan->weight_in + lane * plan->weight_out] : 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t lane = 0; lane < lanes; lane += LANES) {
            vf weight[SN_WINOGRAD_MAX_KERNEL * SN_WINOGRAD_MAX_KERNEL * SN_WINOGRAD_MAX_KERNEL];
            for (int64_t t = 0; t < taps; t++)
                weight[plan->mirrored ? taps - 1 - t : t] =
                    vf_load(unit->weights + (i * taps + t) * lanes + lane);
            float *to = unit->w.values + i * lanes + lane;
            if (plan->kernel == 3)
                winograd_kernel(3, to, unit->w.frequency, weight);
            else
                winograd_kernel(5, to, unit->w.frequency, weight);
        }
}

/* The outputs of one tile of a vector of channels, into `volume`. */
SN_INLINE void output_tile(const int tile, float *volume, const sn_winograd_plan *plan,
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
            float *line = winograd_line_of(volume, plan, place, z, y);
            vf d[SN_WINOGRAD_MAX_TILE];
            winograd_output(tile, rows[y], d);
            for (int x = 0; x < tile && line != NULL; x++)
                if (place->at[2][x] >= 0)
                    vf_store(line + place->at[2][x] * LANES, d[x]);
        }
    }
}

/* The block's channels of one image, and where they are put together. */
static float *volume_of(const deep_unit *unit, const sn_winograd_plan *plan, int64_t image, int64_t lane)
{
    return unit->volume + (lane * plan->images + image * LANES) * winograd_voxels(plan);
}

/* The outputs of tiles [first, first + count) of all images. */
static void output_tiles(const deep_unit *unit, const sn_winograd_plan *plan, int64_t first, int64_t count)
{
    for (int64_t lane = 0; lane < unit->block.lanes; lane += LANES)
        for (int64_t t = 0; t < count; t++) {
            const float *m = unit->y.values + t * unit->y.lanes + lane;
            float *volume = volume_of(unit, plan, (first + t) / plan->tiles, lane);
            winograd_place place = winograd_place_of(plan, (first + t) % plan->tiles, 0, plan->tile);
            if (plan->tile == 4)
                output_tile(4, volume, plan, &place, m, unit->y.frequency);
            else
                output_tile(2, volume, plan, &place, m, unit->y.frequency);
        }
}

/* Multiply tiles [first, first + count) with the weights of all input channels. */
static void multiply(const sn_cpu_call *call, const sn_winograd_plan *plan, const winograd_lanes *x,
                     const deep_unit *unit, int64_t first, int64_t count)
{
    for (int64_t i = 0; i < plan->in_channels; i += SN_WINOGRAD_CHUNK) {
        int64_t rest = plan->in_channels - i, channels = rest < SN_WINOGRAD_CHUNK ? rest : SN_WINOGRAD_CHUNK;
        transform_weights(unit, plan, call->in[1], i, channels);
        for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++) {
            const sn_product product = {.rows = count,
                                        .depth = channels,
                                        .vectors = unit->block.vectors,
                                        .a = x->values + f * x->frequency + first * x->lanes + i,
                                        .a_row = x->lanes,
                                        .a_depth = 1,
                                        .b = unit->w.values + f * unit->w.frequency,
                                        .b_depth = unit->w.lanes,
                                        .c = unit->y.values + f * unit->y.frequency,
                                        .c_row = unit->y.lanes,
                                        .add = i > 0};
            SN_PRODUCT_RUN(&product);
        }
    }
}

/* The outputs of a layer of tiles, which are whole planes of an image, to their places in y. */
static void write_layer(const deep_unit *unit, const sn_winograd_plan *plan, int64_t layer, float *y)
{
    const int64_t plane = plan->extent[1] * plan->extent[2], voxels = winograd_voxels(plan);
    const int64_t layers = sn_winograd_layers(plan), image = layer / layers;
    winograd_place place = winograd_place_of(plan, layer % layers * (plan->tiles / layers), 0, plan->tile);
    for (int64_t lane = 0; lane < unit->block.count; lane += LANES) {
        int64_t channel = image * plan->out_channels + unit->block.first + lane;
        int64_t rest = unit->block.count - lane;
        for (int z = 0; z < plan->tile && place.at[0][z] >= 0; z++)
            sn_from_lanes(y + channel * voxels + place.at[0][z] * plane, voxels, rest < LANES ? rest : LANES,
                          volume_of(unit, plan, image, lane) + place.at[0][z] * plane * LANES, LANES, plane,
                          false);
    }
}

/* Layers [begin, end) of tiles of all images. */
static void run_unit(const sn_cpu_call *call, const sn_winograd_plan *plan, const winograd_lanes *x,
                     const deep_unit *unit, int64_t begin, int64_t end)
{
    const int64_t of_layer = plan->tiles / sn_winograd_layers(plan), tiles = (end - begin) * of_layer;
    const int64_t slabs = sn_conv_parts(tiles, SN_WINOGRAD_SLAB);
    for (int64_t s = 0; s < slabs; s++) {
        int64_t first = sn_conv_split(tiles, slabs, s), count = sn_conv_split(tiles, slabs, s + 1) - first;
        multiply(call, plan, x, unit, begin * of_layer + first, count);
        output_tiles(unit, plan, begin * of_layer + first, count);
    }
    for (int64_t layer = begin; layer < end; layer++)
        write_layer(unit, plan, layer, call->out[0]);
}

/* What the threads share out: blocks of output channels by parts of the layers of tiles. Each output is summed in the
 * same order whatever they are. Weights are transformed for each slab of tiles anyway, so as many parts cost nothing;
 * then blocks may be smaller, and at last there may be more parts. */
typedef struct deep_units {
    int64_t blocks, parts;
} deep_units;

static deep_units choose_units(const sn_winograd_plan *plan, int64_t threads)
{
    const int64_t vectors = sn_conv_parts(plan->out_channels, LANES), slabs = sn_winograd_slabs(plan);
    const int64_t layers = plan->images * sn_winograd_layers(plan);
    deep_units units = {.blocks = sn_conv_parts(vectors, SN_PRODUCT_VECTORS)};
    units.parts = sn_conv_parts(threads, units.blocks);
    units.parts = units.parts < slabs ? units.parts : slabs;
    int64_t wanted = sn_conv_parts(threads, units.parts);
    wanted = wanted < vectors ? wanted : vectors;
    units.blocks = wanted > units.blocks ? wanted : units.blocks;
    units.parts = sn_conv_parts(threads, units.blocks);
    units.parts = units.parts < layers ? units.parts : layers;
    return units;
}

void SN_CPU_NAME(sn_winograd_deep_conv3d)(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    const winograd_lanes x = winograd_lanes_of(call->workspace, plan, plan->in_channels);
    const deep_units units = choose_units(plan, call->threads);
    const int64_t layers = plan->images * sn_winograd_layers(plan);
#pragma omp parallel num_threads(call->threads)
    {
        float *scratch = sn_cpu_thread_scratch(call);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t image = 0; image < plan->images; image++)
            for (int64_t v = 0; v < x.lanes / LANES; v++)
                winograd_deep_channels(&x, plan, call->in[0], plan->in_channels, image, v, false, scratch);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < units.blocks; b++)
            for (int64_t part = 0; part < units.parts; part++) {
                deep_unit unit = unit_of(plan, units.blocks, b, scratch);
                run_unit(call, plan, &x, &unit, sn_conv_split(layers, units.parts, part),
                         sn_conv_split(layers, units.parts, part + 1));
            }
    }
}
