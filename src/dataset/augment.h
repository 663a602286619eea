/**
 * The draw of augmentation: which affine map an image gets in an epoch. The warp itself is an operation of
 * the training step.
 *
 * Source: docs/method.md section 5.
 */
#ifndef SN_DATASET_AUGMENT_H
#define SN_DATASET_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#define SN_AUGMENT_CHANCE 0.8        /* of a map that is not the identity */
#define SN_AUGMENT_ROTATION_DEG 30.0 /* at most, either way, about the superior-inferior axis */
#define SN_AUGMENT_SHIFT 0.2         /* at most, either way, as a share of each axis' extent */
#define SN_AUGMENT_SCALE 0.2         /* isotropic scale within 1 - this and 1 + this */

/**
 * Draw the map of one image: source = matrix * (d, h, w, 1) for an output voxel (d, h, w), both in voxels of
 * the box. With p the output voxel, c = (size - 1) / 2, shift t, scale s, rotation R in the plane of H and W
 * (D is the superior-inferior axis in canonical orientation): source = c + R (p - c - t) / s.
 *
 * @param[out] matrix     rows d,h,w of the source; exactly the identity where nothing is drawn
 * @param[in]  size       D,H,W of the box
 * @param[in]  epoch      from 0
 * @param[in]  case_index in the data set; the draw depends on (seed, epoch, case_index) alone
 * @return false where the map is the identity
 */
bool sn_augment_draw(double matrix[3][4], const int64_t size[3], uint64_t seed, uint32_t epoch,
                     uint32_t case_index);

#endif
