/* The losses of docs/method.md section 4 and their gradient with respect to the scores. */
#include "backend/cuda/kernels/classes.cuh"
#include "backend/cuda/kernels/kernels.h"

#define CLAMP 1e-7

/*
 * One image after the other, in two passes. The first leaves of each voxel what p = softmax(scores) is made of,
 * and sums for Dice and cross-entropy; the second makes the gradient. With d the one-hot truth and G = dL/dp,
 *   dscores_k = p_k*(G_k - sum_j G_j*p_j),  G_k = A_k*d_k + B_k of Dice, - s/p_k*d_k of cross-entropy,
 * where s = w*slope of the cross-entropy term, so that its part is s*(p_k - d_k): s and 1 - p of the true
 * class are kept from the first pass, the latter to full relative precision.
 */
template <typename T> struct image {
    classes in;
    sn_cuda_spread s;
    sn_loss_kind kind;
    double dice_weight, dice_gamma, smooth;
    double ce_scale; /* w_ce / voxels */
    float ce_gamma;  /* 1 for plain cross-entropy */
    double share;    /* of this image in the loss: 1/N */
    const T *scores;
    const float *weights;
    const uint8_t *labels;
    T *dscores;
    double *class_sums;   /* (C, parts, 3): of p, of p where it is the truth, of the truth */
    double *ce_sums;      /* (parts) */
    double *terms;        /* (C + 1): of Dice, each class by itself; of cross-entropy */
    float *a, *b;         /* (C): A and B of G_k */
    float *highest, *sum; /* (voxels): p_k = e^(score - highest)/sum */
    float *slope, *rest;  /* (voxels): s before scaling, 1 - p of the true class */
};

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

/* What is kept of each voxel; the sums of cross-entropy. */
template <typename T> static __global__ void first_pass(image<T> im)
{
    const part own = part_of(blockIdx.x, im.in.voxels);
    double sums[1] = {0};
    FOR_EACH_VOXEL(own)
    {
        const T *scores = voxel_of(im.scores, im.in, 0, v);
        const int truth = im.labels[v];
        const float highest = best_class(scores, im.in).score;
        const exponentials sum = sum_exponentials(scores, im.in, highest, truth);
        const float e = expf(to_float(scores[(int64_t)truth * im.in.pitch]) - highest);
        float slope;
        sums[0] += cross_entropy(e, sum.others, sum.all, im.weights[truth], im.ce_gamma, &slope);
        im.highest[v] = highest;
        im.sum[v] = sum.all;
        im.slope[v] = slope;
        im.rest[v] = sum.others / sum.all;
    }
    block_sum(sums);
    if (threadIdx.x == 0)
        im.ce_sums[blockIdx.x] = sums[0];
}

template <typename T> static __global__ void sum_classes(image<T> im)
{
    const lane own = lane_of(im.s);
    const places at = places_of<T>(own, im.s, im.s.voxels);
    lane_sums<T, 3> sums = {};
    FOR_EACH_VOXEL(own)
    {
        const values<T> scores = load(im.scores + at(v));
        const float highest = im.highest[v], sum = im.sum[v];
        const int truth = im.labels[v] - own.vector * width<T>;
        FOR_EACH_CHANNEL(T, k)
        {
            const float p = probability(scores.of[k], highest, sum);
            sums.of[0][k] += p;
            sums.of[1][k] += k == truth ? p : 0;
            sums.of[2][k] += k == truth ? 1 : 0;
        }
    }
    store_partials(im.class_sums, sums, own, im.s);
}

/* The Dice term of a class, and its A and B. */
template <typename T>
static __device__ double dice_term(const image<T> &im, const double sums[3], float *a, float *b)
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
    slope *= im.dice_weight / im.in.channels / denominator;
    *a = (float)(2 * slope);
    *b = (float)(-dice * slope);
    return term;
}

/* One block for each class, and one for cross-entropy. */
template <typename T> static __global__ void find_terms(image<T> im)
{
    const int c = (int)blockIdx.x;
    if (c == im.in.channels) {
        double sums[1];
        sum_partials(sums, im.ce_sums, 0, parts_of(im.in.voxels));
        if (threadIdx.x == 0)
            im.terms[c] = sums[0];
    } else {
        double sums[3];
        sum_partials(sums, im.class_sums, c, im.s.parts);
        if (threadIdx.x == 0)
            im.terms[c] = dice_term(im, sums, im.a + c, im.b + c);
    }
}

/* loss += that of this image; one block. */
template <typename T> static __global__ void add_image(double *loss, image<T> im)
{
    const int channels = im.in.channels;
    double sums[1] = {0};
    if ((int)threadIdx.x < channels)
        sums[0] = im.terms[threadIdx.x];
    block_sum(sums);
    if (threadIdx.x == 0)
        *loss += im.share * (im.dice_weight * sums[0] / channels + im.ce_scale * im.terms[channels]);
}

