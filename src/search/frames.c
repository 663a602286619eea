#include "search/frames.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "search/relay.h"
#include "search/worker.h"

/* What goes before a frame's bytes from relay to relay. */
typedef struct label {
    int64_t serial;
    sn_frame frame;
} label;

/* A frame for the worker. */
typedef struct waiting {
    struct waiting *next;
    char *bytes; /* label and frame */
    size_t size;
} waiting;

struct sn_frames {
    sn_comm *comm;
    int socket;     /* to the worker; -1: none */
    int64_t serial; /* of the attempt under way, or the last one */
    int ranks[SN_GROUP_MEMBERS], size, member;
    waiting *first;            /* in the order in which they came */
    size_t written;            /* bytes of the first that the worker has */
    label heading;             /* of the frame that the worker writes */
    size_t read;               /* bytes of it, its frame's header included */
    char *message;             /* the whole of it; NULL: the header is not whole yet */
    int64_t passed, delivered; /* frames from the worker, and to it */
};

sn_status sn_frames_create(sn_frames **frames, sn_comm *comm, sn_error *error)
{
    sn_status status = sn_alloc(frames, 1, sizeof **frames, error);
    if (status != SN_OK)
        return status;
    (*frames)->comm = comm;
    (*frames)->socket = -1;
    return SN_OK;
}

/* Forget frames of attempts before `serial`. */
static void queue_drop(sn_frames *self, int64_t serial)
{
    for (waiting **at = &self->first; *at != NULL;) {
        waiting *this = *at;
        int64_t of;
        memcpy(&of, this->bytes, sizeof of);
        if (of >= serial) {
            at = &this->next;
            continue;
        }
        *at = this->next;
        sn_free(this->bytes);
        sn_free(this);
    }
}

void sn_frames_end(sn_frames *frames)
{
    if (frames->socket >= 0)
        close(frames->socket);
    frames->socket = -1;
    sn_free(frames->message);
    frames->message = NULL;
    frames->read = frames->written = 0;
    frames->passed = frames->delivered = 0;
    queue_drop(frames, frames->serial + 1);
}

void sn_frames_free(sn_frames *frames)
{
    if (frames == NULL)
        return;
    frames->serial = INT64_MAX - 1; /* nothing is kept */
    sn_frames_end(frames);
    sn_free(frames);
}

sn_status sn_frames_begin(int *connection, sn_frames *frames, int64_t serial, const int *ranks, int size,
                          sn_error *error)
{
    int ends[2];
    frames->serial = serial - 1;
    sn_frames_end(frames);
    frames->serial = serial;
    frames->size = size;
    for (int m = 0; m < size; m++) {
        frames->ranks[m] = ranks[m];
        frames->member = ranks[m] == sn_comm_rank(frames->comm) ? m : frames->member;
    }
    sn_status status = sn_worker_sockets(ends, error);
    frames->socket = ends[0];
    *connection = ends[1];
    return status;
}

sn_status sn_frames_take(sn_frames *frames, sn_message *message, sn_error *error)
{
    sn_status status;
    waiting *this = NULL, **end = &frames->first;
    int64_t serial;
    memcpy(&serial, message->bytes, sizeof serial);
    if (serial < frames->serial || (serial == frames->serial && frames->socket < 0))
        return SN_OK;
    SN_TRY(sn_alloc(&this, 1, sizeof *this, error));
    this->bytes = message->bytes;
    this->size = message->size;
    message->bytes = NULL; /* now the queue's */
    while (*end != NULL)
        end = &(*end)->next;
    *end = this;
done:
    return status;
}

/* ---- from the worker ---- */

/* A header is there: make room for the whole message. A worker that sends nonsense loses its connection. */
static sn_status message_begin(sn_frames *self, sn_error *error)
{
    const sn_frame *frame = &self->heading.frame;
    if (frame->peer < (uint32_t)self->size && frame->size < INT32_MAX - sizeof self->heading)
        return sn_alloc(&self->message, sizeof self->heading + frame->size, 1, error);
    close(self->socket);
    self->socket = -1;
    return SN_OK;
}

/* The frame is whole: it goes to the relay of its member. */
static sn_status message_end(sn_frames *self, sn_error *error)
{
    int to = self->ranks[self->heading.frame.peer];
    size_t size = sizeof self->heading + self->heading.frame.size;
    self->heading.serial = self->serial;
    self->heading.frame.peer = (uint32_t)self->member;
    memcpy(self->message, &self->heading, sizeof self->heading);
    sn_status status = sn_comm_send(self->comm, to, SN_RELAY_FRAME, self->message, size, error);
    sn_free(self->message);
    self->message = NULL;
    self->read = 0;
    self->passed++;
    return status;
}

/* The end of the connection is the end of the worker, which is noticed elsewhere. */
static sn_status worker_read(bool *active, sn_frames *self, sn_error *error)
{
    sn_status status = SN_OK;
    const size_t header = sizeof self->heading.frame;
    while (self->socket >= 0) {
        bool heading = self->message == NULL;
        char *into = heading ? (char *)&self->heading.frame + self->read
                             : self->message + sizeof self->heading + (self->read - header);
        size_t left = (heading ? header : header + self->heading.frame.size) - self->read;
        ssize_t count = left == 0 ? 0 : recv(self->socket, into, left, MSG_DONTWAIT);
        if (left > 0 && count <= 0)
            break;
        *active = true;
        self->read += (size_t)count;
        if (heading && self->read == header)
            SN_TRY(message_begin(self, error));
        if (self->message != NULL && self->read == header + self->heading.frame.size)
            SN_TRY(message_end(self, error));
    }
done:
    return status;
}

/* ---- to the worker ---- */

static void worker_write(bool *active, sn_frames *self)
{
    const size_t skipped = sizeof(int64_t); /* the serial number */
    while (self->first != NULL && self->socket >= 0) {
        waiting *this = self->first;
        ssize_t count = send(self->socket, this->bytes + skipped + self->written,
                             this->size - skipped - self->written, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count <= 0)
            return;
        *active = true;
        self->written += (size_t)count;
        if (self->written < this->size - skipped)
            continue;
        self->first = this->next;
        self->written = 0;
        self->delivered++;
        sn_free(this->bytes);
        sn_free(this);
    }
}

sn_status sn_frames_move(bool *active, sn_frames *frames, sn_error *error)
{
    if (frames->socket < 0)
        return SN_OK;
    sn_status status = worker_read(active, frames, error);
    worker_write(active, frames);
    return status;
}

void sn_frames_wait(const sn_frames *frames, double seconds)
{
    struct pollfd wanted = {.fd = frames->socket, .events = POLLIN};
    const struct timespec longest = {.tv_nsec = (long)(1e9 * seconds)};
    if (frames->socket >= 0 && frames->first != NULL)
        wanted.events |= POLLOUT;
    ppoll(&wanted, frames->socket >= 0, &longest, NULL);
    if (wanted.revents & (POLLHUP | POLLERR))
        nanosleep(&longest, NULL); /* the worker ends, which the connection says again and again */
}

bool sn_frames_awaited(const sn_frames *frames)
{
    return frames->socket >= 0 && frames->passed > frames->delivered;
}
