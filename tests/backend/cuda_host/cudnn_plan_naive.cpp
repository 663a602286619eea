/* The functions of cudnn_plan.h without cuDNN, for tests: the formulas of op.h, in double, over the same layouts. */
#include "backend/cuda/cudnn_plan.h"

#include <array>
#include <cstring>
#include <list>

#include "backend/cuda/kernels/device.cuh"

struct sn_cudnn_plan {
    sn_cudnn_shape shape;
    cudaStream_t stream;
};

struct sn_cudnn {
    cudaStream_t stream;
    std::list<sn_cudnn_plan> plans;
};

/* N, C, D, H, W of one element; of weights, O, I and the tap. */
typedef std::array<int64_t, SN_DIMS> place;

/* A convolution of x, w and y. */
struct convolution {
    sn_cudnn_shape shape;
    void *data[SN_CUDNN_PARTS];
};

/* Element `index` of a dense tensor whose axes lie in memory in the order of `axes`, the slowest first. */
static place place_of(const int64_t *extents, int64_t index, const place &axes = {0, 1, 2, 3, 4})
{
    place at;
    for (int i = SN_DIMS - 1; i >= 0; i--) {
        at[axes[i]] = index % extents[axes[i]];
        index /= extents[axes[i]];
    }
    return at;
}

static int64_t index_of(const int64_t *extents, const place &at, const place &axes)
{
    int64_t index = 0;
    for (int64_t axis : axes)
        index = index * extents[axis] + at[axis];
    return index;
}

static int64_t count_of(const int64_t *extents)
{
    return extents[0] * extents[1] * extents[2] * extents[3] * extents[4];
}

static place axes_of(const sn_cudnn_shape &shape)
{
    return shape.precision == SN_PRECISION_BF16 ? place{0, 2, 3, 4, 1} : place{0, 1, 2, 3, 4};
}

