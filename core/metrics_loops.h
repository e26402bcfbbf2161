/* The loops over the vocabulary behind core/metrics.c, once per instruction set, all with the same bits: interleaved partial sums in fixed
 * order. Logits are floats, or doubles with is_f64. */
#ifndef LATHE_METRICS_LOOPS_H
#define LATHE_METRICS_LOOPS_H

#include <stdbool.h>
#include <stdint.h>

enum { METRICS_TOP = 5 };
/* The largest elements, largest first, of equal ones the lowest index first; index -1 where there are fewer. NaN is passed over. */
struct metrics_top {
    double value[METRICS_TOP];
    int64_t index[METRICS_TOP];
};
/* What is known of one position after some tiles. A sum is of exponentials of distances to the largest logit so far, and shrinks when a larger one
 * is met. */
struct metrics_part {
    struct metrics_top top_a, top_b; /* of one side alone: nothing */
    int64_t n_bad_a, n_bad_b;        /* not finite */
    double max_abs_a, max_abs_diff, sum_square_diff;
    double peak_a, peak_b; /* largest logits, -Inf at first */
    double sum_a, sum_b;   /* Σ e^(a - peak_a), Σ e^(b - peak_b) */
    double ab, ba;         /* Σ e^(a - peak_a) (a - b), Σ e^(b - peak_b) (b - a) */
};
void metrics_part_init(struct metrics_part *p);

struct metrics_loops {
    /* n <= METRICS_TILE logits, of the entries from `first` on; b may be NULL */
    void (*add)(struct metrics_part *p, const void *a, const void *b, bool is_f64, int64_t first, int64_t n);
    /* p: also what `more` holds, of later entries of the vocabulary */
    void (*merge)(struct metrics_part *p, const struct metrics_part *more);
};
/* The fastest for this processor; the sets for tests. */
const struct metrics_loops *metrics_loops(void);
extern const struct metrics_loops metrics_loops_portable, metrics_loops_avx2, metrics_loops_avx512;

#endif
