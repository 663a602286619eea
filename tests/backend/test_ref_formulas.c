/* ref against values worked out by hand and against PyTorch (tests/fixtures/torch_operations.py). */
#include "cmocka_all.h"

#include <math.h>
#include <string.h>

#include "fixtures/torch_operations.h"
#include "harness.h"

static void assert_close(const char *what, const double *is, const double *expected, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(is[i] - expected[i]) <= 1e-12 * fmax(1, fabs(expected[i]))))
            fail_msg("%s: element %d is %.17g, expected %.17g", what, (int)i, is[i], expected[i]);
}

/* Lists for the functions below; operands come as what operand_of and its like give. */
#define OPERANDS(...)                                                                                        \
    (int)(sizeof((sn_operand[]){__VA_ARGS__}) / sizeof(sn_operand)), (sn_operand[])                          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define VALUES(...) ((const double *const[]){__VA_ARGS__})
#define NUMBERS(...) ((const double[]){__VA_ARGS__})

static sn_op make(sn_op_kind kind, sn_op_params params, int inputs, const sn_operand *in, int outputs,
                  const sn_operand *out)
{
    sn_op op = {.kind = kind, .params = params, .input_count = inputs, .output_count = outputs};
    memcpy(op.inputs, in, (size_t)inputs * sizeof *in);
    memcpy(op.outputs, out, (size_t)outputs * sizeof *out);
    return op;
}

/* Run `op` on `in` (updated outputs start at 0) and compare every output. */
static void expect(const sn_op *op, const double *const *in, const double *const *out)
{
    op_values values = op_values_make(op);
    for (int i = 0; i < op->input_count; i++)
        memcpy(values.in[i], in[i], (size_t)sn_tensor_count(&op->inputs[i].desc) * sizeof(double));
    op_run(&ref, op, &values);
    for (int o = 0; o < op->output_count; o++)
        assert_close(sn_op_describe(op->kind)->name, values.out[o], out[o],
                     sn_tensor_count(&op->outputs[o].desc));
    op_values_clear(&values);
}

static const sn_op_params none = {0};

#define F64(...) operand_of(SN_F64, __VA_ARGS__)
#define U8(...) operand_of(SN_U8, __VA_ARGS__)

/* ---- convolution ---- */

/* y[z] = sum over a of w[a] x[z + a - 1]: a point at the centre copies the mirrored kernel. */
static void convolution_of_a_point_is_the_mirrored_kernel(void **state)
{
    (void)state;
    double x[27] = {[13] = 1}, w[27], mirrored[27];
    for (int i = 0; i < 27; i++) {
        w[i] = i + 1;
        mirrored[26 - i] = i + 1;
    }
    sn_op op = make(SN_OP_CONV3D, (sn_op_params){.conv3d = {3, 1, 1, 1}},
                    OPERANDS(F64(1, 1, 3, 3, 3), F64(1, 1, 3, 3, 3)), OPERANDS(F64(1, 1, 3, 3, 3)));
    expect(&op, VALUES(x, w), VALUES(mirrored));
}

/* One row, kernel 3, dilation 2: y[x] = sum over c of w[c] x[x + 2c - 2]; all else is zero. */
static void dilated_convolution_of_a_row_by_hand(void **state)
{
    (void)state;
    double w[27] = {[12] = 1, [13] = 10, [14] = 100};
    sn_op op = make(SN_OP_CONV3D, (sn_op_params){.conv3d = {3, 2, 1, 2}},
                    OPERANDS(F64(1, 1, 1, 1, 5), F64(1, 1, 3, 3, 3)), OPERANDS(F64(1, 1, 1, 1, 5)));
    expect(&op, VALUES(NUMBERS(1, 2, 3, 4, 5), w), VALUES(NUMBERS(310, 420, 531, 42, 53)));
}

