/**
 * Tiles of a convolution: copying them in with their halo, and what runs over them.
 */
#ifndef SN_BACKEND_CPU_CONV_TILE_H
#define SN_BACKEND_CPU_CONV_TILE_H

#include <string.h>

#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels/run.h"
#include "backend/cpu/kernels/shuffle.h"

/* The outputs of one tile. */
typedef struct sn_conv_tile {
    int64_t image;
    int64_t at[3], extent[3]; /* in the output's sub-grid of the pass */
} sn_conv_tile;

static inline int64_t sn_conv_tiles(const sn_conv_pass *pass)
{
    return pass->axis[0].tiles * pass->axis[1].tiles * pass->axis[2].tiles;
}

static inline sn_conv_tile sn_conv_tile_of(const sn_conv_pass *pass, int64_t index)
{
    sn_conv_tile tile;
    for (int i = 2; i >= 0; i--) {
        const sn_conv_axis *axis = &pass->axis[i];
        tile.at[i] = index % axis->tiles * axis->tile;
        int64_t rest = axis->extent - tile.at[i];
        tile.extent[i] = rest < axis->tile ? rest : axis->tile;
        index /= axis->tiles;
    }
    tile.image = index;
    return tile;
}

static inline int64_t sn_conv_voxels(const int64_t extent[3])
{
    return extent[0] * extent[1] * extent[2];
}

/* Whether vectors may use the tile where it lies in its tensor. */
static inline bool sn_conv_in_place(const sn_conv_plan *plan, const sn_conv_tile *tile)
{
    return plan->dense && tile->extent[2] % LANES == 0;
}

/* The indices along a row that are copied from the sub-grid; what lies before and after is 0. */
typedef struct sn_conv_range {
    int64_t begin, end;
} sn_conv_range;

/* Of the `count` indices from `start`: those inside the sub-grid, and not past the last one that is read. */
static inline sn_conv_range sn_conv_range_of(const sn_conv_axis *axis, int64_t at, int64_t in_extent,
                                             int step, int phase)
{
    int64_t start = at + axis->first, held = (in_extent - phase + step - 1) / step;
    int64_t begin = start < 0 ? -start : 0, end = axis->extent + axis->high;
    end = (held < end ? held : end) - start;
    end = end < axis->count ? end : axis->count;
    return begin < end ? (sn_conv_range){begin, end} : (sn_conv_range){0, 0};
}

/* Copy `count` floats in whole vectors: reads and writes up to LANES - 1 more. What lies `next` floats
 * further on is needed soon. */
static inline void sn_conv_copy(float *to, const float *from, int64_t count, int64_t next)
{
    for (int64_t i = 0; i < count; i += LANES) {
        vf_store(to + i, vf_load(from + i));
        __builtin_prefetch(from + i + next, 0, 2);
    }
}

/* The same of every second float. */
static inline void sn_conv_copy_evens(float *to, const float *from, int64_t count, int64_t next)
{
    for (int64_t i = 0; i < count; i += LANES) {
        vf low = vf_load(from + 2 * i);
        vf high = i + LANES / 2 < count ? vf_load(from + 2 * i + LANES) : low;
        vf_store(to + i, SN_SHUFFLE(low, high, SN_EVENS));
        __builtin_prefetch(from + 2 * i + next, 0, 2);
        __builtin_prefetch(from + 2 * i + next + LANES, 0, 2);
    }
}

static inline void sn_conv_clear(float *to, int64_t count)
{
    for (int64_t i = 0; i < count; i += LANES)
        vf_store(to + i, (vf){0});
}

/* A row of `count` floats, `from` its first one inside. What is written past its end, the next row (or slack)
 * overwrites; what is read past the end of a buffer, cpu.c allocates. */
static inline void sn_conv_copy_row(float *to, const float *from, sn_conv_range range, int64_t count,
                                    int step, int64_t next)
{
    sn_conv_clear(to, range.begin);
    if (step == 1)
        sn_conv_copy(to + range.begin, from, range.end - range.begin, next);
    else if (step == 2)
        sn_conv_copy_evens(to + range.begin, from, range.end - range.begin, next);
    else
        for (int64_t i = range.begin; i < range.end; i++)
            to[i] = from[(i - range.begin) * step];
    sn_conv_clear(to + range.end, count - range.end);
}

/* Copy one sub-grid of one channel. */
static inline void sn_conv_copy_grid(float *grid, const float *x, const sn_conv_plan *plan,
                                     const sn_conv_pass *pass, const sn_conv_tile *tile, const int phase[3])
{
    const sn_conv_axis *axis = pass->axis;
    const int step = plan->in_step;
    const int64_t next = sn_conv_voxels(plan->in); /* channel */
    sn_conv_range r[3];
    int64_t first[3]; /* index 0 of the copied axis, in voxels of x */
    for (int i = 0; i < 3; i++) {
        r[i] = sn_conv_range_of(&axis[i], tile->at[i], plan->in[i], step, phase[i]);
        first[i] = (tile->at[i] + axis[i].first) * step + phase[i];
    }
    int64_t lead = axis[1].base * pass->row + axis[2].base;
    memset(grid, 0, (size_t)lead * sizeof *grid);
    float *to = grid + lead;
    first[2] += r[2].begin * step;
    for (int64_t z = 0; z < axis[0].count; z++)
        for (int64_t y = 0; y < axis[1].count; y++, to += pass->row) {
            bool inside = z >= r[0].begin && z < r[0].end && y >= r[1].begin && y < r[1].end;
            int64_t from =
                ((first[0] + z * step) * plan->in[1] + first[1] + y * step) * plan->in[2] + first[2];
            sn_conv_copy_row(to, inside ? x + from : x, inside ? r[2] : (sn_conv_range){0, 0}, pass->row,
                             step, next);
        }
    sn_conv_clear(to, SN_CONV_SLACK);
}

/* Copy the tile of one channel of the input, `x` (in[0], in[1], in[2]), with its halo. */
static inline void sn_conv_copy_channel(float *copy, const float *x, const sn_conv_plan *plan,
                                        const sn_conv_pass *pass, const sn_conv_tile *tile)
{
    const sn_conv_axis *axis = pass->axis;
    for (int z = 0; z < axis[0].phases; z++)
        for (int y = 0; y < axis[1].phases; y++)
            for (int p = 0; p < axis[2].phases; p++, copy += pass->sub_grid)
                sn_conv_copy_grid(copy, x, plan, pass, tile, (const int[3]){z, y, p});
}

/* Some input channels of a tile, ready to be run over. */
typedef struct sn_conv_input {
    const float *origin; /* of output (0,0,0), first channel */
    int64_t channel;     /* floats from one channel to the next */
} sn_conv_input;

/* Channels [first, first + count) of a tile of x (N, C, D, H, W): copied, or where they lie. */
static inline sn_conv_input sn_conv_input_of(const sn_conv_plan *plan, const sn_conv_pass *pass,
                                             const sn_conv_tile *tile, const float *x, int64_t first,
                                             int64_t count, float *memory)
{
    int64_t voxels = sn_conv_voxels(plan->in);
    const float *channel = x + (tile->image * plan->in_channels + first) * voxels;
    if (sn_conv_in_place(plan, tile))
        return (sn_conv_input){channel + tile->at[2], voxels};
    for (int64_t i = 0; i < count; i++)
        sn_conv_copy_channel(memory + i * pass->channel, channel + i * voxels, plan, pass, tile);
    return (sn_conv_input){memory + pass->origin, pass->channel};
}

#endif
