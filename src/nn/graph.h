/**
 * Graphs: tensors and the operations between them, grouped in programs that share what persists.
 *
 * A graph has tensors of two kinds. Persistent ones (parameters, their gradients and moments, running
 * statistics, inputs, results) keep their values between runs and are shared by all programs of the graph.
 * Transient ones live inside one program, in an arena that the memory plan packs.
 *
 * A training graph has the programs "train" (one image: forward, loss, backward), "running" (the running
 * statistics take that image's), "update" (the optimiser) and "evaluate" (one image: forward with running
 * statistics and averaged weights, overlap counts); a prediction graph has "predict".
 */
#ifndef SN_NN_GRAPH_H
#define SN_NN_GRAPH_H

#include "backend/op.h"

typedef struct sn_graph sn_graph;
typedef int sn_tensor; /* index of a tensor in its graph */

enum { SN_NO_TENSOR = -1, SN_NAME = 128 };

typedef enum sn_role {
    SN_ROLE_TRANSIENT, /* in the arena of its program */
    SN_ROLE_INPUT,     /* written by the host before a run */
    SN_ROLE_PARAMETER, /* learned */
    SN_ROLE_GRADIENT,  /* of a parameter; added to by backward operations, cleared by the optimiser */
    SN_ROLE_STATE,     /* running statistics of batch normalisation */
    SN_ROLE_MOMENT,    /* of a gradient: the optimiser's */
    SN_ROLE_AVERAGE,   /* running average of a parameter or state; nothing before the first update */
    SN_ROLE_RESULT,    /* read by the host after a run */
} sn_role;

/* How a parameter or state starts. */
typedef enum sn_initial {
    SN_INITIAL_ZERO,
    SN_INITIAL_ONE,
    SN_INITIAL_QUARTER,       /* 0.25: PReLU */
    SN_INITIAL_HE_NORMAL,     /* normal, variance 2/(I*K^3) for weights (O,I,K,K,K): I*K^3 terms a sum */
    SN_INITIAL_HE_TRANSPOSED, /* normal, variance 2/O: a transposed convolution with kernel = stride sums O */
} sn_initial;

/* What the backward operations compute a second time of the forward values they need; the rest is kept. The
 * gradients have the same bits in each case. */
typedef enum sn_recompute {
    SN_RECOMPUTE_NOTHING,
    SN_RECOMPUTE_CHEAP,    /* all but the results of convolutions, poolings and warps */
    SN_RECOMPUTE_SEGMENTS, /* besides, the convolutions of segments */
} sn_recompute;

typedef enum sn_mode {
    SN_MODE_TRAIN,   /* batch statistics, running statistics updated, dropout */
    SN_MODE_PREDICT, /* running statistics, no dropout */
} sn_mode;

/**
 * An empty graph. Caller owns.
 *
 * @param[in] values the type of the values between operations (sn_backend_values): SN_F32, SN_BF16, or SN_F64 (ref only)
 */
sn_status sn_graph_create(sn_graph **graph, sn_dtype values, sn_error *error);
void sn_graph_free(sn_graph *graph);

/** The type of parameters, statistics and inputs: that of the values, but SN_F32 where these are SN_BF16. */
sn_dtype sn_graph_real(const sn_graph *graph);

/**
 * Begin a program: operations added from now on belong to it, batch norm and dropout follow `mode`.
 *
 * @param[out] program its index, for sn_executor_run
 */
sn_status sn_graph_begin_program(sn_graph *graph, int *program, const char *name, sn_mode mode,
                                 sn_error *error);

/**
 * From now on the operations by which batch normalisations in train mode move their running statistics go to
 * `program`, which has begun before, and the statistics that they take stay in RESULT tensors
 * `name`.batch_mean and .batch_variance: so they can be moved by the statistics of other images, too.
 */
void sn_graph_running_apart(sn_graph *graph, int program);

/**
 * Operations added between these two are a segment, a part of the network that SN_RECOMPUTE_SEGMENTS runs a
 * second time when the backward pass reaches it: of its values only those that are read outside of it, and
 * statistics, are kept. Segments do not overlap.
 */
