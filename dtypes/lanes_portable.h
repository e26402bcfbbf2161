/* Vectors of lanes in the C of GCC and clang, for any processor; lanes_avx2.h and lanes_avx512.h offer the same.
 *
 *     LANES; vf: floats, with + - * / lane by lane; vm: a truth value per lane
 *     f_half(h), f_to_half(v)                the float of a half's bits, and back; v is not NaN
 *     v_load_bytes(p)                        from LANES signed bytes
 *     b_nibbles_16(p, q), b_nibbles_8(p, q)  the low nibbles of so many bytes to the first so many of q, the high ones behind them
 *     b_or_bits(bits, by, q)                 q[i] |= by where bit i is set, of 32
 *     b_pick(table, n, p)                    each of n bytes, 0..15, becomes table[it]; n is a multiple of 16
 *     v_set(x), v_load(p), v_store(p, v)     all lanes x; from and to LANES floats at any address
 *     v_min(a, b), v_max(a, b)               a if a < b (a > b), else b: of equals and with NaN the second
 *     v_halve_16(v, p)                       16 / LANES vectors to 4 floats: i + i + 8, and of that i + i + 4
 *     v_round(v)                             nearest integer, ties to even; |v| < 2^22
 *     v_trunc(v)                             integer towards zero; |v| < 2^31
 *     v_nearest(v)                           i32_nearest, for any v
 *     v_less(a, b), v_equal(a, b)            false with NaN
 *     v_select(m, yes, no), m_none(), m_and(a, b), m_or(a, b), m_and_not(a, b)
 *     m_bits(m)                              bit i: lane i
 *     v_store_bytes(p, v)                    LANES bytes from whole numbers 0..255
 *     v_nearest_int(v), v_from_int(k)        v_round(v) as integers, of type vi, and integers as floats; beyond |v| = 2^22 and of NaN any
 *     v_store_int8(p, k)                     LANES signed bytes from integers, cut to their range
 *     v_most_abs(most, v)                    the larger of most, >= 0, and |v|; most where v is NaN
 *     v_most(v)                              the largest lane; none is NaN
 *     v_multiply_subtract(a, b, c)           a * b - c, rounded once or twice: for bounds, never for what is stored
 *     v_transpose(r)                         LANES vectors, rows to columns
 *
 * For the codebooks, which have no portable set, only the others have
 *
 *     v_least(v)                             the smallest lane; none is NaN
 *     v_about_inverse(v)                     1 / v, off by 4e-4 of it at most
 *     v_load_u16(p), v_load_int(p), v_store_int(p, k)
 *     v_shift_right(k, by)                   of integers that are not negative
 *     v_repeat_4(t), v_repeat_8(t)           a table of 4 or 8 floats, over and over
 *     v_pick_4(t, k), v_pick_8(t, k)         from such a table, by the lowest two or three bits of k
 */
#ifndef LATHE_LANES_H
#define LATHE_LANES_H

#include "dtypes/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 4 };
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vm __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

