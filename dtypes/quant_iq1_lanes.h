/* The loops of quant_iq1.c in vectors, second boundaries side by side. Included once by the file of an instruction set, after quant_iq_lanes.h; gives
 * iq1_kernel_SET. */
#include "dtypes/quant_iq1.h"

INLINE vf lane_numbers(void)
{
    static const float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return v_load(numbers);
}

/* An element's place is the number of those that are less, and of the equal ones before it. */
static void sort(const float *x, int n, uint8_t *order)
{
    const vf number = lane_numbers(), zero = v_set(0), one = v_set(1);
    float place[IQ1_MOST];
    uint32_t taken = 0;
    for (int first = 0; first < n; first += LANES) {
        vf own = v_load(x + first), before = zero;
        for (int j = 0; j < n; j++) {
            vf other = v_set(x[j]);
            vm earlier = v_less(v_set((float)(j - first)), number);
            before = before + v_select(m_or(v_less(other, own), m_and(v_equal(other, own), earlier)), one, zero);
        }
        v_store(place + first, before);
    }
    for (int i = 0; i < n; i++) {
        order[(int)place[i]] = (uint8_t)i;
        taken |= UINT32_C(1) << (int)place[i];
    }
    if (taken != UINT32_MAX >> (32 - n)) iq1_merge_sort(x, n, order); /* NaN */
}

/* Sums of splits with first boundary a and LANES second ones from b on, by kind. */
struct split_lanes {
    vf sx[4], s2[4];
};

INLINE struct split_lanes single_lanes(const struct iq1_prefix *s, int a, int b, int n)
{
    const float *const levels[2] = {iq1_up, iq1_down};
    const float low_x = s->x[a] - s->x[0], low_w = s->w[a] - s->w[0];
    struct split_lanes t;
    vf x = v_load(s->x + b), w = v_load(s->w + b);
    vf mid_x = x - v_set(s->x[a]), top_x = v_set(s->x[n]) - x, mid_w = w - v_set(s->w[a]), top_w = v_set(s->w[n]) - w;
    for (int k = 0; k < 2; k++) {
        const float *v = levels[k];
        vf l1 = v_set(v[1]), l2 = v_set(v[2]);
        t.sx[k] = v_set(low_x * v[0]) + mid_x * l1 + top_x * l2;
        t.s2[k] = v_set(low_w * v[0] * v[0]) + mid_w * l1 * l1 + top_w * l2 * l2;
    }
    return t;
}

struct half_lanes {
    vf sx, s2;
};

/* Levels are 1 apart, so that three runs need two subtractions only. */
INLINE struct half_lanes half_sums(const struct iq1_prefix *s, int a, int b, int n, const float *v)
{
    float first = v[0] * v[0] - v[1] * v[1], second = v[1] * v[1] - v[2] * v[2];
    vf x = v_load(s->x + b), w = v_load(s->w + b);
    return (struct half_lanes){v_set(s->x[n] * v[2]) - (v_set(s->x[a]) + x),
                               v_set(s->w[n] * v[2] * v[2] + s->w[a] * first) + w * v_set(second)};
}

INLINE struct split_lanes pair_lanes(const struct iq1_prefix s[2], int a, int b, int n)
{
    const struct half_lanes half[2][2] = {{half_sums(&s[0], a, b, n, iq1_up), half_sums(&s[0], a, b, n, iq1_down)},
                                          {half_sums(&s[1], a, b, n, iq1_up), half_sums(&s[1], a, b, n, iq1_down)}};
    struct split_lanes t;
    for (int k = 0; k < 4; k++) {
        const struct half_lanes p = half[0][k >> 1], q = half[1][k & 1];
        t.sx[k] = p.sx + q.sx;
        t.s2[k] = p.s2 + q.s2;
    }
    return t;
}

INLINE struct split_lanes split_sums(int n_kinds, const struct iq1_prefix *s, int a, int b, int n)
{
    return n_kinds == 2 ? single_lanes(s, a, b, n) : pair_lanes(s, a, b, n);
}

