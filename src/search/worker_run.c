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
#include <sys/resource.h>
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

struct sn_worker {
    sn_worker_options options;
    char *job; /* text; malloc's */
    int attempts;
    /* of the attempt under way: a worker's life as the master sees it */
    pid_t pid;            /* 0: not started, or buried */
    int socket;           /* -1: none, or it came to its end */
    char *line;           /* what was received and not ended by a newline yet */
    size_t used, size;    /* bytes of line */
    json_t *end;          /* the line that ends it: "result" or "error"; NULL: none came */
    double began, heard;  /* when it was started; when its last line came */
    double deadline;      /* when it is killed; 0: not before it is asked to end */
    bool stopped;         /* as sn_worker_stop asked */
    bool hung, overdue;   /* it was silent too long; it ran too long */
    int wait_status;      /* of waitpid */
    double counted;       /* when oom_kills were counted */
    int64_t oom_kills[2]; /* kills for memory, counted a second ago or two, and last */
};

void sn_worker_outcome_clear(sn_worker_outcome *outcome)
{
    sn_free(outcome->reason);
    json_decref(outcome->result);
    *outcome = (sn_worker_outcome){.reason = NULL};
}

/* ---- start, and stop ---- */

sn_status sn_worker_sockets(int ends[2], sn_error *error)
{
    int raw[2] = {-1, -1};
    ends[0] = ends[1] = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw) != 0)
        return sn_error_set(error, SN_ERR_IO, "cannot start a worker: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        ends[i] = fcntl(raw[i], F_DUPFD_CLOEXEC, SN_WORKER_CONNECTION + 1);
    close(raw[0]);
    close(raw[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return SN_OK;
    return sn_error_set(error, SN_ERR_IO, "cannot start a worker: %s", strerror(errno));
}

/* Start this program as `worker`: connection on 0 and 3, log on 1 and 2, signals as in a fresh process. */
static sn_status process_spawn(sn_worker *self, int connection, sn_error *error)
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
    posix_spawn_file_actions_addopen(&actions, 1, self->options.log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_adddup2(&actions, connection, 0);
    posix_spawn_file_actions_adddup2(&actions, connection, 3);
    if (self->options.connection > 0)
        posix_spawn_file_actions_adddup2(&actions, self->options.connection, SN_WORKER_CONNECTION);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    int cause = posix_spawn(&self->pid, "/proc/self/exe", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (cause == 0)
        return SN_OK;
    self->pid = 0;
    return sn_error_set(error, SN_ERR_IO, "cannot start a worker that logs to %s: %s", self->options.log,
                        strerror(cause));
}

/* What the process may use is set before it has its job, so before it has threads. */
static void process_limit(const sn_worker *self)
{
    struct rlimit limit = {(rlim_t)self->options.memory_limit, (rlim_t)self->options.memory_limit};
    if (self->options.cores != NULL)
        sched_setaffinity(self->pid, sizeof *self->options.cores, self->options.cores);
    if (self->options.memory_limit > 0)
        prlimit(self->pid, RLIMIT_DATA, &limit, NULL);
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

static sn_status attempt_start(sn_worker *self, sn_error *error)
{
    sn_status status;
    int ends[2];
    self->attempts++;
    self->began = self->heard = self->counted = sn_clock_now();
    self->oom_kills[0] = self->oom_kills[1] = sn_oom_kills();
    SN_TRY(sn_worker_sockets(ends, error));
    SN_TRY(process_spawn(self, ends[1], error));
    process_limit(self);
    self->socket = ends[0];
    ends[0] = -1;
    close(ends[1]); /* so that the worker's death ends the connection */
    ends[1] = -1;
    job_send(self->socket, self->job);
done:
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return status;
}

/* Ask the worker to end; it is killed when the grace is over. Only the first request counts. */
static void attempt_stop(sn_worker *self)
{
    if (self->pid == 0 || self->deadline != 0)
        return;
    kill(self->pid, SIGTERM);
    self->deadline = sn_clock_now() + self->options.grace_seconds;
}

/* See what is due: the end of an interrupted program, of a job that is done, hangs or takes too long. */
static void attempt_watch(sn_worker *self)
{
    double now = sn_clock_now(), limit = self->options.limit_seconds;
    if (self->pid == 0)
        return;
    if (sn_interrupt_requested())
        attempt_stop(self);
    if ((self->end != NULL || self->socket < 0) && self->deadline == 0)
        self->deadline = now + self->options.grace_seconds;
    if (self->deadline == 0 && now - self->heard > self->options.silence_seconds) {
        self->hung = true;
        self->deadline = now;
    }
    if (self->deadline == 0 && limit > 0 && now - self->began > limit) {
        self->overdue = true;
        attempt_stop(self);
    }
    if (self->deadline != 0 && now >= self->deadline)
        kill(self->pid, SIGKILL);
    if (now - self->counted > 1) {
        self->oom_kills[0] = self->oom_kills[1];
        self->oom_kills[1] = sn_oom_kills();
        self->counted = now;
    }
}

/* True where the process has ended; it is not known any more then. */
static bool attempt_buried(sn_worker *self)
{
    pid_t buried = waitpid(self->pid, &self->wait_status, WNOHANG);
    if (buried == 0 || (buried < 0 && errno == EINTR))
        return false;
    self->pid = 0;
    return true;
}

/* Free what an attempt holds; a worker that still runs ends first. */
static void attempt_clear(sn_worker *self)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    if (self->socket >= 0)
        close(self->socket);
    self->socket = -1;
    attempt_stop(self);
    while (self->pid != 0 && !attempt_buried(self)) {
        attempt_watch(self);
        nanosleep(&pause, NULL);
    }
    json_decref(self->end);
    self->end = NULL;
    self->used = 0;
    self->deadline = 0;
    self->hung = self->overdue = false;
}

/* ---- the reports ---- */

static sn_status line_take(sn_worker *self, const char *text, size_t size, sn_error *error)
{
    sn_status status = SN_OK;
    json_t *line = json_loadb(text, size, 0, NULL);
    const json_t *report = json_object_get(line, "report");
    if (report != NULL && self->options.on_report != NULL)
        SN_TRY(self->options.on_report(report, self->options.context, error));
    if (json_object_get(line, "result") != NULL || json_object_get(line, "error") != NULL) {
        json_decref(self->end);
        self->end = json_incref(line);
    }
done:
    json_decref(line);
    return status;
}

/* Make room for another chunk and a bit. */
static sn_status line_reserve(sn_worker *self, sn_error *error)
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

/* Take the whole lines of what was received. */
static sn_status lines_take(sn_worker *self, sn_error *error)
{
    sn_status status = SN_OK;
    char *begin = self->line, *end = self->line + self->used;
    for (char *newline; (newline = memchr(begin, '\n', (size_t)(end - begin))) != NULL; begin = newline + 1)
        SN_TRY(line_take(self, begin, (size_t)(newline - begin), error));
    self->used = (size_t)(end - begin);
    memmove(self->line, begin, self->used);
done:
    return status;
}

/* Receive what is there and take its lines; the socket is -1 after the end of the connection. */
static sn_status attempt_receive(sn_worker *self, sn_error *error)
{
    sn_status status = SN_OK;
    while (self->socket >= 0) {
        SN_TRY(line_reserve(self, error));
        ssize_t count = recv(self->socket, self->line + self->used, CHUNK, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (count <= 0) {
            close(self->socket);
            self->socket = -1;
            break;
        }
        self->heard = sn_clock_now();
        self->used += (size_t)count;
        SN_TRY(lines_take(self, error));
    }
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
static void death_describe(char *text, size_t size, const sn_worker *self)
{
    int ended = self->wait_status;
    if (self->hung)
        snprintf(text, size, "the worker gave no sign of life for %.0f s", self->options.silence_seconds);
    else if (WIFSIGNALED(ended))
        snprintf(text, size, "the worker was ended by signal %d (%s)", WTERMSIG(ended),
                 strsignal(WTERMSIG(ended)));
    else
        snprintf(text, size, "the worker ended without a result, exit code %d", WEXITSTATUS(ended));
}

/* An end that says nothing about the job: stopped, over its time, or a fault of the world. */
static sn_status end_judge(sn_worker_outcome *outcome, const sn_worker *self, sn_status reported,
                           const char *text, sn_error *error)
{
    char reason[64];
    if (sn_interrupt_requested())
        return sn_interrupt_check(error);
    if (self->stopped)
        outcome->end = SN_WORKER_STOPPED;
    else if (self->overdue) {
        snprintf(reason, sizeof reason, "over the time limit of %.4g h", self->options.limit_seconds / 3600);
        return outcome_set(outcome, SN_WORKER_FAILED, reason, error);
    } else if (reported != SN_OK && reported != SN_ERR_FAILED && reported != SN_ERR_INTERRUPTED)
        return sn_error_set(error, reported, "%s", text);
    return SN_OK;
}

/*
 * Turn the end of an attempt into an outcome, an error of the world, or a death: then the outcome is still
 * SN_WORKER_RUNNING and `death` says what happened.
 */
static sn_status attempt_judge(sn_worker_outcome *outcome, char *death, size_t size, const sn_worker *self,
                               sn_error *error)
{
    sn_status status;
    json_t *result = json_object_get(self->end, "result");
    json_t *fault = json_object_get(self->end, "error");
    sn_status reported = (sn_status)json_integer_value(json_object_get(fault, "status"));
    const char *text = json_string_value(json_object_get(fault, "text"));
    text = text == NULL ? "" : text;
    if (result != NULL) {
        outcome->end = SN_WORKER_DONE;
        outcome->result = json_incref(result);
        return SN_OK;
    }
    if (reported == SN_ERR_MEMORY)
        return outcome_set(outcome, SN_WORKER_MEMORY, text, error);
    if (reported == SN_ERR_NUMERIC)
        return outcome_set(outcome, SN_WORKER_FAILED, text, error);
    status = end_judge(outcome, self, reported, text, error);
    if (status != SN_OK || outcome->end != SN_WORKER_RUNNING)
        return status;
    bool killed = WIFSIGNALED(self->wait_status) && WTERMSIG(self->wait_status) == SIGKILL;
    if (killed && !self->hung && sn_oom_kills() > self->oom_kills[0])
        return outcome_set(outcome, SN_WORKER_MEMORY, "killed by the kernel's memory control", error);
    if (fault != NULL)
        snprintf(death, size, "%s", text);
    else
        death_describe(death, size, self);
    return SN_OK;
}

sn_status sn_worker_retry(bool *again, sn_worker_outcome *outcome, const sn_worker_options *options,
                          int attempts, const char *death, sn_error *error)
{
    *again = attempts < options->attempts;
    if (*again)
        return options->on_retry == NULL ? SN_OK : options->on_retry(death, options->context, error);
    outcome->end = SN_WORKER_FAILED;
    return sn_string_format(&outcome->reason, error, "%.800s (%d times; see %.200s)", death, attempts,
                            options->log);
}

/* A worker has died: start it again, or give up. */
static sn_status attempt_repeat(sn_worker_outcome *outcome, sn_worker *self, const char *death,
                                sn_error *error)
{
    bool again;
    attempt_clear(self);
    if (self->options.attempts == 0)
        return outcome_set(outcome, SN_WORKER_DIED, death, error);
    sn_status status = sn_worker_retry(&again, outcome, &self->options, self->attempts, death, error);
    return status == SN_OK && again ? attempt_start(self, error) : status;
}

/* ---- the work ---- */

sn_status sn_worker_begin(sn_worker **worker, const json_t *job, const sn_worker_options *options,
                          sn_error *error)
{
    sn_status status;
    sn_worker *self = NULL;
    *worker = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->options = *options;
    self->socket = -1;
    self->job = json_dumps(job, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (self->job == NULL) {
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: a job's text");
        goto done;
    }
    SN_TRY(attempt_start(self, error));
    *worker = self;
    self = NULL;
done:
    sn_worker_free(self);
    return status;
}

void sn_workers_wait(sn_worker *const *workers, int count)
{
    struct pollfd wanted[SN_WORKERS];
    nfds_t open = 0;
    int milliseconds = POLL_MILLISECONDS;
    for (int i = 0; i < count; i++) {
        if (workers[i] == NULL)
            continue;
        if (workers[i]->socket < 0)
            milliseconds = 1; /* its process is about to end, which no descriptor tells */
        else
            wanted[open++] = (struct pollfd){.fd = workers[i]->socket, .events = POLLIN};
    }
    poll(wanted, open, milliseconds);
}

sn_status sn_worker_attend(sn_worker_outcome *outcome, sn_worker *worker, sn_error *error)
{
    sn_status status;
    char death[sizeof error->text] = "";
    *outcome = (sn_worker_outcome){.end = SN_WORKER_RUNNING};
    SN_TRY(attempt_receive(worker, error));
    attempt_watch(worker);
    if (worker->socket < 0 && attempt_buried(worker)) {
        SN_TRY(attempt_judge(outcome, death, sizeof death, worker, error));
        if (outcome->end == SN_WORKER_RUNNING)
            SN_TRY(attempt_repeat(outcome, worker, death, error));
    }
done:
    return status;
}

void sn_worker_stop(sn_worker *worker)
{
    worker->stopped = true;
    attempt_stop(worker);
}

void sn_worker_free(sn_worker *worker)
{
    if (worker == NULL)
        return;
    attempt_clear(worker);
    sn_free(worker->line);
    free(worker->job);
    sn_free(worker);
}
