/*
 * Backpropagation: the forward operations are walked from the loss backwards; a rule for each kind of
 * operation appends those that turn the gradient of its output into gradients of its inputs.
 *
 * Of the forward values a rule needs, the dear ones are kept and the cheap ones computed again from them,
 * when they are needed. Where memory is short, convolutions are computed again too, those of a segment when
 * its turn comes (T. Chen et al., "Training deep nets with sublinear memory cost", 2016).
 *
 * What is recomputed changes no gradient by a bit: an operation on the same values gives the same value, and
 * the order in which gradients are summed does not depend on it.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "nn/graph_build.h"

typedef struct backward {
    sn_graph *graph;
    sn_recompute recompute;
    int position;        /* the forward node now differentiated */
    int *producer;       /* [tensor] the forward node that makes it; -1: none */
    bool *leaves;        /* [tensor] read outside of the segment that makes it */
    bool *wanted;        /* [tensor] depends on a parameter, so its gradient is computed */
    sn_tensor *gradient; /* [tensor] d loss / d tensor, as far as it is summed; SN_NO_TENSOR: none yet */
    sn_tensor *copy;     /* [tensor] its value, computed a second time; SN_NO_TENSOR: none yet */
    int *copied_at;      /* [tensor] the position at which that was done */
} backward;

typedef void gradient_rule(backward *b, const sn_node *node, sn_tensor dy);

/* A transient with the description of `tensor`. */
static sn_tensor transient_like(backward *b, sn_tensor tensor)
{
    char name[SN_NAME];
    memcpy(name, b->graph->tensors[tensor].name, sizeof name);
    return graph_transient(b->graph, name, b->graph->tensors[tensor].desc);
}

static sn_tensor parameter_gradient(backward *b, sn_tensor parameter)
{
    char name[SN_NAME + 8];
    const sn_tensor_info *info = &b->graph->tensors[parameter];
    if (info->role != SN_ROLE_PARAMETER)
        return graph_fail(b->graph, SN_ERR_ARG, "differentiate: tensor %s takes a parameter's place",
                          info->name);
    snprintf(name, sizeof name, "%s.grad", info->name);
    return sn_graph_persistent(b->graph, name, SN_ROLE_GRADIENT, info->desc);
}

/* Append a backward node; its messages name it by the tensor it works for. */
static void append(backward *b, sn_node *node)
{
    node->backward = true;
    if (b->graph->error.status == SN_OK)
        graph_append(b->graph, "", node);
}

/* Add `part` to the gradient of `tensor`. */
static void contribute(backward *b, sn_tensor tensor, sn_tensor part)
{
    if (!b->wanted[tensor] || b->graph->error.status != SN_OK)
        return;
    if (b->gradient[tensor] == SN_NO_TENSOR) {
        b->gradient[tensor] = part;
        return;
    }
    sn_node sum = {
        .kind = SN_OP_SUM, .input_count = 2, .output_count = 1, .inputs = {b->gradient[tensor], part}};
    b->gradient[tensor] = sum.outputs[0] = transient_like(b, tensor);
    append(b, &sum);
}

/* Multiply-adds a value that cost no more than reading and writing it: a first layer's, most 1^3. A transposed
 * convolution may cost more, since it makes eight values of each that it reads. */
enum { CHEAP = 32, CHEAP_TRANSPOSED = 128 };

/* Operations that cost little beside an ordinary convolution: a pass or two over memory. */
static bool is_cheap(const sn_graph *graph, const sn_node *node)
{
    const sn_op op = sn_graph_op(graph, node);
    switch (node->kind) {
    case SN_OP_CONV3D:
        return sn_op_multiply_adds(&op) <= CHEAP * sn_tensor_count(&op.outputs[0].desc);
    case SN_OP_CONV3D_BACKWARD_DATA:
        return sn_op_multiply_adds(&op) <= CHEAP_TRANSPOSED * sn_tensor_count(&op.outputs[0].desc);
    case SN_OP_BIAS:
    case SN_OP_BATCHNORM:
    case SN_OP_PRELU:
    case SN_OP_SUM:
    case SN_OP_UPSAMPLE:
    case SN_OP_CONCAT:
    case SN_OP_WINDOW:
    case SN_OP_CHANNEL_DROPOUT:
    case SN_OP_TO_BF16:
        return true;
    default:
        return false;
    }
}

static bool is_convolution(sn_op_kind kind)
{
    return kind == SN_OP_CONV3D || kind == SN_OP_CONV3D_BACKWARD_DATA;
}

