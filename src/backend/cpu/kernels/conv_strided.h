/**
 * Convolutions backward where kernel and stride are 2: see backend/cpu/conv_strided.h.
 */
#ifndef SN_BACKEND_CPU_KERNELS_CONV_STRIDED_H
#define SN_BACKEND_CPU_KERNELS_CONV_STRIDED_H

#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels/run.h"

void SN_CPU_NAME(sn_strided_backward_data)(const sn_cpu_call *call, const sn_strided_plan *plan);
void SN_CPU_NAME(sn_strided_backward_weights)(const sn_cpu_call *call, const sn_strided_plan *plan);

#endif
