/* Whole networks on devices: the plan holds under scrutiny, devices agree, training learns. */
#include "nn/fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "nn/nadam.h"

static const fixture_options networks[] = {
    {"ref", SN_F32, network_segnas, {1, 2, 8, 4, 12}, 3, 1, SN_RECOMPUTE_CHEAP},
    {"ref", SN_F32, network_unet, {2, 1, 4, 6, 2}, 3, 1, SN_RECOMPUTE_CHEAP},
    {"ref", SN_F32, network_vnet, {1, 1, 6, 4, 8}, 2, 1, SN_RECOMPUTE_CHEAP},
};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

/* All that a network leaves behind after one training image, evaluation and update. */
typedef struct outcome {
    double loss;
    double *gradients, *counts, *probabilities, *weights;
    int64_t gradient_count, count_count, probability_count, weight_count;
} outcome;

static double *read_named(fixture *f, const char *name, int64_t *count)
{
    sn_tensor tensor = sn_graph_find(f->graph, name);
    *count = sn_tensor_count(&sn_graph_tensor(f->graph, tensor)->desc);
    return fixture_read(f, tensor);
}

static outcome run_network(const fixture_options *options, const char *device, int threads)
{
    fixture f;
    outcome result;
    fixture_options own = *options;
    own.device = device;
    own.threads = threads;
    fixture_open(&f, &own);
    result.loss = fixture_loss(&f, f.train);
    result.gradients = fixture_gradients(&f, &result.gradient_count);
    fixture_run(&f, f.evaluate);
    result.counts = read_named(&f, "counts", &result.count_count);
    result.probabilities = read_named(&f, "probabilities", &result.probability_count);
    fixture_write(&f, f.nadam, (const double[4]){1, 1e-3, 1e-3, 1000});
    fixture_run(&f, f.update);
    result.weights = read_named(&f, f.options.build == network_segnas ? "scores.0.weight" : "scores.weight",
                                &result.weight_count);
    fixture_close(&f);
    return result;
}

static void outcome_clear(outcome *result)
{
    sn_free(result->gradients);
    sn_free(result->counts);
    sn_free(result->probabilities);
    sn_free(result->weights);
}

static void assert_identical(const outcome *a, const outcome *b)
{
    assert_true(a->loss == b->loss);
    assert_memory_equal(a->gradients, b->gradients, (size_t)a->gradient_count * sizeof(double));
    assert_memory_equal(a->counts, b->counts, (size_t)a->count_count * sizeof(double));
    assert_memory_equal(a->probabilities, b->probabilities, (size_t)a->probability_count * sizeof(double));
    assert_memory_equal(a->weights, b->weights, (size_t)a->weight_count * sizeof(double));
}

static void check_identical(const char *device_a, int threads_a, const char *device_b, int threads_b)
{
    for (int n = 0; n < NETWORKS; n++) {
        outcome a = run_network(&networks[n], device_a, threads_a);
        outcome b = run_network(&networks[n], device_b, threads_b);
        assert_identical(&a, &b);
        outcome_clear(&a);
        outcome_clear(&b);
    }
}

static void poisoned_memory_changes_nothing_on_ref(void **state)
{
    (void)state;
    check_identical("ref", 1, "checked:ref", 1);
}

static void poisoned_memory_changes_nothing_on_cpu(void **state)
{
    (void)state;
    check_identical("cpu", 1, "checked:cpu", 1);
}

static void one_and_two_threads_give_the_same_bits(void **state)
{
    (void)state;
    check_identical("cpu", 1, "cpu", 2);
}

static void cpu_agrees_with_ref(void **state)
{
    (void)state;
    for (int n = 0; n < NETWORKS; n++) {
        outcome cpu = run_network(&networks[n], "cpu", 1), ref = run_network(&networks[n], "ref", 1);
        assert_true(fabs(cpu.loss - ref.loss) < 1e-4 * ref.loss);
        assert_true(relative_l2(cpu.gradients, ref.gradients, ref.gradient_count) < 1e-3);
        assert_true(relative_l2(cpu.probabilities, ref.probabilities, ref.probability_count) < 1e-4);
        outcome_clear(&cpu);
        outcome_clear(&ref);
    }
}

static void thirty_steps_reduce_the_loss(void **state)
{
    (void)state;
    fixture f;
    sn_nadam nadam = SN_NADAM_INIT;
    double scalars[4], first = 0, last = 0;
    nadam.rate = 1e-2;
    fixture_open(&f, &networks[0]);
    for (int step = 0; step < 30; step++) {
        last = fixture_loss(&f, f.train);
        first = step == 0 ? last : first;
        sn_nadam_next(&nadam, 1, scalars);
        fixture_write(&f, f.nadam, scalars);
        fixture_run(&f, f.update);
    }
    assert_true(last < 0.8 * first);
    fixture_close(&f);
}