/* Whether a tensor is the result of a cheap operation. */
static bool is_cheaply_made(const backward *b, sn_tensor tensor)
{
    int producer = b->producer[tensor];
    return producer >= 0 && is_cheap(b->graph, &graph_current(b->graph)->nodes[producer]);
}

/* Whether the forward value itself is there for backward operations. */
static bool is_kept(const backward *b, sn_tensor tensor)
{
    int producer = b->producer[tensor];
    if (b->recompute == SN_RECOMPUTE_NOTHING || producer < 0)
        return true;
    const sn_node *node = &graph_current(b->graph)->nodes[producer];
    if (b->recompute == SN_RECOMPUTE_SEGMENTS && node->segment != 0)
        return b->leaves[tensor] || !(is_cheap(b->graph, node) || is_convolution(node->kind));
    return !is_cheap(b->graph, node);
}

static sn_tensor value(backward *b, sn_tensor tensor);

/* Append the forward operation that makes `tensor` once more. */
static sn_tensor recompute(backward *b, sn_tensor tensor)
{
    sn_node node = graph_current(b->graph)->nodes[b->producer[tensor]];
    if (node.kind == SN_OP_BATCHNORM) { /* the statistics are known by now */
        node.kind = SN_OP_BATCHNORM_APPLY;
        node.inputs[3] = node.outputs[1];
        node.inputs[4] = node.outputs[2];
        node.input_count = 5;
        node.output_count = 1;
        node.inputs[0] = value(b, node.inputs[0]);
    } else {
        for (int i = 0; i < node.input_count; i++)
            node.inputs[i] = value(b, node.inputs[i]);
    }
    node.recomputed = true;
    node.outputs[0] = transient_like(b, tensor);
    append(b, &node);
    return node.outputs[0];
}

/* The forward value of a tensor for use in a backward operation: itself where it is kept, else a copy. One that was
 * made cheaply serves one position of the walk only and is made again at the next: it would lie idle. */
static sn_tensor value(backward *b, sn_tensor tensor)
{
    if (is_kept(b, tensor))
        return tensor;
    bool past = is_cheaply_made(b, tensor) && b->copied_at[tensor] != b->position;
    if (b->copy[tensor] == SN_NO_TENSOR || past) {
        b->copy[tensor] = recompute(b, tensor);
        b->copied_at[tensor] = b->position;
    }
    return b->copy[tensor];
}

/* dw of y = conv(x, w); in a transposed convolution x and y have changed places. */
static void convolution_weights(backward *b, const sn_node *node)
{
    sn_tensor x = value(b, node->inputs[0]), dy = b->gradient[node->outputs[0]];
    bool transposed = node->kind == SN_OP_CONV3D_BACKWARD_DATA;
    sn_node weights = {.kind = SN_OP_CONV3D_BACKWARD_WEIGHTS,
                       .params = node->params,
                       .input_count = 2,
                       .output_count = 1,
                       .inputs = {transposed ? dy : x, transposed ? x : dy},
                       .outputs = {parameter_gradient(b, node->inputs[1])}};
    append(b, &weights);
}

/* dx of y = conv(x, w): the transposed convolution, or the other way round. */
static void convolution_data(backward *b, const sn_node *node)
{
    sn_tensor x = node->inputs[0], dy = b->gradient[node->outputs[0]];
    if (!b->wanted[x])
        return;
    sn_node data = {.kind = node->kind == SN_OP_CONV3D ? SN_OP_CONV3D_BACKWARD_DATA : SN_OP_CONV3D,
                    .params = node->params,
                    .input_count = 2,
                    .output_count = 1,
                    .inputs = {dy, node->inputs[1]},
                    .outputs = {transient_like(b, x)}};
    append(b, &data);
    contribute(b, x, data.outputs[0]);
}

/* The weights first: then x may die before dx is born. */
static void convolution_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    (void)dy;
    if (!is_cheaply_made(b, node->inputs[0])) { /* else convolutions_of does it */
        convolution_weights(b, node);
        convolution_data(b, node);
    }
}

/*
 * All convolutions that read x, a value that may have to be computed again: they wait until the gradients of
 * all their outputs are known, so that the copy of x is made once, lives shortly, and dies before the first
 * dx is born. While they wait, each dy lies where the convolution's output lay: batch normalisation puts it
 * there.
 */
static void convolutions_of(backward *b, sn_tensor x)
{
    void (*const passes[])(backward *, const sn_node *) = {convolution_weights, convolution_data};
    if (!is_cheaply_made(b, x))
        return;
    for (int pass = 0; pass < 2; pass++)
        for (int n = graph_current(b->graph)->loss - 1; n > b->position; n--) {
            const sn_node node = graph_current(b->graph)->nodes[n]; /* a copy: the array grows */
            if (is_convolution(node.kind) && node.inputs[0] == x &&
                b->gradient[node.outputs[0]] != SN_NO_TENSOR)
                passes[pass](b, &node);
        }
}

