/* ref against oneDNN, in float: convolution with its gradients, pooling, batch normalisation. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <dnnl.h>

#include "cases.h"

#define DNNL(call) assert_int_equal(call, dnnl_success)

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static int open_dnnl(void **state)
{
    (void)state;
    DNNL(dnnl_engine_create(&engine, dnnl_cpu, 0));
    DNNL(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    return 0;
}

static int close_dnnl(void **state)
{
    (void)state;
    DNNL(dnnl_stream_destroy(stream));
    DNNL(dnnl_engine_destroy(engine));
    return 0;
}

/* A dense float tensor of oneDNN in the order of our own. */
static dnnl_memory_desc_t float_desc(const sn_operand *operand)
{
    dnnl_memory_desc_t desc;
    dnnl_dims_t dims = {0};
    memcpy(dims, operand->desc.shape, sizeof operand->desc.shape);
    DNNL(dnnl_memory_desc_init_by_tag(&desc, SN_DIMS, dims, dnnl_f32, dnnl_ncdhw));
    return desc;
}

/* The C values of a vector, or of a mean or variance. */
static dnnl_memory_desc_t vector_desc(const sn_operand *operand)
{
    dnnl_memory_desc_t desc;
    dnnl_dims_t dims = {operand->desc.shape[1]};
    DNNL(dnnl_memory_desc_init_by_tag(&desc, 1, dims, dnnl_f32, dnnl_a));
    return desc;
}

static dnnl_memory_t memory_of(const dnnl_memory_desc_t *desc)
{
    dnnl_memory_t memory;
    DNNL(dnnl_memory_create(&memory, desc, engine, DNNL_MEMORY_ALLOCATE));
    return memory;
}

static void write_floats(dnnl_memory_t memory, const double *values, int64_t count)
{
    void *data;
    DNNL(dnnl_memory_get_data_handle(memory, &data));
    for (int64_t i = 0; i < count; i++)
        ((float *)data)[i] = (float)values[i];
}

static dnnl_memory_t operand_memory(const sn_operand *operand, const double *values)
{
    dnnl_memory_desc_t desc = float_desc(operand);
    dnnl_memory_t memory = memory_of(&desc);
    if (values != NULL)
        write_floats(memory, values, sn_tensor_count(&operand->desc));
    return memory;
}

static dnnl_memory_t vector_memory(const sn_operand *operand, const double *values)
{
    dnnl_memory_desc_t desc = vector_desc(operand);
    dnnl_memory_t memory = memory_of(&desc);
    if (values != NULL)
        write_floats(memory, values, operand->desc.shape[1]);
    return memory;
}

static dnnl_primitive_desc_t primitive_desc(const void *op_desc, dnnl_primitive_desc_t hint)
{
    dnnl_primitive_desc_t desc;
    DNNL(dnnl_primitive_desc_create(&desc, op_desc, NULL, engine, hint));
    return desc;
}

static void execute(dnnl_primitive_desc_t desc, int count, const dnnl_exec_arg_t *arguments)
{
    dnnl_primitive_t primitive;
    DNNL(dnnl_primitive_create(&primitive, desc));
    DNNL(dnnl_primitive_execute(primitive, stream, count, arguments));
    DNNL(dnnl_stream_wait(stream));
    DNNL(dnnl_primitive_destroy(primitive));
}

/* Compare what oneDNN computed, less `before`, with an output of ref; frees the memory. */
static void compare(const char *name, dnnl_memory_t memory, const double *expected, const double *before,
                    int64_t count)
{
    void *data;
    DNNL(dnnl_memory_get_data_handle(memory, &data));
    double scale = 1e-30, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        double value = expected[i] - (before == NULL ? 0 : before[i]);
        scale = fmax(scale, fabs(value));
        largest = fmax(largest, fabs(((float *)data)[i] - value));
    }
    if (largest > 1e-5 * scale)
        fail_msg("%s: oneDNN and ref differ by %.2g of %.2g", name, largest, scale);
    DNNL(dnnl_memory_destroy(memory));
}

