#include "core/damage.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 };
struct sums {
    double ee, xx, xe;
};

/* Lanes add up side by side in a fixed order, so that wider instructions give the same bits. */
static inline __attribute__((always_inline)) struct sums sum_lanes(const float *x, const float *y, int64_t n)
{
    float ee[LANES] = {0}, xx[LANES] = {0}, xe[LANES] = {0};
    for (int64_t i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float v = x[i + k], e = y[i + k] - v;
            ee[k] += e * e;
            xx[k] += v * v;
            xe[k] += v * e;
        }
    struct sums s = {0};
    for (int k = 0; k < LANES; k++) {
        s.ee += (double)ee[k];
        s.xx += (double)xx[k];
        s.xe += (double)xe[k];
    }
    return s;
}

static struct sums sum_fast_base(const float *x, const float *y, int64_t n)
{
    return sum_lanes(x, y, n);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static struct sums sum_fast_avx2(const float *x, const float *y, int64_t n)
{
    return sum_lanes(x, y, n);
}
#endif

static struct sums sum_fast(const float *x, const float *y, int64_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return sum_fast_avx2(x, y, n);
#endif
    return sum_fast_base(x, y, n);
}

static struct sums sum_double(const float *x, const float *y, int64_t n)
{
    struct sums s = {0};
    for (int64_t i = 0; i < n; i++) {
        double v = (double)x[i], e = (double)y[i] - v;
        s.ee += e * e;
        s.xx += v * v;
        s.xe += v * e;
    }
    return s;
}

/* Squares of floats that are neither tiny nor huge: products lose nothing to the ends of the range. */
static bool is_safe(const struct sums *s)
{
    return s->xx > 1e-10 && s->xx < 1e30 && s->ee < 1e30;
}

/* Elements that are not finite, or were flushed: found one by one where the sums say that there may be some. */
static void look_closely(struct damage *d, int64_t first, const float *x, const float *y, int64_t n, bool *bad)
{
    uint64_t n_nonzero = 0, n_bad = 0;
    bool all_zero = true;
    for (int64_t i = 0; i < n; i++) {
        n_nonzero += x[i] != 0;
        all_zero &= y[i] == 0;
        if (isfinite(x[i]) && isfinite(y[i])) continue;
        if (d->n_bad + n_bad == 0 || first + i < d->first_bad) d->first_bad = first + i;
        n_bad++;
    }
    if (all_zero) d->n_flushed += n_nonzero;
    d->n_bad += n_bad;
    *bad = n_bad > 0;
}

static void take_worst(struct damage *d, double ee, int64_t block, int64_t len)
{
    if (d->worst_len > 0 && (ee < d->worst_ee || (!(ee > d->worst_ee) && block >= d->worst))) return;
    d->worst_ee = ee;
    d->worst = block;
    d->worst_len = len;
}

static void add_block(struct damage *d, struct sums *row, int64_t first, const float *x, const float *y, int64_t len)
{
    bool bad = false;
    struct sums s = len % LANES == 0 ? sum_fast(x, y, len) : sum_double(x, y, len);
    /* a block of zeros has lost all that it held: ee = xx */
    if (!is_safe(&s) || s.ee >= s.xx) {
        look_closely(d, first, x, y, len, &bad);
        s = sum_double(x, y, len);
    }
    if (bad) return;
    row->ee += s.ee;
    row->xx += s.xx;
    row->xe += s.xe;
    take_worst(d, s.ee, first / len, len);
}

void damage_add(struct damage *d, int64_t row, const float *x, const float *y, int64_t n_rows, int64_t n_per_row, int64_t block_len)
{
    for (int64_t r = 0; r < n_rows; r++, row++, x += n_per_row, y += n_per_row) {
        struct sums s = {0};
        for (int64_t i = 0; i < n_per_row; i += block_len) add_block(d, &s, row * n_per_row + i, x + i, y + i, block_len);
        exact_sum_add(&d->ee, s.ee);
        exact_sum_add(&d->xx, s.xx);
        exact_sum_add(&d->xe, s.xe);
        d->n += n_per_row;
    }
}

void damage_join(struct damage *d, const struct damage *part)
{
    exact_sum_join(&d->ee, &part->ee);
    exact_sum_join(&d->xx, &part->xx);
    exact_sum_join(&d->xe, &part->xe);
    if (part->n_bad > 0 && (d->n_bad == 0 || part->first_bad < d->first_bad)) d->first_bad = part->first_bad;
    d->n += part->n;
    d->n_bad += part->n_bad;
    d->n_flushed += part->n_flushed;
    if (part->worst_len > 0) take_worst(d, part->worst_ee, part->worst, part->worst_len);
}

struct damage_figures damage_figures(struct damage *d)
{
    struct damage_figures f = {.n = d->n, .worst_block = d->worst};
    double ee = exact_sum_value(&d->ee), xx = exact_sum_value(&d->xx), xe = exact_sum_value(&d->xe);
    double yy = xx + 2 * xe + ee;
    if (d->n > 0) f.rmse = sqrt(ee / (double)d->n);
    if (d->worst_len > 0) f.worst_rmse = sqrt(d->worst_ee / (double)d->worst_len);
    if (xx > 0) f.relative = sqrt(ee / xx);
    if (xx > 0 && yy > 0) {
        /* 1 - cos without the cancellation: sin^2 / (1 + cos); the squares of the two norms, less that of the product */
        double sin2 = (ee - xe * (xe / xx)) / yy, cos = (xx + xe) / (sqrt(xx) * sqrt(yy));
        f.one_minus_cos = cos > 0 ? (sin2 > 0 ? sin2 / (1 + cos) : 0) : 1 - cos;
    }
    return f;
}
