/**
 * The kernels of one instruction set, one for each kind of operation; see op.h for what each one means.
 */
#ifndef SN_BACKEND_CPU_RUN_H
#define SN_BACKEND_CPU_RUN_H

#include <omp.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/vector.h"

#define SN_CPU_RUN(kind) SN_CPU_NAME(sn_cpu_##kind)

sn_cpu_kernel SN_CPU_RUN(conv3d), SN_CPU_RUN(conv3d_backward_weights);
sn_cpu_kernel SN_CPU_RUN(bias), SN_CPU_RUN(bias_backward), SN_CPU_RUN(prelu), SN_CPU_RUN(prelu_backward);
sn_cpu_kernel SN_CPU_RUN(sum), SN_CPU_RUN(channel_dropout);
sn_cpu_kernel SN_CPU_RUN(batchnorm), SN_CPU_RUN(batchnorm_apply), SN_CPU_RUN(batchnorm_backward);
sn_cpu_kernel SN_CPU_RUN(batchnorm_running);
sn_cpu_kernel SN_CPU_RUN(maxpool), SN_CPU_RUN(maxpool_backward);
sn_cpu_kernel SN_CPU_RUN(upsample), SN_CPU_RUN(upsample_backward);
sn_cpu_kernel SN_CPU_RUN(concat), SN_CPU_RUN(window), SN_CPU_RUN(affine_warp);
sn_cpu_kernel SN_CPU_RUN(softmax), SN_CPU_RUN(loss), SN_CPU_RUN(overlap), SN_CPU_RUN(argmax);
sn_cpu_kernel SN_CPU_RUN(nadam), SN_CPU_RUN(average);

/* This thread's own memory, inside a parallel region. */
static inline void *sn_cpu_thread_scratch(const sn_cpu_call *call)
{
    return call->team->scratch + (size_t)omp_get_thread_num() * call->team->scratch_bytes;
}

#endif
