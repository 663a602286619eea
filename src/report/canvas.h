/**
 * A canvas of RGB pixels with rectangles and text, written as PNG.
 */
#ifndef SN_REPORT_CANVAS_H
#define SN_REPORT_CANVAS_H

#include <stdint.h>

#include "base/status.h"

typedef struct sn_colour {
    uint8_t r, g, b;
} sn_colour;

typedef struct sn_canvas {
    int width, height;
    sn_colour *pixels; /* (height, width), top row first */
} sn_canvas;

enum { SN_TEXT_WIDTH = 12, SN_TEXT_HEIGHT = 18 }; /* pixels a character takes, gap and descender included */

/** Make a canvas filled with one colour; `*canvas` is the caller's, sn_canvas_free. SN_ERR_MEMORY. */
sn_status sn_canvas_create(sn_canvas **canvas, int width, int height, sn_colour fill, sn_error *error);

/** Free a canvas; NULL is allowed. */
void sn_canvas_free(sn_canvas *canvas);

/** Set one pixel; outside the canvas nothing happens, here and below. */
void sn_canvas_point(sn_canvas *canvas, int x, int y, sn_colour colour);

/** Fill a rectangle whose upper left pixel is (x, y). */
void sn_canvas_rectangle(sn_canvas *canvas, int x, int y, int width, int height, sn_colour colour);

/** Write text with its upper left corner at (x, y); what is not printable ASCII becomes '?'. */
void sn_canvas_text(sn_canvas *canvas, int x, int y, const char *text, sn_colour colour);

/** `part` of `over` on 1 - `part` of `under`. */
sn_colour sn_colour_mix(sn_colour under, sn_colour over, double part);

/**
 * The colour of the index-th of any number of things: hues a golden angle apart, lightness in five steps, so
 * that neighbours in the list differ most.
 *
 * Source of the colour space: Ottosson, "A perceptual color space for image processing" (OKLab), 2020.
 */
sn_colour sn_colour_distinct(int index);

/** Write the canvas as PNG; whole or not at all. SN_ERR_IO, SN_ERR_MEMORY. */
sn_status sn_canvas_write(const char *path, const sn_canvas *canvas, sn_error *error);

#endif
