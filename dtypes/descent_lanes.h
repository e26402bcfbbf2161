/* search_descent of quant_search.c for the sub-blocks of a chunk, a lane for each.
 *
 * Six of seven steps change nothing, half of the sub-blocks never change, and few need a second pass. So the sub-blocks that go on are put side by
 * side anew for every pass, and a step looks first whether it can change any lane: if not, it costs a third and the next one need not wait for it.
 */
#include "dtypes/chunk_lanes.h"

struct descents {
    const float *x;                         /* of sub-block r: x[16 * r] */
    float sx[SUBS_MAX], s2[SUBS_MAX];       /* struct fit_lanes, by sub-block */
    float l[SUBS_MAX][16];                  /* quants */
    uint8_t live[SUBS_MAX + LANES];         /* the sub-blocks to which a pass can do something */
    int n_live;
};

static void live_add(struct descents *d, const uint8_t *sub, unsigned lanes)
{
    for (; lanes; lanes &= lanes - 1) d->live[d->n_live++] = sub[__builtin_ctz(lanes)];
}

struct descent_start {
    vm active, strange, live;
};

/* The LANES sub-blocks from `first` on, before any pass. With a positive extreme no product w * x * l is above 0, so that their sum without any one of
 * them is not either, rounded or not, and every step ends there: not live. */
INLINE struct descent_start descent_begin(float nmax, struct descents *d, int first)
{
    vf x[16], l[16], amax = v_set(0), extreme = v_set(0), odd = v_set(0);
    struct fit_lanes f = {v_set(0), v_set(0)};
    lanes_load(16, d->x + 16 * first, x);
    for (int i = 0; i < 16; i++) {
        vf a = v_abs(x[i]);
        extreme = v_select(v_less(amax, a), x[i], extreme);
        amax = v_max(a, amax);
        odd = odd + (x[i] - x[i]); /* 0, or NaN */
    }
    struct descent_start s = {.active = m_not(v_less(amax, v_set(1e-15f))), .strange = m_not(v_equal(odd, v_set(0)))};
    s.live = m_and_not(m_and(s.active, v_less(extreme, v_set(0))), s.strange);
    vf iscale = v_set(-nmax) / v_select(s.active, extreme, v_set(1));
    for (int i = 0; i < 16; i++) {
        vf w = x[i] * x[i];
        l[i] = v_min(v_max(v_round(iscale * x[i]), v_set(-nmax)), v_set(nmax - 1));
        f.sx = f.sx + w * x[i] * l[i];
        f.s2 = f.s2 + w * l[i] * l[i];
    }
    v_store(d->sx + first, f.sx);
    v_store(d->s2 + first, f.s2);
    float *rows[LANES];
    for (int j = 0; j < LANES; j++) rows[j] = d->l[first + j];
    lanes_scatter(16, l, rows);
    return s;
}

/* Whether a step changes no lane for sure: the quotient rounds to the quant that is there. The bound leaves room for the roundings on both sides, while
 * sx is not so small that they are more than relative. */
INLINE bool step_is_idle(vf x, vf w, vf wx, vf l, const struct fit_lanes *f)
{
    vf sx = f->sx - wx * l, t = x * (f->s2 - w * l * l);
    vm idle = v_less(v_abs(v_multiply_subtract(l, sx, t)), v_multiply_subtract(v_set(0.499f), sx, v_set(1e-30f)));
    return m_bits(idle) == (1u << LANES) - 1;
}

/* A pass; returns the lanes that changed. */
INLINE vm descent_steps(float nmax, const vf x[16], vf l[16], struct fit_lanes *f)
{
    vm changed = m_none(), strange;
    for (int i = 0; i < 16; i++) {
        vf w = x[i] * x[i], wx = w * x[i];
        if (step_is_idle(x[i], w, wx, l[i], f)) continue;
        changed = m_or(changed, refine_step(x[i], w, wx, v_set(-nmax), v_set(nmax - 1), false, &l[i], f, &strange));
    }
    return changed;
}

/* A pass over n sub-blocks, at most LANES; the others of the vector repeat the first. */
static void descent_vector(float nmax, struct descents *d, const uint8_t *sub, int n)
{
    const float *x_rows[LANES];
    float *l_rows[LANES], sx[LANES], s2[LANES];
    vf x[16], l[16];
    for (int j = 0; j < LANES; j++) {
        int s = sub[j < n ? j : 0];
        x_rows[j] = d->x + 16 * s;
        l_rows[j] = d->l[s];
        sx[j] = d->sx[s];
        s2[j] = d->s2[s];
    }
    lanes_gather(16, x_rows, x);
    lanes_gather(16, (const float *const *)l_rows, l);
    struct fit_lanes f = {v_load(sx), v_load(s2)};
    unsigned changed = m_bits(descent_steps(nmax, x, l, &f)) & ((1u << n) - 1);
    if (!changed) return;
    lanes_scatter(16, l, l_rows);
    v_store(sx, f.sx);
    v_store(s2, f.s2);
    for (int j = 0; j < n; j++) {
        d->sx[sub[j]] = sx[j];
        d->s2[sub[j]] = s2[j];
    }
    live_add(d, sub, changed);
}

static void descent_pass(float nmax, struct descents *d)
{
    uint8_t sub[SUBS_MAX];
    int n = d->n_live;
    memcpy(sub, d->live, (size_t)n);
    d->n_live = 0;
    for (int at = 0; at < n; at += LANES) descent_vector(nmax, d, sub + at, n - at < LANES ? n - at : LANES);
}

static void search_descent_chunk(float nmax, const struct chunk *c, struct found *f)
{
    struct descents d = {.x = c->x};
    vm active[SUBS_MAX / LANES];
    int n = c->blocks * 16;
    for (int first = 0, v = 0; first < n; first += LANES, v++) {
        struct descent_start s = descent_begin(nmax, &d, first);
        mark_strange(f, m_bits(s.strange), first, 16);
        active[v] = s.active;
        for (unsigned lanes = m_bits(s.live); lanes; lanes &= lanes - 1) d.live[d.n_live++] = (uint8_t)(first + __builtin_ctz(lanes));
    }
    for (int pass = 0; pass < 5 && d.n_live; pass++) descent_pass(nmax, &d);
    for (int first = 0, v = 0; first < n; first += LANES, v++) {
        vf scale = v_select(active[v], fit_scale((struct fit_lanes){v_load(d.sx + first), v_load(d.s2 + first)}), v_set(0));
        v_store(f->scale + first, scale);
        mark_strange(f, m_bits(m_not(v_finite(scale))), first, 16);
    }
}
