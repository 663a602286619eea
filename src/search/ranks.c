#include "search/ranks.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "search/relay.h"

static const double END_SECONDS = 30; /* that a relay may take to end a job; it kills its worker after 5 */

/* A relay, as its hello says. */
typedef struct station {
    char *host; /* NULL: it has not said hello yet */
    int64_t cores, memory;
    bool bound; /* its cores are its own */
} station;

typedef struct group {
    sn_worker_options options;
    json_t *job;    /* NULL: idle */
    int64_t serial; /* of the attempt under way */
    int attempts;
    int running;    /* members that have not ended yet */
    bool stopped;   /* as sn_ranks_stop asked */
    bool dismissed; /* nobody wants to hear of it any more */
    json_t *first;  /* how the first member ended; NULL: not yet */
    json_t *cause;  /* the first end without a result; NULL: none */
} group;

struct sn_ranks {
    sn_comm *comm;
    int each; /* relays of a group */
    int group_count, station_count;
    group *groups;     /* (group_count) */
    station *stations; /* (station_count), that of rank r at r-1 */
    int64_t serial;    /* the last one given */
    int seen;          /* relays that have answered the last "look" */
    double nap;        /* seconds */
};

/* ---- messages to the relays ---- */

/* The rank of a group's member. */
static int rank_of(const sn_ranks *self, int g, int member)
{
    return 1 + g * self->each + member;
}

/* Ask all members to stop. That a message cannot be sent shows when they do not end. */
static void group_stop(sn_ranks *self, int g)
{
    for (int m = 0; m < self->each; m++)
        sn_relay_send(self->comm, rank_of(self, g, m),
                      json_pack("{s:I}", "stop", (json_int_t)self->groups[g].serial), NULL);
}

/* Which of the relays on its host a rank is. */
static int seat_of(const sn_ranks *self, int rank)
{
    int seat = 0;
    for (int other = 1; other < rank; other++)
        seat += strcmp(self->stations[other - 1].host, self->stations[rank - 1].host) == 0;
    return seat;
}

/* How many relays there are on the host of relay s; 0: an earlier one is on it, which counts them. */
static int neighbours(const sn_ranks *self, int s, bool once)
{
    int count = 0;
    for (int other = 0; other < self->station_count; other++) {
        bool same = strcmp(self->stations[other].host, self->stations[s].host) == 0;
        if (same && once && other < s)
            return 0;
        count += same;
    }
    return count;
}

/* The order to begin: to all, but each member has a log of its own. */
static sn_status order_send(sn_ranks *self, int g, int member, json_t *ranks, sn_error *error)
{
    sn_status status;
    char *log = NULL;
    const group *to = &self->groups[g];
    const char *path = to->options.log, *dot = strrchr(path, '.');
    const int rank = rank_of(self, g, member);
    if (member == 0)
        SN_TRY(sn_string_copy(&log, path, error));
    else
        SN_TRY(sn_string_format(&log, error, "%.*s-%d%s", (int)(dot - path), path, member, dot));
    SN_TRY(sn_relay_send(self->comm, rank,
                         json_pack("{s:{s:I, s:O, s:i, s:i, s:O, s:s, s:f, s:I}}", "begin", "serial",
                                   (json_int_t)to->serial, "ranks", ranks, "seat", seat_of(self, rank),
                                   "seats", neighbours(self, rank - 1, false), "job", to->job, "log", log,
                                   "limit_seconds", to->options.limit_seconds, "memory_limit",
                                   (json_int_t)to->options.memory_limit),
                         error));
done:
    sn_free(log);
    return status;
}

/* ---- messages of the relays ---- */

static sn_status hello_take(sn_ranks *self, int rank, const json_t *hello, sn_error *error)
{
    sn_status status;
    static const char where[] = "a rank's hello";
    station *from = &self->stations[rank - 1];
    const char *host;
    SN_TRY(sn_json_string(&host, hello, "host", where, error));
    SN_TRY(sn_json_integer(&from->cores, hello, "cores", where, error));
    SN_TRY(sn_json_integer(&from->memory, hello, "memory", where, error));
    SN_TRY(sn_json_boolean(&from->bound, hello, "bound", where, error));
    SN_TRY(sn_string_copy(&from->host, host, error));
done:
    return status;
}

/* A member has ended. Where it has no result, the others wait for it in vain and are stopped. */
static void end_take(sn_ranks *self, int g, int member, json_t *end)
{
    group *of = &self->groups[g];
    of->running--;
    if (member == 0)
        of->first = json_incref(end);
    if (json_integer_value(json_object_get(end, "end")) == SN_WORKER_DONE || of->cause != NULL)
        return;
    of->cause = json_incref(end);
    if (of->running > 0)
        group_stop(self, g);
}

