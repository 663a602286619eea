/**
 * Cores of the machine, shared out among worker processes.
 */
#ifndef SN_SEARCH_CORES_H
#define SN_SEARCH_CORES_H

#include <sched.h>
#include <stdbool.h>

/**
 * Give each worker `threads` cores of its own, of those that this process may use. Those of one worker are
 * neighbours: a socket's first, and the two halves of one core with hyper-threading together.
 *
 * @param[out] sets (workers)
 * @return false where there are not enough for all; then nothing is set
 */
bool sn_cores_share_out(cpu_set_t *sets, int workers, int threads);

#endif