/* A convolution and both its gradients against PyTorch. */
static void expect_convolution(sn_conv3d_params p, sn_operand x, sn_operand w, sn_operand y,
                               const double *const values[3], const double *const gradients[3])
{
    sn_op_params params = {.conv3d = p};
    sn_op op = make(SN_OP_CONV3D, params, OPERANDS(x, w), OPERANDS(y));
    expect(&op, VALUES(values[0], values[1]), VALUES(values[2]));
    op = make(SN_OP_CONV3D_BACKWARD_DATA, params, OPERANDS(y, w), OPERANDS(x));
    expect(&op, VALUES(gradients[2], values[1]), VALUES(gradients[0]));
    op = make(SN_OP_CONV3D_BACKWARD_WEIGHTS, params, OPERANDS(x, y), OPERANDS(w));
    expect(&op, VALUES(values[0], gradients[2]), VALUES(gradients[1]));
}

static void convolutions_are_those_of_pytorch(void **state)
{
    (void)state;
    expect_convolution((sn_conv3d_params){3, 1, 1, 1}, F64(2, 2, 3, 2, 4), F64(3, 2, 3, 3, 3),
                       F64(2, 3, 3, 2, 4), VALUES(conv_x, conv_w, conv_y), VALUES(conv_dx, conv_dw, conv_r));
    expect_convolution((sn_conv3d_params){3, 2, 1, 2}, F64(1, 1, 3, 4, 5), F64(2, 1, 3, 3, 3),
                       F64(1, 2, 3, 4, 5), VALUES(dilated_x, dilated_w, dilated_y),
                       VALUES(dilated_dx, dilated_dw, dilated_r));
    expect_convolution((sn_conv3d_params){2, 1, 2, 0}, F64(1, 2, 4, 2, 6), F64(3, 2, 2, 2, 2),
                       F64(1, 3, 2, 1, 3), VALUES(strided_x, strided_w, strided_y),
                       VALUES(strided_dx, strided_dw, strided_r));
}

/* A transposed convolution's weights are (its inputs, its outputs, 2, 2, 2), as PyTorch's. */
static void transposed_convolution_is_that_of_pytorch(void **state)
{
    (void)state;
    sn_op_params params = {.conv3d = {2, 1, 2, 0}};
    sn_operand x = F64(1, 3, 2, 1, 2), w = F64(3, 2, 2, 2, 2), y = F64(1, 2, 4, 2, 4);
    sn_op op = make(SN_OP_CONV3D_BACKWARD_DATA, params, OPERANDS(x, w), OPERANDS(y));
    expect(&op, VALUES(transposed_x, transposed_w), VALUES(transposed_y));
    op = make(SN_OP_CONV3D, params, OPERANDS(y, w), OPERANDS(x));
    expect(&op, VALUES(transposed_r, transposed_w), VALUES(transposed_dx));
    op = make(SN_OP_CONV3D_BACKWARD_WEIGHTS, params, OPERANDS(y, x), OPERANDS(w));
    expect(&op, VALUES(transposed_r, transposed_x), VALUES(transposed_dw));
}

/* ---- batch normalisation, PReLU ---- */

