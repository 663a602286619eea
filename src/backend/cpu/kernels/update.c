/* What follows the images of a batch: a step of Nadam (Dozat 2016), and running averages; see op.h. */
#include <math.h>

#include "backend/cpu/kernels/share.h"

void SN_CPU_RUN(nadam)(const sn_cpu_call *call)
{
    const double *t = call->in[0];
    float *p = call->out[0], *grad = call->out[1], *m = call->out[2], *v = call->out[3];
    float scale = (float)t[0], a = (float)t[1], b = (float)t[2], c = (float)t[3];
    double beta1 = call->op->params.nadam.beta1, beta2 = call->op->params.nadam.beta2;
    float keep1 = (float)beta1, take1 = (float)(1 - beta1), keep2 = (float)beta2, take2 = (float)(1 - beta2);
    float epsilon = (float)call->op->params.nadam.epsilon;
    int64_t count = sn_tensor_count(&call->op->outputs[0].desc);
#pragma omp parallel num_threads(call->threads)
    {
        sn_cpu_span s = sn_cpu_own_span(0, 1, count);
#pragma omp simd
        for (int64_t i = s.begin; i < s.begin + s.count; i++) {
            float g = grad[i] * scale;
            m[i] = keep1 * m[i] + take1 * g;
            v[i] = keep2 * v[i] + take2 * g * g;
            p[i] -= (a * g + b * m[i]) / (sqrtf(v[i] * c) + epsilon);
            grad[i] = 0;
        }
    }
}

void SN_CPU_RUN(average)(const sn_cpu_call *call)
{
    const float *x = call->in[0];
    float *a = call->out[0];
    double share = *(const double *)call->in[1];
    float keep = (float)(1 - share), take = (float)share;
    int64_t count = sn_tensor_count(&call->op->outputs[0].desc);
#pragma omp parallel num_threads(call->threads)
    {
        sn_cpu_span s = sn_cpu_own_span(0, 1, count);
#pragma omp simd
        for (int64_t i = s.begin; i < s.begin + s.count; i++)
            a[i] = keep * a[i] + take * x[i];
    }
}
