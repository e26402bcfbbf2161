/* Inside of dtypes/: how IQ1_S and IQ1_M split a sub-block, and the loops of that in one instruction set.
 *
 * Sorted, the elements fall into three runs of one level each: [0..a), [a..b), [b..n). Prefix sums over the sorted elements give the sums of every pair
 * of boundaries.
 */
#ifndef LATHE_QUANT_IQ1_H
#define LATHE_QUANT_IQ1_H

#include "dtypes/quant_iq.h"

enum { IQ1_MOST = 32, IQ1_SPACE = IQ1_MOST + 16 /* loops may run on to whole vectors */ };

/* Levels with the shift up and down, by digit. */
extern const float iq1_up[4], iq1_down[4];

/* Sums up to each boundary of w * x and w. */
struct iq1_prefix {
    float x[IQ1_SPACE], w[IQ1_SPACE];
};

struct iq1_split {
    int a, b; /* order[0..a) have the lowest level, order[a..b) the middle one */
    int kind; /* which shifts; -1: none found */
    float scale, score;
};

/* Takes over a split if it explains more. Splits are tried in order of a, then b, then kind: the first of equals stays. */
static inline void iq1_try(struct iq1_split *best, int a, int b, int kind, float sx, float s2)
{
    if (!(s2 > 0) || !(sx * sx > best->score * s2)) return;
    float scale = sx / s2;
    *best = (struct iq1_split){a, b, kind, scale, scale * sx};
}

struct iq1_kernel {
    const struct iq_kernel *points;
    /* Indices of n elements, 16 or 32, rising; equal elements, and what NaN cannot order, as a stable merge sort leaves them. */
    void (*sort)(const float *x, int n, uint8_t *order);
    /* Tries all splits of n elements. `single`: one shift for all, kinds 0 up, 1 down. `pairs`: by half of the group, kinds
     * 2 * (first down) + (second down). */
    void (*single)(const struct iq1_prefix *s, int n, struct iq1_split *best);
    void (*pairs)(const struct iq1_prefix s[2], int n, struct iq1_split *best);
};
extern const struct iq1_kernel iq1_kernel_ref, iq1_kernel_avx2, iq1_kernel_avx512;

/* The sort of iq1_kernel_ref. */
void iq1_merge_sort(const float *x, int n, uint8_t *order);

#endif
