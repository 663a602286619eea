/* Search spaces: sizes, decoding, files. */
#include "arch_of.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/space.h"
#include "base/memory.h"

enum { MAX_X = 16 };

static sn_space space_of(const char *name)
{
    sn_space space;
    sn_error error = SN_ERROR_INIT;
    if (sn_space_load(&space, name, &error) != SN_OK)
        fail_msg("%s", error.text);
    return space;
}

static void sizes_are_those_of_the_paper(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int dimensions;
        double size;
    } cases[] = {{"segnas11", 11, 25. * 4 * 2 * 2 * 3 * 117649}, {"segnas4", 4, 400}, {"segnas7", 7, 352947}};
    for (int i = 0; i < 3; i++) {
        sn_space space = space_of(cases[i].name);
        assert_int_equal(sn_space_dimensions(&space), cases[i].dimensions);
        assert_true(sn_space_size(&space) == cases[i].size);
        sn_space_clear(&space);
    }
    assert_true(cases[0].size == 141178800);
}

static void every_value_up_to_the_closed_bound_decodes_into_the_half_open_set(void **state)
{
    (void)state;
    sn_space space = space_of("segnas11");
    static const double upper[11] = {33, 6, 2, 2, 5, 7, 7, 7, 7, 7, 7};
    double low[MAX_X], high[MAX_X], values[MAX_X], x[MAX_X];
    sn_space_bounds(&space, low, high);
    for (int k = 0; k < 11; k++) {
        memcpy(x, low, sizeof x);
        for (int value = (int)low[k]; value < (int)upper[k]; value++) {
            const double inside[] = {value, value + 0.5, nextafter(value + 1, 0)};
            for (int i = 0; i < 3; i++) {
                x[k] = inside[i];
                sn_space_decode(&space, x, values);
                assert_true(values[k] == value);
            }
        }
        x[k] = upper[k];
        sn_space_decode(&space, x, values);
        assert_true(high[k] == upper[k] && values[k] == upper[k] - 1);
    }
    sn_space_clear(&space);
}

static void the_middle_of_segnas4_is_20_4_1_1(void **state)
{
    (void)state;
    sn_space space = space_of("segnas4");
    double x[MAX_X];
    sn_arch arch, expected = arch_of("n=20 p=4 sup=1 res=1 nodes=3 ops=2,0,2");
    sn_space_middle(&space, x);
    assert_true(x[0] == 20.5 && x[1] == 4 && x[2] == 1 && x[3] == 1);
    sn_space_arch(&arch, &space, x);
    assert_true(sn_arch_equal(&arch, &expected));
    sn_space_clear(&space);
}

/* Of each value of each hyperparameter: what is encoded decodes to the same. */
static void a_point_that_is_encoded_decodes_to_the_same(void **state)
{
    (void)state;
    sn_space space = space_of("segnas11");
    double low[MAX_X], high[MAX_X], x[MAX_X], again[MAX_X];
    sn_arch arch, decoded;
    sn_reals reals;
    sn_space_bounds(&space, low, high);
    for (int k = 0; k < 11; k++) {
        for (int value = (int)low[k]; value < (int)high[k]; value++) {
            for (int i = 0; i < 11; i++)
                x[i] = high[i] - 0.25 - (i + k) % 2;
            x[k] = value + 0.75;
            sn_space_arch(&arch, &space, x);
            sn_space_reals(&reals, &space, x);
            sn_space_encode(again, &space, &arch, &reals);
            sn_space_arch(&decoded, &space, again);
            assert_true(sn_arch_equal(&arch, &decoded));
            assert_true(again[k] == (k < 5 || k - 5 < sn_arch_op_count(arch.nodes) ? value + 0.5 : 3.5));
        }
    }
    sn_space_clear(&space);
}

static void what_is_out_of_bounds_is_encoded_as_the_nearest(void **state)
{
    (void)state;
    sn_space space = space_of("segnas11");
    double x[MAX_X];
    sn_arch arch = arch_of("n=40 p=1 sup=0 res=1 nodes=2 ops=2");
    sn_reals reals = SN_REALS_INIT;
    sn_space_encode(x, &space, &arch, &reals);
    assert_true(x[0] == 32.5 && x[1] == 2.5 && x[2] == 0.5 && x[3] == 1.5 && x[4] == 2.5 && x[5] == 2.5);
    for (int k = 6; k < 11; k++)
        assert_true(x[k] == 3.5); /* not said */
    sn_space_clear(&space);
}

