/* The search that IQ2 and IQ3 share: candidates for the scale of a sub-block, each with the points that suit it. */
#include "dtypes/quant_iq.h"

const float iq_levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};

void iq_weigh(const float *x, const float *weights, float sigma2, float base, int n, float *w)
{
    if (weights)
        importance(x, weights, sigma2, n, w);
    else
        for (int i = 0; i < n; i++) w[i] = base + x[i] * x[i];
}

static void weigh(const struct iq_search *t, struct iq_group *g, const float *x, const float *weights, float sigma2)
{
    iq_weigh(x, weights, sigma2, t->base != 0 ? t->base * sigma2 : 0, g->n, g->w);
    for (int i = 0; i < g->n; i++) g->root_w[i] = sqrtf(g->w[i]);
}

/* Turns the sign that costs least, w * x * x; the element keeps a negative magnitude. */
static void make_even(const float *x, const float *w, float *magnitudes, uint8_t *signs)
{
    int best = 0;
    float least = w[0] * x[0] * x[0];
    for (int i = 1; i < 8; i++) {
        float cost = w[i] * x[i] * x[i];
        if (cost < least) {
            least = cost;
            best = i;
        }
    }
    magnitudes[best] = -magnitudes[best];
    *signs = (uint8_t)(*signs ^ 1 << best);
}

/* Magnitudes and signs; returns the largest magnitude. */
static float split(struct iq_group *g, const float *x, bool even)
{
    for (int k = 0; k < g->n / 8; k++) {
        unsigned signs = 0;
        for (int i = 8 * k; i < 8 * k + 8; i++) {
            bool negative = !(x[i] >= 0); /* -0 is not */
            g->x[i] = negative ? -x[i] : x[i];
            signs |= (unsigned)negative << i % 8;
        }
        g->signs[k] = (uint8_t)signs;
        if (even && __builtin_parity(signs)) make_even(x + 8 * k, g->w + 8 * k, g->x + 8 * k, &g->signs[k]);
    }
    float max = g->x[0];
    for (int i = 1; i < g->n; i++) max = max > g->x[i] ? max : g->x[i];
    return max;
}

/* What coordinate i adds for each digit, at cost[i << bits]; the order of the operations is part of the bytes. */
static void tabulate_costs(const struct codebook *c, const float *x, const float *w, float scale, const float *level, float cost[32])
{
    for (int i = 0; i < 32; i++) {
        float e = scale * level[i & ((1 << c->bits) - 1)] - x[i >> c->bits];
        cost[i] = w[i >> c->bits] * e * e;
    }
}

static float sum_2bit(const float cost[32], unsigned p)
{
    float sum = 0;
    for (unsigned i = 0; i < 8; i++) sum += cost[4 * i + (p >> 2 * i & 3)];
    return sum;
}

static float sum_3bit(const float cost[32], unsigned p)
{
    float sum = 0;
    for (unsigned i = 0; i < 4; i++) sum += cost[8 * i + (p >> 3 * i & 7)];
    return sum;
}

static unsigned nearest_ref(const struct codebook *c, const uint16_t *list, const float *x, const float *w, float scale,
                            const float *level)
{
    unsigned best = list[1];
    float least = FLT_MAX, cost[32];
    tabulate_costs(c, x, w, scale, level, cost);
    for (int j = 1; j <= list[0]; j++) {
        float sum = c->bits == 2 ? sum_2bit(cost, list[j]) : sum_3bit(cost, list[j]);
        if (sum < least) {
            least = sum;
            best = list[j];
        }
    }
    return best;
}

static unsigned vector_digits(const struct iq_group *g, int k, float id)
{
    unsigned digits = 0;
    for (int i = 0; i < g->c->n_coords; i++) digits |= iq_digit(g->x[g->c->n_coords * k + i], id, g->top) << g->c->bits * i;
    return digits;
}

/* The point for the digits of vector k at a scale: these, or a neighbour, which makes *off true. */
static unsigned point_for(const struct iq_kernel *kernel, const struct iq_group *g, int k, unsigned digits, float scale, bool *off)
{
    const struct codebook *c = g->c;
    int at = c->n_coords * k;
    *off = c->map[digits] < 0;
    if (!*off) return digits;
    return kernel->nearest(c, c->neighbours + (-1 - c->map[digits]), g->x + at, g->root_w + at, scale, iq_levels);
}

static struct iq_fit fit_points(const struct iq_group *g, const uint16_t *points)
{
    struct iq_fit f = {0};
    for (int k = 0, i = 0; k < g->n_vectors; k++)
        for (int j = 0; j < g->c->n_coords; j++, i++) {
            float q = iq_levels[points[k] >> g->c->bits * j & ((1 << g->c->bits) - 1)];
            f.sx += g->w[i] * g->x[i] * q;
            f.s2 += g->w[i] * q * q;
        }
    return f;
}

