/**
 * A linear resampling that is done one axis after the other: what sn_volume_resample and a labeller share.
 */
#ifndef SN_VOLUME_SEPARABLE_H
#define SN_VOLUME_SEPARABLE_H

#include "volume/grid.h"

/*
 * Source indices closer to a whole number than this are that number, and ratios closer to 1 are 1: where grids agree up
 * to the rounding of 32-bit numbers in headers, values must be copied and zeros stay zero.
 */
#define SN_INDEX_ROUNDING 1e-4

/* One axis of the target grid: source index along source axis `axis` = scale * target index + offset. */
typedef struct sn_axis_map {
    int axis;
    double scale, offset;
} sn_axis_map;

/* The weights along one source axis: out[t] = sum of weight[start[t] + q] * in[first[t] - origin + q]. */
typedef struct sn_taps {
    int64_t source, target; /* extents */
    int64_t origin;         /* the source index where `in` begins */
    int64_t *first;         /* (target) */
    int64_t *start;         /* (target + 1) */
    float *weight;
} sn_taps;

/* Everything that is the same for all channels. */
typedef struct sn_separable {
    sn_axis_map maps[3]; /* by target axis */
    sn_taps taps[3];     /* by source axis */
    int order[3];        /* of the source axes: those that shrink most first */
    int64_t target[3];
} sn_separable;

/**
 * Match the axes of two grids.
 *
 * @param[out] maps by target axis
 * @return SN_OK; SN_ERR_ARG the axes are not parallel
 */
sn_status sn_axes_match(sn_axis_map maps[3], const sn_grid *source, const sn_grid *target, sn_error *error);

/** The source index of target index `t`; false where it lies beyond the outer faces of `extent` voxels. */
bool sn_source_index(double *x, const sn_axis_map *map, int64_t t, int64_t extent);

/**
 * Find the weights of a resampling.
 *
 * @param[out] self      sn_separable_clear, also after an error
 * @param[in]  antialias wider triangles along axes that become coarser
 * @return SN_OK; SN_ERR_ARG the axes are not parallel; SN_ERR_MEMORY
 */
sn_status sn_separable_init(sn_separable *self, const sn_grid *source, const sn_grid *target, bool antialias,
                            sn_error *error);
void sn_separable_clear(sn_separable *self);

/** One channel: out (D',H',W') on the target grid, from in (D,H,W). SN_ERR_MEMORY. */
sn_status sn_separable_apply(float *out, const float *in, const sn_separable *self, sn_error *error);

#endif
