/* Operations that move values: pooling, upsampling, concatenation, windows, affine maps. */
#include <math.h>
#include <string.h>

#include "backend/ref/ref_ops.h"

/* Loops over a tensor of extents `shape`, in memory order: declares n, c, z, y, x and the index i. */
#define FOR_EACH_ELEMENT(shape)                                                                              \
    for (int64_t n = 0, i = 0; n < (shape)[0]; n++)                                                          \
        for (int64_t c = 0; c < (shape)[1]; c++)                                                             \
            for (int64_t z = 0; z < (shape)[2]; z++)                                                         \
                for (int64_t y = 0; y < (shape)[3]; y++)                                                     \
                    for (int64_t x = 0; x < (shape)[4]; x++, i++)

static bool inside(const int64_t shape[SN_DIMS], int64_t z, int64_t y, int64_t x)
{
    return z >= 0 && z < shape[2] && y >= 0 && y < shape[3] && x >= 0 && x < shape[4];
}

void sn_ref_maxpool(const sn_op *op, double *const *in, double *const *out)
{
    const int64_t *X = op->inputs[0].desc.shape, *Y = op->outputs[0].desc.shape;
    FOR_EACH_ELEMENT(Y)
    {
        double best = -INFINITY;
        int index = 0;
        for (int abc = 0; abc < 8; abc++) { /* abc = 4a + 2b + c */
            double value =
                in[0][sn_ref_at(X, n, c, 2 * z + (abc >> 2), 2 * y + (abc >> 1 & 1), 2 * x + (abc & 1))];
            if (value > best) {
                best = value;
                index = abc;
            }
        }
        out[0][i] = best;
        out[1][i] = index;
    }
}

void sn_ref_maxpool_backward(const sn_op *op, double *const *in, double *const *out)
{
    const double *dy = in[0], *index = in[1];
    double *dx = out[0];
    const int64_t *X = op->outputs[0].desc.shape, *Y = op->inputs[0].desc.shape;
    memset(dx, 0, (size_t)sn_tensor_count(&op->outputs[0].desc) * sizeof *dx);
    FOR_EACH_ELEMENT(Y)
    {
        int abc = (int)index[i];
        dx[sn_ref_at(X, n, c, 2 * z + (abc >> 2), 2 * y + (abc >> 1 & 1), 2 * x + (abc & 1))] = dy[i];
    }
}

void sn_ref_upsample(const sn_op *op, double *const *in, double *const *out)
{
    const int64_t *X = op->inputs[0].desc.shape, *Y = op->outputs[0].desc.shape;
    int64_t f = op->params.upsample.factor;
    FOR_EACH_ELEMENT(Y)
    {
        out[0][i] = in[0][sn_ref_at(X, n, c, z / f, y / f, x / f)];
    }
}

void sn_ref_upsample_backward(const sn_op *op, double *const *in, double *const *out)
{
    const double *dy = in[0];
    double *dx = out[0];
    const int64_t *X = op->outputs[0].desc.shape, *Y = op->inputs[0].desc.shape;
    int64_t f = op->params.upsample.factor;
    memset(dx, 0, (size_t)sn_tensor_count(&op->outputs[0].desc) * sizeof *dx);
    FOR_EACH_ELEMENT(Y)
    {
        dx[sn_ref_at(X, n, c, z / f, y / f, x / f)] += dy[i];
    }
}

void sn_ref_concat(const sn_op *op, double *const *in, double *const *out)
{
    const int64_t *Y = op->outputs[0].desc.shape;
    int64_t first = 0; /* channel of y where input k starts */
    for (int k = 0; k < op->input_count; k++) {
        const int64_t *X = op->inputs[k].desc.shape;
        FOR_EACH_ELEMENT(X)
        {
            out[0][sn_ref_at(Y, n, first + c, z, y, x)] = in[k][i];
        }
        first += X[1];
    }
}

void sn_ref_window(const sn_op *op, double *const *in, double *const *out)
{
    const int64_t *X = op->inputs[0].desc.shape, *Y = op->outputs[0].desc.shape;
    const int64_t *o = op->params.window.offset;
    FOR_EACH_ELEMENT(Y)
    {
        bool lies_inside = c + o[0] >= 0 && c + o[0] < X[1] && inside(X, z + o[1], y + o[2], x + o[3]);
        out[0][i] = lies_inside ? in[0][sn_ref_at(X, n, c + o[0], z + o[1], y + o[2], x + o[3])] : 0;
    }
}

/* Voxel (z, y, x) of one channel of extents X, or 0 where there is none. */
static double voxel_or_zero(const double *channel, const int64_t X[SN_DIMS], double z, double y, double x)
{
    if (!(z >= 0 && z < (double)X[2] && y >= 0 && y < (double)X[3] && x >= 0 && x < (double)X[4]))
        return 0;
    return channel[((int64_t)z * X[3] + (int64_t)y) * X[4] + (int64_t)x];
}

static double sample_linear(const double *channel, const int64_t X[SN_DIMS], double z, double y, double x)
{
    double z0 = floor(z), y0 = floor(y), x0 = floor(x);
    double sum = 0;
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++)
            for (int c = 0; c < 2; c++) {
                double weight =
                    (a ? z - z0 : 1 - (z - z0)) * (b ? y - y0 : 1 - (y - y0)) * (c ? x - x0 : 1 - (x - x0));
                sum += weight * voxel_or_zero(channel, X, z0 + a, y0 + b, x0 + c);
            }
    return sum;
}

void sn_ref_affine_warp(const sn_op *op, double *const *in, double *const *out)
{
    const int64_t *X = op->inputs[0].desc.shape;
    const double *M = in[1];
    FOR_EACH_ELEMENT(X)
    {
        const double *channel = in[0] + sn_ref_at(X, n, c, 0, 0, 0);
        double at[3];
        for (int k = 0; k < 3; k++)
            at[k] = M[4 * k] * (double)z + M[4 * k + 1] * (double)y + M[4 * k + 2] * (double)x + M[4 * k + 3];
        if (op->params.warp.nearest)
            out[0][i] = voxel_or_zero(channel, X, floor(at[0] + 0.5), floor(at[1] + 0.5), floor(at[2] + 0.5));
        else
            out[0][i] = sample_linear(channel, X, at[0], at[1], at[2]);
    }
}
