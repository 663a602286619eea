/*
 * The cuda backend on a GPU, through the plug-in that the program loads, against ref. Skipped where there is none;
 * cuda_host/test_cuda_host.c has the same sources on the processor.
 */
#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>

#include "backend/device.h"
#include "conformance.h"

enum { SKIPPED = 77 };

static const sn_cuda_plugin *plugin;

/* What is exact on the processor is so here, too; else a GPU's own functions and orders of sums are allowed. */
static tolerance at_least(double rms, double largest, sn_op_kind kind, int output)
{
    tolerance host = conformance_float32(kind, output);
    return host.largest == 0 ? host : (tolerance){fmax(host.rms, rms), fmax(host.largest, largest)};
}

static tolerance float32(sn_op_kind kind, int output)
{
    return at_least(1e-5, 1e-4, kind, output);
}

static tolerance bf16(sn_op_kind kind, int output)
{
    switch (kind) {
    case SN_OP_CONV3D:
    case SN_OP_CONV3D_BACKWARD_DATA:
    case SN_OP_CONV3D_BACKWARD_WEIGHTS:
        return at_least(5e-3, 2e-2, kind, output);
    default:
        return float32(kind, output);
    }
}

static void agrees(sn_precision precision, sn_dtype real, tolerance (*allowed)(sn_op_kind, int))
{
    op_runner runner =
        runner_open_as(plugin->backend, &(sn_device_options){.threads = 1, .precision = precision});
    runner.runs = 3; /* the second is recorded, the third only launches the record */
    printf("%s\n", plugin->backend->kernels(runner.device));
    conformance_run(&runner, real, allowed);
    runner_close(&runner);
}

static void float32_agrees_with_ref(void **state)
{
    (void)state;
    agrees(SN_PRECISION_FLOAT32, SN_F32, float32);
}

static bool has_bf16(void)
{
    sn_precision precision = SN_PRECISION_BF16;
    return sn_device_precision(&precision, "cuda:0", NULL) == SN_OK;
}

/* tf32 keeps 10 bits of a factor, bf16 only 7. */
static void tf32_agrees_with_ref(void **state)
{
    (void)state;
    if (!has_bf16())
        skip();
    agrees(SN_PRECISION_TF32, SN_F32, bf16);
}

static void bf16_agrees_with_ref(void **state)
{
    (void)state;
    if (!has_bf16())
        skip();
    agrees(SN_PRECISION_BF16, SN_BF16, bf16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_agrees_with_ref),
        cmocka_unit_test(tf32_agrees_with_ref),
        cmocka_unit_test(bf16_agrees_with_ref),
    };
    sn_error error = SN_ERROR_INIT;
    int gpus;
    if (sn_gpus_find(&plugin, &gpus, &error) != SN_OK) {
        printf("skipped: %s\n", error.text);
        return SKIPPED;
    }
    return cmocka_run_group_tests_name("cuda", tests, conformance_setup, conformance_teardown);
}
