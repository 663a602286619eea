/* Tiles cover an image, and count 1 together. */
#include "cmocka_all.h"

#include <math.h>

#include "base/memory.h"
#include "model/tiles.h"

/* Halve until it goes no further; looks at each tiling. */
static void for_all_halves(sn_tiling tiles, void look(sn_tiling *tiles))
{
    bool smaller = true;
    while (smaller) {
        sn_tiling copy = tiles;
        look(&copy);
        sn_tiling_clear(&copy);
        smaller = false;
        for (int a = 0; a < 3; a++)
            smaller = sn_tiling_halve(&tiles, a) || smaller;
    }
}

static void tiles_leave_no_gap(sn_tiling *tiles)
{
    for (int a = 0; a < 3; a++) {
        int64_t covered = 0, start[3];
        int index[3] = {0};
        for (index[a] = 0; index[a] < tiles->count[a]; index[a]++) {
            sn_tile_start(start, tiles, index);
            assert_true(start[a] <= covered && start[a] % tiles->unit == 0);
            assert_true(start[a] + tiles->tile[a] > covered);
            covered = start[a] + tiles->tile[a];
        }
        assert_true(covered >= tiles->extent[a]);
    }
}

/* The image, cut into tiles and put together again. */
static void tiles_give_the_image_back(sn_tiling *tiles)
{
    const int64_t *e = tiles->extent, voxels = e[0] * e[1] * e[2];
    float *image, *tile;
    sn_slices all = {.depth = e[0]};
    assert_int_equal(sn_alloc(&image, (size_t)(2 * voxels), sizeof *image, NULL), SN_OK);
    assert_int_equal(sn_alloc(&all.data, (size_t)(2 * voxels), sizeof *image, NULL), SN_OK);
    assert_int_equal(sn_alloc(&tile, (size_t)(2 * sn_tiling_voxels(tiles)), sizeof *tile, NULL), SN_OK);
    assert_int_equal(sn_tiling_weigh(tiles, NULL), SN_OK);
    for (int64_t v = 0; v < 2 * voxels; v++)
        image[v] = (float)sin((double)v);
    for (int i = 0; i < sn_tiling_count(tiles); i++) {
        const int *c = tiles->count, index[3] = {i / (c[1] * c[2]), i / c[2] % c[1], i % c[2]};
        sn_tile_copy(tile, image, tiles, index, 2);
        sn_tile_add(&all, tile, tiles, index, 2);
    }
    for (int64_t v = 0; v < 2 * voxels; v++)
        assert_true(fabsf(all.data[v] - image[v]) < 1e-6F);
    sn_free(image);
    sn_free(tile);
    sn_free(all.data);
}

static void for_all_images(void look(sn_tiling *tiles))
{
    static const int64_t extents[][3] = {{9, 8, 17}, {37, 16, 7}, {1, 40, 25}, {64, 33, 2}};
    for (int i = 0; i < 4; i++)
        for (int64_t unit = 1; unit <= 16; unit *= 2)
            for_all_halves(sn_tiling_whole(extents[i], unit), look);
}

static void tiles_cover_an_image(void **state)
{
    (void)state;
    for_all_images(tiles_leave_no_gap);
}

static void tiles_count_1_together(void **state)
{
    (void)state;
    for_all_images(tiles_give_the_image_back);
}

static void a_tile_s_middle_counts_most(void **state)
{
    (void)state;
    sn_tiling tiles = sn_tiling_whole((const int64_t[]){64, 1, 1}, 1);
    assert_true(sn_tiling_halve(&tiles, 0));
    assert_int_equal(sn_tiling_weigh(&tiles, NULL), SN_OK);
    const float *second = tiles.weight[0] + 32;
    assert_int_equal(tiles.count[0], 3); /* from 0, 16 and 32 on */
    assert_true(second[15] > 0.99F && second[0] < 0.01F);
    /* Half way between the first one's middle and its own. */
    assert_true(fabsf(second[7] + second[8] - 1) < 1e-6F);
    sn_tiling_clear(&tiles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_cover_an_image),
        cmocka_unit_test(tiles_count_1_together),
        cmocka_unit_test(a_tile_s_middle_counts_most),
    };
    return cmocka_run_group_tests_name("tiles", tests, NULL, NULL);
}
