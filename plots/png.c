#include "plots/png.h"


#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

struct png_sink {
    struct buf *out;
    struct error *err;
    jmp_buf back;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct png_sink *s = png_get_error_ptr(png);
    error_set(s->err, STATUS_FORMAT, "libpng: %s", message);
    longjmp(s->back, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_write(png_structp png, png_bytep data, size_t n)
{
    struct png_sink *s = png_get_io_ptr(png);
    buf_append(s->out, data, n);
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void set_palette(png_structp png, png_infop info, const struct canvas *c)
{
    png_color palette[INK_COUNT];
    for (int i = 0; i < INK_COUNT; i++) {
        uint8_t rgb[3];
        canvas_color(c, i, rgb);
        palette[i] = (png_color){rgb[0], rgb[1], rgb[2]};
    }
    png_set_PLTE(png, info, palette, INK_COUNT);
}

static void set_notes(png_structp png, png_infop info, const struct png_note *notes, int n_notes)
{
    for (int i = 0; i < n_notes; i++) {
        /* libpng copies both strings; its interface just lacks the const. */
        union {
            const char *in;
            char *out;
        } key = {notes[i].key}, text = {notes[i].text};
        png_text t = {.compression = PNG_ITXT_COMPRESSION_NONE,
                      .key = key.out,
                      .text = text.out,
                      .itxt_length = strlen(text.in)};
        png_set_text(png, info, &t, 1);
    }
}

static void write_picture(png_structp png, png_infop info, const struct canvas *c,
                          const struct png_note *notes, int n_notes)
{
    png_set_IHDR(png, info, (png_uint_32)c->width, (png_uint_32)c->height, 8, PNG_COLOR_TYPE_PALETTE,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_set_compression_level(png, 9);
    set_palette(png, info, c);
    set_notes(png, info, notes, n_notes);
    png_write_info(png, info);
    for (int y = 0; y < c->height; y++) png_write_row(png, c->pixels + (size_t)y * (size_t)c->width);
    png_write_end(png, info);
}

enum status png_encode(struct buf *out, const struct canvas *c, const struct png_note *notes, int n_notes,
                       struct error *err)
{
    struct png_sink sink = {.out = out, .err = err};
    if (c->failed) return error_nomem(err, sizeof *c->texts);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_write_struct(&png, NULL);
        return error_nomem(err, 0);
    }
    if (setjmp(sink.back)) {
        png_destroy_write_struct(&png, &info);
        return err->status;
    }
    png_set_write_fn(png, &sink, on_write, on_flush);
    write_picture(png, info, c, notes, n_notes);
    png_destroy_write_struct(&png, &info);
    return buf_check(out, err);
}