/* The tensors of a forward convolution, in whatever order a case has them. */
typedef struct convolution {
    dnnl_memory_desc_t x, w, y;
    dnnl_dims_t strides, dilates, pads_left, pads_right;
} convolution;

static convolution describe(const sn_conv3d_params *p, const sn_operand *x, const sn_operand *w,
                            const sn_operand *y)
{
    convolution out = {.x = float_desc(x), .w = float_desc(w), .y = float_desc(y)};
    for (int i = 0; i < 3; i++) {
        int64_t used = (y->desc.shape[2 + i] - 1) * p->stride + (int64_t)p->dilation * (p->kernel - 1) + 1;
        out.strides[i] = p->stride;
        out.dilates[i] = p->dilation - 1; /* oneDNN: 0 is none */
        out.pads_left[i] = p->pad;
        out.pads_right[i] = used - x->desc.shape[2 + i] - p->pad;
    }
    return out;
}

static dnnl_primitive_desc_t forward_desc(const convolution *c)
{
    dnnl_convolution_desc_t desc;
    DNNL(dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_training, dnnl_convolution_direct,
                                                    &c->x, &c->w, NULL, &c->y, c->strides, c->dilates,
                                                    c->pads_left, c->pads_right));
    return primitive_desc(&desc, NULL);
}

/* Run one convolution case in oneDNN; returns the output's memory. */
static dnnl_memory_t convolve(const sn_op *op, const op_values *values)
{
    const sn_operand *in = op->inputs, *out = op->outputs;
    dnnl_memory_t a = operand_memory(&in[0], values->in[0]), b = operand_memory(&in[1], values->in[1]);
    dnnl_memory_t result = operand_memory(&out[0], NULL);
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t forward, backward = NULL;
    if (op->kind == SN_OP_CONV3D) {
        convolution c = describe(&op->params.conv3d, &in[0], &in[1], &out[0]);
        forward = forward_desc(&c);
        execute(forward, 3,
                (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, result}});
    } else if (op->kind == SN_OP_CONV3D_BACKWARD_DATA) {
        convolution c = describe(&op->params.conv3d, &out[0], &in[1], &in[0]);
        forward = forward_desc(&c);
        DNNL(dnnl_dilated_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &c.x, &c.w,
                                                              &c.y, c.strides, c.dilates, c.pads_left,
                                                              c.pads_right));
        backward = primitive_desc(&desc, forward);
        execute(
            backward, 3,
            (dnnl_exec_arg_t[]){{DNNL_ARG_DIFF_DST, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DIFF_SRC, result}});
    } else {
        convolution c = describe(&op->params.conv3d, &in[0], &out[0], &in[1]);
        forward = forward_desc(&c);
        DNNL(dnnl_dilated_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &c.x, &c.w,
                                                                 NULL, &c.y, c.strides, c.dilates,
                                                                 c.pads_left, c.pads_right));
        backward = primitive_desc(&desc, forward);
        execute(
            backward, 3,
            (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, a}, {DNNL_ARG_DIFF_DST, b}, {DNNL_ARG_DIFF_WEIGHTS, result}});
    }
    DNNL(dnnl_primitive_desc_destroy(forward));
    if (backward != NULL)
        DNNL(dnnl_primitive_desc_destroy(backward));
    DNNL(dnnl_memory_destroy(a));
    DNNL(dnnl_memory_destroy(b));
    return result;
}

static op_values run_ref(const op_case *which, op_values *before)
{
    ref_open(NULL);
    op_values values = op_values_make(&which->op);
    *before = op_values_make(&which->op);
    op_case_fill(which, &values);
    op_values_copy(before, &values, &which->op);
    op_run(&ref, &which->op, &values);
    ref_close(NULL);
    return values;
}

