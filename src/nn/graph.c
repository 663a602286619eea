#include "nn/graph_build.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

sn_status sn_graph_create(sn_graph **graph, sn_dtype values, sn_error *error)
{
    assert(values == SN_F32 || values == SN_F64 || values == SN_BF16);
    sn_status status = sn_alloc(graph, 1, sizeof **graph, error);
    if (status != SN_OK)
        return status;
    (*graph)->values = values;
    (*graph)->real = sn_dtype_of_channels(values);
    return SN_OK;
}

void sn_graph_free(sn_graph *graph)
{
    if (graph == NULL)
        return;
    for (int p = 0; p < graph->program_count; p++)
        sn_free(graph->programs[p].nodes);
    sn_free(graph->folds);
    sn_free(graph->programs);
    sn_free(graph->tensors);
    sn_free(graph);
}

sn_dtype sn_graph_real(const sn_graph *graph)
{
    return graph->real;
}

sn_status sn_graph_status(const sn_graph *graph, sn_error *error)
{
    if (graph->error.status != SN_OK && error != NULL)
        *error = graph->error;
    return graph->error.status;
}

sn_tensor graph_fail(sn_graph *graph, sn_status status, const char *format, ...)
{
    if (graph->error.status == SN_OK) {
        va_list arguments;
        va_start(arguments, format);
        graph->error.status = status;
        vsnprintf(graph->error.text, sizeof graph->error.text, format, arguments);
        va_end(arguments);
    }
    return SN_NO_TENSOR;
}

sn_status sn_graph_begin_program(sn_graph *graph, int *program, const char *name, sn_mode mode,
                                 sn_error *error)
{
    sn_status status;
    SN_TRY(sn_graph_status(graph, error));
    SN_TRY(sn_grow(&graph->programs, &graph->program_capacity, graph->program_count, sizeof *graph->programs,
                   error));
    *program = graph->program_count++;
    graph_program *new = &graph->programs[*program];
    memset(new, 0, sizeof *new);
    snprintf(new->name, sizeof new->name, "%s", name);
    new->mode = mode;
    new->loss = -1;
done:
    return status;
}

void sn_graph_running_apart(sn_graph *graph, int program)
{
    assert(program >= 0 && program < graph->program_count);
    graph->running = program + 1;
}

void sn_graph_segment_begin(sn_graph *graph)
{
    assert(graph->segment == 0);
    graph->segment = ++graph->segment_count;
}

void sn_graph_segment_end(sn_graph *graph)
{
    assert(graph->segment != 0);
    graph->segment = 0;
}

graph_program *graph_current(sn_graph *graph)
{
    assert(graph->program_count > 0);
    return &graph->programs[graph->program_count - 1];
}

static sn_tensor tensor_add(sn_graph *graph, const sn_tensor_info *info)
{
    sn_error error = SN_ERROR_INIT;
    if (graph->error.status != SN_OK)
        return SN_NO_TENSOR;
    for (int d = 0; d < SN_DIMS; d++)
        if (info->desc.shape[d] < 1)
            return graph_fail(graph, SN_ERR_ARG, "tensor %s: extent %d of 5 is %lld, it must be at least 1",
                              info->name, d + 1, (long long)info->desc.shape[d]);
    if (sn_grow(&graph->tensors, &graph->tensor_capacity, graph->tensor_count, sizeof *graph->tensors,
                &error))
        return graph_fail(graph, error.status, "%s", error.text);
    graph->tensors[graph->tensor_count] = *info;
    return graph->tensor_count++;
}

/* Copy a name; false and the graph's error where it is too long. */
static bool name_set(sn_graph *graph, char to[SN_NAME], const char *name)
{
    if (strlen(name) >= SN_NAME) {
        graph_fail(graph, SN_ERR_ARG, "tensor %s: the name is longer than %d characters", name, SN_NAME - 1);
        return false;
    }
    strcpy(to, name);
    return true;
}

sn_tensor graph_transient(sn_graph *graph, const char *name, sn_tensor_desc desc)
{
    sn_tensor_info info = {.role = SN_ROLE_TRANSIENT, .desc = desc, .program = graph->program_count - 1};
    return name_set(graph, info.name, name) ? tensor_add(graph, &info) : SN_NO_TENSOR;
}

