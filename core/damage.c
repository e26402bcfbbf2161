#include "core/damage.h"
#include "base/cpu.h"
#include "core/damage_row.h"

#include <math.h>

struct sums {
    double ee, xx, xe;
};

static damage_row_fn *row_fast(void)
{
#if defined(__x86_64__)
    if (cpu_has_avx512()) return damage_row_avx512;
    if (cpu_has_avx2()) return damage_row_avx2;
#endif
    return damage_row_portable;
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
    bool bad;
    struct sums s = sum_double(x, y, len);
    look_closely(d, first, x, y, len, &bad);
    if (bad) return;
    row->ee += s.ee;
    row->xx += s.xx;
    row->xe += s.xe;
    take_worst(d, s.ee, first / len, len);
}

static struct sums add_row(struct damage *d, int64_t first, const float *x, const float *y, int64_t n, int64_t len)
{
    struct damage_row fast = {.worst_ee = -1};
    struct sums s = {0};
    if (len % 16 == 0 && row_fast()(x, y, n, len, &fast)) {
        take_worst(d, fast.worst_ee, first / len + fast.worst, len);
        return (struct sums){fast.ee, fast.xx, fast.xe};
    }
    for (int64_t i = 0; i < n; i += len) add_block(d, &s, first + i, x + i, y + i, len);
    return s;
}

void damage_add(struct damage *d, int64_t row, const float *x, const float *y, int64_t n_rows, int64_t n_per_row, int64_t block_len)
{
    for (int64_t r = 0; r < n_rows; r++, row++, x += n_per_row, y += n_per_row) {
        struct sums s = add_row(d, row * n_per_row, x, y, n_per_row, block_len);
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
