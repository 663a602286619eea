#include "samples.h"

#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>

#include "base/random.h"

const sn_op_kind convolution_kinds[3] = {SN_OP_CONV3D, SN_OP_CONV3D_BACKWARD_DATA,
                                         SN_OP_CONV3D_BACKWARD_WEIGHTS};

sn_op convolution_of(sn_op_kind kind, const sampled_shape *shape)
{
    const int k = shape->kernel;
    const int64_t *e = shape->extent;
    sn_tensor_desc x = {SN_F32, {shape->images, shape->in, e[0], e[1], e[2]}}, y = x;
    sn_tensor_desc w = {SN_F32, {shape->out, shape->in, k, k, k}};
    sn_op op = {.kind = kind, .input_count = 2, .output_count = 1};
    op.params.conv3d = (sn_conv3d_params){k, shape->dilation, shape->stride, 0};
    if (shape->stride == 1)
        op.params.conv3d.pad = shape->dilation * (k - 1) / 2;
    y.shape[1] = shape->out;
    for (int i = 2; i < SN_DIMS; i++)
        y.shape[i] = shape->stride == 1 ? x.shape[i] : (x.shape[i] - k) / shape->stride + 1;
    op.inputs[0].desc = kind == SN_OP_CONV3D_BACKWARD_DATA ? y : x;
    op.inputs[1].desc = kind == SN_OP_CONV3D_BACKWARD_WEIGHTS ? y : w;
    op.outputs[0].desc = kind == SN_OP_CONV3D ? y : kind == SN_OP_CONV3D_BACKWARD_DATA ? x : w;
    return op;
}

/* One value of a result, as it is summed. */
typedef struct summation {
    const sn_conv3d_params *params;
    const int64_t *x_shape, *w_shape, *y_shape;
    const double *x, *w, *y; /* the one that is the result: not read */
    double sum, size;        /* of the products, of their absolute values */
} summation;

static double value_at(const int64_t shape[SN_DIMS], const double *values, int64_t n, int64_t c,
                       const int64_t at[3])
{
    return values[(((n * shape[1] + c) * shape[2] + at[0]) * shape[3] + at[1]) * shape[4] + at[2]];
}

static void add(summation *self, double a, double b)
{
    self->sum += a * b;
    self->size += fabs(a * b);
}

/* The voxel of x that output `out` reads by tap (z,y,x); false: outside. */
static bool input_of(int64_t in[3], const summation *self, const int64_t out[3], const int64_t tap[3])
{
    const sn_conv3d_params *p = self->params;
    for (int i = 0; i < 3; i++) {
        in[i] = out[i] * p->stride + tap[i] * p->dilation - p->pad;
        if (in[i] < 0 || in[i] >= self->x_shape[2 + i])
            return false;
    }
    return true;
}

/* The output that reads voxel `in` by tap (z,y,x); false: none. */
static bool output_of(int64_t out[3], const summation *self, const int64_t in[3], const int64_t tap[3])
{
    const sn_conv3d_params *p = self->params;
    for (int i = 0; i < 3; i++) {
        int64_t at = in[i] + p->pad - tap[i] * p->dilation;
        out[i] = at / p->stride;
        if (at < 0 || at % p->stride != 0 || out[i] >= self->y_shape[2 + i])
            return false;
    }
    return true;
}

/* Value (n, c, z, y, x) of y, or of dx. */
static void sum_taps(summation *self, bool forward, const int64_t index[SN_DIMS])
{
    const int64_t K = self->params->kernel;
    int64_t from[3];
    for (int64_t t = 0; t < K * K * K; t++) {
        const int64_t tap[3] = {t / (K * K), t / K % K, t % K};
        if (!(forward ? input_of(from, self, index + 2, tap) : output_of(from, self, index + 2, tap)))
            continue;
        for (int64_t c = 0; c < self->w_shape[forward ? 1 : 0]; c++)
            if (forward)
                add(self, value_at(self->w_shape, self->w, index[1], c, tap),
                    value_at(self->x_shape, self->x, index[0], c, from));
            else
                add(self, value_at(self->w_shape, self->w, c, index[1], tap),
                    value_at(self->y_shape, self->y, index[0], c, from));
    }
}

