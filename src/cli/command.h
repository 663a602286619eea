/**
 * The commands: one cmd_*.c each, listed in main.c.
 */
#ifndef SN_CLI_COMMAND_H
#define SN_CLI_COMMAND_H

#include <stdbool.h>

#include "base/progress.h"
#include "base/status.h"
#include "comm/comm.h"

/* What a command shares with main. */
typedef struct cli_context {
    sn_progress_bar *bar;        /* on stderr; clear it before printing results */
    const sn_progress *progress; /* to hand down: the bar */
    sn_comm *comm;               /* a command's that has met other processes; main parts from them */
    bool partly;                 /* set by a command that did only part of what was asked: exit code 4 */
} cli_context;

typedef sn_status cli_run(cli_context *context, int argc, char **argv, sn_error *error);

typedef struct cli_command {
    const char *name;
    const char *summary; /* one line of `segnas3d --help` */
    cli_run *run;
    bool goes_on; /* interrupted, the same command goes on where it was; else it begins again */
} cli_command;

cli_run cmd_check, cmd_devices, cmd_evaluate, cmd_inspect, cmd_predict, cmd_search, cmd_synth, cmd_train;

#endif
