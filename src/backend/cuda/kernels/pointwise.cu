/* Bias, PReLU, sum, spatial dropout: each voxel by itself, and the sums over voxels of their gradients. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

extern "C" {
#include "base/random.h"
}

/* How the values of an operation are shared out, and their blocks. */
static sn_cuda_spread spread_of(const sn_cuda_call *call)
{
    return sn_cuda_spread_of(&call->op->inputs[0].desc);
}

static int64_t blocks_of(const sn_cuda_call *call)
{
    const sn_cuda_spread spread = spread_of(call);
    return sn_cuda_blocks(&spread, call->op->inputs[0].desc.shape[0]);
}

/* NaN stays NaN. */
template <typename T>
static __global__ void add_bias(T *y, const T *x, const float *b, bool relu, sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places at = places_of<T>(own, s, s.voxels);
    const values<T> bias = numbers_of<T>(b, own, s);
    FOR_EACH_VOXEL(own)
    {
        values<T> z = load(x + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            const float sum = z.of[k] + bias.of[k];
            z.of[k] = relu && sum < 0 ? 0 : sum;
        }
        store(y + at(v), z);
    }
}

template <typename T> static cudaError_t launch_bias(const sn_cuda_call *call)
{
    return SN_LAUNCH(add_bias<T>, blocks_of(call), call->stream, (T *)call->out[0], (const T *)call->in[0],
                     (const float *)call->in[1], call->op->params.bias.relu, spread_of(call));
}

cudaError_t sn_cuda_bias(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_bias, call);
}

template <typename T> static __global__ void sum_voxels(double *partials, const T *x, sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places at = places_of<T>(own, s, s.voxels);
    lane_sums<T, 1> sums = {};
    FOR_EACH_VOXEL(own)
    {
        const values<T> value = load(x + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            sums.of[0][k] += value.of[k];
        }
    }
    store_partials(partials, sums, own, s);
}

/* to (C) += the sums over all images; one block for each channel. */
static __global__ void add_images(float *to, const double *partials, int images, int channels, int parts)
{
    const int c = (int)blockIdx.x;
    float total = to[c];
    for (int n = 0; n < images; n++) {
        double sums[1];
        sum_partials(sums, partials, (int64_t)n * channels + c, parts);
        total += (float)sums[0];
    }
    if (threadIdx.x == 0)
        to[c] = total;
}

static cudaError_t add_gradient(const sn_cuda_call *call, void *to)
{
    const sn_cuda_spread s = spread_of(call);
    return SN_LAUNCH(add_images, s.channels, call->stream, (float *)to, (const double *)call->workspace,
                     (int)call->op->inputs[0].desc.shape[0], s.channels, s.parts);
}

template <typename T> static cudaError_t launch_sum_voxels(const sn_cuda_call *call)
{
    return SN_LAUNCH(sum_voxels<T>, blocks_of(call), call->stream, (double *)call->workspace,
                     (const T *)call->in[0], spread_of(call));
}

cudaError_t sn_cuda_bias_backward(const sn_cuda_call *call)
{
    SN_CUDA_TRY(SN_FOR_TYPE(launch_sum_voxels, call));
    return add_gradient(call, call->out[0]);
}

template <typename T> static __global__ void prelu(T *y, const T *x, const float *a, sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places at = places_of<T>(own, s, s.voxels);
    const values<T> slope = numbers_of<T>(a, own, s);
    FOR_EACH_VOXEL(own)
    {
        values<T> value = load(x + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            value.of[k] = value.of[k] > 0 ? value.of[k] : slope.of[k] * value.of[k];
        }
        store(y + at(v), value);
    }
}

template <typename T> static cudaError_t launch_prelu(const sn_cuda_call *call)
{
    return SN_LAUNCH(prelu<T>, blocks_of(call), call->stream, (T *)call->out[0], (const T *)call->in[0],
                     (const float *)call->in[1], spread_of(call));
}

cudaError_t sn_cuda_prelu(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_prelu, call);
}

/* dx may be x or dy. */
template <typename T>
static __global__ void prelu_backward(T *dx, double *partials, const T *x, const float *a, const T *dy,
                                      sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places at = places_of<T>(own, s, s.voxels);
    const values<T> slope = numbers_of<T>(a, own, s);
    lane_sums<T, 1> sums = {};
    FOR_EACH_VOXEL(own)
    {
        const values<T> value = load(x + at(v));
        values<T> g = load(dy + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            sums.of[0][k] += value.of[k] > 0 ? 0 : value.of[k] * g.of[k];
            g.of[k] = value.of[k] > 0 ? g.of[k] : slope.of[k] * g.of[k];
        }
        store(dx + at(v), g);
    }
    store_partials(partials, sums, own, s);
}

