/**
 * The other ranks of a job, as rank 0 sees them: groups of relays (search/relay.h), each of which does one
 * job at a time as a worker would (search/worker.h). The same rules: a group that dies is started again.
 */
#ifndef SN_SEARCH_RANKS_H
#define SN_SEARCH_RANKS_H

#include "comm/comm.h"
#include "search/worker.h"

typedef struct sn_ranks sn_ranks;

/**
 * Meet the relays and divide them into groups; ranks that are too few for one more group stay idle.
 *
 * @param[out] ranks sn_ranks_close; NULL on error
 * @param[in]  comm  of rank 0; outlives the ranks
 * @param[in]  each  relays of a group, >= 1
 * @return SN_OK; SN_ERR_ARG not one group can be made; SN_ERR_INTERRUPTED; SN_ERR_IO
 */
sn_status sn_ranks_open(sn_ranks **ranks, sn_comm *comm, int each, sn_error *error);

/** Say goodbye to the relays; what they do ends. NULL is allowed. */
void sn_ranks_close(sn_ranks *ranks);

int sn_ranks_groups(const sn_ranks *ranks);
int sn_ranks_hosts(const sn_ranks *ranks);
/** Cores that each relay's worker may use: where ranks are bound to cores, those; else a share of the host's.
 * The least of all. */
int sn_ranks_threads(const sn_ranks *ranks);
/** Memory of all hosts together, in bytes, divided by the relays of a group. */
int64_t sn_ranks_memory(const sn_ranks *ranks);

/** Make sure that all relays see the same `folder`. SN_ERR_INPUT naming the first that does not. */
sn_status sn_ranks_meet(sn_ranks *ranks, const char *folder, sn_error *error);

/** As sn_worker_begin; the options' cores are not used, since each relay has its own. */
sn_status sn_ranks_begin(sn_ranks *ranks, int group, const json_t *job, const sn_worker_options *options,
                         sn_error *error);

/** As sn_worker_attend. */
sn_status sn_ranks_attend(sn_worker_outcome *outcome, sn_ranks *ranks, int group, sn_error *error);

/** Let some time pass: until messages came perhaps, milliseconds at most. */
void sn_ranks_wait(sn_ranks *ranks);

/** As sn_worker_stop. */
void sn_ranks_stop(sn_ranks *ranks, int group);

/** Forget the group's job; one that still runs is stopped and waited for. */
void sn_ranks_dismiss(sn_ranks *ranks, int group);

#endif
