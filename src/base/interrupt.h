/**
 * Ctrl-C and SIGTERM: the first one asks the work to stop at its next safe point, the second one ends the
 * process.
 */
#ifndef SN_BASE_INTERRUPT_H
#define SN_BASE_INTERRUPT_H

#include <stdbool.h>

#include "base/status.h"

/** Catch SIGINT and SIGTERM from now on. Called once by main; a library user who does not is never
 * interrupted. */
void sn_interrupt_install(void);

/** True once a stop was asked for. Cheap and safe from any thread: ask it once a case, step or tile. */
bool sn_interrupt_requested(void);

/** SN_OK; SN_ERR_INTERRUPTED with its text once a stop was asked for. */
sn_status sn_interrupt_check(sn_error *error);

/** Ask for a stop as the first Ctrl-C does. */
void sn_interrupt_request(void);

/** Forget an earlier request. */
void sn_interrupt_clear(void);

#endif
