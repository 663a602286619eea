#include "bench/onednn.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

#define DNNL_TRY(call) SN_TRY(check(call, #call, error))

static sn_status check(dnnl_status_t result, const char *call, sn_error *error)
{
    if (result == dnnl_success)
        return SN_OK;
    if (result == dnnl_out_of_memory)
        return sn_error_set(error, SN_ERR_MEMORY, "oneDNN: out of memory in %s", call);
    return sn_error_set(error, result == dnnl_unimplemented ? SN_ERR_UNSUPPORTED : SN_ERR_FAILED,
                        "oneDNN: status %d of %s", (int)result, call);
}

/* What x, w and y of the forward convolution are to oneDNN and to our operation. */
typedef struct operand_role {
    int operand; /* bench_convolution_operand */
    int argument;
    dnnl_query_t query;
} operand_role;

typedef struct roles {
    operand_role x, w, y;
} roles;

static roles roles_of(sn_op_kind kind)
{
    static const operand_role src = {0, DNNL_ARG_SRC, dnnl_query_src_md};
    if (kind == SN_OP_CONV3D)
        return (roles){
            src, {1, DNNL_ARG_WEIGHTS, dnnl_query_weights_md}, {2, DNNL_ARG_DST, dnnl_query_dst_md}};
    operand_role dy = {0, DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md};
    if (kind == SN_OP_CONV3D_BACKWARD_DATA)
        return (roles){
            {2, DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md}, {1, DNNL_ARG_WEIGHTS, dnnl_query_weights_md}, dy};
    dy.operand = 1;
    return (roles){src, {2, DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md}, dy};
}

static sn_status describe(dnnl_memory_desc_t *desc, const sn_op *op, int operand, dnnl_format_tag_t tag,
                          sn_error *error)
{
    dnnl_dims_t dims = {0};
    const int64_t *shape = bench_convolution_operand(op, operand)->desc.shape;
    memcpy(dims, shape, SN_DIMS * sizeof *shape);
    return check(dnnl_memory_desc_init_by_tag(desc, SN_DIMS, dims, dnnl_f32, tag), "memory_desc_init", error);
}

/* The primitive's description; backward ones take the forward one as a hint. */
static sn_status describe_primitive(dnnl_primitive_desc_t *out, const bench_onednn *self, const sn_op *op,
                                    bench_layout layout, sn_error *error)
{
    sn_status status;
    dnnl_primitive_desc_t forward = NULL;
    dnnl_memory_desc_t x, w, y;
    dnnl_convolution_desc_t desc;
    const sn_conv3d_params *p = &op->params.conv3d;
    const dnnl_dims_t strides = {p->stride, p->stride, p->stride}, pads = {p->pad, p->pad, p->pad};
    const dnnl_dims_t dilates = {p->dilation - 1, p->dilation - 1, p->dilation - 1}; /* oneDNN: 0 is none */
    const dnnl_format_tag_t tag = layout == BENCH_BLOCKED ? dnnl_format_tag_any : dnnl_ndhwc;
    const roles role = roles_of(op->kind);
    *out = NULL;
    SN_TRY(describe(&x, op, role.x.operand, tag, error));
    SN_TRY(describe(&w, op, role.w.operand, dnnl_format_tag_any, error));
    SN_TRY(describe(&y, op, role.y.operand, tag, error));
    DNNL_TRY(dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_training, dnnl_convolution_auto,
                                                        &x, &w, NULL, &y, strides, dilates, pads, pads));
    DNNL_TRY(dnnl_primitive_desc_create(&forward, &desc, NULL, self->engine, NULL));
    if (op->kind == SN_OP_CONV3D) {
        *out = forward;
        forward = NULL;
        goto done;
    }
    if (op->kind == SN_OP_CONV3D_BACKWARD_DATA)
        DNNL_TRY(dnnl_dilated_convolution_backward_data_desc_init(&desc, dnnl_convolution_auto, &x, &w, &y,
                                                                  strides, dilates, pads, pads));
    else
        DNNL_TRY(dnnl_dilated_convolution_backward_weights_desc_init(&desc, dnnl_convolution_auto, &x, &w,
                                                                     NULL, &y, strides, dilates, pads, pads));
    DNNL_TRY(dnnl_primitive_desc_create(out, &desc, NULL, self->engine, forward));
done:
    if (forward != NULL)
        dnnl_primitive_desc_destroy(forward);
    return status;
}

