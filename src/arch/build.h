/**
 * From an architecture to a graph. What is built depends on the canonical block alone (arch/block.h), so
 * equal networks have equal graphs, parameter names and numbers.
 *
 * Names: encoder.<level>, bottom, decoder.<level> (0 = full size), in each .term<t>.conv and .norm, .residual
 * .conv and .norm; scores.<level>.weight, scores.bias. The baselines: encoder.<level>.conv<i>, .norm<i>, ...
 */
#ifndef SN_ARCH_BUILD_H
#define SN_ARCH_BUILD_H

#include "arch/arch.h"
#include "base/hash.h"
#include "nn/graph.h"

/**
 * Add a network to the current program.
 *
 * The image is padded with zeros at the end of each axis to a multiple of 2^poolings (not where it is one
 * already), the scores are cropped back.
 *
 * @param[out] scores  (N, classes, D, H, W), before softmax
 * @param[in]  image   (N, channels, D, H, W), of any extent
 * @param[in]  classes background included, >= 2
 * @param[in]  dropout rate of the spatial dropout after each block, [0, 1); the baselines have none
 * @return SN_OK; SN_ERR_ARG an illegal block, with the reason; the graph's own error
 */
sn_status sn_arch_build(sn_tensor *scores, sn_graph *graph, const sn_arch *arch, sn_tensor image, int classes,
                        double dropout, sn_error *error);

/**
 * Add the program "predict": input "image" (1, channels, D, H, W), result "probabilities" (1, classes, D, H,
 * W), both of the graph's real type.
 *
 * @param[in] extent (D, H, W)
 */
sn_status sn_arch_prediction_graph(sn_graph *graph, const sn_arch *arch, int channels,
                                   const int64_t extent[3], int classes, sn_error *error);

/** Poolings (or strided convolutions) of a network: images are padded to a multiple of 2^this. */
int sn_arch_poolings(const sn_arch *arch);

/**
 * The key of a network: a hash of its lowered training forward pass at a fixed size (operations, shapes,
 * parameter names), the same for every spelling of one network. Dropout's rate is not in it, its places are.
 *
 * @return as sn_arch_build
 */
sn_status sn_arch_key(char key[SN_HASH_TEXT], const sn_arch *arch, int channels, int classes,
                      sn_error *error);

typedef struct sn_arch_summary {
    int64_t parameters;    /* learned values */
    int64_t multiply_adds; /* of the convolutions, one image forward */
    /* Every value of a training forward pass and its gradient, one image, float32, nothing shared: what a
     * framework that frees nothing before the backward pass ends needs. */
    int64_t value_bytes;
} sn_arch_summary;

/** The numbers of a network for images of `channels` and extent (D, H, W). Returns as sn_arch_build. */
sn_status sn_arch_summarise(sn_arch_summary *summary, const sn_arch *arch, int channels,
                            const int64_t extent[3], int classes, sn_error *error);

#endif
