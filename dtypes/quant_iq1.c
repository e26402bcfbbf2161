/* Encoders of IQ1_S and IQ1_M: every element is scale * (t + shift) with t in -1, 0, 1 and shift 1/8 or -1/8 for a group.
 *
 * With three levels the best scale can be found outright: sorted, a group falls into three runs, and every pair of boundaries is tried. Prefix
 * sums over the sorted elements make that cheap. Then vectors of 8 levels that are no point of the codebook move to a near one.
 */
#include "dtypes/quant_iq1.h"

const float iq1_up[4] = {-1 + 0.125f, 0.125f, 1 + 0.125f};
const float iq1_down[4] = {-1 - 0.125f, -0.125f, 1 - 0.125f};

struct group {
    int n;
    const float *x;
    float w[IQ1_MOST];
    uint8_t order[IQ1_MOST]; /* indices of elements, rising */
    uint8_t levels[IQ1_MOST];
};

/* Two sorted runs to one; equal elements, and what NaN cannot order, stay in their order. */
static void merge(const float *x, const uint8_t *a, int n_a, const uint8_t *b, int n_b, uint8_t *out)
{
    while (n_a > 0 && n_b > 0) {
        if (x[*a] > x[*b]) {
            *out++ = *b++;
            n_b--;
        } else {
            *out++ = *a++;
            n_a--;
        }
    }
    memcpy(out, n_a > 0 ? a : b, (size_t)(n_a + n_b));
}

/* Merge sort by halves, as the C library's qsort that the reference calls: stable. */
static void sort_half(const float *x, uint8_t *order, int n)
{
    uint8_t merged[IQ1_MOST];
    if (n < 2) return;
    sort_half(x, order, n / 2);
    sort_half(x, order + n / 2, n - n / 2);
    merge(x, order, n / 2, order + n / 2, n - n / 2, merged);
    memcpy(order, merged, (size_t)n);
}

void iq1_merge_sort(const float *x, int n, uint8_t *order)
{
    for (int i = 0; i < n; i++) order[i] = (uint8_t)i;
    sort_half(x, order, n);
}

/* The sums of the splits with first boundary a, by the second. */
struct sums {
    float sx[IQ1_SPACE], s2[IQ1_SPACE];
};

static void sum_runs(const struct iq1_prefix *s, int a, int n, const float *level, struct sums *t)
{
    for (int b = a; b <= n; b++) {
        t->sx[b] = (s->x[a] - s->x[0]) * level[0] + (s->x[b] - s->x[a]) * level[1] + (s->x[n] - s->x[b]) * level[2];
        t->s2[b] = (s->w[a] - s->w[0]) * level[0] * level[0] + (s->w[b] - s->w[a]) * level[1] * level[1] +
                   (s->w[n] - s->w[b]) * level[2] * level[2];
    }
}

static void single_ref(const struct iq1_prefix *s, int n, struct iq1_split *best)
{
    struct sums t[2];
    for (int a = 0; a <= n; a++) {
        sum_runs(s, a, n, iq1_up, &t[0]);
        sum_runs(s, a, n, iq1_down, &t[1]);
        for (int b = a; b <= n; b++)
            for (int k = 0; k < 2; k++) iq1_try(best, a, b, k, t[k].sx[b], t[k].s2[b]);
    }
}

/* Sums of one half of a group at one shift. Levels are 1 apart, so that three runs need two subtractions only. */
static void sum_half(const struct iq1_prefix *s, int a, int n, const float *v, struct sums *t)
{
    float first = v[0] * v[0] - v[1] * v[1], second = v[1] * v[1] - v[2] * v[2];
    for (int b = a; b <= n; b++) {
        t->sx[b] = s->x[n] * v[2] - (s->x[a] + s->x[b]);
        t->s2[b] = s->w[n] * v[2] * v[2] + s->w[a] * first + s->w[b] * second;
    }
}

