/* Bias, PReLU, sum, spatial dropout: each voxel by itself, and the sums over voxels of their gradients. */
#include "backend/cpu/kernels/run.h"

static const int64_t *shape_of(const sn_cpu_call *call)
{
    return call->op->inputs[0].desc.shape;
}

static int64_t voxels_of(const sn_cpu_call *call)
{
    return sn_tensor_voxels(&call->op->inputs[0].desc);
}

/* Units of work: the chunks of all channels of all images. */
static int64_t units_of(const sn_cpu_call *call)
{
    return shape_of(call)[0] * shape_of(call)[1] * sn_cpu_chunks(voxels_of(call));
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
    int64_t channels = shape_of(call)[1], voxels = voxels_of(call), units = units_of(call);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t unit = 0; unit < units; unit++) {
        sn_cpu_span s = sn_cpu_span_of(unit, voxels);
        add_bias(x + s.begin, y + s.begin, s.count, b[s.channel % channels], call->op->params.bias.relu);
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

void SN_CPU_RUN(bias_backward)(const sn_cpu_call *call)
{
    const float *dy = call->in[0];
    float *db = call->out[0];
    int64_t images = shape_of(call)[0], channels = shape_of(call)[1], voxels = voxels_of(call);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t c = 0; c < channels; c++)
        for (int64_t n = 0; n < images; n++)
            db[c] += (float)sum_voxels(dy + (n * channels + c) * voxels, voxels);
}

void SN_CPU_RUN(prelu)(const sn_cpu_call *call)
{
    const float *x = call->in[0], *a = call->in[1];
    float *y = call->out[0];
    int64_t channels = shape_of(call)[1], voxels = voxels_of(call), units = units_of(call);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t unit = 0; unit < units; unit++) {
        sn_cpu_span s = sn_cpu_span_of(unit, voxels);
        float slope = a[s.channel % channels];
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

void SN_CPU_RUN(prelu_backward)(const sn_cpu_call *call)
{
    const float *x = call->in[0], *a = call->in[1], *dy = call->in[2];
    float *dx = call->out[0], *da = call->out[1];
    int64_t images = shape_of(call)[0], channels = shape_of(call)[1], voxels = voxels_of(call);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t c = 0; c < channels; c++)
        for (int64_t n = 0; n < images; n++) {
            int64_t first = (n * channels + c) * voxels;
            da[c] += (float)prelu_backward(x + first, a[c], dy + first, dx + first, voxels);
        }
}

void SN_CPU_RUN(sum)(const sn_cpu_call *call)
{
    float *y = call->out[0];
    int64_t count = sn_tensor_count(&call->op->inputs[0].desc), units = sn_cpu_chunks(count);
    int inputs = call->op->input_count;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t unit = 0; unit < units; unit++) {
        sn_cpu_span s = sn_cpu_span_of(unit, count);
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
    int64_t voxels = voxels_of(call), units = units_of(call);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t unit = 0; unit < units; unit++) {
        sn_cpu_span s = sn_cpu_span_of(unit, voxels);
        float scale = (float)sn_op_dropout_scale(key, stream, s.channel, rate);
#pragma omp simd
        for (int64_t v = s.begin; v < s.begin + s.count; v++)
            y[v] = x[v] * scale;
    }
}
