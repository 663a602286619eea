/* segnas3d train: one network, from a data set to a model file. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/training.h"
#include "model/model.h"
#include "study/study.h"

typedef struct train_options {
    cli_training training;
    const char *output, *study, *arch, *net;
} train_options;

static sn_status parse(const char **dataset, train_options *options, int argc, char **argv, sn_error *error)
{
    cli_option table[CLI_TRAINING_OPTIONS + 5] = {
        {"output", 'o', CLI_TEXT, "MODEL", &options->output,
         "the model file to write, e.g. model.safetensors", 0, 0, true},
        {"study", 0, CLI_TEXT, "STUDY", &options->study, "train the best architecture of a search", 0, 0,
         false},
        {"arch", 'a', CLI_TEXT, "TEXT", &options->arch,
         "train this one, e.g. \"n=21 p=3 sup=1 res=0 nodes=3 ops=2,0,2\"", 0, 0, false},
        {"net", 0, CLI_CHOICE, "unet3d|vnet", &options->net, "train a published network", 0, 0, false},
    };
    cli_training_table(table + 4, &options->training,
                       "what computes; GPUs that are listed share the images of each batch");
    const cli_syntax syntax = {
        .command = "train",
        .usage = "DATASET -o MODEL (--study STUDY | --arch TEXT | --net unet3d|vnet)",
        .about =
            "Trains one network and writes it, with all that predictions need, to one file. Interrupted, the "
            "same "
            "command goes on where it was, to an epoch or so; until it is done its state is in MODEL.part.",
        .options = table,
        .operands_min = 1,
        .operands_max = 1,
    };
    int operands;
    sn_status status = cli_parse(&operands, &syntax, argc, argv, error);
    if (status != SN_OK)
        return status;
    *dataset = argv[0];
    if ((options->study != NULL) + (options->arch != NULL) + (options->net != NULL) != 1)
        return sn_error_set(error, SN_ERR_ARG, "train: give one of --study, --arch and --net");
    if (sn_path_name(options->output)[0] == '\0' || sn_path_is_folder(options->output))
        return sn_error_set(error, SN_ERR_ARG,
                            "train: option --output: \"%s\" is a folder; name a file in it", options->output);
    return SN_OK;
}

/* The architecture of a study's best iteration, and how its space trains it. */
static sn_status arch_of_study(sn_arch *arch, sn_reals *reals, const char *folder, sn_error *error)
{
    sn_status status;
    sn_study *study = NULL;
    json_t *simulated = NULL;
    char *text = NULL;
    SN_TRY(sn_study_open_read(&study, folder, error));
    SN_TRY(sn_study_setting_get(&simulated, study, "simulated", error));
    if (json_is_true(simulated)) {
        status =
            sn_error_set(error, SN_ERR_INPUT,
                         "%s: its trainings were simulated, so its best network means nothing; give a study "
                         "of a data set",
                         folder);
        goto done;
    }
    SN_TRY(sn_study_best_arch(&text, study, error));
    if (text == NULL) {
        status =
            sn_error_set(error, SN_ERR_INPUT, "%s: no network has been trained in this study yet", folder);
        goto done;
    }
    SN_TRY(sn_reals_parse(arch, reals, text, error));
done:
    sn_free(text);
    json_decref(simulated);
    sn_study_close(study);
    return status;
}

static sn_status choose_arch(sn_arch *arch, sn_reals *reals, const train_options *options, sn_error *error)
{
    sn_status status;
    char *text = NULL, reason[SN_ARCH_REASON];
    if (options->study != NULL) {
        SN_TRY(arch_of_study(arch, reals, options->study, error));
    } else if (options->arch != NULL) {
        SN_TRY(sn_reals_parse(arch, reals, options->arch, error));
    } else {
        SN_TRY(sn_string_format(&text, error, "net=%s", options->net));
        SN_TRY(sn_arch_parse(arch, text, error));
    }
    if (!sn_arch_legal(arch, reason))
        status = sn_error_set(error, SN_ERR_ARG, "train: option --arch: not a network: %s", reason);
done:
    sn_free(text);
    return status;
}

