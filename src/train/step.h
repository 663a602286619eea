/**
 * The graph of a training: one image forward and backward, the optimiser's step, one image's validation.
 */
#ifndef SN_TRAIN_STEP_H
#define SN_TRAIN_STEP_H

#include "arch/arch.h"
#include "nn/plan.h"
#include "train/options.h"

/** What a network's tensors depend on beside its architecture. */
typedef struct sn_train_shape {
    int channels;    /* of the image */
    int classes;     /* background included */
    int64_t size[3]; /* D,H,W of the box */
} sn_train_shape;

typedef struct sn_train_graph {
    sn_graph *graph;
    int train, running, update, evaluate; /* programs; `running` after each image's `train` */
    sn_tensor image;                      /* input, real (1,C,D,H,W) */
    sn_tensor labels;                     /* input, u8 (1,1,D,H,W): classes */
    sn_tensor matrix;                     /* input, f64 (1,1,1,3,4): output voxel -> source voxel */
    sn_tensor dropout_key;                /* input, u8 (1,1,1,1,16); SN_NO_TENSOR without dropout */
    sn_tensor label_weights;              /* input, real (1,classes,1,1,1) */
    sn_tensor nadam;                      /* input, f64 (1,1,1,1,4) */
    sn_tensor average;                    /* input, f64 (1,1,1,1,1): the share of the newest weights */
    sn_tensor loss;                       /* result of `train`, f64: added to */
    sn_tensor overlap;                    /* result of `evaluate`, f64 (1,classes,1,1,3) */
} sn_train_graph;

/**
 * Build the graph.
 *
 * @param[out] out       sn_train_graph_clear
 * @param[in]  recompute what the backward pass computes a second time; the weights do not depend on it
 * @param[in]  values    of what type (sn_graph_create)
 * @return SN_OK; SN_ERR_ARG an illegal architecture; SN_ERR_MEMORY
 */
sn_status sn_train_graph_make(sn_train_graph *out, const sn_arch *arch, const sn_train_shape *shape,
                              const sn_train_options *options, sn_recompute recompute, sn_dtype values,
                              sn_error *error);
void sn_train_graph_clear(sn_train_graph *graph);

/** What a training needs in memory, known before anything runs. */
typedef struct sn_train_memory {
    sn_recompute recompute;
    int64_t bytes;      /* peak: weights, gradients, moments, arena */
    int64_t parameters; /* learned values */
} sn_train_memory;

/** Plan a training on a device (as sn_device_open). */
sn_status sn_train_plan(sn_train_memory *memory, const sn_arch *arch, const sn_train_shape *shape,
                        const sn_train_options *options, sn_recompute recompute, const char *device,
                        sn_error *error);

/**
 * Plan a training within `budget` bytes (0: no limit). Where it does not fit, its segments are computed a
 * second time.
 *
 * @param[out] memory memory->bytes > budget: it does not fit in this way either
 */
sn_status sn_train_fit(sn_train_memory *memory, const sn_arch *arch, const sn_train_shape *shape,
                       const sn_train_options *options, const char *device, int64_t budget, sn_error *error);

/** The same; SN_ERR_MEMORY where it does not fit, naming both. */
sn_status sn_train_check_memory(sn_train_memory *memory, const sn_arch *arch, const sn_train_shape *shape,
                                const sn_train_options *options, const char *device, int64_t budget,
                                sn_error *error);

/** Bytes of a case that a GPU keeps: image and labels. */
int64_t sn_train_case_bytes(const sn_train_shape *shape);

/**
 * What a GPU keeps beside the plan of a training: all its cases, so that each is sent once, where plan and cases fit
 * together into the training's share of the budget.
 *
 * @param[in] budget in bytes; 0: no limit
 * @param[in] beside other trainings that may be on the same GPU, with shares as large
 * @return bytes; 0: nothing
 */
int64_t sn_train_kept_bytes(const sn_train_memory *memory, const sn_train_shape *shape, int cases,
                            int64_t budget, int beside);

#endif
