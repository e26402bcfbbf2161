/* Encoders of the types with three levels or two. */
#include "dtypes/codec.h"

/* The inverse of a scale, 0 for 0. */
static float inverse(float d)
{
    return d != 0 ? 1.0f / d : 0.0f;
}

/* The largest magnitude, for blocks whose scale and its inverse are normal floats; 0 for others: NaN, infinity, tiny or no values. Compares bits, which
 * compilers can do for several elements at once. */
static float usual_magnitude(const float *x, int n)
{
    int32_t max = 0;
    for (int i = 0; i < n; i++) {
        int32_t w = (int32_t)(f32_bits(x[i]) & 0x7FFFFFFF);
        max = max > w ? max : w;
    }
    float m = f32_from_bits((uint32_t)max);
    return m > 1e-30f && m < 1e30f ? m : 0.0f;
}

/* -1, 0 or 1 plus 1; other values only from absurd input, and then of no use but deterministic modulo 256. */
static uint8_t trit(float x, float id)
{
    return (uint8_t)((uint32_t)i32_from_f32(roundf(x * id)) + 1u);
}

/* Those of a block, and its scale. In usual blocks |x * id| is hardly above 1, where rounding half away is truncation after adding the float below
 * one half (one half itself would lift 0.49999997). */
static float trits(const float *x, int n, uint8_t *t)
{
    float d = usual_magnitude(x, n);
    if (d > 0) {
        float id = 1.0f / d;
        for (int i = 0; i < n; i++) {
            float y = x[i] * id;
            t[i] = (uint8_t)((int32_t)(y + copysignf(0x1.FFFFFEp-2f, y)) + 1);
        }
        return d;
    }
    d = magnitude(x, n);
    for (int i = 0; i < n; i++) t[i] = trit(x[i], inverse(d));
    return d;
}

/* n_digits runs of n_bytes trits to n_bytes bytes: byte m has trits m, n_bytes + m, ... as digits of a fraction, the first the most significant of
 * five (see decode_ternary.c). */
static void pack_trits(const uint8_t *t, int n_bytes, int n_digits, uint8_t *bytes)
{
    for (int m = 0; m < n_bytes; m++) {
        uint8_t v = 0;
        for (int k = 0; k < 5; k++) v = (uint8_t)(v * 3 + (k < n_digits ? t[n_bytes * k + m] : 0));
        bytes[m] = (uint8_t)((v * 256 + 242) / 243);
    }
}

void encode_tq1_0(const float *src, void *dst, int64_t n)
{
    struct block_tq1_0 *b = dst;
    for (; n > 0; n -= QK_K, b++, src += QK_K) {
        uint8_t t[QK_K];
        b->d = half_store(trits(src, QK_K, t));
        pack_trits(t, 32, 5, b->qs);
        pack_trits(t + 160, 16, 5, b->qs + 32);
        pack_trits(t + 240, 4, 4, b->qh);
    }
}

void encode_tq2_0(const float *src, void *dst, int64_t n)
{
    struct block_tq2_0 *b = dst;
    for (; n > 0; n -= QK_K, b++, src += QK_K) {
        uint8_t t[QK_K];
        b->d = half_store(trits(src, QK_K, t));
        for (int c = 0; c < 2; c++)
            for (int l = 0; l < 32; l++) {
                const uint8_t *q = t + 128 * c + l;
                b->qs[32 * c + l] = (uint8_t)((q[0] & 3) | (q[32] & 3) << 2 | (q[64] & 3) << 4 | (q[96] & 3) << 6);
            }
    }
}

/* Four levels, of which the search never takes the highest; absurd quants are clamped, not cut. */
static float clamped_trits(const float *x, int n, uint8_t *t)
{
    if (usual_magnitude(x, n) > 0) return trits(x, n, t);
    float d = fabsf(extreme(x, n)), id = inverse(d);
    for (int i = 0; i < n; i++) t[i] = (uint8_t)(i32_clamp(i32_from_f32(roundf(x[i] * id)), -1, 2) + 1);
    return d;
}

void encode_q2_0(const float *src, void *dst, int64_t n)
{
    struct block_q2_0 *b = dst;
    for (; n > 0; n -= 64, b++, src += 64) {
        uint8_t t[64];
        b->d = half_store(clamped_trits(src, 64, t));
        for (int j = 0; j < 16; j++)
            b->qs[j] = (uint8_t)(t[4 * j] | t[4 * j + 1] << 2 | t[4 * j + 2] << 4 | t[4 * j + 3] << 6);
    }
}

void encode_q1_0(const float *src, void *dst, int64_t n)
{
    struct block_q1_0 *b = dst;
    for (; n > 0; n -= 128, b++) {
        float sum = 0;
        for (int j = 0; j < 128; j++) sum += fabsf(src[j]);
        b->d = half_store(sum / 128);
        for (int j = 0; j < 16; j++, src += 8) {
            unsigned q = 0;
            for (int k = 0; k < 8; k++) q |= (unsigned)(src[k] >= 0) << k; /* -0 counts as positive */
            b->qs[j] = (uint8_t)q;
        }
    }
}