static void convolutions_agree_with_onednn(void **state)
{
    (void)state;
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        if (sn_op_multiply_adds(&which.op) == 0)
            continue;
        op_values before, values = run_ref(&which, &before);
        bool updated = sn_op_describe(which.op.kind)->updated_outputs & 1;
        compare(which.name, convolve(&which.op, &values), values.out[0], updated ? before.out[0] : NULL,
                sn_tensor_count(&which.op.outputs[0].desc));
        op_values_clear(&values);
        op_values_clear(&before);
    }
}

static void max_pooling_agrees_with_onednn(void **state)
{
    (void)state;
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        if (which.op.kind != SN_OP_MAXPOOL)
            continue;
        op_values before, values = run_ref(&which, &before);
        const sn_operand *x = &which.op.inputs[0], *y = &which.op.outputs[0];
        dnnl_memory_desc_t src = float_desc(x), dst = float_desc(y);
        dnnl_pooling_desc_t desc;
        DNNL(dnnl_pooling_forward_desc_init(&desc, dnnl_forward_inference, dnnl_pooling_max, &src, &dst,
                                            (dnnl_dims_t){2, 2, 2}, (dnnl_dims_t){2, 2, 2}, (dnnl_dims_t){0},
                                            (dnnl_dims_t){0}));
        dnnl_primitive_desc_t forward = primitive_desc(&desc, NULL);
        dnnl_memory_t a = operand_memory(x, values.in[0]), result = operand_memory(y, NULL);
        execute(forward, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, a}, {DNNL_ARG_DST, result}});
        compare(which.name, result, values.out[0], NULL, sn_tensor_count(&y->desc));
        DNNL(dnnl_memory_destroy(a));
        DNNL(dnnl_primitive_desc_destroy(forward));
        op_values_clear(&values);
        op_values_clear(&before);
    }
}

static const unsigned norm_flags = dnnl_use_scale | dnnl_use_shift;

static dnnl_primitive_desc_t norm_forward_desc(const sn_op *op, dnnl_prop_kind_t kind)
{
    dnnl_memory_desc_t x = float_desc(&op->inputs[0]);
    dnnl_batch_normalization_desc_t desc;
    DNNL(dnnl_batch_normalization_forward_desc_init(&desc, kind, &x, (float)op->params.batchnorm.epsilon,
                                                    norm_flags));
    return primitive_desc(&desc, NULL);
}

static void cut_below_zero(dnnl_memory_t memory, int64_t count)
{
    void *data;
    DNNL(dnnl_memory_get_data_handle(memory, &data));
    for (int64_t i = 0; i < count; i++)
        ((float *)data)[i] = fmaxf(((float *)data)[i], 0);
}

static void compare_norm_forward(const op_case *which)
{
    const sn_op *op = &which->op;
    const sn_operand *in = op->inputs, *out = op->outputs;
    op_values before, values = run_ref(which, &before);
    dnnl_primitive_desc_t forward = norm_forward_desc(op, dnnl_forward_training);
    dnnl_memory_t x = operand_memory(&in[0], values.in[0]), y = operand_memory(&out[0], NULL);
    dnnl_memory_t gamma = vector_memory(&in[1], values.in[1]), beta = vector_memory(&in[2], values.in[2]);
    dnnl_memory_t mean = vector_memory(&out[1], NULL), variance = vector_memory(&out[2], NULL);
    execute(forward, 6,
            (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, x},
                                {DNNL_ARG_SCALE, gamma},
                                {DNNL_ARG_SHIFT, beta},
                                {DNNL_ARG_MEAN, mean},
                                {DNNL_ARG_VARIANCE, variance},
                                {DNNL_ARG_DST, y}});
    if (op->params.batchnorm.relu)
        cut_below_zero(y, sn_tensor_count(&out[0].desc));
    compare(which->name, y, values.out[0], NULL, sn_tensor_count(&out[0].desc));
    compare(which->name, mean, values.out[1], NULL, out[1].desc.shape[1]);
    compare(which->name, variance, values.out[2], NULL, out[2].desc.shape[1]);
    dnnl_memory_t used[] = {x, gamma, beta};
    for (int i = 0; i < 3; i++)
        DNNL(dnnl_memory_destroy(used[i]));
    DNNL(dnnl_primitive_desc_destroy(forward));
    op_values_clear(&values);
    op_values_clear(&before);
}

