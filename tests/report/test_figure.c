/* Pictures, read back from their PNG files. */
#include "cmocka_all.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "report/canvas.h"
#include "report/figure.h"

enum { MARGIN = 18, PANEL = 320, PANEL_TOP = 18 + 2 * (SN_TEXT_HEIGHT + 8) }; /* of the layout in figure.c */

typedef struct picture {
    int width, height;
    uint8_t *pixels; /* (height, width, 3) */
} picture;

static char path[64];

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/segnas3d-figure-%ld.png", (long)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static picture picture_read(void)
{
    picture self;
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_int_not_equal(png_image_begin_read_from_file(&image, path), 0);
    image.format = PNG_FORMAT_RGB;
    self.width = (int)image.width;
    self.height = (int)image.height;
    self.pixels = malloc(PNG_IMAGE_SIZE(image));
    assert_int_not_equal(png_image_finish_read(&image, NULL, self.pixels, 0, NULL), 0);
    return self;
}

static const uint8_t *pixel(const picture *self, int x, int y)
{
    return self->pixels + 3 * ((size_t)y * (size_t)self->width + (size_t)x);
}

static bool is_grey(const uint8_t *rgb)
{
    return rgb[0] == rgb[1] && rgb[1] == rgb[2];
}

static sn_grid grid_make(int64_t d, int64_t h, int64_t w, const double spacing[3], const double signs[3])
{
    sn_grid grid;
    const int64_t extent[3] = {d, h, w};
    const double affine[3][4] = {
        {signs[0] * spacing[2], 0, 0, 0}, {0, signs[1] * spacing[1], 0, 0}, {0, 0, signs[2] * spacing[0], 0}};
    assert_int_equal(sn_grid_make(&grid, extent, affine, NULL), SN_OK);
    return grid;
}

/* One case of 2 x 8 x 8 voxels of 1; voxel (d, h, w) = (1, 6, 6) is 2 and labelled 5; drawn as `path`. */
static sn_status draw(const double signs[3], const double spacing[3], bool same_grid, sn_error *error)
{
    sn_volume *image;
    sn_labelmap *map, *prediction;
    sn_label_table *labels;
    sn_figure *figure;
    sn_grid grid = grid_make(2, 8, 8, spacing, signs),
            other = grid_make(2, 8, same_grid ? 8 : 9, spacing, signs);
    assert_int_equal(sn_volume_create(&image, &grid, 1, NULL), SN_OK);
    assert_int_equal(sn_labelmap_create(&map, &grid, NULL), SN_OK);
    assert_int_equal(sn_labelmap_create(&prediction, &other, NULL), SN_OK);
    assert_int_equal(sn_label_table_create(&labels, NULL), SN_OK);
    assert_int_equal(sn_label_table_add(labels, 5, "thing", NULL), SN_OK);
    for (int i = 0; i < 128; i++)
        image->data[i] = 1;
    image->data[64 + 6 * 8 + 6] = 2;
    map->data[64 + 6 * 8 + 6] = 5;
    assert_int_equal(sn_figure_create(&figure, labels, NULL, NULL), SN_OK);
    sn_status status = sn_figure_add(figure, "case", image, map, prediction, 1, error);
    if (status == SN_OK)
        status = sn_figure_write(path, figure, error);
    sn_figure_free(figure);
    sn_label_table_free(labels);
    sn_labelmap_free(map);
    sn_labelmap_free(prediction);
    sn_volume_free(image);
    return status;
}

