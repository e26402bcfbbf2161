/* What a lossy type did to a tensor's weights: x before, y after.
 *
 *     struct damage d = {0};
 *     damage_add(&d, row, x, y, n_rows, n_per_row, block_len);     rows in any order, by any thread (each with its own, then damage_join)
 *     struct damage_figures f = damage_figures(&d);
 *
 * Blocks are runs of block_len elements, counted from the tensor's first element. Figures do not depend on how the rows were shared out. Sums
 * inside a few blocks are taken in single precision where that is safe for the whole row (relative error about 1e-6), inside a row in double, and of rows
 * exactly; the same bits for every instruction set.
 */
#ifndef LATHE_DAMAGE_H
#define LATHE_DAMAGE_H

#include "core/exact_sum.h"

#include <stdbool.h>

struct damage {
    struct exact_sum ee, xx, xe; /* e = y - x */
    int64_t n;
    int64_t worst;       /* block with the largest sum of squared errors, the first of equal ones */
    double worst_ee;
    int64_t worst_len;
    /* what is no rounding */
    uint64_t n_flushed;  /* elements that are not 0 in a block that came back as zeros */
    uint64_t n_bad;      /* elements of x or y that are not finite; their blocks are left out of the sums */
    int64_t first_bad;   /* valid when n_bad > 0 */
};
/* Whole rows from number `row` of the tensor on; n_per_row is a multiple of block_len. */
void damage_add(struct damage *d, int64_t row, const float *x, const float *y, int64_t n_rows, int64_t n_per_row, int64_t block_len);
void damage_join(struct damage *d, const struct damage *part);

struct damage_figures {
    int64_t n;
    double rmse;           /* sqrt(sum e^2 / n) */
    double relative;       /* sqrt(sum e^2 / sum x^2); 0 where x is all zero */
    double one_minus_cos;  /* of the angle between x and y; 0 where one of them is all zero */
    int64_t worst_block;   /* counted from the tensor's first element */
    double worst_rmse;     /* of that block */
};
struct damage_figures damage_figures(struct damage *d);

#endif
