/**
 * Blocks of voxels with all their classes, copied together: channels lie far apart in memory, often at
 * distances that fall on the same cache lines.
 */
#ifndef SN_BACKEND_CPU_CLASSES_H
#define SN_BACKEND_CPU_CLASSES_H

#include <string.h>

#include "backend/cpu/kernels/share.h"

enum { BLOCK = SN_CPU_CLASS_BLOCK, BLOCK_VECTORS = BLOCK / LANES };

static inline int64_t sn_cpu_class_blocks(int64_t voxels)
{
    return (voxels + BLOCK - 1) / BLOCK;
}

/* Voxels of the block that begins at `voxel`. */
static inline int sn_cpu_block_count(int64_t voxels, int64_t voxel)
{
    return voxels - voxel < BLOCK ? (int)(voxels - voxel) : BLOCK;
}

/* block (C, BLOCK) = scores of `count` voxels; 0 for what is missing of a block. */
static inline void sn_cpu_gather_classes(float *block, const float *scores, int64_t stride, int64_t channels,
                                         int count)
{
    for (int64_t c = 0; c < channels; c++) {
        memcpy(block + c * BLOCK, scores + c * stride, (size_t)count * sizeof *block);
        memset(block + c * BLOCK + count, 0, (size_t)(BLOCK - count) * sizeof *block);
    }
}

/* block = e^(score - highest score of the voxel); sums = their sums over the classes. */
static inline void sn_cpu_exp_classes(float *block, vf sums[BLOCK_VECTORS], int64_t channels)
{
    for (int i = 0; i < BLOCK_VECTORS; i++) {
        float *column = block + i * LANES;
        vf highest = vf_load(column), sum = {0};
        for (int64_t c = 1; c < channels; c++)
            highest = vf_max(highest, vf_load(column + c * BLOCK));
        for (int64_t c = 0; c < channels; c++) {
            vf e = vf_exp(vf_load(column + c * BLOCK) - highest);
            vf_store(column + c * BLOCK, e);
            sum += e;
        }
        sums[i] = sum;
    }
}

#endif
