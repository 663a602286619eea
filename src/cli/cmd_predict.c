/* segnas3d predict: label maps of images, on their own grids. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/options.h"
#include "dataset/dataset.h"
#include "dataset/split.h"
#include "model/predict.h"
#include "volume/nifti.h"

typedef struct predict_options {
    const char *model, *output, *split, *device, *precision;
    char **images; /* (image_count) operands after the model */
    int image_count;
    int64_t memory, threads;
} predict_options;

/* One image: its channels' files, and the name of its result. */
typedef struct subject {
    char **paths;
    int path_count;
    const char *label; /* its true label map, the data set's; NULL: not known */
    char *name;        /* with extension */
} subject;

typedef struct subjects {
    int count;
    subject *items;
} subjects;

static sn_status parse(predict_options *options, int argc, char **argv, sn_error *error)
{
    const cli_option table[] = {
        {"output", 'o', CLI_TEXT, "DIR", &options->output, "folder for the label maps, named as the images",
         0, 0, true},
        {"split", 0, CLI_CHOICE, "train|val|test|all", &options->split,
         "of a data set: which cases of the split that the model was trained with", 0, 0, false},
        {"memory", 'm', CLI_MEMORY, "SIZE", &options->memory,
         "budget, e.g. 4G; larger images go in tiles; default: nine tenths of the machine's, or of what is "
         "free on the GPU",
         0, 0, false},
        {"threads", 't', CLI_INTEGER, "N", &options->threads,
         "processor threads; the result does not depend on it", 1, 4096, false},
        cli_option_device(&options->device, 1, "what computes"),
        cli_option_precision(&options->precision),
        {.name = NULL},
    };
    const cli_syntax syntax = {
        .command = "predict",
        .usage = "MODEL (IMAGE... | DATASET [--split test]) -o DIR",
        .about = "Segments images. Each result lies on its image's own grid. The channels of one image are "
                 "files named "
                 "CASE_0000, CASE_0001, ... (name the first), one 4D file, or files joined by commas. Exit "
                 "code 4: "
                 "some images could not be segmented.",
        .options = table,
        .operands_min = 2,
        .operands_max = -1,
    };
    int operands;
    sn_status status = cli_parse(&operands, &syntax, argc, argv, error);
    options->model = argv[0];
    options->images = argv + 1;
    options->image_count = operands - 1;
    return status;
}

/* ---- subjects ---- */

static void subject_clear(subject *self)
{
    for (int i = 0; i < self->path_count; i++)
        sn_free(self->paths[i]);
    sn_free(self->paths);
    sn_free(self->name);
}

static void subjects_clear(subjects *self)
{
    for (int i = 0; i < self->count; i++)
        subject_clear(&self->items[i]);
    sn_free(self->items);
}

static sn_status add_path(subject *self, const char *path, sn_error *error)
{
    sn_status status = sn_string_copy(&self->paths[self->path_count], path, error);
    self->path_count += status == SN_OK;
    return status;
}

static const char *ending_of(const char *path)
{
    return path + sn_nifti_stem(path);
}

/* Of the result: one file also where the image is a pair of files. */
static const char *result_ending(const char *image)
{
    return strcmp(ending_of(image), ".nii.gz") == 0 ? ".nii.gz" : ".nii";
}

/* DIR/CASE_0000.nii.gz of a model with several channels: its other channels are its neighbours. */
static sn_status add_channel_files(subject *self, const char *first, int channels, sn_error *error)
{
    sn_status status = SN_OK;
    char *path = NULL;
    const char *ending = ending_of(first);
    int stem = (int)(ending - first) - 4; /* without the four digits */
    for (int c = 0; c < channels && status == SN_OK; c++) {
        status = sn_string_format(&path, error, "%.*s%04d%s", stem, first, c, ending);
        if (status == SN_OK)
            status = add_path(self, path, error);
        sn_free(path);
        path = NULL;
    }
    return status;
}

static bool has_channel_suffix(const char *path)
{
    const char *ending = ending_of(path);
    return ending - path > 5 && strncmp(ending - 5, "_0000", 5) == 0;
}

static sn_status add_comma_files(subject *self, char *list, sn_error *error)
{
    sn_status status = SN_OK;
    char *rest = list;
    for (char *path; status == SN_OK && (path = strsep(&rest, ",")) != NULL;)
        status = path[0] != '\0'
                     ? add_path(self, path, error)
                     : sn_error_set(error, SN_ERR_ARG, "predict: a name is missing before or after a comma");
    return status;
}

