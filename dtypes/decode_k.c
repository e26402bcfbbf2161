/* Decoders of super-blocks of 256 with integer sub-scales. */
#include "dtypes/codec.h"

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

/* Sixteen 6-bit scales, biased by 32: low nibbles in bytes 0-7 (even half, odd half), high pairs in bytes 8-11. */
static int q3_k_scale(const uint8_t sc[12], int j)
{
    int low = j < 8 ? sc[j] & 15 : sc[j - 8] >> 4;
    int high = sc[8 + j % 4] >> 2 * (j / 4) & 3;
    return (low | high << 4) - 32;
}

void decode_q3_k(const void *src, float *dst, int64_t n)
{
    const struct block_q3_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float d = half_load(b->d);
        for (int s = 0; s < 16; s++, dst += 16) {
            const uint8_t *q = b->qs + 32 * (s / 8) + 16 * (s % 2);
            const uint8_t *h = b->hmask + 16 * (s % 2);
            int shift = 2 * (s / 2 % 4), bit = s / 2;
            float scale = d * (float)q3_k_scale(b->scales, s);
            for (int l = 0; l < 16; l++) {
                int v = (q[l] >> shift & 3) | (h[l] >> bit & 1) << 2;
                dst[l] = scale * (float)(v - 4);
            }
        }
    }
}

/* Eight pairs of 6-bit scale and min in 12 bytes, shared by Q4_K and Q5_K. */
static void k4_scale_min(const uint8_t sc[12], int j, float *scale, float *min)
{
    int s, m;
    if (j < 4) {
        s = sc[j] & 63;
        m = sc[j + 4] & 63;
    } else {
        s = (sc[j + 4] & 15) | sc[j - 4] >> 6 << 4;
        m = sc[j + 4] >> 4 | sc[j] >> 6 << 4;
    }
    *scale *= (float)s;
    *min *= (float)m;
}

void decode_q4_k(const void *src, float *dst, int64_t n)
{
    const struct block_q4_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        for (int s = 0; s < 8; s++, dst += 32) {
            float scale = half_load(b->d), min = half_load(b->dmin);
            k4_scale_min(b->scales, s, &scale, &min);
            const uint8_t *q = b->qs + 32 * (s / 2);
            int shift = 4 * (s % 2);
            for (int l = 0; l < 32; l++) dst[l] = scale * (float)(q[l] >> shift & 15) - min;
        }
    }
}

void decode_q5_k(const void *src, float *dst, int64_t n)
{
    const struct block_q5_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        for (int s = 0; s < 8; s++, dst += 32) {
            float scale = half_load(b->d), min = half_load(b->dmin);
            k4_scale_min(b->scales, s, &scale, &min);
            const uint8_t *q = b->qs + 32 * (s / 2);
            int shift = 4 * (s % 2);
            for (int l = 0; l < 32; l++) {
                int v = (q[l] >> shift & 15) | (b->qh[l] >> s & 1) << 4;
                dst[l] = scale * (float)v - min;
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