static void points_of_segnas7_keep_the_fixed_values_and_drop_unused_operations(void **state)
{
    (void)state;
    sn_space space = space_of("segnas7");
    sn_arch arch, expected = arch_of("n=16 p=4 sup=0 res=1 nodes=3 ops=6,2,3"),
                  four = arch_of("n=16 p=4 sup=0 res=1 nodes=4 ops=6,2,3,0,4,3");
    sn_space_arch(&arch, &space, (double[]){3.9, 6.2, 2, 3.1, 5, 5, 5});
    assert_true(sn_arch_equal(&arch, &expected));
    sn_space_arch(&arch, &space, (double[]){5, 7, 2.5, 3.5, 0.5, 4.5, 3.5});
    assert_true(sn_arch_equal(&arch, &four));
    sn_space_clear(&space);
}

static void spaces_survive_json(void **state)
{
    (void)state;
    static const char *const names[] = {"segnas11", "segnas4", "segnas7"};
    for (int i = 0; i < 3; i++) {
        sn_space space = space_of(names[i]), read;
        json_t *json;
        sn_error error = SN_ERROR_INIT;
        assert_int_equal(sn_space_to_json(&json, &space, &error), SN_OK);
        assert_int_equal(sn_space_from_json(&read, json, "file", &error), SN_OK);
        assert_int_equal(read.count, space.count);
        for (int k = 0; k < space.count; k++) {
            const sn_hyper *a = &read.hypers[k], *b = &space.hypers[k];
            assert_string_equal(a->name, b->name);
            assert_true(a->integer == b->integer && a->learned == b->learned && a->value == b->value);
            assert_true(a->lower == b->lower && a->upper == b->upper);
        }
        json_decref(json);
        sn_space_clear(&space);
        sn_space_clear(&read);
    }
}

static void a_file_says_what_is_learned_in_which_order(void **state)
{
    (void)state;
    char path[] = "/tmp/segnas3d-space-XXXXXX";
    int file = mkstemp(path);
    static const char text[] = "{\"res\": 0, \"nodes\": {\"lower\": 2, \"upper\": 4},"
                               " \"ops\": [{\"lower\": 1, \"upper\": 7}, {\"lower\": 0, \"upper\": 7}, 2],"
                               " \"p\": {\"lower\": 1, \"upper\": 3}}";
    assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
    close(file);
    sn_space space = space_of(path);
    unlink(path);
    sn_arch arch, expected = arch_of("n=16 p=1 sup=1 res=0 nodes=3 ops=4,5,2");
    assert_int_equal(sn_space_dimensions(&space), 4);
    assert_true(sn_space_size(&space) == 2 * 6 * 7 * 2);
    sn_space_arch(&arch, &space, (double[]){3.5, 4, 5, 1.9}); /* nodes, ops.1, ops.2, p */
    assert_true(sn_arch_equal(&arch, &expected));
    sn_space_clear(&space);
}

