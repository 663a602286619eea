#include "backend/cuda/gpu.h"

#include <stdio.h>

#include "backend/cuda/runtime.h"

/* CUDA's numbers of versions: 13000 is 13.0. */
static int major_of(int version)
{
    return version / 1000;
}

static int minor_of(int version)
{
    return version % 1000 / 10;
}

static void explain(char reason[SN_REASON_TEXT], cudaError_t code)
{
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
        snprintf(reason, SN_REASON_TEXT, "no NVIDIA driver is installed");
    else if (code == cudaErrorInsufficientDriver)
        snprintf(reason, SN_REASON_TEXT,
                 "the NVIDIA driver is for CUDA %d.%d, this build needs %d.%d; install a newer driver",
                 major_of(driver), minor_of(driver), major_of(runtime), minor_of(runtime));
    else if (code == cudaErrorNoDevice || code == cudaSuccess)
        snprintf(reason, SN_REASON_TEXT, "the NVIDIA driver finds no GPU");
    else
        snprintf(reason, SN_REASON_TEXT, "%s", cudaGetErrorString(code));
}

int sn_cuda_count(char reason[SN_REASON_TEXT])
{
    int count = 0;
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaSuccess && count > 0)
        return count;
    explain(reason, code);
    return 0;
}

bool sn_cuda_lacks_kernels(cudaError_t code)
{
    return code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction ||
           code == cudaErrorUnsupportedPtxVersion;
}

static void find_problem(sn_gpu *gpu, cudaError_t code)
{
    if (sn_cuda_lacks_kernels(code))
        snprintf(gpu->problem, SN_REASON_TEXT,
                 "this build has no kernels for compute capability %d.%d; build for it with "
                 "-DCMAKE_CUDA_ARCHITECTURES=%d%d",
                 gpu->major, gpu->minor, gpu->major, gpu->minor);
    else if (code != cudaSuccess)
        snprintf(gpu->problem, SN_REASON_TEXT, "%s", cudaGetErrorString(code));
    cudaGetLastError(); /* what was said once is not said again */
}

void sn_cuda_identify(sn_gpu *gpu, int index)
{
    struct cudaDeviceProp properties;
    *gpu = (sn_gpu){.problem = ""};
    cudaError_t code = cudaGetDeviceProperties(&properties, index);
    if (code == cudaSuccess) {
        snprintf(gpu->name, sizeof gpu->name, "%.127s", properties.name);
        gpu->major = properties.major;
        gpu->minor = properties.minor;
        gpu->total_bytes = properties.totalGlobalMem;
    }
    find_problem(gpu, code);
}

void sn_cuda_describe(sn_gpu *gpu, int index, bool keep)
{
    sn_cuda_identify(gpu, index);
    if (gpu->problem[0] != '\0')
        return;
    cudaError_t code = cudaSetDevice(index);
    const bool started = code == cudaSuccess;
    if (code == cudaSuccess)
        code = cudaMemGetInfo(&gpu->free_bytes, &gpu->total_bytes);
    if (code == cudaSuccess)
        code = sn_cuda_probe();
    if (started && !keep)
        cudaDeviceReset();
    find_problem(gpu, code);
}
