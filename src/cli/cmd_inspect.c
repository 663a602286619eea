/* segnas3d inspect: what a network is and what it costs, before it is trained. */
#include <jansson.h>
#include <stdio.h>

#include "arch/build.h"
#include "arch/draw.h"
#include "backend/backend.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/options.h"
#include "nn/plan.h"

typedef struct inspect_options {
    const char *arch, *net, *device;
    int64_t size[3], classes, channels;
    bool json, dot;
} inspect_options;

/* What `inspect` says of a network. */
typedef struct network_facts {
    char *text; /* the architecture as --arch takes it */
    bool legal;
    char reason[SN_ARCH_REASON]; /* why it is not legal */
    char key[SN_HASH_TEXT];
    sn_arch_summary summary;
    size_t predict_peak_bytes;
} network_facts;

static sn_status parse(inspect_options *options, int argc, char **argv, sn_error *error)
{
    const cli_option table[] = {
        {"arch", 'a', CLI_TEXT, "TEXT", &options->arch,
         "a SegNAS network, \"n=16 p=3 sup=1 res=1 nodes=3 ops=2,0,2\"; what is left out is as here", 0, 0,
         false},
        {"net", 0, CLI_CHOICE, "unet3d|vnet", &options->net, "a published network", 0, 0, false},
        {"size", 's', CLI_SIZE, "S|DxHxW", options->size, "extent of the image, voxels", 0, 0, false},
        {"classes", 0, CLI_INTEGER, "N", &options->classes, "classes, background included", 2, 255, false},
        {"channels", 0, CLI_INTEGER, "N", &options->channels, "channels of the image", 1, 1024, false},
        {"device", 0, CLI_TEXT, "cpu", &options->device, "device that the memory is planned for", 0, 0,
         false},
        {"json", 0, CLI_FLAG, NULL, &options->json, "print the facts as JSON", 0, 0, false},
        {"dot", 0, CLI_FLAG, NULL, &options->dot, "print the block graph for Graphviz", 0, 0, false},
        {NULL},
    };
    const cli_syntax syntax = {
        .command = "inspect",
        .usage = "(--arch TEXT | --net unet3d|vnet) [--size S] [--classes N] [--channels N]",
        .about =
            "Describes a network: layers, parameters, multiply-adds, planned memory; draws its block. An "
            "illegal block is described as such, with the reason, and exit code 0.",
        .options = table,
    };
    int operands;
    sn_status status = cli_parse(&operands, &syntax, argc, argv, error);
    if (status != SN_OK)
        return status;
    if ((options->arch == NULL) == (options->net == NULL))
        return sn_error_set(error, SN_ERR_ARG, "inspect: give one of --arch and --net");
    if (options->size[0] == 0)
        return sn_error_set(error, SN_ERR_ARG,
                            "inspect: option --size: auto needs a data set; give a size such as "
                            "128 or 48x64x48");
    return SN_OK;
}

static sn_status arch_of_options(sn_arch *arch, const inspect_options *options, sn_error *error)
{
    sn_status status;
    char *text = NULL;
    if (options->arch != NULL)
        return sn_arch_parse(arch, options->arch, error);
    SN_TRY(sn_string_format(&text, error, "net=%s", options->net));
    SN_TRY(sn_arch_parse(arch, text, error));
done:
    sn_free(text);
    return status;
}

/* Plan the graph's memory on the device that the options name. */
static sn_status peak_plan(size_t *peak_bytes, const sn_graph *graph, const char *device_name,
                           sn_error *error)
{
    sn_status status;
    const sn_backend *backend = NULL;
    sn_device *device = NULL;
    sn_plan plan = {0};
    const sn_device_options how = {.threads = sn_threads_default()};
    SN_TRY(sn_backend_find(&backend, device_name, error));
    SN_TRY(backend->open(&device, &how, error));
    SN_TRY(sn_plan_make(&plan, graph, backend, device, error));
    *peak_bytes = sn_plan_peak_bytes(&plan);
done:
    sn_plan_clear(&plan);
    if (device != NULL)
        backend->close(device);
    return status;
}

