#include "arch/space.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"

enum { MAX_HYPERS = SN_ARCH_FIELDS + SN_ARCH_MAX_OPS + SN_REALS };

#define LEARNED(name, lower, upper)                                                                          \
    {                                                                                                        \
        name, true, true, false, 0, lower, upper                                                             \
    }
#define FIXED(name, value)                                                                                   \
    {                                                                                                        \
        name, true, false, false, value, 0, 0                                                                \
    }
#define OP(i) LEARNED("ops." #i, 0, SN_BLOCK_OPS)

/* Table 2 of the paper. */
static const sn_hyper segnas11[] = {
    LEARNED("n", 8, 33),
    LEARNED("p", 2, 6),
    LEARNED("sup", 0, 2),
    LEARNED("res", 0, 2),
    LEARNED("nodes", 2, 5),
    OP(1),
    OP(2),
    OP(3),
    OP(4),
    OP(5),
    OP(6),
};
static const sn_hyper segnas4[] = {
    LEARNED("n", 8, 33), LEARNED("p", 2, 6), LEARNED("sup", 0, 2), LEARNED("res", 0, 2),
    FIXED("nodes", 3),   FIXED("ops.1", 2),  FIXED("ops.2", 0),    FIXED("ops.3", 2),
};
static const sn_hyper segnas7[] = {
    FIXED("n", 16), FIXED("p", 4), FIXED("sup", 0), FIXED("res", 1), LEARNED("nodes", 2, 5), OP(1), OP(2),
    OP(3),          OP(4),         OP(5),           OP(6),
};

static const struct {
    const char *name;
    const sn_hyper *hypers;
    int count;
} variants[] = {
    {"segnas11", segnas11, sizeof segnas11 / sizeof *segnas11},
    {"segnas4", segnas4, sizeof segnas4 / sizeof *segnas4},
    {"segnas7", segnas7, sizeof segnas7 / sizeof *segnas7},
};

void sn_space_clear(sn_space *space)
{
    sn_free(space->hypers);
    *space = (sn_space){0, NULL};
}

static bool is_op(const sn_hyper *hyper)
{
    return strncmp(hyper->name, "ops.", 4) == 0;
}

/* The field of an architecture with that name, or -1. */
static int field_find(const char *name)
{
    for (int f = 0; f < SN_ARCH_FIELDS; f++)
        if (strcmp(name, sn_arch_field_describe((sn_arch_field)f)->name) == 0)
            return f;
    return -1;
}

/* Read a bound or a value: whole where the hyperparameter is an integer, and in [min, max]. */
static sn_status number_read(double *value, const json_t *json, const sn_hyper *hyper, const char *what,
                             double min, double max, const char *where, sn_error *error)
{
    *value = json_number_value(json);
    if (!json_is_number(json) || (hyper->integer && *value != floor(*value)) || *value < min || *value > max)
        return sn_error_set(error, SN_ERR_INPUT, "%s: \"%s\": %s must be a%s number from %g to %g", where,
                            hyper->name, what, hyper->integer ? " whole" : "", min, max);
    return SN_OK;
}

/* Read a bound or a value of a real one: of a short text, and in [min, max]. */
static sn_status real_read(double *value, const json_t *json, sn_real real, const char *what, double min,
                           const char *where, sn_error *error)
{
    const sn_real_info *info = sn_real_describe(real);
    *value = json_number_value(json);
    if (!json_is_number(json) || *value < min || *value > info->max || sn_real_round(real, *value) != *value)
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: \"%s\": %s must be a number from %g to %g with at most %s", where,
                            info->name, what, min, info->max, info->precision);
    return SN_OK;
}

/* The bounds of {"lower": a, "upper": b}. */
static sn_status bounds_find(const json_t **lower, const json_t **upper, const sn_hyper *hyper,
                             const json_t *json, const char *where, sn_error *error)
{
    *lower = json_object_get(json, "lower");
    *upper = json_object_get(json, "upper");
    if (*lower == NULL || *upper == NULL || json_object_size(json) != 2)
        return sn_error_set(
            error, SN_ERR_INPUT,
            "%s: \"%s\" must be a number, or {\"lower\": a, \"upper\": b} with a <= value < b", where,
            hyper->name);
    return SN_OK;
}

