/* --weights: two forms of a model tensor by tensor, without a forward pass.
 *
 * Both sides are brought into the layout of the unified format by the rules that convert uses (rows reordered, matrices transposed, put
 * together, factors applied: core/canonical.h), and compared row by row as numbers. So this proves bytes, not the rules: a wrong rule shows in
 * the forward pass only. Receipts are not needed and not believed.
 */
#ifndef LATHE_WEIGHTS_H
#define LATHE_WEIGHTS_H

#include "base/json.h"
#include "base/progress.h"
#include "base/workers.h"
#include "models/model.h"

enum weight_verdict {
    WEIGHT_EXACT,     /* same type, same bytes */
    WEIGHT_CAST,      /* one side holds what a cast of the other's numbers to its type gives */
    WEIGHT_QUANTIZED, /* one side's type is coarser, and no row is further off than that explains */
    WEIGHT_DIFFERENT,
    WEIGHT_MISSING, /* only A has it */
    WEIGHT_EXTRA,   /* only B has it */
};
struct weight_result {
    const char *name;   /* in B; of a missing one, in A */
    const char *source; /* A's tensor; NULL: made by convert, or extra */
    const char *dtype_a, *dtype_b;
    enum weight_verdict verdict;
    enum role role; /* of B's tensor, and its layer; -1: outside of layers */
    int64_t layer;
    bool is_vector;
    /* Rows are counted as the unified format has them, in B's tensor (a missing one's: in A's): outputs of a matrix, elements of a vector. */
    int64_t row, n_rows; /* of the rows that were compared, the first; how many */
    bool is_part;        /* the tensor has others, too */
    double max_abs_diff, rms_diff, rel; /* rel: rms_diff by the root mean square of the original (the finer side, else A) */
    /* the row that is furthest off, its distance (docs/numerics.md), and what a row may have */
    int64_t worst_row;
    double worst_rel, limit;   /* limit 0: equality was asked for */
    double gain_min, gain_max; /* over all rows: shares of the original that are left, */
    double gain_lo, gain_hi;   /* and what the types explain */
    /* of types that are half off: over all whole rows, and what the types explain */
    bool whole_rows;
    double cosine_min, cosine_lo, factor_min, factor_max, factor_lo, factor_hi;
    int64_t n_rows_different, first_row;
    bool is_beyond; /* a row is further off than the types explain */
};
struct weights_report {
    struct weight_result *items; /* owned */
    size_t n, n_different;       /* different, missing or extra */
    size_t n_beyond;             /* further off than the types explain; an odd way to round is different and not beyond */
    struct arena mem;
};
/* STATUS_UNSUPPORTED for two architectures whose rows lie in another order; STATUS_MISMATCH for tensors of different sizes. */
enum status weights_compare(const struct model *a, const struct model *b, struct workers *w,
                            struct progress *progress, struct weights_report *out, struct error *err);
void weights_clear(struct weights_report *r);
uint64_t weights_bytes(const struct model *a); /* of A that are read, for progress */
const char *weight_verdict_name(enum weight_verdict v);
/* Of the quantized ones that whose worst row comes closest to its limit; NULL: none is quantized */
const struct weight_result *weights_nearest(const struct weights_report *r);

/* One line about a tensor */
void weight_text(const struct weight_result *r, struct buf *out);
void weight_json(const struct weight_result *r, const char *key, struct jwriter *w);
void weights_text(const struct weights_report *r, const char *path_b, struct buf *out);
/* "tensors": array of {name, source, verdict, max_abs_diff, rms_diff, ...}, and "agree" */
void weights_json(const struct weights_report *r, struct jwriter *w);

#endif
