/* Batch normalisation of each channel of each image, with or without ReLU. */
#include <math.h>

#include "backend/cpu/kernels/share.h"

enum { CACHED_VOXELS = 128 * 1024 }; /* of a tensor, for each thread */

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

/* sums = {sum of x - origin, sum of (x - origin)^2}; any origin near the mean, against cancellation. */
static void measure(double sums[2], const float *x, int64_t voxels, float origin)
{
    vd sum = {0}, squares = {0};
    int64_t v = 0;
    for (; v + LANES <= voxels; v += LANES) {
        vf offset = vf_load(x + v) - origin;
        sum = vd_add(sum, offset);
        squares = vd_add(squares, offset * offset);
    }
    sums[0] = vd_total(sum);
    sums[1] = vd_total(squares);
    for (; v < voxels; v++) {
        double offset = x[v] - origin;
        sums[0] += offset;
        sums[1] += offset * offset;
    }
}

/* Biased variance, from the sums over the chunks of a channel. */
static moments find_moments(const double *sums, int64_t voxels, float origin)
{
    const int64_t chunks = sn_cpu_chunks(voxels);
    double mean = sn_cpu_add_chunks(sums, chunks, 2) / (double)voxels;
    double variance = sn_cpu_add_chunks(sums + 1, chunks, 2) / (double)voxels - mean * mean;
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

/* Channels that are worked on together: so few that what a thread has of them is still in its cache when it comes to it
 * a second time. */
static int64_t group_of(const sn_cpu_call *call, int64_t channels, int64_t voxels)
{
    int64_t fit = call->threads * (int64_t)CACHED_VOXELS / voxels;
    return sn_conv_smaller(sn_conv_larger(fit, 1), channels);
}

/* Channels [first, first + count) of one image, counted through all images; for all threads of a parallel region. */
static void forward_group(const sn_cpu_call *call, int64_t first, int64_t count)
{
    const sn_op *op = call->op;
    const int64_t channels = op->inputs[0].desc.shape[1], voxels = sn_tensor_voxels(&op->inputs[0].desc);
    const int64_t chunks = sn_cpu_chunks(voxels);
    const float *x = (const float *)call->in[0] + first * voxels, *gamma = call->in[1], *beta = call->in[2];
    float *y = (float *)call->out[0] + first * voxels;
    float *mean = (float *)call->out[1] + first, *variance = (float *)call->out[2] + first;
    double *sums = call->workspace; /* (count, chunks, 2) */
    for (int64_t c = 0; c < count; c++) {
        sn_cpu_part own = sn_cpu_own(chunks, count, c);
        for (int64_t k = own.begin; k < own.end; k++) {
            sn_cpu_span s = sn_cpu_chunk_of(c, voxels, k);
            measure(sums + 2 * (c * chunks + k), x + s.begin, s.count, x[c * voxels]);
        }
    }
#pragma omp barrier
#pragma omp for schedule(static)
    for (int64_t c = 0; c < count; c++) {
        moments found = find_moments(sums + 2 * c * chunks, voxels, x[c * voxels]);
        mean[c] = (float)found.mean;
        variance[c] = (float)found.variance;
    }
    for (int64_t c = 0; c < count; c++) {
        sn_cpu_span s = sn_cpu_own_span(c, count, voxels);
        int64_t of_image = (first + c) % channels;
        norm to =
            make_norm(gamma[of_image], beta[of_image], mean[c], variance[c], op->params.batchnorm.epsilon);
        normalise(x + s.begin, y + s.begin, s.count, to, op->params.batchnorm.relu);
    }
}

/* All groups of channels of all images. */
static void run_groups(const sn_cpu_call *call,
                       void (*run)(const sn_cpu_call *, int64_t first, int64_t count))
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc;
    const int64_t channels = x->shape[1], group = group_of(call, channels, sn_tensor_voxels(x));
#pragma omp parallel num_threads(call->threads)
    for (int64_t n = 0; n < x->shape[0]; n++)
        for (int64_t c = 0; c < channels; c += group)
            run(call, n * channels + c, sn_conv_smaller(group, channels - c));
}

void SN_CPU_RUN(batchnorm)(const sn_cpu_call *call)
{
    run_groups(call, forward_group);
}

void SN_CPU_RUN(batchnorm_apply)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const float *x = call->in[0], *gamma = call->in[1], *beta = call->in[2];
    const float *mean = call->in[3], *variance = call->in[4];
    float *y = call->out[0];
    const int64_t *shape = op->inputs[0].desc.shape;
    const int64_t channels = shape[1], voxels = sn_tensor_voxels(&op->inputs[0].desc);
    bool each = op->inputs[3].desc.shape[0] > 1; /* statistics of every image, not of all */