/* Read a number (fixed), or {"lower": a, "upper": b} (learned); values are in [min, max]. */
static sn_status hyper_read(sn_hyper *hyper, const json_t *json, int min, int max, const char *where,
                            sn_error *error)
{
    sn_status status;
    const json_t *lower, *upper;
    if (json_is_number(json))
        return number_read(&hyper->value, json, hyper, "the value", min, max, where, error);
    SN_TRY(bounds_find(&lower, &upper, hyper, json, where, error));
    hyper->learned = true;
    SN_TRY(number_read(&hyper->lower, lower, hyper, "the lower bound", min, max, where, error));
    SN_TRY(number_read(&hyper->upper, upper, hyper, "the upper bound", hyper->lower + 1, max + 1.0, where,
                       error));
done:
    return status;
}

/* The same of a real hyperparameter. */
static sn_status real_hyper_read(sn_hyper *hyper, const json_t *json, sn_real real, const char *where,
                                 sn_error *error)
{
    sn_status status;
    const json_t *lower, *upper;
    const sn_real_info *info = sn_real_describe(real);
    hyper->logarithmic = info->logarithmic;
    if (json_is_number(json))
        return real_read(&hyper->value, json, real, "the value", info->min, where, error);
    SN_TRY(bounds_find(&lower, &upper, hyper, json, where, error));
    hyper->learned = true;
    SN_TRY(real_read(&hyper->lower, lower, real, "the lower bound", info->min, where, error));
    double next = sn_real_round(real, info->logarithmic ? 1.01 * hyper->lower : hyper->lower + 1e-3);
    SN_TRY(real_read(&hyper->upper, upper, real, "the upper bound", next, where, error));
done:
    return status;
}

static sn_status ops_read(sn_space *space, const json_t *json, const char *where, sn_error *error)
{
    sn_status status = SN_OK;
    size_t count = json_array_size(json);
    if (!json_is_array(json) || count < 1 || count > SN_ARCH_MAX_OPS)
        return sn_error_set(error, SN_ERR_INPUT, "%s: \"ops\" must be a list of 1 to %d entries", where,
                            SN_ARCH_MAX_OPS);
    for (size_t i = 0; i < count; i++) {
        sn_hyper *hyper = &space->hypers[space->count++];
        hyper->integer = true;
        snprintf(hyper->name, sizeof hyper->name, "ops.%zu", i + 1);
        SN_TRY(hyper_read(hyper, json_array_get(json, i), SN_BLOCK_NONE, SN_BLOCK_OPS - 1, where, error));
    }
done:
    return status;
}

static sn_status entry_read(sn_space *space, const char *name, const json_t *json, const char *where,
                            sn_error *error)
{
    if (strcmp(name, "ops") == 0)
        return ops_read(space, json, where, error);
    int field = field_find(name), real = sn_real_find(name);
    if (field < 0 && real < 0)
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: unknown hyperparameter \"%s\"; known: n, p, sup, res, nodes, ops, "
                            "learning_rate, dropout, loss_exponent",
                            where, name);
    sn_hyper *hyper = &space->hypers[space->count++];
    hyper->integer = field >= 0;
    snprintf(hyper->name, sizeof hyper->name, "%s", name);
    if (!hyper->integer)
        return real_hyper_read(hyper, json, (sn_real)real, where, error);
    const sn_arch_field_info *info = sn_arch_field_describe((sn_arch_field)field);
    return hyper_read(hyper, json, info->min, info->max, where, error);
}

static sn_hyper *hyper_find(const sn_space *space, const char *name)
{
    for (int i = 0; i < space->count; i++)
        if (strcmp(space->hypers[i].name, name) == 0)
            return &space->hypers[i];
    return NULL;
}

