/**
 * The FMA peak: what the processor's multiply-add units give at most.
 */
#ifndef BENCH_FMA_H
#define BENCH_FMA_H

/** Multiply-adds of `threads` threads in registers, measured now, in GFLOP/s; 0 where unknown. */
double bench_fma_peak(int threads);

#endif
