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
    uint16_t points[64]; /* indices */
    uint8_t signs[32]; /* of each 8 elements, bit set: negative */
    float max_scale;
    bool zero[16]; /* those sub-blocks */
};
struct iq_kernel;
/* weights: importance, or NULL */
void iq_search_block(const struct iq_kernel *k, const struct iq_search *t, const float *x, const float *weights, struct iq_result *out);

/* w of n elements: by importance, as importance() has it, or base + x * x where weights is NULL. */
void iq_weigh(const float *x, const float *weights, float sigma2, float base, int n, float *w);

/* An integer l in 0..max for scale * id ~ 2 * l + 1. */
static inline unsigned iq_digit(float scale, float id, int max)
{
    return (unsigned)i32_clamp(i32_nearest(0.5f * (id * scale - 1)), 0, max);
}

/* One sub-block and what is known of it. Points are written as their packed digits. */
struct iq_group {
    const struct codebook *c;
    int n, n_vectors, top; /* top: largest digit */
    float x[32];           /* magnitudes */
    float w[32], root_w[32]; /* weights, and their square roots, with which neighbours are judged */
    uint8_t signs[4];
};

extern const float iq_levels[8]; /* 2 * digit + 1 */

/* What the largest magnitude becomes with candidate is, -n_steps..n_steps */
static inline float iq_candidate_top(const struct iq_search *t, const struct iq_group *g, int is)
{
    return (float)(2 * g->top + 1) + (float)is * t->step;
}

/* Least-squares sums of a scale: it is sx / s2. */
struct iq_fit {
    float sx; /* sum of w * x * q */
    float s2; /* sum of w * q * q */
};

enum { IQ_CANDIDATES_MOST = 32, IQ_VECTORS_MOST = 8 };

/* What came out for the candidates of a sub-block. */
struct iq_candidates {
    int n;                                                /* 2 * n_steps + 1 */
    int32_t points[IQ_VECTORS_MOST][IQ_CANDIDATES_MOST]; /* by vector */
    uint8_t off[IQ_CANDIDATES_MOST];                      /* bit k: the digits of vector k were no point */
    float sx[IQ_CANDIDATES_MOST], s2[IQ_CANDIDATES_MOST]; /* struct iq_fit */
};

/* The loops in which the time goes, in one instruction set. */
struct iq_kernel {
    /* Of a codebook's list of neighbours the first of least sum of w * e * e, e = scale * level[digit] - x; the first of all if no sum is a number.
     * level: 4 or 8 of them, by digit. */
    unsigned (*nearest)(const struct codebook *c, const uint16_t *list, const float *x, const float *w, float scale, const float *level);
    /* The candidates of a sub-block whose largest magnitude counts as max, in order. */
    void (*candidates)(const struct iq_search *t, const struct iq_group *g, float max, struct iq_candidates *out);
};
extern const struct iq_kernel iq_kernel_ref, iq_kernel_avx2, iq_kernel_avx512;

#endif
