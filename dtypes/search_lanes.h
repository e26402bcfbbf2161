/* The searches of quant_search.c for many runs at once: a lane holds a run, so that the order of operations inside each run, and with it every
 * bit, is that of the plain code. Included after one of lanes_*.h.
 *
 * What a lane cannot do exactly that way makes it `strange`: its results mean nothing and its block goes to the plain code. Strange are values
 * that are not finite, sums that overflow, and ranges where rounding would leave the domain of i32_nearest. Everything else is the same IEEE
 * operation on the same operands, so that NaN and infinity on the way compare as they do there.
 *
 * Quants are not kept: what made the winner's is (iscale, and the minimum at that time), and they are rarely needed.
 */
#include "dtypes/kernel_name.h"
#include "dtypes/quant_k.h"

/* Vectors side by side, so that the latencies of one hide behind the work of another: for search_affine two groups, of which one adds while the
 * other divides; for search_symmetric, whose candidates do not depend on each other, FLIGHT up to FLIGHT_MOST. 8 and 16 lanes fill up with 1024
 * elements: shorter rows waste some. Where many rows come as one, FLIGHT_LONG: as many as there are registers for. */
enum { GROUP = LANES == 16 ? 1 : 2, AFFINE_FLIGHT = 2 * GROUP, FLIGHT = 2, FLIGHT_MOST = 4,
       FLIGHT_LONG = LANES == 16 ? 8 : 4 };

/* Before a loop over elements that is to stay a loop: unrolled, compilers collect its long chains of additions at the end, where they fill the
 * processor's window. */
#if defined(__clang__)
#define ROLLED _Pragma("nounroll")
#else
#define ROLLED _Pragma("GCC unroll 1")
#endif

INLINE vm m_not(vm m)
{
    return m_and_not(v_equal(v_set(0), v_set(0)), m);
}

INLINE vm v_finite(vf v)
{
    return v_less(v_abs(v), v_set(INFINITY));
}

/* x[i] lane j = rows[j][i] */
INLINE void lanes_gather(int len, const float *const rows[LANES], vf *x)
{
    for (int c = 0; c < len; c += LANES) {
        for (int j = 0; j < LANES; j++) x[c + j] = v_load(rows[j] + c);
        v_transpose(x + c);
    }
}

/* And back; x is used up. */
INLINE void lanes_scatter(int len, vf *x, float *const rows[LANES])
{
    for (int c = 0; c < len; c += LANES) {
        v_transpose(x + c);
        for (int j = 0; j < LANES; j++) v_store(rows[j] + c, x[c + j]);
    }
}

/* x[i] lane j = src[len * j + i] */
INLINE void lanes_load(int len, const float *src, vf *x)
{
    const float *rows[LANES];
    for (int j = 0; j < LANES; j++) rows[j] = src + len * j;
    lanes_gather(len, rows, x);
}

/* extreme() of 16 values, none of them NaN */
INLINE float extreme_16(const float *x)
{
    vf most = v_set(0);
    unsigned found = 0;
    for (int i = 0; i < 16; i += LANES) most = v_most_abs(most, v_load(x + i));
    float amax = v_most(most);
    for (int i = 0; i < 16; i += LANES) found |= m_bits(v_equal(v_abs(v_load(x + i)), v_set(amax))) << i;
    return amax > 0 ? x[__builtin_ctz(found)] : 0;
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

INLINE void affine_errors(int len, const struct affine_lanes p[GROUP], const vf scale[GROUP], const vf min[GROUP],
                          bool absolute, vf sum[GROUP])
{
    for (int h = 0; h < GROUP; h++) sum[h] = v_set(0);
    ROLLED for (int i = 0; i < len; i++)
        for (int h = 0; h < GROUP; h++) {
            vf e = scale[h] * p[h].l[i] + min[h] - p[h].x[i], size = v_abs(e);
            if (!absolute) size = e * e;
            sum[h] = sum[h] + p[h].w[i] * size;
        }
}

/* x and w are there. */
INLINE void affine_begin(const struct affine_search *s, int len, struct affine_lanes *p)
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
    for (int i = 0; i < len; i++) {
        vf l = v_max(v_round(p->kept_iscale * (p->x[i] - p->min)), v_set(0));
        p->l[i] = v_min(l, v_set((float)s->nmax));
    }
}

struct line_lanes {
    vf l, l2, xl;
};

