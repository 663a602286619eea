/* Evaluation of folders and the summary's JSON. */
#include "cmocka_all.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "metrics/summary.h"
#include "volume/nifti.h"

static char folder[64], references[80], predictions[80];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/segnas3d-metrics-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(references, sizeof references, "%s/labels", folder);
    snprintf(predictions, sizeof predictions, "%s/predictions", folder);
    return sn_folder_create(references, NULL) != SN_OK || sn_folder_create(predictions, NULL) != SN_OK;
}

static int teardown(void **state)
{
    (void)state;
    return sn_folder_remove(folder, NULL) != SN_OK;
}

/* A line of ten voxels of 2 x 3 x 0.5 mm, the first of them as given. */
static void write_line(const char *where, const char *name, const char *digits, double spacing)
{
    const double affine[3][4] = {{spacing, 0, 0, 0}, {0, 3, 0, 0}, {0, 0, 2, 0}};
    char path[128];
    sn_grid grid;
    sn_labelmap *labelmap;
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){1, 1, 10}, affine, NULL), SN_OK);
    assert_int_equal(sn_labelmap_create(&labelmap, &grid, NULL), SN_OK);
    for (int v = 0; digits[v] != '\0'; v++)
        labelmap->data[v] = digits[v] - '0';
    snprintf(path, sizeof path, "%s/%s", where, name);
    assert_int_equal(sn_nifti_write_labelmap(path, labelmap, NULL), SN_OK);
    sn_labelmap_free(labelmap);
}

/* Three cases with labels 1 and 2. */
static void write_cohort(void)
{
    write_line(references, "b.nii.gz", "0111122000", 0.5);
    write_line(predictions, "b.nii.gz", "0011122200", 0.5); /* label 1: tp 3, fn 1; label 2: tp 2, fp 1 */
    write_line(references, "a.nii", "0001100000", 0.5);
    write_line(predictions, "a.nii.gz", "0001100022", 0.5); /* label 1 is right; label 2 is not there */
    write_line(references, "c.nii", "1000000000", 0.5);
    write_line(predictions, "c.nii", "0000000000", 0.5); /* label 1 is missed; label 2 is in neither */
}

static sn_summary *evaluated(const sn_evaluate_options *options)
{
    sn_error error = SN_ERROR_INIT;
    sn_summary *summary;
    if (sn_evaluate_folders(&summary, references, predictions, options, &error) != SN_OK)
        fail_msg("%s", error.text);
    return summary;
}

static void near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-6))
        fail_msg("%.9g is not %.9g", value, expected);
}

static void folders_give_hand_values(void **state)
{
    (void)state;
    write_cohort();
    sn_summary *summary = evaluated(NULL);
    assert_int_equal(summary->label_count, 2);
    assert_int_equal(summary->labels->values[1], 1);
    assert_int_equal(summary->case_count, 3);
    assert_non_null(strstr(summary->cases[0].reference_file, "labels/a.nii"));
    assert_non_null(strstr(summary->cases[0].prediction_file, "predictions/a.nii.gz"));

    const sn_label_metrics *one = summary->cases[1].labels, *two = one + 1; /* case b */
    assert_int_equal(one->overlap.tp, 3);
    assert_int_equal(one->overlap.fn, 1);
    near(one->dice, 6.0 / 7);
    near(two->dice, 4.0 / 5);
    near(two->iou, 2.0 / 3);
    near(one->reference_mm3, 12);
    near(one->prediction_mm3, 9);
    /* Label 1: distances from 1..4 to 2..4 are 0.5, 0, 0, 0 mm; rank 2.85 of them is 0.425. */
    near(one->hd95_mm, 0.425);
    assert_true(isinf(summary->cases[0].labels[1].hd95_mm));
    assert_true(isnan(summary->cases[2].labels[1].hd95_mm));

    near(summary->mean[0].dice, (6.0 / 7 + 1 + 0) / 3);
    near(summary->mean[1].dice, (4.0 / 5 + 0) / 2); /* case c has no label 2 at all */
    assert_int_equal(summary->mean[0].absent, 0);
    assert_int_equal(summary->mean[1].absent, 1);
    assert_int_equal(summary->mean[0].infinite, 1);
    assert_int_equal(summary->mean[1].infinite, 1);
    near(summary->mean[0].hd95_mm, 0.425 / 2);
    near(summary->mean[1].tp, 2.0 / 3);
    near(summary->mean[0].n_ref, 7.0 / 3);
    near(summary->foreground_mean.dice, ((6.0 / 7 + 1) / 3 + 0.4) / 2);
    sn_summary_free(summary);
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void json_has_the_shape_of_nnu_nets(void **state)
{
    (void)state;
    static const char *const keys[] = {"Dice",   "FN",    "FP",   "IoU",         "TN",        "TP",
                                       "n_pred", "n_ref", "HD95", "volume_pred", "volume_ref"};
    char *text;
    write_cohort();
    sn_summary *summary = evaluated(NULL);
    assert_int_equal(sn_summary_json(&text, summary, NULL), SN_OK);
    assert_null(strstr(text, "NaN"));
    assert_null(strstr(text, "nan"));
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    for (int k = 0; k < 8; k++)
        number(json_object_get(root, "foreground_mean"), keys[k]);
    near(number(json_object_get(root, "foreground_mean"), "Dice"), summary->foreground_mean.dice);
    const json_t *mean = json_object_get(json_object_get(root, "mean"), "2");
    near(number(mean, "Dice"), 0.4);
    near(number(mean, "n_absent"), 1);
    const json_t *cases = json_object_get(root, "metric_per_case");
    assert_int_equal(json_array_size(cases), 3);
    const json_t *b = json_array_get(cases, 1), *one = json_object_get(json_object_get(b, "metrics"), "1");
    assert_non_null(strstr(json_string_value(json_object_get(b, "reference_file")), "labels/b.nii.gz"));
    assert_non_null(strstr(json_string_value(json_object_get(b, "prediction_file")), "predictions/b.nii.gz"));
    for (int k = 0; k < 11; k++)
        number(one, keys[k]);
    assert_true(json_is_integer(json_object_get(one, "TP")));
    near(number(one, "n_pred"), 3);
    near(number(one, "n_ref"), 4);
    near(number(one, "TN"), 6);
    const json_t *absent = json_object_get(json_object_get(json_array_get(cases, 2), "metrics"), "2");
    assert_true(json_is_null(json_object_get(absent, "Dice")));
    assert_true(json_is_null(json_object_get(absent, "HD95")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "labels"), "1")), "1");
    json_decref(root);
    sn_free(text);
    sn_summary_free(summary);
}

