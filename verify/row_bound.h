/* How far a row of weights may be from its original after an honest quantization. docs/numerics.md has the measurements behind it. */
#ifndef LATHE_ROW_BOUND_H
#define LATHE_ROW_BOUND_H

#include "core/row_distance.h"
#include "dtypes/dtype.h"

struct row_bound {
    double rel;              /* of row_bound_distance */
    double gain_lo, gain_hi; /* of row_bound_gain */
    /* of types that are half off: of whole rows, where single blocks say nothing */
    bool whole_rows;
    double cosine_lo;        /* of row_bound_cosine */
    double factor_lo, factor_hi; /* of row_bound_factor */
};
/* Between types a and b; rounds: numbers were multiplied by something on the way, or computed. */
void row_bound_set(struct row_bound *out, enum dtype a, enum dtype b, bool rounds);
/* Root mean square of the difference by that of the original row, or by a share of the mean row's (mean_xx: its sum of squares) where that is
 * larger: rows of almost nothing are no measure. */
double row_bound_distance(const struct row_distance *d, double mean_xx);
/* Share of the original that is left: <x, y> / <x, x>. 1 for rows of almost nothing. */
double row_bound_gain(const struct row_distance *d, double mean_xx);
/* <x, y> by both lengths: 0 where nothing is left. 1 for rows of almost nothing. */
double row_bound_cosine(const struct row_distance *d, double mean_xx);
/* <x, y> / <y, y>: by what y had to be multiplied to come closest to x. 1 where there is nothing to tell. */
double row_bound_factor(const struct row_distance *d, double mean_xx);

#endif
