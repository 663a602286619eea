/* Max-pooling and nearest upsampling, and their gradients. */
#include <string.h>

#include "backend/cpu/kernels/share.h"

enum { ROW_BLOCK = 128 };

/* The maximum of two neighbours each of `count` outputs along W, and which; taken where above `best`. */
static void pool_row(const float *x, float *best, int32_t *index, int count, int32_t first)
{
#pragma omp simd
    for (int i = 0; i < count; i++) {
        float even = x[2 * i], odd = x[2 * i + 1];
        int32_t which = even > best[i] ? first : index[i];
        float value = even > best[i] ? even : best[i];
        index[i] = odd > value ? first + 1 : which;
        best[i] = odd > value ? odd : value;
    }
}

static void pool_block(const float *x, int64_t row, int64_t plane, float *y, uint8_t *index, int count)
{
    float best[ROW_BLOCK];
    int32_t which[ROW_BLOCK] = {0};
    for (int i = 0; i < count; i++)
        best[i] = x[2 * i];
    pool_row(x, best, which, count, 0);
    pool_row(x + row, best, which, count, 2);
    pool_row(x + plane, best, which, count, 4);
    pool_row(x + plane + row, best, which, count, 6);
    for (int i = 0; i < count; i++) {
        y[i] = best[i];
        index[i] = (uint8_t)which[i];
    }
}

static int block_size(int64_t rest)
{
    return rest < ROW_BLOCK ? (int)rest : ROW_BLOCK;
}

/* The planes that this thread has of channel n*C + c of all images, counted through the tensor. */
static sn_cpu_part own_planes(const int64_t shape[SN_DIMS], int64_t channel)
{
    const sn_cpu_part own = sn_cpu_own(shape[2], shape[1], channel % shape[1]);
    return (sn_cpu_part){channel * shape[2] + own.begin, channel * shape[2] + own.end};
}

/* One plane of y from two of x. */
static void pool_plane(const float *x, float *y, uint8_t *index, int64_t H, int64_t W)
{
    for (int64_t h = 0; h < H; h++)
        for (int64_t w = 0; w < W; w += ROW_BLOCK)
            pool_block(x + 4 * h * W + 2 * w, 2 * W, 4 * H * W, y + h * W + w, index + h * W + w,
                       block_size(W - w));
}

void SN_CPU_RUN(maxpool)(const sn_cpu_call *call)
{
    const float *x = call->in[0];
    float *y = call->out[0];
    uint8_t *index = call->out[1];
    const int64_t *out = call->op->outputs[0].desc.shape, H = out[3], W = out[4];
#pragma omp parallel num_threads(call->threads)
    for (int64_t channel = 0; channel < out[0] * out[1]; channel++) {
        const sn_cpu_part own = own_planes(out, channel);
        for (int64_t p = own.begin; p < own.end; p++)
            pool_plane(x + 8 * p * H * W, y + p * H * W, index + p * H * W, H, W);
    }
}

/* Two planes of dx from one of dy. */
static void unpool_plane(const float *dy, const uint8_t *index, float *dx, int64_t H, int64_t W)
{
    for (int64_t h = 0; h < H; h++)
        for (int corner = 0; corner < 8; corner += 2) {
            const float *g = dy + h * W;
            const uint8_t *which = index + h * W;
            float *to = dx + (corner / 4) * 4 * H * W + (2 * h + corner / 2 % 2) * 2 * W;
#pragma omp simd
            for (int64_t w = 0; w < W; w++) {
                to[2 * w] = which[w] == corner ? g[w] : 0;
                to[2 * w + 1] = which[w] == corner + 1 ? g[w] : 0;
            }
        }
}

void SN_CPU_RUN(maxpool_backward)(const sn_cpu_call *call)
{
    const float *dy = call->in[0];
    const uint8_t *index = call->in[1];
    float *dx = call->out[0];
    const int64_t *in = call->op->inputs[0].desc.shape, H = in[3], W = in[4];
#pragma omp parallel num_threads(call->threads)
    for (int64_t channel = 0; channel < in[0] * in[1]; channel++) {
        const sn_cpu_part own = own_planes(in, channel);
        for (int64_t p = own.begin; p < own.end; p++)
            unpool_plane(dy + p * H * W, index + p * H * W, dx + 8 * p * H * W, H, W);
    }
}

SN_INLINE void stretch_row(const float *x, float *y, int64_t count, int factor)
{
    for (int64_t w = 0; w < count; w++)
        for (int f = 0; f < factor; f++)
            y[w * factor + f] = x[w];
}

/* `factor` planes of y from one of x. */
static void stretch_plane(const float *x, float *y, int64_t H, int64_t W, int factor)
{
    const int64_t row = W * factor, plane = H * factor * row;
    for (int64_t h = 0; h < H; h++) {
        float *to = y + h * factor * row;
        if (factor == 2)
            stretch_row(x + h * W, to, W, 2);
        else
            stretch_row(x + h * W, to, W, factor);
        for (int f = 1; f < factor; f++)
            memcpy(to + f * row, to, (size_t)row * sizeof *to);
    }
    for (int f = 1; f < factor; f++)
        memcpy(y + f * plane, y, (size_t)plane * sizeof *y);
}

void SN_CPU_RUN(upsample)(const sn_cpu_call *call)
{
    const float *x = call->in[0];
    float *y = call->out[0];
    const int64_t *in = call->op->inputs[0].desc.shape, plane = in[3] * in[4];
    const int factor = call->op->params.upsample.factor, cube = factor * factor * factor;
#pragma omp parallel num_threads(call->threads)
    for (int64_t channel = 0; channel < in[0] * in[1]; channel++) {
        const sn_cpu_part own = own_planes(in, channel);
        for (int64_t p = own.begin; p < own.end; p++)
            stretch_plane(x + p * plane, y + p * plane * cube, in[3], in[4], factor);
    }
}

/* dx of one row: the sums of blocks of factor^3, formed in the order of memory. */
SN_INLINE void shrink_row(const float *dy, int64_t row, int64_t plane, float *dx, int64_t count, int factor)
{
    for (int64_t w = 0; w < count; w++) {
        float sum = 0;
        for (int a = 0; a < factor; a++)
            for (int b = 0; b < factor; b++)
                for (int c = 0; c < factor; c++)
                    sum += dy[a * plane + b * row + w * factor + c];
        dx[w] = sum;
    }
}

/* One plane of dx from `factor` of dy. */
static void shrink_plane(const float *dy, float *dx, int64_t H, int64_t W, int factor)
{
    const int64_t row = W * factor, plane = H * factor * row;
    for (int64_t h = 0; h < H; h++) {
        if (factor == 2)
            shrink_row(dy + h * factor * row, row, plane, dx + h * W, W, 2);
        else
            shrink_row(dy + h * factor * row, row, plane, dx + h * W, W, factor);
    }
}

void SN_CPU_RUN(upsample_backward)(const sn_cpu_call *call)
{
    const float *dy = call->in[0];
    float *dx = call->out[0];
    const int64_t *out = call->op->outputs[0].desc.shape, plane = out[3] * out[4];
    const int factor = call->op->params.upsample.factor, cube = factor * factor * factor;
#pragma omp parallel num_threads(call->threads)
    for (int64_t channel = 0; channel < out[0] * out[1]; channel++) {
        const sn_cpu_part own = own_planes(out, channel);
        for (int64_t p = own.begin; p < own.end; p++)
            shrink_plane(dy + p * plane * cube, dx + p * plane, out[3], out[4], factor);
    }
}
