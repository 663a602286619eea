/**
 * Rounding by arithmetic, apart from the bits that the program works with.
 */
#ifndef TESTS_ROUNDED_H
#define TESTS_ROUNDED_H

#include <math.h>

/** To the 8 bits of bf16, ties to even. */
static inline double rounded_to_bf16(double value)
{
    int exponent;
    if (value == 0 || !isfinite(value))
        return value;
    frexp(value, &exponent); /* 8 bits from the first one on */
    return ldexp(nearbyint(ldexp(value, 8 - exponent)), exponent - 8);
}

#endif
