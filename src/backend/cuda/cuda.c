/* The cuda backend: an NVIDIA GPU, with cuDNN for convolutions and own kernels for all else, in float, of values in
 * float32 or bf16. */
#include <assert.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/conv.h"
#include "backend/cuda/device.h"
#include "backend/cuda/gpu.h"
#include "base/memory.h"

/* ---- errors and memory ---- */

sn_status sn_cuda_check(cudaError_t code, const char *what, sn_error *error)
{
    if (code == cudaSuccess)
        return SN_OK;
    sn_status status = code == cudaErrorMemoryAllocation ? SN_ERR_MEMORY
                       : sn_cuda_lacks_kernels(code)     ? SN_ERR_UNSUPPORTED
                                                         : SN_ERR_FAILED;
    cudaGetLastError(); /* what was said once is not said again */
    return sn_error_set(error, status, "cuda: %s: %s", what, cudaGetErrorString(code));
}

sn_status sn_cuda_alloc(sn_device *device, void *out, size_t bytes, sn_error *error)
{
    size_t free_bytes = 0, total_bytes = 0;
    void *data = NULL;
    memset(out, 0, sizeof data);
    cudaError_t code = cudaMalloc(&data, bytes);
    if (code == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        cudaMemGetInfo(&free_bytes, &total_bytes);
        return sn_error_set(error, SN_ERR_MEMORY,
                            "GPU %d is out of memory: %zu bytes asked for, %zu of %zu are free",
                            device->index, bytes, free_bytes, total_bytes);
    }
    if (code == cudaSuccess && bytes > 0)
        code = cudaMemsetAsync(data, 0, bytes, device->stream);
    memcpy(out, &data, sizeof data);
    return sn_cuda_check(code, "memory", error);
}

static void cuda_free(sn_device *device, sn_buffer *buffer)
{
    if (buffer == NULL)
        return;
    cudaSetDevice(device->index);
    cudaFree(buffer->data);
    sn_free(buffer);
}

static sn_status cuda_alloc(sn_device *device, sn_buffer **buffer, size_t bytes, sn_error *error)
{
    sn_status status;
    sn_buffer *made = NULL;
    *buffer = NULL;
    SN_TRY(sn_cuda_start(device, error));
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    SN_TRY(sn_cuda_alloc(device, &made->data, bytes, error));
    made->bytes = bytes;
    *buffer = made;
    made = NULL; /* now the caller's */
done:
    cuda_free(device, made);
    return status;
}

/* ---- devices ---- */

/* Devices of this process that have something on a GPU; threads may open some at once. */
static atomic_int started;

static void cuda_close(sn_device *device)
{
    if (device == NULL)
        return;
    if (device->stream != NULL) {
        cudaSetDevice(device->index);
        cudaStreamSynchronize(device->stream);
        sn_cudnn_close(device->cudnn);
        sn_cuda_staging_close(&device->staging);
        for (int i = 0; i < SN_CUDA_AHEAD; i++)
            if (device->ran[i] != NULL)
                cudaEventDestroy(device->ran[i]);
        cudaStreamDestroy(device->stream);
        started--;
    }
    sn_free(device);
}

sn_status sn_cuda_start(sn_device *device, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_cuda_check(cudaSetDevice(device->index), "a device", error));
    if (device->cudnn != NULL)
        return SN_OK;
    SN_TRY(sn_cuda_check(sn_cuda_probe(), "a device", error));
    if (device->stream == NULL) {
        SN_TRY(sn_cuda_check(cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking), "a stream",
                             error));
        started++;
    }
    if (device->staging.memory == NULL)
        SN_TRY(sn_cuda_check(sn_cuda_staging_open(&device->staging, device->stream), "pinned memory", error));
    for (int i = 0; i < SN_CUDA_AHEAD; i++)
        if (device->ran[i] == NULL)
            SN_TRY(sn_cuda_check(cudaEventCreateWithFlags(&device->ran[i], cudaEventDisableTiming),
                                 "an event", error));
    SN_TRY(sn_cudnn_open(&device->cudnn, device->stream, error));
done:
    return status;
}

/* The GPU, if it is there and can be used. */
static sn_status find_gpu(sn_gpu *gpu, int index, sn_error *error)
{
    char reason[SN_REASON_TEXT];
    int count = sn_cuda_count(reason);
    if (count == 0)
        return sn_error_set(error, SN_ERR_UNSUPPORTED, "cuda: %s", reason);
    if (index < 0 || index >= count)
        return sn_error_set(error, SN_ERR_ARG, "cuda:%d does not exist; there are %d GPUs, counted from 0",
                            index, count);
    sn_cuda_identify(gpu, index);
    if (gpu->problem[0] != '\0')
        return sn_error_set(error, SN_ERR_UNSUPPORTED, "cuda:%d: %s", index, gpu->problem);
    return SN_OK;
}

static sn_status choose_precision(sn_device *device, const sn_gpu *gpu, sn_precision wanted, sn_error *error)
{
    const bool has_both = sn_gpu_has_bf16(gpu);
    if (wanted == SN_PRECISION_AUTO)
        wanted = has_both ? SN_PRECISION_BF16 : SN_PRECISION_FLOAT32;
    if (!has_both && wanted != SN_PRECISION_FLOAT32)
        return sn_error_set(error, SN_ERR_UNSUPPORTED,
                            "cuda:%d, %s of compute capability %d.%d, has float32 only", device->index,
                            gpu->name, gpu->major, gpu->minor);
    device->precision = wanted;
    return SN_OK;
}

