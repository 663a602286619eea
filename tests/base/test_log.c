/* Messages and where they go; the number of threads. */
#include "cmocka_all.h"

#include <sched.h>
#include <stdio.h>

#include "base/log.h"
#include "base/threads.h"

static void keep(void *context, sn_log_level level, const char *text)
{
    snprintf(context, 64, "%d %s", level, text);
}

static void messages_reach_the_sink_up_to_its_level(void **state)
{
    (void)state;
    char last[64] = "";
    sn_log(SN_LOG_WARNING, "nobody hears this");
    sn_log_set_sink(keep, last, SN_LOG_INFO);
    sn_log(SN_LOG_WARNING, "case %d", 3);
    assert_string_equal(last, "0 case 3");
    sn_log(SN_LOG_INFO, "tiles");
    assert_string_equal(last, "1 tiles");
    sn_log(SN_LOG_DEBUG, "too fine");
    assert_string_equal(last, "1 tiles");
    sn_log_set_sink(NULL, NULL, SN_LOG_INFO);
    sn_log(SN_LOG_WARNING, "nobody hears this");
    assert_string_equal(last, "1 tiles");
}

static void threads_stay_within_the_affinity_mask(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_true(sn_threads_default() >= 1);
    assert_true(sn_threads_default() <= CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; core++)
        if (CPU_ISSET(core, &before))
            CPU_SET(core, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(sn_threads_default(), 1);
    sched_setaffinity(0, sizeof before, &before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_reach_the_sink_up_to_its_level),
        cmocka_unit_test(threads_stay_within_the_affinity_mask),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
