/* Affine warps: augmentation of images (trilinear) and labels (nearest). */
#include <math.h>

#include "backend/cpu/kernels/run.h"

typedef struct grid {
    int64_t D, H, W;
} grid;

static bool inside(int64_t i, int64_t limit)
{
    return i >= 0 && i < limit;
}

/* Index of the voxel nearest to (z, y, x), or -1 outside. */
static int64_t nearest(const double at[3], grid size)
{
    double z = floor(at[0] + 0.5), y = floor(at[1] + 0.5), x = floor(at[2] + 0.5);
    if (!(z >= 0 && z < (double)size.D && y >= 0 && y < (double)size.H && x >= 0 && x < (double)size.W))
        return -1;
    return ((int64_t)z * size.H + (int64_t)y) * size.W + (int64_t)x;
}

/* Linear interpolation along W in row (z, y), which counts as 0 outside. */
static double sample_row(const float *image, grid size, int64_t z, int64_t y, int64_t x, double part)
{
    if (!inside(z, size.D) || !inside(y, size.H))
        return 0;
    const float *row = image + (z * size.H + y) * size.W;
    double left = inside(x, size.W) ? row[x] : 0, right = inside(x + 1, size.W) ? row[x + 1] : 0;
    return left + part * (right - left);
}

static float trilinear(const float *image, const double at[3], grid size)
{
    double z = floor(at[0]), y = floor(at[1]), x = floor(at[2]);
    if (!(z >= -1 && z < (double)size.D && y >= -1 && y < (double)size.H && x >= -1 && x < (double)size.W))
        return 0;
    double c = at[0] - z, b = at[1] - y, a = at[2] - x;
    int64_t k = (int64_t)z, j = (int64_t)y, i = (int64_t)x;
    double low = (1 - b) * sample_row(image, size, k, j, i, a) + b * sample_row(image, size, k, j + 1, i, a);
    double high =
        (1 - b) * sample_row(image, size, k + 1, j, i, a) + b * sample_row(image, size, k + 1, j + 1, i, a);
    return (float)((1 - c) * low + c * high);
}

/* Where voxel (z, y, x) of y comes from: M*(z,y,x,1)'. */
static void map(double at[3], const double m[12], int64_t z, int64_t y, int64_t x)
{
    for (int i = 0; i < 3; i++)
        at[i] = m[4 * i] * (double)z + m[4 * i + 1] * (double)y + m[4 * i + 2] * (double)x + m[4 * i + 3];
}

/* A row of y: where each voxel comes from, and what is there. `image` is the channel of x. */
static void warp_row(const sn_op *op, const void *image, void *y, const double m[12], grid size, int64_t z,
                     int64_t row)
{
    const bool is_u8 = op->inputs[0].desc.dtype == SN_U8;
    for (int64_t x = 0; x < size.W; x++) {
        double at[3];
        map(at, m, z, row, x);
        int64_t from = op->params.warp.nearest ? nearest(at, size) : 0;
        if (is_u8)
            ((uint8_t *)y)[x] = from < 0 ? 0 : ((const uint8_t *)image)[from];
        else if (op->params.warp.nearest)
            ((float *)y)[x] = from < 0 ? 0 : ((const float *)image)[from];
        else
            ((float *)y)[x] = trilinear(image, at, size);
    }
}

void SN_CPU_RUN(affine_warp)(const sn_cpu_call *call)
{
    const sn_op *op = call->op;
    const int64_t *shape = op->inputs[0].desc.shape;
    const size_t element = sn_dtype_size(op->inputs[0].desc.dtype);
    const grid size = {shape[2], shape[3], shape[4]};
    const int64_t voxels = size.D * size.H * size.W, rows = shape[0] * shape[1] * size.D * size.H;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        int64_t channel = r / (size.D * size.H);
        warp_row(op, (const char *)call->in[0] + (size_t)(channel * voxels) * element,
                 (char *)call->out[0] + (size_t)(r * size.W) * element, call->in[1], size,
                 r / size.H % size.D, r % size.H);
    }
}
