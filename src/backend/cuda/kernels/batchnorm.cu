/* Batch normalisation of each channel of each image, with or without ReLU. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

/* z = (x - mean)*scale + shift; the backward pass computes the same z, so both see the same ReLU. */
typedef struct scaling {
    float mean, scale, shift;
} scaling;

/* What does not change from plane to plane. */
typedef struct layer {
    const float *x, *gamma, *beta, *mean, *variance;
    double epsilon;
    int channels, voxels;
    int statistics; /* how many there are: N*C, or C for all images */
    bool relu;
} layer;

static layer layer_of(const sn_cuda_call *call, const void *mean, const void *variance)
{
    const sn_op *op = call->op;
    const int64_t *shape = op->inputs[0].desc.shape;
    bool one = op->kind == SN_OP_BATCHNORM_APPLY && op->inputs[3].desc.shape[0] == 1;
    return layer{(const float *)call->in[0],
                 (const float *)call->in[1],
                 (const float *)call->in[2],
                 (const float *)mean,
                 (const float *)variance,
                 op->params.batchnorm.epsilon,
                 (int)shape[1],
                 (int)sn_tensor_voxels(&op->inputs[0].desc),
                 (int)(one ? shape[1] : shape[0] * shape[1]),
                 op->params.batchnorm.relu};
}

/* One thread computes what the block shares: square roots in double are slow on most GPUs. */
static __device__ scaling scaling_of(const layer &of, int64_t plane)
{
    __shared__ scaling shared;
    if (threadIdx.x == 0) {
        int64_t s = plane % of.statistics, c = plane % of.channels;
        double deviation = sqrt(of.variance[s] + of.epsilon);
        shared = scaling{of.mean[s], (float)(of.gamma[c] / deviation), of.beta[c]};
    }
    __syncthreads();
    return shared;
}

static __device__ float normalised(float x, const scaling &to)
{
    return fmaf(x - to.mean, to.scale, to.shift);
}

/* Sums of x - origin and its square; the origin is any value near the mean, against cancellation. */
static __global__ void measure(double *partials, const float *x, int voxels)
{
    part own = part_of(blockIdx.x, voxels);
    double sums[2] = {0, 0};
    x += own.plane * voxels;
    const float origin = x[0];
    FOR_EACH_VOXEL(own)
    {
        float offset = x[v] - origin;
        sums[0] += offset;
        sums[1] += offset * offset;
    }
    store_partial(partials, sums);
}

/* Mean and biased variance; one block for each plane. */
static __global__ void find_moments(float *mean, float *variance, const double *partials, const float *x,
                                    int voxels)
{
    const int64_t plane = blockIdx.x;
    double sums[2];
    sum_partials(sums, partials, plane, voxels);
    double offset = sums[0] / voxels, spread = sums[1] / voxels - offset * offset;
    if (threadIdx.x == 0) {
        mean[plane] = (float)(x[plane * voxels] + offset);
        variance[plane] = (float)(spread < 0 ? 0 : spread); /* NaN stays NaN */
    }
}

static __global__ void normalise(float *y, layer of)
{
    part own = part_of(blockIdx.x, of.voxels);
    const scaling to = scaling_of(of, own.plane);
    const float *x = of.x + own.plane * of.voxels;
    y += own.plane * of.voxels;
    FOR_EACH_VOXEL(own)
    {
        float z = normalised(x[v], to);
        y[v] = of.relu && z < 0 ? 0 : z; /* NaN stays NaN */
    }
}

cudaError_t sn_cuda_batchnorm(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc;
    layer of = layer_of(call, call->out[1], call->out[2]);
    double *partials = (double *)call->workspace;
    SN_CUDA_TRY(SN_LAUNCH(measure, blocks_of(x), call->stream, partials, of.x, of.voxels));
    SN_CUDA_TRY(SN_LAUNCH(find_moments, planes_of(x), call->stream, (float *)call->out[1],
                          (float *)call->out[2], partials, of.x, of.voxels));
    return SN_LAUNCH(normalise, blocks_of(x), call->stream, (float *)call->out[0], of);
}

cudaError_t sn_cuda_batchnorm_apply(const sn_cuda_call *call)
{
    layer of = layer_of(call, call->in[3], call->in[4]);
    return SN_LAUNCH(normalise, blocks_of(&call->op->inputs[0].desc), call->stream, (float *)call->out[0],
                     of);
}

/* g = dy where z > 0, else 0 (dy without ReLU). */
static __device__ float masked(float x, float dy, const scaling &to, bool relu)
{
    return relu && !(normalised(x, to) > 0) ? 0 : dy;
}

