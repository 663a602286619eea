/* safetensors files: the bytes are the format's, and damage is found. */
#include "dataset/fixture.h"

#include <jansson.h>

#include "model/safetensors.h"

static float weights[6] = {1, -2, 3.5f, 4, 5, 6};
static double history[2] = {0.25, -1};

static sn_array items[2] = {
    {"block.weight", {SN_F32, {3, 2, 1, 1, 1}}, (char *)weights},
    {"history", {SN_F64, {1, 1, 1, 1, 2}}, (char *)history},
};
static const sn_arrays arrays = {2, items, NULL};

static const char *write_file(const char *folder)
{
    sn_error error = SN_ERROR_INIT;
    const char *path = in_folder(folder, "file.safetensors");
    json_t *record = json_pack("{s:s, s:f}", "what", "test", "number", 0.1);
    CHECK_OK(sn_safetensors_write(path, record, &arrays, &error), error);
    json_decref(record);
    return path;
}

/* Read by the format's description alone: 8 bytes of length, JSON, data. */
static void the_bytes_are_those_of_the_format(void **state)
{
    sn_error error = SN_ERROR_INIT;
    char *data;
    size_t size;
    uint64_t length = 0;
    CHECK_OK(sn_file_read(&data, &size, write_file(*state), &error), error);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | (unsigned char)data[i];
    json_t *header = json_loadb(data + 8, length, 0, NULL);
    const char *dtype, *text;
    json_int_t shape[5], begin, end;
    assert_int_equal(json_unpack(header, "{s:{s:s, s:[IIIII!], s:[II!]}}", "history", "dtype", &dtype,
                                 "shape", &shape[0], &shape[1], &shape[2], &shape[3], &shape[4],
                                 "data_offsets", &begin, &end),
                     0);
    assert_string_equal(dtype, "F64");
    assert_int_equal(shape[4], 2);
    assert_int_equal(end - begin, 16);
    assert_int_equal(8 + length + (uint64_t)end, size);
    assert_memory_equal(data + 8 + length + begin, history, sizeof history);
    assert_int_equal(json_unpack(header, "{s:{s:s}}", "__metadata__", "segnas3d", &text), 0);
    json_decref(header);
    sn_free(data);
}

static void what_was_written_is_read(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_arrays read;
    json_t *record;
    double number;
    CHECK_OK(sn_safetensors_read(&record, &read, write_file(*state), &error), error);
    assert_int_equal(read.count, 2);
    const sn_array *found = sn_arrays_find(&read, "block.weight");
    assert_non_null(found);
    assert_true(sn_tensor_desc_equal(&found->desc, &items[0].desc));
    assert_memory_equal(found->data, weights, sizeof weights);
    assert_null(sn_arrays_find(&read, "bias"));
    assert_int_equal(json_unpack(record, "{s:F}", "number", &number), 0);
    assert_true(number == 0.1);
    json_decref(record);
    sn_arrays_clear(&read);
}

/* Every shorter file, and a flip of every byte of the header, is refused or read without harm. */
static void damage_does_no_harm(void **state)
{
    sn_error error = SN_ERROR_INIT;
    char *data;
    size_t size;
    sn_arrays read;
    json_t *record;
    const char *damaged = in_folder(*state, "damaged.safetensors");
    CHECK_OK(sn_file_read(&data, &size, write_file(*state), &error), error);
    for (size_t length = 0; length < size; length++) {
        CHECK_OK(sn_file_write(damaged, data, length, &error), error);
        assert_int_equal(sn_safetensors_read(&record, &read, damaged, &error), SN_ERR_INPUT);
        assert_names(error.text, (const char *[]){"damaged.safetensors", "copy it again", NULL});
    }
    for (size_t byte = 0; byte < size - 40; byte++) {
        data[byte] ^= 0x15;
        CHECK_OK(sn_file_write(damaged, data, size, &error), error);
        if (sn_safetensors_read(&record, &read, damaged, &error) == SN_OK) {
            json_decref(record);
            sn_arrays_clear(&read);
        }
        data[byte] ^= 0x15;
    }
    sn_free(data);
}

static void a_missing_file_is_named(void **state)
{
    sn_error error = SN_ERROR_INIT;
    sn_arrays read;
    json_t *record;
    assert_int_equal(sn_safetensors_read(&record, &read, in_folder(*state, "none.safetensors"), &error),
                     SN_ERR_INPUT);
    assert_names(error.text, (const char *[]){"none.safetensors", NULL});
}

static void an_unwritable_folder_is_named(void **state)
{
    sn_error error = SN_ERROR_INIT;
    json_t *record = json_object();
    const char *path = in_folder(*state, "missing/file.safetensors");
    assert_int_equal(sn_safetensors_write(path, record, &arrays, &error), SN_ERR_IO);
    assert_names(error.text, (const char *[]){"missing/file.safetensors", "cannot write", NULL});
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_bytes_are_those_of_the_format, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(what_was_written_is_read, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(damage_does_no_harm, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(a_missing_file_is_named, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(an_unwritable_folder_is_named, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
