/* Products of matrices whose lanes are columns; see product.h. */
#include "backend/cpu/kernels/product.h"

#include <stddef.h>

#include "backend/cpu/conv_plan.h"

/* Rows that are summed together, at most: by the number of registers. */
#if LANES == 16
enum { MAX_ROWS = 12 };
#else
enum { MAX_ROWS = 6 };
#endif

/* A few rows, from `a` and `c` on. */
SN_INLINE void multiply(const int rows, const int vectors, const sn_product *product, const float *a,
                        float *c)
{
    vf sum[MAX_ROWS * SN_PRODUCT_VECTORS];
    const int64_t a_row = product->a_row, a_depth = product->a_depth, b_depth = product->b_depth;
    SN_UNROLL
    for (int r = 0; r < rows; r++) {
        SN_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r * vectors + v] = product->add ? vf_load(c + r * product->c_row + v * LANES) : (vf){0};
    }
    const float *b = product->b;
    for (int64_t k = 0; k < product->depth; k++, a += a_depth, b += b_depth) {
        vf column[SN_PRODUCT_VECTORS];
        SN_UNROLL
        for (int v = 0; v < vectors; v++) {
            column[v] = vf_load(b + v * LANES);
            SN_KEEP(column[v]);
        }
        SN_UNROLL
        for (int r = 0; r < rows; r++) {
            SN_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r * vectors + v] += a[r * a_row] * column[v];
        }
    }
    SN_UNROLL
    for (int r = 0; r < rows; r++) {
        SN_UNROLL
        for (int v = 0; v < vectors; v++)
            vf_store(c + r * product->c_row + v * LANES, sum[r * vectors + v]);
    }
}

typedef void multiply_kernel(const sn_product *product, const float *a, float *c);

#define MULTIPLY(rows, vectors)                                                                              \
    static void multiply_##rows##_##vectors(const sn_product *product, const float *a, float *c)             \
    {                                                                                                        \
        multiply(rows, vectors, product, a, c);                                                              \
    }
#define KERNELS(rows) MULTIPLY(rows, 1) MULTIPLY(rows, 2)
#define LIST(rows)                                                                                           \
    {                                                                                                        \
        NULL, multiply_##rows##_1, multiply_##rows##_2                                                       \
    }
KERNELS(1)
KERNELS(2)
KERNELS(3)
KERNELS(4)
KERNELS(5)
KERNELS(6)
#if LANES == 16
KERNELS(7)
KERNELS(8)
KERNELS(9)
KERNELS(10)
KERNELS(11)
KERNELS(12)
#endif

static multiply_kernel *const kernels[MAX_ROWS + 1][SN_PRODUCT_VECTORS + 1] = {
    {NULL},  LIST(1), LIST(2), LIST(3),  LIST(4),  LIST(5),  LIST(6),
#if LANES == 16
    LIST(7), LIST(8), LIST(9), LIST(10), LIST(11), LIST(12),
#endif
};

void SN_PRODUCT_RUN(const sn_product *product)
{
    int64_t groups = sn_conv_parts(product->rows, MAX_ROWS);
    for (int64_t g = 0; g < groups; g++) {
        int64_t first = sn_conv_split(product->rows, groups, g),
                rows = sn_conv_split(product->rows, groups, g + 1) - first;
        kernels[rows][product->vectors](product, product->a + first * product->a_row,
                                        product->c + first * product->c_row);
    }
}