INLINE void affine_sums(int len, struct affine_lanes p[GROUP], const vf iscale[GROUP], struct line_lanes sums[GROUP],
                        vf nmax, bool cap)
{
    for (int h = 0; h < GROUP; h++) sums[h] = (struct line_lanes){v_set(0), v_set(0), v_set(0)};
    ROLLED for (int i = 0; i < len; i++)
        for (int h = 0; h < GROUP; h++) {
            vf l = v_max(v_round(iscale[h] * (p[h].x[i] - p[h].min)), v_set(0));
            if (cap) l = v_min(l, nmax);
            p[h].l[i] = l;
            vf wl = p[h].w[i] * l;
            sums[h].l = sums[h].l + wl;
            sums[h].l2 = sums[h].l2 + wl * l;
            sums[h].xl = sums[h].xl + wl * p[h].x[i];
        }
}

/* Least-squares scale and minimum; the result marks the lanes where they are determined. */
INLINE vm affine_solve(const struct affine_lanes *p, const struct line_lanes *s, vf *scale, vf *min)
{
    vf zero = v_set(0);
    vf det = p->sum_w * s->l2 - s->l * s->l;
    *scale = (p->sum_w * s->xl - p->sum_x * s->l) / det;
    *min = (s->l2 * p->sum_x - s->l * s->xl) / det;
    vm above = v_less(zero, *min);
    if (m_bits(above)) {
        *min = v_select(above, zero, *min);
        *scale = v_select(above, s->xl / s->l2, *scale);
    }
    return v_less(zero, det);
}

INLINE void affine_take(struct affine_lanes *p, vm better, vf iscale, vf scale, vf min, vf error)
{
    vm shrunk = m_not(v_less(p->range, (p->max - min) * v_set(RANGE_SHRINK)));
    p->strange = m_or(p->strange, m_and(better, shrunk));
    p->kept_iscale = v_select(better, iscale, p->kept_iscale);
    p->kept_min = v_select(better, p->min, p->kept_min);
    p->best = v_select(better, error, p->best);
    p->scale = v_select(better, scale, p->scale);
    p->min = v_select(better, min, p->min);
}

/* A group of vectors with its candidate. */
struct affine_group {
    struct affine_lanes *p; /* GROUP of them */
    vf iscale[GROUP], scale[GROUP], min[GROUP];
    vm solved[GROUP];
};

INLINE void group_begin(const struct affine_search *s, int len, struct affine_group *g, bool absolute)
{
    vf error[GROUP];
    for (int h = 0; h < GROUP; h++) {
        affine_begin(s, len, &g->p[h]);
        g->scale[h] = g->p[h].scale;
        g->min[h] = g->p[h].min;
    }
    affine_errors(len, g->p, g->scale, g->min, absolute, error);
    for (int h = 0; h < GROUP; h++) g->p[h].best = error[h];
}

INLINE void group_sums(const struct affine_search *s, int len, struct affine_group *g, float c)
{
    struct line_lanes sums[GROUP];
    const vf nmax = v_set((float)s->nmax);
    for (int h = 0; h < GROUP; h++) g->iscale[h] = v_set(c) / (g->p[h].max - g->p[h].min);
    if (c < (float)s->nmax + 0.49f) /* then no quant exceeds nmax: x is at most max */
        affine_sums(len, g->p, g->iscale, sums, nmax, false);
    else
        affine_sums(len, g->p, g->iscale, sums, nmax, true);
    for (int h = 0; h < GROUP; h++) g->solved[h] = affine_solve(&g->p[h], &sums[h], &g->scale[h], &g->min[h]);
}

INLINE void group_errors(int len, struct affine_group *g, bool absolute)
{
    vf error[GROUP];
    affine_errors(len, g->p, g->scale, g->min, absolute, error);
    for (int h = 0; h < GROUP; h++) {
        vm better = m_and(g->solved[h], v_less(error[h], g->p[h].best));
        affine_take(&g->p[h], better, g->iscale[h], g->scale[h], g->min[h], error[h]);
    }
}

