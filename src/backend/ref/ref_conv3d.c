/* Convolution and its two gradients: one set of loops over all (output voxel, tap) pairs, which meet
 *   y[n,o,z,y,x], w[o,i,a,b,c], x[n,i, z*s + a*d - p, y*s + b*d - p, x*s + c*d - p]. */
#include <string.h>

#include "backend/ref/ref_ops.h"

/* What one output value and one row of taps (c = 0 .. kernel-1, at x = first, first + d, ..) do. */
typedef void (*row_pass)(double *x, double *w, double *y, int64_t first, int64_t width,
                         const sn_conv3d_params *p);

static void row_forward(double *x, double *w, double *y, int64_t first, int64_t width,
                        const sn_conv3d_params *p)
{
    for (int64_t c = 0, at = first; c < p->kernel; c++, at += p->dilation)
        if (at >= 0 && at < width)
            *y += w[c] * x[at];
}

static void row_backward_data(double *dx, double *w, double *dy, int64_t first, int64_t width,
                              const sn_conv3d_params *p)
{
    for (int64_t c = 0, at = first; c < p->kernel; c++, at += p->dilation)
        if (at >= 0 && at < width)
            dx[at] += w[c] * *dy;
}

static void row_backward_weights(double *x, double *dw, double *dy, int64_t first, int64_t width,
                                 const sn_conv3d_params *p)
{
    for (int64_t c = 0, at = first; c < p->kernel; c++, at += p->dilation)
        if (at >= 0 && at < width)
            dw[c] += x[at] * *dy;
}

/* All rows of taps of one output voxel (n, o, z, y, x) whose value is *value. */
static void visit_taps(row_pass pass, const sn_conv3d_params *p, const int64_t in[SN_DIMS],
                       const int64_t taps[SN_DIMS], double *x, double *w, double *value,
                       const int64_t position[SN_DIMS])
{
    int64_t n = position[0], o = position[1];
    for (int64_t i = 0; i < in[1]; i++)
        for (int64_t a = 0; a < p->kernel; a++)
            for (int64_t b = 0; b < p->kernel; b++) {
                int64_t z = position[2] * p->stride + a * p->dilation - p->pad;
                int64_t y = position[3] * p->stride + b * p->dilation - p->pad;
                if (z >= 0 && z < in[2] && y >= 0 && y < in[3])
                    pass(x + sn_ref_at(in, n, i, z, y, 0), w + sn_ref_at(taps, o, i, a, b, 0), value,
                         position[4] * p->stride - p->pad, in[4], p);
            }
}

static void visit(row_pass pass, const sn_conv3d_params *p, const sn_operand *input,
                  const sn_operand *weights, const sn_operand *output, double *x, double *w, double *y)
{
    const int64_t *out = output->desc.shape;
    for (int64_t n = 0; n < out[0]; n++)
        for (int64_t o = 0; o < out[1]; o++)
            for (int64_t d = 0; d < out[2]; d++)
                for (int64_t h = 0; h < out[3]; h++)
                    for (int64_t v = 0; v < out[4]; v++)
                        visit_taps(pass, p, input->desc.shape, weights->desc.shape, x, w,
                                   y + sn_ref_at(out, n, o, d, h, v), (const int64_t[]){n, o, d, h, v});
}

static void fill_zero(double *values, const sn_operand *operand)
{
    memset(values, 0, (size_t)sn_tensor_count(&operand->desc) * sizeof *values);
}

void sn_ref_conv3d(const sn_op *op, double *const *in, double *const *out)
{
    fill_zero(out[0], &op->outputs[0]);
    visit(row_forward, &op->params.conv3d, &op->inputs[0], &op->inputs[1], &op->outputs[0], in[0], in[1],
          out[0]);
}

void sn_ref_conv3d_backward_data(const sn_op *op, double *const *in, double *const *out)
{
    fill_zero(out[0], &op->outputs[0]);
    visit(row_backward_data, &op->params.conv3d, &op->outputs[0], &op->inputs[1], &op->inputs[0], out[0],
          in[1], in[0]);
}

void sn_ref_conv3d_backward_weights(const sn_op *op, double *const *in, double *const *out)
{
    visit(row_backward_weights, &op->params.conv3d, &op->inputs[0], &op->outputs[0], &op->inputs[1], in[0],
          out[0], in[1]);
}
