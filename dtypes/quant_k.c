/* Encoders of super-blocks: a search for the scale of each sub-block, then integer scales under one half.
 *
 * Sums start at +0 and run in element order; the first of equal candidates stays. Both are part of the bytes.
 */
#include "dtypes/codec.h"

static const float scale_eps = 1e-15f; /* a smaller extreme counts as zero */

/* Weighted sums of one candidate: its least-squares scale is sx / s2, and the squared error falls by sx * sx / s2. */
struct fit {
    float sx; /* sum of w * x * l */
    float s2; /* sum of w * l * l */
};

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

/* Scale for x ~ scale * l, l in -nmax..nmax-1, of least weighted squared error among 19 candidates around extreme / -nmax.
 * l of the winner goes to best_l. Near-zero x give 0 and l = -nmax, which the caller's bias turns into quants of 0. */
static float search_symmetric(int n, int nmax, const float *x, const float *w, int8_t *best_l)
{
    float amax = 0.0f, extreme = 0.0f;
    for (int i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        if (a > amax) {
            amax = a;
            extreme = x[i];
        }
    }
    if (amax < scale_eps) {
        memset(best_l, -nmax, (size_t)n);
        return 0.0f;
    }
    struct fit f = fit_symmetric(n, nmax, x, w, -(float)nmax / extreme, best_l);
    float scale = f.s2 != 0 ? f.sx / f.s2 : 0.0f;
    float best = scale * f.sx;
    for (int is = -9; is <= 9; is++) {
        if (is == 0) continue;
        int8_t l[32];
        f = fit_symmetric(n, nmax, x, w, -((float)nmax + 0.1f * (float)is) / extreme, l);
        if (f.s2 > 0 && f.sx * f.sx > best * f.s2) {
            memcpy(best_l, l, (size_t)n);
            scale = f.sx / f.s2;
            best = scale * f.sx;
        }
    }
    return scale;
}

/* q + 32 of all elements to four low bits in ql and two high bits in qh (order: see decode_q6_k). */
static void pack_q6_k(const int8_t *q, struct block_q6_k *b)
{
    for (int c = 0; c < 2; c++, q += 128) {
        uint8_t *ql = b->ql + 64 * c, *qh = b->qh + 32 * c;
        for (int l = 0; l < 32; l++) {
            int u0 = q[l] + 32, u1 = q[l + 32] + 32, u2 = q[l + 64] + 32, u3 = q[l + 96] + 32;
            ql[l] = (uint8_t)((u0 & 15) | (u2 & 15) << 4);
            ql[l + 32] = (uint8_t)((u1 & 15) | (u3 & 15) << 4);
            qh[l] = (uint8_t)(u0 >> 4 | u1 >> 4 << 2 | u2 >> 4 << 4 | u3 >> 4 << 6);
        }
    }
}

bool q6_k_set_scales(struct block_q6_k *b, const float scales[16], float steps[16])
{
    float extreme = 0.0f, amax = 0.0f;
    for (int s = 0; s < 16; s++) {
        float a = fabsf(scales[s]);
        if (a > amax) { /* never true for NaN: a block whose sums overflow counts as zero */
            amax = a;
            extreme = scales[s];
        }
    }
    if (amax < scale_eps) {
        memset(b, 0, sizeof *b);
        return false;
    }
    float iscale = -128.0f / extreme;
    b->d = half_store(1 / iscale);
    for (int s = 0; s < 16; s++) {
        int32_t v = i32_nearest(iscale * scales[s]);
        b->scales[s] = (int8_t)(v < 127 ? v : 127);
        steps[s] = half_load(b->d) * (float)b->scales[s];
    }
    return true;
}

void encode_q6_k(const float *src, void *dst, int64_t n)
{
    struct block_q6_k *b = dst;
    for (; n > 0; n -= QK_K, b++, src += QK_K) {
        int8_t q[QK_K];
        float scales[16], steps[16];
        for (int s = 0; s < 16; s++) {
            const float *x = src + 16 * s;
            float w[16];
            for (int i = 0; i < 16; i++) w[i] = x[i] * x[i];
            scales[s] = search_symmetric(16, 32, x, w, q + 16 * s);
        }
        if (!q6_k_set_scales(b, scales, steps)) continue;
        for (int i = 0; i < QK_K; i++) {
            float step = steps[i / 16];
            if (step != 0) /* else what the search left stays */
                q[i] = (int8_t)i32_clamp(i32_nearest(src[i] / step), -32, 31);
        }
        pack_q6_k(q, b);
    }
}
