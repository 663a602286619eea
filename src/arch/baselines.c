/* The networks that SegNAS3D was compared with. */
#include "arch/layers.h"

/* scores.weight and scores.bias. */
static sn_tensor scores_of(sn_graph *graph, sn_tensor x, int classes)
{
    return sn_graph_bias(graph, "scores", sn_graph_conv3d(graph, "scores", x, classes, 1, 1, 1));
}

/* Two 3^3 convolutions with batch normalisation and ReLU. */
static sn_tensor unet3d_pair(sn_graph *graph, const char *side, int level, sn_tensor x, int first, int second)
{
    char name[SN_NAME];
    sn_layer_name(name, "%s.%d.1", side, level);
    x = sn_layer_conv(graph, name, x, first, 3, 1, 1, true);
    sn_layer_name(name, "%s.%d.2", side, level);
    return sn_layer_conv(graph, name, x, second, 3, 1, 1, true);
}

/* Channels double before a pooling, not after it, so that none is a bottleneck; level l ends with 64*2^l. The
 * transposed convolutions keep their channels and have a bias, because no normalisation follows. The pair of
 * convolutions of a level with the transposed one before it is a segment. */
sn_tensor sn_unet3d_scores(sn_graph *graph, sn_tensor image, int classes)
{
    char name[SN_NAME];
    sn_tensor level_output[SN_UNET3D_POOLINGS], x = image;
    for (int l = 0; l < SN_UNET3D_POOLINGS; l++) {
        sn_graph_segment_begin(graph);
        level_output[l] = unet3d_pair(graph, "encoder", l, x, 32 << l, 64 << l);
        sn_graph_segment_end(graph);
        x = sn_graph_maxpool(graph, level_output[l]);
    }
    sn_graph_segment_begin(graph);
    x = unet3d_pair(graph, "encoder", SN_UNET3D_POOLINGS, x, 32 << SN_UNET3D_POOLINGS,
                    64 << SN_UNET3D_POOLINGS);
    sn_graph_segment_end(graph);
    for (int l = SN_UNET3D_POOLINGS - 1; l >= 0; l--) {
        sn_graph_segment_begin(graph);
        sn_layer_name(name, "decoder.%d.up", l);
        x = sn_graph_conv3d_transposed(graph, name, x, sn_layer_channels(graph, x));
        x = sn_graph_bias(graph, name, x);
        x = sn_graph_concat(graph, (sn_tensor[]){x, level_output[l]}, 2);
        x = unet3d_pair(graph, "decoder", l, x, 64 << l, 64 << l);
        sn_graph_segment_end(graph);
    }
    return scores_of(graph, x, classes);
}

/* `prefix`.norm and `prefix`.prelu, for the strided and the transposed convolutions. */
static sn_tensor vnet_activate(sn_graph *graph, const char *prefix, sn_tensor x)
{
    char name[SN_NAME];
    sn_layer_name(name, "%s.norm", prefix);
    x = sn_graph_batchnorm(graph, name, x, false);
    sn_layer_name(name, "%s.prelu", prefix);
    return sn_graph_prelu(graph, name, x);
}

/* `count` 5^3 convolutions, PReLU after each; `residual` is added before the last PReLU. */
static sn_tensor vnet_stage(sn_graph *graph, const char *stage, sn_tensor x, sn_tensor residual, int channels,
                            int count)
{
    char name[SN_NAME];
    sn_layer_name(name, "%s.residual", stage);
    residual = sn_layer_skip(graph, name, residual, channels);
    for (int i = 1; i <= count; i++) {
        sn_layer_name(name, "%s.%d", stage, i);
        x = sn_layer_conv(graph, name, x, channels, 5, 1, 1, false);
        if (i == count)
            x = sn_graph_sum(graph, (sn_tensor[]){x, residual}, 2);
        sn_layer_name(name, "%s.%d.prelu", stage, i);
        x = sn_graph_prelu(graph, name, x);
    }
    return x;
}

/* Level l has c = 16*2^l channels on the way down and 2c on the way up: the transposed convolution gives 2c,
 * they are joined with the encoder's c, the first convolution maps 3c to 2c. The residual of a stage is its
 * input, on the way up the transposed convolution's output. A stage with what changes the size before it is a
 * segment. */
sn_tensor sn_vnet_scores(sn_graph *graph, sn_tensor image, int classes)
{
    static const int down[SN_VNET_POOLINGS + 1] = {1, 2, 3, 3, 3}, up[SN_VNET_POOLINGS] = {1, 2, 3, 3};
    char name[SN_NAME];
    sn_tensor level_output[SN_VNET_POOLINGS + 1], x = image;
    for (int l = 0; l <= SN_VNET_POOLINGS; l++) {
        sn_graph_segment_begin(graph);
        if (l > 0) {
            sn_layer_name(name, "encoder.%d.down.conv", l);
            x = sn_graph_conv3d(graph, name, x, 16 << l, 2, 1, 2);
            sn_layer_name(name, "encoder.%d.down", l);
            x = vnet_activate(graph, name, x);
        }
        sn_layer_name(name, "encoder.%d", l);
        x = level_output[l] = vnet_stage(graph, name, x, x, 16 << l, down[l]);
        sn_graph_segment_end(graph);
    }
    for (int l = SN_VNET_POOLINGS - 1; l >= 0; l--) {
        sn_graph_segment_begin(graph);
        sn_layer_name(name, "decoder.%d.up.conv", l);
        x = sn_graph_conv3d_transposed(graph, name, x, 32 << l);
        sn_layer_name(name, "decoder.%d.up", l);
        sn_tensor raised = vnet_activate(graph, name, x);
        x = sn_graph_concat(graph, (sn_tensor[]){raised, level_output[l]}, 2);
        sn_layer_name(name, "decoder.%d", l);
        x = vnet_stage(graph, name, x, raised, 32 << l, up[l]);
        sn_graph_segment_end(graph);
    }
    return scores_of(graph, x, classes);
}
