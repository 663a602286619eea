/**
 * A stand-in for CUDA's runtime, as far as the cuda backend uses it, so that the backend and its kernels can be
 * built by an ordinary C++ compiler and tested without a GPU.
 *
 * "Device" memory is host memory. What is enqueued waits in a queue, in order, until something waits for it: so
 * what is used too early or changed too early gives wrong results here too. A graph is a recorded piece of queue.
 */
#ifndef TESTS_BACKEND_CUDA_HOST_CUDA_RUNTIME_API_H
#define TESTS_BACKEND_CUDA_HOST_CUDA_RUNTIME_API_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorInvalidDeviceFunction = 98,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNoKernelImageForDevice = 209,
    cudaErrorUnsupportedPtxVersion = 222,
    cudaErrorLaunchFailure = 719,
} cudaError_t;

const char *cudaGetErrorString(cudaError_t code);
cudaError_t cudaGetLastError(void);

/* ---- devices ---- */

struct cudaDeviceProp {
    char name[256];
    int major, minor;
    size_t totalGlobalMem;
};

cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceReset(void);

struct cudaFuncAttributes {
    int unused;
};

/* ---- memory ---- */

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocHost(void **memory, size_t bytes);
cudaError_t cudaFreeHost(void *memory);

/* ---- streams, events, graphs ---- */

typedef struct cuda_host_stream *cudaStream_t;
typedef struct cuda_host_event *cudaEvent_t;
typedef struct cuda_host_graph *cudaGraph_t, *cudaGraphExec_t;

enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*function)(void *), void *argument);

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

/* ---- for tests ---- */

/* The machine that is played; tests change it. */
extern struct cuda_host {
    int gpus;
    int major, minor;
    int driver;          /* version; 0: there is none */
    size_t memory;       /* bytes on each GPU */
    size_t refused;      /* a piece of so many bytes is not given; 0: any is */
    cudaError_t kernels; /* what is wrong with those of the build on the GPU */
    cudaError_t fault;   /* what has gone wrong on the GPU: all that is asked of it fails */
    bool records;        /* streams can be recorded */
    /* What happened, counted. */
    unsigned contexts; /* bit i: the process has one on GPU i */
    size_t used;       /* bytes of device memory */
    int launches;      /* kernels that ran */
    int waits;         /* how often the host waited for the device */
    size_t sent;       /* bytes from the host to the device */
} cuda_host;

#ifdef __cplusplus
}
#endif

#endif
