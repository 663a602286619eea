#include "search/relay.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/threads.h"
#include "search/frames.h"
#include "search/worker.h"

/* Seconds; the second is for a worker that waits for the others of its group. */
static const double SHORTEST_NAP = 50e-6, EXCHANGE_NAP = 1e-3;

enum { LOOKS = 40 }; /* a quarter of a second each: file systems of a network may show a new file late */

typedef struct relay {
    sn_comm *comm;
    sn_worker *worker; /* NULL: idle */
    sn_frames *frames; /* of its worker */
    char *log;         /* that it writes to */
    int64_t serial;    /* of its job */
    bool first;        /* it is the first of its training's members */
    bool told;         /* rank 0 was told of an interrupt */
    bool bye;
    bool active; /* something has happened since the last nap */
} relay;

/* ---- messages ---- */

sn_status sn_relay_send(sn_comm *comm, int to, json_t *message, sn_error *error)
{
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(message);
    if (text == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: a message to rank %d", to);
    sn_status status = sn_comm_send(comm, to, SN_RELAY_JSON, text, strlen(text), error);
    free(text);
    return status;
}

/* The same to rank 0. */
static sn_status tell(const relay *self, json_t *message, sn_error *error)
{
    return sn_relay_send(self->comm, 0, message, error);
}

double sn_relay_nap(double *nap, double longest)
{
    *nap = 2 * *nap < SHORTEST_NAP ? SHORTEST_NAP : 2 * *nap;
    *nap = *nap < longest ? *nap : longest;
    return *nap;
}

/* ---- what the machine has ---- */

typedef struct host {
    char name[256];
} host;

static host host_of_this(void)
{
    host here = {""};
    gethostname(here.name, sizeof here.name - 1);
    return here;
}

static sn_status hello(relay *self, sn_error *error)
{
    int cores = sn_threads_default();
    return tell(self,
                json_pack("{s:{s:s, s:i, s:b, s:I}}", "hello", "host", host_of_this().name, "cores", cores,
                          "bound", cores < sysconf(_SC_NPROCESSORS_ONLN), "memory",
                          (json_int_t)sn_memory_available()),
                error);
}

static bool file_holds(const char *path, const char *token)
{
    char *text = NULL;
    size_t size;
    bool holds = sn_file_read(&text, &size, path, NULL) == SN_OK && strcmp(text, token) == 0;
    sn_free(text);
    return holds;
}

/* Whether this machine sees the same files as rank 0's. */
static sn_status look(relay *self, const json_t *where, sn_error *error)
{
    char fault[512] = "";
    const char *path, *token;
    sn_status status;
    SN_TRY(sn_json_string(&path, where, "path", "look", error));
    SN_TRY(sn_json_string(&token, where, "token", "look", error));
    int looks = 0;
    while (looks < LOOKS && !file_holds(path, token)) {
        nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
        looks++;
    }
    if (looks == LOOKS)
        snprintf(fault, sizeof fault, "rank %d on %.100s does not see %.300s, which rank 0 wrote",
                 sn_comm_rank(self->comm), host_of_this().name, path);
    SN_TRY(tell(self, json_pack("{s:s}", "seen", fault), error));
done:
    return status;
}

/* ---- its worker ---- */

static sn_status on_report(const json_t *report, void *context, sn_error *error)
{
    relay *self = context;
    self->active = true;
    if (!self->first)
        return SN_OK;
    return tell(self, json_pack("{s:I, s:O}", "serial", (json_int_t)self->serial, "report", report), error);
}

/* Forget the worker; one that still runs is stopped. */
static void worker_dismiss(relay *self)
{
    sn_worker_free(self->worker);
    sn_frames_end(self->frames);
    sn_free(self->log);
    self->worker = NULL;
    self->log = NULL;
}

static sn_status tell_end(relay *self, int end, sn_status ended, const char *text, json_t *result,
                          sn_error *error)
{
    json_t *message = json_pack("{s:I, s:i, s:i, s:s}", "serial", (json_int_t)self->serial, "end", end,
                                "status", ended, "text", text == NULL ? "" : text);
    if (message != NULL && result != NULL)
        json_object_set(message, "result", result);
    self->active = true;
    worker_dismiss(self);
    return tell(self, message, error);
}

/* A fault of the world, with the machine on which it occurred. */
static sn_status tell_fault(relay *self, const sn_error *fault, sn_error *error)
{
    char text[sizeof fault->text];
    snprintf(text, sizeof text, "rank %d on %.100s: %.800s", sn_comm_rank(self->comm), host_of_this().name,
             fault->text);
    return tell_end(self, SN_RELAY_ERROR, fault->status, text, NULL, error);
}

static sn_status worker_options(sn_worker_options *options, relay *self, const json_t *order, sn_error *error)
{
    sn_status status;
    const char *log;
    *options = (sn_worker_options)SN_WORKER_OPTIONS_INIT;
    SN_TRY(sn_json_string(&log, order, "log", "begin", error));
    SN_TRY(sn_string_copy(&self->log, log, error));
    SN_TRY(sn_json_number(&options->limit_seconds, order, "limit_seconds", "begin", error));
    SN_TRY(sn_json_integer(&options->memory_limit, order, "memory_limit", "begin", error));
    options->log = self->log;
    options->attempts = 0; /* rank 0 knows whether there shall be another */
    options->on_report = on_report;
    options->context = self;
done:
    return status;
}

/* The connection of a member, and what its job says of the group. */
static sn_status group_join(int *connection, relay *self, json_t *job, const json_t *array, sn_error *error)
{
    sn_status status;
    int *ranks = NULL, size = (int)json_array_size(array);
    SN_TRY(sn_alloc(&ranks, (size_t)size, sizeof *ranks, error));
    for (int m = 0; m < size; m++) {
        ranks[m] = (int)json_integer_value(json_array_get(array, (size_t)m));
        if (ranks[m] == sn_comm_rank(self->comm))
            json_object_set_new(job, "member", json_integer(m));
    }
    json_object_set_new(job, "members", json_integer(size));
    SN_TRY(sn_frames_begin(connection, self->frames, self->serial, ranks, size, error));
done:
    sn_free(ranks);
    return status;
}

static sn_status worker_begin(relay *self, const json_t *order, sn_error *error)
{
    sn_status status;
    sn_error fault = SN_ERROR_INIT;
    sn_worker_options options;
    json_t *job, *ranks;
    int connection = -1;
    worker_dismiss(self);
    SN_TRY(sn_json_integer(&self->serial, order, "serial", "begin", error));
    SN_TRY(sn_json_array(&ranks, order, "ranks", "begin", error));
    SN_TRY(sn_json_object(&job, order, "job", "begin", error));
    SN_TRY(worker_options(&options, self, order, error));
    self->first = json_integer_value(json_array_get(ranks, 0)) == sn_comm_rank(self->comm);
    json_object_set(job, "seat", json_object_get(order, "seat"));
    json_object_set(job, "seats", json_object_get(order, "seats"));
    if (json_array_size(ranks) > 1)
        SN_TRY(group_join(&connection, self, job, ranks, error));
    options.connection = connection < 0 ? 0 : connection;
    if (sn_worker_begin(&self->worker, job, &options, &fault) != SN_OK)
        SN_TRY(tell_fault(self, &fault, error));
done:
    if (connection >= 0)
        close(connection);
    return status;
}

static sn_status worker_attend(relay *self, sn_error *error)
{
    sn_status status = SN_OK;
    sn_error fault = SN_ERROR_INIT;
    sn_worker_outcome outcome = {.reason = NULL};
    if (self->worker == NULL)
        return SN_OK;
    sn_status attended = sn_worker_attend(&outcome, self->worker, &fault);
    if (attended != SN_OK || outcome.end != SN_WORKER_RUNNING)
        SN_TRY(sn_frames_move(&self->active, self->frames, error)); /* its last ones */
    if (attended != SN_OK)
        status = tell_fault(self, &fault, error);
    else if (outcome.end != SN_WORKER_RUNNING)
        status = tell_end(self, outcome.end, SN_OK, outcome.reason, outcome.result, error);
done:
    sn_worker_outcome_clear(&outcome);
    return status;
}

/* ---- the relay ---- */

static sn_status order_take(relay *self, const json_t *order, sn_error *error)
{
    if (sn_json_has(order, "bye"))
        self->bye = true;
    else if (sn_json_has(order, "look"))
        return look(self, json_object_get(order, "look"), error);
    else if (sn_json_has(order, "begin"))
        return worker_begin(self, json_object_get(order, "begin"), error);
    else if (self->worker != NULL && json_integer_value(json_object_get(order, "stop")) == self->serial)
        sn_worker_stop(self->worker);
    return SN_OK;
}

static sn_status message_take(relay *self, sn_message *message, sn_error *error)
{
    self->active = true;
    if (message->kind == SN_RELAY_FRAME)
        return sn_frames_take(self->frames, message, error);
    json_t *order = json_loadb(message->bytes, message->size, 0, NULL);
    sn_status status = order_take(self, order, error);
    json_decref(order);
    return status;
}

static sn_status messages_take(relay *self, sn_error *error)
{
    sn_status status;
    sn_message message;
    SN_TRY(sn_comm_receive(&message, self->comm, error));
    while (message.bytes != NULL) {
        status = message_take(self, &message, error);
        sn_message_clear(&message);
        SN_TRY(status);
        SN_TRY(sn_comm_receive(&message, self->comm, error));
    }
done:
    return status;
}

/* Whoever interrupts one of the job's processes means all; rank 0 ends the search. */
static sn_status interrupt_tell(relay *self, sn_error *error)
{
    if (self->told || !sn_interrupt_requested())
        return SN_OK;
    self->told = true;
    return tell(self, json_pack("{s:b}", "interrupted", true), error);
}

sn_status sn_relay_run(sn_comm *comm, sn_error *error)
{
    sn_status status;
    relay self = {.comm = comm};
    double nap = 0;
    SN_TRY(sn_frames_create(&self.frames, comm, error));
    SN_TRY(hello(&self, error));
    while (!self.bye) {
        SN_TRY(messages_take(&self, error));
        SN_TRY(sn_frames_move(&self.active, self.frames, error));
        SN_TRY(worker_attend(&self, error));
        SN_TRY(interrupt_tell(&self, error));
        nap = self.active || sn_comm_is_sending(comm) ? 0 : nap;
        self.active = false;
        if (!self.bye)
            sn_frames_wait(
                self.frames,
                sn_relay_nap(&nap, sn_frames_awaited(self.frames) ? EXCHANGE_NAP : SN_RELAY_LONGEST_NAP));
    }
done:
    if (self.frames != NULL)
        worker_dismiss(&self);
    sn_frames_free(self.frames);
    return status;
}
