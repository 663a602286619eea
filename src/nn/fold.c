#include "nn/fold.h"

#include <assert.h>
#include <math.h>

#include "base/memory.h"
#include "nn/graph_build.h"

/* ---- the graph ---- */

/* Who makes and who reads the tensors of a program. */
typedef struct readers {
    int *producer; /* [tensor] the node that makes it; -1: none */
    int *count;    /* [tensor] how many inputs it is */
} readers;

static void survey(readers *of, const sn_graph *graph, const graph_program *program)
{
    for (sn_tensor t = 0; t < graph->tensor_count; t++)
        of->producer[t] = -1;
    for (int n = 0; n < program->node_count; n++) {
        const sn_node *node = &program->nodes[n];
        for (int i = 0; i < node->input_count; i++)
            of->count[node->inputs[i]]++;
        for (int o = 0; o < node->output_count; o++)
            of->producer[node->outputs[o]] = n;
    }
}

/* The convolution that a normalisation can become a part of; NULL: none. */
static const sn_node *convolution_before(const readers *of, const graph_program *program, const sn_node *node)
{
    sn_tensor x = node->inputs[0];
    if (node->kind != SN_OP_BATCHNORM_APPLY || of->producer[x] < 0 || of->count[x] > 1)
        return NULL;
    const sn_node *before = &program->nodes[of->producer[x]];
    bool convolution = before->kind == SN_OP_CONV3D || before->kind == SN_OP_CONV3D_BACKWARD_DATA;
    return convolution && of->count[before->inputs[1]] == 1 ? before : NULL;
}

/* Turn a normalisation into a bias. */
static void fold_node(graph_fold *fold, sn_node *node, const sn_node *convolution)
{
    *fold = (graph_fold){.weight = convolution->inputs[1],
                         .gamma = node->inputs[1],
                         .beta = node->inputs[2],
                         .mean = node->inputs[3],
                         .variance = node->inputs[4],
                         .epsilon = node->params.batchnorm.epsilon,
                         .axis = convolution->kind == SN_OP_CONV3D ? 0 : 1};
    node->kind = SN_OP_BIAS;
    node->params = (sn_op_params){.bias = {node->params.batchnorm.relu}};
    node->inputs[1] = fold->beta;
    node->input_count = 2;
}

sn_status sn_fold_graph(sn_graph *graph, sn_error *error)
{
    sn_status status;
    readers of = {NULL, NULL};
    size_t tensors = (size_t)graph->tensor_count;
    SN_TRY(sn_graph_status(graph, error));
    graph_program *program = graph_current(graph);
    assert(graph->program_count == 1 && program->mode == SN_MODE_PREDICT && graph->folds == NULL);
    SN_TRY(sn_alloc(&of.producer, tensors, sizeof *of.producer, error));
    SN_TRY(sn_alloc(&of.count, tensors, sizeof *of.count, error));
    SN_TRY(sn_alloc(&graph->folds, (size_t)program->node_count, sizeof *graph->folds, error));
    survey(&of, graph, program);
    for (int n = 0; n < program->node_count; n++) {
        const sn_node *convolution = convolution_before(&of, program, &program->nodes[n]);
        if (convolution != NULL)
            fold_node(&graph->folds[graph->fold_count++], &program->nodes[n], convolution);
    }
done:
    sn_free(of.count);
    sn_free(of.producer);
    return status;
}

/* ---- the weights ---- */

/* The values of a persistent tensor, in its own type; the caller's, sn_free. */
static sn_status read_values(void **values, sn_executor *executor, const sn_graph *graph, sn_tensor tensor,
                             sn_error *error)
{
    const sn_tensor_desc *desc = &graph->tensors[tensor].desc;
    sn_status status = sn_alloc(values, (size_t)sn_tensor_count(desc), sn_dtype_size(desc->dtype), error);
    if (status == SN_OK)
        status = sn_executor_download(executor, tensor, *values, error);
    return status;
}

static double get(const void *values, sn_dtype dtype, int64_t i)
{
    return dtype == SN_F64 ? ((const double *)values)[i] : ((const float *)values)[i];
}

static void put(void *values, sn_dtype dtype, int64_t i, double value)
{
    if (dtype == SN_F64)
        ((double *)values)[i] = value;
    else
        ((float *)values)[i] = (float)value;
}

/* What one fold reads and changes. */
typedef struct fold_values {
    void *weight, *gamma, *beta, *mean, *variance;
} fold_values;

/* s of one output channel. */
static double scale_of(const fold_values *v, const graph_fold *fold, sn_dtype real, int64_t channel)
{
    return get(v->gamma, real, channel) / sqrt(get(v->variance, real, channel) + fold->epsilon);
}

/* w*s and beta - m*s */
static void fold_values_compute(fold_values *v, const graph_fold *fold, const sn_tensor_desc *weight)
{
    const int64_t *w = weight->shape;
    sn_dtype real = weight->dtype;
    int64_t channels = w[fold->axis], each = w[2] * w[3] * w[4] * (fold->axis == 0 ? w[1] : 1);
    for (int64_t i = 0; i < sn_tensor_count(weight); i++)
        put(v->weight, real, i, get(v->weight, real, i) * scale_of(v, fold, real, i / each % channels));
    for (int64_t c = 0; c < channels; c++)
        put(v->beta, real, c, get(v->beta, real, c) - get(v->mean, real, c) * scale_of(v, fold, real, c));
}

static sn_status fold_one(sn_executor *executor, const sn_graph *graph, const graph_fold *fold,
                          sn_error *error)
{
    sn_status status;
    fold_values v = {NULL, NULL, NULL, NULL, NULL};
    SN_TRY(read_values(&v.weight, executor, graph, fold->weight, error));
    SN_TRY(read_values(&v.gamma, executor, graph, fold->gamma, error));
    SN_TRY(read_values(&v.beta, executor, graph, fold->beta, error));
    SN_TRY(read_values(&v.mean, executor, graph, fold->mean, error));
    SN_TRY(read_values(&v.variance, executor, graph, fold->variance, error));
    fold_values_compute(&v, fold, &graph->tensors[fold->weight].desc);
    sn_executor_upload(executor, fold->weight, v.weight);
    sn_executor_upload(executor, fold->beta, v.beta);
done:
    sn_free(v.weight);
    sn_free(v.gamma);
    sn_free(v.beta);
    sn_free(v.mean);
    sn_free(v.variance);
    return status;
}

sn_status sn_fold_weights(sn_executor *executor, const sn_graph *graph, sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0; i < graph->fold_count && status == SN_OK; i++)
        status = fold_one(executor, graph, &graph->folds[i], error);
    return status;
}
