/* Every fault of a data set is found and named, and a sound one has none. */
#include "dataset/fixture.h"

#include <math.h>

#include "base/interrupt.h"
#include "dataset/check.h"

enum { FINDINGS = 64 };

typedef struct findings {
    int count;
    sn_check_level levels[FINDINGS];
    char texts[FINDINGS][1280];
} findings;

static void on_finding(void *context, sn_check_level level, const char *text)
{
    findings *all = context;
    assert_true(all->count < FINDINGS);
    all->levels[all->count] = level;
    snprintf(all->texts[all->count++], sizeof all->texts[0], "%s", text);
}

static void run_check(findings *all, sn_check_summary *summary, const char *folder)
{
    sn_error error = SN_ERROR_INIT;
    sn_dataset *dataset = open_dataset(folder);
    memset(all, 0, sizeof *all);
    sn_check_options options = {.report = on_finding, .context = all};
    CHECK_OK(sn_dataset_check(summary, dataset, &options, &error), error);
    sn_dataset_close(dataset);
}

/* Exactly one finding has all these words, and it has this level. */
static void assert_found(const findings *all, sn_check_level level, const char *const *words)
{
    int hits = 0;
    for (int i = 0; i < all->count; i++) {
        bool hit = true;
        for (const char *const *word = words; *word != NULL; word++)
            hit = hit && strstr(all->texts[i], *word) != NULL;
        hits += hit && all->levels[i] == level;
        assert_null(strchr(all->texts[i], '\n'));
    }
    if (hits != 1)
        fail_msg("%d findings of level %d name \"%s\" and \"%s\"", hits, level, words[0], words[1]);
}

#define FOUND(level, ...) assert_found(all, level, (const char *const[]){__VA_ARGS__, NULL})

static void a_sound_data_set_has_no_findings(void **state)
{
    static findings all[1];
    sn_check_summary summary;
    write_dataset(*state, 3);
    run_check(all, &summary, *state);
    assert_int_equal(all->count, 0);
    assert_int_equal(summary.faults + summary.warnings + summary.notes, 0);
    assert_int_equal(summary.cases, 3);
    assert_int_equal(summary.readable, 3);
    assert_int_equal(summary.label_count, 3);
    assert_int_equal(summary.labels[0].voxels, 3 * 72); /* values 0 1 0 2 0 over 120 voxels */
    assert_int_equal(summary.labels[1].voxels, 3 * 24);
    assert_int_equal(summary.labels[2].cases, 3);
    sn_check_summary_clear(&summary);
}

static void spacings_and_extents_are_summarised_in_canonical_order(void **state)
{
    static findings all[1];
    sn_check_summary summary;
    sn_error error = SN_ERROR_INIT;
    sn_grid turned;
    const int64_t extent[3] = {7, 8, 9};
    const double affine[3][4] = {{0, 0, 0.5, 0}, {3, 0, 0, 0}, {0, -1, 0, 0}}; /* W is A, H is I, D is R */
    write_dataset(*state, 4);
    CHECK_OK(sn_grid_make(&turned, extent, affine, &error), error);
    write_image(in_folder(*state, "imagesTr/c02.nii.gz"), turned, 1, 0);
    write_labels(in_folder(*state, "labelsTr/c02.nii.gz"), turned, (const int32_t[]){0, 1}, 2);
    run_check(all, &summary, *state);
    assert_int_equal(summary.faults, 0);
    const double smallest[3] = {1, 1, 0.5}, largest[3] = {1, 3, 1}; /* S, A, R in mm */
    const double most[3] = {8, 9, 7}, least[3] = {4, 5, 6};         /* voxels */
    for (int a = 0; a < 3; a++) {
        assert_true(fabs(summary.spacing_mm[a].min - smallest[a]) < 1e-6);
        assert_true(fabs(summary.spacing_mm[a].median - 1) < 1e-6);
        assert_true(fabs(summary.spacing_mm[a].max - largest[a]) < 1e-6);
        assert_true(summary.extent[a].min == least[a]);
        assert_true(summary.extent[a].median == least[a]);
        assert_true(summary.extent[a].max == most[a]);
    }
    FOUND(SN_CHECK_NOTE, "anterior-posterior", "3 mm");
    assert_int_equal(summary.notes, 1); /* a factor of exactly two is not noted */
    sn_check_summary_clear(&summary);
}

