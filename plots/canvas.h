/* A picture of palette indices: levels of one colour map plus a few fixed colours, with text.
 *
 *     struct canvas c;
 *     TRY(canvas_init(&c, 640, 480, COLORMAP_VIRIDIS, err));
 *     canvas_rect(&c, 10, 10, 50, 20, level);
 *     canvas_text(&c, 10, 40, INK_TEXT, "token_embd.weight");
 *     TRY(png_write(&c, texts, n_texts, "x.png", err));
 *     canvas_clear(&c);
 *
 * Drawing outside is clipped. Text is UTF-8 in cells of TEXT_H pixels; without a usable font (see font.h) ASCII is drawn from a compiled-in
 * bitmap and anything else as \u4f60, never as an empty box.
 */
#ifndef LATHE_CANVAS_H
#define LATHE_CANVAS_H

#include "base/memory.h"
#include "base/status.h"
#include "plots/colormap.h"

#include <stdbool.h>

enum ink {
    INK_NAN = N_LEVELS, /* magenta: no number */
    INK_MASKED,         /* flat grey: not part of the data */
    INK_PAPER,
    INK_TEXT,
    INK_LINE,
    INK_FAINT,
    INK_SERIES, /* the first of N_SERIES colours that tell kinds apart (Okabe and Ito), safe for colour-blind readers */
    INK_COUNT = INK_SERIES + 7
};
enum { N_SERIES = INK_COUNT - INK_SERIES };
enum { TEXT_H = 16, TEXT_W = 8 };

/* A text that is kept apart from the pixels, for a picture with letters in it (plots/svg.h) */
struct canvas_text {
    int x, y; /* where its cell begins: top left, or for `up` bottom left */
    int width, index;
    bool up;
    char *utf8;
};
struct canvas {
    int width, height;
    enum colormap map;
    uint8_t *pixels;  /* height × width palette indices, owned */
    bool texts_apart; /* set after canvas_init: texts go to `texts` and not into the pixels */
    struct canvas_text *texts;
    size_t n_texts, cap_texts;
    bool failed; /* memory for a text ran out: the encoders refuse */
};
/* STATUS_RANGE for sizes outside 1 .. 32767 */
enum status canvas_init(struct canvas *c, int width, int height, enum colormap map, struct error *err);
void canvas_clear(struct canvas *c);
void canvas_rect(struct canvas *c, int x, int y, int w, int h, int index);
/* From one pixel to another, both drawn, `thick` pixels down and to the right of each */
void canvas_line(struct canvas *c, int x0, int y0, int x1, int y1, int thick, int index);
void canvas_disc(struct canvas *c, int x, int y, int radius, int index);
void canvas_ring(struct canvas *c, int x, int y, int radius, int index);
void canvas_frame(struct canvas *c, int x, int y, int w, int h,
                  int index); /* one pixel outside of the rectangle */
void canvas_text(struct canvas *c, int x, int y, int index, const char *utf8);
/* right-aligned so that it ends before x */
void canvas_text_right(struct canvas *c, int x, int y, int index, const char *utf8);
/* turned to the left: it begins above y and runs up, TEXT_H pixels wide from x on */
void canvas_text_up(struct canvas *c, int x, int y, int index, const char *utf8);
void canvas_color(const struct canvas *c, int index, uint8_t rgb[3]);

#endif