static void pairs_from(const struct iq1_prefix s[2], int a, int n, struct iq1_split *best)
{
    struct sums half[2][2]; /* by half and shift */
    for (int h = 0; h < 2; h++) {
        sum_half(&s[h], a, n, iq1_up, &half[h][0]);
        sum_half(&s[h], a, n, iq1_down, &half[h][1]);
    }
    for (int b = a; b <= n; b++)
        for (int k = 0; k < 4; k++) {
            const struct sums *p = &half[0][k >> 1], *q = &half[1][k & 1];
            iq1_try(best, a, b, k, p->sx[b] + q->sx[b], p->s2[b] + q->s2[b]);
        }
}

static void pairs_ref(const struct iq1_prefix s[2], int n, struct iq1_split *best)
{
    for (int a = 0; a <= n; a++) pairs_from(s, a, n, best);
}

const struct iq1_kernel iq1_kernel_ref = {&iq_kernel_ref, iq1_merge_sort, single_ref, pairs_ref};

static struct iq1_split best_split_s(const struct iq1_kernel *kernel, const struct group *g)
{
    struct iq1_prefix s = {0};
    struct iq1_split best = {.kind = -1, .score = -FLT_MAX};
    for (int j = 0; j < g->n; j++) {
        int i = g->order[j];
        s.x[j + 1] = s.x[j] + g->w[i] * g->x[i];
        s.w[j + 1] = s.w[j] + g->w[i];
    }
    kernel->single(&s, g->n, &best);
    return best;
}

static struct iq1_split best_split_m(const struct iq1_kernel *kernel, const struct group *g)
{
    struct iq1_prefix s[2] = {0};
    struct iq1_split best = {.kind = -1, .score = -FLT_MAX};
    for (int j = 0; j < g->n; j++) {
        int i = g->order[j], h = i / (g->n / 2);
        s[h].x[j + 1] = s[h].x[j] + g->w[i] * g->x[i];
        s[h].w[j + 1] = s[h].w[j] + g->w[i];
        s[!h].x[j + 1] = s[!h].x[j];
        s[!h].w[j + 1] = s[!h].w[j];
    }
    kernel->pairs(s, g->n, &best);
    return best;
}

/* Levels of the elements; a negative scale is turned, with the shifts, so that it is positive. */
static void apply_split(struct group *g, struct iq1_split *best, int n_kinds)
{
    bool turn = best->scale < 0;
    for (int j = 0; j < g->n; j++) {
        int level = (j >= best->a) + (j >= best->b);
        g->levels[g->order[j]] = (uint8_t)(turn ? 2 - level : level);
    }
    if (turn) {
        best->scale = -best->scale;
        best->kind = n_kinds - 1 - best->kind;
    }
}

static void add_point(struct iq_fit *f, const struct codebook *c, int point, const float *x, const float *w, const float *level,
                      float factor)
{
    for (int i = 0; i < 8; i++) {
        float q = level[c->points[point] >> 2 * i & 3] * factor;
        f->sx += w[i] * q * x[i];
        f->s2 += w[i] * q * q;
    }
}

/* Points of the group's vectors for the levels that were found; levels[k] are those of vector k. The scale is fitted again if one had to move. */
static float choose_points(const struct iq1_kernel *kernel, const struct group *g, const struct codebook *c, float scale, const float *const *levels, uint16_t *points)
{
    bool moved = false;
    for (int k = 0; k < g->n / 8; k++) {
        unsigned u = 0;
        for (int i = 0; i < 8; i++) u |= (unsigned)g->levels[8 * k + i] << 2 * i;
        int32_t at = c->map[u];
        moved |= at < 0;
        if (at < 0) u = kernel->points->nearest(c, c->neighbours + (-1 - at), g->x + 8 * k, g->w + 8 * k, scale, levels[k]);
        points[k] = (uint16_t)c->map[u];
    }
    if (!moved) return scale;
    struct iq_fit f = {0};
    for (int k = 0; k < g->n / 8; k++) add_point(&f, c, points[k], g->x + 8 * k, g->w + 8 * k, levels[k], 1);
    return f.sx > 0 && f.s2 > 0 ? f.sx / f.s2 : scale;
}

