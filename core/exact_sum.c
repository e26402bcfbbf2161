#include "core/exact_sum.h"

#include <math.h>
#include <string.h>

enum { LIMB_BITS = 32, LOWEST_EXPONENT = -1074 };
static const uint32_t carry_after = UINT32_C(1) << 28; /* additions of less than 2^33 before a limb could overflow */

/* Every limb but the last one into 0 .. 2^32 - 1. */
static void carry(struct exact_sum *s)
{
    for (int i = 0; i + 1 < EXACT_SUM_LIMBS; i++) {
        int64_t high = s->limb[i] >> LIMB_BITS; /* rounds down, as GCC and clang shift */
        s->limb[i] -= high * (INT64_C(1) << LIMB_BITS);
        s->limb[i + 1] += high;
    }
    s->n_since_carry = 1;
}

void exact_sum_add(struct exact_sum *s, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    unsigned exponent = (unsigned)(bits >> 52) & 0x7ff;
    if (exponent > 0) mantissa |= UINT64_C(1) << 52;
    unsigned at = exponent > 0 ? exponent - 1 : 0, shift = at % LIMB_BITS;
    int64_t *limb = s->limb + at / LIMB_BITS;
    int64_t sign = bits >> 63 ? -1 : 1;
    uint64_t low = (mantissa & UINT32_MAX) << shift, high = (mantissa >> LIMB_BITS) << shift;
    limb[0] += sign * (int64_t)(low & UINT32_MAX);
    limb[1] += sign * (int64_t)((low >> LIMB_BITS) + (high & UINT32_MAX));
    limb[2] += sign * (int64_t)(high >> LIMB_BITS);
    if (++s->n_since_carry >= carry_after) carry(s);
}

void exact_sum_join(struct exact_sum *s, const struct exact_sum *part)
{
    struct exact_sum p = *part;
    carry(&p);
    carry(s);
    for (int i = 0; i < EXACT_SUM_LIMBS; i++) s->limb[i] += p.limb[i];
    carry(s);
}

double exact_sum_value(struct exact_sum *s)
{
    carry(s);
    if (s->limb[EXACT_SUM_LIMBS - 1] < 0) {
        struct exact_sum negative = *s;
        for (int i = 0; i < EXACT_SUM_LIMBS; i++) negative.limb[i] = -negative.limb[i];
        return -exact_sum_value(&negative);
    }
    int top = EXACT_SUM_LIMBS - 1;
    double v = 0;
    while (top > 0 && s->limb[top] == 0) top--;
    /* three limbs hold 64 significant bits; smallest first */
    for (int i = top > 2 ? top - 2 : 0; i <= top; i++)
        v += ldexp((double)s->limb[i], LIMB_BITS * i + LOWEST_EXPONENT);
    return v;
}
