/* Overlap: hand counts. */
#include "cmocka_all.h"

#include <math.h>

#include "metrics/overlap.h"

static void counts_of_a_hand_example_are_right(void **state)
{
    (void)state;
    static const int32_t reference[10] = {0, 0, 1, 1, 1, 2, 2, 7, 0, 1};
    static const int32_t prediction[10] = {0, 1, 1, 1, 2, 2, 0, 7, 9, 0};
    static const int32_t labels[5] = {7, 1, 2, 9, 4};
    static const sn_overlap expected[5] = {
        {1, 0, 0, 9}, {2, 1, 2, 5}, {1, 1, 1, 7}, {0, 1, 0, 9}, {0, 0, 0, 10},
    };
    sn_overlap overlaps[5];
    assert_int_equal(sn_overlap_count(overlaps, labels, 5, reference, prediction, 10, NULL), SN_OK);
    assert_memory_equal(overlaps, expected, sizeof expected);
    assert_true(fabs(sn_overlap_dice(&overlaps[1]) - 4.0 / 7) < 1e-15);
    assert_true(fabs(sn_overlap_iou(&overlaps[1]) - 2.0 / 5) < 1e-15);
}

static void dice_of_identical_masks_is_one(void **state)
{
    (void)state;
    static const int32_t mask[4] = {0, 3, 3, 0}, label = 3;
    sn_overlap overlap;
    assert_int_equal(sn_overlap_count(&overlap, &label, 1, mask, mask, 4, NULL), SN_OK);
    assert_true(sn_overlap_dice(&overlap) == 1);
    assert_true(sn_overlap_iou(&overlap) == 1);
}

static void a_label_in_one_map_only_has_dice_zero_and_in_neither_nan(void **state)
{
    (void)state;
    const sn_overlap predicted = {.fp = 5, .tn = 5}, missed = {.fn = 5, .tn = 5}, absent = {.tn = 10};
    assert_true(sn_overlap_dice(&predicted) == 0 && sn_overlap_iou(&predicted) == 0);
    assert_true(sn_overlap_dice(&missed) == 0 && sn_overlap_iou(&missed) == 0);
    assert_true(isnan(sn_overlap_dice(&absent)) && isnan(sn_overlap_iou(&absent)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_of_a_hand_example_are_right),
        cmocka_unit_test(dice_of_identical_masks_is_one),
        cmocka_unit_test(a_label_in_one_map_only_has_dice_zero_and_in_neither_nan),
    };
    return cmocka_run_group_tests_name("overlap", tests, NULL, NULL);
}