static void batch_normalisation_with_relu_is_that_of_pytorch(void **state)
{
    (void)state;
    sn_op_params params = {.batchnorm = {1e-5, 0.1, true, 0}};
    sn_operand x = F64(1, 2, 2, 3, 2), c = vector_of(SN_F64, 2);
    double m[2] = {0}, v[2] = {0}; /* biased, by their definition */
    for (int i = 0; i < 24; i++)
        m[i / 12] += norm_x[i] / 12;
    for (int i = 0; i < 24; i++)
        v[i / 12] += (norm_x[i] - m[i / 12]) * (norm_x[i] - m[i / 12]) / 12;

    sn_op op = make(SN_OP_BATCHNORM, params, OPERANDS(x, c, c), OPERANDS(x, c, c));
    expect(&op, VALUES(norm_x, norm_gamma, norm_beta), VALUES(norm_y, m, v));
    op = make(SN_OP_BATCHNORM_APPLY, params, OPERANDS(x, c, c, c, c), OPERANDS(x));
    expect(&op, VALUES(norm_x, norm_gamma, norm_beta, m, v), VALUES(norm_y));
    op = make(SN_OP_BATCHNORM_BACKWARD, params, OPERANDS(x, c, c, c, c, x), OPERANDS(x, c, c));
    expect(&op, VALUES(norm_x, norm_gamma, norm_beta, m, v, norm_r),
           VALUES(norm_dx, norm_dgamma, norm_dbeta));

    params.batchnorm.voxels = 12;
    op = make(SN_OP_BATCHNORM_RUNNING, params, OPERANDS(c, c), OPERANDS(c, c));
    op_values values = op_values_make(&op);
    memcpy(values.in[0], m, sizeof m);
    memcpy(values.in[1], v, sizeof v);
    memcpy(values.out[0], NUMBERS(0.25, -0.5), 2 * sizeof(double));
    memcpy(values.out[1], NUMBERS(1.5, 0.75), 2 * sizeof(double));
    op_run(&ref, &op, &values);
    assert_close("running mean", values.out[0], norm_running_mean, 2);
    assert_close("running variance", values.out[1], norm_running_variance, 2);
    op_values_clear(&values);
}

/* rm: 1 -> 0.5 + 2/2 = 1.5 -> 0.75 + 4/2 = 2.75; rv of one voxel takes v itself: 0.5 -> 0.25 + 0 -> 0.125. */
static void running_statistics_take_images_in_order_and_one_voxel_as_it_is(void **state)
{
    (void)state;
    sn_op op = make(SN_OP_BATCHNORM_RUNNING, (sn_op_params){.batchnorm = {1e-5, 0.5, false, 1}},
                    OPERANDS(F64(2, 1, 1, 1, 1), F64(2, 1, 1, 1, 1)),
                    OPERANDS(vector_of(SN_F64, 1), vector_of(SN_F64, 1)));
    op_values values = op_values_make(&op);
    memcpy(values.in[0], NUMBERS(2, 4), 2 * sizeof(double));
    *values.out[0] = 1;
    *values.out[1] = 0.5;
    op_run(&ref, &op, &values);
    assert_close("running mean", values.out[0], NUMBERS(2.75), 1);
    assert_close("running variance", values.out[1], NUMBERS(0.125), 1);
    op_values_clear(&values);
}

/* v = 0, so z = beta whatever x and gamma are. */
static void batch_normalisation_of_one_voxel_is_beta(void **state)
{
    (void)state;
    sn_operand x = F64(2, 1, 1, 1, 1), c = vector_of(SN_F64, 1);
    sn_op op = make(SN_OP_BATCHNORM, (sn_op_params){.batchnorm = {1e-5, 0.1, false, 0}}, OPERANDS(x, c, c),
                    OPERANDS(x, x, x));
    expect(&op, VALUES(NUMBERS(3, -5), NUMBERS(7), NUMBERS(0.25)),
           VALUES(NUMBERS(0.25, 0.25), NUMBERS(3, -5), NUMBERS(0, 0)));
}

static void prelu_is_that_of_pytorch(void **state)
{
    (void)state;
    sn_operand x = F64(1, 2, 2, 2, 3), c = vector_of(SN_F64, 2);
    sn_op op = make(SN_OP_PRELU, none, OPERANDS(x, c), OPERANDS(x));
    expect(&op, VALUES(prelu_x, prelu_a), VALUES(prelu_y));
    op = make(SN_OP_PRELU_BACKWARD, none, OPERANDS(x, c, x), OPERANDS(x, c));
    expect(&op, VALUES(prelu_x, prelu_a, prelu_r), VALUES(prelu_dx, prelu_da));
}

/* ---- sums and moves ---- */

