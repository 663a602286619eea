#include "arch/build.h"

#include "arch/block.h"
#include "arch/layers.h"
#include "base/memory.h"

/* A SegNAS network while it is being built. */
typedef struct network {
    sn_graph *graph;
    const sn_arch *arch;
    const sn_block *block;
    double dropout;
    uint32_t blocks_built; /* numbers the dropouts */
} network;

/* The block while it is being built at one place of the network. */
typedef struct place {
    const char *name; /* "encoder.0" */
    int channels;
    sn_tensor node[SN_ARCH_MAX_NODES];
    sn_tensor term[SN_ARCH_MAX_OPS]; /* SN_NO_TENSOR: not built yet */
} place;

/* sum of times[i]*tensor[i]. */
typedef struct weighted_sum {
    int count;
    sn_tensor tensor[SN_ARCH_MAX_OPS + SN_ARCH_MAX_NODES];
    uint32_t times[SN_ARCH_MAX_OPS + SN_ARCH_MAX_NODES];
} weighted_sum;

/* By doubling: the tensors with the highest bit in `times`, twice that plus those with the next bit, .. Where
 * all times are 1 it is one plain sum. */
static sn_tensor weighted_sum_add(sn_graph *graph, const weighted_sum *sum)
{
    sn_tensor total = SN_NO_TENSOR, addends[SN_ARCH_MAX_OPS + SN_ARCH_MAX_NODES + 2];
    uint32_t all = 0;
    for (int i = 0; i < sum->count; i++)
        all |= sum->times[i];
    int bit = 31;
    while (!(all >> bit & 1))
        bit--;
    for (bool first = true; bit >= 0; bit--, first = false) {
        int count = 0;
        if (!first)
            addends[count++] = total, addends[count++] = total;
        for (int i = 0; i < sum->count; i++)
            if (sum->times[i] >> bit & 1)
                addends[count++] = sum->tensor[i];
        total = sn_graph_sum(graph, addends, count);
    }
    return total;
}

static sn_tensor term_add(network *net, place *at, int t)
{
    const sn_term *term = &net->block->term[t];
    char name[SN_NAME];
    int kernel, dilation;
    sn_layer_name(name, "%s.term%d", at->name, t + 1);
    if (term->op == SN_BLOCK_SKIP)
        return sn_layer_skip(net->graph, name, at->node[term->source], at->channels);
    sn_block_op_conv(term->op, &kernel, &dilation);
    return sn_layer_conv(net->graph, name, at->node[term->source], at->channels, kernel, dilation, 1, true);
}

/* How often `counts` contains the sum of node u; 0 for a node of one term, by which nothing is gained. */
static uint32_t times_contained(const sn_block *block, int u, const uint32_t *counts)
{
    uint32_t times = UINT32_MAX, addends = 0;
    for (int t = 0; t < block->terms; t++) {
        uint32_t count = sn_block_count(block, u, t);
        addends += count;
        if (count > 0 && counts[t] / count < times)
            times = counts[t] / count;
    }
    return addends > 1 ? times : 0;
}

/* The sum of a node's terms; sums that earlier nodes already hold are used, latest node first. */
static sn_tensor node_add(network *net, place *at, int v)
{
    const sn_block *block = net->block;
    weighted_sum sum = {.count = 0};
    uint32_t rest[SN_ARCH_MAX_OPS];
    for (int t = 0; t < block->terms; t++)
        rest[t] = sn_block_count(block, v, t);
    for (int u = v - 1; u > 0; u--) {
        uint32_t times = times_contained(block, u, rest);
        if (times == 0)
            continue;
        for (int t = 0; t < block->terms; t++)
            rest[t] -= times * sn_block_count(block, u, t);
        sum.tensor[sum.count] = at->node[u];
        sum.times[sum.count++] = times;
    }
    for (int t = 0; t < block->terms; t++) {
        if (rest[t] == 0)
            continue;
        if (at->term[t] == SN_NO_TENSOR)
            at->term[t] = term_add(net, at, t);
        sum.tensor[sum.count] = at->term[t];
        sum.times[sum.count++] = rest[t];
    }
    return weighted_sum_add(net->graph, &sum);
}

/* MegaBlock, a segment: the block, spatial dropout, and the residual connection if the network has one. */
static sn_tensor megablock(network *net, const char *name, sn_tensor x, int channels)
{
    char residual[SN_NAME];
    place at = {.name = name, .channels = channels, .node = {x}};
    sn_graph_segment_begin(net->graph);
    for (int t = 0; t < net->block->terms; t++)
        at.term[t] = SN_NO_TENSOR;
    for (int v = 1; v < net->block->nodes; v++)
        at.node[v] = node_add(net, &at, v);
    sn_tensor y = at.node[net->block->nodes - 1];
    y = sn_graph_channel_dropout(net->graph, y, net->dropout, net->blocks_built++);
    if (net->arch->res) {
        sn_layer_name(residual, "%s.residual", name);
        x = sn_layer_skip(net->graph, residual, x, channels);
        y = sn_graph_sum(net->graph, (sn_tensor[]){y, x}, 2);
    }
    sn_graph_segment_end(net->graph);
    return y;
}

