/**
 * Convolutions that are too large for the reference backend: some values of their results, each summed in double.
 */
#ifndef TESTS_BACKEND_SAMPLES_H
#define TESTS_BACKEND_SAMPLES_H

#include "harness.h"

/* Of the forward convolution; padding 'same' where the stride is 1, else none. */
typedef struct sampled_shape {
    int64_t images, in, out; /* channels of x, of y */
    int64_t extent[3];       /* of x */
    int kernel, dilation, stride;
} sampled_shape;

/** Forward, backward data, backward weights. */
extern const sn_op_kind convolution_kinds[3];

/** The operation of a kind, in float32. */
sn_op convolution_of(sn_op_kind kind, const sampled_shape *shape);

/** Run a convolution of random values and hold some of the results, corners among them, against their sums. */
void check_samples(const op_runner *runner, sn_op_kind kind, const sampled_shape *shape);

/** All three kinds, with every instruction set that there is and several numbers of threads. */
void check_samples_everywhere(const sampled_shape *shapes, int count);

#endif
