#include "backend/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/plugin.h"

/* ---- names ---- */

/* The GPUs that a name lists; none: all. */
typedef struct gpu_list {
    int count;
    int index[SN_DEVICE_GPUS];
} gpu_list;

static bool list_has(const gpu_list *list, int index)
{
    int i = 0;
    while (i < list->count && list->index[i] != index)
        i++;
    return i < list->count;
}

/* "cuda", or "cuda:" and different numbers of up to four digits with commas between; false for all else. */
static bool list_parse(gpu_list *list, const char *name)
{
    *list = (gpu_list){.count = 0};
    if (strncmp(name, "cuda", 4) != 0)
        return false;
    const char *at = name + 4;
    for (char before = ':'; *at == before; before = ',') {
        size_t digits = strspn(++at, "0123456789");
        int index = digits >= 1 && digits <= 4 ? atoi(at) : -1;
        if (index < 0 || list->count == SN_DEVICE_GPUS || list_has(list, index))
            return false;
        list->index[list->count++] = index;
        at += digits;
    }
    return *at == '\0';
}

bool sn_device_is_name(const char *name, int most)
{
    gpu_list list;
    return strcmp(name, "cpu") == 0 || (list_parse(&list, name) && list.count <= most);
}

bool sn_device_is_gpu(const char *name)
{
    gpu_list list;
    return list_parse(&list, name);
}

int sn_device_listed(const char *name)
{
    gpu_list list;
    return list_parse(&list, name) ? list.count : 0;
}

const char *sn_device_kind(const char *name)
{
    return sn_device_is_gpu(name) ? "cuda" : name;
}

/* ---- GPUs ---- */

sn_status sn_gpus_find(const sn_cuda_plugin **plugin, int *count, sn_error *error)
{
    static const sn_plugin_options cuda = {
        .file = "segnas3d-cuda.so", .symbol = SN_CUDA_PLUGIN, .version = SN_CUDA_PLUGIN_VERSION};
    char reason[SN_REASON_TEXT] = "";
    sn_error cause = SN_ERROR_INIT;
    *count = 0;
    sn_status status = sn_plugin_load(plugin, &cuda, &cause);
    if (status == SN_ERR_IO)
        return sn_error_set(
            error, SN_ERR_UNSUPPORTED,
            "this program was built without CUDA: %s; install the CUDA toolkit and build with "
            "`make cuda`",
            cause.text);
    if (status != SN_OK)
        return sn_error_set(error, SN_ERR_UNSUPPORTED,
                            "CUDA cannot be loaded: %.700s; build again with `make cuda`", cause.text);
    *count = (*plugin)->count(reason);
    return *count > 0 ? SN_OK : sn_error_set(error, SN_ERR_UNSUPPORTED, "no GPU can be used: %s", reason);
}

/* The GPUs that a name means, which are there. */
static sn_status gpus_of_name(gpu_list *list, const sn_cuda_plugin **plugin, const char *name,
                              sn_error *error)
{
    sn_error cause = SN_ERROR_INIT;
    int count;
    list_parse(list, name);
    sn_status status = sn_gpus_find(plugin, &count, &cause);
    if (status != SN_OK)
        return sn_error_set(error, status, "device %s: %s; or use --device cpu", name, cause.text);
    for (int i = 0; i < list->count; i++)
        if (list->index[i] >= count)
            return sn_error_set(error, SN_ERR_UNSUPPORTED,
                                "device %s: there is no GPU %d, since there %s %d, counted from 0; "
                                "`segnas3d devices` lists what there is",
                                name, list->index[i], count == 1 ? "is" : "are", count);
    for (int i = 0; list->count == i && i < count && i < SN_DEVICE_GPUS; i++) /* none is listed: all */
        list->index[list->count++] = i;
    return SN_OK;
}

/* One of them, where nothing is known against it: what it is, or with plugin->describe also what is free on it. */
static sn_status gpu_ask(sn_gpu *gpu, void (*ask)(sn_gpu *, int), int index, sn_error *error)
{
    *gpu = (sn_gpu){.problem = ""};
    ask(gpu, index);
    if (gpu->problem[0] == '\0')
        return SN_OK;
    return sn_error_set(error, SN_ERR_UNSUPPORTED, "device cuda:%d: %s: %s", index, gpu->name, gpu->problem);
}

/* ---- what there is ---- */

sn_status sn_device_count(int *count, const char *name, sn_error *error)
{
    const sn_cuda_plugin *plugin;
    gpu_list list;
    *count = 1;
    if (!sn_device_is_gpu(name))
        return SN_OK;
    sn_status status = gpus_of_name(&list, &plugin, name, error);
    *count = list.count;
    return status;
}

sn_status sn_device_choose(char one[SN_DEVICE_NAME], const char *name, int seat, sn_error *error)
{
    const sn_cuda_plugin *plugin;
    gpu_list list;
    snprintf(one, SN_DEVICE_NAME, "%s", name);
    if (!sn_device_is_gpu(name))
        return SN_OK;
    sn_status status = gpus_of_name(&list, &plugin, name, error);
    if (status == SN_OK)
        snprintf(one, SN_DEVICE_NAME, "cuda:%d", list.index[seat % list.count]);
    return status;
}

sn_status sn_device_beside(int *beside, const char *name, int workers, sn_error *error)
{
    int gpus;
    *beside = 0;
    if (!sn_device_is_gpu(name) || workers < 2)
        return SN_OK;
    sn_status status = sn_device_count(&gpus, name, error);
    if (status == SN_OK)
        *beside = (workers - 1) / gpus;
    return status;
}