static sn_status facts_collect(network_facts *facts, const sn_graph *graph, const sn_arch *arch,
                               const inspect_options *options, sn_error *error)
{
    sn_status status;
    int channels = (int)options->channels, classes = (int)options->classes;
    SN_TRY(sn_arch_key(facts->key, arch, channels, classes, error));
    SN_TRY(sn_arch_summarise(&facts->summary, arch, channels, options->size, classes, error));
    SN_TRY(peak_plan(&facts->predict_peak_bytes, graph, options->device, error));
done:
    return status;
}

static void print_json(const network_facts *facts)
{
    json_t *root = json_pack("{ss sb}", "arch", facts->text, "legal", facts->legal);
    if (!facts->legal)
        json_object_set_new(root, "reason", json_string(facts->reason));
    else
        json_object_update_new(root, json_pack("{ss sI sI sI sI}", "network", facts->key, "parameters",
                                               (json_int_t)facts->summary.parameters, "multiply_adds",
                                               (json_int_t)facts->summary.multiply_adds, "unplanned_bytes",
                                               (json_int_t)facts->summary.value_bytes, "predict_peak_bytes",
                                               (json_int_t)facts->predict_peak_bytes));
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

static void print_memory(const char *name, double bytes)
{
    printf("%-34s%.2f GiB\n", name, bytes / (double)(1 << 30));
}

static sn_status print_text(const network_facts *facts, const sn_graph *graph, const sn_arch *arch,
                            sn_error *error)
{
    sn_status status = SN_OK;
    char *block = NULL, *layers = NULL;
    if (arch->net == SN_NET_SEGNAS) {
        SN_TRY(sn_draw_block(&block, arch, error));
        printf("%s\n", block);
    }
    printf("%-34s%s\n", "architecture", facts->text);
    if (!facts->legal) {
        printf("%-34sno: %s\n", "legal", facts->reason);
        goto done;
    }
    SN_TRY(sn_draw_layers(&layers, graph, 0, error));
    printf("%-34s%s\n", "network", facts->key);
    printf("%-34s%lld\n", "parameters", (long long)facts->summary.parameters);
    printf("%-34s%.4g G\n", "multiply-adds, one image forward", (double)facts->summary.multiply_adds * 1e-9);
    print_memory("memory to predict", (double)facts->predict_peak_bytes);
    print_memory("all values and gradients", (double)facts->summary.value_bytes);
    printf("\n%s", layers);
done:
    sn_free(block);
    sn_free(layers);
    return status;
}

static sn_status print_dot(const sn_arch *arch, sn_error *error)
{
    char *dot = NULL;
    sn_status status = sn_draw_dot(&dot, arch, error);
    if (status == SN_OK)
        fputs(dot, stdout);
    sn_free(dot);
    return status;
}

sn_status cmd_inspect(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    sn_arch arch = SN_ARCH_INIT;
    sn_graph *graph = NULL;
    network_facts facts = {0};
    inspect_options options = {.device = "cpu", .size = {128, 128, 128}, .classes = 2, .channels = 1};
    (void)context;
    SN_TRY(parse(&options, argc, argv, error));
    SN_TRY(arch_of_options(&arch, &options, error));
    SN_TRY(sn_arch_format(&facts.text, &arch, error));
    facts.legal = sn_arch_legal(&arch, facts.reason);
    if (facts.legal) {
        SN_TRY(sn_graph_create(&graph, SN_F32, error));
        SN_TRY(sn_arch_prediction_graph(graph, &arch, (int)options.channels, options.size,
                                        (int)options.classes, error));
        SN_TRY(facts_collect(&facts, graph, &arch, &options, error));
    }
    if (options.dot)
        SN_TRY(print_dot(&arch, error));
    else if (options.json)
        print_json(&facts);
    else
        SN_TRY(print_text(&facts, graph, &arch, error));
done:
    sn_free(facts.text);
    sn_graph_free(graph);
    return status;
}
