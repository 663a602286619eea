/* Grids: geometry against hand values and positions in mm. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "volume/resample.h"

static sn_grid grid_of(int64_t d, int64_t h, int64_t w, const double affine[3][4])
{
    sn_grid grid;
    const int64_t extent[3] = {d, h, w};
    assert_int_equal(sn_grid_make(&grid, extent, affine, NULL), SN_OK);
    return grid;
}

static void assert_position(const sn_grid *grid, const double voxel[3], const double expected_mm[3])
{
    double position[3];
    sn_grid_position(position, grid, voxel);
    for (int row = 0; row < 3; row++)
        assert_true(fabs(position[row] - expected_mm[row]) < 1e-9);
}

/* A rotation by `degrees` about a skew axis (Rodrigues), so that no entry is zero. */
static void rotation_make(double rotation[3][3], double degrees)
{
    const double n[3] = {0.48, 0.6, 0.64}, angle = degrees * 3.14159265358979 / 180;
    const double cross[3][3] = {{0, -n[2], n[1]}, {n[2], 0, -n[0]}, {-n[1], n[0], 0}};
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++)
            rotation[r][c] =
                (r == c ? cos(angle) : 0) + sin(angle) * cross[r][c] + (1 - cos(angle)) * n[r] * n[c];
}

/* The `which`-th of the 48 orders and directions of the axes, with unequal spacing, turned by `degrees`. */
static void affine_make(double affine[3][4], int which, double degrees)
{
    static const int permutations[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const double spacing[3] = {0.9, 1.3, 2.5};
    double rotation[3][3];
    rotation_make(rotation, degrees);
    for (int c = 0; c < 3; c++) {
        int world = permutations[which / 8][c];
        double sign = which >> c & 1 ? -1 : 1;
        for (int r = 0; r < 3; r++)
            affine[r][c] = sign * rotation[r][world] * spacing[c];
    }
    affine[0][3] = 12.5;
    affine[1][3] = -31;
    affine[2][3] = 4.25;
}

static void positions_spacing_and_volume_are_those_of_the_affine(void **state)
{
    (void)state;
    static const double affine[3][4] = {{0, 0, 3, 10}, {-2, 0, 0, 20}, {0, 0.5, 0, 30}};
    double spacing[3];
    sn_grid grid = grid_of(4, 5, 6, affine);
    assert_position(&grid, (const double[3]){1, 2, 3}, (const double[3]){13, 14, 31});
    sn_grid_spacing(spacing, &grid);
    assert_true(spacing[0] == 3 && spacing[1] == 0.5 && spacing[2] == 2);
    assert_true(fabs(sn_grid_voxel_volume(&grid) - 3) < 1e-12);
    assert_int_equal(sn_grid_voxels(&grid), 120);
}

static void a_grid_must_have_voxels_and_three_directions(void **state)
{
    (void)state;
    static const double good[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    static const double flat[3][4] = {{1, 0, 1, 0}, {0, 1, 1, 0}, {0, 0, 0, 0}};
    static const double nan[3][4] = {{1, 0, 0, 0}, {0, 1, 0, NAN}, {0, 0, 1, 0}};
    sn_grid grid;
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){1, 0, 1}, good, NULL), SN_ERR_ARG);
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){1, 1, 1}, flat, NULL), SN_ERR_ARG);
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){1, 1, 1}, nan, NULL), SN_ERR_ARG);
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){1, 1, 1}, good, NULL), SN_OK);
}

static void a_map_joins_voxels_at_the_same_position(void **state)
{
    (void)state;
    double a[3][4], b[3][4], map[3][4], p[3], q[3];
    const double voxel[3] = {1.5, -2, 7};
    affine_make(a, 13, 20);
    affine_make(b, 42, 75);
    sn_grid from = grid_of(4, 5, 6, a), to = grid_of(7, 8, 9, b);
    sn_grid_map(map, &from, &to);
    double mapped[3];
    for (int r = 0; r < 3; r++)
        mapped[r] = map[r][0] * voxel[0] + map[r][1] * voxel[1] + map[r][2] * voxel[2] + map[r][3];
    sn_grid_position(p, &from, voxel);
    sn_grid_position(q, &to, mapped);
    for (int r = 0; r < 3; r++)
        assert_true(fabs(p[r] - q[r]) < 1e-9);
}

