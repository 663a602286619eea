/* segnas3d: finds the command, shows its progress and errors, turns its status into the exit code. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/options.h"
#include "comm/comm.h"
#include "search/trial.h"

enum { EXIT_PARTLY = 4 };

/* In the order in which a user needs them. */
static const cli_command commands[] = {
    {"check", "find every fault in a data set, and say how to mend it", cmd_check, false},
    {"search", "find the best network of a space for a data set", cmd_search, true},
    {"train", "train one network", cmd_train, true},
    {"predict", "segment images", cmd_predict, false},
    {"evaluate", "compare predictions with the truth", cmd_evaluate, false},
    {"inspect", "describe a network before it is trained", cmd_inspect, false},
    {"devices", "list what can compute here: the processor, GPUs", cmd_devices, false},
    {"synth", "make a cohort by deforming one labelled volume", cmd_synth, false},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void help_print(FILE *stream)
{
    fprintf(stream, "Usage: segnas3d COMMAND [ARGUMENTS] [OPTIONS]\n\n"
                    "Finds, trains and runs the network for your own 3D segmentation task.\n\nCommands:\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(stream, "  %-10s%s\n", commands[i].name, commands[i].summary);
    fprintf(stream,
            "\nOptions:\n"
            "  -h, --help     show this help; after a command, that command's\n"
            "      --version  show the version\n\n"
            "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad input, 4 partly done, 130 interrupted.\n");
}

static const cli_command *command_find(const char *name, sn_error *error)
{
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
        names[i] = commands[i].name;
    }
    const char *nearest = cli_nearest(name, names, COMMANDS);
    if (nearest != NULL)
        sn_error_set(error, SN_ERR_ARG, "unknown command \"%s\"; did you mean %s?", name, nearest);
    else
        sn_error_set(error, SN_ERR_ARG, "unknown command \"%s\"; `segnas3d --help` lists them", name);
    return NULL;
}

/* Only `search` knows of other processes: mpirun would have any other command do the same thing many times. */
static sn_status command_allowed(const cli_command *command, sn_error *error)
{
    if (command->run == cmd_search || getenv("OMPI_COMM_WORLD_SIZE") == NULL || sn_comm_started() == 1)
        return SN_OK;
    return sn_error_set(error, SN_ERR_ARG, "%s is done by one process; start it without mpirun",
                        command->name);
}

/* Into a worker's log, which has no bar. */
static void log_print(void *context, sn_log_level level, const char *text)
{
    (void)context;
    fprintf(stderr, "%s%s\n", level == SN_LOG_WARNING ? "warning: " : "", text);
}

static void on_log(void *context, sn_log_level level, const char *text)
{
    char line[1100];
    snprintf(line, sizeof line, "%s%s", level == SN_LOG_WARNING ? "warning: " : "", text);
    sn_progress_bar_print(context, line);
}

/* Run a command with a progress bar and the log on stderr. */
static sn_status command_run(cli_context *context, const cli_command *command, int argc, char **argv,
                             sn_error *error)
{
    sn_progress_bar *bar = NULL;
    sn_status status = sn_progress_bar_create(&bar, stderr, error);
    if (status != SN_OK)
        return status;
    context->bar = bar;
    context->progress = sn_progress_bar_progress(bar);
    sn_log_set_sink(on_log, bar, SN_LOG_INFO);
    status = command->run(context, argc, argv, error);
    sn_log_set_sink(NULL, NULL, SN_LOG_INFO);
    sn_progress_bar_free(bar);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == SN_OK)
        status = sn_error_set(error, SN_ERR_IO, "standard output: cannot write the results");
    return status;
}

/* A trial in a process of its own, started by `search`; not a command for people. */
static int worker(const char *master_pid)
{
    sn_log_set_sink(log_print, NULL, SN_LOG_INFO);
    return sn_worker_main(master_pid, sn_trial_handler, NULL);
}

/* Where a standard stream is closed, no file may take its number: messages would be written into it. */
static void streams_reserve(void)
{
    int file;
    do
        file = open("/dev/null", O_RDONLY | O_CLOEXEC); /* writing to it fails, as to a closed one */
    while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0)
        close(file);
}

/*
 * Threads that wait for each other shall soon sleep, not spin: another program on the same cores would slow both
 * many times. OpenMP's library reads its settings before main, so the program starts itself once more with them;
 * where that fails, it runs as it is.
 */
static void waiting_shorten(char **argv)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0 || getenv("OMP_WAIT_POLICY") != NULL || getenv("GOMP_SPINCOUNT") != NULL ||
        setenv("GOMP_SPINCOUNT", "1000", 1) != 0)
        return;
    path[length] = '\0';
    execv(path, argv);
}

int main(int argc, char **argv)
{
    sn_error error = SN_ERROR_INIT;
    cli_context context = {.bar = NULL};
    streams_reserve();
    if (argc < 2) {
        help_print(stderr);
        return sn_status_exit_code(SN_ERR_ARG);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help_print(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("segnas3d %s\n", SEGNAS3D_VERSION);
        return 0;
    }
    waiting_shorten(argv);
    sn_interrupt_install();
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        return worker(argv[2]);
    const cli_command *command = command_find(argv[1], &error);
    sn_status status = command != NULL ? command_allowed(command, &error) : SN_ERR_ARG;
    if (status == SN_OK)
        status = command_run(&context, command, argc - 1, argv + 1, &error);
    if (context.comm == NULL && !sn_comm_is_first() && (status == SN_ERR_ARG || status == SN_ERR_UNSUPPORTED))
        return 0; /* the first one says it; where another ended before it with an error, it could not */
    if (status == SN_ERR_INTERRUPTED)
        fprintf(stderr, "segnas3d: %s; the same command %s\n", error.text,
                command->goes_on ? "goes on" : "begins again");
    else if (status != SN_OK)
        fprintf(stderr, "segnas3d: %s\n", error.text);
    sn_comm_close(context.comm); /* takes a second or two; what is to be said is said before */
    return status == SN_OK && context.partly ? EXIT_PARTLY : sn_status_exit_code(status);
}
