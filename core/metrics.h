/* How far two sets of logits are apart. docs/numerics.md defines every figure; here is how they are gathered.
 *
 *     struct metrics m;
 *     metrics_begin(&m, n_vocab);
 *     TRY(metrics_add(&m, &block, workers, err));           once per block of positions, in order
 *     struct metrics_result r;
 *     TRY(metrics_finish(&m, &r, err));
 *     metrics_clear(&m);
 *
 * All sums are in double. Positions are worked on side by side and added up in their order: the figures do not
 * depend on the number of threads. A few dozen bytes are kept of each position.
 */
#ifndef LATHE_METRICS_H
#define LATHE_METRICS_H

#include "base/memory.h"
#include "base/workers.h"

enum { METRICS_WORST = 10 };

/* Logits of n_pos positions, (n_pos, n_vocab), row-major. */
struct metrics_block {
    const void *a, *b; /* b NULL: one side only, figures of b and of differences are not filled */
    bool is_f64;       /* double, else float */
    int64_t n_pos;
    const int32_t *next; /* the id that follows each position; -1: none */
};

/* One position */
struct metrics_position {
    int64_t position; /* number among all added, from 0 */
    double max_abs_diff, sum_square_diff, max_abs_a;
    double kl_ab, kl_ba;
    double nll_a, nll_b;    /* of the next id; 0 if there is none */
    int64_t top1_a, top1_b; /* lowest index of the largest logit */
    int n_top5; /* how many of A's five largest logits are among B's five; of all if there are fewer */
    int64_t n_bad_a, n_bad_b; /* logits that are NaN or infinite */
    int32_t next;             /* as given */
};

/* Over positions. Quantiles: the value at rank ceil(q n), so always one that occurred. */
struct metrics_spread {
    double mean,
        mean_error; /* standard error of the mean: standard deviation (n - 1) / sqrt(n); 0 for one position */
    double median, p99, max;
};
struct metrics_result {
    int64_t positions, scored; /* scored: those with a next id */
    double max_abs_diff, rms_diff, max_abs_logit;
    struct metrics_spread kl_ab, kl_ba;
    double top1_agreement, top5_agreement;
    double perplexity_a, perplexity_b;             /* NAN if nothing was scored */
    double perplexity_error_a, perplexity_error_b; /* perplexity times the standard error of its logarithm */
    double ln_ratio,
        ln_ratio_error; /* ln(perplexity_b / perplexity_a): mean of nll_b - nll_a, and its standard error over pairs */
    int64_t n_bad_a, n_bad_b; /* any: max_abs_diff and rms_diff are NAN, and nothing agrees */
    /* the positions with the largest kl_ab, largest first: those with logits that are no numbers before all others, of equal ones that with the
     * larger max_abs_diff; positions without a difference are left out */
    struct metrics_position worst[METRICS_WORST];
    int n_worst;
};

/* What is kept of each position: for quantiles and pictures. */
struct metrics_point {
    double kl_ab, kl_ba;
    float max_abs_diff, nll_a, nll_b; /* nll: NAN where there is no next id */
};
struct metrics {
    int64_t n_vocab;
    struct metrics_result sum; /* running; figures hold sums until metrics_finish */
    double nll_squares[3];     /* of a, of b, of b - a; sums, in order */
    struct metrics_position *block;
    int64_t n_block;
    struct metrics_point *points; /* sum.positions of them */
    int64_t cap_points;
};
void metrics_begin(struct metrics *m, int64_t n_vocab);
enum status metrics_add(struct metrics *m, const struct metrics_block *b, struct workers *w,
                        struct error *err);
enum status metrics_finish(const struct metrics *m, struct metrics_result *out, struct error *err);
void metrics_clear(struct metrics *m);
/* true when max_abs_diff <= tolerance * max_abs_logit and every logit is finite */
bool metrics_agree(const struct metrics_result *r, double tolerance);

#endif