static void a_known_orientation_is_found(void **state)
{
    (void)state;
    /* i goes to the left, j to the head, k to the front: in (D,H,W) order "ASL". */
    static const double affine[3][4] = {{-1, 0, 0, 0}, {0, 0, 1, 0}, {0, 1, 0, 0}};
    sn_grid grid = grid_of(2, 3, 4, affine), canonical;
    sn_orientation orientation = sn_grid_orientation(&grid);
    assert_int_equal(orientation.axis[0], 1); /* S is H */
    assert_int_equal(orientation.axis[1], 0); /* A is D */
    assert_int_equal(orientation.axis[2], 2); /* R is W, reversed */
    assert_false(orientation.flip[0]);
    assert_false(orientation.flip[1]);
    assert_true(orientation.flip[2]);
    sn_grid_canonical(&canonical, &grid);
    assert_int_equal(canonical.extent[0], 3);
    assert_int_equal(canonical.extent[1], 2);
    assert_int_equal(canonical.extent[2], 4);
    assert_position(&canonical, (const double[3]){0, 0, 0}, (const double[3]){-3, 0, 0});
}

static void all_48_orientations_become_canonical_and_come_back(void **state)
{
    (void)state;
    static const int64_t extent[3] = {3, 4, 5};
    for (int which = 0; which < 48; which++)
        for (int degrees = 0; degrees <= 25; degrees += 25) {
            double affine[3][4], position[3], map[3][4];
            sn_grid canonical;
            sn_labelmap *labels, *moved, *back;
            affine_make(affine, which, degrees);
            sn_grid grid = grid_of(extent[0], extent[1], extent[2], affine);
            sn_grid_canonical(&canonical, &grid);
            for (int axis = 0; axis < 3;
                 axis++) { /* the largest part of each axis is its own, and positive */
                int row = 2 - axis;
                for (int other = 0; other < 3; other++)
                    assert_true(canonical.affine[row][2 - axis] >= fabs(canonical.affine[other][2 - axis]));
            }
            assert_int_equal(sn_labelmap_create(&labels, &grid, NULL), SN_OK);
            for (int v = 0; v < 60; v++)
                labels->data[v] = v + 1;
            assert_int_equal(sn_labelmap_resample(&moved, labels, &canonical, NULL), SN_OK);
            assert_int_equal(sn_labelmap_resample(&back, moved, &grid, NULL), SN_OK);
            assert_memory_equal(back->data, labels->data, 60 * sizeof(int32_t));
            sn_grid_map(map, &canonical, &grid);
            for (int v = 0; v < 60; v++) { /* a voxel's label says where it came from */
                const double at[3] = {(double)(v / (canonical.extent[1] * canonical.extent[2])),
                                      (double)(v / canonical.extent[2] % canonical.extent[1]),
                                      (double)(v % canonical.extent[2])};
                int source = moved->data[v] - 1;
                double from_mm[3];
                sn_grid_position(position, &canonical, at);
                sn_grid_position(from_mm, &grid, (const double[3]){source / 20, source / 5 % 4, source % 5});
                for (int r = 0; r < 3; r++)
                    assert_true(fabs(position[r] - from_mm[r]) < 1e-9);
            }
            sn_labelmap_free(labels);
            sn_labelmap_free(moved);
            sn_labelmap_free(back);
        }
}

