/**
 * Numbers that look random and are the same in C and in Python (peer_torch.py), so that both engines start
 * from the same weights and image and their losses can be compared.
 */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stdint.h>

/** Number i of the pattern, in [-1/2, 1/2), variance 1/12. */
static inline double bench_pattern(int64_t i)
{
    uint32_t h = (uint32_t)i * 2654435761u;
    h = (h ^ h >> 16) * 1540483477u;
    return (double)(h ^ h >> 15) / 0x1p32 - 0.5;
}

#endif