/* ---- what is shown ---- */

typedef struct watcher {
    const sn_progress *progress;
    int epochs;
    double best; /* NaN: none yet */
} watcher;

static void image_done(int epoch, int done, int total, void *context)
{
    const watcher *self = context;
    char note[64];
    if (isnan(self->best))
        snprintf(note, sizeof note, "epoch %d/%d", epoch, self->epochs);
    else
        snprintf(note, sizeof note, "epoch %d/%d  best %.4f", epoch, self->epochs, self->best);
    sn_progress_report(self->progress, "training", (int64_t)(epoch - 1) * total + done,
                       (int64_t)self->epochs * total, note);
}

static sn_status epoch_done(const sn_train_epoch *epoch, void *context, sn_error *error)
{
    watcher *self = context;
    (void)error;
    if (epoch->best)
        self->best = epoch->dice;
    sn_log(SN_LOG_INFO, "epoch %d/%d  loss %.4f  validation Dice %.4f  %.1f s%s", epoch->epoch, self->epochs,
           epoch->loss, epoch->dice, epoch->seconds, epoch->best ? "  best" : "");
    return SN_OK;
}

static void print_result(const sn_task *task, const sn_train_result *result, const char *output)
{
    const sn_label_table *labels = task->dataset->labels;
    char duration[32];
    sn_progress_duration(duration, result->seconds);
    printf("%-32s%s\n", "model", output);
    printf("%-32s%d, in %s\n", "best epoch", result->best_epoch, duration);
    for (int l = 1; l < labels->count; l++)
        printf("%-32s%.4f\n", labels->names[l], result->label_dice[l]);
    printf("%-32s%.4f\n", "mean validation Dice", result->dice);
}

/* ---- MODEL.part: the cache and the checkpoint of a training that is not done ---- */

typedef struct workplace {
    char *folder, *cache, *checkpoint, *lock_file;
    int lock; /* SN_NO_LOCK: another training's, or not there */
} workplace;

static sn_status workplace_name(workplace *self, const char *output, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_string_format(&self->folder, error, "%s.part", output));
    SN_TRY(sn_path_join(&self->cache, self->folder, "cache", error));
    SN_TRY(sn_path_join(&self->checkpoint, self->folder, "checkpoint", error));
    SN_TRY(sn_path_join(&self->lock_file, self->folder, "lock", error));
done:
    return status;
}

/* Make it this process's; refuse one that holds the epochs of another training, which would be lost. */
static sn_status workplace_begin(workplace *self, const char *key, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_folder_create(self->folder, error));
    SN_TRY(sn_folder_lock(&self->lock, self->folder, error));
    sn_folder_tidy(self->folder);
    sn_folder_tidy(self->cache);
    if (sn_checkpoint_is_foreign(self->checkpoint, key))
        status = sn_error_set(error, SN_ERR_ARG,
                              "%s: holds an unfinished training of other data, options, network or "
                              "processor; repeat its command, remove it, or choose another --output",
                              self->folder);
done:
    return status;
}

/* Remove what was made in it, and nothing else. */
static void workplace_remove(const workplace *self)
{
    sn_folder_remove(self->cache, NULL);
    unlink(self->checkpoint);
    unlink(self->lock_file);
    rmdir(self->folder);
}

/* Leave it for the next time only where there is something to go on from. */
static void workplace_end(workplace *self, sn_status status)
{
    bool ours = self->lock != SN_NO_LOCK;
    if (ours && status != SN_ERR_INTERRUPTED && (status == SN_OK || !sn_path_exists(self->checkpoint)))
        workplace_remove(self);
    sn_folder_unlock(self->lock);
    sn_free(self->folder);
    sn_free(self->cache);
    sn_free(self->checkpoint);
    sn_free(self->lock_file);
}

/* ---- the command ---- */

