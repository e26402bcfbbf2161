/* Which rows of which tensors of two models hold the same weights. */
#ifndef LATHE_WEIGHT_PAIRS_H
#define LATHE_WEIGHT_PAIRS_H

#include "core/canonical.h"

/* Rows [row_a, row_a + n_rows) of a and [row_b, row_b + n_rows) of b; or a tensor (or a part of one) that only one side has: the other is NULL. */
struct weight_pair {
    const struct canonical_tensor *a, *b;
    int64_t row_a, row_b, n_rows;
};
struct weight_pairs {
    struct weight_pair *items; /* in A's order, what only B has last; owned */
    size_t n, cap;
};
/* Tensors are paired by name in the unified format, else by role; where one side has in one tensor what the other has in several, by parts; an output matrix that one side has not
 * is its embedding. STATUS_MISMATCH for a pair of different sizes, STATUS_UNSUPPORTED for two architectures that order rotated rows differently. */
enum status weight_pairs_make(struct weight_pairs *out, const struct canonical *a, const struct canonical *b, struct error *err);
void weight_pairs_clear(struct weight_pairs *p);

#endif
