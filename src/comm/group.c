#include "comm/group_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "base/memory.h"

enum { POLL_MILLISECONDS = 100 }; /* how late an interrupt is noticed */

/* A frame that came before it was wanted: its sender is one exchange ahead. */
typedef struct early {
    char *bytes; /* NULL: there is none */
    size_t size;
    bool whole;
} early;

/* A member whose others are other processes. */
typedef struct connected {
    sn_group group;
    int socket;
    uint32_t number; /* of the exchange under way */
    bool *got;       /* (size) whether its parcel has come */
    early *early;    /* (size) */
    /* the frame that is being received */
    sn_frame frame;
    size_t at;  /* bytes of it, header included */
    char *into; /* where its bytes go */
    /* the frames that are being sent */
    int sent_to;    /* members, counted from this one, whose frame is sent */
    size_t sent_at; /* bytes of the next one, header included */
} connected;

/* ---- any kind ---- */

int sn_group_member(const sn_group *group)
{
    return group == NULL ? 0 : group->member;
}

int sn_group_size(const sn_group *group)
{
    return group == NULL ? 1 : group->size;
}

sn_status sn_group_exchange(sn_group *group, const sn_parcel *sent, const sn_parcel *received,
                            sn_error *error)
{
    return group->exchange(group, sent, received, error);
}

/* What a call of send or recv moved: bytes, 0 where it would wait, or an error. */
static sn_status moved(size_t *bytes, ssize_t count, bool ended, sn_error *error)
{
    *bytes = 0;
    if (count > 0)
        *bytes = (size_t)count;
    else if (ended || (errno != EAGAIN && errno != EINTR))
        return sn_error_set(error, SN_ERR_FAILED, "the other processes of this training are gone: %s",
                            ended ? "the connection has ended" : strerror(errno));
    return SN_OK;
}

/* ---- sending ---- */

/* Send as much as can be sent now. */
static sn_status frames_send(connected *self, const sn_parcel *sent, sn_error *error)
{
    sn_status status = SN_OK;
    size_t count = 1;
    while (self->sent_to < self->group.size - 1 && count > 0) {
        int to = (self->group.member + 1 + self->sent_to) % self->group.size;
        sn_frame header = {(uint32_t)to, self->number, sent[to].size};
        bool heading = self->sent_at < sizeof header;
        const char *from = heading ? (const char *)&header + self->sent_at
                                   : (const char *)sent[to].bytes + (self->sent_at - sizeof header);
        size_t left = (heading ? sizeof header : sizeof header + sent[to].size) - self->sent_at;
        SN_TRY(moved(&count, send(self->socket, from, left, MSG_DONTWAIT | MSG_NOSIGNAL), false, error));
        self->sent_at += count;
        if (self->sent_at == sizeof header + sent[to].size) {
            self->sent_to++;
            self->sent_at = 0;
        }
    }
done:
    return status;
}

/* ---- receiving ---- */

/* A header is there: find the place for what follows. */
static sn_status frame_place(connected *self, const sn_parcel *received, sn_error *error)
{
    uint32_t from = self->frame.peer;
    bool now = self->frame.number == self->number, next = self->frame.number == self->number + 1;
    if (from >= (uint32_t)self->group.size || (now && self->got[from]) ||
        (next && self->early[from].bytes != NULL) || !(now || next) ||
        (now && self->frame.size != received[from].size))
        return sn_error_set(error, SN_ERR_FAILED,
                            "the processes of this training do not agree: member %u sent %llu bytes in "
                            "exchange %u, this one is at %u",
                            from, (unsigned long long)self->frame.size, self->frame.number, self->number);
    if (now) {
        self->into = received[from].bytes;
        return SN_OK;
    }
    early *before = &self->early[from];
    before->size = self->frame.size;
    sn_status status = sn_alloc(&before->bytes, before->size, 1, error);
    self->into = before->bytes;
    return status;
}