static void wrong_spaces_are_answered_with_file_and_field(void **state)
{
    (void)state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"[]", "s.json: must be an object of hyperparameters, is an array"},
        {"{\"depth\": 3}", "s.json: unknown hyperparameter \"depth\"; known: n, p, sup, res, nodes, ops, "
                           "learning_rate, dropout, loss_exponent"},
        {"{\"n\": 0}", "s.json: \"n\": the value must be a whole number from 1 to 1024"},
        {"{\"n\": \"8\"}",
         "s.json: \"n\" must be a number, or {\"lower\": a, \"upper\": b} with a <= value < b"},
        {"{\"n\": {\"lower\": 8}}",
         "s.json: \"n\" must be a number, or {\"lower\": a, \"upper\": b} with a <= value < b"},
        {"{\"n\": {\"lower\": 8, \"upper\": 16, \"step\": 2}}",
         "s.json: \"n\" must be a number, or {\"lower\": a, \"upper\": b} with a <= value < b"},
        {"{\"p\": {\"lower\": 2.5, \"upper\": 5}}",
         "s.json: \"p\": the lower bound must be a whole number from 1 to 8"},
        {"{\"p\": {\"lower\": 3, \"upper\": 3}}",
         "s.json: \"p\": the upper bound must be a whole number from 4 to 9"},
        {"{\"nodes\": {\"lower\": 2, \"upper\": 5}}",
         "s.json: \"ops\" has 3 entries, a block of up to 4 nodes needs 6"},
        {"{\"dropout\": 1}",
         "s.json: \"dropout\": the value must be a number from 0 to 0.95 with at most 3 decimals"},
        {"{\"learning_rate\": 0.001234}",
         "s.json: \"learning_rate\": the value must be a number from 1e-09 to 1 with at most 3 digits"},
        {"{\"learning_rate\": {\"lower\": 0.01, \"upper\": 0.01}}",
         "s.json: \"learning_rate\": the upper bound must be a number from 0.0101 to 1 with at most 3 "
         "digits"},
        {"{\"loss_exponent\": {\"lower\": 1}}",
         "s.json: \"loss_exponent\" must be a number, or {\"lower\": a, \"upper\": b} with a <= value < b"},
        {"{\"ops\": 2}", "s.json: \"ops\" must be a list of 1 to 496 entries"},
        {"{\"ops\": [2, 7, 2]}", "s.json: \"ops.2\": the value must be a whole number from 0 to 6"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_space space;
        sn_error error = SN_ERROR_INIT;
        json_t *json = json_loads(cases[i].json, 0, NULL);
        assert_non_null(json);
        assert_int_equal(sn_space_from_json(&space, json, "s.json", &error), SN_ERR_INPUT);
        assert_string_equal(error.text, cases[i].message);
        assert_null(space.hypers);
        json_decref(json);
    }
    sn_space space;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_space_load(&space, "/nowhere/space.json", &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "/nowhere/space.json"));
}

/* ---- real hyperparameters ---- */

static sn_space space_of_text(const char *text)
{
    sn_space space;
    sn_error error = SN_ERROR_INIT;
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    if (sn_space_from_json(&space, json, "s.json", &error) != SN_OK)
        fail_msg("%s", error.text);
    json_decref(json);
    return space;
}

static const char real_text[] = "{\"learning_rate\": {\"lower\": 1e-4, \"upper\": 2.5e-2}, \"n\": 9,"
                                " \"dropout\": {\"lower\": 0, \"upper\": 0.5}, \"loss_exponent\": 0.45}";

static void a_learning_rate_is_learned_by_its_logarithm(void **state)
{
    (void)state;
    sn_space space = space_of_text(real_text);
    double lower[2], upper[2], middle[2], again[2];
    sn_reals reals;
    sn_arch arch;
    assert_int_equal(sn_space_dimensions(&space), 2);
    assert_true(isinf(sn_space_size(&space)));
    sn_space_bounds(&space, lower, upper);
    sn_space_middle(&space, middle);
    assert_true(lower[0] == -4 && fabs(upper[0] - (log10(2.5) - 2)) < 1e-15);
    assert_true(lower[1] == 0 && upper[1] == 0.5);
    assert_true(fabs(middle[0] - (lower[0] + upper[0]) / 2) < 1e-15 && middle[1] == 0.25);
    sn_space_reals(&reals, &space, middle); /* sqrt(1e-4 2.5e-2) = 0.0015811 */
    assert_true(reals.value[SN_REAL_LEARNING_RATE] == 0.00158 && reals.value[SN_REAL_DROPOUT] == 0.25);
    assert_true(reals.value[SN_REAL_LOSS_EXPONENT] == 0.45);
    sn_space_reals(&reals, &space, lower);
    assert_true(reals.value[SN_REAL_LEARNING_RATE] == 1e-4 && reals.value[SN_REAL_DROPOUT] == 0);
    sn_space_reals(&reals, &space, upper);
    assert_true(reals.value[SN_REAL_LEARNING_RATE] == 2.5e-2 && reals.value[SN_REAL_DROPOUT] == 0.5);
    sn_space_arch(&arch, &space, middle);
    reals.value[SN_REAL_LEARNING_RATE] = 0.00215;
    reals.value[SN_REAL_DROPOUT] = NAN; /* not said: the middle */
    sn_space_encode(again, &space, &arch, &reals);
    assert_true(again[0] == log10(0.00215) && again[1] == middle[1]);
    sn_space_reals(&reals, &space, again);
    assert_true(reals.value[SN_REAL_LEARNING_RATE] == 0.00215);
    assert_true(arch.n == 9 && sn_space_has(&space, "dropout") && !sn_space_has(&space, "depth"));
    sn_space_clear(&space);
    space = space_of("segnas4");
    sn_space_reals(&reals, &space, (double[]){9, 3, 1, 1});
    for (int r = 0; r < SN_REALS; r++)
        assert_true(isnan(reals.value[r]));
    sn_space_clear(&space);
}

