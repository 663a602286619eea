/**
 * Vectors of floats, as wide as the instruction set that this file is compiled for; GCC's vector extensions,
 * so +, -, *, / and comparisons work lane by lane.
 */
#ifndef SN_BACKEND_CPU_VECTOR_H
#define SN_BACKEND_CPU_VECTOR_H

#include <stdint.h>

/* The name of something that exists once for each instruction set: SN_CPU_NAME(f) is f_avx2. */
#define SN_CPU_PASTE2(name, isa) name##_##isa
#define SN_CPU_PASTE(name, isa) SN_CPU_PASTE2(name, isa)
#define SN_CPU_NAME(name) SN_CPU_PASTE(name, SN_CPU_ISA)

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float vf_unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Half as many lanes, as floats and as doubles (one register). */
typedef float vh __attribute__((vector_size(2 * LANES)));
typedef float vh_unaligned __attribute__((vector_size(2 * LANES), aligned(4), may_alias));
typedef double vd __attribute__((vector_size(4 * LANES)));

#define SN_INLINE static inline __attribute__((always_inline))

/* Unroll the next loop, whose count is constant after inlining, completely. */
#ifdef __clang__
#define SN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SN_UNROLL _Pragma("GCC unroll 32")
#endif

/* Keep a vector in a register that is used more than once: compilers would rather load it again each time. */
#if defined(__AVX512F__)
#define SN_KEEP(v) __asm__("" : "+v"(v))
#elif defined(__SSE2__)
#define SN_KEEP(v) __asm__("" : "+x"(v))
#else
#define SN_KEEP(v) (void)(v)
#endif

SN_INLINE vf vf_load(const float *p)
{
    return *(const vf_unaligned *)p;
}

SN_INLINE void vf_store(float *p, vf v)
{
    *(vf_unaligned *)p = v;
}

SN_INLINE vf vf_splat(float x)
{
    return x - (vf){0};
}

/* The first `count` floats, which may be fewer than a vector's; then 0. */
SN_INLINE vf vf_load_first(const float *p, int64_t count)
{
    if (count >= LANES)
        return vf_load(p);
    vf v = {0};
    for (int i = 0; i < count; i++)
        v[i] = p[i];
    return v;
}

SN_INLINE void vf_store_first(float *p, vf v, int64_t count)
{
    if (count >= LANES)
        vf_store(p, v);
    else
        for (int i = 0; i < count; i++)
            p[i] = v[i];
}

/* Lanes of a where mask is -1, of b where it is 0. */
SN_INLINE vf vf_select(vi mask, vf a, vf b)
{
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

/* Where a or b is NaN, vf_max and vf_min give b. */
SN_INLINE vf vf_max(vf a, vf b)
{
    return vf_select(a > b, a, b);
}

SN_INLINE vf vf_min(vf a, vf b)
{
    return vf_select(a < b, a, b);
}

/* Add the lanes of x, as doubles, to a sum. */
SN_INLINE vd vd_add(vd sum, vf x)
{
    union {
        vf whole;
        vh half[2];
    } parts = {x};
    return sum + (__builtin_convertvector(parts.half[0], vd) + __builtin_convertvector(parts.half[1], vd));
}

SN_INLINE double vd_total(vd sum)
{
    double total = 0;
    for (int i = 0; i < LANES / 2; i++)
        total += sum[i];
    return total;
}

/* e^x: x = n*ln 2 + r, |r| <= ln(2)/2, Taylor's polynomial of e^r. Below -87 the result stays near 1e-38; NaN
 * stays NaN. */
SN_INLINE vf vf_exp(vf x)
{
    const vf round = vf_splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    x = vf_min(vf_splat(88.0f), vf_max(vf_splat(-87.0f), x));
    vf shifted = x * 1.44269504f + round;
    vf n = shifted - round;
    vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = vf_splat(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    vi exponent = ((vi)shifted - (vi)round + 127) << 23;
    return p * (vf)exponent;
}

/* ln x of normal x > 0: x = 2^n*m, m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1)/(m + 1)). */
SN_INLINE vf vf_log(vf x)
{
    const int32_t root_half = 0x3F3504F3; /* the bits of sqrt(1/2) */
    vi shifted = (vi)x - root_half;
    vf n = __builtin_convertvector(shifted >> 23, vf);
    vf f = (vf)((shifted & 0x7FFFFF) + root_half) - 1.0f;
    vf s = f / (f + 2.0f), s2 = s * s;
    vf p = s2 * (s2 * (s2 * (s2 * (2.0f / 11) + 2.0f / 9) + 2.0f / 7) + 2.0f / 5) + 2.0f / 3;
    vf correction = n * -2.12194440e-4f + s * (s2 * p - f); /* 2s = f - s*f */
    return n * 0.693359375f + (f + correction);
}

/* ln(1 + x) of x >= 0, to full relative precision for small x. */
SN_INLINE vf vf_log1p(vf x)
{
    vf y = x + 1.0f, rounded = y - 1.0f;
    vi tiny = rounded == 0.0f;
    vf safe = vf_select(tiny, vf_splat(1.0f), rounded);
    return vf_select(tiny, x, vf_log(y) * (x / safe));
}

/* x^g of normal x > 0. */
SN_INLINE vf vf_pow(vf x, float g)
{
    return vf_exp(vf_log(x) * g);
}

#endif