static void sums_and_biases_by_hand(void **state)
{
    (void)state;
    sn_operand x = F64(1, 2, 1, 1, 2), c = vector_of(SN_F64, 2);
    sn_op op = make(SN_OP_SUM, none, OPERANDS(x, x, x), OPERANDS(x));
    expect(&op, VALUES(NUMBERS(1, 2, 3, 4), NUMBERS(10, 20, 30, 40), NUMBERS(0.5, 0.5, 0.5, -1)),
           VALUES(NUMBERS(11.5, 22.5, 33.5, 43)));
    op = make(SN_OP_BIAS, none, OPERANDS(x, c), OPERANDS(x));
    expect(&op, VALUES(NUMBERS(1, 2, 3, 4), NUMBERS(10, -10)), VALUES(NUMBERS(11, 12, -7, -6)));
    op.params.bias.relu = true;
    expect(&op, VALUES(NUMBERS(1, 2, 3, 14), NUMBERS(10, -10)), VALUES(NUMBERS(11, 12, 0, 4)));
    op = make(SN_OP_BIAS_BACKWARD, none, OPERANDS(x), OPERANDS(c));
    expect(&op, VALUES(NUMBERS(1, 2, 3, 4)), VALUES(NUMBERS(3, 7)));
}

static void max_pooling_is_that_of_pytorch(void **state)
{
    (void)state;
    sn_operand x = F64(1, 2, 4, 2, 4), y = F64(1, 2, 2, 1, 2), index = U8(1, 2, 2, 1, 2);
    sn_op op = make(SN_OP_MAXPOOL, none, OPERANDS(x), OPERANDS(y, index));
    op_values values = op_values_make(&op);
    memcpy(values.in[0], pool_x, sizeof pool_x);
    op_run(&ref, &op, &values);
    assert_close("maxpool", values.out[0], pool_y, 8);
    op = make(SN_OP_MAXPOOL_BACKWARD, none, OPERANDS(y, index), OPERANDS(x));
    expect(&op, VALUES(pool_r, values.out[1]), VALUES(pool_dx));
    op_values_clear(&values);
}

/* Voxels in (a,b,c) order: 4a + 2b + c. */
static void max_pooling_takes_the_first_maximum(void **state)
{
    (void)state;
    sn_op op = make(SN_OP_MAXPOOL, none, OPERANDS(F64(1, 2, 2, 2, 2)),
                    OPERANDS(F64(1, 2, 1, 1, 1), U8(1, 2, 1, 1, 1)));
    expect(&op, VALUES(NUMBERS(0, 1, 5, 2, 3, 5, 5, 4, -1, -1, -1, -1, -1, -1, -1, -1)),
           VALUES(NUMBERS(5, -1), NUMBERS(2, 0)));
}

static void upsampling_is_that_of_pytorch(void **state)
{
    (void)state;
    sn_op_params params = {.upsample = {2}};
    sn_operand x = F64(1, 1, 2, 1, 3), y = F64(1, 1, 4, 2, 6);
    sn_op op = make(SN_OP_UPSAMPLE, params, OPERANDS(x), OPERANDS(y));
    expect(&op, VALUES(upsample_x), VALUES(upsample_y));
    op = make(SN_OP_UPSAMPLE_BACKWARD, params, OPERANDS(y), OPERANDS(x));
    expect(&op, VALUES(upsample_r), VALUES(upsample_dx));
}

static void concatenation_and_windows_by_hand(void **state)
{
    (void)state;
    sn_op op = make(SN_OP_CONCAT, none, OPERANDS(F64(2, 1, 1, 1, 2), F64(2, 2, 1, 1, 2)),
                    OPERANDS(F64(2, 3, 1, 1, 2)));
    expect(&op, VALUES(NUMBERS(1, 2, 3, 4), NUMBERS(10, 20, 30, 40, 50, 60, 70, 80)),
           VALUES(NUMBERS(1, 2, 10, 20, 30, 40, 3, 4, 50, 60, 70, 80)));
    /* y[c, x] = x[c + 1, x - 1] of channels {1,2,3}, {4,5,6} */
    op = make(SN_OP_WINDOW, (sn_op_params){.window = {{1, 0, 0, -1}}}, OPERANDS(F64(1, 2, 1, 1, 3)),
              OPERANDS(F64(1, 2, 1, 1, 5)));
    expect(&op, VALUES(NUMBERS(1, 2, 3, 4, 5, 6)), VALUES(NUMBERS(0, 4, 5, 6, 0, 0, 0, 0, 0, 0)));
}

