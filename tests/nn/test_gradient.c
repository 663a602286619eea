/* Gradients of whole networks against central differences of the loss, in double on the reference backend. */
#include "nn/fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

static const fixture_options segnas = {"ref", SN_F64, network_segnas,    {1, 2, 4, 8, 12},
                                       3,     1,      SN_RECOMPUTE_CHEAP};
static const fixture_options unet = {"ref", SN_F64, network_unet, {2, 1, 4, 6, 2}, 3, 1, SN_RECOMPUTE_CHEAP};
static const fixture_options vnet = {"ref", SN_F64, network_vnet, {1, 1, 6, 4, 2}, 2, 1, SN_RECOMPUTE_CHEAP};

/* (loss(p + h e_i) - loss(p - h e_i)) / 2h */
static double central_difference(fixture *f, sn_tensor parameter, double *values, int64_t i)
{
    const double h = 1e-6, value = values[i];
    values[i] = value + h;
    fixture_write(f, parameter, values);
    double above = fixture_loss(f, f->forward);
    values[i] = value - h;
    fixture_write(f, parameter, values);
    double below = fixture_loss(f, f->forward);
    values[i] = value;
    fixture_write(f, parameter, values);
    return (above - below) / (2 * h);
}

/* A few elements of one parameter, drawn; returns the largest |gradient| found. */
static double check_parameter(fixture *f, sn_tensor parameter)
{
    enum { SAMPLES = 6 };
    const sn_tensor_info *info = sn_graph_tensor(f->graph, parameter);
    sn_random random = sn_random_begin(3, SN_RANDOM_TEST, (uint64_t)parameter);
    double *values = fixture_read(f, parameter);
    double *gradient = fixture_read(f, gradient_of(f->graph, parameter));
    int64_t count = sn_tensor_count(&info->desc);
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(gradient[i]));
    for (int sample = 0; sample < SAMPLES && sample < count; sample++) {
        int64_t i = count <= SAMPLES ? sample : (int64_t)sn_random_below(&random, (uint32_t)count);
        double numeric = central_difference(f, parameter, values, i);
        if (fabs(numeric - gradient[i]) > 1e-5 * largest + 1e-9)
            fail_msg("%s[%d]: gradient %.9g, central difference %.9g", info->name, (int)i, gradient[i],
                     numeric);
    }
    sn_free(gradient);
    sn_free(values);
    return largest;
}

/* `without`: parameters that change nothing, a bias before a batch normalisation. */
static void check_network(const fixture_options *options, int without)
{
    fixture f;
    int with_gradient = 0, parameters = 0;
    fixture_open(&f, options);
    double loss = fixture_loss(&f, f.train);
    assert_true(isfinite(loss) && loss > 0.1);
    for (sn_tensor t = 0; t < sn_graph_tensor_count(f.graph); t++)
        if (sn_graph_tensor(f.graph, t)->role == SN_ROLE_PARAMETER) {
            parameters++;
            with_gradient += check_parameter(&f, t) > 1e-6;
        }
    assert_int_equal(with_gradient, parameters - without);
    fixture_close(&f);
}

static void gradients_of_a_segnas_network_are_central_differences(void **state)
{
    (void)state;
    check_network(&segnas, 0);
}

static void gradients_of_a_unet_are_central_differences(void **state)
{
    (void)state;
    check_network(&unet, 2);
}

static void gradients_of_a_vnet_are_central_differences(void **state)
{
    (void)state;
    check_network(&vnet, 0);
}

static double *gradients_with(fixture_options options, sn_recompute recompute, int64_t *count)
{
    fixture f;
    options.recompute = recompute;
    fixture_open(&f, &options);
    fixture_run(&f, f.train);
    double *gradients = fixture_gradients(&f, count);
    fixture_close(&f);
    return gradients;
}

static void check_same_bits(const char *device, sn_dtype real)
{
    const fixture_options *const all[] = {&segnas, &unet, &vnet};
    for (int n = 0; n < 3; n++) {
        fixture_options options = *all[n];
        int64_t count, same_count;
        options.device = device;
        options.real = real;
        double *kept = gradients_with(options, SN_RECOMPUTE_NOTHING, &count);
        for (sn_recompute r = SN_RECOMPUTE_CHEAP; r <= SN_RECOMPUTE_SEGMENTS; r++) {
            double *recomputed = gradients_with(options, r, &same_count);
            assert_int_equal(count, same_count);
            assert_memory_equal(kept, recomputed, (size_t)count * sizeof *kept);
            sn_free(recomputed);
        }
        sn_free(kept);
    }
}

static void recomputed_values_give_the_gradients_of_kept_ones(void **state)
{
    (void)state;
    check_same_bits("checked:ref", SN_F64);
    check_same_bits("checked:ref", SN_F32);
}

static void recomputed_values_give_the_gradients_of_kept_ones_on_every_instruction_set(void **state)
{
    static const char *const instruction_sets[] = {"avx512", "avx2", "portable"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        setenv("SEGNAS3D_ISA", instruction_sets[i], 1);
        check_same_bits("checked:cpu", SN_F32);
    }
    unsetenv("SEGNAS3D_ISA");
}

/* How often convolutions run again, those of more multiply-adds a value than the cheap ones or the others. */
static int convolutions_run_again(sn_recompute recompute, bool dear)
{
    fixture f;
    fixture_options options = vnet;
    int count = 0;
    options.recompute = recompute;
    fixture_open(&f, &options);
    for (int n = 0; n < sn_graph_node_count(f.graph, f.train); n++) {
        const sn_node *node = sn_graph_node(f.graph, f.train, n);
        const sn_op op = sn_graph_op(f.graph, node);
        int64_t each = sn_op_multiply_adds(&op) / sn_tensor_count(&op.outputs[0].desc);
        count += node->recomputed && each > 0 && (each > 32) == dear;
    }
    fixture_close(&f);
    return count;
}

