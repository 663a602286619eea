/* Graphs: shapes that builders infer, messages, sharing between programs. */
#include "cmocka_all.h"

#include <string.h>

#include "base/memory.h"
#include "nn/graph.h"
#include "nn/networks.h"

static sn_graph *graph_in(sn_mode mode)
{
    sn_graph *graph;
    int program;
    assert_int_equal(sn_graph_create(&graph, SN_F32, NULL), SN_OK);
    assert_int_equal(sn_graph_begin_program(graph, &program, "first", mode, NULL), SN_OK);
    return graph;
}

static sn_tensor input(sn_graph *graph, const char *name, int64_t n, int64_t c, int64_t d, int64_t h,
                       int64_t w)
{
    return sn_graph_persistent(graph, name, SN_ROLE_INPUT, (sn_tensor_desc){SN_F32, {n, c, d, h, w}});
}

static void assert_desc(const sn_graph *graph, sn_tensor tensor, sn_dtype dtype, int64_t n, int64_t c,
                        int64_t d, int64_t h, int64_t w)
{
    sn_error error = SN_ERROR_INIT;
    const int64_t shape[SN_DIMS] = {n, c, d, h, w};
    if (sn_graph_status(graph, &error) != SN_OK)
        fail_msg("%s", error.text);
    assert_int_equal(sn_graph_tensor(graph, tensor)->desc.dtype, dtype);
    assert_memory_equal(sn_graph_tensor(graph, tensor)->desc.shape, shape, sizeof shape);
}

static void builders_infer_shapes(void **state)
{
    (void)state;
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_tensor x = input(g, "x", 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_conv3d(g, "a", x, 5, 3, 2, 1), SN_F32, 2, 5, 4, 6, 8);
    assert_desc(g, sn_graph_find(g, "a.weight"), SN_F32, 5, 3, 3, 3, 3);
    assert_desc(g, sn_graph_conv3d(g, "b", x, 7, 2, 1, 2), SN_F32, 2, 7, 2, 3, 4);
    assert_desc(g, sn_graph_conv3d_transposed(g, "c", x, 2), SN_F32, 2, 2, 8, 12, 16);
    assert_desc(g, sn_graph_find(g, "c.weight"), SN_F32, 3, 2, 2, 2, 2);
    assert_desc(g, sn_graph_bias(g, "d", x), SN_F32, 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_find(g, "d.bias"), SN_F32, 1, 3, 1, 1, 1);
    assert_desc(g, sn_graph_batchnorm(g, "e", x, true), SN_F32, 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_find(g, "e.running_variance"), SN_F32, 1, 3, 1, 1, 1);
    assert_desc(g, sn_graph_prelu(g, "f", x), SN_F32, 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_maxpool(g, x), SN_F32, 2, 3, 2, 3, 4);
    assert_desc(g, sn_graph_upsample(g, x, 3), SN_F32, 2, 3, 12, 18, 24);
    assert_desc(g, sn_graph_concat(g, (sn_tensor[]){x, x, x}, 3), SN_F32, 2, 9, 4, 6, 8);
    assert_desc(g, sn_graph_window(g, x, (int64_t[4]){1, -1, 0, 2}, (int64_t[4]){2, 6, 6, 4}), SN_F32, 2, 2,
                6, 6, 4);
    assert_desc(g, sn_graph_channel_dropout(g, x, 0.5, 0), SN_F32, 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_find(g, "dropout_key"), SN_U8, 1, 1, 1, 1, 16);
    assert_desc(g, sn_graph_softmax(g, x), SN_F32, 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_argmax(g, x), SN_U8, 2, 1, 4, 6, 8);
    assert_desc(g, sn_graph_overlap(g, "counts", x, sn_graph_argmax(g, x)), SN_F64, 2, 3, 1, 1, 3);
    assert_desc(g, sn_graph_result(g, "copy", x), SN_F32, 2, 3, 4, 6, 8);
    sn_graph_free(g);
}

