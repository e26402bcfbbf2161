/* Vectors of lanes in the C of GCC and clang, for any processor; lanes_avx2.h and lanes_avx512.h offer the same.
 *
 *     LANES; vf: floats, with + - * / lane by lane; vm: a truth value per lane
 *     v_set(x), v_load(p), v_store(p, v)     all lanes x; from and to LANES floats at any address
 *     v_min(a, b), v_max(a, b)               a if a < b (a > b), else b: of equals and with NaN the second
 *     v_round(v)                             nearest integer, ties to even; |v| < 2^22
 *     v_trunc(v)                             integer towards zero; |v| < 2^31
 *     v_nearest(v)                           i32_nearest, for any v
 *     v_less(a, b), v_equal(a, b)            false with NaN
 *     v_select(m, yes, no), m_none(), m_and(a, b), m_or(a, b), m_and_not(a, b)
 *     m_bits(m)                              bit i: lane i
 *     v_store_bytes(p, v)                    LANES bytes from whole numbers 0..255
 *     v_transpose(r)                         LANES vectors, rows to columns
 */
#ifndef LATHE_LANES_H
#define LATHE_LANES_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 4 };
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vm __attribute__((vector_size(16)));

static inline vf v_set(float v)
{
    return (vf){v, v, v, v};
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

static inline void v_transpose(vf r[LANES])
{
    vf t[4];
    for (int i = 0; i < 4; i++) t[i] = (vf){r[0][i], r[1][i], r[2][i], r[3][i]};
    for (int i = 0; i < 4; i++) r[i] = t[i];
}

#endif
