/* exp and what is made of it, as inline functions without branches: a loop over them becomes vector
 * instructions, and the bits are the same on every machine and in every C library.
 *
 * Errors against the exact value stay below 1.5 units in the last place, of vmath_exp_below_f64 below 1 (tests/unit/test_ops.c). Results close to the
 * smallest normal number, and below, become 0; beyond the largest, +Inf. NaN stays NaN.
 */
#ifndef LATHE_VMATH_H
#define LATHE_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* e^x = 2^n e^r, |r| <= ln(2)/2; e^r by its series, whose next term is below half an ulp. Adding 1.5 * 2^23
 * rounds to an integer and leaves it in the low bits. ln 2 is split so that n * high is exact. */
static inline float vmath_exp_f32(float x)
{
    const float magic = 0x1.8p23f;
    float t = x * 0x1.715476p0f + magic;
    float n = t - magic;
    float r = x - n * 0x1.62e4p-1f - n * 0x1.7f7d1cp-20f;
    float y = 1.0f / 5040;
    y = y * r + 1.0f / 720;
    y = y * r + 1.0f / 120;
    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * (r * r) + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 126) << 23; /* 2^(n-1): n = 128 is in range */
    float half;
    memcpy(&half, &bits, sizeof half);
    y = y * half * 2.0f;
    y = x < -86.5f ? 0.0f : y;
    return x > 0x1.62e42ep6f ? INFINITY : y;
}

static inline double vmath_exp_f64(double x)
{
    const double magic = 0x1.8p52;
    double t = x * 0x1.71547652b82fep0 + magic;
    double n = t - magic;
    double r = x - n * 0x1.62e42fee00000p-1 - n * 0x1.a39ef35793c76p-33;
    double y = 1.0 / 6227020800;
    y = y * r + 1.0 / 479001600;
    y = y * r + 1.0 / 39916800;
    y = y * r + 1.0 / 3628800;
    y = y * r + 1.0 / 362880;
    y = y * r + 1.0 / 40320;
    y = y * r + 1.0 / 5040;
    y = y * r + 1.0 / 720;
    y = y * r + 1.0 / 120;
    y = y * r + 1.0 / 24;
    y = y * r + 1.0 / 6;
    y = y * r + 0.5;
    y = y * (r * r) + r + 1.0;
    uint64_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 1022) << 52;
    double half;
    memcpy(&half, &bits, sizeof half);
    y = y * half * 2.0;
    y = x < -708.0 ? 0.0 : y;
    return x > 0x1.62e42fefa39efp9 ? (double)INFINITY : y;
}

/* The same for x <= 0, with fused multiplications and additions: the bits are the same on every machine, and a processor that has none of them takes
 * its time. */
static inline double vmath_exp_below_f64(double x)
{
    const double magic = 0x1.8p52;
    double t = fma(x, 0x1.71547652b82fep0, magic);
    double n = t - magic;
    double r = fma(n, -0x1.a39ef35793c76p-33, fma(n, -0x1.62e42fee00000p-1, x));
    double y = 1.0 / 6227020800;
    y = fma(y, r, 1.0 / 479001600);
    y = fma(y, r, 1.0 / 39916800);
    y = fma(y, r, 1.0 / 3628800);
    y = fma(y, r, 1.0 / 362880);
    y = fma(y, r, 1.0 / 40320);
    y = fma(y, r, 1.0 / 5040);
    y = fma(y, r, 1.0 / 720);
    y = fma(y, r, 1.0 / 120);
    y = fma(y, r, 1.0 / 24);
    y = fma(y, r, 1.0 / 6);
    y = fma(y, r, 0.5);
    y = fma(y, r * r, r) + 1.0;
    uint64_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return x < -708.0 ? 0.0 : y * power;
}

#endif