sn_tensor graph_named(sn_graph *graph, const char *name, sn_role role, sn_initial initial,
                      sn_tensor_desc desc)
{
    static const char *const roles[] = {"transient", "an input", "a parameter", "a gradient",
                                        "a state",   "a moment", "an average",  "a result"};
    assert(desc.dtype != SN_BF16); /* whoever reads or writes it on the host does so as its shape says */
    sn_tensor found = sn_graph_find(graph, name);
    if (found == SN_NO_TENSOR) {
        sn_tensor_info info = {.role = role, .initial = initial, .desc = desc, .program = -1};
        return name_set(graph, info.name, name) ? tensor_add(graph, &info) : SN_NO_TENSOR;
    }
    const sn_tensor_info *old = &graph->tensors[found];
    if (old->role != role)
        return graph_fail(graph, SN_ERR_ARG, "tensor %s: is %s already, it cannot be %s too", name,
                          roles[old->role], roles[role]);
    if (!sn_tensor_desc_equal(&old->desc, &desc)) {
        const int64_t *a = old->desc.shape, *b = desc.shape;
        return graph_fail(graph, SN_ERR_ARG,
                          "tensor %s: has shape %lldx%lldx%lldx%lldx%lld already, another program wants "
                          "%lldx%lldx%lldx%lldx%lld",
                          name, (long long)a[0], (long long)a[1], (long long)a[2], (long long)a[3],
                          (long long)a[4], (long long)b[0], (long long)b[1], (long long)b[2], (long long)b[3],
                          (long long)b[4]);
    }
    return found;
}

sn_tensor sn_graph_persistent(sn_graph *graph, const char *name, sn_role role, sn_tensor_desc desc)
{
    assert(role != SN_ROLE_TRANSIENT && role != SN_ROLE_PARAMETER);
    return graph_named(graph, name, role, SN_INITIAL_ZERO, desc);
}

sn_tensor sn_graph_parameter(sn_graph *graph, const char *name, const int64_t shape[SN_DIMS],
                             sn_initial initial)
{
    sn_tensor_desc desc = {.dtype = graph->real};
    memcpy(desc.shape, shape, sizeof desc.shape);
    return graph_named(graph, name, SN_ROLE_PARAMETER, initial, desc);
}

void graph_label(const sn_graph *graph, char label[2 * SN_NAME], sn_op_kind kind, const char *name,
                 sn_tensor input)
{
    const char *kind_name = sn_op_describe(kind)->name;
    if (name[0] != '\0')
        snprintf(label, 2 * SN_NAME, "%s %s", kind_name, name);
    else if (input != SN_NO_TENSOR && graph->tensors[input].name[0] != '\0')
        snprintf(label, 2 * SN_NAME, "%s of %s", kind_name, graph->tensors[input].name);
    else
        snprintf(label, 2 * SN_NAME, "%s", kind_name);
}

bool graph_ready(sn_graph *graph, sn_op_kind kind, const char *name, const sn_tensor *inputs, int count)
{
    char label[2 * SN_NAME];
    if (graph->error.status != SN_OK)
        return false;
    graph_label(graph, label, kind, name, SN_NO_TENSOR);
    if (graph->program_count == 0)
        graph_fail(graph, SN_ERR_ARG, "%s: no program has begun", label);
    for (int i = 0; i < count; i++) {
        if (inputs[i] < 0 || inputs[i] >= graph->tensor_count) {
            graph_fail(graph, SN_ERR_ARG, "%s: input %d is no tensor of this graph", label, i + 1);
            break;
        }
        const sn_tensor_info *info = &graph->tensors[inputs[i]];
        if (info->role == SN_ROLE_TRANSIENT && info->program != graph->program_count - 1)
            graph_fail(graph, SN_ERR_ARG, "%s: input %d belongs to program %s, not to %s", label, i + 1,
                       graph->programs[info->program].name, graph_current(graph)->name);
    }
    return graph->error.status == SN_OK;
}

/* The facts of a check that failed, after the operation's label instead of its kind alone. */
static const char *without_kind(const char *text, sn_op_kind kind)
{
    const char *kind_name = sn_op_describe(kind)->name;
    size_t length = strlen(kind_name);
    return strncmp(text, kind_name, length) == 0 && strncmp(text + length, ": ", 2) == 0 ? text + length + 2
                                                                                         : text;
}

sn_tensor graph_append(sn_graph *graph, const char *name, const sn_node *node)
{
    return graph_append_to(graph, graph->program_count - 1, name, node);
}