/* Whatever changes the bits of a result. */
static void name_kernels(sn_device *device, const sn_gpu *gpu)
{
    int version = sn_cudnn_version();
    snprintf(device->kernels, sizeof device->kernels, "%s, cuDNN %d.%d.%d, %s, kernels %d", gpu->name,
             version / 10000, version / 100 % 100, version % 100, sn_precision_name(device->precision),
             SN_CUDA_REVISION);
}

static sn_status cuda_open(sn_device **device, const sn_device_options *options, sn_error *error)
{
    sn_status status;
    sn_device *made = NULL;
    sn_gpu gpu;
    *device = NULL;
    SN_TRY(find_gpu(&gpu, options->index, error));
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->index = options->index;
    SN_TRY(choose_precision(made, &gpu, options->precision, error));
    name_kernels(made, &gpu);
    *device = made;
    made = NULL; /* now the caller's */
done:
    cuda_close(made);
    return status;
}

static void cuda_describe(sn_gpu *gpu, int index)
{
    sn_cuda_describe(gpu, index, started > 0);
}

static sn_dtype cuda_values(const sn_device *device)
{
    return device->precision == SN_PRECISION_BF16 ? SN_BF16 : SN_F32;
}

static const char *cuda_kernels(const sn_device *device)
{
    return device->kernels;
}

/* ---- copies ---- */

/* Keep the first error of functions that have no status. */
static bool succeeds(sn_device *device, cudaError_t code)
{
    if (device->broken == cudaSuccess)
        device->broken = code;
    return device->broken == cudaSuccess;
}

static void cuda_upload(sn_device *device, sn_buffer *buffer, size_t offset, const void *data, size_t bytes)
{
    assert(offset + bytes <= buffer->bytes);
    if (succeeds(device, cudaSetDevice(device->index)))
        succeeds(device, sn_cuda_send(&device->staging, buffer->data + offset, data, bytes));
}

/* Where the device is broken all bits are set, which is NaN: nothing that could pass for a result. */
static void cuda_download(sn_device *device, const sn_buffer *buffer, size_t offset, void *data, size_t bytes)
{
    assert(offset + bytes <= buffer->bytes);
    if (!succeeds(device, cudaSetDevice(device->index)) ||
        !succeeds(device, sn_cuda_receive(&device->staging, data, buffer->data + offset, bytes)))
        memset(data, 0xFF, bytes);
}

static void cuda_copy(sn_device *device, sn_buffer *to, size_t to_offset, const sn_buffer *from,
                      size_t from_offset, size_t bytes)
{
    assert(to_offset + bytes <= to->bytes && from_offset + bytes <= from->bytes);
    if (succeeds(device, cudaSetDevice(device->index)))
        succeeds(device, cudaMemcpyAsync(to->data + to_offset, from->data + from_offset, bytes,
                                         cudaMemcpyDeviceToDevice, device->stream));
}

static sn_status cuda_synchronise(sn_device *device, sn_error *error)
{
    if (device->stream != NULL)
        succeeds(device, cudaStreamSynchronize(device->stream));
    return sn_cuda_check(device->broken, "an earlier operation", error);
}

/* ---- operations ---- */

/* Kernels number the voxels of a channel with int. */
static bool is_small(const sn_operand *operands, int count)
{
    bool small = true;
    for (int i = 0; i < count; i++)
        small = small && sn_tensor_voxels(&operands[i].desc) <= INT_MAX - SN_CUDA_PART;
    return small;
}

bool sn_cuda_supports(sn_device *device, const sn_op *op, char reason[SN_REASON_TEXT])
{
    const char *name = sn_op_describe(op->kind)->name;
    if (sn_op_real(op) == SN_F64)
        snprintf(reason, SN_REASON_TEXT, "%s: the cuda backend computes in f32 and bf16, not f64", name);
    else if (sn_op_weights(op) != NULL && op->inputs[0].desc.dtype != cuda_values(device))
        snprintf(reason, SN_REASON_TEXT, "%s: at precision %s the cuda backend has other values", name,
                 sn_precision_name(device->precision));
    else if (!is_small(op->inputs, op->input_count) || !is_small(op->outputs, op->output_count))
        snprintf(reason, SN_REASON_TEXT, "%s: the cuda backend has at most 2^31 voxels a channel", name);
    else
        return true;
    return false;
}

size_t sn_cuda_device_workspace(sn_device *device, const sn_op *op)
{
    return sn_cuda_kernels[op->kind] == NULL ? sn_cuda_conv_workspace(op, device->precision)
                                             : sn_cuda_workspace(op);
}

static const sn_backend backend = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .kernels = cuda_kernels,
    .values = cuda_values,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .copy = cuda_copy,
    .synchronise = cuda_synchronise,
    .supports = sn_cuda_supports,
    .workspace = sn_cuda_device_workspace,
    .program_create = sn_cuda_program_create,
    .program_free = sn_cuda_program_free,
    .program_run = sn_cuda_program_run,
};

/* What the program finds; in C the name itself is that of the type. */
const sn_cuda_plugin exported __asm__(SN_CUDA_PLUGIN) = {
    .version = SN_CUDA_PLUGIN_VERSION,
    .backend = &backend,
    .count = sn_cuda_count,
    .identify = sn_cuda_identify,
    .describe = cuda_describe,
};
