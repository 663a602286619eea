/**
 * The operations of op.h as plain loops in double: what every other backend is compared with.
 *
 * Each takes the values of all its operands as double, whatever their type, dense NCDHW; outputs that are
 * updated hold their old values, but for gradients, which hold zero. Inputs and outputs never share memory
 * here. Sums run in index order.
 */
#ifndef SN_BACKEND_REF_REF_OPS_H
#define SN_BACKEND_REF_REF_OPS_H

#include "backend/op.h"

enum { SN_REF_MAX_LABELS = 256 }; /* labels are u8 */

typedef void (*sn_ref_kernel)(const sn_op *op, double *const *in, double *const *out);

/* ref_conv3d.c */
void sn_ref_conv3d(const sn_op *op, double *const *in, double *const *out);
void sn_ref_conv3d_backward_data(const sn_op *op, double *const *in, double *const *out);
void sn_ref_conv3d_backward_weights(const sn_op *op, double *const *in, double *const *out);

/* ref_pointwise.c */
void sn_ref_bias(const sn_op *op, double *const *in, double *const *out);
void sn_ref_bias_backward(const sn_op *op, double *const *in, double *const *out);
void sn_ref_prelu(const sn_op *op, double *const *in, double *const *out);
void sn_ref_prelu_backward(const sn_op *op, double *const *in, double *const *out);
void sn_ref_sum(const sn_op *op, double *const *in, double *const *out);
void sn_ref_to_bf16(const sn_op *op, double *const *in, double *const *out);
void sn_ref_channel_dropout(const sn_op *op, double *const *in, double *const *out);
void sn_ref_nadam(const sn_op *op, double *const *in, double *const *out);
void sn_ref_average(const sn_op *op, double *const *in, double *const *out);

/* ref_batchnorm.c */
void sn_ref_batchnorm(const sn_op *op, double *const *in, double *const *out);
void sn_ref_batchnorm_apply(const sn_op *op, double *const *in, double *const *out);
void sn_ref_batchnorm_backward(const sn_op *op, double *const *in, double *const *out);
void sn_ref_batchnorm_running(const sn_op *op, double *const *in, double *const *out);

/* ref_shape.c */
void sn_ref_maxpool(const sn_op *op, double *const *in, double *const *out);
void sn_ref_maxpool_backward(const sn_op *op, double *const *in, double *const *out);
void sn_ref_upsample(const sn_op *op, double *const *in, double *const *out);
void sn_ref_upsample_backward(const sn_op *op, double *const *in, double *const *out);
void sn_ref_concat(const sn_op *op, double *const *in, double *const *out);
void sn_ref_window(const sn_op *op, double *const *in, double *const *out);
void sn_ref_affine_warp(const sn_op *op, double *const *in, double *const *out);

/* ref_scores.c */
void sn_ref_softmax(const sn_op *op, double *const *in, double *const *out);
void sn_ref_argmax(const sn_op *op, double *const *in, double *const *out);
void sn_ref_overlap(const sn_op *op, double *const *in, double *const *out);

/* ref_loss.c */
void sn_ref_loss(const sn_op *op, double *const *in, double *const *out);

/** Where element (n, c, z, y, x) of a tensor lies. */
static inline int64_t sn_ref_at(const int64_t shape[SN_DIMS], int64_t n, int64_t c, int64_t z, int64_t y,
                                int64_t x)
{
    return (((n * shape[1] + c) * shape[2] + z) * shape[3] + y) * shape[4] + x;
}

#endif
