/* Backward weights where kernel and stride are 2: where lanes are channels, how it is cut, and that it is right. */
#include "cmocka_all.h"

#include "backend/cpu/conv_plan.h"
#include "samples.h"

static sn_conv_plan *plan_of(sn_op_kind kind, const sampled_shape *shape)
{
    sn_conv_plan *plan;
    sn_op op = convolution_of(kind, shape);
    assert_int_equal(sn_conv_plan_make(&plan, &op, 16, NULL), SN_OK);
    return plan;
}

static bool is_strided(sn_op_kind kind, int64_t out, int64_t side, int kernel, int stride)
{
    const sampled_shape shape = {1, 3, out, {side, side, side}, kernel, 1, stride};
    sn_conv_plan *plan = plan_of(kind, &shape);
    bool is = plan->way == SN_CONV_STRIDED;
    sn_conv_plan_free(plan);
    return is;
}

static void many_voxels_and_half_of_the_lanes_are_wanted(void **state)
{
    (void)state;
    const sn_op_kind kind = SN_OP_CONV3D_BACKWARD_WEIGHTS;
    assert_true(is_strided(kind, 32, 64, 2, 2));
    assert_true(is_strided(kind, 8, 37, 2, 2));
    assert_false(is_strided(kind, 7, 37, 2, 2));
    assert_false(is_strided(kind, 32, 16, 2, 2)); /* few voxels: deep */
    assert_false(is_strided(kind, 32, 64, 2, 1));
    assert_false(is_strided(kind, 32, 64, 3, 2));
    assert_false(is_strided(SN_OP_CONV3D, 32, 64, 2, 2));
    assert_false(is_strided(SN_OP_CONV3D_BACKWARD_DATA, 32, 64, 2, 2));
}

static void slabs_are_some_rows(void **state)
{
    (void)state;
    static const struct {
        sampled_shape shape;
        int64_t slabs, partials;
    } cases[] = {
        {{1, 3, 10, {4, 6, 32}, 2, 1, 2}, 1, 1},      {{1, 16, 32, {64, 64, 64}, 2, 1, 2}, 32, 8},
        {{3, 16, 32, {64, 64, 64}, 2, 1, 2}, 32, 24}, {{2, 16, 32, {128, 96, 128}, 2, 1, 2}, 192, 32},
        {{1, 2, 10, {4, 5, 9000}, 2, 1, 2}, 4, 4},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sn_conv_plan *plan = plan_of(SN_OP_CONV3D_BACKWARD_WEIGHTS, &cases[c].shape);
        assert_int_equal(plan->way, SN_CONV_STRIDED);
        assert_int_equal(plan->strided.slabs, cases[c].slabs);
        assert_int_equal(plan->strided.partials, cases[c].partials);
        sn_conv_plan_free(plan);
    }
}

static void sums_are_those_of_products(void **state)
{
    (void)state;
    static const sampled_shape cases[] = {
        {1,
         3,
         33,
         {70, 66, 62},
         2,
         1,
         2}, /* several slabs of a partial sum, the last lanes without a channel */
        {4, 2, 9, {33, 35, 41}, 2, 1, 2},   /* several images; voxels of x that no tap meets */
        {1, 1, 100, {37, 29, 43}, 2, 1, 2}, /* several blocks of output channels */
        {1, 21, 13, {3, 5, 160}, 2, 1, 2},
    };
    const int count = (int)(sizeof cases / sizeof *cases);
    for (int c = 0; c < count; c++) {
        sn_conv_plan *plan = plan_of(SN_OP_CONV3D_BACKWARD_WEIGHTS, &cases[c]);
        assert_int_equal(plan->way, SN_CONV_STRIDED);
        sn_conv_plan_free(plan);
    }
    check_samples_everywhere(cases, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_voxels_and_half_of_the_lanes_are_wanted),
        cmocka_unit_test(slabs_are_some_rows),
        cmocka_unit_test(sums_are_those_of_products),
    };
    return cmocka_run_group_tests_name("strided", tests, NULL, NULL);
}