/* ---- affine maps ---- */

static void affine_maps_are_those_of_pytorch(void **state)
{
    (void)state;
    sn_operand x = F64(1, 2, 4, 3, 5), M = F64(1, 1, 1, 3, 4);
    sn_op op = make(SN_OP_AFFINE_WARP, (sn_op_params){.warp = {false}}, OPERANDS(x, M), OPERANDS(x));
    expect(&op, VALUES(warp_x, warp_matrix), VALUES(warp_bilinear));
    op = make(SN_OP_AFFINE_WARP, (sn_op_params){.warp = {true}}, OPERANDS(x, M), OPERANDS(x));
    expect(&op, VALUES(warp_x, warp_matrix), VALUES(warp_nearest));
}

/* Half a voxel along W: nearest takes floor(x + 0.5 + 0.5), linear the mean; what is outside is 0. */
static void half_a_voxel_by_hand(void **state)
{
    (void)state;
    const double *M = NUMBERS(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0.5);
    sn_operand matrix = F64(1, 1, 1, 3, 4);
    sn_op op = make(SN_OP_AFFINE_WARP, (sn_op_params){.warp = {true}}, OPERANDS(U8(1, 1, 1, 1, 3), matrix),
                    OPERANDS(U8(1, 1, 1, 1, 3)));
    expect(&op, VALUES(NUMBERS(3, 5, 7), M), VALUES(NUMBERS(5, 7, 0)));
    op = make(SN_OP_AFFINE_WARP, (sn_op_params){.warp = {false}}, OPERANDS(F64(1, 1, 1, 1, 3), matrix),
              OPERANDS(F64(1, 1, 1, 1, 3)));
    expect(&op, VALUES(NUMBERS(3, 5, 7), M), VALUES(NUMBERS(4, 6, 3.5)));
}

/* ---- scores ---- */

static void softmax_of_huge_scores_is_finite(void **state)
{
    (void)state;
    sn_operand scores = F64(1, 2, 1, 1, 3);
    sn_op op = make(SN_OP_SOFTMAX, none, OPERANDS(scores), OPERANDS(scores));
    const double odds = 0.75; /* scores that differ by ln 3 */
    expect(&op, VALUES(NUMBERS(1e4 + log(3), 0, -1e4, 1e4, 0, 1e4)),
           VALUES(NUMBERS(odds, 0.5, 0, 1 - odds, 0.5, 1)));
}

/* Two images of three voxels; predictions 0 (tie), 1, 2 and 2, 2, 0. */
static void argmax_and_overlap_by_hand(void **state)
{
    (void)state;
    const double *s =
        NUMBERS(1, 0, 0, /**/ 1, 5, 0, /**/ 0, 4, 2, /* second image */ 0, 0, 3, /**/ 1, 1, 0, /**/ 2, 9, -1);
    sn_operand scores = F64(2, 3, 1, 1, 3), labels = U8(2, 1, 1, 1, 3);
    sn_op op = make(SN_OP_ARGMAX, none, OPERANDS(scores), OPERANDS(labels));
    expect(&op, VALUES(s), VALUES(NUMBERS(0, 1, 2, 2, 2, 0)));
    op = make(SN_OP_OVERLAP, none, OPERANDS(scores, labels), OPERANDS(F64(2, 3, 1, 1, 3)));
    expect(&op, VALUES(s, NUMBERS(0, 0, 2, 2, 1, 1)),
           VALUES(NUMBERS(1, 2, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 2, 0, 1, 1, 2)));
}

/* ---- loss ---- */

