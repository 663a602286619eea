/* segnas3d evaluate: predictions against the truth. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/options.h"
#include "dataset/dataset.h"
#include "metrics/summary.h"
#include "report/figure.h"
#include "volume/nifti.h"

enum { PICTURE_CASES = 3 };

typedef struct evaluate_options {
    const char *reference, *prediction, *dataset, *output, *picture, *images;
    bool partial, json;
} evaluate_options;

static sn_status parse(evaluate_options *options, int argc, char **argv, sn_error *error)
{
    const cli_option table[] = {
        {"reference", 'r', CLI_TEXT, "DIR", &options->reference, "folder of true label maps", 0, 0, true},
        {"prediction", 'p', CLI_TEXT, "DIR", &options->prediction,
         "folder of predicted label maps, named as the true ones", 0, 0, true},
        {"dataset", 'd', CLI_TEXT, "DATASET", &options->dataset,
         "data set whose dataset.json lists the labels and their names; without it, every value found in the "
         "true label maps is a label",
         0, 0, false},
        {"partial", 0, CLI_FLAG, NULL, &options->partial, "pass over true label maps without a prediction", 0,
         0, false},
        {"output", 'o', CLI_TEXT, "FILE", &options->output,
         "where to write the summary (default summary.json in the folder of predictions)", 0, 0, false},
        {"json", 0, CLI_FLAG, NULL, &options->json, "print the summary as JSON instead of a table", 0, 0,
         false},
        {"picture", 0, CLI_TEXT, "FILE.png", &options->picture,
         "also draw axial slices of the first cases, truth beside prediction (patient's right on the left); "
         "needs --images",
         0, 0, false},
        {"images", 0, CLI_TEXT, "DIR", &options->images, "folder of the cases' images, for --picture", 0, 0,
         false},
        {.name = NULL},
    };
    const cli_syntax syntax = {
        .command = "evaluate",
        .usage = "--reference DIR --prediction DIR [--partial] [--picture FILE.png --images DIR]",
        .about =
            "Compares label maps: Dice, the 95th percentile Hausdorff distance (HD95) and volumes, for each "
            "label and on average, printed as a table and written as nnU-Net's summary.json. A label that "
            "neither map of a case has is left out of that case's mean, and counted as absent. HD95: the "
            "larger of the two directions' 95th percentiles of the distances between surface voxels, in mm.",
        .options = table,
    };
    int operands;
    sn_status status = cli_parse(&operands, &syntax, argc, argv, error);
    if (status == SN_OK && (options->picture == NULL) != (options->images == NULL))
        return sn_error_set(error, SN_ERR_ARG, "evaluate: --picture FILE.png and --images DIR go together");
    return status;
}

static bool on_case(void *context, int64_t done, int64_t total, const char *file)
{
    sn_progress_report(context, "evaluate", done, total, sn_path_name(file));
    return !sn_interrupt_requested();
}

/* "0.873", or "-" where there is no value. */
static void print_value(const char *format, double value)
{
    char text[32];
    snprintf(text, sizeof text, format, value);
    printf("%12s", isfinite(value) ? text : "-");
}

static void print_row(const char *label, const char *name, const sn_mean_metrics *mean)
{
    printf("%6s  %-28s", label, name);
    print_value("%.4f", mean->dice);
    print_value("%.2f", mean->hd95_mm);
    print_value("%.2f", mean->reference_mm3 / 1000);
    print_value("%.2f", mean->prediction_mm3 / 1000);
    printf("%8lld\n", (long long)mean->absent);
}

static void print_table(const sn_summary *summary)
{
    char label[16];
    printf("%6s  %-28s%12s%12s%12s%12s%8s\n", "label", "name", "Dice", "HD95, mm", "truth, ml", "pred., ml",
           "absent");
    for (int l = 0; l < summary->label_count; l++) {
        snprintf(label, sizeof label, "%d", (int)summary->labels->values[l + 1]);
        print_row(label, summary->labels->names[l + 1], &summary->mean[l]);
    }
    print_row("", "mean of the labels", &summary->foreground_mean);
    printf("\n%lld case%s", (long long)summary->case_count, summary->case_count == 1 ? "" : "s");
    if (summary->missing > 0)
        printf("; %lld true label map%s without a prediction", (long long)summary->missing,
               summary->missing == 1 ? "" : "s");
    putchar('\n');
}

