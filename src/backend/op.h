/**
 * Operations: what each one means, for every backend.
 *
 * A tensor is logical NCDHW, five dimensions; it lies dense, W fastest, but for SN_BF16 (below); a vector of C
 * values is (1, C, 1, 1, 1). How a backend lays values out inside an operation is its own business. An operation
 * has inputs, outputs and parameters; whatever changes between steps (step number, learning rate, matrices, the
 * case) is a tensor, never a parameter.
 *
 * "Real" below is the graph's floating-point type: SN_F64, SN_F32 or, where an operation is not said to be without
 * it, SN_BF16. What belongs to a channel (weights, biases, gamma, statistics, their gradients) is SN_F32 where the
 * values are SN_BF16.
 *
 * A tensor of SN_BF16 lies channels last, N, D, H, W, C, as tensor cores read it, with channels rounded up to a
 * multiple of SN_BF16_CHANNELS; the values of those are zeros, which operations keep as long as all values are finite.
 *
 * Some outputs are updated: their old value counts. Gradients of parameters are always added to what is
 * there, so the images of a batch are summed in the order in which they run; SN_OP_NADAM uses the sum and
 * sets it to zero. What is added is the complete gradient of an image, rounded to the tensor's type or before: so gradients
 * that begin at zero, one for each image, can be added later with the same bits (train/together.h). The loss is added
 * in the same way, so that nobody has to wait for it between two images.
 */
#ifndef SN_BACKEND_OP_H
#define SN_BACKEND_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    SN_DIMS = 5,
    SN_OP_MAX_INPUTS = 8,
    SN_OP_MAX_OUTPUTS = 5,
    SN_BF16_CHANNELS = 8,
};

typedef enum sn_dtype {
    SN_F64,
    SN_F32,
    SN_BF16,
    SN_U8,
} sn_dtype;

/** Bytes of one element. */
size_t sn_dtype_size(sn_dtype dtype);

typedef struct sn_tensor_desc {
    sn_dtype dtype;
    int64_t shape[SN_DIMS]; /* N, C, D, H, W, each >= 1 */
} sn_tensor_desc;

/** Whether two tensors have the same type and shape. */
bool sn_tensor_desc_equal(const sn_tensor_desc *a, const sn_tensor_desc *b);

/** The type of what belongs to a channel, where values are of a real type. */
sn_dtype sn_dtype_of_channels(sn_dtype real);

/** Elements of a tensor. */
int64_t sn_tensor_count(const sn_tensor_desc *desc);

/** Channels of a tensor as it lies in a buffer: of SN_BF16 rounded up. */
int64_t sn_tensor_stored_channels(const sn_tensor_desc *desc);

/** Bytes of a tensor. */
size_t sn_tensor_bytes(const sn_tensor_desc *desc);

/** Bytes that it takes in a buffer where another tensor follows, which is aligned. */
size_t sn_tensor_room(const sn_tensor_desc *desc);

/** Voxels of one channel: D*H*W. */
int64_t sn_tensor_voxels(const sn_tensor_desc *desc);

