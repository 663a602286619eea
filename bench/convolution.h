/**
 * One convolution on the cpu backend, ready to be run again and again.
 */
#ifndef BENCH_CONVOLUTION_H
#define BENCH_CONVOLUTION_H

#include "backend/backend.h"
#include "bench/shapes.h"

enum { BENCH_OPERANDS = 3 }; /* two inputs and the output */

/* Forward, backward data, backward weights. */
enum { BENCH_KINDS = 3 };
extern const sn_op_kind bench_kinds[BENCH_KINDS];

typedef struct bench_convolution {
    sn_op op;
    const sn_backend *backend;
    sn_device *device;
    sn_buffer *buffer;
    sn_program *program;
} bench_convolution;

/** The operation that a convolution of this shape needs for `kind`. */
sn_op bench_convolution_op(sn_op_kind kind, const bench_shape *shape);

/** Operand 0 and 1: the inputs, 2: the output. */
const sn_operand *bench_convolution_operand(const sn_op *op, int index);

/** Values of an operand that look random; `*values` is the caller's, sn_free. */
sn_status bench_convolution_values(float **values, const sn_op *op, int index, sn_error *error);

/**
 * Make an operation ready, its inputs filled with bench_convolution_values.
 *
 * @param[out] out bench_convolution_close, also after an error
 */
sn_status bench_convolution_open(bench_convolution *out, const sn_op *op, const sn_backend *backend,
                                 sn_device *device, sn_error *error);
void bench_convolution_close(bench_convolution *convolution);

/** Run it once; `*seconds` is how long that took. */
sn_status bench_convolution_run(bench_convolution *convolution, double *seconds, sn_error *error);

/** Whether a name contains each of the words. */
bool bench_wanted(const char *name, int count, char **words);

#endif
