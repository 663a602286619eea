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

/* A stack on which thread after thread runs, and where it has left off. */
struct fiber {
    std::vector<char> stack;
    jmp_buf at;
    bool has_ended;
};

static std::deque<fiber> fibers;
static jmp_buf scheduler;
static const std::function<void()> *running;
static bool has_barriers; /* threads run as fibers */

/* Go on elsewhere, and return when someone goes on here. Unlike swapcontext this needs no system call. */
static void switch_to(jmp_buf to, jmp_buf here)
{
    if (_setjmp(here) == 0)
        _longjmp(to, 1);
}

static void fiber_main()
{
    for (;;) {
        const unsigned thread = threadIdx.x;
        (*running)();
        fibers[thread].has_ended = true;
        switch_to(scheduler, fibers[thread].at);
    }
}

/* Stop a new fiber before its first thread. */
static void fiber_begin()
{
    switch_to(scheduler, fibers[threadIdx.x].at);
    fiber_main();
}

static void add_fiber()
{
    ucontext_t context;
    threadIdx.x = (unsigned)fibers.size();
    fibers.push_back(fiber{std::vector<char>(STACK_BYTES), {}, true});
    getcontext(&context);
    context.uc_stack.ss_sp = fibers.back().stack.data();
    context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&context, fiber_begin, 0);
    if (_setjmp(scheduler) == 0)
        setcontext(&context);
}

static void resume(unsigned thread)
{
    threadIdx.x = thread;
    switch_to(fibers[thread].at, scheduler);
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
    switch_to(scheduler, fibers[thread].at);
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
