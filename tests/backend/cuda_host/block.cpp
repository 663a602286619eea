/*
 * The threads of a block take turns: each runs to its next barrier. Where the first one ends without having met
 * one none may meet any, and the others are plain calls.
 */
#include "block.h"

#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <vector>

#include "cuda_runtime.h"

cuda_host_index threadIdx, blockIdx, gridDim;

enum { STACK_BYTES = 128 << 10 };

struct fiber {
    ucontext_t context;
    std::vector<char> stack;
    bool has_ended;
};

static std::vector<fiber> fibers;
static ucontext_t scheduler;
static const std::function<void()> *running;
static bool has_barriers; /* threads run as fibers */

static void fiber_main()
{
    (*running)();
    fibers[threadIdx.x].has_ended = true; /* and on to the scheduler: uc_link */
}

static void resume(unsigned thread)
{
    threadIdx.x = thread;
    swapcontext(&scheduler, &fibers[thread].context);
}

static void start(unsigned thread)
{
    fiber &own = fibers[thread];
    own.stack.resize(STACK_BYTES);
    own.has_ended = false;
    getcontext(&own.context);
    own.context.uc_stack.ss_sp = own.stack.data();
    own.context.uc_stack.ss_size = own.stack.size();
    own.context.uc_link = &scheduler;
    makecontext(&own.context, fiber_main, 0);
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
    swapcontext(&fibers[thread].context, &scheduler);
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
    if (fibers.size() < threads)
        fibers.resize(threads);
    running = &thread;
    gridDim.x = blocks;
    for (unsigned b = 0; b < blocks; b++) {
        blockIdx.x = b;
        run_block(threads);
    }
}
