#include "verify/row_bound.h"

#include "verify/tolerance.h"

#include <math.h>

#define LEAST_ROW 1e-4 /* of the mean row's sum of squares */
#define COMPUTED  1e-6 /* error of numbers that were multiplied or computed in float; observed 1.2e-7 */
/* Times the type's error on normally distributed weights. A block with one large weight and small ones that all vanish beside it is off by 3.9
 * times; observed over whole rows: 0.9 to 2.0. */
#define DISTANCE 4.5
/* What is left of a row or block. Where the largest weight of a block sets its steps, all others may be rounded the same way: 2.07 times the type's
 * error at most, observed 1.6. Finer searches and larger blocks come nowhere near that: observed 1.3 times down and 0.6 up. */
#define FINE        0.15
#define FINE_GAIN   2.1
#define COARSE_DOWN 1.5
#define COARSE_UP   1.25

/* From this error on an honest row may have nothing left: a sign for each of 128 weights of which one is large. Observed: 0.08 */
#define NOTHING_LEFT 0.5
/* A whole row of these still points where the original does, and its length fits. Ternary blocks keep the largest weight a and all of more than half its
 * size, as a: the worst direction is that of n - 1 weights of half the largest, all lost, a cosine of 1 / sqrt(1 + (n - 1) / 4), and what is kept is between a / 2 and
 * a. A sign for each of n keeps 1 / sqrt(n) of one weight among zeros, and stands for their mean size. The searches of IQ1 promise nothing, least with
 * an importance matrix: observed cosines of 0.61 and more, factors from 0.28 to 1.12; a third of that is asked. */
static const struct half_off {
    enum dtype type;
    double cosine, factor_lo, factor_hi;
} half_off[] = {
    {DTYPE_TQ1_0, 0.11, 0.5, 1}, {DTYPE_TQ2_0, 0.11, 0.5, 1}, {DTYPE_Q2_0, 0.22, 0.5, 1},
    {DTYPE_Q1_0, 0.08, 1, 1},    {DTYPE_IQ1_S, 0.2, 0.1, 3},   {DTYPE_IQ1_M, 0.2, 0.1, 3},
};
/* Scales are half-precision numbers; the original may be rounded itself, by its type's error. */
#define FACTOR_SLACK       0.01
#define FACTOR_SLACK_TYPES 2.0

/* Plain numbers that are cut off instead of rounded, as some tools do it: off by a whole step at most, which is 4.6 times the error of rounding */
#define CUT_OFF 5.0

/* Of two types of this kind, which both may come from a common original, nothing is known. */
static void set_whole_rows(struct row_bound *out, enum dtype a, enum dtype b)
{
    double fine = fmin(tolerance_type_error(a), tolerance_type_error(b)), slack = FACTOR_SLACK + FACTOR_SLACK_TYPES * fine;
    for (size_t i = 0; i < sizeof half_off / sizeof *half_off && fine < NOTHING_LEFT; i++) {
        const struct half_off *h = &half_off[i];
        if (h->type != a && h->type != b) continue;
        out->whole_rows = true;
        out->cosine_lo = h->cosine;
        out->factor_lo = h->factor_lo - slack;
        out->factor_hi = h->factor_hi + slack;
    }
}

void row_bound_set(struct row_bound *out, enum dtype a, enum dtype b, bool rounds)
{
    double e = fmax(tolerance_cast_error(a, b), tolerance_cast_error(b, a));
    if (rounds) e = fmax(fmax(e, tolerance_type_error(b)), COMPUTED);
    bool none = e >= NOTHING_LEFT;
    bool plain = dtype_info(a)->block_len == 1 && dtype_info(b)->block_len == 1, fine = e < FINE;
    *out = (struct row_bound){.rel = (plain ? CUT_OFF : DISTANCE) * e,
                              .gain_lo = none ? -1 : 1 - (plain ? CUT_OFF : fine ? FINE_GAIN : COARSE_DOWN) * e,
                              .gain_hi = 1 + (plain ? CUT_OFF : fine ? FINE_GAIN : COARSE_UP) * e};
    if (none) set_whole_rows(out, a, b);
}

double row_bound_distance(const struct row_distance *d, double mean_xx)
{
    double by = fmax(d->xx, LEAST_ROW * mean_xx);
    return by > 0 ? sqrt(d->dd / by) : d->dd > 0 ? (double)INFINITY : 0;
}

double row_bound_gain(const struct row_distance *d, double mean_xx)
{
    return d->xx > LEAST_ROW * mean_xx ? d->xy / d->xx : 1;
}

double row_bound_cosine(const struct row_distance *d, double mean_xx)
{
    if (!(d->xx > LEAST_ROW * mean_xx)) return 1;
    return d->yy > 0 ? d->xy / sqrt(d->xx * d->yy) : 0;
}

double row_bound_factor(const struct row_distance *d, double mean_xx)
{
    return d->xx > LEAST_ROW * mean_xx && d->yy > 0 ? d->xy / d->yy : 1;
}
