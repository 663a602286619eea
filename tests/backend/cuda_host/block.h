/**
 * Running a kernel.
 */
#ifndef TESTS_BACKEND_CUDA_HOST_BLOCK_H
#define TESTS_BACKEND_CUDA_HOST_BLOCK_H

#include <functional>

/** Run `thread` for all threads of all blocks; those that wait for each other have stacks of their own. */
void cuda_host_run(unsigned blocks, unsigned threads, const std::function<void()> &thread);

#endif
