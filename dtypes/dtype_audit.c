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

/* Least normal magnitude of a source type. */
static double normal_min(enum dtype from)
{
    switch (from) {
    case DTYPE_F32:
    case DTYPE_BF16:
        return 0x1p-126;
    case DTYPE_F16:
    case DTYPE_F8_E5M2:
        return 0x1p-14;
    case DTYPE_F8_E4M3:
        return 0x1p-6;
    case DTYPE_F64:
        return 0x1p-1022;
    default:
        return 0.0;
    }
}

static void note_overflow(struct cast_audit *a, int64_t i)
{
    if (a->first_overflow < 0) a->first_overflow = (int64_t)a->n + i;
    a->n_overflow++;
}

/* a->n still counts the elements before these. */
#define AUDIT_PLAIN(NAME, REAL, FABS)                                                                        \
    static void NAME(struct cast_audit *a, enum dtype to, enum dtype from, const REAL *v, int64_t n)         \
    {                                                                                                        \
        const struct limits lim = limits_of(to);                                                             \
        const REAL over = (REAL)lim.overflow_from, zero = (REAL)lim.zero_upto, low = (REAL)lim.normal_from;  \
        const REAL least = (REAL)normal_min(from);                                                           \
        uint32_t n_odd = 0, n_flushed = 0, n_subnormal = 0;                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            REAL x = FABS(v[i]);                                                                             \
            n_odd += !(x < over);                                                                            \
            n_flushed += (x > 0) & (x <= zero);                                                              \
            n_subnormal += (x > zero) & (x < low) & (x >= least);                                            \
        }                                                                                                    \
        a->n_flushed += n_flushed;                                                                           \
        a->n_subnormal += n_subnormal;                                                                       \
        for (int64_t i = 0; n_odd > 0 && i < n; i++) {                                                       \
            REAL x = FABS(v[i]);                                                                             \
            if (x != x)                                                                                      \
                a->n_nan++;                                                                                  \
            else if (x == (REAL)INFINITY)                                                                    \
                a->n_inf++;                                                                                  \
            else if (x >= over)                                                                              \
                note_overflow(a, i);                                                                         \
        }                                                                                                    \
    }

/* Block types decide per block, so the block is decoded again: a finite element that comes back infinite or NaN overflowed; a nonzero
 * element is flushed if its whole block came back as zeros. Small elements next to large ones are rounded, not flushed. */
#define AUDIT_BLOCKS(NAME, REAL, FABS)                                                                       \
    static void NAME(struct cast_audit *a, enum dtype to, const REAL *v, const void *blocks, int64_t n)      \
    {                                                                                                        \
        const struct dtype_info *info = dtype_info(to);                                                      \
        const unsigned char *p = blocks;                                                                     \
        for (int64_t i = 0; i < n; p += info->block_bytes) {                                                 \
            float back[BLOCK_LEN_MAX];                                                                       \
            kernels_active()->decode_f32[to](p, back, info->block_len);                                      \
            uint32_t n_nonzero = 0;                                                                          \
            bool all_zero = true;                                                                            \
            for (uint32_t j = 0; j < info->block_len; j++, i++) {                                            \
                REAL x = FABS(v[i]);                                                                         \
                all_zero &= back[j] == 0;                                                                    \
                n_nonzero += x > 0;                                                                          \
                if (x != x)                                                                                  \
                    a->n_nan++;                                                                              \
                else if (x == (REAL)INFINITY)                                                                \
                    a->n_inf++;                                                                              \
                else if (!isfinite(back[j]))                                                                 \
                    note_overflow(a, i);                                                                     \
            }                                                                                                \
            if (all_zero) a->n_flushed += n_nonzero;                                                         \
        }                                                                                                    \
    }

enum { BLOCK_LEN_MAX = QK_K };

AUDIT_PLAIN(plain_f32, float, fabsf)
AUDIT_PLAIN(plain_f64, double, fabs)
AUDIT_BLOCKS(blocks_f32, float, fabsf)
AUDIT_BLOCKS(blocks_f64, double, fabs)

void audit_f32(struct cast_audit *a, enum dtype to, enum dtype from, const float *v, const void *dst,
               int64_t n)
{
    if (dtype_info(to)->block_len > 1) {
        blocks_f32(a, to, v, dst, n);
    } else if (to == DTYPE_F32 || to == DTYPE_F64) {
        plain_f32(a, DTYPE_F64, from, v, n); /* floats lose nothing; float's own limits are not floats */
    } else {
        plain_f32(a, to, from, v, n);
    }
    a->n += (uint64_t)n;
}

void audit_f64(struct cast_audit *a, enum dtype to, enum dtype from, const double *v, const void *dst,
               int64_t n)
{
    if (dtype_info(to)->block_len > 1)
        blocks_f64(a, to, v, dst, n);
    else
        plain_f64(a, to, from, v, n);
    a->n += (uint64_t)n;
}

bool audit_all_finite(enum dtype t, const void *src, int64_t n)
{
    int16_t inf = t == DTYPE_F16 ? 0x7C00 : 0x7F80, max = 0;
    if (t != DTYPE_F16 && t != DTYPE_BF16) return false;
    const unsigned char *p = src;
    for (int64_t i = 0; i < n; i++) {
        int16_t h = (int16_t)(u16_load(p + 2 * i) & 0x7FFF);
        max = h > max ? h : max;
    }
    return max < inf;
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
