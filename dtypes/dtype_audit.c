/* What a cast changed beyond rounding. */
#include "dtypes/codec.h"

/* Where round-to-nearest-even puts a magnitude: infinite from overflow_from on, zero up to zero_upto, subnormal below normal_from. */
struct limits {
    double overflow_from, zero_upto, normal_from;
};

static struct limits limits_of(enum dtype to)
{
    switch (to) {
    case DTYPE_F16:
        return (struct limits){65520.0, 0x1p-25, 0x1p-14 - 0x1p-25};
    case DTYPE_BF16:
        return (struct limits){0x1.FFp127, 0x1p-134, 0x1p-126 - 0x1p-134};
    case DTYPE_F32:
        return (struct limits){0x1.FFFFFFp127, 0x1p-150, 0x1p-126 - 0x1p-150};
    default:
        return (struct limits){(double)INFINITY, 0.0, 0.0};
    }
}

static void note_overflow(struct cast_audit *a, int64_t i)
{
    if (a->first_overflow < 0) a->first_overflow = (int64_t)a->n + i;
    a->n_overflow++;
}

/* The loops below run over whole chunks so that the compiler can vectorize them: what lies past n is filled with an element that counts nowhere.
 * Only chunks with something to report are gone through one by one. a->n still counts the elements before the chunk. */
#define AUDIT(SUFFIX, REAL, FABS)                                                                            \
    static void fill_##SUFFIX(REAL v[CAST_CHUNK], int64_t n)                                                 \
    {                                                                                                        \
        for (int64_t i = n; i < CAST_CHUNK; i++) v[i] = 1;                                                   \
    }                                                                                                        \
                                                                                                             \
    /* a magnitude that is not below `over`; NaN too */                                                      \
    static bool any_odd_##SUFFIX(const REAL v[CAST_CHUNK], REAL over)                                        \
    {                                                                                                        \
        uint32_t n_odd = 0;                                                                                  \
        for (int i = 0; i < CAST_CHUNK; i++) n_odd += !(FABS(v[i]) < over);                                  \
        return n_odd > 0;                                                                                    \
    }                                                                                                        \
                                                                                                             \
    static void plain_##SUFFIX(struct cast_audit *a, enum dtype to, enum dtype from,                         \
                               const REAL v[CAST_CHUNK], int64_t n)                                          \
    {                                                                                                        \
        const struct limits lim = limits_of(to);                                                             \
        const REAL over = (REAL)lim.overflow_from, zero = (REAL)lim.zero_upto, low = (REAL)lim.normal_from;  \
        const REAL least = (REAL)dtype_least_normal(from);                                                           \
        uint32_t n_flushed = 0, n_subnormal = 0;                                                             \
        for (int i = 0; i < CAST_CHUNK; i++) {                                                               \
            REAL x = FABS(v[i]);                                                                             \
            n_flushed += (x > 0) & (x <= zero);                                                              \
            n_subnormal += (x > zero) & (x < low) & (x >= least);                                            \
        }                                                                                                    \
        a->n_flushed += n_flushed;                                                                           \
        a->n_subnormal += n_subnormal;                                                                       \
        if (!any_odd_##SUFFIX(v, over)) return;                                                              \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            REAL x = FABS(v[i]);                                                                             \
            if (x != x)                                                                                      \
                a->n_nan++;                                                                                  \
            else if (x == (REAL)INFINITY)                                                                    \
                a->n_inf++;                                                                                  \
            else if (x >= over)                                                                              \
                note_overflow(a, i);                                                                         \
        }                                                                                                    \
    }                                                                                                        \
                                                                                                             \
    static uint32_t count_nonzero_##SUFFIX(const REAL *v, int64_t n)                                         \
    {                                                                                                        \
        uint32_t count = 0;                                                                                  \
        for (int64_t i = 0; i < n; i++) count += v[i] > 0 || v[i] < 0;                                       \
        return count;                                                                                        \
    }                                                                                                        \
                                                                                                             \
    static void blocks_##SUFFIX(struct cast_audit *a, enum dtype to, const REAL v[CAST_CHUNK],               \
                                const void *blocks, int64_t n)                                               \
    {                                                                                                        \
        float back[CAST_CHUNK];                                                                              \
        int64_t len = dtype_info(to)->block_len;                                                             \
        kernels_active()->decode_f32[to](blocks, back, n);                                                   \
        fill_f32(back, n);                                                                                   \
        for (int64_t i = 0; i < n; i += len)                                                                 \
            if (all_zero(back + i, len)) a->n_flushed += count_nonzero_##SUFFIX(v + i, len);                 \
        if (!any_odd_f32(back, INFINITY) && !any_odd_##SUFFIX(v, (REAL)INFINITY)) return;                    \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            if (v[i] != v[i])                                                                                \
                a->n_nan++;                                                                                  \
            else if (FABS(v[i]) == (REAL)INFINITY)                                                           \
                a->n_inf++;                                                                                  \
            else if (!isfinite(back[i]))                                                                     \
                note_overflow(a, i);                                                                         \
        }                                                                                                    \
    }

static bool all_zero(const float *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (v[i] != 0) return false;
    return true;
}

AUDIT(f32, float, fabsf)
AUDIT(f64, double, fabs)

/* Block types decide per block, so the blocks are decoded again: a finite element that comes back infinite or NaN overflowed; a nonzero element is
 * flushed if its whole block came back as zeros. Small elements next to large ones are rounded, not flushed. */
void audit_f32(struct cast_audit *a, enum dtype to, enum dtype from, float v[CAST_CHUNK], const void *dst,
               int64_t n)
{
    fill_f32(v, n);
    if (dtype_info(to)->block_len > 1)
        blocks_f32(a, to, v, dst, n);
    else /* float's own limits are not floats; floats lose nothing there, as in double */
        plain_f32(a, to == DTYPE_F32 ? DTYPE_F64 : to, from, v, n);
    a->n += (uint64_t)n;
}

void audit_f64(struct cast_audit *a, enum dtype to, enum dtype from, double v[CAST_CHUNK], const void *dst,
               int64_t n)
{
    fill_f64(v, n);
    if (dtype_info(to)->block_len > 1)
        blocks_f64(a, to, v, dst, n);
    else
        plain_f64(a, to, from, v, n);
    a->n += (uint64_t)n;
}

bool audit_all_finite(enum dtype t, const void *src, int64_t n)
{
    if (t != DTYPE_F16 && t != DTYPE_BF16) return false;
    uint16_t h[CAST_CHUNK] = {0};
    memcpy(h, src, (size_t)n * sizeof *h);
    int16_t max = 0;
    for (int i = 0; i < CAST_CHUNK; i++) {
        int16_t a = (int16_t)(h[i] & 0x7FFF);
        max = a > max ? a : max;
    }
    return max < (t == DTYPE_F16 ? 0x7C00 : 0x7F80);
}

void cast_audit_add(struct cast_audit *sum, const struct cast_audit *part)
{
    if (sum->first_overflow < 0 && part->first_overflow >= 0)
        sum->first_overflow = (int64_t)sum->n + part->first_overflow;
    sum->n += part->n;
    sum->n_nan += part->n_nan;
    sum->n_inf += part->n_inf;
    sum->n_overflow += part->n_overflow;
    sum->n_flushed += part->n_flushed;
    sum->n_subnormal += part->n_subnormal;
}
