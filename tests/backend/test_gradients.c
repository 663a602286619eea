/* Every gradient of ref by central differences in double, with loss = <r, output>, r random:
 *   d loss / d x_i = (loss(x + h e_i) - loss(x - h e_i)) / 2h. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "cases.h"

enum { MOST_PROBES = 48 }; /* elements of one input that are moved */

static const double step = 1e-5, allowed = 1e-7; /* of the largest element, at least 1e-2 */

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* A forward operation with its values and r, of the shape of output 0. */
typedef struct forward {
    op_case which;
    op_values values;
    double *r;
    int64_t count; /* of output 0 */
} forward;

static forward forward_make(int index)
{
    forward f = {.which = op_case_get(index, SN_F64)};
    f.values = op_values_make(&f.which.op);
    op_case_fill(&f.which, &f.values);
    f.count = sn_tensor_count(&f.which.op.outputs[0].desc);
    f.r = calloc((size_t)f.count, sizeof *f.r);
    assert_non_null(f.r);
    sn_random random = sn_random_begin(2, SN_RANDOM_TEST, (uint64_t)index);
    for (int64_t i = 0; i < f.count; i++)
        f.r[i] = sn_random_normal(&random);
    op_run(&ref, &f.which.op, &f.values);
    return f;
}

static void forward_clear(forward *f)
{
    op_values_clear(&f->values);
    free(f->r);
}

static double loss_of(const forward *f, op_values *values)
{
    memset(values->out[0], 0, (size_t)f->count * sizeof *f->r); /* a loss is added to */
    op_run(&ref, &f->which.op, values);
    return dot(f->r, values->out[0], f->count);
}

/* Compare a gradient with differences of one input, at elements spread over it. */
static void compare(const forward *f, int input, const double *gradient)
{
    const sn_op *op = &f->which.op;
    int64_t count = sn_tensor_count(&op->inputs[input].desc);
    int64_t stride = count <= MOST_PROBES ? 1 : count / MOST_PROBES;
    op_values moved = op_values_make(op);
    op_values_copy(&moved, &f->values, op);
    double scale = 0;
    for (int64_t i = 0; i < count; i++)
        scale = fmax(scale, fabs(gradient[i]));
    for (int64_t i = 0; i < count; i += stride) {
        double *x = &moved.in[input][i], old = *x;
        *x = old + step;
        double above = loss_of(f, &moved);
        *x = old - step;
        double below = loss_of(f, &moved);
        *x = old;
        double slope = (above - below) / (2 * step);
        if (!(fabs(slope - gradient[i]) <= allowed * fmax(scale, 1e-2)))
            fail_msg("%s: input %d, element %d: gradient %.10g, differences give %.10g", f->which.name, input,
                     (int)i, gradient[i], slope);
    }
    op_values_clear(&moved);
}

/* The gradient operation of a kind, with the forward one's parameters. */
static sn_op gradient_op(const forward *f, sn_op_kind kind, int inputs, const sn_operand *in, int outputs,
                         const sn_operand *out)
{
    sn_op op = {.kind = kind, .params = f->which.op.params, .input_count = inputs, .output_count = outputs};
    memcpy(op.inputs, in, (size_t)inputs * sizeof *in);
    memcpy(op.outputs, out, (size_t)outputs * sizeof *out);
    return op;
}

/* Run a gradient operation on given inputs; op_values_clear its values. */
static op_values run_gradient(const sn_op *op, const double *const *in)
{
    op_values values = op_values_make(op);
    for (int i = 0; i < op->input_count; i++)
        memcpy(values.in[i], in[i], (size_t)sn_tensor_count(&op->inputs[i].desc) * sizeof(double));
    op_run(&ref, op, &values);
    return values;
}

/* Shorthands for the lists of operands and values below. */
#define OPERANDS(...)                                                                                        \
    (int)(sizeof((sn_operand[]){__VA_ARGS__}) / sizeof(sn_operand)), (sn_operand[])                          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define VALUES(...) ((const double *const[]){__VA_ARGS__})

