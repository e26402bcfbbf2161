/* Encoders of super-blocks: a search for the scale of each sub-block, then integer scales under one half.
 *
 * Sums start at +0 and run in element order; the first of equal candidates stays. Both are part of the bytes.
 */
#include "dtypes/codec.h"

static const float scale_eps = 1e-15f; /* a smaller extreme counts as zero */

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
    float v = extreme(scales, 16); /* never NaN: a block whose sums overflow counts as zero */
    if (fabsf(v) < scale_eps) {
        memset(b, 0, sizeof *b);
        return false;
    }
    float iscale = -128.0f / v;
    b->d = half_store(1 / iscale);
    for (int s = 0; s < 16; s++) {
        int32_t q = i32_nearest(iscale * scales[s]);
        b->scales[s] = (int8_t)(q < 127 ? q : 127);
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
