#include "report/canvas.h"

#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "report/font.h"

enum { DOT = 2 }; /* pixels a dot of the font is wide and high */

sn_status sn_canvas_create(sn_canvas **canvas, int width, int height, sn_colour fill, sn_error *error)
{
    sn_status status;
    sn_canvas *self = NULL;
    *canvas = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    SN_TRY(sn_alloc(&self->pixels, (size_t)width * (size_t)height, sizeof *self->pixels, error));
    self->width = width;
    self->height = height;
    sn_canvas_rectangle(self, 0, 0, width, height, fill);
    *canvas = self;
    self = NULL;
done:
    sn_canvas_free(self);
    return status;
}

void sn_canvas_free(sn_canvas *canvas)
{
    if (canvas != NULL)
        sn_free(canvas->pixels);
    sn_free(canvas);
}

void sn_canvas_point(sn_canvas *canvas, int x, int y, sn_colour colour)
{
    if (x >= 0 && y >= 0 && x < canvas->width && y < canvas->height)
        canvas->pixels[(size_t)y * (size_t)canvas->width + (size_t)x] = colour;
}

void sn_canvas_rectangle(sn_canvas *canvas, int x, int y, int width, int height, sn_colour colour)
{
    for (int row = y; row < y + height; row++)
        for (int column = x; column < x + width; column++)
            sn_canvas_point(canvas, column, row, colour);
}

static void letter_draw(sn_canvas *canvas, int x, int y, char letter, sn_colour colour)
{
    int index =
        letter >= SN_FONT_FIRST && letter <= SN_FONT_LAST ? letter - SN_FONT_FIRST : '?' - SN_FONT_FIRST;
    for (int row = 0; row < SN_FONT_ROWS; row++)
        for (int column = 0; column < SN_FONT_COLUMNS; column++)
            if (sn_font[index][row] >> (SN_FONT_COLUMNS - 1 - column) & 1)
                sn_canvas_rectangle(canvas, x + DOT * column, y + DOT * row, DOT, DOT, colour);
}

void sn_canvas_text(sn_canvas *canvas, int x, int y, const char *text, sn_colour colour)
{
    for (; *text != '\0'; text++) {
        bool continuation =
            ((unsigned char)*text & 0xC0) == 0x80; /* of a UTF-8 character, drawn as one '?' */
        if (continuation)
            continue;
        letter_draw(canvas, x, y, *text, colour);
        x += SN_TEXT_WIDTH;
    }
}

static uint8_t mix_channel(uint8_t under, uint8_t over, double part)
{
    return (uint8_t)lround(under + part * (over - under));
}

sn_colour sn_colour_mix(sn_colour under, sn_colour over, double part)
{
    return (sn_colour){mix_channel(under.r, over.r, part), mix_channel(under.g, over.g, part),
                       mix_channel(under.b, over.b, part)};
}

/* Linear light in [0,1] to an sRGB byte; what is out of gamut is clipped. */
static uint8_t srgb_byte(double linear)
{
    double light = fmin(fmax(linear, 0), 1);
    double value = light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055;
    return (uint8_t)lround(255 * value);
}

sn_colour sn_colour_distinct(int index)
{
    static const double lightness_steps[5] = {0.78, 0.66, 0.88, 0.72, 0.83};
    const double radian = 3.14159265358979323846 / 180;
    double hue = (30 + 137.50776405 * index) * radian;
    double lightness = lightness_steps[index % 5], chroma = 0.17;
    double a = chroma * cos(hue), b = chroma * sin(hue);
    /* OKLab to cone responses, and those to linear sRGB. */
    double l = pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
    double m = pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
    double s = pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
    return (sn_colour){srgb_byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
                       srgb_byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
                       srgb_byte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

sn_status sn_canvas_write(const char *path, const sn_canvas *canvas, sn_error *error)
{
    sn_status status;
    sn_file_writer *writer = NULL;
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)canvas->width,
        .height = (png_uint_32)canvas->height,
        .format = PNG_FORMAT_RGB,
    };
    SN_TRY(sn_file_writer_open(&writer, path, error));
    FILE *stream = sn_file_writer_stream(writer); /* a failure to write shows in commit */
    if (!png_image_write_to_stdio(&image, stream, 0, canvas->pixels, 0, NULL) && !ferror(stream)) {
        status = sn_error_set(error, SN_ERR_IO, "%s: cannot write: %s", path, image.message);
        goto done;
    }
    SN_TRY(sn_file_writer_commit(writer, error));
done:
    sn_file_writer_close(writer);
    return status;
}
