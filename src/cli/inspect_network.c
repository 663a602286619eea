#include <stdio.h>

#include "arch/build.h"
#include "arch/draw.h"
#include "backend/device.h"
#include "base/memory.h"
#include "cli/inspect.h"
#include "model/predict.h"
#include "train/step.h"

typedef struct network_facts {
    char *text; /* the architecture as --arch takes it */
    bool legal;
    char reason[SN_ARCH_REASON]; /* why it is not legal */
    char key[SN_HASH_TEXT];
    sn_arch_summary summary;
    int64_t train_peak_bytes;
    int64_t train_peak_recomputed_bytes; /* with blocks computed twice */
    sn_prediction_memory predict;        /* of an image of the network's size and spacing */
    bool on_gpu;
    int64_t case_bytes; /* that a GPU keeps of each case; 0 of a device that keeps none */
} network_facts;

/* The prediction, normalisations not folded; `*graph` is the caller's, also after an error. */
static sn_status prediction_create(sn_graph **graph, const inspect_network *network, sn_error *error)
{
    sn_status status = sn_graph_create(graph, SN_F32, error);
    if (status == SN_OK)
        status = sn_arch_prediction_graph(*graph, &network->arch, network->channels, network->size,
                                          network->classes, error);
    return status;
}

/* Everything about a legal network. */
static sn_status facts_collect(network_facts *facts, const inspect_network *network, sn_error *error)
{
    sn_status status;
    sn_train_memory kept, recomputed;
    sn_train_options options = SN_TRAIN_OPTIONS_INIT;
    const int64_t *size = network->size;
    const sn_train_shape shape = {network->channels, network->classes, {size[0], size[1], size[2]}};
    options.precision = network->precision;
    SN_TRY(sn_arch_key(facts->key, &network->arch, network->channels, network->classes, error));
    SN_TRY(
        sn_arch_summarise(&facts->summary, &network->arch, network->channels, size, network->classes, error));
    SN_TRY(
        sn_train_plan(&kept, &network->arch, &shape, &options, SN_RECOMPUTE_CHEAP, network->device, error));
    SN_TRY(sn_train_plan(&recomputed, &network->arch, &shape, &options, SN_RECOMPUTE_SEGMENTS,
                         network->device, error));
    facts->train_peak_bytes = kept.bytes;
    facts->train_peak_recomputed_bytes = recomputed.bytes;
    facts->on_gpu = sn_device_is_gpu(network->device);
    facts->case_bytes = facts->on_gpu ? sn_train_case_bytes(&shape) : 0;
    SN_TRY(sn_prediction_plan(&facts->predict, &network->arch, network->channels, network->classes, size,
                              network->device, network->precision, error));
done:
    return status;
}

static void print_json(const network_facts *facts, json_t *more)
{
    const sn_arch_summary *summary = &facts->summary;
    json_t *root = json_pack("{ss sb}", "arch", facts->text, "legal", facts->legal);
    if (facts->legal)
        json_object_update_new(
            root,
            json_pack("{ss sI sI sI sI sI sI sI sI}", "network", facts->key, "parameters",
                      (json_int_t)summary->parameters, "multiply_adds", (json_int_t)summary->multiply_adds,
                      "train_peak_bytes", (json_int_t)facts->train_peak_bytes, "train_peak_recomputed_bytes",
                      (json_int_t)facts->train_peak_recomputed_bytes, "case_bytes",
                      (json_int_t)facts->case_bytes, "predict_network_bytes",
                      (json_int_t)facts->predict.network, "predict_image_bytes",
                      (json_int_t)facts->predict.image, "unplanned_bytes", (json_int_t)summary->value_bytes));
    else
        json_object_set_new(root, "reason", json_string(facts->reason));
    if (more != NULL)
        json_object_update(root, more);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

static void print_memory(const char *name, int64_t bytes)
{
    printf("%-36s%.3g GiB\n", name, (double)bytes / 0x1p30);
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
    printf("%-36s%s\n", "architecture", facts->text);
    if (!facts->legal) {
        printf("%-36sno: %s\n", "legal", facts->reason);
        goto done;
    }
    printf("%-36s%s\n", "network", facts->key);
    printf("%-36s%lld\n", "parameters", (long long)facts->summary.parameters);
    printf("%-36s%.4g G\n", "multiply-adds, one image forward", (double)facts->summary.multiply_adds * 1e-9);
    print_memory("memory to train, planned", facts->train_peak_bytes);
    print_memory("... with blocks computed twice", facts->train_peak_recomputed_bytes);
    if (facts->case_bytes > 0)
        print_memory("... beside it, a case on the GPU", facts->case_bytes);
    print_memory("memory to predict, planned", facts->predict.network);
    print_memory(facts->on_gpu ? "... beside it, not on the GPU" : "... beside it, an image so large",
                 facts->predict.image);
    print_memory("all values and gradients in float32", facts->summary.value_bytes);
    SN_TRY(sn_draw_layers(&layers, graph, 0, error));
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

sn_status inspect_network_print(const inspect_network *network, inspect_form form, sn_error *error)
{
    sn_status status;
    sn_graph *graph = NULL;
    network_facts facts = {0};
    if (form == INSPECT_DOT)
        return print_dot(&network->arch, error);
    SN_TRY(sn_arch_format(&facts.text, &network->arch, error));
    facts.legal = sn_arch_legal(&network->arch, facts.reason);
    if (facts.legal) {
        SN_TRY(prediction_create(&graph, network, error));
        SN_TRY(facts_collect(&facts, network, error));
    }
    if (form == INSPECT_JSON)
        print_json(&facts, network->more);
    else
        SN_TRY(print_text(&facts, graph, &network->arch, error));
done:
    sn_free(facts.text);
    sn_graph_free(graph);
    return status;
}