static void candidates_ref(const struct iq_search *t, const struct iq_group *g, float max, struct iq_candidates *out)
{
    out->n = 2 * t->n_steps + 1;
    for (int c = 0; c < out->n; c++) {
        float id = iq_candidate_top(t, g, c - t->n_steps) / max;
        uint16_t points[IQ_VECTORS_MOST];
        unsigned off = 0;
        for (int k = 0; k < g->n_vectors; k++) {
            bool moved;
            out->points[k][c] = points[k] = (uint16_t)point_for(&iq_kernel_ref, g, k, vector_digits(g, k, id), 1 / id, &moved);
            off |= (unsigned)moved << k;
        }
        out->off[c] = (uint8_t)off;
        struct iq_fit f = fit_points(g, points);
        out->sx[c] = f.sx;
        out->s2[c] = f.s2;
    }
}

const struct iq_kernel iq_kernel_ref = {nearest_ref, candidates_ref};

/* The choice for a sub-block. */
struct choice {
    float scale;
    uint16_t points[IQ_VECTORS_MOST];
    unsigned off;
};

/* The best candidate; *best stays if none beats nothing at all. */
static void best_candidate(const struct iq_kernel *kernel, const struct iq_search *t, const struct iq_group *g, float max, struct choice *best)
{
    struct iq_candidates all;
    float most = 0;
    int winner = -1;
    kernel->candidates(t, g, max, &all);
    for (int c = 0; c < all.n; c++)
        if (all.s2[c] > 0 && all.sx[c] * all.sx[c] > most * all.s2[c]) {
            best->scale = all.sx[c] / all.s2[c];
            most = best->scale * all.sx[c];
            winner = c;
        }
    if (winner < 0) return;
    for (int k = 0; k < g->n_vectors; k++) best->points[k] = (uint16_t)all.points[k][winner];
    best->off = all.off[winner];
}

/* Points once more, at the scale that was found, and the scale once more, for these. */
static void refit(const struct iq_kernel *kernel, const struct iq_search *t, const struct iq_group *g, struct choice *best)
{
    for (int k = 0; k < g->n_vectors; k++) {
        bool moved;
        if (!t->refit_all && !(best->off >> k & 1)) continue;
        best->points[k] = (uint16_t)point_for(kernel, g, k, vector_digits(g, k, 1 / best->scale), best->scale, &moved);
    }
    struct iq_fit f = fit_points(g, best->points);
    if (f.s2 > 0) best->scale = f.sx / f.s2;
}

/* Scale of a group, which may be negative or no number, and the indices of its points. */
static float search_group(const struct iq_kernel *kernel, const struct iq_search *t, const struct iq_group *g, float max, uint16_t *points)
{
    struct choice best = {.scale = max / (float)(2 * g->top + 1), .off = t->refit_all};
    if (t->positive) {
        uint8_t l[32];
        best.scale = search_positive(g->n, g->top + 2, g->x, g->w, l);
        max = best.scale * (float)(g->top + 1);
        if (max <= 0) return NAN;
    }
    best_candidate(kernel, t, g, max, &best);
    if ((best.off || t->refit_always) && best.scale > 0) refit(kernel, t, g, &best);
    for (int k = 0; k < g->n_vectors; k++) points[k] = (uint16_t)g->c->map[best.points[k]];
    return best.scale;
}

void iq_search_block(const struct iq_kernel *kernel, const struct iq_search *t, const float *x, const float *weights, struct iq_result *out)
{
    struct iq_group g = {.c = codebook_ready(t->codebook), .n = t->n};
    g.n_vectors = g.n / g.c->n_coords;
    g.top = g.c->bits == 2 ? 2 : 7;
    float sigma2 = t->sigma * sum_of_squares(x, QK_K) / QK_K;
    memset(out, 0, sizeof *out);
    for (int s = 0, at = 0; at < QK_K; s++, at += g.n) {
        uint16_t *points = out->points + s * g.n_vectors;
        weigh(t, &g, x + at, weights ? weights + at : NULL, sigma2);
        float max = split(&g, x + at, t->even_signs);
        float scale = max < t->eps ? NAN : search_group(kernel, t, &g, max, points);
        out->zero[s] = isnan(scale);
        if (out->zero[s]) {
            memset(points, 0, (size_t)g.n_vectors * sizeof *points);
            continue;
        }
        for (int k = 0; k < g.n / 8; k++)
            out->signs[at / 8 + k] = (uint8_t)(scale < 0 ? ~g.signs[k] : g.signs[k]);
        out->scales[s] = fabsf(scale);
        if (out->scales[s] > out->max_scale) out->max_scale = out->scales[s];
    }
}
