/* A matrix as a labelled picture: title, axes with original indices, colour bar, caption. */
#ifndef LATHE_HEATMAP_H
#define LATHE_HEATMAP_H

#include "plots/canvas.h"

struct heatmap {
    const char *title, *subtitle;
    const char *row_label, *col_label; /* "output row", "input column" */
    const char *caption[3];            /* lines under the picture; NULL: none */
    const char *unit;                  /* under the colour bar, or "" */
    const double *cells;               /* rows × cols; NaN is drawn in the reserved colour */
    int64_t rows, cols;
    int64_t row_step, col_step; /* original rows and columns per cell, for the tick labels */
    int64_t n_rows, n_cols;     /* original extent */
    double lo, hi; /* limits of the colours, lo < hi; what lies outside is clipped and marked on the bar */
    bool clipped_lo, clipped_hi;
    enum colormap map;
};
/* Where the cells are: cell (r, c) covers cell_px × cell_px pixels from (x0 + c * cell_px, y0 + r * cell_px). */
struct heatmap_place {
    int x0, y0, cell_px;
};
/* Creates and draws c (canvas_clear is the caller's). place may be NULL. */
enum status heatmap_draw(struct canvas *c, const struct heatmap *h, struct heatmap_place *place,
                         struct error *err);

#endif
