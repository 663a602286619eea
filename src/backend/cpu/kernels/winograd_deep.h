/**
 * Winograd's transforms where lanes are channels: few tiles, many channels (see winograd_plan.h).
 *
 * The planes of a layer of tiles, of a vector of channels, are first put into the order (planes, voxels, lanes); the tiles
 * lie anywhere in them, whatever their extents.
 */
#ifndef SN_BACKEND_CPU_WINOGRAD_DEEP_H
#define SN_BACKEND_CPU_WINOGRAD_DEEP_H

#include "backend/cpu/kernels/conv_deep.h"
#include "backend/cpu/kernels/lanes.h"
#include "backend/cpu/kernels/share.h"
#include "backend/cpu/kernels/winograd.h"

/* Layers [first, first + count) of tiles, of all images, that are worked on together. */
typedef struct winograd_slab {
    int64_t first, count;
} winograd_slab;

static inline winograd_slab winograd_slab_of(const sn_winograd_plan *plan, int64_t index)
{
    const int64_t layers = plan->images * sn_winograd_layers(plan), slabs = sn_winograd_slabs(plan);
    int64_t first = sn_conv_split(layers, slabs, index);
    return (winograd_slab){first, sn_conv_split(layers, slabs, index + 1) - first};
}

/* Memory for the frequencies of a slab, of this thread or of all. */
static inline float *winograd_deep_values(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    return sn_winograd_apart(plan, call->threads) ? sn_cpu_thread_scratch(call) : call->workspace;
}

/* This thread's scratch memory beside it. */
static inline float *winograd_deep_scratch(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    float *scratch = sn_cpu_thread_scratch(call);
    return sn_winograd_apart(plan, call->threads) ? scratch + sn_winograd_deep_floats(plan) : scratch;
}

/* Where partial sums of backward weights lie, behind the frequencies that threads share. */
static inline float *winograd_deep_partials(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    return (float *)call->workspace + sn_winograd_deep_floats(plan);
}

/* Frequencies of all tiles: value f, t, channel c at f*frequency + t*lanes + c. */
typedef struct winograd_lanes {
    float *values;
    int64_t frequency, lanes;
} winograd_lanes;

static inline winograd_lanes winograd_lanes_of(float *values, const sn_winograd_plan *plan, int64_t channels)
{
    return (winograd_lanes){values, sn_winograd_deep_frequency(plan, channels),
                            sn_conv_parts(channels, LANES) * LANES};
}

/* Floats from tap t of weights to what should be fetched from memory meanwhile: a later tap, or, at the end, one of the
 * first ones of the input channels that come `channels` later. */
static inline int64_t winograd_next_tap(const sn_winograd_plan *plan, int64_t t, int64_t channels)
{
    const int64_t ahead = 4, taps = sn_winograd_taps(plan);
    if (t + ahead < taps)
        return ahead * plan->weight_tap;
    return (ahead - taps) * plan->weight_tap + channels * plan->weight_in;
}

/* Where voxels of a tile lie along the axes; < 0: outside the grid. */
typedef struct winograd_place {
    int64_t at[3][SN_WINOGRAD_INPUT];
} winograd_place;

/* `count` voxels an axis of tile `index` of an image, from `before` voxels before its first output on. */
static inline winograd_place winograd_place_of(const sn_winograd_plan *plan, int64_t index, int64_t before,
                                               int count)
{
    const int64_t tiles[3] = {plan->tiles_z, plan->tiles_y, plan->sub_tiles_x};
    winograd_place place = {0};
    for (int i = 2; i >= 0; i--) {
        int64_t of_axis = index % (plan->dilation * tiles[i]);
        int64_t phase = of_axis / tiles[i], first = of_axis % tiles[i] * plan->tile - before;
        for (int k = 0; k < count; k++) {
            int64_t at = plan->dilation * (first + k) + phase;
            place.at[i][k] = first + k >= 0 && at < plan->extent[i] ? at : -1;
        }
        index /= plan->dilation * tiles[i];
    }
    return place;
}

/* Row y of plane z of a tile in `planes` (planes, voxels, lanes): NULL outside the grid. */
static inline float *winograd_line_of(float *planes, const sn_winograd_plan *plan,
                                      const winograd_place *place, int z, int y)
{
    int64_t at_y = place->at[1][y];
    if (place->at[0][z] < 0 || at_y < 0)
        return NULL;
    return planes + (z * plan->extent[1] + at_y) * plan->extent[2] * LANES;
}

/* v = B' d of inputs, v = A d of gradients. */
SN_INLINE void winograd_line_forward(const int tile, const bool gradient, const vf d[], vf v[])
{
    if (gradient)
        winograd_gradient(tile, d, v);
    else
        winograd_input(d, v);
}

