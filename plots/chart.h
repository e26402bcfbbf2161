/* Charts: lines, dots, bars and steps over two axes, in panels one below the other.
 *
 *     struct chart_series kl = {.name = "KL(A to B)", .mark = CHART_DOTS, .ink = INK_SERIES, .x = x, .y = y, .n = n};
 *     struct chart p = {.x = {.label = "position"}, .y = {.label = "KL (nats)", .log = true}, .series = &kl, .n_series = 1, .height = 400};
 *     axis_fit(&p.y, y, n); axis_round(&p.y); ...
 *     struct figure f = {.title = "...", .subtitle = "...", .panels = &p, .n_panels = 1};
 *     TRY(figure_draw(&c, &f, err));       p.place tells where the data are
 *     TRY(png_write(path, &c, notes, n_notes, err));
 *     canvas_clear(&c);
 *
 * What lies outside of the limits is drawn at the edge; what is NaN is not drawn and interrupts a line.
 */
#ifndef LATHE_CHART_H
#define LATHE_CHART_H

#include "plots/axis.h"
#include "plots/canvas.h"

enum chart_mark {
    CHART_DOTS,
    CHART_LINE,
    CHART_STEPS, /* outline of a histogram: x has n + 1 edges */
    CHART_BARS   /* the same, filled */
};
struct chart_series {
    const char *name; /* in the legend; NULL: not there */
    enum chart_mark mark;
    int ink;
    const double *x, *y;
    size_t n; /* of y */
};
/* A straight line across the panel, with its name at its end */
struct chart_rule {
    double at;
    bool vertical;
    int ink;
    const char *label; /* or NULL */
};
/* A point worth a name: a ring around it, the name above the panel */
struct chart_flag {
    double x, y;
    const char *text; /* UTF-8 */
};
/* Pixel of (axis_pixel(x, width), axis_pixel(y, height)): (x + the first, y + height - 1 - the second) */
struct chart_place {
    int x, y, width, height;
};
struct chart {
    const char *title; /* of the panel; NULL: none */
    struct axis x, y;
    const struct chart_series *series;
    int n_series;
    const struct chart_rule *rules;
    int n_rules;
    const struct chart_flag *flags;
    int n_flags;
    int height; /* of the data, in pixels */
    struct chart_place place; /* set by figure_draw */
};
enum { FIGURE_WIDTH = 1200, FIGURE_CAPTIONS = 6 };
struct figure {
    const char *title, *subtitle;
    const char *caption[FIGURE_CAPTIONS]; /* lines at the bottom, up to the first NULL */
    struct chart *panels;
    int n_panels;
    int width; /* of the picture; 0: FIGURE_WIDTH. Text that needs more widens it. */
    bool texts_apart; /* see struct canvas */
};
/* Creates and draws c (canvas_clear is the caller's). STATUS_RANGE for more pixels than a canvas has. */
enum status figure_draw(struct canvas *c, struct figure *f, struct error *err);

#endif
