/*
 * The threads of a block take turns: each runs to its next barrier. Where the first one ends without having
 * met one, none may meet any, and the others are plain calls.
 */
#include "block.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <deque>
#include <vector>

#include "cuda_runtime.h"

cuda_host_index threadIdx, blockIdx, gridDim;

enum { STACK_BYTES = 128 << 10 };

/* Where a stack lies, and where what runs on it has left off. */
struct place {
    const void *bottom;
    size_t bytes;
    jmp_buf at;
};

/* A stack on which thread after thread runs. */
struct fiber {
    std::vector<char> stack;
    place left_off;
    bool has_ended;
};

static std::deque<fiber> fibers;
static place scheduler;
static const std::function<void()> *running;
static bool has_barriers; /* threads run as fibers */

/* AddressSanitizer wants to be told of changes of the stack. */
#ifdef SN_SANITIZE
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void **, const void *, size_t)
{
}
static void __sanitizer_finish_switch_fiber(void *, const void **, size_t *)
{
}
#endif

/* Go on elsewhere, and return when someone goes on here. Unlike swapcontext this needs no system call. */
static void switch_to(place *to, place *here)
{
    void *kept = NULL;
    __sanitizer_start_switch_fiber(&kept, to->bottom, to->bytes);
    if (_setjmp(here->at) == 0)
        _longjmp(to->at, 1);
    __sanitizer_finish_switch_fiber(kept, NULL, NULL);
}

/* Stop a new fiber before its first thread; then run thread after thread. */
static void fiber_main()
{
    __sanitizer_finish_switch_fiber(NULL, &scheduler.bottom, &scheduler.bytes);
    for (;;) {
        fiber &own = fibers[threadIdx.x];
        own.has_ended = true;
        switch_to(&scheduler, &own.left_off);
        (*running)();
    }
}

static void add_fiber()
{
    void *kept = NULL;
    ucontext_t context;
    threadIdx.x = (unsigned)fibers.size();
    fibers.push_back(fiber{std::vector<char>(STACK_BYTES), {}, false});
    fiber &made = fibers.back();
    made.left_off.bottom = made.stack.data();
    made.left_off.bytes = made.stack.size();
    getcontext(&context);
    context.uc_stack.ss_sp = made.stack.data();
    context.uc_stack.ss_size = made.stack.size();
    makecontext(&context, fiber_main, 0);
    __sanitizer_start_switch_fiber(&kept, made.left_off.bottom, made.left_off.bytes);
    if (_setjmp(scheduler.at) == 0)
        setcontext(&context);
    __sanitizer_finish_switch_fiber(kept, NULL, NULL);
}

static void resume(unsigned thread)
{
    threadIdx.x = thread;
    switch_to(&fibers[thread].left_off, &scheduler);
}

static void start(unsigned thread)
{
    fibers[thread].has_ended = false;
    resume(thread);
}

static void fail(const char *what)
{
    fprintf(stderr, "cuda_host: block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
    abort();
}

void __syncthreads()
{
    const unsigned thread = threadIdx.x;
    if (!has_barriers)
        fail("a barrier that other threads of the block did not meet");
    switch_to(&scheduler, &fibers[thread].left_off);
}

/* All of them are at a barrier, or all have ended. */
static void run_fibers(unsigned threads)
{
    for (unsigned t = 1; t < threads; t++)
        start(t);
    while (!fibers[0].has_ended) {
        for (unsigned t = 0; t < threads; t++) {
            if (fibers[t].has_ended)
                fail("it ended while others wait at a barrier");
            resume(t);
        }
    }
    for (unsigned t = 0; t < threads; t++)
        if (!fibers[t].has_ended)
            fail("it waits at a barrier while others have ended");
}

static void run_block(unsigned threads)
{
    has_barriers = true;
    start(0);
    if (!fibers[0].has_ended) {
        run_fibers(threads);
        return;
    }
    has_barriers = false;
    for (unsigned t = 1; t < threads; t++) {
        threadIdx.x = t;
        (*running)();
    }
}

void cuda_host_run(unsigned blocks, unsigned threads, const std::function<void()> &thread)
{
    while (fibers.size() < threads)
        add_fiber();
    running = &thread;
    gridDim.x = blocks;
    for (unsigned b = 0; b < blocks; b++) {
        blockIdx.x = b;
        run_block(threads);
    }
}
