/* dataset.json in both forms, its faults, reading images, fingerprints. */
#include "dataset/fixture.h"

#include "base/json.h"
#include "dataset/label_table.h"

static void the_decathlons_form_is_read(void **state)
{
    write_text(
        *state, "dataset.json",
        "{\"name\": \"Heart\", \"modality\": {\"0\": \"T1\", \"1\": \"T2\"},"
        "\"labels\": {\"0\": \"background\", \"7\": \"wall\", \"-3\": \"blood\"},"
        "\"training\": [{\"image\": \"./imagesTr/b_1000.nii.gz\", \"label\": \"./labelsTr/b_1000.nii.gz\"},"
        "{\"image\": [\"imagesTr/a_0000.nii\", \"imagesTr/a_0001.nii\"], \"label\": \"labelsTr/a.nii\"}],"
        "\"test\": [\"./imagesTs/z.nii.gz\", {\"image\": \"imagesTs/y.nii.gz\"}]}");
    sn_dataset *dataset = open_dataset(*state);
    assert_string_equal(dataset->name, "Heart");
    assert_int_equal(dataset->channels, 2);
    assert_string_equal(dataset->channel_names[1], "T2");
    assert_int_equal(dataset->labels->count, 3);
    assert_int_equal(dataset->labels->values[0], 0);
    assert_string_equal(dataset->labels->names[0], "background");
    assert_int_equal(dataset->labels->values[1], -3); /* background, then ascending */
    assert_string_equal(dataset->labels->names[1], "blood");
    assert_int_equal(dataset->labels->values[2], 7);

    assert_int_equal(dataset->count, 2);
    assert_string_equal(dataset->cases[0].name, "a"); /* sorted; the channel suffix is gone */
    assert_int_equal(dataset->cases[0].image_count, 2);
    assert_string_equal(dataset->cases[0].images[1], in_folder(*state, "imagesTr/a_0001.nii"));
    assert_string_equal(dataset->cases[1].name, "b_1000"); /* not a channel: the label is named so too */
    assert_int_equal(dataset->cases[1].image_count, 1);
    assert_string_equal(dataset->cases[1].images[0], in_folder(*state, "imagesTr/b_1000.nii.gz"));
    assert_string_equal(dataset->cases[1].label, in_folder(*state, "labelsTr/b_1000.nii.gz"));
    assert_int_equal(dataset->test_count, 2);
    assert_string_equal(dataset->tests[0].name, "y");
    assert_null(dataset->tests[0].label);
    assert_int_equal(sn_dataset_find(dataset, "b_1000"), 1);
    assert_int_equal(sn_dataset_find(dataset, "b"), -1);
    sn_dataset_close(dataset);
}

static const char *const NNUNET =
    "{\"channel_names\": {\"0\": \"CT\", \"1\": \"PET\"}, \"file_ending\": \".nii.gz\","
    "\"labels\": {\"tumour\": 4, \"background\": 0, \"liver\": 1},"
    "\"numTraining\": 2}";

static void nnunets_form_finds_its_cases_in_the_folders(void **state)
{
    static const char *const files[] = {"imagesTr/p_2_0000.nii.gz", "imagesTr/p_2_0001.nii.gz",
                                        "imagesTr/p_1_0000.nii.gz", "labelsTr/p_2.nii.gz",
                                        "labelsTr/p_3.nii.gz",      "imagesTs/t_0000.nii.gz",
                                        "imagesTr/notes.txt",       "imagesTr/._p_2_0000.nii.gz"};
    sn_error error = SN_ERROR_INIT;
    CHECK_OK(sn_folder_create(in_folder(*state, "imagesTr"), &error), error);
    CHECK_OK(sn_folder_create(in_folder(*state, "labelsTr"), &error), error);
    CHECK_OK(sn_folder_create(in_folder(*state, "imagesTs"), &error), error);
    write_text(*state, "dataset.json", NNUNET);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        write_text(*state, files[i], "");

    sn_dataset *dataset;
    CHECK_OK(sn_dataset_open(&dataset, in_folder(*state, "dataset.json"), &error), error);
    assert_string_equal(dataset->name, sn_path_name(*state));
    assert_int_equal(dataset->labels->count, 3);
    assert_int_equal(dataset->labels->values[2], 4);
    assert_string_equal(dataset->labels->names[2], "tumour");
    assert_int_equal(dataset->count, 3); /* also what lacks an image or a label: check reports it */
    assert_string_equal(dataset->cases[0].name, "p_1");
    assert_string_equal(dataset->cases[1].name, "p_2");
    assert_string_equal(dataset->cases[2].name, "p_3");
    assert_string_equal(dataset->cases[1].images[1], in_folder(*state, "imagesTr/p_2_0001.nii.gz"));
    assert_string_equal(dataset->cases[1].label, in_folder(*state, "labelsTr/p_2.nii.gz"));
    assert_int_equal(dataset->test_count, 1);
    assert_string_equal(dataset->tests[0].images[1], in_folder(*state, "imagesTs/t_0001.nii.gz"));
    sn_dataset_close(dataset);
}

