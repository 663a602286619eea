/* Max-pooling and nearest upsampling, and their gradients. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

/* D, H, W of one plane, and where its voxel v lies. */
typedef struct grid {
    int D, H, W;
} grid;

static grid grid_of(const sn_tensor_desc *desc)
{
    return grid{(int)desc->shape[2], (int)desc->shape[3], (int)desc->shape[4]};
}

static __device__ int voxels_of(const grid &g)
{
    return g.D * g.H * g.W;
}

typedef struct place {
    int z, y, x;
} place;

static __device__ place place_of(int v, const grid &g)
{
    int row = v / g.W;
    return place{row / g.H, row % g.H, v % g.W};
}

/* The voxel of the finer grid that is the first of those of `at` in the coarser one. */
static __device__ int first_voxel(place at, int factor, const grid &fine)
{
    return (at.z * factor * fine.H + at.y * factor) * fine.W + at.x * factor;
}

static __global__ void maxpool(float *y, uint8_t *index, const float *x, grid in, grid out)
{
    part own = part_of(blockIdx.x, voxels_of(out));
    x += own.plane * voxels_of(in);
    y += own.plane * voxels_of(out);
    index += own.plane * voxels_of(out);
    FOR_EACH_VOXEL(own)
    {
        const float *corner = x + first_voxel(place_of(v, out), 2, in);
        float best = corner[0];
        int which = 0;
        for (int abc = 1; abc < 8; abc++) {
            float value = corner[((abc >> 2) * in.H + (abc >> 1 & 1)) * in.W + (abc & 1)];
            which = value > best ? abc : which;
            best = value > best ? value : best;
        }
        y[v] = best;
        index[v] = (uint8_t)which;
    }
}

cudaError_t sn_cuda_maxpool(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc, *y = &call->op->outputs[0].desc;
    return SN_LAUNCH(maxpool, blocks_of(y), call->stream, (float *)call->out[0], (uint8_t *)call->out[1],
                     (const float *)call->in[0], grid_of(x), grid_of(y));
}

static __global__ void maxpool_backward(float *dx, const float *dy, const uint8_t *index, grid in, grid out)
{
    part own = part_of(blockIdx.x, voxels_of(in));
    dy += own.plane * voxels_of(out);
    index += own.plane * voxels_of(out);
    dx += own.plane * voxels_of(in);
    FOR_EACH_VOXEL(own)
    {
        place at = place_of(v, in);
        int from = (at.z / 2 * out.H + at.y / 2) * out.W + at.x / 2;
        int abc = 4 * (at.z % 2) + 2 * (at.y % 2) + at.x % 2;
        dx[v] = index[from] == abc ? dy[from] : 0;
    }
}

cudaError_t sn_cuda_maxpool_backward(const sn_cuda_call *call)
{
    const sn_tensor_desc *dx = &call->op->outputs[0].desc, *dy = &call->op->inputs[0].desc;
    return SN_LAUNCH(maxpool_backward, blocks_of(dx), call->stream, (float *)call->out[0],
                     (const float *)call->in[0], (const uint8_t *)call->in[1], grid_of(dx), grid_of(dy));
}

static __global__ void upsample(float *y, const float *x, grid in, grid out, int factor)
{
    part own = part_of(blockIdx.x, voxels_of(out));
    x += own.plane * voxels_of(in);
    y += own.plane * voxels_of(out);
    FOR_EACH_VOXEL(own)
    {
        place at = place_of(v, out);
        y[v] = x[(at.z / factor * in.H + at.y / factor) * in.W + at.x / factor];
    }
}

cudaError_t sn_cuda_upsample(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc, *y = &call->op->outputs[0].desc;
    return SN_LAUNCH(upsample, blocks_of(y), call->stream, (float *)call->out[0], (const float *)call->in[0],
                     grid_of(x), grid_of(y), call->op->params.upsample.factor);
}

/* The sums of blocks of factor^3, formed in the order of memory. */
static __global__ void upsample_backward(float *dx, const float *dy, grid in, grid out, int factor)
{
    part own = part_of(blockIdx.x, voxels_of(in));
    dy += own.plane * voxels_of(out);
    dx += own.plane * voxels_of(in);
    FOR_EACH_VOXEL(own)
    {
        const float *corner = dy + first_voxel(place_of(v, in), factor, out);
        float sum = 0;
        for (int a = 0; a < factor; a++)
            for (int b = 0; b < factor; b++)
                for (int c = 0; c < factor; c++)
                    sum += corner[(a * out.H + b) * out.W + c];
        dx[v] = sum;
    }
}

cudaError_t sn_cuda_upsample_backward(const sn_cuda_call *call)
{
    const sn_tensor_desc *dx = &call->op->outputs[0].desc, *dy = &call->op->inputs[0].desc;
    return SN_LAUNCH(upsample_backward, blocks_of(dx), call->stream, (float *)call->out[0],
                     (const float *)call->in[0], grid_of(dx), grid_of(dy), call->op->params.upsample.factor);
}
