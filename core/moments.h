/* Counts and moments of numbers, gathered run by run and merged in order.
 *
 *     struct moments m = {0};
 *     const struct moments_ops *ops = moments_ops();
 *     ops->add_f32(&m, values, n, 0x1p-126);             any number of times; runs of some thousand are fastest
 *     moments_merge(&m, &other);                         what came after m
 *     moments_std(&m); moments_kurtosis(&m);
 *
 * Inside a run eight interleaved sums in double, in fixed order; between runs the formulas of Chan, Golub and LeVeque (1983) for the second
 * moment and of Pébay (2008) for the third and fourth. Bits are the same for every instruction set.
 */
#ifndef LATHE_MOMENTS_H
#define LATHE_MOMENTS_H

#include <stdbool.h>
#include <stdint.h>

/* Of finite values: min .. m4; all 0 when there are none. m2, m3, m4: sums of powers of deviations from the mean. */
struct moments {
    int64_t n, n_finite, n_zero, n_nan, n_inf, n_subnormal;
    double min, max, mean, m2, m3, m4;
};
void moments_merge(struct moments *m, const struct moments *after);
double moments_std(const struct moments *m); /* divided by n */
double moments_kurtosis(
    const struct moments *m); /* m4 n / m2²: 3 for normally distributed values; 0 where all are equal */

struct moments_ops {
    /* n_subnormal counts values that are not 0 and smaller than `least`. */
    void (*add_f32)(struct moments *m, const float *v, int64_t n, double least);
    void (*add_f64)(struct moments *m, const double *v, int64_t n, double least);
    /* sums[i] += v[i]² and the return value is the sum of them all; not finite values count as 0. */
    double (*squares_f32)(const float *v, int64_t n, float *sums);
    double (*squares_f64)(const double *v, int64_t n, float *sums);
};
/* The fastest for this processor; and all of them for tests, NULL at the end. */
const struct moments_ops *moments_ops(void);
extern const struct moments_ops moments_portable, moments_avx2;

#endif