/* Class scores of a decoder level, added to those of the deeper levels (SN_NO_TENSOR: none): nearest
 * upsampling by 2^l is l upsamplings by 2, and those commute with the sum. */
static sn_tensor level_scores(network *net, int level, sn_tensor x, sn_tensor deeper, int classes)
{
    char name[SN_NAME];
    sn_layer_name(name, "scores.%d", level);
    sn_tensor scores = sn_graph_conv3d(net->graph, name, x, classes, 1, 1, 1);
    if (deeper == SN_NO_TENSOR)
        return scores;
    deeper = sn_graph_upsample(net->graph, deeper, 2);
    return sn_graph_sum(net->graph, (sn_tensor[]){scores, deeper}, 2);
}

static sn_tensor segnas_scores(network *net, sn_tensor image, int classes)
{
    char name[SN_NAME];
    int n = net->arch->n, p = net->arch->p;
    sn_tensor level_output[SN_ARCH_MAX_POOLINGS], x = image, scores = SN_NO_TENSOR;
    for (int l = 0; l < p; l++) {
        sn_layer_name(name, "encoder.%d", l);
        level_output[l] = megablock(net, name, x, n << l);
        x = sn_graph_maxpool(net->graph, level_output[l]);
    }
    x = megablock(net, "bottom", x, n << p);
    for (int l = p - 1; l >= 0; l--) {
        x = sn_graph_upsample(net->graph, x, 2);
        x = sn_graph_concat(net->graph, (sn_tensor[]){x, level_output[l]}, 2);
        sn_layer_name(name, "decoder.%d", l);
        x = megablock(net, name, x, n << l);
        if (net->arch->sup || l == 0)
            scores = level_scores(net, l, x, scores, classes);
    }
    return sn_graph_bias(net->graph, "scores", scores);
}

int sn_arch_poolings(const sn_arch *arch)
{
    if (arch->net == SN_NET_UNET3D)
        return SN_UNET3D_POOLINGS;
    return arch->net == SN_NET_VNET ? SN_VNET_POOLINGS : arch->p;
}

sn_status sn_arch_build(sn_tensor *scores, sn_graph *graph, const sn_arch *arch, sn_tensor image, int classes,
                        double dropout, sn_error *error)
{
    sn_status status;
    sn_block *block = NULL;
    *scores = SN_NO_TENSOR;
    if (classes < 2)
        return sn_error_set(error, SN_ERR_ARG, "network: %d classes, must be 2 or more with the background",
                            classes);
    if (!(dropout >= 0 && dropout < 1))
        return sn_error_set(error, SN_ERR_ARG, "network: dropout %g must be in [0, 1)", dropout);
    sn_tensor x = sn_graph_to_values(graph, image);
    x = sn_layer_pad(graph, x, (int64_t)1 << sn_arch_poolings(arch));
    if (arch->net == SN_NET_UNET3D) {
        x = sn_unet3d_scores(graph, x, classes);
    } else if (arch->net == SN_NET_VNET) {
        x = sn_vnet_scores(graph, x, classes);
    } else {
        SN_TRY(sn_block_create(&block, arch, error));
        network net = {.graph = graph, .arch = arch, .block = block, .dropout = dropout};
        x = segnas_scores(&net, x, classes);
    }
    x = sn_layer_crop(graph, x, image);
    SN_TRY(sn_graph_status(graph, error));
    *scores = x;
done:
    sn_block_free(block);
    return status;
}

/* Input "image" (1, channels, D, H, W). */
static sn_tensor image_input(sn_graph *graph, int channels, const int64_t extent[3])
{
    sn_tensor_desc desc = {sn_graph_real(graph), {1, channels, extent[0], extent[1], extent[2]}};
    return sn_graph_persistent(graph, "image", SN_ROLE_INPUT, desc);
}

sn_status sn_arch_prediction_graph(sn_graph *graph, const sn_arch *arch, int channels,
                                   const int64_t extent[3], int classes, sn_error *error)
{
    sn_status status;
    int program;
    sn_tensor scores;
    SN_TRY(sn_graph_begin_program(graph, &program, "predict", SN_MODE_PREDICT, error));
    SN_TRY(sn_arch_build(&scores, graph, arch, image_input(graph, channels, extent), classes, 0, error));
    sn_graph_result(graph, "probabilities", sn_graph_softmax(graph, scores));
    SN_TRY(sn_graph_status(graph, error));
done:
    return status;
}

