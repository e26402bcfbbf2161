/* The type table. Adding a type: its block in blocks.h, its functions in a file of their own, its line here. */
#include "base/memory.h"
#include "dtypes/codec.h"

#include <strings.h>

#define SIZE(LEN, STRUCT)         .block_len = (LEN), .block_bytes = sizeof(STRUCT)
#define NAMES(NAME, ST, GGML, ID) .name = NAME, .st_name = ST, .ggml_name = GGML, .ggml_id = (ID)
#define DECODE(FN)                .decode_f32 = FN
#define EXACT(FN)                 .decode_f64 = FN
#define ENCODE(FN)                .encode_f32 = FN
#define WEIGHTED(USE, FN)         .weights = WEIGHTS_##USE, .encode_row_weighted = FN

/* clang-format off */
static const struct dtype_info table[DTYPE_COUNT] = {
    [DTYPE_F32]  = {NAMES("f32", "F32", "F32", 0), SIZE(1, float), .is_float = true, DECODE(decode_f32), ENCODE(encode_f32)},
    [DTYPE_F16]  = {NAMES("f16", "F16", "F16", 1), SIZE(1, uint16_t), .is_float = true, DECODE(decode_f16), ENCODE(encode_f16)},
    [DTYPE_BF16] = {NAMES("bf16", "BF16", "BF16", 30), SIZE(1, uint16_t), .is_float = true, DECODE(decode_bf16), ENCODE(encode_bf16)},
    [DTYPE_F64]  = {NAMES("f64", "F64", "F64", 28), SIZE(1, double), .is_float = true, DECODE(decode_f64), EXACT(decode_f64_f64),
                    ENCODE(encode_f64)},
    [DTYPE_F8_E4M3] = {NAMES("f8_e4m3", "F8_E4M3", NULL, -1), SIZE(1, uint8_t), .is_float = true, DECODE(decode_f8_e4m3)},
    [DTYPE_F8_E5M2] = {NAMES("f8_e5m2", "F8_E5M2", NULL, -1), SIZE(1, uint8_t), .is_float = true, DECODE(decode_f8_e5m2)},
    [DTYPE_F8_E8M0] = {NAMES("f8_e8m0", "F8_E8M0", NULL, -1), SIZE(1, uint8_t), .is_float = true, DECODE(decode_f8_e8m0)},
    [DTYPE_F8_E4M3FNUZ] = {NAMES("f8_e4m3fnuz", "F8_E4M3FNUZ", NULL, -1), SIZE(1, uint8_t), .is_float = true},
    [DTYPE_F8_E5M2FNUZ] = {NAMES("f8_e5m2fnuz", "F8_E5M2FNUZ", NULL, -1), SIZE(1, uint8_t), .is_float = true},
    [DTYPE_F6_E2M3] = {NAMES("f6_e2m3", "F6_E2M3", NULL, -1), SIZE(4, struct block_f6), .is_float = true},
    [DTYPE_F6_E3M2] = {NAMES("f6_e3m2", "F6_E3M2", NULL, -1), SIZE(4, struct block_f6), .is_float = true},
    [DTYPE_F4]   = {NAMES("f4", "F4", NULL, -1), SIZE(2, struct block_f4), .is_float = true},
    [DTYPE_C64]  = {NAMES("c64", "C64", NULL, -1), SIZE(1, float[2])},
    [DTYPE_C128] = {NAMES("c128", NULL, NULL, -1), SIZE(1, double[2])},
    [DTYPE_I8]   = {NAMES("i8", "I8", "I8", 24), SIZE(1, int8_t), DECODE(decode_i8)},
    [DTYPE_I16]  = {NAMES("i16", "I16", "I16", 25), SIZE(1, int16_t), DECODE(decode_i16)},
    [DTYPE_I32]  = {NAMES("i32", "I32", "I32", 26), SIZE(1, int32_t), DECODE(decode_i32), EXACT(decode_i32_f64)},
    [DTYPE_I64]  = {NAMES("i64", "I64", "I64", 27), SIZE(1, int64_t), DECODE(decode_i64), EXACT(decode_i64_f64)},
    [DTYPE_U8]   = {NAMES("u8", "U8", NULL, -1), SIZE(1, uint8_t), DECODE(decode_u8)},
    [DTYPE_U16]  = {NAMES("u16", "U16", NULL, -1), SIZE(1, uint16_t), DECODE(decode_u16)},
    [DTYPE_U32]  = {NAMES("u32", "U32", NULL, -1), SIZE(1, uint32_t), DECODE(decode_u32), EXACT(decode_u32_f64)},
    [DTYPE_U64]  = {NAMES("u64", "U64", NULL, -1), SIZE(1, uint64_t), DECODE(decode_u64), EXACT(decode_u64_f64)},
    [DTYPE_BOOL] = {NAMES("bool", "BOOL", NULL, -1), SIZE(1, uint8_t), DECODE(decode_bool)},
    [DTYPE_I4]   = {NAMES("i4", NULL, NULL, -1), SIZE(2, uint8_t), DECODE(decode_i4)},

    [DTYPE_Q4_0] = {NAMES("q4_0", NULL, "Q4_0", 2), SIZE(QK, struct block_q4_0), DECODE(decode_q4_0), ENCODE(encode_q4_0), WEIGHTED(USED, encode_q4_0_weighted)},
    [DTYPE_Q4_1] = {NAMES("q4_1", NULL, "Q4_1", 3), SIZE(QK, struct block_q4_1), DECODE(decode_q4_1), ENCODE(encode_q4_1), WEIGHTED(USED, encode_q4_1_weighted)},
    [DTYPE_Q5_0] = {NAMES("q5_0", NULL, "Q5_0", 6), SIZE(QK, struct block_q5_0), DECODE(decode_q5_0), ENCODE(encode_q5_0), WEIGHTED(USED, encode_q5_0_weighted)},
    [DTYPE_Q5_1] = {NAMES("q5_1", NULL, "Q5_1", 7), SIZE(QK, struct block_q5_1), DECODE(decode_q5_1), ENCODE(encode_q5_1), WEIGHTED(USED, encode_q5_1_weighted)},
    [DTYPE_Q8_0] = {NAMES("q8_0", NULL, "Q8_0", 8), SIZE(QK, struct block_q8_0), DECODE(decode_q8_0), ENCODE(encode_q8_0)},
    [DTYPE_Q8_1] = {NAMES("q8_1", NULL, "Q8_1", 9), SIZE(QK, struct block_q8_1)},
    [DTYPE_Q2_K] = {NAMES("q2_k", NULL, "Q2_K", 10), SIZE(QK_K, struct block_q2_k), DECODE(decode_q2_k), ENCODE(encode_q2_k), WEIGHTED(USED, encode_q2_k_weighted)},
    [DTYPE_Q3_K] = {NAMES("q3_k", NULL, "Q3_K", 11), SIZE(QK_K, struct block_q3_k), DECODE(decode_q3_k), ENCODE(encode_q3_k), WEIGHTED(USED, encode_q3_k_weighted)},
    [DTYPE_Q4_K] = {NAMES("q4_k", NULL, "Q4_K", 12), SIZE(QK_K, struct block_q4_k), DECODE(decode_q4_k), ENCODE(encode_q4_k), WEIGHTED(USED, encode_q4_k_weighted)},
    [DTYPE_Q5_K] = {NAMES("q5_k", NULL, "Q5_K", 13), SIZE(QK_K, struct block_q5_k), DECODE(decode_q5_k), ENCODE(encode_q5_k), WEIGHTED(USED, encode_q5_k_weighted)},
    [DTYPE_Q6_K] = {NAMES("q6_k", NULL, "Q6_K", 14), SIZE(QK_K, struct block_q6_k), DECODE(decode_q6_k), ENCODE(encode_q6_k), WEIGHTED(USED, encode_q6_k_weighted)},
    [DTYPE_Q8_K] = {NAMES("q8_k", NULL, "Q8_K", 15), SIZE(QK_K, struct block_q8_k)},
    [DTYPE_IQ2_XXS] = {NAMES("iq2_xxs", NULL, "IQ2_XXS", 16), SIZE(QK_K, struct block_iq2_xxs), DECODE(decode_iq2_xxs), WEIGHTED(REQUIRED, encode_iq2_xxs_weighted)},
    [DTYPE_IQ2_XS]  = {NAMES("iq2_xs", NULL, "IQ2_XS", 17), SIZE(QK_K, struct block_iq2_xs), DECODE(decode_iq2_xs), WEIGHTED(REQUIRED, encode_iq2_xs_weighted)},
    [DTYPE_IQ3_XXS] = {NAMES("iq3_xxs", NULL, "IQ3_XXS", 18), SIZE(QK_K, struct block_iq3_xxs), DECODE(decode_iq3_xxs), ENCODE(encode_iq3_xxs), WEIGHTED(WANTED, encode_iq3_xxs_weighted)},
    [DTYPE_IQ1_S]   = {NAMES("iq1_s", NULL, "IQ1_S", 19), SIZE(QK_K, struct block_iq1_s), DECODE(decode_iq1_s), WEIGHTED(REQUIRED, encode_iq1_s_weighted)},
    [DTYPE_IQ4_NL]  = {NAMES("iq4_nl", NULL, "IQ4_NL", 20), SIZE(QK, struct block_iq4_nl), DECODE(decode_iq4_nl), ENCODE(encode_iq4_nl), WEIGHTED(USED, encode_iq4_nl_weighted)},
    [DTYPE_IQ3_S]   = {NAMES("iq3_s", NULL, "IQ3_S", 21), SIZE(QK_K, struct block_iq3_s), DECODE(decode_iq3_s), ENCODE(encode_iq3_s), WEIGHTED(USED, encode_iq3_s_weighted)},
    [DTYPE_IQ2_S]   = {NAMES("iq2_s", NULL, "IQ2_S", 22), SIZE(QK_K, struct block_iq2_s), DECODE(decode_iq2_s), ENCODE(encode_iq2_s), WEIGHTED(WANTED, encode_iq2_s_weighted)},
    [DTYPE_IQ4_XS]  = {NAMES("iq4_xs", NULL, "IQ4_XS", 23), SIZE(QK_K, struct block_iq4_xs), DECODE(decode_iq4_xs), ENCODE(encode_iq4_xs), WEIGHTED(USED, encode_iq4_xs_weighted)},
    [DTYPE_IQ1_M]   = {NAMES("iq1_m", NULL, "IQ1_M", 29), SIZE(QK_K, struct block_iq1_m), DECODE(decode_iq1_m), ENCODE(encode_iq1_m), WEIGHTED(WANTED, encode_iq1_m_weighted)},
    [DTYPE_TQ1_0]   = {NAMES("tq1_0", NULL, "TQ1_0", 34), SIZE(QK_K, struct block_tq1_0), DECODE(decode_tq1_0), ENCODE(encode_tq1_0)},
    [DTYPE_TQ2_0]   = {NAMES("tq2_0", NULL, "TQ2_0", 35), SIZE(QK_K, struct block_tq2_0), DECODE(decode_tq2_0), ENCODE(encode_tq2_0)},
    [DTYPE_MXFP4]   = {NAMES("mxfp4", NULL, "MXFP4", 39), SIZE(QK, struct block_mxfp4), DECODE(decode_mxfp4), ENCODE(encode_mxfp4)},
    [DTYPE_NVFP4]   = {NAMES("nvfp4", NULL, "NVFP4", 40), SIZE(64, struct block_nvfp4), DECODE(decode_nvfp4), ENCODE(encode_nvfp4)},
    [DTYPE_Q1_0]    = {NAMES("q1_0", NULL, "Q1_0", 41), SIZE(128, struct block_q1_0), DECODE(decode_q1_0), ENCODE(encode_q1_0)},
    [DTYPE_Q2_0]    = {NAMES("q2_0", NULL, "Q2_0", 42), SIZE(64, struct block_q2_0), DECODE(decode_q2_0), ENCODE(encode_q2_0)},
};
/* clang-format on */

