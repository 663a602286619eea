#include "backend/cpu/conv_strided.h"

#include "backend/cpu/conv_plan.h"
#include "base/memory.h"

enum {
    SLAB_VOXELS = 1024,  /* about */
    FEWEST_PARTIALS = 8, /* if there are as many slabs, so that several threads have work; */
    MOST_PARTIALS = 32,
    SLABS_OF_PARTIAL = 4, /* and between them, so that few of them are written to memory */
};

/* Measured for 1 to 64 channels, 36^3 to 128^3 voxels of x: lanes without a channel are multiplied, too. With half of
 * them or more this is 0 to 60 % faster than where lanes are voxels (5 % slower from 17 to 20 channels). */
bool sn_strided_suits(const sn_op *op)
{
    const sn_conv3d_params *p = &op->params.conv3d;
    if (op->kind != SN_OP_CONV3D_BACKWARD_WEIGHTS || p->kernel != 2 || p->stride != 2 || p->dilation != 1 ||
        p->pad != 0)
        return false;
    int64_t channels = op->inputs[1].desc.shape[1];
    return sn_round_up(channels, SN_CONV_MAX_LANES) <= 2 * channels;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t partials_of(int64_t slabs)
{
    int64_t wanted = slabs / SLABS_OF_PARTIAL;
    wanted = wanted < FEWEST_PARTIALS ? FEWEST_PARTIALS : smaller(wanted, MOST_PARTIALS);
    return smaller(wanted, slabs);
}

sn_strided_plan sn_strided_plan_of(const sn_op *op)
{
    const sn_tensor_desc *x = &op->inputs[0].desc, *dy = &op->inputs[1].desc;
    sn_strided_plan plan = {.images = x->shape[0], .in_channels = x->shape[1], .out_channels = dy->shape[1]};
    for (int i = 0; i < 3; i++) {
        plan.in[i] = x->shape[2 + i];
        plan.out[i] = dy->shape[2 + i];
    }
    plan.slabs = smaller(sn_conv_parts(sn_tensor_voxels(dy), SLAB_VOXELS), plan.out[0] * plan.out[1]);
    plan.partials = partials_of(plan.images * plan.slabs);
    return plan;
}

size_t sn_strided_workspace(const sn_op *op)
{
    return (size_t)(sn_strided_plan_of(op).partials * sn_tensor_count(&op->outputs[0].desc)) * sizeof(float);
}

size_t sn_strided_scratch(const sn_strided_plan *plan)
{
    int64_t rows = sn_conv_parts(plan->out[0] * plan->out[1], plan->slabs);
    return (size_t)(rows * plan->out[2] * SN_STRIDED_BLOCK) * sizeof(float);
}
