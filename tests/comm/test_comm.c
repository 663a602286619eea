/* A job of one process; jobs of several are tested by tests/cli/test_mpi.sh. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"

static void forget_starters(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK",
                                        "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static void a_process_by_itself_is_a_job_of_one(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_comm *comm;
    sn_message message;
    forget_starters();
    assert_int_equal(sn_comm_started(), 1);
    assert_true(sn_comm_is_first());
    assert_int_equal(sn_comm_open(&comm, &error), SN_OK);
    assert_int_equal(sn_comm_rank(comm), 0);
    assert_int_equal(sn_comm_size(comm), 1);
    assert_int_equal(sn_comm_receive(&message, comm, &error), SN_OK);
    assert_null(message.bytes);
    assert_int_equal(sn_comm_send(comm, 1, 0, "x", 1, &error), SN_ERR_IO);
    sn_message_clear(&message);
    sn_comm_close(comm);
}

static void what_started_the_process_tells_its_place(void **state)
{
    (void)state;
    forget_starters();
    setenv("PMIX_RANK", "2", 1); /* of what is no step of Slurm: not known how many */
    assert_int_equal(sn_comm_started(), 1);
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    assert_int_equal(sn_comm_started(), 4);
    assert_false(sn_comm_is_first());
    setenv("OMPI_COMM_WORLD_RANK", "0", 1); /* mpirun inside of a step of Slurm */
    setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
    assert_int_equal(sn_comm_started(), 3);
    assert_true(sn_comm_is_first());
    forget_starters();
}

static void processes_that_srun_tells_nothing_are_told_how_to_start(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_comm *comm;
    forget_starters();
    setenv("SLURM_PROCID", "0", 1);
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    assert_int_equal(sn_comm_open(&comm, &error), SN_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "srun --mpi=pmix"));
    forget_starters();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_by_itself_is_a_job_of_one),
        cmocka_unit_test(what_started_the_process_tells_its_place),
        cmocka_unit_test(processes_that_srun_tells_nothing_are_told_how_to_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