template <typename T> static cudaError_t launch_prelu_backward(const sn_cuda_call *call)
{
    return SN_LAUNCH(prelu_backward<T>, blocks_of(call), call->stream, (T *)call->out[0],
                     (double *)call->workspace, (const T *)call->in[0], (const float *)call->in[1],
                     (const T *)call->in[2], spread_of(call));
}

cudaError_t sn_cuda_prelu_backward(const sn_cuda_call *call)
{
    SN_CUDA_TRY(SN_FOR_TYPE(launch_prelu_backward, call));
    return add_gradient(call, call->out[1]);
}

template <typename T> struct addends {
    const T *x[SN_OP_MAX_INPUTS];
    int count;
};

/* y may be any of the addends. */
template <typename T> static __global__ void add(T *y, addends<T> of, int64_t vectors)
{
    const int64_t stride = (int64_t)gridDim.x * SN_CUDA_BLOCK;
    for (int64_t i = (int64_t)blockIdx.x * SN_CUDA_BLOCK + threadIdx.x; i < vectors; i += stride) {
        values<T> total = load(of.x[0] + i * width<T>);
        for (int n = 1; n < SN_OP_MAX_INPUTS;
             n++) { /* a number known before: else `of` is copied, to be indexed */
            if (n >= of.count)
                break;
            const values<T> next = load(of.x[n] + i * width<T>);
            FOR_EACH_CHANNEL(T, k)
            {
                total.of[k] += next.of[k];
            }
        }
        store(y + i * width<T>, total);
    }
}

template <typename T> static cudaError_t launch_add(const sn_cuda_call *call)
{
    const int64_t vectors = (int64_t)(sn_tensor_bytes(&call->op->outputs[0].desc) / (sizeof(T) * width<T>));
    addends<T> of = {{}, call->op->input_count};
    for (int n = 0; n < of.count; n++)
        of.x[n] = (const T *)call->in[n];
    return SN_LAUNCH(add<T>, sn_cuda_parts(vectors), call->stream, (T *)call->out[0], of, vectors);
}

cudaError_t sn_cuda_sum(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_add, call);
}

static __device__ uint32_t read_word(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* sn_op_dropout_scale, on the device: the first two numbers are one uniform. */
static __device__ double dropout_scale(const uint8_t *key, uint32_t stream, uint32_t channel, double rate)
{
    const uint32_t seed[2] = {read_word(key), read_word(key + 4)};
    const uint32_t counter[4] = {channel, stream, read_word(key + 8), read_word(key + 12)};
    uint32_t drawn[4];
    sn_random_philox(drawn, counter, seed);
    double uniform =
        (double)((uint64_t)(drawn[0] >> 5) << 26 | drawn[1] >> 6) / 9007199254740992.0; /* 2^53 */
    return uniform < rate ? 0 : 1 / (1 - rate);
}

template <typename T>
static __global__ void drop_channels(T *y, const T *x, const uint8_t *key, uint32_t stream, double rate,
                                     sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places at = places_of<T>(own, s, s.voxels);
    __shared__ float scales[SN_CUDA_BLOCK]; /* of the block's channels: a thread draws that of one */
    if ((int)threadIdx.x < s.across * width<T>) {
        const int c = (own.vector - own.column) * width<T> + (int)threadIdx.x;
        scales[threadIdx.x] = (float)dropout_scale(key, stream, (uint32_t)(own.image * s.channels + c), rate);
    }
    __syncthreads();
    const float *scale = scales + own.column * width<T>;
    FOR_EACH_VOXEL(own)
    {
        values<T> value = load(x + at(v));
        FOR_EACH_CHANNEL(T, k)
        {
            value.of[k] *= scale[k];
        }
        store(y + at(v), value);
    }
}

template <typename T> static cudaError_t launch_dropout(const sn_cuda_call *call)
{
    const auto *params = &call->op->params.dropout;
    uint32_t stream = SN_RANDOM_DROPOUT | params->stream << 8;
    return SN_LAUNCH(drop_channels<T>, blocks_of(call), call->stream, (T *)call->out[0],
                     (const T *)call->in[0], (const uint8_t *)call->in[1], stream, params->rate,
                     spread_of(call));
}

cudaError_t sn_cuda_channel_dropout(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_dropout, call);
}
