/* The cuda backend on a stand-in for CUDA's runtime: the same sources, kernels included, without a GPU. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/checked/checked.h"
#include "backend/plugin.h"
#include "base/memory.h"
#include "conformance.h"
#include "cuda_runtime_api.h"

extern const sn_cuda_plugin plugin __asm__(SN_CUDA_PLUGIN);

static op_runner open_cuda(sn_precision precision)
{
    return runner_open_as(plugin.backend, &(sn_device_options){.threads = 1, .precision = precision});
}

static op_runner open_checked(sn_precision precision)
{
    sn_error error = SN_ERROR_INIT;
    op_runner runner = {.backend = sn_backend_checked(&sn_backend_ref)};
    const sn_device_options options = {.threads = 1, .precision = precision};
    if (sn_checked_open(&runner.device, plugin.backend, &options, &error) != SN_OK)
        fail_msg("%s", error.text);
    return runner;
}

/* ---- conformance ---- */

/* bf16 has 8 bits; what is summed is exact, its operands and the result are rounded. */
static tolerance bf16(sn_op_kind kind, int output)
{
    switch (kind) {
    case SN_OP_CONV3D:
    case SN_OP_CONV3D_BACKWARD_DATA:
    case SN_OP_CONV3D_BACKWARD_WEIGHTS:
        return (tolerance){5e-3, 2e-2};
    default:
        return conformance_float32(kind, output);
    }
}

static void float32_agrees_with_ref(void **state)
{
    (void)state;
    op_runner runner = open_cuda(SN_PRECISION_FLOAT32);
    conformance_run(&runner, SN_F32, conformance_float32);
    runner_close(&runner);
}

static void bf16_agrees_with_ref(void **state)
{
    (void)state;
    op_runner runner = open_cuda(SN_PRECISION_AUTO);
    assert_non_null(strstr(runner.backend->kernels(runner.device), "bf16"));
    conformance_run(&runner, SN_F32, bf16);
    runner_close(&runner);
}

static void checked_float32_agrees_with_ref(void **state)
{
    (void)state;
    op_runner runner = open_checked(SN_PRECISION_FLOAT32);
    conformance_run(&runner, SN_F32, conformance_float32);
    runner_close(&runner);
}

static void checked_bf16_agrees_with_ref(void **state)
{
    (void)state;
    op_runner runner = open_checked(SN_PRECISION_BF16);
    conformance_run(&runner, SN_F32, bf16);
    runner_close(&runner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_agrees_with_ref),
        cmocka_unit_test(bf16_agrees_with_ref),
        cmocka_unit_test(checked_float32_agrees_with_ref),
        cmocka_unit_test(checked_bf16_agrees_with_ref),
    };
    return cmocka_run_group_tests_name("cuda_host", tests, conformance_setup, conformance_teardown);
}
