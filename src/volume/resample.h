/**
 * Resampling between grids whose axes are parallel: any permutation, flip, scale and offset of the array
 * axes, so that reorienting, changing the spacing, padding and cropping are one resampling to one grid.
 *
 * An image fills its voxels' boxes: it reaches half a voxel beyond the outer centres, where the outer values
 * are held, and is 0 (background) beyond.
 */
#ifndef SN_VOLUME_RESAMPLE_H
#define SN_VOLUME_RESAMPLE_H

#include "volume/volume.h"

/**
 * Resample an image: linear interpolation along each axis; along an axis that becomes coarser by a ratio r >
 * 1 the triangle is r times as wide, which removes what the target grid cannot hold (antialiasing).
 *
 * @param[out] out     caller owns, sn_volume_free; (C,D',H',W') on `target`; NULL on error
 * @param[in]  in      (C,D,H,W)
 * @param[in]  target  axes parallel to those of `in`
 * @param[in]  threads >= 1; the result does not depend on it
 * @return SN_OK; SN_ERR_ARG the axes are not parallel; SN_ERR_MEMORY
 * Source: docs/method.md section 6.
 */
sn_status sn_volume_resample(sn_volume **out, const sn_volume *in, const sn_grid *target, int threads,
                             sn_error *error);

/** Resample a label map by its nearest voxel; otherwise as sn_volume_resample. */
sn_status sn_labelmap_resample(sn_labelmap **out, const sn_labelmap *in, const sn_grid *target,
                               sn_error *error);

#endif