static const sn_op_params explog = {.loss = {SN_LOSS_EXPLOG, 0.8, 0.2, 0.3, 0.3, 1}};

/* The loss operation on `voxels` voxels in a row. */
static sn_op loss_op(sn_op_params params, int64_t labels, int64_t voxels)
{
    sn_operand scores = F64(1, labels, 1, 1, voxels);
    return make(SN_OP_LOSS, params, OPERANDS(scores, U8(1, 1, 1, 1, voxels), vector_of(SN_F64, labels)),
                OPERANDS(F64(1, 1, 1, 1, 1), scores));
}

static double loss_value(const sn_op *op, const double *scores, const double *labels, const double *weights,
                         double *dscores)
{
    op_values values = op_values_make(op);
    int64_t count = sn_tensor_count(&op->inputs[0].desc);
    memcpy(values.in[0], scores, (size_t)count * sizeof(double));
    memcpy(values.in[1], labels, (size_t)sn_tensor_count(&op->inputs[1].desc) * sizeof(double));
    memcpy(values.in[2], weights, (size_t)sn_tensor_count(&op->inputs[2].desc) * sizeof(double));
    op_run(&ref, op, &values);
    double loss = values.out[0][0];
    memcpy(dscores, values.out[1], (size_t)count * sizeof(double));
    op_values_clear(&values);
    return loss;
}

/* One voxel of label 0, p = (1/2, 1/2), w_0 = 1: Dice_0 = (2/2 + 1)/(1 + 1/2 + 1) = 4/5,
 * Dice_1 = (0 + 1)/(0 + 1/2 + 1) = 2/3;
 * L = 0.8*((-ln 4/5)^0.3 + (-ln 2/3)^0.3)/2 + 0.2*(ln 2)^0.3 = 0.7393336343232731. */
static void explog_of_one_undecided_voxel_by_hand(void **state)
{
    (void)state;
    double dscores[2];
    sn_op op = loss_op(explog, 2, 1);
    double loss = loss_value(&op, NUMBERS(0, 0), NUMBERS(0), NUMBERS(1, 2), dscores);
    assert_close("loss", &loss, NUMBERS(0.7393336343232731), 1);
    assert_true(dscores[0] < 0 && dscores[1] > 0);
}

/* The same voxel, w_0 = 2, halves: L = 0.5*(1 - (4/5 + 2/3)/2) + 0.5*2*ln 2 = 0.8264805138932786. */
static void dice_ce_of_one_undecided_voxel_by_hand(void **state)
{
    (void)state;
    double dscores[2];
    sn_op op = loss_op((sn_op_params){.loss = {SN_LOSS_DICE_CE, 0.5, 0.5, 0, 0, 1}}, 2, 1);
    double loss = loss_value(&op, NUMBERS(0, 0), NUMBERS(0), NUMBERS(2, 1), dscores);
    assert_close("loss", &loss, NUMBERS(0.8264805138932786), 1);
}

/* p_0 = 1 - 4e-18 and both Dice are 1, all clamped to 1 - 1e-7:
 * L = (0.8 + 0.2)*(-ln(1 - 1e-7))^0.3 = 0.007943282466392056, and nothing has a slope. The double next to
 * 1 - 1e-7 is 1e-17 away, which is 1e-10 of -ln. */
static void explog_of_a_certain_voxel_is_the_clamp_without_slope(void **state)
{
    (void)state;
    double dscores[2];
    sn_op op = loss_op(explog, 2, 1);
    double loss = loss_value(&op, NUMBERS(40, 0), NUMBERS(0), NUMBERS(1, 1), dscores);
    assert_true(fabs(loss - 0.007943282466392056) < 1e-9 * loss);
    assert_true(dscores[0] == 0 && dscores[1] == 0);
}

