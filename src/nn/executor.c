#include "nn/executor.h"

#include <assert.h>
#include <math.h>

#include "base/memory.h"
#include "base/random.h"

enum { PERSISTENT, ARENA, BUFFERS }; /* that programs know */

struct sn_executor {
    const sn_graph *graph;
    const sn_backend *backend;
    sn_device *device;
    sn_plan plan;
    sn_buffer *buffers[BUFFERS];
    sn_buffer *kept; /* sn_executor_reserve; NULL: none */
    sn_program **programs;
};

/* An operation with the places of its operands. */
static sn_op locate(const sn_executor *executor, const sn_node *node)
{
    sn_op op = sn_graph_op(executor->graph, node);
    for (int i = 0; i < node->input_count; i++) {
        sn_role role = sn_graph_tensor(executor->graph, node->inputs[i])->role;
        op.inputs[i].buffer = role == SN_ROLE_TRANSIENT ? ARENA : PERSISTENT;
        op.inputs[i].offset = executor->plan.offsets[node->inputs[i]];
    }
    for (int o = 0; o < node->output_count; o++) {
        sn_role role = sn_graph_tensor(executor->graph, node->outputs[o])->role;
        op.outputs[o].buffer = role == SN_ROLE_TRANSIENT ? ARENA : PERSISTENT;
        op.outputs[o].offset = executor->plan.offsets[node->outputs[o]];
    }
    return op;
}

static sn_status check_supported(const sn_graph *graph, const sn_backend *backend, sn_device *device,
                                 sn_error *error)
{
    char reason[SN_REASON_TEXT];
    for (int p = 0; p < sn_graph_program_count(graph); p++)
        for (int n = 0; n < sn_graph_node_count(graph, p); n++) {
            const sn_node *node = sn_graph_node(graph, p, n);
            sn_op op = sn_graph_op(graph, node);
            if (!backend->supports(device, &op, reason))
                return sn_error_set(error, SN_ERR_UNSUPPORTED, "device %s cannot run %s %s: %s",
                                    backend->name, sn_op_describe(node->kind)->name,
                                    sn_graph_tensor(graph, node->outputs[0])->name, reason);
        }
    return SN_OK;
}

static sn_status bind_program(sn_executor *executor, int program, sn_error *error)
{
    sn_status status;
    sn_op *ops = NULL;
    int count = sn_graph_node_count(executor->graph, program);
    SN_TRY(sn_alloc(&ops, (size_t)count, sizeof *ops, error));
    for (int n = 0; n < count; n++) {
        ops[n] = locate(executor, sn_graph_node(executor->graph, program, n));
        ops[n].workspace.buffer = ARENA;
        ops[n].workspace.offset = executor->plan.workspaces[program][n];
    }
    SN_TRY(executor->backend->program_create(executor->device, &executor->programs[program], ops, count,
                                             executor->buffers, BUFFERS, error));
done:
    sn_free(ops);
    return status;
}

sn_status sn_executor_create(sn_executor **executor, const sn_graph *graph, const sn_backend *backend,
                             sn_device *device, sn_error *error)
{
    sn_status status;
    sn_executor *new = NULL;
    int programs = sn_graph_program_count(graph);
    *executor = NULL;
    SN_TRY(sn_graph_status(graph, error));
    SN_TRY(check_supported(graph, backend, device, error));
    SN_TRY(sn_alloc(&new, 1, sizeof *new, error));
    new->graph = graph;
    new->backend = backend;
    new->device = device;
    SN_TRY(sn_plan_make(&new->plan, graph, backend, device, error));
    SN_TRY(backend->alloc(device, &new->buffers[PERSISTENT], new->plan.persistent_bytes, error));
    SN_TRY(backend->alloc(device, &new->buffers[ARENA], new->plan.arena_bytes, error));
    SN_TRY(sn_alloc(&new->programs, (size_t)programs, sizeof(sn_program *), error));
    for (int p = 0; p < programs; p++)
        SN_TRY(bind_program(new, p, error));
    *executor = new;
    new = NULL; /* now the caller's */
done:
    sn_executor_free(new);
    return status;
}

static void buffer_free(sn_executor *executor, sn_buffer *buffer)
{
    if (buffer != NULL)
        executor->backend->free(executor->device, buffer);
}

void sn_executor_free(sn_executor *executor)
{
    if (executor == NULL)
        return;
    for (int p = 0; executor->programs != NULL && p < sn_graph_program_count(executor->graph); p++)
        if (executor->programs[p] != NULL)
            executor->backend->program_free(executor->device, executor->programs[p]);
    sn_free(executor->programs);
    buffer_free(executor, executor->kept);
    buffer_free(executor, executor->buffers[ARENA]);
    buffer_free(executor, executor->buffers[PERSISTENT]);
    sn_plan_clear(&executor->plan);
    sn_free(executor);
}

