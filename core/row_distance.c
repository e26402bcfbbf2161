#include "core/row_distance.h"

#include <math.h>
#include <string.h>

enum { LANES = 8 };

static bool same_number(float x, float y)
{
    return x == y || (x != x && y != y);
}

bool rows_equal(const float *x, const float *y, int64_t n)
{
    if (memcmp(x, y, (size_t)n * sizeof *x) == 0) return true;
    int64_t i = 0;
    while (i < n && same_number(x[i], y[i])) i++;
    return i == n;
}

struct lanes {
    double xx[LANES], yy[LANES], xy[LANES], dd[LANES], max[LANES];
};

static void add(struct lanes *s, const float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            double a = (double)x[i + k], b = (double)y[i + k], d = fabs(a - b);
            s->xx[k] += a * a;
            s->yy[k] += b * b;
            s->xy[k] += a * b;
            s->dd[k] += d * d;
            s->max[k] = s->max[k] > d ? s->max[k] : d;
        }
    for (int64_t i = n / LANES * LANES, k = 0; i < n; i++, k++) {
        double a = (double)x[i], b = (double)y[i], d = fabs(a - b);
        s->xx[k] += a * a;
        s->yy[k] += b * b;
        s->xy[k] += a * b;
        s->dd[k] += d * d;
        s->max[k] = s->max[k] > d ? s->max[k] : d;
    }
}

static double sum(const double v[LANES])
{
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

static void total(const struct lanes *s, struct row_distance *out)
{
    out->xx = sum(s->xx);
    out->yy = sum(s->yy);
    out->xy = sum(s->xy);
    out->dd = sum(s->dd);
    out->max_abs_diff = 0;
    for (int k = 0; k < LANES; k++) out->max_abs_diff = fmax(out->max_abs_diff, s->max[k]);
}

/* A row with NaN or infinities, element by element */
static void add_slowly(const float *x, const float *y, int64_t n, struct row_distance *out)
{
    struct lanes s = {0};
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(x[i]) && isfinite(y[i]))
            add(&s, x + i, y + i, 1);
        else
            out->n_bad += !same_number(x[i], y[i]);
    }
    total(&s, out);
}

void row_distance(const float *x, const float *y, int64_t n, struct row_distance *out)
{
    struct lanes s = {0};
    *out = (struct row_distance){.same_bits = memcmp(x, y, (size_t)n * sizeof *x) == 0};
    add(&s, x, y, n);
    total(&s, out);
    if (!isfinite(out->xx) || !isfinite(out->yy)) add_slowly(x, y, n, out);
}
