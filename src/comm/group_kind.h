/**
 * What groups of every kind have in common: how members exchange. For the kinds alone (group.c, group_threads.c).
 */
#ifndef SN_COMM_GROUP_KIND_H
#define SN_COMM_GROUP_KIND_H

#include "comm/group.h"

/* Each kind's own begins with it. */
struct sn_group {
    int member, size;
    sn_status (*exchange)(sn_group *group, const sn_parcel *sent, const sn_parcel *received, sn_error *error);
};

#endif