static void the_patients_right_is_on_the_left_and_the_front_on_top_whatever_the_files_axes(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    static const double cube[3] = {1, 1, 1};
    const int truth = MARGIN + PANEL + 8; /* left edge of the second panel */
    const int near = PANEL / 8 + PANEL / 16, far = PANEL - 1 - near;
    for (int axes = 0; axes < 8; axes++) {
        /* signs of the patient's x (right), y (front), z (head) along w, h, d */
        const double signs[3] = {axes & 1 ? -1 : 1, axes & 2 ? -1 : 1, axes & 4 ? -1 : 1};
        assert_int_equal(draw(signs, cube, true, &error), SN_OK);
        picture seen = picture_read();
        int x = signs[0] > 0 ? near : far, y = signs[1] > 0 ? near : far;
        for (int corner = 0; corner < 4; corner++) {
            int u = corner & 1 ? near : far, v = corner & 2 ? near : far;
            bool labelled = !is_grey(pixel(&seen, truth + u, PANEL_TOP + v));
            assert_int_equal(labelled, u == x && v == y);
        }
        assert_int_equal(pixel(&seen, MARGIN + x, PANEL_TOP + y)[0], 255);
        assert_true(is_grey(pixel(&seen, truth + PANEL + 8 + x, PANEL_TOP + y))); /* nothing was predicted */
        free(seen.pixels);
    }
}

static void millimetres_are_equally_long_in_both_directions(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    static const double tall[3] = {1, 3, 1}, plus[3] = {1, 1, 1};
    assert_int_equal(draw(plus, tall, true, &error), SN_OK);
    picture seen =
        picture_read(); /* 8 x 3 mm high, 8 mm wide: panels of 320 x 107, columns of 160 at least */
    assert_int_equal(seen.width, 2 * MARGIN + 3 * 160 + 2 * 8);
    int x = MARGIN + 160 + 8 + 107 / 8 + 107 / 16, y = PANEL_TOP + PANEL / 8 + PANEL / 16;
    assert_false(is_grey(pixel(&seen, x, y)));
    free(seen.pixels);
}

static void another_grid_is_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    static const double one[3] = {1, 1, 1};
    unlink(path);
    assert_int_equal(draw(one, one, false, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "case: the prediction is not on the truth's grid"));
    assert_false(sn_path_exists(path));
}

static void a_folder_that_is_not_there_is_an_error_and_nothing_is_left(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_canvas *canvas;
    assert_int_equal(sn_canvas_create(&canvas, 4, 3, (sn_colour){1, 2, 3}, &error), SN_OK);
    assert_int_equal(sn_canvas_write("/nonexistent/a.png", canvas, &error), SN_ERR_IO);
    assert_non_null(strstr(error.text, "/nonexistent/a.png"));
    sn_canvas_free(canvas);
}

static void thirty_labels_have_thirty_colours(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        sn_colour a = sn_colour_distinct(i);
        assert_false(abs(a.r - a.g) < 12 && abs(a.g - a.b) < 12); /* never grey: that is the image */
        for (int j = 0; j < i; j++) {
            sn_colour b = sn_colour_distinct(j);
            assert_true(abs(a.r - b.r) + abs(a.g - b.g) + abs(a.b - b.b) >= 20);
        }
    }
}

static void text_and_shapes_are_clipped_at_the_edges(void **state)
{
    (void)state;
    sn_canvas *canvas;
    const sn_colour black = {0, 0, 0}, white = {255, 255, 255};
    assert_int_equal(sn_canvas_create(&canvas, 20, 10, black, NULL), SN_OK);
    sn_canvas_text(canvas, -5, -5, "clipped \xC2\xB5 text", white);
    sn_canvas_rectangle(canvas, 18, 8, 100, 100, white);
    assert_int_equal(canvas->pixels[9 * 20 + 19].r, 255);
    assert_int_equal(canvas->pixels[9 * 20 + 17].r, 0);
    sn_canvas_free(canvas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_patients_right_is_on_the_left_and_the_front_on_top_whatever_the_files_axes),
        cmocka_unit_test(millimetres_are_equally_long_in_both_directions),
        cmocka_unit_test(another_grid_is_refused),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error_and_nothing_is_left),
        cmocka_unit_test(thirty_labels_have_thirty_colours),
        cmocka_unit_test(text_and_shapes_are_clipped_at_the_edges),
    };
    return cmocka_run_group_tests_name("figure", tests, setup, teardown);
}
