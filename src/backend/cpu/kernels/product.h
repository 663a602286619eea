/**
 * Products of matrices whose lanes are columns: a few rows by one or two vectors are summed in registers.
 */
#ifndef SN_BACKEND_CPU_PRODUCT_H
#define SN_BACKEND_CPU_PRODUCT_H

#include <stdbool.h>

#include "backend/cpu/kernels/vector.h"

/* Vectors of columns, at most. */
enum { SN_PRODUCT_VECTORS = 2 };

/* c[r, v] (+)= sum over k of a[r, k] * b[k, v] */
typedef struct sn_product {
    int64_t rows, depth; /* of r, of k */
    int vectors;         /* of v: 1 .. SN_PRODUCT_VECTORS */
    const float *a;
    int64_t a_row, a_depth; /* floats from one r, one k to the next */
    const float *b;
    int64_t b_depth;
    float *c;
    int64_t c_row;
    bool add; /* to what c holds */
} sn_product;

#define SN_PRODUCT_RUN SN_CPU_NAME(sn_product_run)

void SN_PRODUCT_RUN(const sn_product *product);

#endif
