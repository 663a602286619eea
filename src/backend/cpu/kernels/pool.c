/* Max-pooling and nearest upsampling, and their gradients. */
#include <string.h>

#include "backend/cpu/kernels/run.h"

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

void SN_CPU_RUN(maxpool)(const sn_cpu_call *call)
{
    const float *x = call->in[0];
    float *y = call->out[0];
    uint8_t *index = call->out[1];
    const int64_t *out = call->op->outputs[0].desc.shape;
    int64_t planes = out[0] * out[1] * out[2], H = out[3], W = out[4];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t p = 0; p < planes; p++) /* (n, c, z) of y; 2p is that of x, whose planes hold 4*H*W */
        for (int64_t h = 0; h < H; h++)
            for (int64_t w = 0; w < W; w += ROW_BLOCK) {
                const float *from = x + 8 * p * H * W + 4 * h * W + 2 * w;
                int64_t to = (p * H + h) * W + w;
                pool_block(from, 2 * W, 4 * H * W, y + to, index + to, block_size(W - w));
            }
}

void SN_CPU_RUN(maxpool_backward)(const sn_cpu_call *call)
{
    const float *dy = call->in[0];
    const uint8_t *index = call->in[1];
    float *dx = call->out[0];
    const int64_t *in = call->op->inputs[0].desc.shape;
    int64_t planes = in[0] * in[1] * in[2], H = in[3], W = in[4];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t p = 0; p < planes; p++)
        for (int64_t h = 0; h < H; h++)
            for (int corner = 0; corner < 8; corner += 2) {
                const float *g = dy + (p * H + h) * W;
                const uint8_t *which = index + (p * H + h) * W;
                float *to = dx + 8 * p * H * W + (corner / 4) * 4 * H * W + (2 * h + corner / 2 % 2) * 2 * W;
#pragma omp simd
                for (int64_t w = 0; w < W; w++) {
                    to[2 * w] = which[w] == corner ? g[w] : 0;
                    to[2 * w + 1] = which[w] == corner + 1 ? g[w] : 0;
                }
            }
}

SN_INLINE void stretch_row(const float *x, float *y, int64_t count, int factor)
{
    for (int64_t w = 0; w < count; w++)
        for (int f = 0; f < factor; f++)
            y[w * factor + f] = x[w];
}

void SN_CPU_RUN(upsample)(const sn_cpu_call *call)
{
    const float *x = call->in[0];
    float *y = call->out[0];
    const int64_t *in = call->op->inputs[0].desc.shape;
    int factor = call->op->params.upsample.factor;
    int64_t planes = in[0] * in[1] * in[2], H = in[3], W = in[4], row = W * factor, plane = H * factor * row;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t p = 0; p < planes; p++) {
        float *first = y + p * factor * plane;
        for (int64_t h = 0; h < H; h++) {
            float *to = first + h * factor * row;
            if (factor == 2)
                stretch_row(x + (p * H + h) * W, to, W, 2);
            else
                stretch_row(x + (p * H + h) * W, to, W, factor);
            for (int f = 1; f < factor; f++)
                memcpy(to + f * row, to, (size_t)row * sizeof *to);
        }
        for (int f = 1; f < factor; f++)
            memcpy(first + f * plane, first, (size_t)plane * sizeof *first);
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

void SN_CPU_RUN(upsample_backward)(const sn_cpu_call *call)
{
    const float *dy = call->in[0];
    float *dx = call->out[0];
    const int64_t *out = call->op->outputs[0].desc.shape;
    int factor = call->op->params.upsample.factor;
    int64_t planes = out[0] * out[1] * out[2], H = out[3], W = out[4], row = W * factor;
    int64_t plane = H * factor * row;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t p = 0; p < planes; p++)
        for (int64_t h = 0; h < H; h++) {
            const float *from = dy + p * factor * plane + h * factor * row;
            if (factor == 2)
                shrink_row(from, row, plane, dx + (p * H + h) * W, W, 2);
            else
                shrink_row(from, row, plane, dx + (p * H + h) * W, W, factor);
        }
}
