/* The searches of quant_search.c for many runs at once: a lane holds a run, so that the order of operations inside each run, and with it every
 * bit, is that of the plain code. Included after one of lanes_*.h.
 *
 * What a lane cannot do exactly that way makes it `strange`: its results mean nothing and its block goes to the plain code. Strange are values
 * that are not finite, sums that overflow, and ranges where rounding would leave the domain of i32_nearest. Everything else is the same IEEE
 * operation on the same operands, so that NaN and infinity on the way compare as they do there.
 *
 * Quants are not kept: what made the winner's is (iscale, and the minimum at that time), and they are rarely needed.
 */
#include "dtypes/quant_k.h"

#define INLINE static inline __attribute__((always_inline))

/* KERNEL(encode_x) is encode_x_SET, for the KERNEL_SET of the including file. */
#define NAME_2(NAME, SET) NAME##_##SET
#define NAME_1(NAME, SET) NAME_2(NAME, SET)
#define KERNEL(NAME)      NAME_1(NAME, KERNEL_SET)

enum { FLIGHT = 2 /* vectors side by side, whose latencies hide behind each other */ };

INLINE vm m_not(vm m)
{
    return m_and_not(v_equal(v_set(0), v_set(0)), m);
}

INLINE vm v_finite(vf v)
{
    return v_less(v_abs(v), v_set(INFINITY));
}

/* x[i] lane j = src[len * j + i] */
INLINE void lanes_load(int len, const float *src, vf *x)
{
    for (int c = 0; c < len; c += LANES) {
        for (int j = 0; j < LANES; j++) x[c + j] = v_load(src + j * len + c);
        v_transpose(x + c);
    }
}

/* --- search_affine --- */

struct affine_lanes {
    vf x[32], w[32], l[32];
    vf max, range; /* largest x; that minus the first minimum */
    vf sum_w, sum_x;
    vf scale, min, best;          /* of the winner so far */
    vf kept_iscale, kept_min;     /* what its quants were made with */
    vm flat, strange;
};

/* Limits of what counts as a usual range. Between them, and while a new minimum leaves 1e-5 of the first range, |iscale * (x - min)| is at most
 * 33e5 and iscale does not overflow. */
#define RANGE_LEAST 1e-30f
#define RANGE_MOST 1e38f
#define RANGE_SHRINK 1e5f

INLINE void affine_quants(int len, struct affine_lanes *p, vf iscale, vf nmax, bool cap)
{
    for (int i = 0; i < len; i++) {
        vf l = v_max(v_round(iscale * (p->x[i] - p->min)), v_set(0));
        p->l[i] = cap ? v_min(l, nmax) : l;
    }
}

INLINE vf affine_error(int len, const struct affine_lanes *p, vf scale, vf min, bool absolute)
{
    vf sum = v_set(0);
    for (int i = 0; i < len; i++) {
        vf e = scale * p->l[i] + min - p->x[i];
        vf size = v_abs(e);
        if (!absolute) size = e * e;
        sum = sum + p->w[i] * size;
    }
    return sum;
}

/* x and w are there. */
INLINE void affine_begin(const struct affine_search *s, int len, struct affine_lanes *p, bool absolute)
{
    vf min = p->x[0], max = p->x[0];
    p->sum_w = p->w[0];
    p->sum_x = p->w[0] * p->x[0];
    for (int i = 1; i < len; i++) {
        min = v_min(p->x[i], min);
        max = v_max(p->x[i], max);
        p->sum_w = p->sum_w + p->w[i];
        p->sum_x = p->sum_x + p->w[i] * p->x[i];
    }
    p->min = v_min(v_set(0), min);
    p->max = max;
    p->range = max - p->min;
    p->flat = v_equal(max, p->min);
    vm usual = m_and(v_less(v_set(RANGE_LEAST), p->range), v_less(p->range, v_set(RANGE_MOST)));
    p->strange = m_not(m_and(m_or(usual, p->flat), v_finite(p->sum_x)));
    p->kept_iscale = v_set((float)s->nmax) / p->range;
    p->kept_min = p->min;
    p->scale = v_set(1) / p->kept_iscale;
    affine_quants(len, p, p->kept_iscale, v_set((float)s->nmax), true);
    p->best = affine_error(len, p, p->scale, p->min, absolute);
}

struct line_lanes {
    vf l, l2, xl;
};

