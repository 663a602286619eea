/* Signals, in processes of their own. */
#include "cmocka_all.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/interrupt.h"

static void a_signal_asks_for_a_stop(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    static const int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        sn_interrupt_install();
        sn_interrupt_clear();
        assert_false(sn_interrupt_requested());
        assert_int_equal(sn_interrupt_check(&error), SN_OK);
        raise(signals[i]);
        assert_true(sn_interrupt_requested());
        assert_int_equal(sn_interrupt_check(&error), SN_ERR_INTERRUPTED);
        sn_interrupt_clear();
        assert_false(sn_interrupt_requested());
    }
}

static void a_second_signal_ends_the_process(void **state)
{
    (void)state;
    int outcome;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sn_interrupt_install();
        sn_interrupt_clear();
        raise(SIGINT);
        raise(SIGINT);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &outcome, 0), child);
    assert_true(WIFEXITED(outcome));
    assert_int_equal(WEXITSTATUS(outcome), 130);
}

static void a_request_by_the_program_counts_as_well(void **state)
{
    (void)state;
    sn_interrupt_request();
    assert_true(sn_interrupt_requested());
    sn_interrupt_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_asks_for_a_stop),
        cmocka_unit_test(a_second_signal_ends_the_process),
        cmocka_unit_test(a_request_by_the_program_counts_as_well),
    };
    return cmocka_run_group_tests_name("interrupt", tests, NULL, NULL);
}
