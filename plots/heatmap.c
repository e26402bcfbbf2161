#include "plots/heatmap.h"

#include "base/utf8.h"
#include "plots/font.h"

#include <stdio.h>
#include <string.h>

/* Pixels */
enum {
    PAD = 12,
    LINE_H = 18,
    LEFT_MIN = 72,
    TICK = 5,
    GAP = 6,        /* to a strip, to a label */
    BAR_GAP = 24,
    STRIP = 14,
    PANEL_GAP = 20,
    LABEL_W_MAX = 168, /* of an axis with texts */
    WANTED_PX = 720,   /* of the longer side */
    TEXT_CELL = 16,    /* a cell with a text of its own */
    TEXT_CELLS_MAX = 128,
    WANTED_TEXT_PX = 1024
};

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

/* --- texts of axes --- */

/* Bytes of `text` whose glyphs fit the width */
static size_t fitting(const char *text, int width)
{
    char one[8];
    size_t n = strlen(text), at = 0;
    while (at < n) {
        size_t len = utf8_decode(text + at, n - at, NULL);
        if (len == 0) len = 1;
        memcpy(one, text + at, len);
        one[len] = '\0';
        width -= font_text_width(one);
        if (width < 0) break;
        at += len;
    }
    return at;
}

void heatmap_axis_text(char dst[128], const char *const *texts, int64_t i)
{
    char number[24];
    snprintf(number, sizeof number, "%s%lld", texts ? " " : "", (long long)i);
    int room = LABEL_W_MAX - (int)strlen(number) * TEXT_W;
    size_t whole = texts ? strlen(texts[i]) : 0, fits = texts ? fitting(texts[i], room) : 0;
    bool cut = fits < whole;
    if (cut) fits = fitting(texts[i], room - TEXT_W);
    if (fits > 96) fits = utf8_check(texts[i], 96); /* of characters without width: whole ones */
    snprintf(dst, 128, "%.*s%s%s", (int)fits, texts ? texts[i] : "", cut ? "\u2026" : "", number);
}

/* Distance between tick labels in original units: 1, 2 or 5 times a power of ten */
static int64_t tick_step(int64_t extent, int pixels, int label_px)
{
    int wanted = pixels / label_px;
    if (wanted < 1) wanted = 1;
    for (int64_t base = 1; base <= extent; base *= 10)
        for (int k = 0; k < 3; k++) {
            int64_t step = base * (k == 0 ? 1 : k == 1 ? 2 : 5);
            if (extent / step <= wanted) return step;
        }
    return extent > 0 ? extent : 1;
}

/* One side of the cells */
struct side {
    int64_t cells, step, extent;
    const char *const *texts;
    int64_t every; /* original indices from label to label */
};

static struct side make_side(int64_t cells, int64_t step, int64_t extent, const char *const *texts,
                             int cell_px, int number_px)
{
    struct side s = {cells, step, extent, texts, 0};
    int64_t rows = (TEXT_H + cell_px - 1) / cell_px; /* of cells that a text needs */
    s.every = texts ? rows * step : tick_step(extent, (int)cells * cell_px, number_px);
    return s;
}

static int side_text_width(const struct side *s)
{
    char text[128];
    int width = 0;
    for (int64_t i = 0; i < s->extent; i += s->every) {
        heatmap_axis_text(text, s->texts, i);
        width = max_int(width, font_text_width(text));
    }
    return width;
}

/* --- layout --- */

struct box {
    struct heatmap_place at;
    struct side rows, cols;
    int cells_w, cells_h; /* pixels of the cells */
    int bar_x, bar_h;
    int axis_y;    /* where the column axis begins */
    int caption_y; /* first line */
    int n_captions;
    int width, height; /* of it all */
};

static int cell_pixels(const struct heatmap *h)
{
    int64_t longest = h->rows > h->cols ? h->rows : h->cols;
    bool texts = h->row_texts || h->col_texts;
    int64_t px = (texts ? WANTED_TEXT_PX : WANTED_PX) / longest;
    if (texts && longest <= TEXT_CELLS_MAX) px = TEXT_CELL;
    return px < 1 ? 1 : px > 24 ? 24 : (int)px;
}

