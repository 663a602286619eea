#ifndef SN_BACKEND_CPU_CONV_PLAN_H
#define SN_BACKEND_CPU_CONV_PLAN_H

#include "backend/op.h"

typedef struct sn_conv_plan sn_conv_plan;
sn_status sn_conv_plan_make(sn_conv_plan **plan, const sn_op *op, int lanes, sn_error *error);
void sn_conv_plan_free(sn_conv_plan *plan);

#endif
