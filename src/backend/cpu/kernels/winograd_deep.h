/**
 * Winograd's transforms where lanes are channels: few tiles, many channels (see winograd_plan.h).
 *
 * A vector of channels of an image is first put into the order (voxels, lanes); its tiles lie anywhere in it,
 * whatever their extents.
 */
#ifndef SN_BACKEND_CPU_WINOGRAD_DEEP_H
#define SN_BACKEND_CPU_WINOGRAD_DEEP_H

#include "backend/cpu/kernels/conv_deep.h"
#include "backend/cpu/kernels/lanes.h"
#include "backend/cpu/kernels/winograd.h"

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

/* A row of a tile in `volume` (voxels, lanes): NULL outside the grid. */
static inline float *winograd_line_of(float *volume, const sn_winograd_plan *plan,
                                      const winograd_place *place, int z, int y)
{
    int64_t at_z = place->at[0][z], at_y = place->at[1][y];
    if (at_z < 0 || at_y < 0)
        return NULL;
    return volume + (at_z * plan->extent[1] + at_y) * plan->extent[2] * LANES;
}

/* v = B' d of inputs, v = A d of gradients. */
SN_INLINE void winograd_line_forward(const int tile, const bool gradient, const vf d[], vf v[])
{
    if (gradient)
        winograd_gradient(tile, d, v);
    else
        winograd_input(d, v);
}

/* All frequencies of one tile of a vector of channels. */
SN_INLINE void winograd_tile(const int tile, const bool gradient, float *v, int64_t frequency, float *volume,
                             const sn_winograd_plan *plan, const winograd_place *place)
{
    enum { N = SN_WINOGRAD_INPUT };
    const int lines = gradient ? tile : N;
    vf planes[N][N][N];
    for (int z = 0; z < lines; z++) {
        vf rows[N][N];
        for (int y = 0; y < lines; y++) {
            const float *line = winograd_line_of(volume, plan, place, z, y);
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
            for (int z = 0; z < N; z++)
                vf_store(v + ((z * N + y) * N + x) * frequency, u[z]);
        }
}

/* A vector of channels of one image of x, or of gradients, to its place in the field. `volume`: (voxels,
 * lanes) of scratch memory. */
static void winograd_deep_channels(const winograd_lanes *field, const sn_winograd_plan *plan, const float *x,
                                   int64_t channels, int64_t image, int64_t vector, bool gradient,
                                   float *volume)
{
    const int64_t voxels = winograd_voxels(plan), first = vector * LANES, rest = channels - first;
    sn_to_lanes(volume, LANES, rest < LANES ? rest : LANES, x + (image * channels + first) * voxels, voxels,
                voxels, LANES * voxels);
    for (int64_t t = 0; t < plan->tiles; t++) {
        float *to = field->values + (image * plan->tiles + t) * field->lanes + first;
        winograd_place place = winograd_place_of(plan, t, gradient ? 0 : plan->kernel / 2,
                                                 gradient ? plan->tile : SN_WINOGRAD_INPUT);
        if (gradient && plan->tile == 4)
            winograd_tile(4, true, to, field->frequency, volume, plan, &place);
        else if (gradient)
            winograd_tile(2, true, to, field->frequency, volume, plan, &place);
        else
            winograd_tile(SN_WINOGRAD_INPUT, false, to, field->frequency, volume, plan, &place);
    }
}

#endif
