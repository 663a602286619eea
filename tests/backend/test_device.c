/* Names of devices and precisions, and what made-up GPUs (tests/cli/fake_gpus.c) have free. What the program makes of
 * them is tested with it (tests/cli/test_gpus.sh). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/device.h"

static void names_are_of_one_form(void **state)
{
    (void)state;
    static const char *const right[] = {"cpu", "cuda", "cuda:0", "cuda:12", "cuda:9999"};
    static const char *const wrong[] = {"",         "CPU",     "cpu:0",    "cuda:",    "cuda:a",    "cuda:-1",
                                        "cuda:1 ",  "cuda:0,", "cuda:,0",  "cuda:0,0", "cuda:0,1,", "cuda;0",
                                        "cuda:12x", "cuda::1", "cuda:0:1", "ref",      "cuda:00000"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_true(sn_device_is_name(right[i], 1));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(sn_device_is_name(wrong[i], SN_DEVICE_GPUS));
    assert_true(sn_device_is_name("cuda:2,0,1", 3));
    assert_false(sn_device_is_name("cuda:2,0,1", 2));
}

static void more_gpus_than_a_name_may_list_are_refused(void **state)
{
    (void)state;
    char name[256] = "cuda";
    for (int i = 0; i <= SN_DEVICE_GPUS; i++) {
        assert_true(sn_device_is_name(name, SN_DEVICE_GPUS));
        snprintf(name + strlen(name), sizeof name - strlen(name), "%c%d", i == 0 ? ':' : ',', i);
    }
    assert_false(sn_device_is_name(name, 2 * SN_DEVICE_GPUS));
}

static void a_name_lists_gpus_or_none(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_device_listed("cpu"), 0);
    assert_int_equal(sn_device_listed("cuda"), 0);
    assert_int_equal(sn_device_listed("cuda:3"), 1);
    assert_int_equal(sn_device_listed("cuda:2,0,1"), 3);
    assert_int_equal(sn_device_check_alike("cpu", SN_PRECISION_AUTO, &error), SN_OK);
    assert_int_equal(sn_device_check_alike("cuda:3", SN_PRECISION_AUTO, &error), SN_OK);
}

static void a_kind_is_without_the_number(void **state)
{
    (void)state;
    assert_string_equal(sn_device_kind("cpu"), "cpu");
    assert_string_equal(sn_device_kind("checked:cpu"), "checked:cpu");
    assert_string_equal(sn_device_kind("cuda"), "cuda");
    assert_string_equal(sn_device_kind("cuda:3"), "cuda");
    assert_string_equal(sn_device_kind("cuda:0,3"), "cuda");
}

static void the_cpu_has_one_precision(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    for (sn_precision p = SN_PRECISION_AUTO; p <= SN_PRECISION_BF16; p++) {
        sn_precision read, made = p;
        assert_int_equal(sn_precision_parse(&read, sn_precision_name(p), &error), SN_OK);
        assert_int_equal(read, p);
        bool has = p <= SN_PRECISION_FLOAT32;
        assert_int_equal(sn_device_precision(&made, "cpu", &error), has ? SN_OK : SN_ERR_ARG);
        if (has)
            assert_int_equal(made, SN_PRECISION_AUTO);
    }
    assert_int_equal(sn_precision_parse(&(sn_precision){0}, "fp16", &error), SN_ERR_ARG);
}

static void a_device_is_opened_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"cpu", "ref", "checked:cpu", "checked:ref"};
    const sn_backend *backend;
    sn_device *device;
    sn_error error = SN_ERROR_INIT;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(sn_device_open(&backend, &device, names[i], SN_PRECISION_AUTO, 1, &error), SN_OK);
        sn_device_close(backend, device);
    }
    assert_int_equal(sn_device_open(&backend, &device, "gpu", SN_PRECISION_AUTO, 1, &error), SN_ERR_ARG);
    assert_null(backend);
    sn_device_close(backend, device);
}

/* On a GPU each process that computes takes something beside its plan. */
static void memory_is_less_what_each_process_takes_for_itself(void **state)
{
    (void)state;
    const int64_t mebibyte = 1 << 20;
    int64_t bytes[3], left;
    sn_error error = SN_ERROR_INIT;
    setenv("FAKE_GPUS", "9.0:4096 8.0:2048", 1);
    for (int processes = 0; processes < 3; processes++) {
        if (sn_device_memory(&bytes[processes], "cuda", processes, &error) != SN_OK)
            fail_msg("%s", error.text);
        assert_int_equal(bytes[processes], (2048 - processes * 768) * mebibyte);
    }
    assert_int_equal(sn_device_memory(&left, "cuda:0", 5, &error), SN_OK);
    assert_int_equal(left, (4096 - 5 * 768) * mebibyte);
    assert_int_equal(sn_device_memory(&left, "cuda", 3, &error), SN_OK);
    assert_int_equal(left, 0);
    assert_int_equal(sn_device_memory(&left, "cpu", 1 << 20, &error), SN_OK);
    assert_true(left > 0);
}

static int beside(const char *name, int workers)
{
    int count;
    sn_error error = SN_ERROR_INIT;
    if (sn_device_beside(&count, name, workers, &error) != SN_OK)
        fail_msg("%s", error.text);
    return count;
}

static void workers_take_gpus_in_turn_and_are_beside_others(void **state)
{
    (void)state;
    setenv("FAKE_GPUS", "9.0:4096 8.0:2048", 1);
    for (int workers = 0; workers <= 5; workers++) {
        assert_int_equal(beside("cuda", workers), workers > 4 ? 2 : workers > 2);
        assert_int_equal(beside("cuda:1", workers), workers > 1 ? workers - 1 : 0);
        assert_int_equal(beside("cpu", workers), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_of_one_form),
        cmocka_unit_test(more_gpus_than_a_name_may_list_are_refused),
        cmocka_unit_test(a_name_lists_gpus_or_none),
        cmocka_unit_test(a_kind_is_without_the_number),
        cmocka_unit_test(the_cpu_has_one_precision),
        cmocka_unit_test(a_device_is_opened_by_name),
        cmocka_unit_test(workers_take_gpus_in_turn_and_are_beside_others),
        cmocka_unit_test(memory_is_less_what_each_process_takes_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
