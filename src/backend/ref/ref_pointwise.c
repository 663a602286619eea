/* Operations that treat every value by itself, perhaps with a number of its channel. */
#include <math.h>
#include <string.h>

#include "backend/ref/ref_ops.h"

void sn_ref_bias(const sn_op *op, double *const *in, double *const *out)
{
    const double *x = in[0], *b = in[1];
    double *y = out[0];
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    for (int64_t i = 0; i < sn_tensor_count(desc); i++) {
        double z = x[i] + b[i / voxels % channels];
        y[i] = op->params.bias.relu && z < 0 ? 0 : z; /* NaN stays NaN */
    }
}

void sn_ref_bias_backward(const sn_op *op, double *const *in, double *const *out)
{
    const double *dy = in[0];
    double *db = out[0];
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    for (int64_t i = 0; i < sn_tensor_count(desc); i++)
        db[i / voxels % channels] += dy[i];
}

void sn_ref_prelu(const sn_op *op, double *const *in, double *const *out)
{
    const double *x = in[0], *a = in[1];
    double *y = out[0];
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    for (int64_t i = 0; i < sn_tensor_count(desc); i++)
        y[i] = x[i] > 0 ? x[i] : a[i / voxels % channels] * x[i];
}

void sn_ref_prelu_backward(const sn_op *op, double *const *in, double *const *out)
{
    const double *x = in[0], *a = in[1], *dy = in[2];
    double *dx = out[0], *da = out[1];
    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t channels = desc->shape[1], voxels = sn_tensor_voxels(desc);
    for (int64_t i = 0; i < sn_tensor_count(desc); i++) {
        int64_t c = i / voxels % channels;
        dx[i] = x[i] > 0 ? dy[i] : a[c] * dy[i];
        da[c] += x[i] > 0 ? 0 : x[i] * dy[i];
    }
}

void sn_ref_sum(const sn_op *op, double *const *in, double *const *out)
{
    double *y = out[0];
    for (int64_t i = 0; i < sn_tensor_count(&op->outputs[0].desc); i++) {
        y[i] = in[0][i];
        for (int k = 1; k < op->input_count; k++)
            y[i] += in[k][i];
    }
}

/* What is stored is rounded. */
void sn_ref_to_bf16(const sn_op *op, double *const *in, double *const *out)
{
    memcpy(out[0], in[0], (size_t)sn_tensor_count(&op->outputs[0].desc) * sizeof *out[0]);
}

void sn_ref_channel_dropout(const sn_op *op, double *const *in, double *const *out)
{
    const double *x = in[0];
    double *y = out[0];
    uint8_t key[16];
    for (int i = 0; i < 16; i++)
        key[i] = (uint8_t)in[1][i];

    const sn_tensor_desc *desc = &op->inputs[0].desc;
    int64_t voxels = sn_tensor_voxels(desc);
    for (int64_t channel = 0; channel < desc->shape[0] * desc->shape[1]; channel++) {
        double s = sn_op_dropout_scale(key, op->params.dropout.stream, channel, op->params.dropout.rate);
        for (int64_t v = channel * voxels; v < (channel + 1) * voxels; v++)
            y[v] = x[v] * s;
    }
}

void sn_ref_nadam(const sn_op *op, double *const *in, double *const *out)
{
    double s = in[0][0], a = in[0][1], b = in[0][2], c = in[0][3];
    double *p = out[0], *grad = out[1], *m = out[2], *v = out[3];
    double beta1 = op->params.nadam.beta1, beta2 = op->params.nadam.beta2, epsilon = op->params.nadam.epsilon;
    for (int64_t i = 0; i < sn_tensor_count(&op->outputs[0].desc); i++) {
        double g = grad[i] * s;
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        p[i] -= (a * g + b * m[i]) / (sqrt(v[i] * c) + epsilon);
        grad[i] = 0;
    }
}

void sn_ref_average(const sn_op *op, double *const *in, double *const *out)
{
    double share = in[1][0];
    for (int64_t i = 0; i < sn_tensor_count(&op->outputs[0].desc); i++)
        out[0][i] = (1 - share) * out[0][i] + share * in[0][i];
}
