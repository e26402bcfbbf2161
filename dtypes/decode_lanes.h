/* Decoders of block types in two steps, each a run of equal operations: bits to a byte per element, bytes to floats. Included once by the file of an
 * instruction set, after its lanes_*.h and with KERNEL_SET defined; gives decode_q4_0_SET and so on, whose floats are those of decode_simple.c and decode_k.c.
 */
#include "dtypes/decode_k.h"
#include "dtypes/kernel_name.h"

INLINE float value_of(struct half h)
{
    return f_half(u16_load(h.le));
}

/* n bytes times scale */
INLINE void emit(const int8_t *q, int n, float scale, float *dst)
{
    vf s = v_set(scale);
    for (int i = 0; i < n; i += LANES) v_store(dst + i, v_load_bytes(q + i) * s);
}

/* ... and plus, or minus, a minimum */
INLINE void emit_above(const int8_t *q, int n, float scale, float min, float *dst)
{
    vf s = v_set(scale), m = v_set(min);
    for (int i = 0; i < n; i += LANES) v_store(dst + i, v_load_bytes(q + i) * s + m);
}

INLINE void emit_below(const int8_t *q, int n, float scale, float min, float *dst)
{
    vf s = v_set(scale), m = v_set(min);
    for (int i = 0; i < n; i += LANES) v_store(dst + i, v_load_bytes(q + i) * s - m);
}

/* --- blocks of 32 --- */

INLINE void less(int8_t *q, int n, int by)
{
    for (int i = 0; i < n; i++) q[i] = (int8_t)(q[i] - by);
}

void KERNEL(decode_q4_0)(const void *src, float *dst, int64_t n)
{
    const struct block_q4_0 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        int8_t q[QK];
        b_nibbles_16(b->qs, q);
        less(q, QK, 8);
        emit(q, QK, value_of(b->d), dst);
    }
}

void KERNEL(decode_q4_1)(const void *src, float *dst, int64_t n)
{
    const struct block_q4_1 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        int8_t q[QK];
        b_nibbles_16(b->qs, q);
        emit_above(q, QK, value_of(b->d), value_of(b->m), dst);
    }
}

void KERNEL(decode_q5_0)(const void *src, float *dst, int64_t n)
{
    const struct block_q5_0 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        int8_t q[QK];
        b_nibbles_16(b->qs, q);
        b_or_bits(u32_load(b->qh), 16, q);
        less(q, QK, 16);
        emit(q, QK, value_of(b->d), dst);
    }
}

void KERNEL(decode_q5_1)(const void *src, float *dst, int64_t n)
{
    const struct block_q5_1 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        int8_t q[QK];
        b_nibbles_16(b->qs, q);
        b_or_bits(u32_load(b->qh), 16, q);
        emit_above(q, QK, value_of(b->d), value_of(b->m), dst);
    }
}

void KERNEL(decode_q8_0)(const void *src, float *dst, int64_t n)
{
    const struct block_q8_0 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) emit(b->qs, QK, value_of(b->d), dst);
}

/* --- sixteen values --- */

void KERNEL(decode_iq4_nl)(const void *src, float *dst, int64_t n)
{
    const struct block_iq4_nl *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        int8_t q[QK];
        b_nibbles_16(b->qs, q);
        b_pick(iq4_levels, QK, q);
        emit(q, QK, value_of(b->d), dst);
    }
}

void KERNEL(decode_iq4_xs)(const void *src, float *dst, int64_t n)
{
    const struct block_iq4_xs *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float d = value_of(b->d);
        int high = u16_load(b->scales_h);
        for (int s = 0; s < 8; s++, dst += QK) {
            int u = (b->scales_l[s / 2] >> 4 * (s % 2) & 15) | (high >> 2 * s & 3) << 4;
            int8_t q[QK];
            b_nibbles_16(b->qs + 16 * s, q);
            b_pick(iq4_levels, QK, q);
            emit(q, QK, d * (float)(u - 32), dst);
        }
    }
}

void KERNEL(decode_mxfp4)(const void *src, float *dst, int64_t n)
{
    const struct block_mxfp4 *b = src;
    for (; n > 0; n -= QK, b++, dst += QK) {
        int8_t q[QK];
        b_nibbles_16(b->qs, q);
        b_pick(e2m1_doubled, QK, q);
        emit(q, QK, e8m0_half(b->e), dst);
    }
}

void KERNEL(decode_nvfp4)(const void *src, float *dst, int64_t n)
{
    const struct block_nvfp4 *b = src;
    for (; n > 0; n -= 64, b++)
        for (int g = 0; g < 4; g++, dst += 16) {
            int8_t q[16];
            b_nibbles_8(b->qs + 8 * g, q);
            b_pick(e2m1_doubled, 16, q);
            emit(q, 16, ue4m3_half(b->d[g]), dst);
        }
}

