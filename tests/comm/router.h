/**
 * A router of a group's frames in a thread: what relays do between machines, within one process.
 */
#ifndef SN_TESTS_COMM_ROUTER_H
#define SN_TESTS_COMM_ROUTER_H

#include "cmocka_all.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm/group.h"

enum { ROUTER_MEMBERS = 8 };

/* Bytes on their way. */
typedef struct router_bytes {
    char *bytes;
    size_t used, size, taken; /* bytes that are there, room, those at the front that have gone */
} router_bytes;

typedef struct router {
    int members;
    int inner[ROUTER_MEMBERS], outer[ROUTER_MEMBERS]; /* the router's ends; the members' */
    router_bytes in[ROUTER_MEMBERS], out[ROUTER_MEMBERS];
    pthread_t thread;
} router;

static void router_append(router_bytes *to, const void *bytes, size_t size)
{
    if (to->taken > 0 && to->taken == to->used)
        to->taken = to->used = 0;
    if (to->used + size > to->size) {
        to->size = 2 * (to->used + size);
        to->bytes = realloc(to->bytes, to->size);
    }
    if (size > 0)
        memcpy(to->bytes + to->used, bytes, size);
    to->used += size;
}

/* Pass on the whole frames that member m wrote. */
static void router_pass(router *self, int m)
{
    sn_frame frame;
    router_bytes *from = &self->in[m];
    while (from->used - from->taken >= sizeof frame) {
        const char *begin = from->bytes + from->taken;
        memcpy(&frame, begin, sizeof frame);
        if (from->used - from->taken < sizeof frame + frame.size)
            return;
        router_bytes *to = &self->out[frame.peer];
        frame.peer = (uint32_t)m;
        router_append(to, &frame, sizeof frame);
        router_append(to, begin + sizeof frame, frame.size);
        from->taken += sizeof frame + frame.size;
    }
}

/* Give member m what it can read now. */
static void router_send(router *self, int m)
{
    router_bytes *out = &self->out[m];
    ssize_t count =
        send(self->inner[m], out->bytes + out->taken, out->used - out->taken, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0)
        out->taken += (size_t)count;
}

static void *router_run(void *context)
{
    router *self = context;
    char buffer[65536];
    for (int open = self->members; open > 0;) {
        struct pollfd wanted[ROUTER_MEMBERS];
        for (int m = 0; m < self->members; m++)
            wanted[m] = (struct pollfd){
                self->inner[m], (short)(POLLIN | (self->out[m].used > self->out[m].taken ? POLLOUT : 0)), 0};
        poll(wanted, (nfds_t)self->members, -1);
        for (int m = 0; m < self->members; m++) {
            if (self->inner[m] < 0)
                continue;
            if (wanted[m].revents & POLLOUT)
                router_send(self, m);
            if ((wanted[m].revents & (POLLIN | POLLHUP)) == 0)
                continue;
            ssize_t count = recv(self->inner[m], buffer, sizeof buffer, MSG_DONTWAIT);
            if (count > 0) {
                router_append(&self->in[m], buffer, (size_t)count);
                router_pass(self, m);
            } else if (count == 0) {
                close(self->inner[m]);
                self->inner[m] = -1;
                open--;
            }
        }
    }
    return NULL;
}

/* Ends by itself when all members have left. */
static void router_begin(router *self, int members)
{
    *self = (router){.members = members};
    for (int m = 0; m < members; m++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        self->inner[m] = ends[0];
        self->outer[m] = ends[1];
    }
    assert_int_equal(pthread_create(&self->thread, NULL, router_run, self), 0);
}

static void router_end(router *self)
{
    pthread_join(self->thread, NULL);
    for (int m = 0; m < self->members; m++) {
        free(self->in[m].bytes);
        free(self->out[m].bytes);
    }
}

#endif