static void values_are_in_bf16_and_what_lasts_is_not(void **state)
{
    (void)state;
    sn_graph *g;
    int program;
    assert_int_equal(sn_graph_create(&g, SN_BF16, NULL), SN_OK);
    assert_int_equal(sn_graph_begin_program(g, &program, "train", SN_MODE_TRAIN, NULL), SN_OK);
    assert_int_equal(sn_graph_real(g), SN_F32);
    sn_tensor x = sn_graph_to_values(g, input(g, "x", 2, 3, 4, 6, 8));
    assert_desc(g, x, SN_BF16, 2, 3, 4, 6, 8);
    assert_int_equal(sn_graph_to_values(g, x), x);
    assert_desc(g, sn_graph_conv3d(g, "a", x, 5, 3, 1, 1), SN_BF16, 2, 5, 4, 6, 8);
    assert_desc(g, sn_graph_find(g, "a.weight"), SN_F32, 5, 3, 3, 3, 3);
    assert_desc(g, sn_graph_bias(g, "b", x), SN_BF16, 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_find(g, "b.bias"), SN_F32, 1, 3, 1, 1, 1);
    assert_desc(g, sn_graph_batchnorm(g, "c", x, true), SN_BF16, 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_find(g, "c.running_mean"), SN_F32, 1, 3, 1, 1, 1);
    assert_desc(g, sn_graph_maxpool(g, x), SN_BF16, 2, 3, 2, 3, 4);
    assert_desc(g, sn_graph_softmax(g, x), SN_F32, 2, 3, 4, 6, 8);
    assert_desc(g, sn_graph_argmax(g, x), SN_U8, 2, 1, 4, 6, 8);
    sn_graph_free(g);

    g = graph_in(SN_MODE_TRAIN);
    x = input(g, "x", 2, 3, 4, 6, 8);
    assert_int_equal(sn_graph_to_values(g, x), x);
    sn_graph_free(g);
}

static void more_than_eight_tensors_are_chained(void **state)
{
    (void)state;
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_tensor x[20], one = input(g, "x", 1, 2, 2, 2, 2);
    for (int i = 0; i < 20; i++)
        x[i] = one;
    assert_desc(g, sn_graph_sum(g, x, 20), SN_F32, 1, 2, 2, 2, 2);
    assert_int_equal(sn_graph_node_count(g, 0), 3); /* 8 + 7 + 5 */
    assert_desc(g, sn_graph_concat(g, x, 9), SN_F32, 1, 18, 2, 2, 2);
    assert_int_equal(sn_graph_node_count(g, 0), 5);
    assert_int_equal(sn_graph_sum(g, x, 1), one);
    assert_int_equal(sn_graph_node_count(g, 0), 5);
    sn_graph_free(g);
}

static void programs_share_parameters_by_name(void **state)
{
    (void)state;
    int evaluate;
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_tensor image = input(g, "image", 1, 1, 8, 8, 8);
    network_segnas(g, image, 2);
    int64_t parameters = sn_graph_parameters(g);
    assert_int_equal(sn_graph_begin_program(g, &evaluate, "evaluate", SN_MODE_PREDICT, NULL), SN_OK);
    assert_int_equal(evaluate, 1);
    network_segnas(g, image, 2);
    assert_int_equal(sn_graph_status(g, NULL), SN_OK);
    assert_int_equal(sn_graph_parameters(g), parameters);
    assert_string_equal(sn_graph_program_name(g, 1), "evaluate");
    for (int n = 0; n < sn_graph_node_count(g, 1); n++) {
        sn_op_kind kind = sn_graph_node(g, 1, n)->kind;
        assert_true(kind != SN_OP_BATCHNORM && kind != SN_OP_BATCHNORM_RUNNING &&
                    kind != SN_OP_CHANNEL_DROPOUT);
    }
    assert_true(sn_graph_multiply_adds(g, 0) == sn_graph_multiply_adds(g, 1));
    sn_graph_free(g);
}

static void running_statistics_can_have_a_program_of_their_own(void **state)
{
    (void)state;
    int train;
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_graph_running_apart(g, 0);
    assert_int_equal(sn_graph_begin_program(g, &train, "train", SN_MODE_TRAIN, NULL), SN_OK);
    sn_tensor image = input(g, "image", 1, 2, 4, 6, 8);
    sn_graph_batchnorm(g, "a", sn_graph_batchnorm(g, "b", image, true), false);
    assert_int_equal(sn_graph_status(g, NULL), SN_OK);
    assert_int_equal(sn_graph_node_count(g, train), 2);
    assert_int_equal(sn_graph_node_count(g, 0), 2);
    for (int n = 0; n < 2; n++) {
        const sn_node *node = sn_graph_node(g, 0, n);
        assert_int_equal(node->kind, SN_OP_BATCHNORM_RUNNING);
        assert_true(node->params.batchnorm.voxels == 4 * 6 * 8);
        assert_int_equal(sn_graph_tensor(g, node->inputs[0])->role, SN_ROLE_RESULT);
    }
    assert_desc(g, sn_graph_find(g, "a.batch_mean"), SN_F32, 1, 2, 1, 1, 1);
    assert_desc(g, sn_graph_find(g, "b.batch_variance"), SN_F32, 1, 2, 1, 1, 1);
    sn_graph_free(g);
}

