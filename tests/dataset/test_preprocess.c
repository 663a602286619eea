/* Preprocessing: spacing and box of a data set, the grid of an image, z-scores, classes. */
#include "dataset/fixture.h"

#include <math.h>

#include "dataset/preprocess.h"

static void sizes_are_parsed(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "0",
                                        "-4",
                                        "12x",
                                        "12x13",
                                        "12x13x",
                                        "12x13x14x15",
                                        "12x0x4",
                                        "Auto",
                                        "1e3",
                                        "12 ",
                                        "12X13X14",
                                        "99999999999999999999"};
    int64_t size[3];
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_size_parse(size, "auto", NULL), SN_OK);
    assert_true(size[0] == 0 && size[1] == 0 && size[2] == 0);
    assert_int_equal(sn_size_parse(size, "128", NULL), SN_OK);
    assert_true(size[0] == 128 && size[1] == 128 && size[2] == 128);
    assert_int_equal(sn_size_parse(size, "48x64x56", NULL), SN_OK);
    assert_true(size[0] == 48 && size[1] == 64 && size[2] == 56);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(sn_size_parse(size, wrong[i], &error), SN_ERR_ARG);
        assert_names(error.text, (const char *const[]){"DxHxW", NULL});
    }
}

/* 10x20x30 voxels of 2x1x0.5 mm = 20x20x15 mm; and, turned, 8x9x10 voxels = A 24 mm, S 9 mm, R 20 mm. */
static sn_dataset *two_cases(const char *folder)
{
    sn_error error = SN_ERROR_INIT;
    sn_grid turned;
    const int64_t extent[3] = {8, 9, 10};
    const double affine[3][4] = {{-2, 0, 0, 7}, {0, 0, 3, 8}, {0, 1, 0, 9}};
    write_dataset(folder, 2);
    write_image(in_folder(folder, "imagesTr/c00.nii.gz"), grid_of(10, 20, 30, 2, 1, 0.5), 1, 0);
    CHECK_OK(sn_grid_make(&turned, extent, affine, &error), error);
    write_image(in_folder(folder, "imagesTr/c01.nii.gz"), turned, 1, 0);
    return open_dataset(folder);
}

static void auto_takes_the_smallest_spacing_and_the_smallest_box(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_preprocessing p;
    sn_dataset *dataset = two_cases(*state);
    CHECK_OK(sn_preprocessing_determine(&p, dataset, (const int64_t[]){0, 0, 0}, &error), error);
    assert_true(p.spacing_mm == 0.5);
    assert_int_equal(p.size[0], 40); /* S: 20 mm of the first */
    assert_int_equal(p.size[1], 48); /* A: 24 mm of the second */
    assert_int_equal(p.size[2], 40); /* R: 20 mm of the second */
    assert_int_equal(p.channels, 1);
    sn_dataset_close(dataset);
}

static void a_given_box_sets_the_spacing_at_which_the_largest_case_fits(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_preprocessing p;
    sn_grid image, grid;
    sn_dataset *dataset = two_cases(*state);
    CHECK_OK(sn_preprocessing_determine(&p, dataset, (const int64_t[]){16, 16, 16}, &error), error);
    assert_true(fabs(p.spacing_mm - 24.0 / 16) < 1e-6);
    assert_true(p.size[0] == 16 && p.size[1] == 16 && p.size[2] == 16);
    CHECK_OK(sn_preprocessing_determine(&p, dataset, (const int64_t[]){16, 48, 10}, &error), error);
    assert_true(fabs(p.spacing_mm - 20.0 / 10) < 1e-6);
    for (int i = 0; i < 2; i++) { /* every case gets the box itself */
        CHECK_OK(sn_nifti_read_grid(&image, NULL, dataset->cases[i].images[0], &error), error);
        CHECK_OK(sn_preprocess_grid(&grid, &p, &image, &error), error);
        assert_memory_equal(grid.extent, p.size, sizeof grid.extent);
    }
    sn_dataset_close(dataset);
}