static void nnunets_dataset_key_lists_cases(void **state)
{
    write_text(*state, "dataset.json",
               "{\"channel_names\": {\"0\": \"CT\"}, \"file_ending\": \".nii.gz\","
               "\"labels\": {\"background\": 0, \"liver\": 1}, \"dataset\": {\"second\": {\"images\": "
               "[\"/data/x.nii.gz\"], \"label\": \"y.nii.gz\"}, \"first\": {\"images\": [\"u.nii\"], "
               "\"label\": \"v\"}}}");
    sn_dataset *dataset = open_dataset(*state);
    assert_int_equal(dataset->count, 2);
    assert_string_equal(dataset->cases[1].name, "second");
    assert_string_equal(dataset->cases[1].images[0], "/data/x.nii.gz");
    assert_string_equal(dataset->cases[1].label, in_folder(*state, "y.nii.gz"));
    sn_dataset_close(dataset);
}

#define CHANNELS "\"modality\": {\"0\": \"MRI\"}, "
#define LABELS "\"labels\": {\"0\": \"background\", \"1\": \"a\"}, "
#define TRAINING "\"training\": [{\"image\": \"i.nii\", \"label\": \"l.nii\"}]"

static void every_fault_of_dataset_json_names_the_field_and_the_fix(void **state)
{
    static const struct {
        const char *json;
        const char *words[4];
    } faults[] = {
        {"{", {"not valid JSON"}},
        {"[]", {"must be an object"}},
        {"{" LABELS TRAINING "}", {"no channels", "\"modality\"", "\"channel_names\""}},
        {"{\"modality\": {}, " LABELS TRAINING "}", {"\"modality\"", "empty", "name the channels"}},
        {"{\"modality\": {\"1\": \"MRI\"}, " LABELS TRAINING "}", {"\"modality\"", "\"0\"", "missing"}},
        {"{" CHANNELS TRAINING "}", {"\"labels\"", "missing"}},
        {"{" CHANNELS "\"labels\": {\"1\": \"a\"}, " TRAINING "}", {"\"labels\"", "background", "value 0"}},
        {"{" CHANNELS "\"labels\": {\"0\": \"background\"}, " TRAINING "}", {"\"labels\"", "structure"}},
        {"{" CHANNELS "\"labels\": {\"background\": 0, \"whole\": [1, 2]}, " TRAINING "}",
         {"\"whole\"", "region", "one value"}},
        {"{" CHANNELS "\"labels\": {\"background\": 0, \"a\": 1, \"ignore\": 2}, " TRAINING "}",
         {"ignore", "value 2", "remove"}},
        {"{" CHANNELS "\"labels\": {\"0\": \"background\", \"one\": \"a\"}, " TRAINING "}",
         {"\"one\"", "\"a\""}},
        {"{" CHANNELS "\"labels\": {\"background\": 0, \"a\": 1.5}, " TRAINING "}", {"\"a\"", "integer"}},
        {"{" CHANNELS "\"labels\": {\"background\": 0, \"a\": 3, \"b\": 3}, " TRAINING "}",
         {"\"a\"", "\"b\"", "same value 3"}},
        {"{" CHANNELS "\"labels\": {\"background\": 0, \"a\": 3000000000}, " TRAINING "}",
         {"3000000000", "32 bits"}},
        {"{" CHANNELS "\"labels\": {\"0\": \"background\", \"1\": \"a\"}}", {"no cases", "\"training\""}},
        {"{" CHANNELS LABELS "\"training\": []}", {"no cases", "list them", "\"training\""}},
        {"{" CHANNELS "\"labels\": {\"0\": \"background\", \"1\": \"a\", \"2\": \"a\"}, " TRAINING "}",
         {"values 1 and 2", "\"a\"", "own name"}},
        {"{" CHANNELS LABELS "\"dataset\": {\"../x\": {\"images\": [\"i.nii\"], \"label\": \"l.nii\"}}}",
         {"\"../x\"", "slash"}},
        {"{" CHANNELS LABELS "\"training\": {}}", {"\"training\"", "array"}},
        {"{" CHANNELS LABELS "\"training\": [\"i.nii\"]}", {"\"training\"", "entry 0", "object"}},
        {"{" CHANNELS LABELS "\"training\": [{\"image\": \"i.nii\"}]}", {"entry 0", "\"label\"", "missing"}},
        {"{" CHANNELS LABELS "\"training\": [{\"label\": \"i.nii\"}]}", {"entry 0", "image", "missing"}},
        {"{" CHANNELS LABELS "\"training\": [{\"image\": [\"a\", \"b\"], \"label\": \"l\"}]}",
         {"entry 0", "2 image files", "one a channel"}},
        {"{" CHANNELS LABELS "\"training\": [{\"image\": \"a/i.nii\", \"label\": \"l\"},"
         " {\"image\": \"b/i.nii\", \"label\": \"m\"}]}",
         {"case \"i\"", "twice", "remove one"}},
        {"{" CHANNELS LABELS "\"file_ending\": \".mha\"}", {"\"file_ending\"", ".mha", "NIfTI"}},
        {"{" CHANNELS LABELS "\"file_ending\": \".nii\"}", {"no cases", "imagesTr"}},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        sn_dataset *dataset = NULL;
        sn_error error = SN_ERROR_INIT;
        write_text(*state, "dataset.json", faults[i].json);
        sn_status status = sn_dataset_open(&dataset, *state, &error);
        if (status != SN_ERR_INPUT)
            fail_msg("%s is accepted", faults[i].json);
        assert_null(dataset);
        assert_names(error.text, (const char *const[]){"dataset.json", NULL});
        const char *words[5] = {faults[i].words[0], faults[i].words[1], faults[i].words[2],
                                faults[i].words[3], NULL};
        assert_names(error.text, words);
    }
}

