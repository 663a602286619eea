/*
 * A group whose members are threads of this process. In an exchange all meet twice: when all have come each copies its
 * parcels from the others, and when all have copied each goes on. Only the first meeting can fail, and it fails for all
 * or none: so nobody copies from one who has left.
 */
#include "comm/group_kind.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/interrupt.h"
#include "base/memory.h"

enum { WAIT_NANOSECONDS = 100000000 }; /* how late an interrupt is noticed */

typedef struct meeting {
    int size;
    sn_group_work *work;
    void *context;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    int here;       /* members at the meeting under way */
    int64_t number; /* meetings that are over */
    bool left;      /* a member has ended */
    sn_error cause; /* of the first that failed */
    const sn_parcel *sent[SN_GROUP_MEMBERS];
} meeting;

typedef struct member {
    sn_group group;
    meeting *meeting;
    pthread_t thread;
} member;

/* ---- meetings, with the lock held ---- */

/* Whether all can still come. */
static sn_status check_open(const meeting *self, sn_error *error)
{
    if (self->cause.status != SN_OK)
        return sn_error_set(error, self->cause.status, "%s", self->cause.text);
    if (self->left)
        return sn_error_set(error, SN_ERR_FAILED,
                            "the members of this training do not agree: one has ended, another goes on");
    return sn_interrupt_check(error);
}

static void wait_a_while(meeting *self)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_NANOSECONDS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&self->changed, &self->lock, &until);
}

/* Wait until all are here; one for whom it `may_fail` leaves when not all can come. */
static sn_status meet(meeting *self, bool may_fail, sn_error *error)
{
    sn_status status = may_fail ? check_open(self, error) : SN_OK;
    int64_t number = self->number;
    if (status != SN_OK)
        return status;
    if (++self->here == self->size) {
        self->here = 0;
        self->number++;
        pthread_cond_broadcast(&self->changed);
    }
    while (self->number == number && status == SN_OK) {
        wait_a_while(self);
        if (may_fail && self->number == number)
            status = check_open(self, error);
    }
    if (status != SN_OK)
        self->here--;
    return status;
}

/* ---- the exchange ---- */

/* What the others have for this member. */
static sn_status parcels_copy(const member *self, const sn_parcel *received, sn_error *error)
{
    for (int m = 0; m < self->group.size; m++) {
        const sn_parcel *from = &self->meeting->sent[m][self->group.member], *to = &received[m];
        if (m == self->group.member)
            continue;
        if (from->size != to->size)
            return sn_error_set(
                error, SN_ERR_FAILED,
                "the members of this training do not agree: member %d sent %zu bytes, not %zu", m, from->size,
                to->size);
        if (to->size > 0)
            memcpy(to->bytes, from->bytes, to->size);
    }
    return SN_OK;
}

static sn_status copies_exchange(sn_group *group, const sn_parcel *sent, const sn_parcel *received,
                                 sn_error *error)
{
    const member *self = (const member *)group;
    meeting *at = self->meeting;
    pthread_mutex_lock(&at->lock);
    at->sent[group->member] = sent;
    sn_status status = meet(at, true, error);
    pthread_mutex_unlock(&at->lock);
    if (status != SN_OK)
        return status;
    status = parcels_copy(self, received, error);
    pthread_mutex_lock(&at->lock);
    meet(at, false, NULL);
    pthread_mutex_unlock(&at->lock);
    return status;
}

/* ---- the members ---- */

/* A member has ended: the others cannot meet any more. */
static void member_end(meeting *self, sn_status status, const sn_error *error)
{
    pthread_mutex_lock(&self->lock);
    if (status != SN_OK && self->cause.status == SN_OK)
        sn_error_set(&self->cause, status, "%s", error->text);
    self->left = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

static void *member_run(void *argument)
{
    member *self = argument;
    sn_error error = SN_ERROR_INIT;
    sn_status status = self->meeting->work(&self->group, self->meeting->context, &error);
    member_end(self->meeting, status, &error);
    return NULL;
}

static bool member_start(member *self)
{
    sn_error error = SN_ERROR_INIT;
    int failure = pthread_create(&self->thread, NULL, member_run, self);
    if (failure != 0)
        member_end(self->meeting,
                   sn_error_set(&error, SN_ERR_FAILED, "cannot start a thread: %s", strerror(failure)),
                   &error);
    return failure == 0;
}

static void meeting_begin(meeting *self)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&self->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&self->lock, NULL);
}

static void meeting_end(meeting *self)
{
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->changed);
}

sn_status sn_group_run(int size, sn_group_work *work, void *context, sn_error *error)
{
    sn_status status;
    int started = 1;
    meeting at = {.size = size, .work = work, .context = context};
    member *members = NULL;
    meeting_begin(&at);
    SN_TRY(sn_alloc(&members, (size_t)size, sizeof *members, error));
    for (int m = 0; m < size; m++)
        members[m] = (member){.group = {m, size, copies_exchange}, .meeting = &at};
    while (started < size && member_start(&members[started]))
        started++;
    if (started == size)
        member_run(&members[0]);
    for (int m = 1; m < started; m++)
        pthread_join(members[m].thread, NULL);
    if (at.cause.status != SN_OK)
        status = sn_error_set(error, at.cause.status, "%s", at.cause.text);
done:
    sn_free(members);
    meeting_end(&at);
    return status;
}
