/* Which convolutions are computed by Winograd's algorithm, and how they are cut. */
#include "cmocka_all.h"

#include <limits.h>
#include <math.h>

#include "backend/cpu/conv_plan.h"
#include "cases.h"
#include "samples.h"

static sn_op convolution(sn_op_kind kind, int64_t in, int64_t out, const int64_t extent[3], int kernel,
                         int dilation)
{
    sampled_shape shape = {1, in, out, {extent[0], extent[1], extent[2]}, kernel, dilation, 1};
    return convolution_of(kind, &shape);
}

static sn_conv_plan *plan_of(const sn_op *op)
{
    sn_conv_plan *plan;
    assert_int_equal(sn_conv_plan_make(&plan, op, 16, NULL), SN_OK);
    return plan;
}

static bool is_winograd(const sn_op *op, bool *deep)
{
    sn_conv_plan *plan = plan_of(op);
    bool is = plan->way == SN_CONV_WINOGRAD;
    *deep = is && plan->winograd.deep;
    sn_conv_plan_free(plan);
    return is;
}

static bool chosen(sn_op_kind kind, int64_t in, int64_t out, int64_t side, int kernel, int dilation)
{
    const int64_t extent[3] = {side, side, side};
    sn_op op = convolution(kind, in, out, extent, kernel, dilation);
    bool deep;
    return is_winograd(&op, &deep);
}

static void large_extents_are_computed_by_winograd(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++)
        for (int64_t channels = 8; channels <= 64; channels += 7)
            for (int64_t side = 16; side <= 64; side += 11)
                for (int kernel = 3; kernel <= 5; kernel += 2) {
                    assert_true(chosen(convolution_kinds[k], channels, channels, side, kernel, 1));
                    assert_true(chosen(convolution_kinds[k], channels, channels, 2 * side, kernel, 2));
                }
}

static void other_kernels_and_tiny_extents_are_not(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        assert_false(chosen(convolution_kinds[k], 16, 16, 32, 7, 1));
        assert_false(chosen(convolution_kinds[k], 16, 16, 32, 1, 1));
        assert_false(chosen(convolution_kinds[k], 16, 16, 32, 3, 3));
        assert_false(chosen(convolution_kinds[k], 64, 64, 4, 5, 2));
        assert_false(chosen(convolution_kinds[k], 512, 512, 4, 3, 1));
        assert_false(chosen(convolution_kinds[k], 16, 16, 1, 3, 1));
    }
}

static void units_cover_the_output(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++)
        for (int64_t side = 5; side <= 70; side += 13) {
            const int64_t extent[3] = {side + 2, side + 1, side};
            for (int dilation = 1; dilation <= 2; dilation++) {
                sn_op op = convolution(convolution_kinds[k], 21, 42, extent, side % 2 == 0 ? 3 : 5, dilation);
                sn_winograd_plan plan;
                assert_true(sn_winograd_plan_make(&plan, &op, HUGE_VAL));
                assert_true(dilation * plan.units_z * plan.unit_z * plan.tile >= extent[0]);
                assert_true(dilation * plan.units_y * plan.unit_y * plan.tile >= extent[1]);
                assert_true(plan.tiles_x * plan.tile >= extent[2]);
            }
        }
}

/* Many channels: lanes are channels. Large grids of few channels, or so many channels that their weights are all of the
 * work: not. */
static void lanes_are_channels_where_there_are_many(void **state)
{
    (void)state;
    static const struct {
        int64_t channels, side;
        int kernel, dilation;
        bool deep;
    } cases[] = {{128, 8, 3, 1, true},  {84, 12, 3, 1, true},  {64, 16, 3, 2, true},  {128, 8, 5, 1, true},
                 {64, 24, 3, 1, true},  {48, 20, 5, 1, true},  {21, 64, 3, 1, false}, {64, 64, 3, 1, false},
                 {512, 4, 3, 1, false}, {16, 64, 5, 1, false}, {8, 48, 3, 1, false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int k = 0; k < 3; k++) {
            const int64_t n = cases[c].channels, extent[3] = {cases[c].side, cases[c].side, cases[c].side};
            sn_op op = convolution(convolution_kinds[k], n, n, extent, cases[c].kernel, cases[c].dilation);
            bool deep;
            is_winograd(&op, &deep);
            assert_int_equal(deep, cases[c].deep);
        }
}

/* Even ones, at least for two threads; for many where weights are little of the work. */
static void threads_have_slabs_of_their_own(void **state)
{
    (void)state;
    static const struct {
        int64_t channels, side, fewest;
    } cases[] = {{16, 64, 14}, {16, 60, 14}, {16, 56, 14}, {32, 32, 4},
                 {42, 32, 8},  {64, 24, 2},  {32, 16, 2}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int k = 0; k < 3; k++) {
            const int64_t n = cases[c].channels, extent[3] = {cases[c].side, cases[c].side, cases[c].side};
            sn_op op = convolution(convolution_kinds[k], n, n, extent, 3, 1);
            sn_conv_plan *plan = plan_of(&op);
            assert_true(plan->winograd.deep && sn_winograd_apart(&plan->winograd, 2));
            assert_true(sn_winograd_slabs(&plan->winograd) >= cases[c].fewest);
            assert_true(cases[c].side != 56 || sn_winograd_apart(&plan->winograd, 7));
            assert_false(sn_winograd_apart(&plan->winograd, 1));
            sn_conv_plan_free(plan);
        }
}

/* The conformance tests say something about Winograd's algorithm only then. */
static void the_table_of_cases_has_some_for_each_pass(void **state)
{
    (void)state;
    int count[SN_OP_KINDS][2] = {{0}};
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        bool deep;
        if (sn_op_multiply_adds(&which.op) > 0 && is_winograd(&which.op, &deep))
            count[which.op.kind][deep]++;
    }
    for (int k = 0; k < 3; k++)
        for (int deep = 0; deep < 2; deep++)
            assert_in_range(count[convolution_kinds[k]][deep], 3, INT_MAX);
}

