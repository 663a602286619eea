/**
 * Matrices whose rows become lanes, and back: channels that lie apart in memory, side by side in vectors.
 */
#ifndef SN_BACKEND_CPU_LANES_H
#define SN_BACKEND_CPU_LANES_H

#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels/shuffle.h"

/* Neighbouring output channels, in whole vectors: the last lanes may have no channel. */
typedef struct sn_lane_block {
    int vectors;
    int64_t lanes; /* of all vectors */
    int64_t first, count;
} sn_lane_block;

/* Block `index` of `blocks` of so many channels, as even as whole vectors can be. */
static inline sn_lane_block sn_lane_block_of(int64_t channels, int64_t blocks, int64_t index)
{
    int64_t vectors = sn_conv_parts(channels, LANES), first = sn_conv_split(vectors, blocks, index);
    sn_lane_block block = {.first = first * LANES};
    block.vectors = (int)(sn_conv_split(vectors, blocks, index + 1) - first);
    block.lanes = (int64_t)block.vectors * LANES;
    int64_t rest = channels - block.first;
    block.count = rest < block.lanes ? rest : block.lanes;
    return block;
}

/* to (columns, lanes) = the transpose of from (count, columns), rows `row` floats apart; lanes past `count` are 0.
 * What lies `next` floats further on is needed soon. Fewer columns than lanes are read past the end of the rows. */
static inline void sn_to_lanes(float *to, int64_t lanes, int64_t count, const float *from, int64_t row,
                               int64_t columns, int64_t next)
{
    for (int64_t lane = 0; lane < lanes; lane += LANES)
        for (int64_t c = 0; c < columns; c += LANES) {
            int64_t column = c + LANES < columns || columns < LANES ? c : columns - LANES; /* may overlap */
            int64_t used = columns < LANES ? columns : LANES;
            vf tile[LANES];
            SN_UNROLL
            for (int i = 0; i < LANES; i++) {
                const float *at = from + (lane + i) * row + column;
                tile[i] = lane + i < count ? vf_load(at) : (vf){0};
                __builtin_prefetch(at + next, 0, 2);
            }
            vf_transpose(tile);
            for (int i = 0; i < used; i++)
                vf_store(to + (column + i) * lanes + lane, tile[i]);
        }
}

/* to (count, columns), rows `row` floats apart, = (or += ) the transpose of from (columns, lanes). */
SN_INLINE void sn_from_lanes(float *to, int64_t row, int64_t count, const float *from, int64_t lanes,
                             int64_t columns, const bool add)
{
    int64_t whole = columns - columns % LANES;
    for (int64_t lane = 0; lane < count; lane += LANES)
        for (int64_t c = 0; c < whole; c += LANES) {
            vf tile[LANES];
            SN_UNROLL
            for (int i = 0; i < LANES; i++)
                tile[i] = vf_load(from + (c + i) * lanes + lane);
            vf_transpose(tile);
            SN_UNROLL
            for (int i = 0; i < LANES; i++) {
                float *at = to + (lane + i) * row + c;
                if (lane + i < count)
                    vf_store(at, add ? vf_load(at) + tile[i] : tile[i]);
            }
        }
    for (int64_t lane = 0; lane < count; lane++)
        for (int64_t c = whole; c < columns; c++) {
            float value = from[c * lanes + lane], *at = &to[lane * row + c];
            *at = add ? *at + value : value;
        }
}

#endif
