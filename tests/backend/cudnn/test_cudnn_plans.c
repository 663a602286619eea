/* Without a GPU: cuDNN makes a plan for every convolution, on GPUs of several kinds. */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "backend/cuda/cudnn_plan.h"
#include "bench/shapes.h"
#include "cases.h"

enum { JSON = 2048 };

typedef struct gpu_kind {
    const char *name;
    int capability; /* 800: sm_80 */
    int processors, shared_bytes, threads;
    int l2_mib;
} gpu_kind;

static const gpu_kind gpus[] = {
    {"T4", 750, 40, 65536, 1024, 4},           {"A100", 800, 108, 166912, 2048, 40},
    {"RTX 3090", 860, 82, 101376, 1536, 6},    {"RTX 4090", 890, 128, 101376, 1536, 72},
    {"H100", 900, 132, 232448, 2048, 50},      {"B200", 1000, 148, 232448, 2048, 126},
    {"RTX 5090", 1200, 170, 101376, 1536, 96},
};
enum { GPUS = sizeof gpus / sizeof *gpus };

static const sn_precision precisions[] = {SN_PRECISION_FLOAT32, SN_PRECISION_TF32, SN_PRECISION_BF16};

/* What cuDNN asks CUDA about a GPU. */
static void describe(char json[JSON], const gpu_kind *gpu)
{
    snprintf(json, JSON,
             "{\"deviceName\": \"%s\", \"deviceVer\": %d, \"driverVer\": 13000, \"cudaDeviceId\": 0,"
             " \"pciDeviceId\": 0, \"isTccDriver\": 0, \"supportCoopLaunch\": 1, \"warpSize\": 32,"
             " \"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64],"
             " \"multiProcessorCount\": %d, \"smCountOrigin\": 0, \"maxThreadsPerSM\": %d,"
             " \"maxThreadsPerBlock\": 1024, \"maxCtasPerSM\": %d, \"maxRegistersPerSM\": 65536,"
             " \"regsPerBlock\": 65536, \"maxSharedMemoryPerBlock\": 49152,"
             " \"maxSharedMemoryPerBlockOptin\": %d, \"reservedSharedMemoryPerBlock\": 1024,"
             " \"oversizedSharedMemoryPerBlock\": 0, \"totalGlobalMem\": 17179869184,"
             " \"l2CacheSize\": %d, \"memoryBusWidth\": 384, \"memClockRateKHz\": 1500000,"
             " \"smClockRateKHz\": 1500000}",
             gpu->name, gpu->capability, gpu->processors, gpu->threads, gpu->threads / 64, gpu->shared_bytes,
             gpu->l2_mib << 20);
}

/* Skips the test where a library that cuDNN loads is missing. */
static sn_cudnn *open_for(const gpu_kind *gpu)
{
    char json[JSON];
    sn_cudnn *cudnn;
    sn_error error = SN_ERROR_INIT;
    describe(json, gpu);
    sn_status status = sn_cudnn_open_for(&cudnn, json, &error);
    if (status == SN_ERR_UNSUPPORTED) {
        print_message("%s\n", error.text);
        skip();
    }
    assert_string_equal(error.text, "");
    return cudnn;
}

/* A convolution that is measured. */
static sn_op op_of(const bench_shape *shape, sn_op_kind kind)
{
    const int pad = shape->stride == 1 ? shape->dilation * (shape->kernel - 1) / 2 : 0;
    const int64_t k = shape->kernel, reach = shape->dilation * (k - 1) + 1;
    sn_tensor_desc x = {SN_F32, {1, shape->in_channels}};
    const sn_tensor_desc w = {SN_F32, {shape->out_channels, shape->in_channels, k, k, k}};
    sn_tensor_desc y = {SN_F32, {1, shape->out_channels}};
    for (int i = 0; i < 3; i++) {
        x.shape[2 + i] = shape->extent[i];
        y.shape[2 + i] = (shape->extent[i] + 2 * pad - reach) / shape->stride + 1;
    }
    sn_op op = {.kind = kind, .input_count = 2, .output_count = 1};
    op.params.conv3d = (sn_conv3d_params){shape->kernel, shape->dilation, shape->stride, pad};
    op.inputs[0].desc = kind == SN_OP_CONV3D_BACKWARD_DATA ? y : x;
    op.inputs[1].desc = kind == SN_OP_CONV3D_BACKWARD_WEIGHTS ? y : w;
    op.outputs[0].desc = kind == SN_OP_CONV3D ? y : kind == SN_OP_CONV3D_BACKWARD_DATA ? x : w;
    return op;
}

