/* The losses of docs/method.md section 4 and their gradient with respect to the scores. */
#include <math.h>

#include "backend/cpu/kernels/classes.h"

#define CLAMP 1e-7

/*
 * Two passes over an image. The first leaves p = softmax(scores) in dscores and sums for Dice and
 * cross-entropy; the second turns p into the gradient. With d the one-hot truth and G = dL/dp,
 *   dscores_k = p_k*(G_k - sum_j G_j*p_j),  G_k = A_k*d_k + B_k of Dice, - s/p_k*d_k of cross-entropy,
 * where s = w*slope of the cross-entropy term, so that its part is s*(p_k - d_k): s and 1 - p of the true
 * class are kept from the first pass, the latter to full relative precision.
 */
typedef struct image {
    int64_t voxels, channels;
    const float *scores;   /* (C, voxels) */
    const uint8_t *labels; /* (voxels) */
    float *dscores;        /* (C, voxels): p after the first pass */
    float *slope, *rest;   /* (voxels): s before scaling, 1 - p of the true class */
    double *sums;          /* (chunks, 3C + 1): see sums_of */
} image;

/* Sums of one chunk or image: of p, of p where it is the truth, of the truth, each (C); of cross-entropy. */
typedef struct sums {
    double *p, *true_p, *truth, *cross_entropy;
} sums;

static sums sums_of(double *memory, int64_t channels)
{
    return (sums){memory, memory + channels, memory + 2 * channels, memory + 3 * channels};
}

/* Vector sums of one chunk, in scratch: p and true p, each (C). */
typedef struct vector_sums {
    vd *p, *true_p;
} vector_sums;

typedef struct truth {
    vf e, others, weight; /* e^score of the true class, the sum of the others, the true class's weight */
} truth;

static truth find_truth(const float *column, vi label, const float *weights, int64_t channels)
{
    truth t = {{0}, {0}, {0}};
    const vf zero = {0};
    for (int64_t c = 0; c < channels; c++) {
        vi own = label == (int32_t)c;
        vf e = vf_load(column + c * BLOCK);
        t.e += vf_select(own, e, zero);
        t.others += vf_select(own, zero, e);
        t.weight += vf_select(own, vf_splat(weights[c]), zero);
    }
    return t;
}

/* The cross-entropy term w*(-ln p)^g of each voxel, and w times its slope with respect to -ln p (0 where p is
 * clamped); g = 1 for plain cross-entropy. p = e/sum, 1 - p = others/sum. */
static vf cross_entropy(truth t, vf sum, float gamma, vf *slope)
{
    vf p = t.e / sum, rest = t.others / sum;
    vi low = p < vf_splat((float)CLAMP), high = rest < vf_splat((float)CLAMP);
    vf ratio = vf_select(low | high, vf_splat(1.0f), t.others / t.e);
    vf minus_log = vf_log1p(ratio);
    minus_log = vf_select(low, vf_splat((float)-log(CLAMP)), minus_log);
    minus_log = vf_select(high, vf_splat((float)-log1p(-CLAMP)), minus_log);
    vf power = gamma == 1 ? minus_log : vf_pow(minus_log, gamma);
    *slope = vf_select(low | high, (vf){0}, t.weight * (power / minus_log * gamma));
    return t.weight * power;
}

/* Sum the probabilities of one vector of voxels, `valid` where there is a voxel, and store them. */
static void store_probabilities(float *column, vf sum, vi label, vi valid, int64_t channels, vector_sums to)
{
    const vf inverse = 1.0f / sum, zero = {0};
    for (int64_t c = 0; c < channels; c++) {
        vf p = vf_load(column + c * BLOCK) * inverse;
        vf_store(column + c * BLOCK, p);
        p = vf_select(valid, p, zero);
        to.p[c] = vd_add(to.p[c], p);
        to.true_p[c] = vd_add(to.true_p[c], vf_select(label == (int32_t)c, p, zero));
    }
}

