/* The builders: one operation each, with the shape of its output. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "nn/graph_build.h"

enum { LABEL = 2 * SN_NAME };

static const double batchnorm_epsilon = 1e-5, batchnorm_momentum = 0.1; /* docs/method.md section 3 */

/* A description with the type and extents of `tensor`, but `channels` channels. */
static sn_tensor_desc desc_like(const sn_graph *graph, sn_tensor tensor, int64_t channels)
{
    sn_tensor_desc desc = graph->tensors[tensor].desc;
    desc.shape[1] = channels;
    return desc;
}

static sn_tensor_desc desc_of(sn_dtype dtype, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w)
{
    return (sn_tensor_desc){.dtype = dtype, .shape = {n, c, d, h, w}};
}

/* Persistent tensor `name`.`part`; in predict mode its average where there is one. */
static sn_tensor part_of(sn_graph *graph, const char *name, const char *part, sn_role role,
                         sn_initial initial, sn_tensor_desc desc)
{
    char full[2 * SN_NAME];
    snprintf(full, sizeof full, "%s.%s", name, part);
    sn_tensor part_tensor = graph_named(graph, full, role, initial, desc);
    if (graph_current(graph)->mode == SN_MODE_TRAIN || part_tensor == SN_NO_TENSOR)
        return part_tensor;
    return sn_graph_average_of(graph, part_tensor);
}

/* A vector of C parameters, one for each channel of x. */
static sn_tensor channel_parameter(sn_graph *graph, const char *name, const char *part, sn_tensor x,
                                   sn_initial initial)
{
    int64_t channels = graph->tensors[x].desc.shape[1];
    return part_of(graph, name, part, SN_ROLE_PARAMETER, initial, desc_of(graph->real, 1, channels, 1, 1, 1));
}

/* An operation with one output, a new transient of description `y`. */
static sn_tensor append_simple(sn_graph *graph, const char *name, sn_op_kind kind, sn_op_params params,
                               const sn_tensor *inputs, int input_count, sn_tensor_desc y)
{
    sn_node node = {.kind = kind, .params = params, .input_count = input_count, .output_count = 1};
    memcpy(node.inputs, inputs, (size_t)input_count * sizeof *inputs);
    node.outputs[0] = graph_transient(graph, name, y);
    return graph_append(graph, name, &node);
}

sn_tensor sn_graph_to_values(sn_graph *graph, sn_tensor x)
{
    if (!graph_ready(graph, SN_OP_TO_BF16, "", &x, 1))
        return SN_NO_TENSOR;
    sn_tensor_desc y = graph->tensors[x].desc;
    if (y.dtype == graph->values)
        return x;
    assert(graph->values == SN_BF16);
    y.dtype = graph->values;
    return append_simple(graph, "", SN_OP_TO_BF16, (sn_op_params){0}, &x, 1, y);
}

/* Kernel, stride, extents and channels of a convolution that builders allow. */
static bool conv3d_allowed(sn_graph *graph, const char *label, const int64_t *shape, int channels, int kernel,
                           int dilation, int stride)
{
    if (channels < 1 || kernel < 1 || dilation < 1 || stride < 1)
        graph_fail(graph, SN_ERR_ARG,
                   "%s: channels %d, kernel %d, dilation %d, stride %d: each must be at least 1", label,
                   channels, kernel, dilation, stride);
    else if (stride == 1 && dilation * (kernel - 1) % 2 != 0)
        graph_fail(graph, SN_ERR_ARG,
                   "%s: kernel %d with dilation %d has no 'same' padding, use an odd kernel", label, kernel,
                   dilation);
    else if (stride > 1 && (kernel != stride || dilation != 1))
        graph_fail(graph, SN_ERR_ARG,
                   "%s: stride %d needs kernel %d and dilation 1, not kernel %d and dilation %d", label,
                   stride, stride, kernel, dilation);
    else if (shape[2] % stride != 0 || shape[3] % stride != 0 || shape[4] % stride != 0)
        graph_fail(graph, SN_ERR_ARG, "%s: extents %lldx%lldx%lld must be multiples of stride %d", label,
                   (long long)shape[2], (long long)shape[3], (long long)shape[4], stride);
    return graph->error.status == SN_OK;
}