static int column_axis_height(const struct box *b)
{
    return TICK + 2 + (b->cols.texts ? side_text_width(&b->cols) : TEXT_H) + LINE_H + GAP;
}

static int text_width(const struct heatmap *h, int *n_captions)
{
    int w = max_int(font_text_width(h->title), font_text_width(h->subtitle));
    for (*n_captions = 0; *n_captions < HEATMAP_CAPTIONS && h->caption[*n_captions]; ++*n_captions)
        w = max_int(w, font_text_width(h->caption[*n_captions]));
    return w;
}

/* With its upper left corner at x, PAD */
static struct box lay_out(const struct heatmap *h, int x)
{
    struct box b = {.at = {.cell_px = cell_pixels(h), .strip_px = STRIP}};
    int px = b.at.cell_px;
    b.rows = make_side(h->rows, h->row_step, h->n_rows, h->row_texts, px, 2 * TEXT_H);
    b.cols = make_side(h->cols, h->col_step, h->n_cols, h->col_texts, px, 9 * TEXT_W);
    b.cells_w = (int)h->cols * px;
    b.cells_h = (int)h->rows * px;
    b.at.x0 = x + max_int(LEFT_MIN - PAD, side_text_width(&b.rows) + TICK + GAP);
    b.at.y0 = PAD + (h->title[0] ? LINE_H : 0) + (h->subtitle[0] ? LINE_H : 0) + LINE_H + GAP;
    int right = b.at.x0 + b.cells_w, below = b.at.y0 + b.cells_h;
    for (int i = 0; i < HEATMAP_STRIPS; i++) {
        if (!h->right[i].values) continue;
        b.at.right_x[i] = right + GAP;
        right += GAP + STRIP;
    }
    b.at.below_y = below + GAP;
    b.axis_y = h->below.values ? b.at.below_y + STRIP : below;
    b.bar_x = right + BAR_GAP;
    b.bar_h = max_int(b.cells_h, COLORBAR_H_MIN);
    b.caption_y = max_int(b.axis_y + column_axis_height(&b), b.at.y0 + b.bar_h + COLORBAR_BELOW) + GAP;
    int text_w = text_width(h, &b.n_captions);
    b.width = max_int(b.bar_x + COLORBAR_W + COLORBAR_LABEL_W - x, text_w);
    b.height = b.caption_y + b.n_captions * LINE_H + PAD;
    return b;
}

/* --- drawing --- */

static void draw_cells(struct canvas *c, const struct heatmap *h, const struct box *b)
{
    int px = b->at.cell_px;
    for (int64_t r = 0; r < h->rows; r++)
        for (int64_t k = 0; k < h->cols; k++)
            canvas_rect(c, b->at.x0 + (int)k * px, b->at.y0 + (int)r * px, px, px,
                        cell_color(&h->scale, h->cells[r * h->cols + k]));
    canvas_frame(c, b->at.x0, b->at.y0, b->cells_w, b->cells_h, INK_LINE);
}

static void draw_strips(struct canvas *c, const struct heatmap *h, const struct box *b)
{
    int px = b->at.cell_px;
    for (int i = 0; i < HEATMAP_STRIPS; i++) {
        const struct heatmap_strip *s = &h->right[i];
        if (!s->values) continue;
        for (int64_t r = 0; r < h->rows; r++)
            canvas_rect(c, b->at.right_x[i], b->at.y0 + (int)r * px, STRIP, px,
                        cell_color(&(struct color_scale){.lo = s->lo, .hi = s->hi}, s->values[r]));
        canvas_frame(c, b->at.right_x[i], b->at.y0, STRIP, b->cells_h, INK_LINE);
    }
    if (!h->below.values) return;
    for (int64_t k = 0; k < h->cols; k++)
        canvas_rect(c, b->at.x0 + (int)k * px, b->at.below_y, px, STRIP,
                    cell_color(&(struct color_scale){.lo = h->below.lo, .hi = h->below.hi}, h->below.values[k]));
    canvas_frame(c, b->at.x0, b->at.below_y, b->cells_w, STRIP, INK_LINE);
}

