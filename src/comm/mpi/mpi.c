/*
 * segnas3d-mpi.so: messages by MPI, from point to point. MPI's own waiting takes a whole core, so nothing here
 * waits: what is sent goes on when the next message is looked for.
 */
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "comm/plugin.h"

/* A message on its way. */
typedef struct sending {
    struct sending *next;
    MPI_Request request;
    char bytes[];
} sending;

static sending *sendings;

static int job_open(int *rank, int *size)
{
    if (MPI_Init(NULL, NULL) != MPI_SUCCESS)
        return 1;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    return MPI_Comm_rank(MPI_COMM_WORLD, rank) != MPI_SUCCESS ||
           MPI_Comm_size(MPI_COMM_WORLD, size) != MPI_SUCCESS;
}

/* Go on sending, and forget what is sent. */
static int sendings_test(void)
{
    for (sending **at = &sendings; *at != NULL;) {
        sending *this = *at;
        int sent;
        if (MPI_Test(&this->request, &sent, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            return 1;
        if (sent) {
            *at = this->next;
            free(this);
        } else {
            at = &this->next;
        }
    }
    return 0;
}

static int message_send(int to, int kind, const void *bytes, size_t size)
{
    sending *this = malloc(sizeof *this + size);
    if (this == NULL)
        return 1;
    memcpy(this->bytes, bytes, size);
    if (MPI_Isend(this->bytes, (int)size, MPI_BYTE, to, kind, MPI_COMM_WORLD, &this->request) !=
        MPI_SUCCESS) {
        free(this);
        return 1;
    }
    this->next = sendings;
    sendings = this;
    return 0;
}

static int message_is_sending(void)
{
    return sendings != NULL;
}

static int message_probe(int *from, int *kind, size_t *size)
{
    MPI_Status found;
    int there, count;
    *from = -1;
    if (sendings_test() != 0 ||
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &there, &found) != MPI_SUCCESS)
        return 1;
    if (!there)
        return 0;
    if (MPI_Get_count(&found, MPI_BYTE, &count) != MPI_SUCCESS)
        return 1;
    *from = found.MPI_SOURCE;
    *kind = found.MPI_TAG;
    *size = (size_t)count;
    return 0;
}

static int message_receive(int from, int kind, void *bytes, size_t size)
{
    return MPI_Recv(bytes, (int)size, MPI_BYTE, from, kind, MPI_COMM_WORLD, MPI_STATUS_IGNORE) != MPI_SUCCESS;
}

/* What nobody takes any more is not waited for. */
static void job_close(void)
{
    sendings_test();
    for (sending *this = sendings; this != NULL; this = this->next)
        MPI_Request_free(&this->request);
    MPI_Finalize();
    while (sendings != NULL) {
        sending *this = sendings;
        sendings = this->next;
        free(this);
    }
}

extern const sn_comm_plugin sn_comm_mpi;
const sn_comm_plugin sn_comm_mpi = {
    .version = SN_COMM_PLUGIN_VERSION,
    .open = job_open,
    .close = job_close,
    .send = message_send,
    .is_sending = message_is_sending,
    .probe = message_probe,
    .receive = message_receive,
};
