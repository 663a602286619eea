/* The memory plan against a brute-force reading of the graph. */
#include "cmocka_all.h"

#include <stdio.h>
#include <time.h>

#include "base/memory.h"
#include "nn/networks.h"
#include "nn/plan.h"

static size_t workspace_of_1000(sn_device *device, const sn_op *op)
{
    (void)device;
    return op->kind == SN_OP_CONV3D ? 1000 : 10;
}

/* The plan asks a backend for workspace only. */
static const sn_backend planning = {.name = "planning", .workspace = workspace_of_1000};

static sn_graph *graph_new(sn_tensor *image, int64_t c, int64_t d, int64_t h, int64_t w)
{
    sn_graph *graph;
    int program;
    assert_int_equal(sn_graph_create(&graph, SN_F32, NULL), SN_OK);
    assert_int_equal(sn_graph_begin_program(graph, &program, "train", SN_MODE_TRAIN, NULL), SN_OK);
    *image = sn_graph_persistent(graph, "image", SN_ROLE_INPUT, (sn_tensor_desc){SN_F32, {1, c, d, h, w}});
    return graph;
}

static void add_loss(sn_graph *graph, sn_tensor scores, sn_recompute recompute)
{
    sn_error error = SN_ERROR_INIT;
    sn_op_params params = {.loss = {.kind = SN_LOSS_DICE_CE, .smooth = 1}};
    const int64_t *e = sn_graph_tensor(graph, scores)->desc.shape;
    sn_tensor_desc labels = {SN_U8, {e[0], 1, e[2], e[3], e[4]}}, weights = {SN_F32, {1, e[1], 1, 1, 1}};
    sn_graph_loss(graph, "loss", scores, sn_graph_persistent(graph, "labels", SN_ROLE_INPUT, labels),
                  sn_graph_persistent(graph, "weights", SN_ROLE_INPUT, weights), params);
    if (sn_graph_differentiate(graph, recompute, &error) != SN_OK)
        fail_msg("%s", error.text);
}

static sn_graph *segnas_graph(int channels, int poolings, sn_recompute recompute)
{
    sn_tensor image;
    sn_graph *graph = graph_new(&image, 1, 48, 64, 48);
    add_loss(graph, network_segnas_of(graph, image, 3, channels, poolings), recompute);
    return graph;
}

static sn_plan plan_of(const sn_graph *graph)
{
    sn_plan plan;
    sn_error error = SN_ERROR_INIT;
    if (sn_plan_make(&plan, graph, &planning, NULL, &error) != SN_OK)
        fail_msg("%s", error.text);
    return plan;
}

static size_t bytes_of(const sn_graph *graph, sn_tensor tensor)
{
    return sn_tensor_bytes(&sn_graph_tensor(graph, tensor)->desc);
}

static bool is_transient(const sn_graph *graph, sn_tensor tensor)
{
    return sn_graph_tensor(graph, tensor)->role == SN_ROLE_TRANSIENT;
}

/* Whether the first output of a node and an input may share memory as they do. */
static bool may_lie(const sn_graph *graph, const sn_plan *plan, const sn_node *node, int input)
{
    const sn_op op = sn_graph_op(graph, node);
    size_t x = plan->offsets[node->inputs[input]], y = plan->offsets[node->outputs[0]], place;
    if (node->kind == SN_OP_CONCAT)
        return sn_op_concat_place(&place, &op, input) && x == y + place;
    if (node->kind == SN_OP_WINDOW)
        return sn_op_window_place(&place, &op) && y == x + place;
    return (sn_op_describe(node->kind)->in_place_inputs >> input & 1) && x == y;
}

enum { WORKSPACE = -2 }; /* in the map: what belongs to no tensor, now */

/*
 * Play a program on a map of the arena, 64 bytes a cell, that says whose value lies there: an operation
 * writes its workspace and its outputs, and before that every input must still be there. Only memory in its place
 * may be taken from an input, and none by the workspace.
 */