sn_tensor sn_graph_conv3d(sn_graph *graph, const char *name, sn_tensor x, int channels, int kernel,
                          int dilation, int stride)
{
    char label[LABEL];
    if (!graph_ready(graph, SN_OP_CONV3D, name, &x, 1))
        return SN_NO_TENSOR;
    graph_label(graph, label, SN_OP_CONV3D, name, x);
    const int64_t *shape = graph->tensors[x].desc.shape;
    if (!conv3d_allowed(graph, label, shape, channels, kernel, dilation, stride))
        return SN_NO_TENSOR;
    sn_op_params params = {.conv3d = {.kernel = kernel,
                                      .dilation = dilation,
                                      .stride = stride,
                                      .pad = stride == 1 ? dilation * (kernel - 1) / 2 : 0}};
    sn_tensor_desc y = desc_like(graph, x, channels);
    for (int d = 2; d < SN_DIMS; d++)
        y.shape[d] /= stride;
    sn_tensor w = part_of(graph, name, "weight", SN_ROLE_PARAMETER, SN_INITIAL_HE_NORMAL,
                          desc_of(graph->real, channels, shape[1], kernel, kernel, kernel));
    return append_simple(graph, name, SN_OP_CONV3D, params, (sn_tensor[]){x, w}, 2, y);
}

sn_tensor sn_graph_conv3d_transposed(sn_graph *graph, const char *name, sn_tensor x, int channels)
{
    if (!graph_ready(graph, SN_OP_CONV3D_BACKWARD_DATA, name, &x, 1))
        return SN_NO_TENSOR;
    sn_op_params params = {.conv3d = {.kernel = 2, .dilation = 1, .stride = 2, .pad = 0}};
    int64_t in_channels = graph->tensors[x].desc.shape[1];
    sn_tensor_desc y = desc_like(graph, x, channels);
    for (int d = 2; d < SN_DIMS; d++)
        y.shape[d] *= 2;
    sn_tensor w = part_of(graph, name, "weight", SN_ROLE_PARAMETER, SN_INITIAL_HE_TRANSPOSED,
                          desc_of(graph->real, in_channels, channels, 2, 2, 2));
    return append_simple(graph, name, SN_OP_CONV3D_BACKWARD_DATA, params, (sn_tensor[]){x, w}, 2, y);
}

sn_tensor sn_graph_bias(sn_graph *graph, const char *name, sn_tensor x)
{
    if (!graph_ready(graph, SN_OP_BIAS, name, &x, 1))
        return SN_NO_TENSOR;
    sn_tensor b = channel_parameter(graph, name, "bias", x, SN_INITIAL_ZERO);
    return append_simple(graph, name, SN_OP_BIAS, (sn_op_params){0}, (sn_tensor[]){x, b}, 2,
                         graph->tensors[x].desc);
}

sn_tensor sn_graph_prelu(sn_graph *graph, const char *name, sn_tensor x)
{
    if (!graph_ready(graph, SN_OP_PRELU, name, &x, 1))
        return SN_NO_TENSOR;
    sn_tensor a = channel_parameter(graph, name, "slope", x, SN_INITIAL_QUARTER);
    return append_simple(graph, name, SN_OP_PRELU, (sn_op_params){0}, (sn_tensor[]){x, a}, 2,
                         graph->tensors[x].desc);
}

/* Statistics of one image, which last where another program reads them. */
static sn_tensor statistic(sn_graph *graph, const char *name, const char *part, sn_tensor_desc desc)
{
    return graph->running > 0 ? part_of(graph, name, part, SN_ROLE_RESULT, SN_INITIAL_ZERO, desc)
                              : graph_transient(graph, name, desc);
}

/* Batch statistics, which also move the running ones. */
static sn_tensor batchnorm_train(sn_graph *graph, const char *name, sn_op_params params,
                                 const sn_tensor inputs[5])
{
    sn_tensor_desc y = graph->tensors[inputs[0]].desc;
    sn_tensor_desc statistics = desc_of(graph->real, y.shape[0], y.shape[1], 1, 1, 1);
    sn_node normalise = {.kind = SN_OP_BATCHNORM,
                         .params = params,
                         .input_count = 3,
                         .output_count = 3,
                         .inputs = {inputs[0], inputs[1], inputs[2]}};
    normalise.outputs[0] = graph_transient(graph, name, y);
    normalise.outputs[1] = statistic(graph, name, "batch_mean", statistics);
    normalise.outputs[2] = statistic(graph, name, "batch_variance", statistics);
    graph_append(graph, name, &normalise);
    params.batchnorm.voxels = sn_tensor_voxels(&y);
    sn_node running = {.kind = SN_OP_BATCHNORM_RUNNING,
                       .params = params,
                       .input_count = 2,
                       .output_count = 2,
                       .inputs = {normalise.outputs[1], normalise.outputs[2]},
                       .outputs = {inputs[3], inputs[4]}};
    graph_append_to(graph, graph->running > 0 ? graph->running - 1 : graph->program_count - 1, name,
                    &running);
    return graph->error.status == SN_OK ? normalise.outputs[0] : SN_NO_TENSOR;
}

