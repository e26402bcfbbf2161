/* How far two sets of logits are apart. docs/numerics.md defines every figure; here is how they are gathered.
 *
 *     struct metrics m;
 *     metrics_begin(&m, n_vocab);
 *     TRY(metrics_add(&m, &block, workers, err));           once per block of positions, in order
 *     struct metrics_result r;
 *     metrics_finish(&m, &r);
 *     metrics_clear(&m);
 *
 * All sums are in double. Positions are worked on side by side and added up in their order: the figures do not
 * depend on the number of threads.
 */
#ifndef LATHE_METRICS_H
#define LATHE_METRICS_H

#include "base/memory.h"
#include "base/workers.h"

enum { METRICS_WORST = 3 };

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
    double nll_a, nll_b;      /* of the next id; 0 if there is none */
    int64_t top1_a, top1_b;   /* lowest index of the largest logit */
    int64_t n_bad_a, n_bad_b; /* logits that are NaN or infinite */
};

struct metrics_result {
    int64_t positions, scored; /* scored: those with a next id */
    double max_abs_diff, rms_diff, max_abs_logit;
    double kl_ab, kl_ba, kl_max, top1_agreement;
    double perplexity_a, perplexity_b; /* NAN if nothing was scored */
    int64_t n_bad_a, n_bad_b;          /* any: max_abs_diff and rms_diff are NAN, and nothing agrees */
    /* the positions with the largest max_abs_diff, largest first, positions without a difference left out */
    struct metrics_position worst[METRICS_WORST];
    int n_worst;
};

struct metrics {
    int64_t n_vocab;
    struct metrics_result sum; /* running; figures hold sums until metrics_finish */
    struct metrics_position *block;
    int64_t n_block;
};
void metrics_begin(struct metrics *m, int64_t n_vocab);
enum status metrics_add(struct metrics *m, const struct metrics_block *b, struct workers *w,
                        struct error *err);
void metrics_finish(const struct metrics *m, struct metrics_result *out);
void metrics_clear(struct metrics *m);
/* true when max_abs_diff <= tolerance * max_abs_logit and every logit is finite */
bool metrics_agree(const struct metrics_result *r, double tolerance);

#endif