static void play(const sn_graph *graph, const sn_plan *plan, int program)
{
    size_t cells = plan->arena_bytes / SN_ALIGNMENT;
    sn_tensor *map = NULL;
    assert_int_equal(sn_alloc(&map, cells, sizeof *map, NULL), SN_OK);
    for (size_t c = 0; c < cells; c++)
        map[c] = SN_NO_TENSOR;
    for (int n = 0; n < sn_graph_node_count(graph, program); n++) {
        const sn_node *node = sn_graph_node(graph, program, n);
        for (int i = 0; i < node->input_count; i++) {
            sn_tensor x = node->inputs[i];
            for (size_t b = 0; is_transient(graph, x) && b < bytes_of(graph, x); b += SN_ALIGNMENT)
                assert_int_equal(map[(plan->offsets[x] + b) / SN_ALIGNMENT], x);
        }
        const sn_op op = sn_graph_op(graph, node);
        size_t workspace = plan->workspaces[program][n];
        for (size_t b = 0; b < workspace_of_1000(NULL, &op); b += SN_ALIGNMENT) {
            size_t cell = (workspace + b) / SN_ALIGNMENT;
            assert_true(cell < cells);
            for (int i = 0; i < node->input_count; i++)
                assert_true(map[cell] != node->inputs[i] || !is_transient(graph, node->inputs[i]));
            map[cell] = WORKSPACE;
        }
        for (int o = 0; o < node->output_count; o++) {
            sn_tensor y = node->outputs[o];
            for (size_t b = 0; is_transient(graph, y) && b < bytes_of(graph, y); b += SN_ALIGNMENT) {
                size_t cell = (plan->offsets[y] + b) / SN_ALIGNMENT;
                assert_true(cell < cells);
                assert_int_not_equal(map[cell], WORKSPACE);
                for (int other = 0; other < o; other++)
                    assert_int_not_equal(map[cell], node->outputs[other]);
                for (int i = 0; i < node->input_count; i++)
                    if (map[cell] == node->inputs[i] && is_transient(graph, node->inputs[i])) {
                        assert_int_equal(o, 0);
                        assert_true(may_lie(graph, plan, node, i));
                    }
                map[cell] = y;
            }
        }
        for (size_t b = 0; b < workspace_of_1000(NULL, &op); b += SN_ALIGNMENT)
            map[(workspace + b) / SN_ALIGNMENT] = SN_NO_TENSOR;
    }
    sn_free(map);
}

static void no_value_is_overwritten_before_its_last_use(void **state)
{
    (void)state;
    for (sn_recompute recompute = SN_RECOMPUTE_NOTHING; recompute <= SN_RECOMPUTE_SEGMENTS; recompute++) {
        sn_graph *graph = segnas_graph(4, 3, recompute);
        sn_plan plan = plan_of(graph);
        play(graph, &plan, 0);
        sn_plan_clear(&plan);
        sn_graph_free(graph);

        sn_tensor image;
        network *const networks[] = {network_unet, network_vnet};
        for (int i = 0; i < 2; i++) {
            graph = graph_new(&image, 1, 6, 8, 10);
            add_loss(graph, networks[i](graph, image, 2), recompute);
            plan = plan_of(graph);
            play(graph, &plan, 0);
            sn_plan_clear(&plan);
            sn_graph_free(graph);
        }
    }
}

/* What is alive during the worst operation; a value and what replaces it in place count once. */
static size_t alive_at_most(const sn_graph *graph, const sn_plan *plan)
{
    size_t most = 0;
    int nodes = sn_graph_node_count(graph, 0), tensors = sn_graph_tensor_count(graph);
    int *first = NULL, *last = NULL;
    assert_int_equal(sn_alloc(&first, (size_t)tensors, sizeof *first, NULL), SN_OK);
    assert_int_equal(sn_alloc(&last, (size_t)tensors, sizeof *last, NULL), SN_OK);
    for (int n = nodes - 1; n >= 0; n--) {
        const sn_node *node = sn_graph_node(graph, 0, n);
        for (int i = 0; i < node->input_count; i++)
            last[node->inputs[i]] = last[node->inputs[i]] > n ? last[node->inputs[i]] : n;
        for (int o = 0; o < node->output_count; o++) {
            first[node->outputs[o]] = n;
            last[node->outputs[o]] = last[node->outputs[o]] > n ? last[node->outputs[o]] : n;
        }
    }
    for (int n = 0; n < nodes; n++) {
        size_t alive = 0;
        const sn_node *node = sn_graph_node(graph, 0, n);
        for (sn_tensor t = 0; t < tensors; t++)
            if (is_transient(graph, t) && first[t] <= n && n <= last[t])
                alive += bytes_of(graph, t);
        for (int i = 0; i < node->input_count; i++)
            if (is_transient(graph, node->inputs[i]) && is_transient(graph, node->outputs[0]) &&
                plan->offsets[node->inputs[i]] == plan->offsets[node->outputs[0]])
                alive -= bytes_of(graph, node->outputs[0]);
        most = alive > most ? alive : most;
    }
    sn_free(first);
    sn_free(last);
    return most;
}

