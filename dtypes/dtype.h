/* Element and block types: one table for names, sizes, decoding and encoding.
 *
 *     const struct dtype_info *t = dtype_info(DTYPE_Q6_K);
 *     uint64_t row_bytes;
 *     if (!dtype_bytes(DTYPE_Q6_K, n_cols, &row_bytes)) ...        n_cols is no multiple of t->block_len
 *     dtype_decode_f32(DTYPE_Q6_K, block_bytes, floats, n_cols);
 *
 * A row is n consecutive elements; a block never crosses a row. All types are little-endian in memory and in files.
 * The encoder in this table *defines* the bytes of a file (equal to ggml's reference on x86-64); kernels reproduce it.
 * Everything here is stateless and thread-safe.
 */
#ifndef LATHE_DTYPE_H
#define LATHE_DTYPE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F64,
    DTYPE_F8_E4M3, /* OCP E4M3FN: no infinity, 0x7F and 0xFF are NaN */
    DTYPE_F8_E5M2,
    DTYPE_F8_E8M0, /* powers of two: scales; 0xFF is NaN */
    DTYPE_F8_E4M3FNUZ, /* the remaining safetensors types are listed and copied only */
    DTYPE_F8_E5M2FNUZ,
    DTYPE_F6_E2M3,
    DTYPE_F6_E3M2,
    DTYPE_F4,
    DTYPE_C64,
    DTYPE_C128, /* torch only */
    DTYPE_I8,
    DTYPE_I16,
    DTYPE_I32,
    DTYPE_I64,
    DTYPE_U8,
    DTYPE_U16,
    DTYPE_U32,
    DTYPE_U64,
    DTYPE_BOOL,
    DTYPE_I4, /* two to a byte, the first in the high half, signed: ChatGLM's; no container names it, bind_scales.c finds it */
    /* ggml's block types, in the order of their ids */
    DTYPE_Q4_0,
    DTYPE_Q4_1,
    DTYPE_Q5_0,
    DTYPE_Q5_1,
    DTYPE_Q8_0,
    DTYPE_Q8_1,
    DTYPE_Q2_K,
    DTYPE_Q3_K,
    DTYPE_Q4_K,
    DTYPE_Q5_K,
    DTYPE_Q6_K,
    DTYPE_Q8_K,
    DTYPE_IQ2_XXS,
    DTYPE_IQ2_XS,
    DTYPE_IQ3_XXS,
    DTYPE_IQ1_S,
    DTYPE_IQ4_NL,
    DTYPE_IQ3_S,
    DTYPE_IQ2_S,
    DTYPE_IQ4_XS,
    DTYPE_IQ1_M,
    DTYPE_TQ1_0,
    DTYPE_TQ2_0,
    DTYPE_MXFP4,
    DTYPE_NVFP4,
    DTYPE_Q1_0,
    DTYPE_Q2_0,
    DTYPE_COUNT
};

/* What the encoder of a type does with importance weights (one per column of a matrix, see dtype_encode_rows). */
enum dtype_weights {
    WEIGHTS_IGNORED,  /* same bytes with them as without */
    WEIGHTS_USED,     /* better with them */
    WEIGHTS_WANTED,   /* used; there is a way without, but llama-quantize refuses to go it */
    WEIGHTS_REQUIRED, /* there is no way without */
};

struct dtype_info {
    const char *name;      /* command lines and our own texts, lower case: "bf16", "q6_k" */
    const char *st_name;   /* safetensors' name ("BF16", "F8_E4M3"), or NULL */
    const char *ggml_name; /* ggml's name ("BF16", "Q6_K"), or NULL */
    int ggml_id;           /* id in GGUF, or -1 */
    uint32_t block_len;    /* elements of a block; 1 for plain types */
    uint32_t block_bytes;  /* bytes of a block; sub-byte plain types have block_len > 1 (F4: 2 elements in 1 byte) */
    bool is_float;         /* plain floating point: a matrix may be cast to it element by element */
    void (*decode_f32)(const void *src, float *dst, int64_t n);   /* NULL: no decoder yet. n is a multiple of block_len */
    void (*decode_f64)(const void *src, double *dst, int64_t n);  /* NULL where decode_f32 gives the value: go through it */
    void (*encode_f32)(const float *src, void *dst, int64_t n);   /* NULL: cannot be written, or only with weights */
    /* One whole row (sums over it are part of the bytes) with a weight for each element. NULL: no such way yet, or weights are ignored. */
    void (*encode_row_weighted)(const float *row, const float *weights, void *dst, int64_t n);
    enum dtype_weights weights;
};

