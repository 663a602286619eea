/* The draw of augmentation: the chance, the ranges, what the matrix does. */
#include "cmocka_all.h"

#include <math.h>
#include <string.h>

#include "dataset/augment.h"

static const int64_t SIZE[3] = {20, 31, 42};

/* What a matrix of the documented form was made from. */
typedef struct drawn {
    double angle_deg, scale, shift[3]; /* shift in voxels */
} drawn;

/* source = c + R (p - c - t) / s, so the output voxel c + t comes from the centre c. */
static drawn taken_apart(double m[3][4])
{
    drawn out;
    double c[3], offset[3];
    out.scale = 1 / m[0][0];
    out.angle_deg = atan2(m[2][1], m[1][1]) * 180 / 3.14159265358979323846;
    for (int a = 0; a < 3; a++)
        c[a] = (double)(SIZE[a] - 1) / 2;
    for (int a = 0; a < 3; a++) /* L c + b = c - L t */
        offset[a] = c[a] - (m[a][0] * c[0] + m[a][1] * c[1] + m[a][2] * c[2] + m[a][3]);
    double cosine = m[1][1] * out.scale, sine = m[2][1] * out.scale;
    out.shift[0] = out.scale * offset[0];
    out.shift[1] = out.scale * (cosine * offset[1] + sine * offset[2]);
    out.shift[2] = out.scale * (-sine * offset[1] + cosine * offset[2]);
    return out;
}

static void draws_fill_their_ranges_evenly(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    int applied = 0;
    double mean[5] = {0}, square[5] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        double m[3][4];
        if (!sn_augment_draw(m, SIZE, 7, i / 100, i % 100))
            continue;
        applied++;
        drawn d = taken_apart(m);
        /* each scaled to [-1, 1] */
        const double unit[5] = {d.angle_deg / 30, (d.scale - 1) / 0.2, d.shift[0] / (0.2 * 20),
                                d.shift[1] / (0.2 * 31), d.shift[2] / (0.2 * 42)};
        for (int k = 0; k < 5; k++) {
            assert_true(fabs(unit[k]) <= 1 + 1e-9);
            mean[k] += unit[k];
            square[k] += unit[k] * unit[k];
        }
    }
    assert_true(fabs(applied - 0.8 * DRAWS) < 5 * sqrt(DRAWS * 0.8 * 0.2));
    for (int k = 0; k < 5; k++) { /* a uniform draw has variance 1/3 and, of its square, 4/45 */
        assert_true(fabs(mean[k] / applied) < 5 * sqrt(1.0 / 3 / applied));
        assert_true(fabs(square[k] / applied - 1.0 / 3) < 5 * sqrt(4.0 / 45 / applied));
    }
}

static void maps_turn_about_the_first_axis_only(void **state)
{
    (void)state;
    int seen = 0;
    for (uint32_t i = 0; i < 50; i++) {
        double m[3][4];
        if (!sn_augment_draw(m, SIZE, 3, 0, i))
            continue;
        seen++;
        assert_true(m[0][1] == 0 && m[0][2] == 0 && m[1][0] == 0 && m[2][0] == 0);
        assert_true(m[1][1] == m[2][2] && m[1][2] == -m[2][1]);
        assert_true(fabs(m[1][1] * m[1][1] + m[1][2] * m[1][2] - m[0][0] * m[0][0]) < 1e-12);
    }
    assert_true(seen > 25);
}

static void no_augmentation_is_exactly_the_identity(void **state)
{
    (void)state;
    static const double identity[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    int seen = 0;
    for (uint32_t i = 0; i < 100; i++) {
        double m[3][4];
        if (sn_augment_draw(m, SIZE, 3, 1, i))
            assert_memory_not_equal(m, identity, sizeof identity);
        else {
            assert_memory_equal(m, identity, sizeof identity);
            seen++;
        }
    }
    assert_in_range(seen, 1, 50);
}

static void a_draw_depends_on_seed_epoch_and_case_alone(void **state)
{
    (void)state;
    double first[3][4], other[3][4];
    assert_true(sn_augment_draw(first, SIZE, 5, 2, 3));
    sn_augment_draw(other, SIZE, 5, 2, 4);
    assert_memory_not_equal(first, other, sizeof first);
    sn_augment_draw(other, SIZE, 5, 3, 3);
    assert_memory_not_equal(first, other, sizeof first);
    sn_augment_draw(other, SIZE, 6, 2, 3);
    assert_memory_not_equal(first, other, sizeof first);
    sn_augment_draw(other, SIZE, 5, 2, 3);
    assert_memory_equal(first, other, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_fill_their_ranges_evenly),
        cmocka_unit_test(maps_turn_about_the_first_axis_only),
        cmocka_unit_test(no_augmentation_is_exactly_the_identity),
        cmocka_unit_test(a_draw_depends_on_seed_epoch_and_case_alone),
    };
    return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