sn_tensor sn_graph_batchnorm(sn_graph *graph, const char *name, sn_tensor x, bool relu)
{
    if (!graph_ready(graph, SN_OP_BATCHNORM, name, &x, 1))
        return SN_NO_TENSOR;
    sn_op_params params = {
        .batchnorm = {.epsilon = batchnorm_epsilon, .momentum = batchnorm_momentum, .relu = relu}};
    sn_tensor_desc channels = desc_of(graph->real, 1, graph->tensors[x].desc.shape[1], 1, 1, 1);
    const sn_tensor inputs[5] = {
        x,
        channel_parameter(graph, name, "gamma", x, SN_INITIAL_ONE),
        channel_parameter(graph, name, "beta", x, SN_INITIAL_ZERO),
        part_of(graph, name, "running_mean", SN_ROLE_STATE, SN_INITIAL_ZERO, channels),
        part_of(graph, name, "running_variance", SN_ROLE_STATE, SN_INITIAL_ONE, channels),
    };
    if (graph_current(graph)->mode == SN_MODE_TRAIN)
        return batchnorm_train(graph, name, params, inputs);
    return append_simple(graph, name, SN_OP_BATCHNORM_APPLY, params, inputs, 5, graph->tensors[x].desc);
}

/* Fold `count` tensors, at most SN_OP_MAX_INPUTS at a time, from the left. */
static sn_tensor fold(sn_graph *graph, sn_op_kind kind, const sn_tensor *x, int count)
{
    assert(count >= 1);
    if (!graph_ready(graph, kind, "", x, count))
        return SN_NO_TENSOR;
    sn_tensor folded = x[0];
    for (int next = 1; next < count && folded != SN_NO_TENSOR;) {
        sn_tensor inputs[SN_OP_MAX_INPUTS] = {folded};
        sn_tensor_desc y = graph->tensors[folded].desc;
        int taken = 1;
        for (; taken < SN_OP_MAX_INPUTS && next < count; taken++, next++) {
            inputs[taken] = x[next];
            if (kind == SN_OP_CONCAT)
                y.shape[1] += graph->tensors[x[next]].desc.shape[1];
        }
        folded = append_simple(graph, "", kind, (sn_op_params){0}, inputs, taken, y);
    }
    return folded;
}

sn_tensor sn_graph_sum(sn_graph *graph, const sn_tensor *x, int count)
{
    return fold(graph, SN_OP_SUM, x, count);
}

sn_tensor sn_graph_concat(sn_graph *graph, const sn_tensor *x, int count)
{
    return fold(graph, SN_OP_CONCAT, x, count);
}

sn_tensor sn_graph_maxpool(sn_graph *graph, sn_tensor x)
{
    if (!graph_ready(graph, SN_OP_MAXPOOL, "", &x, 1))
        return SN_NO_TENSOR;
    sn_tensor_desc y = graph->tensors[x].desc;
    for (int d = 2; d < SN_DIMS; d++)
        if (y.shape[d] % 2 != 0) {
            char label[LABEL];
            graph_label(graph, label, SN_OP_MAXPOOL, "", x);
            return graph_fail(graph, SN_ERR_ARG, "%s: extents %lldx%lldx%lld must be even", label,
                              (long long)y.shape[2], (long long)y.shape[3], (long long)y.shape[4]);
        }
    for (int d = 2; d < SN_DIMS; d++)
        y.shape[d] /= 2;
    sn_tensor_desc index = y;
    index.dtype = y.dtype == SN_BF16 ? SN_BF16 : SN_U8;
    sn_node node = {.kind = SN_OP_MAXPOOL, .input_count = 1, .output_count = 2, .inputs = {x}};
    node.outputs[0] = graph_transient(graph, "", y);
    node.outputs[1] = graph_transient(graph, "", index);
    return graph_append(graph, "", &node);
}

