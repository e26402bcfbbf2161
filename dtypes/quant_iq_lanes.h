/* The loops of quant_iq.c in vectors. Included once by the file of an instruction set, after its lanes_*.h and with KERNEL_SET defined; gives
 * iq_kernel_SET.
 *
 * Among neighbours a lane holds a neighbour, whose costs are picked by its digits from tables in registers; among candidates a lane holds a candidate.
 * Either way the order of operations inside a sum is that of the plain code, and with it every bit.
 */
#include "dtypes/kernel_name.h"
#include "dtypes/quant_iq.h"

INLINE vf v_repeat(int bits, const float *table)
{
    return bits == 2 ? v_repeat_4(table) : v_repeat_8(table);
}

INLINE vf v_pick(int bits, vf table, vi digits)
{
    return bits == 2 ? v_pick_4(table, digits) : v_pick_8(table, digits);
}

enum { PER_BLOCK = NEIGHBOUR_VECTOR / LANES };

/* The place of the first of a block's sums that is the least of all, which some sum is. */
INLINE int place_of(const vf sum[PER_BLOCK], float least)
{
    unsigned equal = 0;
    for (int v = 0; v < PER_BLOCK; v++) equal |= m_bits(v_equal(sum[v], v_set(least))) << LANES * v;
    return __builtin_ctz(equal);
}

/* Most lists are one block, and later blocks are farther away: they are looked into only if a sum is less. */
INLINE unsigned nearest_of(int bits, int coords, const uint16_t *list, const float *x, const float *w, float scale, const float *level)
{
    vf cost[8], level_at = v_set(scale) * v_repeat(bits, level);
    for (int i = 0; i < coords; i++) {
        vf e = level_at - v_set(x[i]);
        cost[i] = v_set(w[i]) * e * e;
    }
    const int n = *list++;
    float least = FLT_MAX;
    unsigned found = list[0];
    for (int j = 0; j < n; j += NEIGHBOUR_VECTOR) {
        vf sum[PER_BLOCK], below = v_set(least);
        for (int v = 0; v < PER_BLOCK; v++) {
            vi digits = v_load_u16(list + j + LANES * v);
            sum[v] = v_pick(bits, cost[0], digits);
            for (int i = 1; i < coords; i++) sum[v] = sum[v] + v_pick(bits, cost[i], v_shift_right(digits, bits * i));
            below = v_min(sum[v], below); /* a sum that is no number is not */
        }
        if (!m_bits(v_less(below, v_set(least)))) continue;
        least = v_least(below);
        found = list[j + place_of(sum, least)];
    }
    return found;
}

static unsigned nearest(const struct codebook *c, const uint16_t *list, const float *x, const float *w, float scale, const float *level)
{
    return c->bits == 2 ? nearest_of(2, 8, list, x, w, scale, level) : nearest_of(3, 4, list, x, w, scale, level);
}

/* Scales of the candidates, and their inverses; whole vectors of lanes. */
struct candidate_scales {
    int n;
    float id[IQ_CANDIDATES_MOST], scale[IQ_CANDIDATES_MOST];
};

static void scales_of_candidates(const struct iq_search *t, const struct iq_group *g, float max, struct candidate_scales *s)
{
    const int n = 2 * t->n_steps + 1;
    float top[IQ_CANDIDATES_MOST] = {0};
    for (int c = 0; c < n; c++) top[c] = iq_candidate_top(t, g, c - t->n_steps);
    s->n = (n + LANES - 1) / LANES * LANES;
    for (int c = 0; c < s->n; c += LANES) {
        vf id = v_load(top + c) / v_set(max);
        v_store(s->id + c, id);
        v_store(s->scale + c, v_set(1) / id);
    }
}

INLINE void digits_of_candidates(int bits, int coords, const struct iq_group *g, const struct candidate_scales *s, struct iq_candidates *out)
{
    const vf top = v_set((float)g->top), half = v_set(0.5f), one = v_set(1), zero = v_set(0);
    for (int c = 0; c < s->n; c += LANES) {
        vf id = v_load(s->id + c);
        for (int k = 0; k < g->n_vectors; k++) {
            vf packed = zero;
            for (int i = 0; i < coords; i++) {
                vf digit = v_nearest(half * (id * v_set(g->x[coords * k + i]) - one));
                packed = packed + v_min(v_max(digit, zero), top) * v_set((float)(1 << bits * i)); /* whole numbers: exact */
            }
            v_store_int(out->points[k] + c, v_nearest_int(packed));
        }
    }
}

/* Digits that are no point become the nearest. Which ones that are nobody can predict: they are listed first. */
INLINE void move_to_points(int bits, int coords, const struct iq_group *g, const struct candidate_scales *s, struct iq_candidates *out)
{
    const struct codebook *book = g->c;
    uint8_t off[IQ_CANDIDATES_MOST * IQ_VECTORS_MOST];
    memset(out->off, 0, sizeof out->off);
    for (int k = 0; k < g->n_vectors; k++) {
        int n = 0;
        for (int c = 0; c < out->n; c++) {
            bool is_off = book->map[out->points[k][c]] < 0;
            off[n] = (uint8_t)c;
            n += is_off;
            out->off[c] |= (uint8_t)(is_off << k);
        }
        for (int j = 0; j < n; j++) {
            int32_t *point = &out->points[k][off[j]];
            *point = (int32_t)nearest_of(bits, coords, book->neighbours + (-1 - book->map[*point]), g->x + coords * k,
                                         g->root_w + coords * k, s->scale[off[j]], iq_levels);
        }
    }
}

INLINE void fits_of_candidates(int bits, int coords, const struct iq_group *g, struct iq_candidates *out)
{
    const vf level = v_repeat(bits, iq_levels);
    for (int c = 0; c < out->n; c += LANES) {
        vf sx = v_set(0), s2 = v_set(0);
        for (int k = 0; k < g->n_vectors; k++) {
            vi digits = v_load_int(out->points[k] + c);
            for (int i = 0; i < coords; i++) {
                vf q = v_pick(bits, level, v_shift_right(digits, bits * i)), w = v_set(g->w[coords * k + i]);
                sx = sx + w * v_set(g->x[coords * k + i]) * q;
                s2 = s2 + w * q * q;
            }
        }
        v_store(out->sx + c, sx);
        v_store(out->s2 + c, s2);
    }
}

INLINE void candidates_of(int bits, int coords, const struct iq_search *t, const struct iq_group *g, float max, struct iq_candidates *out)
{
    struct candidate_scales s;
    out->n = 2 * t->n_steps + 1;
    scales_of_candidates(t, g, max, &s);
    digits_of_candidates(bits, coords, g, &s, out);
    move_to_points(bits, coords, g, &s, out);
    fits_of_candidates(bits, coords, g, out);
}

static void candidates(const struct iq_search *t, const struct iq_group *g, float max, struct iq_candidates *out)
{
    if (g->c->bits == 2)
        candidates_of(2, 8, t, g, max, out);
    else
        candidates_of(3, 4, t, g, max, out);
}

const struct iq_kernel KERNEL(iq_kernel) = {nearest, candidates};