INLINE struct line_lanes affine_sums(int len, struct affine_lanes *p, vf iscale, vf nmax, bool cap)
{
    struct line_lanes s = {v_set(0), v_set(0), v_set(0)};
    for (int i = 0; i < len; i++) {
        vf l = v_max(v_round(iscale * (p->x[i] - p->min)), v_set(0));
        if (cap) l = v_min(l, nmax);
        p->l[i] = l;
        vf wl = p->w[i] * l;
        s.l = s.l + wl;
        s.l2 = s.l2 + wl * l;
        s.xl = s.xl + wl * p->x[i];
    }
    return s;
}

INLINE void affine_try(int len, struct affine_lanes *p, vf iscale, const struct line_lanes *s, bool absolute)
{
    vf zero = v_set(0);
    vf det = p->sum_w * s->l2 - s->l * s->l;
    vf scale = (p->sum_w * s->xl - p->sum_x * s->l) / det;
    vf min = (s->l2 * p->sum_x - s->l * s->xl) / det;
    vm above = v_less(zero, min);
    if (m_bits(above)) {
        min = v_select(above, zero, min);
        scale = v_select(above, s->xl / s->l2, scale);
    }
    vf error = affine_error(len, p, scale, min, absolute);
    vm better = m_and(v_less(zero, det), v_less(error, p->best));
    vm shrunk = m_not(v_less(p->range, (p->max - min) * v_set(RANGE_SHRINK)));
    p->strange = m_or(p->strange, m_and(better, shrunk));
    p->kept_iscale = v_select(better, iscale, p->kept_iscale);
    p->kept_min = v_select(better, p->min, p->kept_min);
    p->best = v_select(better, error, p->best);
    p->scale = v_select(better, scale, p->scale);
    p->min = v_select(better, min, p->min);
}

INLINE void affine_run(const struct affine_search *s, int len, struct affine_lanes p[FLIGHT], bool absolute)
{
    const vf nmax = v_set((float)s->nmax);
    for (int h = 0; h < FLIGHT; h++) affine_begin(s, len, &p[h], absolute);
    for (int i = 0; i <= s->n_steps; i++) {
        float c = s->first + s->step * (float)i + (float)s->nmax;
        vf iscale[FLIGHT];
        struct line_lanes sums[FLIGHT];
        for (int h = 0; h < FLIGHT; h++) iscale[h] = v_set(c) / (p[h].max - p[h].min);
        if (c < (float)s->nmax + 0.49f) /* then no quant exceeds nmax: x is at most max */
            for (int h = 0; h < FLIGHT; h++) sums[h] = affine_sums(len, &p[h], iscale[h], nmax, false);
        else
            for (int h = 0; h < FLIGHT; h++) sums[h] = affine_sums(len, &p[h], iscale[h], nmax, true);
        for (int h = 0; h < FLIGHT; h++) affine_try(len, &p[h], iscale[h], &sums[h], absolute);
    }
}

/* --- search_symmetric --- */

struct symmetric_lanes {
    vf x[32], w[32], wx[32];
    vf extreme;
    vf scale, best, kept_iscale;
    vm active, strange;
};

/* x is there; w too if importance counts. */
INLINE void symmetric_begin(int len, struct symmetric_lanes *p, bool weighted)
{
    vf amax = v_set(0), extreme = v_set(0), odd = v_set(0);
    for (int i = 0; i < len; i++) {
        vf a = v_abs(p->x[i]);
        extreme = v_select(v_less(amax, a), p->x[i], extreme);
        amax = v_max(a, amax);
        odd = odd + (p->x[i] - p->x[i]); /* 0, or NaN */
        if (!weighted) p->w[i] = p->x[i] * p->x[i];
        p->wx[i] = p->w[i] * p->x[i];
    }
    p->active = m_not(v_less(amax, v_set(1e-15f)));
    p->extreme = v_select(p->active, extreme, v_set(1));
    p->strange = m_not(v_equal(odd, v_set(0)));
}

struct fit_lanes {
    vf sx, s2;
};

INLINE struct fit_lanes symmetric_sums(int len, const struct symmetric_lanes *p, vf iscale, float nmax)
{
    struct fit_lanes f = {v_set(0), v_set(0)};
    for (int i = 0; i < len; i++) {
        vf l = v_min(v_max(v_round(iscale * p->x[i]), v_set(-nmax)), v_set(nmax - 1));
        f.sx = f.sx + p->wx[i] * l;
        f.s2 = f.s2 + p->w[i] * l * l;
    }
    return f;
}

