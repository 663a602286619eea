/**
 * Overlap of two label maps: voxel counts, Dice, intersection over union.
 */
#ifndef SN_METRICS_OVERLAP_H
#define SN_METRICS_OVERLAP_H

#include <stdint.h>

#include "base/status.h"

/* Voxels of one label: in both, in the prediction only, in the reference only, in neither. */
typedef struct sn_overlap {
    int64_t tp, fp, fn, tn;
} sn_overlap;

/**
 * Count the overlaps of several labels in one pass.
 *
 * @param[out] overlaps   `count` elements, in the order of `labels`
 * @param[in]  labels     `count` different values
 * @param[in]  count      >= 0
 * @param[in]  reference  `voxels` values
 * @param[in]  prediction `voxels` values
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_overlap_count(sn_overlap overlaps[], const int32_t labels[], int count, const int32_t *reference,
                           const int32_t *prediction, int64_t voxels, sn_error *error);

/** Dice = 2 tp / (2 tp + fp + fn); NaN where the label is in neither map, as nnU-Net has it. */
double sn_overlap_dice(const sn_overlap *overlap);

/** Intersection over union = tp / (tp + fp + fn); NaN where the label is in neither map. */
double sn_overlap_iou(const sn_overlap *overlap);

#endif
