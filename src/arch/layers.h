/**
 * Pieces that all networks are built from. Private to src/arch.
 */
#ifndef SN_ARCH_LAYERS_H
#define SN_ARCH_LAYERS_H

#include "nn/graph.h"

/** Write the name of a layer as printf does. */
void sn_layer_name(char name[SN_NAME], const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Channels of a tensor; 0 for SN_NO_TENSOR. */
int sn_layer_channels(const sn_graph *graph, sn_tensor x);

/** Convolution without bias and batch normalisation: `prefix`.conv and `prefix`.norm. */
sn_tensor sn_layer_conv(sn_graph *graph, const char *prefix, sn_tensor x, int channels, int kernel,
                        int dilation, int stride, bool relu);

/** x where it has `channels`, else a 1x1x1 convolution with batch normalisation: a skip connection. */
sn_tensor sn_layer_skip(sn_graph *graph, const char *prefix, sn_tensor x, int channels);

/** Zeros at the end of each axis up to a multiple of `multiple`; x itself where there is nothing to add. */
sn_tensor sn_layer_pad(sn_graph *graph, sn_tensor x, int64_t multiple);

/** The first voxels of x, as many as `image` has on each axis; x itself where there is nothing to cut. */
sn_tensor sn_layer_crop(sn_graph *graph, sn_tensor x, sn_tensor image);

/* Fixed networks: image padded by the caller, scores returned without crop. */

/** Poolings of the 3D U-Net and of V-Net. */
enum { SN_UNET3D_POOLINGS = 3, SN_VNET_POOLINGS = 4 };

/** 3D U-Net (Cicek et al., MICCAI 2016), with padded convolutions. */
sn_tensor sn_unet3d_scores(sn_graph *graph, sn_tensor image, int classes);

/** V-Net (Milletari et al., 3DV 2016) in the form that has the 71.1 M parameters of SegNAS3D's table 3. */
sn_tensor sn_vnet_scores(sn_graph *graph, sn_tensor image, int classes);

#endif