static void counts_are_those_of_the_formulas(void **state)
{
    (void)state;
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_tensor x = input(g, "x", 1, 3, 4, 6, 8);
    x = sn_graph_conv3d(g, "a", x, 5, 3, 1, 1);           /* 5*3*27 weights at 192 voxels */
    x = sn_graph_batchnorm(g, "a", x, true);              /* 2*5 */
    x = sn_graph_conv3d(g, "b", x, 4, 2, 1, 2);           /* 4*5*8 at 24 */
    x = sn_graph_conv3d_transposed(g, "c", x, 6);         /* 4*6*8 at 24 voxels of its input */
    x = sn_graph_prelu(g, "c", sn_graph_bias(g, "c", x)); /* 6 + 6 */
    assert_int_equal(sn_graph_parameters(g), 405 + 10 + 160 + 192 + 12);
    assert_int_equal(sn_graph_multiply_adds(g, 0), 405 * 192 + 160 * 24 + 192 * 24);
    sn_graph_free(g);
}

/* One wrong call after another, each on a graph of its own; then the message of the first one is kept. */
static void check_error(sn_graph *g, sn_tensor result, const char *text)
{
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(result, SN_NO_TENSOR);
    assert_int_equal(sn_graph_status(g, &error), SN_ERR_ARG);
    assert_string_equal(error.text, text);
    assert_int_equal(sn_graph_softmax(g, result), SN_NO_TENSOR);
    sn_graph_status(g, &error);
    assert_string_equal(error.text, text);
    sn_graph_free(g);
}

static void errors_name_the_operation_and_the_numbers(void **state)
{
    (void)state;
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_tensor x = input(g, "x", 1, 3, 4, 6, 7);
    check_error(g, sn_graph_conv3d(g, "enc.conv1", x, 8, 2, 1, 2),
                "conv3d enc.conv1: extents 4x6x7 must be multiples of stride 2");
    g = graph_in(SN_MODE_TRAIN);
    x = input(g, "x", 1, 3, 4, 6, 7);
    check_error(g, sn_graph_conv3d(g, "enc.conv1", x, 8, 4, 1, 1),
                "conv3d enc.conv1: kernel 4 with dilation 1 has no 'same' padding, use an odd kernel");
    g = graph_in(SN_MODE_TRAIN);
    x = input(g, "x", 1, 3, 4, 6, 7);
    check_error(g, sn_graph_conv3d(g, "enc.conv1", x, 8, 3, 1, 2),
                "conv3d enc.conv1: stride 2 needs kernel 2 and dilation 1, not kernel 3 and dilation 1");
    g = graph_in(SN_MODE_TRAIN);
    x = input(g, "x", 1, 3, 4, 6, 7);
    check_error(g, sn_graph_conv3d(g, "enc.conv1", x, 0, 3, 1, 1),
                "conv3d enc.conv1: channels 0, kernel 3, dilation 1, stride 1: each must be at least 1");
    g = graph_in(SN_MODE_TRAIN);
    x = sn_graph_conv3d(g, "enc.conv1", input(g, "x", 1, 3, 4, 6, 7), 8, 3, 1, 1);
    check_error(g, sn_graph_maxpool(g, x), "maxpool of enc.conv1: extents 4x6x7 must be even");
    g = graph_in(SN_MODE_TRAIN);
    x = input(g, "x", 1, 3, 4, 6, 7);
    check_error(g, sn_graph_sum(g, (sn_tensor[]){x, input(g, "y", 1, 2, 4, 6, 7)}, 2),
                "sum of x: an input is f32 (1,2,4,6,7), expected f32 (1,3,4,6,7)");
}

static void a_name_stands_for_one_tensor(void **state)
{
    (void)state;
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_graph_conv3d(g, "a", input(g, "x", 1, 3, 4, 4, 4), 8, 3, 1, 1);
    check_error(g, sn_graph_conv3d(g, "a", input(g, "y", 1, 2, 4, 4, 4), 8, 3, 1, 1),
                "tensor a.weight: has shape 8x3x3x3x3 already, another program wants 8x2x3x3x3");
    g = graph_in(SN_MODE_TRAIN);
    sn_graph_conv3d(g, "a", input(g, "x", 1, 3, 4, 4, 4), 8, 3, 1, 1);
    check_error(g, input(g, "a.weight", 1, 2, 4, 4, 4),
                "tensor a.weight: is a parameter already, it cannot be an input too");
}