typedef enum sn_op_kind {
    /* Cross-correlation, K = kernel, d = dilation, s = stride, p = pad (zeros):
     *   y[n,o,z,y,x] = sum over i,a,b,c of w[o,i,a,b,c] * x[n,i, zs + ad - p, ys + bd - p, xs + cd - p].
     * "Same": s = 1, p = d*(K-1)/2. A transposed convolution is CONV3D_BACKWARD_DATA of a strided one.
     * Extents: D_out = (D_in + 2p - d*(K-1) - 1)/s + 1; backward data takes D_in from its output. */
    SN_OP_CONV3D,                  /* x (N,I,..), w (O,I,K,K,K)  -> y (N,O,..) */
    SN_OP_CONV3D_BACKWARD_DATA,    /* dy (N,O,..), w (O,I,K,K,K) -> dx (N,I,..) */
    SN_OP_CONV3D_BACKWARD_WEIGHTS, /* x (N,I,..), dy (N,O,..)    -> dw (O,I,K,K,K), added to */

    SN_OP_BIAS,          /* x (N,C,..), b (C)          -> y = x + b[c], or max(y, 0) if params.bias.relu */
    SN_OP_BIAS_BACKWARD, /* dy (N,C,..)                -> db (C), added to */

    /* Batch normalisation over the voxels of one image: statistics per (n, c), biased variance v, accumulated
     * in double (of bf16 a few values at a time in float). z = (x - m)/sqrt(v + epsilon)*gamma + beta; y = z, or max(z, 0) if params.batchnorm.relu. y is
     * made of m and v as they are stored: BATCHNORM_APPLY with these gives the same bits. */
    SN_OP_BATCHNORM,          /* x, gamma (C), beta (C) -> y, m (N,C,1,1,1), v (N,C,1,1,1) */
    SN_OP_BATCHNORM_APPLY,    /* x, gamma, beta, m (N or 1,C), v (N or 1,C) -> y: with given statistics */
    SN_OP_BATCHNORM_BACKWARD, /* x, gamma, beta, m, v, dy -> dx, dgamma (C), dbeta (C); these two added to */
    /* Running statistics, for each image n in order, with b = params.batchnorm.voxels: rm = (1-q)*rm + q*m;
     * rv = (1-q)*rv + q*v*b/(b-1) (v where b = 1); q = params.batchnorm.momentum. Not in bf16. */
    SN_OP_BATCHNORM_RUNNING, /* m (N,C,1,1,1), v (N,C,1,1,1) -> rm (1,C), rv (1,C); both updated */

    SN_OP_PRELU,          /* x, a (C)                   -> y = x > 0 ? x : a[c]*x */
    SN_OP_PRELU_BACKWARD, /* x, a (C), dy               -> dx, da (C), added to */

    SN_OP_SUM, /* 1..8 tensors of one shape          -> y: added left to right */

    /* Maximum over 2x2x2 voxels, stride 2; extents of x are even. index = 4a+2b+c of the first maximum in
     * (a,b,c) order, u8, or bf16 where x is. */
    SN_OP_MAXPOOL,           /* x                     -> y (N,C,D/2,H/2,W/2), index of y's shape */
    SN_OP_MAXPOOL_BACKWARD,  /* dy, index             -> dx */
    SN_OP_UPSAMPLE,          /* x                     -> y: nearest, extents times params.upsample.factor */
    SN_OP_UPSAMPLE_BACKWARD, /* dy                    -> dx: sum over each factor^3 block */

    SN_OP_CONCAT, /* 1..8 tensors (N,C_i,D,H,W)      -> y (N, sum C_i, D,H,W) */
    /* A window: y[n, c, z, y, x] = x[n, c + o0, z + o1, y + o2, x + o3] where that lies inside x, else 0
     * (o = params.window.offset, may be negative). Slices channels, crops, pads, and is the gradient of all
     * three. x is real or u8. */
    SN_OP_WINDOW, /* x                               -> y of any shape with the same N */

    /* Spatial dropout: y = x * s(n, c), s = sn_op_dropout_scale: 0 with chance params.dropout.rate, else
     * 1/(1 - rate). The same operation with the same key, on dy, is its gradient. */
    SN_OP_CHANNEL_DROPOUT, /* x, key u8 (1,1,1,1,16) -> y */

    /* y[n,c,v] = x[n,c] sampled at M*(z,y,x,1)', M = the 3x4 matrix of voxel coordinates (D,H,W order);
     * outside = 0. Linear (real): trilinear, voxels outside count as 0. Nearest (u8 or real): at
     * floor(coordinate + 0.5). Not in bf16. */
    SN_OP_AFFINE_WARP, /* x, M f64 (1,1,1,3,4)       -> y of x's shape */

    SN_OP_TO_BF16, /* x f32 or f64                   -> y bf16: rounded to nearest, ties to even */

    SN_OP_SOFTMAX, /* scores (N,C,..)                -> probabilities over C, f32 where scores are bf16 */
    /* Losses of docs/method.md section 4; one image at a time, mean over n; p = softmax(scores), labels u8
     * (N,1,..) < C, weights w_l real (C). dscores = d loss / d scores. Sums as above. -ln takes p and
     * Dice clamped to [1e-7, 1 - 1e-7], with gradient 0 outside; the sums of Dice, and the Dice of
     * SN_LOSS_DICE_CE, are not clamped. Labels are all C, present or not. A NaN score makes the loss NaN. */
    SN_OP_LOSS, /* scores, labels, weights           -> loss f64 (1,1,1,1,1), added to; dscores */
    /* For each class l, with prediction = argmax over C of scores (first maximum):
     * counts[l] = {|truth and prediction|, |truth|, |prediction|}. */
    SN_OP_OVERLAP, /* scores, labels u8              -> counts f64 (N,C,1,1,3) */
    SN_OP_ARGMAX, /* scores (N,C,..)                -> labels u8 (N,1,..): first maximum                    */

    /* Nadam (Dozat 2016, as torch.optim.NAdam), the scalars that change from step to step in t = {s, a, b,
     * c}: g = grad*s; m = B1*m + (1-B1)*g; v = B2*v + (1-B2)*g*g; p -= (a*g + b*m)/(sqrt(v*c) + E); grad = 0.
     */
    SN_OP_NADAM, /* t f64 (1,1,1,1,4)                -> p, grad, m, v, all updated */

    /* A running average: a = (1 - r)*a + r*x, r = t[0]. */
    SN_OP_AVERAGE, /* x, t f64 (1,1,1,1,1)       -> a, updated */

    SN_OP_KINDS,
} sn_op_kind;

