/* Affine warps: augmentation of images (trilinear) and labels (nearest). */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

typedef struct grid {
    int D, H, W;
} grid;

/* Voxel (z, y, x), which counts as 0 outside; NaN and what is far away are outside too. */
template <typename T> static __device__ T voxel(const T *image, const grid &g, double z, double y, double x)
{
    if (!(z >= 0 && z < g.D && y >= 0 && y < g.H && x >= 0 && x < g.W))
        return 0;
    return image[((int)z * g.H + (int)y) * g.W + (int)x];
}

/* Linear interpolation along W in row (z, y). */
static __device__ double sample_row(const float *image, const grid &g, double z, double y, double x,
                                    double share)
{
    double left = voxel(image, g, z, y, x), right = voxel(image, g, z, y, x + 1);
    return left + share * (right - left);
}

static __device__ double sample_plane(const float *image, const grid &g, double z, double y, double x,
                                      double share_y, double share_x)
{
    double low = sample_row(image, g, z, y, x, share_x), high = sample_row(image, g, z, y + 1, x, share_x);
    return (1 - share_y) * low + share_y * high;
}

typedef struct linear {
    static __device__ float sample(const float *image, const grid &g, const double at[3])
    {
        const double z = floor(at[0]), y = floor(at[1]), x = floor(at[2]), share = at[0] - z;
        if (!(z >= -1 && z < g.D && y >= -1 && y < g.H && x >= -1 && x < g.W))
            return 0;
        double low = sample_plane(image, g, z, y, x, at[1] - y, at[2] - x);
        double high = sample_plane(image, g, z + 1, y, x, at[1] - y, at[2] - x);
        return (float)((1 - share) * low + share * high);
    }
} linear;

typedef struct nearest {
    template <typename T> static __device__ T sample(const T *image, const grid &g, const double at[3])
    {
        return voxel(image, g, floor(at[0] + 0.5), floor(at[1] + 0.5), floor(at[2] + 0.5));
    }
} nearest;

/* m (3,4): voxel (z, y, x) of the result comes from M*(z,y,x,1)'. */
template <typename WAY, typename T>
static __global__ void warp_affine(T *y, const T *x, const double *m, grid g)
{
    const int voxels = g.D * g.H * g.W;
    part own = part_of(blockIdx.x, voxels);
    x += own.item * voxels;
    y += own.item * voxels;
    FOR_EACH_VOXEL(own)
    {
        const int row = v / g.W, k = row / g.H, j = row % g.H, i = v % g.W;
        double at[3];
        for (int d = 0; d < 3; d++)
            at[d] = m[4 * d] * k + m[4 * d + 1] * j + m[4 * d + 2] * i + m[4 * d + 3];
        y[v] = WAY::sample(x, g, at);
    }
}

template <typename WAY, typename T> static cudaError_t launch_warp(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc;
    const grid g = {(int)x->shape[2], (int)x->shape[3], (int)x->shape[4]};
    const int64_t blocks = blocks_of_items(x->shape[0] * x->shape[1], sn_tensor_voxels(x));
    return SN_LAUNCH((warp_affine<WAY, T>), blocks, call->stream, (T *)call->out[0], (const T *)call->in[0],
                     (const double *)call->in[1], g);
}

cudaError_t sn_cuda_affine_warp(const sn_cuda_call *call)
{
    if (!call->op->params.warp.nearest)
        return launch_warp<linear, float>(call);
    return call->op->inputs[0].desc.dtype == SN_U8 ? launch_warp<nearest, uint8_t>(call)
                                                   : launch_warp<nearest, float>(call);
}
