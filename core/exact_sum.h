/* Sums of doubles that do not depend on the order of adding: all bits are kept until the end. For figures that several threads gather. */
#ifndef LATHE_EXACT_SUM_H
#define LATHE_EXACT_SUM_H

#include <stdint.h>

enum { EXACT_SUM_LIMBS = 68 };
/* Start from {0}. Limb i counts units of 2^(32 i - 1074). */
struct exact_sum {
    int64_t limb[EXACT_SUM_LIMBS];
    uint32_t n_since_carry;
};
/* v is finite */
void exact_sum_add(struct exact_sum *s, double v);
void exact_sum_join(struct exact_sum *s, const struct exact_sum *part);
/* The sum as a double, off by at most a unit in the last place. */
double exact_sum_value(struct exact_sum *s);

#endif
