#include "plots/axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void axis_fit(struct axis *a, const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double v = values[i];
        if (!isfinite(v) || (a->log && !(v > 0))) continue;
        if (!a->fitted || v < a->lo) a->lo = v;
        if (!a->fitted || v > a->hi) a->hi = v;
        a->fitted = true;
    }
}

void axis_limit_decades(struct axis *a, int decades)
{
    double least = a->hi * pow(10, -decades);
    if (a->log && a->fitted && a->lo < least) a->lo = least;
}

/* 1, 2 or 5 times a power of ten: the smallest that is not below x > 0 */
static double nice_step(double x)
{
    double power = pow(10, floor(log10(x)));
    static const double factors[] = {1, 2, 5, 10};
    for (int i = 0; i < 3; i++)
        if (factors[i] * power >= x * (1 - 1e-9)) return factors[i] * power;
    return 10 * power;
}

static double decade(double v, double (*to_whole)(double))
{
    return pow(10, to_whole(log10(v) + (to_whole == ceil ? -1e-9 : 1e-9)));
}

/* To whole powers of ten; what would fill less than one of them, to 1, 2 or 5 times one */
static void round_log(struct axis *a)
{
    bool narrow = a->hi < 10 * a->lo * (1 - 1e-9);
    double below = decade(a->lo, floor);
    double lo = !narrow ? below : a->lo >= 5 * below * (1 - 1e-9) ? 5 * below : a->lo >= 2 * below * (1 - 1e-9) ? 2 * below : below;
    a->hi = narrow ? nice_step(a->hi) : decade(a->hi, ceil);
    a->lo = lo;
    if (!(a->hi > a->lo)) a->hi = 10 * a->lo;
}

void axis_round(struct axis *a)
{
    if (!a->fitted) {
        a->lo = a->log ? 0.1 : 0;
        a->hi = 1;
    } else if (a->log) {
        round_log(a);
    } else {
        double span = a->hi - a->lo, size = fmax(fabs(a->lo), fabs(a->hi));
        double step = span > 1e-9 * size ? nice_step(span / 5) : size > 0 ? size : 1;
        a->lo = step * floor(a->lo / step + 1e-9);
        a->hi = step * ceil(a->hi / step - 1e-9);
        if (!(a->hi > a->lo)) a->hi = a->lo + step;
    }
    a->fitted = true;
}

static double along(const struct axis *a, double v)
{
    return a->log ? log10(v / a->lo) / log10(a->hi / a->lo) : (v - a->lo) / (a->hi - a->lo);
}

int axis_pixel(const struct axis *a, double v, int n_pixels)
{
    if (!(v > a->lo)) return 0;
    if (v >= a->hi) return n_pixels - 1;
    return (int)lround(along(a, v) * (n_pixels - 1));
}

double axis_value(const struct axis *a, int pixel, int n_pixels)
{
    double u = n_pixels > 1 ? (double)pixel / (n_pixels - 1) : 0;
    return a->log ? a->lo * pow(a->hi / a->lo, u) : a->lo + (a->hi - a->lo) * u;
}

struct tick_list {
    struct axis_tick *ticks;
    int n;
};

static void add(struct tick_list *l, const struct axis *a, double v, bool labelled)
{
    double slack = 1e-9 * (a->log ? v : a->hi - a->lo);
    if (v < a->lo - slack || v > a->hi + slack || l->n == AXIS_TICKS_MAX) return;
    l->ticks[l->n++] = (struct axis_tick){v, labelled};
}

/* Whole powers of ten, of which every k-th has a label; where there is room, marks at 2 .. 9 times each, too. */
static void log_ticks(struct tick_list *l, const struct axis *a, int n_pixels, int label_px)
{
    int first = (int)floor(log10(a->lo) + 1e-9), last = (int)ceil(log10(a->hi) - 1e-9);
    int n_decades = last > first ? last - first : 1, wanted = n_pixels / label_px;
    int every = wanted < 1 ? n_decades : (n_decades + wanted - 1) / wanted;
    double per_decade = n_pixels / log10(a->hi / a->lo);
    bool minor = n_decades <= AXIS_TICKS_MAX / 9 - 1 && per_decade >= 24;
    /* Less than two powers of ten are no scale to read from. */
    bool label_minor = n_decades <= 2 && per_decade >= 4 * label_px;
    for (int d = first; d <= last; d++) {
        double power = pow(10, d);
        bool labelled = (d - first) % every == 0;
        if (labelled || n_decades <= AXIS_TICKS_MAX / 2) add(l, a, power, labelled);
        for (int k = 2; minor && k < 10; k++) add(l, a, k * power, label_minor && (k == 2 || k == 5));
    }
}

static void linear_ticks(struct tick_list *l, const struct axis *a, int n_pixels, int label_px)
{
    int wanted = n_pixels / label_px;
    double step = nice_step((a->hi - a->lo) / (wanted < 1 ? 1 : wanted > 20 ? 20 : wanted));
    for (double i = ceil(a->lo / step - 1e-9); i * step <= a->hi + 1e-9 * step && l->n < AXIS_TICKS_MAX; i++)
        add(l, a, i * step + 0.0, true); /* no -0 */
}

int axis_ticks(const struct axis *a, int n_pixels, int label_px, struct axis_tick ticks[AXIS_TICKS_MAX])
{
    struct tick_list l = {ticks, 0};
    if (a->log)
        log_ticks(&l, a, n_pixels, label_px);
    else
        linear_ticks(&l, a, n_pixels, label_px);
    return l.n;
}

void axis_number(char *out, size_t size, double v)
{
    char text[40];
    double magnitude = fabs(v);
    if (magnitude >= 1e5 && magnitude < 1e7 && v == floor(v))
        snprintf(text, sizeof text, "%.0f", v);
    else
        snprintf(text, sizeof text, "%.6g", v);
    /* 1e-06 is 1e-6 */
    char *e = strchr(text, 'e');
    if (e) {
        char *digits = e + (e[1] == '-' || e[1] == '+' ? 2 : 1);
        char *rest = digits;
        while (*rest == '0' && rest[1] != '\0') rest++;
        memmove(digits, rest, strlen(rest) + 1);
        if (e[1] == '+') memmove(e + 1, e + 2, strlen(e + 2) + 1);
    }
    snprintf(out, size, "%s", text);
}
