#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

static bool belongs(const sn_tensor_info *info, sn_weights_kind kind)
{
    if (info->role == SN_ROLE_PARAMETER || info->role == SN_ROLE_STATE)
        return true;
    return kind == SN_WEIGHTS_ALL && (info->role == SN_ROLE_MOMENT || info->role == SN_ROLE_AVERAGE);
}

/* Room for all tensors of the kind, in the graph's order. */
static sn_status make_room(sn_arrays *weights, const sn_graph *graph, sn_weights_kind kind, sn_error *error)
{
    sn_status status;
    size_t bytes = 0;
    int count = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(graph, t);
        if (belongs(info, kind)) {
            bytes += sn_tensor_bytes(&info->desc);
            count++;
        }
    }
    SN_TRY(sn_alloc(&weights->items, (size_t)count, sizeof *weights->items, error));
    SN_TRY(sn_alloc(&weights->bytes, bytes, 1, error));
    char *data = weights->bytes;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(graph, t);
        if (!belongs(info, kind))
            continue;
        sn_array *array = &weights->items[weights->count++];
        snprintf(array->name, sizeof array->name, "%s", info->name);
        array->desc = info->desc;
        array->data = data;
        data += sn_tensor_bytes(&info->desc);
    }
done:
    if (status != SN_OK)
        sn_arrays_clear(weights);
    return status;
}

sn_status sn_weights_download(sn_arrays *weights, const sn_graph *graph, sn_executor *executor,
                              sn_weights_kind kind, sn_error *error)
{
    sn_status status = weights->count == 0 ? make_room(weights, graph, kind, error) : SN_OK;
    for (int i = 0; i < weights->count && status == SN_OK; i++) {
        sn_tensor tensor = sn_graph_find(graph, weights->items[i].name);
        if (kind == SN_WEIGHTS_NETWORK)
            tensor = sn_graph_average_of(graph, tensor);
        status = sn_executor_download(executor, tensor, weights->items[i].data, error);
    }
    return status;
}

/* Every value a number? */
static bool is_finite(const sn_array *array)
{
    const float *values = (const float *)(const void *)array->data;
    int64_t count = array->desc.dtype == SN_F32 ? sn_tensor_count(&array->desc) : 0;
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

sn_status sn_weights_check(const sn_arrays *weights, const sn_graph *graph, sn_weights_kind kind,
                           const char *source, sn_error *error)
{
    for (sn_tensor t = 0; t < sn_graph_tensor_count(graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(graph, t);
        if (!belongs(info, kind))
            continue;
        const sn_array *array = sn_arrays_find(weights, info->name);
        if (array == NULL)
            return sn_error_set(error, SN_ERR_INPUT, "%s: the weights '%s' are missing; copy the file again",
                                source, info->name);
        if (!sn_tensor_desc_equal(&array->desc, &info->desc))
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: the weights '%s' do not fit the network; copy the file again", source,
                                info->name);
        if (!is_finite(array))
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: damaged: a weight of '%s' is not a number; copy the file again", source,
                                info->name);
    }
    return SN_OK;
}

void sn_weights_upload(const sn_arrays *weights, const sn_graph *graph, sn_executor *executor,
                       sn_weights_kind kind)
{
    for (sn_tensor t = 0; t < sn_graph_tensor_count(graph); t++)
        if (belongs(sn_graph_tensor(graph, t), kind))
            sn_executor_upload(executor, t, sn_arrays_find(weights, sn_graph_tensor(graph, t)->name)->data);
}