/* Check output `of` of a gradient operation against input `input` of the forward one. */
static void check(const forward *f, const sn_op *op, const double *const *in, int input, int of)
{
    op_values gradient = run_gradient(op, in);
    compare(f, input, gradient.out[of]);
    op_values_clear(&gradient);
}

static void check_conv3d(const forward *f)
{
    const sn_operand *in = f->which.op.inputs, *y = &f->which.op.outputs[0];
    double *const *values = f->values.in;
    sn_op data = gradient_op(f, SN_OP_CONV3D_BACKWARD_DATA, OPERANDS(*y, in[1]), OPERANDS(in[0]));
    check(f, &data, VALUES(f->r, values[1]), 0, 0);
    sn_op weights = gradient_op(f, SN_OP_CONV3D_BACKWARD_WEIGHTS, OPERANDS(in[0], *y), OPERANDS(in[1]));
    check(f, &weights, VALUES(values[0], f->r), 1, 0);
}

/* The transposed convolution: its output is what the convolution takes. */
static void check_transposed_conv3d(const forward *f)
{
    const sn_operand *in = f->which.op.inputs, *x = &f->which.op.outputs[0];
    double *const *values = f->values.in;
    sn_op data = gradient_op(f, SN_OP_CONV3D, OPERANDS(*x, in[1]), OPERANDS(in[0]));
    check(f, &data, VALUES(f->r, values[1]), 0, 0);
    sn_op weights = gradient_op(f, SN_OP_CONV3D_BACKWARD_WEIGHTS, OPERANDS(*x, in[0]), OPERANDS(in[1]));
    check(f, &weights, VALUES(f->r, values[0]), 1, 0);
}

static void check_bias(const forward *f)
{
    const sn_operand *in = f->which.op.inputs;
    if (f->which.op.params.bias.relu) /* for prediction only */
        return;
    sn_op op = gradient_op(f, SN_OP_BIAS_BACKWARD, OPERANDS(in[0]), OPERANDS(in[1]));
    check(f, &op, VALUES(f->r), 1, 0);
    compare(f, 0, f->r);
}

static void check_batchnorm(const forward *f)
{
    const sn_operand *in = f->which.op.inputs, *out = f->which.op.outputs;
    double *const *values = f->values.in;
    sn_op op = gradient_op(f, SN_OP_BATCHNORM_BACKWARD, OPERANDS(in[0], in[1], in[2], out[1], out[2], in[0]),
                           OPERANDS(in[0], in[1], in[2]));
    for (int input = 0; input < 3; input++)
        check(f, &op, VALUES(values[0], values[1], values[2], f->values.out[1], f->values.out[2], f->r),
              input, input);
}

static void check_prelu(const forward *f)
{
    const sn_operand *in = f->which.op.inputs;
    sn_op op = gradient_op(f, SN_OP_PRELU_BACKWARD, OPERANDS(in[0], in[1], in[0]), OPERANDS(in[0], in[1]));
    for (int input = 0; input < 2; input++)
        check(f, &op, VALUES(f->values.in[0], f->values.in[1], f->r), input, input);
}

static void check_sum(const forward *f)
{
    for (int input = 0; input < f->which.op.input_count; input++)
        compare(f, input, f->r);
}

static void check_maxpool(const forward *f)
{
    const sn_operand *in = f->which.op.inputs, *out = f->which.op.outputs;
    sn_op op = gradient_op(f, SN_OP_MAXPOOL_BACKWARD, OPERANDS(out[0], out[1]), OPERANDS(in[0]));
    check(f, &op, VALUES(f->r, f->values.out[1]), 0, 0);
}

static void check_upsample(const forward *f)
{
    sn_op op = gradient_op(f, SN_OP_UPSAMPLE_BACKWARD, OPERANDS(f->which.op.outputs[0]),
                           OPERANDS(f->which.op.inputs[0]));
    check(f, &op, VALUES(f->r), 0, 0);
}

