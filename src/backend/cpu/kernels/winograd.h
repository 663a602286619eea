/**
 * Winograd's transforms F(4, 3) and F(2, 5) along a row, of weights, and of a unit of work where lanes are tiles.
 *
 * With the points p = 0, +-a, +-b and infinity, a = 3/4, b = 3/2:
 *   outputs  y = A' [(G g) * (B' d)]       d six inputs, g 3 (5) weights, y 4 (2) outputs
 *   weights  g = G' [(A y) * (B' d)]       y the gradients of the outputs
 * A holds the powers of the points, G those and 1/product of (p - other points), B' the coefficients of the
 * product of (x - other points).
 */
#ifndef SN_BACKEND_CPU_WINOGRAD_H
#define SN_BACKEND_CPU_WINOGRAD_H

#include <string.h>

#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels/shuffle.h"

#define WINOGRAD_A 0.75f
#define WINOGRAD_B 1.5f
#define WINOGRAD_A2 (WINOGRAD_A * WINOGRAD_A)
#define WINOGRAD_B2 (WINOGRAD_B * WINOGRAD_B)

/* Of G: 1/(a^2 b^2), 1/(2 a^2 (a^2 - b^2)), 1/(2 b^2 (b^2 - a^2)). */
#define WINOGRAD_G0 (1 / (WINOGRAD_A2 * WINOGRAD_B2))
#define WINOGRAD_GA (1 / (2 * WINOGRAD_A2 * (WINOGRAD_A2 - WINOGRAD_B2)))
#define WINOGRAD_GB (1 / (2 * WINOGRAD_B2 * (WINOGRAD_B2 - WINOGRAD_A2)))

/* v = B' d */
SN_INLINE void winograd_input(const vf d[6], vf v[6])
{
    vf even_a = d[4] - WINOGRAD_B2 * d[2], odd_a = d[3] - WINOGRAD_B2 * d[1];
    vf even_b = d[4] - WINOGRAD_A2 * d[2], odd_b = d[3] - WINOGRAD_A2 * d[1];
    v[0] = d[4] - (WINOGRAD_A2 + WINOGRAD_B2) * d[2] + (WINOGRAD_A2 * WINOGRAD_B2) * d[0];
    v[1] = even_a + WINOGRAD_A * odd_a;
    v[2] = even_a - WINOGRAD_A * odd_a;
    v[3] = even_b + WINOGRAD_B * odd_b;
    v[4] = even_b - WINOGRAD_B * odd_b;
    v[5] = d[5] - (WINOGRAD_A2 + WINOGRAD_B2) * d[3] + (WINOGRAD_A2 * WINOGRAD_B2) * d[1];
}

/* y = A' m: 4 or 2 outputs. */
SN_INLINE void winograd_output(const int tile, const vf m[6], vf y[])
{
    vf sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    vf odd = WINOGRAD_A * difference_a + WINOGRAD_B * difference_b;
    y[0] = m[0] + sum_a + sum_b;
    y[1] = tile == 2 ? odd + m[5] : odd;
    if (tile == 4) {
        y[2] = WINOGRAD_A2 * sum_a + WINOGRAD_B2 * sum_b;
        y[3] = m[5] + (WINOGRAD_A2 * WINOGRAD_A) * difference_a + (WINOGRAD_B2 * WINOGRAD_B) * difference_b;
    }
}

/* v = A y */
SN_INLINE void winograd_gradient(const int tile, const vf y[], vf v[6])
{
    vf even_a = tile == 4 ? y[0] + WINOGRAD_A2 * y[2] : y[0];
    vf even_b = tile == 4 ? y[0] + WINOGRAD_B2 * y[2] : y[0];
    vf odd_a = tile == 4 ? y[1] + WINOGRAD_A2 * y[3] : y[1];
    vf odd_b = tile == 4 ? y[1] + WINOGRAD_B2 * y[3] : y[1];
    v[0] = y[0];
    v[1] = even_a + WINOGRAD_A * odd_a;
    v[2] = even_a - WINOGRAD_A * odd_a;
    v[3] = even_b + WINOGRAD_B * odd_b;
    v[4] = even_b - WINOGRAD_B * odd_b;
    v[5] = y[tile - 1];
}

