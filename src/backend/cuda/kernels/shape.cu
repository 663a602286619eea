/* Concatenation and windows: copies. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

cudaError_t sn_cuda_concat(const sn_cuda_call *call)
{
    const sn_op *op = call->op;
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

template <typename T>
static __global__ void take_window(T *y, const T *x, extents in, extents out, extents offset)
{
    part own = part_of(blockIdx.x, out.D * out.H * out.W);
    const int64_t n = own.plane / out.C;
    const int c = (int)(own.plane % out.C) + offset.C;
    const bool has_channel = inside(c, in.C);
    x += (n * in.C + (has_channel ? c : 0)) * ((int64_t)in.D * in.H * in.W);
    y += own.plane * ((int64_t)out.D * out.H * out.W);
    FOR_EACH_VOXEL(own)
    {
        const int row = v / out.W;
        const int z = row / out.H + offset.D, h = row % out.H + offset.H, w = v % out.W + offset.W;
        const bool lies_inside = has_channel && inside(z, in.D) && inside(h, in.H) && inside(w, in.W);
        y[v] = lies_inside ? x[(z * in.H + h) * in.W + w] : (T)0;
    }
}

template <typename T> static cudaError_t launch_window(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc, *y = &call->op->outputs[0].desc;
    return SN_LAUNCH(take_window<T>, blocks_of(y), call->stream, (T *)call->out[0], (const T *)call->in[0],
                     extents_of(x->shape + 1), extents_of(y->shape + 1),
                     extents_of(call->op->params.window.offset));
}

cudaError_t sn_cuda_window(const sn_cuda_call *call)
{
    size_t place;
    if (sn_op_window_place(&place, call->op) && call->out[0] == (const char *)call->in[0] + place)
        return cudaSuccess; /* it lies there already */
    return call->op->inputs[0].desc.dtype == SN_U8 ? launch_window<uint8_t>(call)
                                                   : launch_window<float>(call);
}
