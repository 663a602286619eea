#include "arch/arch.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"

static const sn_arch_field_info field_infos[SN_ARCH_FIELDS] = {
    [SN_ARCH_N] = {"n", 1, SN_ARCH_MAX_CHANNELS},
    [SN_ARCH_P] = {"p", 1, SN_ARCH_MAX_POOLINGS},
    [SN_ARCH_SUP] = {"sup", 0, 1},
    [SN_ARCH_RES] = {"res", 0, 1},
    [SN_ARCH_NODES] = {"nodes", SN_ARCH_MIN_NODES, SN_ARCH_MAX_NODES},
};

static const struct {
    const char *name;
    int kernel, dilation;
} block_ops[SN_BLOCK_OPS] = {
    [SN_BLOCK_NONE] = {"none", 0, 0},          [SN_BLOCK_CONV_1_1] = {"Conv(1,1)", 1, 1},
    [SN_BLOCK_CONV_3_1] = {"Conv(3,1)", 3, 1}, [SN_BLOCK_CONV_5_1] = {"Conv(5,1)", 5, 1},
    [SN_BLOCK_CONV_3_2] = {"Conv(3,2)", 3, 2}, [SN_BLOCK_CONV_5_2] = {"Conv(5,2)", 5, 2},
    [SN_BLOCK_SKIP] = {"skip", 0, 0},
};

static const char *const net_names[] = {
    [SN_NET_SEGNAS] = "segnas", [SN_NET_UNET3D] = "unet3d", [SN_NET_VNET] = "vnet"};

enum { NETS = sizeof net_names / sizeof *net_names };

static const char known_fields[] = "net, n, p, sup, res, nodes, ops";
static const char fill_order[] = "rows";

const sn_arch_field_info *sn_arch_field_describe(sn_arch_field field)
{
    return &field_infos[field];
}

int sn_arch_field_get(const sn_arch *arch, sn_arch_field field)
{
    switch (field) {
    case SN_ARCH_N:
        return arch->n;
    case SN_ARCH_P:
        return arch->p;
    case SN_ARCH_SUP:
        return arch->sup;
    case SN_ARCH_RES:
        return arch->res;
    default:
        return arch->nodes;
    }
}

void sn_arch_field_set(sn_arch *arch, sn_arch_field field, int value)
{
    assert(value >= field_infos[field].min && value <= field_infos[field].max);
    switch (field) {
    case SN_ARCH_N:
        arch->n = value;
        break;
    case SN_ARCH_P:
        arch->p = value;
        break;
    case SN_ARCH_SUP:
        arch->sup = value != 0;
        break;
    case SN_ARCH_RES:
        arch->res = value != 0;
        break;
    default:
        arch->nodes = value;
    }
}

int sn_arch_op_count(int nodes)
{
    return nodes * (nodes - 1) / 2;
}

sn_block_op sn_arch_op(const sn_arch *arch, int from, int to)
{
    assert(0 <= from && from < to && to < arch->nodes);
    int row_start = from * arch->nodes - from * (from + 1) / 2; /* ops in the rows above */
    return (sn_block_op)arch->ops[row_start + to - from - 1];
}

bool sn_arch_equal(const sn_arch *a, const sn_arch *b)
{
    return a->net == b->net && a->n == b->n && a->p == b->p && a->sup == b->sup && a->res == b->res &&
           a->nodes == b->nodes && memcmp(a->ops, b->ops, sizeof a->ops) == 0;
}

const char *sn_block_op_name(sn_block_op op)
{
    return block_ops[op].name;
}

void sn_block_op_conv(sn_block_op op, int *kernel, int *dilation)
{
    *kernel = block_ops[op].kernel;
    *dilation = block_ops[op].dilation;
}

const char *sn_net_name(sn_net net)
{
    return net_names[net];
}

/* The index of a net's name, or -1. */
static int net_find(const char *name)
{
    for (int i = 0; i < NETS; i++)
        if (strcmp(name, net_names[i]) == 0)
            return i;
    return -1;
}

/* What is known while a text is read. */
typedef struct parse {
    sn_arch arch;
    bool has_net, has_ops, has_field[SN_ARCH_FIELDS];
    int op_count; /* given, or by default */
} parse;

/* A whole number that fills all of `text`. */
static bool number_read(int *value, const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || isspace((unsigned char)*text) || number < -1000000 || number > 1000000)
        return false;
    *value = (int)number;
    return true;
}

static sn_status field_parse(parse *p, sn_arch_field field, const char *text, sn_error *error)
{
    const sn_arch_field_info *info = &field_infos[field];
    int value;
    if (p->has_field[field])
        return sn_error_set(error, SN_ERR_ARG, "arch: %s is given twice", info->name);
    if (!number_read(&value, text) || value < info->min || value > info->max)
        return sn_error_set(error, SN_ERR_ARG, "arch: %s=%s must be a whole number from %d to %d", info->name,
                            text, info->min, info->max);
    sn_arch_field_set(&p->arch, field, value);
    p->has_field[field] = true;
    return SN_OK;
}

