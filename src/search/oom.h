/**
 * Kills by the kernel's memory control, to tell them from all others.
 */
#ifndef SN_SEARCH_OOM_H
#define SN_SEARCH_OOM_H

#include <stdint.h>

/**
 * How many processes were killed for want of memory so far: in this process's control group where it counts
 * them, else on the machine. -1 where the kernel does not tell. Ask before and after a process's life.
 */
int64_t sn_oom_kills(void);

#endif
