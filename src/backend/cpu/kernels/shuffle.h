/**
 * Exchanging lanes between vectors.
 */
#ifndef SN_BACKEND_CPU_SHUFFLE_H
#define SN_BACKEND_CPU_SHUFFLE_H

#include "backend/cpu/kernels/vector.h"

#define SHUFFLE __builtin_shufflevector

#if LANES == 16
#define LOW_FLOATS 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_FLOATS 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define EVEN_QUARTERS 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define ODD_QUARTERS 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#elif LANES == 8
#define LOW_FLOATS 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_FLOATS 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#define EVEN_QUARTERS 0, 1, 2, 3, 8, 9, 10, 11
#define ODD_QUARTERS 4, 5, 6, 7, 12, 13, 14, 15
#else
#define LOW_FLOATS 0, 4, 1, 5
#define HIGH_FLOATS 2, 6, 3, 7
#define LOW_PAIRS 0, 1, 4, 5
#define HIGH_PAIRS 2, 3, 6, 7
#endif

/* v[i][j] becomes v[j][i]. */
SN_INLINE void vf_transpose(vf v[LANES])
{
    vf t[LANES];
    SN_UNROLL
    for (int i = 0; i < LANES; i += 2) { /* pairs of rows, in each quarter of four lanes */
        t[i] = SHUFFLE(v[i], v[i + 1], LOW_FLOATS);
        t[i + 1] = SHUFFLE(v[i], v[i + 1], HIGH_FLOATS);
    }
    SN_UNROLL
    for (int i = 0; i < LANES; i += 4) { /* quarter q of v[i + c]: column 4q + c of rows i .. i + 3 */
        v[i] = SHUFFLE(t[i], t[i + 2], LOW_PAIRS);
        v[i + 1] = SHUFFLE(t[i], t[i + 2], HIGH_PAIRS);
        v[i + 2] = SHUFFLE(t[i + 1], t[i + 3], LOW_PAIRS);
        v[i + 3] = SHUFFLE(t[i + 1], t[i + 3], HIGH_PAIRS);
    }
#if LANES == 8
    SN_UNROLL
    for (int c = 0; c < 4; c++) {
        vf low = v[c], high = v[c + 4];
        v[c] = SHUFFLE(low, high, EVEN_QUARTERS);
        v[c + 4] = SHUFFLE(low, high, ODD_QUARTERS);
    }
#elif LANES == 16
    SN_UNROLL
    for (int c = 0; c < 4; c++) {
        vf even[2] = {SHUFFLE(v[c], v[c + 4], EVEN_QUARTERS), SHUFFLE(v[c + 8], v[c + 12], EVEN_QUARTERS)};
        vf odd[2] = {SHUFFLE(v[c], v[c + 4], ODD_QUARTERS), SHUFFLE(v[c + 8], v[c + 12], ODD_QUARTERS)};
        v[c] = SHUFFLE(even[0], even[1], EVEN_QUARTERS);
        v[c + 4] = SHUFFLE(odd[0], odd[1], EVEN_QUARTERS);
        v[c + 8] = SHUFFLE(even[0], even[1], ODD_QUARTERS);
        v[c + 12] = SHUFFLE(odd[0], odd[1], ODD_QUARTERS);
    }
#endif
}

#endif
