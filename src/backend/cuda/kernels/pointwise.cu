/* Bias, PReLU, sum, spatial dropout: each voxel by itself, and the sums over voxels of their gradients. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

extern "C" {
#include "base/random.h"
}

static int voxels_of(const sn_cuda_call *call)
{
    return (int)sn_tensor_voxels(&call->op->inputs[0].desc);
}

static int channels_of(const sn_cuda_call *call)
{
    return (int)call->op->inputs[0].desc.shape[1];
}

static int64_t parts_of(const sn_cuda_call *call)
{
    return blocks_of(&call->op->inputs[0].desc);
}

/* NaN stays NaN. */
static __global__ void add_bias(float *y, const float *x, const float *b, int channels, int voxels, bool relu)
{
    part own = part_of(blockIdx.x, voxels);
    const float bias = b[own.plane % channels];
    x += own.plane * voxels;
    y += own.plane * voxels;
    FOR_EACH_VOXEL(own)
    {
        float z = x[v] + bias;
        y[v] = relu && z < 0 ? 0 : z;
    }
}

cudaError_t sn_cuda_bias(const sn_cuda_call *call)
{
    return SN_LAUNCH(add_bias, parts_of(call), call->stream, (float *)call->out[0],
                     (const float *)call->in[0], (const float *)call->in[1], channels_of(call),
                     voxels_of(call), call->op->params.bias.relu);
}

static __global__ void sum_voxels(double *partials, const float *x, int voxels)
{
    part own = part_of(blockIdx.x, voxels);
    double sums[1] = {0};
    x += own.plane * voxels;
    FOR_EACH_VOXEL(own)
    {
        sums[0] += x[v];
    }
    store_partial(partials, sums);
}

/* to (C) += the sums over all images; one block for each channel. */
static __global__ void add_images(float *to, const double *partials, int images, int channels, int voxels)
{
    const int c = (int)blockIdx.x;
    float total = to[c];
    for (int n = 0; n < images; n++) {
        double sums[1];
        sum_partials(sums, partials, (int64_t)n * channels + c, voxels);
        total += (float)sums[0];
    }
    if (threadIdx.x == 0)
        to[c] = total;
}

static cudaError_t add_gradient(const sn_cuda_call *call, void *to)
{
    return SN_LAUNCH(add_images, channels_of(call), call->stream, (float *)to,
                     (const double *)call->workspace, (int)call->op->inputs[0].desc.shape[0],
                     channels_of(call), voxels_of(call));
}

cudaError_t sn_cuda_bias_backward(const sn_cuda_call *call)
{
    SN_CUDA_TRY(SN_LAUNCH(sum_voxels, parts_of(call), call->stream, (double *)call->workspace,
                          (const float *)call->in[0], voxels_of(call)));
    return add_gradient(call, call->out[0]);
}

static __global__ void prelu(float *y, const float *x, const float *a, int channels, int voxels)
{
    part own = part_of(blockIdx.x, voxels);
    const float slope = a[own.plane % channels];
    x += own.plane * voxels;
    y += own.plane * voxels;
    FOR_EACH_VOXEL(own)
    {
        y[v] = x[v] > 0 ? x[v] : slope * x[v];
    }
}

cudaError_t sn_cuda_prelu(const sn_cuda_call *call)
{
    return SN_LAUNCH(prelu, parts_of(call), call->stream, (float *)call->out[0], (const float *)call->in[0],
                     (const float *)call->in[1], channels_of(call), voxels_of(call));
}

/* dx may be x or dy. */
static __global__ void prelu_backward(float *dx, double *partials, const float *x, const float *a,
                                      const float *dy, int channels, int voxels)
{
    part own = part_of(blockIdx.x, voxels);
    const float slope = a[own.plane % channels];
    double sums[1] = {0};
    x += own.plane * voxels;
    dy += own.plane * voxels;
    dx += own.plane * voxels;
    FOR_EACH_VOXEL(own)
    {
        float value = x[v], g = dy[v];
        dx[v] = value > 0 ? g : slope * g;
        sums[0] += value > 0 ? 0 : value * g;
    }
    store_partial(partials, sums);
}

cudaError_t sn_cuda_prelu_backward(const sn_cuda_call *call)
{
    SN_CUDA_TRY(SN_LAUNCH(prelu_backward, parts_of(call), call->stream, (float *)call->out[0],
                          (double *)call->workspace, (const float *)call->in[0], (const float *)call->in[1],
                          (const float *)call->in[2], channels_of(call), voxels_of(call)));
    return add_gradient(call, call->out[1]);
}

typedef struct addends {
    const float *x[SN_OP_MAX_INPUTS];
    int count;
} addends;

/* y may be any of the addends. */
static __global__ void add(float *y, addends of, int64_t count)
{
    const int64_t stride = (int64_t)gridDim.x * SN_CUDA_BLOCK;
    for (int64_t i = (int64_t)blockIdx.x * SN_CUDA_BLOCK + threadIdx.x; i < count; i += stride) {
        float total = of.x[0][i];
        for (int k = 1; k < of.count; k++)
            total += of.x[k][i];
        y[i] = total;
    }
}

cudaError_t sn_cuda_sum(const sn_cuda_call *call)
{
    int64_t count = sn_tensor_count(&call->op->outputs[0].desc);
    addends of = {{}, call->op->input_count};
    for (int k = 0; k < of.count; k++)
        of.x[k] = (const float *)call->in[k];
    return SN_LAUNCH(add, sn_cuda_parts(count), call->stream, (float *)call->out[0], of, count);
}

static __device__ uint32_t read_word(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* sn_op_dropout_scale, on the device: the first two numbers are one uniform. */
static __device__ double dropout_scale(const uint8_t *key, uint32_t stream, uint32_t channel, double rate)
{
    const uint32_t words[2] = {read_word(key), read_word(key + 4)};
    const uint32_t counter[4] = {channel, stream, read_word(key + 8), read_word(key + 12)};
    uint32_t drawn[4];
    sn_random_philox(drawn, counter, words);
    double uniform =
        (double)((uint64_t)(drawn[0] >> 5) << 26 | drawn[1] >> 6) / 9007199254740992.0; /* 2^53 */
    return uniform < rate ? 0 : 1 / (1 - rate);
}

static __global__ void drop_channels(float *y, const float *x, const uint8_t *key, uint32_t stream,
                                     double rate, int voxels)
{
    part own = part_of(blockIdx.x, voxels);
    const float scale = (float)dropout_scale(key, stream, (uint32_t)own.plane, rate);
    x += own.plane * voxels;
    y += own.plane * voxels;
    FOR_EACH_VOXEL(own)
    {
        y[v] = x[v] * scale;
    }
}

cudaError_t sn_cuda_channel_dropout(const sn_cuda_call *call)
{
    const auto *params = &call->op->params.dropout;
    uint32_t stream = SN_RANDOM_DROPOUT | params->stream << 8;
    return SN_LAUNCH(drop_channels, parts_of(call), call->stream, (float *)call->out[0],
                     (const float *)call->in[0], (const uint8_t *)call->in[1], stream, params->rate,
                     voxels_of(call));
}