static sn_status ops_parse(parse *p, char *text, sn_error *error)
{
    if (p->has_ops)
        return sn_error_set(error, SN_ERR_ARG, "arch: ops is given twice");
    p->has_ops = true;
    p->op_count = 0;
    memset(p->arch.ops, 0, sizeof p->arch.ops);
    for (char *item; (item = strsep(&text, ",")) != NULL; p->op_count++) {
        int value;
        if (!number_read(&value, item) || value < 0 || value >= SN_BLOCK_OPS)
            return sn_error_set(error, SN_ERR_ARG,
                                "arch: ops: value %d is \"%s\", must be a number from 0 to %d",
                                p->op_count + 1, item, SN_BLOCK_OPS - 1);
        if (p->op_count == SN_ARCH_MAX_OPS)
            return sn_error_set(error, SN_ERR_ARG, "arch: ops: more than %d values", SN_ARCH_MAX_OPS);
        p->arch.ops[p->op_count] = (uint8_t)value;
    }
    return SN_OK;
}

static sn_status net_parse(parse *p, const char *text, sn_error *error)
{
    int net = net_find(text);
    if (net < 0)
        return sn_error_set(error, SN_ERR_ARG, "arch: net=%s is not known; known: segnas, unet3d, vnet",
                            text);
    if (p->has_net)
        return sn_error_set(error, SN_ERR_ARG, "arch: net is given twice");
    p->has_net = true;
    p->arch.net = (sn_net)net;
    return SN_OK;
}

/* One "name=value". */
static sn_status token_parse(parse *p, char *token, sn_error *error)
{
    char *value = strchr(token, '=');
    if (value == NULL)
        return sn_error_set(error, SN_ERR_ARG,
                            "arch: \"%s\" is not name=value; write for example \"n=16 p=3 ops=2,0,2\"",
                            token);
    *value++ = '\0';
    if (strcmp(token, "net") == 0)
        return net_parse(p, value, error);
    if (strcmp(token, "ops") == 0)
        return ops_parse(p, value, error);
    for (int f = 0; f < SN_ARCH_FIELDS; f++)
        if (strcmp(token, field_infos[f].name) == 0)
            return field_parse(p, (sn_arch_field)f, value, error);
    return sn_error_set(error, SN_ERR_ARG, "arch: unknown field \"%s\"; known: %s", token, known_fields);
}

/* A fixed network has no other fields: clear them, or name the first one given. */
static sn_status baseline_finish(parse *p, sn_error *error)
{
    const char *net = net_names[p->arch.net];
    for (int f = 0; f < SN_ARCH_FIELDS; f++)
        if (p->has_field[f])
            return sn_error_set(error, SN_ERR_ARG, "arch: %s has no meaning with net=%s; leave it out",
                                field_infos[f].name, net);
    if (p->has_ops)
        return sn_error_set(error, SN_ERR_ARG, "arch: ops has no meaning with net=%s; leave it out", net);
    p->arch = (sn_arch){.net = p->arch.net};
    return SN_OK;
}

/* Hold the number of operations against the nodes and drop the unused ones. */
static sn_status ops_finish(parse *p, sn_error *error)
{
    int nodes = p->arch.nodes, needed = sn_arch_op_count(nodes);
    if (p->op_count < needed)
        return sn_error_set(error, SN_ERR_ARG, "arch: ops has %d values, nodes=%d needs %d", p->op_count,
                            nodes, needed);
    if (p->op_count > needed && !p->has_field[SN_ARCH_NODES])
        return sn_error_set(error, SN_ERR_ARG,
                            "arch: ops has %d values, the default nodes=%d uses %d; give nodes", p->op_count,
                            nodes, needed);
    memset(p->arch.ops + needed, 0, (size_t)(SN_ARCH_MAX_OPS - needed));
    return SN_OK;
}

sn_status sn_arch_parse(sn_arch *arch, const char *text, sn_error *error)
{
    sn_status status;
    parse p = {.arch = SN_ARCH_INIT};
    p.op_count = sn_arch_op_count(p.arch.nodes);
    char *copy = NULL, *rest = NULL;
    SN_TRY(sn_string_copy(&copy, text, error));
    rest = copy;
    for (char *token; (token = strsep(&rest, " \t\n")) != NULL;)
        if (*token != '\0')
            SN_TRY(token_parse(&p, token, error));
    if (p.arch.net != SN_NET_SEGNAS) {
        SN_TRY(baseline_finish(&p, error));
    } else {
        SN_TRY(ops_finish(&p, error));
    }
    *arch = p.arch;
done:
    sn_free(copy);
    return status;
}

