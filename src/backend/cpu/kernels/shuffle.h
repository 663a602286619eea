/**
 * Shuffles of two vectors, for every number of lanes.
 */
#ifndef SN_BACKEND_CPU_SHUFFLE_H
#define SN_BACKEND_CPU_SHUFFLE_H

#include "backend/cpu/kernels/vector.h"

#define SN_SHUFFLE __builtin_shufflevector

/*
 * Lanes of two vectors a, b: every second one; both lane by lane, the first or second half of that; b moved up by
 * one lane, behind it the last (or last but one) of a; a moved down by one lane, before it the first (or second)
 * of b. In each quarter of four lanes, the low or high half of both, float by float or pair by pair; every second
 * quarter of both.
 */

#if LANES == 16
#define SN_EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define SN_ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define SN_ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SN_ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define SN_SHIFT_UP 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
#define SN_SHIFT_UP_2 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
#define SN_SHIFT_DOWN 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
#define SN_SHIFT_DOWN_2 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17
#define SN_LOW_FLOATS 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define SN_HIGH_FLOATS 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define SN_LOW_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define SN_HIGH_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define SN_EVEN_QUARTERS 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define SN_ODD_QUARTERS 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#elif LANES == 8
#define SN_EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define SN_ODDS 1, 3, 5, 7, 9, 11, 13, 15
#define SN_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define SN_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define SN_SHIFT_UP 7, 8, 9, 10, 11, 12, 13, 14
#define SN_SHIFT_UP_2 6, 8, 9, 10, 11, 12, 13, 14
#define SN_SHIFT_DOWN 1, 2, 3, 4, 5, 6, 7, 8
#define SN_SHIFT_DOWN_2 1, 2, 3, 4, 5, 6, 7, 9
#define SN_LOW_FLOATS 0, 8, 1, 9, 4, 12, 5, 13
#define SN_HIGH_FLOATS 2, 10, 3, 11, 6, 14, 7, 15
#define SN_LOW_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define SN_HIGH_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#define SN_EVEN_QUARTERS 0, 1, 2, 3, 8, 9, 10, 11
#define SN_ODD_QUARTERS 4, 5, 6, 7, 12, 13, 14, 15
#else
#define SN_EVENS 0, 2, 4, 6
#define SN_ODDS 1, 3, 5, 7
#define SN_ZIP_LOW 0, 4, 1, 5
#define SN_ZIP_HIGH 2, 6, 3, 7
#define SN_SHIFT_UP 3, 4, 5, 6
#define SN_SHIFT_UP_2 2, 4, 5, 6
#define SN_SHIFT_DOWN 1, 2, 3, 4
#define SN_SHIFT_DOWN_2 1, 2, 3, 5
#define SN_LOW_FLOATS 0, 4, 1, 5
#define SN_HIGH_FLOATS 2, 6, 3, 7
#define SN_LOW_PAIRS 0, 1, 4, 5
#define SN_HIGH_PAIRS 2, 3, 6, 7
#endif

/* part[k] lane t = from[2*t + k], k < 2. */
SN_INLINE void sn_split_by_2(const float *from, vf part[2])
{
    vf a = vf_load(from), b = vf_load(from + LANES);
    part[0] = SN_SHUFFLE(a, b, SN_EVENS);
    part[1] = SN_SHUFFLE(a, b, SN_ODDS);
}

/* Its inverse: whole[j] holds 2*t + k, in order, from j*LANES on. */
SN_INLINE void sn_join_2(const vf part[2], vf whole[2])
{
    whole[0] = SN_SHUFFLE(part[0], part[1], SN_ZIP_LOW);
    whole[1] = SN_SHUFFLE(part[0], part[1], SN_ZIP_HIGH);
}

/* part[k] lane t = from[4*t + k], k < 4. */
SN_INLINE void sn_split_by_4(const float *from, vf part[4])
{
    vf a = vf_load(from), b = vf_load(from + LANES), c = vf_load(from + 2 * LANES),
       d = vf_load(from + 3 * LANES);
    vf even_low = SN_SHUFFLE(a, b, SN_EVENS), odd_low = SN_SHUFFLE(a, b, SN_ODDS);
    vf even_high = SN_SHUFFLE(c, d, SN_EVENS), odd_high = SN_SHUFFLE(c, d, SN_ODDS);
    part[0] = SN_SHUFFLE(even_low, even_high, SN_EVENS);
    part[1] = SN_SHUFFLE(odd_low, odd_high, SN_EVENS);
    part[2] = SN_SHUFFLE(even_low, even_high, SN_ODDS);
    part[3] = SN_SHUFFLE(odd_low, odd_high, SN_ODDS);
}