static void too_long_a_name_is_refused(void **state)
{
    (void)state;
    char name[SN_NAME + 1];
    memset(name, 'n', SN_NAME);
    name[SN_NAME] = '\0';
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    assert_int_equal(input(g, name, 1, 1, 1, 1, 1), SN_NO_TENSOR);
    assert_int_equal(sn_graph_status(g, NULL), SN_ERR_ARG);
    sn_graph_free(g);
}

static void a_transient_stays_in_its_program(void **state)
{
    (void)state;
    int second;
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_tensor x = sn_graph_maxpool(g, input(g, "x", 1, 1, 4, 4, 4));
    assert_int_equal(sn_graph_begin_program(g, &second, "second", SN_MODE_TRAIN, NULL), SN_OK);
    check_error(g, sn_graph_upsample(g, x, 2), "upsample: input 1 belongs to program first, not to second");
}

static void a_program_has_one_loss(void **state)
{
    (void)state;
    sn_op_params params = {.loss = {.kind = SN_LOSS_DICE_CE, .smooth = 1}};
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_tensor labels =
        sn_graph_persistent(g, "labels", SN_ROLE_INPUT, (sn_tensor_desc){SN_U8, {1, 1, 4, 4, 4}});
    sn_tensor weights = input(g, "weights", 1, 2, 1, 1, 1);
    sn_tensor scores = sn_graph_conv3d(g, "scores", input(g, "x", 1, 1, 4, 4, 4), 2, 1, 1, 1);
    assert_int_not_equal(sn_graph_loss(g, "loss", scores, labels, weights, params), SN_NO_TENSOR);
    check_error(g, sn_graph_loss(g, "loss2", scores, labels, weights, params),
                "loss loss2: program first has a loss already");
}

/* A backend may keep them in an order of its own, so all that belong to a convolution's weights must be known. */
static void weights_are_known_with_all_that_have_their_form(void **state)
{
    (void)state;
    int program;
    sn_op_params params = {.loss = {.kind = SN_LOSS_DICE_CE, .smooth = 1}};
    sn_graph *g = graph_in(SN_MODE_TRAIN);
    sn_tensor labels =
        sn_graph_persistent(g, "labels", SN_ROLE_INPUT, (sn_tensor_desc){SN_U8, {1, 1, 4, 4, 4}});
    sn_tensor x =
        sn_graph_bias(g, "down", sn_graph_conv3d(g, "down", input(g, "x", 1, 1, 4, 4, 4), 8, 2, 1, 2));
    x = sn_graph_conv3d_transposed(g, "up", x, 2);
    sn_graph_loss(g, "loss", x, labels, input(g, "class weights", 1, 2, 1, 1, 1), params);
    assert_int_equal(sn_graph_differentiate(g, SN_RECOMPUTE_CHEAP, NULL), SN_OK);
    assert_int_equal(sn_graph_begin_program(g, &program, "update", SN_MODE_TRAIN, NULL), SN_OK);
    assert_int_equal(sn_graph_nadam(g, 0.9, 0.999, 1e-8, NULL), SN_OK);
    assert_int_equal(sn_graph_average(g, NULL), SN_OK);
    int known = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(g); t++) {
        const sn_tensor_info *info = sn_graph_tensor(g, t);
        bool wanted = strncmp(info->name, "down.weight", 11) == 0 || strncmp(info->name, "up.weight", 9) == 0;
        assert_int_equal(info->weights, wanted);
        known += wanted;
    }
    assert_int_equal(known, 2 * 5); /* weights, gradient, two moments, average */
    sn_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builders_infer_shapes),
        cmocka_unit_test(values_are_in_bf16_and_what_lasts_is_not),
        cmocka_unit_test(more_than_eight_tensors_are_chained),
        cmocka_unit_test(programs_share_parameters_by_name),
        cmocka_unit_test(running_statistics_can_have_a_program_of_their_own),
        cmocka_unit_test(counts_are_those_of_the_formulas),
        cmocka_unit_test(errors_name_the_operation_and_the_numbers),
        cmocka_unit_test(a_name_stands_for_one_tensor),
        cmocka_unit_test(too_long_a_name_is_refused),
        cmocka_unit_test(a_transient_stays_in_its_program),
        cmocka_unit_test(a_program_has_one_loss),
        cmocka_unit_test(weights_are_known_with_all_that_have_their_form),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
