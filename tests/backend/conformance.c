#include "conformance.h"

#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rounded.h"

tolerance conformance_float32(sn_op_kind kind, int output)
{
    switch (kind) {
    case SN_OP_WINDOW:
    case SN_OP_CONCAT:
    case SN_OP_UPSAMPLE:
    case SN_OP_MAXPOOL:
    case SN_OP_MAXPOOL_BACKWARD:
    case SN_OP_ARGMAX:
    case SN_OP_OVERLAP:
    case SN_OP_TO_BF16:
        return (tolerance){0, 0};
    case SN_OP_UPSAMPLE_BACKWARD:
    case SN_OP_CONV3D:
    case SN_OP_CONV3D_BACKWARD_DATA:
    case SN_OP_CONV3D_BACKWARD_WEIGHTS:
        return (tolerance){1e-6, 7e-6}; /* sums of up to thousands of terms in float */
    case SN_OP_BATCHNORM:
    case SN_OP_BATCHNORM_APPLY:
    case SN_OP_BATCHNORM_BACKWARD:
        return (tolerance){5e-7, 5e-6}; /* means are rounded to float before they are subtracted */
    case SN_OP_LOSS:
        return output == 0 ? (tolerance){1e-6, 1e-6} : (tolerance){1e-6, 1e-5}; /* steep where p is near 1 */
    default:
        return (tolerance){1e-7, 1e-6};
    }
}

#define ROUNDING 0x1p-8 /* half of the last bit of bf16, at most */

static void compare(const char *backend, const op_case *which, const op_values *is, const op_values *wanted,
                    const op_values *before, tolerance (*allowed_of)(sn_op_kind, int))
{
    const unsigned updated = sn_op_describe(which->op.kind)->updated_outputs;
    for (int o = 0; o < which->op.output_count; o++) {
        tolerance allowed = allowed_of(which->op.kind, o);
        if (which->op.outputs[o].desc.dtype == SN_BF16 && allowed.largest > 0)
            allowed = (tolerance){allowed.rms + ROUNDING, allowed.largest + ROUNDING};
        int64_t count = sn_tensor_count(&which->op.outputs[o].desc);
        double scale = 0, squares = 0, largest = 0;
        for (int64_t i = 0; i < count; i++) {
            double difference = fabs(is->out[o][i] - wanted->out[o][i]);
            if (isnan(difference))
                fail_msg("%s: %s: output %d, element %d is NaN", backend, which->name, o, (int)i);
            scale = fmax(scale, fabs(wanted->out[o][i]));
            if (updated >> o & 1u)
                scale = fmax(scale, fabs(before->out[o][i]));
            largest = fmax(largest, difference);
            squares += difference * difference;
        }
        scale = scale == 0 ? 1 : scale;
        double rms = sqrt(squares / (double)count) / scale;
        if (rms > allowed.rms || largest / scale > allowed.largest)
            fail_msg("%s: %s: output %d differs by %.2g rms, %.2g at most; allowed %.2g, %.2g", backend,
                     which->name, o, rms, largest / scale, allowed.rms, allowed.largest);
    }
}

op_values *conformance_given;
static op_values *expected;

int conformance_setup(void **state)
{
    ref_open(state);
    conformance_given = calloc((size_t)op_case_count(), sizeof *conformance_given);
    expected = calloc((size_t)op_case_count(), sizeof *expected);
    assert_true(conformance_given != NULL && expected != NULL);
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F64);
        conformance_given[index] = op_values_make(&which.op);
        expected[index] = op_values_make(&which.op);
        op_case_fill(&which, &conformance_given[index]);
        op_values_copy(&expected[index], &conformance_given[index], &which.op);
        op_run(&ref, &which.op, &expected[index]);
    }
    ref_close(state);
    return 0;
}

int conformance_teardown(void **state)
{
    (void)state;
    for (int index = 0; index < op_case_count(); index++) {
        op_values_clear(&conformance_given[index]);
        op_values_clear(&expected[index]);
    }
    free(conformance_given);
    free(expected);
    return 0;
}

static bool runs(const op_runner *runner, const op_case *which)
{
    char reason[SN_REASON_TEXT];
    if (runner->backend->supports(runner->device, &which->op, reason))
        return true;
    if (sn_op_beside_f32(&which->op) == NULL)
        fail_msg("%s: %s is not supported: %s", runner->backend->name, which->name, reason);
    return false;
}

