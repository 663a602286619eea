/* Synthetic cohorts: sound data sets, the same every time, smoothly deformed. */
#include "dataset/fixture.h"

#include <math.h>

#include "base/interrupt.h"
#include "dataset/check.h"
#include "dataset/field.h"
#include "dataset/synth.h"

/* A ball of label 7 with a core of label 30; the image is 50 in the ball, 100 in the core, 0 elsewhere. */
static void write_ball(const char *folder)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *image;
    sn_labelmap *map;
    sn_grid grid = grid_of(48, 48, 48, 1, 1, 1);
    CHECK_OK(sn_volume_create(&image, &grid, 1, &error), error);
    CHECK_OK(sn_labelmap_create(&map, &grid, &error), error);
    for (int i = 0; i < 48 * 48 * 48; i++) {
        double d = i / 2304 - 23.5, h = i / 48 % 48 - 23.5, w = i % 48 - 23.5;
        double radius = sqrt(d * d + h * h + w * w);
        map->data[i] = radius < 7 ? 30 : radius < 14 ? 7 : 0;
        image->data[i] = radius < 7 ? 100 : radius < 14 ? 50 : 0;
    }
    CHECK_OK(sn_nifti_write_volume(in_folder(folder, "image.nii.gz"), image, &error), error);
    CHECK_OK(sn_nifti_write_labelmap(in_folder(folder, "labels.nii.gz"), map, &error), error);
    sn_volume_free(image);
    sn_labelmap_free(map);
}

static sn_status synthesise(const char *folder, const char *out, sn_synth_options options, sn_error *error)
{
    return sn_synthesise(in_folder(folder, out), in_folder(folder, "image.nii.gz"),
                         in_folder(folder, "labels.nii.gz"), &options, error);
}

static sn_labelmap *read_labels(const char *path)
{
    sn_error error = SN_ERROR_INIT;
    sn_labelmap *map;
    CHECK_OK(sn_nifti_read_labelmap(&map, path, &error), error);
    return map;
}

static void a_cohort_is_a_sound_data_set(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_check_summary summary;
    sn_check_options options = {0};
    write_ball(*state);
    CHECK_OK(
        synthesise(*state, "cohort/", (sn_synth_options){.count = 3, .seed = 1, .spacing_mm = 2}, &error),
        error);
    sn_dataset *dataset = open_dataset(in_folder(*state, "cohort"));
    assert_string_equal(dataset->name, "cohort");
    assert_int_equal(dataset->count, 3);
    assert_int_equal(dataset->labels->count, 3);
    assert_int_equal(dataset->labels->values[1], 7);
    assert_int_equal(dataset->labels->values[2], 30);
    CHECK_OK(sn_dataset_check(&summary, dataset, &options, &error), error);
    assert_int_equal(summary.faults + summary.warnings + summary.notes, 0);
    assert_true(summary.spacing_mm[0].min == 2 && summary.spacing_mm[2].max == 2);
    assert_true(summary.extent[1].min == 24 && summary.extent[1].max == 24);
    assert_int_equal(summary.labels[2].cases, 3);
    /* the core's volume, within what stretches of 6% and the deformation allow */
    double core = (double)summary.labels[2].voxels / 3 * 8, expected = 4.0 / 3 * 3.14159 * 343;
    assert_true(core > 0.6 * expected && core < 1.6 * expected);
    sn_check_summary_clear(&summary);
    sn_dataset_close(dataset);
    assert_false(sn_path_exists(in_folder(*state, "cohort.tmp")));
}

/* The image still fits the labels after the deformation: bright where the core is, 0 in the background. */
static void images_and_labels_are_deformed_alike(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *image;
    write_ball(*state);
    CHECK_OK(synthesise(*state, "cohort", (sn_synth_options){.count = 2, .seed = 4}, &error), error);
    for (int k = 0; k < 2; k++) {
        char name[64];
        double sum[3] = {0};
        int64_t count[3] = {0}, moved = 0;
        snprintf(name, sizeof name, "cohort/imagesTr/case_%03d.nii.gz", k);
        CHECK_OK(sn_nifti_read_volume(&image, in_folder(*state, name), &error), error);
        snprintf(name, sizeof name, "cohort/labelsTr/case_%03d.nii.gz", k);
        sn_labelmap *map = read_labels(in_folder(*state, name));
        sn_labelmap *source = read_labels(in_folder(*state, "labels.nii.gz"));
        for (int i = 0; i < 48 * 48 * 48; i++) {
            int class = map->data[i] == 30 ? 2 : map->data[i] == 7 ? 1 : 0;
            assert_true(class > 0 || map->data[i] == 0);
            sum[class] += image->data[i];
            count[class]++;
            moved += map->data[i] != source->data[i];
        }
        assert_true(sum[2] / (double)count[2] > 1.3 * sum[1] / (double)count[1]);
        assert_true(sum[1] / (double)count[1] > 10 * sum[0] / (double)count[0]);
        assert_true(moved > 1000);
        sn_labelmap_free(source);
        sn_labelmap_free(map);
        sn_volume_free(image);
    }
}