/* The other label: p_1 = e^-40, clamped to 1e-7 in L_ce; both Dice are (0 + 1)/(1 + 0 + 1) = 1/2:
 * L = 0.8*(ln 2)^0.3 + 0.2*2*(-ln 1e-7)^0.3 = 1.6376886578131309; the slopes of Dice meet p_0*p_1 = e^-40. */
static void explog_of_a_wrong_voxel_is_finite(void **state)
{
    (void)state;
    double dscores[2];
    sn_op op = loss_op(explog, 2, 1);
    double loss = loss_value(&op, NUMBERS(40, 0), NUMBERS(1), NUMBERS(1, 2), dscores);
    assert_close("loss", &loss, NUMBERS(1.6376886578131309), 1);
    assert_true(fabs(dscores[0]) < 1e-16 && fabs(dscores[1]) < 1e-16);
}

/* Softmax does not see a number added to all scores of a voxel: its gradient sums to 0. */
static void loss_gradients_of_a_voxel_sum_to_zero(void **state)
{
    (void)state;
    double dscores[6];
    sn_op op = loss_op(explog, 3, 2);
    loss_value(&op, NUMBERS(0.3, -1, 0.7, 2, 0.1, 0.4), NUMBERS(2, 0), NUMBERS(1, 2, 0.5), dscores);
    for (int v = 0; v < 2; v++)
        assert_true(fabs(dscores[v] + dscores[2 + v] + dscores[4 + v]) < 1e-15);
}

static void losses_and_gradients_are_those_of_pytorch(void **state)
{
    (void)state;
    sn_operand scores = F64(2, 4, 2, 3, 2);
    sn_op op = make(SN_OP_LOSS, explog, OPERANDS(scores, U8(2, 1, 2, 3, 2), vector_of(SN_F64, 4)),
                    OPERANDS(F64(1, 1, 1, 1, 1), scores));
    expect(&op, VALUES(loss_scores, loss_labels, loss_weights), VALUES(loss_explog, loss_explog_dscores));
    op.params = (sn_op_params){.loss = {SN_LOSS_DICE_CE, 0.6, 0.4, 0, 0, 1}};
    expect(&op, VALUES(loss_scores, loss_labels, loss_weights), VALUES(loss_dice_ce, loss_dice_ce_dscores));
}

/* ---- dropout, Nadam ---- */

static void dropout_scales_whole_channels(void **state)
{
    (void)state;
    sn_operand x = F64(2, 8, 1, 1, 3);
    sn_op op = make(SN_OP_CHANNEL_DROPOUT, (sn_op_params){.dropout = {0.5, 9}},
                    OPERANDS(x, U8(1, 1, 1, 1, 16)), OPERANDS(x));
    op_values values = op_values_make(&op);
    uint8_t key[16];
    for (int i = 0; i < 16; i++)
        values.in[1][i] = key[i] = (uint8_t)(17 * i);
    for (int i = 0; i < 48; i++)
        values.in[0][i] = i + 1;
    op_run(&ref, &op, &values);
    for (int i = 0; i < 48; i++)
        assert_true(values.out[0][i] == (i + 1) * sn_op_dropout_scale(key, 9, i / 3, 0.5));
    op_values_clear(&values);
}

/* With a share of 1 the average is x, whatever it was; then 0.9 of 2 and 0.1 of 5; then 2/11 of that and 9/11 of 2. */
static void an_average_moves_by_its_share(void **state)
{
    (void)state;
    const double shares[3] = {1, 0.1, 9.0 / 11}, newest[3] = {2, 5, 2}, expected[3] = {2, 2.3, 22.6 / 11};
    sn_operand x = vector_of(SN_F64, 1);
    sn_op op = make(SN_OP_AVERAGE, (sn_op_params){0}, OPERANDS(x, F64(1, 1, 1, 1, 1)), OPERANDS(x));
    op_values values = op_values_make(&op);
    values.out[0][0] = -7;
    for (int i = 0; i < 3; i++) {
        values.in[0][0] = newest[i];
        values.in[1][0] = shares[i];
        op_run(&ref, &op, &values);
        assert_close("average", values.out[0], expected + i, 1);
    }
    op_values_clear(&values);
}