/* Something about a job; about an earlier one it says nothing any more. */
static sn_status job_take(sn_ranks *self, int rank, json_t *message, sn_error *error)
{
    int g = (rank - 1) / self->each;
    group *of = g < self->group_count ? &self->groups[g] : NULL;
    const json_t *report = json_object_get(message, "report");
    if (of == NULL || of->job == NULL || of->serial != json_integer_value(json_object_get(message, "serial")))
        return SN_OK;
    if (sn_json_has(message, "end"))
        end_take(self, g, (rank - 1) % self->each, message);
    else if (report != NULL && !of->dismissed && of->options.on_report != NULL)
        return of->options.on_report(report, of->options.context, error);
    return SN_OK;
}

static sn_status message_take(sn_ranks *self, int rank, json_t *message, sn_error *error)
{
    const char *fault = json_string_value(json_object_get(message, "seen"));
    if (sn_json_has(message, "hello"))
        return hello_take(self, rank, json_object_get(message, "hello"), error);
    if (sn_json_has(message, "interrupted"))
        sn_interrupt_request();
    else if (fault != NULL && fault[0] != '\0')
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: all ranks need the same files, on a file system that they share", fault);
    else if (fault != NULL)
        self->seen++;
    else
        return job_take(self, rank, message, error);
    return SN_OK;
}

static sn_status messages_take(sn_ranks *self, sn_error *error)
{
    sn_status status;
    sn_message message;
    SN_TRY(sn_comm_receive(&message, self->comm, error));
    while (message.bytes != NULL) {
        json_t *json = json_loadb(message.bytes, message.size, 0, NULL);
        sn_message_clear(&message);
        status = message_take(self, message.from, json, error);
        json_decref(json);
        self->nap = 0;
        SN_TRY(status);
        SN_TRY(sn_comm_receive(&message, self->comm, error));
    }
done:
    return status;
}

void sn_ranks_wait(sn_ranks *ranks)
{
    double nap = sn_relay_nap(&ranks->nap, SN_RELAY_LONGEST_NAP);
    nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * nap)}, NULL);
}

/* ---- the ranks ---- */

static bool all_said_hello(const sn_ranks *self)
{
    int said = 0;
    while (said < self->station_count && self->stations[said].host != NULL)
        said++;
    return said == self->station_count;
}

sn_status sn_ranks_open(sn_ranks **ranks, sn_comm *comm, int each, sn_error *error)
{
    sn_status status;
    sn_ranks *self = NULL;
    int relays = sn_comm_size(comm) - 1;
    *ranks = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->comm = comm;
    self->each = each;
    self->group_count = relays / each;
    SN_TRY(sn_alloc(&self->groups, (size_t)self->group_count, sizeof *self->groups, error));
    SN_TRY(sn_alloc(&self->stations, (size_t)relays, sizeof *self->stations, error));
    self->station_count = relays;
    while (!all_said_hello(self)) {
        SN_TRY(sn_interrupt_check(error));
        SN_TRY(messages_take(self, error));
        sn_ranks_wait(self);
    }
    if (relays < each) {
        status = sn_error_set(error, SN_ERR_ARG,
                              "%d ranks: rank 0 searches, so %d for a training need at least %d", relays + 1,
                              each, each + 1);
        goto done;
    }
    if (relays % each != 0)
        sn_log(SN_LOG_WARNING, "%d ranks have nothing to do: %d are left of rank 0, in groups of %d",
               relays % each, relays, each);
    *ranks = self;
    self = NULL;
done:
    sn_ranks_close(self);
    return status;
}

void sn_ranks_close(sn_ranks *ranks)
{
    if (ranks == NULL)
        return;
    for (int g = 0; g < ranks->group_count && ranks->groups != NULL; g++)
        sn_ranks_dismiss(ranks, g);
    for (int r = 1; r < sn_comm_size(ranks->comm); r++)
        sn_relay_send(ranks->comm, r, json_pack("{s:b}", "bye", true), NULL);
    for (int s = 0; s < ranks->station_count; s++)
        sn_free(ranks->stations[s].host);
    sn_free(ranks->groups);
    sn_free(ranks->stations);
    sn_free(ranks);
}

int sn_ranks_groups(const sn_ranks *ranks)
{
    return ranks->group_count;
}

int sn_ranks_hosts(const sn_ranks *ranks)
{
    int hosts = 0;
    for (int s = 0; s < ranks->station_count; s++)
        hosts += neighbours(ranks, s, true) > 0;
    return hosts;
}

int sn_ranks_threads(const sn_ranks *ranks)
{
    int64_t least = INT64_MAX;
    for (int s = 0; s < ranks->station_count; s++) {
        const station *at = &ranks->stations[s];
        int64_t share = at->bound ? at->cores : at->cores / neighbours(ranks, s, false);
        least = share < least ? share : least;
    }
    return least < 1 ? 1 : (int)least;
}

int64_t sn_ranks_memory(const sn_ranks *ranks)
{
    int64_t sum = 0;
    for (int s = 0; s < ranks->station_count; s++)
        if (neighbours(ranks, s, true) > 0)
            sum += ranks->stations[s].memory;
    return sum / ranks->each;
}