/* One data set with every kind of fault. */
static void write_faulty_dataset(const char *folder)
{
    sn_error error = SN_ERROR_INIT;
    sn_grid grid = grid_of(4, 5, 6, 1, 1, 1), larger = grid_of(4, 5, 7, 1, 1, 1), moved = grid;
    const int32_t zero = 0;
    write_dataset(folder, 9);
    unlink(in_folder(folder, "imagesTr/c00.nii.gz"));
    unlink(in_folder(folder, "labelsTr/c01.nii.gz"));
    if (truncate(in_folder(folder, "imagesTr/c02.nii.gz"), 100) != 0)
        fail();
    write_labels(in_folder(folder, "labelsTr/c03.nii.gz"), larger, &zero, 1);
    moved.affine[0][3] += 1;
    CHECK_OK(sn_grid_make(&moved, moved.extent, (const double(*)[4])moved.affine, &error), error);
    write_labels(in_folder(folder, "labelsTr/c04.nii.gz"), moved, (const int32_t[]){0, 1}, 2);

    sn_volume *image;
    CHECK_OK(sn_volume_create(&image, &grid, 1, &error), error);
    image->data[(1 * 5 + 2) * 6 + 3] = NAN;
    CHECK_OK(sn_nifti_write_volume(in_folder(folder, "imagesTr/c05.nii.gz"), image, &error), error);
    sn_volume_free(image);

    sn_labelmap *map;
    CHECK_OK(sn_labelmap_create(&map, &grid, &error), error);
    map->data[(3 * 5 + 4) * 6 + 1] = map->data[119] = 9;
    CHECK_OK(sn_nifti_write_labelmap(in_folder(folder, "labelsTr/c06.nii.gz"), map, &error), error);
    sn_labelmap_free(map);

    write_labels(in_folder(folder, "labelsTr/c07.nii.gz"), grid, &zero, 1);
    write_image(in_folder(folder, "imagesTr/c08.nii.gz"), grid, 2, 0);
    write_image(in_folder(folder, "imagesTr/stray.nii.gz"), grid, 1, 0);
    write_labels(in_folder(folder, "labelsTr/stray.nii"), grid, &zero, 1);
    write_text(folder, "imagesTr/readme.txt", "not a volume");
}

static void every_fault_is_found_and_named(void **state)
{
    static findings all[1];
    sn_check_summary summary;
    write_faulty_dataset(*state);
    run_check(all, &summary, *state);
    FOUND(SN_CHECK_FAULT, "imagesTr/c00.nii.gz", "missing", "c00");
    FOUND(SN_CHECK_FAULT, "labelsTr/c01.nii.gz", "missing", "c01");
    FOUND(SN_CHECK_FAULT, "imagesTr/c02.nii.gz");
    FOUND(SN_CHECK_FAULT, "labelsTr/c03.nii.gz", "imagesTr/c03.nii.gz", "4x5x6", "4x5x7");
    FOUND(SN_CHECK_FAULT, "labelsTr/c04.nii.gz", "imagesTr/c04.nii.gz", "grid");
    FOUND(SN_CHECK_FAULT, "imagesTr/c05.nii.gz", "(3,2,1)"); /* i,j,k */
    FOUND(SN_CHECK_FAULT, "labelsTr/c06.nii.gz", "value 9 ", "2 voxels", "(1,4,3)", "dataset.json");
    FOUND(SN_CHECK_WARNING, "labelsTr/c07.nii.gz", "empty");
    FOUND(SN_CHECK_FAULT, "imagesTr/c08.nii.gz", "2 channels");
    FOUND(SN_CHECK_WARNING, "imagesTr/stray.nii.gz", "no case");
    FOUND(SN_CHECK_WARNING, "labelsTr/stray.nii", "no case");
    assert_int_equal(summary.faults, 8);
    assert_int_equal(summary.warnings, 4); /* c03 is empty too */
    assert_int_equal(summary.readable, 1);
    sn_check_summary_clear(&summary);
}

static void a_label_that_no_case_has_is_warned_of(void **state)
{
    static findings all[1];
    sn_check_summary summary;
    static const char *const labels[] = {"labelsTr/c00.nii.gz", "labelsTr/c01.nii.gz", "labelsTr/c02.nii.gz"};
    write_dataset(*state, 3);
    for (int i = 0; i < 3; i++)
        write_labels(in_folder(*state, labels[i]), grid_of(4, 5, 6, 1, 1, 1), (const int32_t[]){0, 1}, 2);
    run_check(all, &summary, *state);
    FOUND(SN_CHECK_WARNING, "label 2", "\"two\"", "cannot be learned");
    assert_int_equal(all->count, 1);
    sn_check_summary_clear(&summary);
}

static void fewer_cases_than_parts_of_a_split_are_a_fault(void **state)
{
    static findings all[1];
    sn_check_summary summary;
    write_dataset(*state, 2);
    run_check(all, &summary, *state);
    FOUND(SN_CHECK_FAULT, "dataset.json", "2 labelled cases", "add cases");
    assert_int_equal(all->count, 1);
    sn_check_summary_clear(&summary);
}

