/* Random numbers against the published test vectors of Philox4x32-10 (Random123, kat_vectors). */
#include "cmocka_all.h"

#include <math.h>

#include "base/random.h"

static void philox_matches_the_published_vectors(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int v = 0; v < 3; v++) {
        uint32_t out[4];
        sn_random_philox(out, vectors[v].counter, vectors[v].key);
        assert_memory_equal(out, vectors[v].out, sizeof out);
    }
}

static void streams_are_independent_of_the_order_of_use(void **state)
{
    (void)state;
    sn_random a = sn_random_begin(1, SN_RANDOM_TEST, 7);
    sn_random b = sn_random_begin(1, SN_RANDOM_TEST, 8);
    uint32_t a0 = sn_random_next(&a), b0 = sn_random_next(&b);
    b = sn_random_begin(1, SN_RANDOM_TEST, 8);
    a = sn_random_begin(1, SN_RANDOM_TEST, 7);
    assert_int_equal(sn_random_next(&b), b0);
    assert_int_equal(sn_random_next(&a), a0);
    assert_int_not_equal(a0, b0);
}

static void moments_are_those_of_the_distributions(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    sn_random random = sn_random_begin(3, SN_RANDOM_TEST, 0);
    double uniform = 0, normal = 0, square = 0;
    for (int i = 0; i < COUNT; i++) {
        uniform += sn_random_uniform(&random);
        double z = sn_random_normal(&random);
        normal += z;
        square += z * z;
    }
    assert_true(fabs(uniform / COUNT - 0.5) < 5 * sqrt(1.0 / 12 / COUNT));
    assert_true(fabs(normal / COUNT) < 5 * sqrt(1.0 / COUNT));
    assert_true(fabs(square / COUNT - 1) < 5 * sqrt(2.0 / COUNT));
}

static void shuffle_is_a_permutation(void **state)
{
    (void)state;
    int items[100], seen[100] = {0};
    for (int i = 0; i < 100; i++)
        items[i] = i;
    sn_random random = sn_random_begin(5, SN_RANDOM_TEST, 0);
    sn_random_shuffle(&random, items, 100);
    int moved = 0;
    for (int i = 0; i < 100; i++) {
        seen[items[i]]++;
        moved += items[i] != i;
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_matches_the_published_vectors),
        cmocka_unit_test(streams_are_independent_of_the_order_of_use),
        cmocka_unit_test(moments_are_those_of_the_distributions),
        cmocka_unit_test(shuffle_is_a_permutation),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