/* All frequencies of one tile of a vector of channels. Those of the next tile lie `next` floats further on. */
SN_INLINE void winograd_tile(const int tile, const bool gradient, float *v, int64_t frequency, int64_t next,
                             float *space, const sn_winograd_plan *plan, const winograd_place *place)
{
    enum { N = SN_WINOGRAD_INPUT };
    const int lines = gradient ? tile : N;
    vf planes[N][N][N];
    for (int z = 0; z < lines; z++) {
        vf rows[N][N];
        for (int y = 0; y < lines; y++) {
            const float *line = winograd_line_of(space, plan, place, z, y);
            vf d[N];
            for (int x = 0; x < lines; x++)
                d[x] =
                    line != NULL && place->at[2][x] >= 0 ? vf_load(line + place->at[2][x] * LANES) : (vf){0};
            winograd_line_forward(tile, gradient, d, rows[y]);
        }
        for (int x = 0; x < N; x++) {
            vf d[N], u[N];
            for (int y = 0; y < lines; y++)
                d[y] = rows[y][x];
            winograd_line_forward(tile, gradient, d, u);
            for (int y = 0; y < N; y++)
                planes[z][y][x] = u[y];
        }
    }
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) {
            vf d[N], u[N];
            for (int z = 0; z < lines; z++)
                d[z] = planes[z][y][x];
            winograd_line_forward(tile, gradient, d, u);
            for (int z = 0; z < N; z++) {
                vf_store(v + ((z * N + y) * N + x) * frequency, u[z]);
                __builtin_prefetch(v + ((z * N + y) * N + x) * frequency + next, 1, 2);
            }
        }
}

/* A layer of tiles of a vector of channels, of x or of gradients, to its place in the field, which begins with layer
 * `first`. `planes`: (6, voxels, lanes) of scratch memory. */
static void winograd_deep_layer(const winograd_lanes *field, const sn_winograd_plan *plan, const float *x,
                                int64_t channels, int64_t vector, int64_t layer, int64_t first, bool gradient,
                                float *planes)
{
    const int64_t voxels = winograd_voxels(plan), plane = plan->extent[1] * plan->extent[2];
    const int64_t layers = sn_winograd_layers(plan), tiles = sn_winograd_layer_tiles(plan);
    const int64_t channel = vector * LANES, rest = channels - channel,
                  before = gradient ? 0 : plan->kernel / 2;
    const int count = gradient ? plan->tile : SN_WINOGRAD_INPUT;
    float *to = field->values + (layer - first) * tiles * field->lanes + channel;
    winograd_place place = winograd_place_of(plan, layer % layers * tiles, before, count);
    x += (layer / layers * channels + channel) * voxels;
    for (int z = 0; z < count; z++)
        if (place.at[0][z] >= 0)
            sn_to_lanes(planes + z * plane * LANES, LANES, rest < LANES ? rest : LANES,
                        x + place.at[0][z] * plane, voxels, plane, plan->dilation * plane);
    for (int64_t t = 0; t < tiles; t++, to += field->lanes) {
        place = winograd_place_of(plan, layer % layers * tiles + t, before, count);
        if (gradient && plan->tile == 4)
            winograd_tile(4, true, to, field->frequency, field->lanes, planes, plan, &place);
        else if (gradient)
            winograd_tile(2, true, to, field->frequency, field->lanes, planes, plan, &place);
        else
            winograd_tile(SN_WINOGRAD_INPUT, false, to, field->frequency, field->lanes, planes, plan, &place);
    }
}

/* All layers of tiles of a slab, of all channels. */
static void winograd_deep_field(const winograd_lanes *field, const sn_winograd_plan *plan, const float *x,
                                int64_t channels, winograd_slab slab, bool gradient, float *planes)
{
    for (int64_t layer = slab.first; layer < slab.first + slab.count; layer++)
        for (int64_t v = 0; v < field->lanes / LANES; v++)
            winograd_deep_layer(field, plan, x, channels, v, layer, slab.first, gradient, planes);
}

/* The same by all threads of a parallel region, which do not wait. */
static void winograd_deep_share_field(const winograd_lanes *field, const sn_winograd_plan *plan,
                                      const float *x, int64_t channels, winograd_slab slab, bool gradient,
                                      float *planes)
{
#pragma omp for collapse(2) schedule(dynamic) nowait
    for (int64_t layer = slab.first; layer < slab.first + slab.count; layer++)
        for (int64_t v = 0; v < field->lanes / LANES; v++)
            winograd_deep_layer(field, plan, x, channels, v, layer, slab.first, gradient, planes);
}

#endif
