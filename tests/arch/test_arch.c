/* Architectures as text and JSON, and which ones are legal. */
#include "arch_of.h"

#include <string.h>

#include "base/memory.h"

static void omitted_fields_are_those_of_segnas4(void **state)
{
    (void)state;
    sn_arch arch = arch_of("");
    assert_int_equal(arch.net, SN_NET_SEGNAS);
    assert_int_equal(arch.n, 16);
    assert_int_equal(arch.p, 3);
    assert_true(arch.sup && arch.res);
    assert_int_equal(arch.nodes, 3);
    assert_int_equal(arch.ops[0], 2);
    assert_int_equal(arch.ops[1], 0);
    assert_int_equal(arch.ops[2], 2);
}

static void operations_fill_the_triangle_row_by_row(void **state)
{
    (void)state;
    sn_arch arch = arch_of("nodes=4 ops=1,2,3,4,5,6");
    static const int matrix[4][4] = {{0, 1, 2, 3}, {0, 0, 4, 5}, {0, 0, 0, 6}};
    for (int from = 0; from < 4; from++)
        for (int to = from + 1; to < 4; to++)
            assert_int_equal(sn_arch_op(&arch, from, to), matrix[from][to]);
}

static void texts_survive_reading_and_writing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "n=21 p=3 sup=1 res=0 nodes=3 ops=2,0,2",
        "n=8 p=2 sup=0 res=1 nodes=2 ops=6",
        "n=32 p=5 sup=0 res=0 nodes=5 ops=1,2,3,4,5,6,0,1,2,3",
        "net=unet3d",
        "net=vnet",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sn_arch arch = arch_of(texts[i]), read;
        char *text;
        json_t *json;
        sn_error error = SN_ERROR_INIT;
        assert_int_equal(sn_arch_format(&text, &arch, &error), SN_OK);
        assert_string_equal(text, texts[i]);
        sn_free(text);
        assert_int_equal(sn_arch_to_json(&json, &arch, &error), SN_OK);
        assert_int_equal(sn_arch_from_json(&read, json, "file", &error), SN_OK);
        assert_true(sn_arch_equal(&read, &arch));
        json_decref(json);
    }
}

static void json_names_the_fill_order(void **state)
{
    (void)state;
    sn_arch arch = arch_of("n=21 res=0");
    json_t *json;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_arch_to_json(&json, &arch, &error), SN_OK);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"net\":\"segnas\",\"n\":21,\"p\":3,\"sup\":1,\"res\":0,\"nodes\":3,"
                              "\"ops\":[2,0,2],\"fill\":\"rows\"}");
    free(text);
    json_decref(json);
}

static void operations_beyond_the_nodes_are_dropped(void **state)
{
    (void)state;
    sn_arch full = arch_of("nodes=3 ops=2,2,3,6,3,1"), used = arch_of("nodes=3 ops=2,2,3");
    assert_true(sn_arch_equal(&full, &used));
}

static void wrong_texts_are_answered_with_field_value_and_limits(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"n=0", "arch: n=0 must be a whole number from 1 to 1024"},
        {"p=2.5", "arch: p=2.5 must be a whole number from 1 to 8"},
        {"sup=yes", "arch: sup=yes must be a whole number from 0 to 1"},
        {"nodes=99999999999999999999",
         "arch: nodes=99999999999999999999 must be a whole number from 2 to 32"},
        {"n=", "arch: n= must be a whole number from 1 to 1024"},
        {"n=8 n=9", "arch: n is given twice"},
        {"ops=2,0,7", "arch: ops: value 3 is \"7\", must be a number from 0 to 6"},
        {"ops=2,,2", "arch: ops: value 2 is \"\", must be a number from 0 to 6"},
        {"nodes=4 ops=2,0,2", "arch: ops has 3 values, nodes=4 needs 6"},
        {"nodes=4", "arch: ops has 3 values, nodes=4 needs 6"},
        {"ops=6,2,3,0,4,3", "arch: ops has 6 values, the default nodes=3 uses 3; give nodes"},
        {"channels=8", "arch: unknown field \"channels\"; known: net, n, p, sup, res, nodes, ops"},
        {"unet3d", "arch: \"unet3d\" is not name=value; write for example \"n=16 p=3 ops=2,0,2\""},
        {"net=unet", "arch: net=unet is not known; known: segnas, unet3d, vnet"},
        {"net=vnet p=3", "arch: p has no meaning with net=vnet; leave it out"},
        {"ops=2,0,2 net=vnet", "arch: ops has no meaning with net=vnet; leave it out"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_arch arch;
        sn_error error = SN_ERROR_INIT;
        assert_int_equal(sn_arch_parse(&arch, cases[i].text, &error), SN_ERR_ARG);
        assert_string_equal(error.text, cases[i].message);
    }
}

