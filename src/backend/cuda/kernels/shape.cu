/* Concatenation and windows: copies. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

/* Channels [first, first + width) of a voxel in bf16, which has `channels`; 0 where it has none. They need not be
 * a vector of it. */
static __device__ values<bf16> gather(const bf16 *voxel, int first, int channels)
{
    if (first % SN_BF16_CHANNELS == 0 && first >= 0 && first < channels)
        return load(voxel + first);
    values<bf16> to;
    FOR_EACH_CHANNEL(bf16, k)
    {
        const int c = first + k;
        to.of[k] = c >= 0 && c < channels ? to_float(voxel[c]) : 0;
    }
    return to;
}

/* ---- concatenation ---- */

/* The inputs of a concatenation in bf16. */
typedef struct sources {
    int count;
    const bf16 *data[SN_OP_MAX_INPUTS];
    int first[SN_OP_MAX_INPUTS]; /* channel of the result */
    int channels[SN_OP_MAX_INPUTS], stored[SN_OP_MAX_INPUTS];
} sources;

static __global__ void join(bf16 *y, sources of, sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places at = places_of<bf16>(own, s, s.voxels);
    const int first = own.vector * SN_BF16_CHANNELS;
    FOR_EACH_VOXEL(own)
    {
        const int64_t voxel = (int64_t)own.image * s.voxels + v;
        values<bf16> all = {};
        for (int i = 0; i < of.count; i++) {
            if (of.first[i] >= first + SN_BF16_CHANNELS || of.first[i] + of.channels[i] <= first)
                continue;
            const values<bf16> some =
                gather(of.data[i] + voxel * of.stored[i], first - of.first[i], of.channels[i]);
            FOR_EACH_CHANNEL(bf16, k)
            {
                const int c = first + k - of.first[i];
                all.of[k] = c >= 0 && c < of.channels[i] ? some.of[k] : all.of[k];
            }
        }
        store(y + at(v), all);
    }
}

static cudaError_t concat_bf16(const sn_cuda_call *call)
{
    const sn_op *op = call->op;
    const sn_cuda_spread s = sn_cuda_spread_of(&op->outputs[0].desc);
    sources of = {op->input_count, {}, {}, {}, {}};
    for (int i = 0, first = 0; i < of.count; first += of.channels[i++]) {
        const sn_tensor_desc *x = &op->inputs[i].desc;
        of.data[i] = (const bf16 *)call->in[i];
        of.first[i] = first;
        of.channels[i] = (int)x->shape[1];
        of.stored[i] = (int)sn_tensor_stored_channels(x);
    }
    return SN_LAUNCH(join, sn_cuda_blocks(&s, op->outputs[0].desc.shape[0]), call->stream,
                     (bf16 *)call->out[0], of, s);
}

cudaError_t sn_cuda_concat(const sn_cuda_call *call)
{
    const sn_op *op = call->op;
    if (op->inputs[0].desc.dtype == SN_BF16)
        return concat_bf16(call);
    const int64_t images = op->outputs[0].desc.shape[0];
    const size_t pitch = sn_tensor_bytes(&op->outputs[0].desc) / (size_t)images;
    size_t start = 0;
    for (int i = 0; i < op->input_count; i++) {
        const size_t bytes = sn_tensor_bytes(&op->inputs[i].desc) / (size_t)images;
        for (size_t n = 0; n < (size_t)images; n++) {
            char *to = (char *)call->out[0] + n * pitch + start;
            const char *from = (const char *)call->in[i] + n * bytes;
            if (to != from) /* it may lie there already */
                SN_CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, call->stream));
        }
        start += bytes;
    }
    return cudaSuccess;
}

/* ---- windows ---- */

typedef struct extents {
    int C, D, H, W;
} extents;

static extents extents_of(const int64_t *shape)
{
    return extents{(int)shape[0], (int)shape[1], (int)shape[2], (int)shape[3]};
}

static __device__ bool inside(int i, int limit)
{
    return i >= 0 && i < limit;
}

/* The vector from channel c on of voxel v of an image of extents `in`. */
template <typename T>
static __device__ values<T> channels_from(const T *x, int64_t image, int c, int v, const extents &in)
{
    const int voxels = in.D * in.H * in.W;
    return inside(c, in.C) ? load(x + (image * in.C + c) * voxels + v) : values<T>{};
}

static __device__ values<bf16> channels_from(const bf16 *x, int64_t image, int c, int v, const extents &in)
{
    const int voxels = in.D * in.H * in.W, stored = (in.C + SN_BF16_CHANNELS - 1) & -SN_BF16_CHANNELS;
    return gather(x + (image * voxels + v) * stored, c, in.C);
}

template <typename T>
static __global__ void take_window(T *y, const T *x, extents in, extents out, extents offset,
                                   sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places at = places_of<T>(own, s, s.voxels);
    const int c = own.vector * width<T>;
    FOR_EACH_VOXEL(own)
    {
        const int row = v / out.W;
        const int z = row / out.H + offset.D, h = row % out.H + offset.H, w = v % out.W + offset.W;
        values<T> some = {};
        if (inside(z, in.D) && inside(h, in.H) && inside(w, in.W))
            some = channels_from(x, own.image, c + offset.C, (z * in.H + h) * in.W + w, in);
        FOR_EACH_CHANNEL(T, k)
        {
            some.of[k] = c + k < out.C ? some.of[k] : 0; /* what only fills up */
        }
        store(y + at(v), some);
    }
}

template <typename T> static cudaError_t launch_window(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc, *y = &call->op->outputs[0].desc;
    const sn_cuda_spread s = sn_cuda_spread_of(y);
    return SN_LAUNCH(take_window<T>, sn_cuda_blocks(&s, y->shape[0]), call->stream, (T *)call->out[0],
                     (const T *)call->in[0], extents_of(x->shape + 1), extents_of(y->shape + 1),
                     extents_of(call->op->params.window.offset), s);
}

cudaError_t sn_cuda_window(const sn_cuda_call *call)
{
    size_t place;
    if (sn_op_window_place(&place, call->op) && call->out[0] == (const char *)call->in[0] + place)
        return cudaSuccess; /* it lies there already */
    return call->op->inputs[0].desc.dtype == SN_U8 ? launch_window<uint8_t>(call)
                                                   : SN_FOR_TYPE(launch_window, call);
}
