#include "backend/cuda/cudnn_shape.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { EXTENTS_TEXT = 128 };

sn_cudnn_roles sn_cudnn_roles_of(const sn_op *op)
{
    if (op->kind == SN_OP_CONV3D)
        return (sn_cudnn_roles){{SN_CUDNN_X, SN_CUDNN_W}, SN_CUDNN_Y};
    if (op->kind == SN_OP_CONV3D_BACKWARD_DATA)
        return (sn_cudnn_roles){{SN_CUDNN_Y, SN_CUDNN_W}, SN_CUDNN_X};
    assert(op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS);
    return (sn_cudnn_roles){{SN_CUDNN_X, SN_CUDNN_Y}, SN_CUDNN_W};
}

static void set_extents(sn_cudnn_shape *shape, sn_cudnn_part part, const sn_operand *operand)
{
    int64_t *extents = shape->extents[part];
    memcpy(extents, operand->desc.shape, sizeof operand->desc.shape);
    if (shape->precision != SN_PRECISION_BF16)
        return;
    extents[1] = sn_round_up(extents[1], SN_BF16_CHANNELS);
    if (part == SN_CUDNN_W)
        extents[0] = sn_round_up(extents[0], SN_BF16_CHANNELS);
}

sn_cudnn_shape sn_cudnn_shape_of(const sn_op *op, sn_precision precision)
{
    const sn_cudnn_roles roles = sn_cudnn_roles_of(op);
    const sn_conv3d_params *p = &op->params.conv3d;
    sn_cudnn_shape shape = {roles.out, precision, {{0}}, p->dilation, p->stride, p->pad};
    set_extents(&shape, roles.in[0], &op->inputs[0]);
    set_extents(&shape, roles.in[1], &op->inputs[1]);
    set_extents(&shape, roles.out, &op->outputs[0]);
    return shape;
}

bool sn_cudnn_shape_equal(const sn_cudnn_shape *a, const sn_cudnn_shape *b)
{
    return a->result == b->result && a->precision == b->precision && a->dilation == b->dilation &&
           a->stride == b->stride && a->pad == b->pad &&
           memcmp(a->extents, b->extents, sizeof a->extents) == 0;
}

size_t sn_cudnn_tensor_bytes(const sn_cudnn_shape *shape, sn_cudnn_part part)
{
    size_t bytes = shape->precision == SN_PRECISION_BF16 ? sizeof(uint16_t) : sizeof(float);
    for (int i = 0; i < SN_DIMS; i++)
        bytes *= (size_t)shape->extents[part][i];
    return bytes;
}

static const char *extents_text(char text[EXTENTS_TEXT], const int64_t extents[SN_DIMS])
{
    snprintf(text, EXTENTS_TEXT, "(%lld,%lld,%lld,%lld,%lld)", (long long)extents[0], (long long)extents[1],
             (long long)extents[2], (long long)extents[3], (long long)extents[4]);
    return text;
}

void sn_cudnn_shape_text(char text[SN_CUDNN_TEXT], const sn_cudnn_shape *shape)
{
    static const char *const passes[] = {"backward data", "backward weights", "forward"};
    char x[EXTENTS_TEXT], w[EXTENTS_TEXT], y[EXTENTS_TEXT];
    snprintf(text, SN_CUDNN_TEXT, "%s in %s, x %s, w %s, y %s, dilation %d, stride %d, pad %d",
             passes[shape->result], sn_precision_name(shape->precision),
             extents_text(x, shape->extents[SN_CUDNN_X]), extents_text(w, shape->extents[SN_CUDNN_W]),
             extents_text(y, shape->extents[SN_CUDNN_Y]), shape->dilation, shape->stride, shape->pad);
}
