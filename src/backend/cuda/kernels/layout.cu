/* Between float32 N, C, D, H, W and bf16 N, D, H, W, C: tiles of channels and voxels, turned in shared memory so
 * that both sides are read and written in runs. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/layout.h"

enum { TILE_CHANNELS = 32, TILE_VOXELS = 128 };

/* The tile that a block works on. */
typedef struct tile {
    int64_t n;
    int channel, channels; /* the first; how many, of the padded ones */
    int64_t voxel;
    int voxels;
} tile;

static int64_t tiles_of(int64_t count, int size)
{
    return (count + size - 1) / size;
}

static __device__ tile tile_of(int64_t block, int padded, int64_t voxels)
{
    const int64_t across = (voxels + TILE_VOXELS - 1) / TILE_VOXELS;
    const int down = (padded + TILE_CHANNELS - 1) / TILE_CHANNELS;
    tile own;
    own.voxel = block % across * TILE_VOXELS;
    own.channel = (int)(block / across % down) * TILE_CHANNELS;
    own.n = block / across / down;
    own.channels = padded - own.channel < TILE_CHANNELS ? padded - own.channel : TILE_CHANNELS;
    own.voxels = voxels - own.voxel < TILE_VOXELS ? (int)(voxels - own.voxel) : TILE_VOXELS;
    return own;
}

/* Channels of a tile, one voxel more than it has, so that those of one voxel lie in different banks. */
#define TILE_MEMORY(name) __shared__ float name[TILE_CHANNELS][TILE_VOXELS + 1]

static __global__ void pack(bf16 *out, const float *in, int64_t n, int channels, int padded, int64_t voxels)
{
    TILE_MEMORY(turned);
    const tile own = tile_of(blockIdx.x, padded, voxels);
    in += (own.n * channels + own.channel) * voxels + own.voxel;
    out += (own.n * voxels + own.voxel) * padded + own.channel;
    for (int i = (int)threadIdx.x; i < own.channels * TILE_VOXELS; i += SN_CUDA_BLOCK) {
        const int c = i / TILE_VOXELS, v = i % TILE_VOXELS;
        const bool is_given = own.n < n && own.channel + c < channels && v < own.voxels;
        turned[c][v] = is_given ? in[c * voxels + v] : 0;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < own.voxels * own.channels; i += SN_CUDA_BLOCK) {
        const int v = i / own.channels, c = i % own.channels;
        out[(int64_t)v * padded + c] = to_bf16(turned[c][v]);
    }
}

cudaError_t sn_cuda_pack(void *out, const float *in, int64_t n, int64_t padded_n, int64_t c, int64_t padded_c,
                         int64_t voxels, cudaStream_t stream)
{
    int64_t tiles = padded_n * tiles_of(padded_c, TILE_CHANNELS) * tiles_of(voxels, TILE_VOXELS);
    return SN_LAUNCH(pack, tiles, stream, (bf16 *)out, in, n, (int)c, (int)padded_c, voxels);
}

static __global__ void unpack(float *out, const bf16 *in, int channels, int padded, int64_t voxels)
{
    TILE_MEMORY(turned);
    const tile own = tile_of(blockIdx.x, padded, voxels);
    in += (own.n * voxels + own.voxel) * padded + own.channel;
    out += (own.n * channels + own.channel) * voxels + own.voxel;
    for (int i = (int)threadIdx.x; i < own.voxels * own.channels; i += SN_CUDA_BLOCK) {
        const int v = i / own.channels, c = i % own.channels;
        turned[c][v] = to_float(in[(int64_t)v * padded + c]);
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < own.channels * TILE_VOXELS; i += SN_CUDA_BLOCK) {
        const int c = i / TILE_VOXELS, v = i % TILE_VOXELS;
        if (own.channel + c < channels && v < own.voxels)
            out[c * voxels + v] += turned[c][v];
    }
}

cudaError_t sn_cuda_unpack(float *out, const void *in, int64_t n, int64_t c, int64_t padded_c, int64_t voxels,
                           cudaStream_t stream)
{
    int64_t tiles = n * tiles_of(padded_c, TILE_CHANNELS) * tiles_of(voxels, TILE_VOXELS);
    return SN_LAUNCH(unpack, tiles, stream, out, (const bf16 *)in, (int)c, (int)padded_c, voxels);
}

cudaError_t sn_cuda_to_bf16(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc, *y = &call->op->outputs[0].desc;
    return sn_cuda_pack(call->out[0], (const float *)call->in[0], x->shape[0], x->shape[0], x->shape[1],
                        sn_tensor_stored_channels(y), sn_tensor_voxels(x), call->stream);
}

static __global__ void add_to(float *out, const float *in, int64_t count)
{
    const int64_t stride = (int64_t)gridDim.x * SN_CUDA_BLOCK;
    for (int64_t i = (int64_t)blockIdx.x * SN_CUDA_BLOCK + threadIdx.x; i < count; i += stride)
        out[i] += in[i];
}

cudaError_t sn_cuda_add(float *out, const float *in, int64_t count, cudaStream_t stream)
{
    return SN_LAUNCH(add_to, sn_cuda_parts(count), stream, out, in, count);
}
