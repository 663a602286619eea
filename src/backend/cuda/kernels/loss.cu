/* The losses of docs/method.md section 4 and their gradient with respect to the scores. */
#include "backend/cuda/kernels/classes.cuh"
#include "backend/cuda/kernels/kernels.h"

#define CLAMP 1e-7

/*
 * One image after the other, in two passes. The first leaves p = softmax(scores) in dscores and sums for Dice
 * and cross-entropy; the second turns p into the gradient. With d the one-hot truth and G = dL/dp,
 *   dscores_k = p_k*(G_k - sum_j G_j*p_j),  G_k = A_k*d_k + B_k of Dice, - s/p_k*d_k of cross-entropy,
 * where s = w*slope of the cross-entropy term, so that its part is s*(p_k - d_k): s and 1 - p of the true
 * class are kept from the first pass, the latter to full relative precision.
 */
typedef struct image {
    int channels, voxels;
    sn_loss_kind kind;
    double dice_weight, dice_gamma, smooth;
    double ce_scale; /* w_ce / voxels */
    float ce_gamma;  /* 1 for plain cross-entropy */
    double share;    /* of this image in the loss: 1/N */
    const float *scores, *weights;
    const uint8_t *labels;
    float *dscores;      /* (C, voxels): p after the first pass */
    double *class_sums;  /* (C, parts, 3): of p, of p where it is the truth, of the truth */
    double *ce_sums;     /* (parts) */
    double *terms;       /* (C + 1): of Dice, each class by itself; of cross-entropy */
    float *a, *b;        /* (C): A and B of G_k */
    float *slope, *rest; /* (voxels): s before scaling, 1 - p of the true class */
} image;

/* The cross-entropy term w*(-ln p)^g of a voxel, and w times its slope with respect to -ln p (0 where p is
 * clamped). p = e/sum, 1 - p = others/sum. */
static __device__ float cross_entropy(float e, float others, float sum, float weight, float gamma,
                                      float *slope)
{
    const bool low = e / sum < (float)CLAMP, high = others / sum < (float)CLAMP;
    float minus_log = log1pf(others / e);
    minus_log = low ? 16.1180957f : high ? 1.00000005e-7f : minus_log; /* -ln of the clamps */
    float power = gamma == 1 ? minus_log : powf(minus_log, gamma);
    *slope = low || high ? 0 : weight * (power / minus_log * gamma);
    return weight * power;
}

/* p, slope and rest of each voxel; the sums of cross-entropy. */
static __global__ void first_pass(image im)
{
    part own = part_of(blockIdx.x, im.voxels);
    double sums[1] = {0};
    FOR_EACH_VOXEL(own)
    {
        float *p = im.dscores + v, others = 0, slope;
        const float sum = exp_classes(p, im.scores + v, im.channels, im.voxels);
        const int truth = im.labels[v];
        for (int c = 0; c < im.channels; c++)
            others += c == truth ? 0 : p[(int64_t)c * im.voxels];
        sums[0] +=
            cross_entropy(p[(int64_t)truth * im.voxels], others, sum, im.weights[truth], im.ce_gamma, &slope);
        im.slope[v] = slope;
        im.rest[v] = others / sum;
        for (int c = 0; c < im.channels; c++)
            p[(int64_t)c * im.voxels] /= sum;
    }
    store_partial(im.ce_sums, sums);
}

/* A "plane" is a class here. */
static __global__ void sum_classes(image im)
{
    part own = part_of(blockIdx.x, im.voxels);
    const float *p = im.dscores + own.plane * im.voxels;
    double sums[3] = {0, 0, 0};
    FOR_EACH_VOXEL(own)
    {
        bool is_truth = im.labels[v] == own.plane;
        sums[0] += p[v];
        sums[1] += is_truth ? p[v] : 0;
        sums[2] += is_truth;
    }
    store_partial(im.class_sums, sums);
}

/* The Dice term of a class, and its A and B. */
static __device__ double dice_term(const image &im, const double sums[3], float *a, float *b)
{
    const double numerator = 2 * sums[1] + im.smooth, denominator = sums[2] + sums[0] + im.smooth;
    const double dice = numerator / denominator;
    double term = 1 - dice, slope = -1;
    if (im.kind == SN_LOSS_EXPLOG) {
        const bool low = dice<CLAMP, high = dice> 1 - CLAMP;
        const double minus_log = -log(low ? CLAMP : high ? 1 - CLAMP : dice); /* NaN stays NaN */
        term = pow(minus_log, im.dice_gamma);
        slope = low || high ? 0 : -im.dice_gamma * pow(minus_log, im.dice_gamma - 1) / dice;
    }
    slope *= im.dice_weight / im.channels / denominator;
    *a = (float)(2 * slope);
    *b = (float)(-dice * slope);
    return term;
}

