/**
 * Running one operation on any backend, with values given and read as double.
 */
#ifndef TESTS_BACKEND_HARNESS_H
#define TESTS_BACKEND_HARNESS_H

#include "backend/backend.h"

/* The values of an operation's operands on the host. */
typedef struct op_values {
    double *in[SN_OP_MAX_INPUTS];
    double *out[SN_OP_MAX_OUTPUTS];
} op_values;

/** Zeroed values for every operand; op_values_clear. */
op_values op_values_make(const sn_op *op);
void op_values_clear(op_values *values);
/** Copy all values between two sets made for the same shapes. */
void op_values_copy(op_values *to, const op_values *from, const sn_op *op);

typedef struct op_runner {
    const sn_backend *backend;
    sn_device *device;
    int runs; /* of each program, from the same values to the same bits; 0: one */
} op_runner;

/** Open a device; fails the test where that fails. */
op_runner runner_open(const sn_backend *backend, int threads);
op_runner runner_open_as(const sn_backend *backend, const sn_device_options *options);
void runner_close(op_runner *runner);

/** The reference backend, between a group's setup and teardown. */
extern op_runner ref;
int ref_open(void **state);
int ref_close(void **state);

enum { NOT_IN_PLACE = -1 };

/**
 * Run one operation: its inputs and updated outputs go to the device, its outputs come back.
 *
 * Operands are laid one after the other in one buffer, whatever place `op` gives them; other outputs start
 * with arbitrary bytes. Fails the test where a second run gives other bits than the first.
 *
 * @param[in] in_place  input whose memory output 0 takes, or NOT_IN_PLACE
 */
sn_status op_try(const op_runner *runner, const sn_op *op, op_values *values, int in_place, sn_error *error);

/** As op_try, not in place; fails the test on an error. */
void op_run(const op_runner *runner, const sn_op *op, op_values *values);

/* Building operations: an operand's description, in the order N, C, D, H, W. */
sn_operand operand_of(sn_dtype dtype, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w);
/** A vector of channels: (1,C,1,1,1). */
sn_operand vector_of(sn_dtype dtype, int64_t channels);
/** The same type and shape as another. */
sn_operand like(const sn_operand *other);

#endif
