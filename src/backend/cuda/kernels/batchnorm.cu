/* Batch normalisation of each channel of each image, with or without ReLU. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

/* z = (x - mean)*scale + shift; the backward pass computes the same z, so both see the same ReLU. */
typedef struct scaling {
    float mean, scale, shift;
} scaling;

/* What does not change from channel to channel. */
template <typename T> struct layer {
    const T *x;
    const float *gamma, *beta, *mean, *variance;
    double epsilon;
    int statistics; /* how many there are: N*C, or C for all images */
    bool relu;
    sn_cuda_spread s;
};

template <typename T>
static layer<T> layer_of(const sn_cuda_call *call, const void *mean, const void *variance)
{
    const sn_op *op = call->op;
    const int64_t *shape = op->inputs[0].desc.shape;
    bool one = op->kind == SN_OP_BATCHNORM_APPLY && op->inputs[3].desc.shape[0] == 1;
    return layer<T>{(const T *)call->in[0],
                    (const float *)call->in[1],
                    (const float *)call->in[2],
                    (const float *)mean,
                    (const float *)variance,
                    op->params.batchnorm.epsilon,
                    (int)(one ? shape[1] : shape[0] * shape[1]),
                    op->params.batchnorm.relu,
                    sn_cuda_spread_of(&op->inputs[0].desc)};
}

template <typename T> static int64_t blocks_of(const layer<T> &of, const sn_cuda_call *call)
{
    return sn_cuda_blocks(&of.s, call->op->inputs[0].desc.shape[0]);
}

/* Of a lane's channels. */
template <typename T> struct scalings {
    scaling of[width<T>];
};

/* One thread computes what the block shares of a channel: square roots in double are slow on most GPUs. */
template <typename T> static __device__ scalings<T> scalings_of(const layer<T> &of, const lane &own)
{
    __shared__ scaling shared[SN_CUDA_BLOCK];
    const int count = of.s.across * width<T>, c = (own.vector - own.column) * width<T> + (int)threadIdx.x;
    if ((int)threadIdx.x < count) {
        shared[threadIdx.x] = scaling{0, 0, 0}; /* of a channel that only fills up */
        if (c < of.s.channels) {
            const int64_t s = ((int64_t)own.image * of.s.channels + c) % of.statistics;
            const double deviation = sqrt(of.variance[s] + of.epsilon);
            shared[threadIdx.x] = scaling{of.mean[s], (float)(of.gamma[c] / deviation), of.beta[c]};
        }
    }
    __syncthreads();
    scalings<T> to;
    FOR_EACH_CHANNEL(T, k)
    {
        to.of[k] = shared[own.column * width<T> + k];
    }
    return to;
}

static __device__ float normalised(float x, const scaling &to)
{
    return fmaf(x - to.mean, to.scale, to.shift);
}

/* Sums of x - origin and its square; the origin is any value near the mean, against cancellation: the first. */
template <typename T> static __global__ void measure(double *partials, const T *x, sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places at = places_of<T>(own, s, s.voxels);
    lane_sums<T, 2> sums = {};
    values<T> origin = {};
    if (own.first < own.end)
        origin = load(x + at(0));
    FOR_EACH_VOXEL(own)
    {
        const values<T> value = load(x + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            const float offset = value.of[k] - origin.of[k];
            sums.of[0][k] += offset;
            sums.of[1][k] += offset * offset;
        }
    }
    store_partials(partials, sums, own, s);
}

/* The first value of a channel of an image. */
static __device__ float first_value(const float *x, int64_t plane, const sn_cuda_spread &s)
{
    return x[plane * s.voxels];
}

static __device__ float first_value(const bf16 *x, int64_t plane, const sn_cuda_spread &s)
{
    const int64_t image = plane / s.channels, c = plane % s.channels;
    return to_float(x[image * s.voxels * s.vectors * SN_BF16_CHANNELS + c]);
}

/* Mean and biased variance; one block for each channel of each image. */
template <typename T>
static __global__ void find_moments(float *mean, float *variance, const double *partials, const T *x,
                                    sn_cuda_spread s)
{
    const int64_t plane = blockIdx.x;
    double sums[2];
    sum_partials(sums, partials, plane, s.parts);
    double offset = sums[0] / s.voxels, spread = sums[1] / s.voxels - offset * offset;
    if (threadIdx.x == 0) {
        mean[plane] = (float)(first_value(x, plane, s) + offset);
        variance[plane] = (float)(spread < 0 ? 0 : spread); /* NaN stays NaN */
    }
}

template <typename T> static __global__ void normalise(T *y, layer<T> of)
{
    const lane own = lane_of(of.s);
    const places at = places_of<T>(own, of.s, of.s.voxels);
    const scalings<T> to = scalings_of(of, own);
    FOR_EACH_VOXEL(own)
    {
        values<T> value = load(of.x + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            const float z = normalised(value.of[k], to.of[k]);
            value.of[k] = of.relu && z < 0 ? 0 : z; /* NaN stays NaN */
        }
        store(y + at(v), value);
    }
}