static double get(const convolution &conv, sn_cudnn_part which, const place &at)
{
    const int64_t index = index_of(conv.shape.extents[which], at, axes_of(conv.shape));
    if (conv.shape.precision != SN_PRECISION_BF16)
        return ((const float *)conv.data[which])[index];
    uint32_t bits = (uint32_t)((const uint16_t *)conv.data[which])[index] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bfloat16 is rounded to nearest, ties to even. */
static void set(const convolution &conv, const place &at, double value)
{
    const sn_cudnn_part which = conv.shape.result;
    const int64_t index = index_of(conv.shape.extents[which], at, axes_of(conv.shape));
    const float rounded = (float)value;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    if (conv.shape.precision == SN_PRECISION_BF16)
        ((uint16_t *)conv.data[which])[index] = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    else
        ((float *)conv.data[which])[index] = rounded;
}

/* Where tap `tap` of voxel `y` reads: whether that is inside of x. */
static bool reaches(place *x, const convolution &conv, const place &y, const place &tap)
{
    for (int i = 2; i < SN_DIMS; i++) {
        (*x)[i] = y[i] * conv.shape.stride + tap[i] * conv.shape.dilation - conv.shape.pad;
        if ((*x)[i] < 0 || (*x)[i] >= conv.shape.extents[SN_CUDNN_X][i])
            return false;
    }
    return true;
}

/* The voxel of y whose tap `tap` reads `x`: whether there is one. */
static bool is_reached(place *y, const convolution &conv, const place &x, const place &tap)
{
    for (int i = 2; i < SN_DIMS; i++) {
        int64_t start = x[i] + conv.shape.pad - tap[i] * conv.shape.dilation;
        (*y)[i] = start / conv.shape.stride;
        if (start < 0 || start % conv.shape.stride != 0 || (*y)[i] >= conv.shape.extents[SN_CUDNN_Y][i])
            return false;
    }
    return true;
}

/* y[n,o,v] = sum over i and taps of w[o,i,tap] * x[n,i,..] */
static double value_of_y(const convolution &conv, const place &y)
{
    const int64_t *w = conv.shape.extents[SN_CUDNN_W];
    const int64_t of_o[SN_DIMS] = {1, w[1], w[2], w[3], w[4]};
    double sum = 0;
    for (int64_t index = 0; index < count_of(of_o); index++) {
        place tap = place_of(of_o, index), x = {y[0], tap[1]};
        tap[0] = y[1];
        if (reaches(&x, conv, y, tap))
            sum += get(conv, SN_CUDNN_W, tap) * get(conv, SN_CUDNN_X, x);
    }
    return sum;
}

/* x[n,i,v] = sum over o and taps of w[o,i,tap] * y[n,o,..] */
static double value_of_x(const convolution &conv, const place &x)
{
    const int64_t *w = conv.shape.extents[SN_CUDNN_W];
    const int64_t of_i[SN_DIMS] = {w[0], 1, w[2], w[3], w[4]};
    double sum = 0;
    for (int64_t index = 0; index < count_of(of_i); index++) {
        place tap = place_of(of_i, index), y = {x[0], tap[0]};
        tap[1] = x[1];
        if (is_reached(&y, conv, x, tap))
            sum += get(conv, SN_CUDNN_W, tap) * get(conv, SN_CUDNN_Y, y);
    }
    return sum;
}

/* w[o,i,tap] = sum over n and v of x[n,i,..] * y[n,o,v] */
static double value_of_w(const convolution &conv, const place &w)
{
    const int64_t *e = conv.shape.extents[SN_CUDNN_Y];
    const int64_t of_o[SN_DIMS] = {e[0], 1, e[2], e[3], e[4]};
    double sum = 0;
    for (int64_t index = 0; index < count_of(of_o); index++) {
        place y = place_of(of_o, index), x = {y[0], w[1]};
        y[1] = w[0];
        if (reaches(&x, conv, y, w))
            sum += get(conv, SN_CUDNN_X, x) * get(conv, SN_CUDNN_Y, y);
    }
    return sum;
}

static __global__ void convolve(convolution conv)
{
    const int64_t *extents = conv.shape.extents[conv.shape.result];
    const int64_t index = (int64_t)blockIdx.x * SN_CUDA_BLOCK + threadIdx.x;
    if (index >= count_of(extents))
        return;
    const place at = place_of(extents, index);
    double (*const values[SN_CUDNN_PARTS])(const convolution &, const place &) = {value_of_x, value_of_w,
                                                                                  value_of_y};
    set(conv, at, values[conv.shape.result](conv, at));
}

sn_status sn_cudnn_open(sn_cudnn **cudnn, cudaStream_t stream, sn_error *)
{
    *cudnn = new sn_cudnn{stream, {}};
    return SN_OK;
}

void sn_cudnn_close(sn_cudnn *cudnn)
{
    delete cudnn;
}

int sn_cudnn_version(void)
{
    return 0;
}

size_t sn_cudnn_workspace(const sn_cudnn_shape *)
{
    return 0;
}

sn_status sn_cudnn_plan_get(const sn_cudnn_plan **plan, sn_cudnn *cudnn, const sn_cudnn_shape *shape,
                            sn_error *)
{
    cudnn->plans.push_back({*shape, cudnn->stream});
    *plan = &cudnn->plans.back();
    return SN_OK;
}

sn_status sn_cudnn_plan_run(const sn_cudnn_plan *plan, void *const data[SN_CUDNN_PARTS], void *,
                            sn_error *error)
{
    const convolution conv = {plan->shape, {data[0], data[1], data[2]}};
    const int64_t count = count_of(conv.shape.extents[conv.shape.result]);
    if (SN_LAUNCH(convolve, blocks_for(count), plan->stream, conv) != cudaSuccess)
        return sn_error_set(error, SN_ERR_FAILED, "naive convolution: no launch");
    return SN_OK;
}
