/**
 * Surface distances in mm.
 */
#ifndef SN_METRICS_DISTANCE_H
#define SN_METRICS_DISTANCE_H

#include <stdint.h>

#include "base/status.h"

/**
 * The 95th percentile Hausdorff distance of one label.
 *
 * The surface of a label is its voxels that have, among their 6 face neighbours, one without the label or
 * outside the image. The directed distances of surface A to surface B are those from the centre of each voxel
 * of A to the nearest centre of B. HD95 is the larger of the two directions' 95th percentiles; the percentile
 * of n sorted distances is interpolated linearly at rank 0.95 (n - 1).
 *
 * @param[out] hd95_mm    NaN where both maps lack the label, infinity where one does
 * @param[in]  reference  (D,H,W)
 * @param[in]  prediction (D,H,W)
 * @param[in]  extent     D, H, W
 * @param[in]  spacing_mm along D, H, W
 * @param[in]  label      the value
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_hd95(double *hd95_mm, const int32_t *reference, const int32_t *prediction,
                  const int64_t extent[3], const double spacing_mm[3], int32_t label, sn_error *error);

/**
 * Exact squared Euclidean distance transform, in place.
 *
 * @param[in,out] field   (D,H,W): on entry 0 at the features and infinity elsewhere; on return the squared
 * distance in mm2 to the nearest feature, infinity where there is none
 * @param[in] extent      D, H, W
 * @param[in] spacing_mm  along D, H, W
 * @return SN_OK; SN_ERR_MEMORY
 * Source: Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", Theory of Computing
 * 2012.
 */
sn_status sn_distance_transform(float *field, const int64_t extent[3], const double spacing_mm[3],
                                sn_error *error);

#endif
