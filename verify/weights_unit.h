/* Some rows of a pair of tensors, laid side by side: the unit of work of --weights, and what is found out about them. */
#ifndef LATHE_WEIGHTS_UNIT_H
#define LATHE_WEIGHTS_UNIT_H

#include "verify/row_bound.h"
#include "core/weight_pairs.h"

/* How a pair is looked at */
struct weight_check {
    const struct weight_pair *pair;
    bool b_is_original; /* the side of the finer type, else A */
    bool strict;        /* what one side holds follows from the other: equality is asked for, whatever the distance */
    bool weighted;      /* made with an importance matrix: blocks that it says do not matter may be anything */
    int64_t block;      /* columns that are encoded together */
    struct row_bound bound;
};
void weight_check_set(struct weight_check *c, const struct weight_pair *pair, bool weighted);

/* Rows are counted from the pair's first. */
struct rows_found {
    int64_t n, first;
};
struct unit_result {
    double xx, dd, max_abs_diff; /* sums over elements where both are finite; x is the original */
    int64_t n_bad;               /* elements where one side alone is finite */
    bool differ_in_bits;
    struct rows_found unequal_ab, unequal_ba; /* B is not A cast to its type; the other way */
    struct rows_found off;                    /* further off than the types explain */
    int64_t worst_row;
    double worst_rel, gain_min, gain_max;
    double cosine_min, factor_min, factor_max; /* of whole rows, where they are asked for */
};
/* Where it begins: nothing found */
#define UNIT_RESULT_INIT {.gain_min = 1, .gain_max = 1, .cosine_min = 1, .factor_min = 1, .factor_max = 1}
/* part follows sum. */
void unit_result_add(struct unit_result *sum, const struct unit_result *part);

/* What a worker holds */
struct unit_scratch {
    struct plan_scratch read;
    float *x, *y, *cast; /* of the original, of the other */
    void *raw;
    struct row_distance *blocks; /* of a row */
};
/* For units of n elements, in rows of n_cols at most */
enum status unit_scratch_open(struct unit_scratch *s, int64_t n, int64_t n_cols, struct error *err);
void unit_scratch_close(struct unit_scratch *s);
/* Reads rows [row, row + n_rows) of both sides and compares them. */
enum status unit_compare(const struct weight_check *c, int64_t row, int64_t n_rows, struct unit_scratch *s,
                         struct unit_result *out, struct error *err);

#endif