static inline float f_half(uint16_t h)
{
    return f16_to_f32(h);
}
static inline uint16_t f_to_half(float v)
{
    return f16_from_f32(v);
}
static inline vf v_set(float v)
{
    return (vf){v, v, v, v};
}
static inline vf v_load_bytes(const int8_t *p)
{
    int8_t b __attribute__((vector_size(4)));
    memcpy(&b, p, sizeof b);
    return __builtin_convertvector(b, vf);
}
static inline vf v_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void v_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}
static inline void v_halve_16(const vf v[4], void *four)
{
    vf f = (v[0] + v[2]) + (v[1] + v[3]);
    memcpy(four, &f, sizeof f);
}
static inline vf v_trunc(vf v)
{
    return __builtin_convertvector(__builtin_convertvector(v, vm), vf);
}
static inline vm v_less(vf a, vf b)
{
    return a < b;
}
static inline vm v_equal(vf a, vf b)
{
    return a == b;
}
static inline vf v_select(vm m, vf yes, vf no)
{
    return (vf)((m & (vm)yes) | (~m & (vm)no));
}
static inline vf v_min(vf a, vf b)
{
    return v_select(a < b, a, b);
}
static inline vf v_max(vf a, vf b)
{
    return v_select(a > b, a, b);
}
static inline vf v_abs(vf v)
{
    return (vf)((vm)v & 0x7FFFFFFF);
}
static inline vf v_most_abs(vf most, vf v)
{
    return v_max(v_abs(v), most);
}
static inline float v_most(vf v)
{
    float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
    return a > b ? a : b;
}
static inline vf v_multiply_subtract(vf a, vf b, vf c)
{
    return a * b - c;
}
static inline vf v_sqrt(vf v)
{
    return (vf){sqrtf(v[0]), sqrtf(v[1]), sqrtf(v[2]), sqrtf(v[3])};
}
static inline vf v_round(vf v)
{
    return v + 12582912.0f - 12582912.0f;
}
static inline vf v_nearest(vf v)
{
    vm w = (vm)(v + 12582912.0f);
    return __builtin_convertvector((w & 0x7FFFFF) - 0x400000, vf);
}
static inline vm m_none(void)
{
    return (vm){0};
}
static inline vm m_and(vm a, vm b)
{
    return a & b;
}
static inline vm m_or(vm a, vm b)
{
    return a | b;
}
static inline vm m_and_not(vm a, vm b)
{
    return a & ~b;
}
static inline unsigned m_bits(vm m)
{
    return (unsigned)((m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8));
}

static inline void v_store_bytes(unsigned char *p, vf v)
{
    for (int i = 0; i < LANES; i++) p[i] = (unsigned char)v[i];
}

static inline vi v_nearest_int(vf v)
{
    return __builtin_convertvector(v_round(v), vi);
}

static inline vf v_from_int(vi k)
{
    return __builtin_convertvector(k, vf);
}

static inline void v_store_int8(int8_t *p, vi k)
{
    for (int i = 0; i < LANES; i++) p[i] = (int8_t)(k[i] < -128 ? -128 : k[i] > 127 ? 127 : k[i]);
}

/* In a word: the nibbles of eight bytes */
static inline void b_nibbles_8(const uint8_t p[8], int8_t q[16])
{
    const uint64_t mask = 0x0F0F0F0F0F0F0F0F;
    uint64_t both, low, high;
    memcpy(&both, p, 8);
    low = both & mask;
    high = both >> 4 & mask;
    memcpy(q, &low, 8);
    memcpy(q + 8, &high, 8);
}

static inline void b_nibbles_16(const uint8_t p[16], int8_t q[32])
{
    for (int j = 0; j < 16; j++) {
        q[j] = (int8_t)(p[j] & 15);
        q[j + 16] = (int8_t)(p[j] >> 4);
    }
}

/* ... eight bits to eight bytes: to all, which keep their own */
static inline void b_or_bits(uint32_t bits, int by, int8_t q[32])
{
    for (int k = 0; k < 4; k++) {
        uint64_t v, own = (bits >> 8 * k & 0xFF) * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
        memcpy(&v, q + 8 * k, 8);
        v |= ((own + 0x7F7F7F7F7F7F7F7F) >> 7 & 0x0101010101010101) * (uint64_t)by;
        memcpy(q + 8 * k, &v, 8);
    }
}

static inline void b_pick(const int8_t table[16], int n, int8_t *p)
{
    for (int i = 0; i < n; i++) p[i] = table[p[i] & 15];
}

static inline void v_transpose(vf r[LANES])
{
    vf t[4];
    for (int i = 0; i < 4; i++) t[i] = (vf){r[0][i], r[1][i], r[2][i], r[3][i]};
    for (int i = 0; i < 4; i++) r[i] = t[i];
}

#endif