/* 1 if cuDNN has no plan for the operation, which is printed. */
static int is_missing(sn_cudnn *cudnn, const gpu_kind *gpu, const sn_op *op, sn_precision precision)
{
    const sn_cudnn_plan *plan;
    sn_error error = SN_ERROR_INIT;
    const sn_cudnn_shape shape = sn_cudnn_shape_of(op, precision);
    assert_int_equal(sn_op_check(op, NULL), SN_OK);
    if (sn_cudnn_plan_get(&plan, cudnn, &shape, &error) == SN_OK)
        return 0;
    print_message("%s: %s\n", gpu->name, error.text);
    return 1;
}

static int missing_plans(sn_cudnn *cudnn, const gpu_kind *gpu, sn_precision precision)
{
    int missing = 0;
    for (int i = 0; i < bench_shape_count; i++)
        for (int kind = SN_OP_CONV3D; kind <= SN_OP_CONV3D_BACKWARD_WEIGHTS; kind++) {
            sn_op op = op_of(&bench_shapes[i], kind);
            missing += is_missing(cudnn, gpu, &op, precision);
        }
    for (int i = 0; i < op_case_count(); i++) {
        op_case which = op_case_get(i, SN_F32);
        if (which.op.kind <= SN_OP_CONV3D_BACKWARD_WEIGHTS)
            missing += is_missing(cudnn, gpu, &which.op, precision);
    }
    return missing;
}

/* Before sm_80 there are neither bf16 nor tf32. */
static void every_convolution_has_a_plan(void **state)
{
    (void)state;
    int missing = 0;
    for (int g = 0; g < GPUS; g++) {
        sn_cudnn *cudnn = open_for(&gpus[g]);
        for (int p = 0; p < (gpus[g].capability < 800 ? 1 : 3); p++)
            missing += missing_plans(cudnn, &gpus[g], precisions[p]);
        sn_cudnn_close(cudnn);
    }
    assert_int_equal(missing, 0);
}

static void a_shape_is_planned_once(void **state)
{
    (void)state;
    const sn_cudnn_plan *first, *second;
    sn_cudnn *cudnn = open_for(&gpus[1]);
    const sn_op op = op_of(&bench_shapes[0], SN_OP_CONV3D);
    const sn_cudnn_shape shape = sn_cudnn_shape_of(&op, SN_PRECISION_BF16);
    assert_int_equal(sn_cudnn_plan_get(&first, cudnn, &shape, NULL), SN_OK);
    assert_int_equal(sn_cudnn_plan_get(&second, cudnn, &shape, NULL), SN_OK);
    assert_ptr_equal(first, second);
    sn_cudnn_close(cudnn);
}

/* bf16 on a GPU that has none. */
static void what_has_no_plan_is_named(void **state)
{
    (void)state;
    const sn_cudnn_plan *plan;
    sn_error error = SN_ERROR_INIT;
    sn_cudnn *cudnn = open_for(&gpus[0]);
    const sn_op op = op_of(&bench_shapes[1], SN_OP_CONV3D_BACKWARD_DATA);
    const sn_cudnn_shape shape = sn_cudnn_shape_of(&op, SN_PRECISION_BF16);
    assert_int_equal(sn_cudnn_plan_get(&plan, cudnn, &shape, &error), SN_ERR_UNSUPPORTED);
    assert_null(plan);
    assert_non_null(strstr(error.text, "backward data in bf16, x (1,24,64,64,64), w (24,24,3,3,3)"));
    sn_cudnn_close(cudnn);
}

static void without_a_gpu_no_plan_runs(void **state)
{
    (void)state;
    static _Alignas(SN_CUDNN_WORKSPACE_ALIGNMENT) char memory[SN_CUDNN_WORKSPACE_ALIGNMENT];
    void *data[SN_CUDNN_PARTS] = {memory, memory, memory};
    const sn_cudnn_plan *plan;
    sn_cudnn *cudnn = open_for(&gpus[1]);
    const sn_op op = op_of(&bench_shapes[0], SN_OP_CONV3D);
    const sn_cudnn_shape shape = sn_cudnn_shape_of(&op, SN_PRECISION_BF16);
    assert_int_equal(sn_cudnn_plan_get(&plan, cudnn, &shape, NULL), SN_OK);
    assert_int_equal(sn_cudnn_plan_run(plan, data, memory, NULL), SN_ERR_FAILED);
    sn_cudnn_close(cudnn);
}

static void a_device_that_is_none_is_refused(void **state)
{
    (void)state;
    sn_cudnn *cudnn = open_for(&gpus[0]);
    sn_cudnn_close(cudnn);
    assert_int_equal(sn_cudnn_open_for(&cudnn, "{}", NULL), SN_ERR_ARG);
    assert_null(cudnn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_convolution_has_a_plan),     cmocka_unit_test(a_shape_is_planned_once),
        cmocka_unit_test(what_has_no_plan_is_named),        cmocka_unit_test(without_a_gpu_no_plan_runs),
        cmocka_unit_test(a_device_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