static void file_hash(char text[SN_HASH_TEXT], const char *folder, const char *name)
{
    char *data;
    size_t size;
    sn_error error = SN_ERROR_INIT;
    CHECK_OK(sn_file_read(&data, &size, in_folder(folder, name), &error), error);
    sn_hash_bytes(text, data, size);
    sn_free(data);
}

static void a_case_depends_on_seed_and_number_alone(void **state)
{
    char first[SN_HASH_TEXT], other[SN_HASH_TEXT];
    sn_error error = SN_ERROR_INIT;
    write_ball(*state);
    CHECK_OK(synthesise(*state, "a", (sn_synth_options){.count = 1, .seed = 1, .spacing_mm = 3}, &error),
             error);
    CHECK_OK(synthesise(*state, "b", (sn_synth_options){.count = 2, .seed = 1, .spacing_mm = 3}, &error),
             error);
    CHECK_OK(synthesise(*state, "c", (sn_synth_options){.count = 1, .seed = 2, .spacing_mm = 3}, &error),
             error);
    file_hash(first, *state, "a/imagesTr/case_000.nii.gz");
    file_hash(other, *state, "b/imagesTr/case_000.nii.gz");
    assert_string_equal(first, other);
    file_hash(other, *state, "b/imagesTr/case_001.nii.gz");
    assert_string_not_equal(first, other);
    file_hash(other, *state, "c/imagesTr/case_000.nii.gz");
    assert_string_not_equal(first, other);
    file_hash(first, *state, "a/labelsTr/case_000.nii.gz");
    file_hash(other, *state, "b/labelsTr/case_000.nii.gz");
    assert_string_equal(first, other);
}

static void structures_merge_labels_in_their_order(void **state)
{
    sn_error error = SN_ERROR_INIT;
    write_ball(*state);
    write_text(*state, "core.json", "{\"core\": [30]}");
    write_text(*state, "whole.json", "{\"whole\": [30, 7]}");
    sn_synth_options options = {.count = 1, .seed = 1};
    CHECK_OK(synthesise(*state, "all", options, &error), error);
    options.structures = in_folder(*state, "core.json");
    CHECK_OK(synthesise(*state, "core", options, &error), error);
    options.structures = in_folder(*state, "whole.json");
    CHECK_OK(synthesise(*state, "whole", options, &error), error);
    sn_labelmap *all = read_labels(in_folder(*state, "all/labelsTr/case_000.nii.gz"));
    sn_labelmap *core = read_labels(in_folder(*state, "core/labelsTr/case_000.nii.gz"));
    sn_labelmap *whole = read_labels(in_folder(*state, "whole/labelsTr/case_000.nii.gz"));
    for (int i = 0; i < 48 * 48 * 48; i++) {
        assert_int_equal(core->data[i], all->data[i] == 30);
        assert_int_equal(whole->data[i], all->data[i] != 0);
    }
    sn_labelmap_free(all);
    sn_labelmap_free(core);
    sn_labelmap_free(whole);
    sn_dataset *dataset = open_dataset(in_folder(*state, "core"));
    assert_int_equal(dataset->labels->count, 2);
    assert_string_equal(dataset->labels->names[1], "core");
    sn_dataset_close(dataset);
}

