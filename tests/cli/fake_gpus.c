/*
 * A plug-in as segnas3d-cuda.so whose GPUs are made up and compute as ref does: for tests of what the program
 * makes of GPUs. The environment variable FAKE_GPUS lists them, "9.0:4096 7.5:2048": compute capability and free MiB;
 * without memory one is broken. FAKE_FAILURE, "1:20", is of GPU 1 in its 20th run of a program; "1:20:9" raises signal 9
 * there. Each device that is opened is told on standard error.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/plugin.h"

static const char *list(void)
{
    const char *gpus = getenv("FAKE_GPUS");
    return gpus == NULL ? "" : gpus;
}

static int fake_count(char reason[SN_REASON_TEXT])
{
    int count = 0;
    for (const char *at = list(); *at != '\0'; at++)
        count += *at == ':';
    snprintf(reason, SN_REASON_TEXT, "there is no driver");
    return count;
}

static void fake_identify(sn_gpu *gpu, int index)
{
    const char *at = list();
    size_t mebibytes = 0;
    for (int i = 0; i < index && at != NULL; i++)
        at = strchr(at, ' ') + 1;
    sscanf(at, "%d.%d:%zu", &gpu->major, &gpu->minor, &mebibytes);
    snprintf(gpu->name, sizeof gpu->name, "Fake %d", index);
    gpu->total_bytes = mebibytes << 20;
}

static void fake_describe(sn_gpu *gpu, int index)
{
    fake_identify(gpu, index);
    gpu->free_bytes = gpu->total_bytes;
    snprintf(gpu->problem, sizeof gpu->problem, "%s", gpu->free_bytes == 0 ? "it is broken" : "");
}

/* As of CUDA, a thread has a current GPU: the one that it opened last. */
static _Thread_local int current, runs;

static sn_status fake_open(sn_device **device, const sn_device_options *options, sn_error *error)
{
    fprintf(stderr, "fake GPU %d opened, precision %d\n", options->index, options->precision);
    current = options->index;
    runs = 0;
    return sn_backend_ref.open(device, options, error);
}

/* One for each compute capability. */
static const char *fake_kernels(const sn_device *device)
{
    static _Thread_local char kernels[32];
    sn_gpu gpu = {.problem = ""};
    (void)device;
    fake_describe(&gpu, current);
    snprintf(kernels, sizeof kernels, "fake %d.%d", gpu.major, gpu.minor);
    return kernels;
}

/* A fake's memory is the host's. */
static void fake_copy(sn_device *device, sn_buffer *to, size_t to_offset, const sn_buffer *from,
                      size_t from_offset, size_t bytes)
{
    void *data = malloc(bytes);
    sn_backend_ref.download(device, from, from_offset, data, bytes);
    sn_backend_ref.upload(device, to, to_offset, data, bytes);
    free(data);
}

static sn_status fake_program_run(sn_device *device, sn_program *program, sn_error *error)
{
    int gpu = -1, run = 0, number = 0;
    const char *failure = getenv("FAKE_FAILURE");
    if (failure != NULL && sscanf(failure, "%d:%d:%d", &gpu, &run, &number) >= 2 && gpu == current &&
        ++runs == run && (number == 0 || raise(number) != 0))
        return sn_error_set(error, SN_ERR_FAILED, "cuda: a program: it fell off the bus");
    return sn_backend_ref.program_run(device, program, error);
}

static sn_backend fake_backend;

extern const sn_cuda_plugin fake_plugin __asm__(SN_CUDA_PLUGIN);
const sn_cuda_plugin fake_plugin = {SN_CUDA_PLUGIN_VERSION, &fake_backend, fake_count, fake_identify,
                                    fake_describe};

__attribute__((constructor)) static void fake_backend_fill(void)
{
    fake_backend = sn_backend_ref;
    fake_backend.name = "cuda";
    fake_backend.open = fake_open;
    fake_backend.kernels = fake_kernels;
    fake_backend.copy = fake_copy;
    fake_backend.program_run = fake_program_run;
}