typedef enum sn_loss_kind {
    SN_LOSS_EXPLOG,  /* exponential logarithmic loss (Wong et al. 2018) */
    SN_LOSS_DICE_CE, /* w_dice*(1 - mean over labels of Dice_l) + w_ce*mean of w_l*(-ln p_l) */
} sn_loss_kind;

typedef struct sn_conv3d_params {
    int kernel, dilation, stride, pad;
} sn_conv3d_params;

typedef union sn_op_params {
    sn_conv3d_params conv3d;
    struct {
        bool relu;
    } bias;
    struct {
        double epsilon, momentum;
        bool relu;
        int64_t voxels; /* of the image whose statistics BATCHNORM_RUNNING takes */
    } batchnorm;
    struct {
        int factor;
    } upsample;
    struct {
        int64_t offset[4]; /* channels, D, H, W */
    } window;
    struct {
        double rate;     /* in [0, 1) */
        uint32_t stream; /* the canonical number of this dropout in its network */
    } dropout;
    struct {
        bool nearest;
    } warp;
    struct {
        sn_loss_kind kind;
        double dice_weight, ce_weight; /* w_dice, w_ce: 0.8, 0.2 */
        double dice_gamma, ce_gamma;   /* g of each term: 0.3, 0.3 (SN_LOSS_EXPLOG) */
        double smooth;                 /* e of Dice: 1 */
    } loss;
    struct {
        double beta1, beta2, epsilon; /* 0.9, 0.999, 1e-8 */
    } nadam;
} sn_op_params;

/* Where an operand lies: a buffer of the program, and bytes from its start. */
typedef struct sn_operand {
    sn_tensor_desc desc;
    int buffer;    /* index into the buffers given to program_create */
    size_t offset; /* bytes, a multiple of SN_ALIGNMENT */
} sn_operand;

typedef struct sn_op {
    sn_op_kind kind;
    sn_op_params params;
    int input_count, output_count;
    sn_operand inputs[SN_OP_MAX_INPUTS];
    sn_operand outputs[SN_OP_MAX_OUTPUTS];
    struct {
        int buffer;
        size_t offset; /* bytes, a multiple of SN_ALIGNMENT */
    } workspace;       /* where the scratch memory lies that the backend asks for; ignored if that is none */
} sn_op;

typedef struct sn_op_info {
    const char *name; /* "conv3d" */
    int min_inputs, max_inputs, outputs;
    unsigned updated_outputs; /* bit o: output o is read, changed and written back */
    unsigned added_outputs;   /* bit o: it is so as a gradient: the complete one of an image is added */
    unsigned in_place_inputs; /* bit i: output 0 may occupy the memory of input i of its type and shape */
} sn_op_info;

/** The fixed facts of an operation kind; lives for ever. */
const sn_op_info *sn_op_describe(sn_op_kind kind);

/**
 * Check that operands fit an operation: counts, types, shapes, parameters.
 *
 * @return SN_OK; SN_ERR_ARG with the facts: "conv3d: weights expect 16 channels, input has 8"
 */
sn_status sn_op_check(const sn_op *op, sn_error *error);

/**
 * Where an input of SN_OP_CONCAT may lie in the output already, so that nothing is copied.
 *
 * @param[out] offset bytes from the start of the output, a multiple of SN_ALIGNMENT
 * @return whether it may: its channels lie together, which those of one image do
 */
bool sn_op_concat_place(size_t *offset, const sn_op *op, int input);

/** The same of the output of SN_OP_WINDOW in its input: a window of whole channels of one image. */
bool sn_op_window_place(size_t *offset, const sn_op *op);

/** What "real" is in an operation: f64 is the type of some operands in the others, too. u8 of what moves labels. */
sn_dtype sn_op_real(const sn_op *op);

/** The type, "f64" or "bf16", for which a backend that computes in float32 refuses an operation; NULL: none. */
const char *sn_op_beside_f32(const sn_op *op);

/** The weights of a convolution, or their gradient, among its operands; NULL for every other kind. */
const sn_operand *sn_op_weights(const sn_op *op);

/** Multiply-adds of a convolution (forward or backward); 0 for every other kind. */
int64_t sn_op_multiply_adds(const sn_op *op);

/**
 * The scale of one channel in SN_OP_CHANNEL_DROPOUT: 0 where u < rate, else 1/(1 - rate), u uniform and a
 * function of (key, stream, channel) only.
 *
 * @param[in] key      16 bytes: seed (uint64), substream (uint64; epoch and case), little endian
 * @param[in] stream   params.dropout.stream, less than 2^24
 * @param[in] channel  n*C + c
 */
double sn_op_dropout_scale(const uint8_t key[16], uint32_t stream, int64_t channel, double rate);

#endif