/* Add what the file leaves out: fixed, at the default architecture's value. */
static void add_defaults(sn_space *space)
{
    static const sn_arch defaults = SN_ARCH_INIT;
    for (int f = 0; f < SN_ARCH_FIELDS; f++) {
        const char *name = sn_arch_field_describe((sn_arch_field)f)->name;
        if (hyper_find(space, name) != NULL)
            continue;
        sn_hyper *hyper = &space->hypers[space->count++];
        *hyper = (sn_hyper)FIXED("", sn_arch_field_get(&defaults, (sn_arch_field)f));
        snprintf(hyper->name, sizeof hyper->name, "%s", name);
    }
    bool has_ops = hyper_find(space, "ops.1") != NULL;
    for (int i = 0; i < sn_arch_op_count(defaults.nodes) && !has_ops; i++) {
        sn_hyper *hyper = &space->hypers[space->count++];
        *hyper = (sn_hyper)FIXED("", defaults.ops[i]);
        snprintf(hyper->name, sizeof hyper->name, "ops.%d", i + 1);
    }
}

/* The list of operations must fill the largest block. */
static sn_status check_ops(const sn_space *space, const char *where, sn_error *error)
{
    const sn_hyper *hyper = hyper_find(space, "nodes");
    int nodes = (int)(hyper->learned ? hyper->upper - 1 : hyper->value), ops = 0;
    for (int i = 0; i < space->count; i++)
        ops += is_op(&space->hypers[i]);
    if (ops != sn_arch_op_count(nodes))
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: \"ops\" has %d entries, a block of up to %d nodes needs %d", where, ops,
                            nodes, sn_arch_op_count(nodes));
    return SN_OK;
}

sn_status sn_space_from_json(sn_space *space, const json_t *json, const char *where, sn_error *error)
{
    sn_status status;
    sn_space read = {0, NULL};
    const char *name;
    json_t *value;
    *space = read;
    SN_TRY(sn_alloc(&read.hypers, MAX_HYPERS, sizeof *read.hypers, error));
    if (!json_is_object(json)) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: must be an object of hyperparameters, is %s", where,
                              sn_json_kind(json));
        goto done;
    }
    json_object_foreach((json_t *)json, name, value) SN_TRY(entry_read(&read, name, value, where, error));
    add_defaults(&read);
    SN_TRY(check_ops(&read, where, error));
    *space = read;
    read.hypers = NULL;
done:
    sn_space_clear(&read);
    return status;
}

sn_status sn_space_load(sn_space *space, const char *name_or_path, sn_error *error)
{
    sn_status status;
    json_t *json = NULL;
    *space = (sn_space){0, NULL};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        if (strcmp(name_or_path, variants[i].name) != 0)
            continue;
        SN_TRY(sn_alloc(&space->hypers, (size_t)variants[i].count, sizeof *space->hypers, error));
        space->count = variants[i].count;
        memcpy(space->hypers, variants[i].hypers, (size_t)space->count * sizeof *space->hypers);
        return SN_OK;
    }
    SN_TRY(sn_json_load(&json, name_or_path, error));
    SN_TRY(sn_space_from_json(space, json, name_or_path, error));
done:
    json_decref(json);
    return status;
}

static json_t *number_to_json(const sn_hyper *hyper, double value)
{
    return hyper->integer ? json_integer((json_int_t)value) : json_real(value);
}

/* NULL where there is no memory. */
static json_t *hyper_to_json(const sn_hyper *hyper)
{
    if (!hyper->learned)
        return number_to_json(hyper, hyper->value);
    return json_pack("{s:o, s:o}", "lower", number_to_json(hyper, hyper->lower), "upper",
                     number_to_json(hyper, hyper->upper));
}

sn_status sn_space_to_json(json_t **json, const sn_space *space, sn_error *error)
{
    json_t *object = json_object();
    int failed = 0;
    *json = NULL;
    for (int i = 0; i < space->count; i++) {
        const sn_hyper *hyper = &space->hypers[i];
        if (!is_op(hyper)) {
            failed |= json_object_set_new(object, hyper->name, hyper_to_json(hyper));
            continue;
        }
        if (json_object_get(object, "ops") == NULL)
            failed |= json_object_set_new(object, "ops", json_array());
        failed |= json_array_append_new(json_object_get(object, "ops"), hyper_to_json(hyper));
    }
    if (failed) {
        json_decref(object);
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: no room for a search space's JSON");
    }
    *json = object;
    return SN_OK;
}

int sn_space_dimensions(const sn_space *space)
{
    int learned = 0;
    for (int i = 0; i < space->count; i++)
        learned += space->hypers[i].learned;
    return learned;
}

/* A bound as the optimiser sees it. */
static double scale(const sn_hyper *hyper, double value)
{
    return hyper->logarithmic ? log10(value) : value;
}