static void weigh(struct group *g, const float *x, const float *weights, float sigma2)
{
    g->x = x;
    iq_weigh(x, weights, sigma2, 0, g->n, g->w);
}

/* Orders the group's elements; false if it counts as zero. */
static bool prepare(const struct iq1_kernel *kernel, struct group *g, float eps)
{
    if (magnitude(g->x, g->n) < eps) return false;
    kernel->sort(g->x, g->n, g->order);
    return true;
}

static void encode_iq1_s_block(const struct iq1_kernel *kernel, const float *x, const float *weights, struct block_iq1_s *b)
{
    const struct codebook *c = codebook_ready(CODEBOOK_IQ1);
    float sigma2 = 2 * sum_of_squares(x, QK_K) / QK_K, scales[8] = {0}, max_scale = 0;
    unsigned high[8] = {0}, down[8] = {0};
    memset(b, 0, sizeof *b);
    for (int s = 0; s < 8; s++) {
        struct group g = {.n = 32};
        weigh(&g, x + 32 * s, weights + 32 * s, sigma2);
        if (!prepare(kernel, &g, 1e-12f)) continue;
        struct iq1_split best = best_split_s(kernel, &g);
        if (best.kind < 0) continue;
        apply_split(&g, &best, 2);
        const float *v = best.kind == 0 ? iq1_up : iq1_down;
        const float *const levels[4] = {v, v, v, v};
        uint16_t points[4];
        float scale = choose_points(kernel, &g, c, best.scale, levels, points);
        if (!(scale >= 0)) continue;
        for (int k = 0; k < 4; k++) {
            b->qs[4 * s + k] = (uint8_t)points[k];
            high[s] |= (unsigned)points[k] >> 8 << 3 * k;
        }
        scales[s] = scale;
        down[s] = best.kind == 1;
        if (scale > max_scale) max_scale = scale;
    }
    float d = max_scale / 15, id = 1 / d;
    b->d = half_store(max_scale > 0 ? d * 1.125f : 0);
    for (int s = 0; s < 8; s++) {
        unsigned l = max_scale > 0 ? iq_digit(scales[s], id, 7) | down[s] << 3 : 0;
        unsigned h = high[s] | l << 12;
        b->qh[2 * s] = (uint8_t)h;
        b->qh[2 * s + 1] = (uint8_t)(h >> 8);
    }
}

/* What was found for the 16 groups of an IQ1_M block. */
struct iq1_m_result {
    float scales[16], max_scale;
    int kinds[16];
    uint16_t points[32];
};

static const float *iq1_m_levels(int kind, int half)
{
    return (kind >> (1 - half) & 1) ? iq1_down : iq1_up;
}

static void search_iq1_m(const struct iq1_kernel *kernel, const float *x, const float *weights, float sigma2, struct iq1_m_result *r)
{
    const struct codebook *c = codebook_ready(CODEBOOK_IQ1);
    memset(r, 0, sizeof *r);
    for (int s = 0; s < 16; s++) {
        struct group g = {.n = 16};
        weigh(&g, x + 16 * s, weights ? weights + 16 * s : NULL, sigma2);
        if (!prepare(kernel, &g, 1e-7f)) continue;
        struct iq1_split best = best_split_m(kernel, &g);
        if (best.kind < 0) continue;
        apply_split(&g, &best, 4);
        const float *const levels[2] = {iq1_m_levels(best.kind, 0), iq1_m_levels(best.kind, 1)};
        uint16_t points[2];
        float scale = choose_points(kernel, &g, c, best.scale, levels, points);
        if (!(scale >= 0)) continue;
        memcpy(r->points + 2 * s, points, sizeof points);
        r->scales[s] = scale;
        r->kinds[s] = best.kind;
        if (scale > r->max_scale) r->max_scale = scale;
    }
}

