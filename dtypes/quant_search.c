/* Searches for the scale (and minimum) of one block. The functions are those of ggml's reference; see codec.h for what they minimize.
 *
 * Sums start at +0 and run in element order, products are taken from left to right, and the first of equal candidates stays: all of it is part
 * of a file's bytes.
 */
#include "dtypes/codec.h"

static const float scale_eps = 1e-15f; /* a smaller extreme counts as zero */

/* Sums of one candidate: its least-squares scale is sx / s2, and it lowers the squared error by sx * sx / s2. */
struct fit {
    float sx; /* sum of w * x * l */
    float s2; /* sum of w * l * l */
};

float extreme(const float *x, int n)
{
    float amax = 0.0f, v = 0.0f;
    for (int j = 0; j < n; j++) {
        float a = fabsf(x[j]);
        if (a > amax) {
            amax = a;
            v = x[j];
        }
    }
    return v;
}

float magnitude(const float *x, int n)
{
    float amax = 0.0f;
    for (int j = 0; j < n; j++) {
        float a = fabsf(x[j]);
        amax = amax > a ? amax : a; /* not fmaxf */
    }
    return amax;
}

float sum_of_squares(const float *x, int64_t n)
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

void importance(const float *x, const float *weights, float sigma2, int n, float *w)
{
    for (int i = 0; i < n; i++) w[i] = weights[i] * sqrtf(sigma2 + x[i] * x[i]);
}

static struct fit fit_symmetric(int n, int nmax, const float *x, const float *w, float iscale, int8_t *l)
{
    struct fit f = {0};
    for (int i = 0; i < n; i++) {
        l[i] = (int8_t)i32_clamp(i32_nearest(iscale * x[i]), -nmax, nmax - 1);
        f.sx += w[i] * x[i] * (float)l[i];
        f.s2 += w[i] * (float)l[i] * (float)l[i];
    }
    return f;
}

float search_symmetric(int n, int nmax, const float *x, const float *w, int8_t *best_l)
{
    float v = extreme(x, n);
    if (fabsf(v) < scale_eps) {
        memset(best_l, -nmax, (size_t)n);
        return 0.0f;
    }
    struct fit f = fit_symmetric(n, nmax, x, w, -(float)nmax / v, best_l);
    float scale = f.s2 != 0 ? f.sx / f.s2 : 0.0f;
    float best = scale * f.sx;
    for (int is = -9; is <= 9; is++) {
        if (is == 0) continue;
        int8_t l[32];
        f = fit_symmetric(n, nmax, x, w, -((float)nmax + 0.1f * (float)is) / v, l);
        if (f.s2 > 0 && f.sx * f.sx > best * f.s2) {
            memcpy(best_l, l, (size_t)n);
            scale = f.sx / f.s2;
            best = scale * f.sx;
        }
    }
    return scale;
}

/* Moves single quants while that lowers the error. */
static void refine_symmetric(int n, int nmax, const float *x, const float *w, struct fit *f, int8_t *l)
{
    bool changed = true;
    for (int pass = 0; pass < 5 && changed; pass++) {
        changed = false;
        for (int i = 0; i < n; i++) {
            float sx = f->sx - w[i] * x[i] * (float)l[i];
            if (!(sx > 0)) continue;
            float s2 = f->s2 - w[i] * (float)l[i] * (float)l[i];
            int32_t v = i32_clamp(i32_nearest(x[i] * s2 / sx), -nmax, nmax - 1);
            if (v == l[i]) continue;
            sx += w[i] * x[i] * (float)v;
            s2 += w[i] * (float)v * (float)v;
            if (s2 > 0 && sx * sx * f->s2 > f->sx * f->sx * s2) {
                l[i] = (int8_t)v;
                *f = (struct fit){sx, s2};
                changed = true;
            }
        }
    }
}

float search_descent(int n, int nmax, const float *x, int8_t *l)
{
    float v = extreme(x, n), w[32];
    if (fabsf(v) < scale_eps) {
        memset(l, -nmax, (size_t)n);
        return 0.0f;
    }
    for (int i = 0; i < n; i++) w[i] = x[i] * x[i];
    struct fit f = fit_symmetric(n, nmax, x, w, -(float)nmax / v, l);
    refine_symmetric(n, nmax, x, w, &f, l);
    return f.s2 > 0 ? f.sx / f.s2 : 0.0f;
}

/* What the candidates of an affine search share. */
struct affine_block {
    int n, nmax;
    bool absolute;
    const float *x, *w;
    float sum_w, sum_x; /* of w, of w * x */
};

static uint8_t quant_affine(const struct affine_block *b, int i, float iscale, float min)
{
    return (uint8_t)i32_clamp(i32_nearest(iscale * (b->x[i] - min)), 0, b->nmax);
}

static float error_affine(const struct affine_block *b, const uint8_t *l, float scale, float min)
{
    float sum = 0;
    for (int i = 0; i < b->n; i++) {
        float e = scale * (float)l[i] + min - b->x[i];
        sum += b->w[i] * (b->absolute ? fabsf(e) : e * e);
    }
    return sum;
}