static void first_pass_block(const image *im, const float *weights, float gamma, int64_t voxel, int count,
                             float *block, vector_sums to, vd *total)
{
    int32_t label[BLOCK];
    float slope[BLOCK], rest[BLOCK];
    vf exp_sums[BLOCK_VECTORS];
    for (int i = 0; i < BLOCK; i++)
        label[i] = i < count ? im->labels[voxel + i] : -1; /* no class: adds nothing */
    sn_cpu_gather_classes(block, im->scores + voxel, im->voxels, im->channels, count);
    sn_cpu_exp_classes(block, exp_sums, im->channels);
    for (int i = 0; i < BLOCK_VECTORS; i++) {
        vi labels;
        vf slopes;
        memcpy(&labels, label + i * LANES, sizeof labels);
        vi valid = labels >= 0;
        truth t = find_truth(block + i * LANES, labels, weights, im->channels);
        *total = vd_add(*total, vf_select(valid, cross_entropy(t, exp_sums[i], gamma, &slopes), (vf){0}));
        vf_store(slope + i * LANES, slopes);
        vf_store(rest + i * LANES, t.others / exp_sums[i]);
        store_probabilities(block + i * LANES, exp_sums[i], labels, valid, im->channels, to);
    }
    memcpy(im->slope + voxel, slope, (size_t)count * sizeof *slope);
    memcpy(im->rest + voxel, rest, (size_t)count * sizeof *rest);
    for (int64_t c = 0; c < im->channels; c++)
        memcpy(im->dscores + c * im->voxels + voxel, block + c * BLOCK, (size_t)count * sizeof *block);
}

static void first_pass_chunk(const image *im, const float *weights, float gamma, int64_t chunk,
                             float *scratch)
{
    sn_cpu_span s = sn_cpu_chunk_of(0, im->voxels, chunk);
    sums chunk_sums = sums_of(im->sums + chunk * (3 * im->channels + 1), im->channels);
    vector_sums vectors = {(vd *)(scratch + im->channels * BLOCK), NULL};
    vectors.true_p = vectors.p + im->channels;
    vd total = {0};
    memset(vectors.p, 0, (size_t)im->channels * 2 * sizeof *vectors.p);
    memset(chunk_sums.truth, 0, (size_t)im->channels * sizeof *chunk_sums.truth);
    for (int64_t voxel = s.begin; voxel < s.begin + s.count; voxel += BLOCK)
        first_pass_block(im, weights, gamma, voxel, sn_cpu_block_count(s.begin + s.count, voxel), scratch,
                         vectors, &total);
    for (int64_t voxel = s.begin; voxel < s.begin + s.count; voxel++)
        chunk_sums.truth[im->labels[voxel]]++;
    for (int64_t c = 0; c < im->channels; c++) {
        chunk_sums.p[c] = vd_total(vectors.p[c]);
        chunk_sums.true_p[c] = vd_total(vectors.true_p[c]);
    }
    *chunk_sums.cross_entropy = vd_total(total);
}

/* Add the sums of all chunks, in order, into those of the first. */
static void add_chunks(const image *im)
{
    int64_t cells = 3 * im->channels + 1;
    for (int64_t chunk = 1; chunk < sn_cpu_chunks(im->voxels); chunk++)
        for (int64_t i = 0; i < cells; i++)
            im->sums[i] += im->sums[chunk * cells + i];
}

/* The Dice term, and A and B of G_k = A_k*d_k + B_k; A takes the place of the sums of true p, B of p. */
static double dice_term(const sn_op_params *params, sums s, int64_t channels)
{
    double term = 0, gamma = params->loss.dice_gamma, smooth = params->loss.smooth;
    for (int64_t c = 0; c < channels; c++) {
        double numerator = 2 * s.true_p[c] + smooth, denominator = s.truth[c] + s.p[c] + smooth;
        double dice = numerator / denominator, slope = -1;
        if (params->loss.kind == SN_LOSS_EXPLOG) {
            bool low = dice<CLAMP, high = dice> 1 - CLAMP;
            double minus_log = -log(low ? CLAMP : high ? 1 - CLAMP : dice); /* NaN stays NaN */
            term += pow(minus_log, gamma) / (double)channels;
            slope = low || high ? 0 : -gamma * pow(minus_log, gamma - 1) / dice;
        } else {
            term += (1 - dice) / (double)channels;
        }
        slope *= params->loss.dice_weight / (double)channels / denominator;
        s.true_p[c] = 2 * slope;
        s.p[c] = -dice * slope;
    }
    return term;
}