sn_tensor sn_graph_upsample(sn_graph *graph, sn_tensor x, int factor)
{
    if (!graph_ready(graph, SN_OP_UPSAMPLE, "", &x, 1))
        return SN_NO_TENSOR;
    sn_tensor_desc y = graph->tensors[x].desc;
    for (int d = 2; d < SN_DIMS; d++)
        y.shape[d] *= factor;
    return append_simple(graph, "", SN_OP_UPSAMPLE, (sn_op_params){.upsample = {factor}}, &x, 1, y);
}

sn_tensor sn_graph_window(sn_graph *graph, sn_tensor x, const int64_t offset[4], const int64_t out_shape[4])
{
    if (!graph_ready(graph, SN_OP_WINDOW, "", &x, 1))
        return SN_NO_TENSOR;
    sn_op_params params = {0};
    sn_tensor_desc y = graph->tensors[x].desc;
    memcpy(params.window.offset, offset, sizeof params.window.offset);
    memcpy(y.shape + 1, out_shape, sizeof params.window.offset);
    return append_simple(graph, "", SN_OP_WINDOW, params, &x, 1, y);
}

sn_tensor sn_graph_channel_dropout(sn_graph *graph, sn_tensor x, double rate, uint32_t stream)
{
    if (!graph_ready(graph, SN_OP_CHANNEL_DROPOUT, "", &x, 1))
        return SN_NO_TENSOR;
    if (graph_current(graph)->mode == SN_MODE_PREDICT || rate == 0)
        return x;
    sn_op_params params = {.dropout = {.rate = rate, .stream = stream}};
    sn_tensor key = sn_graph_persistent(graph, "dropout_key", SN_ROLE_INPUT, desc_of(SN_U8, 1, 1, 1, 1, 16));
    return append_simple(graph, "", SN_OP_CHANNEL_DROPOUT, params, (sn_tensor[]){x, key}, 2,
                         graph->tensors[x].desc);
}

sn_tensor sn_graph_affine_warp(sn_graph *graph, sn_tensor x, sn_tensor matrix, bool nearest)
{
    const sn_tensor inputs[2] = {x, matrix};
    if (!graph_ready(graph, SN_OP_AFFINE_WARP, "", inputs, 2))
        return SN_NO_TENSOR;
    return append_simple(graph, "", SN_OP_AFFINE_WARP, (sn_op_params){.warp = {nearest}}, inputs, 2,
                         graph->tensors[x].desc);
}

sn_tensor sn_graph_softmax(sn_graph *graph, sn_tensor scores)
{
    if (!graph_ready(graph, SN_OP_SOFTMAX, "", &scores, 1))
        return SN_NO_TENSOR;
    sn_tensor_desc probabilities = graph->tensors[scores].desc;
    probabilities.dtype = graph->real;
    return append_simple(graph, "", SN_OP_SOFTMAX, (sn_op_params){0}, &scores, 1, probabilities);
}

sn_tensor sn_graph_argmax(sn_graph *graph, sn_tensor scores)
{
    if (!graph_ready(graph, SN_OP_ARGMAX, "", &scores, 1))
        return SN_NO_TENSOR;
    sn_tensor_desc labels = desc_like(graph, scores, 1);
    labels.dtype = SN_U8;
    return append_simple(graph, "", SN_OP_ARGMAX, (sn_op_params){0}, &scores, 1, labels);
}

sn_tensor sn_graph_overlap(sn_graph *graph, const char *name, sn_tensor scores, sn_tensor labels)
{
    sn_node node = {.kind = SN_OP_OVERLAP, .input_count = 2, .output_count = 1, .inputs = {scores, labels}};
    if (!graph_ready(graph, SN_OP_OVERLAP, name, node.inputs, 2))
        return SN_NO_TENSOR;
    const int64_t *shape = graph->tensors[scores].desc.shape;
    node.outputs[0] =
        sn_graph_persistent(graph, name, SN_ROLE_RESULT, desc_of(SN_F64, shape[0], shape[1], 1, 1, 3));
    return graph_append(graph, name, &node);
}

