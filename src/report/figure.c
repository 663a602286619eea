#include "report/figure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "report/canvas.h"
#include "volume/resample.h"

enum {
    PANEL = 320,
    MARGIN = 18,
    GAP = 8,
    LINE = SN_TEXT_HEIGHT + 8,
    SWATCH = 14,
    TEXT_BYTES = 128,
    PANELS = 3
};
static const sn_colour BACKGROUND = {18, 20, 24}, BRIGHT = {232, 234, 238}, DIM = {138, 144, 154};
static const double FILL = 0.45, CONTOUR = 0.95; /* how much of a label's colour covers the image */
static const char *const panel_titles[PANELS] = {"image", "truth", "prediction"};

/* One slice of one case. */
typedef struct figure_row {
    char title[TEXT_BYTES];
    sn_canvas *panels[PANELS];
    struct figure_row *next;
} figure_row;

struct sn_figure {
    sn_label_table *labels;
    double *dice; /* by class, or NULL */
    figure_row *first, **end;
};

/* ---- one slice ---- */

/* The slice `d` of a canonical grid as a grid of one slice with square pixels, PANEL along its longer side.
 */
static sn_status slice_grid(sn_grid *out, const sn_grid *canonical, int64_t d, sn_error *error)
{
    double spacing[3], affine[3][4], centre[3];
    sn_grid_spacing(spacing, canonical);
    double height_mm = (double)canonical->extent[1] * spacing[1];
    double width_mm = (double)canonical->extent[2] * spacing[2];
    double pixel_mm = fmax(height_mm, width_mm) / PANEL;
    int64_t extent[3] = {1, llround(fmax(1, height_mm / pixel_mm)), llround(fmax(1, width_mm / pixel_mm))};
    const double middle[3] = {(double)d, (double)(canonical->extent[1] - 1) / 2,
                              (double)(canonical->extent[2] - 1) / 2};
    sn_grid_position(centre, canonical, middle);
    for (int i = 0; i < 3; i++) {
        affine[i][0] = canonical->affine[i][0] * pixel_mm / spacing[2];
        affine[i][1] = canonical->affine[i][1] * pixel_mm / spacing[1];
        affine[i][2] = canonical->affine[i][2];
        affine[i][3] = centre[i] - affine[i][0] * (double)(extent[2] - 1) / 2 -
                       affine[i][1] * (double)(extent[1] - 1) / 2;
    }
    return sn_grid_make(out, extent, affine, error);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Black and white of a slice: the 0.5th and 99.5th percentiles of its voxels that are not 0. */
static sn_status grey_window(double *black, double *white, const float *slice, size_t count, sn_error *error)
{
    sn_status status;
    float *sorted = NULL;
    size_t used = 0;
    SN_TRY(sn_alloc(&sorted, count, sizeof *sorted, error));
    for (size_t i = 0; i < count; i++)
        if (slice[i] != 0)
            sorted[used++] = slice[i];
    qsort(sorted, used, sizeof *sorted, compare_floats);
    *black = used > 0 ? sorted[(size_t)(0.005 * (double)(used - 1))] : 0;
    *white = used > 0 ? sorted[(size_t)(0.995 * (double)(used - 1))] : 1;
done:
    sn_free(sorted);
    return status;
}

/* Where pixel (x, y) lies in a canonical slice (H,W): y runs from the front (large H) to the back, x from the
 * patient's right (large W) to the left. */
static size_t pixel_index(const sn_grid *grid, int x, int y)
{
    int64_t h = grid->extent[1] - 1 - y, w = grid->extent[2] - 1 - x;
    return (size_t)(h * grid->extent[2] + w);
}

/* Draw one slice in grey. */
static sn_status image_panel(sn_canvas **panel, const sn_volume *slice, sn_error *error)
{
    double black, white;
    int width = (int)slice->grid.extent[2], height = (int)slice->grid.extent[1];
    *panel = NULL;
    sn_status status = grey_window(&black, &white, slice->data, (size_t)width * (size_t)height, error);
    if (status == SN_OK)
        status = sn_canvas_create(panel, width, height, (sn_colour){0, 0, 0}, error);
    if (status != SN_OK)
        return status;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            float value = slice->data[pixel_index(&slice->grid, x, y)];
            double part = value == 0 ? 0 : (value - black) / fmax(white - black, 1e-12);
            uint8_t grey = (uint8_t)lround(255 * fmin(fmax(part, 0), 1));
            sn_canvas_point(*panel, x, y, (sn_colour){grey, grey, grey});
        }
    }
    return SN_OK;
}