/* u = G g: 3 or 5 weights. */
SN_INLINE void winograd_weights(const int kernel, const vf g[], vf u[6])
{
    vf even_a = WINOGRAD_GA * g[0] + (WINOGRAD_GA * WINOGRAD_A2) * g[2];
    vf even_b = WINOGRAD_GB * g[0] + (WINOGRAD_GB * WINOGRAD_B2) * g[2];
    vf odd_a = (WINOGRAD_GA * WINOGRAD_A) * g[1], odd_b = (WINOGRAD_GB * WINOGRAD_B) * g[1];
    if (kernel == 5) {
        even_a += (WINOGRAD_GA * WINOGRAD_A2 * WINOGRAD_A2) * g[4];
        even_b += (WINOGRAD_GB * WINOGRAD_B2 * WINOGRAD_B2) * g[4];
        odd_a += (WINOGRAD_GA * WINOGRAD_A * WINOGRAD_A2) * g[3];
        odd_b += (WINOGRAD_GB * WINOGRAD_B * WINOGRAD_B2) * g[3];
    }
    u[0] = WINOGRAD_G0 * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[kernel - 1];
}

/* g = G' u */
SN_INLINE void winograd_weights_back(const int kernel, const vf u[6], vf g[])
{
    vf even_a = WINOGRAD_GA * (u[1] + u[2]), odd_a = (WINOGRAD_GA * WINOGRAD_A) * (u[1] - u[2]);
    vf even_b = WINOGRAD_GB * (u[3] + u[4]), odd_b = (WINOGRAD_GB * WINOGRAD_B) * (u[3] - u[4]);
    g[0] = WINOGRAD_G0 * u[0] + even_a + even_b;
    g[1] = odd_a + odd_b;
    g[2] = WINOGRAD_A2 * even_a + WINOGRAD_B2 * even_b;
    if (kernel == 5) {
        g[3] = WINOGRAD_A2 * odd_a + WINOGRAD_B2 * odd_b;
        g[4] = (WINOGRAD_A2 * WINOGRAD_A2) * even_a + (WINOGRAD_B2 * WINOGRAD_B2) * even_b;
    }
    g[kernel - 1] += u[5];
}

/* All frequencies of weights (K^3), `tap` floats apart: frequency f at to + f*frequency. */
SN_INLINE void winograd_kernel(const int kernel, float *to, int64_t frequency, const float *w, int64_t tap)
{
    enum { N = SN_WINOGRAD_INPUT };
    vf planes[N][SN_WINOGRAD_MAX_KERNEL * SN_WINOGRAD_MAX_KERNEL];
    for (int i = 0; i < kernel * kernel; i++) {
        vf line[SN_WINOGRAD_MAX_KERNEL], u[N];
        SN_UNROLL
        for (int z = 0; z < kernel; z++)
            line[z] = vf_load(w + (z * kernel * kernel + i) * tap);
        winograd_weights(kernel, line, u);
        SN_UNROLL
        for (int z = 0; z < N; z++)
            planes[z][i] = u[z];
    }
    for (int z = 0; z < N; z++) {
        vf rows[SN_WINOGRAD_MAX_KERNEL][N];
        SN_UNROLL
        for (int y = 0; y < kernel; y++)
            winograd_weights(kernel, planes[z] + kernel * y, rows[y]);
        SN_UNROLL
        for (int x = 0; x < N; x++) {
            vf column[SN_WINOGRAD_MAX_KERNEL], u[N];
            SN_UNROLL
            for (int y = 0; y < kernel; y++)
                column[y] = rows[y][x];
            winograd_weights(kernel, column, u);
            SN_UNROLL
            for (int y = 0; y < N; y++)
                vf_store(to + ((z * N + y) * N + x) * frequency, u[y]);
        }
    }
}

/* The gradients of weights (K^3), `tap` floats apart, from the sums of all frequencies, `frequency` floats apart. */
SN_INLINE void winograd_kernel_back(const int kernel, float *w, int64_t tap, const float *sums,
                                    int64_t frequency)
{
    enum { N = SN_WINOGRAD_INPUT };
    vf planes[SN_WINOGRAD_MAX_KERNEL][N][N];
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) {
            vf u[N], g[SN_WINOGRAD_MAX_KERNEL];
            for (int z = 0; z < N; z++)
                u[z] = vf_load(sums + ((z * N + y) * N + x) * frequency);
            winograd_weights_back(kernel, u, g);
            for (int z = 0; z < kernel; z++)
                planes[z][y][x] = g[z];
        }
    for (int z = 0; z < kernel; z++) {
        vf rows[SN_WINOGRAD_MAX_KERNEL][N];
        for (int x = 0; x < N; x++) {
            vf column[N], g[SN_WINOGRAD_MAX_KERNEL];
            for (int y = 0; y < N; y++)
                column[y] = planes[z][y][x];
            winograd_weights_back(kernel, column, g);
            for (int y = 0; y < kernel; y++)
                rows[y][x] = g[y];
        }
        for (int y = 0; y < kernel; y++) {
            vf g[SN_WINOGRAD_MAX_KERNEL];
            winograd_weights_back(kernel, rows[y], g);
            for (int x = 0; x < kernel; x++)
                vf_store(w + ((z * kernel + y) * kernel + x) * tap, g[x]);
        }
    }
}

