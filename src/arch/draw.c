#include "arch/draw.h"

#include <stdio.h>
#include <string.h>

#include "arch/text.h"
#include "base/memory.h"

static sn_status no_block(const sn_arch *arch, sn_error *error)
{
    return sn_error_set(error, SN_ERR_ARG, "net=%s is a fixed network, it has no block to draw",
                        sn_net_name(arch->net));
}

static const char *node_role(const sn_arch *arch, int node)
{
    if (node == 0)
        return "input";
    return node == arch->nodes - 1 ? "output" : "";
}

/* The drawing: boxes on the left, one below the other; right of them lanes, in each an edge that comes down
 * from its source's box and turns left into its target's. */
enum {
    UP = 1,
    DOWN = 2,
    LEFT = 4,
    RIGHT = 8,
    ARROW = 16,
    BOX_WIDTH = 13,
    LANE_WIDTH = 12,
    ROWS_A_NODE = 5, /* top, inputs, outputs, bottom, names of the operations */
    MAX_LANES = SN_ARCH_MAX_NODES * SN_ARCH_MAX_NODES / 4, /* edges between two halves of the nodes */
};

typedef struct canvas {
    int rows, columns;
    uint8_t *lines; /* [rows][columns]: where lines leave a cell, or ARROW */
    char *letters;  /* [rows][columns]: 0 or a letter, which wins over lines */
} canvas;

static void canvas_clear(canvas *c)
{
    sn_free(c->lines);
    sn_free(c->letters);
}

static sn_status canvas_make(canvas *c, int rows, int columns, sn_error *error)
{
    sn_status status;
    *c = (canvas){rows, columns, NULL, NULL};
    SN_TRY(sn_alloc(&c->lines, (size_t)rows * (size_t)columns, 1, error));
    SN_TRY(sn_alloc(&c->letters, (size_t)rows * (size_t)columns, 1, error));
done:
    return status;
}

static void horizontal(canvas *c, int row, int from, int to)
{
    for (int x = from; x <= to; x++)
        c->lines[row * c->columns + x] |= (uint8_t)((x > from ? LEFT : 0) | (x < to ? RIGHT : 0));
}

static void vertical(canvas *c, int column, int from, int to)
{
    for (int y = from; y <= to; y++)
        c->lines[y * c->columns + column] |= (uint8_t)((y > from ? UP : 0) | (y < to ? DOWN : 0));
}

static void letters(canvas *c, int row, int column, const char *text)
{
    memcpy(c->letters + row * c->columns + column, text, strlen(text));
}

static void canvas_write(const canvas *c, FILE *stream)
{
    static const char *const glyphs[] = {" ", "╵", "╷", "│", "╴", "┘", "┐", "┤",
                                         "╶", "└", "┌", "├", "─", "┴", "┬", "┼"};
    for (int y = 0; y < c->rows; y++) {
        const uint8_t *lines = c->lines + y * c->columns;
        const char *text = c->letters + y * c->columns;
        int end = c->columns;
        while (end > 0 && lines[end - 1] == 0 && (text[end - 1] == 0 || text[end - 1] == ' '))
            end--;
        for (int x = 0; x < end; x++) {
            if (text[x] != 0)
                fputc(text[x], stream);
            else
                fputs(lines[x] & ARROW ? "◀" : glyphs[lines[x]], stream);
        }
        fputc('\n', stream);
    }
}

static int lane_column(int lane)
{
    return BOX_WIDTH + LANE_WIDTH / 2 - 1 + LANE_WIDTH * lane;
}

/* The row at which edges enter a node's box; the top line of the first box takes it. */
static int inputs_row(int node)
{
    return ROWS_A_NODE * node;
}

static int outputs_row(int node)
{
    return inputs_row(node) + 1;
}

/* Draw node `node`'s box. The input has no row of inputs, the output none of outputs. */
static void draw_box(canvas *c, const sn_arch *arch, int node)
{
    char label[32];
    int top = node == 0 ? 0 : inputs_row(node) - 1;
    int bottom = node == arch->nodes - 1 ? inputs_row(node) + 1 : outputs_row(node) + 1;
    horizontal(c, top, 0, BOX_WIDTH - 1);
    horizontal(c, bottom, 0, BOX_WIDTH - 1);
    vertical(c, 0, top, bottom);
    vertical(c, BOX_WIDTH - 1, top, bottom);
    snprintf(label, sizeof label, "%-2d %s", node + 1, node_role(arch, node));
    letters(c, top + 1, 2, label);
}

