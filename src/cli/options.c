#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/preprocess.h"

enum { HELP_COLUMN = 28, HELP_WIDTH = 80, WORD_BYTES = 64, MAX_SUGGESTIONS = 64 };

/* ---- values ---- */

sn_status cli_memory_parse(int64_t *bytes, const char *text, sn_error *error)
{
    static const char *const units[] = {"", "K", "M", "G", "T"};
    char *end = NULL;
    double value = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : 0;
    for (int i = 0; i < 5 && value > 0; i++) {
        size_t letters = strlen(units[i]);
        const char *rest = end + letters;
        if (strncmp(end, units[i], letters) != 0 ||
            (*rest != '\0' && strcmp(rest, "B") && strcmp(rest, "iB")))
            continue;
        value = floor(ldexp(value, 10 * i));
        if (value < 0x1p20 || value > 0x1p60) /* "16" is not meant as 16 bytes */
            break;
        *bytes = (int64_t)value;
        return SN_OK;
    }
    return sn_error_set(error, SN_ERR_ARG,
                        "\"%s\" is not an amount of memory of at least 1M, such as 512M or 16G", text);
}

sn_status cli_memory_together(int64_t *bytes, const char *device, int trainings, sn_error *error)
{
    sn_status status = sn_device_memory(bytes, device, trainings, error);
    *bytes = *bytes / 10 * 9;
    return status;
}

sn_status cli_memory_default(int64_t *bytes, const char *device, sn_error *error)
{
    sn_status status = cli_memory_together(bytes, device, 1, error);
    if (status == SN_OK && *bytes == 0)
        status = sn_error_set(error, SN_ERR_MEMORY,
                              "device %s: not even the %d MiB are free that CUDA takes for itself; end what "
                              "else uses it, or choose another one; `segnas3d devices` lists them",
                              device, SN_DEVICE_GPU_OWN >> 20);
    return status;
}

static sn_status number_parse(double *value, const cli_option *option, const char *text, sn_error *error)
{
    char *end;
    bool whole = option->kind == CLI_INTEGER, limited = option->minimum < option->maximum;
    *value = strtod(text, &end);
    bool good = text[0] != '\0' && text[strspn(text, "0123456789+-.eE")] == '\0' && *end == '\0' &&
                isfinite(*value) && (!whole || (*value == floor(*value) && fabs(*value) <= 0x1p53));
    if (good && (!limited || (*value >= option->minimum && *value <= option->maximum)))
        return SN_OK;
    const char *kind = whole ? "an integer" : "a number";
    if (!limited)
        return sn_error_set(error, SN_ERR_ARG, "\"%s\" is not %s", text, kind);
    if (option->maximum >= 0x1p53)
        return sn_error_set(error, SN_ERR_ARG, "\"%s\" is not %s of at least %g", text, kind,
                            option->minimum);
    return sn_error_set(error, SN_ERR_ARG, "\"%s\" is not %s from %.10g to %.10g", text, kind,
                        option->minimum, option->maximum);
}

/* `list` is "cpu|cuda"; true where `text` is one of its words. */
static bool choice_has(const char *list, const char *text)
{
    size_t length = strlen(text);
    for (const char *word = list; word != NULL; word = strchr(word, '|')) {
        word += *word == '|';
        if (length > 0 && strcspn(word, "|") == length && strncmp(word, text, length) == 0)
            return true;
    }
    return false;
}

static sn_status value_set(const cli_option *option, const char *text, sn_error *error)
{
    double number;
    sn_status status = SN_OK;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)option->target = true;
        break;
    case CLI_TEXT:
        if (text[0] == '\0')
            return sn_error_set(error, SN_ERR_ARG, "the value is empty; it must be %s", option->value);
        *(const char **)option->target = text;
        break;
    case CLI_CHOICE:
        if (!choice_has(option->value, text))
            return sn_error_set(error, SN_ERR_ARG, "\"%s\" is not one of %s", text, option->value);
        *(const char **)option->target = text;
        break;
    case CLI_DEVICE:
        if (!sn_device_is_name(text, (int)option->maximum))
            return sn_error_set(error, SN_ERR_ARG, "\"%s\" is not one of %s", text, option->value);
        *(const char **)option->target = text;
        break;
    case CLI_INTEGER:
        status = number_parse(&number, option, text, error);
        if (status == SN_OK)
            *(int64_t *)option->target = (int64_t)number;
        break;
    case CLI_NUMBER:
        status = number_parse(&number, option, text, error);
        if (status == SN_OK)
            *(double *)option->target = number;
        break;
    case CLI_SIZE:
        return sn_size_parse(option->target, text, error);
    case CLI_MEMORY:
        return cli_memory_parse(option->target, text, error);
    }
    return status;
}