sn_status sn_arch_format(char **text, const sn_arch *arch, sn_error *error)
{
    if (arch->net != SN_NET_SEGNAS)
        return sn_string_format(text, error, "net=%s", net_names[arch->net]);
    char ops[2 * SN_ARCH_MAX_OPS];
    int count = sn_arch_op_count(arch->nodes);
    for (int i = 0; i < count; i++) {
        ops[2 * i] = (char)('0' + arch->ops[i]);
        ops[2 * i + 1] = i + 1 < count ? ',' : '\0';
    }
    return sn_string_format(text, error, "n=%d p=%d sup=%d res=%d nodes=%d ops=%s", arch->n, arch->p,
                            arch->sup, arch->res, arch->nodes, ops);
}

static sn_status out_of_memory(sn_error *error)
{
    return sn_error_set(error, SN_ERR_MEMORY, "out of memory: no room for an architecture's JSON");
}

sn_status sn_arch_to_json(json_t **json, const sn_arch *arch, sn_error *error)
{
    int failed = 0;
    json_t *object = json_object();
    *json = NULL;
    failed |= json_object_set_new(object, "net", json_string(net_names[arch->net]));
    if (arch->net == SN_NET_SEGNAS) {
        json_t *ops = json_array();
        for (int f = 0; f < SN_ARCH_FIELDS; f++)
            failed |= json_object_set_new(object, field_infos[f].name,
                                          json_integer(sn_arch_field_get(arch, (sn_arch_field)f)));
        for (int i = 0; i < sn_arch_op_count(arch->nodes); i++)
            failed |= json_array_append_new(ops, json_integer(arch->ops[i]));
        failed |= json_object_set_new(object, "ops", ops);
        failed |= json_object_set_new(object, "fill", json_string(fill_order));
    }
    if (failed) {
        json_decref(object);
        return out_of_memory(error);
    }
    *json = object;
    return SN_OK;
}

static sn_status ops_from_json(sn_arch *arch, const json_t *json, const char *where, sn_error *error)
{
    sn_status status;
    json_t *ops = NULL;
    const char *fill = NULL;
    int needed = sn_arch_op_count(arch->nodes);
    SN_TRY(sn_json_string(&fill, json, "fill", where, error));
    if (strcmp(fill, fill_order) != 0)
        return sn_error_set(error, SN_ERR_INPUT, "%s: field \"fill\" is \"%s\", must be \"%s\"", where, fill,
                            fill_order);
    SN_TRY(sn_json_array(&ops, json, "ops", where, error));
    if ((int)json_array_size(ops) != needed)
        return sn_error_set(error, SN_ERR_INPUT, "%s: field \"ops\" has %zu values, nodes=%d needs %d", where,
                            json_array_size(ops), arch->nodes, needed);
    for (int i = 0; i < needed; i++) {
        const json_t *op = json_array_get(ops, (size_t)i);
        if (!json_is_integer(op) || json_integer_value(op) < 0 || json_integer_value(op) >= SN_BLOCK_OPS)
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: field \"ops\", value %d must be an integer from 0 to %d", where, i + 1,
                                SN_BLOCK_OPS - 1);
        arch->ops[i] = (uint8_t)json_integer_value(op);
    }
done:
    return status;
}

sn_status sn_arch_from_json(sn_arch *arch, const json_t *json, const char *where, sn_error *error)
{
    sn_status status;
    const char *name = NULL;
    sn_arch read = {0};
    SN_TRY(sn_json_string(&name, json, "net", where, error));
    int net = net_find(name);
    if (net < 0)
        return sn_error_set(error, SN_ERR_INPUT, "%s: field \"net\" is \"%s\"; known: segnas, unet3d, vnet",
                            where, name);
    read.net = (sn_net)net;
    if (read.net == SN_NET_SEGNAS) {
        for (int f = 0; f < SN_ARCH_FIELDS; f++) {
            int64_t value = 0;
            SN_TRY(sn_json_integer(&value, json, field_infos[f].name, where, error));
            if (value < field_infos[f].min || value > field_infos[f].max)
                return sn_error_set(error, SN_ERR_INPUT, "%s: field \"%s\" is %lld, must be from %d to %d",
                                    where, field_infos[f].name, (long long)value, field_infos[f].min,
                                    field_infos[f].max);
            sn_arch_field_set(&read, (sn_arch_field)f, (int)value);
        }
        SN_TRY(ops_from_json(&read, json, where, error));
    }
    *arch = read;
done:
    return status;
}

bool sn_arch_legal(const sn_arch *arch, char reason[SN_ARCH_REASON])
{
    if (arch->net != SN_NET_SEGNAS)
        return true;
    for (int node = 0; node < arch->nodes; node++) {
        bool input = node == 0, output = node == arch->nodes - 1;
        for (int from = 0; from < node; from++)
            input |= sn_arch_op(arch, from, node) != SN_BLOCK_NONE;
        for (int to = node + 1; to < arch->nodes; to++)
            output |= sn_arch_op(arch, node, to) != SN_BLOCK_NONE;
        if (!input || !output) {
            if (reason != NULL)
                snprintf(reason, SN_ARCH_REASON, "node %d has no %s", node + 1, input ? "output" : "input");
            return false;
        }
    }
    return true;
}
