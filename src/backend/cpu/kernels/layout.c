/* Concatenation and windows: copies. */
#include <string.h>

#include "backend/cpu/kernels/run.h"

void SN_CPU_RUN(concat)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const int64_t *out = op->outputs[0].desc.shape;
    int64_t voxels = sn_tensor_voxels(&op->outputs[0].desc), chunks = sn_cpu_chunks(voxels);
    float *y = call->out[0];
#pragma omp parallel num_threads(call->threads)
    for (int i = 0, start = 0; i < op->input_count; i++) {
        const float *x = call->in[i];
        int64_t channels = op->inputs[i].desc.shape[1];
#pragma omp for schedule(static) nowait
        for (int64_t unit = 0; unit < out[0] * channels * chunks; unit++) {
            sn_cpu_span s = sn_cpu_span_of(unit, voxels);
            int64_t image = s.channel / channels; /* y has more channels an image than x has */
            int64_t shift = (image * (out[1] - channels) + start) * voxels;
            if (y + s.begin + shift != x + s.begin) /* it may lie there already */
                memcpy(y + s.begin + shift, x + s.begin, (size_t)s.count * sizeof *y);
        }
        start += (int)channels;
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
    size_t row = (size_t)out[4] * size;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t p = 0; p < out[0] * out[1] * out[2]; p++) {
        int64_t n = p / (out[1] * out[2]), c = p / out[2] % out[1], z = p % out[2];
        for (int64_t h = 0; h < out[3]; h++) {
            char *to = y + (size_t)(p * out[3] + h) * row;
            if (middle == 0 || !holds(c_range, c) || !holds(z_range, z) || !holds(y_range, h)) {
                memset(to, 0, row);
                continue;
            }
            int64_t from = ((n * in[1] + c + offset[0]) * in[2] + z + offset[1]) * in[3] + h + offset[2];
            memset(to, 0, left);
            memcpy(to + left, x + (size_t)(from * in[4] + x_range.begin + offset[3]) * size, middle);
            memset(to + left + middle, 0, row - left - middle);
        }
    }
}