static void a_folder_without_dataset_json_is_said_to_be_so(void **state)
{
    sn_dataset *dataset = NULL;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_dataset_open(&dataset, *state, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"dataset.json", "no such file", NULL});
    assert_int_equal(sn_dataset_open(&dataset, "/nonexistent/place", &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"/nonexistent/place", "no such file", NULL});
    assert_int_equal(sn_dataset_open(&dataset, "/place/image.nii.gz", &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"/place/image.nii.gz", "not a data set", "folder", NULL});
}

static void channel_files_are_stacked_in_order(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *image;
    char *paths[2] = {strdup(in_folder(*state, "x_0000.nii.gz")), strdup(in_folder(*state, "x_0001.nii"))};
    write_image(paths[0], grid_of(2, 3, 4, 1, 1, 1), 1, 5);
    write_image(paths[1], grid_of(2, 3, 4, 1, 1, 1), 1, 50);
    CHECK_OK(sn_image_read(&image, paths, 2, 2, &error), error);
    assert_int_equal(image->channels, 2);
    for (int i = 0; i < 24; i++) {
        assert_true(image->data[i] == 1 + (17 * i + 5) % 101);
        assert_true(image->data[24 + i] == 1 + (17 * i + 50) % 101);
    }
    sn_volume_free(image);

    write_image(paths[1], grid_of(2, 3, 4, 1, 1, 1.5), 1, 50);
    assert_int_equal(sn_image_read(&image, paths, 2, 2, &error), SN_ERR_INPUT);
    assert_null(image);
    assert_names(error.text, (const char *const[]){"x_0001.nii", "grid", NULL});
    write_image(paths[1], grid_of(2, 3, 4, 1, 1, 1), 3, 50);
    assert_int_equal(sn_image_read(&image, &paths[1], 1, 2, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"x_0001.nii", "3 channels", "2 expected", NULL});
    free(paths[0]);
    free(paths[1]);
}

