/* JSON files: what is read and written, and what the errors name. */
#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

static char path[64];

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/segnas3d-json-%ld.json", (long)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static json_t *load(const char *text, sn_error *error)
{
    json_t *root;
    assert_int_equal(sn_file_write(path, text, strlen(text), error), SN_OK);
    sn_json_load(&root, path, error);
    return root;
}

static void a_saved_file_reads_back_the_same(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    json_t *back, *root = json_pack("{s:i, s:f, s:s, s:b, s:[i,i]}", "b", 3, "a", 0.1, "name", "\"x\"\n",
                                    "flag", 1, "list", 1, 2);
    assert_int_equal(sn_json_save(path, root, &error), SN_OK);
    assert_int_equal(sn_json_load(&back, path, &error), SN_OK);
    assert_true(json_equal(root, back));
    json_decref(root);
    json_decref(back);
}

static void a_syntax_error_names_file_and_line(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    assert_null(load("{\n  \"a\": 1,\n  \"b\": oops\n}\n", &error));
    assert_int_equal(error.status, SN_ERR_INPUT);
    char expected[128];
    snprintf(expected, sizeof expected, "%s:3: not valid JSON", path);
    assert_non_null(strstr(error.text, expected));
}

static void a_field_given_twice_is_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    assert_null(load("{\"a\": 1, \"a\": 2}", &error));
    assert_int_equal(error.status, SN_ERR_INPUT);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    json_t *root;
    assert_int_equal(sn_json_load(&root, "/nonexistent/a.json", &error), SN_ERR_INPUT);
    assert_null(root);
    assert_non_null(strstr(error.text, "/nonexistent/a.json"));
}

static void getters_give_the_values(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    json_t *root = load(
        "{\"i\": -7, \"x\": 2.5, \"s\": \"hi\", \"t\": true, \"n\": null, \"o\": {}, \"l\": []}", &error);
    int64_t integer;
    double number;
    const char *text;
    bool flag;
    json_t *value;
    assert_non_null(root);
    assert_int_equal(sn_json_integer(&integer, root, "i", "f", &error), SN_OK);
    assert_int_equal(integer, -7);
    assert_int_equal(sn_json_number(&number, root, "x", "f", &error), SN_OK);
    assert_true(number == 2.5);
    assert_int_equal(sn_json_number(&number, root, "i", "f", &error), SN_OK);
    assert_true(number == -7);
    assert_int_equal(sn_json_string(&text, root, "s", "f", &error), SN_OK);
    assert_string_equal(text, "hi");
    assert_int_equal(sn_json_boolean(&flag, root, "t", "f", &error), SN_OK);
    assert_true(flag);
    assert_int_equal(sn_json_object(&value, root, "o", "f", &error), SN_OK);
    assert_int_equal(sn_json_array(&value, root, "l", "f", &error), SN_OK);
    assert_true(sn_json_has(root, "i"));
    assert_false(sn_json_has(root, "n"));
    assert_false(sn_json_has(root, "none"));
    json_decref(root);
}

static void a_wrong_or_missing_field_is_named_with_its_kind(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    json_t *root = load("{\"i\": 1.5, \"l\": 3}", &error), *value;
    int64_t integer;
    const char *text;
    assert_int_equal(sn_json_integer(&integer, root, "i", "f.json: fold 2", &error), SN_ERR_INPUT);
    assert_string_equal(error.text, "f.json: fold 2: field \"i\" must be an integer, is a number");
    assert_int_equal(sn_json_array(&value, root, "l", "f", &error), SN_ERR_INPUT);
    assert_string_equal(error.text, "f: field \"l\" must be an array, is an integer");
    assert_int_equal(sn_json_string(&text, root, "name", "f", &error), SN_ERR_INPUT);
    assert_string_equal(error.text, "f: field \"name\" is missing; it must be a string");
    assert_int_equal(sn_json_string(&text, json_object_get(root, "l"), "name", "f", &error), SN_ERR_INPUT);
    assert_string_equal(error.text, "f: must be an object, is an integer");
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saved_file_reads_back_the_same),
        cmocka_unit_test(a_syntax_error_names_file_and_line),
        cmocka_unit_test(a_field_given_twice_is_refused),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(getters_give_the_values),
        cmocka_unit_test(a_wrong_or_missing_field_is_named_with_its_kind),
    };
    return cmocka_run_group_tests_name("json", tests, setup, teardown);
}