static void compare_norm_backward(const op_case *which)
{
    const sn_op *op = &which->op;
    const sn_operand *in = op->inputs, *out = op->outputs;
    op_values before, values = run_ref(which, &before);
    dnnl_memory_desc_t data = float_desc(&in[0]);
    dnnl_batch_normalization_desc_t desc;
    dnnl_primitive_desc_t forward = norm_forward_desc(op, dnnl_forward_training);
    DNNL(dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, &data, &data,
                                                     (float)op->params.batchnorm.epsilon, norm_flags));
    dnnl_primitive_desc_t backward = primitive_desc(&desc, forward);
    dnnl_memory_t x = operand_memory(&in[0], values.in[0]), dy = operand_memory(&in[5], values.in[5]);
    dnnl_memory_t gamma = vector_memory(&in[1], values.in[1]), beta = vector_memory(&in[2], values.in[2]);
    dnnl_memory_t mean = vector_memory(&in[3], values.in[3]), variance = vector_memory(&in[4], values.in[4]);
    dnnl_memory_t dx = operand_memory(&out[0], NULL);
    dnnl_memory_t dgamma = vector_memory(&out[1], NULL), dbeta = vector_memory(&out[2], NULL);
    execute(backward, 9,
            (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, x},
                                {DNNL_ARG_MEAN, mean},
                                {DNNL_ARG_VARIANCE, variance},
                                {DNNL_ARG_DIFF_DST, dy},
                                {DNNL_ARG_SCALE, gamma},
                                {DNNL_ARG_SHIFT, beta},
                                {DNNL_ARG_DIFF_SRC, dx},
                                {DNNL_ARG_DIFF_SCALE, dgamma},
                                {DNNL_ARG_DIFF_SHIFT, dbeta}});
    compare(which->name, dx, values.out[0], NULL, sn_tensor_count(&out[0].desc));
    compare(which->name, dgamma, values.out[1], before.out[1], out[1].desc.shape[1]);
    compare(which->name, dbeta, values.out[2], before.out[2], out[2].desc.shape[1]);
    dnnl_memory_t used[] = {x, dy, gamma, beta, mean, variance};
    for (int i = 0; i < 6; i++)
        DNNL(dnnl_memory_destroy(used[i]));
    DNNL(dnnl_primitive_desc_destroy(backward));
    DNNL(dnnl_primitive_desc_destroy(forward));
    op_values_clear(&values);
    op_values_clear(&before);
}

/* oneDNN's statistics are over the batch: the same as ours for one image. Its ReLU is not used backward. */
static void batch_normalisation_of_one_image_agrees_with_onednn(void **state)
{
    (void)state;
    int compared = 0;
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        const sn_tensor_desc *x = &which.op.inputs[0].desc;
        if (x->shape[0] != 1 || sn_tensor_voxels(x) == 1)
            continue;
        if (which.op.kind == SN_OP_BATCHNORM) {
            compare_norm_forward(&which);
            compared++;
        } else if (which.op.kind == SN_OP_BATCHNORM_BACKWARD) {
            which.op.params.batchnorm.relu = false;
            compare_norm_backward(&which);
            compared++;
        }
    }
    assert_true(compared >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_agree_with_onednn),
        cmocka_unit_test(max_pooling_agrees_with_onednn),
        cmocka_unit_test(batch_normalisation_of_one_image_agrees_with_onednn),
    };
    return cmocka_run_group_tests_name("ref_dnnl", tests, open_dnnl, close_dnnl);
}