static void faults_name_the_fix_and_leave_nothing_behind(void **state)
{
    static const struct {
        const char *structures;
        const char *words[2];
    } faults[] = {{"{}", {"must be an object"}},        {"{\"a\": 7}", {"\"a\"", "list"}},
                  {"{\"a\": []}", {"\"a\"", "list"}},   {"{\"a\": [7, 8]}", {"\"a\"", "entry 1"}},
                  {"{\"a\": [0]}", {"\"a\"", "not 0"}}, {"{\"a\": [7], \"b\": [7]}", {"value 7", "\"b\""}}};
    sn_error error = SN_ERROR_INIT;
    sn_synth_options options = SN_SYNTH_OPTIONS_INIT;
    write_ball(*state);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        write_text(*state, "s.json", faults[i].structures);
        options.structures = in_folder(*state, "s.json");
        assert_int_equal(synthesise(*state, "out", options, &error), SN_ERR_INPUT);
        assert_names(error.text,
                     (const char *const[]){"s.json", faults[i].words[0], faults[i].words[1], NULL});
    }
    options.structures = NULL;
    options.count = 0;
    assert_int_equal(synthesise(*state, "out", options, &error), SN_ERR_ARG);
    options.count = 1;
    options.spacing_mm = -1;
    assert_int_equal(synthesise(*state, "out", options, &error), SN_ERR_ARG);
    options.spacing_mm = 4;
    assert_int_equal(synthesise(*state, "image.nii.gz", options, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"image.nii.gz", "exists", NULL});
    sn_interrupt_request();
    assert_int_equal(synthesise(*state, "out", options, &error), SN_ERR_INTERRUPTED);
    sn_interrupt_clear();
    write_labels(in_folder(*state, "labels.nii.gz"), grid_of(48, 48, 47, 1, 1, 1), (const int32_t[]){0, 1},
                 2);
    assert_int_equal(synthesise(*state, "out", options, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"labels.nii.gz", "image.nii.gz", "grid", NULL});
    assert_false(sn_path_exists(in_folder(*state, "out")));
    assert_false(sn_path_exists(in_folder(*state, "out.tmp")));
}

static void fields_are_bounded_and_smooth(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_field *field;
    sn_random random = sn_random_begin(1, SN_RANDOM_TEST, 0);
    const int64_t extent[3] = {5, 7, 33};
    const double step[3] = {3.5, 8, 8};
    double square = 0, before[2] = {0}, value[2];
    CHECK_OK(sn_field_create(&field, 2, extent, step, 6, &random, &error), error);
    for (int64_t d = 0; d < 5; d++)
        for (int64_t h = 0; h < 7; h++)
            for (int64_t w = 0; w < 33; w++) {
                sn_field_evaluate(value, field, (const int64_t[]){d, h, w});
                for (int k = 0; k < 2; k++) {
                    assert_true(fabs(value[k]) <= 6);
                    /* |slope| <= 2 amplitude / step: it is a mean of differences of coefficients */
                    assert_true(w == 0 || fabs(value[k] - before[k]) <= 2 * 6.0 / 8);
                    before[k] = value[k];
                    square += value[k] * value[k];
                }
            }
    assert_true(square > 0);
    sn_field_free(field);
}

static void the_aal_atlas_merges_into_eight_structures(void **state)
{
    static const char image[] = "/usr/share/mricron/templates/ch2.nii.gz";
    static const char labels[] = "/usr/share/mricron/templates/aal.nii.gz";
    const char *slash = strstr(__FILE__, "tests/dataset");
    char structures[512];
    sn_error error = SN_ERROR_INIT;
    sn_check_summary summary;
    sn_check_options none = {0};
    if (!sn_path_exists(image) || slash == NULL)
        skip();
    snprintf(structures, sizeof structures, "%.*sexamples/aal_merged.json", (int)(slash - __FILE__),
             __FILE__);
    sn_synth_options options = {.count = 3, .seed = 1, .spacing_mm = 8, .structures = structures};
    CHECK_OK(sn_synthesise(in_folder(*state, "brains"), image, labels, &options, &error), error);
    sn_dataset *dataset = open_dataset(in_folder(*state, "brains"));
    assert_int_equal(dataset->labels->count, 9);
    CHECK_OK(sn_dataset_check(&summary, dataset, &none, &error), error);
    assert_int_equal(summary.faults + summary.warnings, 0); /* every structure is there */
    sn_check_summary_clear(&summary);
    sn_dataset_close(dataset);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_cohort_is_a_sound_data_set),
        IN_FOLDER(images_and_labels_are_deformed_alike),
        IN_FOLDER(a_case_depends_on_seed_and_number_alone),
        IN_FOLDER(structures_merge_labels_in_their_order),
        IN_FOLDER(faults_name_the_fix_and_leave_nothing_behind),
        cmocka_unit_test(fields_are_bounded_and_smooth),
        IN_FOLDER(the_aal_atlas_merges_into_eight_structures),
    };
    return cmocka_run_group_tests_name("synth", tests, NULL, NULL);
}
