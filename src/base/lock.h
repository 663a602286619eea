/**
 * A lock on a folder: one process at a time works in it. The kernel frees it when the process ends, however.
 */
#ifndef SN_BASE_LOCK_H
#define SN_BASE_LOCK_H

#include "base/status.h"

enum { SN_NO_LOCK = -1 };

/**
 * Take the lock of a folder: its file `lock`, which stays.
 *
 * @param[out] lock sn_folder_unlock; SN_NO_LOCK on error
 * @return SN_OK; SN_ERR_FAILED another process has it (names its id); SN_ERR_IO
 */
sn_status sn_folder_lock(int *lock, const char *folder, sn_error *error);

/** Free the lock; SN_NO_LOCK is allowed. */
void sn_folder_unlock(int lock);

#endif