/* Convolutions tell what their weights are; gradients, moments and averages have their form. */
static void mark_weights(sn_graph *graph, const sn_node *node, const sn_op *op)
{
    sn_tensor_info *tensors = graph->tensors;
    const sn_operand *weights = sn_op_weights(op);
    for (int i = 0; i < node->input_count; i++)
        tensors[node->inputs[i]].weights |= weights == &op->inputs[i];
    for (int o = 0; o < node->output_count; o++)
        tensors[node->outputs[o]].weights |= weights == &op->outputs[o];
    if (node->kind == SN_OP_NADAM)
        for (int o = 1; o < node->output_count; o++)
            tensors[node->outputs[o]].weights = tensors[node->outputs[0]].weights;
    else if (node->kind == SN_OP_AVERAGE)
        tensors[node->outputs[0]].weights = tensors[node->inputs[0]].weights;
}

sn_tensor graph_append_to(sn_graph *graph, int to, const char *name, const sn_node *node)
{
    sn_error error = SN_ERROR_INIT;
    char label[2 * SN_NAME];
    if (graph->error.status != SN_OK)
        return SN_NO_TENSOR;
    sn_op op = sn_graph_op(graph, node);
    if (sn_op_check(&op, &error) != SN_OK) {
        graph_label(graph, label, node->kind, name, node->input_count > 0 ? node->inputs[0] : SN_NO_TENSOR);
        return graph_fail(graph, error.status, "%s: %s", label, without_kind(error.text, node->kind));
    }
    graph_program *program = &graph->programs[to];
    if (sn_grow(&program->nodes, &program->node_capacity, program->node_count, sizeof *program->nodes,
                &error))
        return graph_fail(graph, error.status, "%s", error.text);
    mark_weights(graph, node, &op);
    program->nodes[program->node_count] = *node;
    program->nodes[program->node_count++].segment = graph->segment;
    return node->outputs[0];
}

int sn_graph_tensor_count(const sn_graph *graph)
{
    return graph->tensor_count;
}

const sn_tensor_info *sn_graph_tensor(const sn_graph *graph, sn_tensor tensor)
{
    assert(tensor >= 0 && tensor < graph->tensor_count);
    return &graph->tensors[tensor];
}

sn_tensor sn_graph_find(const sn_graph *graph, const char *name)
{
    for (sn_tensor t = 0; t < graph->tensor_count; t++)
        if (graph->tensors[t].role != SN_ROLE_TRANSIENT && strcmp(graph->tensors[t].name, name) == 0)
            return t;
    return SN_NO_TENSOR;
}

sn_tensor sn_graph_average_of(const sn_graph *graph, sn_tensor tensor)
{
    char name[2 * SN_NAME];
    if (!graph->averaged)
        return tensor;
    snprintf(name, sizeof name, "%s.average", graph->tensors[tensor].name);
    sn_tensor average = sn_graph_find(graph, name);
    return average == SN_NO_TENSOR ? tensor : average;
}

int sn_graph_program_count(const sn_graph *graph)
{
    return graph->program_count;
}

const char *sn_graph_program_name(const sn_graph *graph, int program)
{
    assert(program >= 0 && program < graph->program_count);
    return graph->programs[program].name;
}

int sn_graph_node_count(const sn_graph *graph, int program)
{
    assert(program >= 0 && program < graph->program_count);
    return graph->programs[program].node_count;
}

const sn_node *sn_graph_node(const sn_graph *graph, int program, int node)
{
    assert(node >= 0 && node < sn_graph_node_count(graph, program));
    return &graph->programs[program].nodes[node];
}

sn_op sn_graph_op(const sn_graph *graph, const sn_node *node)
{
    sn_op op = {.kind = node->kind,
                .params = node->params,
                .input_count = node->input_count,
                .output_count = node->output_count};
    for (int i = 0; i < node->input_count; i++)
        op.inputs[i].desc = graph->tensors[node->inputs[i]].desc;
    for (int o = 0; o < node->output_count; o++)
        op.outputs[o].desc = graph->tensors[node->outputs[o]].desc;
    return op;
}

int64_t sn_graph_parameters(const sn_graph *graph)
{
    int64_t count = 0;
    for (sn_tensor t = 0; t < graph->tensor_count; t++)
        if (graph->tensors[t].role == SN_ROLE_PARAMETER)
            count += sn_tensor_count(&graph->tensors[t].desc);
    return count;
}

int64_t sn_graph_multiply_adds(const sn_graph *graph, int program)
{
    int64_t count = 0;
    for (int n = 0; n < sn_graph_node_count(graph, program); n++) {
        sn_op op = sn_graph_op(graph, sn_graph_node(graph, program, n));
        count += sn_op_multiply_adds(&op);
    }
    return count;
}
