/* What pictures made of coloured cells share: a cell's colour, and the bar that explains the colours. */
#ifndef LATHE_COLORBAR_H
#define LATHE_COLORBAR_H

#include "plots/canvas.h"

#include <math.h>

/* Cells that are no numbers: not part of the data (flat grey); nothing at all (paper). NaN is the reserved colour. */
#define CELL_MASKED ((double)-INFINITY)
#define CELL_EMPTY  ((double)INFINITY)

struct color_scale {
    double lo, hi; /* limits of the colours, lo < hi; what lies outside is clipped and marked on the bar */
    bool clipped_lo, clipped_hi;
    const char *unit; /* under the bar, or "" */
};
/* Palette index */
int cell_color(const struct color_scale *s, double value);

/* Magnitude that this part of the finite cells does not exceed, and the largest. Where the largest is hardly more, both are it. All zeros, or no
 * number at all: both 0. */
struct color_limits {
    double limit, largest;
    double quantile;
};
enum status color_limits(struct color_limits *l, const double *cells, size_t n, double quantile, struct error *err);
/* Limits from -limit (is_signed) or 0 on; of a limit of 0 any do, and it is 1. */
struct color_scale color_scale_of(const struct color_limits *l, bool is_signed, const char *unit);
/* "colours end at 0.12 (99.9 % of the cells); the largest magnitude is 0.7" */
void color_limits_text(char *dst, size_t size, const struct color_limits *l);

enum { COLORBAR_W = 20, COLORBAR_LABEL_W = 104, COLORBAR_H_MIN = 120, COLORBAR_BELOW = 28 };
/* The bar with its frame, five ticks, and the unit in the COLORBAR_BELOW pixels under it. */
void colorbar_draw(struct canvas *c, const struct color_scale *s, int x, int y, int height);

#endif
