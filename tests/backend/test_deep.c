/* Convolutions of few voxels and many channels: which they are, and that they are right. */
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

static void taps_join_the_voxels_that_they_meet(void **state)
{
    (void)state;
    /* 3^3 at 2^3 voxels: of each voxel, all 8 are met, each by a tap of its own. At 1^3 one tap is left. */
    static const sampled_shape shape = {1, 64, 64, {2, 2, 2}, 3, 1, 1},
                               single = {1, 64, 64, {1, 1, 1}, 3, 1, 1};
    for (int k = 0; k < 3; k++) {
        sn_conv_plan *plan = plan_of(convolution_kinds[k], &shape);
        assert_int_equal(plan->way, SN_CONV_DEEP);
        assert_int_equal(plan->deep->slabs[0].tap_count, 27);
        int64_t pairs = 0;
        for (int t = 0; t < 27; t++)
            pairs += plan->deep->slabs[0].taps[t].count;
        assert_int_equal(pairs, 64);
        sn_conv_plan_free(plan);
        plan = plan_of(convolution_kinds[k], &single);
        assert_int_equal(plan->deep->slabs[0].tap_count, 1);
        assert_int_equal(plan->deep->slabs[0].taps[0].weight, 13);
        sn_conv_plan_free(plan);
    }
}

static void backward_data_of_few_voxels_uses_weights_in_order(void **state)
{
    (void)state;
    static const struct {
        sampled_shape shape;
        bool in_order;
    } cases[] = {
        {{1, 512, 512, {2, 2, 2}, 3, 1, 1}, true}, /* 2.4 pairs a tap */
        {{1, 128, 128, {4, 4, 4}, 3, 1, 1}, false},
        {{1, 128, 256, {4, 4, 4}, 1, 1, 1}, false}, /* a sum over lanes for each product */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sn_conv_plan *plan = plan_of(SN_OP_CONV3D_BACKWARD_DATA, &cases[c].shape);
        assert_int_equal(plan->way, SN_CONV_DEEP);
        assert_int_equal(plan->deep->in_order, cases[c].in_order);
        sn_conv_plan_free(plan);
        plan = plan_of(SN_OP_CONV3D, &cases[c].shape);
        assert_false(plan->deep->in_order);
        sn_conv_plan_free(plan);
    }
}

static void deep_convolutions_are_sums_of_products(void **state)
{
    (void)state;
    static const sampled_shape cases[] = {
        {1, 100, 130, {4, 4, 4}, 3, 1, 1}, /* several chunks and blocks, the last ones not whole */
        {2, 64, 17, {3, 5, 4}, 3, 1, 1},   /* several images */
        {1, 33, 70, {1, 1, 1}, 3, 1, 1},   /* one tap meets something */
        {3, 16, 300, {1, 2, 3}, 5, 1, 1},
        {1, 5, 210, {2, 2, 2}, 3, 2, 1},
        {1, 40, 48, {12, 11, 10}, 7, 1, 1}, /* several slabs of voxels */
        {2, 64, 96, {16, 12, 10}, 2, 1, 2}, /* of a stride */
        {1, 128, 64, {4, 4, 4}, 1, 1, 1},
        {2, 7, 530, {4, 3, 5}, 3, 1, 1}, /* backward data with weights in order, of several images, */
        {1, 1, 700, {2, 4, 3}, 3, 2, 1}, /* and of one channel */
    };
    const int count = (int)(sizeof cases / sizeof *cases);
    for (int c = 0; c < count; c++)
        for (int k = 0; k < 3; k++) {
            sn_conv_plan *plan = plan_of(convolution_kinds[k], &cases[c]);
            assert_int_equal(plan->way, SN_CONV_DEEP);
            sn_conv_plan_free(plan);
        }
    check_samples_everywhere(cases, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taps_join_the_voxels_that_they_meet),
        cmocka_unit_test(backward_data_of_few_voxels_uses_weights_in_order),
        cmocka_unit_test(deep_convolutions_are_sums_of_products),
    };
    return cmocka_run_group_tests_name("deep", tests, NULL, NULL);
}
