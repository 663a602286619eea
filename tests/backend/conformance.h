/**
 * Every case of the table on a device, against ref in double.
 */
#ifndef TESTS_BACKEND_CONFORMANCE_H
#define TESTS_BACKEND_CONFORMANCE_H

#include "cases.h"

/* The largest errors allowed, relative to the output's largest value, before or after: root mean square, and of one
 * element. 0: the same bits. */
typedef struct tolerance {
    double rms, largest;
} tolerance;

/** What float32 allows. */
tolerance conformance_float32(sn_op_kind kind, int output);

/** For each case, the values it is given and what ref computes from them in double: between these two, which are a
 * group's setup and teardown. */
int conformance_setup(void **state);
int conformance_teardown(void **state);
extern op_values *conformance_given;

/** All cases in a type, with SN_BF16 of values that are rounded to it before; also in place where the operation allows
 * it, and gradients also from zero; fails the test where one differs. */
void conformance_run(const op_runner *runner, sn_dtype real, tolerance (*allowed)(sn_op_kind, int));

#endif