static void an_image_that_shows_nothing_is_warned_of(void **state)
{
    static findings all[1];
    sn_check_summary summary;
    sn_error error = SN_ERROR_INIT;
    sn_grid grid = grid_of(4, 5, 6, 1, 1, 1);
    sn_volume *image;
    write_dataset(*state, 3);
    CHECK_OK(sn_volume_create(&image, &grid, 1, &error), error);
    CHECK_OK(sn_nifti_write_volume(in_folder(*state, "imagesTr/c01.nii.gz"), image, &error), error);
    sn_volume_free(image);
    run_check(all, &summary, *state);
    FOUND(SN_CHECK_WARNING, "imagesTr/c01.nii.gz", "every voxel", "is 0");
    assert_int_equal(all->count, 1);
    sn_check_summary_clear(&summary);
}

static void the_same_image_twice_is_warned_of(void **state)
{
    static findings all[1];
    sn_check_summary summary;
    write_dataset(*state, 3);
    write_image(in_folder(*state, "imagesTr/c02.nii.gz"), grid_of(4, 5, 6, 1, 1, 1), 1, 0); /* as c00 */
    run_check(all, &summary, *state);
    FOUND(SN_CHECK_WARNING, "c02.nii.gz", "the same image as", "c00.nii.gz");
    assert_int_equal(all->count, 1);
    sn_check_summary_clear(&summary);
}

static void missing_channels_and_partners_are_found_in_nnunets_form(void **state)
{
    static findings all[1];
    sn_check_summary summary;
    sn_error error = SN_ERROR_INIT;
    sn_grid grid = grid_of(4, 5, 6, 1, 1, 1);
    const int32_t values[2] = {0, 1};
    CHECK_OK(sn_folder_create(in_folder(*state, "imagesTr"), &error), error);
    CHECK_OK(sn_folder_create(in_folder(*state, "labelsTr"), &error), error);
    write_text(*state, "dataset.json",
               "{\"channel_names\": {\"0\": \"CT\", \"1\": \"PET\"}, \"file_ending\": \".nii.gz\","
               "\"labels\": {\"background\": 0, \"liver\": 1}}");
    write_image(in_folder(*state, "imagesTr/a_0000.nii.gz"), grid, 1, 0);
    write_image(in_folder(*state, "imagesTr/a_0001.nii.gz"), grid_of(4, 5, 6, 1, 1, 2), 1, 0);
    write_labels(in_folder(*state, "labelsTr/a.nii.gz"), grid, values, 2);
    write_image(in_folder(*state, "imagesTr/b_0000.nii.gz"), grid, 1, 0);
    write_labels(in_folder(*state, "labelsTr/b.nii.gz"), grid, values, 2);
    write_labels(in_folder(*state, "labelsTr/only.nii.gz"), grid, values, 2);
    write_image(in_folder(*state, "imagesTr/plain.nii.gz"), grid, 1, 0);
    run_check(all, &summary, *state);
    FOUND(SN_CHECK_FAULT, "imagesTr/a_0001.nii.gz", "imagesTr/a_0000.nii.gz", "grid");
    FOUND(SN_CHECK_FAULT, "imagesTr/b_0001.nii.gz", "missing", "channel 1 (PET)");
    FOUND(SN_CHECK_FAULT, "imagesTr/only_0000.nii.gz", "missing");
    FOUND(SN_CHECK_FAULT, "imagesTr/only_0001.nii.gz", "missing");
    FOUND(SN_CHECK_WARNING, "imagesTr/plain.nii.gz", "no case");
    assert_int_equal(summary.faults, 4);
    sn_check_summary_clear(&summary);
}

static void a_check_can_be_interrupted(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_check_summary summary;
    sn_check_options options = {0};
    write_dataset(*state, 3);
    sn_dataset *dataset = open_dataset(*state);
    sn_interrupt_request();
    assert_int_equal(sn_dataset_check(&summary, dataset, &options, &error), SN_ERR_INTERRUPTED);
    sn_interrupt_clear();
    sn_dataset_close(dataset);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_sound_data_set_has_no_findings),
        IN_FOLDER(spacings_and_extents_are_summarised_in_canonical_order),
        IN_FOLDER(every_fault_is_found_and_named),
        IN_FOLDER(a_label_that_no_case_has_is_warned_of),
        IN_FOLDER(fewer_cases_than_parts_of_a_split_are_a_fault),
        IN_FOLDER(an_image_that_shows_nothing_is_warned_of),
        IN_FOLDER(the_same_image_twice_is_warned_of),
        IN_FOLDER(missing_channels_and_partners_are_found_in_nnunets_form),
        IN_FOLDER(a_check_can_be_interrupted),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