/* Value (o, i, z, y, x) of dw. */
static void sum_voxels(summation *self, const int64_t index[SN_DIMS])
{
    const int64_t *e = self->y_shape;
    int64_t from[3];
    for (int64_t n = 0; n < e[0]; n++)
        for (int64_t v = 0; v < e[2] * e[3] * e[4]; v++) {
            const int64_t at[3] = {v / (e[3] * e[4]), v / e[4] % e[3], v % e[4]};
            if (input_of(from, self, at, index + 2))
                add(self, value_at(self->y_shape, self->y, n, index[0], at),
                    value_at(self->x_shape, self->x, n, index[1], from));
        }
}

static summation summation_of(const sn_op *op, const op_values *values)
{
    const int64_t *first = op->inputs[0].desc.shape, *second = op->inputs[1].desc.shape;
    const int64_t *result = op->outputs[0].desc.shape;
    summation self = {.params = &op->params.conv3d};
    if (op->kind == SN_OP_CONV3D)
        self.x_shape = first, self.w_shape = second, self.y_shape = result;
    else if (op->kind == SN_OP_CONV3D_BACKWARD_DATA)
        self.y_shape = first, self.w_shape = second, self.x_shape = result;
    else
        self.x_shape = first, self.y_shape = second, self.w_shape = result;
    self.x = self.y = values->in[0];
    self.w = values->in[1];
    if (op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS)
        self.y = values->in[1];
    return self;
}

void check_samples(const op_runner *runner, sn_op_kind kind, const sampled_shape *shape)
{
    enum { SAMPLES = 150 };
    const double largest_error = 1e-5; /* of the sum of absolute values */
    sn_op op = convolution_of(kind, shape);
    op_values values = op_values_make(&op);
    sn_random random = sn_random_begin(7, (uint32_t)kind, 0);
    for (int k = 0; k < 2; k++)
        for (int64_t v = 0; v < sn_tensor_count(&op.inputs[k].desc); v++)
            values.in[k][v] = (float)sn_random_normal(&random);
    op_run(runner, &op, &values);
    const sn_tensor_desc *desc = &op.outputs[0].desc;
    for (int s = 0; s < SAMPLES; s++) {
        int64_t index[SN_DIMS], flat = 0;
        for (int d = 0; d < SN_DIMS; d++) { /* the corners, too */
            int64_t last = desc->shape[d] - 1;
            index[d] =
                s % 3 == 0 ? (s >> d & 1) * last : (int64_t)(sn_random_uniform(&random) * (double)(last + 1));
            flat = flat * desc->shape[d] + index[d];
        }
        summation sum = summation_of(&op, &values);
        if (kind == SN_OP_CONV3D_BACKWARD_WEIGHTS)
            sum_voxels(&sum, index);
        else
            sum_taps(&sum, kind == SN_OP_CONV3D, index);
        assert_true(fabs(values.out[0][flat] - sum.sum) <= largest_error * sum.size);
    }
    op_values_clear(&values);
}

void check_samples_everywhere(const sampled_shape *shapes, int count)
{
    static const char *const instruction_sets[] = {"avx512", "avx2", "portable"};
    for (int isa = 0; isa < 3; isa++) {
        setenv("SEGNAS3D_ISA", instruction_sets[isa], 1);
        for (int threads = 1; threads <= 7; threads += 3) {
            op_runner cpu = runner_open(&sn_backend_cpu, threads);
            for (int s = 0; s < count; s++)
                for (int k = 0; k < 3; k++)
                    check_samples(&cpu, convolution_kinds[k], &shapes[s]);
            runner_close(&cpu);
        }
        unsetenv("SEGNAS3D_ISA");
    }
}
