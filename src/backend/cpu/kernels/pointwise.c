/* Bias, PReLU, sum, spatial dropout: each voxel by itself, and the sums over voxels of their gradients. */
#include "backend/cpu/kernels/share.h"

static const int64_t *shape_of(const sn_cpu_call *call)
{
    return call->op->inputs[0].desc.shape;
}

static int64_t voxels_of(const sn_cpu_call *call)
{
    return sn_tensor_voxels(&call->op->inputs[0].desc);
}

/* The channels of all images. */
static int64_t planes_of(const sn_cpu_call *call)
{
    return shape_of(call)[0] * shape_of(call)[1];
}

/* NaN stays NaN. */
static void add_bias(const float *x, float *y, int64_t count, float bias, bool relu)
{
    if (relu) {
#pragma omp simd
        for (int64_t v = 0; v < count; v++) {
            float z = x[v] + bias;
            y[v] = z < 0 ? 0 : z;
        }
    } else {
#pragma omp simd
        for (int64_t v = 0; v < count; v++)
            y[v] = x[v] + bias;
    }
}

void SN_CPU_RUN(bias)(const sn_cpu_call *call)
{
    const float *x = call->in[0], *b = call->in[1];
    float *y = call->out[0];
    int64_t channels = shape_of(call)[1], voxels = voxels_of(call), planes = planes_of(call);
#pragma omp parallel num_threads(call->threads)
    for (int64_t p = 0; p < planes; p++) {
        sn_cpu_span s = sn_cpu_own_span(p, channels, voxels);
        add_bias(x + s.begin, y + s.begin, s.count, b[p % channels], call->op->params.bias.relu);
    }
}

static double sum_voxels(const float *x, int64_t count)
{
    vd sum = {0};
    int64_t v = 0;
    for (; v + LANES <= count; v += LANES)
        sum = vd_add(sum, vf_load(x + v));
    double total = vd_total(sum);
    for (; v < count; v++)
        total += x[v];
    return total;
}

/* A part of a gradient: the sum over one chunk of one channel. */
typedef void sum_chunk(const sn_cpu_call *call, int64_t channel, sn_cpu_span span, double *sum);

/* gradient (channels) += what `run` finds in all chunks of all images. */
static void sum_gradient(const sn_cpu_call *call, float *gradient, sum_chunk *run)
{
    const int64_t images = shape_of(call)[0], channels = shape_of(call)[1], voxels = voxels_of(call);
    const int64_t chunks = sn_cpu_chunks(voxels);
    double *sums = call->workspace; /* (channels, chunks) */
#pragma omp parallel num_threads(call->threads)
    for (int64_t n = 0; n < images; n++) {
        for (int64_t c = 0; c < channels; c++) {
            sn_cpu_part own = sn_cpu_own(chunks, channels, c);
            for (int64_t k = own.begin; k < own.end; k++)
                run(call, c, sn_cpu_chunk_of(n * channels + c, voxels, k), &sums[c * chunks + k]);
        }
#pragma omp barrier
#pragma omp for schedule(static)
        for (int64_t c = 0; c < channels; c++)
            gradient[c] += (float)sn_cpu_add_chunks(sums + c * chunks, chunks, 1);
    }
}

static void bias_chunk(const sn_cpu_call *call, int64_t channel, sn_cpu_span span, double *sum)
{
    (void)channel;
    *sum = sum_voxels((const float *)call->in[0] + span.begin, span.count);
}

void SN_CPU_RUN(bias_backward)(const sn_cpu_call *call)
{
    sum_gradient(call, call->out[0], bias_chunk);
}

void SN_CPU_RUN(prelu)(const sn_cpu_call *call)
{
    const float *x = call->in[0], *a = call->in[1];
    float *y = call->out[0];
    int64_t channels = shape_of(call)[1], voxels = voxels_of(call), planes = planes_of(call);
#pragma omp parallel num_threads(call->threads)
    for (int64_t p = 0; p < planes; p++) {
        sn_cpu_span s = sn_cpu_own_span(p, channels, voxels);
        float slope = a[p % channels];
#pragma omp simd
        for (int64_t v = s.begin; v < s.begin + s.count; v++)
            y[v] = x[v] > 0 ? x[v] : slope * x[v];
    }
}

/* dx = dy*(1 or a); returns the sum of x*dy over x <= 0. dx may be x or dy. */
static double prelu_backward(const float *x, float slope, const float *dy, float *dx, int64_t count)
{
    vd sum = {0};
    const vf zero = {0};
    int64_t v = 0;
    for (; v + LANES <= count; v += LANES) {
        vf xv = vf_load(x + v), g = vf_load(dy + v);
        vi positive = xv > zero;
        vf_store(dx + v, vf_select(positive, g, g * slope));
        sum = vd_add(sum, vf_select(positive, zero, xv * g));
    }
    double total = vd_total(sum);
    for (; v < count; v++) {
        float xv = x[v], g = dy[v];
        dx[v] = xv > 0 ? g : g * slope;
        total += xv > 0 ? 0 : xv * g;
    }
    return total;
}

static void prelu_chunk(const sn_cpu_call *call, int64_t channel, sn_cpu_span span, double *sum)
{
    const float *x = call->in[0], *a = call->in[1], *dy = call->in[2];
    float *dx = call->out[0];
    *sum = prelu_backward(x + span.begin, a[channel], dy + span.begin, dx + span.begin, span.count);
}

void SN_CPU_RUN(prelu_backward)(const sn_cpu_call *call)
{
    sum_gradient(call, call->out[1], prelu_chunk);
}

void SN_CPU_RUN(sum)(const sn_cpu_call *call)
{
    float *y = call->out[0];
    int64_t channels = shape_of(call)[1], voxels = voxels_of(call), planes = planes_of(call);
    int inputs = call->op->input_count;
#pragma omp parallel num_threads(call->threads)
    for (int64_t p = 0; p < planes; p++) {
        sn_cpu_span s = sn_cpu_own_span(p, channels, voxels);
        for (int64_t v = s.begin; v < s.begin + s.count; v += LANES) {
            int64_t rest = s.begin + s.count - v;
            if (rest >= LANES) {
                vf total = vf_load((const float *)call->in[0] + v);
                for (int i = 1; i < inputs; i++)
                    total += vf_load((const float *)call->in[i] + v);
                vf_store(y + v, total);
                continue;
            }
            for (int64_t r = v; r < v + rest; r++) {
                float total = ((const float *)call->in[0])[r];
                for (int i = 1; i < inputs; i++)
                    total += ((const float *)call->in[i])[r];
                y[r] = total;
            }
        }
    }
}

void SN_CPU_RUN(channel_dropout)(const sn_cpu_call *call)
{
    const float *x = call->in[0];
    const uint8_t *key = call->in[1];
    float *y = call->out[0];
    double rate = call->op->params.dropout.rate;
    uint32_t stream = call->op->params.dropout.stream;
    int64_t channels = shape_of(call)[1], voxels = voxels_of(call), planes = planes_of(call);
#pragma omp parallel num_threads(call->threads)
    for (int64_t p = 0; p < planes; p++) {
        sn_cpu_span s = sn_cpu_own_span(p, channels, voxels);
        float scale = (float)sn_op_dropout_scale(key, stream, p, rate);
#pragma omp simd
        for (int64_t v = s.begin; v < s.begin + s.count; v++)
            y[v] = x[v] * scale;
    }
}