static void cheap_convolutions_run_again_and_those_of_segments_twice(void **state)
{
    (void)state;
    assert_int_equal(convolutions_run_again(SN_RECOMPUTE_NOTHING, true), 0);
    assert_int_equal(convolutions_run_again(SN_RECOMPUTE_NOTHING, false), 0);
    assert_int_equal(convolutions_run_again(SN_RECOMPUTE_CHEAP, true), 0);
    assert_true(convolutions_run_again(SN_RECOMPUTE_CHEAP, false) >= 3);      /* stem, down, up */
    assert_int_equal(convolutions_run_again(SN_RECOMPUTE_SEGMENTS, true), 2); /* left, bottom */
}

static void a_second_image_adds_to_the_gradients(void **state)
{
    (void)state;
    fixture f;
    int64_t count;
    fixture_open(&f, &vnet);
    fixture_run(&f, f.train);
    double *once = fixture_gradients(&f, &count);
    fixture_run(&f, f.train);
    double *twice = fixture_gradients(&f, &count);
    for (int64_t i = 0; i < count; i++)
        assert_true(fabs(twice[i] - 2 * once[i]) <= 1e-12 * fabs(once[i]) + 1e-15);
    sn_free(once);
    sn_free(twice);
    fixture_close(&f);
}

static sn_graph *graph_with_image(sn_tensor *image)
{
    sn_graph *graph;
    int program;
    sn_tensor_desc desc = {SN_F32, {1, 2, 4, 4, 4}};
    assert_int_equal(sn_graph_create(&graph, SN_F32, NULL), SN_OK);
    assert_int_equal(sn_graph_begin_program(graph, &program, "train", SN_MODE_TRAIN, NULL), SN_OK);
    *image = sn_graph_persistent(graph, "image", SN_ROLE_INPUT, desc);
    return graph;
}

static void add_loss(sn_graph *graph, sn_tensor scores)
{
    sn_op_params params = {.loss = {.kind = SN_LOSS_DICE_CE, .dice_weight = 1, .smooth = 1}};
    sn_tensor_desc labels = {SN_U8, {1, 1, 4, 4, 4}}, weights = {SN_F32, {1, 2, 1, 1, 1}};
    sn_graph_loss(graph, "loss", scores, sn_graph_persistent(graph, "labels", SN_ROLE_INPUT, labels),
                  sn_graph_persistent(graph, "weights", SN_ROLE_INPUT, weights), params);
}

static void nothing_is_computed_for_inputs(void **state)
{
    (void)state;
    sn_tensor image;
    sn_graph *graph = graph_with_image(&image);
    sn_tensor x = sn_graph_upsample(graph, sn_graph_maxpool(graph, image), 2);
    x = sn_graph_conv3d(graph, "scores", x, 2, 3, 1, 1);
    add_loss(graph, x);
    int forward = sn_graph_node_count(graph, 0);
    assert_int_equal(sn_graph_differentiate(graph, SN_RECOMPUTE_CHEAP, NULL), SN_OK);
    int weights = 0;
    for (int n = forward; n < sn_graph_node_count(graph, 0); n++) {
        const sn_node *node = sn_graph_node(graph, 0, n);
        assert_true(node->backward);
        assert_true(node->recomputed || node->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS);
        weights += node->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS;
    }
    assert_int_equal(weights, 1);
    sn_graph_free(graph);
}

static void check_refusal(sn_graph *graph, const char *text)
{
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_graph_differentiate(graph, SN_RECOMPUTE_CHEAP, &error), SN_ERR_ARG);
    assert_string_equal(error.text, text);
    sn_graph_free(graph);
}

static void what_has_no_gradient_is_refused_with_its_name(void **state)
{
    (void)state;
    sn_tensor image;
    sn_graph *graph = graph_with_image(&image);
    sn_graph_conv3d(graph, "scores", image, 2, 3, 1, 1);
    check_refusal(graph, "differentiate: the program has no loss");

    graph = graph_with_image(&image);
    add_loss(graph, image);
    check_refusal(graph, "differentiate: the loss of program train depends on no parameter");

    graph = graph_with_image(&image);
    add_loss(graph, sn_graph_softmax(graph, sn_graph_conv3d(graph, "scores", image, 2, 3, 1, 1)));
    check_refusal(graph, "differentiate: softmax between a parameter and the loss has no gradient");

    graph = graph_with_image(&image);
    add_loss(graph, sn_graph_conv3d(graph, "scores", image, 2, 3, 1, 1));
    assert_int_equal(sn_graph_differentiate(graph, SN_RECOMPUTE_CHEAP, NULL), SN_OK);
    check_refusal(graph, "differentiate: program train has its gradients already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_segnas_network_are_central_differences),
        cmocka_unit_test(gradients_of_a_unet_are_central_differences),
        cmocka_unit_test(gradients_of_a_vnet_are_central_differences),
        cmocka_unit_test(recomputed_values_give_the_gradients_of_kept_ones),
        cmocka_unit_test(recomputed_values_give_the_gradients_of_kept_ones_on_every_instruction_set),
        cmocka_unit_test(cheap_convolutions_run_again_and_those_of_segments_twice),
        cmocka_unit_test(a_second_image_adds_to_the_gradients),
        cmocka_unit_test(nothing_is_computed_for_inputs),
        cmocka_unit_test(what_has_no_gradient_is_refused_with_its_name),
    };
    return cmocka_run_group_tests_name("gradient", tests, NULL, NULL);
}