/* True where one of the four neighbours of pixel (x, y) inside the slice has another label. */
static bool is_contour(const sn_labelmap *slice, int x, int y)
{
    static const int step[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    int32_t label = slice->data[pixel_index(&slice->grid, x, y)];
    for (int i = 0; i < 4; i++) {
        int u = x + step[i][0], v = y + step[i][1];
        if (u < 0 || v < 0 || u >= slice->grid.extent[2] || v >= slice->grid.extent[1])
            continue;
        if (slice->data[pixel_index(&slice->grid, u, v)] != label)
            return true;
    }
    return false;
}

/* Copy the grey panel and lay the labels on it: filled faintly, their contours strongly. */
static sn_status label_panel(sn_canvas **panel, const sn_canvas *grey, const sn_labelmap *slice,
                             const sn_label_table *labels, sn_error *error)
{
    sn_status status = sn_canvas_create(panel, grey->width, grey->height, BACKGROUND, error);
    if (status != SN_OK)
        return status;
    for (int y = 0; y < grey->height; y++) {
        for (int x = 0; x < grey->width; x++) {
            sn_colour under = grey->pixels[y * grey->width + x];
            int class = sn_label_table_find(labels, slice->data[pixel_index(&slice->grid, x, y)]);
            double part = is_contour(slice, x, y) ? CONTOUR : FILL;
            bool labelled = class > 0;
            sn_canvas_point(*panel, x, y,
                            labelled ? sn_colour_mix(under, sn_colour_distinct(class - 1), part) : under);
        }
    }
    return SN_OK;
}

static void row_free(figure_row *row)
{
    for (int i = 0; row != NULL && i < PANELS; i++)
        sn_canvas_free(row->panels[i]);
    sn_free(row);
}

/* Make the row of slice `d` of the canonical grid and append it. */
static sn_status row_add(sn_figure *figure, const char *title, const sn_volume *image,
                         const sn_labelmap *reference, const sn_labelmap *prediction,
                         const sn_grid *canonical, int64_t d, sn_error *error)
{
    sn_status status;
    sn_grid grid;
    figure_row *row = NULL;
    sn_volume *image_slice = NULL;
    sn_labelmap *slices[2] = {NULL, NULL};
    SN_TRY(sn_alloc(&row, 1, sizeof *row, error));
    SN_TRY(slice_grid(&grid, canonical, d, error));
    snprintf(row->title, sizeof row->title, "%s  z = %.0f mm", title, grid.affine[2][3]);
    SN_TRY(sn_volume_resample(&image_slice, image, &grid, 1, error));
    SN_TRY(sn_labelmap_resample(&slices[0], reference, &grid, error));
    SN_TRY(sn_labelmap_resample(&slices[1], prediction, &grid, error));
    SN_TRY(image_panel(&row->panels[0], image_slice, error));
    for (int i = 0; i < 2; i++)
        SN_TRY(label_panel(&row->panels[i + 1], row->panels[0], slices[i], figure->labels, error));
    *figure->end = row;
    figure->end = &row->next;
    row = NULL;
done:
    row_free(row);
    sn_volume_free(image_slice);
    sn_labelmap_free(slices[0]);
    sn_labelmap_free(slices[1]);
    return status;
}

/* ---- the choice of slices ---- */

/* How much there is to see in slice `d` of a canonical label map: classes first, labelled voxels second. */
static int64_t slice_score(const sn_labelmap *map, const sn_label_table *labels, int64_t d, bool *seen)
{
    int64_t pixels = map->grid.extent[1] * map->grid.extent[2], voxels = 0, classes = 0;
    memset(seen, 0, (size_t)labels->count * sizeof *seen);
    for (int64_t i = 0; i < pixels; i++) {
        int class = sn_label_table_find(labels, map->data[d * pixels + i]);
        if (class <= 0)
            continue;
        voxels++;
        classes += !seen[class];
        seen[class] = true;
    }
    return classes * pixels + voxels;
}

/* chosen[k]: the best slice of the k-th of `count` bands of the labelled part (of everything, where no label
 * is). */
static void slices_choose(int64_t *chosen, int count, const int64_t *scores, int64_t depth)
{
    int64_t first = 0, last = depth - 1;
    while (first < last && scores[first] == 0)
        first++;
    while (last > first && scores[last] == 0)
        last--;
    if (scores[first] == 0) {
        first = 0;
        last = depth - 1;
    }
    int64_t extent = last - first + 1;
    for (int k = 0; k < count; k++) {
        int64_t begin = first + k * extent / count, end = first + (k + 1) * extent / count;
        chosen[k] = (begin + end) / 2 < last ? (begin + end) / 2 : last;
        for (int64_t d = begin; d < end; d++)
            if (scores[d] > scores[chosen[k]])
                chosen[k] = d;
    }
}

static sn_status grids_check(const char *title, const sn_volume *image, const sn_labelmap *reference,
                             const sn_labelmap *prediction, sn_error *error)
{
    char difference[SN_GRID_DIFFERENCE];
    if (!sn_grid_equal(&image->grid, &reference->grid, SN_GRID_TOLERANCE_MM, difference))
        return sn_error_set(error, SN_ERR_INPUT, "%s: the image is not on the truth's grid: %s", title,
                            difference);
    if (!sn_grid_equal(&prediction->grid, &reference->grid, SN_GRID_TOLERANCE_MM, difference))
        return sn_error_set(error, SN_ERR_INPUT, "%s: the prediction is not on the truth's grid: %s", title,
                            difference);
    return SN_OK;
}

sn_status sn_figure_add(sn_figure *figure, const char *title, const sn_volume *image,
                        const sn_labelmap *reference, const sn_labelmap *prediction, int slices,
                        sn_error *error)
{
    sn_status status;
    sn_grid canonical;
    sn_labelmap *map = NULL;
    int64_t *scores = NULL, *chosen = NULL;
    bool *seen = NULL;
    SN_TRY(grids_check(title, image, reference, prediction, error));
    sn_grid_canonical(&canonical, &reference->grid);
    int64_t depth = canonical.extent[0];
    SN_TRY(sn_labelmap_resample(&map, reference, &canonical, error));
    SN_TRY(sn_alloc(&scores, (size_t)depth, sizeof *scores, error));
    SN_TRY(sn_alloc(&chosen, (size_t)slices, sizeof *chosen, error));
    SN_TRY(sn_alloc(&seen, (size_t)figure->labels->count, sizeof *seen, error));
    for (int64_t d = 0; d < depth; d++)
        scores[d] = slice_score(map, figure->labels, d, seen);
    slices_choose(chosen, slices, scores, depth);
    for (int k = slices - 1; k >= 0; k--) /* from the head down */
        SN_TRY(row_add(figure, title, image, reference, prediction, &canonical, chosen[k], error));
done:
    sn_labelmap_free(map);
    sn_free(scores);
    sn_free(chosen);
    sn_free(seen);
    return status;
}

/* ---- the picture ---- */

sn_status sn_figure_create(sn_figure **figure, const sn_label_table *labels, const double *dice,
                           sn_error *error)
{
    sn_status status;
    sn_figure *self = NULL;
    *figure = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->end = &self->first;
    SN_TRY(sn_label_table_copy(&self->labels, labels, error));
    if (dice != NULL) {
        SN_TRY(sn_alloc(&self->dice, (size_t)labels->count, sizeof *dice, error));
        memcpy(self->dice, dice, (size_t)labels->count * sizeof *dice);
    }
    *figure = self;
    self = NULL;
done:
    sn_figure_free(self);
    return status;
}

void sn_figure_free(sn_figure *figure)
{
    if (figure == NULL)
        return;
    for (figure_row *row = figure->first, *next; row != NULL; row = next) {
        next = row->next;
        row_free(row);
    }
    sn_label_table_free(figure->labels);
    sn_free(figure->dice);
    sn_free(figure);
}

/* "Hippocampus 0.87" */
static void legend_text(char text[TEXT_BYTES], const sn_figure *figure, int class)
{
    const char *name = figure->labels->names[class];
    if (figure->dice != NULL && isfinite(figure->dice[class]))
        snprintf(text, TEXT_BYTES, "%.80s %.2f", name, figure->dice[class]);
    else
        snprintf(text, TEXT_BYTES, "%.80s", name);
}

/* The width of a legend's column: of the longest entry, with the gap to the next. */
static int legend_column(const sn_figure *figure)
{
    size_t longest = 0;
    for (int class = 1; class < figure->labels->count; class ++) {
        char text[TEXT_BYTES];
        legend_text(text, figure, class);
        longest = strlen(text) > longest ? strlen(text) : longest;
    }
    return SWATCH + 8 + (int)longest * SN_TEXT_WIDTH + 2 * SN_TEXT_WIDTH;
}

/* Draw the legend in columns from (MARGIN, y) on, or measure it (canvas NULL); returns the y below it. */
static int legend_draw(sn_canvas *canvas, const sn_figure *figure, int y, int width)
{
    int entries = figure->labels->count - 1, column_width = legend_column(figure);
    int columns = (width - 2 * MARGIN + 2 * SN_TEXT_WIDTH) / column_width;
    columns = columns < 1 ? 1 : columns;
    if (figure->dice != NULL) {
        if (canvas != NULL)
            sn_canvas_text(canvas, MARGIN, y, "with the mean Dice of all cases:", DIM);
        y += LINE;
    }
    for (int i = 0; i < entries && canvas != NULL; i++) {
        char text[TEXT_BYTES];
        int entry_x = MARGIN + i % columns * column_width, entry_y = y + i / columns * LINE;
        legend_text(text, figure, i + 1);
        sn_canvas_rectangle(canvas, entry_x, entry_y, SWATCH, SWATCH, sn_colour_distinct(i));
        sn_canvas_text(canvas, entry_x + SWATCH + 8, entry_y, text, BRIGHT);
    }
    return y + (entries + columns - 1) / columns * LINE;
}

/* A letter that can be read on bright and dark ground. */
static void side_draw(sn_canvas *canvas, int x, int y, const char *letter)
{
    sn_canvas_text(canvas, x + 1, y + 1, letter, BACKGROUND);
    sn_canvas_text(canvas, x, y, letter, BRIGHT);
}

static void panel_draw(sn_canvas *canvas, const sn_canvas *panel, int x, int y)
{
    for (int row = 0; row < panel->height; row++)
        for (int column = 0; column < panel->width; column++)
            sn_canvas_point(canvas, x + column, y + row, panel->pixels[row * panel->width + column]);
    side_draw(canvas, x + 6, y + 6, "R");
    side_draw(canvas, x + panel->width - 6 - SN_TEXT_WIDTH, y + 6, "L");
}

static void panel_titles_draw(sn_canvas *canvas, int column_width)
{
    for (int i = 0; i < PANELS; i++) {
        int text_width = (int)strlen(panel_titles[i]) * SN_TEXT_WIDTH;
        int x = MARGIN + i * (column_width + GAP) + (column_width - text_width) / 2;
        sn_canvas_text(canvas, x, MARGIN, panel_titles[i], BRIGHT);
    }
}

sn_status sn_figure_write(const char *path, const sn_figure *figure, sn_error *error)
{
    sn_status status;
    sn_canvas *canvas = NULL;
    int column_width = PANEL / 2, height = MARGIN + LINE;
    for (const figure_row *row = figure->first; row != NULL; row = row->next) {
        column_width = row->panels[0]->width > column_width ? row->panels[0]->width : column_width;
        height += LINE + row->panels[0]->height + GAP;
    }
    int width = 2 * MARGIN + PANELS * column_width + (PANELS - 1) * GAP;
    int legend_y = height + GAP;
    SN_TRY(sn_canvas_create(&canvas, width, legend_draw(NULL, figure, legend_y, width) + MARGIN - GAP,
                            BACKGROUND, error));
    panel_titles_draw(canvas, column_width);
    int y = MARGIN + LINE;
    for (const figure_row *row = figure->first; row != NULL; row = row->next) {
        sn_canvas_text(canvas, MARGIN, y, row->title, DIM);
        y += LINE;
        for (int i = 0; i < PANELS; i++)
            panel_draw(canvas, row->panels[i], MARGIN + i * (column_width + GAP), y);
        y += row->panels[0]->height + GAP;
    }
    legend_draw(canvas, figure, legend_y, width);
    SN_TRY(sn_canvas_write(path, canvas, error));
done:
    sn_canvas_free(canvas);
    return status;
}