/* The largest score of first boundary a, about: off by 1 in 2000 at most. */
INLINE float row_most(int n_kinds, const struct iq1_prefix *s, int a, int n)
{
    vf most = v_set(0);
    for (int b = a; b <= n; b += LANES) {
        struct split_lanes t = split_sums(n_kinds, s, a, b, n);
        for (int k = 0; k < n_kinds; k++) most = v_max(t.sx[k] * t.sx[k] * v_about_inverse(t.s2[k]), most);
    }
    return v_most(most);
}

INLINE unsigned better_lanes(int n_kinds, const struct split_lanes *t, float score)
{
    vm better = m_none();
    for (int k = 0; k < n_kinds; k++)
        better = m_or(better, m_and(v_less(v_set(0), t->s2[k]), v_less(v_set(score) * t->s2[k], t->sx[k] * t->sx[k])));
    return m_bits(better);
}

/* Tries what exceeds `floor`, in order. */
INLINE void try_lanes(int n_kinds, const struct split_lanes *t, int a, int b, int n, float floor, struct iq1_split *best)
{
    float sx[4][LANES], s2[4][LANES];
    unsigned better = better_lanes(n_kinds, t, best->score > floor ? best->score : floor);
    if (n + 1 - b < LANES) better &= (1u << (n + 1 - b)) - 1;
    if (!better) return;
    for (int k = 0; k < n_kinds; k++) {
        v_store(sx[k], t->sx[k]);
        v_store(s2[k], t->s2[k]);
    }
    for (; better; better &= better - 1) {
        int j = __builtin_ctz(better);
        for (int k = 0; k < n_kinds; k++) iq1_try(best, a, b + j, k, sx[k][j], s2[k][j]);
    }
}

/* A split takes over if it is better than the best so far by more than rounding, 1e-6 of it; otherwise rounding decides, and so the order does. But what is
 * a hundredth below the best of all can play no part: to climb from there by steps so small takes more splits than there are (561 by 2 kinds). So the best
 * is looked for first, roughly, and only what comes near it is tried in order. Where the numbers leave the range in which rounding is relative, all is. */
static float worth_trying(float most, float sum_w)
{
    bool usual = most > 1e-15f && most < 1e15f && sum_w > 1e-15f && sum_w < 1e15f;
    return usual ? most * 0.99f : -FLT_MAX;
}

/* Fills up with the last sum, so that lanes past n repeat it; returns that of w, or NaN if a weight was negative. */
static float close_prefix(struct iq1_prefix *s, int n)
{
    unsigned falls = 0;
    for (int i = n + 1; i < IQ1_SPACE; i++) {
        s->x[i] = s->x[n];
        s->w[i] = s->w[n];
    }
    for (int i = 0; i < n; i += LANES) falls |= m_bits(v_less(v_load(s->w + i + 1), v_load(s->w + i)));
    return falls ? NAN : s->w[n];
}

INLINE void try_all(int n_kinds, const struct iq1_prefix *s, int n, float sum_w, struct iq1_split *best)
{
    float rows[IQ1_MOST + 1], most = 0;
    for (int a = 0; a <= n; a++) {
        rows[a] = row_most(n_kinds, s, a, n);
        most = most > rows[a] ? most : rows[a];
    }
    const float floor = worth_trying(most, sum_w);
    for (int a = 0; a <= n; a++) {
        if (rows[a] < 0.999f * floor) continue;
        for (int b = a; b <= n; b += LANES) {
            struct split_lanes t = split_sums(n_kinds, s, a, b, n);
            try_lanes(n_kinds, &t, a, b, n, floor, best);
        }
    }
}

static void single(const struct iq1_prefix *s, int n, struct iq1_split *best)
{
    struct iq1_prefix p = *s;
    float sum_w = close_prefix(&p, n);
    try_all(2, &p, n, sum_w, best);
}

static void pairs(const struct iq1_prefix s[2], int n, struct iq1_split *best)
{
    struct iq1_prefix p[2] = {s[0], s[1]};
    float sum_w = close_prefix(&p[0], n) + close_prefix(&p[1], n);
    try_all(4, p, n, sum_w, best);
}

const struct iq1_kernel KERNEL(iq1_kernel) = {&KERNEL(iq_kernel), sort, single, pairs};
