#include "cli/training.h"

#include <string.h>

#include "base/log.h"
#include "base/threads.h"

cli_training cli_training_defaults(void)
{
    const sn_train_options train = SN_TRAIN_OPTIONS_INIT;
    const sn_split_options split = SN_SPLIT_OPTIONS_INIT;
    return (cli_training){
        .size = {128, 128, 128},
        .epochs = train.epochs,
        .batch = train.batch,
        .seed = (int64_t)split.seed,
        .threads = sn_threads_default(),
        .learning_rate = train.learning_rate,
        .dropout = train.dropout,
        .loss = "explog",
        .loss_exponent = train.loss_exponent,
        .device = "cpu",
        .precision = "auto",
    };
}

void cli_training_table(cli_option *table, cli_training *options, const char *device_help)
{
    const cli_option rows[] = {
        {"size", 's', CLI_SIZE, "S|DxHxW|auto", options->size,
         "the box that every case is brought to, voxels; auto: the smallest that holds all at their own "
         "spacing",
         0, 0, false},
        {"epochs", 'e', CLI_INTEGER, "N", &options->epochs, "passes over the training cases", 1, 1000000,
         false},
        {"batch", 'b', CLI_INTEGER, "N", &options->batch, "images a step", 1, 1024, false},
        {"seed", 0, CLI_INTEGER, "N", &options->seed, "of the split, the weights and all else that is drawn",
         0, 4294967295.0, false},
        {"cases", 0, CLI_INTEGER, "N", &options->cases, "use about N cases only, drawn with the seed", 3,
         1000000, false},
        {"folds", 0, CLI_INTEGER, "K", &options->folds, "K-fold cross-validation instead of 50/20/30 %", 2,
         256, false},
        {"fold", 0, CLI_INTEGER, "I", &options->fold,
         "which fold is tested, from 0; or which entry of --splits", 0, 999, false},
        {"splits", 0, CLI_TEXT, "FILE", &options->splits, "nnU-Net's splits_final.json", 0, 0, false},
        {"groups", 0, CLI_TEXT, "FILE", &options->groups,
         "JSON, case to group (one person scanned twice); no group is divided by the split", 0, 0, false},
        {"learning-rate", 0, CLI_NUMBER, "R", &options->learning_rate, "of the optimiser, Nadam", 1e-9, 1,
         false},
        {"dropout", 0, CLI_NUMBER, "R", &options->dropout, "share of channels dropped after each block", 0,
         0.95, false},
        {"loss", 0, CLI_CHOICE, "explog|dice-ce", &options->loss,
         "exponential logarithmic loss, or Dice and cross-entropy", 0, 0, false},
        {"loss-exponent", 0, CLI_NUMBER, "R", &options->loss_exponent, "of the exponential logarithmic loss",
         sn_real_describe(SN_REAL_LOSS_EXPONENT)->min, sn_real_describe(SN_REAL_LOSS_EXPONENT)->max, false},
        {"memory", 'm', CLI_MEMORY, "SIZE", &options->memory,
         "budget of one training, e.g. 16G; default: nine tenths of the machine's, or of what is free on the "
         "GPU",
         0, 0, false},
        {"threads", 't', CLI_INTEGER, "N", &options->threads,
         "processor threads; the result does not depend on it", 1, 4096, false},
        cli_option_device(&options->device, SN_DEVICE_GPUS, device_help),
        cli_option_precision(&options->precision),
    };
    _Static_assert(sizeof rows / sizeof *rows == CLI_TRAINING_OPTIONS, "training.h says how many");
    memcpy(table, rows, sizeof rows);
}

sn_status cli_training_apply(sn_task_options *task, sn_task_run *run, const cli_training *options,
                             const char *dataset, sn_error *error)
{
    sn_status status;
    *task =
        (sn_task_options){.dataset = dataset, .split = SN_SPLIT_OPTIONS_INIT, .cases = (int)options->cases};
    memcpy(task->size, options->size, sizeof task->size);
    task->split.seed = (uint64_t)options->seed;
    task->split.folds = (int)options->folds;
    task->split.fold = (int)options->fold;
    task->split.file = options->splits;
    task->split.groups = options->groups;
    run->options = (sn_train_options){.epochs = (int)options->epochs,
                                      .batch = (int)options->batch,
                                      .seed = (uint64_t)options->seed,
                                      .learning_rate = options->learning_rate,
                                      .dropout = options->dropout,
                                      .loss_exponent = options->loss_exponent};
    run->device = options->device;
    run->threads = (int)options->threads;
    run->memory = options->memory;
    SN_TRY(cli_precision_resolve(&run->options.precision, options->precision, options->device, error));
    SN_TRY(sn_loss_parse(&run->options.loss, options->loss, error));
    if (run->options.loss != SN_LOSS_EXPLOG && options->loss_exponent != SN_TRAIN_LOSS_EXPONENT)
        status = sn_error_set(error, SN_ERR_ARG, "option --loss-exponent: the loss %s has none; leave it out",
                              options->loss);
done:
    return status;
}

void cli_training_announce(const sn_task *task)
{
    const int *count = task->split.count;
    const sn_preprocessing *preprocessing = &task->preprocessing;
    sn_log(SN_LOG_INFO,
           "%s: %d labels; %d training, %d validation, %d test cases; box %dx%dx%d at %.3g mm, %d channel%s",
           task->dataset->name, task->dataset->labels->count - 1, count[SN_TRAINING], count[SN_VALIDATION],
           count[SN_TESTING], (int)preprocessing->size[0], (int)preprocessing->size[1],
           (int)preprocessing->size[2], preprocessing->spacing_mm, preprocessing->channels,
           preprocessing->channels == 1 ? "" : "s");
}
