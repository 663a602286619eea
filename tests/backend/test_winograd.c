/* Which convolutions are computed by Winograd's algorithm, and how they are cut. */
#include "cmocka_all.h"

#include <limits.h>
#include <math.h>

#include "backend/cpu/conv_plan.h"
#include "cases.h"

static const sn_op_kind kinds[3] = {SN_OP_CONV3D, SN_OP_CONV3D_BACKWARD_DATA, SN_OP_CONV3D_BACKWARD_WEIGHTS};

static sn_op convolution(sn_op_kind kind, int64_t in, int64_t out, const int64_t extent[3], int kernel,
                         int dilation)
{
    sn_tensor_desc x = {SN_F32, {1, in, extent[0], extent[1], extent[2]}}, y = x;
    sn_tensor_desc w = {SN_F32, {out, in, kernel, kernel, kernel}};
    y.shape[1] = out;
    sn_op op = {.kind = kind, .input_count = 2, .output_count = 1};
    op.params.conv3d = (sn_conv3d_params){kernel, dilation, 1, dilation * (kernel - 1) / 2};
    op.inputs[0].desc = kind == SN_OP_CONV3D_BACKWARD_DATA ? y : x;
    op.inputs[1].desc = kind == SN_OP_CONV3D_BACKWARD_WEIGHTS ? y : w;
    op.outputs[0].desc = kind == SN_OP_CONV3D ? y : kind == SN_OP_CONV3D_BACKWARD_DATA ? x : w;
    return op;
}

static sn_conv_plan *plan_of(const sn_op *op)
{
    sn_conv_plan *plan;
    assert_int_equal(sn_conv_plan_make(&plan, op, 16, NULL), SN_OK);
    return plan;
}

static bool is_winograd(const sn_op *op)
{
    sn_conv_plan *plan = plan_of(op);
    bool is = plan->way == SN_CONV_WINOGRAD;
    sn_conv_plan_free(plan);
    return is;
}

static bool chosen(sn_op_kind kind, int64_t in, int64_t out, int64_t side, int kernel, int dilation)
{
    const int64_t extent[3] = {side, side, side};
    sn_op op = convolution(kind, in, out, extent, kernel, dilation);
    return is_winograd(&op);
}

static void large_extents_are_computed_by_winograd(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++)
        for (int64_t channels = 8; channels <= 64; channels += 7)
            for (int64_t side = 16; side <= 64; side += 11)
                for (int kernel = 3; kernel <= 5; kernel += 2) {
                    assert_true(chosen(kinds[k], channels, channels, side, kernel, 1));
                    assert_true(chosen(kinds[k], channels, channels, 2 * side, kernel, 2));
                }
}

static void other_kernels_and_tiny_extents_are_not(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        assert_false(chosen(kinds[k], 16, 16, 32, 7, 1));
        assert_false(chosen(kinds[k], 16, 16, 32, 1, 1));
        assert_false(chosen(kinds[k], 16, 16, 32, 3, 3));
        assert_false(chosen(kinds[k], 64, 64, 8, 5, 2));
        assert_false(chosen(kinds[k], 512, 512, 4, 3, 1));
        assert_false(chosen(kinds[k], 16, 16, 1, 3, 1));
    }
}

static void units_cover_the_output(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++)
        for (int64_t side = 5; side <= 70; side += 13) {
            const int64_t extent[3] = {side + 2, side + 1, side};
            for (int dilation = 1; dilation <= 2; dilation++) {
                sn_op op = convolution(kinds[k], 21, 42, extent, side % 2 == 0 ? 3 : 5, dilation);
                sn_winograd_plan plan;
                assert_true(sn_winograd_plan_make(&plan, &op, HUGE_VAL));
                assert_true(dilation * plan.units_z * plan.unit_z >= extent[0]);
                assert_true(dilation * plan.units_y * plan.unit_y * plan.tile >= extent[1]);
                assert_true(plan.tiles_x * plan.tile >= extent[2]);
            }
        }
}

/* The conformance tests say something about Winograd's algorithm only then. */
static void the_table_of_cases_has_some_for_each_pass(void **state)
{
    (void)state;
    int count[SN_OP_KINDS] = {0};
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        if (sn_op_multiply_adds(&which.op) > 0 && is_winograd(&which.op))
            count[which.op.kind]++;
    }
    for (int k = 0; k < 3; k++)
        assert_in_range(count[kinds[k]], 5, INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_extents_are_computed_by_winograd),
        cmocka_unit_test(other_kernels_and_tiny_extents_are_not),
        cmocka_unit_test(units_cover_the_output),
        cmocka_unit_test(the_table_of_cases_has_some_for_each_pass),
    };
    return cmocka_run_group_tests_name("winograd", tests, NULL, NULL);
}
