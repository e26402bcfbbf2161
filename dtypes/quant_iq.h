/* Inside of dtypes/: the search that IQ2 and IQ3 share, and what IQ1 uses of it.
 *
 * ggml ends the process where sums overflow or weights are no numbers. Here such a sub-block counts as zero: its bytes are defined, and the audit
 * of dtype_cast counts what was lost.
 */
#ifndef LATHE_QUANT_IQ_H
#define LATHE_QUANT_IQ_H

#include "dtypes/codec.h"
#include "dtypes/iq_codebook.h"

/* How a type looks for scale and points of a sub-block. */
struct iq_search {
    enum codebook_id codebook;
    int n;            /* elements of a sub-block, 16 or 32 */
    float sigma;      /* w = importance * sqrt(sigma2 + x * x), sigma2 = sigma * mean of x * x in the super-block */
    float base;       /* without importance w = base * sigma2 + x * x */
    float eps;        /* a sub-block whose largest magnitude is less counts as zero */
    bool even_signs;  /* seven sign bits for eight elements */
    bool positive;    /* candidates around the result of search_positive, not around the largest magnitude */
    int n_steps;      /* candidates top + step * i, i = -n_steps..n_steps, top = 2 * largest digit + 1 */
    float step;
    bool refit_all;   /* at the end all vectors get new points, not only those whose digits were no point; */
    bool refit_always; /* ... and even if all were */
};

/* What was found for a super-block. Sub-blocks that count as zero have scale 0, points 0 and no signs. */
struct iq_result {
    float scales[16];
    uint16_t points[64];
    uint8_t signs[32]; /* of each 8 elements, bit set: negative */
    float max_scale;
    bool zero[16]; /* those sub-blocks */
};
/* weights: importance, or NULL */
void iq_search_block(const struct iq_search *t, const float *x, const float *weights, struct iq_result *out);

/* w of n elements: by importance, as importance() has it, or base + x * x where weights is NULL. */
void iq_weigh(const float *x, const float *weights, float sigma2, float base, int n, float *w);

/* An integer l in 0..max for scale * id ~ 2 * l + 1. */
static inline unsigned iq_digit(float scale, float id, int max)
{
    return (unsigned)i32_clamp(i32_nearest(0.5f * (id * scale - 1)), 0, max);
}

/* Of a list of neighbours (2-bit codebooks) the one of least cost, cost[i][digit] being what coordinate i of a point adds, not negative. The first of
 * equals, and the first of all if no sum is a number. */
int codebook_least(const struct codebook *c, const uint16_t *list, const float cost[8][4]);

#endif
