/* The facts and checks that all backends share. */
#include "cmocka_all.h"

#include <string.h>

#include "backend/backend.h"
#include "cases.h"

static void every_case_is_legal(void **state)
{
    (void)state;
    for (int index = 0; index < op_case_count(); index++)
        for (int real = SN_F64; real <= SN_F32; real++) {
            op_case which = op_case_get(index, (sn_dtype)real);
            sn_error error = SN_ERROR_INIT;
            if (sn_op_check(&which.op, &error) != SN_OK)
                fail_msg("%s: %s", which.name, error.text);
        }
}

static void every_kind_has_a_name_and_a_case(void **state)
{
    (void)state;
    int cases[SN_OP_KINDS] = {0};
    for (int index = 0; index < op_case_count(); index++)
        cases[op_case_get(index, SN_F32).op.kind]++;
    for (int kind = 0; kind < SN_OP_KINDS; kind++) {
        assert_non_null(sn_op_describe((sn_op_kind)kind)->name);
        assert_true(cases[kind] > 0);
    }
}

static void assert_refused(const op_case *which, const sn_op *op, const char *change, int operand)
{
    sn_error error = SN_ERROR_INIT;
    if (sn_op_check(op, &error) != SN_ERR_ARG)
        fail_msg("%s: %s of operand %d is not refused", which->name, change, operand);
    const char *name = sn_op_describe(op->kind)->name;
    assert_memory_equal(error.text, name, strlen(name));
}

static sn_dtype another_type(const sn_operand *operand)
{
    return operand->desc.dtype == SN_U8 ? SN_F32 : SN_U8;
}

static void a_wrong_type_of_any_operand_is_refused(void **state)
{
    (void)state;
    for (int index = 0; index < 2 * op_case_count(); index++) {
        op_case which = op_case_get(index / 2, index % 2 == 0 ? SN_F32 : SN_BF16);
        for (int i = 0; i < which.op.input_count; i++) {
            sn_op op = which.op;
            op.inputs[i].desc.dtype = another_type(&op.inputs[i]);
            assert_refused(&which, &op, "type", i);
        }
        for (int o = 0; o < which.op.output_count; o++) {
            sn_op op = which.op;
            op.outputs[o].desc.dtype = another_type(&op.outputs[o]);
            assert_refused(&which, &op, "type", o);
        }
    }
}

/* What belongs to a channel is float32 beside it, and some operations are without it. */
static void bf16_is_refused_where_it_has_no_meaning(void **state)
{
    (void)state;
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_BF16);
        const bool without = which.op.kind == SN_OP_NADAM || which.op.kind == SN_OP_AFFINE_WARP ||
                             which.op.kind == SN_OP_BATCHNORM_RUNNING || which.op.kind == SN_OP_AVERAGE;
        for (int i = without ? 0 : 1; i < which.op.input_count; i++) {
            sn_op op = which.op;
            if (op.inputs[i].desc.dtype != SN_F32)
                continue;
            op.inputs[i].desc.dtype = SN_BF16;
            assert_refused(&which, &op, "bf16", i);
        }
        for (int o = 0; o < which.op.output_count; o++) {
            sn_op op = which.op;
            if (op.outputs[o].desc.dtype != SN_F32)
                continue;
            op.outputs[o].desc.dtype = SN_BF16;
            assert_refused(&which, &op, "bf16", o);
        }
    }
}

/* A window may have any output; a strided convolution gives one output for several inputs. */
static bool output_is_free(const sn_op *op)
{
    return op->kind == SN_OP_WINDOW ||
           (op->kind == SN_OP_CONV3D_BACKWARD_DATA && op->params.conv3d.stride > 1);
}

static void a_wrong_extent_of_any_output_is_refused(void **state)
{
    (void)state;
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        for (int o = 0; o < which.op.output_count && !output_is_free(&which.op); o++)
            for (int axis = 0; axis < SN_DIMS; axis++) {
                sn_op op = which.op;
                op.outputs[o].desc.shape[axis]++;
                assert_refused(&which, &op, "extent", o);
            }
    }
}

