/**
 * Convolutions by Winograd's algorithm: see backend/cpu/winograd_plan.h.
 */
#ifndef SN_BACKEND_CPU_WINOGRAD_RUN_H
#define SN_BACKEND_CPU_WINOGRAD_RUN_H

#include "backend/cpu/kernels/run.h"
#include "backend/cpu/winograd_plan.h"

void SN_CPU_NAME(sn_winograd_conv3d)(const sn_cpu_call *call, const sn_winograd_plan *plan);
void SN_CPU_NAME(sn_winograd_backward_weights)(const sn_cpu_call *call, const sn_winograd_plan *plan);
void SN_CPU_NAME(sn_winograd_deep_conv3d)(const sn_cpu_call *call, const sn_winograd_plan *plan);
void SN_CPU_NAME(sn_winograd_deep_backward_weights)(const sn_cpu_call *call, const sn_winograd_plan *plan);

#endif
