#include "arch/layers.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

void sn_layer_name(char name[SN_NAME], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, SN_NAME, format, arguments);
    va_end(arguments);
    assert(length < SN_NAME);
    (void)length;
}

int sn_layer_channels(const sn_graph *graph, sn_tensor x)
{
    return x == SN_NO_TENSOR ? 0 : (int)sn_graph_tensor(graph, x)->desc.shape[1];
}

sn_tensor sn_layer_conv(sn_graph *graph, const char *prefix, sn_tensor x, int channels, int kernel,
                        int dilation, int stride, bool relu)
{
    char name[SN_NAME];
    sn_layer_name(name, "%s.conv", prefix);
    sn_tensor y = sn_graph_conv3d(graph, name, x, channels, kernel, dilation, stride);
    sn_layer_name(name, "%s.norm", prefix);
    return sn_graph_batchnorm(graph, name, y, relu);
}

sn_tensor sn_layer_skip(sn_graph *graph, const char *prefix, sn_tensor x, int channels)
{
    if (sn_layer_channels(graph, x) == channels)
        return x;
    return sn_layer_conv(graph, prefix, x, channels, 1, 1, 1, false);
}

/* A window at the start of each axis with x's channels and the given extent. */
static sn_tensor resize(sn_graph *graph, sn_tensor x, const int64_t extent[3])
{
    static const int64_t start[4] = {0, 0, 0, 0};
    const int64_t *shape = sn_graph_tensor(graph, x)->desc.shape;
    if (memcmp(extent, shape + 2, 3 * sizeof *extent) == 0)
        return x;
    return sn_graph_window(graph, x, start, (int64_t[4]){shape[1], extent[0], extent[1], extent[2]});
}

sn_tensor sn_layer_pad(sn_graph *graph, sn_tensor x, int64_t multiple)
{
    if (x == SN_NO_TENSOR)
        return x;
    int64_t extent[3];
    for (int axis = 0; axis < 3; axis++)
        extent[axis] = sn_round_up(sn_graph_tensor(graph, x)->desc.shape[2 + axis], multiple);
    return resize(graph, x, extent);
}

sn_tensor sn_layer_crop(sn_graph *graph, sn_tensor x, sn_tensor image)
{
    if (x == SN_NO_TENSOR)
        return x;
    int64_t extent[3];
    memcpy(extent, sn_graph_tensor(graph, image)->desc.shape + 2, sizeof extent);
    return resize(graph, x, extent);
}
