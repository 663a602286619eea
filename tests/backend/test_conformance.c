/* Every case of the table, on every backend, against ref in double. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "conformance.h"

/* The instruction sets of the cpu backend; one that the machine lacks is replaced by the best it has. */
static const char *const instruction_sets[] = {"avx512", "avx2", "portable"};

static void compare_all(const char *name, sn_dtype real)
{
    sn_error error = SN_ERROR_INIT;
    const sn_backend *backend;
    assert_int_equal(sn_backend_find(&backend, name, &error), SN_OK);
    op_runner runner = runner_open(backend, 2);
    conformance_run(&runner, real, conformance_float32);
    runner_close(&runner);
}

static void ref_in_float_gives_rounded_ref(void **state)
{
    (void)state;
    compare_all("ref", SN_F32);
}

static void ref_in_bf16_gives_rounded_ref(void **state)
{
    (void)state;
    compare_all("ref", SN_BF16);
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
        if (sn_op_beside_f32(&which.op) != NULL)
            continue;
        op_values one = op_values_make(&which.op), many = op_values_make(&which.op);
        op_values_copy(&one, &conformance_given[index], &which.op);
        op_run(&runners[1], &which.op, &one);
        for (int threads = 2; threads <= MOST; threads++) {
            op_values_copy(&many, &conformance_given[index], &which.op);
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
        cmocka_unit_test(ref_in_bf16_gives_rounded_ref),
        cmocka_unit_test(checked_ref_agrees_with_ref),
        cmocka_unit_test(cpu_agrees_with_ref_on_every_instruction_set),
        cmocka_unit_test(checked_cpu_agrees_with_ref_on_every_instruction_set),
        cmocka_unit_test(cpu_gives_the_same_bits_with_any_number_of_threads),
    };
    return cmocka_run_group_tests_name("conformance", tests, conformance_setup, conformance_teardown);
}
