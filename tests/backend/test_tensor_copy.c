/* Tensors on their way between host and buffer. */
#include "cmocka_all.h"

#include "base/memory.h"
#include "harness.h"

enum { OUT = 600, IN = 3, K = 2, TAPS = K * K * K, COUNT = OUT * IN * TAPS };

static const sn_tensor_desc desc = {SN_F32, {OUT, IN, K, K, K}};

/* What a buffer holds after an upload, and what a download gives back. */
static void copy(const sn_backend *backend, bool weights, float *stored, float *back)
{
    static float values[COUNT];
    op_runner runner = runner_open(backend, 1);
    sn_buffer *buffer;
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)i;
    const size_t offset = SN_ALIGNMENT, bytes = sizeof values;
    assert_int_equal(backend->alloc(runner.device, &buffer, offset + bytes, NULL), SN_OK);
    sn_tensor_upload(backend, runner.device, buffer, offset, &desc, weights, values);
    backend->download(runner.device, buffer, offset, stored, bytes);
    sn_tensor_download(backend, runner.device, buffer, offset, &desc, weights, back);
    assert_memory_equal(back, values, bytes);
    backend->free(runner.device, buffer);
    runner_close(&runner);
}

static float stored[COUNT], back[COUNT];

static void weights_lie_taps_first_on_the_cpu(void **state)
{
    (void)state;
    copy(&sn_backend_cpu, true, stored, back);
    for (int t = 0; t < TAPS; t++)
        for (int i = 0; i < IN; i++)
            for (int o = 0; o < OUT; o++)
                assert_true(stored[(t * IN + i) * OUT + o] == (float)((o * IN + i) * TAPS + t));
}

static void other_tensors_lie_as_their_shape_says(void **state)
{
    (void)state;
    copy(&sn_backend_cpu, false, stored, back);
    for (int i = 0; i < COUNT; i++)
        assert_true(stored[i] == (float)i);
    copy(sn_backend_checked(&sn_backend_cpu), true, stored, back);
    assert_true(stored[1] == (float)(IN * TAPS));
}

static void weights_of_the_reference_lie_so_too(void **state)
{
    (void)state;
    copy(&sn_backend_ref, true, stored, back);
    for (int i = 0; i < COUNT; i++)
        assert_true(stored[i] == (float)i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_lie_taps_first_on_the_cpu),
        cmocka_unit_test(other_tensors_lie_as_their_shape_says),
        cmocka_unit_test(weights_of_the_reference_lie_so_too),
    };
    return cmocka_run_group_tests_name("tensor_copy", tests, NULL, NULL);
}
