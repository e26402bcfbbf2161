/* Decoders of super-blocks of 256 with integer sub-scales. */
#include "dtypes/decode_k.h"

void decode_q2_k(const void *src, float *dst, int64_t n)
{
    const struct block_q2_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float d = half_load(b->d), dmin = half_load(b->dmin);
        /* sub-block s = 8c + 2k + h: half h of the 32 bytes of c, bit pair k */
        for (int s = 0; s < 16; s++, dst += 16) {
            const uint8_t *q = b->qs + 32 * (s / 8) + 16 * (s % 2);
            int shift = 2 * (s / 2 % 4);
            float scale = d * (float)(b->scales[s] & 15), min = dmin * (float)(b->scales[s] >> 4);
            for (int l = 0; l < 16; l++) dst[l] = scale * (float)(q[l] >> shift & 3) - min;
        }
    }
}

void decode_q3_k(const void *src, float *dst, int64_t n)
{
    const struct block_q3_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        int8_t scales[16];
        float d = half_load(b->d);
        k_unpack_scales_q3(b->scales, scales);
        for (int s = 0; s < 16; s++, dst += 16) {
            const uint8_t *q = b->qs + 32 * (s / 8) + 16 * (s % 2);
            const uint8_t *h = b->hmask + 16 * (s % 2);
            int shift = 2 * (s / 2 % 4), bit = s / 2;
            float scale = d * (float)scales[s];
            for (int l = 0; l < 16; l++) {
                int v = (q[l] >> shift & 3) | (h[l] >> bit & 1) << 2;
                dst[l] = scale * (float)(v - 4);
            }
        }
    }
}

/* Steps and minima of Q4_K and Q5_K. */
static void unpack_k4(struct half half_d, struct half half_min, const uint8_t sc[12], float scale[8], float min[8])
{
    uint8_t s[8], m[8];
    float d = half_load(half_d), dmin = half_load(half_min);
    k_unpack_scales_q4(sc, s, m);
    for (int j = 0; j < 8; j++) {
        scale[j] = d * (float)s[j];
        min[j] = dmin * (float)m[j];
    }
}

void decode_q4_k(const void *src, float *dst, int64_t n)
{
    const struct block_q4_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float scale[8], min[8];
        unpack_k4(b->d, b->dmin, b->scales, scale, min);
        for (int s = 0; s < 8; s++, dst += 32) {
            const uint8_t *q = b->qs + 32 * (s / 2);
            int shift = 4 * (s % 2);
            for (int l = 0; l < 32; l++) dst[l] = scale[s] * (float)(q[l] >> shift & 15) - min[s];
        }
    }
}

void decode_q5_k(const void *src, float *dst, int64_t n)
{
    const struct block_q5_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float scale[8], min[8];
        unpack_k4(b->d, b->dmin, b->scales, scale, min);
        for (int s = 0; s < 8; s++, dst += 32) {
            const uint8_t *q = b->qs + 32 * (s / 2);
            int shift = 4 * (s % 2);
            for (int l = 0; l < 32; l++) {
                int v = (q[l] >> shift & 15) | (b->qh[l] >> s & 1) << 4;
                dst[l] = scale[s] * (float)v - min[s];
            }
        }
    }
}

void decode_q6_k(const void *src, float *dst, int64_t n)
{
    const struct block_q6_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float d = half_load(b->d);
        /* sub-block s = 8c + 2k + h: low nibbles from byte 64c + 32(k % 2) + 16h, high pairs from byte 32c + 16h */
        for (int s = 0; s < 16; s++, dst += 16) {
            int c = s / 8, k = s / 2 % 4, h = s % 2;
            const uint8_t *ql = b->ql + 64 * c + 32 * (k % 2) + 16 * h;
            const uint8_t *qh = b->qh + 32 * c + 16 * h;
            float scale = d * (float)b->scales[s];
            for (int l = 0; l < 16; l++) {
                int v = (ql[l] >> 4 * (k / 2) & 15) | (qh[l] >> 2 * k & 3) << 4;
                dst[l] = scale * (float)(v - 32);
            }
        }
    }
}

void decode_iq4_xs(const void *src, float *dst, int64_t n)
{
    const struct block_iq4_xs *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float d = half_load(b->d);
        int high = u16_load(b->scales_h);
        for (int s = 0; s < 8; s++, dst += 32) {
            int u = (b->scales_l[s / 2] >> 4 * (s % 2) & 15) | (high >> 2 * s & 3) << 4;
            float scale = d * (float)(u - 32);
            for (int j = 0; j < 16; j++) {
                uint8_t q = b->qs[16 * s + j];
                dst[j] = scale * (float)iq4_levels[q & 15];
                dst[j + 16] = scale * (float)iq4_levels[q >> 4];
            }
        }
    }
}
