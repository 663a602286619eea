/* The stand-in for CUDA's runtime: memory, and the queue of what is to be done. */
#include <stdlib.h>

#include <deque>
#include <map>
#include <vector>

#include "block.h"
#include "cuda_runtime.h"

static const size_t gigabyte = (size_t)1 << 30;

struct cuda_host cuda_host = {1, 9, 0, 13000, 4 * gigabyte, 0, cudaSuccess, cudaSuccess, true, 0, 0, 0, 0, 0};

/* What is to be done, and until which it has been. */
typedef std::function<void()> task;
static std::deque<task> queue;
static long long enqueued, done;

struct cuda_host_graph {
    std::vector<task> tasks;
};

struct cuda_host_stream {
    cuda_host_graph *recording; /* where tasks go instead of the queue; NULL: no recording */
};

struct cuda_host_event {
    long long after; /* so many tasks */
};

static void run_until(long long last)
{
    cuda_host.waits += done < last;
    while (done < last) {
        queue.front()();
        queue.pop_front();
        done++;
    }
}

static cudaError_t enqueue(cudaStream_t stream, task what)
{
    if (stream->recording != NULL) {
        stream->recording->tasks.push_back(what);
    } else {
        queue.push_back(what);
        enqueued++;
    }
    return cuda_host.fault;
}

cudaError_t cuda_host_enqueue(cudaStream_t stream, unsigned blocks, unsigned threads,
                              std::function<void()> thread)
{
    if (blocks == 0 || threads == 0)
        return cudaErrorInvalidValue;
    return enqueue(stream, [=] {
        cuda_host.launches++;
        cuda_host_run(blocks, threads, thread);
    });
}

const char *cudaGetErrorString(cudaError_t code)
{
    switch (code) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorInvalidDeviceFunction:
        return "invalid device function";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorNoKernelImageForDevice:
        return "no kernel image is available for execution on the device";
    case cudaErrorUnsupportedPtxVersion:
        return "the provided PTX was compiled with an unsupported toolchain.";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    }
    return "unknown error";
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

/* ---- devices ---- */

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = cuda_host.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    if (cuda_host.driver < 13000)
        return cudaErrorInsufficientDriver;
    *count = cuda_host.gpus;
    return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
}

static int current; /* the GPU that calls are about */

/* Begins a context where there is none, as each call does that needs one. */
static cudaError_t need_context(void)
{
    cuda_host.contexts |= 1u << current;
    return cudaSuccess;
}

static cudaError_t check_device(int device)
{
    return device >= 0 && device < cuda_host.gpus ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaSetDevice(int device)
{
    cudaError_t code = check_device(device);
    if (code != cudaSuccess)
        return code;
    current = device;
    return need_context();
}

cudaError_t cudaDeviceReset(void)
{
    cuda_host.contexts &= ~(1u << current);
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    *properties = cudaDeviceProp{"stand-in", cuda_host.major, cuda_host.minor, cuda_host.memory};
    return check_device(device);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function)
{
    (void)function;
    need_context();
    *attributes = cudaFuncAttributes{0};
    return cuda_host.kernels;
}

/* ---- memory ---- */

/* Sizes of all pieces by where they begin; those of host memory are pinned. */
static std::map<const char *, size_t> device_memory, host_memory;

static bool lies_in(const std::map<const char *, size_t> &memory, const void *from, size_t bytes)
{
    auto after = memory.upper_bound((const char *)from);
    if (after == memory.begin())
        return false;
    auto piece = std::prev(after);
    return (const char *)from + bytes <= piece->first + piece->second;
}

static cudaError_t allocate(std::map<const char *, size_t> &memory, void **out, size_t bytes)
{
    const size_t alignment = 256, rounded = (bytes + alignment - 1) / alignment * alignment;
    *out = NULL;
    if (bytes == 0)
        return cudaSuccess;
    *out = aligned_alloc(alignment, rounded);
    if (*out == NULL)
        return cudaErrorMemoryAllocation;
    memset(*out, 0xFF, rounded); /* nothing that could pass for a value */
    memory[(const char *)*out] = bytes;
    return cudaSuccess;
}

static cudaError_t release(std::map<const char *, size_t> &memory, void *piece)
{
    run_until(enqueued);
    if (piece != NULL && memory.erase((const char *)piece) == 0)
        return cudaErrorInvalidValue;
    free(piece);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    need_context();
    *total_bytes = cuda_host.memory;
    *free_bytes = cuda_host.memory - cuda_host.used;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    need_context();
    *memory = NULL;
    if (bytes > cuda_host.memory - cuda_host.used || (bytes > 0 && bytes == cuda_host.refused))
        return cudaErrorMemoryAllocation;
    cudaError_t code = allocate(device_memory, memory, bytes);
    cuda_host.used += code == cudaSuccess ? bytes : 0;
    return code;
}

cudaError_t cudaFree(void *memory)
{
    auto piece = device_memory.find((const char *)memory);
    cuda_host.used -= piece == device_memory.end() ? 0 : piece->second;
    return release(device_memory, memory);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    return allocate(host_memory, memory, bytes);
}

cudaError_t cudaFreeHost(void *memory)
{
    return release(host_memory, memory);
}

/* ---- streams, events, graphs ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    need_context();
    *stream = new cuda_host_stream{NULL};
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    run_until(enqueued);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (stream->recording != NULL)
        return cudaErrorInvalidValue;
    run_until(enqueued);
    return cuda_host.fault;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    auto &target = kind == cudaMemcpyDeviceToHost ? host_memory : device_memory;
    auto &source = kind == cudaMemcpyHostToDevice ? host_memory : device_memory;
    if (!lies_in(target, to, bytes) || !lies_in(source, from, bytes))
        return cudaErrorInvalidValue;
    cuda_host.sent += kind == cudaMemcpyHostToDevice ? bytes : 0;
    return enqueue(stream, [=] { memcpy(to, from, bytes); });
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    if (!lies_in(device_memory, to, bytes))
        return cudaErrorInvalidValue;
    return enqueue(stream, [=] { memset(to, value, bytes); });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*function)(void *), void *argument)
{
    return enqueue(stream, [=] { function(argument); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = new cuda_host_event{0};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (stream->recording != NULL)
        return cudaErrorInvalidValue;
    event->after = enqueued;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    run_until(event->after);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)mode;
    if (stream->recording != NULL || !cuda_host.records)
        return cudaErrorInvalidValue;
    stream->recording = new cuda_host_graph;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = stream->recording;
    stream->recording = NULL;
    return *graph == NULL ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    *executable = new cuda_host_graph(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream)
{
    (void)executable;
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    for (const task &each : executable->tasks)
        enqueue(stream, each);
    return cuda_host.fault;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    delete executable;
    return cudaSuccess;
}
