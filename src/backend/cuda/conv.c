#include "backend/cuda/conv.h"

#include "backend/cuda/device.h"
#include "backend/cuda/layout.h"
#include "base/memory.h"

/* The workspace: a piece for each part that cuDNN cannot use where it lies, then what it may use itself. */
typedef struct conv_pieces {
    size_t offset[SN_CUDNN_PARTS];
    size_t rest;
} conv_pieces;

struct sn_cuda_conv {
    sn_cudnn_roles roles;
    sn_cudnn_shape shape;
    conv_pieces pieces;
    const sn_cudnn_plan *plan;
};

/* Values are used where they lie. Weights are float32; and what cuDNN says of dw is added to what is there. */
static bool is_copied(const sn_cudnn_shape *shape, sn_cudnn_part part)
{
    return part == SN_CUDNN_W && (shape->precision == SN_PRECISION_BF16 || shape->result == SN_CUDNN_W);
}

static conv_pieces pieces_of(const sn_cudnn_shape *shape)
{
    conv_pieces pieces = {0};
    for (int part = 0; part < SN_CUDNN_PARTS; part++) {
        pieces.offset[part] = pieces.rest;
        if (is_copied(shape, part))
            pieces.rest += (size_t)sn_round_up((int64_t)sn_cudnn_tensor_bytes(shape, part),
                                               SN_CUDNN_WORKSPACE_ALIGNMENT);
    }
    return pieces;
}

size_t sn_cuda_conv_workspace(const sn_op *op, sn_precision precision)
{
    const sn_cudnn_shape shape = sn_cudnn_shape_of(op, precision);
    return pieces_of(&shape).rest + sn_cudnn_workspace(&shape) + SN_CUDNN_WORKSPACE_ALIGNMENT;
}

/* Where the pieces begin: the workspace is aligned as operands are, which is less than cuDNN wants. */
static char *first_piece(const sn_cuda_call *call)
{
    return (char *)sn_round_up((intptr_t)call->workspace, SN_CUDNN_WORKSPACE_ALIGNMENT);
}

sn_status sn_cuda_conv_make(sn_cuda_conv **conv, sn_cudnn *cudnn, const sn_op *op, sn_precision precision,
                            sn_error *error)
{
    sn_status status;
    sn_cuda_conv *made = NULL;
    *conv = NULL;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->roles = sn_cudnn_roles_of(op);
    made->shape = sn_cudnn_shape_of(op, precision);
    made->pieces = pieces_of(&made->shape);
    SN_TRY(sn_cudnn_plan_get(&made->plan, cudnn, &made->shape, error));
    *conv = made;
    made = NULL;
done:
    sn_cuda_conv_free(made);
    return status;
}

void sn_cuda_conv_free(sn_cuda_conv *conv)
{
    sn_free(conv);
}

static sn_status check(cudaError_t code, const sn_cuda_call *call, sn_error *error)
{
    return sn_cuda_check(code, sn_op_describe(call->op->kind)->name, error);
}

/* Where cuDNN finds the part that lies at `place`. */
static void *find_part(const sn_cuda_conv *conv, const sn_cuda_call *call, sn_cudnn_part part,
                       const void *place)
{
    if (!is_copied(&conv->shape, part))
        return (void *)place;
    return first_piece(call) + conv->pieces.offset[part];
}

static sn_status pack_input(const sn_cuda_conv *conv, const sn_cuda_call *call, int input, void *packed,
                            sn_error *error)
{
    const sn_tensor_desc *desc = &call->op->inputs[input].desc;
    const int64_t *padded = conv->shape.extents[conv->roles.in[input]];
    if (packed == call->in[input])
        return SN_OK;
    return check(sn_cuda_pack(packed, call->in[input], desc->shape[0], padded[0], desc->shape[1], padded[1],
                              sn_tensor_voxels(desc), call->stream),
                 call, error);
}

static sn_status unpack_output(const sn_cuda_conv *conv, const sn_cuda_call *call, const void *packed,
                               sn_error *error)
{
    const sn_tensor_desc *desc = &call->op->outputs[0].desc;
    if (packed == call->out[0])
        return SN_OK;
    if (conv->shape.precision != SN_PRECISION_BF16)
        return check(sn_cuda_add(call->out[0], packed, sn_tensor_count(desc), call->stream), call, error);
    return check(sn_cuda_unpack(call->out[0], packed, desc->shape[0], desc->shape[1],
                                conv->shape.extents[SN_CUDNN_W][1], sn_tensor_voxels(desc), call->stream),
                 call, error);
}

sn_status sn_cuda_conv_run(const sn_cuda_conv *conv, const sn_cuda_call *call, sn_error *error)
{
    sn_status status;
    const sn_cudnn_roles roles = conv->roles;
    void *data[SN_CUDNN_PARTS];
    for (int i = 0; i < 2; i++)
        data[roles.in[i]] = find_part(conv, call, roles.in[i], call->in[i]);
    data[roles.out] = find_part(conv, call, roles.out, call->out[0]);
    for (int i = 0; i < 2; i++)
        SN_TRY(pack_input(conv, call, i, data[roles.in[i]], error));
    SN_TRY(sn_cudnn_plan_run(conv->plan, data, first_piece(call) + conv->pieces.rest, error));
    SN_TRY(unpack_output(conv, call, data[roles.out], error));
done:
    return status;
}
