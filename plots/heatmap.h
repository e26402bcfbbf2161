/* A matrix as a labelled picture: title, axes with original indices or texts, colour bar, strips of a number per row or column, caption.
 *
 *     struct heatmap h = {.title = ..., .cells = values, .rows = 3, .cols = 4, .row_step = 1, ..., .scale = {-1, 1}};
 *     TRY(heatmap_draw(&canvas, &h, 1, &place, err));         one; or n of them side by side, the same height or not
 *
 * Cells are squares of whole pixels, never stretched.
 */
#ifndef LATHE_HEATMAP_H
#define LATHE_HEATMAP_H

#include "plots/colorbar.h"

enum { HEATMAP_CAPTIONS = 6, HEATMAP_STRIPS = 2, HEATMAP_CELLS_MAX = 4096 };
/* Numbers beside the cells, on a scale of their own in the same colours */
struct heatmap_strip {
    const double *values; /* one for each row (column) of cells; NULL: no strip */
    double lo, hi;
};
struct heatmap {
    const char *title, *subtitle; /* "": none */
    const char *row_label, *col_label;
    /* n_rows, n_cols texts beside the indices, or NULL */
    const char *const *row_texts, *const *col_texts;
    const char *caption[HEATMAP_CAPTIONS]; /* lines under the picture, up to the first NULL */
    const double *cells;                   /* rows × cols; see plots/colorbar.h for what is no number */
    int64_t rows, cols;
    int64_t row_step, col_step; /* original rows and columns per cell, for the tick labels */
    int64_t n_rows, n_cols;     /* original extent */
    struct color_scale scale;
    struct heatmap_strip right[HEATMAP_STRIPS], below;
    enum colormap map;
    bool texts_apart; /* see struct canvas */
};
/* Where the cells are: cell (r, c) covers cell_px × cell_px pixels from (x0 + c * cell_px, y0 + r * cell_px). Strips are strip_px thick:
 * cell r of strip i at (right_x[i], y0 + r * cell_px), cell c of the lower one at (x0 + c * cell_px, below_y). */
struct heatmap_place {
    int x0, y0, cell_px;
    int right_x[HEATMAP_STRIPS], below_y, strip_px;
};
/* Creates and draws c (canvas_clear is the caller's), the maps side by side with the colour map of the first. places: n of them, or NULL.
 * STATUS_RANGE for sides outside 1 .. HEATMAP_CELLS_MAX. */
enum status heatmap_draw(struct canvas *c, const struct heatmap *h, int n, struct heatmap_place *places,
                         struct error *err);
/* What the axis says at original row i: "12", or "␣Paris 12", cut to a width that a margin has. */
void heatmap_axis_text(char dst[128], const char *const *texts, int64_t i);

#endif
