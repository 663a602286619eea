/* segnas3d check: every fault in a data set, with the fix. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/options.h"
#include "dataset/check.h"

typedef struct check_options {
    bool json;
} check_options;

static sn_status parse(const char **path, check_options *options, int argc, char **argv, sn_error *error)
{
    const cli_option table[] = {
        {.name = "json",
         .kind = CLI_FLAG,
         .target = &options->json,
         .help = "print findings and statistics as JSON"},
        {.name = NULL},
    };
    const cli_syntax syntax = {
        .command = "check",
        .usage = "DATASET",
        .about = "Reads every file of a data set (a folder with dataset.json in the form of the Medical "
                 "Segmentation Decathlon or nnU-Net v2) and prints each fault with its file and its fix. "
                 "Exit code 0: no faults (there may be warnings); 3: faults.",
        .options = table,
        .operands_min = 1,
        .operands_max = 1,
    };
    int operands;
    sn_status status = cli_parse(&operands, &syntax, argc, argv, error);
    *path = argv[0];
    return status;
}

static const char *level_name(sn_check_level level)
{
    switch (level) {
    case SN_CHECK_FAULT:
        return "fault";
    case SN_CHECK_WARNING:
        return "warning";
    case SN_CHECK_NOTE:
        break;
    }
    return "note";
}

static void on_finding(void *context, sn_check_level level, const char *text)
{
    json_t *findings = context;
    json_array_append_new(findings, json_pack("{ss ss}", "level", level_name(level), "text", text));
}

static json_t *range_json(const sn_check_range range[3])
{
    return json_pack("{s[fff] s[fff] s[fff]}", "min", range[0].min, range[1].min, range[2].min, "median",
                     range[0].median, range[1].median, range[2].median, "max", range[0].max, range[1].max,
                     range[2].max);
}

static void print_json(const sn_dataset *dataset, const sn_check_summary *summary, json_t *findings)
{
    json_t *labels = json_array();
    for (int i = 0; i < summary->label_count; i++)
        json_array_append_new(labels, json_pack("{si ss sI si}", "value", (int)dataset->labels->values[i],
                                                "name", dataset->labels->names[i], "voxels",
                                                (json_int_t)summary->labels[i].voxels, "cases",
                                                summary->labels[i].cases));
    json_t *root = json_pack(
        "{ss ss si si si si si si sO so so so}", "dataset", dataset->path, "name", dataset->name, "channels",
        dataset->channels, "cases", summary->cases, "readable", summary->readable, "faults", summary->faults,
        "warnings", summary->warnings, "notes", summary->notes, "findings", findings, "spacing_mm",
        range_json(summary->spacing_mm), "extent", range_json(summary->extent), "labels", labels);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

static void print_range(const char *name, const sn_check_range range[3])
{
    printf("%-26s%g x %g x %g", name, range[0].median, range[1].median, range[2].median);
    printf("  (from %g x %g x %g to %g x %g x %g)\n", range[0].min, range[1].min, range[2].min, range[0].max,
           range[1].max, range[2].max);
}

static void print_text(const sn_dataset *dataset, const sn_check_summary *summary, const json_t *findings)
{
    size_t i;
    json_t *finding;
    json_array_foreach(findings, i, finding)
        printf("%s: %s\n", json_string_value(json_object_get(finding, "level")),
               json_string_value(json_object_get(finding, "text")));
    if (json_array_size(findings) > 0)
        putchar('\n');
    printf("%-26s%s\n", "data set", dataset->name);
    printf("%-26s%d, of which %d can be used\n", "labelled cases", summary->cases, summary->readable);
    printf("%-26s%d\n", "test cases", dataset->test_count);
    printf("%-26s%d\n", "channels", dataset->channels);
    if (summary->readable > 0) {
        print_range("spacing, mm (S A R)", summary->spacing_mm);
        print_range("extent, voxels (S A R)", summary->extent);
        printf("\n%8s  %-28s%14s%8s\n", "label", "name", "voxels", "cases");
        for (int l = 0; l < summary->label_count; l++)
            printf("%8d  %-28s%14lld%8d\n", (int)dataset->labels->values[l], dataset->labels->names[l],
                   (long long)summary->labels[l].voxels, summary->labels[l].cases);
    }
    printf("\n%d faults, %d warnings, %d notes\n", summary->faults, summary->warnings, summary->notes);
}

sn_status cmd_check(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    const char *path;
    check_options options = {0};
    sn_dataset *dataset = NULL;
    sn_check_summary summary = {0};
    json_t *findings = json_array();
    SN_TRY(parse(&path, &options, argc, argv, error));
    SN_TRY(sn_dataset_open(&dataset, path, error));
    const sn_check_options how = {.report = on_finding, .context = findings, .progress = context->progress};
    SN_TRY(sn_dataset_check(&summary, dataset, &how, error));
    sn_progress_bar_clear(context->bar);
    if (options.json)
        print_json(dataset, &summary, findings);
    else
        print_text(dataset, &summary, findings);
    if (summary.faults > 0)
        status = sn_error_set(error, SN_ERR_INPUT, "%s: %d fault%s; mend what is listed, then check again",
                              dataset->path, summary.faults, summary.faults == 1 ? "" : "s");
done:
    json_decref(findings);
    sn_check_summary_clear(&summary);
    sn_dataset_close(dataset);
    return status;
}
