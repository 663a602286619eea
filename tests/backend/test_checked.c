/* The checked backend against backends with planted mistakes: ref, with one operation spoilt. */
#include "cmocka_all.h"

#include <math.h>
#include <string.h>

#include "backend/checked/checked.h"
#include "base/memory.h"
#include "cases.h"

/* What the planted backend does wrong, after ref has run the operation sum (y = a + b). */
typedef enum mistake {
    NONE,
    READS_BEFORE_WRITING, /* y = old y + a + b */
    HIDES_NAN,            /* y = max(old y, a + b): NaN disappears */
    FORGETS_AN_ELEMENT,
    WRITES_AN_INPUT,
    WRITES_PAST_THE_OUTPUT,
    WRITES_PAST_THE_BUFFER,
    WRITES_PAST_THE_WORKSPACE,
    READS_THE_WORKSPACE, /* y = a + b + what the workspace held */
    MAKES_NAN,
    MISTAKES,
} mistake;

static mistake planted;

enum {
    COUNT = 24,
    BYTES = COUNT * sizeof(float),
    PLACE = 128
}; /* PLACE: BYTES, rounded up to the alignment */

/* What the planted backend runs: ref's program, and where the operands lie. */
static struct {
    sn_buffer *buffer, *workspace;
    size_t a, y, workspace_place, workspace_bytes, end;
} spoilt;

static size_t spoilt_workspace(sn_device *device, const sn_op *op)
{
    return sn_backend_ref.workspace(device, op);
}

static sn_status spoilt_program_create(sn_device *device, sn_program **program, const sn_op *ops,
                                       int op_count, sn_buffer *const *buffers, int buffer_count,
                                       sn_error *error)
{
    spoilt.buffer = buffers[0];
    spoilt.workspace = buffers[1];
    spoilt.workspace_place = ops[0].workspace.offset;
    spoilt.a = ops[0].inputs[0].offset;
    spoilt.y = ops[0].outputs[0].offset;
    spoilt.workspace_bytes = sn_backend_ref.workspace(device, &ops[0]);
    spoilt.end = spoilt.y + PLACE;
    return sn_backend_ref.program_create(device, program, ops, op_count, buffers, buffer_count, error);
}

static void write_float(sn_device *device, size_t offset, float value)
{
    sn_backend_ref.upload(device, spoilt.buffer, offset, &value, sizeof value);
}

static void spoil(sn_device *device, const float *old, float left_in_workspace)
{
    float y[COUNT];
    sn_backend_ref.download(device, spoilt.buffer, spoilt.y, y, BYTES);
    for (int i = 0; i < COUNT; i++) {
        y[i] += planted == READS_BEFORE_WRITING  ? old[i]
                : planted == READS_THE_WORKSPACE ? left_in_workspace
                                                 : 0;
        y[i] = planted == HIDES_NAN ? fmaxf(old[i], y[i]) : y[i];
    }
    if (planted == FORGETS_AN_ELEMENT)
        y[COUNT - 1] = old[COUNT - 1];
    if (planted == MAKES_NAN)
        y[3] = NAN;
    sn_backend_ref.upload(device, spoilt.buffer, spoilt.y, y, BYTES);
    if (planted == WRITES_AN_INPUT)
        write_float(device, spoilt.a, 7);
    if (planted == WRITES_PAST_THE_OUTPUT)
        write_float(device, spoilt.y + BYTES, 7);
    if (planted == WRITES_PAST_THE_BUFFER)
        write_float(device, spoilt.end, 7);
    if (planted == WRITES_PAST_THE_WORKSPACE)
        sn_backend_ref.upload(device, spoilt.workspace, spoilt.workspace_place + spoilt.workspace_bytes, y,
                              sizeof y[0]);
}

static sn_status spoilt_program_run(sn_device *device, sn_program *program, sn_error *error)
{
    float old[COUNT], left_in_workspace;
    sn_backend_ref.download(device, spoilt.buffer, spoilt.y, old, BYTES);
    sn_backend_ref.download(device, spoilt.workspace, spoilt.workspace_place, &left_in_workspace,
                            sizeof left_in_workspace);
    sn_status status = sn_backend_ref.program_run(device, program, error);
    spoil(device, old, left_in_workspace);
    return status;
}

