/* segnas3d devices: what can compute here, and why what cannot does not. */
#include <jansson.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/options.h"

typedef struct host_facts {
    const char *kernels; /* the vector instructions in use, and the revision of the kernels */
    int cores;
    int64_t bytes; /* of memory, that this process may use */
} host_facts;

static sn_status parse(bool *json, int argc, char **argv, sn_error *error)
{
    const cli_option table[] = {
        {.name = "json", .kind = CLI_FLAG, .target = json, .help = "print JSON"},
        {.name = NULL},
    };
    const cli_syntax syntax = {
        .command = "devices",
        .usage = "[--json]",
        .about =
            "Lists what --device can name on this machine: the processor and each GPU, with its memory, and "
            "why one cannot be used; or why there is no GPU, and what to do about it.",
        .options = table,
    };
    int operands;
    return cli_parse(&operands, &syntax, argc, argv, error);
}

static sn_status host_describe(host_facts *host, sn_error *error)
{
    const sn_backend *backend;
    sn_device *device;
    sn_status status = sn_device_open(&backend, &device, "cpu", SN_PRECISION_AUTO, 1, error);
    if (status != SN_OK)
        return status;
    *host = (host_facts){backend->kernels(device), sn_threads_default(), sn_memory_available()};
    sn_device_close(backend, device);
    return SN_OK;
}

static void print_text(const host_facts *host, const sn_cuda_plugin *plugin, int gpus, const char *fault)
{
    printf("%-10sthis processor, %s, %d core%s, %.1f GiB\n", "cpu", host->kernels, host->cores,
           host->cores == 1 ? "" : "s", (double)host->bytes / 0x1p30);
    for (int i = 0; i < gpus; i++) {
        sn_gpu gpu = {.problem = ""};
        char name[SN_DEVICE_NAME];
        plugin->describe(&gpu, i);
        snprintf(name, sizeof name, "cuda:%d", i);
        printf("%-10s%s, compute capability %d.%d, %.1f of %.1f GiB free", name, gpu.name, gpu.major,
               gpu.minor, (double)gpu.free_bytes / 0x1p30, (double)gpu.total_bytes / 0x1p30);
        if (gpu.problem[0] != '\0')
            printf("; cannot be used: %s", gpu.problem);
        putchar('\n');
    }
    if (gpus == 0)
        printf("%-10snone: %s\n", "cuda", fault);
}

static void print_json(const host_facts *host, const sn_cuda_plugin *plugin, int gpus, const char *fault)
{
    json_t *list = json_array();
    json_t *root = json_pack("{s:{s:s, s:i, s:I}, s:o}", "cpu", "kernels", host->kernels, "cores",
                             host->cores, "memory_bytes", (json_int_t)host->bytes, "gpus", list);
    for (int i = 0; i < gpus; i++) {
        sn_gpu gpu = {.problem = ""};
        plugin->describe(&gpu, i);
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:[ii], s:I, s:I, s:o}", "index", i, "name", gpu.name,
                            "compute_capability", gpu.major, gpu.minor, "total_bytes",
                            (json_int_t)gpu.total_bytes, "free_bytes", (json_int_t)gpu.free_bytes, "problem",
                            gpu.problem[0] == '\0' ? json_null() : json_string(gpu.problem)));
    }
    json_object_set_new(root, "no_gpu_because", gpus == 0 ? json_string(fault) : json_null());
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

sn_status cmd_devices(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    bool json = false;
    host_facts host;
    const sn_cuda_plugin *plugin = NULL;
    int gpus;
    sn_error fault = SN_ERROR_INIT;
    (void)context;
    SN_TRY(parse(&json, argc, argv, error));
    SN_TRY(host_describe(&host, error));
    sn_gpus_find(&plugin, &gpus, &fault); /* that there is none is an answer, no error */
    if (json)
        print_json(&host, plugin, gpus, fault.text);
    else
        print_text(&host, plugin, gpus, fault.text);
done:
    return status;
}