void sn_graph_segment_begin(sn_graph *graph);
void sn_graph_segment_end(sn_graph *graph);

/* Builders. Each adds one operation to the current program, infers the output's shape and returns the output;
 * on error SN_NO_TENSOR, and the graph keeps the first error: a builder given SN_NO_TENSOR returns
 * SN_NO_TENSOR, so a network is built without checks and sn_graph_status is asked once at its end.
 * Parameters and other persistent tensors are found by name: the same network built in two programs shares
 * its weights. */

/** SN_OK, or the first error of the builders: "conv3d encoder.0.conv1: stride 2 needs kernel 2, not 3". */
sn_status sn_graph_status(const sn_graph *graph, sn_error *error);

/** A persistent tensor of a given role (neither TRANSIENT nor PARAMETER), or the existing one of that name;
 * starts as zeros. */
sn_tensor sn_graph_persistent(sn_graph *graph, const char *name, sn_role role, sn_tensor_desc desc);

/** A parameter, or the existing one of that name; its gradient is made by sn_graph_differentiate. */
sn_tensor sn_graph_parameter(sn_graph *graph, const char *name, const int64_t shape[SN_DIMS],
                             sn_initial initial);

/** An input in the type that the graph has its values in; itself where it is of that type. */
sn_tensor sn_graph_to_values(sn_graph *graph, sn_tensor x);

/** Convolution with weights `name`.weight (channels, I, K, K, K). Stride 1: odd kernel, 'same' padding.
 * Stride > 1: kernel = stride, no padding, extents that are multiples of it. */
sn_tensor sn_graph_conv3d(sn_graph *graph, const char *name, sn_tensor x, int channels, int kernel,
                          int dilation, int stride);
/** Transposed convolution, kernel = stride = 2, weights `name`.weight (I, channels, 2, 2, 2): doubles each
 * extent. */
sn_tensor sn_graph_conv3d_transposed(sn_graph *graph, const char *name, sn_tensor x, int channels);
/** Adds `name`.bias (C). */
sn_tensor sn_graph_bias(sn_graph *graph, const char *name, sn_tensor x);
/** Batch normalisation: `name`.gamma, .beta, .running_mean, .running_variance; epsilon 1e-5, momentum 0.1. */
sn_tensor sn_graph_batchnorm(sn_graph *graph, const char *name, sn_tensor x, bool relu);
/** Slope `name`.slope (C) below zero, 0.25 at the start. */
sn_tensor sn_graph_prelu(sn_graph *graph, const char *name, sn_tensor x);
/** Sum of `count` >= 1 tensors (1: the tensor itself, no operation; more than 8: chained). */
sn_tensor sn_graph_sum(sn_graph *graph, const sn_tensor *x, int count);
sn_tensor sn_graph_maxpool(sn_graph *graph, sn_tensor x);
sn_tensor sn_graph_upsample(sn_graph *graph, sn_tensor x, int factor);
/** Channels of `count` >= 1 tensors, one after the other (1: the tensor itself; more than 8: chained). */
sn_tensor sn_graph_concat(sn_graph *graph, const sn_tensor *x, int count);
/** See SN_OP_WINDOW; out_shape is (C, D, H, W). */
sn_tensor sn_graph_window(sn_graph *graph, sn_tensor x, const int64_t offset[4], const int64_t out_shape[4]);
/** Spatial dropout (train mode; x itself in predict mode or at rate 0). `stream`: canonical number of this
 * dropout. Uses input "dropout_key". */
