/* Encoders of the types with sixteen uneven levels: a search for the scale of each 32 elements, weighted by x * x or by importance. */
#include "dtypes/quant_32.h"

static const float scale_eps = 1e-15f; /* a smaller extreme counts as zero */

/* The index of the nearest level, the upper of two; NaN: 15. */
static uint8_t nearest_level(float v)
{
    if (v <= (float)iq4_levels[0]) return 0;
    if (v >= (float)iq4_levels[15]) return 15;
    int lo = 0, hi = 15;
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (v < (float)iq4_levels[mid])
            hi = mid;
        else
            lo = mid;
    }
    return (uint8_t)(v - (float)iq4_levels[lo] < (float)iq4_levels[hi] - v ? lo : hi);
}

struct fit {
    float sx; /* sum of w * level * x */
    float s2; /* sum of w * level * level */
};

static struct fit fit_levels(const float *x, const float *w, float iscale)
{
    struct fit f = {0};
    for (int i = 0; i < QK; i++) {
        float level = (float)iq4_levels[nearest_level(iscale * x[i])];
        f.sx += w[i] * level * x[i];
        f.s2 += w[i] * level * level;
    }
    return f;
}

/* x ~ scale * level, least weighted squared error of 16 candidates; 0 if all are nearly zero. */
static float search_levels(const float *x, const float *w)
{
    float v = extreme(x, QK);
    if (fabsf(v) < scale_eps) return 0.0f;
    float d = -v / (float)iq4_levels[0];
    struct fit f = fit_levels(x, w, 1 / d);
    float scale = f.s2 > 0 ? f.sx / f.s2 : 0.0f;
    float best = scale * f.sx;
    for (int is = -7; is <= 7; is++) {
        f = fit_levels(x, w, ((float)is + (float)iq4_levels[0]) / v);
        if (f.s2 > 0 && f.sx * f.sx > best * f.s2) {
            scale = f.sx / f.s2;
            best = scale * f.sx;
        }
    }
    return scale;
}

/* Weights of 32 of the super-block's elements. */
static void level_weights(const float *x, const float *weights, float sigma2, float w[QK])
{
    if (weights) {
        importance(x, weights, sigma2, QK, w);
    } else {
        for (int i = 0; i < QK; i++) w[i] = x[i] * x[i];
    }
}

static void store_levels(const float *x, float iscale, uint8_t qs[16])
{
    for (int j = 0; j < 16; j++)
        qs[j] = (uint8_t)(nearest_level(iscale * x[j]) | nearest_level(iscale * x[j + 16]) << 4);
}

static void encode_iq4_nl_block(const float *x, const float *weights, struct block_iq4_nl *b)
{
    float w[QK];
    level_weights(x, weights, sum_of_squares(x, QK) * (2.0f / QK), w);
    float scale = search_levels(x, w);
    b->d = half_store(scale);
    store_levels(x, scale != 0 ? 1 / scale : 0.0f, b->qs);
}

void encode_iq4_nl_weighted(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_iq4_nl *b = dst;
    for (; n > 0; n -= QK, b++, row += QK, weights = weights ? weights + QK : NULL)
        encode_iq4_nl_block(row, weights, b);
}

void encode_iq4_nl(const float *src, void *dst, int64_t n)
{
    encode_iq4_nl_weighted(src, NULL, dst, n);
}

void iq4_xs_set_scales(struct block_iq4_xs *b, const float scales[8], float iscales[8])
{
    float d = -extreme(scales, 8) / 32;
    float id = d != 0 ? 1 / d : 0.0f;
    unsigned high = 0;
    memset(b->scales_l, 0, sizeof b->scales_l);
    b->d = half_store(d);
    for (int s = 0; s < 8; s++) {
        int32_t l = i32_clamp(i32_nearest(id * scales[s]), -32, 31);
        float step = d * (float)l; /* not the rounded d: as the reference has it */
        iscales[s] = step != 0 ? 1 / step : 0.0f;
        unsigned u = (unsigned)(l + 32);
        b->scales_l[s / 2] |= (uint8_t)((u & 15) << 4 * (s % 2));
        high |= u >> 4 << 2 * s;
    }
    b->scales_h[0] = (uint8_t)high;
    b->scales_h[1] = (uint8_t)(high >> 8);
}

void encode_iq4_xs_weighted(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_iq4_xs *b = dst;
    for (; n > 0; n -= QK_K, b++, row += QK_K, weights = weights ? weights + QK_K : NULL) {
        float scales[8], sigma2 = sum_of_squares(row, QK_K) * (2.0f / QK_K);
        for (int s = 0; s < 8; s++) {
            float w[QK];
            level_weights(row + QK * s, weights ? weights + QK * s : NULL, sigma2, w);
            scales[s] = search_levels(row + QK * s, w);
        }
        float iscales[8];
        iq4_xs_set_scales(b, scales, iscales);
        for (int s = 0; s < 8; s++) store_levels(row + QK * s, iscales[s], b->qs + 16 * s);
    }
}

void encode_iq4_xs(const float *src, void *dst, int64_t n)
{
    encode_iq4_xs_weighted(src, NULL, dst, n);
}
