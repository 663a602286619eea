#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { PATIENCE = 200 }; /* tries, 10 ms apart */

/* Write the id of the process that holds the lock; false where that process is gone. */
static bool read_holder(char holder[32], int file)
{
    ssize_t length = pread(file, holder, 31, 0);
    holder[length > 0 ? length : 0] = '\0';
    pid_t pid = (pid_t)strtol(holder, NULL, 10);
    return pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH);
}

/*
 * flock's lock goes with the process, whose id in the file is for the message. A process killed while it starts
 * another one leaves the lock with that one for the moment until its exec: such a lock is waited for.
 */
static sn_status lock_take(int file, const char *path, const char *folder, sn_error *error)
{
    static const struct timespec pause = {.tv_nsec = 10000000};
    char holder[32];
    for (int i = 0; flock(file, LOCK_EX | LOCK_NB) != 0; i++) {
        if (read_holder(holder, file) || i == PATIENCE)
            return sn_error_set(error, SN_ERR_FAILED,
                                "%s: process %s is working here; wait for it or stop it first", folder,
                                holder[0] != '\0' ? holder : "unknown");
        nanosleep(&pause, NULL);
    }
    int length = snprintf(holder, sizeof holder, "%ld", (long)getpid());
    if (ftruncate(file, 0) != 0 || pwrite(file, holder, (size_t)length, 0) != length)
        return sn_path_error(path, "write", errno, error);
    return SN_OK;
}

sn_status sn_folder_lock(int *lock, const char *folder, sn_error *error)
{
    sn_status status;
    char *path = NULL;
    int file = SN_NO_LOCK;
    *lock = SN_NO_LOCK;
    SN_TRY(sn_path_join(&path, folder, "lock", error));
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) {
        status = sn_path_error(path, "write", errno, error);
        goto done;
    }
    SN_TRY(lock_take(file, path, folder, error));
    *lock = file;
    file = SN_NO_LOCK;
done:
    sn_folder_unlock(file);
    sn_free(path);
    return status;
}

void sn_folder_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}