/* The scalars of step t (op.h, SN_OP_NADAM; Dozat 2016), rate 1e-3, decay 0.004, batch of 2. */
static void nadam_scalars(double scalars[4], int step)
{
    double mu = 0, next = 0, product = 1;
    for (int i = 1; i <= step + 1; i++) {
        mu = next;
        next = 0.9 * (1 - 0.5 * pow(0.96, i * 0.004));
        product *= i <= step ? next : 1;
    }
    scalars[0] = 0.5;
    scalars[1] = 1e-3 * (1 - mu) / (1 - product);
    scalars[2] = 1e-3 * next / (1 - product * next);
    scalars[3] = 1 / (1 - pow(0.999, step));
}

static void nadam_steps_are_those_of_pytorch(void **state)
{
    (void)state;
    enum { COUNT = 5, BATCH = 2, STEPS = 4 };
    sn_operand p = vector_of(SN_F64, COUNT);
    sn_op op = make(SN_OP_NADAM, (sn_op_params){.nadam = {0.9, 0.999, 1e-8}}, OPERANDS(F64(1, 1, 1, 1, 4)),
                    OPERANDS(p, p, p, p));
    op_values values = op_values_make(&op);
    memcpy(values.out[0], nadam_start, sizeof nadam_start);
    for (int step = 1; step <= STEPS; step++) {
        nadam_scalars(values.in[0], step);
        for (int image = 0; image < BATCH; image++)
            for (int i = 0; i < COUNT; i++)
                values.out[1][i] += nadam_gradients[((step - 1) * BATCH + image) * COUNT + i];
        op_run(&ref, &op, &values);
        assert_close("nadam", values.out[0], nadam_values + (step - 1) * COUNT, COUNT);
        for (int i = 0; i < COUNT; i++)
            assert_true(values.out[1][i] == 0);
    }
    op_values_clear(&values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution_of_a_point_is_the_mirrored_kernel),
        cmocka_unit_test(dilated_convolution_of_a_row_by_hand),
        cmocka_unit_test(convolutions_are_those_of_pytorch),
        cmocka_unit_test(transposed_convolution_is_that_of_pytorch),
        cmocka_unit_test(batch_normalisation_with_relu_is_that_of_pytorch),
        cmocka_unit_test(running_statistics_take_images_in_order_and_one_voxel_as_it_is),
        cmocka_unit_test(batch_normalisation_of_one_voxel_is_beta),
        cmocka_unit_test(prelu_is_that_of_pytorch),
        cmocka_unit_test(sums_and_biases_by_hand),
        cmocka_unit_test(max_pooling_is_that_of_pytorch),
        cmocka_unit_test(max_pooling_takes_the_first_maximum),
        cmocka_unit_test(upsampling_is_that_of_pytorch),
        cmocka_unit_test(concatenation_and_windows_by_hand),
        cmocka_unit_test(affine_maps_are_those_of_pytorch),
        cmocka_unit_test(half_a_voxel_by_hand),
        cmocka_unit_test(softmax_of_huge_scores_is_finite),
        cmocka_unit_test(argmax_and_overlap_by_hand),
        cmocka_unit_test(explog_of_one_undecided_voxel_by_hand),
        cmocka_unit_test(dice_ce_of_one_undecided_voxel_by_hand),
        cmocka_unit_test(explog_of_a_certain_voxel_is_the_clamp_without_slope),
        cmocka_unit_test(explog_of_a_wrong_voxel_is_finite),
        cmocka_unit_test(loss_gradients_of_a_voxel_sum_to_zero),
        cmocka_unit_test(losses_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(dropout_scales_whole_channels),
        cmocka_unit_test(nadam_steps_are_those_of_pytorch),
        cmocka_unit_test(an_average_moves_by_its_share),
    };
    return cmocka_run_group_tests_name("ref_formulas", tests, ref_open, ref_close);
}
