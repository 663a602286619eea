#include "train/step.h"

#include "arch/build.h"
#include "backend/device.h"

static sn_tensor_desc desc_of(sn_dtype dtype, int64_t channels, const int64_t size[3])
{
    return (sn_tensor_desc){dtype, {1, channels, size[0], size[1], size[2]}};
}

/* Forward, loss and backward of one image, augmented on the way. */
static sn_status add_train(sn_train_graph *self, const sn_arch *arch, const sn_train_shape *shape,
                           const sn_train_options *options, sn_recompute recompute, sn_error *error)
{
    sn_status status;
    sn_tensor scores;
    sn_graph *graph = self->graph;
    SN_TRY(sn_graph_begin_program(graph, &self->running, "running", SN_MODE_TRAIN, error));
    sn_graph_running_apart(graph, self->running);
    SN_TRY(sn_graph_begin_program(graph, &self->train, "train", SN_MODE_TRAIN, error));
    sn_tensor image = sn_graph_affine_warp(graph, self->image, self->matrix, false);
    sn_tensor labels = sn_graph_affine_warp(graph, self->labels, self->matrix, true);
    SN_TRY(sn_arch_build(&scores, graph, arch, image, shape->classes, options->dropout, error));
    self->loss =
        sn_graph_loss(graph, "loss", scores, labels, self->label_weights, sn_train_loss_params(options));
    SN_TRY(sn_graph_differentiate(graph, recompute, error));
done:
    return status;
}

/* The optimiser's step, and the running averages of the weights after it. */
static sn_status add_update(sn_train_graph *self, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_graph_begin_program(self->graph, &self->update, "update", SN_MODE_TRAIN, error));
    SN_TRY(sn_graph_nadam(self->graph, 0.9, 0.999, 1e-8, error));
    SN_TRY(sn_graph_average(self->graph, error));
done:
    return status;
}

/* Forward with averaged weights and running statistics, and the overlap with the truth. */
static sn_status add_evaluate(sn_train_graph *self, const sn_arch *arch, const sn_train_shape *shape,
                              sn_error *error)
{
    sn_status status;
    sn_tensor scores;
    SN_TRY(sn_graph_begin_program(self->graph, &self->evaluate, "evaluate", SN_MODE_PREDICT, error));
    SN_TRY(sn_arch_build(&scores, self->graph, arch, self->image, shape->classes, 0, error));
    self->overlap = sn_graph_overlap(self->graph, "overlap", scores, self->labels);
done:
    return status;
}

sn_status sn_train_graph_make(sn_train_graph *out, const sn_arch *arch, const sn_train_shape *shape,
                              const sn_train_options *options, sn_recompute recompute, sn_dtype values,
                              sn_error *error)
{
    static const int64_t matrix[3] = {1, 3, 4}, scalars[3] = {1, 1, 4}, vector[3] = {1, 1, 1};
    sn_status status;
    sn_train_graph self = {0};
    SN_TRY(sn_graph_create(&self.graph, values, error));
    sn_graph *graph = self.graph;
    const sn_dtype real = sn_graph_real(graph);
    self.image =
        sn_graph_persistent(graph, "image", SN_ROLE_INPUT, desc_of(real, shape->channels, shape->size));
    self.labels = sn_graph_persistent(graph, "labels", SN_ROLE_INPUT, desc_of(SN_U8, 1, shape->size));
    self.matrix = sn_graph_persistent(graph, "matrix", SN_ROLE_INPUT, desc_of(SN_F64, 1, matrix));
    self.label_weights =
        sn_graph_persistent(graph, "label_weights", SN_ROLE_INPUT, desc_of(real, shape->classes, vector));
    self.nadam = sn_graph_persistent(graph, "nadam", SN_ROLE_INPUT, desc_of(SN_F64, 1, scalars));
    self.average = sn_graph_persistent(graph, "average", SN_ROLE_INPUT, desc_of(SN_F64, 1, vector));
    SN_TRY(add_train(&self, arch, shape, options, recompute, error));
    self.dropout_key = sn_graph_find(graph, "dropout_key");
    SN_TRY(add_update(&self, error));
    SN_TRY(add_evaluate(&self, arch, shape, error));
    SN_TRY(sn_graph_status(graph, error));
    *out = self;
    self.graph = NULL;
done:
    sn_train_graph_clear(&self);
    return status;
}

void sn_train_graph_clear(sn_train_graph *graph)
{
    sn_graph_free(graph->graph);
    graph->graph = NULL;
}

sn_status sn_train_plan(sn_train_memory *memory, const sn_arch *arch, const sn_train_shape *shape,
                        const sn_train_options *options, sn_recompute recompute, const char *device,
                        sn_error *error)
{
    sn_status status;
    const sn_backend *backend = NULL;
    sn_device *opened = NULL;
    sn_train_graph graph = {0};
    sn_plan plan = {0};
    SN_TRY(sn_device_open(&backend, &opened, device, options->precision, 1, error));
    SN_TRY(sn_train_graph_make(&graph, arch, shape, options, recompute, sn_backend_values(backend, opened),
                               error));
    SN_TRY(sn_plan_make(&plan, graph.graph, backend, opened, error));
    *memory =
        (sn_train_memory){recompute, (int64_t)sn_plan_peak_bytes(&plan), sn_graph_parameters(graph.graph)};
done:
    sn_plan_clear(&plan);
    sn_train_graph_clear(&graph);
    sn_device_close(backend, opened);
    return status;
}

sn_status sn_train_fit(sn_train_memory *memory, const sn_arch *arch, const sn_train_shape *shape,
                       const sn_train_options *options, const char *device, int64_t budget, sn_error *error)
{
    sn_status status;
    sn_train_memory twice;
    SN_TRY(sn_train_plan(memory, arch, shape, options, SN_RECOMPUTE_CHEAP, device, error));
    if (budget == 0 || memory->bytes <= budget)
        return SN_OK;
    SN_TRY(sn_train_plan(&twice, arch, shape, options, SN_RECOMPUTE_SEGMENTS, device, error));
    if (twice.bytes < memory->bytes)
        *memory = twice;
done:
    return status;
}

sn_status sn_train_check_memory(sn_train_memory *memory, const sn_arch *arch, const sn_train_shape *shape,
                                const sn_train_options *options, const char *device, int64_t budget,
                                sn_error *error)
{
    sn_status status = sn_train_fit(memory, arch, shape, options, device, budget, error);
    if (status != SN_OK || budget == 0 || memory->bytes <= budget)
        return status;
    return sn_error_set(
        error, SN_ERR_MEMORY,
        "the network needs %.0f MiB to train, even with its blocks computed twice, and the budget is "
        "%.0f MiB; raise --memory, or take a smaller --size or network",
        (double)memory->bytes / 0x1p20, (double)budget / 0x1p20);
}

int64_t sn_train_case_bytes(const sn_train_shape *shape)
{
    const sn_tensor_desc image = desc_of(SN_F32, shape->channels, shape->size),
                         labels = desc_of(SN_U8, 1, shape->size);
    return (int64_t)(sn_tensor_room(&image) + sn_tensor_room(&labels));
}

int64_t sn_train_kept_bytes(const sn_train_memory *memory, const sn_train_shape *shape, int cases,
                            int64_t budget, int beside)
{
    int64_t bytes = cases * sn_train_case_bytes(shape);
    return budget == 0 || memory->bytes + bytes <= budget / (1 + beside) ? bytes : 0;
}
