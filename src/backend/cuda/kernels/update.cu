/* What follows the images of a batch: a step of Nadam (Dozat 2016), and running averages; see op.h. All
 * parameters of a network are one launch: each block finds the tensor that its part belongs to. */
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

/* Elements of the tensors in a table that this block works on. */
typedef struct share {
    sn_cuda_joined tensor;
    int64_t first, end;
} share;

/* The last tensor whose first part is not behind this block's. */
static __device__ share share_of(const sn_cuda_joined *table, int tensors)
{
    int low = 0, high = tensors;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (table[middle].first_part <= (int64_t)blockIdx.x)
            low = middle;
        else
            high = middle;
    }
    const sn_cuda_joined tensor = table[low];
    const int64_t first = (blockIdx.x - tensor.first_part) * SN_CUDA_PART, end = first + SN_CUDA_PART;
    return share{tensor, first, end < tensor.count ? end : tensor.count};
}

#define FOR_EACH_ELEMENT(share)                                                                              \
    for (int64_t i = (share).first + threadIdx.x; i < (share).end; i += SN_CUDA_BLOCK)

typedef struct rates {
    float keep1, take1, keep2, take2, epsilon;
} rates;

static __global__ void nadam(const sn_cuda_joined *table, int tensors, const double *t, rates r)
{
    const share own = share_of(table, tensors);
    float *p = own.tensor.data[0], *grad = own.tensor.data[1];
    float *m = own.tensor.data[2], *v = own.tensor.data[3];
    const float scale = (float)t[0], a = (float)t[1], b = (float)t[2], c = (float)t[3];
    FOR_EACH_ELEMENT(own)
    {
        float g = grad[i] * scale;
        float first = r.keep1 * m[i] + r.take1 * g, second = r.keep2 * v[i] + r.take2 * g * g;
        m[i] = first;
        v[i] = second;
        p[i] -= (a * g + b * first) / (sqrtf(second * c) + r.epsilon);
        grad[i] = 0;
    }
}

cudaError_t sn_cuda_nadam(const sn_cuda_call *call)
{
    const double beta1 = call->op->params.nadam.beta1, beta2 = call->op->params.nadam.beta2;
    const rates r = {(float)beta1, (float)(1 - beta1), (float)beta2, (float)(1 - beta2),
                     (float)call->op->params.nadam.epsilon};
    return SN_LAUNCH(nadam, call->joined_parts, call->stream, call->joined, call->joined_count,
                     (const double *)call->in[0], r);
}

static __global__ void average(const sn_cuda_joined *table, int tensors, const double *t)
{
    const share own = share_of(table, tensors);
    float *a = own.tensor.data[0];
    const float *x = own.tensor.data[1];
    const float keep = (float)(1 - *t), take = (float)*t;
    FOR_EACH_ELEMENT(own)
    {
        a[i] = keep * a[i] + take * x[i];
    }
}

cudaError_t sn_cuda_average(const sn_cuda_call *call)
{
    return SN_LAUNCH(average, call->joined_parts, call->stream, call->joined, call->joined_count,
                     (const double *)call->in[1]);
}
