/**
 * The table of operation cases: every backend runs all of them.
 */
#ifndef TESTS_BACKEND_CASES_H
#define TESTS_BACKEND_CASES_H

#include "harness.h"

enum { CASE_NAME = 160 };

typedef struct op_case {
    char name[CASE_NAME]; /* "conv3d (1,21,5,6,7) -> (1,26,5,6,7) kernel 3 dilation 2 stride 1" */
    sn_op op;
    double matrix[12]; /* AFFINE_WARP */
    double scale;      /* of scores; large ones bring probabilities to the clamps */
    int seed;
} op_case;

int op_case_count(void);

/** Case `index` with `real` as its floating-point type; of an operation without SN_BF16 in SN_F32 instead. */
op_case op_case_get(int index, sn_dtype real);

/**
 * Values for all inputs and all updated outputs: random, the same for every type (exact in float), within
 * what each operand means (labels < C, some absent; variances > 0; indices < 8).
 */
void op_case_fill(const op_case *which, op_values *values);

#endif
