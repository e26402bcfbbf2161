/* Inside of dtypes/: the reference decoders and encoders that the type table and the kernel sets refer to, and the arithmetic they share.
 *
 * All arithmetic is binary32, one rounding per operation, in the order written; the Makefile turns contraction off. Names and contracts
 * are those of struct dtype_info: n is a multiple of the type's block_len; src and dst may lie at any byte address.
 */
#ifndef LATHE_CODEC_H
#define LATHE_CODEC_H

#include "dtypes/blocks.h"
#include "dtypes/dtype.h"
#include "dtypes/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are read as little-endian memory");
_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE sizes");

static inline uint32_t f32_bits(float v)
{
    uint32_t w;
    memcpy(&w, &v, sizeof w);
    return w;
}

static inline float f32_from_bits(uint32_t w)
{
    float v;
    memcpy(&v, &w, sizeof v);
    return v;
}

static inline uint16_t u16_load(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t u32_load(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float half_load(struct half h)
{
    return f16_to_f32(u16_load(h.le));
}

static inline struct half half_store(float v)
{
    uint16_t bits = f16_from_f32(v);
    struct half h;
    memcpy(h.le, &bits, sizeof bits);
    return h;
}

/* Conversion by truncation as x86's cvttss2si does it: NaN and values beyond int32 give INT32_MIN, where C leaves them undefined. */
static inline int32_t i32_from_f32(float v)
{
    return v >= -0x1p31f && v < 0x1p31f ? (int32_t)v : INT32_MIN;
}

/* Round half to even by adding 1.5 * 2^23 and taking the low mantissa bits. Beyond |v| = 4194303 (and for NaN) the result is meaningless
 * but deterministic, and ends up in file bytes: it must not be replaced by lrintf there. */
static inline int32_t i32_nearest(float v)
{
    uint32_t w = f32_bits(v + 12582912.0f);
    return (int32_t)(w & 0x7FFFFF) - 0x400000;
}

static inline int32_t i32_clamp(int32_t v, int32_t lo, int32_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

typedef void decode_f32_fn(const void *src, float *dst, int64_t n);
typedef void decode_f64_fn(const void *src, double *dst, int64_t n);
typedef void encode_f32_fn(const float *src, void *dst, int64_t n);
typedef void encode_row_weighted_fn(const float *row, const float *weights, void *dst, int64_t n);

/* decode_plain.c */
decode_f32_fn decode_f32, decode_f16, decode_bf16, decode_f64, decode_f8_e4m3, decode_f8_e5m2, decode_f8_e8m0;
decode_f32_fn decode_i8, decode_i16, decode_i32, decode_i64, decode_u8, decode_u16, decode_u32, decode_u64,
    decode_bool, decode_i4;
decode_f64_fn decode_f64_f64, decode_i32_f64, decode_i64_f64, decode_u32_f64, decode_u64_f64;
/* decode_simple.c */
decode_f32_fn decode_q4_0, decode_q4_1, decode_q5_0, decode_q5_1, decode_q8_0, decode_q1_0, decode_q2_0;
decode_f32_fn decode_iq4_nl, decode_mxfp4, decode_nvfp4;
/* decode_k.c */
decode_f32_fn decode_q2_k, decode_q3_k, decode_q4_k, decode_q5_k, decode_q6_k, decode_iq4_xs;
/* decode_iq.c */
decode_f32_fn decode_iq1_s, decode_iq1_m, decode_iq2_xxs, decode_iq2_xs, decode_iq2_s, decode_iq3_xxs, decode_iq3_s;
/* decode_ternary.c */
decode_f32_fn decode_tq1_0, decode_tq2_0;
/* quant_plain.c, quant_simple.c */
encode_f32_fn encode_f32, encode_f16, encode_bf16, encode_f64;
encode_f32_fn encode_q8_0, encode_q4_0, encode_q4_1, encode_q5_0, encode_q5_1;
encode_row_weighted_fn encode_q4_0_weighted, encode_q4_1_weighted, encode_q5_0_weighted, encode_q5_1_weighted;
/* quant_ternary.c, quant_fp4.c, quant_iq4.c */
encode_f32_fn encode_tq1_0, encode_tq2_0, encode_q1_0, encode_q2_0;
encode_f32_fn encode_mxfp4, encode_nvfp4;
encode_f32_fn encode_iq4_nl, encode_iq4_xs;
encode_row_weighted_fn encode_iq4_nl_weighted, encode_iq4_xs_weighted; /* weights may be NULL */
/* quant_iq1.c, quant_iq23.c */
encode_f32_fn encode_iq1_m, encode_iq2_s, encode_iq3_xxs, encode_iq3_s;
encode_row_weighted_fn encode_iq1_s_weighted, encode_iq1_m_weighted;
encode_row_weighted_fn encode_iq2_xxs_weighted, encode_iq2_xs_weighted, encode_iq2_s_weighted;
encode_row_weighted_fn encode_iq3_xxs_weighted, encode_iq3_s_weighted;
/* quant_k.c */
encode_f32_fn encode_q2_k, encode_q3_k, encode_q4_k, encode_q5_k, encode_q6_k;
encode_row_weighted_fn encode_q2_k_weighted, encode_q3_k_weighted, encode_q4_k_weighted, encode_q5_k_weighted,
    encode_q6_k_weighted;

/* quant_search.c: scales of one block of n <= 32 elements. Quants are what the winning candidate gave. w: weights, not negative. */

/* The element of largest magnitude, with its sign. The first of equals; NaN never wins; +0 where all are zero (also -0) or NaN. */
float extreme(const float *x, int n);
/* The largest magnitude. Unlike in extreme, a NaN becomes the maximum and the element after it replaces it. */
float magnitude(const float *x, int n);
/* The sum of x * x, in order; and w = weights * sqrt(sigma2 + x * x), with which types count importance. */
float sum_of_squares(const float *x, int64_t n);
void importance(const float *x, const float *weights, float sigma2, int n, float *w);
/* x ~ scale * l with l in -nmax..nmax-1, least weighted squared error of 19 candidates around extreme / -nmax. An extreme below 1e-15 gives 0
 * and l = -nmax (which is the quant 0 after the usual bias). */
float search_symmetric(int n, int nmax, const float *x, const float *w, int8_t *l);

/* The same with weights x * x, starting at extreme / -nmax: up to five passes over single quants. */
float search_descent(int n, int nmax, const float *x, int8_t *l);

/* x ~ scale * l - *minus_min with l in 0..nmax and a minimum of at most 0; candidates nmax + first + step * i, i = 0..n_steps. */
struct affine_search {
    int nmax;
    float first, step;
    int n_steps;
    bool absolute; /* errors count as |e|, not e * e */
};
float search_affine(const struct affine_search *s, int n, const float *x, const float *w, uint8_t *l, float *minus_min);

/* x ~ scale * l with l in 0..nmax, for x that are not negative (negative elements give defined but strange quants), 9 candidates and up to 5
 * passes over single quants. Nothing above 1e-15: 0, and l = 0. */
float search_positive(int n, int nmax, const float *x, const float *w, uint8_t *l);

/* quant_k_portable.c, quant_k_avx2.c, quant_k_avx512.c: the encoders of quant_k.c once more, and as entries of a kernel set */
#define DECLARE_K(SET)                                                                                       \
    encode_f32_fn encode_q2_k_##SET, encode_q3_k_##SET, encode_q4_k_##SET, encode_q5_k_##SET,                \
        encode_q6_k_##SET;                                                                                   \
    encode_row_weighted_fn encode_q2_k_weighted_##SET, encode_q3_k_weighted_##SET,                           \
        encode_q4_k_weighted_##SET, encode_q5_k_weighted_##SET, encode_q6_k_weighted_##SET
#define ENCODE_K(SET)                                                                                        \
    [DTYPE_Q2_K] = encode_q2_k_##SET, [DTYPE_Q3_K] = encode_q3_k_##SET, [DTYPE_Q4_K] = encode_q4_k_##SET,    \
    [DTYPE_Q5_K] = encode_q5_k_##SET, [DTYPE_Q6_K] = encode_q6_k_##SET
#define ENCODE_K_WEIGHTED(SET)                                                                               \
    [DTYPE_Q2_K] = encode_q2_k_weighted_##SET, [DTYPE_Q3_K] = encode_q3_k_weighted_##SET,                    \
    [DTYPE_Q4_K] = encode_q4_k_weighted_##SET, [DTYPE_Q5_K] = encode_q5_k_weighted_##SET,                    \
    [DTYPE_Q6_K] = encode_q6_k_weighted_##SET
/* quant_32_portable.c and so on */
#define DECLARE_32(SET)                                                                                      \
    encode_f32_fn encode_q4_1_##SET, encode_q5_0_##SET, encode_q5_1_##SET, encode_iq4_nl_##SET,              \
        encode_iq4_xs_##SET, encode_mxfp4_##SET, encode_nvfp4_##SET;                                                             \
    encode_row_weighted_fn encode_q4_0_weighted_##SET, encode_q4_1_weighted_##SET, encode_q5_0_weighted_##SET, \
        encode_q5_1_weighted_##SET, encode_iq4_nl_weighted_##SET, encode_iq4_xs_weighted_##SET
#define ENCODE_32(SET)                                                                                       \
    [DTYPE_Q4_1] = encode_q4_1_##SET, [DTYPE_Q5_0] = encode_q5_0_##SET, [DTYPE_Q5_1] = encode_q5_1_##SET,    \
    [DTYPE_IQ4_NL] = encode_iq4_nl_##SET, [DTYPE_IQ4_XS] = encode_iq4_xs_##SET,                              \
    [DTYPE_MXFP4] = encode_mxfp4_##SET, [DTYPE_NVFP4] = encode_nvfp4_##SET
#define ENCODE_32_WEIGHTED(SET)                                                                              \
    [DTYPE_Q4_0] = encode_q4_0_weighted_##SET, [DTYPE_Q4_1] = encode_q4_1_weighted_##SET,                    \
    [DTYPE_Q5_0] = encode_q5_0_weighted_##SET, [DTYPE_Q5_1] = encode_q5_1_weighted_##SET,                    \
    [DTYPE_IQ4_NL] = encode_iq4_nl_weighted_##SET, [DTYPE_IQ4_XS] = encode_iq4_xs_weighted_##SET
/* quant_iq1.c and quant_iq23.c with the kernels of quant_iq_avx2.c and so on */
#define DECLARE_IQ(SET)                                                                                      \
    encode_f32_fn encode_iq1_m_##SET, encode_iq2_s_##SET, encode_iq3_xxs_##SET, encode_iq3_s_##SET;          \
    encode_row_weighted_fn encode_iq1_s_weighted_##SET, encode_iq1_m_weighted_##SET, encode_iq2_xxs_weighted_##SET, \
        encode_iq2_xs_weighted_##SET, encode_iq2_s_weighted_##SET, encode_iq3_xxs_weighted_##SET, encode_iq3_s_weighted_##SET
#define ENCODE_IQ(SET)                                                                                       \
    [DTYPE_IQ1_M] = encode_iq1_m_##SET, [DTYPE_IQ2_S] = encode_iq2_s_##SET, [DTYPE_IQ3_XXS] = encode_iq3_xxs_##SET, \
    [DTYPE_IQ3_S] = encode_iq3_s_##SET
#define ENCODE_IQ_WEIGHTED(SET)                                                                              \
    [DTYPE_IQ1_S] = encode_iq1_s_weighted_##SET, [DTYPE_IQ1_M] = encode_iq1_m_weighted_##SET,                \
    [DTYPE_IQ2_XXS] = encode_iq2_xxs_weighted_##SET, [DTYPE_IQ2_XS] = encode_iq2_xs_weighted_##SET,          \
    [DTYPE_IQ2_S] = encode_iq2_s_weighted_##SET, [DTYPE_IQ3_XXS] = encode_iq3_xxs_weighted_##SET,            \
    [DTYPE_IQ3_S] = encode_iq3_s_weighted_##SET
/* decode_portable.c and so on */
#define DECLARE_DECODE(SET)                                                                                  \
    decode_f32_fn decode_q4_0_##SET, decode_q4_1_##SET, decode_q5_0_##SET, decode_q5_1_##SET, decode_q8_0_##SET, \
        decode_iq4_nl_##SET, decode_iq4_xs_##SET, decode_mxfp4_##SET, decode_nvfp4_##SET,                    \
        decode_q2_k_##SET, decode_q3_k_##SET, decode_q4_k_##SET, decode_q5_k_##SET, decode_q6_k_##SET
#define DECODE_BLOCKS(SET)                                                                                   \
    [DTYPE_Q4_0] = decode_q4_0_##SET, [DTYPE_Q4_1] = decode_q4_1_##SET, [DTYPE_Q5_0] = decode_q5_0_##SET,    \
    [DTYPE_Q5_1] = decode_q5_1_##SET, [DTYPE_Q8_0] = decode_q8_0_##SET, [DTYPE_IQ4_NL] = decode_iq4_nl_##SET, \
    [DTYPE_IQ4_XS] = decode_iq4_xs_##SET, [DTYPE_MXFP4] = decode_mxfp4_##SET,                                \
    [DTYPE_NVFP4] = decode_nvfp4_##SET, [DTYPE_Q2_K] = decode_q2_k_##SET, [DTYPE_Q3_K] = decode_q3_k_##SET,  \
    [DTYPE_Q4_K] = decode_q4_k_##SET, [DTYPE_Q5_K] = decode_q5_k_##SET, [DTYPE_Q6_K] = decode_q6_k_##SET
DECLARE_DECODE(portable);
DECLARE_DECODE(avx2);
DECLARE_DECODE(avx512);
DECLARE_32(portable);
DECLARE_32(avx2);
DECLARE_32(avx512);
DECLARE_IQ(avx2);
DECLARE_IQ(avx512);
DECLARE_K(portable);
DECLARE_K(avx2);
DECLARE_K(avx512);

/* Kernel sets other than `ref`. */
extern const struct kernels kernels_avx2, kernels_avx512, kernels_fused[FUSE_STYLES];

/* The levels of IQ4_NL and IQ4_XS. */
extern const int8_t iq4_levels[16];
/* Twice the values of E2M1, so that they are integers; what multiplies them is halved instead. */
extern const int8_t e2m1_doubled[16];

/* decode_simple.c: halves of scales, since E2M1 values are held doubled. 2^(e - 128); e = 0 and 1 reach into the subnormal floats. */
float e8m0_half(uint8_t e);
/* Half of an unsigned E4M3 scale. */
float ue4m3_half(uint8_t e);

/* convert_half.c: doubles with a single rounding */
uint16_t f16_from_f64(double v);
uint16_t bf16_from_f64(double v);
float f8_e4m3_to_f32(uint8_t b);
float f8_e8m0_to_f32(uint8_t b);
float f8_e5m2_to_f32(uint8_t b);

/* Elements that are cast at a time, on the stack: a multiple of every block length. */
enum { CAST_CHUNK = 1024 };

/* dtype_audit.c: add to *a what casting n <= CAST_CHUNK values v of type `from` changed; dst holds the result. v is filled up past n. */
void audit_f32(struct cast_audit *a, enum dtype to, enum dtype from, float v[CAST_CHUNK], const void *dst,
               int64_t n);
void audit_f64(struct cast_audit *a, enum dtype to, enum dtype from, double v[CAST_CHUNK], const void *dst,
               int64_t n);
/* true only if t is a 16-bit float type and none of the n elements is infinite or NaN: a shortcut for copies */
bool audit_all_finite(enum dtype t, const void *src, int64_t n);

#endif