void sn_space_bounds(const sn_space *space, double *lower, double *upper)
{
    for (int i = 0, k = 0; i < space->count; i++) {
        if (!space->hypers[i].learned)
            continue;
        lower[k] = scale(&space->hypers[i], space->hypers[i].lower);
        upper[k++] = scale(&space->hypers[i], space->hypers[i].upper);
    }
}

void sn_space_middle(const sn_space *space, double *x)
{
    for (int i = 0, k = 0; i < space->count; i++) {
        const sn_hyper *hyper = &space->hypers[i];
        if (hyper->learned)
            x[k++] = (scale(hyper, hyper->lower) + scale(hyper, hyper->upper)) / 2;
    }
}

double sn_space_size(const sn_space *space)
{
    double size = 1;
    for (int i = 0; i < space->count; i++) {
        const sn_hyper *hyper = &space->hypers[i];
        if (hyper->learned)
            size *= hyper->integer ? hyper->upper - hyper->lower : (double)INFINITY;
    }
    return size;
}

/* The value that x stands for. */
static double hyper_decode(const sn_hyper *hyper, double x)
{
    if (hyper->integer)
        return fmin(floor(fmax(x, hyper->lower)), hyper->upper - 1);
    double value = hyper->logarithmic ? pow(10, x) : x;
    value = sn_real_round((sn_real)sn_real_find(hyper->name), value);
    return fmin(fmax(value, hyper->lower), hyper->upper);
}

void sn_space_decode(const sn_space *space, const double *x, double *values)
{
    for (int i = 0; i < space->count; i++) {
        const sn_hyper *hyper = &space->hypers[i];
        values[i] = hyper->learned ? hyper_decode(hyper, *x++) : hyper->value;
    }
}

void sn_space_arch(sn_arch *arch, const sn_space *space, const double *x)
{
    double values[MAX_HYPERS];
    int op = 0;
    *arch = (sn_arch)SN_ARCH_INIT;
    sn_space_decode(space, x, values);
    for (int i = 0; i < space->count; i++) {
        if (is_op(&space->hypers[i]))
            arch->ops[op++] = (uint8_t)values[i];
        else if (space->hypers[i].integer)
            sn_arch_field_set(arch, (sn_arch_field)field_find(space->hypers[i].name), (int)values[i]);
    }
    int used = sn_arch_op_count(arch->nodes);
    memset(arch->ops + used, 0, (size_t)(SN_ARCH_MAX_OPS - used));
}

void sn_space_reals(sn_reals *reals, const sn_space *space, const double *x)
{
    double values[MAX_HYPERS];
    *reals = (sn_reals)SN_REALS_INIT;
    sn_space_decode(space, x, values);
    for (int i = 0; i < space->count; i++)
        if (!space->hypers[i].integer)
            reals->value[sn_real_find(space->hypers[i].name)] = values[i];
}

/* What a network has of a hyperparameter; NaN: nothing. `op` counts the operations of the space. */
static double hyper_of(const sn_hyper *hyper, int op, const sn_arch *arch, const sn_reals *reals)
{
    if (is_op(hyper))
        return op < sn_arch_op_count(arch->nodes) ? arch->ops[op] : NAN;
    if (!hyper->integer)
        return reals->value[sn_real_find(hyper->name)];
    return sn_arch_field_get(arch, (sn_arch_field)field_find(hyper->name));
}

void sn_space_encode(double *x, const sn_space *space, const sn_arch *arch, const sn_reals *reals)
{
    sn_space_middle(space, x);
    for (int i = 0, k = 0, op = 0; i < space->count; i++) {
        const sn_hyper *hyper = &space->hypers[i];
        double value = hyper_of(hyper, op, arch, reals);
        op += is_op(hyper);
        if (!hyper->learned)
            continue;
        if (hyper->integer && !isnan(value))
            x[k] = fmin(fmax(value, hyper->lower), hyper->upper - 1) + 0.5;
        else if (!isnan(value))
            x[k] = scale(hyper, fmin(fmax(value, hyper->lower), hyper->upper));
        k++;
    }
}

bool sn_space_has(const sn_space *space, const char *name)
{
    return hyper_find(space, name) != NULL;
}