/* --- super-blocks --- */

/* Two bits: bit pair k of byte 32c + l is element 128c + 32k + l */
INLINE void pairs(const uint8_t qs[64], int8_t q[QK_K])
{
    for (int c = 0; c < 2; c++, qs += 32, q += 128)
        for (int l = 0; l < 32; l++) {
            q[l] = (int8_t)(qs[l] & 3);
            q[l + 32] = (int8_t)(qs[l] >> 2 & 3);
            q[l + 64] = (int8_t)(qs[l] >> 4 & 3);
            q[l + 96] = (int8_t)(qs[l] >> 6);
        }
}

/* Four bits: nibble h of byte 32c + l is element 64c + 32h + l */
INLINE void nibbles_k(const uint8_t qs[128], int8_t q[QK_K])
{
    for (int c = 0; c < 4; c++, qs += 32, q += 64)
        for (int l = 0; l < 32; l++) {
            q[l] = (int8_t)(qs[l] & 15);
            q[l + 32] = (int8_t)(qs[l] >> 4);
        }
}

/* Adds bit k of byte l, times `by`, to element 32k + l. */
INLINE void one_more_bit(const uint8_t h[32], int by, int8_t q[QK_K])
{
    for (int k = 0; k < 8; k++)
        for (int l = 0; l < 32; l++) q[32 * k + l] = (int8_t)(q[32 * k + l] + ((h[l] >> k & 1) * by));
}

void KERNEL(decode_q2_k)(const void *src, float *dst, int64_t n)
{
    const struct block_q2_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        int8_t q[QK_K];
        float d = value_of(b->d), dmin = value_of(b->dmin);
        pairs(b->qs, q);
        for (int s = 0; s < 16; s++, dst += 16)
            emit_below(q + 16 * s, 16, d * (float)(b->scales[s] & 15), dmin * (float)(b->scales[s] >> 4), dst);
    }
}

void KERNEL(decode_q3_k)(const void *src, float *dst, int64_t n)
{
    const struct block_q3_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        int8_t q[QK_K], scales[16];
        float d = value_of(b->d);
        k_unpack_scales_q3(b->scales, scales);
        pairs(b->qs, q);
        one_more_bit(b->hmask, 4, q);
        less(q, QK_K, 4);
        for (int s = 0; s < 16; s++, dst += 16) emit(q + 16 * s, 16, d * (float)scales[s], dst);
    }
}

/* Q4_K and Q5_K, once the quants are there. */
INLINE void emit_k4(const int8_t q[QK_K], struct half half_d, struct half half_min, const uint8_t sc[12], float *dst)
{
    uint8_t s[8], m[8];
    float d = value_of(half_d), dmin = value_of(half_min);
    k_unpack_scales_q4(sc, s, m);
    for (int j = 0; j < 8; j++, q += 32, dst += 32) emit_below(q, 32, d * (float)s[j], dmin * (float)m[j], dst);
}

void KERNEL(decode_q4_k)(const void *src, float *dst, int64_t n)
{
    const struct block_q4_k *b = src;
    for (; n > 0; n -= QK_K, b++, dst += QK_K) {
        int8_t q[QK_K];
        nibbles_k(b->qs, q);
        emit_k4(q, b->d, b->dmin, b->scales, dst);
    }
}

void KERNEL(decode_q5_k)(const void *src, float *dst, int64_t n)
{
    const struct block_q5_k *b = src;
    for (; n > 0; n -= QK_K, b++, dst += QK_K) {
        int8_t q[QK_K];
        nibbles_k(b->qs, q);
        one_more_bit(b->qh, 16, q);
        emit_k4(q, b->d, b->dmin, b->scales, dst);
    }
}

void KERNEL(decode_q6_k)(const void *src, float *dst, int64_t n)
{
    const struct block_q6_k *b = src;
    for (; n > 0; n -= QK_K, b++) {
        int8_t q[QK_K];
        float d = value_of(b->d);
        for (int c = 0; c < 2; c++) {
            const uint8_t *ql = b->ql + 64 * c, *qh = b->qh + 32 * c;
            int8_t *to = q + 128 * c;
            for (int l = 0; l < 32; l++) {
                to[l] = (int8_t)((ql[l] & 15) | (qh[l] & 3) << 4);
                to[l + 32] = (int8_t)((ql[l + 32] & 15) | (qh[l] >> 2 & 3) << 4);
                to[l + 64] = (int8_t)(ql[l] >> 4 | (qh[l] >> 4 & 3) << 4);
                to[l + 96] = (int8_t)(ql[l + 32] >> 4 | (qh[l] >> 6) << 4);
            }
        }
        less(q, QK_K, 32);
        for (int s = 0; s < 16; s++, dst += 16) emit(q + 16 * s, 16, d * (float)b->scales[s], dst);
    }
}