/* The layers and rows of tiles of one unit of work, counted in its sub-grid. */
typedef struct winograd_unit {
    int64_t image, phase_z, phase_y;
    int64_t z, layers;
    int64_t y, rows;
    int64_t tiles; /* of the unit: rows*layers*tiles_x */
} winograd_unit;

static inline winograd_unit winograd_unit_of(const sn_winograd_plan *plan, int64_t index)
{
    const int64_t of_sub_grid = plan->units_z * plan->units_y;
    const int64_t phases = plan->dilation * plan->dilation, phase = index % phases;
    const int64_t z = index / phases / plan->units_y % plan->units_z, y = index / phases % plan->units_y;
    winograd_unit unit = {.image = index / phases / of_sub_grid,
                          .phase_z = phase / plan->dilation,
                          .phase_y = phase % plan->dilation};
    unit.z = sn_conv_split(plan->tiles_z, plan->units_z, z);
    unit.layers = sn_conv_split(plan->tiles_z, plan->units_z, z + 1) - unit.z;
    unit.y = sn_conv_split(plan->tiles_y, plan->units_y, y);
    unit.rows = sn_conv_split(plan->tiles_y, plan->units_y, y + 1) - unit.y;
    unit.tiles = unit.rows * unit.layers * plan->tiles_x;
    return unit;
}

/* Plane z, row y of the unit's sub-grid in the whole grid; outside it they are < 0 or >= its extent. */
static inline int64_t winograd_plane(const sn_winograd_plan *plan, const winograd_unit *unit, int64_t z)
{
    return plan->dilation * z + unit->phase_z;
}

static inline int64_t winograd_line(const sn_winograd_plan *plan, const winograd_unit *unit, int64_t y)
{
    return plan->dilation * y + unit->phase_y;
}

/* Frequencies of some channels of a unit: value f, c, v at f*frequency + c*channel + v. */
typedef struct winograd_field {
    float *values;
    int64_t frequency, channel;
} winograd_field;

static inline int64_t winograd_voxels(const sn_winograd_plan *plan)
{
    return plan->extent[0] * plan->extent[1] * plan->extent[2];
}

/* What the transforms need of a thread's scratch memory. */
typedef struct winograd_space {
    float *rows;   /* 7 rows of pixels, 0 where no pixels lie */
    float *planes; /* (6, 36, line) */
    float *rest;   /* what follows */
} winograd_space;

static inline winograd_space winograd_space_of(const sn_winograd_plan *plan, float *scratch)
{
    float *planes = scratch + sn_winograd_pixels(plan);
    memset(scratch, 0, (size_t)sn_winograd_pixels(plan) * sizeof *scratch);
    return (winograd_space){scratch, planes, planes + sn_winograd_planes(plan)};
}

/* Row k of pixels in scratch memory; of each sub-grid LANES zeros, the pixels, zeros. */
static inline float *winograd_row(float *rows, const sn_winograd_plan *plan, int k, int sub_grid)
{
    return rows + k * plan->row + sub_grid * plan->sub_row + SN_WINOGRAD_LANES;
}

/* Row k, pixels from x on: one vector, or two whose pixels belong to two sub-grids in turn. */
SN_INLINE void winograd_store(const int dilation, float *rows, const sn_winograd_plan *plan, int k, int64_t x,
                              vf first, vf second)
{
    float *to = winograd_row(rows, plan, k, 0) + x / dilation;
    if (dilation == 1) {
        vf_store(to, first);
    } else {
        vf_store(to, SN_SHUFFLE(first, second, SN_EVENS));
        vf_store(to + plan->sub_row, SN_SHUFFLE(first, second, SN_ODDS));
    }
}

/* Zeros where the last vectors of six rows have written past the pixels. */
SN_INLINE void winograd_clear_tails(const int dilation, float *rows, const sn_winograd_plan *plan)
{
    const int64_t written = sn_conv_parts(plan->sub_extent[2], LANES) * LANES;
    for (int p = 0; p < dilation; p++)
        for (int64_t x = sn_conv_parts(plan->extent[2] - p, dilation); x < written; x++)
            for (int k = 0; k < SN_WINOGRAD_INPUT; k++)
                winograd_row(rows, plan, k, p)[x] = 0;
}