static void draw_row_axis(struct canvas *c, const struct heatmap *h, const struct box *b, int x)
{
    char text[128];
    for (int64_t row = 0; row < h->n_rows; row += b->rows.every) {
        int y = b->at.y0 + (int)(row / h->row_step) * b->at.cell_px + b->at.cell_px / 2;
        canvas_rect(c, b->at.x0 - 1 - TICK, y, TICK, 1, INK_LINE);
        heatmap_axis_text(text, h->row_texts, row);
        canvas_text_right(c, b->at.x0 - TICK - 4, y - TEXT_H / 2, INK_TEXT, text);
    }
    canvas_text(c, x, b->at.y0 - TEXT_H - GAP, INK_TEXT, h->row_label);
}

static void draw_column_axis(struct canvas *c, const struct heatmap *h, const struct box *b)
{
    char text[128];
    for (int64_t col = 0; col < h->n_cols; col += b->cols.every) {
        int x = b->at.x0 + (int)(col / h->col_step) * b->at.cell_px + b->at.cell_px / 2, y = b->axis_y + 1;
        canvas_rect(c, x, y, 1, TICK, INK_LINE);
        heatmap_axis_text(text, h->col_texts, col);
        int w = font_text_width(text);
        if (h->col_texts)
            canvas_text_up(c, x - TEXT_H / 2, y + TICK + 2 + w, INK_TEXT, text);
        else
            canvas_text(c, x - w / 2, y + TICK + 1, INK_TEXT, text);
    }
    canvas_text(c, b->at.x0, b->axis_y + column_axis_height(b) - LINE_H - 2, INK_TEXT, h->col_label);
}

static void draw_one(struct canvas *c, const struct heatmap *h, const struct box *b, int x)
{
    canvas_text(c, x, PAD, INK_TEXT, h->title);
    canvas_text(c, x, PAD + (h->title[0] ? LINE_H : 0), INK_TEXT, h->subtitle);
    draw_cells(c, h, b);
    draw_strips(c, h, b);
    draw_row_axis(c, h, b, x);
    draw_column_axis(c, h, b);
    colorbar_draw(c, &h->scale, b->bar_x, b->at.y0, b->bar_h);
    for (int i = 0; i < b->n_captions; i++)
        canvas_text(c, x, b->caption_y + i * LINE_H, INK_TEXT, h->caption[i]);
}

static enum status check_sizes(const struct heatmap *h, int n, struct error *err)
{
    for (int i = 0; i < n; i++)
        if (h[i].rows < 1 || h[i].cols < 1 || h[i].rows > HEATMAP_CELLS_MAX || h[i].cols > HEATMAP_CELLS_MAX)
            return error_set(err, STATUS_RANGE, "a heatmap of %lld x %lld cells is outside 1 to %d",
                             (long long)h[i].rows, (long long)h[i].cols, HEATMAP_CELLS_MAX);
    return STATUS_OK;
}

enum status heatmap_draw(struct canvas *c, const struct heatmap *h, int n, struct heatmap_place *places,
                         struct error *err)
{
    *c = (struct canvas){0};
    TRY(check_sizes(h, n, err));
    int x = PAD, height = 0;
    for (int i = 0; i < n; i++) {
        struct box b = lay_out(&h[i], x);
        x += b.width + PANEL_GAP;
        height = max_int(height, b.height);
    }
    TRY(canvas_init(c, x - PANEL_GAP + PAD, height, h[0].map, err));
    c->texts_apart = h[0].texts_apart;
    x = PAD;
    for (int i = 0; i < n; i++) {
        struct box b = lay_out(&h[i], x);
        draw_one(c, &h[i], &b, x);
        if (places) places[i] = b.at;
        x += b.width + PANEL_GAP;
    }
    return STATUS_OK;
}
