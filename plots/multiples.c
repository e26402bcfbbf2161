#include "plots/multiples.h"

#include "plots/font.h"

#include <math.h>
#include <stdio.h>

/* Pixels */
enum {
    PAD = 12,
    LINE_H = 18,
    GAP = 6, /* between tiles */
    BAR_GAP = 24,
    BAR_H_MAX = 400,
    TILE_MIN = 48, /* a tile of fewer cells has larger ones */
    TILE_MAX = 256,
    PAGE_WANTED = 1280,
    CELL_PX_MAX = 24
};

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

struct page {
    struct multiples_place at;
    int tile_w, tile_h;
    int64_t tiles_w, tiles_h; /* pixels of all of them */
    int64_t bar_x, caption_y, width, height;
    int bar_h, n_captions;
};

int64_t multiples_tile_pixels(int64_t rows, int64_t cols)
{
    int64_t tile = PAGE_WANTED / max_i64(rows, cols) - GAP;
    return tile < TILE_MIN ? TILE_MIN : tile > TILE_MAX ? TILE_MAX : tile;
}

/* As large as there is room, at least a whole pixel */
static int cell_pixels(const struct multiples *m)
{
    int64_t px = multiples_tile_pixels(m->rows, m->cols) / max_i64(m->tile_rows, m->tile_cols);
    return px < 1 ? 1 : px > CELL_PX_MAX ? CELL_PX_MAX : (int)px;
}

static int names_width(const struct multiples *m)
{
    int w = 0;
    for (int64_t i = 0; m->names && i < m->rows * m->cols; i++)
        if (m->names[i]) w = max_int(w, font_text_width(m->names[i]));
    return w;
}

static int text_width(const struct multiples *m, int *n_captions)
{
    int w = max_int(font_text_width(m->title), font_text_width(m->subtitle));
    for (*n_captions = 0; *n_captions < MULTIPLES_CAPTIONS && m->caption[*n_captions]; ++*n_captions)
        w = max_int(w, font_text_width(m->caption[*n_captions]));
    return w;
}

static struct page lay_out(const struct multiples *m)
{
    struct page p = {.at = {.cell_px = cell_pixels(m)}};
    p.tile_w = (int)m->tile_cols * p.at.cell_px;
    p.tile_h = (int)m->tile_rows * p.at.cell_px;
    p.at.step_x = max_int(p.tile_w, names_width(m)) + GAP;
    p.at.step_y = p.tile_h + GAP + (m->names ? LINE_H : 0);
    p.at.x0 = PAD + (m->row_label[0] ? max_int(font_text_width(m->row_label), 4 * TEXT_W) + GAP : 0);
    p.at.y0 = PAD + 2 * LINE_H + GAP + (m->col_label[0] ? 2 * LINE_H : 0) + (m->names ? LINE_H : 0);
    p.tiles_w = m->cols * p.at.step_x - GAP;
    p.tiles_h = m->rows * p.at.step_y - GAP - (m->names ? LINE_H : 0);
    p.bar_x = p.at.x0 + p.tiles_w + BAR_GAP;
    p.bar_h = p.tiles_h > BAR_H_MAX ? BAR_H_MAX : max_int((int)p.tiles_h, COLORBAR_H_MIN);
    p.caption_y = p.at.y0 + max_i64(p.tiles_h, p.bar_h + COLORBAR_BELOW) + 2 * GAP;
    int text_w = text_width(m, &p.n_captions);
    p.width = max_i64(p.bar_x + COLORBAR_W + COLORBAR_LABEL_W, text_w + PAD) + PAD;
    p.height = p.caption_y + p.n_captions * LINE_H + PAD;
    return p;
}

