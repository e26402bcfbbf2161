/* A picture of panels on its way, for the files that fill them: verify_plot.c, weights_plot.c.
 *
 *     struct drawing *d;
 *     TRY(drawing_new(&d, err));
 *     struct chart *p = drawing_panel(d, "title", 260);  then series and rules of that panel, and its axes
 *     drawing_caption(d, "...");
 *     st = drawing_encode(d, notes, n_notes, out, err);   notes and "Axes", which says where in the picture the data are
 *     drawing_free(d);
 *
 * Arrays of drawing_numbers and lines live as long as the drawing. */
#ifndef LATHE_DRAWING_H
#define LATHE_DRAWING_H

#include "plots/chart.h"
#include "plots/png.h"

enum {
    DRAWING_WIDTH = 1600,
    DRAWING_PANELS = 5,
    DRAWING_SERIES = N_SERIES,
    DRAWING_RULES = 72,
    DRAWING_DECADES = 8, /* of a logarithmic axis: what is smaller lies at its lower edge */
};
struct drawing {
    struct arena mem;
    struct chart panels[DRAWING_PANELS];
    int n_panels;
    struct chart_series series[DRAWING_PANELS][DRAWING_SERIES];
    struct chart_rule rules[DRAWING_PANELS][DRAWING_RULES];
    char title[400], subtitle[400];
    const char *captions[FIGURE_CAPTIONS];
    int n_captions;
    bool failed; /* memory ran out: told by drawing_encode */
};
enum status drawing_new(struct drawing **out, struct error *err);
void drawing_free(struct drawing *d);
/* n + 1 numbers, 0; NULL when memory ran out, and then the drawing fails at its end */
double *drawing_numbers(struct drawing *d, int64_t n);
/* A text that lives as long as the drawing */
const char *drawing_line(struct drawing *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void drawing_caption(struct drawing *d, const char *text);
struct chart *drawing_panel(struct drawing *d, const char *title, int height);
/* Of the last panel */
void drawing_series(struct drawing *d, const struct chart_series *s);
void drawing_rule(struct drawing *d, const struct chart_rule *r);
/* 0 .. n - 1 */
void drawing_count_axis(struct axis *a, const char *label, int64_t n);
/* Logarithmic, with room for all of v */
void drawing_log_axis(struct axis *a, const char *label, const double *v, int64_t n);
/* The last part of a path, for people */
void drawing_file_name(const char *path, char *dst, size_t size);
enum status drawing_encode(struct drawing *d, const struct png_note *notes, int n_notes, struct buf *out, struct error *err);

#endif