const sn_plan *sn_executor_plan(const sn_executor *executor)
{
    return &executor->plan;
}

void sn_executor_upload(sn_executor *executor, sn_tensor tensor, const void *data)
{
    const sn_tensor_info *info = sn_graph_tensor(executor->graph, tensor);
    assert(info->role != SN_ROLE_TRANSIENT);
    sn_tensor_upload(executor->backend, executor->device, executor->buffers[PERSISTENT],
                     executor->plan.offsets[tensor], &info->desc, info->weights, data);
}

sn_status sn_executor_download(sn_executor *executor, sn_tensor tensor, void *data, sn_error *error)
{
    const sn_tensor_info *info = sn_graph_tensor(executor->graph, tensor);
    assert(info->role != SN_ROLE_TRANSIENT);
    sn_tensor_download(executor->backend, executor->device, executor->buffers[PERSISTENT],
                       executor->plan.offsets[tensor], &info->desc, info->weights, data);
    return executor->backend->synchronise(executor->device, error);
}

sn_status sn_executor_reserve(sn_executor *executor, size_t bytes, sn_error *error)
{
    assert(executor->backend->copy != NULL && executor->kept == NULL);
    return executor->backend->alloc(executor->device, &executor->kept, bytes, error);
}

void sn_executor_keep(sn_executor *executor, sn_tensor tensor, size_t offset)
{
    const sn_tensor_info *info = sn_graph_tensor(executor->graph, tensor);
    assert(info->role != SN_ROLE_TRANSIENT);
    executor->backend->copy(executor->device, executor->kept, offset, executor->buffers[PERSISTENT],
                            executor->plan.offsets[tensor], sn_tensor_bytes(&info->desc));
}

void sn_executor_recall(sn_executor *executor, sn_tensor tensor, size_t offset)
{
    const sn_tensor_info *info = sn_graph_tensor(executor->graph, tensor);
    assert(info->role != SN_ROLE_TRANSIENT);
    executor->backend->copy(executor->device, executor->buffers[PERSISTENT], executor->plan.offsets[tensor],
                            executor->kept, offset, sn_tensor_bytes(&info->desc));
}

/* Standard deviation of a drawn start; 0: not drawn. */
static double initial_deviation(const sn_tensor_info *info)
{
    const int64_t *w = info->desc.shape;
    if (info->initial == SN_INITIAL_HE_NORMAL)
        return sqrt(2.0 / (double)(w[1] * w[2] * w[3] * w[4]));
    return info->initial == SN_INITIAL_HE_TRANSPOSED ? sqrt(2.0 / (double)w[0]) : 0;
}

static double initial_constant(sn_initial initial)
{
    return initial == SN_INITIAL_ONE ? 1 : initial == SN_INITIAL_QUARTER ? 0.25 : 0;
}

/* Fill host memory with the start of one tensor. */
static void draw(void *data, const sn_tensor_info *info, sn_random *random)
{
    double deviation = initial_deviation(info), constant = initial_constant(info->initial);
    int64_t count = sn_tensor_count(&info->desc);
    for (int64_t i = 0; i < count; i++) {
        double value = deviation > 0 ? deviation * sn_random_normal(random) : constant;
        if (info->desc.dtype == SN_F64)
            ((double *)data)[i] = value;
        else
            ((float *)data)[i] = (float)value;
    }
}

sn_status sn_executor_initialise(sn_executor *executor, uint64_t seed, sn_error *error)
{
    sn_status status = SN_OK;
    void *data = NULL;
    uint64_t parameter = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(executor->graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(executor->graph, t);
        if (info->role == SN_ROLE_TRANSIENT || info->role == SN_ROLE_INPUT || info->role == SN_ROLE_RESULT)
            continue;
        sn_random random = sn_random_begin(seed, SN_RANDOM_WEIGHTS, parameter);
        parameter += info->role == SN_ROLE_PARAMETER;
        sn_free(data);
        data = NULL;
        SN_TRY(sn_alloc(&data, (size_t)sn_tensor_count(&info->desc), sn_dtype_size(info->desc.dtype), error));
        draw(data, info, &random);
        sn_executor_upload(executor, t, data);
    }
done:
    sn_free(data);
    return status;
}

sn_status sn_executor_run(sn_executor *executor, int program, sn_error *error)
{
    assert(program >= 0 && program < sn_graph_program_count(executor->graph));
    return executor->backend->program_run(executor->device, executor->programs[program], error);
}
