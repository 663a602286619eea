#include "model/tiles.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

sn_tiling sn_tiling_whole(const int64_t extent[3], int64_t unit)
{
    sn_tiling tiles = {.unit = unit, .count = {1, 1, 1}};
    memcpy(tiles.extent, extent, sizeof tiles.extent);
    memcpy(tiles.tile, extent, sizeof tiles.tile);
    return tiles;
}

/* From where on, in multiples of the unit, a tile reaches the end of the image. */
static int64_t last_start(const sn_tiling *tiles, int axis)
{
    return sn_round_up(tiles->extent[axis] - tiles->tile[axis], tiles->unit);
}

bool sn_tiling_halve(sn_tiling *tiles, int axis)
{
    int64_t half = sn_round_up((tiles->tile[axis] + 1) / 2, tiles->unit);
    if (half >= tiles->tile[axis])
        return false;
    tiles->tile[axis] = half;
    int64_t stride = (half + 1) / 2 > tiles->unit ? (half + 1) / 2 : tiles->unit;
    tiles->count[axis] = 1 + (int)((tiles->extent[axis] - half + stride - 1) / stride);
    return true;
}

int sn_tiling_count(const sn_tiling *tiles)
{
    return tiles->count[0] * tiles->count[1] * tiles->count[2];
}

int64_t sn_tiling_voxels(const sn_tiling *tiles)
{
    return tiles->tile[0] * tiles->tile[1] * tiles->tile[2];
}

/* Evenly spread. */
static int64_t axis_start(const sn_tiling *tiles, int axis, int index)
{
    return index == 0
               ? 0
               : last_start(tiles, axis) * index / (tiles->count[axis] - 1) / tiles->unit * tiles->unit;
}

/* How much of a tile lies inside the image. */
static int64_t axis_inside(const sn_tiling *tiles, int axis, int64_t start)
{
    int64_t rest = tiles->extent[axis] - start;
    return rest < tiles->tile[axis] ? rest : tiles->tile[axis];
}

/* A Gaussian about a tile's middle, sigma an eighth of its length, in units of the sum over all tiles. */
static sn_status weigh_axis(sn_tiling *tiles, int axis, sn_error *error)
{
    sn_status status;
    int64_t length = tiles->tile[axis];
    double *gauss = NULL, *total = NULL;
    SN_TRY(sn_alloc(&gauss, (size_t)length, sizeof *gauss, error));
    SN_TRY(sn_alloc(&total, (size_t)tiles->extent[axis], sizeof *total, error));
    SN_TRY(sn_alloc(&tiles->weight[axis], (size_t)(tiles->count[axis] * length), sizeof(float), error));
    for (int64_t v = 0; v < length; v++) {
        double distance = ((double)v - 0.5 * (double)(length - 1)) / (0.125 * (double)length);
        gauss[v] = exp(-0.5 * distance * distance);
    }
    for (int i = 0; i < tiles->count[axis]; i++) {
        int64_t start = axis_start(tiles, axis, i);
        for (int64_t v = 0; v < axis_inside(tiles, axis, start); v++)
            total[start + v] += gauss[v];
    }
    for (int i = 0; i < tiles->count[axis]; i++) {
        int64_t start = axis_start(tiles, axis, i);
        for (int64_t v = 0; v < axis_inside(tiles, axis, start); v++)
            tiles->weight[axis][i * length + v] = (float)(gauss[v] / total[start + v]);
    }
done:
    sn_free(gauss);
    sn_free(total);
    return status;
}

sn_status sn_tiling_weigh(sn_tiling *tiles, sn_error *error)
{
    sn_status status = SN_OK;
    for (int a = 0; a < 3 && status == SN_OK; a++)
        status = weigh_axis(tiles, a, error);
    return status;
}

void sn_tiling_clear(sn_tiling *tiles)
{
    for (int a = 0; a < 3; a++)
        sn_free(tiles->weight[a]);
}

void sn_tile_start(int64_t start[3], const sn_tiling *tiles, const int index[3])
{
    for (int a = 0; a < 3; a++)
        start[a] = axis_start(tiles, a, index[a]);
}

static void tile_place(int64_t start[3], int64_t inside[3], const sn_tiling *tiles, const int index[3])
{
    sn_tile_start(start, tiles, index);
    for (int a = 0; a < 3; a++)
        inside[a] = axis_inside(tiles, a, start[a]);
}

void sn_tile_copy(float *tile, const float *image, const sn_tiling *tiles, const int index[3],
                  int64_t channels)
{
    const int64_t *t = tiles->tile, *e = tiles->extent;
    int64_t start[3], inside[3];
    tile_place(start, inside, tiles, index);
    memset(tile, 0, (size_t)(channels * sn_tiling_voxels(tiles)) * sizeof *tile);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t d = 0; d < inside[0]; d++)
            for (int64_t h = 0; h < inside[1]; h++)
                memcpy(tile + ((c * t[0] + d) * t[1] + h) * t[2],
                       image + ((c * e[0] + start[0] + d) * e[1] + start[1] + h) * e[2] + start[2],
                       (size_t)inside[2] * sizeof *tile);
}

void sn_tile_add(sn_slices *slices, const float *tile, const sn_tiling *tiles, const int index[3],
                 int64_t channels)
{
    const int64_t *t = tiles->tile, *e = tiles->extent;
    const float *weight[3];
    int64_t start[3], inside[3];
    tile_place(start, inside, tiles, index);
    for (int a = 0; a < 3; a++)
        weight[a] = tiles->weight[a] + index[a] * t[a];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t d = 0; d < inside[0]; d++)
            for (int64_t h = 0; h < inside[1]; h++) {
                const float *from = tile + ((c * t[0] + d) * t[1] + h) * t[2];
                int64_t slice = c * slices->depth + start[0] + d - slices->first;
                float *to = slices->data + (slice * e[1] + start[1] + h) * e[2] + start[2];
                for (int64_t w = 0; w < inside[2]; w++)
                    to[w] += weight[0][d] * weight[1][h] * weight[2][w] * from[w];
            }
}