INLINE void affine_run(const struct affine_search *s, int len, struct affine_lanes p[AFFINE_FLIGHT], bool absolute)
{
    struct affine_group g[2] = {{.p = p}, {.p = p + GROUP}};
    for (int k = 0; k < 2; k++) group_begin(s, len, &g[k], absolute);
    for (int i = 0; i <= s->n_steps; i++) {
        float c = s->first + s->step * (float)i + (float)s->nmax;
        for (int k = 0; k < 2; k++) group_sums(s, len, &g[k], c);
        for (int k = 0; k < 2; k++) group_errors(len, &g[k], absolute);
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

/* cap_lo, cap_hi: whether a quant can exceed the range. */
INLINE void symmetric_sums_capped(int len, const struct symmetric_lanes *p, int flight, const vf *iscale, struct fit_lanes *f,
                                  float nmax, bool cap_lo, bool cap_hi)
{
    for (int h = 0; h < flight; h++) f[h] = (struct fit_lanes){v_set(0), v_set(0)};
    ROLLED for (int i = 0; i < len; i++)
        for (int h = 0; h < flight; h++) {
            vf l = v_round(iscale[h] * p[h].x[i]);
            if (cap_lo) l = v_max(l, v_set(-nmax));
            if (cap_hi) l = v_min(l, v_set(nmax - 1));
            f[h].sx = f[h].sx + p[h].wx[i] * l;
            f[h].s2 = f[h].s2 + p[h].w[i] * l * l;
        }
}

/* Candidate is; the largest magnitude becomes nmax + is / 10, always on the negative side for the extreme. */
INLINE void symmetric_sums(int len, const struct symmetric_lanes *p, int flight, int is, vf *iscale, struct fit_lanes *f,
                           float nmax)
{
    for (int h = 0; h < flight; h++) iscale[h] = v_set(-(nmax + 0.1f * (float)is)) / p[h].extreme;
    if (is < -5)
        symmetric_sums_capped(len, p, flight, iscale, f, nmax, false, false);
    else if (is < 5)
        symmetric_sums_capped(len, p, flight, iscale, f, nmax, false, true);
    else
        symmetric_sums_capped(len, p, flight, iscale, f, nmax, true, true);
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
    vf iscale[FLIGHT_LONG];
    struct fit_lanes f[FLIGHT_LONG];
    symmetric_sums(len, p, flight, 0, iscale, f, nmax);
    for (int h = 0; h < flight; h++) symmetric_first(&p[h], iscale[h], f[h]);
    for (int is = -9; is <= 9; is++) {
        if (is == 0) continue;
        symmetric_sums(len, p, flight, is, iscale, f, nmax);
        for (int h = 0; h < flight; h++) symmetric_try(&p[h], iscale[h], f[h]);
    }
    for (int h = 0; h < flight; h++) {
        p[h].scale = v_select(p[h].active, p[h].scale, v_set(0));
        p[h].kept_iscale = v_select(p[h].active, p[h].kept_iscale, v_set(0));
        p[h].strange = m_or(p[h].strange, m_not(v_finite(p[h].scale)));
    }
}

/* --- the passes over single quants --- */

/* One step of refine_symmetric (quants from lower on) or refine_positive (`positive`: no lower end; a negative quant, which only values without
 * meaning give, would wrap around and makes the lane strange); wx = w * x. Returns the lanes that changed. */
INLINE vm refine_step(vf x, vf w, vf wx, vf lower, vf upper, bool positive, vf *l, struct fit_lanes *f, vm *strange)
{
    vf zero = v_set(0);
    vf sx = f->sx - wx * *l, s2 = f->s2 - w * *l * *l;
    vm open = v_less(zero, sx);
    if (positive) open = m_and(open, v_less(zero, s2));
    vf k = v_min(v_nearest(x * s2 / sx), upper);
    if (positive)
        *strange = m_or(*strange, m_and(open, v_less(k, zero)));
    else
        k = v_max(k, lower);
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
    vm strange = m_none();
    for (int i = 0; i < n; i++) {
        p->l[i] = v_min(v_round(kept * p->x[i]), nmax);
        f.sx = f.sx + p->w[i] * p->x[i] * p->l[i];
        f.s2 = f.s2 + p->w[i] * p->l[i] * p->l[i];
    }
    for (int pass = 0; pass < 5; pass++) {
        vm changed = m_none();
        for (int i = 0; i < n; i++)
            changed = m_or(changed, refine_step(p->x[i], p->w[i], p->w[i] * p->x[i], zero, nmax, true, &p->l[i], &f, &strange));
        if (!m_bits(changed)) break;
    }
    for (int i = 0; i < n; i++) p->l[i] = v_select(active, p->l[i], zero);
    p->scale = v_select(active, fit_scale(f), zero);
    p->strange = m_or(m_and(strange, active), m_not(good));
}