/* ---- rows that several commands have ---- */

cli_option cli_option_device(const char **target, int gpus, const char *help)
{
    const char *value = gpus > 1 ? "cpu|cuda|cuda:N,..." : "cpu|cuda|cuda:N";
    return (cli_option){.name = "device",
                        .kind = CLI_DEVICE,
                        .value = value,
                        .target = target,
                        .help = help,
                        .maximum = gpus};
}

cli_option cli_option_precision(const char **target)
{
    return (cli_option){.name = "precision",
                        .kind = CLI_CHOICE,
                        .value = "auto|float32|tf32|bf16",
                        .target = target,
                        .help = "of a GPU; auto: bf16 where it has that, else float32"};
}

sn_status cli_precision_resolve(sn_precision *precision, const char *text, const char *device,
                                sn_error *error)
{
    sn_status status = sn_precision_parse(precision, text, error);
    return status == SN_OK ? sn_device_precision(precision, device, error) : status;
}

/* ---- suggestions ---- */

/* Levenshtein distance of two words shorter than WORD_BYTES. */
static int edit_distance(const char *a, const char *b)
{
    int row[WORD_BYTES];
    int rows = (int)strlen(a), columns = (int)strlen(b);
    for (int j = 0; j <= columns; j++)
        row[j] = j;
    for (int i = 1; i <= rows; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= columns; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[columns];
}

const char *cli_nearest(const char *word, const char *const *words, int count)
{
    const char *nearest = NULL;
    int length = (int)strlen(word);
    if (length >= WORD_BYTES)
        return NULL;
    int smallest = length < 4 ? 2 : 2 + length / 4; /* a distance from here on is another word, not a slip */
    for (int i = 0; i < count; i++) {
        int distance = edit_distance(word, words[i]);
        if (distance < smallest) {
            smallest = distance;
            nearest = words[i];
        }
    }
    return nearest;
}

static sn_status unknown_option(const cli_syntax *syntax, const char *argument, sn_error *error)
{
    char name[WORD_BYTES];
    const char *names[MAX_SUGGESTIONS] = {"help"};
    int count = 1;
    for (const cli_option *option = syntax->options; option->name != NULL && count < MAX_SUGGESTIONS;
         option++)
        names[count++] = option->name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(argument, "="), argument);
    const char *nearest = strncmp(name, "--", 2) == 0 ? cli_nearest(name + 2, names, count) : NULL;
    if (nearest != NULL)
        return sn_error_set(error, SN_ERR_ARG, "%s: unknown option \"%s\"; did you mean --%s?",
                            syntax->command, name, nearest);
    return sn_error_set(error, SN_ERR_ARG, "%s: unknown option \"%s\"; `segnas3d %s --help` lists them",
                        syntax->command, name, syntax->command);
}

/* ---- help ---- */

/* Print `text` word by word from column `column`, which is also the indentation of the lines that follow. */
static void print_wrapped(const char *text, int column)
{
    int at = column;
    while (*text != '\0') {
        int length = (int)strcspn(text, " \n");
        if (at > column && at + 1 + length > HELP_WIDTH) {
            printf("\n%*s", column, "");
            at = column;
        } else if (at > column) {
            putchar(' ');
            at++;
        }
        printf("%.*s", length, text);
        at += length;
        text += length;
        if (*text == '\n') {
            printf("\n%*s", text[1] == '\n' ? 0 : column, "");
            at = column;
        }
        text += *text != '\0';
    }
    putchar('\n');
}

/* help (default 3): what an option does, with the value it has when it is not given. */
static void option_describe(char *text, size_t size, const cli_option *option)
{
    int length = snprintf(text, size, "%s", option->help);
    char *end = text + length;
    size_t rest = size - (size_t)length;
    bool is_word = option->kind == CLI_TEXT || option->kind == CLI_CHOICE || option->kind == CLI_DEVICE;
    const char *word = is_word ? *(char **)option->target : NULL;
    if (word != NULL)
        snprintf(end, rest, " (default %s)", word);
    else if (option->kind == CLI_INTEGER && *(int64_t *)option->target >= option->minimum)
        snprintf(end, rest, " (default %lld)", (long long)*(int64_t *)option->target);
    else if (option->kind == CLI_NUMBER && *(double *)option->target >= option->minimum)
        snprintf(end, rest, " (default %g)", *(double *)option->target);
    else if (option->kind == CLI_SIZE && *(int64_t *)option->target > 0)
        snprintf(end, rest, " (default %lld)", (long long)*(int64_t *)option->target);
}