const struct dtype_info *dtype_info(enum dtype t)
{
    /* through unsigned: the compiler may give the enum either signedness */
    return (unsigned)t < DTYPE_COUNT ? &table[t] : NULL;
}

enum dtype dtype_from_ggml(int64_t ggml_id)
{
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (ggml_id >= 0 && table[t].ggml_id == ggml_id) return (enum dtype)t;
    return DTYPE_COUNT;
}

enum dtype dtype_from_st_name(const char *name)
{
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (table[t].st_name && strcmp(table[t].st_name, name) == 0) return (enum dtype)t;
    return DTYPE_COUNT;
}

enum dtype dtype_from_name(const char *name)
{
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (strcasecmp(table[t].name, name) == 0) return (enum dtype)t;
    return DTYPE_COUNT;
}

bool dtype_bytes(enum dtype t, int64_t n, uint64_t *bytes)
{
    const struct dtype_info *info = dtype_info(t);
    if (!info || n < 0 || n % info->block_len != 0) return false;
    return size_mul((uint64_t)n / info->block_len, info->block_bytes, bytes);
}

double dtype_least_normal(enum dtype t)
{
    switch (t) {
    case DTYPE_F16:
    case DTYPE_F8_E5M2:
        return 0x1p-14;
    case DTYPE_F8_E4M3:
        return 0x1p-6;
    case DTYPE_F64:
        return 0x1p-1022;
    default:
        return 0x1p-126;
    }
}
