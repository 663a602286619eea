/**
 * The convolutions that are measured one by one: those of the networks that compare.py trains at 64x64x64 as
 * far as they differ in kind, and some that are awkward on purpose.
 */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H

#include <stdint.h>

enum { BENCH_NAME = 128 };

/* Stride 1: "same" padding; stride > 1: none. */
typedef struct bench_shape {
    int64_t in_channels, out_channels;
    int64_t extent[3]; /* D, H, W of the input */
    int kernel, dilation, stride;
} bench_shape;

extern const bench_shape bench_shapes[];
extern const int bench_shape_count;

/** "21->42 @32x32x32 k3 d1 s1" */
void bench_shape_name(char name[BENCH_NAME], const bench_shape *shape);

#endif