/* The loss of a network with one NaN among the weights of its first layer. */
static double loss_with_a_nan(const fixture_options *options, const char *device)
{
    fixture f;
    fixture_options own = *options;
    own.device = device;
    fixture_open(&f, &own);
    sn_tensor first = 0;
    while (sn_graph_tensor(f.graph, first)->role != SN_ROLE_PARAMETER)
        first++;
    double *weights = fixture_read(&f, first);
    weights[0] = NAN;
    fixture_write(&f, first, weights);
    double loss = fixture_loss(&f, f.train);
    sn_free(weights);
    fixture_close(&f);
    return loss;
}

/* No ReLU, clamp or maximum hides it: a training that went wrong is seen. */
static void a_nan_in_a_network_reaches_the_loss(void **state)
{
    static const char *const instruction_sets[] = {"avx512", "avx2", "portable"};
    (void)state;
    for (int n = 0; n < NETWORKS; n++) {
        assert_true(isnan(loss_with_a_nan(&networks[n], "ref")));
        for (int i = 0; i < 3; i++) {
            setenv("SEGNAS3D_ISA", instruction_sets[i], 1);
            assert_true(isnan(loss_with_a_nan(&networks[n], "cpu")));
        }
    }
    unsetenv("SEGNAS3D_ISA");
}

static void the_update_clears_the_gradients(void **state)
{
    (void)state;
    fixture f;
    int64_t count;
    fixture_open(&f, &networks[2]);
    fixture_run(&f, f.train);
    fixture_write(&f, f.nadam, (const double[4]){1, 1e-3, 1e-3, 1000});
    fixture_run(&f, f.update);
    double *gradients = fixture_gradients(&f, &count);
    for (int64_t i = 0; i < count; i++)
        assert_true(gradients[i] == 0);
    sn_free(gradients);
    fixture_close(&f);
}

static sn_graph *graph_of_weights(void)
{
    sn_graph *graph;
    int program;
    assert_int_equal(sn_graph_create(&graph, SN_F32, NULL), SN_OK);
    assert_int_equal(sn_graph_begin_program(graph, &program, "train", SN_MODE_TRAIN, NULL), SN_OK);
    sn_tensor x =
        sn_graph_persistent(graph, "image", SN_ROLE_INPUT, (sn_tensor_desc){SN_F32, {1, 16, 2, 2, 2}});
    x = sn_graph_conv3d(graph, "a", x, 64, 3, 1, 1);
    x = sn_graph_batchnorm(graph, "a", x, true);
    x = sn_graph_conv3d_transposed(graph, "b", x, 64);
    x = sn_graph_prelu(graph, "c", sn_graph_bias(graph, "b", x));
    sn_graph_conv3d(graph, "d", x, 64, 1, 1, 1);
    return graph;
}

static float *read_floats(sn_executor *executor, const sn_graph *graph, const char *name)
{
    float *values = NULL;
    sn_tensor tensor = sn_graph_find(graph, name);
    int64_t count = sn_tensor_count(&sn_graph_tensor(graph, tensor)->desc);
    assert_int_equal(sn_alloc(&values, (size_t)count, sizeof *values, NULL), SN_OK);
    assert_int_equal(sn_executor_download(executor, tensor, values, NULL), SN_OK);
    return values;
}

static void check_normal(sn_executor *executor, const sn_graph *graph, const char *name, double variance)
{
    int64_t count = sn_tensor_count(&sn_graph_tensor(graph, sn_graph_find(graph, name))->desc);
    float *values = read_floats(executor, graph, name);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    double n = (double)count;
    assert_true(fabs(sum / n) < 5 * sqrt(variance / n));
    assert_true(fabs(squares / n / variance - 1) < 5 * sqrt(2 / n));
    sn_free(values);
}

static void check_constant(sn_executor *executor, const sn_graph *graph, const char *name, float constant)
{
    float values[64];
    assert_int_equal(sn_executor_download(executor, sn_graph_find(graph, name), values, NULL), SN_OK);
    for (int i = 0; i < 64; i++)
        assert_true(values[i] == constant);
}