/* Draw the edge from one node to another in a lane. */
static void draw_edge(canvas *c, int from, int to, int lane, const char *name)
{
    int column = lane_column(lane), start = outputs_row(from), end = inputs_row(to);
    horizontal(c, start, BOX_WIDTH - 1, column);
    vertical(c, column, start, end);
    horizontal(c, end, BOX_WIDTH, column);
    c->lines[end * c->columns + BOX_WIDTH] |= ARROW;
    letters(c, start + 2, column - (int)strlen(name) / 2, name);
}

/* Give each edge the first lane that is free on its way; returns the number of lanes. */
static int assign_lanes(int lane[SN_ARCH_MAX_NODES][SN_ARCH_MAX_NODES], const sn_arch *arch)
{
    int busy_until[MAX_LANES] = {0}, lanes = 0; /* the node at which the lane's last edge ends */
    for (int from = 0; from < arch->nodes; from++) {
        for (int to = from + 1, free = 0; to < arch->nodes; to++) {
            if (sn_arch_op(arch, from, to) == SN_BLOCK_NONE)
                continue;
            while (busy_until[free] > from)
                free++;
            busy_until[free] = to;
            lane[from][to] = free;
            if (free >= lanes)
                lanes = free + 1;
        }
    }
    return lanes;
}

sn_status sn_draw_block(char **text, const sn_arch *arch, sn_error *error)
{
    sn_status status;
    sn_text out;
    canvas c = {0};
    int lane[SN_ARCH_MAX_NODES][SN_ARCH_MAX_NODES];
    *text = NULL;
    if (arch->net != SN_NET_SEGNAS)
        return no_block(arch, error);
    int columns = lane_column(assign_lanes(lane, arch));
    SN_TRY(canvas_make(&c, inputs_row(arch->nodes - 1) + 2, columns, error));
    for (int from = 0; from < arch->nodes; from++) {
        draw_box(&c, arch, from);
        for (int to = from + 1; to < arch->nodes; to++)
            if (sn_arch_op(arch, from, to) != SN_BLOCK_NONE)
                draw_edge(&c, from, to, lane[from][to], sn_block_op_name(sn_arch_op(arch, from, to)));
    }
    SN_TRY(sn_text_begin(&out, error));
    canvas_write(&c, out.stream);
    SN_TRY(sn_text_end(&out, text, error));
done:
    canvas_clear(&c);
    return status;
}

sn_status sn_draw_dot(char **text, const sn_arch *arch, sn_error *error)
{
    sn_text out;
    *text = NULL;
    if (arch->net != SN_NET_SEGNAS)
        return no_block(arch, error);
    sn_status status = sn_text_begin(&out, error);
    if (status != SN_OK)
        return status;
    fputs("digraph block {\n  node [shape=box];\n", out.stream);
    for (int node = 0; node < arch->nodes; node++)
        fprintf(out.stream, "  %d [label=\"%d%s%s\"];\n", node + 1, node + 1,
                *node_role(arch, node) ? " " : "", node_role(arch, node));
    for (int from = 0; from < arch->nodes; from++) {
        for (int to = from + 1; to < arch->nodes; to++) {
            sn_block_op op = sn_arch_op(arch, from, to);
            if (op != SN_BLOCK_NONE)
                fprintf(out.stream, "  %d -> %d [label=\"%s\"%s];\n", from + 1, to + 1, sn_block_op_name(op),
                        op == SN_BLOCK_SKIP ? ", style=dashed" : "");
        }
    }
    fputs("}\n", out.stream);
    return sn_text_end(&out, text, error);
}

/* One line of the table of layers. */
typedef struct layer {
    char name[SN_NAME], operation[48], output[96];
    int64_t parameters, multiply_adds;
} layer;