static void a_4d_file_holds_its_channels(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *image;
    char *path = strdup(in_folder(*state, "x.nii.gz"));
    write_image(path, grid_of(2, 3, 4, 1, 1, 1), 3, 9);
    CHECK_OK(sn_image_read(&image, &path, 1, 3, &error), error);
    assert_int_equal(image->channels, 3);
    for (int i = 0; i < 72; i++)
        assert_true(image->data[i] == 1 + (17 * i + 9) % 101);
    sn_volume_free(image);
    free(path);
}

static void case_names_lose_extension_and_channel(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool strip;
        const char *name;
    } cases[] = {{"a/b/brain_1000.nii.gz", false, "brain_1000"},
                 {"a/b/brain_1000.nii.gz", true, "brain"},
                 {"brain_1000_0000.nii", true, "brain_1000"},
                 {"la_003.nii.gz", true, "la_003"},
                 {"v1.5_x.nii", true, "v1.5_x"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *name;
        assert_int_equal(sn_case_name(&name, cases[i].path, cases[i].strip, NULL), SN_OK);
        assert_string_equal(name, cases[i].name);
        sn_free(name);
    }
}

static void the_fingerprint_follows_content_not_place(void **state)
{
    char first[SN_HASH_TEXT], second[SN_HASH_TEXT];
    sn_error error = SN_ERROR_INIT;
    write_dataset(in_folder(*state, "a"), 2);
    write_dataset(in_folder(*state, "b"), 2);
    sn_dataset *a = open_dataset(in_folder(*state, "a")), *b = open_dataset(in_folder(*state, "b"));
    CHECK_OK(sn_dataset_fingerprint(first, a, NULL, &error), error);
    CHECK_OK(sn_dataset_fingerprint(second, b, NULL, &error), error);
    assert_string_equal(first, second);

    write_labels(in_folder(*state, "b/labelsTr/c01.nii.gz"), grid_of(4, 5, 6, 1, 1, 1),
                 (const int32_t[]){0, 2}, 2);
    CHECK_OK(sn_dataset_fingerprint(second, b, NULL, &error), error);
    assert_string_not_equal(first, second);

    unlink(in_folder(*state, "b/imagesTr/c00.nii.gz"));
    assert_int_equal(sn_dataset_fingerprint(second, b, NULL, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"c00.nii.gz", NULL});
    sn_dataset_close(a);
    sn_dataset_close(b);
}

static void label_tables_survive_json(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_label_table *table, *copy;
    json_t *json;
    CHECK_OK(sn_label_table_create(&table, &error), error);
    CHECK_OK(sn_label_table_add(table, 12, "left \"caudate\"", &error), error);
    CHECK_OK(sn_label_table_add(table, -4, "μ", &error), error);
    CHECK_OK(sn_label_table_to_json(&json, table, &error), error);
    CHECK_OK(sn_label_table_from_json(&copy, json, "model", &error), error);
    assert_int_equal(copy->count, 3);
    for (int c = 0; c < 3; c++) {
        assert_int_equal(copy->values[c], table->values[c]);
        assert_string_equal(copy->names[c], table->names[c]);
    }
    sn_label_table_free(copy);
    json_object_del(json_array_get(json, 1), "value");
    assert_int_equal(sn_label_table_from_json(&copy, json, "model", &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"model", "\"value\"", NULL});
    assert_null(copy);
    json_decref(json);
    sn_label_table_free(table);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_decathlons_form_is_read),
        IN_FOLDER(nnunets_form_finds_its_cases_in_the_folders),
        IN_FOLDER(nnunets_dataset_key_lists_cases),
        IN_FOLDER(every_fault_of_dataset_json_names_the_field_and_the_fix),
        IN_FOLDER(a_folder_without_dataset_json_is_said_to_be_so),
        IN_FOLDER(channel_files_are_stacked_in_order),
        IN_FOLDER(a_4d_file_holds_its_channels),
        cmocka_unit_test(case_names_lose_extension_and_channel),
        IN_FOLDER(the_fingerprint_follows_content_not_place),
        cmocka_unit_test(label_tables_survive_json),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
