/* Every case of the table, on every backend, against ref in double. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

/* The instruction sets of the cpu backend; one that the machine lacks is replaced by the best it has. */
static const char *const instruction_sets[] = {"avx512", "avx2", "portable"};

/* The largest errors allowed in float, relative to the output's largest value, before or after: root mean square,
 * and of one element. 0: the same bits. */
typedef struct tolerance {
    double rms, largest;
} tolerance;

static tolerance tolerance_of(sn_op_kind kind, int output)
{
    switch (kind) {
    case SN_OP_WINDOW:
    case SN_OP_CONCAT:
    case SN_OP_UPSAMPLE:
    case SN_OP_MAXPOOL:
    case SN_OP_MAXPOOL_BACKWARD:
    case SN_OP_ARGMAX:
    case SN_OP_OVERLAP:
        return (tolerance){0, 0};
    case SN_OP_UPSAMPLE_BACKWARD:
    case SN_OP_CONV3D:
    case SN_OP_CONV3D_BACKWARD_DATA:
    case SN_OP_CONV3D_BACKWARD_WEIGHTS:
        return (tolerance){1e-6, 5e-6}; /* sums of up to thousands of terms in float */
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

static void compare(const char *backend, const op_case *which, const op_values *is, const op_values *wanted,
                    const op_values *before)
{
    const unsigned updated = sn_op_describe(which->op.kind)->updated_outputs;
    for (int o = 0; o < which->op.output_count; o++) {
        tolerance allowed = tolerance_of(which->op.kind, o);
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

/* For each case, the values it is given and what ref computes from them in double. */
static op_values *given, *expected;

static int compute_expected(void **state)
{
    ref_open(state);
    given = calloc((size_t)op_case_count(), sizeof *given);
    expected = calloc((size_t)op_case_count(), sizeof *expected);
    assert_true(given != NULL && expected != NULL);
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F64);
        given[index] = op_values_make(&which.op);
        expected[index] = op_values_make(&which.op);
        op_case_fill(&which, &given[index]);
        op_values_copy(&expected[index], &given[index], &which.op);
        op_run(&ref, &which.op, &expected[index]);
    }
    ref_close(state);
    return 0;
}

static int free_expected(void **state)
{
    (void)state;
    for (int index = 0; index < op_case_count(); index++) {
        op_values_clear(&given[index]);
        op_values_clear(&expected[index]);
    }
    free(given);
    free(expected);
    return 0;
}

static bool runs(const op_runner *runner, const op_case *which)
{
    char reason[SN_REASON_TEXT];
    if (runner->backend->supports(runner->device, &which->op, reason))
        return true;
    if (which->op.inputs[0].desc.dtype != SN_F64)
        fail_msg("%s: %s is not supported: %s", runner->backend->name, which->name, reason);
    return false;
}

/* All cases on one backend, also in place where the operation allows it. */
static void compare_all(const char *name, sn_dtype real)
{
    sn_error error = SN_ERROR_INIT;
    const sn_backend *backend;
    assert_int_equal(sn_backend_find(&backend, name, &error), SN_OK);
    op_runner runner = runner_open(backend, 2);
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, real);
        if (!runs(&runner, &which))
            continue;
        op_values values = op_values_make(&which.op);
        unsigned in_place = sn_op_describe(which.op.kind)->in_place_inputs;
        for (int input = NOT_IN_PLACE; input < which.op.input_count; input++) {
            if (input != NOT_IN_PLACE && !(in_place >> input & 1))
                continue;
            op_values_copy(&values, &given[index], &which.op);
            if (op_try(&runner, &which.op, &values, input, &error) != SN_OK)
                fail_msg("%s: %s: %s", name, which.name, error.text);
            compare(name, &which, &values, &expected[index], &given[index]);
        }
        op_values_clear(&values);
    }
    runner_close(&runner);
}

static void ref_in_float_gives_rounded_ref(void **state)
{
    (void)state;
    compare_all("ref", SN_F32);
}

static void checked_ref_agrees_with_ref(void **state)
{
    (void)state;
    compare_all("checked:ref", SN_F64);
}

static void cpu_agrees_with_ref_on_every_instruction_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof instruction_sets / sizeof *instruction_sets; i++) {
        setenv("SEGNAS3D_ISA", instruction_sets[i], 1);
        compare_all("cpu", SN_F32);
    }
    unsetenv("SEGNAS3D_ISA");
}

static void checked_cpu_agrees_with_ref_on_every_instruction_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof instruction_sets / sizeof *instruction_sets; i++) {
        setenv("SEGNAS3D_ISA", instruction_sets[i], 1);
        compare_all("checked:cpu", SN_F32);
    }
    unsetenv("SEGNAS3D_ISA");
}

static void assert_same_bits(const op_case *which, const op_values *a, const op_values *b, int threads)
{
    for (int o = 0; o < which->op.output_count; o++) {
        size_t bytes = (size_t)sn_tensor_count(&which->op.outputs[o].desc) * sizeof(double);
        if (memcmp(a->out[o], b->out[o], bytes) != 0)
            fail_msg("%s: output %d differs between 1 and %d threads", which->name, o, threads);
    }
}

static void compare_threads(void)
{
    enum { MOST = 3 };
    op_runner runners[MOST + 1];
    for (int threads = 1; threads <= MOST; threads++)
        runners[threads] = runner_open(&sn_backend_cpu, threads);
    for (int index = 0; index < op_case_count(); index++) {
        op_case which = op_case_get(index, SN_F32);
        op_values one = op_values_make(&which.op), many = op_values_make(&which.op);
        op_values_copy(&one, &given[index], &which.op);
        op_run(&runners[1], &which.op, &one);
        for (int threads = 2; threads <= MOST; threads++) {
            op_values_copy(&many, &given[index], &which.op);
            op_run(&runners[threads], &which.op, &many);
            assert_same_bits(&which, &one, &many, threads);
        }
        op_values_clear(&one);
        op_values_clear(&many);
    }
    for (int threads = 1; threads <= MOST; threads++)
        runner_close(&runners[threads]);
}

static void cpu_gives_the_same_bits_with_any_number_of_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof instruction_sets / sizeof *instruction_sets; i++) {
        setenv("SEGNAS3D_ISA", instruction_sets[i], 1);
        compare_threads();
    }
    unsetenv("SEGNAS3D_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_in_float_gives_rounded_ref),
        cmocka_unit_test(checked_ref_agrees_with_ref),
        cmocka_unit_test(cpu_agrees_with_ref_on_every_instruction_set),
        cmocka_unit_test(checked_cpu_agrees_with_ref_on_every_instruction_set),
        cmocka_unit_test(cpu_gives_the_same_bits_with_any_number_of_threads),
    };
    return cmocka_run_group_tests_name("conformance", tests, compute_expected, free_expected);
}
