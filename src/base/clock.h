/**
 * The clock that durations are measured with.
 */
#ifndef SN_BASE_CLOCK_H
#define SN_BASE_CLOCK_H

/** Seconds since an arbitrary moment; never goes back. */
double sn_clock_now(void);

#endif