/* y = x + b: dx = dy, without an operation. ReLU is in a bias only where nn/fold.h put it, for prediction. */
static void bias_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    assert(!node->params.bias.relu);
    sn_node bias = {.kind = SN_OP_BIAS_BACKWARD,
                    .input_count = 1,
                    .output_count = 1,
                    .inputs = {dy},
                    .outputs = {parameter_gradient(b, node->inputs[1])}};
    append(b, &bias);
    contribute(b, node->inputs[0], dy);
}

static void batchnorm_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    sn_tensor x = node->inputs[0], gamma = node->inputs[1], beta = node->inputs[2];
    sn_tensor m = node->outputs[1], v = node->outputs[2];
    sn_tensor x_value = value(b, x);
    sn_node back = {
        .kind = SN_OP_BATCHNORM_BACKWARD,
        .params = node->params,
        .input_count = 6,
        .output_count = 3,
        .inputs = {x_value, gamma, beta, m, v, dy},
        .outputs = {transient_like(b, x), parameter_gradient(b, gamma), parameter_gradient(b, beta)}};
    append(b, &back);
    contribute(b, x, back.outputs[0]);
}

static void prelu_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    sn_tensor x = node->inputs[0], a = node->inputs[1];
    sn_tensor x_value = value(b, x);
    sn_node back = {.kind = SN_OP_PRELU_BACKWARD,
                    .input_count = 3,
                    .output_count = 2,
                    .inputs = {x_value, a, dy},
                    .outputs = {transient_like(b, x), parameter_gradient(b, a)}};
    append(b, &back);
    contribute(b, x, back.outputs[0]);
}

/* y = a + b + ..: the gradient of each is dy, without an operation. */
static void sum_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    for (int i = 0; i < node->input_count; i++)
        contribute(b, node->inputs[i], dy);
}

/* Append the operation from dy to the gradient of input `input`, which reads `auxiliary` too if it is one. */
static void append_to_input(backward *b, const sn_node *node, int input, sn_op_kind kind, sn_op_params params,
                            sn_tensor dy, sn_tensor auxiliary)
{
    sn_tensor x = node->inputs[input];
    if (!b->wanted[x])
        return;
    sn_node back = {.kind = kind,
                    .params = params,
                    .input_count = auxiliary == SN_NO_TENSOR ? 1 : 2,
                    .output_count = 1,
                    .inputs = {dy, auxiliary},
                    .outputs = {transient_like(b, x)}};
    append(b, &back);
    contribute(b, x, back.outputs[0]);
}

static void maxpool_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    append_to_input(b, node, 0, SN_OP_MAXPOOL_BACKWARD, node->params, dy, node->outputs[1]);
}

static void upsample_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    append_to_input(b, node, 0, SN_OP_UPSAMPLE_BACKWARD, node->params, dy, SN_NO_TENSOR);
}

/* The channels of dy that are each input's own; those of the first input last, because they are used up first and
 * may then stay where they are. */
static void concat_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    sn_op_params params = {0};
    params.window.offset[0] = b->graph->tensors[dy].desc.shape[1];
    for (int i = node->input_count - 1; i >= 0; i--) {
        params.window.offset[0] -= b->graph->tensors[node->inputs[i]].desc.shape[1];
        append_to_input(b, node, i, SN_OP_WINDOW, params, dy, SN_NO_TENSOR);
    }
}

/* The same window looked through from the other side. */
static void window_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    sn_op_params params = {0};
    for (int d = 0; d < 4; d++)
        params.window.offset[d] = -node->params.window.offset[d];
    append_to_input(b, node, 0, SN_OP_WINDOW, params, dy, SN_NO_TENSOR);
}

static void channel_dropout_gradient(backward *b, const sn_node *node, sn_tensor dy)
{
    append_to_input(b, node, 0, SN_OP_CHANNEL_DROPOUT, node->params, dy, node->inputs[1]);
}

