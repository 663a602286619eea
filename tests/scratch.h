/** A folder for the many studies of a test program. */
#ifndef SN_TESTS_SCRATCH_H
#define SN_TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

static char folder[64];

/* cmocka setup and teardown. In memory where that is possible: each trial of a study waits for the disk. */
static inline int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s/segnas3d-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static inline int folder_remove(void **state)
{
    (void)state;
    return sn_folder_remove(folder, NULL) == SN_OK ? 0 : -1;
}

#endif