sn_tensor sn_graph_result(sn_graph *graph, const char *name, sn_tensor x)
{
    sn_node node = {.kind = SN_OP_WINDOW, .input_count = 1, .output_count = 1, .inputs = {x}};
    if (!graph_ready(graph, SN_OP_WINDOW, name, &x, 1))
        return SN_NO_TENSOR;
    node.outputs[0] = sn_graph_persistent(graph, name, SN_ROLE_RESULT, graph->tensors[x].desc);
    return graph_append(graph, name, &node);
}

sn_tensor sn_graph_loss(sn_graph *graph, const char *name, sn_tensor scores, sn_tensor labels,
                        sn_tensor weights, sn_op_params params)
{
    sn_node node = {.kind = SN_OP_LOSS,
                    .params = params,
                    .input_count = 3,
                    .output_count = 2,
                    .inputs = {scores, labels, weights}};
    if (!graph_ready(graph, SN_OP_LOSS, name, node.inputs, 3))
        return SN_NO_TENSOR;
    graph_program *program = graph_current(graph);
    if (program->loss >= 0)
        return graph_fail(graph, SN_ERR_ARG, "loss %s: program %s has a loss already", name, program->name);
    node.outputs[0] = sn_graph_persistent(graph, name, SN_ROLE_RESULT, desc_of(SN_F64, 1, 1, 1, 1, 1));
    node.outputs[1] = graph_transient(graph, name, graph->tensors[scores].desc);
    program->loss = program->node_count;
    return graph_append(graph, name, &node);
}

/* p, its gradient and moments: SN_OP_NADAM. */
static void append_nadam(sn_graph *graph, sn_tensor parameter, sn_tensor gradient, sn_op_params params)
{
    char name[SN_NAME];
    memcpy(name, graph->tensors[parameter].name, sizeof name);
    sn_tensor_desc desc = graph->tensors[parameter].desc;
    sn_node node = {.kind = SN_OP_NADAM, .params = params, .input_count = 1, .output_count = 4};
    node.inputs[0] = sn_graph_persistent(graph, "nadam", SN_ROLE_INPUT, desc_of(SN_F64, 1, 1, 1, 1, 4));
    node.outputs[0] = parameter;
    node.outputs[1] = gradient;
    node.outputs[2] = part_of(graph, name, "m", SN_ROLE_MOMENT, SN_INITIAL_ZERO, desc);
    node.outputs[3] = part_of(graph, name, "v", SN_ROLE_MOMENT, SN_INITIAL_ZERO, desc);
    graph_append(graph, name, &node);
}

sn_status sn_graph_nadam(sn_graph *graph, double beta1, double beta2, double epsilon, sn_error *error)
{
    char name[SN_NAME + 8];
    sn_op_params params = {.nadam = {.beta1 = beta1, .beta2 = beta2, .epsilon = epsilon}};
    int count = graph->tensor_count; /* the moments are added behind */
    for (sn_tensor t = 0; t < count && graph_ready(graph, SN_OP_NADAM, "", NULL, 0); t++) {
        if (graph->tensors[t].role != SN_ROLE_PARAMETER)
            continue;
        snprintf(name, sizeof name, "%s.grad", graph->tensors[t].name);
        sn_tensor gradient = sn_graph_find(graph, name);
        if (gradient != SN_NO_TENSOR)
            append_nadam(graph, t, gradient, params);
    }
    return sn_graph_status(graph, error);
}

static void append_average(sn_graph *graph, sn_tensor tensor)
{
    char name[SN_NAME];
    memcpy(name, graph->tensors[tensor].name, sizeof name);
    sn_node node = {.kind = SN_OP_AVERAGE, .input_count = 2, .output_count = 1, .inputs = {tensor}};
    node.inputs[1] = sn_graph_persistent(graph, "average", SN_ROLE_INPUT, desc_of(SN_F64, 1, 1, 1, 1, 1));
    node.outputs[0] =
        part_of(graph, name, "average", SN_ROLE_AVERAGE, SN_INITIAL_ZERO, graph->tensors[tensor].desc);
    graph_append(graph, name, &node);
}

sn_status sn_graph_average(sn_graph *graph, sn_error *error)
{
    int count = graph->tensor_count; /* the averages are added behind */
    for (sn_tensor t = 0; t < count && graph_ready(graph, SN_OP_AVERAGE, "", NULL, 0); t++)
        if (graph->tensors[t].role == SN_ROLE_PARAMETER || graph->tensors[t].role == SN_ROLE_STATE)
            append_average(graph, t);
    graph->averaged = true;
    return sn_graph_status(graph, error);
}
