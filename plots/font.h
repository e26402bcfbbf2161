/* Glyph bitmaps for labels: FreeType with the font that fontconfig finds (GNU Unifont preferred: it covers Chinese), else a compiled-in
 * bitmap of printable ASCII. */
#ifndef LATHE_FONT_H
#define LATHE_FONT_H

#include <stdbool.h>
#include <stdint.h>

enum { GLYPH_W_MAX = 32, GLYPH_H = 16 };

struct glyph {
    int advance;                        /* pixels to the next one */
    uint8_t rows[GLYPH_H][GLYPH_W_MAX]; /* 1: ink */
};
/* false when the font has no such character (then g is untouched) */
bool font_glyph(uint32_t code_point, struct glyph *g);
/* Width of a text in pixels, as canvas_text draws it. */
int font_text_width(const char *utf8);
/* Calls emit for each glyph of the text, with fall-back to \uXXXX spelled in ASCII for what no font has. */
void font_each_glyph(const char *utf8, void (*emit)(void *ctx, const struct glyph *g), void *ctx);

#endif