static void the_grid_of_an_image_is_canonical_isotropic_and_holds_it(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_grid image, grid;
    sn_preprocessing p = {.spacing_mm = 2, .size = {12, 5, 12}, .channels = 1};
    const int64_t extent[3] = {10, 12, 14};
    const double affine[3][4] = {
        {0, -1, 0, 3}, {2, 0, 0, 4}, {0, 0, -3, 5}}; /* W: A 2 mm, H: L 1 mm, D: I 3 mm */
    CHECK_OK(sn_grid_make(&image, extent, affine, &error), error);
    CHECK_OK(sn_preprocess_grid(&grid, &p, &image, &error), error);
    assert_int_equal(grid.extent[0], 15); /* S 30 mm: larger than the box of 12, not cropped */
    assert_int_equal(grid.extent[1], 14); /* A 28 mm */
    assert_int_equal(grid.extent[2], 12); /* R 12 mm: padded from 6 to the box */
    double from[3], to[3];
    for (int axis = 0; axis < 3; axis++)
        for (int row = 0; row < 3; row++)
            assert_true(fabs(grid.affine[row][axis] - (row == axis ? 2 : 0)) < 1e-9);
    sn_grid_position(from, &image, (const double[]){4.5, 5.5, 6.5});
    sn_grid_position(to, &grid, (const double[]){7, 6.5, 5.5});
    for (int a = 0; a < 3; a++)
        assert_true(fabs(from[a] - to[a]) < 1e-9);
}

static void z_scores_are_over_non_zero_voxels_and_zero_stays_zero(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_volume *image, *out;
    sn_grid grid = grid_of(1, 2, 4, 1, 1, 1), boxed;
    CHECK_OK(sn_volume_create(&image, &grid, 2, &error), error);
    static const float first[8] = {2, 4, 4, 4, 5, 5, 7, 9};    /* mean 5, standard deviation 2 */
    static const float second[8] = {0, 10, 0, -2, 0, 0, 0, 0}; /* mean 4, standard deviation 6 */
    memcpy(image->data, first, sizeof first);
    memcpy(image->data + 8, second, sizeof second);
    CHECK_OK(sn_grid_box(&boxed, &grid, (const int64_t[]){3, 2, 6}, &error), error);
    CHECK_OK(sn_preprocess_image(&out, image, &boxed, 1, &error), error);
    assert_int_equal(out->channels, 2);
    static const double mean[2] = {5, 4}, deviation[2] = {2, 6};
    for (int i = 0; i < 2 * 3 * 2 * 6; i++) {
        int c = i / 36, d = i / 12 % 3, h = i / 6 % 2, w = i % 6;
        double value = 0;
        if (d == 1 && w >= 1 && w < 5)
            value = image->data[c * 8 + h * 4 + w - 1];
        if (value == 0)
            assert_true(out->data[i] == 0);
        else
            assert_true(fabs(out->data[i] - (value - mean[c]) / deviation[c]) < 1e-6);
    }
    sn_volume_free(out);
    sn_volume_free(image);
}

static void constant_and_empty_channels_become_zero(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_volume *image, *out;
    sn_grid grid = grid_of(2, 2, 2, 1, 1, 1);
    CHECK_OK(sn_volume_create(&image, &grid, 2, &error), error);
    for (int i = 0; i < 7; i++)
        image->data[i] = 0.1f;
    CHECK_OK(sn_preprocess_image(&out, image, &grid, 1, &error), error);
    for (int i = 0; i < 16; i++)
        assert_true(out->data[i] == 0);
    sn_volume_free(out);
    sn_volume_free(image);
}

/* A ball in a large empty box, coarser: all that lies well outside the ball is exactly 0 afterwards. */
static void resampling_keeps_the_background_exactly_zero(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_volume *image, *out;
    sn_grid grid = grid_of(24, 24, 24, 1, 1, 1), target;
    sn_preprocessing p = {.spacing_mm = 1.7, .size = {20, 20, 20}, .channels = 1};
    CHECK_OK(sn_volume_create(&image, &grid, 1, &error), error);
    for (int i = 0; i < 24 * 24 * 24; i++) {
        double d = i / 576 - 11.5, h = i / 24 % 24 - 11.5, w = i % 24 - 11.5;
        image->data[i] = d * d + h * h + w * w < 49 ? 100 + (float)(i % 7) : 0;
    }
    CHECK_OK(sn_preprocess_grid(&target, &p, &grid, &error), error);
    CHECK_OK(sn_preprocess_image(&out, image, &target, 1, &error), error);
    double sum = 0, square = 0;
    int used = 0;
    for (int i = 0; i < 8000; i++) {
        double d = (i / 400 - 9.5) * 1.7, h = (i / 20 % 20 - 9.5) * 1.7, w = (i % 20 - 9.5) * 1.7;
        if (sqrt(d * d + h * h + w * w) > 7 + 2 * 1.7 * sqrt(3))
            assert_true(out->data[i] == 0);
        if (sqrt(d * d + h * h + w * w) < 7 - 2 * 1.7 * sqrt(3))
            assert_true(out->data[i] != 0);
        used += out->data[i] != 0;
        sum += out->data[i];
        square += (double)out->data[i] * out->data[i];
    }
    assert_true(fabs(sum / used) < 1e-5);
    assert_true(fabs(square / used - 1) < 1e-5);
    sn_volume_free(out);
    sn_volume_free(image);
}

