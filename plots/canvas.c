#include "plots/canvas.h"

#include "plots/font.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t ink_rgb[INK_COUNT - N_LEVELS][3] = {
    [INK_NAN - N_LEVELS] = {255, 0, 255},     [INK_MASKED - N_LEVELS] = {160, 160, 160},
    [INK_PAPER - N_LEVELS] = {255, 255, 255}, [INK_TEXT - N_LEVELS] = {16, 16, 16},
    [INK_LINE - N_LEVELS] = {96, 96, 96},     [INK_FAINT - N_LEVELS] = {216, 216, 216},
    /* Okabe and Ito, Color Universal Design (2008): blue, vermillion, bluish green, orange, sky blue, reddish purple, yellow */
    [INK_SERIES - N_LEVELS] = {0, 114, 178},  {213, 94, 0}, {0, 158, 115}, {230, 159, 0},
    {86, 180, 233}, {204, 121, 167}, {240, 228, 66},
};
_Static_assert(INK_COUNT <= 256, "a palette has 256 entries");

enum status canvas_init(struct canvas *c, int width, int height, enum colormap map, struct error *err)
{
    *c = (struct canvas){.width = width, .height = height, .map = map};
    if (width < 1 || width > 32767 || height < 1 || height > 32767)
        return error_set(err, STATUS_RANGE, "a picture of %d x %d pixels is outside 1 to 32767", width,
                         height);
    void *p;
    TRY(mem_alloc(&p, (uint64_t)width * (uint64_t)height, 1, err));
    c->pixels = p;
    memset(c->pixels, INK_PAPER, (size_t)width * (size_t)height);
    return STATUS_OK;
}

void canvas_clear(struct canvas *c)
{
    for (size_t i = 0; i < c->n_texts; i++) free(c->texts[i].utf8);
    free(c->texts);
    free(c->pixels);
    *c = (struct canvas){0};
}

void canvas_rect(struct canvas *c, int x, int y, int w, int h, int index)
{
    int x1 = x + w < c->width ? x + w : c->width;
    int y1 = y + h < c->height ? y + h : c->height;
    if (x < 0) x = 0;
    if (y < 0) y = 0;
    if (x1 <= x) return;
    for (int row = y; row < y1; row++)
        memset(c->pixels + (size_t)row * (size_t)c->width + x, index, (size_t)(x1 - x));
}

void canvas_frame(struct canvas *c, int x, int y, int w, int h, int index)
{
    canvas_rect(c, x - 1, y - 1, w + 2, 1, index);
    canvas_rect(c, x - 1, y + h, w + 2, 1, index);
    canvas_rect(c, x - 1, y - 1, 1, h + 2, index);
    canvas_rect(c, x + w, y - 1, 1, h + 2, index);
}

/* Bresenham (1965) */
void canvas_line(struct canvas *c, int x0, int y0, int x1, int y1, int thick, int index)
{
    int dx = abs(x1 - x0), dy = -abs(y1 - y0), sx = x0 < x1 ? 1 : -1, sy = y0 < y1 ? 1 : -1;
    int rest = dx + dy;
    for (;;) {
        canvas_rect(c, x0, y0, thick, thick, index);
        if (x0 == x1 && y0 == y1) return;
        int twice = 2 * rest;
        if (twice >= dy) {
            rest += dy;
            x0 += sx;
        }
        if (twice <= dx) {
            rest += dx;
            y0 += sy;
        }
    }
}

/* Points with r² - r < x² + y² <= r² + r are the ring that digital circles are drawn with. */
static void draw_round(struct canvas *c, int x, int y, int radius, int index, bool filled)
{
    int outer = radius * radius + radius, inner = radius * radius - radius;
    for (int dy = -radius; dy <= radius; dy++)
        for (int dx = -radius; dx <= radius; dx++) {
            int d = dx * dx + dy * dy;
            if (d <= outer && (filled || d > inner)) canvas_rect(c, x + dx, y + dy, 1, 1, index);
        }
}

void canvas_disc(struct canvas *c, int x, int y, int radius, int index)
{
    draw_round(c, x, y, radius, index, true);
}

void canvas_ring(struct canvas *c, int x, int y, int radius, int index)
{
    draw_round(c, x, y, radius, index, false);
}

struct pen {
    struct canvas *c;
    int x, y, index;
    bool up;
};

static void put_glyph(void *ctx, const struct glyph *g)
{
    struct pen *p = ctx;
    for (int r = 0; r < GLYPH_H; r++)
        for (int i = 0; i < GLYPH_W_MAX; i++) {
            if (!g->rows[r][i]) continue;
            if (p->up)
                canvas_rect(p->c, p->x + r, p->y - 1 - i, 1, 1, p->index);
            else
                canvas_rect(p->c, p->x + i, p->y + r, 1, 1, p->index);
        }
    if (p->up)
        p->y -= g->advance;
    else
        p->x += g->advance;
}

static void keep_text(struct canvas *c, const struct canvas_text *t)
{
    if (c->n_texts == c->cap_texts) {
        size_t cap = c->cap_texts ? 2 * c->cap_texts : 64;
        struct canvas_text *grown = realloc(c->texts, cap * sizeof *grown);
        if (!grown) {
            c->failed = true;
            return;
        }
        c->texts = grown;
        c->cap_texts = cap;
    }
    struct canvas_text *kept = &c->texts[c->n_texts];
    *kept = *t;
    kept->width = font_text_width(t->utf8);
    kept->utf8 = strdup(t->utf8);
    if (kept->utf8)
        c->n_texts++;
    else
        c->failed = true;
}

static void put_text(struct canvas *c, int x, int y, int index, bool up, const char *utf8)
{
    if (c->texts_apart) {
        /* the copy is what is kept: the const comes back with it */
        const struct canvas_text t = {.x = x, .y = y, .index = index, .up = up, .utf8 = (char *)(uintptr_t)utf8};
        if (utf8[0]) keep_text(c, &t);
        return;
    }
    struct pen p = {c, x, y, index, up};
    font_each_glyph(utf8, put_glyph, &p);
}

void canvas_text(struct canvas *c, int x, int y, int index, const char *utf8)
{
    put_text(c, x, y, index, false, utf8);
}

void canvas_text_up(struct canvas *c, int x, int y, int index, const char *utf8)
{
    put_text(c, x, y, index, true, utf8);
}

void canvas_text_right(struct canvas *c, int x, int y, int index, const char *utf8)
{
    canvas_text(c, x - font_text_width(utf8), y, index, utf8);
}

void canvas_color(const struct canvas *c, int index, uint8_t rgb[3])
{
    if (index < N_LEVELS)
        colormap_color(c->map, index, rgb);
    else
        memcpy(rgb, ink_rgb[(index < INK_COUNT ? index : INK_TEXT) - N_LEVELS], 3);
}
