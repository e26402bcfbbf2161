/* The search that IQ2 and IQ3 share: candidates for the scale of a sub-block, each with the points that suit it. */
#include "dtypes/quant_iq.h"

/* One sub-block and what is known of it. */
struct group {
    const struct codebook *c;
    int n, n_vectors, top; /* top: largest digit */
    float x[32];           /* magnitudes */
    float w[32], root_w[32]; /* weights, and their square roots, with which neighbours are judged */
    uint8_t signs[4];
};

void iq_weigh(const float *x, const float *weights, float sigma2, float base, int n, float *w)
{
    if (weights)
        importance(x, weights, sigma2, n, w);
    else
        for (int i = 0; i < n; i++) w[i] = base + x[i] * x[i];
}

static void weigh(const struct iq_search *t, struct group *g, const float *x, const float *weights, float sigma2)
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
static float split(struct group *g, const float *x, bool even)
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

int codebook_least(const struct codebook *c, const uint16_t *list, const float cost[8][4])
{
    int n = list[0], best = list[1];
    float least = FLT_MAX, first_two[16];
    for (int u = 0; u < 16; u++) first_two[u] = cost[0][u & 3] + cost[1][u >> 2];
    for (int j = 1; j <= n; j++) {
        unsigned p = c->points[list[j]];
        float sum = first_two[p & 15];
        for (int i = 2; i < 8; i++) sum += cost[i][p >> 2 * i & 3]; /* in order: it is part of the bytes */
        if (sum < least) {
            least = sum;
            best = list[j];
        }
    }
    return best;
}

/* The neighbour of least weighted squared error for x ~ scale * (2 * digit + 1). Three values of a coordinate: errors are tabled. */
static int nearest_2bit(const struct codebook *c, const uint16_t *list, const float *x, const float *w, float scale)
{
    float cost[8][4] = {0};
    for (int i = 0; i < 8; i++)
        for (int digit = 0; digit < 3; digit++) {
            float e = scale * (float)(2 * digit + 1) - x[i];
            cost[i][digit] = w[i] * e * e;
        }
    return codebook_least(c, list, cost);
}

static int nearest_3bit(const struct codebook *c, const uint16_t *list, const float *x, const float *w, float scale)
{
    int n = list[0], best = list[1];
    float least = FLT_MAX;
    for (int j = 1; j <= n; j++) {
        const float *q = c->values[list[j]];
        float sum = 0;
        for (int i = 0; i < 4; i++) {
            float e = scale * q[i] - x[i];
            sum += w[i] * e * e;
        }
        if (sum < least) {
            least = sum;
            best = list[j];
        }
    }
    return best;
}

/* Chooses the point of vector k for a scale and its inverse id. Returns whether the vector's own digits are a point. */
static bool choose_point(const struct group *g, int k, float id, float scale, uint16_t *point)
{
    const struct codebook *c = g->c;
    const float *x = g->x + c->n_coords * k;
    unsigned u = 0;
    for (int i = 0; i < c->n_coords; i++) u |= iq_digit(x[i], id, g->top) << c->bits * i;
    int32_t at = c->map[u];
    *point = (uint16_t)at;
    if (at >= 0) return true;
    const uint16_t *list = c->neighbours + (-1 - at);
    const float *w = g->root_w + c->n_coords * k;
    *point = (uint16_t)(c->bits == 2 ? nearest_2bit(c, list, x, w, scale) : nearest_3bit(c, list, x, w, scale));
    return false;
}

struct fit {
    float sx; /* sum of w * x * q */
    float s2; /* sum of w * q * q */
};

static struct fit fit_points(const struct group *g, const uint16_t *points)
{
    struct fit f = {0};
    for (int k = 0, i = 0; k < g->n_vectors; k++) {
        const float *q = g->c->values[points[k]];
        for (int j = 0; j < g->c->n_coords; j++, i++) {
            f.sx += g->w[i] * g->x[i] * q[j];
            f.s2 += g->w[i] * q[j] * q[j];
        }
    }
    return f;
}

/* Scale and points of the best candidate; both stay if none beats nothing at all. Bit k of *off: the digits of vector k were no point. */
static float best_candidate(const struct iq_search *t, const struct group *g, float max, float scale,
                            uint16_t *points, unsigned *off)
{
    float best = 0;
    for (int is = -t->n_steps; is <= t->n_steps; is++) {
        float id = ((float)(2 * g->top + 1) + (float)is * t->step) / max;
        uint16_t candidate[8];
        unsigned candidate_off = 0;
        for (int k = 0; k < g->n_vectors; k++)
            candidate_off |= (unsigned)!choose_point(g, k, id, 1 / id, &candidate[k]) << k;
        struct fit f = fit_points(g, candidate);
        if (f.s2 > 0 && f.sx * f.sx > best * f.s2) {
            scale = f.sx / f.s2;
            best = scale * f.sx;
            memcpy(points, candidate, (size_t)g->n_vectors * sizeof *points);
            *off = candidate_off;
        }
    }
    return scale;
}

/* Points once more, at the scale that was found, and the scale once more, for these. */
static float refit(const struct iq_search *t, const struct group *g, float scale, uint16_t *points, unsigned off)
{
    for (int k = 0; k < g->n_vectors; k++)
        if (t->refit_all || (off >> k & 1)) choose_point(g, k, 1 / scale, scale, &points[k]);
    struct fit f = fit_points(g, points);
    return f.s2 > 0 ? f.sx / f.s2 : scale;
}

/* Scale of a group, which may be negative or no number; points holds zeros: the point 0 has all digits 0. */
static float search_group(const struct iq_search *t, struct group *g, float max, uint16_t *points)
{
    float scale = max / (float)(2 * g->top + 1);
    if (t->positive) {
        uint8_t l[32];
        scale = search_positive(g->n, g->top + 2, g->x, g->w, l);
        max = scale * (float)(g->top + 1);
        if (max <= 0) return NAN;
    }
    unsigned off = t->refit_all ? 1 : 0;
    scale = best_candidate(t, g, max, scale, points, &off);
    if ((off || t->refit_always) && scale > 0) scale = refit(t, g, scale, points, off);
    return scale;
}

void iq_search_block(const struct iq_search *t, const float *x, const float *weights, struct iq_result *out)
{
    struct group g = {.c = codebook_ready(t->codebook), .n = t->n};
    g.n_vectors = g.n / g.c->n_coords;
    g.top = g.c->bits == 2 ? 2 : 7;
    float sigma2 = t->sigma * sum_of_squares(x, QK_K) / QK_K;
    memset(out, 0, sizeof *out);
    for (int s = 0, at = 0; at < QK_K; s++, at += g.n) {
        uint16_t *points = out->points + s * g.n_vectors;
        weigh(t, &g, x + at, weights ? weights + at : NULL, sigma2);
        float max = split(&g, x + at, t->even_signs);
        float scale = max < t->eps ? NAN : search_group(t, &g, max, points);
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
