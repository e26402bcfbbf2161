/* A scale of numbers along one side of a chart: limits, pixels, ticks.
 *
 *     struct axis a = {.label = "KL (nats)", .log = true};
 *     axis_fit(&a, values, n);       limits that hold all finite values (on a log scale: all positive ones)
 *     axis_round(&a);                outwards to whole ticks
 *     int i = axis_pixel(&a, v, 400);
 *
 * An axis that was given no value is 0 .. 1, or 0.1 .. 1 where it is logarithmic.
 */
#ifndef LATHE_AXIS_H
#define LATHE_AXIS_H

#include <stdbool.h>
#include <stddef.h>

struct axis {
    const char *label;
    double lo, hi; /* lo < hi once it was rounded */
    bool log;
    bool fitted; /* lo and hi mean something */
};
void axis_fit(struct axis *a, const double *values, size_t n);
/* On a log scale: lo is at most this many powers of ten below hi. What is smaller is drawn at the edge. */
void axis_limit_decades(struct axis *a, int decades);
void axis_round(struct axis *a);
/* 0 .. n_pixels - 1, from lo to hi, rounded to the nearest; what lies outside is at the edge. v must not be NaN. */
int axis_pixel(const struct axis *a, double v, int n_pixels);
/* The other way: the value in the middle of that pixel */
double axis_value(const struct axis *a, int pixel, int n_pixels);

struct axis_tick {
    double value;
    bool labelled;
};
enum { AXIS_TICKS_MAX = 128 };
/* Ticks within the limits, ascending, with at most one label per label_px pixels; their number. */
int axis_ticks(const struct axis *a, int n_pixels, int label_px, struct axis_tick ticks[AXIS_TICKS_MAX]);
/* A number as short as it can be said: 0.001, 1e-6, 20000 */
void axis_number(char *out, size_t size, double v);

#endif