/* The image of the case whose true label map is `reference`: DIR/CASE.nii.gz or DIR/CASE_0000.nii.gz, or
 * .nii. */
static sn_status image_find(char **path, const char *folder, const char *reference, sn_error *error)
{
    static const char *const endings[] = {".nii.gz", "_0000.nii.gz", ".nii", "_0000.nii"};
    const char *name = sn_path_name(reference);
    int length = (int)sn_nifti_stem(name);
    for (int i = 0; i < 4; i++) {
        sn_status status = sn_string_format(path, error, "%s/%.*s%s", folder, length, name, endings[i]);
        if (status != SN_OK || sn_path_exists(*path))
            return status;
        sn_free(*path);
        *path = NULL;
    }
    return sn_error_set(error, SN_ERR_INPUT,
                        "%s: no image %.*s.nii.gz or %.*s_0000.nii.gz; name its folder with --images", folder,
                        length, name, length, name);
}

static sn_status picture_add(sn_figure *figure, const sn_case_metrics *metrics, const char *images,
                             int slices, sn_error *error)
{
    sn_status status;
    char *path = NULL, *name = NULL;
    sn_volume *image = NULL;
    sn_labelmap *reference = NULL, *prediction = NULL;
    SN_TRY(image_find(&path, images, metrics->reference_file, error));
    SN_TRY(sn_case_name(&name, metrics->reference_file, false, error));
    SN_TRY(sn_nifti_read_volume(&image, path, error));
    SN_TRY(sn_nifti_read_labelmap(&reference, metrics->reference_file, error));
    SN_TRY(sn_nifti_read_labelmap(&prediction, metrics->prediction_file, error));
    SN_TRY(sn_figure_add(figure, name, image, reference, prediction, slices, error));
done:
    sn_free(path);
    sn_free(name);
    sn_volume_free(image);
    sn_labelmap_free(reference);
    sn_labelmap_free(prediction);
    return status;
}

/* The first cases, a slice each; three slices where there is one case only. */
static sn_status picture_draw(const char *path, const sn_summary *summary, const char *images,
                              sn_error *error)
{
    sn_status status;
    sn_figure *figure = NULL;
    double *dice = NULL;
    int count = summary->case_count < PICTURE_CASES ? (int)summary->case_count : PICTURE_CASES;
    SN_TRY(sn_alloc(&dice, (size_t)summary->labels->count, sizeof *dice, error));
    for (int l = 0; l < summary->label_count; l++)
        dice[l + 1] = summary->mean[l].dice;
    SN_TRY(sn_figure_create(&figure, summary->labels, dice, error));
    for (int i = 0; i < count; i++)
        SN_TRY(picture_add(figure, &summary->cases[i], images, count == 1 ? 3 : 1, error));
    SN_TRY(sn_figure_write(path, figure, error));
done:
    sn_free(dice);
    sn_figure_free(figure);
    return status;
}

/* Write summary.json and print the table, or the same JSON. */
static sn_status summary_show(const evaluate_options *options, const sn_summary *summary, sn_error *error)
{
    sn_status status;
    char *text = NULL, *path = NULL;
    SN_TRY(sn_summary_json(&text, summary, error));
    if (options->output != NULL)
        SN_TRY(sn_string_copy(&path, options->output, error));
    else
        SN_TRY(sn_path_join(&path, options->prediction, "summary.json", error));
    SN_TRY(sn_file_write(path, text, strlen(text), error));
    if (options->json)
        fputs(text, stdout);
    else
        print_table(summary);
done:
    sn_free(text);
    sn_free(path);
    return status;
}

sn_status cmd_evaluate(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    evaluate_options options = {0};
    sn_dataset *dataset = NULL;
    sn_summary *summary = NULL;
    SN_TRY(parse(&options, argc, argv, error));
    if (options.dataset != NULL)
        SN_TRY(sn_dataset_open(&dataset, options.dataset, error));
    const sn_evaluate_options how = {
        .labels = dataset != NULL ? dataset->labels : NULL,
        .partial = options.partial,
        .progress = on_case,
        .context = (void *)context->progress,
    };
    SN_TRY(sn_evaluate_folders(&summary, options.reference, options.prediction, &how, error));
    if (options.picture != NULL)
        SN_TRY(picture_draw(options.picture, summary, options.images, error));
    sn_progress_bar_clear(context->bar);
    SN_TRY(summary_show(&options, summary, error));
done:
    sn_summary_free(summary);
    sn_dataset_close(dataset);
    return status;
}
