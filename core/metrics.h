/* How far two sets of logits are apart. docs/numerics.md defines every figure; here is how they are gathered.
 *
 *     struct metrics m;
 *     metrics_begin(&m, n_vocab, two_sides);
 *     for each block of positions, in order:
 *         TRY(metrics_open(&m, next, n_pos, err));
 *         metrics_add(&m, &tile);                           every tile of every position of the block
 *         TRY(metrics_close(&m, workers, err));
 *     struct metrics_result r;
 *     TRY(metrics_finish(&m, &r, err));
 *     metrics_clear(&m);
 *
 * Logits come as tiles, so that they can be measured while they are in cache and nobody has to hold whole rows of them. The vocabulary is cut into
 * strips, a strip into tiles; tiles of one strip are summed up in ascending order, strips in theirs. So figures do not depend on the number of
 * threads, nor on how many positions go into a block or a tile. All sums are in double. A few dozen bytes are kept of each position.
 */
#ifndef LATHE_METRICS_H
#define LATHE_METRICS_H

#include "base/memory.h"
#include "base/workers.h"

enum {
    METRICS_WORST = 10,
    METRICS_TILE = 96,                 /* entries of the vocabulary */
    METRICS_STRIP = 8 * METRICS_TILE, /* the same */
};

/* Logits of the entries [first, first + n) of the vocabulary at positions [pos, pos + n_pos) of the block */
struct metrics_tile {
    const void *a, *b; /* (n_pos, n), rows ld elements apart; b NULL: one side only, figures of b and of differences are not filled */
    bool is_f64;       /* double, else float */
    int64_t ld;
    int64_t pos, n_pos;
    int64_t first, n; /* first: a multiple of METRICS_TILE; n: METRICS_TILE, or what is left of the vocabulary */
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
struct metrics_part;
struct metrics {
    int64_t n_vocab;
    bool two_sides;
    struct metrics_result sum; /* running; figures hold sums until metrics_finish */
    double nll_squares[3];     /* of a, of b, of b - a; sums, in order */
    /* the block */
    int64_t n_pos;
    struct metrics_position *block;
    struct metrics_part *parts; /* (strips, n_pos) */
    uint64_t cap_block, cap_parts;
    struct metrics_point *points; /* sum.positions of them */
    int64_t cap_points;
};
void metrics_begin(struct metrics *m, int64_t n_vocab, bool two_sides);
/* How many positions a block had best have at most, for what is kept until it is closed: some tens of MiB. */
int64_t metrics_block_positions(int64_t n_vocab);
static inline int64_t metrics_strips(int64_t n_vocab)
{
    return (n_vocab + METRICS_STRIP - 1) / METRICS_STRIP;
}
/* next: the id that follows each of the n_pos positions, -1: none. */
enum status metrics_open(struct metrics *m, const int32_t *next, int64_t n_pos, struct error *err);
/* For a position, the tiles of a strip come in ascending order, one after the other; all else may go on at once. */
void metrics_add(struct metrics *m, const struct metrics_tile *t);
enum status metrics_close(struct metrics *m, struct workers *w, struct error *err);
enum status metrics_finish(const struct metrics *m, struct metrics_result *out, struct error *err);
void metrics_clear(struct metrics *m);
/* true when max_abs_diff <= tolerance * max_abs_logit and every logit is finite */
bool metrics_agree(const struct metrics_result *r, double tolerance);

#endif
