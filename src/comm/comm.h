/**
 * The processes of one job, started together by mpirun or srun, and messages between them.
 *
 * A process that was started by itself is a job of one. For all others the plug-in segnas3d-mpi.so beside the
 * program is loaded, so that the program itself needs no MPI. Messages go from point to point; nobody waits
 * for anybody, and a process that looks for a message now and then takes next to no processor time.
 */
#ifndef SN_COMM_COMM_H
#define SN_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/** How many processes were started together, by what the environment says; 1: this one is by itself. */
int sn_comm_started(void);

/** Whether this process is the first of them: the one that talks to people. */
bool sn_comm_is_first(void);

typedef struct sn_comm sn_comm;

/**
 * Meet the other processes of the job; once in a process's life.
 *
 * @param[out] comm sn_comm_close; NULL on error
 * @return SN_OK; SN_ERR_UNSUPPORTED the plug-in is missing, or MPI cannot be used in the way that this process
 * was started; SN_ERR_MEMORY
 */
sn_status sn_comm_open(sn_comm **comm, sn_error *error);

/** Part; returns when all processes of the job do so. What was sent and not received yet is lost. NULL is
 * allowed. */
void sn_comm_close(sn_comm *comm);

int sn_comm_rank(const sn_comm *comm); /* 0 .. size-1 */
int sn_comm_size(const sn_comm *comm);

/**
 * Send a message; returns at once. Two messages to one process arrive in the order in which they were sent.
 *
 * @param[in] to   a rank, not this process's
 * @param[in] kind >= 0, for the receiver
 * @return SN_OK; SN_ERR_IO; SN_ERR_MEMORY
 */
sn_status sn_comm_send(sn_comm *comm, int to, int kind, const void *bytes, size_t size, sn_error *error);

/** Whether some of what was sent is still on its way. */
bool sn_comm_is_sending(const sn_comm *comm);

typedef struct sn_message {
    int from; /* rank */
    int kind;
    char *bytes; /* (size), and a zero byte behind; NULL: there is no message */
    size_t size;
} sn_message;

/**
 * Take the next message, if there is one; never waits for one. It also keeps going what is being sent, so it
 * is called often.
 *
 * @param[out] message sn_message_clear
 * @return SN_OK; SN_ERR_IO; SN_ERR_MEMORY
 */
sn_status sn_comm_receive(sn_message *message, sn_comm *comm, sn_error *error);

void sn_message_clear(sn_message *message);

#endif