/* NULL for an id that is out of range */
const struct dtype_info *dtype_info(enum dtype t);
/* by ggml id, safetensors name (exact), or our command-line name (any case): DTYPE_COUNT if unknown */
enum dtype dtype_from_ggml(int64_t ggml_id);
enum dtype dtype_from_st_name(const char *name);
enum dtype dtype_from_name(const char *name);

/* Bytes of n elements; false if n < 0, n is no multiple of the block, or the size does not fit. */
bool dtype_bytes(enum dtype t, int64_t n, uint64_t *bytes);

/* The least magnitude that t holds as a normal number. Types that are no plain floats are decoded to F32, and have its. */
double dtype_least_normal(enum dtype t);

/* n elements to float (double): through the selected kernels. STATUS_UNSUPPORTED if t has no decoder (text names the type). */
enum status dtype_decode_f32(enum dtype t, const void *src, float *dst, int64_t n, struct error *err);
enum status dtype_decode_f64(enum dtype t, const void *src, double *dst, int64_t n, struct error *err);
/* n floats to t, without importance weights. Same result for every kernel set. STATUS_UNSUPPORTED if t has no such encoder. */
enum status dtype_encode_f32(enum dtype t, const float *src, void *dst, int64_t n, struct error *err);

/* Encodes some rows whose bytes betray a compiler that fuses multiplications and additions, and compares with ggml's. STATUS_UNSUPPORTED names the
 * types that differ. Run once, in about a millisecond; dtype_encode_f32, _rows and dtype_cast ask for it before they make their first block. */
enum status dtype_self_test(struct error *err);

/* Whether dtype_encode_rows can write t with (without) weights. */
bool dtype_can_encode(enum dtype t, bool weighted);
/* n_rows rows of n_per_row floats each, one after the other, to t. weights: n_per_row importance weights that all rows share, finite and not
 * negative (others give defined but useless bytes); NULL: none, which is dtype_encode_f32. Rows are independent of each other: any split of a
 * matrix into calls gives the same bytes. n_per_row must make whole blocks (STATUS_RANGE). STATUS_UNSUPPORTED as dtype_can_encode says.
 * The first use of an IQ1, IQ2 or IQ3 type computes search tables, some milliseconds, and keeps them. */
enum status dtype_encode_rows(enum dtype t, const float *src, const float *weights, void *dst, int64_t n_rows,
                              int64_t n_per_row, struct error *err);

/* What casting changed beyond rounding. Counts add up over calls. */
struct cast_audit {
    uint64_t n;            /* elements seen */
    uint64_t n_nan;        /* NaN in the source */
    uint64_t n_inf;        /* infinite in the source */
    uint64_t n_overflow;   /* finite in the source, infinite in the target */
    uint64_t n_flushed;    /* nonzero in the source, zero in the target */
    uint64_t n_subnormal;  /* nonzero and normal in the source, subnormal in the target: bits lost */
    int64_t first_overflow; /* index of the first overflow, counted over all calls; -1 if none. Start from CAST_AUDIT_INIT. */
};
#define CAST_AUDIT_INIT {.first_overflow = -1}
void cast_audit_add(struct cast_audit *sum, const struct cast_audit *part); /* part follows sum in element order */

/* n elements of type `from` to type `to`: byte copy when equal; plain floats with one rounding (F64 → BF16 does not pass through F32
 * rounding twice); into and out of block types through float. audit may be NULL; for a block type n_overflow counts finite elements that come
 * back infinite or NaN, n_flushed nonzero elements of blocks that come back as all zeros. dst and src must not overlap and may lie at
 * any byte address. STATUS_UNSUPPORTED if `from` has no decoder or `to` no encoder; STATUS_RANGE if n does not make whole blocks. */
enum status dtype_cast(enum dtype to, void *dst, enum dtype from, const void *src, int64_t n, struct cast_audit *audit,
                       struct error *err);

/* Single values, round to nearest even. NaN: f16 0x7E00 | sign, bf16 high half | 0x40, as ggml writes them. */
uint16_t f16_from_f32(float v);
float f16_to_f32(uint16_t h);
uint16_t bf16_from_f32(float v);
float bf16_to_f32(uint16_t h);

#endif
