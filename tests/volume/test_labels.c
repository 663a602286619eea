/* Label maps' values and label tables. */
#include "cmocka_all.h"

#include <string.h>

#include "base/memory.h"
#include "volume/labels.h"
#include "volume/volume.h"

static void values_of_a_map_are_ascending_and_unique(void **state)
{
    (void)state;
    static const double affine[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    sn_grid grid;
    sn_labelmap *labelmap;
    int32_t *values;
    int64_t count;
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){10, 10, 10}, affine, NULL), SN_OK);
    assert_int_equal(sn_labelmap_create(&labelmap, &grid, NULL), SN_OK);
    for (int v = 0; v < 1000; v++)
        labelmap->data[v] = v * 37 % 200 * 3 - 150; /* -150, -147, ... 447 */
    assert_int_equal(sn_labelmap_values(&values, &count, labelmap, NULL), SN_OK);
    assert_int_equal(count, 200);
    for (int v = 0; v < 200; v++)
        assert_int_equal(values[v], 3 * v - 150);
    sn_free(values);
    sn_labelmap_free(labelmap);
}

static void a_volume_too_large_to_count_is_out_of_memory(void **state)
{
    (void)state;
    sn_grid grid = {.extent = {INT64_C(1) << 31, INT64_C(1) << 31, 4}};
    sn_labelmap *labelmap;
    sn_volume *volume;
    assert_int_equal(sn_labelmap_create(&labelmap, &grid, NULL), SN_ERR_MEMORY);
    assert_null(labelmap);
    assert_int_equal(sn_volume_create(&volume, &grid, 1, NULL), SN_ERR_MEMORY);
    assert_int_equal(sn_volume_create(&volume, &grid, 0, NULL), SN_ERR_ARG);
}

static void a_table_knows_values_and_names_by_class(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_label_table *table, *copy;
    assert_int_equal(sn_label_table_create(&table, NULL), SN_OK);
    assert_int_equal(sn_label_table_add(table, 2035, "insula", NULL), SN_OK);
    assert_int_equal(sn_label_table_add(table, 17, "hippocampus", NULL), SN_OK);
    assert_int_equal(sn_label_table_add(table, 2035, "again", &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "\"insula\" and \"again\" have the same value 2035"));
    assert_int_equal(sn_label_table_copy(&copy, table, NULL), SN_OK);
    sn_label_table_free(table);
    assert_int_equal(copy->count, 3);
    assert_int_equal(sn_label_table_find(copy, 0), 0);
    assert_int_equal(sn_label_table_find(copy, 17), 2);
    assert_int_equal(sn_label_table_find(copy, 18), -1);
    assert_string_equal(copy->names[0], "background");
    assert_string_equal(copy->names[2], "hippocampus");
    sn_label_table_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_a_map_are_ascending_and_unique),
        cmocka_unit_test(a_volume_too_large_to_count_is_out_of_memory),
        cmocka_unit_test(a_table_knows_values_and_names_by_class),
    };
    return cmocka_run_group_tests_name("labels", tests, NULL, NULL);
}