static void wrong_json_is_answered_with_file_and_field(void **state)
{
    (void)state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"{}", "m.json: field \"net\" is missing; it must be a string"},
        {"{\"net\": \"resnet\"}", "m.json: field \"net\" is \"resnet\"; known: segnas, unet3d, vnet"},
        {"{\"net\": \"segnas\", \"n\": 0}", "m.json: field \"n\" is 0, must be from 1 to 1024"},
        {"{\"net\":\"segnas\",\"n\":8,\"p\":3,\"sup\":1,\"res\":0,\"nodes\":3,\"ops\":[2,0,2],\"fill\":"
         "\"columns\"}",
         "m.json: field \"fill\" is \"columns\", must be \"rows\""},
        {"{\"net\":\"segnas\",\"n\":8,\"p\":3,\"sup\":1,\"res\":0,\"nodes\":3,\"ops\":[2,0],\"fill\":"
         "\"rows\"}",
         "m.json: field \"ops\" has 2 values, nodes=3 needs 3"},
        {"{\"net\":\"segnas\",\"n\":8,\"p\":3,\"sup\":1,\"res\":0,\"nodes\":2,\"ops\":[7],\"fill\":\"rows\"}",
         "m.json: field \"ops\", value 1 must be an integer from 0 to 6"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_arch arch;
        sn_error error = SN_ERROR_INIT;
        json_t *json = json_loads(cases[i].json, 0, NULL);
        assert_non_null(json);
        assert_int_equal(sn_arch_from_json(&arch, json, "m.json", &error), SN_ERR_INPUT);
        assert_string_equal(error.text, cases[i].message);
        json_decref(json);
    }
}

/* Legal, said differently: every node lies on a way from the first node to the last (transitive closure). */
static bool every_node_is_on_a_way(const sn_arch *arch)
{
    bool reaches[4][4] = {{false}};
    int nodes = arch->nodes;
    for (int from = 0, i = 0; from < nodes; from++) {
        reaches[from][from] = true;
        for (int to = from + 1; to < nodes; to++)
            reaches[from][to] = arch->ops[i++] != 0;
    }
    for (int via = 0; via < nodes; via++)
        for (int from = 0; from < nodes; from++)
            for (int to = 0; to < nodes; to++)
                reaches[from][to] |= reaches[from][via] && reaches[via][to];
    for (int node = 0; node < nodes; node++)
        if (!reaches[0][node] || !reaches[node][nodes - 1])
            return false;
    return true;
}

static void legal_matrices_are_6_of_7_then_252_of_343_then_83160_of_117649(void **state)
{
    (void)state;
    static const int counts[] = {7, 343, 117649}, legal_counts[] = {6, 252, 83160};
    for (int nodes = 2; nodes <= 4; nodes++) {
        int legal = 0;
        assert_int_equal(matrix_count(nodes), counts[nodes - 2]);
        for (int code = 0; code < matrix_count(nodes); code++) {
            sn_arch arch = matrix_of(nodes, code);
            bool is_legal = sn_arch_legal(&arch, NULL);
            legal += is_legal;
            if (is_legal != every_node_is_on_a_way(&arch))
                fail_msg("%d nodes, matrix %d", nodes, code);
        }
        assert_int_equal(legal, legal_counts[nodes - 2]);
    }
}

static void an_illegal_matrix_has_a_reason(void **state)
{
    (void)state;
    char reason[SN_ARCH_REASON];
    sn_arch no_input = arch_of("nodes=3 ops=0,2,2"), no_output = arch_of("nodes=3 ops=2,2,0");
    sn_arch nothing = arch_of("nodes=2 ops=0"), baseline = arch_of("net=vnet");
    assert_false(sn_arch_legal(&no_input, reason)); /* figure 2 (c) of the paper */
    assert_string_equal(reason, "node 2 has no input");
    assert_false(sn_arch_legal(&no_output, reason));
    assert_string_equal(reason, "node 2 has no output");
    assert_false(sn_arch_legal(&nothing, reason));
    assert_string_equal(reason, "node 1 has no output");
    assert_true(sn_arch_legal(&baseline, reason));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(omitted_fields_are_those_of_segnas4),
        cmocka_unit_test(operations_fill_the_triangle_row_by_row),
        cmocka_unit_test(texts_survive_reading_and_writing),
        cmocka_unit_test(json_names_the_fill_order),
        cmocka_unit_test(operations_beyond_the_nodes_are_dropped),
        cmocka_unit_test(wrong_texts_are_answered_with_field_value_and_limits),
        cmocka_unit_test(wrong_json_is_answered_with_file_and_field),
        cmocka_unit_test(legal_matrices_are_6_of_7_then_252_of_343_then_83160_of_117649),
        cmocka_unit_test(an_illegal_matrix_has_a_reason),
    };
    return cmocka_run_group_tests_name("arch", tests, NULL, NULL);
}
