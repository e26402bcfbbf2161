#include "plots/svg.h"

#include "base/base64.h"
#include "base/utf8.h"

#include <string.h>

/* Text as XML takes it: markup spelled out, what is no character or none of XML's as U+FFFD. */
static void put_escaped(struct buf *out, const char *s)
{
    for (size_t n = strlen(s), len; n > 0; s += len, n -= len) {
        uint32_t code = 0;
        len = utf8_decode(s, n, &code);
        bool bad = len == 0 || (code < 0x20 && code != '\t' && code != '\n') || code == 0xFFFE || code == 0xFFFF;
        if (len == 0) len = 1;
        if (bad)
            buf_puts(out, "\xEF\xBF\xBD");
        else if (code == '<' || code == '>' || code == '&' || code == '"')
            buf_printf(out, "&#%u;", (unsigned)code);
        else
            buf_append(out, s, len);
    }
}

static void put_text(struct buf *out, const struct canvas *c, const struct canvas_text *t)
{
    enum { BASELINE = 13 }; /* as plots/font_system.c has it */
    uint8_t rgb[3];
    canvas_color(c, t->index, rgb);
    int x = t->up ? t->x + BASELINE : t->x, y = t->up ? t->y : t->y + BASELINE;
    buf_printf(out, "<text x=\"%d\" y=\"%d\" textLength=\"%d\" lengthAdjust=\"spacingAndGlyphs\" fill=\"#%02x%02x%02x\"",
               x, y, t->width > 0 ? t->width : 1, rgb[0], rgb[1], rgb[2]);
    if (t->up) buf_printf(out, " transform=\"rotate(-90 %d %d)\"", x, y);
    buf_puts(out, ">");
    put_escaped(out, t->utf8);
    buf_puts(out, "</text>\n");
}

static void put_notes(struct buf *out, const struct png_note *notes, int n_notes)
{
    for (int i = 0; i < n_notes; i++) {
        if (i == 1) buf_puts(out, "<desc>");
        buf_puts(out, i == 0 ? "<title>" : "");
        if (i > 0) put_escaped(out, notes[i].key), buf_puts(out, ": ");
        put_escaped(out, notes[i].text);
        buf_puts(out, i == 0 ? "</title>\n" : "\n");
    }
    if (n_notes > 1) buf_puts(out, "</desc>\n");
}

enum status svg_encode(struct buf *out, const struct canvas *c, const struct png_note *notes, int n_notes,
                       struct error *err)
{
    struct buf png = {0};
    TRY(png_encode(&png, c, NULL, 0, err));
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
               "font-family=\"monospace\" font-size=\"13\" xml:space=\"preserve\">\n",
               c->width, c->height, c->width, c->height);
    put_notes(out, notes, n_notes);
    buf_printf(out, "<image width=\"%d\" height=\"%d\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,",
               c->width, c->height);
    base64_append(out, (const unsigned char *)png.data, png.len);
    buf_puts(out, "\"/>\n");
    for (size_t i = 0; i < c->n_texts; i++) put_text(out, c, &c->texts[i]);
    buf_puts(out, "</svg>\n");
    buf_clear(&png);
    return buf_check(out, err);
}