sn_tensor sn_graph_channel_dropout(sn_graph *graph, sn_tensor x, double rate, uint32_t stream);
sn_tensor sn_graph_affine_warp(sn_graph *graph, sn_tensor x, sn_tensor matrix, bool nearest);
sn_tensor sn_graph_softmax(sn_graph *graph, sn_tensor scores);
/** The class of the largest score: u8 (N,1,D,H,W). */
sn_tensor sn_graph_argmax(sn_graph *graph, sn_tensor scores);
/** Overlap counts into a RESULT tensor `name` f64 (N,C,1,1,3). */
sn_tensor sn_graph_overlap(sn_graph *graph, const char *name, sn_tensor scores, sn_tensor labels);
/** Copy of a tensor, not of SN_BF16, into a RESULT tensor `name` (a WINDOW of the same shape). */
sn_tensor sn_graph_result(sn_graph *graph, const char *name, sn_tensor x);

/** Loss, added to a RESULT tensor `name` f64; one a program, where sn_graph_differentiate starts. */
sn_tensor sn_graph_loss(sn_graph *graph, const char *name, sn_tensor scores, sn_tensor labels,
                        sn_tensor weights, sn_op_params params);

/**
 * Append the backward operations of the current program for its loss: gradients of every parameter that the
 * loss depends on go to persistent GRADIENT tensors `parameter`.grad (added to); none are computed for inputs
 * and states.
 *
 * What is computed a second time, from what is kept, is so just before it is needed.
 *
 * @return SN_OK; the graph's first error; SN_ERR_ARG no loss, or an operation without a gradient on the way
 */
sn_status sn_graph_differentiate(sn_graph *graph, sn_recompute recompute, sn_error *error);

/** Append one SN_OP_NADAM for every parameter that has a gradient; scalars from input "nadam" f64
 * (1,1,1,1,4); moments `parameter`.m and .v. */
sn_status sn_graph_nadam(sn_graph *graph, double beta1, double beta2, double epsilon, sn_error *error);

/**
 * Append one SN_OP_AVERAGE for every parameter and state, into persistent tensors `name`.average, with the
 * share of the newest value from input "average" f64 (1,1,1,1,1). Networks that are built from now on in
 * predict mode read the averages.
 */
sn_status sn_graph_average(sn_graph *graph, sn_error *error);

/* Looking at a graph. Pointers are valid until the graph grows. */

typedef struct sn_tensor_info {
    char name[SN_NAME]; /* of a transient: its builder's, or empty; not unique */
    sn_role role;
    sn_initial initial;
    sn_tensor_desc desc;
    int program;  /* of a transient */
    bool weights; /* of a convolution, or their gradient, moment or average: sn_tensor_upload */
} sn_tensor_info;

typedef struct sn_node {
    sn_op_kind kind;
    sn_op_params params;
    int input_count, output_count;
    sn_tensor inputs[SN_OP_MAX_INPUTS];
    sn_tensor outputs[SN_OP_MAX_OUTPUTS]; /* SN_NO_TENSOR is not allowed */
    int segment;                          /* 1, 2, ...; 0: in none */
    bool backward;                        /* added by sn_graph_differentiate */
    bool recomputed;                      /* ... to compute a forward value a second time */
} sn_node;

int sn_graph_tensor_count(const sn_graph *graph);
const sn_tensor_info *sn_graph_tensor(const sn_graph *graph, sn_tensor tensor);
/** The persistent tensor of that name, or SN_NO_TENSOR. */
sn_tensor sn_graph_find(const sn_graph *graph, const char *name);
/** The running average of a parameter or state; the tensor itself where none is kept. */
sn_tensor sn_graph_average_of(const sn_graph *graph, sn_tensor tensor);
int sn_graph_program_count(const sn_graph *graph);
const char *sn_graph_program_name(const sn_graph *graph, int program);
int sn_graph_node_count(const sn_graph *graph, int program);
const sn_node *sn_graph_node(const sn_graph *graph, int program, int node);
/** Operands of a node without locations: what sn_op_check, supports and workspace take. */
sn_op sn_graph_op(const sn_graph *graph, const sn_node *node);

/** Learned values (all PARAMETER tensors). */
int64_t sn_graph_parameters(const sn_graph *graph);
/** Multiply-adds of a program's convolutions. */
int64_t sn_graph_multiply_adds(const sn_graph *graph, int program);

#endif
