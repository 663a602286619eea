#include "backend/checked/checked.h"

#include "base/memory.h"

static size_t operand_end(const sn_operand *operand)
{
    return operand->offset + sn_tensor_bytes(&operand->desc);
}

bool sn_checked_overlap(const sn_operand *a, const sn_operand *b)
{
    return a->buffer == b->buffer && a->offset < operand_end(b) && b->offset < operand_end(a);
}

static sn_status check_place(const sn_op *op, const char *role, int index, const sn_operand *operand,
                             const size_t *buffer_bytes, int buffer_count, sn_error *error)
{
    const char *name = sn_op_describe(op->kind)->name;
    if (operand->buffer < 0 || operand->buffer >= buffer_count)
        return sn_error_set(error, SN_ERR_ARG, "%s: %s %d lies in buffer %d, there are %d", name, role, index,
                            operand->buffer, buffer_count);
    if (operand->offset % SN_ALIGNMENT != 0)
        return sn_error_set(error, SN_ERR_ARG, "%s: %s %d lies at %zu, not a multiple of %d bytes", name,
                            role, index, operand->offset, SN_ALIGNMENT);
    if (operand_end(operand) > buffer_bytes[operand->buffer])
        return sn_error_set(error, SN_ERR_ARG, "%s: %s %d ends at %zu, buffer %d at %zu bytes", name, role,
                            index, operand_end(operand), operand->buffer, buffer_bytes[operand->buffer]);
    return SN_OK;
}

/* The workspace as if it were an operand. */
static sn_operand workspace_operand(const sn_op *op, size_t bytes)
{
    return (sn_operand){.desc = {SN_U8, {1, 1, 1, 1, (int64_t)bytes}},
                        .buffer = op->workspace.buffer,
                        .offset = op->workspace.offset};
}

static sn_status check_workspace(const sn_op *op, size_t bytes, const size_t *buffer_bytes, int buffer_count,
                                 sn_error *error)
{
    sn_status status = SN_OK;
    const sn_operand workspace = workspace_operand(op, bytes);
    if (bytes == 0)
        return SN_OK;
    SN_TRY(check_place(op, "workspace", 0, &workspace, buffer_bytes, buffer_count, error));
    for (int i = 0; i < op->input_count + op->output_count; i++)
        if (sn_checked_overlap(&workspace,
                               i < op->input_count ? &op->inputs[i] : &op->outputs[i - op->input_count]))
            return sn_error_set(error, SN_ERR_ARG, "%s: the workspace shares memory with an operand",
                                sn_op_describe(op->kind)->name);
done:
    return status;
}

/* Output 0 may take exactly the memory of an input that the operation allows; of a concatenation an input may be
 * its part of the output, of channels taken out the output its part of the input. */
static bool in_place_allowed(const sn_op *op, int output, int input)
{
    const sn_operand *out = &op->outputs[output], *in = &op->inputs[input];
    size_t place;
    if (op->kind == SN_OP_CONCAT)
        return sn_op_concat_place(&place, op, input) && in->offset == out->offset + place;
    if (op->kind == SN_OP_WINDOW)
        return sn_op_window_place(&place, op) && out->offset == in->offset + place;
    return output == 0 && (sn_op_describe(op->kind)->in_place_inputs >> input & 1) &&
           out->offset == in->offset && sn_tensor_desc_equal(&out->desc, &in->desc);
}

sn_status sn_checked_locations(const sn_op *op, size_t workspace, const size_t *buffer_bytes,
                               int buffer_count, sn_error *error)
{
    sn_status status = SN_OK;
    const char *name = sn_op_describe(op->kind)->name;
    for (int i = 0; i < op->input_count; i++)
        SN_TRY(check_place(op, "input", i, &op->inputs[i], buffer_bytes, buffer_count, error));
    for (int o = 0; o < op->output_count; o++) {
        SN_TRY(check_place(op, "output", o, &op->outputs[o], buffer_bytes, buffer_count, error));
        for (int other = 0; other < o; other++)
            if (sn_checked_overlap(&op->outputs[o], &op->outputs[other]))
                return sn_error_set(error, SN_ERR_ARG, "%s: outputs %d and %d share memory", name, other, o);
        for (int i = 0; i < op->input_count; i++)
            if (sn_checked_overlap(&op->outputs[o], &op->inputs[i]) && !in_place_allowed(op, o, i))
                return sn_error_set(error, SN_ERR_ARG, "%s: output %d may not share the memory of input %d",
                                    name, o, i);
    }
    SN_TRY(check_workspace(op, workspace, buffer_bytes, buffer_count, error));
done:
    return status;
}
