/* Surface distances: hand values, and all pairs of voxels compared directly. */
#include "cmocka_all.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "metrics/distance.h"

static double hd95(const int32_t *a, const int32_t *b, const int64_t extent[3], const double spacing[3])
{
    double value = -1;
    assert_int_equal(sn_hd95(&value, a, b, extent, spacing, 1, NULL), SN_OK);
    return value;
}

static void single_voxels_are_as_far_as_their_centres(void **state)
{
    (void)state;
    static const int64_t extent[3] = {3, 4, 5};
    static const double spacing[3] = {3, 0.5, 2};
    int32_t a[60] = {0}, b[60] = {0};
    a[0] = 1;
    b[(2 * 4 + 2) * 5 + 4] = 1; /* 2 * 3, 2 * 0.5, 4 * 2 mm away */
    assert_true(fabs(hd95(a, b, extent, spacing) - sqrt(36 + 1 + 64)) < 1e-5);
    assert_true(hd95(a, a, extent, spacing) == 0);
}

static void absent_labels_give_infinity_or_nan(void **state)
{
    (void)state;
    static const int64_t extent[3] = {2, 2, 2};
    static const double spacing[3] = {1, 1, 1};
    const int32_t empty[8] = {0}, one[8] = {0, 1};
    assert_true(isinf(hd95(empty, one, extent, spacing)));
    assert_true(isinf(hd95(one, empty, extent, spacing)));
    assert_true(isnan(hd95(empty, empty, extent, spacing)));
}

static void the_percentile_is_interpolated_between_ranks(void **state)
{
    (void)state;
    /* On a line, 11 voxels against the first of them: distances 0..10, rank 0.95 * 10 = 9.5. */
    static const int64_t extent[3] = {1, 1, 12};
    static const double spacing[3] = {1, 1, 2};
    int32_t line[12], first[12] = {1};
    for (int v = 0; v < 12; v++)
        line[v] = v < 11;
    assert_true(fabs(hd95(line, first, extent, spacing) - 19) < 1e-5);
    assert_true(fabs(hd95(first, line, extent, spacing) - 19) < 1e-5);
}

static void the_inside_of_a_label_is_not_its_surface(void **state)
{
    (void)state;
    /* A cube of 9^3 in the image's corner against its centre: the distances are those of its outer shell;
     * were inner voxels counted, the percentile would be smaller. */
    static const int64_t extent[3] = {10, 10, 10};
    static const double spacing[3] = {1, 1, 1};
    static int32_t cube[1000], centre[1000];
    double distances[1000];
    int count = 0;
    for (int v = 0; v < 1000; v++) {
        int d = v / 100, h = v / 10 % 10, w = v % 10;
        cube[v] = d < 9 && h < 9 && w < 9;
        if (cube[v] && (d % 8 == 0 || h % 8 == 0 || w % 8 == 0))
            distances[count++] = sqrt((d - 4) * (d - 4) + (h - 4) * (h - 4) + (w - 4) * (w - 4));
    }
    centre[444] = 1;
    assert_int_equal(count, 386); /* 9^3 - 7^3 */
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && distances[j] < distances[j - 1]; j--) {
            double swapped = distances[j];
            distances[j] = distances[j - 1];
            distances[j - 1] = swapped;
        }
    double rank = 0.95 * 385;
    double expected = distances[365] + (rank - 365) * (distances[366] - distances[365]);
    assert_true(fabs(hd95(cube, centre, extent, spacing) - expected) < 1e-5);
}