/* Least-squares scale and minimum for quants made with iscale and *min; false if they are not determined. */
static bool fit_affine(const struct affine_block *b, float iscale, float *scale, float *min, uint8_t *l)
{
    float sum_l = 0, sum_l2 = 0, sum_xl = 0;
    for (int i = 0; i < b->n; i++) {
        l[i] = quant_affine(b, i, iscale, *min);
        float wl = b->w[i] * (float)l[i];
        sum_l += wl;
        sum_l2 += wl * (float)l[i];
        sum_xl += wl * b->x[i];
    }
    float det = b->sum_w * sum_l2 - sum_l * sum_l;
    if (!(det > 0)) return false;
    *scale = (b->sum_w * sum_xl - b->sum_x * sum_l) / det;
    *min = (sum_l2 * b->sum_x - sum_l * sum_xl) / det;
    if (*min > 0) {
        *min = 0;
        *scale = sum_xl / sum_l2;
    }
    return true;
}

float search_affine(const struct affine_search *s, int n, const float *x, const float *w, uint8_t *best_l, float *minus_min)
{
    struct affine_block b = {n, s->nmax, s->absolute, x, w, w[0], w[0] * x[0]};
    float min = x[0], max = x[0];
    for (int i = 1; i < n; i++) {
        if (x[i] < min) min = x[i];
        if (x[i] > max) max = x[i];
        b.sum_w += w[i];
        b.sum_x += w[i] * x[i];
    }
    if (min > 0) min = 0;
    *minus_min = -min;
    memset(best_l, 0, (size_t)n);
    if (max <= min) return 0.0f;
    float iscale = (float)s->nmax / (max - min);
    float scale = 1 / iscale;
    for (int i = 0; i < n; i++) best_l[i] = quant_affine(&b, i, iscale, min);
    float best = error_affine(&b, best_l, scale, min);
    for (int is = 0; is <= s->n_steps; is++) {
        uint8_t l[32];
        float this_scale, this_min = min; /* the winner's minimum, from which the following candidates start */
        iscale = (s->first + s->step * (float)is + (float)s->nmax) / (max - min);
        if (!fit_affine(&b, iscale, &this_scale, &this_min, l)) continue;
        float error = error_affine(&b, l, this_scale, this_min);
        if (error < best) {
            memcpy(best_l, l, (size_t)n);
            best = error;
            scale = this_scale;
            min = this_min;
        }
    }
    *minus_min = -min;
    return scale;
}

/* Moves single quants while that lowers the error. l holds what was counted in f, modulo 256. */
static void refine_positive(int n, int nmax, const float *x, const float *w, struct fit *f, uint8_t *l)
{
    bool changed = true;
    for (int pass = 0; pass < 5 && changed; pass++) {
        changed = false;
        for (int i = 0; i < n; i++) {
            float sx = f->sx - w[i] * x[i] * (float)l[i];
            float s2 = f->s2 - w[i] * (float)l[i] * (float)l[i];
            if (!(sx > 0 && s2 > 0)) continue;
            int32_t v = i32_nearest(x[i] * s2 / sx);
            if (v > nmax) v = nmax;
            if (v == l[i]) continue;
            sx += w[i] * x[i] * (float)v;
            s2 += w[i] * (float)v * (float)v;
            if (sx * sx * f->s2 > f->sx * f->sx * s2) {
                l[i] = (uint8_t)v;
                *f = (struct fit){sx, s2};
                changed = true;
            }
        }
    }
}

static float error_positive(int n, int nmax, const float *x, const float *w, float iscale)
{
    float scale = 1 / iscale, sum = 0;
    for (int i = 0; i < n; i++) {
        int32_t l = i32_nearest(iscale * x[i]);
        float e = x[i] - scale * (float)(l < nmax ? l : nmax);
        sum += w[i] * e * e;
    }
    return sum;
}

float search_positive(int n, int nmax, const float *x, const float *w, uint8_t *l)
{
    float max = 0;
    for (int i = 0; i < n; i++) {
        max = max > x[i] ? max : x[i];
        l[i] = 0;
    }
    if (max < scale_eps) return 0.0f;
    float iscale = (float)nmax / max, best = 0;
    for (int i = 0; i < n; i++) { /* the first candidate alone counts modulo 256: elements may be negative after all */
        float e = x[i] - 1 / iscale * (float)(uint8_t)i32_nearest(iscale * x[i]);
        best += w[i] * e * e;
    }
    for (int is = -4; is <= 4; is++) {
        if (is == 0) continue;
        float candidate = (0.1f * (float)is + (float)nmax) / max;
        float error = error_positive(n, nmax, x, w, candidate);
        if (error < best) {
            best = error;
            iscale = candidate;
        }
    }
    struct fit f = {0};
    for (int i = 0; i < n; i++) {
        int32_t v = i32_nearest(iscale * x[i]);
        if (v > nmax) v = nmax;
        l[i] = (uint8_t)v;
        f.sx += w[i] * x[i] * (float)v;
        f.s2 += w[i] * (float)v * (float)v;
    }
    refine_positive(n, nmax, x, w, &f, l);
    return f.s2 > 0.0f ? f.sx / f.s2 : 0.0f;
}
