/* Batch normalisation of each channel of each image, with or without ReLU. */
#include <math.h>

#include "backend/cpu/kernels/run.h"

/* z = (x - mean)*scale + shift; the backward pass computes the same z, so both see the same ReLU. */
typedef struct norm {
    float mean, scale, shift;
} norm;

typedef struct moments {
    double mean, variance;
} moments;

static norm make_norm(float gamma, float beta, float mean, float variance, double epsilon)
{
    return (norm){mean, (float)(gamma / sqrt(variance + epsilon)), beta};
}

/* Biased variance. */
static moments measure(const float *x, int64_t voxels)
{
    vd sum = {0}, squares = {0};
    double total = 0, total_squares = 0, origin = x[0]; /* any value near the mean, against cancellation */
    const vf first = vf_splat(x[0]);
    int64_t v = 0;
    for (; v + LANES <= voxels; v += LANES) {
        vf offset = vf_load(x + v) - first;
        sum = vd_add(sum, offset);
        squares = vd_add(squares, offset * offset);
    }
    for (; v < voxels; v++) {
        double offset = x[v] - x[0];
        total += offset;
        total_squares += offset * offset;
    }
    total += vd_total(sum);
    total_squares += vd_total(squares);
    double mean = total / (double)voxels, variance = total_squares / (double)voxels - mean * mean;
    return (moments){origin + mean, variance > 0 ? variance : 0};
}

static void normalise(const float *x, float *y, int64_t voxels, norm to, bool relu)
{
    if (relu) {
#pragma omp simd
        for (int64_t v = 0; v < voxels; v++) {
            float z = (x[v] - to.mean) * to.scale + to.shift;
            y[v] = z < 0 ? 0 : z; /* NaN stays NaN */
        }
    } else {
#pragma omp simd
        for (int64_t v = 0; v < voxels; v++)
            y[v] = (x[v] - to.mean) * to.scale + to.shift;
    }
}

void SN_CPU_RUN(batchnorm)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const float *x = call->in[0], *gamma = call->in[1], *beta = call->in[2];
    float *y = call->out[0], *mean = call->out[1], *variance = call->out[2];
    const int64_t *shape = op->inputs[0].desc.shape;
    int64_t planes = shape[0] * shape[1], voxels = sn_tensor_voxels(&op->inputs[0].desc);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t p = 0; p < planes; p++) {
        int64_t c = p % shape[1];
        moments found = measure(x + p * voxels, voxels);
        mean[p] = (float)found.mean;
        variance[p] = (float)found.variance;
        norm to = make_norm(gamma[c], beta[c], mean[p], variance[p], op->params.batchnorm.epsilon);
        normalise(x + p * voxels, y + p * voxels, voxels, to, op->params.batchnorm.relu);
    }
}

void SN_CPU_RUN(batchnorm_apply)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const float *x = call->in[0], *gamma = call->in[1], *beta = call->in[2];
    const float *mean = call->in[3], *variance = call->in[4];
    float *y = call->out[0];
    const int64_t *shape = op->inputs[0].desc.shape;
    int64_t planes = shape[0] * shape[1], voxels = sn_tensor_voxels(&op->inputs[0].desc);
    bool each = op->inputs[3].desc.shape[0] > 1; /* statistics of every image, not of all */
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t p = 0; p < planes; p++) {
        int64_t c = p % shape[1], s = each ? p : c;
        norm to = make_norm(gamma[c], beta[c], mean[s], variance[s], op->params.batchnorm.epsilon);
        normalise(x + p * voxels, y + p * voxels, voxels, to, op->params.batchnorm.relu);
    }
}

/* g = dy where z > 0, else 0 (dy without ReLU). */
SN_INLINE float masked(float x, float dy, norm to, bool relu)
{
    float z = (x - to.mean) * to.scale + to.shift;
    return relu && !(z > 0) ? 0 : dy;
}

