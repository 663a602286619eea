/** Small networks that together use every operation a network is made of, in segments and between them. */
#ifndef SN_TESTS_NN_NETWORKS_H
#define SN_TESTS_NN_NETWORKS_H

#include "nn/graph.h"

/** Build a network on `image` (N, C, D, H, W) in the current program; gives scores (N, classes, D, H, W). */
typedef sn_tensor network(sn_graph *graph, sn_tensor image, int classes);

/** SegNAS3D with two poolings and 3 channels: blocks of many branches, skips, dropout, residuals, deep
 * supervision; extents are multiples of 4. */
network network_segnas;

/** The same with `channels` at full size and `poolings`; extents are multiples of 2^poolings. */
sn_tensor network_segnas_of(sn_graph *graph, sn_tensor image, int classes, int channels, int poolings);

/** A 3D U-Net: convolutions with bias, transposed convolutions, a window that pads and one that crops; even
 * extents. */
network network_unet;

/** A V-Net: 5^3 convolutions, PReLU, strided and transposed convolutions, residuals; even extents. */
network network_vnet;

#endif