static gradient_rule *const rules[SN_OP_KINDS] = {
    [SN_OP_CONV3D] = convolution_gradient,
    [SN_OP_CONV3D_BACKWARD_DATA] = convolution_gradient,
    [SN_OP_BIAS] = bias_gradient,
    [SN_OP_BATCHNORM] = batchnorm_gradient,
    [SN_OP_PRELU] = prelu_gradient,
    [SN_OP_SUM] = sum_gradient,
    [SN_OP_MAXPOOL] = maxpool_gradient,
    [SN_OP_UPSAMPLE] = upsample_gradient,
    [SN_OP_CONCAT] = concat_gradient,
    [SN_OP_WINDOW] = window_gradient,
    [SN_OP_CHANNEL_DROPOUT] = channel_dropout_gradient,
};

/* Who makes each tensor, which leave their segment, and which depend on a parameter. */
static void survey(backward *b)
{
    const sn_graph *graph = b->graph;
    const graph_program *program = graph_current(b->graph);
    for (sn_tensor t = 0; t < graph->tensor_count; t++) {
        b->producer[t] = -1;
        b->gradient[t] = b->copy[t] = SN_NO_TENSOR;
        b->wanted[t] = graph->tensors[t].role == SN_ROLE_PARAMETER;
        b->leaves[t] = false;
    }
    for (int n = 0; n < program->node_count; n++) {
        const sn_node *node = &program->nodes[n];
        sn_tensor y = node->outputs[0];
        for (int o = 0; o < node->output_count; o++)
            b->producer[node->outputs[o]] = n;
        for (int i = 0; i < node->input_count; i++) {
            int source = b->producer[node->inputs[i]];
            if (source >= 0 && program->nodes[source].segment != node->segment)
                b->leaves[node->inputs[i]] = true;
        }
        for (int i = 0; i < node->input_count && graph->tensors[y].role == SN_ROLE_TRANSIENT; i++)
            b->wanted[y] = b->wanted[y] || b->wanted[node->inputs[i]];
    }
}

static void walk(backward *b)
{
    sn_graph *graph = b->graph;
    const sn_node loss = graph_current(graph)->nodes[graph_current(graph)->loss];
    b->gradient[loss.inputs[0]] = loss.outputs[1];
    if (!b->wanted[loss.inputs[0]])
        graph_fail(graph, SN_ERR_ARG, "differentiate: the loss of program %s depends on no parameter",
                   graph_current(graph)->name);
    for (b->position = graph_current(graph)->loss - 1; b->position >= 0; b->position--) {
        const sn_node node = graph_current(graph)->nodes[b->position]; /* a copy: the array grows */
        convolutions_of(b, node.outputs[0]);
        sn_tensor dy = b->gradient[node.outputs[0]];
        if (dy == SN_NO_TENSOR || !b->wanted[node.outputs[0]])
            continue;
        if (graph->error.status != SN_OK)
            return;
        if (rules[node.kind] == NULL)
            graph_fail(graph, SN_ERR_ARG,
                       "differentiate: %s between a parameter and the loss has no gradient",
                       sn_op_describe(node.kind)->name);
        else
            rules[node.kind](b, &node, dy);
    }
}

/* Whether the current program can be differentiated. */
static bool differentiable(sn_graph *graph)
{
    if (graph->error.status != SN_OK)
        return false;
    if (graph->program_count == 0 || graph_current(graph)->loss < 0) {
        graph_fail(graph, SN_ERR_ARG, "differentiate: the program has no loss");
        return false;
    }
    const graph_program *program = graph_current(graph);
    if (program->nodes[program->node_count - 1].backward) {
        graph_fail(graph, SN_ERR_ARG, "differentiate: program %s has its gradients already", program->name);
        return false;
    }
    return true;
}

sn_status sn_graph_differentiate(sn_graph *graph, sn_recompute recompute, sn_error *error)
{
    sn_status status;
    backward b = {.graph = graph, .recompute = recompute};
    size_t count = (size_t)graph->tensor_count;
    if (!differentiable(graph))
        return sn_graph_status(graph, error);
    SN_TRY(sn_alloc(&b.producer, count, sizeof *b.producer, error));
    SN_TRY(sn_alloc(&b.leaves, count, sizeof *b.leaves, error));
    SN_TRY(sn_alloc(&b.wanted, count, sizeof *b.wanted, error));
    SN_TRY(sn_alloc(&b.gradient, count, sizeof *b.gradient, error));
    SN_TRY(sn_alloc(&b.copy, count, sizeof *b.copy, error));
    SN_TRY(sn_alloc(&b.copied_at, count, sizeof *b.copied_at, error));
    survey(&b);
    walk(&b);
    status = sn_graph_status(graph, error);
done:
    sn_free(b.copied_at);
    sn_free(b.copy);
    sn_free(b.gradient);
    sn_free(b.wanted);
    sn_free(b.leaves);
    sn_free(b.producer);
    return status;
}