/* The operand of one image; it is changed. */
static sn_status subject_of_operand(subject *self, char *operand, int channels, sn_error *error)
{
    sn_status status;
    char *stem = NULL;
    bool numbered = has_channel_suffix(operand), listed = strchr(operand, ',') != NULL;
    size_t room = strlen(operand) + (size_t)channels; /* more paths than either form can hold */
    SN_TRY(sn_alloc(&self->paths, room, sizeof *self->paths, error));
    if (listed)
        SN_TRY(add_comma_files(self, operand, error));
    else if (numbered && channels > 1)
        SN_TRY(add_channel_files(self, operand, channels, error));
    else
        SN_TRY(add_path(self, operand, error));
    SN_TRY(sn_case_name(&stem, self->paths[0], listed || (numbered && channels > 1), error));
    SN_TRY(sn_string_format(&self->name, error, "%s%s", stem, result_ending(self->paths[0])));
done:
    sn_free(stem);
    return status;
}

static sn_status subject_of_case(subject *self, const sn_case *from, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_alloc(&self->paths, (size_t)from->image_count, sizeof *self->paths, error));
    for (int i = 0; i < from->image_count; i++)
        SN_TRY(add_path(self, from->images[i], error));
    SN_TRY(sn_string_format(&self->name, error, "%s%s", from->name, result_ending(from->images[0])));
    self->label = from->label;
done:
    return status;
}

/* A split says something of the data that it was made of only. */
static void warn_of_other_data(const sn_model *model, const sn_dataset *dataset,
                               const predict_options *options)
{
    const char *name = json_string_value(json_object_get(model->training, "dataset"));
    if (name != NULL && strcmp(name, dataset->name) != 0)
        sn_log(SN_LOG_WARNING,
               "%s: trained on the data set \"%s\", this is \"%s\"; --split all takes every case",
               options->model, name, dataset->name);
}

/* The labelled cases of a data set that belong to a part of the model's split, or all. */
static sn_status subjects_of_dataset(subjects *self, const sn_dataset *dataset, const sn_model *model,
                                     const predict_options *options, sn_error *error)
{
    sn_status status;
    sn_split split = {0};
    sn_split_part part = SN_TESTING;
    json_t *stored = NULL;
    bool all = strcmp(options->split, "all") == 0;
    if (dataset->channels != model->preprocessing.channels)
        return sn_error_set(error, SN_ERR_INPUT, "%s: images of %d channel%s, the model %s expects %d",
                            dataset->path, dataset->channels, dataset->channels == 1 ? "" : "s",
                            options->model, model->preprocessing.channels);
    SN_TRY(sn_alloc(&self->items, (size_t)dataset->count, sizeof *self->items, error));
    if (!all) {
        SN_TRY(sn_split_part_parse(&part, options->split, error));
        SN_TRY(sn_json_object(&stored, model->training, "split", options->model, error));
        warn_of_other_data(model, dataset, options);
        SN_TRY(sn_split_from_json(&split, stored, dataset, options->model, error));
    }
    int count = all ? dataset->count : split.count[part];
    for (int i = 0; i < count; i++)
        SN_TRY(subject_of_case(&self->items[self->count++], &dataset->cases[all ? i : split.cases[part][i]],
                               error));
    if (count == 0)
        status =
            sn_error_set(error, SN_ERR_INPUT, "%s: the model's split has no %s case; choose another --split",
                         options->model, sn_split_part_name(part));
done:
    sn_split_clear(&split);
    return status;
}

static bool is_dataset(const char *path)
{
    size_t length = strlen(path);
    return sn_path_is_folder(path) || (length > 5 && strcmp(path + length - 5, ".json") == 0);
}

/* `*dataset` is NULL where images are named; it must outlive the subjects. */
static sn_status subjects_collect(subjects *self, sn_dataset **dataset, const sn_model *model,
                                  const predict_options *options, sn_error *error)
{
    sn_status status;
    *dataset = NULL;
    if (options->image_count == 1 && is_dataset(options->images[0])) {
        SN_TRY(sn_dataset_open(dataset, options->images[0], error));
        SN_TRY(subjects_of_dataset(self, *dataset, model, options, error));
    } else {
        SN_TRY(sn_alloc(&self->items, (size_t)options->image_count, sizeof *self->items, error));
        for (int i = 0; i < options->image_count; i++)
            SN_TRY(subject_of_operand(&self->items[self->count++], options->images[i],
                                      model->preprocessing.channels, error));
    }
done:
    return status;
}

/* ---- what is written ---- */

static bool is_input(const subject *self, const char *path)
{
    bool same = self->label != NULL && sn_path_same(self->label, path);
    for (int i = 0; i < self->path_count && !same; i++)
        same = sn_path_same(self->paths[i], path);
    return same;
}