/* sums = {sum of g, sum of g*(x - mean)} */
SN_INLINE void sum_gradients(double sums[2], const float *x, const float *dy, int64_t voxels, norm to,
                             bool relu)
{
    vd sum = {0}, products = {0};
    const vf zero = {0};
    int64_t v = 0;
    for (; v + LANES <= voxels; v += LANES) {
        vf offset = vf_load(x + v) - to.mean, g = vf_load(dy + v);
        if (relu)
            g = vf_select(offset * to.scale + to.shift > zero, g, zero);
        sum = vd_add(sum, g);
        products = vd_add(products, g * offset);
    }
    sums[0] = vd_total(sum);
    sums[1] = vd_total(products);
    for (; v < voxels; v++) {
        float g = masked(x[v], dy[v], to, relu);
        sums[0] += g;
        sums[1] += g * (x[v] - to.mean);
    }
}

/* dx = scale*(g - mean of g - xhat * mean of g*xhat), xhat = (x - mean)/sqrt(v + epsilon): with e = x - mean,
 * dx = scale*(g - a - b*e), b = (mean of g*e)/(v + epsilon). dx may be x or dy. */
SN_INLINE void input_gradient(const float *x, const float *dy, float *dx, int64_t voxels, norm to, float a,
                              float b, bool relu)
{
#pragma omp simd
    for (int64_t v = 0; v < voxels; v++)
        dx[v] = to.scale * (masked(x[v], dy[v], to, relu) - a - b * (x[v] - to.mean));
}

static void plane_backward(const float *x, const float *dy, float *dx, int64_t voxels, norm to, double spread,
                           bool relu, double sums[2])
{
    double count = (double)voxels;
    if (relu) {
        sum_gradients(sums, x, dy, voxels, to, true);
        input_gradient(x, dy, dx, voxels, to, (float)(sums[0] / count), (float)(sums[1] / count / spread),
                       true);
    } else {
        sum_gradients(sums, x, dy, voxels, to, false);
        input_gradient(x, dy, dx, voxels, to, (float)(sums[0] / count), (float)(sums[1] / count / spread),
                       false);
    }
}

void SN_CPU_RUN(batchnorm_backward)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const float *x = call->in[0], *gamma = call->in[1], *beta = call->in[2];
    const float *mean = call->in[3], *variance = call->in[4], *dy = call->in[5];
    float *dx = call->out[0], *dgamma = call->out[1], *dbeta = call->out[2];
    const int64_t *shape = op->inputs[0].desc.shape;
    int64_t channels = shape[1], voxels = sn_tensor_voxels(&op->inputs[0].desc);
    double epsilon = op->params.batchnorm.epsilon;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t c = 0; c < channels; c++)
        for (int64_t n = 0; n < shape[0]; n++) {
            int64_t p = n * channels + c, first = p * voxels;
            double sums[2], spread = variance[p] + epsilon;
            norm to = make_norm(gamma[c], beta[c], mean[p], variance[p], epsilon);
            plane_backward(x + first, dy + first, dx + first, voxels, to, spread, op->params.batchnorm.relu,
                           sums);
            dbeta[c] += (float)sums[0];
            dgamma[c] += (float)(sums[1] / sqrt(spread));
        }
}

void SN_CPU_RUN(batchnorm_running)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const float *mean = call->in[0], *variance = call->in[1];
    float *running_mean = call->out[0], *running_variance = call->out[1];
    const int64_t *shape = op->inputs[0].desc.shape;
    double voxels = (double)op->params.batchnorm.voxels, q = op->params.batchnorm.momentum;
    double unbiased = voxels > 1 ? voxels / (voxels - 1) : 1;
    for (int64_t n = 0; n < shape[0]; n++)
        for (int64_t c = 0; c < shape[1]; c++) {
            int64_t p = n * shape[1] + c;
            running_mean[c] = (float)((1 - q) * running_mean[c] + q * mean[p]);
            running_variance[c] = (float)((1 - q) * running_variance[c] + q * unbiased * variance[p]);
        }
}
