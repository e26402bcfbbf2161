/* Decoders of the codebook types: value = scale * coordinate * sign, the coordinates of 8 or 4 elements together from a codebook. */
#include "dtypes/codec.h"
#include "dtypes/iq_codebook.h"

/* What a digit stands for. */
static const float iq2_values[4] = {8, 25, 43, 0};
static const float iq3_xxs_values[8] = {4, 12, 20, 28, 36, 44, 52, 62};
static const float iq3_s_values[8] = {1, 3, 5, 7, 9, 11, 13, 15};
static const float iq1_values[4] = {-1, 0, 1, 0};
static const float iq1_delta = 0.125f;

/* Seven signs; the eighth makes their number even. */
static unsigned all_signs(unsigned seven)
{
    seven &= 127;
    return seven | (unsigned)__builtin_parity(seven) << 7;
}

static float signed_value(float v, unsigned signs, int i)
{
    return signs >> i & 1 ? -v : v;
}

static float *emit8(float *dst, unsigned point, float scale, unsigned signs)
{
    for (int i = 0; i < 8; i++) *dst++ = signed_value(scale * iq2_values[point >> 2 * i & 3], signs, i);
    return dst;
}

static float *emit4(float *dst, unsigned point, const float *values, float scale, unsigned signs)
{
    for (int i = 0; i < 4; i++) *dst++ = signed_value(scale * values[point >> 3 * i & 7], signs, i);
    return dst;
}

static float nibble_scale(float d, unsigned nibbles, int high)
{
    return d * (0.5f + (float)(nibbles >> 4 * high & 15)) * 0.25f;
}

void decode_iq2_xxs(const void *src, float *dst, int64_t n)
{
    const struct block_iq2_xxs *b = src;
    for (; n > 0; n -= QK_K, b++)
        for (int s = 0; s < 8; s++) {
            const uint8_t *q = b->qs + 8 * s;
            uint32_t v = u32_load(q + 4);
            float scale = half_load(b->d) * (0.5f + (float)(v >> 28)) * 0.25f;
            for (int k = 0; k < 4; k++) dst = emit8(dst, iq2_xxs_points[q[k]], scale, all_signs(v >> 7 * k));
        }
}

void decode_iq2_xs(const void *src, float *dst, int64_t n)
{
    const struct block_iq2_xs *b = src;
    for (; n > 0; n -= QK_K, b++)
        for (int k = 0; k < 32; k++) {
            unsigned v = u16_load(b->qs + 2 * k);
            float scale = nibble_scale(half_load(b->d), b->scales[k / 4], k / 2 % 2);
            dst = emit8(dst, iq2_xs_points[v & 511], scale, all_signs(v >> 9));
        }
}

void decode_iq2_s(const void *src, float *dst, int64_t n)
{
    const struct block_iq2_s *b = src;
    for (; n > 0; n -= QK_K, b++)
        for (int k = 0; k < 32; k++) {
            unsigned point = b->qs[k] | ((unsigned)b->qh[k / 4] >> 2 * (k % 4) & 3) << 8;
            float scale = nibble_scale(half_load(b->d), b->scales[k / 4], k / 2 % 2);
            dst = emit8(dst, iq2_s_points[point], scale, b->signs[k]);
        }
}

void decode_iq3_xxs(const void *src, float *dst, int64_t n)
{
    const struct block_iq3_xxs *b = src;
    for (; n > 0; n -= QK_K, b++)
        for (int k = 0; k < 64; k++) {
            uint32_t v = u32_load(b->qs + 64 + k / 8 * 4);
            float scale = half_load(b->d) * (0.5f + (float)(v >> 28)) * 0.5f;
            unsigned signs = all_signs(v >> 7 * (k / 2 % 4)) >> 4 * (k % 2);
            dst = emit4(dst, iq3_xxs_points[b->qs[k]], iq3_xxs_values, scale, signs);
        }
}

void decode_iq3_s(const void *src, float *dst, int64_t n)
{
    const struct block_iq3_s *b = src;
    for (; n > 0; n -= QK_K, b++)
        for (int k = 0; k < 64; k++) {
            unsigned point = b->qs[k] | ((unsigned)b->qh[k / 8] >> k % 8 & 1) << 8;
            float scale = half_load(b->d) * (float)(1 + 2 * (b->scales[k / 16] >> 4 * (k / 8 % 2) & 15));
            dst = emit4(dst, iq3_s_points[point], iq3_s_values, scale, (unsigned)b->signs[k / 2] >> 4 * (k % 2));
        }
}

static float *emit_iq1(float *dst, unsigned point, float scale, bool minus)
{
    for (int i = 0; i < 8; i++)
        *dst++ = scale * (iq1_values[point >> 2 * i & 3] + (minus ? -iq1_delta : iq1_delta));
    return dst;
}

void decode_iq1_s(const void *src, float *dst, int64_t n)
{
    const struct block_iq1_s *b = src;
    for (; n > 0; n -= QK_K, b++)
        for (int k = 0; k < 32; k++) {
            unsigned h = u16_load(b->qh + k / 4 * 2);
            unsigned point = b->qs[k] | (h >> 3 * (k % 4) & 7) << 8;
            float scale = half_load(b->d) * (float)(2 * (h >> 12 & 7) + 1);
            dst = emit_iq1(dst, iq1_points[point], scale, h >> 15);
        }
}

/* The half is in the upper nibbles of the four words of scales. */
static float iq1_m_scale(const struct block_iq1_m *b)
{
    unsigned h = 0;
    for (int i = 0; i < 4; i++) h |= (unsigned)(b->scales[2 * i + 1] >> 4) << 4 * i;
    return f16_to_f32((uint16_t)h);
}

void decode_iq1_m(const void *src, float *dst, int64_t n)
{
    const struct block_iq1_m *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float d = iq1_m_scale(b);
        for (int k = 0; k < 32; k++) {
            unsigned h = (unsigned)b->qh[k / 2] >> 4 * (k % 2), s = (unsigned)u16_load(b->scales + k / 8 * 2) >> 3 * (k / 2 % 4) & 7;
            dst = emit_iq1(dst, iq1_points[b->qs[k] | (h & 7) << 8], d * (float)(2 * s + 1), h >> 3 & 1);
        }
    }
}