static void a_given_table_chooses_and_names_the_labels(void **state)
{
    (void)state;
    sn_label_table *labels;
    write_cohort();
    assert_int_equal(sn_label_table_create(&labels, NULL), SN_OK);
    assert_int_equal(sn_label_table_add(labels, 2, "tail", NULL), SN_OK);
    assert_int_equal(sn_label_table_add(labels, 8, "nowhere", NULL), SN_OK);
    sn_evaluate_options options = SN_EVALUATE_OPTIONS_INIT;
    options.labels = labels;
    sn_summary *summary = evaluated(&options);
    assert_int_equal(summary->label_count, 2);
    assert_string_equal(summary->labels->names[1], "tail");
    near(summary->mean[0].dice, 0.4);
    assert_true(isnan(summary->mean[1].dice));
    assert_int_equal(summary->mean[1].absent, 3);
    near(summary->foreground_mean.dice, 0.4); /* a label that no case has takes no part */
    sn_summary_free(summary);
    sn_label_table_free(labels);
}

static void a_missing_prediction_is_an_error_unless_partial(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_evaluate_options options = SN_EVALUATE_OPTIONS_INIT;
    sn_summary *summary;
    write_cohort();
    write_line(references, "d.nii.gz", "5", 0.5);
    write_line(predictions, "e.nii.gz", "1", 0.5); /* of no reference: ignored */
    assert_int_equal(sn_evaluate_folders(&summary, references, predictions, NULL, &error), SN_ERR_INPUT);
    assert_null(summary);
    assert_non_null(strstr(error.text, "labels/d.nii.gz"));
    assert_non_null(strstr(error.text, "predictions/d.nii.gz is missing"));
    options.partial = true;
    summary = evaluated(&options);
    assert_int_equal(summary->case_count, 3);
    assert_int_equal(summary->missing, 1);
    assert_int_equal(summary->label_count, 2); /* label 5 is of the case passed over */
    sn_summary_free(summary);
}

static void differing_grids_name_both_files(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_summary *summary;
    write_line(references, "a.nii", "01", 0.5);
    write_line(predictions, "a.nii", "01", 0.6);
    assert_int_equal(sn_evaluate_folders(&summary, references, predictions, NULL, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "labels/a.nii"));
    assert_non_null(strstr(error.text, "predictions/a.nii"));
    assert_non_null(strstr(error.text, "affines differ"));
}

static void folders_without_label_maps_are_errors(void **state)
{
    (void)state;
    char path[128];
    sn_error error = SN_ERROR_INIT;
    sn_summary *summary;
    assert_int_equal(sn_evaluate_folders(&summary, references, predictions, NULL, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "no .nii or .nii.gz files"));
    assert_int_equal(sn_evaluate_folders(&summary, "/no/such", predictions, NULL, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "/no/such: cannot read the folder"));
    write_line(references, "a.nii", "01", 0.5);
    write_line(predictions, "b.nii", "01", 0.5);
    snprintf(path, sizeof path, "%s/._a.nii", predictions); /* what a Mac's archive adds */
    assert_int_equal(sn_file_write(path, "x", 1, NULL), SN_OK);
    sn_evaluate_options options = SN_EVALUATE_OPTIONS_INIT;
    options.partial = true;
    assert_int_equal(sn_evaluate_folders(&summary, references, predictions, &options, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "none of its files"));
}

static bool count_until_two(void *context, int64_t done, int64_t total, const char *file)
{
    assert_int_equal(total, 3);
    assert_non_null(strstr(file, "labels/"));
    *(int64_t *)context = done;
    return done < 2;
}

static void progress_is_called_and_may_stop(void **state)
{
    (void)state;
    int64_t done = 0;
    sn_summary *summary;
    sn_evaluate_options options = {.progress = count_until_two, .context = &done};
    write_cohort();
    assert_int_equal(sn_evaluate_folders(&summary, references, predictions, &options, NULL),
                     SN_ERR_INTERRUPTED);
    assert_null(summary);
    assert_int_equal(done, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(folders_give_hand_values),
        TEST(json_has_the_shape_of_nnu_nets),
        TEST(a_given_table_chooses_and_names_the_labels),
        TEST(a_missing_prediction_is_an_error_unless_partial),
        TEST(differing_grids_name_both_files),
        TEST(folders_without_label_maps_are_errors),
        TEST(progress_is_called_and_may_stop),
    };
    return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
