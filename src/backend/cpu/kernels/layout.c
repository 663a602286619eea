/* Concatenation and windows: copies. */
#include <string.h>

#include "backend/cpu/kernels/share.h"

void SN_CPU_RUN(concat)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const int64_t *out = op->outputs[0].desc.shape;
    const int64_t voxels = sn_tensor_voxels(&op->outputs[0].desc);
#pragma omp parallel num_threads(call->threads)
    for (int64_t i = 0, start = 0; i < op->input_count; i++) {
        int64_t channels = op->inputs[i].desc.shape[1];
        for (int64_t p = 0; p < out[0] * channels; p++) { /* y has more channels an image than x has */
            sn_cpu_span s = sn_cpu_own_span(p, channels, voxels);
            const float *x = (const float *)call->in[i] + s.begin;
            float *y =
                (float *)call->out[0] + s.begin + (p / channels * (out[1] - channels) + start) * voxels;
            if (y != x) /* it may lie there already */
                memcpy(y, x, (size_t)s.count * sizeof *y);
        }
        start += channels;
    }
}

/* The part of [0, count) that, moved by offset, lies in [0, limit); begin == end where none does. */
typedef struct range {
    int64_t begin, end;
} range;

static range inside(int64_t count, int64_t offset, int64_t limit)
{
    int64_t begin = offset < 0 ? -offset : 0, end = limit - offset;
    end = end > count ? count : end;
    return begin < end ? (range){begin, end} : (range){0, 0};
}

static bool holds(range r, int64_t i)
{
    return i >= r.begin && i < r.end;
}

void SN_CPU_RUN(window)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const int64_t *in = op->inputs[0].desc.shape, *out = op->outputs[0].desc.shape;
    const int64_t *offset = op->params.window.offset;
    size_t size = sn_dtype_size(op->inputs[0].desc.dtype);
    const char *x = call->in[0];
    char *y = call->out[0];
    size_t place;
    if (sn_op_window_place(&place, op) && y == x + place) /* it lies there already */
        return;
    range c_range = inside(out[1], offset[0], in[1]), z_range = inside(out[2], offset[1], in[2]);
    range y_range = inside(out[3], offset[2], in[3]), x_range = inside(out[4], offset[3], in[4]);
    size_t left = (size_t)x_range.begin * size, middle = (size_t)(x_range.end - x_range.begin) * size;
    size_t size_of_row = (size_t)out[4] * size;
#pragma omp parallel num_threads(call->threads)
    for (int64_t plane = 0; plane < out[0] * out[1]; plane++) {
        const int64_t n = plane / out[1], c = plane % out[1];
        const sn_cpu_part own = sn_cpu_own(out[2], out[1], c);
        for (int64_t row = own.begin * out[3]; row < own.end * out[3]; row++) {
            int64_t z = row / out[3], h = row % out[3];
            char *to = y + (size_t)(plane * out[2] * out[3] + row) * size_of_row;
            if (middle == 0 || !holds(c_range, c) || !holds(z_range, z) || !holds(y_range, h)) {
                memset(to, 0, size_of_row);
                continue;
            }
            int64_t from = ((n * in[1] + c + offset[0]) * in[2] + z + offset[1]) * in[3] + h + offset[2];
            memset(to, 0, left);
            memcpy(to + left, x + (size_t)(from * in[4] + x_range.begin + offset[3]) * size, middle);
            memset(to + left + middle, 0, size_of_row - left - middle);
        }
    }
}
