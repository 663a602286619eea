#include "bench/fma.h"

#include <stdbool.h>

#include "base/clock.h"

enum { FMA_CHAINS = 12, FMA_STEPS = 200000 };

/* Independent chains of multiply-adds in registers. */
#define FMA_LOOP(name, lanes, attribute)                                                                     \
    typedef float name##_vector __attribute__((vector_size(4 * (lanes))));                                   \
    attribute static float name(void)                                                                        \
    {                                                                                                        \
        name##_vector sum[FMA_CHAINS], factor = {0.5f}, all = {0};                                           \
        _Pragma("GCC unroll 12") for (int c = 0; c < FMA_CHAINS; c++) sum[c] = all + (float)c;               \
        for (int i = 0; i < FMA_STEPS; i++) {                                                                \
            _Pragma("GCC unroll 12") for (int c = 0; c < FMA_CHAINS; c++)                                    \
            {                                                                                                \
                sum[c] = sum[c] * factor + factor;                                                           \
                __asm__("" : "+x"(sum[c]));                                                                  \
            }                                                                                                \
        }                                                                                                    \
        _Pragma("GCC unroll 12") for (int c = 0; c < FMA_CHAINS; c++) all += sum[c];                         \
        return all[0];                                                                                       \
    }

#if defined(__x86_64__)
FMA_LOOP(fma_avx512, 16, __attribute__((target("avx512f"))))
FMA_LOOP(fma_avx2, 8, __attribute__((target("avx2,fma"))))
#endif

double bench_fma_peak(int threads)
{
#if defined(__x86_64__)
    const bool wide = __builtin_cpu_supports("avx512f");
    if (!wide && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
        return 0;
    float sink = 0;
    double start = sn_clock_now();
#pragma omp parallel num_threads(threads) reduction(+ : sink)
    sink += wide ? fma_avx512() : fma_avx2();
    double took = sn_clock_now() - start;
    return 2.0 * (wide ? 16 : 8) * FMA_CHAINS * FMA_STEPS * threads / took * (sink == 1 ? 1.0 : 1e-9);
#else
    (void)threads;
    return 0;
#endif
}
