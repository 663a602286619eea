/**
 * A group: members that compute one thing together and exchange bytes, all with all. NULL is a group of one.
 *
 * Members are processes (sn_group_open): each has one connection, to a router that passes frames on. A frame is a
 * header (sn_frame) and its bytes; in what a member writes, `peer` is the member that it is for, in what it reads,
 * the one that it is from. Or they are threads of one process (sn_group_run), which copy from each other.
 */
#ifndef SN_COMM_GROUP_H
#define SN_COMM_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { SN_GROUP_MEMBERS = 1024 };

typedef struct sn_frame {
    uint32_t peer;
    uint32_t number; /* of the exchange, from 1 */
    uint64_t size;   /* bytes behind the header */
} sn_frame;

typedef struct sn_group sn_group;

/**
 * Join a group of processes.
 *
 * @param[out] group      sn_group_close; NULL on error
 * @param[in]  descriptor a stream socket, the group's from now on, also after an error
 */
sn_status sn_group_open(sn_group **group, int descriptor, int member, int size, sn_error *error);
void sn_group_close(sn_group *group);

/** What a thread does as a member of `group`. */
typedef sn_status sn_group_work(sn_group *group, void *context, sn_error *error);

/**
 * Do a work in a group of threads, member 0 in the caller's. When one fails, the others' exchanges end with its error.
 *
 * @param[in] size 1 to SN_GROUP_MEMBERS
 * @return when all have ended: SN_OK, or the first error
 */
sn_status sn_group_run(int size, sn_group_work *work, void *context, sn_error *error);

int sn_group_member(const sn_group *group); /* 0 .. size-1 */
int sn_group_size(const sn_group *group);

typedef struct sn_parcel {
    void *bytes;
    size_t size;
} sn_parcel;

/**
 * Send a parcel to each other member and receive one from each. All members call this the same number of
 * times, and agree on the sizes.
 *
 * @param[in] sent     (size) to each member; the own one is not used
 * @param[in] received (size) from each member: where its bytes are written; the own one is not used
 * @return SN_OK; SN_ERR_INTERRUPTED; SN_ERR_FAILED the connection has ended, or sizes do not agree; of threads, the
 * error of a member that has failed
 */
sn_status sn_group_exchange(sn_group *group, const sn_parcel *sent, const sn_parcel *received,
                            sn_error *error);

#endif
