/* Convolutions backward where kernel and stride are 2: which they are, how they are cut, and that they are right. */
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
    const sampled_shape shape = {1, 16, out, {side, side, side}, kernel, 1, stride};
    sn_conv_plan *plan = plan_of(kind, &shape);
    bool is = plan->way == SN_CONV_STRIDED;
    sn_conv_plan_free(plan);
    return is;
}

static void they_have_many_voxels(void **state)
{
    (void)state;
    assert_false(is_strided(SN_OP_CONV3D, 32, 64, 2, 2));
    for (int k = 1; k < 3; k++) {
        assert_true(is_strided(convolution_kinds[k], 32, 64, 2, 2));
        assert_true(is_strided(convolution_kinds[k], 8, 37, 2, 2));
        assert_false(is_strided(convolution_kinds[k], 32, 8, 2, 2)); /* few voxels: deep */
        assert_false(is_strided(convolution_kinds[k], 32, 64, 2, 1));
        assert_false(is_strided(convolution_kinds[k], 32, 64, 3, 2));
    }
    assert_true(is_strided(SN_OP_CONV3D_BACKWARD_DATA, 7, 37, 2, 2));
    assert_true(is_strided(SN_OP_CONV3D_BACKWARD_WEIGHTS, 32, 32, 2, 2));
    assert_false(is_strided(SN_OP_CONV3D_BACKWARD_WEIGHTS, 32, 24, 2, 2));
    assert_false(is_strided(SN_OP_CONV3D_BACKWARD_WEIGHTS, 7, 37, 2, 2)); /* less than half of the lanes */
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
        {1, 5, 17, {6, 50, 8}, 2, 1, 2},    /* rows of less than a vector */
        {2, 11, 8, {4, 6, 226}, 2, 1, 2},   /* several chunks of a row */
        {1, 21, 13, {5, 6, 160}, 2, 1, 2},
    };
    const int count = (int)(sizeof cases / sizeof *cases);
    for (int c = 0; c < count; c++)
        for (int k = 1; k < 3; k++) {
            sn_conv_plan *plan = plan_of(convolution_kinds[k], &cases[c]);
            assert_int_equal(plan->way, SN_CONV_STRIDED);
            sn_conv_plan_free(plan);
        }
    check_samples_everywhere(cases, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_have_many_voxels),
        cmocka_unit_test(slabs_are_some_rows),
        cmocka_unit_test(sums_are_those_of_products),
    };
    return cmocka_run_group_tests_name("strided", tests, NULL, NULL);
}