INLINE void symmetric_first(struct symmetric_lanes *p, vf iscale, struct fit_lanes f)
{
    p->scale = v_select(v_equal(f.s2, v_set(0)), v_set(0), f.sx / f.s2);
    p->best = p->scale * f.sx;
    p->kept_iscale = iscale;
}

INLINE void symmetric_try(struct symmetric_lanes *p, vf iscale, struct fit_lanes f)
{
    vm better = m_and(v_less(v_set(0), f.s2), v_less(p->best * f.s2, f.sx * f.sx));
    vf scale = f.sx / f.s2;
    p->scale = v_select(better, scale, p->scale);
    p->best = v_select(better, scale * f.sx, p->best);
    p->kept_iscale = v_select(better, iscale, p->kept_iscale);
}

INLINE void symmetric_run(int len, float nmax, struct symmetric_lanes *p, int flight)
{
    vf iscale[FLIGHT];
    struct fit_lanes f[FLIGHT];
    for (int h = 0; h < flight; h++) {
        iscale[h] = v_set(-nmax) / p[h].extreme;
        symmetric_first(&p[h], iscale[h], symmetric_sums(len, &p[h], iscale[h], nmax));
    }
    for (int is = -9; is <= 9; is++) {
        if (is == 0) continue;
        for (int h = 0; h < flight; h++) {
            iscale[h] = v_set(-(nmax + 0.1f * (float)is)) / p[h].extreme;
            f[h] = symmetric_sums(len, &p[h], iscale[h], nmax);
        }
        for (int h = 0; h < flight; h++) symmetric_try(&p[h], iscale[h], f[h]);
    }
    for (int h = 0; h < flight; h++) {
        p[h].scale = v_select(p[h].active, p[h].scale, v_set(0));
        p[h].kept_iscale = v_select(p[h].active, p[h].kept_iscale, v_set(0));
        p[h].strange = m_or(p[h].strange, m_not(v_finite(p[h].scale)));
    }
}

/* --- the passes over single quants --- */

/* Beyond this the quotient of a pass may leave the domain of i32_nearest. */
#define QUOTIENT_MOST 4e6f

/* One step of refine_symmetric (lower = -nmax) or refine_positive (lower = 0). Returns the lanes that changed. */
INLINE vm refine_step(vf x, vf w, vf lower, vf upper, bool positive, vf *l, struct fit_lanes *f, vm *strange)
{
    vf zero = v_set(0), wx = w * x;
    vf sx = f->sx - wx * *l, s2 = f->s2 - w * *l * *l;
    vm open = v_less(zero, sx);
    if (positive) open = m_and(open, v_less(zero, s2));
    vf quotient = x * s2 / sx;
    *strange = m_or(*strange, m_and_not(open, v_less(v_abs(quotient), v_set(QUOTIENT_MOST))));
    vf k = v_min(v_max(v_round(quotient), lower), upper);
    sx = sx + wx * k;
    s2 = s2 + w * k * k;
    vm better = m_and(m_and_not(open, v_equal(k, *l)), v_less(f->sx * f->sx * s2, sx * sx * f->s2));
    if (!positive) better = m_and(better, v_less(zero, s2));
    *l = v_select(better, k, *l);
    f->sx = v_select(better, sx, f->sx);
    f->s2 = v_select(better, s2, f->s2);
    return better;
}

INLINE vf fit_scale(struct fit_lanes f)
{
    return v_select(v_less(v_set(0), f.s2), f.sx / f.s2, v_set(0));
}

/* --- search_descent --- */

enum { DESCENTS = 4 /* vectors side by side: a step is one long chain */ };

struct descent_lanes {
    vf x[16], w[16], l[16];
    struct fit_lanes f;
    vf scale;
    vm active, strange;
};