/* The scale of the block for its integer scales: least squares over all elements. */
static float fit_iq1_m(const float *x, const float *weights, float sigma2, const struct iq1_m_result *r, const unsigned l[16], float d)
{
    const struct codebook *c = codebook_ready(CODEBOOK_IQ1);
    struct iq_fit f = {0};
    for (int s = 0; s < 16; s++) {
        struct group g = {.n = 16};
        weigh(&g, x + 16 * s, weights ? weights + 16 * s : NULL, sigma2);
        for (int k = 0; k < 2; k++)
            add_point(&f, c, r->points[2 * s + k], g.x + 8 * k, g.w + 8 * k, iq1_m_levels(r->kinds[s], k), (float)(2 * l[s] + 1));
    }
    return f.s2 > 0 ? f.sx / f.s2 : d;
}

static void encode_iq1_m_block(const struct iq1_kernel *kernel, const float *x, const float *weights, struct block_iq1_m *b)
{
    struct iq1_m_result r;
    float sigma2 = 2 * sum_of_squares(x, QK_K) / QK_K;
    search_iq1_m(kernel, x, weights, sigma2, &r);
    memset(b, 0, sizeof *b);
    for (int k = 0; k < 32; k++) {
        b->qs[k] = (uint8_t)r.points[k];
        b->qh[k / 2] |= (uint8_t)(r.points[k] >> 8 << 4 * (k % 2));
    }
    if (!(r.max_scale > 0)) return;
    float d = r.max_scale / 15;
    unsigned l[16], words[4] = {0};
    for (int s = 0; s < 16; s++) {
        l[s] = iq_digit(r.scales[s], 1 / d, 7);
        words[s / 4] |= l[s] << 3 * (s % 4);
        b->qh[s] |= (uint8_t)((r.kinds[s] & 2 ? 0x08 : 0) | (r.kinds[s] & 1 ? 0x80 : 0));
    }
    unsigned half = f16_from_f32(fit_iq1_m(x, weights, sigma2, &r, l, d) * 1.1125f);
    for (int i = 0; i < 4; i++) {
        words[i] |= (half >> 4 * i & 15) << 12;
        b->scales[2 * i] = (uint8_t)words[i];
        b->scales[2 * i + 1] = (uint8_t)(words[i] >> 8);
    }
}

#define ENCODE_ALL(SUFFIX, KERNEL)                                                                            \
    void encode_iq1_s_weighted##SUFFIX(const float *row, const float *weights, void *dst, int64_t n)          \
    {                                                                                                         \
        struct block_iq1_s *b = dst;                                                                          \
        for (int64_t at = 0; at < n; at += QK_K, b++) encode_iq1_s_block(&KERNEL, row + at, weights + at, b); \
    }                                                                                                         \
    void encode_iq1_m_weighted##SUFFIX(const float *row, const float *weights, void *dst, int64_t n)          \
    {                                                                                                         \
        struct block_iq1_m *b = dst;                                                                          \
        for (int64_t at = 0; at < n; at += QK_K, b++)                                                         \
            encode_iq1_m_block(&KERNEL, row + at, weights ? weights + at : NULL, b);                          \
    }                                                                                                         \
    void encode_iq1_m##SUFFIX(const float *src, void *dst, int64_t n)                                         \
    {                                                                                                         \
        encode_iq1_m_weighted##SUFFIX(src, NULL, dst, n);                                                     \
    }

ENCODE_ALL(, iq1_kernel_ref)
#if defined(__x86_64__)
ENCODE_ALL(_avx2, iq1_kernel_avx2)
ENCODE_ALL(_avx512, iq1_kernel_avx512)
#endif
