#include "plots/heatmap.h"

#include "plots/font.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Pixels around the cells. */
enum {
    PAD = 12,
    LEFT = 72,
    TOP = 64,
    BAR_GAP = 24,
    BAR_W = 20,
    BAR_TICKS = 5,
    BAR_LABEL_W = 104,
    AXIS_H = 44,
    LINE_H = 18,
    WANTED_PX = 720
};
enum { CELLS_MAX = 4096, BAR_H_MIN = 120 };

static int cell_pixels(const struct heatmap *h)
{
    int64_t longest = h->rows > h->cols ? h->rows : h->cols;
    int64_t px = WANTED_PX / longest;
    return px < 1 ? 1 : px > 24 ? 24 : (int)px;
}

static int cell_index(const struct heatmap *h, int64_t row, int64_t col)
{
    double v = h->cells[row * h->cols + col];
    return isnan(v) ? INK_NAN : colormap_level(v, h->lo, h->hi);
}

static void draw_cells(struct canvas *c, const struct heatmap *h, const struct heatmap_place *at)
{
    for (int64_t r = 0; r < h->rows; r++)
        for (int64_t k = 0; k < h->cols; k++)
            canvas_rect(c, at->x0 + (int)k * at->cell_px, at->y0 + (int)r * at->cell_px, at->cell_px,
                        at->cell_px, cell_index(h, r, k));
    canvas_frame(c, at->x0, at->y0, (int)h->cols * at->cell_px, (int)h->rows * at->cell_px, INK_LINE);
}

/* Distance between tick labels in original units: 1, 2 or 5 times a power of ten (or 64 … 8192 where dimensions are powers of two). */
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

static void draw_axes(struct canvas *c, const struct heatmap *h, const struct heatmap_place *at)
{
    char text[32];
    int width = (int)h->cols * at->cell_px, height = (int)h->rows * at->cell_px;
    int64_t step = tick_step(h->n_rows, height, 2 * TEXT_H);
    for (int64_t row = 0; row < h->n_rows; row += step) {
        int y = at->y0 + (int)(row / h->row_step) * at->cell_px + at->cell_px / 2;
        canvas_rect(c, at->x0 - 6, y, 5, 1, INK_LINE);
        snprintf(text, sizeof text, "%lld", (long long)row);
        canvas_text_right(c, at->x0 - 9, y - TEXT_H / 2, INK_TEXT, text);
    }
    step = tick_step(h->n_cols, width, 9 * TEXT_W);
    for (int64_t col = 0; col < h->n_cols; col += step) {
        int x = at->x0 + (int)(col / h->col_step) * at->cell_px + at->cell_px / 2;
        canvas_rect(c, x, at->y0 + height + 1, 1, 5, INK_LINE);
        snprintf(text, sizeof text, "%lld", (long long)col);
        canvas_text(c, x - (int)strlen(text) * TEXT_W / 2, at->y0 + height + 7, INK_TEXT, text);
    }
    canvas_text(c, PAD, at->y0 - TEXT_H - 6, INK_TEXT, h->row_label);
    canvas_text(c, at->x0, at->y0 + height + 7 + LINE_H, INK_TEXT, h->col_label);
}

static void draw_bar(struct canvas *c, const struct heatmap *h, int x, int y, int height)
{
    char text[40];
    for (int i = 0; i < height; i++) {
        int level = (height - 1 - i) * (N_LEVELS - 1) / (height - 1);
        canvas_rect(c, x, y + i, BAR_W, 1, level);
    }
    canvas_frame(c, x, y, BAR_W, height, INK_LINE);
    for (int i = 0; i < BAR_TICKS; i++) {
        int ty = y + height - 1 - i * (height - 1) / (BAR_TICKS - 1);
        double v = h->lo + (h->hi - h->lo) * i / (BAR_TICKS - 1);
        bool beyond = (i == 0 && h->clipped_lo) || (i == BAR_TICKS - 1 && h->clipped_hi);
        canvas_rect(c, x + BAR_W + 1, ty, 5, 1, INK_LINE);
        snprintf(text, sizeof text, "%s%.4g", beyond ? (i == 0 ? "<= " : ">= ") : "", v);
        canvas_text(c, x + BAR_W + 9, ty - TEXT_H / 2, INK_TEXT, text);
    }
    canvas_text(c, x, y + height + 10, INK_TEXT, h->unit);
}

enum status heatmap_draw(struct canvas *c, const struct heatmap *h, struct heatmap_place *place,
                         struct error *err)
{
    memset(c, 0, sizeof *c);
    if (h->rows < 1 || h->cols < 1 || h->rows > CELLS_MAX || h->cols > CELLS_MAX)
        return error_set(err, STATUS_RANGE, "a heatmap of %lld x %lld cells is outside 1 to %d",
                         (long long)h->rows, (long long)h->cols, CELLS_MAX);
    struct heatmap_place at = {.x0 = LEFT, .y0 = TOP + LINE_H, .cell_px = cell_pixels(h)};
    int width = (int)h->cols * at.cell_px, height = (int)h->rows * at.cell_px;
    int bar_h = height < BAR_H_MIN ? BAR_H_MIN : height;
    int text_w = font_text_width(h->title);
    if (font_text_width(h->subtitle) > text_w) text_w = font_text_width(h->subtitle);
    int n_captions = 0;
    for (; n_captions < 3 && h->caption[n_captions]; n_captions++)
        if (font_text_width(h->caption[n_captions]) > text_w)
            text_w = font_text_width(h->caption[n_captions]);

    int total_w = LEFT + width + BAR_GAP + BAR_W + BAR_LABEL_W + PAD;
    if (text_w + 2 * PAD > total_w) total_w = text_w + 2 * PAD;
    int total_h = at.y0 + bar_h + AXIS_H + n_captions * LINE_H + PAD;
    TRY(canvas_init(c, total_w, total_h, h->map, err));

    canvas_text(c, PAD, PAD, INK_TEXT, h->title);
    canvas_text(c, PAD, PAD + LINE_H, INK_TEXT, h->subtitle);
    draw_cells(c, h, &at);
    draw_axes(c, h, &at);
    draw_bar(c, h, LEFT + width + BAR_GAP, at.y0, bar_h);
    for (int i = 0; i < n_captions; i++)
        canvas_text(c, PAD, at.y0 + bar_h + AXIS_H + i * LINE_H, INK_TEXT, h->caption[i]);
    if (place) *place = at;
    return STATUS_OK;
}
