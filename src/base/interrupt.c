#include "base/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static atomic_bool requested;
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "a signal handler may only use lock-free atomics");

static void on_signal(int number)
{
    if (atomic_exchange(&requested, true))
        _exit(128 + number);
}

void sn_interrupt_install(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file over the limit is an error of write(), not a death */
}

bool sn_interrupt_requested(void)
{
    return atomic_load_explicit(&requested, memory_order_relaxed);
}

sn_status sn_interrupt_check(sn_error *error)
{
    if (!sn_interrupt_requested())
        return SN_OK;
    return sn_error_set(error, SN_ERR_INTERRUPTED, "interrupted");
}

void sn_interrupt_request(void)
{
    atomic_store(&requested, true);
}

void sn_interrupt_clear(void)
{
    atomic_store(&requested, false);
}
