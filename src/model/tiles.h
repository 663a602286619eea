/**
 * Overlapping tiles that cover an image: where they lie, and how much each counts where several meet.
 */
#ifndef SN_MODEL_TILES_H
#define SN_MODEL_TILES_H

#include "volume/labeller.h"

/*
 * All tiles start at multiples of `unit`, what a network's poolings need: so a voxel meets the same pooling windows in
 * every tile. Neighbours overlap by about half, as far as that allows: tiles of one unit not at all. The last tile along
 * an axis may reach beyond the image.
 */
typedef struct sn_tiling {
    int64_t extent[3]; /* of the image, voxels */
    int64_t tile[3];
    int64_t unit;
    int count[3];     /* along each axis */
    float *weight[3]; /* (count,tile); of all tiles in a voxel 1 together; NULL before sn_tiling_weigh */
} sn_tiling;

/** The whole image as one tile. */
sn_tiling sn_tiling_whole(const int64_t extent[3], int64_t unit);

/** Halve tiles along an axis, to a multiple of the unit; false, and nothing is changed, where that is not less. */
bool sn_tiling_halve(sn_tiling *tiles, int axis);

/** Number of tiles, and voxels of one. */
int sn_tiling_count(const sn_tiling *tiles);
int64_t sn_tiling_voxels(const sn_tiling *tiles);

/** Find the weights: a tile's middle counts most. SN_ERR_MEMORY; sn_tiling_clear in any case. */
sn_status sn_tiling_weigh(sn_tiling *tiles, sn_error *error);
void sn_tiling_clear(sn_tiling *tiles);

/** Where tile (d,h,w) starts in the image. */
void sn_tile_start(int64_t start[3], const sn_tiling *tiles, const int index[3]);

/** Copy a tile (channels,tile) out of the image (channels,extent), with zeros where it reaches beyond. */
void sn_tile_copy(float *tile, const float *image, const sn_tiling *tiles, const int index[3],
                  int64_t channels);

/** Add a tile (channels,tile), weighted, to the slices of an image that it covers; they are there. */
void sn_tile_add(sn_slices *slices, const float *tile, const sn_tiling *tiles, const int index[3],
                 int64_t channels);

#endif