static void the_arena_is_near_what_must_be_alive(void **state)
{
    (void)state;
    for (int channels = 8; channels <= 24; channels += 8)
        for (int poolings = 2; poolings <= 4; poolings++) {
            sn_graph *graph = segnas_graph(channels, poolings, SN_RECOMPUTE_CHEAP);
            sn_plan plan = plan_of(graph);
            size_t alive = alive_at_most(graph, &plan);
            assert_true(plan.arena_bytes >= alive);
            assert_true((double)plan.arena_bytes <= 1.05 * (double)alive + 64 * 1024);
            assert_true(plan.arena_bytes < plan.unplanned_bytes);
            sn_plan_clear(&plan);
            sn_graph_free(graph);
        }
}

static void recomputing_saves_a_third_of_the_arena_and_segments_a_seventh_of_the_rest(void **state)
{
    (void)state;
    static const double at_most[3] = {0, 0.65, 0.85};
    sn_plan plans[3];
    for (sn_recompute r = SN_RECOMPUTE_NOTHING; r <= SN_RECOMPUTE_SEGMENTS; r++) {
        sn_graph *graph = segnas_graph(16, 3, r);
        plans[r] = plan_of(graph);
        assert_true(plans[r].unplanned_bytes == plans[0].unplanned_bytes);
        assert_true(plans[r].persistent_bytes == plans[0].persistent_bytes);
        assert_true(r == 0 || (double)plans[r].arena_bytes < at_most[r] * (double)plans[r - 1].arena_bytes);
        sn_graph_free(graph);
    }
    for (int r = 0; r < 3; r++)
        sn_plan_clear(&plans[r]);
}

/* Only softmax may work in place: the sum reads y twice, the others change the size. */
static void a_chain_by_hand_has_its_known_peak(void **state)
{
    (void)state;
    sn_tensor image;
    sn_graph *graph = graph_new(&image, 4, 4, 4, 2);  /* 512 B */
    sn_tensor y = sn_graph_upsample(graph, image, 2); /* 4 KiB */
    sn_tensor twice = sn_graph_sum(graph, (sn_tensor[]){y, y}, 2);
    sn_tensor p = sn_graph_softmax(graph, twice); /* in place of it */
    sn_tensor small = sn_graph_maxpool(graph, p); /* 512 B, index 128 B; y is dead */
    sn_graph_result(graph, "result", small);
    sn_plan plan = plan_of(graph);
    assert_int_equal(plan.arena_bytes, 8 * 1024 + 64); /* and a workspace */
    assert_int_equal(plan.unplanned_bytes, 3 * 4096 + 512 + 128);
    assert_int_equal(plan.persistent_bytes, 512 + 512);
    assert_int_equal(sn_plan_peak_bytes(&plan), 9 * 1024 + 64);
    assert_true(plan.offsets[p] == plan.offsets[twice]);
    assert_true(plan.offsets[y] != plan.offsets[twice]);
    assert_true(plan.offsets[small] == plan.offsets[y]);
    sn_plan_clear(&plan);
    sn_graph_free(graph);
}

/* Of four classes in bf16 and in float32, as large, the values lie in different places. */
static void a_value_is_not_replaced_by_one_of_another_type(void **state)
{
    (void)state;
    sn_graph *graph;
    int program;
    assert_int_equal(sn_graph_create(&graph, SN_BF16, NULL), SN_OK);
    assert_int_equal(sn_graph_begin_program(graph, &program, "predict", SN_MODE_PREDICT, NULL), SN_OK);
    sn_tensor image =
        sn_graph_persistent(graph, "image", SN_ROLE_INPUT, (sn_tensor_desc){SN_F32, {1, 1, 4, 4, 4}});
    sn_tensor scores = sn_graph_conv3d(graph, "scores", sn_graph_to_values(graph, image), 4, 1, 1, 1);
    sn_tensor probabilities = sn_graph_softmax(graph, scores);
    sn_graph_argmax(graph, probabilities);
    assert_int_equal(bytes_of(graph, scores), bytes_of(graph, probabilities));
    sn_plan plan = plan_of(graph);
    assert_int_not_equal(plan.offsets[scores], plan.offsets[probabilities]);
    play(graph, &plan, program);
    sn_plan_clear(&plan);
    sn_graph_free(graph);
}