/* Rows [0, 6) of scratch memory: a row of tiles of the input, or of gradients of the output, in the
 * frequencies of H. `zeros` are read for lines outside the plane. */
SN_INLINE void winograd_rows(const int dilation, const int tile, const bool gradient, float *rows,
                             const sn_winograd_plan *plan, const winograd_unit *unit, const float *plane,
                             int64_t tile_row, const float *zeros)
{
    const int64_t width = plan->extent[2], first = tile_row * tile - (gradient ? 0 : plan->kernel / 2);
    const int64_t next = winograd_voxels(plan); /* the same lines of the next channel are needed soon */
    const int lines = gradient ? tile : SN_WINOGRAD_INPUT;
    const float *from[SN_WINOGRAD_INPUT];
    for (int k = 0; k < lines; k++) {
        int64_t y = winograd_line(plan, unit, first + k);
        from[k] = y >= 0 && y < plan->extent[1] ? plane + y * width : zeros;
    }
    for (int64_t x = 0; x < width; x += dilation * LANES) {
        vf v[2][SN_WINOGRAD_INPUT];
        SN_UNROLL
        for (int i = 0; i < dilation; i++) {
            vf d[SN_WINOGRAD_INPUT];
            int64_t at = x + i * LANES < width ? x + i * LANES : x; /* what is read for nothing is cleared */
            SN_UNROLL
            for (int k = 0; k < lines; k++) {
                d[k] = vf_load(from[k] + at);
                if (k >= lines - tile) /* those before were lines of the tile before */
                    __builtin_prefetch(from[k] + at + next, 0, 2);
            }
            if (gradient)
                winograd_gradient(tile, d, v[i]);
            else
                winograd_input(d, v[i]);
        }
        SN_UNROLL
        for (int k = 0; k < SN_WINOGRAD_INPUT; k++)
            winograd_store(dilation, rows, plan, k, x, v[0][k], v[dilation - 1][k]);
    }
    winograd_clear_tails(dilation, rows, plan);
}

/* The six pixels of LANES tiles, from pixel -1 (-2) on; `row` is pixel 0 of the first. */
SN_INLINE void winograd_pixels(const int tile, const float *row, vf d[6])
{
    vf before = vf_load(row - LANES), after = vf_load(row + tile * LANES);
    if (tile == 4) {
        sn_split_by_4(row, d + 1);
        d[0] = SN_SHUFFLE(before, d[4], SN_SHIFT_UP);
        d[5] = SN_SHUFFLE(d[1], after, SN_SHIFT_DOWN);
    } else {
        sn_split_by_2(row, d + 2);
        d[0] = SN_SHUFFLE(before, d[2], SN_SHIFT_UP_2);
        d[1] = SN_SHUFFLE(before, d[3], SN_SHIFT_UP);
        d[4] = SN_SHUFFLE(d[2], after, SN_SHIFT_DOWN);
        d[5] = SN_SHUFFLE(d[3], after, SN_SHIFT_DOWN_2);
    }
}

/* The frequencies of W of one such row: 6 times `tiles` floats and up to LANES - 1 more. */
SN_INLINE void winograd_columns(const int tile, const bool gradient, float *v, int64_t frequency,
                                const float *row, int64_t tiles)
{
    for (int64_t t = 0; t < tiles; t += LANES) {
        vf d[SN_WINOGRAD_INPUT], u[SN_WINOGRAD_INPUT];
        if (gradient) {
            if (tile == 4)
                sn_split_by_4(row + tile * t, d);
            else
                sn_split_by_2(row + tile * t, d);
            winograd_gradient(tile, d, u);
        } else {
            winograd_pixels(tile, row + tile * t, d);
            winograd_input(d, u);
        }
        SN_UNROLL
        for (int k = 0; k < SN_WINOGRAD_INPUT; k++)
            vf_store(v + k * frequency + t, u[k]);
    }
}

/* The frequencies of H and W of the unit's tiles in plane z: (36, line), row after row. What is written past the
 * tiles of a row, or of phase 0, the next ones overwrite. */
