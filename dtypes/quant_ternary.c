/* Encoders of the types with three levels or two. */
#include "dtypes/codec.h"

/* The inverse of a scale, 0 for 0. */
static float inverse(float d)
{
    return d != 0 ? 1.0f / d : 0.0f;
}

/* -1, 0 or 1 plus 1; other values only from absurd input, and then of no use but deterministic modulo 256. */
static uint8_t trit(float x, float id)
{
    return (uint8_t)((uint32_t)i32_from_f32(roundf(x * id)) + 1u);
}

/* n_digits runs of n_bytes elements to n_bytes bytes: byte m has elements m, n_bytes + m, ... as digits of a fraction, the first the most
 * significant of five (see decode_ternary.c). */
static void pack_trits(const float *x, float id, int n_bytes, int n_digits, uint8_t *bytes)
{
    for (int m = 0; m < n_bytes; m++) {
        uint8_t v = 0;
        for (int k = 0; k < 5; k++)
            v = (uint8_t)(v * 3 + (k < n_digits ? trit(x[n_bytes * k + m], id) : 0));
        bytes[m] = (uint8_t)((v * 256 + 242) / 243);
    }
}

void encode_tq1_0(const float *src, void *dst, int64_t n)
{
    struct block_tq1_0 *b = dst;
    for (; n > 0; n -= QK_K, b++, src += QK_K) {
        float d = magnitude(src, QK_K), id = inverse(d);
        b->d = half_store(d);
        pack_trits(src, id, 32, 5, b->qs);
        pack_trits(src + 160, id, 16, 5, b->qs + 32);
        pack_trits(src + 240, id, 4, 4, b->qh);
    }
}

void encode_tq2_0(const float *src, void *dst, int64_t n)
{
    struct block_tq2_0 *b = dst;
    for (; n > 0; n -= QK_K, b++) {
        float d = magnitude(src, QK_K), id = inverse(d);
        b->d = half_store(d);
        for (int c = 0; c < 2; c++, src += 128)
            for (int l = 0; l < 32; l++) {
                unsigned q = 0;
                for (int k = 0; k < 4; k++) q |= (trit(src[32 * k + l], id) & 3u) << 2 * k;
                b->qs[32 * c + l] = (uint8_t)q;
            }
    }
}

void encode_q2_0(const float *src, void *dst, int64_t n)
{
    struct block_q2_0 *b = dst;
    for (; n > 0; n -= 64, b++) {
        float d = fabsf(extreme(src, 64)), id = inverse(d);
        b->d = half_store(d);
        for (int j = 0; j < 16; j++, src += 4) {
            unsigned q = 0;
            for (int k = 0; k < 4; k++) {
                int32_t t = i32_from_f32(roundf(src[k] * id));
                q |= (unsigned)(i32_clamp(t, -1, 2) + 1) << 2 * k;
            }
            b->qs[j] = (uint8_t)q;
        }
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
