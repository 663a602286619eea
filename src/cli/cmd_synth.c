/* segnas3d synth: a cohort deformed from one labelled volume. */
#include <limits.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/options.h"
#include "dataset/synth.h"

typedef struct synth_options {
    int64_t count, seed;
    double spacing_mm;
    const char *output, *structures;
} synth_options;

static sn_status parse(synth_options *options, int argc, char **argv, sn_error *error)
{
    const cli_option table[] = {
        {"count", 'n', CLI_INTEGER, "N", &options->count, "cases to make", 1, 100000, false},
        {"output", 'o', CLI_TEXT, "DATASET", &options->output, "folder to make; it must not exist", 0, 0,
         true},
        {"spacing", 0, CLI_NUMBER, "MM", &options->spacing_mm,
         "isotropic voxel size in mm; without it, the image's own grid", 0.1, 50, false},
        {"structures", 0, CLI_TEXT, "FILE", &options->structures,
         "JSON file {\"name\": [label values], ...} that merges labels into structures 1, 2, ...; without "
         "it, "
         "every label is kept",
         0, 0, false},
        {"seed", 0, CLI_INTEGER, "N", &options->seed, "seed of the random numbers", 0, 0x1p53, false},
        {.name = NULL},
    };
    const cli_syntax syntax = {
        .command = "synth",
        .usage = "IMAGE LABELS -o DATASET [-n N] [--spacing MM] [--structures FILE]",
        .about = "Makes a data set by deforming one labelled volume: each case is the volume, smoothly "
                 "deformed, with another contrast, bias field and noise. For demonstrations and tests; no "
                 "substitute for data.",
        .options = table,
        .operands_min = 2,
        .operands_max = 2,
    };
    int operands;
    return cli_parse(&operands, &syntax, argc, argv, error);
}

sn_status cmd_synth(cli_context *context, int argc, char **argv, sn_error *error)
{
    synth_options options = {.count = 20, .seed = 1};
    sn_status status = parse(&options, argc, argv, error);
    if (status != SN_OK)
        return status;
    sn_synth_options how = SN_SYNTH_OPTIONS_INIT;
    how.count = (int)options.count;
    how.seed = (uint64_t)options.seed;
    how.spacing_mm = options.spacing_mm;
    how.structures = options.structures;
    how.progress = context->progress;
    status = sn_synthesise(options.output, argv[0], argv[1], &how, error);
    if (status != SN_OK)
        return status;
    sn_progress_bar_clear(context->bar);
    printf("%s: %lld case%s\n", options.output, (long long)options.count, options.count == 1 ? "" : "s");
    return SN_OK;
}
