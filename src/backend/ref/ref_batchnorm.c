/* Batch normalisation over the voxels of one image (Ioffe and Szegedy 2015), channel by channel. */
#include <math.h>

#include "backend/ref/ref_ops.h"

/* y = z, or max(z, 0), of one channel; z = (x - m)/sqrt(v + epsilon)*gamma + beta */
static void normalise(const sn_op *op, double *y, const double *x, double m, double v, double gamma,
                      double beta)
{
    double scale = gamma / sqrt(v + op->params.batchnorm.epsilon);
    for (int64_t i = 0; i < sn_tensor_voxels(&op->inputs[0].desc); i++) {
        double z = (x[i] - m) * scale + beta;
        y[i] = op->params.batchnorm.relu && z < 0 ? 0 : z; /* NaN stays NaN */
    }
}

/* A statistic as SN_OP_BATCHNORM_APPLY will read it. */
static double stored(const sn_tensor_desc *desc, double value)
{
    return desc->dtype == SN_F32 ? (double)(float)value : value;
}

void sn_ref_batchnorm(const sn_op *op, double *const *in, double *const *out)
{
    const double *gamma = in[1], *beta = in[2];
    double *mean = out[1], *variance = out[2];
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    for (int64_t nc = 0; nc < desc->shape[0] * channels; nc++) {
        const double *x = in[0] + nc * voxels;
        double m = 0, v = 0;
        for (int64_t i = 0; i < voxels; i++)
            m += x[i];
        m = stored(&op->outputs[1].desc, m / (double)voxels);
        for (int64_t i = 0; i < voxels; i++)
            v += (x[i] - m) * (x[i] - m);
        v = stored(&op->outputs[2].desc, v / (double)voxels);
        mean[nc] = m;
        variance[nc] = v;
        normalise(op, out[0] + nc * voxels, x, m, v, gamma[nc % channels], beta[nc % channels]);
    }
}

void sn_ref_batchnorm_apply(const sn_op *op, double *const *in, double *const *out)
{
    const double *gamma = in[1], *beta = in[2], *mean = in[3], *variance = in[4];
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    int64_t given = sn_tensor_count(&op->inputs[3].desc); /* C, or N*C */
    for (int64_t nc = 0; nc < desc->shape[0] * channels; nc++)
        normalise(op, out[0] + nc * voxels, in[0] + nc * voxels, mean[nc % given], variance[nc % given],
                  gamma[nc % channels], beta[nc % channels]);
}

/* With h = (x - m)/sqrt(v + epsilon) and g = dy, or 0 where ReLU cut (z <= 0):
 * dbeta = sum g, dgamma = sum g*h, dx = gamma/sqrt(v + epsilon)*(g - mean g - h*mean(g*h)). */
void sn_ref_batchnorm_backward(const sn_op *op, double *const *in, double *const *out)
{
    const double *gamma = in[1], *beta = in[2], *mean = in[3], *variance = in[4];
    double *dgamma = out[1], *dbeta = out[2];
    bool relu = op->params.batchnorm.relu;
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    for (int64_t nc = 0; nc < desc->shape[0] * channels; nc++) {
        const double *x = in[0] + nc * voxels, *dy = in[5] + nc * voxels;
        double *dx = out[0] + nc * voxels;
        int64_t c = nc % channels;
        double inverse = 1 / sqrt(variance[nc] + op->params.batchnorm.epsilon);
        double sum_g = 0, sum_gh = 0;
        for (int64_t i = 0; i < voxels; i++) {
            double h = (x[i] - mean[nc]) * inverse;
            double g = relu && h * gamma[c] + beta[c] <= 0 ? 0 : dy[i];
            sum_g += g;
            sum_gh += g * h;
        }
        for (int64_t i = 0; i < voxels; i++) {
            double h = (x[i] - mean[nc]) * inverse;
            double g = relu && h * gamma[c] + beta[c] <= 0 ? 0 : dy[i];
            dx[i] = gamma[c] * inverse * (g - sum_g / (double)voxels - h * sum_gh / (double)voxels);
        }
        dbeta[c] += sum_g;
        dgamma[c] += sum_gh;
    }
}

void sn_ref_batchnorm_running(const sn_op *op, double *const *in, double *const *out)
{
    const double *m = in[0], *v = in[1];
    double *running_mean = out[0], *running_variance = out[1];
    double q = op->params.batchnorm.momentum;
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1];
    double b = (double)op->params.batchnorm.voxels;
    double unbiased = b > 1 ? b / (b - 1) : 1;
    for (int64_t nc = 0; nc < desc->shape[0] * channels; nc++) {
        int64_t c = nc % channels;
        running_mean[c] = (1 - q) * running_mean[c] + q * m[nc];
        running_variance[c] = (1 - q) * running_variance[c] + q * v[nc] * unbiased;
    }
}