/* Its inverse: whole[j] holds 4*t + k, in order, from j*LANES on. */
SN_INLINE void sn_join_4(const vf part[4], vf whole[4])
{
    vf low02 = SN_SHUFFLE(part[0], part[2], SN_ZIP_LOW), low13 = SN_SHUFFLE(part[1], part[3], SN_ZIP_LOW);
    vf high02 = SN_SHUFFLE(part[0], part[2], SN_ZIP_HIGH), high13 = SN_SHUFFLE(part[1], part[3], SN_ZIP_HIGH);
    whole[0] = SN_SHUFFLE(low02, low13, SN_ZIP_LOW);
    whole[1] = SN_SHUFFLE(low02, low13, SN_ZIP_HIGH);
    whole[2] = SN_SHUFFLE(high02, high13, SN_ZIP_LOW);
    whole[3] = SN_SHUFFLE(high02, high13, SN_ZIP_HIGH);
}

/* Lane i is the sum of the lanes of v[i], which are changed. */
SN_INLINE vf vf_totals(vf v[LANES])
{
    SN_UNROLL
    for (int i = 0; i < LANES; i += 2)
        v[i] = SN_SHUFFLE(v[i], v[i + 1], SN_LOW_FLOATS) + SN_SHUFFLE(v[i], v[i + 1], SN_HIGH_FLOATS);
    SN_UNROLL
    for (int i = 0; i < LANES; i += 4) /* in quarter q: what rows i .. i + 3 have there */
        v[i] = SN_SHUFFLE(v[i], v[i + 2], SN_LOW_PAIRS) + SN_SHUFFLE(v[i], v[i + 2], SN_HIGH_PAIRS);
#if LANES > 4
    SN_UNROLL
    for (int i = 0; i < LANES; i += 8)
        v[i] = SN_SHUFFLE(v[i], v[i + 4], SN_EVEN_QUARTERS) + SN_SHUFFLE(v[i], v[i + 4], SN_ODD_QUARTERS);
#endif
#if LANES > 8
    v[0] = SN_SHUFFLE(v[0], v[8], SN_EVEN_QUARTERS) + SN_SHUFFLE(v[0], v[8], SN_ODD_QUARTERS);
#endif
    return v[0];
}

/* v[i][j] becomes v[j][i]. */
SN_INLINE void vf_transpose(vf v[LANES])
{
    vf t[LANES];
    SN_UNROLL
    for (int i = 0; i < LANES; i += 2) { /* pairs of rows, in each quarter of four lanes */
        t[i] = SN_SHUFFLE(v[i], v[i + 1], SN_LOW_FLOATS);
        t[i + 1] = SN_SHUFFLE(v[i], v[i + 1], SN_HIGH_FLOATS);
    }
    SN_UNROLL
    for (int i = 0; i < LANES; i += 4) { /* quarter q of v[i + c]: column 4q + c of rows i .. i + 3 */
        v[i] = SN_SHUFFLE(t[i], t[i + 2], SN_LOW_PAIRS);
        v[i + 1] = SN_SHUFFLE(t[i], t[i + 2], SN_HIGH_PAIRS);
        v[i + 2] = SN_SHUFFLE(t[i + 1], t[i + 3], SN_LOW_PAIRS);
        v[i + 3] = SN_SHUFFLE(t[i + 1], t[i + 3], SN_HIGH_PAIRS);
    }
#if LANES == 8
    SN_UNROLL
    for (int c = 0; c < 4; c++) {
        vf low = v[c], high = v[c + 4];
        v[c] = SN_SHUFFLE(low, high, SN_EVEN_QUARTERS);
        v[c + 4] = SN_SHUFFLE(low, high, SN_ODD_QUARTERS);
    }
#elif LANES == 16
    SN_UNROLL
    for (int c = 0; c < 4; c++) {
        vf even[2] = {SN_SHUFFLE(v[c], v[c + 4], SN_EVEN_QUARTERS),
                      SN_SHUFFLE(v[c + 8], v[c + 12], SN_EVEN_QUARTERS)};
        vf odd[2] = {SN_SHUFFLE(v[c], v[c + 4], SN_ODD_QUARTERS),
                     SN_SHUFFLE(v[c + 8], v[c + 12], SN_ODD_QUARTERS)};
        v[c] = SN_SHUFFLE(even[0], even[1], SN_EVEN_QUARTERS);
        v[c + 4] = SN_SHUFFLE(odd[0], odd[1], SN_EVEN_QUARTERS);
        v[c + 8] = SN_SHUFFLE(even[0], even[1], SN_ODD_QUARTERS);
        v[c + 12] = SN_SHUFFLE(odd[0], odd[1], SN_ODD_QUARTERS);
    }
#endif
}

#endif
