/* Losses of scores (docs/method.md section 4), and their gradient, one image at a time. */
#include <math.h>

#include "backend/ref/ref_ops.h"

/* Clamp of probabilities and Dice inside -ln. */
static const double lowest = 1e-7, highest = 1 - 1e-7;

/* One image. p is (C, V); d[v] is the label of voxel v. */
typedef struct image_loss {
    const sn_op *op;
    int64_t labels, voxels;
    const double *p, *d;
    const double *weights;                                        /* w_l */
    double slope[SN_REF_MAX_LABELS];                              /* d L_dice / d Dice_l */
    double overlap[SN_REF_MAX_LABELS], extent[SN_REF_MAX_LABELS]; /* Dice_l = overlap/extent, smoothed */
} image_loss;

/* (-ln q)^g with q clamped (NaN stays NaN), and its slope. */
static double power_of_log(double q, double g)
{
    return pow(-log(q < lowest ? lowest : q > highest ? highest : q), g);
}

static double power_of_log_slope(double q, double g)
{
    if (q < lowest || q > highest)
        return 0;
    return -g * pow(-log(q), g - 1) / q;
}

/* L_dice and its slopes: mean over labels of (-ln Dice_l)^g, or of 1 - Dice_l;
 * Dice_l = (2 sum(d p) + e)/(sum(d) + sum(p) + e). */
static double dice_term(image_loss *image)
{
    double smooth = image->op->params.loss.smooth, gamma = image->op->params.loss.dice_gamma;
    bool explog = image->op->params.loss.kind == SN_LOSS_EXPLOG;
    double sum = 0, count = (double)image->labels;
    for (int64_t l = 0; l < image->labels; l++) {
        double dp = 0, d = 0, p = 0;
        for (int64_t v = 0; v < image->voxels; v++) {
            bool is_label = (int64_t)image->d[v] == l;
            dp += is_label ? image->p[l * image->voxels + v] : 0;
            d += is_label;
            p += image->p[l * image->voxels + v];
        }
        image->overlap[l] = 2 * dp + smooth;
        image->extent[l] = d + p + smooth;
        double dice = image->overlap[l] / image->extent[l];
        sum += explog ? power_of_log(dice, gamma) : 1 - dice;
        image->slope[l] = (explog ? power_of_log_slope(dice, gamma) : -1) / count;
    }
    return sum / count;
}

/* The power of the cross-entropy term: plain cross-entropy has 1. */
static double ce_power(const sn_op *op)
{
    return op->params.loss.kind == SN_LOSS_EXPLOG ? op->params.loss.ce_gamma : 1;
}

/* L_ce: mean over voxels of w_l*(-ln p_l)^g, l the label of the voxel. */
static double ce_term(const image_loss *image)
{
    double sum = 0;
    for (int64_t v = 0; v < image->voxels; v++) {
        int64_t l = (int64_t)image->d[v];
        sum += image->weights[l] * power_of_log(image->p[l * image->voxels + v], ce_power(image->op));
    }
    return sum / (double)image->voxels;
}

/* d (w_dice*L_dice + w_ce*L_ce) / d p_l(v) */
static double slope_of_p(const image_loss *image, int64_t l, int64_t v)
{
    const sn_op *op = image->op;
    bool is_label = (int64_t)image->d[v] == l;
    double extent = image->extent[l];
    double dice_slope = ((is_label ? 2 * extent : 0) - image->overlap[l]) / (extent * extent);
    double slope = op->params.loss.dice_weight * image->slope[l] * dice_slope;
    if (is_label)
        slope += op->params.loss.ce_weight * image->weights[l] / (double)image->voxels *
                 power_of_log_slope(image->p[l * image->voxels + v], ce_power(op));
    return slope;
}

/* Softmax's gradient: ds_l = p_l*(q_l - sum over k of p_k*q_k), q = d L / d p. Overwrites p. */
static void replace_p_by_gradient(const image_loss *image, double *p, double scale)
{
    for (int64_t v = 0; v < image->voxels; v++) {
        double q[SN_REF_MAX_LABELS], mean = 0;
        for (int64_t l = 0; l < image->labels; l++) {
            q[l] = slope_of_p(image, l, v);
            mean += p[l * image->voxels + v] * q[l];
        }
        for (int64_t l = 0; l < image->labels; l++)
            p[l * image->voxels + v] *= scale * (q[l] - mean);
    }
}

void sn_ref_loss(const sn_op *op, double *const *in, double *const *out)
{
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t images = desc->shape[0], labels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    sn_ref_softmax(op, in, out + 1); /* the gradient's memory holds p first */
    for (int64_t n = 0; n < images; n++) {
        double *p = out[1] + n * labels * voxels;
        image_loss image = {
            .op = op, .labels = labels, .voxels = voxels, .p = p, .d = in[1] + n * voxels, .weights = in[2]};
        double dice = dice_term(&image), ce = ce_term(&image);
        out[0][0] += (op->params.loss.dice_weight * dice + op->params.loss.ce_weight * ce) / (double)images;
        replace_p_by_gradient(&image, p, 1 / (double)images);
    }
}
