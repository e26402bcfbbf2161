/* Decoders of blocks that have their own scale and no sub-blocks. */
#include "dtypes/codec.h"

const int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void decode_q4_0(const void *src, float *dst, int64_t n)
{
    const struct block_q4_0 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        float d = half_load(b->d);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)((b->qs[j] & 15) - 8) * d;
            dst[j + 16] = (float)((b->qs[j] >> 4) - 8) * d;
        }
    }
}

void decode_q4_1(const void *src, float *dst, int64_t n)
{
    const struct block_q4_1 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        float d = half_load(b->d), m = half_load(b->m);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)(b->qs[j] & 15) * d + m;
            dst[j + 16] = (float)(b->qs[j] >> 4) * d + m;
        }
    }
}

void decode_q5_0(const void *src, float *dst, int64_t n)
{
    const struct block_q5_0 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        float d = half_load(b->d);
        uint32_t qh = u32_load(b->qh);
        for (int j = 0; j < 16; j++) {
            int lo = (b->qs[j] & 15) | (int)(qh >> j & 1) << 4;
            int hi = b->qs[j] >> 4 | (int)(qh >> (j + 16) & 1) << 4;
            dst[j] = (float)(lo - 16) * d;
            dst[j + 16] = (float)(hi - 16) * d;
        }
    }
}

void decode_q5_1(const void *src, float *dst, int64_t n)
{
    const struct block_q5_1 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        float d = half_load(b->d), m = half_load(b->m);
        uint32_t qh = u32_load(b->qh);
        for (int j = 0; j < 16; j++) {
            int lo = (b->qs[j] & 15) | (int)(qh >> j & 1) << 4;
            int hi = b->qs[j] >> 4 | (int)(qh >> (j + 16) & 1) << 4;
            dst[j] = (float)lo * d + m;
            dst[j + 16] = (float)hi * d + m;
        }
    }
}

void decode_q8_0(const void *src, float *dst, int64_t n)
{
    const struct block_q8_0 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        float d = half_load(b->d);
        for (int j = 0; j < QK; j++) dst[j] = (float)b->qs[j] * d;
    }
}

void decode_q1_0(const void *src, float *dst, int64_t n)
{
    const struct block_q1_0 *b = src;
    for (; n > 0; n -= 128, b++, dst += 128) {
        float d = half_load(b->d);
        for (int j = 0; j < 128; j++) dst[j] = b->qs[j / 8] >> j % 8 & 1 ? d : -d;
    }
}

void decode_q2_0(const void *src, float *dst, int64_t n)
{
    const struct block_q2_0 *b = src;
    for (; n > 0; n -= 64, b++, dst += 64) {
        float d = half_load(b->d);
        for (int j = 0; j < 64; j++) dst[j] = (float)((b->qs[j / 4] >> 2 * (j % 4) & 3) - 1) * d;
    }
}

void decode_iq4_nl(const void *src, float *dst, int64_t n)
{
    const struct block_iq4_nl *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        float d = half_load(b->d);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)iq4_levels[b->qs[j] & 15];
            dst[j + 16] = d * (float)iq4_levels[b->qs[j] >> 4];
        }
    }
}

float e8m0_half(uint8_t e)
{
    return f32_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

void decode_mxfp4(const void *src, float *dst, int64_t n)
{
    const struct block_mxfp4 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        float d = e8m0_half(b->e);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)e2m1_doubled[b->qs[j] & 15] * d;
            dst[j + 16] = (float)e2m1_doubled[b->qs[j] >> 4] * d;
        }
    }
}

/* Half of an unsigned E4M3 scale (through the bits of a half, see f8_e4m3_to_f32). The code that E4M3 keeps for NaN stands for 0; with the
 * meaningless sign bit set it does not, and counts as 480. */
float ue4m3_half(uint8_t e)
{
    return e == 0x7F ? 0.0f : f16_to_f32((uint16_t)((e & 0x7F) << 7)) * 128.0f;
}

void decode_nvfp4(const void *src, float *dst, int64_t n)
{
    const struct block_nvfp4 *b = src;
    for (; n > 0; n -= 64, b++) {
        for (int g = 0; g < 4; g++, dst += 16) {
            float d = ue4m3_half(b->d[g]);
            for (int j = 0; j < 8; j++) {
                uint8_t q = b->qs[8 * g + j];
                dst[j] = (float)e2m1_doubled[q & 15] * d;
                dst[j + 8] = (float)e2m1_doubled[q >> 4] * d;
            }
        }
    }
}
