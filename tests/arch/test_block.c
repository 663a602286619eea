/* The canonical form of blocks, against what blocks compute.
 *
 * Two matrices are one network where some renaming of their weights makes them one function. The tests
 * compute that without terms or orders of nodes: every operation with weights becomes a hash function, its
 * label in place of the weights, a sum becomes a sum modulo 2^64, and the fingerprint of a matrix is the sum
 * of (hashed) outputs over all ways to hand out the labels. Which weights have which label then does not
 * matter, but how often each is used does: a + a needs one label, a + b two. */
#include "arch_of.h"

#include <stdlib.h>
#include <string.h>

#include "arch/block.h"
#include "base/memory.h"
#include "base/random.h"

static uint64_t scramble(uint64_t x)
{
    x = (x + 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
    return (x ^ (x >> 29)) * 0x94d049bb133111ebu;
}

/* A matrix as a list of edges. */
typedef struct edges {
    int nodes, count;
    struct {
        int from, to, op, label;
        bool weights; /* a convolution or a skip from the input */
    } edge[SN_ARCH_MAX_OPS];
} edges;

static edges edges_of(const sn_arch *arch)
{
    edges e = {.nodes = arch->nodes};
    for (int from = 0, i = 0; from < arch->nodes; from++) {
        for (int to = from + 1; to < arch->nodes; to++, i++) {
            if (arch->ops[i] == SN_BLOCK_NONE)
                continue;
            e.edge[e.count].from = from;
            e.edge[e.count].to = to;
            e.edge[e.count].op = arch->ops[i];
            e.edge[e.count++].weights = arch->ops[i] != SN_BLOCK_SKIP || from == 0;
        }
    }
    return e;
}

static uint64_t output_of(const edges *e)
{
    uint64_t value[SN_ARCH_MAX_NODES] = {12345};
    for (int i = 0; i < e->count; i++) { /* rows of the matrix: a node is complete before it is read */
        uint64_t x = value[e->edge[i].from];
        uint64_t weights = scramble((uint64_t)(100 * e->edge[i].op + e->edge[i].label));
        value[e->edge[i].to] += e->edge[i].weights ? scramble(x ^ weights) : x;
    }
    return value[e->nodes - 1];
}

/* Sum over all ways to label edges i, i+1, ..: those of one operation get different labels 0, 1, .. */
static uint64_t sum_over_labels(edges *e, int i)
{
    if (i == e->count)
        return scramble(output_of(e));
    if (!e->edge[i].weights)
        return sum_over_labels(e, i + 1);
    uint64_t sum = 0;
    unsigned taken = 0;
    int alike = 0;
    for (int j = 0; j < e->count; j++) {
        if (!e->edge[j].weights || e->edge[j].op != e->edge[i].op)
            continue;
        alike++;
        if (j < i)
            taken |= 1u << e->edge[j].label;
    }
    for (int label = 0; label < alike; label++) {
        if (taken >> label & 1)
            continue;
        e->edge[i].label = label;
        sum += sum_over_labels(e, i + 1);
    }
    return sum;
}

static uint64_t fingerprint(const sn_arch *arch)
{
    edges e = edges_of(arch);
    return sum_over_labels(&e, 0);
}

static sn_block *block_of(const sn_arch *arch)
{
    sn_block *block;
    sn_error error = SN_ERROR_INIT;
    if (sn_block_create(&block, arch, &error) != SN_OK)
        fail_msg("%s", error.text);
    return block;
}

static void assert_block(const char *arch_text, const char *expected)
{
    sn_arch arch = arch_of(arch_text);
    sn_block *block = block_of(&arch);
    sn_error error = SN_ERROR_INIT;
    char *text;
    assert_int_equal(sn_block_format(&text, block, &error), SN_OK);
    assert_string_equal(text, expected);
    sn_free(text);
    sn_block_free(block);
}

static void blocks_by_hand(void **state)
{
    (void)state;
    assert_block("nodes=2 ops=2", "t1 = Conv(3,1) v0; v1 = t1");
    assert_block("nodes=3 ops=2,0,2", "t1 = Conv(3,1) v0; t2 = Conv(3,1) v1; v1 = t1; v2 = t2");
    /* a skip from the input is a term; one from node 2 is not */
    assert_block("nodes=3 ops=2,6,3",
                 "t1 = Conv(3,1) v0; t2 = skip v0; t3 = Conv(5,1) v1; v1 = t1; v2 = t2 + t3");
}

static void different_spellings_of_one_network_are_one_block(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"nodes=3 ops=2,0,6", "nodes=2 ops=2"},                 /* the output only passes node 2 on */
        {"nodes=4 ops=2,3,0,0,6,6", "nodes=3 ops=2,3,6"},       /* a + b at the output, or a by a skip */
        {"nodes=4 ops=2,3,0,0,4,5", "nodes=4 ops=3,2,0,0,5,4"}, /* nodes 2 and 3 change places */
        {"nodes=6 ops=1,1,0,0,0,0,2,0,0,0,2,0,0,3,3", /* two equal chains: 2-4 and 3-5, or 2-5 and 3-4 */
         "nodes=6 ops=1,1,0,0,0,0,0,2,0,2,0,0,0,3,3"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        sn_arch a = arch_of(same[i][0]), b = arch_of(same[i][1]);
        sn_block *block_a = block_of(&a), *block_b = block_of(&b);
        assert_true(sn_block_equal(block_a, block_b));
        sn_block_free(block_a);
        sn_block_free(block_b);
    }
}

