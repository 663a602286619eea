#include "backend/cpu/conv_strided.h"

#include "backend/cpu/conv_plan.h"
#include "base/memory.h"

enum {
    MANY_VOXELS = 3072,   /* of dy, from which on backward weights are not deep */
    SLAB_VOXELS = 1024,   /* of dy, about */
    SLABS_OF_PARTIAL = 4, /* so that few partial sums are written to memory, */
    FEWEST_PARTIALS = 8,  /* but several threads have work */
    MOST_PARTIALS = 32,
};

/* Backward weights multiplies lanes without a channel, too. Measured for 1 to 64 channels, 36^3 to 128^3 voxels of x:
 * with half of the lanes or more this is up to 60 % faster than where lanes are voxels (5 % slower from 17 to 20
 * channels). */
bool sn_strided_suits(const sn_op *op, bool deep)
{
    const sn_conv3d_params *p = &op->params.conv3d;
    if (op->kind == SN_OP_CONV3D || p->kernel != 2 || p->stride != 2 || p->dilation != 1 || p->pad != 0)
        return false;
    if (op->kind == SN_OP_CONV3D_BACKWARD_DATA)
        return !deep;
    const sn_tensor_desc *dy = &op->inputs[1].desc;
    return sn_round_up(dy->shape[1], SN_CONV_MAX_LANES) <= 2 * dy->shape[1] &&
           (!deep || sn_tensor_voxels(dy) >= MANY_VOXELS);
}

static int64_t partials_of(int64_t slabs)
{
    int64_t wanted = slabs / SLABS_OF_PARTIAL;
    wanted = wanted < FEWEST_PARTIALS ? FEWEST_PARTIALS : sn_conv_smaller(wanted, MOST_PARTIALS);
    return sn_conv_smaller(wanted, slabs);
}

sn_strided_plan sn_strided_plan_of(const sn_op *op)
{
    const bool is_dw = op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS;
    const sn_tensor_desc *x = is_dw ? &op->inputs[0].desc : &op->outputs[0].desc,
                         *y = &op->inputs[is_dw ? 1 : 0].desc;
    sn_strided_plan plan = {.images = x->shape[0], .in_channels = x->shape[1], .out_channels = y->shape[1]};
    for (int i = 0; i < 3; i++) {
        plan.in[i] = x->shape[2 + i];
        plan.out[i] = y->shape[2 + i];
    }
    if (is_dw) {
        plan.slabs =
            sn_conv_smaller(sn_conv_parts(sn_tensor_voxels(y), SLAB_VOXELS), plan.out[0] * plan.out[1]);
        plan.partials = partials_of(plan.images * plan.slabs);
    }
    return plan;
}

size_t sn_strided_workspace(const sn_op *op)
{
    const sn_strided_plan plan = sn_strided_plan_of(op);
    size_t weights = (size_t)(SN_STRIDED_TAPS * plan.in_channels * plan.out_channels) * sizeof(float);
    return plan.partials > 0 ? (size_t)plan.partials * weights : weights;
}

size_t sn_strided_scratch(const sn_strided_plan *plan)
{
    int64_t floats = plan->out_channels * SN_STRIDED_COLUMNS * SN_CONV_MAX_LANES;
    if (plan->partials > 0)
        floats = sn_conv_parts(plan->out[0] * plan->out[1], plan->slabs) * plan->out[2] * SN_STRIDED_BLOCK;
    return (size_t)floats * sizeof(float);
}