static void option_help(const cli_option *option)
{
    char text[1024], names[128];
    option_describe(text, sizeof text, option);
    int column = snprintf(names, sizeof names, "  %c%c%s--%s%s%s", option->letter ? '-' : ' ',
                          option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
                          option->value != NULL ? " " : "", option->value != NULL ? option->value : "");
    if (column + 2 > HELP_COLUMN)
        printf("%s\n%*s", names, HELP_COLUMN, "");
    else
        printf("%-*s", HELP_COLUMN, names);
    print_wrapped(text, HELP_COLUMN);
}

static void help_print(const cli_syntax *syntax)
{
    static const cli_option help = {
        .name = "help", .letter = 'h', .kind = CLI_FLAG, .help = "show this help and exit"};
    int column = printf("Usage: segnas3d %s ", syntax->command);
    print_wrapped(syntax->usage, column);
    putchar('\n');
    print_wrapped(syntax->about, 0);
    printf("\nOptions:\n");
    for (const cli_option *option = syntax->options; option->name != NULL; option++)
        option_help(option);
    option_help(&help);
}

/* ---- parsing ---- */

/* The option that `argument` ("--size=32", "-o", "-oDIR") names; `*value` is what is joined to it. */
static const cli_option *option_find(const char **value, const cli_syntax *syntax, const char *argument)
{
    bool is_long = argument[1] == '-';
    size_t length = strcspn(argument, "=") - 2;
    for (const cli_option *option = syntax->options; option->name != NULL; option++) {
        if (is_long && strlen(option->name) == length && strncmp(argument + 2, option->name, length) == 0) {
            *value = argument[2 + length] == '=' ? argument + 3 + length : NULL;
            return option;
        }
        if (!is_long && option->letter != '\0' && argument[1] == option->letter) {
            *value = argument[2] != '\0' ? argument + 2 : NULL;
            return option;
        }
    }
    return NULL;
}

static sn_status option_apply(const cli_syntax *syntax, const cli_option *option, const char *value,
                              sn_error *error)
{
    sn_error cause = SN_ERROR_INIT;
    if (option->kind == CLI_FLAG && value != NULL)
        return sn_error_set(error, SN_ERR_ARG, "%s: option --%s takes no value", syntax->command,
                            option->name);
    if (option->kind != CLI_FLAG && value == NULL)
        return sn_error_set(error, SN_ERR_ARG, "%s: option --%s needs a value: --%s %s", syntax->command,
                            option->name, option->name, option->value);
    sn_status status = value_set(option, value, &cause);
    if (status != SN_OK)
        return sn_error_set(error, status, "%s: option --%s: %s", syntax->command, option->name, cause.text);
    return SN_OK;
}

/* Are the operands as many, and the required options all there? `given` holds a flag an option. */
static sn_status usage_check(const cli_syntax *syntax, const bool *given, int operands, char **argv,
                             sn_error *error)
{
    for (int i = 0; syntax->options[i].name != NULL; i++) {
        const cli_option *option = &syntax->options[i];
        if (option->required && !given[i])
            return sn_error_set(error, SN_ERR_ARG, "%s: option --%s %s is missing; usage: segnas3d %s %s",
                                syntax->command, option->name, option->value, syntax->command, syntax->usage);
    }
    if (operands < syntax->operands_min)
        return sn_error_set(error, SN_ERR_ARG, "%s: an argument is missing; usage: segnas3d %s %s",
                            syntax->command, syntax->command, syntax->usage);
    if (syntax->operands_max >= 0 && operands > syntax->operands_max)
        return sn_error_set(error, SN_ERR_ARG, "%s: unexpected argument \"%s\"; usage: segnas3d %s %s",
                            syntax->command, argv[syntax->operands_max], syntax->command, syntax->usage);
    return SN_OK;
}

sn_status cli_parse(int *operands, const cli_syntax *syntax, int argc, char **argv, sn_error *error)
{
    sn_status status;
    bool given[MAX_SUGGESTIONS] = {false};
    bool options_end = false;
    *operands = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        if (options_end || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (argv[i][0] == '\0') /* most often a shell variable that is not set */
                return sn_error_set(error, SN_ERR_ARG, "%s: an argument is empty; usage: segnas3d %s %s",
                                    syntax->command, syntax->command, syntax->usage);
            argv[(*operands)++] = argv[i];
            continue;
        }
        options_end = strcmp(argv[i], "--") == 0;
        if (options_end)
            continue;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help_print(syntax);
            exit(fflush(stdout) == 0 ? 0 : 1);
        }
        const cli_option *option = option_find(&value, syntax, argv[i]);
        if (option == NULL)
            return unknown_option(syntax, argv[i], error);
        if (option->kind != CLI_FLAG && value == NULL && i + 1 < argc)
            value = argv[++i];
        status = option_apply(syntax, option, value, error);
        if (status != SN_OK)
            return status;
        given[option - syntax->options] = true;
    }
    return usage_check(syntax, given, *operands, argv, error);
}