/* Two tensors are added on the checked device around the planted backend. */
static sn_status run_planted(mistake which, sn_error *error)
{
    planted = which;
    sn_backend planted_backend = sn_backend_ref;
    planted_backend.workspace = spoilt_workspace;
    planted_backend.program_create = spoilt_program_create;
    planted_backend.program_run = spoilt_program_run;
    sn_op op = {.kind = SN_OP_SUM, .input_count = 2, .output_count = 1};
    op.inputs[0] = op.inputs[1] = op.outputs[0] = operand_of(SN_F32, 1, 2, 2, 3, 2);
    op_values values = op_values_make(&op);
    op_runner runner = {.backend = sn_backend_checked(&sn_backend_ref)};
    sn_status status =
        sn_checked_open(&runner.device, &planted_backend, &(sn_device_options){.threads = 1}, error);
    if (status == SN_OK)
        status = op_try(&runner, &op, &values, NOT_IN_PLACE, error);
    op_values_clear(&values);
    runner_close(&runner);
    return status;
}

static void a_faithful_backend_passes(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(run_planted(NONE, &error), SN_OK);
}

static void every_planted_mistake_is_found(void **state)
{
    (void)state;
    static const char *const texts[MISTAKES] = {
        [READS_BEFORE_WRITING] = "element 0 of output 0 differs between two runs",
        [HIDES_NAN] = "element 0 of output 0 differs between two runs",
        [FORGETS_AN_ELEMENT] = "element 23 of output 0 differs between two runs",
        [WRITES_AN_INPUT] = "sum changed byte 2 of buffer 0",
        [WRITES_PAST_THE_OUTPUT] = "sum changed byte 480 of buffer 0",
        [WRITES_PAST_THE_BUFFER] = "sum changed byte 512 of buffer 0",
        [WRITES_PAST_THE_WORKSPACE] = "sum changed byte 576 of buffer 1",
        [READS_THE_WORKSPACE] = "element 0 of output 0 differs between two runs",
        [MAKES_NAN] = "element 3 of output 0 is NaN",
    };
    for (int which = NONE + 1; which < MISTAKES; which++) {
        sn_error error = SN_ERROR_INIT;
        assert_int_not_equal(run_planted((mistake)which, &error), SN_OK);
        if (strstr(error.text, texts[which]) == NULL)
            fail_msg("mistake %d: '%s' does not say '%s'", which, error.text, texts[which]);
    }
}

/* The locations of y = a + b in a buffer of 512 bytes, with a workspace at its start. */
static sn_status check_places(size_t workspace, size_t a, size_t b, size_t y, sn_error *error)
{
    const size_t bytes[1] = {512};
    sn_op op = {.kind = SN_OP_SUM, .input_count = 2, .output_count = 1};
    op.inputs[0] = op.inputs[1] = op.outputs[0] = operand_of(SN_F32, 1, 2, 2, 3, 2);
    op.inputs[0].offset = a;
    op.inputs[1].offset = b;
    op.outputs[0].offset = y;
    return sn_checked_locations(&op, workspace, bytes, 1, error);
}

static void operands_may_overlap_only_where_the_operation_allows_it(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(check_places(0, 0, 128, 256, &error), SN_OK);
    assert_int_equal(check_places(0, 0, 0, 256, &error), SN_OK);   /* inputs may */
    assert_int_equal(check_places(0, 0, 128, 128, &error), SN_OK); /* sum may run in place */
    assert_int_equal(check_places(0, 0, 128, 64, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "sum: output 0 may not share the memory of input 0");
    assert_int_equal(check_places(0, 0, 128, 448, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "sum: output 0 ends at 544, buffer 0 at 512 bytes");
    assert_int_equal(check_places(0, 0, 100, 256, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "sum: input 1 lies at 100, not a multiple of 64 bytes");
    assert_int_equal(check_places(64, 64, 192, 320, &error), SN_OK);
    assert_int_equal(check_places(65, 64, 192, 320, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "sum: the workspace shares memory with an operand");
}

static void a_convolution_may_not_run_in_place(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    op_runner runner = runner_open(sn_backend_checked(&sn_backend_ref), 1);
    sn_op op = {.kind = SN_OP_CONV3D, .params.conv3d = {1, 1, 1, 0}, .input_count = 2, .output_count = 1};
    op.inputs[0] = op.outputs[0] = operand_of(SN_F32, 1, 1, 2, 2, 2);
    op.inputs[1] = vector_of(SN_F32, 1);
    op_values values = op_values_make(&op);
    assert_int_equal(op_try(&runner, &op, &values, 0, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "conv3d: output 0 may not share the memory of input 0");
    op_values_clear(&values);
    runner_close(&runner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_faithful_backend_passes),
        cmocka_unit_test(every_planted_mistake_is_found),
        cmocka_unit_test(operands_may_overlap_only_where_the_operation_allows_it),
        cmocka_unit_test(a_convolution_may_not_run_in_place),
    };
    return cmocka_run_group_tests_name("checked", tests, NULL, NULL);
}