INLINE void descent_begin(struct descent_lanes *p, float nmax)
{
    vf amax = v_set(0), extreme = v_set(0), odd = v_set(0);
    for (int i = 0; i < 16; i++) {
        vf a = v_abs(p->x[i]);
        extreme = v_select(v_less(amax, a), p->x[i], extreme);
        amax = v_max(a, amax);
        odd = odd + (p->x[i] - p->x[i]);
        p->w[i] = p->x[i] * p->x[i];
    }
    p->active = m_not(v_less(amax, v_set(1e-15f)));
    p->strange = m_not(v_equal(odd, v_set(0)));
    vf iscale = v_set(-nmax) / v_select(p->active, extreme, v_set(1));
    p->f = (struct fit_lanes){v_set(0), v_set(0)};
    for (int i = 0; i < 16; i++) {
        vf l = v_min(v_max(v_round(iscale * p->x[i]), v_set(-nmax)), v_set(nmax - 1));
        p->l[i] = l;
        p->f.sx = p->f.sx + p->w[i] * p->x[i] * l;
        p->f.s2 = p->f.s2 + p->w[i] * l * l;
    }
}

/* A lane whose pass changed nothing stays as it is in later ones: they would be the same. */
INLINE void descent_run(float nmax, struct descent_lanes p[DESCENTS])
{
    for (int h = 0; h < DESCENTS; h++) descent_begin(&p[h], nmax);
    for (int pass = 0; pass < 5; pass++) {
        vm changed = m_none();
        for (int i = 0; i < 16; i++)
            for (int h = 0; h < DESCENTS; h++) {
                vm moved = refine_step(p[h].x[i], p[h].w[i], v_set(-nmax), v_set(nmax - 1), false, &p[h].l[i],
                                       &p[h].f, &p[h].strange);
                changed = m_or(changed, m_and(moved, p[h].active));
            }
        if (!m_bits(changed)) break;
    }
    for (int h = 0; h < DESCENTS; h++) {
        p[h].strange = m_and(p[h].active, p[h].strange);
        p[h].scale = v_select(p[h].active, fit_scale(p[h].f), v_set(0));
        p[h].strange = m_or(p[h].strange, m_not(v_finite(p[h].scale)));
    }
}

/* --- search_positive --- */

struct positive_lanes {
    vf x[16], w[16], l[16];
    vf scale;
    vm strange;
};

INLINE vf positive_error(int n, const struct positive_lanes *p, vf iscale, vf nmax)
{
    vf scale = v_set(1) / iscale, sum = v_set(0);
    for (int i = 0; i < n; i++) {
        vf e = p->x[i] - scale * v_min(v_round(iscale * p->x[i]), nmax);
        sum = sum + p->w[i] * e * e;
    }
    return sum;
}

/* x and w are there; lanes with a negative or infinite x are strange. */
INLINE void positive_run(int n, int limit, struct positive_lanes *p)
{
    vf nmax = v_set((float)limit), max = v_set(0), zero = v_set(0);
    vm good = v_equal(zero, zero);
    for (int i = 0; i < n; i++) {
        max = v_max(p->x[i], max);
        good = m_and_not(good, m_or(v_less(p->x[i], zero), m_not(v_finite(p->x[i]))));
    }
    vm active = m_not(v_less(max, v_set(1e-15f)));
    max = v_select(active, max, v_set(1));
    vf kept = nmax / max;
    vf best = positive_error(n, p, kept, nmax);
    for (int is = -4; is <= 4; is++) {
        if (is == 0) continue;
        vf iscale = v_set(0.1f * (float)is + (float)limit) / max;
        vf error = positive_error(n, p, iscale, nmax);
        vm better = v_less(error, best);
        best = v_select(better, error, best);
        kept = v_select(better, iscale, kept);
    }
    struct fit_lanes f = {zero, zero};
    for (int i = 0; i < n; i++) {
        p->l[i] = v_min(v_round(kept * p->x[i]), nmax);
        f.sx = f.sx + p->w[i] * p->x[i] * p->l[i];
        f.s2 = f.s2 + p->w[i] * p->l[i] * p->l[i];
    }
    p->strange = m_none();
    for (int pass = 0; pass < 5; pass++) {
        vm changed = m_none();
        for (int i = 0; i < n; i++)
            changed = m_or(changed, refine_step(p->x[i], p->w[i], zero, nmax, true, &p->l[i], &f, &p->strange));
        if (!m_bits(changed)) break;
    }
    for (int i = 0; i < n; i++) p->l[i] = v_select(active, p->l[i], zero);
    p->scale = v_select(active, fit_scale(f), zero);
    p->strange = m_or(m_and(p->strange, active), m_not(good));
}
