/* cuDNN's backend API: everything is a descriptor with attributes, which is finalised before it is used. */
#include "backend/cuda/cudnn_plan.h"

#include <assert.h>
#include <cudnn.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

#define CUDNN_OLDEST 90800
#if CUDNN_VERSION < CUDNN_OLDEST
#error "cuDNN 9.8 or later is needed"
#endif

enum {
    CANDIDATES = 64,              /* of one list of the heuristics, at most */
    DESCRIPTORS = 1 + CANDIDATES, /* that are made and freed together, at most */
    REASON = 256,
    WORKSPACE = 64 << 20, /* bytes, for what cuDNN computes in several steps */
};

/* Descriptors that are made and freed together. After the first failure nothing more is done. */
typedef struct descriptors {
    cudnnBackendDescriptor_t items[DESCRIPTORS];
    int count;
    cudnnStatus_t status;
} descriptors;

struct sn_cudnn_plan {
    sn_cudnn_plan *next;
    sn_cudnn_shape shape;
    cudnnHandle_t handle;
    descriptors graph;
    cudnnBackendDescriptor_t execution;
};

struct sn_cudnn {
    cudnnHandle_t handle; /* NULL: no GPU */
    descriptors own;
    cudnnBackendDescriptor_t device; /* where there is no GPU: what plans are made for */
    sn_cudnn_plan *plans;
};

/* Tensor cores want channels last: cuDNN copies what is given in another order. */
size_t sn_cudnn_workspace(const sn_cudnn_shape *shape)
{
    size_t bytes = WORKSPACE;
    if (shape->precision == SN_PRECISION_TF32)
        for (int part = 0; part < SN_CUDNN_PARTS; part++)
            bytes += sn_cudnn_tensor_bytes(shape, part);
    return bytes;
}

static cudnnBackendDescriptor_t begin(descriptors *made, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = NULL;
    if (made->status == CUDNN_STATUS_SUCCESS)
        made->status = cudnnBackendCreateDescriptor(type, &descriptor);
    assert(made->count < DESCRIPTORS);
    if (made->status == CUDNN_STATUS_SUCCESS)
        made->items[made->count++] = descriptor;
    return descriptor;
}

static void set(descriptors *made, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (made->status == CUDNN_STATUS_SUCCESS)
        made->status = cudnnBackendSetAttribute(descriptor, name, type, count, values);
}