/* What a study records as text is the value to the last bit, for points all over the space. */
static void a_value_that_was_written_is_read_exactly(void **state)
{
    (void)state;
    sn_space space = space_of_text(real_text);
    sn_error error = SN_ERROR_INIT;
    double lower[2], upper[2], x[2];
    sn_space_bounds(&space, lower, upper);
    for (int i = 0; i <= 5000; i++) {
        char *text;
        sn_reals reals, read;
        sn_arch arch, same;
        for (int k = 0; k < 2; k++)
            x[k] = lower[k] + (upper[k] - lower[k]) * (k == 0 ? i : i * 37 % 5001) / 5000.0;
        sn_space_arch(&arch, &space, x);
        sn_space_reals(&reals, &space, x);
        assert_int_equal(sn_reals_format(&text, &arch, &reals, &error), SN_OK);
        assert_int_equal(sn_reals_parse(&same, &read, text, &error), SN_OK);
        assert_memory_equal(&read, &reals, sizeof reals);
        assert_true(sn_arch_equal(&arch, &same));
        assert_true(fabs(reals.value[SN_REAL_LEARNING_RATE] / pow(10, x[0]) - 1) < 0.0051);
        assert_true(fabs(reals.value[SN_REAL_DROPOUT] - x[1]) < 0.00051);
        sn_free(text);
    }
    sn_space_clear(&space);
}

static void a_real_space_comes_back_from_json(void **state)
{
    (void)state;
    sn_space space = space_of_text(real_text), read;
    json_t *json, *again;
    assert_int_equal(sn_space_to_json(&json, &space, NULL), SN_OK);
    char *text = json_dumps(json, JSON_REAL_PRECISION(17)); /* as a study has it */
    json_decref(json);
    json = json_loads(text, 0, NULL);
    assert_int_equal(sn_space_from_json(&read, json, "s.json", NULL), SN_OK);
    assert_int_equal(sn_space_to_json(&again, &read, NULL), SN_OK);
    assert_true(json_equal(json, again));
    free(text);
    json_decref(json);
    json_decref(again);
    sn_space_clear(&space);
    sn_space_clear(&read);
}

static void a_text_says_how_to_train(void **state)
{
    (void)state;
    sn_arch arch;
    sn_reals reals;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_reals_parse(&arch, &reals, "dropout=0.123456 net=vnet", &error), SN_OK);
    assert_true(reals.value[SN_REAL_DROPOUT] == 0.123456 && isnan(reals.value[SN_REAL_LEARNING_RATE]));
    assert_int_equal(arch.net, SN_NET_VNET);
    assert_int_equal(sn_reals_parse(&arch, &reals, "n=8 dropout=1", &error), SN_ERR_ARG);
    assert_string_equal(error.text, "dropout: \"1\" is not a number from 0 to 0.95");
    assert_int_equal(sn_reals_parse(&arch, &reals, "n=8 learning_rate=nan", &error), SN_ERR_ARG);
    assert_int_equal(sn_reals_parse(&arch, &reals, "n=8 rate=1", &error), SN_ERR_ARG);
    assert_string_equal(error.text, "arch: unknown field \"rate\"; known: net, n, p, sup, res, nodes, ops");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_paper),
        cmocka_unit_test(every_value_up_to_the_closed_bound_decodes_into_the_half_open_set),
        cmocka_unit_test(the_middle_of_segnas4_is_20_4_1_1),
        cmocka_unit_test(a_point_that_is_encoded_decodes_to_the_same),
        cmocka_unit_test(what_is_out_of_bounds_is_encoded_as_the_nearest),
        cmocka_unit_test(points_of_segnas7_keep_the_fixed_values_and_drop_unused_operations),
        cmocka_unit_test(spaces_survive_json),
        cmocka_unit_test(a_file_says_what_is_learned_in_which_order),
        cmocka_unit_test(a_learning_rate_is_learned_by_its_logarithm),
        cmocka_unit_test(a_value_that_was_written_is_read_exactly),
        cmocka_unit_test(a_real_space_comes_back_from_json),
        cmocka_unit_test(a_text_says_how_to_train),
        cmocka_unit_test(wrong_spaces_are_answered_with_file_and_field),
    };
    return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
