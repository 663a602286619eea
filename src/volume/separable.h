/**
 * A linear resampling that is done one axis after the other, a slice at a time: what sn_volume_resample and a labeller
 * share. Slices lie along the first axis of the source; those of the target along whichever axis that is there.
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

/* The weights along one source axis: out[t] = sum of weight[start[t] + q] * in[first[t] + q]. */
typedef struct sn_taps {
    int64_t source, target; /* extents */
    int64_t *first;         /* (target) */
    int64_t *start;         /* (target + 1) */
    float *weight;
} sn_taps;

/* Everything that is the same for all channels. */
typedef struct sn_separable {
    sn_taps taps[3];   /* by source axis */
    int64_t stride[3]; /* by source axis: voxels of the target from one index to the next */
    bool reversed; /* slices of the target come from its end on, as those of the source do from the start */
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

/** Slices of the target, and voxels in one of them: (H,W), of the source axes. */
static inline int64_t sn_separable_slices(const sn_separable *self)
{
    return self->taps[0].target;
}

static inline int64_t sn_separable_plane(const sn_separable *self)
{
    return self->taps[1].target * self->taps[2].target;
}

/** Floats of scratch memory to make one. */
int64_t sn_separable_scratch(const sn_separable *self);

/** Threads that shall do so, each with `floats` of scratch memory: at most one for each slice, and so few that those
 * beside the first one take no more than 10 MiB for each of `threads`. At least 1. */
int sn_separable_threads(const sn_separable *self, int threads, int64_t floats);

/** The end of the slices of the source that a slice of the target needs; 0: it lies outside of them. */
int64_t sn_separable_end(const sn_separable *self, int64_t slice);

/**
 * Make one slice of one channel.
 *
 * @param[out] plane (H,W)
 * @param[in]  in    slices of the source from `first` on, those that are needed at least
 */
void sn_separable_slice(float *plane, const float *in, int64_t first, const sn_separable *self, int64_t slice,
                        float *scratch);

#endif