SN_INLINE void winograd_plane_tiles(const int dilation, const int tile, const bool gradient, float *v,
                                    const sn_winograd_plan *plan, const winograd_unit *unit, int64_t z,
                                    const float *channel, float *rows)
{
    const int64_t plane = winograd_plane(plan, unit, z);
    if (plane < 0 || plane >= plan->extent[0]) {
        memset(v, 0, (size_t)(SN_WINOGRAD_PLANE * plan->line) * sizeof *v);
        return;
    }
    for (int64_t r = 0; r < unit->rows; r++, v += plan->tiles_x) {
        winograd_rows(dilation, tile, gradient, rows, plan, unit,
                      channel + plane * plan->extent[1] * plan->extent[2], unit->y + r,
                      rows + SN_WINOGRAD_INPUT * plan->row);
        for (int k = 0; k < SN_WINOGRAD_INPUT; k++)
            for (int p = 0; p < dilation; p++)
                winograd_columns(tile, gradient,
                                 v + k * SN_WINOGRAD_INPUT * plan->line + p * plan->sub_tiles_x, plan->line,
                                 winograd_row(rows, plan, k, p), plan->sub_tiles_x);
    }
}

/* The third axis: from `count` tiles in six planes (`tile` planes of gradients) to all frequencies. */
SN_INLINE void winograd_depth(const int tile, const bool gradient, float *v, int64_t frequency,
                              const sn_winograd_plan *plan, const float *const planes[SN_WINOGRAD_INPUT],
                              int64_t count)
{
    for (int f = 0; f < SN_WINOGRAD_PLANE; f++)
        for (int64_t t = 0; t < count; t += LANES) {
            const int lines = gradient ? tile : SN_WINOGRAD_INPUT;
            vf d[SN_WINOGRAD_INPUT], u[SN_WINOGRAD_INPUT];
            SN_UNROLL
            for (int k = 0; k < lines; k++)
                d[k] = vf_load(planes[k] + f * plan->line + t);
            if (gradient)
                winograd_gradient(tile, d, u);
            else
                winograd_input(d, u);
            SN_UNROLL
            for (int k = 0; k < SN_WINOGRAD_INPUT; k++)
                vf_store(v + (k * SN_WINOGRAD_PLANE + f) * frequency + t, u[k]);
        }
}

/* All frequencies of a unit, of one channel of the input or of gradients; returns where they end. What is
 * written past the tiles of a layer, the next one overwrites. Planes that two layers share are transformed
 * once. */
SN_INLINE float *winograd_volume(const int dilation, const int tile, const bool gradient, float *v,
                                 int64_t frequency, const sn_winograd_plan *plan, const winograd_unit *unit,
                                 const float *channel, const winograd_space *space)
{
    const int lines = gradient ? tile : SN_WINOGRAD_INPUT, pad = gradient ? 0 : plan->kernel / 2;
    const int64_t count = unit->rows * plan->tiles_x;
    const float *planes[SN_WINOGRAD_INPUT];
    for (int64_t z = 0; z < unit->layers; z++, v += count) {
        for (int64_t k = 0; k < lines; k++) {
            int64_t place = gradient ? k : (z * tile + k) % SN_WINOGRAD_INPUT;
            float *to = space->planes + place * SN_WINOGRAD_PLANE * plan->line;
            planes[k] = to;
            if (z == 0 || k >= lines - tile)
                winograd_plane_tiles(dilation, tile, gradient, to, plan, unit, (unit->z + z) * tile + k - pad,
                                     channel, space->rows);
        }
        winograd_depth(tile, gradient, v, frequency, plan, planes, count);
    }
    return v;
}

/* The same, by a function for each kernel and dilation. */
SN_INLINE float *winograd_channel(const bool gradient, float *v, int64_t frequency,
                                  const sn_winograd_plan *plan, const winograd_unit *unit,
                                  const float *channel, const winograd_space *space)
{
    if (plan->dilation == 1 && plan->tile == 4)
        return winograd_volume(1, 4, gradient, v, frequency, plan, unit, channel, space);
    if (plan->dilation == 1)
        return winograd_volume(1, 2, gradient, v, frequency, plan, unit, channel, space);
    if (plan->tile == 4)
        return winograd_volume(2, 4, gradient, v, frequency, plan, unit, channel, space);
    return winograd_volume(2, 2, gradient, v, frequency, plan, unit, channel, space);
}

/* All frequencies of `count` channels of a unit's input, one channel after the other. */
static inline void winograd_input_channels(const winograd_field *field, const sn_winograd_plan *plan,
                                           const winograd_unit *unit, const float *x, int64_t count,
                                           const winograd_space *space)
{
    for (int64_t c = 0; c < count; c++, x += winograd_voxels(plan))
        winograd_channel(false, field->values + c * field->channel, field->frequency, plan, unit, x, space);
}

#endif