static void an_isotropic_grid_has_rounded_extents_and_the_same_centre(void **state)
{
    (void)state;
    static const double affine[3][4] = {{0, 0, 2, -7}, {-1, 0, 0, 5}, {0, -0.75, 0, 3}};
    sn_grid grid = grid_of(5, 9, 6, affine), out;
    double spacing[3];
    /* S is H: 9 * 0.75 = 6.75 mm; A is W: 6 mm; R is D: 10 mm. */
    assert_int_equal(sn_grid_isotropic(&out, &grid, 1.5, NULL), SN_OK);
    assert_int_equal(out.extent[0], 5); /* 4.5, rounded away from 0 */
    assert_int_equal(out.extent[1], 4);
    assert_int_equal(out.extent[2], 7); /* 6.67 */
    sn_grid_spacing(spacing, &out);
    for (int axis = 0; axis < 3; axis++)
        assert_true(fabs(spacing[axis] - 1.5) < 1e-12);
    /* The centre of the source, voxel (2, 4, 2.5), is at (-3, 2.5, 0). */
    assert_position(&out, (const double[3]){2, 1.5, 3}, (const double[3]){-3, 2.5, 0});
    assert_position(&out, (const double[3]){3, 2.5, 4}, (const double[3]){-1.5, 4, 1.5});
    assert_int_equal(sn_grid_isotropic(&out, &grid, 100, NULL), SN_OK);
    assert_int_equal(sn_grid_voxels(&out), 1);
    assert_int_equal(sn_grid_isotropic(&out, &grid, 0, NULL), SN_ERR_ARG);
    assert_int_equal(sn_grid_isotropic(&out, &grid, NAN, NULL), SN_ERR_ARG);
    assert_int_equal(sn_grid_isotropic(&out, &grid, 1e-12, NULL), SN_ERR_ARG);
}

static void a_box_puts_the_odd_voxel_behind(void **state)
{
    (void)state;
    static const double affine[3][4] = {{2, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 2, 0}};
    sn_grid grid = grid_of(4, 5, 6, affine), out;
    assert_int_equal(sn_grid_box(&out, &grid, (const int64_t[]){7, 5, 3}, NULL), SN_OK);
    assert_int_equal(out.extent[0], 7);
    assert_int_equal(out.extent[2], 3);
    /* D: floor(3/2) = 1 before, 2 after; W: floor(-3/2) = -2: two cropped before, one after. */
    assert_position(&out, (const double[3]){0, 0, 0}, (const double[3]){4, 0, -2});
    assert_int_equal(sn_grid_box(&out, &grid, (const int64_t[]){7, 0, 3}, NULL), SN_ERR_ARG);
}

static void grids_that_differ_say_how(void **state)
{
    (void)state;
    static const double affine[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    char text[SN_GRID_DIFFERENCE];
    sn_grid a = grid_of(48, 64, 48, affine), b = grid_of(48, 64, 50, affine), c = a;
    assert_true(sn_grid_equal(&a, &a, 0, text));
    assert_string_equal(text, "");
    assert_false(sn_grid_equal(&a, &b, 1, text));
    assert_string_equal(text, "shapes differ: 48x64x48 and 48x64x50");
    c.affine[0][0] = 1.001; /* 0.047 mm at the far end */
    assert_true(sn_grid_equal(&a, &c, 0.05, NULL));
    assert_false(sn_grid_equal(&a, &c, 0.04, text));
    assert_non_null(strstr(text, "affines differ: voxel (47,0,0)"));
    assert_non_null(strstr(text, "0.047 mm"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_spacing_and_volume_are_those_of_the_affine),
        cmocka_unit_test(a_grid_must_have_voxels_and_three_directions),
        cmocka_unit_test(a_map_joins_voxels_at_the_same_position),
        cmocka_unit_test(a_known_orientation_is_found),
        cmocka_unit_test(all_48_orientations_become_canonical_and_come_back),
        cmocka_unit_test(an_isotropic_grid_has_rounded_extents_and_the_same_centre),
        cmocka_unit_test(a_box_puts_the_odd_voxel_behind),
        cmocka_unit_test(grids_that_differ_say_how),
    };
    return cmocka_run_group_tests_name("grid", tests, NULL, NULL);
}