static void a_wrong_number_of_operands_is_refused(void **state)
{
    (void)state;
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        sn_op op = which.op;
        op.input_count = sn_op_describe(op.kind)->min_inputs - 1;
        assert_refused(&which, &op, "count", 0);
        op = which.op;
        op.output_count--;
        assert_refused(&which, &op, "count", 0);
    }
}

static sn_op convolution(int64_t in_channels, int64_t weight_channels, int64_t extent)
{
    return (sn_op){
        .kind = SN_OP_CONV3D,
        .params.conv3d = {.kernel = 3, .dilation = 2, .stride = 1, .pad = 2},
        .input_count = 2,
        .output_count = 1,
        .inputs = {operand_of(SN_F32, 1, in_channels, 5, 6, 7),
                   operand_of(SN_F32, 4, weight_channels, 3, 3, 3)},
        .outputs = {operand_of(SN_F32, 1, 4, 5, 6, extent)},
    };
}

static void assert_text(const sn_op *op, const char *text)
{
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_op_check(op, &error), SN_ERR_ARG);
    assert_string_equal(error.text, text);
}

static void errors_name_the_operation_and_the_facts(void **state)
{
    (void)state;
    sn_op op = convolution(8, 16, 7);
    assert_text(&op, "conv3d: weights expect 16 channels, input has 8");
    op = convolution(8, 8, 6);
    assert_text(&op, "conv3d: y is f32 (1,4,5,6,6), expected f32 (1,4,5,6,7)");
    op = convolution(8, 8, 7);
    op.params.conv3d.pad = 0;
    op.inputs[0].desc.shape[2] = 4;
    assert_text(&op, "conv3d: D = 4 is too small for kernel 3, dilation 2, pad 0");
    op.params.conv3d.stride = 0;
    assert_text(&op, "conv3d: stride is 0, must be at least 1");
    op.input_count = 1;
    assert_text(&op, "conv3d: has 1 inputs, takes 2 to 2");
    op = convolution(8, 8, 7);
    op.outputs[0].desc.shape[4] = INT64_MAX;
    assert_text(&op,
                "conv3d: output 0 is f32 (1,4,5,6,9223372036854775807): each extent is at least 1, and all "
                "fit memory");
}

static void multiply_adds_are_weights_times_output_voxels(void **state)
{
    (void)state;
    sn_op op = convolution(8, 8, 7);
    assert_int_equal(sn_op_multiply_adds(&op), 4 * 8 * 27 * 5 * 6 * 7);
    op.kind = SN_OP_SUM;
    assert_int_equal(sn_op_multiply_adds(&op), 0);
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        if (which.op.kind != SN_OP_CONV3D)
            continue;
        op_case data = op_case_get(index + 1, SN_F32), weights = op_case_get(index + 2, SN_F32);
        assert_int_equal(data.op.kind, SN_OP_CONV3D_BACKWARD_DATA);
        assert_int_equal(sn_op_multiply_adds(&which.op), sn_op_multiply_adds(&data.op));
        assert_int_equal(sn_op_multiply_adds(&which.op), sn_op_multiply_adds(&weights.op));
    }
}

/* Channels last and filled up, in bf16: 3 take the room of 8, and those of two inputs do not lie together. */
static void channels_in_bf16_are_filled_up(void **state)
{
    (void)state;
    size_t place;
    const sn_tensor_desc desc = {SN_BF16, {2, 3, 4, 5, 6}};
    assert_int_equal(sn_tensor_stored_channels(&desc), 8);
    assert_int_equal(sn_tensor_bytes(&desc), 2 * 8 * 120 * 2);
    assert_int_equal(sn_tensor_count(&desc), 2 * 3 * 120);
    sn_op concat = {.kind = SN_OP_CONCAT, .input_count = 2, .output_count = 1};
    concat.inputs[0] = concat.inputs[1] = operand_of(SN_BF16, 1, 16, 4, 4, 4);
    concat.outputs[0] = operand_of(SN_BF16, 1, 32, 4, 4, 4);
    assert_int_equal(sn_op_check(&concat, NULL), SN_OK);
    assert_false(sn_op_concat_place(&place, &concat, 1));
    sn_op window = {.kind = SN_OP_WINDOW, .input_count = 1, .output_count = 1};
    window.inputs[0] = concat.outputs[0];
    window.outputs[0] = concat.inputs[0];
    assert_int_equal(sn_op_check(&window, NULL), SN_OK);
    assert_false(sn_op_window_place(&place, &window));
    concat.inputs[0].desc.dtype = concat.inputs[1].desc.dtype = concat.outputs[0].desc.dtype = SN_F32;
    assert_true(sn_op_concat_place(&place, &concat, 1));
}

