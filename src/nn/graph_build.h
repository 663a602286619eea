/**
 * Inside of a graph, for the files of this folder that add to it.
 */
#ifndef SN_NN_GRAPH_BUILD_H
#define SN_NN_GRAPH_BUILD_H

#include "nn/graph.h"

typedef struct graph_program {
    char name[SN_NAME];
    sn_mode mode;
    sn_node *nodes;
    int node_count, node_capacity;
    int loss; /* the node of its loss; -1: none yet */
} graph_program;

/* A batch normalisation that has become part of a convolution; see nn/fold.h. */
typedef struct graph_fold {
    sn_tensor weight, gamma, beta, mean, variance;
    double epsilon;
    int axis; /* of the weights: the convolution's output channels */
} graph_fold;

struct sn_graph {
    sn_dtype real, values;
    sn_tensor_info *tensors;
    int tensor_count, tensor_capacity;
    graph_program *programs; /* the last one is the current one */
    int program_count, program_capacity;
    int running;                /* the program of the running statistics, counted from 1; 0: each one's own */
    int segment, segment_count; /* the open segment, 0: none; how many there have been */
    bool averaged;              /* there are running averages, which predict mode reads */
    graph_fold *folds;          /* NULL: not folded */
    int fold_count;
    sn_error error; /* the first one */
};

/** The current program; one must have begun. */
graph_program *graph_current(sn_graph *graph);

/** Keep an error if it is the first one. Returns SN_NO_TENSOR, so that a builder can `return
 * graph_fail(...)`.
 */
sn_tensor graph_fail(sn_graph *graph, sn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The existing persistent tensor of that name, role, start and description, or a new one. */
sn_tensor graph_named(sn_graph *graph, const char *name, sn_role role, sn_initial initial,
                      sn_tensor_desc desc);

/** A new transient of the current program; `name` may be "". */
sn_tensor graph_transient(sn_graph *graph, const char *name, sn_tensor_desc desc);

/** Write "conv3d encoder.0.conv1": what messages call an operation; an unnamed one is told by its input. */
void graph_label(const sn_graph *graph, char label[2 * SN_NAME], sn_op_kind kind, const char *name,
                 sn_tensor input);

/**
 * Whether an operation can be built: the graph has no error and all inputs exist and are reachable from the
 * current program. Sets the graph's error where it is the caller's mistake.
 */
bool graph_ready(sn_graph *graph, sn_op_kind kind, const char *name, const sn_tensor *inputs, int count);

/**
 * Check a node and append it to the current program.
 *
 * @param[in] name for messages; may be ""
 * @return its first output; SN_NO_TENSOR and the graph's error where operands do not fit
 */
sn_tensor graph_append(sn_graph *graph, const char *name, const sn_node *node);

/** The same to a given program of the graph. */
sn_tensor graph_append_to(sn_graph *graph, int program, const char *name, const sn_node *node);

#endif
