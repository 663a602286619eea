/* The master's side of search/worker.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "search/oom.h"
#include "search/worker.h"

extern char **environ;

enum {
    POLL_MILLISECONDS = 100, /* how late an interrupt is noticed */
    CHUNK = 4096,
    LINE_LIMIT = 16 << 20, /* bytes: no report is longer */
};

/* One attempt: a worker's life as the master sees it. */
typedef struct attempt {
    const sn_worker_options *options;
    pid_t pid;         /* 0: not started, or buried */
    int socket;        /* -1: none */
    char *line;        /* what was received and not ended by a newline yet */
    size_t used, size; /* bytes of line */
    json_t *end;       /* the line that ends it: "result" or "error"; NULL: none came */
    double deadline;   /* when it is killed; 0: not before it is asked to end */
    int wait_status;   /* of waitpid */
    int64_t oom_kills; /* before it began */
} attempt;

void sn_worker_outcome_clear(sn_worker_outcome *outcome)
{
    sn_free(outcome->reason);
    json_decref(outcome->result);
    *outcome = (sn_worker_outcome){.reason = NULL};
}

/* ---- start, and stop ---- */

/* Two ends of a connection, ours first; none of them is among the descriptors 0..3 that the worker gets. */
static sn_status sockets_open(int ends[2], sn_error *error)
{
    int raw[2] = {-1, -1};
    ends[0] = ends[1] = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw) != 0)
        return sn_error_set(error, SN_ERR_IO, "cannot start a worker: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        ends[i] = fcntl(raw[i], F_DUPFD_CLOEXEC, 4);
    close(raw[0]);
    close(raw[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return SN_OK;
    return sn_error_set(error, SN_ERR_IO, "cannot start a worker: %s", strerror(errno));
}

/* Start this program as `worker`: connection on 0 and 3, log on 1 and 2, signals as in a fresh process. */
static sn_status process_spawn(attempt *self, int connection, sn_error *error)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults, mask;
    char master[32], command[] = "worker";
    char *arguments[] = {program_invocation_name, command, master, NULL};
    snprintf(master, sizeof master, "%ld", (long)getpid());
    sigfillset(&defaults);
    sigemptyset(&mask);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 1, self->options->log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_adddup2(&actions, connection, 0);
    posix_spawn_file_actions_adddup2(&actions, connection, 3);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    int cause = posix_spawn(&self->pid, "/proc/self/exe", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (cause == 0)
        return SN_OK;
    self->pid = 0;
    return sn_error_set(error, SN_ERR_IO, "cannot start a worker that logs to %s: %s", self->options->log,
                        strerror(cause));
}

/* Send the job; a worker that dies meanwhile is noticed later, by its silence. */
static void job_send(int socket, const char *text)
{
    for (size_t sent = 0, size = strlen(text); sent < size;) {
        ssize_t count = send(socket, text + sent, size - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            break;
        sent += count < 0 ? 0 : (size_t)count;
    }
    shutdown(socket, SHUT_WR);
}

static sn_status attempt_start(attempt *self, const char *job, sn_error *error)
{
    sn_status status;
    int ends[2];
    self->oom_kills = sn_oom_kills();
    SN_TRY(sockets_open(ends, error));
    SN_TRY(process_spawn(self, ends[1], error));
    self->socket = ends[0];
    ends[0] = -1;
    close(ends[1]); /* so that the worker's death ends the connection */
    ends[1] = -1;
    job_send(self->socket, job);
done:
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return status;
}

/* Ask the worker to end; it is killed when the grace is over. Only the first request counts. */
static void attempt_stop(attempt *self)
{
    if (self->deadline != 0)
        return;
    kill(self->pid, SIGTERM);
    self->deadline = sn_clock_now() + self->options->grace_seconds;
}

/* Kill the worker when its time is over. */
static void attempt_enforce(attempt *self)
{
    if (self->deadline != 0 && sn_clock_now() > self->deadline)
        kill(self->pid, SIGKILL);
}

/* Wait for the end of a worker that has closed its connection. */
static void attempt_bury(attempt *self)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    if (self->deadline == 0)
        self->deadline = sn_clock_now() + self->options->grace_seconds;
    for (;;) {
        pid_t buried = waitpid(self->pid, &self->wait_status, WNOHANG);
        if (buried == self->pid || (buried < 0 && errno != EINTR))
            break;
        attempt_enforce(self);
        nanosleep(&pause, NULL);
    }
    self->pid = 0;
}

/* Free; a worker that still runs, since following it failed, ends first. */
static void attempt_clear(attempt *self)
{
    if (self->socket >= 0)
        close(self->socket);
    if (self->pid != 0) {
        attempt_stop(self);
        attempt_bury(self);
    }
    sn_free(self->line);
    json_decref(self->end);
}

/* ---- the reports ---- */

static sn_status line_take(attempt *self, const char *text, size_t size, sn_error *error)
{
    sn_status status = SN_OK;
    json_t *line = json_loadb(text, size, 0, NULL);
    const json_t *report = json_object_get(line, "report");
    if (report != NULL && self->options->on_report != NULL)
        SN_TRY(self->options->on_report(report, self->options->context, error));
    if (json_object_get(line, "result") != NULL || json_object_get(line, "error") != NULL) {
        json_decref(self->end);
        self->end = json_incref(line);
    }
done:
    json_decref(line);
    return status;
}

/* Make room for another chunk and a bit. */
static sn_status line_reserve(attempt *self, sn_error *error)
{
    sn_status status = SN_OK;
    char *larger = NULL;
    if (self->used + CHUNK <= self->size)
        return SN_OK;
    size_t size = 2 * self->size + CHUNK;
    if (size > LINE_LIMIT)
        return sn_error_set(error, SN_ERR_FAILED, "a worker sent a line of more than %d bytes",
                            LINE_LIMIT / 2);
    SN_TRY(sn_alloc(&larger, size, 1, error));
    if (self->used > 0)
        memcpy(larger, self->line, self->used);
    sn_free(self->line);
    self->line = larger;
    self->size = size;
done:
    return status;
}

/* Receive what is there and take its lines; `*open` is false at the end of the connection. */
static sn_status attempt_receive(attempt *self, bool *open, sn_error *error)
{
    sn_status status;
    SN_TRY(line_reserve(self, error));
    ssize_t count = recv(self->socket, self->line + self->used, CHUNK, 0);
    *open = count > 0 || (count < 0 && errno == EINTR);
    self->used += count > 0 ? (size_t)count : 0;
    char *begin = self->line, *end = self->line + self->used;
    for (char *newline; (newline = memchr(begin, '\n', (size_t)(end - begin))) != NULL; begin = newline + 1)
        SN_TRY(line_take(self, begin, (size_t)(newline - begin), error));
    self->used = (size_t)(end - begin);
    memmove(self->line, begin, self->used);
done:
    return status;
}

/* Follow the worker until it is gone. */
static sn_status attempt_follow(attempt *self, sn_error *error)
{
    sn_status status = SN_OK;
    bool open = true;
    while (open) {
        struct pollfd wanted = {.fd = self->socket, .events = POLLIN};
        if (poll(&wanted, 1, POLL_MILLISECONDS) > 0)
            SN_TRY(attempt_receive(self, &open, error));
        if (sn_interrupt_requested())
            attempt_stop(self);
        if (self->end != NULL && self->deadline == 0)
            self->deadline = sn_clock_now() + self->options->grace_seconds;
        attempt_enforce(self);
    }
    attempt_bury(self);
done:
    return status;
}

/* ---- what became of it ---- */

static sn_status outcome_set(sn_worker_outcome *outcome, sn_worker_end end, const char *reason,
                             sn_error *error)
{
    outcome->end = end;
    return sn_string_copy(&outcome->reason, reason, error);
}

/* Say how a worker without a result ended. */
static void death_describe(char *text, size_t size, const attempt *self)
{
    int ended = self->wait_status;
    if (WIFSIGNALED(ended))
        snprintf(text, size, "the worker was ended by signal %d (%s)", WTERMSIG(ended),
                 strsignal(WTERMSIG(ended)));
    else
        snprintf(text, size, "the worker ended without a result, exit code %d", WEXITSTATUS(ended));
}

/*
 * Turn the end of an attempt into an outcome, an error of the world, or a death: then `*again` is true and
 * `death` says what happened.
 */
static sn_status attempt_judge(sn_worker_outcome *outcome, bool *again, sn_error *death, const attempt *self,
                               sn_error *error)
{
    json_t *result = json_object_get(self->end, "result");
    json_t *fault = json_object_get(self->end, "error");
    sn_status reported = (sn_status)json_integer_value(json_object_get(fault, "status"));
    const char *text = json_string_value(json_object_get(fault, "text"));
    text = text == NULL ? "" : text;
    *again = false;
    if (result != NULL) {
        outcome->end = SN_WORKER_DONE;
        outcome->result = json_incref(result);
        return SN_OK;
    }
    if (reported == SN_ERR_MEMORY)
        return outcome_set(outcome, SN_WORKER_MEMORY, text, error);
    if (reported == SN_ERR_NUMERIC)
        return outcome_set(outcome, SN_WORKER_FAILED, text, error);
    if (sn_interrupt_requested())
        return sn_interrupt_check(error);
    if (fault != NULL && reported != SN_ERR_FAILED && reported != SN_ERR_INTERRUPTED)
        return sn_error_set(error, reported == SN_OK ? SN_ERR_FAILED : reported, "%s", text);
    bool killed = WIFSIGNALED(self->wait_status) && WTERMSIG(self->wait_status) == SIGKILL;
    if (killed && sn_oom_kills() > self->oom_kills)
        return outcome_set(outcome, SN_WORKER_MEMORY, "killed by the kernel's memory control", error);
    *again = true;
    if (fault != NULL)
        sn_error_set(death, SN_ERR_FAILED, "%s", text);
    else
        death_describe(death->text, sizeof death->text, self);
    return SN_OK;
}

static sn_status attempt_run(sn_worker_outcome *outcome, bool *again, sn_error *death, const char *job,
                             const sn_worker_options *options, sn_error *error)
{
    sn_status status;
    attempt self = {.options = options, .socket = -1};
    SN_TRY(attempt_start(&self, job, error));
    SN_TRY(attempt_follow(&self, error));
    SN_TRY(attempt_judge(outcome, again, death, &self, error));
done:
    attempt_clear(&self);
    return status;
}

sn_status sn_worker_run(sn_worker_outcome *outcome, const json_t *job, const sn_worker_options *options,
                        sn_error *error)
{
    sn_status status = SN_OK;
    sn_error death = SN_ERROR_INIT;
    bool again = true;
    char *text = json_dumps(job, JSON_COMPACT | JSON_REAL_PRECISION(17));
    *outcome = (sn_worker_outcome){.reason = NULL};
    if (text == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: a job's text");
    for (int i = 0; again && i < options->attempts; i++) {
        if (i > 0 && options->on_retry != NULL)
            SN_TRY(options->on_retry(options->context, error));
        SN_TRY(attempt_run(outcome, &again, &death, text, options, error));
    }
    if (again) {
        outcome->end = SN_WORKER_FAILED;
        SN_TRY(sn_string_format(&outcome->reason, error, "%.800s (%d times; see %.200s)", death.text,
                                options->attempts, options->log));
    }
done:
    free(text);
    return status;
}