/* Sums of g and of g*(x - mean). */
static __global__ void measure_gradients(double *partials, layer of, const float *dy)
{
    part own = part_of(blockIdx.x, of.voxels);
    const scaling to = scaling_of(of, own.plane);
    double sums[2] = {0, 0};
    const float *x = of.x + own.plane * of.voxels;
    dy += own.plane * of.voxels;
    FOR_EACH_VOXEL(own)
    {
        float g = masked(x[v], dy[v], to, of.relu);
        sums[0] += g;
        sums[1] += g * (x[v] - to.mean);
    }
    store_partial(partials, sums);
}

/* dx = scale*(g - mean of g - xhat * mean of g*xhat), xhat = (x - mean)/sqrt(v + epsilon): with e = x - mean,
 * dx = scale*(g - a - b*e), b = (mean of g*e)/(v + epsilon). */
typedef struct slopes {
    float a, b;
} slopes;

/* The slopes of all planes of one channel, and its gradients; one block for each channel. */
static __global__ void find_gradients(slopes *to, float *dgamma, float *dbeta, const double *partials,
                                      layer of, int images)
{
    const int c = (int)blockIdx.x;
    float gamma = dgamma[c], beta = dbeta[c];
    for (int n = 0; n < images; n++) {
        const int64_t plane = (int64_t)n * of.channels + c;
        const double spread = of.variance[plane] + of.epsilon;
        double sums[2];
        sum_partials(sums, partials, plane, of.voxels);
        beta += (float)sums[0];
        gamma += (float)(sums[1] / sqrt(spread));
        if (threadIdx.x == 0)
            to[plane] = slopes{(float)(sums[0] / of.voxels), (float)(sums[1] / of.voxels / spread)};
    }
    if (threadIdx.x == 0) {
        dgamma[c] = gamma;
        dbeta[c] = beta;
    }
}

/* dx may be x or dy. */
static __global__ void find_input_gradient(float *dx, layer of, const float *dy, const slopes *all)
{
    part own = part_of(blockIdx.x, of.voxels);
    const scaling to = scaling_of(of, own.plane);
    const slopes s = all[own.plane];
    const float *x = of.x + own.plane * of.voxels;
    dy += own.plane * of.voxels;
    dx += own.plane * of.voxels;
    FOR_EACH_VOXEL(own)
    {
        float value = x[v];
        dx[v] = to.scale * (masked(value, dy[v], to, of.relu) - s.a - s.b * (value - to.mean));
    }
}

cudaError_t sn_cuda_batchnorm_backward(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc;
    layer of = layer_of(call, call->in[3], call->in[4]);
    const float *dy = (const float *)call->in[5];
    double *partials = (double *)call->workspace;
    slopes *to = (slopes *)(partials + 2 * blocks_of(x));
    SN_CUDA_TRY(SN_LAUNCH(measure_gradients, blocks_of(x), call->stream, partials, of, dy));
    SN_CUDA_TRY(SN_LAUNCH(find_gradients, of.channels, call->stream, to, (float *)call->out[1],
                          (float *)call->out[2], partials, of, (int)x->shape[0]));
    return SN_LAUNCH(find_input_gradient, blocks_of(x), call->stream, (float *)call->out[0], of, dy, to);
}

static __global__ void move_running(float *running_mean, float *running_variance, const float *mean,
                                    const float *variance, int images, int channels, double momentum,
                                    double unbiased)
{
    const int c = (int)(blockIdx.x * SN_CUDA_BLOCK + threadIdx.x);
    if (c >= channels)
        return;
    for (int n = 0; n < images; n++) {
        const int p = n * channels + c;
        running_mean[c] = (float)((1 - momentum) * running_mean[c] + momentum * mean[p]);
        running_variance[c] =
            (float)((1 - momentum) * running_variance[c] + momentum * unbiased * variance[p]);
    }
}

cudaError_t sn_cuda_batchnorm_running(const sn_cuda_call *call)
{
    const int64_t *shape = call->op->inputs[0].desc.shape;
    double voxels = (double)call->op->params.batchnorm.voxels;
    return SN_LAUNCH(move_running, blocks_for(shape[1]), call->stream, (float *)call->out[0],
                     (float *)call->out[1], (const float *)call->in[0], (const float *)call->in[1],
                     (int)shape[0], (int)shape[1], call->op->params.batchnorm.momentum,
                     voxels > 1 ? voxels / (voxels - 1) : 1);
}