/* Take what came early into its place. */
static sn_status early_take(connected *self, int from, const sn_parcel *received, sn_error *error)
{
    early *before = &self->early[from];
    if (before->size != received[from].size)
        return sn_error_set(error, SN_ERR_FAILED,
                            "the processes of this training do not agree: member %d sent %zu bytes, not %zu",
                            from, before->size, received[from].size);
    if (before->size > 0)
        memcpy(received[from].bytes, before->bytes, before->size);
    sn_free(before->bytes);
    *before = (early){.bytes = NULL};
    self->got[from] = true;
    return SN_OK;
}

/* A frame is whole. */
static sn_status frame_end(connected *self, const sn_parcel *received, sn_error *error)
{
    int from = (int)self->frame.peer;
    self->at = 0;
    if (self->frame.number > self->number)
        self->early[from].whole = true;
    else if (self->early[from].bytes != NULL)
        return early_take(self, from, received, error); /* it began before this exchange did */
    else
        self->got[from] = true;
    return SN_OK;
}

static bool all_got(const connected *self)
{
    int count = 0;
    for (int m = 0; m < self->group.size; m++)
        count += self->got[m];
    return count == self->group.size;
}

/* Receive as much as is there and wanted. */
static sn_status frames_receive(connected *self, const sn_parcel *received, sn_error *error)
{
    sn_status status = SN_OK;
    size_t count = 1;
    while (!all_got(self) && count > 0) {
        bool heading = self->at < sizeof self->frame;
        char *into = heading ? (char *)&self->frame + self->at : self->into + (self->at - sizeof self->frame);
        size_t left = (heading ? sizeof self->frame : sizeof self->frame + self->frame.size) - self->at;
        ssize_t taken = recv(self->socket, into, left, MSG_DONTWAIT);
        SN_TRY(moved(&count, taken, taken == 0, error));
        self->at += count;
        if (heading && self->at == sizeof self->frame)
            SN_TRY(frame_place(self, received, error));
        if (self->at >= sizeof self->frame && self->at == sizeof self->frame + self->frame.size)
            SN_TRY(frame_end(self, received, error));
    }
done:
    return status;
}

/* ---- the exchange ---- */

/* Begin with what came early. */
static sn_status exchange_begin(connected *self, const sn_parcel *received, sn_error *error)
{
    sn_status status = SN_OK;
    self->number++;
    self->sent_to = 0;
    self->sent_at = 0;
    for (int m = 0; m < self->group.size; m++)
        self->got[m] = m == self->group.member;
    for (int m = 0; m < self->group.size; m++)
        if (self->early[m].whole)
            SN_TRY(early_take(self, m, received, error));
done:
    return status;
}

static sn_status frames_exchange(sn_group *group, const sn_parcel *sent, const sn_parcel *received,
                                 sn_error *error)
{
    sn_status status;
    connected *self = (connected *)group;
    SN_TRY(exchange_begin(self, received, error));
    for (;;) {
        SN_TRY(frames_send(self, sent, error));
        SN_TRY(frames_receive(self, received, error));
        bool sending = self->sent_to < group->size - 1;
        if (!sending && all_got(self))
            break;
        SN_TRY(sn_interrupt_check(error));
        struct pollfd wanted = {.fd = self->socket, .events = (short)(POLLIN | (sending ? POLLOUT : 0))};
        if (all_got(self))
            wanted.events = POLLOUT; /* what comes now is for the next exchange */
        poll(&wanted, 1, POLL_MILLISECONDS);
    }
done:
    return status;
}

/* ---- open and close ---- */

sn_status sn_group_open(sn_group **group, int descriptor, int member, int size, sn_error *error)
{
    sn_status status;
    connected *self = NULL;
    *group = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->group = (sn_group){member, size, frames_exchange};
    self->socket = descriptor;
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    SN_TRY(sn_alloc(&self->got, (size_t)size, sizeof *self->got, error));
    SN_TRY(sn_alloc(&self->early, (size_t)size, sizeof *self->early, error));
    *group = &self->group;
    self = NULL;
done:
    if (self != NULL)
        sn_group_close(&self->group);
    return status;
}

void sn_group_close(sn_group *group)
{
    connected *self = (connected *)group;
    if (group == NULL)
        return;
    close(self->socket);
    for (int m = 0; m < group->size && self->early != NULL; m++)
        sn_free(self->early[m].bytes);
    sn_free(self->early);
    sn_free(self->got);
    sn_free(self);
}
