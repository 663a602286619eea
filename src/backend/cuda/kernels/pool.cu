/* Max-pooling and nearest upsampling, and their gradients. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

/* D, H, W of one channel, and where its voxel v lies. */
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

/* The voxel of the coarser grid that `at` in the finer one belongs to. */
static __device__ int voxel_around(place at, int factor, const grid &coarse)
{
    return (at.z / factor * coarse.H + at.y / factor) * coarse.W + at.x / factor;
}

/* Of the index of a maximum: op.h. */
template <typename T> struct index_of {
    typedef uint8_t type;
};
template <> struct index_of<bf16> {
    typedef bf16 type;
};

template <typename T, typename INDEX>
static __global__ void maxpool(T *y, INDEX *index, const T *x, grid in, grid out, sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places from = places_of<T>(own, s, voxels_of(in)), to = places_of<T>(own, s, s.voxels);
    FOR_EACH_VOXEL(own)
    {
        const int corner = first_voxel(place_of(v, out), 2, in);
        values<T> best = load(x + from(corner));
        values<INDEX> which = {};
        for (int abc = 1; abc < 8; abc++) {
            const int next = corner + ((abc >> 2) * in.H + (abc >> 1 & 1)) * in.W + (abc & 1);
            const values<T> value = load(x + from(next));
            FOR_EACH_CHANNEL(T, k)
            {
                which.of[k] = value.of[k] > best.of[k] ? (float)abc : which.of[k];
                best.of[k] = value.of[k] > best.of[k] ? value.of[k] : best.of[k];
            }
        }
        store(y + to(v), best);
        store(index + to(v), which);
    }
}

template <typename T> static cudaError_t launch_maxpool(const sn_cuda_call *call)
{
    typedef typename index_of<T>::type index;
    const sn_tensor_desc *x = &call->op->inputs[0].desc, *y = &call->op->outputs[0].desc;
    const sn_cuda_spread s = sn_cuda_spread_of(y);
    return SN_LAUNCH((maxpool<T, index>), sn_cuda_blocks(&s, y->shape[0]), call->stream, (T *)call->out[0],
                     (index *)call->out[1], (const T *)call->in[0], grid_of(x), grid_of(y), s);
}

cudaError_t sn_cuda_maxpool(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_maxpool, call);
}

template <typename T, typename INDEX>
static __global__ void maxpool_backward(T *dx, const T *dy, const INDEX *index, grid in, grid out,
                                        sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places from = places_of<T>(own, s, voxels_of(out)), to = places_of<T>(own, s, s.voxels);
    FOR_EACH_VOXEL(own)
    {
        const place at = place_of(v, in);
        const int64_t source = from(voxel_around(at, 2, out));
        const float abc = (float)(4 * (at.z % 2) + 2 * (at.y % 2) + at.x % 2);
        const values<INDEX> which = load(index + source);
        values<T> value = load(dy + source);
        FOR_EACH_CHANNEL(T, k)
        {
            value.of[k] = which.of[k] == abc ? value.of[k] : 0;
        }
        store(dx + to(v), value);
    }
}

template <typename T> static cudaError_t launch_maxpool_backward(const sn_cuda_call *call)
{
    typedef typename index_of<T>::type index;
    const sn_tensor_desc *dx = &call->op->outputs[0].desc, *dy = &call->op->inputs[0].desc;
    const sn_cuda_spread s = sn_cuda_spread_of(dx);
    return SN_LAUNCH((maxpool_backward<T, index>), sn_cuda_blocks(&s, dx->shape[0]), call->stream,
                     (T *)call->out[0], (const T *)call->in[0], (const index *)call->in[1], grid_of(dx),
                     grid_of(dy), s);
}

cudaError_t sn_cuda_maxpool_backward(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_maxpool_backward, call);
}

template <typename T>
static __global__ void upsample(T *y, const T *x, grid in, grid out, int factor, sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places from = places_of<T>(own, s, voxels_of(in)), to = places_of<T>(own, s, s.voxels);
    FOR_EACH_VOXEL(own)
    {
        store(y + to(v), load(x + from(voxel_around(place_of(v, out), factor, in))));
    }
}

template <typename T> static cudaError_t launch_upsample(const sn_cuda_call *call)
{
    const sn_tensor_desc *x = &call->op->inputs[0].desc, *y = &call->op->outputs[0].desc;
    const sn_cuda_spread s = sn_cuda_spread_of(y);
    return SN_LAUNCH(upsample<T>, sn_cuda_blocks(&s, y->shape[0]), call->stream, (T *)call->out[0],
                     (const T *)call->in[0], grid_of(x), grid_of(y), call->op->params.upsample.factor, s);
}

cudaError_t sn_cuda_upsample(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_upsample, call);
}

/* The sums of blocks of factor^3, formed in the order of memory. */
template <typename T>
static __global__ void upsample_backward(T *dx, const T *dy, grid in, grid out, int factor, sn_cuda_spread s)
{
    const lane own = lane_of(s);
    const places from = places_of<T>(own, s, voxels_of(out)), to = places_of<T>(own, s, s.voxels);
    FOR_EACH_VOXEL(own)
    {
        const int corner = first_voxel(place_of(v, in), factor, out);
        values<T> sum = {};
        for (int abc = 0; abc < factor * factor * factor; abc++) {
            const int row = abc / factor; /* of those of the block: a*factor + b */
            const int next = corner + (row / factor * out.H + row % factor) * out.W + abc % factor;
            const values<T> value = load(dy + from(next));
            FOR_EACH_CHANNEL(T, k)
            {
                sum.of[k] += value.of[k];
            }
        }
        store(dx + to(v), sum);
    }
}

template <typename T> static cudaError_t launch_upsample_backward(const sn_cuda_call *call)
{
    const sn_tensor_desc *dx = &call->op->outputs[0].desc, *dy = &call->op->inputs[0].desc;
    const sn_cuda_spread s = sn_cuda_spread_of(dx);
    return SN_LAUNCH(upsample_backward<T>, sn_cuda_blocks(&s, dx->shape[0]), call->stream, (T *)call->out[0],
                     (const T *)call->in[0], grid_of(dx), grid_of(dy), call->op->params.upsample.factor, s);
}

cudaError_t sn_cuda_upsample_backward(const sn_cuda_call *call)
{
    return SN_FOR_TYPE(launch_upsample_backward, call);
}
