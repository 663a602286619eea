/* Locks of folders: one process at a time, and none after a process that is gone. */
#include "cmocka_all.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"

static char folder[] = "/tmp/segnas3d-test-lock-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return sn_folder_remove(folder, NULL) == SN_OK ? 0 : -1;
}

/* A process that holds the lock until it is killed. */
static pid_t start_holder(void)
{
    int ready[2], lock;
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        sn_status status = sn_folder_lock(&lock, folder, NULL);
        byte = (char)status;
        if (write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, SN_OK);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void a_folder_has_one_lock_at_a_time(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    char id[32];
    int lock;
    pid_t holder = start_holder();
    assert_int_equal(sn_folder_lock(&lock, folder, &error), SN_ERR_FAILED);
    assert_int_equal(lock, SN_NO_LOCK);
    snprintf(id, sizeof id, "process %ld ", (long)holder);
    assert_non_null(strstr(error.text, id));
    assert_non_null(strstr(error.text, folder));
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    assert_int_equal(sn_folder_lock(&lock, folder, &error), SN_OK);
    sn_folder_unlock(lock);
    assert_int_equal(sn_folder_lock(&lock, folder, &error), SN_OK);
    sn_folder_unlock(lock);
}

/* The holder forks and is killed: its child has the lock a little longer. */
static void the_lock_of_a_process_that_is_gone_is_waited_for(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    int lock;
    pid_t holder = fork();
    if (holder == 0) {
        if (sn_folder_lock(&lock, folder, NULL) == SN_OK && fork() == 0)
            usleep(200000);
        _exit(0);
    }
    waitpid(holder, NULL, 0);
    assert_int_equal(sn_folder_lock(&lock, folder, &error), SN_OK);
    sn_folder_unlock(lock);
}

static void a_missing_folder_is_named(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    int lock;
    assert_int_equal(sn_folder_lock(&lock, "/nowhere", &error), SN_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere"));
    sn_folder_unlock(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_has_one_lock_at_a_time),
        cmocka_unit_test(the_lock_of_a_process_that_is_gone_is_waited_for),
        cmocka_unit_test(a_missing_folder_is_named),
    };
    return cmocka_run_group_tests_name("lock", tests, setup, teardown);
}
