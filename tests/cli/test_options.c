/* The option parser: values, and messages that name option, value and what it should be. */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "cli/options.h"

typedef struct values {
    bool flag;
    const char *text, *choice;
    int64_t count, memory, size[3];
    double rate;
} values;

/* Parse one command line against a table with one option of each kind. */
static sn_status parse(values *v, int *operands, char **argv, sn_error *error)
{
    const cli_option table[] = {
        {"flag", 'f', CLI_FLAG, NULL, &v->flag, "a flag", 0, 0, false},
        {"text", 't', CLI_TEXT, "TEXT", &v->text, "some text", 0, 0, false},
        {"choice", 0, CLI_CHOICE, "cpu|cuda:0", &v->choice, "a choice", 0, 0, false},
        {"count", 'n', CLI_INTEGER, "N", &v->count, "a count", 1, 100, false},
        {"rate", 0, CLI_NUMBER, "R", &v->rate, "a rate", 0, 1, false},
        {"memory", 0, CLI_MEMORY, "SIZE", &v->memory, "memory", 0, 0, false},
        {"size", 0, CLI_SIZE, "S|DxHxW|auto", v->size, "a size", 0, 0, false},
        {"output", 'o', CLI_TEXT, "DIR", &v->text, "needed", 0, 0, true},
        {0},
    };
    const cli_syntax syntax = {.command = "test",
                               .usage = "A [B] -o DIR",
                               .about = "",
                               .options = table,
                               .operands_min = 1,
                               .operands_max = 2};
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    memset(v, 0, sizeof *v);
    *error = (sn_error)SN_ERROR_INIT;
    return cli_parse(operands, &syntax, argc, argv, error);
}

#define PARSE(...) parse(&v, &operands, (char *[]){"test", __VA_ARGS__, NULL}, &error)
#define EXPECT_ERROR(message, ...)                                                                           \
    do {                                                                                                     \
        assert_int_equal(PARSE(__VA_ARGS__), SN_ERR_ARG);                                                    \
        assert_string_equal(error.text, message);                                                            \
    } while (0)

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    values v;
    int operands;
    sn_error error;
    assert_int_equal(PARSE("a", "--flag", "--text", "x", "--choice=cuda:0", "-n7", "--rate", "0.25",
                           "--memory", "1.5G", "--size", "48x64x40", "b", "-o", "dir"),
                     SN_OK);
    assert_int_equal(operands, 2);
    assert_true(v.flag);
    assert_string_equal(v.text, "dir");
    assert_string_equal(v.choice, "cuda:0");
    assert_int_equal(v.count, 7);
    assert_true(v.rate == 0.25);
    assert_int_equal(v.memory, 3LL << 29);
    assert_int_equal(v.size[0], 48);
    assert_int_equal(v.size[1], 64);
    assert_int_equal(v.size[2], 40);
    assert_int_equal(PARSE("--size", "auto", "-o", "d", "--", "--flag"), SN_OK);
    assert_int_equal(v.size[0], 0);
    assert_int_equal(operands, 1);
    assert_false(v.flag);
}

static void memory_takes_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"512M", 512LL << 20}, {"16G", 16LL << 30},  {"16GiB", 16LL << 30}, {"2GB", 2LL << 30},
                {"1T", 1LL << 40},     {"2000000", 2000000}, {"4096K", 4194304},    {"0.5G", 1LL << 29}};
    static const char *const bad[] = {"",     "0",   "-1G", "16Gs", "G",    "1e30G",
                                      "16 G", "nan", "16g", "16",   "1000K"};
    int64_t bytes;
    sn_error error = SN_ERROR_INIT;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(cli_memory_parse(&bytes, good[i].text, &error), SN_OK);
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cli_memory_parse(&bytes, bad[i], &error), SN_ERR_ARG);
}

static void messages_name_the_option_the_value_and_what_it_should_be(void **state)
{
    (void)state;
    values v;
    int operands;
    sn_error error;
    EXPECT_ERROR("test: unknown option \"--siz\"; did you mean --size?", "a", "--siz", "3");
    EXPECT_ERROR("test: unknown option \"--memroy\"; did you mean --memory?", "a", "--memroy=3G");
    EXPECT_ERROR("test: unknown option \"--quux\"; `segnas3d test --help` lists them", "a", "--quux");
    EXPECT_ERROR("test: unknown option \"-z\"; `segnas3d test --help` lists them", "a", "-z");
    EXPECT_ERROR("test: option --count: \"x\" is not an integer from 1 to 100", "a", "--count", "x");
    EXPECT_ERROR("test: option --count: \"0\" is not an integer from 1 to 100", "a", "-n", "0");
    EXPECT_ERROR("test: option --count: \"2.5\" is not an integer from 1 to 100", "a", "--count=2.5");
    EXPECT_ERROR("test: option --count: \"0x10\" is not an integer from 1 to 100", "a", "--count=0x10");
    EXPECT_ERROR("test: option --rate: \"nan\" is not a number from 0 to 1", "a", "--rate", "nan");
    EXPECT_ERROR("test: option --rate: \"1,5\" is not a number from 0 to 1", "a", "--rate", "1,5");
    EXPECT_ERROR("test: option --choice: \"gpu\" is not one of cpu|cuda:0", "a", "--choice", "gpu");
    EXPECT_ERROR("test: option --choice: \"cp\" is not one of cpu|cuda:0", "a", "--choice", "cp");
    EXPECT_ERROR(
        "test: option --memory: \"16Q\" is not an amount of memory of at least 1M, such as 512M or 16G", "a",
        "--memory", "16Q");
    EXPECT_ERROR("test: option --text needs a value: --text TEXT", "a", "--text");
    EXPECT_ERROR("test: option --flag takes no value", "a", "--flag=1");
    EXPECT_ERROR("test: option --output DIR is missing; usage: segnas3d test A [B] -o DIR", "a");
    EXPECT_ERROR("test: an argument is missing; usage: segnas3d test A [B] -o DIR", "-o", "d");
    EXPECT_ERROR("test: unexpected argument \"c\"; usage: segnas3d test A [B] -o DIR", "-o", "d", "a", "b",
                 "c");
    assert_int_equal(PARSE("a", "--size", "48x64"), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "test: option --size: "));
    assert_non_null(strstr(error.text, "48x64"));
}

static void only_near_words_are_suggested(void **state)
{
    (void)state;
    static const char *const words[] = {"check", "search", "train"};
    assert_string_equal(cli_nearest("serach", words, 3), "search");
    assert_string_equal(cli_nearest("chek", words, 3), "check");
    assert_string_equal(cli_nearest("Train", words, 3), "train");
    assert_null(cli_nearest("predict", words, 3));
    assert_null(cli_nearest("x", words, 3));
    assert_null(cli_nearest("", words, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(memory_takes_units),
        cmocka_unit_test(messages_name_the_option_the_value_and_what_it_should_be),
        cmocka_unit_test(only_near_words_are_suggested),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