/* Gradients that are made apart, from zero, have the bits of what is added to others: `is` comes from `before`. */
static void check_added(const op_runner *runner, const op_case *which, const op_values *is,
                        const op_values *before)
{
    const unsigned added = sn_op_describe(which->op.kind)->added_outputs;
    if (added == 0 || which->op.inputs[0].desc.shape[0] > 1)
        return;
    op_values apart = op_values_make(&which->op);
    op_values_copy(&apart, before, &which->op);
    for (int o = 0; o < which->op.output_count; o++)
        memset(apart.out[o], 0, (size_t)sn_tensor_count(&which->op.outputs[o].desc) * sizeof(double));
    op_run(runner, &which->op, &apart);
    for (int o = 0; o < which->op.output_count; o++) {
        const bool single = which->op.outputs[o].desc.dtype == SN_F32;
        for (int64_t i = 0; (added >> o & 1) && i < sn_tensor_count(&which->op.outputs[o].desc); i++) {
            double sum = single ? (float)before->out[o][i] + (float)apart.out[o][i]
                                : before->out[o][i] + apart.out[o][i];
            if (sum != is->out[o][i])
                fail_msg("%s: %s: output %d, element %d is %.9g, not the sum of %.9g and %.9g",
                         runner->backend->name, which->name, o, (int)i, is->out[o][i], before->out[o][i],
                         apart.out[o][i]);
        }
    }
    op_values_clear(&apart);
}

static void round_operand(double *values, const sn_operand *operand)
{
    for (int64_t i = 0; operand->desc.dtype == SN_BF16 && i < sn_tensor_count(&operand->desc); i++)
        values[i] = rounded_to_bf16(values[i]);
}

/* What is given as `which` holds it, and what ref computes from that in double. */
static void make_values(op_values *given, op_values *wanted, int index, const op_case *which)
{
    op_case wide = op_case_get(index, SN_F64);
    *given = op_values_make(&which->op);
    *wanted = op_values_make(&which->op);
    op_values_copy(given, &conformance_given[index], &which->op);
    for (int i = 0; i < which->op.input_count; i++)
        round_operand(given->in[i], &which->op.inputs[i]);
    op_values_copy(wanted, given, &which->op);
    op_run(&ref, &wide.op, wanted);
}

/* A case, in place where the operation allows it, too. */
static void run_case(const op_runner *runner, const op_case *which, const op_values *given,
                     const op_values *wanted, tolerance (*allowed)(sn_op_kind, int))
{
    sn_error error = SN_ERROR_INIT;
    const char *name = runner->backend->kernels(runner->device);
    const unsigned in_place = sn_op_describe(which->op.kind)->in_place_inputs;
    op_values values = op_values_make(&which->op);
    for (int input = NOT_IN_PLACE; input < which->op.input_count; input++) {
        if (input != NOT_IN_PLACE &&
            (!(in_place >> input & 1) ||
             !sn_tensor_desc_equal(&which->op.inputs[input].desc, &which->op.outputs[0].desc)))
            continue;
        op_values_copy(&values, given, &which->op);
        if (op_try(runner, &which->op, &values, input, &error) != SN_OK)
            fail_msg("%s: %s: %s", name, which->name, error.text);
        compare(name, which, &values, wanted, given, allowed);
        if (input == NOT_IN_PLACE)
            check_added(runner, which, &values, given);
    }
    op_values_clear(&values);
}

static void run_in_bf16(const op_runner *runner, tolerance (*allowed)(sn_op_kind, int))
{
    char reason[SN_REASON_TEXT];
    ref_open(NULL);
    for (int index = 0; index < op_case_count(); index++) {
        op_values given, wanted;
        op_case which = op_case_get(index, SN_BF16);
        if (!runner->backend->supports(runner->device, &which.op, reason))
            fail_msg("%s: %s is not supported: %s", runner->backend->name, which.name, reason);
        make_values(&given, &wanted, index, &which);
        run_case(runner, &which, &given, &wanted, allowed);
        op_values_clear(&given);
        op_values_clear(&wanted);
    }
    ref_close(NULL);
}

void conformance_run(const op_runner *runner, sn_dtype real, tolerance (*allowed)(sn_op_kind, int))
{
    if (real == SN_BF16) {
        run_in_bf16(runner, allowed);
        return;
    }
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, real);
        if (runs(runner, &which))
            run_case(runner, &which, &conformance_given[index], &expected[index], allowed);
    }
}