static void a_value_that_is_needed_later_is_not_replaced(void **state)
{
    (void)state;
    sn_tensor image;
    sn_graph *graph = graph_new(&image, 4, 4, 4, 4);
    sn_tensor y = sn_graph_upsample(graph, image, 1);
    sn_tensor p = sn_graph_softmax(graph, y);
    sn_graph_result(graph, "sum", sn_graph_sum(graph, (sn_tensor[]){p, y}, 2));
    sn_plan plan = plan_of(graph);
    assert_true(plan.offsets[p] != plan.offsets[y]);
    assert_int_equal(plan.arena_bytes, 2 * 1024 + 64);
    sn_plan_clear(&plan);
    sn_graph_free(graph);
}

static void persistent_tensors_lie_apart(void **state)
{
    (void)state;
    sn_graph *graph = segnas_graph(4, 2, SN_RECOMPUTE_CHEAP);
    sn_plan plan = plan_of(graph);
    size_t end = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(graph); t++)
        if (!is_transient(graph, t)) {
            assert_true(plan.offsets[t] >= end && plan.offsets[t] % SN_ALIGNMENT == 0);
            end = plan.offsets[t] + bytes_of(graph, t);
        }
    assert_true(plan.persistent_bytes >= end);
    sn_plan_clear(&plan);
    sn_graph_free(graph);
}

static void programs_share_the_arena(void **state)
{
    (void)state;
    int second;
    sn_tensor image;
    sn_graph *graph = graph_new(&image, 4, 4, 4, 4); /* 1 KiB */
    sn_graph_result(graph, "one", sn_graph_upsample(graph, image, 2));
    assert_int_equal(sn_graph_begin_program(graph, &second, "second", SN_MODE_TRAIN, NULL), SN_OK);
    sn_graph_result(graph, "two", sn_graph_upsample(graph, image, 3));
    sn_plan plan = plan_of(graph);
    assert_int_equal(plan.arena_bytes, 27 * 1024 + 64);
    assert_int_equal(plan.unplanned_bytes, 27 * 1024);
    sn_plan_clear(&plan);
    sn_graph_free(graph);
}

static void two_thousand_tensors_are_planned_in_no_time(void **state)
{
    (void)state;
    sn_tensor image;
    sn_graph *graph = graph_new(&image, 1, 32, 32, 32);
    sn_tensor x = sn_graph_conv3d(graph, "stem", image, 3, 3, 1, 1);
    for (int i = 0; i < 7; i++) { /* seven networks in a row, with weights of their own */
        char name[16];
        sn_tensor branches[40];
        for (int k = 0; k < 40; k++) {
            snprintf(name, sizeof name, "c%d.%d", i, k);
            branches[k] = sn_graph_conv3d(graph, name, k == 0 ? x : branches[k / 2], 3, 3, 1, 1);
            branches[k] = sn_graph_batchnorm(graph, name, branches[k], true);
        }
        x = sn_graph_sum(graph, branches, 40);
    }
    add_loss(graph, x, SN_RECOMPUTE_CHEAP);
    int transients = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(graph); t++)
        transients += is_transient(graph, t);
    assert_true(transients >= 2000);
    clock_t start = clock();
    sn_plan plan = plan_of(graph);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_true(seconds < 0.1); /* about 0.005 s; more under a sanitizer */
    play(graph, &plan, 0);
    sn_plan_clear(&plan);
    sn_graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_value_is_overwritten_before_its_last_use),
        cmocka_unit_test(the_arena_is_near_what_must_be_alive),
        cmocka_unit_test(recomputing_saves_a_third_of_the_arena_and_segments_a_seventh_of_the_rest),
        cmocka_unit_test(a_chain_by_hand_has_its_known_peak),
        cmocka_unit_test(a_value_is_not_replaced_by_one_of_another_type),
        cmocka_unit_test(a_value_that_is_needed_later_is_not_replaced),
        cmocka_unit_test(persistent_tensors_lie_apart),
        cmocka_unit_test(programs_share_the_arena),
        cmocka_unit_test(two_thousand_tensors_are_planned_in_no_time),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