sn_status sn_ranks_meet(sn_ranks *ranks, const char *folder, sn_error *error)
{
    sn_status status;
    char token[128], *path = NULL;
    snprintf(token, sizeof token, "%ld %ld %.9f\n", (long)getpid(), (long)time(NULL), sn_clock_now());
    SN_TRY(sn_path_join(&path, folder, "log/ranks.txt", error));
    SN_TRY(sn_file_write(path, token, strlen(token), error));
    ranks->seen = 0;
    for (int r = 1; r <= ranks->station_count; r++)
        SN_TRY(sn_relay_send(ranks->comm, r,
                             json_pack("{s:{s:s, s:s}}", "look", "path", path, "token", token), error));
    while (ranks->seen < ranks->station_count) {
        SN_TRY(sn_interrupt_check(error));
        SN_TRY(messages_take(ranks, error));
        sn_ranks_wait(ranks);
    }
done:
    if (path != NULL)
        unlink(path);
    sn_free(path);
    return status;
}

/* ---- jobs ---- */

/* Forget how the members ended. */
static void ends_clear(group *self)
{
    json_decref(self->first);
    json_decref(self->cause);
    self->first = self->cause = NULL;
}

static sn_status attempt_start(sn_ranks *self, int g, sn_error *error)
{
    sn_status status = SN_OK;
    group *to = &self->groups[g];
    json_t *ranks = json_array();
    for (int m = 0; m < self->each; m++)
        json_array_append_new(ranks, json_integer(rank_of(self, g, m)));
    ends_clear(to);
    to->attempts++;
    to->serial = ++self->serial;
    self->nap = 0;
    for (int m = 0; m < self->each; m++) {
        SN_TRY(order_send(self, g, m, ranks, error));
        to->running++;
    }
done:
    json_decref(ranks);
    return status;
}

sn_status sn_ranks_begin(sn_ranks *ranks, int g, const json_t *job, const sn_worker_options *options,
                         sn_error *error)
{
    group *to = &ranks->groups[g];
    *to = (group){.options = *options, .job = json_deep_copy(job)};
    if (to->job == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: a job");
    return attempt_start(ranks, g, error);
}

/* A member has died: start all of them again, or give up. */
static sn_status attempt_repeat(sn_worker_outcome *outcome, sn_ranks *self, int g, const char *death,
                                sn_error *error)
{
    bool again;
    const group *of = &self->groups[g];
    sn_status status = sn_worker_retry(&again, outcome, &of->options, of->attempts, death, error);
    return status == SN_OK && again ? attempt_start(self, g, error) : status;
}

/* All members have ended; the first one's result counts, else what ended first without one. */
static sn_status attempt_judge(sn_worker_outcome *outcome, sn_ranks *self, int g, sn_error *error)
{
    group *of = &self->groups[g];
    json_t *result = json_object_get(of->first, "result");
    const char *text = json_string_value(json_object_get(of->cause, "text"));
    int end = (int)json_integer_value(json_object_get(of->cause, "end"));
    char death[sizeof error->text];
    snprintf(death, sizeof death, "%s", text == NULL ? "" : text);
    if (result != NULL) {
        outcome->end = SN_WORKER_DONE;
        outcome->result = json_incref(result);
        return SN_OK;
    }
    if (end == SN_RELAY_ERROR) {
        sn_status fault = (sn_status)json_integer_value(json_object_get(of->cause, "status"));
        if (fault == SN_ERR_INTERRUPTED)
            sn_interrupt_request();
        return sn_error_set(error, fault == SN_OK ? SN_ERR_FAILED : fault, "%s",
                            fault == SN_ERR_INTERRUPTED ? "interrupted" : death);
    }
    if (of->stopped)
        outcome->end = SN_WORKER_STOPPED;
    else if (end != SN_WORKER_MEMORY && end != SN_WORKER_FAILED)
        return attempt_repeat(outcome, self, g, death, error);
    else {
        outcome->end = (sn_worker_end)end;
        return sn_string_copy(&outcome->reason, death, error);
    }
    return SN_OK;
}

sn_status sn_ranks_attend(sn_worker_outcome *outcome, sn_ranks *ranks, int g, sn_error *error)
{
    sn_status status;
    group *of = &ranks->groups[g];
    *outcome = (sn_worker_outcome){.end = SN_WORKER_RUNNING};
    SN_TRY(messages_take(ranks, error));
    SN_TRY(sn_interrupt_check(error));
    if (of->running == 0)
        SN_TRY(attempt_judge(outcome, ranks, g, error));
done:
    return status;
}

void sn_ranks_stop(sn_ranks *ranks, int g)
{
    ranks->groups[g].stopped = true;
    group_stop(ranks, g);
}

void sn_ranks_dismiss(sn_ranks *ranks, int g)
{
    group *of = &ranks->groups[g];
    double deadline = sn_clock_now() + END_SECONDS;
    of->dismissed = true;
    if (of->job != NULL && of->running > 0 && !of->stopped)
        sn_ranks_stop(ranks, g);
    while (of->job != NULL && of->running > 0 && sn_clock_now() < deadline) {
        if (messages_take(ranks, NULL) == SN_ERR_IO)
            break;
        sn_ranks_wait(ranks);
    }
    ends_clear(of);
    json_decref(of->job);
    *of = (group){.job = NULL};
}