/* From p to the gradient, for one vector of voxels. */
static void second_pass_vector(float *column, vi label, vf slope, vf rest, const float *a, const float *b,
                               int64_t channels, float scale)
{
    const vf zero = {0};
    vf dot = {0};
    for (int64_t c = 0; c < channels; c++) {
        vf g = vf_select(label == (int32_t)c, vf_splat(a[c]), zero) + b[c];
        dot += vf_load(column + c * BLOCK) * g;
    }
    for (int64_t c = 0; c < channels; c++) {
        vi own = label == (int32_t)c;
        vf p = vf_load(column + c * BLOCK), g = vf_select(own, vf_splat(a[c]), zero) + b[c];
        vf_store(column + c * BLOCK, p * (g - dot) * scale + slope * vf_select(own, -rest, p));
    }
}

/* a, b: A and B as floats; scale of all, ce_scale of the cross-entropy term. */
static void second_pass_block(const image *im, const float *a, const float *b, float scale, float ce_scale,
                              int64_t voxel, int count, float *block)
{
    int32_t label[BLOCK];
    float slope[BLOCK] = {0}, rest[BLOCK] = {0};
    for (int i = 0; i < count; i++) {
        slope[i] = im->slope[voxel + i] * ce_scale;
        rest[i] = im->rest[voxel + i];
    }
    for (int i = 0; i < BLOCK; i++)
        label[i] = i < count ? im->labels[voxel + i] : -1;
    sn_cpu_gather_classes(block, im->dscores + voxel, im->voxels, im->channels, count);
    for (int i = 0; i < BLOCK_VECTORS; i++) {
        vi labels;
        memcpy(&labels, label + i * LANES, sizeof labels);
        second_pass_vector(block + i * LANES, labels, vf_load(slope + i * LANES), vf_load(rest + i * LANES),
                           a, b, im->channels, scale);
    }
    for (int64_t c = 0; c < im->channels; c++)
        memcpy(im->dscores + c * im->voxels + voxel, block + c * BLOCK, (size_t)count * sizeof *block);
}

static double image_loss(const sn_cpu_call *call, const image *im, double part)
{
    const sn_op_params *params = &call->op->params;
    const float *weights = call->in[2];
    float gamma = params->loss.kind == SN_LOSS_EXPLOG ? (float)params->loss.ce_gamma : 1;
    sums s = sums_of(im->sums, im->channels);
    double loss = 0, ce_scale = params->loss.ce_weight / (double)im->voxels;
    float a[256], b[256];
#pragma omp parallel num_threads(call->threads)
    {
        float *scratch = sn_cpu_thread_scratch(call);
#pragma omp for schedule(static)
        for (int64_t chunk = 0; chunk < sn_cpu_chunks(im->voxels); chunk++)
            first_pass_chunk(im, weights, gamma, chunk, scratch);
#pragma omp single
        {
            add_chunks(im);
            loss = params->loss.dice_weight * dice_term(params, s, im->channels);
            loss += ce_scale * *s.cross_entropy;
            for (int64_t c = 0; c < im->channels; c++) {
                a[c] = (float)s.true_p[c];
                b[c] = (float)s.p[c];
            }
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < sn_cpu_class_blocks(im->voxels); i++)
            second_pass_block(im, a, b, (float)part, (float)(part * ce_scale), i * BLOCK,
                              sn_cpu_block_count(im->voxels, i * BLOCK), scratch);
    }
    return loss;
}

void SN_CPU_RUN(loss)(const sn_cpu_call *call)
{
    const int64_t *shape = call->op->inputs[0].desc.shape;
    int64_t voxels = sn_tensor_voxels(&call->op->inputs[0].desc), channels = shape[1];
    double *workspace = call->workspace, total = 0, part = 1 / (double)shape[0];
    float *per_voxel = (float *)(workspace + sn_cpu_chunks(voxels) * (3 * channels + 1));
    for (int64_t n = 0; n < shape[0]; n++) {
        int64_t first = n * channels * voxels;
        image im = {.voxels = voxels,
                    .channels = channels,
                    .scores = (const float *)call->in[0] + first,
                    .labels = (const uint8_t *)call->in[1] + n * voxels,
                    .dscores = (float *)call->out[1] + first,
                    .slope = per_voxel,
                    .rest = per_voxel + voxels,
                    .sums = workspace};
        total += part * image_loss(call, &im, part);
    }
    *(double *)call->out[0] += total;
}