/* Copy between memories of different layouts. */
static sn_status reorder(bench_onednn *self, dnnl_memory_t from, dnnl_memory_t to, sn_error *error)
{
    sn_status status;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    const dnnl_memory_desc_t *from_desc, *to_desc;
    const dnnl_exec_arg_t arguments[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    DNNL_TRY(dnnl_memory_get_memory_desc(from, &from_desc));
    DNNL_TRY(dnnl_memory_get_memory_desc(to, &to_desc));
    DNNL_TRY(dnnl_reorder_primitive_desc_create(&desc, from_desc, self->engine, to_desc, self->engine, NULL));
    DNNL_TRY(dnnl_primitive_create(&primitive, desc));
    DNNL_TRY(dnnl_primitive_execute(primitive, self->stream, 2, arguments));
    DNNL_TRY(dnnl_stream_wait(self->stream));
done:
    if (primitive != NULL)
        dnnl_primitive_destroy(primitive);
    if (desc != NULL)
        dnnl_primitive_desc_destroy(desc);
    return status;
}

/* Copy an operand from (or, `back`, to) `values`, which are in the order of our own tensors. */
static sn_status copy(bench_onednn *self, const sn_op *op, int operand, float *values, bool back,
                      sn_error *error)
{
    sn_status status;
    dnnl_memory_desc_t desc;
    dnnl_memory_t plain = NULL, own = self->arguments[operand].memory;
    SN_TRY(describe(&desc, op, operand, dnnl_ncdhw, error));
    DNNL_TRY(dnnl_memory_create(&plain, &desc, self->engine, values));
    SN_TRY(back ? reorder(self, own, plain, error) : reorder(self, plain, own, error));
done:
    if (plain != NULL)
        dnnl_memory_destroy(plain);
    return status;
}

/* Memory for an operand, in the layout the primitive wants; inputs with their values. */
static sn_status bind(bench_onednn *self, const sn_op *op, operand_role role,
                      const_dnnl_primitive_desc_t primitive, sn_error *error)
{
    sn_status status;
    float *values = NULL;
    dnnl_exec_arg_t *argument = &self->arguments[role.operand];
    const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(primitive, role.query, 0);
    argument->arg = role.argument;
    DNNL_TRY(dnnl_memory_create(&argument->memory, desc, self->engine, DNNL_MEMORY_ALLOCATE));
    if (role.operand < op->input_count) {
        SN_TRY(bench_convolution_values(&values, op, role.operand, error));
        SN_TRY(copy(self, op, role.operand, values, false, error));
    }
done:
    sn_free(values);
    return status;
}

const char *bench_layout_name(bench_layout layout)
{
    return layout == BENCH_BLOCKED ? "blocked" : "channels last";
}

sn_status bench_onednn_open(bench_onednn *out, const sn_op *op, bench_layout layout, sn_error *error)
{
    sn_status status;
    dnnl_primitive_desc_t desc = NULL;
    const roles role = roles_of(op->kind);
    *out = (bench_onednn){0};
    DNNL_TRY(dnnl_engine_create(&out->engine, dnnl_cpu, 0));
    DNNL_TRY(dnnl_stream_create(&out->stream, out->engine, dnnl_stream_default_flags));
    SN_TRY(describe_primitive(&desc, out, op, layout, error));
    DNNL_TRY(dnnl_primitive_create(&out->primitive, desc));
    SN_TRY(bind(out, op, role.x, desc, error));
    SN_TRY(bind(out, op, role.w, desc, error));
    SN_TRY(bind(out, op, role.y, desc, error));
done:
    if (desc != NULL)
        dnnl_primitive_desc_destroy(desc);
    return status;
}

void bench_onednn_close(bench_onednn *convolution)
{
    for (int i = 0; i < BENCH_OPERANDS; i++)
        if (convolution->arguments[i].memory != NULL)
            dnnl_memory_destroy(convolution->arguments[i].memory);
    if (convolution->primitive != NULL)
        dnnl_primitive_destroy(convolution->primitive);
    if (convolution->stream != NULL)
        dnnl_stream_destroy(convolution->stream);
    if (convolution->engine != NULL)
        dnnl_engine_destroy(convolution->engine);
}

sn_status bench_onednn_run(bench_onednn *convolution, double *seconds, sn_error *error)
{
    sn_status status;
    double start = sn_clock_now();
    DNNL_TRY(dnnl_primitive_execute(convolution->primitive, convolution->stream, BENCH_OPERANDS,
                                    convolution->arguments));
    DNNL_TRY(dnnl_stream_wait(convolution->stream));
    *seconds = sn_clock_now() - start;
done:
    return status;
}

sn_status bench_onednn_result(float **values, bench_onednn *convolution, const sn_op *op, sn_error *error)
{
    int64_t count = sn_tensor_count(&op->outputs[0].desc);
    sn_status status = sn_alloc(values, (size_t)count, sizeof **values, error);
    if (status == SN_OK)
        status = copy(convolution, op, op->input_count, *values, true, error);
    return status;
}