/* No result may replace an image, a true label map or another result. */
static sn_status outputs_check(const subjects *all, const char *folder, sn_error *error)
{
    for (int i = 0; i < all->count; i++) {
        const subject *self = &all->items[i];
        char *path = NULL;
        sn_status status = sn_path_join(&path, folder, self->name, error);
        if (status == SN_OK && is_input(self, path))
            status = sn_error_set(error, SN_ERR_ARG,
                                  "predict: the result would replace %s; give another folder with -o", path);
        sn_free(path);
        for (int j = 0; j < i && status == SN_OK; j++)
            if (strcmp(self->name, all->items[j].name) == 0)
                status = sn_error_set(error, SN_ERR_ARG,
                                      "predict: the results of %s and %s have one name; give each its own -o",
                                      all->items[j].paths[0], self->paths[0]);
        if (status != SN_OK)
            return status;
    }
    return SN_OK;
}

/* ---- the command ---- */

/* An error that is this image's own; the others can still be segmented. */
static bool is_of_image(sn_status status)
{
    return status == SN_ERR_INPUT || status == SN_ERR_MEMORY;
}

/* What the predictor says, which knows no names of images. */
static sn_status name_image(const subject *self, sn_status status, sn_error *error)
{
    const sn_error said = *error;
    return is_of_image(status) ? sn_error_set(error, status, "%s: %.900s", self->paths[0], said.text)
                               : status;
}

static sn_status predict_subject(const subject *self, sn_predictor *predictor, const sn_model *model,
                                 const char *folder, sn_error *error)
{
    sn_status status;
    sn_volume *image = NULL;
    sn_labelmap *labels = NULL;
    sn_prediction_info info;
    char *path = NULL;
    SN_TRY(sn_image_read(&image, self->paths, self->path_count, model->preprocessing.channels, error));
    status = sn_predict(&labels, &info, predictor, image, NULL, error);
    SN_TRY(name_image(self, status, error));
    if (info.tiles > 1)
        sn_log(SN_LOG_INFO, "%s: too large for the memory budget; done in %d overlapping tiles of %dx%dx%d",
               self->name, info.tiles, (int)info.tile[0], (int)info.tile[1], (int)info.tile[2]);
    SN_TRY(sn_path_join(&path, folder, self->name, error));
    SN_TRY(sn_nifti_write_labelmap(path, labels, error));
done:
    sn_volume_free(image);
    sn_labelmap_free(labels);
    sn_free(path);
    return status;
}

static sn_status predict_all(cli_context *context, const subjects *all, sn_predictor *predictor,
                             const sn_model *model, const predict_options *options, sn_error *error)
{
    int failed = 0;
    sn_error last = SN_ERROR_INIT;
    for (int i = 0; i < all->count; i++) {
        sn_progress_report(context->progress, "predicting", i, all->count, all->items[i].name);
        sn_status status = sn_interrupt_check(error);
        if (status == SN_OK)
            status = predict_subject(&all->items[i], predictor, model, options->output, error);
        if (status != SN_OK && (!is_of_image(status) || all->count == 1))
            return status;
        if (status != SN_OK) {
            sn_log(SN_LOG_WARNING, "%s", error->text);
            last = *error;
            failed++;
        }
    }
    sn_progress_report(context->progress, "predicting", all->count, all->count, NULL);
    if (failed == all->count)
        return sn_error_set(error, last.status, "none of the %d images could be segmented; the last: %.900s",
                            failed, last.text);
    context->partly = failed > 0;
    sn_progress_bar_clear(context->bar);
    printf("%d of %d images segmented to %s\n", all->count - failed, all->count, options->output);
    return SN_OK;
}

sn_status cmd_predict(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    predict_options options = {
        .split = "test", .device = "cpu", .precision = "auto", .threads = sn_threads_default()};
    sn_model model = {0};
    sn_predictor *predictor = NULL;
    sn_dataset *dataset = NULL;
    subjects all = {0};
    bool made = false; /* the folder, here */
    SN_TRY(parse(&options, argc, argv, error));
    sn_predictor_options how = {
        .device = options.device, .threads = (int)options.threads, .memory = options.memory};
    SN_TRY(cli_precision_resolve(&how.precision, options.precision, how.device, error));
    if (how.memory == 0)
        SN_TRY(cli_memory_default(&how.memory, how.device, error));
    if (sn_device_is_gpu(how.device))
        SN_TRY(cli_memory_default(&how.host_memory, "cpu", error));
    SN_TRY(sn_model_load(&model, options.model, error));
    SN_TRY(subjects_collect(&all, &dataset, &model, &options, error));
    SN_TRY(outputs_check(&all, options.output, error));
    SN_TRY(sn_predictor_create(&predictor, &model, options.model, &how, error));
    made = !sn_path_exists(options.output);
    SN_TRY(sn_folder_create(options.output, error));
    SN_TRY(predict_all(context, &all, predictor, &model, &options, error));
done:
    if (status != SN_OK && made)
        rmdir(options.output); /* where nothing was written */
    subjects_clear(&all);
    sn_dataset_close(dataset);
    sn_predictor_free(predictor);
    sn_model_clear(&model);
    return status;
}