/* Input k's gradient is the window of its channels. */
static void check_concat(const forward *f)
{
    int64_t first = 0;
    for (int input = 0; input < f->which.op.input_count; input++) {
        const sn_operand *part = &f->which.op.inputs[input];
        sn_op op = gradient_op(f, SN_OP_WINDOW, OPERANDS(f->which.op.outputs[0]), OPERANDS(*part));
        op.params.window.offset[0] = first;
        for (int axis = 1; axis < 4; axis++)
            op.params.window.offset[axis] = 0;
        check(f, &op, VALUES(f->r), input, 0);
        first += part->desc.shape[1];
    }
}

/* A window's gradient is the window back. */
static void check_window(const forward *f)
{
    if (f->which.op.inputs[0].desc.dtype == SN_U8)
        return;
    sn_op op =
        gradient_op(f, SN_OP_WINDOW, OPERANDS(f->which.op.outputs[0]), OPERANDS(f->which.op.inputs[0]));
    for (int axis = 0; axis < 4; axis++)
        op.params.window.offset[axis] *= -1;
    check(f, &op, VALUES(f->r), 0, 0);
}

static void check_dropout(const forward *f)
{
    const sn_operand *in = f->which.op.inputs;
    sn_op op = gradient_op(f, SN_OP_CHANNEL_DROPOUT, OPERANDS(in[0], in[1]), OPERANDS(in[0]));
    check(f, &op, VALUES(f->r, f->values.in[1]), 0, 0);
}

/* The loss is output 0 itself; r has one element. */
static void check_loss(const forward *f)
{
    int64_t count = sn_tensor_count(&f->which.op.outputs[1].desc);
    double *gradient = calloc((size_t)count, sizeof *gradient);
    assert_non_null(gradient);
    for (int64_t i = 0; i < count; i++)
        gradient[i] = f->r[0] * f->values.out[1][i];
    compare(f, 0, gradient);
    free(gradient);
}

static void check_kind(sn_op_kind kind, void (*check_case)(const forward *))
{
    int cases = 0;
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F64);
        /* Large cases are left to the conformance test. */
        if (which.op.kind != kind || sn_op_multiply_adds(&which.op) > 1500000 ||
            sn_tensor_voxels(&which.op.inputs[0].desc) > 10000)
            continue;
        forward f = forward_make(index);
        check_case(&f);
        forward_clear(&f);
        cases++;
    }
    assert_true(cases >= 3);
}

#define GRADIENT_TEST(name, kind, check_case)                                                                \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        (void)state;                                                                                         \
        check_kind(kind, check_case);                                                                        \
    }

GRADIENT_TEST(convolution, SN_OP_CONV3D, check_conv3d)
GRADIENT_TEST(transposed_convolution, SN_OP_CONV3D_BACKWARD_DATA, check_transposed_conv3d)
GRADIENT_TEST(bias, SN_OP_BIAS, check_bias)
GRADIENT_TEST(batch_normalisation_with_and_without_relu, SN_OP_BATCHNORM, check_batchnorm)
GRADIENT_TEST(prelu, SN_OP_PRELU, check_prelu)
GRADIENT_TEST(sum, SN_OP_SUM, check_sum)
GRADIENT_TEST(max_pooling, SN_OP_MAXPOOL, check_maxpool)
GRADIENT_TEST(upsampling, SN_OP_UPSAMPLE, check_upsample)
GRADIENT_TEST(concatenation, SN_OP_CONCAT, check_concat)
GRADIENT_TEST(window, SN_OP_WINDOW, check_window)
GRADIENT_TEST(channel_dropout, SN_OP_CHANNEL_DROPOUT, check_dropout)
GRADIENT_TEST(loss, SN_OP_LOSS, check_loss)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution),
        cmocka_unit_test(transposed_convolution),
        cmocka_unit_test(bias),
        cmocka_unit_test(batch_normalisation_with_and_without_relu),
        cmocka_unit_test(prelu),
        cmocka_unit_test(sum),
        cmocka_unit_test(max_pooling),
        cmocka_unit_test(upsampling),
        cmocka_unit_test(concatenation),
        cmocka_unit_test(window),
        cmocka_unit_test(channel_dropout),
        cmocka_unit_test(loss),
    };
    return cmocka_run_group_tests_name("gradients", tests, ref_open, ref_close);
}
