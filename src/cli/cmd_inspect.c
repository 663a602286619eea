/* segnas3d inspect: what a network is and costs, what a model holds, what a search found. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "arch/reals.h"
#include "base/file.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/inspect.h"
#include "cli/options.h"
#include "model/model.h"

typedef struct inspect_options {
    const char *subject; /* a model's file or a study's folder, or NULL */
    const char *arch, *net, *device, *precision;
    int64_t size[3];           /* -1: not given */
    int64_t classes, channels; /* 0: not given */
    bool json, dot;
} inspect_options;

static sn_status options_check(const inspect_options *options, sn_error *error)
{
    int subjects = (options->subject != NULL) + (options->arch != NULL) + (options->net != NULL);
    if (subjects != 1)
        return sn_error_set(error, SN_ERR_ARG, "inspect: give one of MODEL, STUDY, --arch and --net");
    if (options->size[0] == 0)
        return sn_error_set(error, SN_ERR_ARG,
                            "inspect: option --size: auto needs a data set; give a size such as 128");
    if (options->subject != NULL && (options->classes != 0 || options->channels != 0))
        return sn_error_set(error, SN_ERR_ARG,
                            "inspect: --classes and --channels are for --arch and --net; %s has "
                            "its own",
                            options->subject);
    return SN_OK;
}

static sn_status parse(inspect_options *options, int argc, char **argv, sn_error *error)
{
    const cli_option table[] = {
        {"arch", 'a', CLI_TEXT, "TEXT", &options->arch,
         "a SegNAS network, \"n=16 p=3 sup=1 res=1 nodes=3 ops=2,0,2\"; what is left out is as here", 0, 0,
         false},
        {"net", 0, CLI_CHOICE, "unet3d|vnet", &options->net, "a published network", 0, 0, false},
        {"size", 's', CLI_SIZE, "S|DxHxW", options->size,
         "extent of the image in voxels (default: the model's; 128 with --arch and --net)", 0, 0, false},
        {"classes", 0, CLI_INTEGER, "N", &options->classes, "classes, background included (default 2)", 2,
         255, false},
        {"channels", 0, CLI_INTEGER, "N", &options->channels, "channels of the image (default 1)", 1, 1024,
         false},
        cli_option_device(&options->device, 1, "device that memory is planned for"),
        cli_option_precision(&options->precision),
        {"json", 0, CLI_FLAG, NULL, &options->json, "print JSON", 0, 0, false},
        {"dot", 0, CLI_FLAG, NULL, &options->dot, "print the block graph for Graphviz", 0, 0, false},
        {.name = NULL},
    };
    const cli_syntax syntax = {
        .command = "inspect",
        .usage = "(MODEL | STUDY | --arch TEXT | --net unet3d|vnet) [OPTIONS]",
        .about =
            "Describes a network or the one in a model: its block, layers, parameters, multiply-adds and "
            "planned memory. An illegal block is described as such, with the reason, and exit code 0. "
            "Of a study: all points that were tried, and the best.",
        .options = table,
        .operands_max = 1,
    };
    int operands;
    sn_status status = cli_parse(&operands, &syntax, argc, argv, error);
    if (status != SN_OK)
        return status;
    options->subject = operands > 0 ? argv[0] : NULL;
    return options_check(options, error);
}

static sn_status arch_of_options(sn_arch *arch, const inspect_options *options, sn_error *error)
{
    char *text = NULL;
    sn_reals reals; /* of a study's text; nothing here depends on them */
    if (options->arch != NULL)
        return sn_reals_parse(arch, &reals, options->arch, error);
    sn_status status = sn_string_format(&text, error, "net=%s", options->net);
    if (status == SN_OK)
        status = sn_arch_parse(arch, text, error);
    sn_free(text);
    return status;
}

static sn_status model_print(const inspect_options *options, inspect_form form, sn_error *error)
{
    sn_status status;
    sn_model model = {0};
    json_t *labels = NULL, *preprocessing = NULL;
    inspect_network network = {.device = options->device};
    SN_TRY(cli_precision_resolve(&network.precision, options->precision, network.device, error));
    SN_TRY(sn_model_load(&model, options->subject, error));
    SN_TRY(sn_label_table_to_json(&labels, model.labels, error));
    SN_TRY(sn_preprocessing_to_json(&preprocessing, &model.preprocessing, error));
    network.arch = model.arch;
    network.channels = model.preprocessing.channels;
    network.classes = model.labels->count;
    memcpy(network.size, options->size[0] > 0 ? options->size : model.preprocessing.size,
           sizeof network.size);
    network.more =
        json_pack("{sO sO sO}", "labels", labels, "preprocessing", preprocessing, "training", model.training);
    SN_TRY(inspect_network_print(&network, form, error));
    if (form == INSPECT_TEXT) {
        printf("\ntraining: ");
        json_dumpf(model.training, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
    }
done:
    json_decref(network.more);
    json_decref(labels);
    json_decref(preprocessing);
    sn_model_clear(&model);
    return status;
}

static sn_status network_print(const inspect_options *options, inspect_form form, sn_error *error)
{
    inspect_network network = {
        .arch = SN_ARCH_INIT,
        .channels = options->channels != 0 ? (int)options->channels : 1,
        .classes = options->classes != 0 ? (int)options->classes : 2,
        .size = {128, 128, 128},
        .device = options->device,
    };
    if (options->size[0] > 0)
        memcpy(network.size, options->size, sizeof network.size);
    sn_status status = cli_precision_resolve(&network.precision, options->precision, network.device, error);
    if (status == SN_OK)
        status = arch_of_options(&network.arch, options, error);
    return status == SN_OK ? inspect_network_print(&network, form, error) : status;
}

sn_status cmd_inspect(cli_context *context, int argc, char **argv, sn_error *error)
{
    inspect_options options = {.device = "cpu", .precision = "auto", .size = {-1, -1, -1}};
    (void)context;
    sn_status status = parse(&options, argc, argv, error);
    if (status != SN_OK)
        return status;
    inspect_form form = options.dot ? INSPECT_DOT : options.json ? INSPECT_JSON : INSPECT_TEXT;
    if (options.subject == NULL)
        return network_print(&options, form, error);
    if (!sn_path_is_folder(options.subject))
        return model_print(&options, form, error);
    if (options.dot || options.size[0] > 0)
        return sn_error_set(error, SN_ERR_ARG,
                            "inspect: --dot and --size are for one network; %s is a folder", options.subject);
    return inspect_study_print(options.subject, form, error);
}
