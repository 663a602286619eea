/**
 * The convolutions that are computed by Winograd's algorithm.
 */
#ifndef SN_BACKEND_CPU_WINOGRAD_RUN_H
#define SN_BACKEND_CPU_WINOGRAD_RUN_H

#include "backend/cpu/kernels/run.h"
#include "backend/cpu/winograd_plan.h"

#define SN_WINOGRAD_RUN SN_CPU_NAME(sn_winograd_run)
#define SN_WINOGRAD_RUN_WEIGHTS SN_CPU_NAME(sn_winograd_run_weights)

/** Forward and backward data. */
void SN_WINOGRAD_RUN(const sn_cpu_call *call, const sn_winograd_plan *plan);

/** Backward weights. */
void SN_WINOGRAD_RUN_WEIGHTS(const sn_cpu_call *call, const sn_winograd_plan *plan);

#endif