/* One block for each class, and one for cross-entropy. */
static __global__ void find_terms(image im)
{
    const int c = (int)blockIdx.x;
    if (c == im.channels) {
        double sums[1];
        sum_partials(sums, im.ce_sums, 0, im.voxels);
        if (threadIdx.x == 0)
            im.terms[c] = sums[0];
    } else {
        double sums[3];
        sum_partials(sums, im.class_sums, c, im.voxels);
        if (threadIdx.x == 0)
            im.terms[c] = dice_term(im, sums, im.a + c, im.b + c);
    }
}

/* loss += that of this image; one block. */
static __global__ void add_image(double *loss, image im)
{
    double sums[1] = {0};
    if ((int)threadIdx.x < im.channels)
        sums[0] = im.terms[threadIdx.x];
    block_sum(sums);
    if (threadIdx.x == 0)
        *loss += im.share * (im.dice_weight * sums[0] / im.channels + im.ce_scale * im.terms[im.channels]);
}

static __global__ void second_pass(image im)
{
    part own = part_of(blockIdx.x, im.voxels);
    const float share = (float)im.share, ce_scale = (float)(im.share * im.ce_scale);
    FOR_EACH_VOXEL(own)
    {
        float *p = im.dscores + v, dot = 0;
        const int truth = im.labels[v];
        const float slope = im.slope[v] * ce_scale, rest = im.rest[v];
        for (int c = 0; c < im.channels; c++)
            dot += p[(int64_t)c * im.voxels] * ((c == truth ? im.a[c] : 0) + im.b[c]);
        for (int c = 0; c < im.channels; c++) {
            const float own_p = p[(int64_t)c * im.voxels], g = (c == truth ? im.a[c] : 0) + im.b[c];
            p[(int64_t)c * im.voxels] = own_p * (g - dot) * share + slope * (c == truth ? -rest : own_p);
        }
    }
}

/* Doubles before floats. */
size_t sn_cuda_loss_workspace(const sn_op *op)
{
    const sn_tensor_desc *scores = &op->inputs[0].desc;
    const int64_t channels = scores->shape[1], voxels = sn_tensor_voxels(scores);
    const int64_t doubles = (3 * channels + 1) * sn_cuda_parts(voxels) + channels + 1;
    return (size_t)doubles * sizeof(double) + (size_t)(2 * channels + 2 * voxels) * sizeof(float);
}

/* What is the same for all images. */
static image image_of(const sn_cuda_call *call)
{
    const sn_op *op = call->op;
    const int64_t *shape = op->inputs[0].desc.shape;
    const bool explog = op->params.loss.kind == SN_LOSS_EXPLOG;
    image im = {};
    im.channels = (int)shape[1];
    im.voxels = (int)sn_tensor_voxels(&op->inputs[0].desc);
    im.kind = op->params.loss.kind;
    im.dice_weight = op->params.loss.dice_weight;
    im.dice_gamma = op->params.loss.dice_gamma;
    im.smooth = op->params.loss.smooth;
    im.ce_scale = op->params.loss.ce_weight / im.voxels;
    im.ce_gamma = explog ? (float)op->params.loss.ce_gamma : 1;
    im.share = 1 / (double)shape[0];
    im.weights = (const float *)call->in[2];
    const int64_t parts = sn_cuda_parts(im.voxels);
    im.class_sums = (double *)call->workspace;
    im.ce_sums = im.class_sums + 3 * im.channels * parts;
    im.terms = im.ce_sums + parts;
    im.a = (float *)(im.terms + im.channels + 1);
    im.b = im.a + im.channels;
    im.slope = im.b + im.channels;
    im.rest = im.slope + im.voxels;
    return im;
}

cudaError_t sn_cuda_loss(const sn_cuda_call *call)
{
    const int64_t images = call->op->inputs[0].desc.shape[0];
    image im = image_of(call);
    const int64_t parts = sn_cuda_parts(im.voxels), image_count = (int64_t)im.channels * im.voxels;
    for (int64_t n = 0; n < images; n++) {
        im.scores = (const float *)call->in[0] + n * image_count;
        im.labels = (const uint8_t *)call->in[1] + n * im.voxels;
        im.dscores = (float *)call->out[1] + n * image_count;
        SN_CUDA_TRY(SN_LAUNCH(first_pass, parts, call->stream, im));
        SN_CUDA_TRY(SN_LAUNCH(sum_classes, im.channels * parts, call->stream, im));
        SN_CUDA_TRY(SN_LAUNCH(find_terms, im.channels + 1, call->stream, im));
        SN_CUDA_TRY(SN_LAUNCH(add_image, 1, call->stream, (double *)call->out[0], im));
        SN_CUDA_TRY(SN_LAUNCH(second_pass, parts, call->stream, im));
    }
    return cudaSuccess;
}