static void dropout_drops_its_rate_and_keeps_the_mean(void **state)
{
    (void)state;
    enum { CHANNELS = 20000 };
    const uint8_t key[16] = {1, 2, 3};
    int dropped = 0;
    for (int channel = 0; channel < CHANNELS; channel++) {
        double scale = sn_op_dropout_scale(key, 5, channel, 0.25);
        assert_true(scale == 0 || scale == 1 / 0.75);
        dropped += scale == 0;
    }
    /* five standard deviations of a binomial count */
    assert_in_range(dropped, 5000 - 5 * 62, 5000 + 5 * 62);
}

/* How many of 1000 channels two dropouts of rate 1/2 treat alike. */
static int alike(const uint8_t a[16], uint32_t stream_a, const uint8_t b[16], uint32_t stream_b)
{
    int count = 0;
    for (int channel = 0; channel < 1000; channel++)
        count +=
            sn_op_dropout_scale(a, stream_a, channel, 0.5) == sn_op_dropout_scale(b, stream_b, channel, 0.5);
    return count;
}

static void dropout_depends_on_all_of_key_and_stream(void **state)
{
    (void)state;
    uint8_t key[16] = {0};
    assert_int_equal(alike(key, 1, key, 1), 1000);
    assert_in_range(alike(key, 1, key, 2), 420, 580);
    for (int i = 0; i < 16; i++) {
        uint8_t other[16] = {0};
        other[i] = 1;
        assert_in_range(alike(key, 1, other, 1), 420, 580);
    }
}

static void backends_are_found_by_name(void **state)
{
    (void)state;
    const sn_backend *backend;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_backend_find(&backend, "cpu", &error), SN_OK);
    assert_ptr_equal(backend, &sn_backend_cpu);
    assert_int_equal(sn_backend_find(&backend, "ref", &error), SN_OK);
    assert_ptr_equal(backend, &sn_backend_ref);
    assert_int_equal(sn_backend_find(&backend, "checked:ref", &error), SN_OK);
    assert_ptr_equal(backend, sn_backend_checked(&sn_backend_ref));
    assert_int_equal(sn_backend_find(&backend, "gpu", &error), SN_ERR_ARG);
    assert_null(backend);
    assert_string_equal(error.text, "device 'gpu' does not exist; use cpu, ref, checked:cpu or checked:ref");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_legal),
        cmocka_unit_test(every_kind_has_a_name_and_a_case),
        cmocka_unit_test(a_wrong_type_of_any_operand_is_refused),
        cmocka_unit_test(bf16_is_refused_where_it_has_no_meaning),
        cmocka_unit_test(a_wrong_extent_of_any_output_is_refused),
        cmocka_unit_test(a_wrong_number_of_operands_is_refused),
        cmocka_unit_test(errors_name_the_operation_and_the_facts),
        cmocka_unit_test(multiply_adds_are_weights_times_output_voxels),
        cmocka_unit_test(channels_in_bf16_are_filled_up),
        cmocka_unit_test(dropout_drops_its_rate_and_keeps_the_mean),
        cmocka_unit_test(dropout_depends_on_all_of_key_and_stream),
        cmocka_unit_test(backends_are_found_by_name),
    };
    return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