static void large_convolutions_are_sums_of_products(void **state)
{
    (void)state;
    static const sampled_shape cases[] = {
        {1, 140, 60, {5, 45, 45}, 3, 1, 1}, /* weights of several rounds, several groups of outputs */
        {1, 9, 13, {29, 30, 31}, 3, 1, 1},
        {1, 70, 24, {15, 34, 45}, 3, 1, 1},
        {1, 21, 21, {40, 9, 67}, 3, 1, 1},
        {1, 31, 62, {9, 10, 64}, 3, 1, 1},
        {1, 70, 60, {4, 5, 131}, 5, 1, 1}, /* rows so long that no unit fits */
        {1, 12, 9, {31, 33, 35}, 3, 2, 1},
        {1, 33, 20, {17, 18, 19}, 5, 1, 1},
        {1, 6, 70, {23, 25, 27}, 5, 2, 1},
        {1, 75, 61, {9, 11, 18}, 3, 1, 1}, /* lanes are channels from here on */
        {1, 48, 62, {8, 7, 9}, 5, 1, 1},
        {1, 32, 32, {16, 16, 16}, 3, 1, 1},
        {1, 30, 17, {12, 13, 14}, 3, 2, 1},
        {1, 90, 100, {20, 20, 20}, 3, 1, 1}, /* in slabs that all threads share, */
        {2, 67, 50, {26, 19, 22}, 3, 1, 1},
        {1, 16, 16, {56, 61, 62}, 3, 1, 1}, /* and so many that even seven threads have their own */
        {1, 300, 18, {9, 8, 12}, 3, 1, 1},  /* more channels than are multiplied together */
    };
    const int count = (int)(sizeof cases / sizeof *cases);
    for (int c = 0; c < count; c++)
        for (int k = 0; k < 3; k++) {
            sn_op op = convolution_of(convolution_kinds[k], &cases[c]);
            bool deep;
            assert_true(is_winograd(&op, &deep));
        }
    check_samples_everywhere(cases, count);
}

/* Beside the plan of memory: it holds no scratch memory. */
static void scratch_memory_is_bounded(void **state)
{
    (void)state;
    const size_t most = (size_t)10 << 20;
    for (int k = 0; k < 3; k++)
        for (int64_t channels = 16; channels <= 256; channels *= 2)
            for (int64_t width = 8; width <= 256; width *= 2) {
                const int64_t extent[3] = {width, width, width};
                for (int kernel = 3; kernel <= 5; kernel += 2) {
                    sn_op op = convolution(convolution_kinds[k], channels, channels, extent, kernel, 1);
                    sn_conv_plan *plan = plan_of(&op);
                    assert_true(sn_conv_scratch(plan, 2) <= most);
                    sn_conv_plan_free(plan);
                }
            }
}

/* Frequencies a multiple of 4096 bytes apart would share lines of a cache. */
static void frequencies_are_an_odd_number_of_vectors_apart(void **state)
{
    (void)state;
    for (int64_t rows = 1; rows <= 64; rows++)
        for (int64_t row = 1; row <= 70; row++) {
            int64_t floats = sn_winograd_frequency(rows, row);
            assert_true(floats >= rows * row + SN_WINOGRAD_LANES);
            assert_int_equal(floats % (2 * SN_WINOGRAD_LANES), SN_WINOGRAD_LANES);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_extents_are_computed_by_winograd),
        cmocka_unit_test(other_kernels_and_tiny_extents_are_not),
        cmocka_unit_test(units_cover_the_output),
        cmocka_unit_test(lanes_are_channels_where_there_are_many),
        cmocka_unit_test(threads_have_slabs_of_their_own),
        cmocka_unit_test(large_convolutions_are_sums_of_products),
        cmocka_unit_test(scratch_memory_is_bounded),
        cmocka_unit_test(frequencies_are_an_odd_number_of_vectors_apart),
        cmocka_unit_test(the_table_of_cases_has_some_for_each_pass),
    };
    return cmocka_run_group_tests_name("winograd", tests, NULL, NULL);
}