static void initial_values_are_those_of_he_and_the_papers(void **state)
{
    (void)state;
    sn_device *device;
    sn_executor *executor;
    sn_device_options options = {.threads = 1};
    sn_graph *graph = graph_of_weights();
    assert_int_equal(sn_backend_ref.open(&device, &options, NULL), SN_OK);
    assert_int_equal(sn_executor_create(&executor, graph, &sn_backend_ref, device, NULL), SN_OK);
    assert_int_equal(sn_executor_initialise(executor, 7, NULL), SN_OK);
    check_normal(executor, graph, "a.weight", 2.0 / (16 * 27));
    check_normal(executor, graph, "b.weight", 2.0 / 64);
    check_normal(executor, graph, "d.weight", 2.0 / 64);
    float *b = read_floats(executor, graph, "b.weight"), *d = read_floats(executor, graph, "d.weight");
    assert_memory_not_equal(b, d, 64 * sizeof *b); /* parameters share no numbers */
    sn_free(b);
    sn_free(d);
    check_constant(executor, graph, "a.gamma", 1);
    check_constant(executor, graph, "a.beta", 0);
    check_constant(executor, graph, "a.running_mean", 0);
    check_constant(executor, graph, "a.running_variance", 1);
    check_constant(executor, graph, "b.bias", 0);
    check_constant(executor, graph, "c.slope", 0.25F);

    float *once = read_floats(executor, graph, "a.weight");
    assert_int_equal(sn_executor_initialise(executor, 8, NULL), SN_OK);
    float *other = read_floats(executor, graph, "a.weight");
    assert_int_equal(sn_executor_initialise(executor, 7, NULL), SN_OK);
    float *again = read_floats(executor, graph, "a.weight");
    assert_memory_not_equal(once, other, 64 * sizeof *once);
    assert_memory_equal(once, again, 64 * sizeof *once);
    sn_free(once);
    sn_free(other);
    sn_free(again);
    sn_executor_free(executor);
    sn_backend_ref.close(device);
    sn_graph_free(graph);
}

static int allocations_left;

static sn_status scarce_alloc(sn_device *device, sn_buffer **buffer, size_t bytes, sn_error *error)
{
    if (allocations_left-- > 0)
        return sn_backend_ref.alloc(device, buffer, bytes, error);
    *buffer = NULL;
    return sn_error_set(error, SN_ERR_MEMORY, "no memory for %zu bytes", bytes);
}

static void too_little_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    sn_device *device;
    sn_executor *executor;
    sn_device_options options = {.threads = 1};
    sn_backend scarce = sn_backend_ref;
    scarce.alloc = scarce_alloc;
    sn_graph *graph = graph_of_weights();
    assert_int_equal(scarce.open(&device, &options, NULL), SN_OK);
    for (int allowed = 0; allowed < 2; allowed++) {
        allocations_left = allowed;
        assert_int_equal(sn_executor_create(&executor, graph, &scarce, device, NULL), SN_ERR_MEMORY);
        assert_null(executor);
    }
    scarce.close(device);
    sn_graph_free(graph);
}

static bool supports_no_prelu(sn_device *device, const sn_op *op, char reason[SN_REASON_TEXT])
{
    (void)device;
    strcpy(reason, "not on Mondays");
    return op->kind != SN_OP_PRELU;
}

static void what_a_device_cannot_do_is_named(void **state)
{
    (void)state;
    sn_device *device;
    sn_executor *executor;
    sn_error error = SN_ERROR_INIT;
    sn_device_options options = {.threads = 1};
    sn_backend poor = sn_backend_ref;
    poor.supports = supports_no_prelu;
    sn_graph *graph = graph_of_weights();
    assert_int_equal(poor.open(&device, &options, NULL), SN_OK);
    assert_int_equal(sn_executor_create(&executor, graph, &poor, device, &error), SN_ERR_UNSUPPORTED);
    assert_string_equal(error.text, "device ref cannot run prelu c: not on Mondays");
    poor.close(device);
    sn_graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poisoned_memory_changes_nothing_on_ref),
        cmocka_unit_test(poisoned_memory_changes_nothing_on_cpu),
        cmocka_unit_test(one_and_two_threads_give_the_same_bits),
        cmocka_unit_test(cpu_agrees_with_ref),
        cmocka_unit_test(thirty_steps_reduce_the_loss),
        cmocka_unit_test(a_nan_in_a_network_reaches_the_loss),
        cmocka_unit_test(the_update_clears_the_gradients),
        cmocka_unit_test(initial_values_are_those_of_he_and_the_papers),
        cmocka_unit_test(too_little_memory_is_an_error_and_leaks_nothing),
        cmocka_unit_test(what_a_device_cannot_do_is_named),
    };
    return cmocka_run_group_tests_name("executor", tests, NULL, NULL);
}
