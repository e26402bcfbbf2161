/* The loops over the vocabulary behind core/metrics.c, once per instruction set, all with the same bits: interleaved partial sums in fixed
 * order. A row is n floats, or doubles with is_f64. */
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
struct metrics_row {
    struct metrics_top top_a, top_b;
    int64_t n_bad_a, n_bad_b; /* not finite */
    double max_abs_a, max_abs_diff, sum_square_diff;
};
struct metrics_divergence {
    double sum_a, sum_b; /* of e^(logit - largest) */
    double ab, ba;       /* Σ e^ã (ã - b̃) and Σ e^b̃ (b̃ - ã), with ã = a - largest of a */
};
struct metrics_loops {
    /* b may be NULL */
    void (*compare)(const void *a, const void *b, bool is_f64, int64_t n, struct metrics_row *out);
    double (*sum_exp)(const void *row, bool is_f64, int64_t n, double peak);
    void (*diverge)(const void *a, const void *b, bool is_f64, int64_t n, double peak_a, double peak_b,
                    struct metrics_divergence *out);
};
/* The fastest for this processor; the sets for tests. */
const struct metrics_loops *metrics_loops(void);
extern const struct metrics_loops metrics_loops_portable, metrics_loops_avx2, metrics_loops_avx512;

#endif