/* The part of G_k that comes from Dice. */
template <typename T> static __device__ float dice_slope(const image<T> &im, int k, int truth)
{
    return (k == truth ? im.a[k] : 0) + im.b[k];
}

template <typename T> static __global__ void second_pass(image<T> im)
{
    const part own = part_of(blockIdx.x, im.in.voxels);
    const float share = (float)im.share, ce_scale = (float)(im.share * im.ce_scale);
    FOR_EACH_VOXEL(own)
    {
        const T *scores = voxel_of(im.scores, im.in, 0, v);
        T *dscores = voxel_of(im.dscores, im.in, 0, v);
        const int truth = im.labels[v];
        const float highest = im.highest[v], sum = im.sum[v];
        const float slope = im.slope[v] * ce_scale, rest = im.rest[v];
        float dot = 0;
        FOR_EACH_VECTOR(T, im.in, c)
        {
            const values<T> some = load_classes(scores, im.in, c);
            FOR_EACH_CLASS(T, im.in, c, k)
            {
                dot += probability(some.of[k], highest, sum) * dice_slope(im, c + k, truth);
            }
        }
        FOR_EACH_VECTOR(T, im.in, c)
        {
            const values<T> some = load_classes(scores, im.in, c);
            values<T> gradient = {};
            FOR_EACH_CLASS(T, im.in, c, k)
            {
                const float g = dice_slope(im, c + k, truth);
                const float p = probability(some.of[k], highest, sum);
                gradient.of[k] = p * (g - dot) * share + slope * (c + k == truth ? -rest : p);
            }
            store(dscores + (int64_t)c * im.in.pitch, gradient);
        }
    }
}

/* Doubles before floats. */
size_t sn_cuda_loss_workspace(const sn_op *op)
{
    const sn_tensor_desc *scores = &op->inputs[0].desc;
    const int64_t channels = scores->shape[1], voxels = sn_tensor_voxels(scores);
    const int64_t doubles =
        3 * channels * sn_cuda_spread_of(scores).parts + sn_cuda_parts(voxels) + channels + 1;
    return (size_t)doubles * sizeof(double) + (size_t)(2 * channels + 4 * voxels) * sizeof(float);
}

/* What is the same for all images. */
template <typename T> static image<T> image_of(const sn_cuda_call *call)
{
    const sn_op *op = call->op;
    const sn_tensor_desc *scores = &op->inputs[0].desc;
    const bool explog = op->params.loss.kind == SN_LOSS_EXPLOG;
    image<T> im = {};
    im.in = classes_of(scores);
    im.s = sn_cuda_spread_of(scores);
    im.kind = op->params.loss.kind;
    im.dice_weight = op->params.loss.dice_weight;
    im.dice_gamma = op->params.loss.dice_gamma;
    im.smooth = op->params.loss.smooth;
    im.ce_scale = op->params.loss.ce_weight / im.in.voxels;
    im.ce_gamma = explog ? (float)op->params.loss.ce_gamma : 1;
    im.share = 1 / (double)scores->shape[0];
    im.weights = (const float *)call->in[2];
    im.class_sums = (double *)call->workspace;
    im.ce_sums = im.class_sums + (int64_t)3 * im.in.channels * im.s.parts;
    im.terms = im.ce_sums + sn_cuda_parts(im.in.voxels);
    im.a = (float *)(im.terms + im.in.channels + 1);
    im.b = im.a + im.in.channels;
    im.highest = im.b + im.in.channels;
    im.sum = im.highest + im.in.voxels;
    im.slope = im.sum + im.in.voxels;
    im.rest = im.slope + im.in.voxels;
    return im;
}

template <typename T> static cudaError_t launch_loss(const sn_cuda_call *call)
{
    image<T> im = image_of<T>(call);
    const int64_t images = call->op->inputs[0].desc.shape[0], parts = sn_cuda_parts(im.in.voxels);
    for (int64_t n = 0; n < images; n++) {
        im.scores = (const T *)call->in[0] + n * im.in.image;
        im.labels = (const uint8_t *)call->in[1] + n * im.in.voxels;
        im.dscores = (T *)call->out[1] + n * im.in.image;
        SN_CUDA_TRY(SN_LAUNCH(first_pass<T>, parts, call->stream, im));
        SN_CUDA_TRY(SN_LAUNCH(sum_classes<T>, sn_cuda_blocks(&im.s, 1), call->stream, im));
        SN_CUDA_TRY(SN_LAUNCH(find_terms<T>, im.in.channels + 1, call->stream, im));
        SN_CUDA_TRY(SN_LAUNCH(add_image<T>, 1, call->stream, (double *)call->out[0], im));
        SN_CUDA_TRY(SN_LAUNCH(second_pass<T>, parts, call->stream, im));
    }
    return cudaSuccess;
}

cudaError_t sn_cuda_loss(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_loss, call);
}