#pragma omp parallel num_threads(call->threads)
    for (int64_t p = 0; p < shape[0] * channels; p++) {
        sn_cpu_span s = sn_cpu_own_span(p, channels, voxels);
        int64_t c = p % channels, from = each ? p : c;
        norm to = make_norm(gamma[c], beta[c], mean[from], variance[from], op->params.batchnorm.epsilon);
        normalise(x + s.begin, y + s.begin, s.count, to, op->params.batchnorm.relu);
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

/* Channels [first, first + count) of one image. */
typedef struct gradient_group {
    int64_t count, voxels, chunks;
    const float *x, *dy, *gamma, *beta, *mean, *variance; /* of the first channel */
    float *dx, *dgamma, *dbeta;
    double epsilon;
    bool relu;
    double *sums; /* (count, chunks, 2); then the first two of a channel are the sums of all its chunks */
} gradient_group;

static gradient_group gradient_group_of(const sn_cpu_call *call, int64_t first, int64_t count)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc;
    const int64_t voxels = sn_tensor_voxels(x), channel = first % x->shape[1];
    return (gradient_group){.count = count,
                            .voxels = voxels,
                            .chunks = sn_cpu_chunks(voxels),
                            .x = (const float *)call->in[0] + first * voxels,
                            .dy = (const float *)call->in[5] + first * voxels,
                            .gamma = (const float *)call->in[1] + channel,
                            .beta = (const float *)call->in[2] + channel,
                            .mean = (const float *)call->in[3] + first,
                            .variance = (const float *)call->in[4] + first,
                            .dx = (float *)call->out[0] + first * voxels,
                            .dgamma = (float *)call->out[1] + channel,
                            .dbeta = (float *)call->out[2] + channel,
                            .epsilon = call->op->params.batchnorm.epsilon,
                            .relu = call->op->params.batchnorm.relu,
                            .sums = call->workspace};
}

static void sum_chunks(const gradient_group *group, int64_t c, norm to)
{
    const sn_cpu_part own = sn_cpu_own(group->chunks, group->count, c);
    for (int64_t k = own.begin; k < own.end; k++) {
        sn_cpu_span s = sn_cpu_chunk_of(c, group->voxels, k);
        double *sums = group->sums + 2 * (c * group->chunks + k);
        if (group->relu)
            sum_gradients(sums, group->x + s.begin, group->dy + s.begin, s.count, to, true);
        else
            sum_gradients(sums, group->x + s.begin, group->dy + s.begin, s.count, to, false);
    }
}

static void finish_sums(const gradient_group *group, int64_t c)
{
    double *sums = group->sums + 2 * c * group->chunks;
    double sum = sn_cpu_add_chunks(sums, group->chunks, 2);
    double product = sn_cpu_add_chunks(sums + 1, group->chunks, 2);
    group->dbeta[c] += (float)sum;
    group->dgamma[c] += (float)(product / sqrt(group->variance[c] + group->epsilon));
    sums[0] = sum;
    sums[1] = product;
}

static void write_gradient(const gradient_group *group, int64_t c, norm to)
{
    const sn_cpu_span s = sn_cpu_own_span(c, group->count, group->voxels);
    const float *x = group->x + s.begin, *dy = group->dy + s.begin;
    const double *sums = group->sums + 2 * c * group->chunks, voxels = (double)group->voxels;
    float a = (float)(sums[0] / voxels);
    float b = (float)(sums[1] / voxels / (group->variance[c] + group->epsilon));
    if (group->relu)
        input_gradient(x, dy, group->dx + s.begin, s.count, to, a, b, true);
    else
        input_gradient(x, dy, group->dx + s.begin, s.count, to, a, b, false);
}

static norm norm_of(const gradient_group *group, int64_t c)
{
    return make_norm(group->gamma[c], group->beta[c], group->mean[c], group->variance[c], group->epsilon);
}

/* For all threads of a parallel region. */
static void backward_group(const sn_cpu_call *call, int64_t first, int64_t count)
{
    const gradient_group group = gradient_group_of(call, first, count);
    for (int64_t c = 0; c < count; c++)
        sum_chunks(&group, c, norm_of(&group, c));
#pragma omp barrier
#pragma omp for schedule(static)
    for (int64_t c = 0; c < count; c++)
        finish_sums(&group, c);
    for (int64_t c = 0; c < count; c++)
        write_gradient(&group, c, norm_of(&group, c));
#pragma omp barrier
}

void SN_CPU_RUN(batchnorm_backward)(const sn_cpu_call *call)
{
    run_groups(call, backward_group);
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
