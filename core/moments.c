#include "core/moments.h"
#include "base/cpu.h"

#include <float.h>
#include <math.h>
#include <string.h>

void moments_merge(struct moments *m, const struct moments *b)
{
    m->n += b->n;
    m->n_zero += b->n_zero;
    m->n_nan += b->n_nan;
    m->n_inf += b->n_inf;
    m->n_subnormal += b->n_subnormal;
    if (b->n_finite == 0) return;
    const struct moments a = *m;
    double na = (double)a.n_finite, nb = (double)b->n_finite, n = na + nb;
    double d = b->mean - a.mean, r = d / n;
    m->mean = a.mean + r * nb;
    m->m2 = a.m2 + b->m2 + d * r * na * nb;
    m->m3 = a.m3 + b->m3 + d * r * r * na * nb * (na - nb) + 3 * r * (na * b->m2 - nb * a.m2);
    m->m4 = a.m4 + b->m4 + d * r * r * r * na * nb * (na * na - na * nb + nb * nb) +
            6 * r * r * (na * na * b->m2 + nb * nb * a.m2) + 4 * r * (na * b->m3 - nb * a.m3);
    m->min = a.n_finite == 0 || b->min < a.min ? b->min : a.min;
    m->max = a.n_finite == 0 || b->max > a.max ? b->max : a.max;
    m->n_finite += b->n_finite;
}

double moments_std(const struct moments *m)
{
    return m->n_finite > 0 ? sqrt(m->m2 / (double)m->n_finite) : 0;
}

double moments_kurtosis(const struct moments *m)
{
    return m->m2 > 0 ? m->m4 / m->m2 * ((double)m->n_finite / m->m2) : 0;
}

#define REAL     float
#define INT      int32_t
#define REAL_MAX FLT_MAX
#define NAME(x)  x##_f32
#include "core/moments.inc"
#define REAL     double
#define INT      int64_t
#define REAL_MAX DBL_MAX
#define NAME(x)  x##_f64
#include "core/moments.inc"

const struct moments_ops moments_portable = {add_f32, add_f64, squares_f32, squares_f64};

const struct moments_ops *moments_ops(void)
{
#if defined(__x86_64__)
    if (cpu_has_avx2()) return &moments_avx2;
#endif
    return &moments_portable;
}