/* Of the GPUs that are listed each has an image of a batch. */
static sn_status check_gpus(const sn_task_run *run, sn_error *error)
{
    int gpus = sn_device_listed(run->device), batch = run->options.batch;
    if (gpus > batch)
        sn_log(SN_LOG_WARNING,
               "of %d GPUs %d have nothing to do but validate, since a batch has %d image%s; list fewer",
               gpus, gpus - batch, batch, batch == 1 ? "" : "s");
    return sn_device_check_alike(run->device, run->options.precision, error);
}

/* Refuse to overwrite what another command wrote; *done where the model is this very training's. */
static sn_status check_output(bool *done, const char *output, const char *key, sn_error *error)
{
    sn_model model = {0};
    const char *stored = NULL;
    *done = false;
    if (!sn_path_exists(output))
        return SN_OK;
    if (sn_model_load(&model, output, NULL) == SN_OK)
        json_unpack(model.training, "{s:s}", "key", &stored);
    *done = stored != NULL && strcmp(stored, key) == 0;
    sn_model_clear(&model);
    if (*done)
        return SN_OK;
    return sn_error_set(error, SN_ERR_ARG,
                        "%s: exists and is not this training's; remove it or choose another --output",
                        output);
}

/* The memory is checked before the cache is built: that may take long. */
static sn_status train(cli_context *context, sn_task *task, const sn_task_run *run, const workplace *part,
                       const char *output, sn_error *error)
{
    sn_status status;
    sn_train_shape shape = sn_task_shape(task);
    sn_train_memory memory;
    sn_train_result result = {0};
    watcher watch = {.progress = context->progress, .epochs = run->options.epochs, .best = NAN};
    sn_train_observer observer = {.image_done = image_done, .epoch_done = epoch_done, .context = &watch};
    cli_training_announce(task);
    SN_TRY(
        sn_train_check_memory(&memory, &run->arch, &shape, &run->options, run->device, run->memory, error));
    if (memory.recompute == SN_RECOMPUTE_SEGMENTS)
        sn_log(SN_LOG_INFO, "blocks are computed twice, to need %.0f MiB of the budget of %.0f MiB",
               (double)memory.bytes / 0x1p20, (double)run->memory / 0x1p20);
    SN_TRY(sn_task_build(task, part->cache, run->threads, context->progress, error));
    SN_TRY(sn_task_train(&result, task, run, output, &observer, error));
    sn_progress_bar_clear(context->bar);
    print_result(task, &result, output);
done:
    sn_train_result_clear(&result);
    return status;
}

sn_status cmd_train(cli_context *context, int argc, char **argv, sn_error *error)
{
    sn_status status;
    const char *dataset;
    char key[SN_HASH_TEXT];
    bool done;
    train_options options = {.training = cli_training_defaults()};
    sn_task_options task_options;
    sn_task_run run = {.arch = SN_ARCH_INIT};
    sn_reals reals = SN_REALS_INIT;
    sn_task task = {0};
    workplace part = {.lock = SN_NO_LOCK};
    SN_TRY(parse(&dataset, &options, argc, argv, error));
    SN_TRY(choose_arch(&run.arch, &reals, &options, error));
    SN_TRY(cli_training_apply(&task_options, &run, &options.training, dataset, error));
    sn_train_options_adopt(&run.options, &reals);
    SN_TRY(check_gpus(&run, error));
    SN_TRY(workplace_name(&part, options.output, error));
    if (run.memory == 0)
        SN_TRY(cli_memory_default(&run.memory, run.device, error));
    run.checkpoint = part.checkpoint;
    SN_TRY(sn_task_prepare(&task, &task_options, context->progress, error));
    SN_TRY(sn_task_key(key, &task, &run, error));
    SN_TRY(check_output(&done, options.output, key, error));
    if (!done || sn_path_exists(part.folder))
        SN_TRY(workplace_begin(&part, key, error));
    if (done)
        sn_log(SN_LOG_INFO, "%s: is trained already", options.output);
    else
        SN_TRY(train(context, &task, &run, &part, options.output, error));
done:
    workplace_end(&part, status);
    sn_task_clear(&task);
    return status;
}