static void draw_tile(struct canvas *c, const struct multiples *m, const struct page *p, int64_t i, int64_t k)
{
    const double *cells = m->tiles[i * m->cols + k];
    const char *name = m->names ? m->names[i * m->cols + k] : NULL;
    int x = p->at.x0 + (int)k * p->at.step_x, y = p->at.y0 + (int)i * p->at.step_y, px = p->at.cell_px;
    if (name) canvas_text(c, x, y - LINE_H, INK_TEXT, name);
    if (!cells) return;
    for (int64_t r = 0; r < m->tile_rows; r++)
        for (int64_t col = 0; col < m->tile_cols; col++)
            canvas_rect(c, x + (int)col * px, y + (int)r * px, px, px,
                        cell_color(&m->scale, cells[r * m->tile_cols + col]));
    canvas_frame(c, x, y, p->tile_w, p->tile_h, INK_FAINT);
}

/* Numbers of the rows on the left and of the columns on top; every one that has room */
static void draw_heads(struct canvas *c, const struct multiples *m, const struct page *p)
{
    char text[24];
    int every_row = (LINE_H + p->at.step_y - 1) / p->at.step_y, every_col = (4 * TEXT_W + p->at.step_x - 1) / p->at.step_x;
    if (m->row_label[0]) {
        canvas_text(c, PAD, p->at.y0 - LINE_H - 1, INK_TEXT, m->row_label);
        for (int64_t i = 0; i < m->rows; i += every_row) {
            snprintf(text, sizeof text, "%lld", (long long)(m->row0 + i));
            canvas_text_right(c, p->at.x0 - GAP, p->at.y0 + (int)i * p->at.step_y + (p->tile_h - TEXT_H) / 2,
                              INK_TEXT, text);
        }
    }
    if (!m->col_label[0]) return;
    canvas_text(c, p->at.x0, p->at.y0 - 2 * LINE_H - 2, INK_TEXT, m->col_label);
    for (int64_t k = 0; k < m->cols; k += every_col) {
        snprintf(text, sizeof text, "%lld", (long long)(m->col0 + k));
        canvas_text(c, p->at.x0 + (int)k * p->at.step_x + (p->tile_w - font_text_width(text)) / 2,
                    p->at.y0 - LINE_H - 1, INK_TEXT, text);
    }
}

enum status multiples_draw(struct canvas *c, const struct multiples *m, struct multiples_place *place,
                           struct error *err)
{
    *c = (struct canvas){0};
    bool empty = m->rows < 1 || m->cols < 1 || m->tile_rows < 1 || m->tile_cols < 1;
    struct page p = {.width = INT32_MAX, .height = INT32_MAX};
    if (!empty && m->rows < INT16_MAX && m->cols < INT16_MAX && m->tile_rows < INT16_MAX && m->tile_cols < INT16_MAX)
        p = lay_out(m);
    if (p.width > INT16_MAX || p.height > INT16_MAX)
        return error_set(err, STATUS_RANGE, "a page of %lld x %lld tiles of %lld x %lld cells is too large",
                         (long long)m->rows, (long long)m->cols, (long long)m->tile_rows,
                         (long long)m->tile_cols);
    TRY(canvas_init(c, (int)p.width, (int)p.height, m->map, err));
    c->texts_apart = m->texts_apart;
    canvas_text(c, PAD, PAD, INK_TEXT, m->title);
    canvas_text(c, PAD, PAD + LINE_H, INK_TEXT, m->subtitle);
    draw_heads(c, m, &p);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t k = 0; k < m->cols; k++) draw_tile(c, m, &p, i, k);
    colorbar_draw(c, &m->scale, (int)p.bar_x, p.at.y0, p.bar_h);
    for (int i = 0; i < p.n_captions; i++)
        canvas_text(c, PAD, (int)p.caption_y + i * LINE_H, INK_TEXT, m->caption[i]);
    if (place) *place = p.at;
    return STATUS_OK;
}

int64_t multiples_columns(int64_t n, int64_t tile_rows, int64_t tile_cols)
{
    double cols = ceil(sqrt((double)n * (double)tile_rows / (double)tile_cols));
    return cols < 1 ? 1 : cols > (double)n ? n : (int64_t)cols;
}
