/**
 * What `train` and `search` share: the options of a training, and its progress.
 */
#ifndef SN_CLI_TRAINING_H
#define SN_CLI_TRAINING_H

#include "cli/command.h"
#include "cli/options.h"
#include "train/task.h"

enum { CLI_TRAINING_OPTIONS = 17 };

/* Targets of the options; integers are 64-bit because the parser writes them so. */
typedef struct cli_training {
    int64_t size[3];
    int64_t epochs, batch, seed, threads, memory, cases, folds, fold;
    double learning_rate, dropout, loss_exponent;
    const char *loss, *device, *precision, *groups, *splits;
} cli_training;

/** The defaults: those of docs/method.md; threads all cores, memory 0 (not given). */
cli_training cli_training_defaults(void);

/** Write the CLI_TRAINING_OPTIONS rows of the shared options to `table`, with the help of --device. */
void cli_training_table(cli_option *table, cli_training *options, const char *device_help);

/** The task and the run that the options mean; strings stay the options'. SN_ERR_ARG; SN_ERR_UNSUPPORTED the
 * device is not there. */
sn_status cli_training_apply(sn_task_options *task, sn_task_run *run, const cli_training *options,
                             const char *dataset, sn_error *error);

/** "hippocampus: 2 labels; 130 training, ... test cases; box 48x64x48 at 1 mm, 1 channel": to the log. */
void cli_training_announce(const sn_task *task);

#endif