/* A graph that holds the forward pass of a training step. */
static sn_status forward_graph(sn_graph **graph, int *program, const sn_arch *arch, int channels,
                               const int64_t extent[3], int classes, sn_error *error)
{
    static const double nominal_dropout = 0.5; /* any rate but 0, so that it leaves its places in the graph */
    sn_status status;
    sn_graph *made = NULL;
    sn_tensor scores;
    *graph = NULL;
    SN_TRY(sn_graph_create(&made, SN_F32, error));
    SN_TRY(sn_graph_begin_program(made, program, "forward", SN_MODE_TRAIN, error));
    SN_TRY(sn_arch_build(&scores, made, arch, image_input(made, channels, extent), classes, nominal_dropout,
                         error));
    *graph = made;
    made = NULL;
done:
    sn_graph_free(made);
    return status;
}

/* The parameters of the operations that networks are made of. */
static void hash_params(sn_hash *hash, const sn_node *node)
{
    const sn_op_params *p = &node->params;
    switch (node->kind) {
    case SN_OP_CONV3D:
    case SN_OP_CONV3D_BACKWARD_DATA:
        sn_hash_add_text(hash, "kernel %d dilation %d stride %d pad %d", p->conv3d.kernel, p->conv3d.dilation,
                         p->conv3d.stride, p->conv3d.pad);
        break;
    case SN_OP_BATCHNORM:
        sn_hash_add_text(hash, "epsilon %.17g relu %d", p->batchnorm.epsilon, p->batchnorm.relu);
        break;
    case SN_OP_BATCHNORM_RUNNING:
        sn_hash_add_text(hash, "momentum %.17g", p->batchnorm.momentum);
        break;
    case SN_OP_UPSAMPLE:
        sn_hash_add_text(hash, "factor %d", p->upsample.factor);
        break;
    case SN_OP_CHANNEL_DROPOUT:
        sn_hash_add_text(hash, "stream %u", (unsigned)p->dropout.stream);
        break;
    default: /* no parameters; windows, which only depend on the extent, do not occur at the key's size */
        break;
    }
}

static void hash_graph(sn_hash *hash, const sn_graph *graph, int program)
{
    for (int t = 0; t < sn_graph_tensor_count(graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(graph, t);
        const int64_t *s = info->desc.shape;
        sn_hash_add_text(hash, "tensor %d \"%s\" %d %d: %lld %lld %lld %lld %lld", t, info->name, info->role,
                         info->initial, (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3],
                         (long long)s[4]);
    }
    for (int i = 0; i < sn_graph_node_count(graph, program); i++) {
        const sn_node *node = sn_graph_node(graph, program, i);
        bool running = node->kind == SN_OP_BATCHNORM_RUNNING;
        sn_hash_add_text(hash, "%s %d %d", sn_op_describe(node->kind)->name, node->input_count + running,
                         node->output_count);
        if (running) /* once it took its extents from what was normalised just before; keys shall last */
            sn_hash_add_text(hash, "in %d", sn_graph_node(graph, program, i - 1)->inputs[0]);
        for (int j = 0; j < node->input_count; j++)
            sn_hash_add_text(hash, "in %d", node->inputs[j]);
        for (int j = 0; j < node->output_count; j++)
            sn_hash_add_text(hash, "out %d", node->outputs[j]);
        hash_params(hash, node);
    }
}

sn_status sn_arch_key(char key[SN_HASH_TEXT], const sn_arch *arch, int channels, int classes, sn_error *error)
{
    sn_status status;
    sn_graph *graph = NULL;
    sn_hash *hash = NULL;
    int program;
    int64_t side = (int64_t)1 << sn_arch_poolings(arch);
    SN_TRY(forward_graph(&graph, &program, arch, channels, (int64_t[3]){side, side, side}, classes, error));
    SN_TRY(sn_hash_begin(&hash, error));
    hash_graph(hash, graph, program);
    sn_hash_end(hash, key);
done:
    sn_graph_free(graph);
    return status;
}

sn_status sn_arch_summarise(sn_arch_summary *summary, const sn_arch *arch, int channels,
                            const int64_t extent[3], int classes, sn_error *error)
{
    sn_graph *graph;
    int program;
    sn_status status = forward_graph(&graph, &program, arch, channels, extent, classes, error);
    if (status != SN_OK)
        return status;
    *summary = (sn_arch_summary){.parameters = sn_graph_parameters(graph),
                                 .multiply_adds = sn_graph_multiply_adds(graph, program)};
    for (int t = 0; t < sn_graph_tensor_count(graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(graph, t);
        if (info->role == SN_ROLE_TRANSIENT && info->desc.dtype == SN_F32)
            summary->value_bytes += 2 * (int64_t)sn_tensor_bytes(&info->desc);
    }
    sn_graph_free(graph);
    return SN_OK;
}