static void twice_one_term_is_not_two_terms(void **state)
{
    (void)state;
    assert_block("nodes=4 ops=2,0,0,6,6,6", "t1 = Conv(3,1) v0; v1 = 2 t1");                       /* a + a */
    assert_block("nodes=4 ops=2,2,0,0,6,6", "t1 = Conv(3,1) v0; t2 = Conv(3,1) v0; v1 = t1 + t2"); /* a + b */
}

/* One spelling: its fingerprint, and its block as text. */
typedef struct spelling {
    uint64_t fingerprint;
    char *block;
} spelling;

static int by_fingerprint(const void *a, const void *b)
{
    uint64_t x = ((const spelling *)a)->fingerprint, y = ((const spelling *)b)->fingerprint;
    return (x > y) - (x < y);
}

static int by_block(const void *a, const void *b)
{
    return strcmp(((const spelling *)a)->block, ((const spelling *)b)->block);
}

static void spelling_add(spelling *spellings, int *count, const sn_arch *arch)
{
    sn_block *block = block_of(arch);
    sn_error error = SN_ERROR_INIT;
    spellings[*count].fingerprint = fingerprint(arch);
    assert_int_equal(sn_block_format(&spellings[*count].block, block, &error), SN_OK);
    sn_block_free(block);
    ++*count;
}

/* Hold "same fingerprint" against "same block" for all pairs; free the spellings; the number of networks. */
static int count_networks(spelling *s, int count)
{
    int networks = 1, blocks = 1;
    qsort(s, (size_t)count, sizeof *s, by_fingerprint);
    for (int i = 1; i < count; i++) {
        bool same = s[i].fingerprint == s[i - 1].fingerprint;
        networks += !same;
        if (same && strcmp(s[i].block, s[i - 1].block) != 0)
            fail_msg("one network, two blocks: %s | %s", s[i].block, s[i - 1].block);
    }
    qsort(s, (size_t)count, sizeof *s, by_block);
    for (int i = 1; i < count; i++)
        blocks += strcmp(s[i].block, s[i - 1].block) != 0;
    assert_int_equal(blocks, networks);
    for (int i = 0; i < count; i++)
        sn_free(s[i].block);
    free(s);
    return networks;
}

static void legal_matrices_of_up_to_2_3_4_nodes_are_6_237_67451_networks(void **state)
{
    (void)state;
    static const int networks[] = {6, 237, 67451};
    for (int max_nodes = 2; max_nodes <= 4; max_nodes++) {
        int count = 0;
        spelling *spellings = calloc(6 + 252 + 83160, sizeof *spellings);
        for (int nodes = 2; nodes <= max_nodes; nodes++) {
            for (int code = 0; code < matrix_count(nodes); code++) {
                sn_arch arch = matrix_of(nodes, code);
                if (sn_arch_legal(&arch, NULL))
                    spelling_add(spellings, &count, &arch);
            }
        }
        assert_int_equal(count_networks(spellings, count), networks[max_nodes - 2]);
    }
}

