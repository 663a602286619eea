/**
 * A convolution as cuDNN is asked for it: extents, layout, precision. Needs neither cuDNN nor CUDA.
 */
#ifndef SN_BACKEND_CUDA_CUDNN_SHAPE_H
#define SN_BACKEND_CUDA_CUDNN_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "backend/backend.h"

enum {
    SN_CUDNN_TEXT = 512,
};

/* The tensors by their part in the forward convolution. */
typedef enum sn_cudnn_part {
    SN_CUDNN_X,
    SN_CUDNN_W,
    SN_CUDNN_Y,
    SN_CUDNN_PARTS,
} sn_cudnn_part;

/* The parts that an operation's inputs and its output are. */
typedef struct sn_cudnn_roles {
    sn_cudnn_part in[2], out;
} sn_cudnn_roles;

/*
 * The result is computed from the two others. Tensors are dense: bfloat16 N,D,H,W,C (w: O,K,K,K,I) where the
 * precision is SN_PRECISION_BF16, else float32 N,C,D,H,W. Extents are N,C,D,H,W (w: O,I,K,K,K) for both.
 */
typedef struct sn_cudnn_shape {
    sn_cudnn_part result;   /* Y: forward, X: backward data, W: backward weights */
    sn_precision precision; /* not SN_PRECISION_AUTO */
    int64_t extents[SN_CUDNN_PARTS][SN_DIMS];
    int dilation, stride, pad;
} sn_cudnn_shape;

sn_cudnn_roles sn_cudnn_roles_of(const sn_op *op);

/** The shape of a convolution of op.h; in bf16 with channels rounded up to SN_BF16_CHANNELS: 16 bytes, which tensor
 * cores need. */
sn_cudnn_shape sn_cudnn_shape_of(const sn_op *op, sn_precision precision);

bool sn_cudnn_shape_equal(const sn_cudnn_shape *a, const sn_cudnn_shape *b);

/** Bytes of one of its tensors. */
size_t sn_cudnn_tensor_bytes(const sn_cudnn_shape *shape, sn_cudnn_part part);

/** "backward data in bf16, x (1,24,64,64,64), w (24,24,3,3,3), y (1,24,64,64,64), dilation 1, stride 1, pad 1" */
void sn_cudnn_shape_text(char text[SN_CUDNN_TEXT], const sn_cudnn_shape *shape);

#ifdef __cplusplus
}
#endif

#endif
