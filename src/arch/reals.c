#include "arch/reals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static const sn_real_info infos[SN_REALS] = {
    [SN_REAL_LEARNING_RATE] = {"learning_rate", 1e-9, 1, true, "3 digits"},
    [SN_REAL_DROPOUT] = {"dropout", 0, 0.95, false, "3 decimals"},
    [SN_REAL_LOSS_EXPONENT] = {"loss_exponent", 0.1, 3, false, "3 decimals"},
};

const sn_real_info *sn_real_describe(sn_real real)
{
    return &infos[real];
}

int sn_real_find(const char *name)
{
    for (int r = 0; r < SN_REALS; r++)
        if (strcmp(name, infos[r].name) == 0)
            return r;
    return -1;
}

double sn_real_round(sn_real real, double value)
{
    char text[400]; /* of any double */
    snprintf(text, sizeof text, infos[real].logarithmic ? "%.2e" : "%.3f", value);
    return strtod(text, NULL);
}

sn_status sn_reals_format(char **text, const sn_arch *arch, const sn_reals *reals, sn_error *error)
{
    sn_status status;
    char *architecture = NULL, words[SN_REALS * 48] = "";
    size_t used = 0;
    for (int r = 0; r < SN_REALS; r++)
        if (!isnan(reals->value[r]))
            used += (size_t)snprintf(words + used, sizeof words - used, " %s=%.6g", infos[r].name,
                                     reals->value[r]);
    SN_TRY(sn_arch_format(&architecture, arch, error));
    SN_TRY(sn_string_format(text, error, "%s%s", architecture, words));
done:
    sn_free(architecture);
    return status;
}

static sn_status value_parse(double *value, sn_real real, const char *text, sn_error *error)
{
    const sn_real_info *info = &infos[real];
    char *end;
    *value = strtod(text, &end);
    if (end == text || *end != '\0' || !(*value >= info->min && *value <= info->max))
        return sn_error_set(error, SN_ERR_ARG, "%s: \"%.60s\" is not a number from %g to %g", info->name,
                            text, info->min, info->max);
    return SN_OK;
}

/* The real that a word "name=value" is of, or -1. */
static int word_find(char *word, char **value)
{
    *value = strchr(word, '=');
    if (*value == NULL)
        return -1;
    **value = '\0';
    int real = sn_real_find(word);
    *(*value)++ = '=';
    return real;
}

sn_status sn_reals_parse(sn_arch *arch, sn_reals *reals, const char *text, sn_error *error)
{
    sn_status status;
    char *copy = NULL, *rest = NULL, *place, *value;
    *reals = (sn_reals)SN_REALS_INIT;
    SN_TRY(sn_string_copy(&copy, text, error));
    SN_TRY(sn_alloc(&rest, strlen(text) + 2, 1, error));
    for (char *word = strtok_r(copy, " \t\n", &place); word != NULL; word = strtok_r(NULL, " \t\n", &place)) {
        int real = word_find(word, &value);
        if (real >= 0)
            SN_TRY(value_parse(&reals->value[real], (sn_real)real, value, error));
        else
            strcat(strcat(rest, word), " ");
    }
    SN_TRY(sn_arch_parse(arch, rest, error));
done:
    sn_free(copy);
    sn_free(rest);
    return status;
}