static void labels_become_class_indices(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_label_table *table;
    sn_labelmap *map;
    uint8_t *classes;
    static const int32_t values[6] = {0, 70000, -3, 0, -3, 70000};
    static const uint8_t expected[6] = {0, 2, 1, 0, 1, 2};
    sn_grid grid = grid_of(1, 2, 3, 1, 1, 1), boxed;
    CHECK_OK(sn_label_table_create(&table, &error), error);
    CHECK_OK(sn_label_table_add(table, -3, "a", &error), error);
    CHECK_OK(sn_label_table_add(table, 70000, "b", &error), error);
    CHECK_OK(sn_labelmap_create(&map, &grid, &error), error);
    memcpy(map->data, values, sizeof values);
    CHECK_OK(sn_grid_box(&boxed, &grid, (const int64_t[]){1, 4, 3}, &error), error);
    CHECK_OK(sn_preprocess_labels(&classes, map, table, &boxed, "l.nii", &error), error);
    for (int i = 0; i < 12; i++)
        assert_int_equal(classes[i], i < 3 || i >= 9 ? 0 : expected[i - 3]);
    sn_free(classes);

    map->data[4] = 5;
    assert_int_equal(sn_preprocess_labels(&classes, map, table, &boxed, "l.nii", &error), SN_ERR_INPUT);
    assert_null(classes);
    assert_names(error.text, (const char *const[]){"l.nii", "value 5 ", "dataset.json", NULL});
    for (int32_t v = 100; table->count <= SN_CLASSES_MAX; v++)
        CHECK_OK(sn_label_table_add(table, v, "more", &error), error);
    assert_int_equal(sn_preprocess_labels(&classes, map, table, &boxed, "l.nii", &error), SN_ERR_UNSUPPORTED);
    assert_names(error.text, (const char *const[]){"256 labels", "255", NULL});
    sn_labelmap_free(map);
    sn_label_table_free(table);
}

static void preprocessing_survives_json_to_the_last_bit(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_preprocessing p = {.spacing_mm = 59.0 / 37, .size = {48, 64, 40}, .channels = 4}, copy;
    json_t *json, *parsed;
    CHECK_OK(sn_preprocessing_to_json(&json, &p, &error), error);
    char *text = json_dumps(json, 0);
    parsed = json_loads(text, 0, NULL);
    CHECK_OK(sn_preprocessing_from_json(&copy, parsed, "model", &error), error);
    assert_true(copy.spacing_mm == p.spacing_mm && copy.channels == 4);
    assert_memory_equal(copy.size, p.size, sizeof p.size);
    json_object_set_new(parsed, "spacing_mm", json_integer(0));
    assert_int_equal(sn_preprocessing_from_json(&copy, parsed, "model", &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"model", "spacing_mm > 0", NULL});
    free(text);
    json_decref(parsed);
    json_decref(json);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_parsed),
        IN_FOLDER(auto_takes_the_smallest_spacing_and_the_smallest_box),
        IN_FOLDER(a_given_box_sets_the_spacing_at_which_the_largest_case_fits),
        cmocka_unit_test(the_grid_of_an_image_is_canonical_isotropic_and_holds_it),
        cmocka_unit_test(z_scores_are_over_non_zero_voxels_and_zero_stays_zero),
        cmocka_unit_test(constant_and_empty_channels_become_zero),
        cmocka_unit_test(resampling_keeps_the_background_exactly_zero),
        cmocka_unit_test(labels_become_class_indices),
        cmocka_unit_test(preprocessing_survives_json_to_the_last_bit),
    };
    return cmocka_run_group_tests_name("preprocess", tests, NULL, NULL);
}
