#include "search/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/interrupt.h"

enum { REPORTS = 3 }; /* the descriptor that the master reads */

struct sn_worker_reporter {
    int descriptor;
    double beaten; /* when sn_worker_beat last sent a line */
};

/* Write {kind: value} as one line. */
static sn_status line_send(int descriptor, const char *kind, const json_t *value, sn_error *error)
{
    sn_status status = SN_OK;
    json_t *line = json_pack("{s:O}", kind, value);
    char *text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(line);
    if (text == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: a report to the master");
    size_t size = strlen(text) + 1, sent = 0;
    text[size - 1] = '\n'; /* takes the place of the terminating zero */
    while (sent < size && status == SN_OK) {
        ssize_t count = write(descriptor, text + sent, size - sent);
        if (count >= 0)
            sent += (size_t)count;
        else if (errno != EINTR)
            status = sn_error_set(error, SN_ERR_IO, "cannot report to the master: %s", strerror(errno));
    }
    free(text);
    return status;
}

sn_status sn_worker_report(sn_worker_reporter *reporter, const json_t *report, sn_error *error)
{
    return line_send(reporter->descriptor, "report", report, error);
}

void sn_worker_beat(sn_worker_reporter *reporter)
{
    double now = sn_clock_now();
    if (now - reporter->beaten < 1)
        return;
    reporter->beaten = now;
    line_send(reporter->descriptor, "alive", json_true(),
              NULL); /* that the master is gone is noticed later */
}

/* The last line: what the handler returned. */
static sn_status end_send(int descriptor, sn_status ended, const json_t *result, const sn_error *cause,
                          sn_error *error)
{
    if (ended == SN_OK)
        return line_send(descriptor, "result", result, error);
    json_t *object = json_pack("{s:i, s:s}", "status", ended, "text", cause->text);
    sn_status status = line_send(descriptor, "error", object, error);
    json_decref(object);
    return status;
}

int sn_worker_main(const char *master_pid, sn_worker_handler *handler, void *context)
{
    sn_worker_reporter reporter = {.descriptor = REPORTS};
    sn_error error = SN_ERROR_INIT;
    json_t *result = NULL;
    sn_interrupt_install();
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != (pid_t)strtol(master_pid, NULL, 10))
        return EXIT_FAILURE; /* the master died before the line above */
    fcntl(REPORTS, F_SETFD, FD_CLOEXEC);
    json_t *job = json_loadf(stdin, 0, NULL);
    if (job == NULL)
        return EXIT_FAILURE; /* the master died, or a person tries the command by hand */
    sn_status status = handler(&result, job, &reporter, context, &error);
    status = end_send(REPORTS, status, result, &error, &error);
    json_decref(result);
    json_decref(job);
    return status == SN_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
