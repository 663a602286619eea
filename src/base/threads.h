/**
 * How many threads to use.
 */
#ifndef SN_BASE_THREADS_H
#define SN_BASE_THREADS_H

/** The cores this process may use: its affinity mask, or its control group's quota (rounded up) if smaller;
 * >= 1. */
int sn_threads_default(void);

#endif