/* The name of a layer is that of its first parameter without the last part, or its output's. */
static void name_layer(layer *line, const sn_graph *graph, const sn_node *node)
{
    snprintf(line->name, sizeof line->name, "%s", sn_graph_tensor(graph, node->outputs[0])->name);
    for (int i = node->input_count - 1; i >= 0; i--) {
        const sn_tensor_info *info = sn_graph_tensor(graph, node->inputs[i]);
        if (info->role != SN_ROLE_PARAMETER)
            continue;
        line->parameters += sn_tensor_count(&info->desc);
        snprintf(line->name, sizeof line->name, "%s", info->name);
        char *last = strrchr(line->name, '.');
        if (last != NULL)
            *last = '\0';
    }
}

static void name_operation(layer *line, const sn_node *node)
{
    const char *kind = sn_op_describe(node->kind)->name;
    const sn_conv3d_params *conv = &node->params.conv3d;
    if (node->kind == SN_OP_CONV3D_BACKWARD_DATA)
        snprintf(line->operation, sizeof line->operation, "transposed(%d)/%d", conv->kernel, conv->stride);
    else if (node->kind == SN_OP_CONV3D && conv->stride > 1)
        snprintf(line->operation, sizeof line->operation, "%s(%d)/%d", kind, conv->kernel, conv->stride);
    else if (node->kind == SN_OP_CONV3D)
        snprintf(line->operation, sizeof line->operation, "%s(%d,%d)", kind, conv->kernel, conv->dilation);
    else
        snprintf(line->operation, sizeof line->operation, "%s", kind);
}

static void describe_layer(layer *line, const sn_graph *graph, const sn_node *node)
{
    const int64_t *shape = sn_graph_tensor(graph, node->outputs[0])->desc.shape;
    sn_op op = sn_graph_op(graph, node);
    *line = (layer){.multiply_adds = sn_op_multiply_adds(&op)};
    name_layer(line, graph, node);
    name_operation(line, node);
    snprintf(line->output, sizeof line->output, "%lld x %lld x %lld x %lld", (long long)shape[1],
             (long long)shape[2], (long long)shape[3], (long long)shape[4]);
}

/* The lines of the forward operations of a program; `*lines` is the caller's (sn_free). */
static sn_status list_layers(layer **lines, int *count, const sn_graph *graph, int program, sn_error *error)
{
    int nodes = sn_graph_node_count(graph, program);
    sn_status status = sn_alloc(lines, (size_t)nodes, sizeof **lines, error);
    *count = 0;
    for (int i = 0; status == SN_OK && i < nodes; i++) {
        const sn_node *node = sn_graph_node(graph, program, i);
        if (!node->backward && !node->recomputed)
            describe_layer(&(*lines)[(*count)++], graph, node);
    }
    return status;
}

sn_status sn_draw_layers(char **text, const sn_graph *graph, int program, sn_error *error)
{
    sn_status status;
    sn_text out;
    layer *lines = NULL, total = {.name = "total"};
    int count, name_width = 5, output_width = 6;
    *text = NULL;
    SN_TRY(list_layers(&lines, &count, graph, program, error));
    for (int i = 0; i < count; i++) {
        int name_length = (int)strlen(lines[i].name), output_length = (int)strlen(lines[i].output);
        name_width = name_length > name_width ? name_length : name_width;
        output_width = output_length > output_width ? output_length : output_width;
        total.parameters += lines[i].parameters;
        total.multiply_adds += lines[i].multiply_adds;
    }
    SN_TRY(sn_text_begin(&out, error));
    fprintf(out.stream, "%-*s  %-18s  %-*s  %12s  %15s\n", name_width, "layer", "operation", output_width,
            "output", "parameters", "multiply-adds");
    for (int i = 0; i <= count; i++) {
        const layer *line = i < count ? &lines[i] : &total;
        fprintf(out.stream, "%-*s  %-18s  %-*s  %12lld  %15lld\n", name_width, line->name, line->operation,
                output_width, line->output, (long long)line->parameters, (long long)line->multiply_adds);
    }
    SN_TRY(sn_text_end(&out, text, error));
done:
    sn_free(lines);
    return status;
}