static void set_descriptor(descriptors *made, cudnnBackendDescriptor_t descriptor,
                           cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value)
{
    set(made, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void end(descriptors *made, cudnnBackendDescriptor_t descriptor)
{
    if (made->status == CUDNN_STATUS_SUCCESS)
        made->status = cudnnBackendFinalize(descriptor);
}

static void get(descriptors *made, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t capacity, int64_t *count, void *values)
{
    *count = 0;
    if (made->status == CUDNN_STATUS_SUCCESS)
        made->status = cudnnBackendGetAttribute(descriptor, name, type, capacity, count, values);
    if (*count > capacity) /* it says how many there are */
        *count = capacity;
}

static void clear(descriptors *made)
{
    while (made->count > 0)
        cudnnBackendDestroyDescriptor(made->items[--made->count]);
    made->status = CUDNN_STATUS_SUCCESS;
}

/* Missing memory is told from everything else. */
static sn_status status_of(cudnnStatus_t failed, sn_status otherwise)
{
    return failed == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                   failed == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
               ? SN_ERR_MEMORY
               : otherwise;
}

/* By which cuDNN knows a tensor: none is 0. */
static int64_t id_of(sn_cudnn_part part)
{
    return (int64_t)part + 1;
}

/* Dense, in the order of axes that the precision wants in memory. */
static cudnnBackendDescriptor_t describe_tensor(descriptors *made, const sn_cudnn_shape *shape,
                                                sn_cudnn_part part)
{
    static const int plain[SN_DIMS] = {0, 1, 2, 3, 4}, channels_last[SN_DIMS] = {0, 2, 3, 4, 1};
    const bool is_bf16 = shape->precision == SN_PRECISION_BF16;
    const int *axes = is_bf16 ? channels_last : plain;
    const cudnnDataType_t type = is_bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const int64_t id = id_of(part), alignment = SN_CUDNN_TENSOR_ALIGNMENT;
    int64_t strides[SN_DIMS], stride = 1;
    for (int i = SN_DIMS - 1; i >= 0; i--) {
        strides[axes[i]] = stride;
        stride *= shape->extents[part][axes[i]];
    }
    cudnnBackendDescriptor_t tensor = begin(made, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(made, tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(made, tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(made, tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(made, tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, SN_DIMS, shape->extents[part]);
    set(made, tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, SN_DIMS, strides);
    end(made, tensor);
    return tensor;
}

static cudnnBackendDescriptor_t describe_convolution(descriptors *made, const sn_cudnn_shape *shape)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t axes = 3, dilation = shape->dilation, stride = shape->stride, pad = shape->pad;
    const int64_t dilations[] = {dilation, dilation, dilation}, strides[] = {stride, stride, stride};
    const int64_t pads[] = {pad, pad, pad};
    cudnnBackendDescriptor_t convolution = begin(made, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set(made, convolution, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(made, convolution, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(made, convolution, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
    set(made, convolution, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, axes, dilations);
    set(made, convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, axes, strides);
    set(made, convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, axes, pads);
    set(made, convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, axes, pads);
    end(made, convolution);
    return convolution;
}

/* The operation that gives each part, and its attributes. */
typedef struct operation_kind {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t convolution, parts[SN_CUDNN_PARTS], alpha, beta;
} operation_kind;

static const operation_kind operation_kinds[SN_CUDNN_PARTS] = {
    [SN_CUDNN_Y] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                    {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [SN_CUDNN_X] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                    {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [SN_CUDNN_W] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                    {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

/* The graph of the one operation: result = 1*convolution + 0*result. */
static cudnnBackendDescriptor_t describe_graph(descriptors *made, cudnnHandle_t handle,
                                               const sn_cudnn_shape *shape)
{
    const operation_kind *kind = &operation_kinds[shape->result];
    const float alpha = 1, beta = 0;
    cudnnBackendDescriptor_t convolution = describe_convolution(made, shape), tensors[SN_CUDNN_PARTS];
    for (int part = 0; part < SN_CUDNN_PARTS; part++)
        tensors[part] = describe_tensor(made, shape, part);
    cudnnBackendDescriptor_t operation = begin(made, kind->type);
    set_descriptor(made, operation, kind->convolution, convolution);
    for (int part = 0; part < SN_CUDNN_PARTS; part++)
        set_descriptor(made, operation, kind->parts[part], tensors[part]);
    set(made, operation, kind->alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    set(made, operation, kind->beta, CUDNN_TYPE_FLOAT, 1, &beta);
    end(made, operation);
    cudnnBackendDescriptor_t graph = begin(made, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (handle != NULL)
        set(made, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    set_descriptor(made, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
    end(made, graph);
    return graph;
}

static bool is_allowed(cudnnBackendNumericalNote_t note, sn_precision precision)
{
    switch (note) {
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
    case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        return false;
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        return precision != SN_PRECISION_FLOAT32;
    default:
        return true;
    }
}

/* Kernels that are in cuDNN's libraries, and those that it compiles when it makes a plan: that may take seconds, needs
 * files of CUDA that are not everywhere, and what comes of it depends on their version, too. */
typedef enum kernel_kind { BUILT_IN, COMPILED, KERNEL_KINDS } kernel_kind;

static kernel_kind kind_of(descriptors *made, cudnnBackendDescriptor_t engine)
{
    cudnnBackendBehaviorNote_t notes[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t count;
    kernel_kind kind = BUILT_IN;
    get(made, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
        CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &count, notes);
    for (int64_t i = 0; i < count; i++)
        if (notes[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
            kind = COMPILED;
    return kind;
}

/* Whether the engine of a candidate has such kernels, computes as the precision says, and always the same bits. */
static bool is_suitable(cudnnBackendDescriptor_t candidate, sn_precision precision, kernel_kind kind)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count;
    descriptors own = {.status = CUDNN_STATUS_SUCCESS};
    cudnnBackendDescriptor_t engine = begin(&own, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    get(&own, candidate, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine);
    get(&own, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
        CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes);
    bool suits = kind_of(&own, engine) == kind && own.status == CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; suits && i < count; i++)
        suits = is_allowed(notes[i], precision);
    clear(&own);
    return suits;
}

/* Why cuDNN failed last: "CUDNN_STATUS_NOT_SUPPORTED_SHAPE" and what it says beside that. */
static const char *explain(char reason[REASON], cudnnStatus_t failed)
{
    char more[REASON / 2] = "";
    cudnnGetLastErrorString(more, sizeof more);
    snprintf(reason, REASON, "%s%s%s", cudnnGetErrorString(failed), more[0] != '\0' ? ": " : "", more);
    return reason;
}

/* Memory that is missing now is no reason to compute in another way: SN_ERR_MEMORY, not SN_ERR_UNSUPPORTED. */
static sn_status refuse(const sn_cudnn_shape *shape, cudnnStatus_t failed, const char *reason,
                        sn_error *error)
{
    char text[SN_CUDNN_TEXT];
    const int version = sn_cudnn_version();
    sn_cudnn_shape_text(text, shape);
    return sn_error_set(error, status_of(failed, SN_ERR_UNSUPPORTED),
                        "cuDNN %d.%d.%d has no plan for a convolution: %s (%s)", version / 10000,
                        version / 100 % 100, version % 100, text, reason);
}

/* Take a candidate, if cuDNN makes a plan of it that needs no more workspace than there is. */
static sn_status take(sn_cudnn_plan *plan, const sn_cudnn *cudnn, cudnnBackendDescriptor_t candidate,
                      sn_error *error)
{
    char reason[REASON];
    int64_t count, workspace = 0;
    descriptors own = {.status = CUDNN_STATUS_SUCCESS};
    cudnnBackendDescriptor_t execution = begin(&own, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (cudnn->handle != NULL)
        set(&own, execution, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &cudnn->handle);
    else
        set_descriptor(&own, execution, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, cudnn->device);
    set_descriptor(&own, execution, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, candidate);
    end(&own, execution);
    get(&own, execution, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &workspace);
    sn_status status = SN_OK;
    if (own.status != CUDNN_STATUS_SUCCESS)
        status = refuse(&plan->shape, own.status, explain(reason, own.status), error);
    else if ((size_t)workspace > sn_cudnn_workspace(&plan->shape))
        status = refuse(&plan->shape, CUDNN_STATUS_NOT_SUPPORTED, "too much workspace", error);
    else
        plan->execution = execution;
    if (status != SN_OK)
        clear(&own);
    return status;
}

/* The engines that cuDNN would choose for a graph, the best first. */
static int64_t list_candidates(descriptors *made, const sn_cudnn *cudnn, cudnnBackendDescriptor_t graph,
                               cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t candidates[CANDIDATES])
{
    int64_t count;
    cudnnBackendDescriptor_t heuristics = begin(made, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    set_descriptor(made, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    set(made, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (cudnn->handle == NULL)
        set_descriptor(made, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, cudnn->device);
    end(made, heuristics);
    for (int i = 0; i < CANDIDATES; i++)
        candidates[i] = begin(made, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    get(made, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, CANDIDATES, &count,
        candidates);
    return count;
}

/* Take the first suitable candidate of a list with such kernels. SN_ERR_UNSUPPORTED where there is none. */
static sn_status take_first(sn_cudnn_plan *plan, const sn_cudnn *cudnn, cudnnBackendDescriptor_t graph,
                            cudnnBackendHeurMode_t mode, kernel_kind kind, sn_error *error)
{
    char reason[REASON];
    cudnnBackendDescriptor_t candidates[CANDIDATES];
    descriptors own = {.status = CUDNN_STATUS_SUCCESS};
    const int64_t count = list_candidates(&own, cudnn, graph, mode, candidates);
    sn_status status = SN_ERR_UNSUPPORTED;
    if (own.status != CUDNN_STATUS_SUCCESS)
        status = refuse(&plan->shape, own.status, explain(reason, own.status), error);
    for (int64_t i = 0; status == SN_ERR_UNSUPPORTED && i < count; i++)
        if (is_suitable(candidates[i], plan->shape.precision, kind))
            status = take(plan, cudnn, candidates[i], error);
    clear(&own); /* a plan has its own copy */
    return status;
}

/* What must be compiled is taken where there is nothing else at all. */
static sn_status choose(sn_cudnn_plan *plan, const sn_cudnn *cudnn, sn_error *error)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    char reason[REASON];
    cudnnBackendDescriptor_t graph = describe_graph(&plan->graph, cudnn->handle, &plan->shape);
    if (plan->graph.status != CUDNN_STATUS_SUCCESS)
        return refuse(&plan->shape, plan->graph.status, explain(reason, plan->graph.status), error);
    refuse(&plan->shape, CUDNN_STATUS_NOT_SUPPORTED, "none whose results are always the same", error);
    sn_status status = SN_ERR_UNSUPPORTED;
    for (int kind = BUILT_IN; kind < KERNEL_KINDS; kind++)
        for (int m = 0; m < 2 && status == SN_ERR_UNSUPPORTED; m++)
            status = take_first(plan, cudnn, graph, modes[m], kind, error);
    return status;
}

static void free_plan(sn_cudnn_plan *plan)
{
    if (plan == NULL)
        return;
    if (plan->execution != NULL)
        cudnnBackendDestroyDescriptor(plan->execution);
    clear(&plan->graph);
    sn_free(plan);
}

sn_status sn_cudnn_plan_get(const sn_cudnn_plan **plan, sn_cudnn *cudnn, const sn_cudnn_shape *shape,
                            sn_error *error)
{
    sn_status status;
    sn_cudnn_plan *made = NULL;
    for (*plan = cudnn->plans; *plan != NULL; *plan = (*plan)->next)
        if (sn_cudnn_shape_equal(&(*plan)->shape, shape))
            return SN_OK;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->shape = *shape;
    made->handle = cudnn->handle;
    SN_TRY(choose(made, cudnn, error));
    made->next = cudnn->plans;
    *plan = cudnn->plans = made;
    made = NULL;
done:
    free_plan(made);
    return status;
}

sn_status sn_cudnn_plan_run(const sn_cudnn_plan *plan, void *const data[SN_CUDNN_PARTS], void *workspace,
                            sn_error *error)
{
    const int64_t ids[SN_CUDNN_PARTS] = {id_of(SN_CUDNN_X), id_of(SN_CUDNN_W), id_of(SN_CUDNN_Y)};
    char reason[REASON], text[SN_CUDNN_TEXT];
    descriptors own = {.status = CUDNN_STATUS_SUCCESS};
    cudnnBackendDescriptor_t pack = begin(&own, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set(&own, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, SN_CUDNN_PARTS, ids);
    set(&own, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, SN_CUDNN_PARTS, data);
    set(&own, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    end(&own, pack);
    if (own.status == CUDNN_STATUS_SUCCESS)
        own.status = cudnnBackendExecute(plan->handle, plan->execution, pack);
    sn_status status = SN_OK;
    if (own.status != CUDNN_STATUS_SUCCESS) {
        sn_cudnn_shape_text(text, &plan->shape);
        status = sn_error_set(error, status_of(own.status, SN_ERR_FAILED), "cuDNN: %s, in a convolution: %s",
                              explain(reason, own.status), text);
    }
    clear(&own);
    return status;
}

int sn_cudnn_version(void)
{
    return (int)cudnnGetVersion();
}

/* cuDNN loads cuBLAS when it needs it, and ends the process where that is missing. */
static sn_status load_cublas(sn_error *error)
{
    char name[32];
    snprintf(name, sizeof name, "libcublasLt.so.%d", (int)(cudnnGetCudartVersion() / 1000));
    if (dlopen(name, RTLD_LAZY | RTLD_GLOBAL) != NULL) /* stays loaded */
        return SN_OK;
    return sn_error_set(error, SN_ERR_UNSUPPORTED, "cuDNN needs NVIDIA's cuBLAS: %s", dlerror());
}

static sn_status open_handle(sn_cudnn *cudnn, cudaStream_t stream, sn_error *error)
{
    cudnnStatus_t failed = cudnnCreate(&cudnn->handle);
    if (failed == CUDNN_STATUS_SUCCESS)
        failed = cudnnSetStream(cudnn->handle, stream);
    if (failed == CUDNN_STATUS_SUCCESS)
        return SN_OK;
    char reason[REASON];
    explain(reason, failed);
    return sn_error_set(error, status_of(failed, SN_ERR_UNSUPPORTED), "cuDNN cannot be used: %s", reason);
}

static sn_status describe_device(sn_cudnn *cudnn, const char *json, sn_error *error)
{
    descriptors *own = &cudnn->own;
    cudnn->device = begin(own, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    set(own, cudnn->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json),
        json);
    end(own, cudnn->device);
    if (own->status == CUDNN_STATUS_SUCCESS)
        return SN_OK;
    const bool is_library = own->status == CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED;
    char reason[REASON];
    explain(reason, own->status);
    return sn_error_set(error, is_library ? SN_ERR_UNSUPPORTED : SN_ERR_ARG,
                        "cuDNN cannot make plans for this device: %s", reason);
}

/* For the current GPU, or to make plans for a device that is described. */
static sn_status open_for(sn_cudnn **cudnn, cudaStream_t stream, const char *device, sn_error *error)
{
    sn_status status;
    sn_cudnn *made = NULL;
    *cudnn = NULL;
    if (sn_cudnn_version() < CUDNN_OLDEST)
        return sn_error_set(error, SN_ERR_UNSUPPORTED, "cuDNN %d is loaded, and 9.8 or later is needed",
                            sn_cudnn_version());
    SN_TRY(load_cublas(error));
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    if (device == NULL)
        SN_TRY(open_handle(made, stream, error));
    else
        SN_TRY(describe_device(made, device, error));
    *cudnn = made;
    made = NULL;
done:
    sn_cudnn_close(made);
    return status;
}

sn_status sn_cudnn_open(sn_cudnn **cudnn, cudaStream_t stream, sn_error *error)
{
    return open_for(cudnn, stream, NULL, error);
}

sn_status sn_cudnn_open_for(sn_cudnn **cudnn, const char *device, sn_error *error)
{
    return open_for(cudnn, NULL, device, error);
}

void sn_cudnn_close(sn_cudnn *cudnn)
{
    if (cudnn == NULL)
        return;
    while (cudnn->plans != NULL) {
        sn_cudnn_plan *plan = cudnn->plans;
        cudnn->plans = plan->next;
        free_plan(plan);
    }
    clear(&cudnn->own);
    if (cudnn->handle != NULL)
        cudnnDestroy(cudnn->handle);
    sn_free(cudnn);
}