/* A random legal matrix; operations other than 0 and 6 are 1 to `kinds`. */
static sn_arch random_matrix(sn_random *random, int nodes, uint32_t kinds)
{
    sn_arch arch = SN_ARCH_INIT;
    arch.nodes = nodes;
    do {
        for (int i = 0; i < sn_arch_op_count(nodes); i++) {
            uint32_t draw = sn_random_below(random, 2 * kinds);
            arch.ops[i] = (uint8_t)(draw < kinds ? draw + 1 : draw % 2 ? SN_BLOCK_SKIP : SN_BLOCK_NONE);
        }
    } while (!sn_arch_legal(&arch, NULL));
    return arch;
}

/* The same graph with its inner nodes in another (random, topological) order. */
static sn_arch relabel(sn_random *random, const sn_arch *arch)
{
    int nodes = arch->nodes, order[SN_ARCH_MAX_NODES];
    bool placed[SN_ARCH_MAX_NODES] = {false};
    for (int i = 0; i < nodes;) {
        int node = (int)sn_random_below(random, (uint32_t)nodes);
        bool ready = !placed[node];
        for (int from = 0; from < node; from++)
            ready &= placed[from] || sn_arch_op(arch, from, node) == SN_BLOCK_NONE;
        if (ready) {
            placed[node] = true;
            order[i++] = node;
        }
    }
    sn_arch other = *arch;
    for (int from = 0, i = 0; from < nodes; from++)
        for (int to = from + 1; to < nodes; to++, i++)
            other.ops[i] = (uint8_t)(order[from] < order[to] ? sn_arch_op(arch, order[from], order[to]) : 0);
    return other;
}

static void blocks_of_5_nodes_that_look_alike_are_told_apart_as_networks_are(void **state)
{
    (void)state;
    sn_random random = sn_random_begin(1, SN_RANDOM_TEST, 0);
    enum { COUNT = 3000 };
    int count = 0;
    spelling *spellings = calloc(2 * COUNT, sizeof *spellings);
    while (count < 2 * COUNT) {
        sn_arch arch = random_matrix(&random, 5, 2);
        int alike[SN_BLOCK_OPS] = {0};
        for (int i = 0; i < sn_arch_op_count(5); i++)
            alike[arch.ops[i]]++;
        if (alike[1] > 5 || alike[2] > 5)
            continue; /* too many ways to hand out labels */
        sn_arch other = relabel(&random, &arch);
        spelling_add(spellings, &count, &arch);
        spelling_add(spellings, &count, &other);
    }
    int networks = count_networks(spellings, count);
    assert_in_range(networks, COUNT / 4, COUNT);
}

static void large_blocks_do_not_depend_on_the_order_of_nodes(void **state)
{
    (void)state;
    sn_random random = sn_random_begin(2, SN_RANDOM_TEST, 0);
    static const int sizes[] = {8, 12, 32};
    for (int size = 0; size < 3; size++) {
        for (int repeat = 0; repeat < 10; repeat++) {
            sn_arch arch = random_matrix(&random, sizes[size], 5), other = relabel(&random, &arch);
            sn_block *a = block_of(&arch), *b = block_of(&other);
            assert_true(sn_block_equal(a, b));
            sn_block_free(a);
            sn_block_free(b);
        }
    }
}

static void illegal_blocks_are_refused_with_the_reason(void **state)
{
    (void)state;
    sn_arch illegal = arch_of("nodes=3 ops=0,2,2"), baseline = arch_of("net=unet3d");
    sn_block *block;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_block_create(&block, &illegal, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "arch: illegal block: node 2 has no input");
    assert_null(block);
    assert_int_equal(sn_block_create(&block, &baseline, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "arch: net=unet3d has no block");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_by_hand),
        cmocka_unit_test(different_spellings_of_one_network_are_one_block),
        cmocka_unit_test(twice_one_term_is_not_two_terms),
        cmocka_unit_test(legal_matrices_of_up_to_2_3_4_nodes_are_6_237_67451_networks),
        cmocka_unit_test(blocks_of_5_nodes_that_look_alike_are_told_apart_as_networks_are),
        cmocka_unit_test(large_blocks_do_not_depend_on_the_order_of_nodes),
        cmocka_unit_test(illegal_blocks_are_refused_with_the_reason),
    };
    return cmocka_run_group_tests_name("block", tests, NULL, NULL);
}
