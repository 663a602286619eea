/* Drawings, as they should look. */
#include "arch_of.h"

#include <string.h>

#include "arch/build.h"
#include "arch/draw.h"
#include "base/memory.h"

static void assert_drawing(const char *arch_text, const char *expected)
{
    sn_arch arch = arch_of(arch_text);
    sn_error error = SN_ERROR_INIT;
    char *text;
    assert_int_equal(sn_draw_block(&text, &arch, &error), SN_OK);
    assert_string_equal(text, expected);
    sn_free(text);
}

static void two_nodes_are_two_boxes_and_an_arrow(void **state)
{
    (void)state;
    assert_drawing("nodes=2 ops=2", "┌───────────┐\n"
                                    "│ 1  input  ├─────┐\n"
                                    "└───────────┘     │\n"
                                    "              Conv(3,1)\n"
                                    "┌───────────┐     │\n"
                                    "│ 2  output │◀────┘\n"
                                    "└───────────┘\n");
}

static void lanes_are_used_again_and_cross(void **state)
{
    (void)state;
    assert_drawing("nodes=4 ops=6,2,3,0,4,3", "┌───────────┐\n"
                                              "│ 1  input  ├─────┬───────────┬───────────┐\n"
                                              "└───────────┘     │           │           │\n"
                                              "                skip      Conv(3,1)   Conv(5,1)\n"
                                              "┌───────────┐     │           │           │\n"
                                              "│ 2         │◀────┘           │           │\n"
                                              "│           ├─────┐           │           │\n"
                                              "└───────────┘     │           │           │\n"
                                              "              Conv(3,2)       │           │\n"
                                              "┌───────────┐     │           │           │\n"
                                              "│ 3         │◀────┼───────────┘           │\n"
                                              "│           ├─────┼───────────┐           │\n"
                                              "└───────────┘     │           │           │\n"
                                              "                  │       Conv(5,1)       │\n"
                                              "┌───────────┐     │           │           │\n"
                                              "│ 4  output │◀────┴───────────┴───────────┘\n"
                                              "└───────────┘\n");
}

static void an_illegal_block_is_drawn_too(void **state)
{
    (void)state;
    assert_drawing("nodes=3 ops=0,2,2", "┌───────────┐\n"
                                        "│ 1  input  ├─────┐\n"
                                        "└───────────┘     │\n"
                                        "              Conv(3,1)\n"
                                        "┌───────────┐     │\n"
                                        "│ 2         │     │\n"
                                        "│           ├─────┼───────────┐\n"
                                        "└───────────┘     │           │\n"
                                        "                  │       Conv(3,1)\n"
                                        "┌───────────┐     │           │\n"
                                        "│ 3  output │◀────┴───────────┘\n"
                                        "└───────────┘\n");
}

static void the_largest_complete_block_can_be_drawn(void **state)
{
    (void)state;
    sn_arch arch = {.n = 8, .p = 2, .nodes = SN_ARCH_MAX_NODES};
    memset(arch.ops, SN_BLOCK_CONV_5_2, sizeof arch.ops);
    sn_error error = SN_ERROR_INIT;
    char *text;
    assert_int_equal(sn_draw_block(&text, &arch, &error), SN_OK);
    assert_non_null(strstr(text, "32 output"));
    sn_free(text);
}

static void graphviz_gets_numbered_nodes_and_named_edges(void **state)
{
    (void)state;
    sn_arch arch = arch_of("nodes=3 ops=2,6,3");
    sn_error error = SN_ERROR_INIT;
    char *text;
    assert_int_equal(sn_draw_dot(&text, &arch, &error), SN_OK);
    assert_string_equal(text, "digraph block {\n"
                              "  node [shape=box];\n"
                              "  1 [label=\"1 input\"];\n"
                              "  2 [label=\"2\"];\n"
                              "  3 [label=\"3 output\"];\n"
                              "  1 -> 2 [label=\"Conv(3,1)\"];\n"
                              "  1 -> 3 [label=\"skip\", style=dashed];\n"
                              "  2 -> 3 [label=\"Conv(5,1)\"];\n"
                              "}\n");
    sn_free(text);
}

static void baselines_have_no_block_to_draw(void **state)
{
    (void)state;
    sn_arch arch = arch_of("net=vnet");
    sn_error error = SN_ERROR_INIT;
    char *text;
    assert_int_equal(sn_draw_block(&text, &arch, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "net=vnet is a fixed network, it has no block to draw");
    assert_int_equal(sn_draw_dot(&text, &arch, &error), SN_ERR_ARG);
}

static void the_table_of_layers_ends_with_the_sums(void **state)
{
    (void)state;
    sn_arch arch = arch_of("n=2 p=1 sup=0 res=0 nodes=2 ops=2");
    sn_graph *graph;
    sn_error error = SN_ERROR_INIT;
    char *text;
    assert_int_equal(sn_graph_create(&graph, SN_F32, &error), SN_OK);
    assert_int_equal(sn_arch_prediction_graph(graph, &arch, 1, (int64_t[3]){2, 4, 6}, 3, &error), SN_OK);
    assert_int_equal(sn_draw_layers(&text, graph, 0, &error), SN_OK);
    assert_string_equal(
        text, "layer                 operation           output           parameters    multiply-adds\n"
              "encoder.0.term1.conv  conv3d(3,1)         2 x 2 x 4 x 6            54             2592\n"
              "encoder.0.term1.norm  batchnorm_apply     2 x 2 x 4 x 6             4                0\n"
              "                      maxpool             2 x 1 x 2 x 3             0                0\n"
              "bottom.term1.conv     conv3d(3,1)         4 x 1 x 2 x 3           216             1296\n"
              "bottom.term1.norm     batchnorm_apply     4 x 1 x 2 x 3             8                0\n"
              "                      upsample            4 x 2 x 4 x 6             0                0\n"
              "                      concat              6 x 2 x 4 x 6             0                0\n"
              "decoder.0.term1.conv  conv3d(3,1)         2 x 2 x 4 x 6           324            15552\n"
              "decoder.0.term1.norm  batchnorm_apply     2 x 2 x 4 x 6             4                0\n"
              "scores.0              conv3d(1,1)         3 x 2 x 4 x 6             6              288\n"
              "scores                bias                3 x 2 x 4 x 6             3                0\n"
              "                      softmax             3 x 2 x 4 x 6             0                0\n"
              "probabilities         window              3 x 2 x 4 x 6             0                0\n"
              "total                                                             619            19728\n");
    sn_free(text);
    sn_graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_are_two_boxes_and_an_arrow),
        cmocka_unit_test(lanes_are_used_again_and_cross),
        cmocka_unit_test(an_illegal_block_is_drawn_too),
        cmocka_unit_test(the_largest_complete_block_can_be_drawn),
        cmocka_unit_test(graphviz_gets_numbered_nodes_and_named_edges),
        cmocka_unit_test(baselines_have_no_block_to_draw),
        cmocka_unit_test(the_table_of_layers_ends_with_the_sums),
    };
    return cmocka_run_group_tests_name("draw", tests, NULL, NULL);
}
