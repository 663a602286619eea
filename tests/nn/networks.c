#include "nn/networks.h"

#include <stdio.h>

enum { NAME = 64, LEVELS = 8 };

static sn_tensor conv_bn(sn_graph *graph, const char *prefix, const char *name, sn_tensor x, int channels,
                         int kernel, int dilation, bool relu)
{
    char full[NAME];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    sn_tensor y = sn_graph_conv3d(graph, full, x, channels, kernel, dilation, 1);
    return sn_graph_batchnorm(graph, full, y, relu);
}

/* Three nodes: 1 -> 2 Conv(3,1); 1 -> 3 Conv(1,1); 2 -> 3 Conv(3,2) and skip; dropout; residual. */
static sn_tensor mega_block(sn_graph *graph, const char *prefix, sn_tensor x, int channels, uint32_t stream)
{
    sn_graph_segment_begin(graph);
    sn_tensor node2 = conv_bn(graph, prefix, "conv12", x, channels, 3, 1, true);
    sn_tensor parts[3] = {
        conv_bn(graph, prefix, "conv13", x, channels, 1, 1, true),
        conv_bn(graph, prefix, "conv23", node2, channels, 3, 2, true),
        node2,
    };
    sn_tensor node3 = sn_graph_sum(graph, parts, 3);
    sn_tensor dropped = sn_graph_channel_dropout(graph, node3, 0.3, stream);
    sn_tensor residual = conv_bn(graph, prefix, "residual", x, channels, 1, 1, false);
    sn_tensor y = sn_graph_sum(graph, (sn_tensor[]){dropped, residual}, 2);
    sn_graph_segment_end(graph);
    return y;
}

static sn_tensor scores_of_level(sn_graph *graph, int level, sn_tensor x, int classes)
{
    char name[NAME];
    snprintf(name, sizeof name, "scores.%d", level);
    sn_tensor scores = sn_graph_conv3d(graph, name, x, classes, 1, 1, 1);
    scores = sn_graph_bias(graph, name, scores);
    return level == 0 ? scores : sn_graph_upsample(graph, scores, 1 << level);
}

sn_tensor network_segnas_of(sn_graph *graph, sn_tensor image, int classes, int channels, int poolings)
{
    char name[NAME];
    sn_tensor encoder[LEVELS], scores[LEVELS], x = image;
    for (int level = 0; level < poolings; level++) {
        snprintf(name, sizeof name, "encoder.%d", level);
        encoder[level] = mega_block(graph, name, x, channels << level, (uint32_t)level);
        x = sn_graph_maxpool(graph, encoder[level]);
    }
    x = mega_block(graph, "bottom", x, channels << poolings, (uint32_t)poolings);
    for (int level = poolings - 1; level >= 0; level--) {
        snprintf(name, sizeof name, "decoder.%d", level);
        x = sn_graph_upsample(graph, x, 2);
        x = sn_graph_concat(graph, (sn_tensor[]){x, encoder[level]}, 2);
        x = mega_block(graph, name, x, channels << level, (uint32_t)(2 * poolings - level));
        scores[level] = scores_of_level(graph, level, x, classes);
    }
    return sn_graph_sum(graph, scores, poolings);
}

sn_tensor network_segnas(sn_graph *graph, sn_tensor image, int classes)
{
    return network_segnas_of(graph, image, classes, 3, 2);
}

sn_tensor network_unet(sn_graph *graph, sn_tensor image, int classes)
{
    const int64_t *e = sn_graph_tensor(graph, image)->desc.shape;
    const int64_t own[4] = {4, e[2], e[3], e[4]}, padded[4] = {4, e[2] + 2, e[3], e[4] + 2};
    sn_graph_segment_begin(graph);
    sn_tensor x = sn_graph_conv3d(graph, "down.conv", image, 4, 3, 1, 1);
    sn_tensor skip = sn_graph_batchnorm(graph, "down", sn_graph_bias(graph, "down.conv", x), true);
    sn_graph_segment_end(graph);
    sn_graph_segment_begin(graph);
    x = sn_graph_window(graph, skip, (int64_t[4]){0, -1, 0, -2}, padded); /* two voxels more along D and W */
    x = sn_graph_maxpool(graph, x);
    x = sn_graph_conv3d(graph, "bottom.conv", x, 5, 3, 1, 1);
    x = sn_graph_batchnorm(graph, "bottom", x, true);
    x = sn_graph_conv3d_transposed(graph, "up", x, 4);
    x = sn_graph_bias(graph, "up", x);
    x = sn_graph_window(graph, x, (int64_t[4]){0, 1, 0, 2}, own); /* and back */
    x = sn_graph_concat(graph, (sn_tensor[]){skip, x, skip}, 3);
    x = sn_graph_batchnorm(graph, "join", x, false);
    sn_graph_segment_end(graph);
    x = sn_graph_conv3d(graph, "scores", x, classes, 1, 1, 1);
    return sn_graph_bias(graph, "scores", x);
}

sn_tensor network_vnet(sn_graph *graph, sn_tensor image, int classes)
{
    sn_graph_segment_begin(graph);
    sn_tensor stem = sn_graph_conv3d(graph, "stem", image, 2, 1, 1, 1);
    sn_tensor x = sn_graph_conv3d(graph, "left.conv", stem, 2, 5, 1, 1);
    x = sn_graph_prelu(graph, "left", sn_graph_bias(graph, "left.conv", x));
    sn_tensor skip = sn_graph_sum(graph, (sn_tensor[]){x, stem}, 2);
    sn_graph_segment_end(graph);
    sn_graph_segment_begin(graph);
    x = sn_graph_conv3d(graph, "down", skip, 4, 2, 1, 2);
    x = sn_graph_prelu(graph, "down", sn_graph_batchnorm(graph, "down", x, false));
    sn_tensor y = sn_graph_conv3d(graph, "bottom", x, 4, 3, 1, 1);
    y = sn_graph_prelu(graph, "bottom", y);
    x = sn_graph_sum(graph, (sn_tensor[]){y, x, x}, 3);
    x = sn_graph_prelu(graph, "up", sn_graph_conv3d_transposed(graph, "up", x, 2));
    sn_graph_segment_end(graph);
    x = sn_graph_concat(graph, (sn_tensor[]){x, skip}, 2);
    return sn_graph_conv3d(graph, "scores", x, classes, 1, 1, 1);
}
