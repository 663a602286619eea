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

/* N, C, D, H, W; of weights O, I and the tap. */
typedef std::array<int64_t, SN_DIMS> place;

/* One of x, w and y. */
struct tensor {
    void *data;
    bool is_bf16;
    place extents, strides; /* in elements */
};

/* A convolution of x, w and y. */
struct convolution {
    tensor parts[SN_CUDNN_PARTS];
    sn_cudnn_part result;
    int dilation, stride, pad;
};

/* Dense, the channels last where it is bf16. */
static tensor tensor_of(const sn_cudnn_shape &shape, sn_cudnn_part which, void *data)
{
    static const int orders[2][SN_DIMS] = {{0, 1, 2, 3, 4}, {0, 2, 3, 4, 1}};
    tensor made = {data, shape.precision == SN_PRECISION_BF16, {}, {}};
    int64_t stride = 1;
    for (int i = SN_DIMS - 1; i >= 0; i--) {
        const int axis = orders[made.is_bf16][i];
        made.extents[axis] = shape.extents[which][axis];
        made.strides[axis] = stride;
        stride *= made.extents[axis];
    }
    return made;
}

static convolution convolution_of(const sn_cudnn_shape &shape, void *const data[SN_CUDNN_PARTS])
{
    convolution made = {{}, shape.result, shape.dilation, shape.stride, shape.pad};
    for (int p = 0; p < SN_CUDNN_PARTS; p++)
        made.parts[p] = tensor_of(shape, (sn_cudnn_part)p, data[p]);
    return made;
}

static int64_t count_of(const place &extents)
{
    return extents[0] * extents[1] * extents[2] * extents[3] * extents[4];
}

static int64_t index_of(const tensor &of, const place &at)
{
    int64_t index = 0;
    for (int i = 0; i < SN_DIMS; i++)
        index += at[i] * of.strides[i];
    return index;
}

/* Element `index` in the order of N, C, D, H, W. */
static place place_of(const place &extents, int64_t index)
{
    place at;
    for (int i = SN_DIMS - 1; i >= 0; i--) {
        at[i] = index % extents[i];
        index /= extents[i];
    }
    return at;
}

