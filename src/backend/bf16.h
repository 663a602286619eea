/**
 * bfloat16 on the host: the upper half of a float32.
 */
#ifndef SN_BACKEND_BF16_H
#define SN_BACKEND_BF16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "backend/op.h"

static inline float sn_bf16_to_float(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/** To the nearest, ties to even; NaN stays NaN. */
static inline uint16_t sn_bf16_round(float value)
{
    uint32_t wide;
    memcpy(&wide, &value, sizeof wide);
    if (isnan(value))
        return (uint16_t)(wide >> 16 | 0x40);
    return (uint16_t)((wide + 0x7FFF + (wide >> 16 & 1)) >> 16);
}

/** Where element i, in the order of N, C, D, H, W, of a tensor of SN_BF16 lies. */
static inline int64_t sn_bf16_place(const sn_tensor_desc *desc, int64_t i)
{
    const int64_t voxels = sn_tensor_voxels(desc), channels = desc->shape[1];
    const int64_t n = i / voxels / channels, c = i / voxels % channels, v = i % voxels;
    return (n * voxels + v) * sn_tensor_stored_channels(desc) + c;
}

#endif