template <typename T> static cudaError_t launch_batchnorm(const sn_cuda_call *call)
{
    const layer<T> of = layer_of<T>(call, call->out[1], call->out[2]);
    const int64_t planes = call->op->inputs[0].desc.shape[0] * of.s.channels;
    double *partials = (double *)call->workspace;
    SN_CUDA_TRY(SN_LAUNCH(measure<T>, blocks_of(of, call), call->stream, partials, of.x, of.s));
    SN_CUDA_TRY(SN_LAUNCH(find_moments<T>, planes, call->stream, (float *)call->out[1], (float *)call->out[2],
                          partials, of.x, of.s));
    return SN_LAUNCH(normalise<T>, blocks_of(of, call), call->stream, (T *)call->out[0], of);
}

cudaError_t sn_cuda_batchnorm(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_batchnorm, call);
}

template <typename T> static cudaError_t launch_apply(const sn_cuda_call *call)
{
    const layer<T> of = layer_of<T>(call, call->in[3], call->in[4]);
    return SN_LAUNCH(normalise<T>, blocks_of(of, call), call->stream, (T *)call->out[0], of);
}

cudaError_t sn_cuda_batchnorm_apply(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_apply, call);
}

/* g = dy where z > 0, else 0 (dy without ReLU). */
static __device__ float masked(float x, float dy, const scaling &to, bool relu)
{
    return relu && !(normalised(x, to) > 0) ? 0 : dy;
}

/* Sums of g and of g*(x - mean). */
template <typename T> static __global__ void measure_gradients(double *partials, layer<T> of, const T *dy)
{
    const lane own = lane_of(of.s);
    const places at = places_of<T>(own, of.s, of.s.voxels);
    const scalings<T> to = scalings_of(of, own);
    lane_sums<T, 2> sums = {};
    FOR_EACH_VOXEL(own)
    {
        const values<T> value = load(of.x + at(v)), slope = load(dy + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            const float g = masked(value.of[k], slope.of[k], to.of[k], of.relu);
            sums.of[0][k] += g;
            sums.of[1][k] += g * (value.of[k] - to.of[k].mean);
        }
    }
    store_partials(partials, sums, own, of.s);
}

/* dx = scale*(g - mean of g - xhat * mean of g*xhat), xhat = (x - mean)/sqrt(v + epsilon): with e = x - mean,
 * dx = scale*(g - a - b*e), b = (mean of g*e)/(v + epsilon). */
typedef struct slopes {
    float a, b;
} slopes;

/* The slopes of a channel in all images, and its gradients; one block for each channel. */
template <typename T>
static __global__ void find_gradients(slopes *to, float *dgamma, float *dbeta, const double *partials,
                                      layer<T> of, int images)
{
    const int c = (int)blockIdx.x;
    float gamma = dgamma[c], beta = dbeta[c];
    for (int n = 0; n < images; n++) {
        const int64_t plane = (int64_t)n * of.s.channels + c;
        const double spread = of.variance[plane] + of.epsilon;
        double sums[2];
        sum_partials(sums, partials, plane, of.s.parts);
        beta += (float)sums[0];
        gamma += (float)(sums[1] / sqrt(spread));
        if (threadIdx.x == 0)
            to[plane] = slopes{(float)(sums[0] / of.s.voxels), (float)(sums[1] / of.s.voxels / spread)};
    }
    if (threadIdx.x == 0) {
        dgamma[c] = gamma;
        dbeta[c] = beta;
    }
}

/* dx may be x or dy. */
template <typename T>
static __global__ void find_input_gradient(T *dx, layer<T> of, const T *dy, const slopes *all)
{
    const lane own = lane_of(of.s);
    const places at = places_of<T>(own, of.s, of.s.voxels);
    const scalings<T> to = scalings_of(of, own);
    slopes s[width<T>];
    FOR_EACH_CHANNEL(T, k)
    {
        const int c = own.vector * width<T> + k;
        s[k] = c < of.s.channels ? all[(int64_t)own.image * of.s.channels + c] : slopes{0, 0};
    }
    FOR_EACH_VOXEL(own)
    {
        const values<T> value = load(of.x + at(v));
        values<T> slope = load(dy + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            const float g = masked(value.of[k], slope.of[k], to.of[k], of.relu);
            slope.of[k] = to.of[k].scale * (g - s[k].a - s[k].b * (value.of[k] - to.of[k].mean));
        }
        store(dx + at(v), slope);
    }
}

template <typename T> static cudaError_t launch_backward(const sn_cuda_call *call)
{
    const layer<T> of = layer_of<T>(call, call->in[3], call->in[4]);
    const int64_t images = call->op->inputs[0].desc.shape[0];
    const T *dy = (const T *)call->in[5];
    double *partials = (double *)call->workspace;
    slopes *to = (slopes *)(partials + 2 * images * of.s.channels * of.s.parts);
    SN_CUDA_TRY(SN_LAUNCH(measure_gradients<T>, blocks_of(of, call), call->stream, partials, of, dy));
    SN_CUDA_TRY(SN_LAUNCH(find_gradients<T>, of.s.channels, call->stream, to, (float *)call->out[1],
                          (float *)call->out[2], partials, of, (int)images));
    return SN_LAUNCH(find_input_gradient<T>, blocks_of(of, call), call->stream, (T *)call->out[0], of, dy,
                     to);
}

cudaError_t sn_cuda_batchnorm_backward(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_backward, call);
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