sn_status sn_device_memory(int64_t *bytes, const char *name, int processes, sn_error *error)
{
    sn_status status;
    const sn_cuda_plugin *plugin;
    gpu_list list;
    sn_gpu gpu;
    *bytes = sn_memory_available();
    if (!sn_device_is_gpu(name))
        return SN_OK;
    *bytes = INT64_MAX;
    SN_TRY(gpus_of_name(&list, &plugin, name, error));
    for (int i = 0; i < list.count; i++) {
        SN_TRY(gpu_ask(&gpu, plugin->describe, list.index[i], error));
        *bytes = (int64_t)gpu.free_bytes < *bytes ? (int64_t)gpu.free_bytes : *bytes;
    }
    const int64_t own = (int64_t)processes * SN_DEVICE_GPU_OWN;
    *bytes = *bytes > own ? *bytes - own : 0;
done:
    return status;
}

/* ---- precision ---- */

static sn_status gpus_precision(sn_precision *precision, const char *name, sn_error *error)
{
    sn_status status;
    const sn_cuda_plugin *plugin;
    gpu_list list;
    sn_gpu gpu;
    sn_precision wanted = *precision;
    *precision = wanted == SN_PRECISION_AUTO ? SN_PRECISION_BF16 : wanted;
    SN_TRY(gpus_of_name(&list, &plugin, name, error));
    for (int i = 0; i < list.count; i++) {
        SN_TRY(gpu_ask(&gpu, plugin->identify, list.index[i], error));
        if (sn_gpu_has_bf16(&gpu) || *precision == SN_PRECISION_FLOAT32)
            continue;
        *precision = SN_PRECISION_FLOAT32;
        if (wanted != SN_PRECISION_AUTO)
            status = sn_error_set(error, SN_ERR_ARG,
                                  "device cuda:%d: %s of compute capability %d.%d has no %s; use --precision "
                                  "float32",
                                  list.index[i], gpu.name, gpu.major, gpu.minor, sn_precision_name(wanted));
    }
done:
    return status;
}

sn_status sn_device_precision(sn_precision *precision, const char *name, sn_error *error)
{
    if (sn_device_is_gpu(name))
        return gpus_precision(precision, name, error);
    if (*precision != SN_PRECISION_AUTO && *precision != SN_PRECISION_FLOAT32)
        return sn_error_set(error, SN_ERR_ARG,
                            "device %s: it has float32 only, not %s; leave --precision out, or use --device "
                            "cuda",
                            name, sn_precision_name(*precision));
    *precision = SN_PRECISION_AUTO;
    return SN_OK;
}

/* ---- open and close ---- */

sn_status sn_device_open(const sn_backend **backend, sn_device **device, const char *name,
                         sn_precision precision, int threads, sn_error *error)
{
    sn_status status;
    sn_device_options options = {.threads = threads, .precision = precision};
    const sn_backend *found = NULL;
    const sn_cuda_plugin *plugin;
    gpu_list list;
    *backend = NULL;
    *device = NULL;
    if (sn_device_is_gpu(name)) {
        SN_TRY(gpus_of_name(&list, &plugin, name, error));
        found = plugin->backend;
        options.index = list.index[0];
    } else {
        SN_TRY(sn_backend_find(&found, name, error));
    }
    SN_TRY(found->open(device, &options, error));
    *backend = found;
done:
    return status;
}

void sn_device_close(const sn_backend *backend, sn_device *device)
{
    if (device != NULL)
        backend->close(device);
}

/* ---- several of one kind ---- */

enum { KERNELS_TEXT = 256 };

/* What GPU `index` computes with. */
static sn_status gpu_kernels(char text[KERNELS_TEXT], int index, sn_precision precision, sn_error *error)
{
    char name[SN_DEVICE_NAME];
    const sn_backend *backend;
    sn_device *device;
    snprintf(name, sizeof name, "cuda:%d", index);
    sn_status status = sn_device_open(&backend, &device, name, precision, 1, error);
    if (status == SN_OK)
        snprintf(text, KERNELS_TEXT, "%s", backend->kernels(device));
    sn_device_close(backend, device);
    return status;
}

sn_status sn_device_check_alike(const char *name, sn_precision precision, sn_error *error)
{
    sn_status status = SN_OK;
    const sn_cuda_plugin *plugin;
    gpu_list list;
    sn_gpu gpu;
    char first[KERNELS_TEXT], other[KERNELS_TEXT];
    if (!list_parse(&list, name) || list.count < 2)
        return SN_OK;
    SN_TRY(gpus_of_name(&list, &plugin, name, error));
    for (int i = 0; i < list.count; i++) /* each can be used at all */
        SN_TRY(gpu_ask(&gpu, plugin->describe, list.index[i], error));
    SN_TRY(gpu_kernels(first, list.index[0], precision, error));
    for (int i = 1; i < list.count; i++) {
        SN_TRY(gpu_kernels(other, list.index[i], precision, error));
        if (strcmp(first, other) != 0)
            return sn_error_set(
                error, SN_ERR_ARG,
                "device %s: GPU %d computes by \"%s\", GPU %d by \"%s\", and results would differ; "
                "list GPUs of one kind",
                name, list.index[0], first, list.index[i], other);
    }
done:
    return status;
}
