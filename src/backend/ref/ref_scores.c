/* From scores to probabilities, labels and overlaps. Scores are (N,C,D,H,W), labels (N,1,D,H,W). */
#include <math.h>
#include <string.h>

#include "backend/ref/ref_ops.h"

void sn_ref_softmax(const sn_op *op, double *const *in, double *const *out)
{
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    for (int64_t n = 0; n < desc->shape[0]; n++)
        for (int64_t v = 0; v < voxels; v++) {
            const double *s = in[0] + n * channels * voxels + v; /* s[c*voxels] */
            double *p = out[0] + n * channels * voxels + v;
            double largest = -INFINITY, sum = 0;
            for (int64_t c = 0; c < channels; c++)
                largest = fmax(largest, s[c * voxels]);
            for (int64_t c = 0; c < channels; c++)
                sum += exp(s[c * voxels] - largest);
            for (int64_t c = 0; c < channels; c++)
                p[c * voxels] = exp(s[c * voxels] - largest) / sum;
        }
}

/* The first channel with the largest score of image n, voxel v. */
static int64_t largest_channel(const double *scores, const sn_tensor_desc *desc, int64_t n, int64_t v)
{
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    const double *s = scores + n * channels * voxels + v;
    int64_t best = 0;
    for (int64_t c = 1; c < channels; c++)
        if (s[c * voxels] > s[best * voxels])
            best = c;
    return best;
}

void sn_ref_argmax(const sn_op *op, double *const *in, double *const *out)
{
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t voxels = sn_tensor_voxels(desc);
    for (int64_t n = 0; n < desc->shape[0]; n++)
        for (int64_t v = 0; v < voxels; v++)
            out[0][n * voxels + v] = (double)largest_channel(in[0], desc, n, v);
}

void sn_ref_overlap(const sn_op *op, double *const *in, double *const *out)
{
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    memset(out[0], 0, (size_t)(desc->shape[0] * channels * 3) * sizeof *out[0]);
    for (int64_t n = 0; n < desc->shape[0]; n++)
        for (int64_t v = 0; v < voxels; v++) {
            double *counts = out[0] + n * channels * 3; /* (C, 3) */
            int64_t truth = (int64_t)in[1][n * voxels + v];
            int64_t prediction = largest_channel(in[0], desc, n, v);
            counts[3 * truth] += truth == prediction;
            counts[3 * truth + 1] += 1;
            counts[3 * prediction + 2] += 1;
        }
}