/* Surface voxels by the definition, as positions in mm. */
static int surface_of(double (*surface)[3], const int32_t *map, const int64_t extent[3],
                      const double spacing[3])
{
    int count = 0;
    for (int d = 0; d < extent[0]; d++)
        for (int h = 0; h < extent[1]; h++)
            for (int w = 0; w < extent[2]; w++) {
                static const int steps[6][3] = {{1, 0, 0},  {-1, 0, 0}, {0, 1, 0},
                                                {0, -1, 0}, {0, 0, 1},  {0, 0, -1}};
                bool bare = false;
                if (map[(d * extent[1] + h) * extent[2] + w] != 1)
                    continue;
                for (int s = 0; s < 6; s++) {
                    int nd = d + steps[s][0], nh = h + steps[s][1], nw = w + steps[s][2];
                    bare = bare || nd < 0 || nh < 0 || nw < 0 || nd >= extent[0] || nh >= extent[1] ||
                           nw >= extent[2] || map[(nd * extent[1] + nh) * extent[2] + nw] != 1;
                }
                if (!bare)
                    continue;
                surface[count][0] = d * spacing[0];
                surface[count][1] = h * spacing[1];
                surface[count++][2] = w * spacing[2];
            }
    return count;
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile_of(double (*from)[3], int from_count, double (*to)[3], int to_count)
{
    static double distances[4000];
    for (int i = 0; i < from_count; i++) {
        distances[i] = INFINITY;
        for (int j = 0; j < to_count; j++) {
            double sum = 0;
            for (int axis = 0; axis < 3; axis++)
                sum += (from[i][axis] - to[j][axis]) * (from[i][axis] - to[j][axis]);
            distances[i] = fmin(distances[i], sqrt(sum));
        }
    }
    qsort(distances, (size_t)from_count, sizeof *distances, double_compare);
    double rank = 0.95 * (from_count - 1);
    int below = (int)rank, above = below + 1 < from_count ? below + 1 : below;
    return distances[below] + (rank - below) * (distances[above] - distances[below]);
}

/* A union of random balls. */
static void blob_make(int32_t *map, const int64_t extent[3], sn_random *random, int balls)
{
    memset(map, 0, (size_t)(extent[0] * extent[1] * extent[2]) * sizeof *map);
    for (int b = 0; b < balls; b++) {
        double radius = 1 + 3.5 * sn_random_uniform(random), centre[3];
        for (int axis = 0; axis < 3; axis++)
            centre[axis] = sn_random_uniform(random) * (double)extent[axis];
        for (int64_t v = 0; v < extent[0] * extent[1] * extent[2]; v++) {
            double d = (double)(v / (extent[1] * extent[2])) - centre[0];
            double h = (double)(v / extent[2] % extent[1]) - centre[1];
            double w = (double)(v % extent[2]) - centre[2];
            if (d * d + h * h + w * w <= radius * radius)
                map[v] = 1;
        }
    }
}

static void hd95_matches_all_pairs_with_unequal_spacing(void **state)
{
    (void)state;
    static const int64_t extent[3] = {11, 17, 14};
    static const double spacings[3][3] = {{1, 1, 1}, {2.5, 0.7, 1.1}, {0.3, 4, 0.9}};
    static int32_t a[11 * 17 * 14], b[11 * 17 * 14];
    static double surface_a[4000][3], surface_b[4000][3];
    sn_random random = sn_random_begin(1, SN_RANDOM_TEST, 0);
    for (int trial = 0; trial < 12; trial++) {
        const double *spacing = spacings[trial % 3];
        blob_make(a, extent, &random, 1 + trial / 3);
        blob_make(b, extent, &random, 1 + trial / 4);
        int count_a = surface_of(surface_a, a, extent, spacing),
            count_b = surface_of(surface_b, b, extent, spacing);
        assert_true(count_a > 0 && count_b > 0);
        double expected = fmax(percentile_of(surface_a, count_a, surface_b, count_b),
                               percentile_of(surface_b, count_b, surface_a, count_a));
        assert_true(fabs(hd95(a, b, extent, spacing) - expected) < 1e-5);
        assert_true(fabs(hd95(b, a, extent, spacing) - expected) < 1e-5);
    }
}

static void distance_transform_matches_all_pairs(void **state)
{
    (void)state;
    static const int64_t extent[3] = {6, 9, 7};
    static const double spacing[3] = {2.5, 0.7, 1.1};
    sn_random random = sn_random_begin(2, SN_RANDOM_TEST, 0);
    float field[378], expected[378];
    for (int trial = 0; trial < 10; trial++) {
        bool feature[378];
        for (int v = 0; v < 378; v++) {
            feature[v] = trial > 0 && sn_random_below(&random, 60) == 0; /* first trial: none at all */
            field[v] = feature[v] ? 0 : INFINITY;
        }
        for (int v = 0; v < 378; v++) {
            expected[v] = INFINITY;
            for (int u = 0; u < 378; u++) {
                double d = (v / 63 - u / 63) * spacing[0], h = (v / 7 % 9 - u / 7 % 9) * spacing[1];
                double w = (v % 7 - u % 7) * spacing[2];
                if (feature[u])
                    expected[v] = fminf(expected[v], (float)(d * d + h * h + w * w));
            }
        }
        assert_int_equal(sn_distance_transform(field, extent, spacing, NULL), SN_OK);
        for (int v = 0; v < 378; v++)
            assert_true(field[v] == expected[v] || fabsf(field[v] - expected[v]) < 1e-4f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_voxels_are_as_far_as_their_centres),
        cmocka_unit_test(absent_labels_give_infinity_or_nan),
        cmocka_unit_test(the_percentile_is_interpolated_between_ranks),
        cmocka_unit_test(the_inside_of_a_label_is_not_its_surface),
        cmocka_unit_test(hd95_matches_all_pairs_with_unequal_spacing),
        cmocka_unit_test(distance_transform_matches_all_pairs),
    };
    return cmocka_run_group_tests_name("distance", tests, NULL, NULL);
}