static double get(const tensor &of, int64_t index)
{
    if (!of.is_bf16)
        return ((const float *)of.data)[index];
    uint32_t bits = (uint32_t)((const uint16_t *)of.data)[index] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bfloat16 is rounded to nearest, ties to even. */
static void set(const tensor &of, int64_t index, double value)
{
    const float rounded = (float)value;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    if (of.is_bf16)
        ((uint16_t *)of.data)[index] = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    else
        ((float *)of.data)[index] = rounded;
}

/* Products of `a` from `at_a` on and `b` from `at_b` on, along an axis of each. */
static double dot(const tensor &a, const place &at_a, int axis_a, const tensor &b, const place &at_b,
                  int axis_b)
{
    const int64_t count = a.extents[axis_a], first_a = index_of(a, at_a), first_b = index_of(b, at_b);
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += get(a, first_a + i * a.strides[axis_a]) * get(b, first_b + i * b.strides[axis_b]);
    return sum;
}

/* Where tap `tap` of voxel `y` reads: whether that is inside of x. */
static bool reaches(place *x, const convolution &conv, const place &y, const place &tap)
{
    for (int i = 2; i < SN_DIMS; i++) {
        (*x)[i] = y[i] * conv.stride + tap[i] * conv.dilation - conv.pad;
        if ((*x)[i] < 0 || (*x)[i] >= conv.parts[SN_CUDNN_X].extents[i])
            return false;
    }
    return true;
}

/* The voxel of y whose tap `tap` reads `x`: whether there is one. */
static bool is_reached(place *y, const convolution &conv, const place &x, const place &tap)
{
    for (int i = 2; i < SN_DIMS; i++) {
        int64_t start = x[i] + conv.pad - tap[i] * conv.dilation;
        (*y)[i] = start / conv.stride;
        if (start < 0 || start % conv.stride != 0 || (*y)[i] >= conv.parts[SN_CUDNN_Y].extents[i])
            return false;
    }
    return true;
}

/* Loops over the voxels, or taps, of one channel. */
#define FOR_EACH_VOXEL_OF(tensor, at)                                                                        \
    for ((at)[2] = 0; (at)[2] < (tensor).extents[2]; (at)[2]++)                                              \
        for ((at)[3] = 0; (at)[3] < (tensor).extents[3]; (at)[3]++)                                          \
            for ((at)[4] = 0; (at)[4] < (tensor).extents[4]; (at)[4]++)

/* y[n,o,v] = sum over taps and i of w[o,i,tap] * x[n,i,..] */
static double value_of_y(const convolution &conv, const place &y)
{
    const tensor &X = conv.parts[SN_CUDNN_X], &W = conv.parts[SN_CUDNN_W];
    place tap = {y[1], 0}, x = {y[0], 0};
    double sum = 0;
    FOR_EACH_VOXEL_OF(W, tap)
    {
        if (reaches(&x, conv, y, tap))
            sum += dot(W, tap, 1, X, x, 1);
    }
    return sum;
}

/* x[n,i,v] = sum over taps and o of w[o,i,tap] * y[n,o,..] */
static double value_of_x(const convolution &conv, const place &x)
{
    const tensor &W = conv.parts[SN_CUDNN_W], &Y = conv.parts[SN_CUDNN_Y];
    place tap = {0, x[1]}, y = {x[0], 0};
    double sum = 0;
    FOR_EACH_VOXEL_OF(W, tap)
    {
        if (is_reached(&y, conv, x, tap))
            sum += dot(W, tap, 0, Y, y, 1);
    }
    return sum;
}

/* w[o,i,tap] = sum over v and n of x[n,i,..] * y[n,o,v] */
static double value_of_w(const convolution &conv, const place &w)
{
    const tensor &X = conv.parts[SN_CUDNN_X], &Y = conv.parts[SN_CUDNN_Y];
    place y = {0, w[0]}, x = {0, w[1]};
    double sum = 0;
    FOR_EACH_VOXEL_OF(Y, y)
    {
        if (reaches(&x, conv, y, w))
            sum += dot(X, x, 0, Y, y, 0);
    }
    return sum;
}

static __global__ void convolve(convolution conv)
{
    double (*const values[SN_CUDNN_PARTS])(const convolution &, const place &) = {value_of_x, value_of_w,
                                                                                  value_of_y};
    const tensor &result = conv.parts[conv.result];
    const int64_t index = (int64_t)blockIdx.x * SN_CUDA_BLOCK + threadIdx.x;
    if (index >= count_of(result.extents))
        return;
    const place at = place_of(result.extents, index);
    set(result, index_of(result, at), values[conv.result](conv, at));
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

static bool is_aligned(const void *memory, size_t alignment)
{
    return (uintptr_t)memory % alignment == 0;
}

sn_status sn_cudnn_plan_run(const sn_cudnn_plan *plan, void *const data[SN_CUDNN_PARTS], void *workspace,
                            sn_error *error)
{
    bool aligned = is_aligned(workspace, SN_CUDNN_WORKSPACE_ALIGNMENT);
    for (int p = 0; p < SN_CUDNN_PARTS; p++)
        aligned = aligned && is_aligned(data[p], SN_CUDNN_TENSOR_ALIGNMENT);
    if (!aligned)
        return sn_error_set(error, SN_ERR_FAILED, "naive convolution: operands or workspace are not aligned");
    const convolution conv = convolution_of(plan->shape, data);
    const int64_t count = count_of(conv.parts[conv.result].extents);
    if (SN_LAUNCH(convolve, blocks_for(count), plan->stream, conv) != cudaSuccess)
        return sn_error_set(error, SN_ERR_FAILED, "naive convolution: no launch");
    return SN_OK;
}
