#include <string.h>

#include "backend/cpu/kernels/run.h"

typedef struct geometry {
    int64_t N, I, O;
    const int64_t *in, *out; /* D, H, W */
    sn_conv3d_params p;
} geometry;

static geometry geometry_of(const sn_op *op)
{
    const sn_operand *x = &op->inputs[0], *y = &op->outputs[0];
    if (op->kind == SN_OP_CONV3D_BACKWARD_DATA) {
        x = &op->outputs[0];
        y = &op->inputs[0];
    } else if (op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS) {
        y = &op->inputs[1];
    }
    return (geometry){x->desc.shape[0], x->desc.shape[1], y->desc.shape[1],
                      x->desc.shape + 2, y->desc.shape + 2, op->params.conv3d};
}

/* Outputs [begin, end) whose input out*stride + shift lies in [0, limit). */
static void range_of(int64_t *begin, int64_t *end, int64_t shift, int64_t stride, int64_t limit, int64_t count)
{
    *begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
    *end = limit - 1 - shift < 0 ? 0 : (limit - 1 - shift) / stride + 1;
    if (*end > count)
        *end = count;
}

/* mode 0: y += w*x; 1: x += w*y; 2: returns the sum of x*y */
SN_INLINE double tap(geometry g, int mode, float *x, float *y, float w, int64_t a, int64_t b, int64_t c)
{
    int64_t shift[3] = {a * g.p.dilation - g.p.pad, b * g.p.dilation - g.p.pad, c * g.p.dilation - g.p.pad};
    int64_t begin[3], end[3], s = g.p.stride;
    double sum = 0;
    for (int i = 0; i < 3; i++)
        range_of(&begin[i], &end[i], shift[i], s, g.in[i], g.out[i]);
    for (int64_t z = begin[0]; z < end[0]; z++)
        for (int64_t h = begin[1]; h < end[1]; h++) {
            float *yr = y + (z * g.out[1] + h) * g.out[2];
            float *xr = x + ((z * s + shift[0]) * g.in[1] + h * s + shift[1]) * g.in[2] + shift[2];
            if (mode == 2) {
#pragma omp simd reduction(+ : sum)
                for (int64_t v = begin[2]; v < end[2]; v++)
                    sum += yr[v] * xr[v * s];
            } else if (mode == 1) {
                for (int64_t v = begin[2]; v < end[2]; v++)
                    xr[v * s] += w * yr[v];
            } else {
                for (int64_t v = begin[2]; v < end[2]; v++)
                    yr[v] += w * xr[v * s];
            }
        }
    return sum;
}

void SN_CPU_RUN(conv3d)(const sn_cpu_call *call)
{
    geometry g = geometry_of(call->op);
    const bool forward = call->op->kind == SN_OP_CONV3D;
    const float *w = call->in[1];
    int64_t K = g.p.kernel, xv = g.in[0] * g.in[1] * g.in[2], yv = g.out[0] * g.out[1] * g.out[2];
    int64_t outs = forward ? g.O : g.I, ins = forward ? g.I : g.O;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t u = 0; u < g.N * outs; u++) {
        int64_t n = u / outs, to = u % outs, voxels = forward ? yv : xv;
        float *dst = (float *)call->out[0] + u * voxels;
        memset(dst, 0, (size_t)voxels * sizeof *dst);
        for (int64_t from = 0; from < ins; from++)
            for (int64_t t = 0; t < K * K * K; t++) {
                float *src = (float *)call->in[0] + (n * ins + from) * (forward ? xv : yv);
                float weight = w[(forward ? to * g.I + from : from * g.I + to) * K * K * K + t];
                if (forward)
                    tap(g, 0, src, dst, weight, t / (K * K), t / K % K, t % K);
                else
                    tap(g, 1, dst, src, weight, t / (K * K), t / K % K, t % K);
            }
    }
}

void SN_CPU_RUN(conv3d_backward_weights)(const sn_cpu_call *call)
{
    geometry g = geometry_of(call->op);
    int64_t K = g.p.kernel, xv = g.in[0] * g.in[1] * g.in[2], yv = g.out[0] * g.out[1] * g.out[2];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t u = 0; u < g.O * g.I; u++)
        for (int64_t n = 0; n < g.N; n++)
            for (int64_t t = 0; t < K * K * K; t++) {
                float *x = (float *)call->in[0] + (n * g.I + u % g.I) * xv;
                float *dy = (float *)call->in[1] + (n * g.O + u / g.I) * yv;
                ((float *)call->out[0])[u * K * K * K + t] +=
                    (float)tap(g, 2, x, dy, 0, t / (K * K), t / K % K, t % K);
            }
}
