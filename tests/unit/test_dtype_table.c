/* The type table against the published lists, and its look-ups at their edges. */
#include "dtypes/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ggml_type_name, ggml_blck_size and ggml_type_size of every id that exists */
static const struct {
    int id;
    const char *name;
    uint32_t block_len, block_bytes;
} ggml_types[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
};
enum { N_GGML = sizeof ggml_types / sizeof ggml_types[0] };

/* safetensors' names with the bits of an element */
static const struct {
    const char *name;
    unsigned bits;
} st_types[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
};
enum { N_ST = sizeof st_types / sizeof st_types[0] };

static void test_ggml_types(void **state)
{
    (void)state;
    for (int i = 0; i < N_GGML; i++) {
        const struct dtype_info *t = dtype_info(dtype_from_ggml(ggml_types[i].id));
        if (!t) fail_msg("ggml id %d is missing", ggml_types[i].id);
        assert_string_equal(t->ggml_name, ggml_types[i].name);
        assert_int_equal(t->block_len, ggml_types[i].block_len);
        assert_int_equal(t->block_bytes, ggml_types[i].block_bytes);
    }
    int n = 0;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        assert_int_equal(info->ggml_id >= 0, info->ggml_name != NULL);
        n += info->ggml_id >= 0;
    }
    assert_int_equal(n, N_GGML);
}

static void test_removed_ids(void **state)
{
    (void)state;
    static const int64_t bad[] = {
        -1, 4, 5, 31, 32, 33, 36, 37, 38, 43, 255, INT32_MAX, INT64_MAX, INT64_MIN, (int64_t)1 << 32};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(dtype_from_ggml(bad[i]), DTYPE_COUNT);
}

static void test_safetensors_types(void **state)
{
    (void)state;
    int n = 0;
    for (int i = 0; i < N_ST; i++) {
        const struct dtype_info *t = dtype_info(dtype_from_st_name(st_types[i].name));
        if (!t) fail_msg("safetensors type %s is missing", st_types[i].name);
        assert_string_equal(t->st_name, st_types[i].name);
        assert_int_equal(t->block_bytes * 8, t->block_len * st_types[i].bits);
    }
    for (int t = 0; t < DTYPE_COUNT; t++) n += dtype_info((enum dtype)t)->st_name != NULL;
    assert_int_equal(n, N_ST);
    assert_int_equal(dtype_from_st_name("bf16"), DTYPE_COUNT); /* exact */
    assert_int_equal(dtype_from_st_name("Q8"), DTYPE_COUNT);
    assert_int_equal(dtype_from_st_name(""), DTYPE_COUNT);
}

static void test_names(void **state)
{
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        assert_non_null(info->name);
        assert_int_equal(dtype_from_name(info->name), t); /* no name occurs twice */
        assert_true(info->block_len > 0 && info->block_bytes > 0 && 1024 % info->block_len == 0);
        assert_true(!info->is_float || info->block_len <= 4);
        assert_true(!info->encode_f32 || info->decode_f32);
    }
    assert_int_equal(dtype_from_name("Q6_K"), DTYPE_Q6_K);
    assert_int_equal(dtype_from_name("q6_K"), DTYPE_Q6_K);
    assert_int_equal(dtype_from_name("q6k"), DTYPE_COUNT);
    assert_null(dtype_info(DTYPE_COUNT));
    assert_null(dtype_info((enum dtype) - 1));
}

static void test_bytes(void **state)
{
    (void)state;
    uint64_t b = 7;
    assert_true(dtype_bytes(DTYPE_Q6_K, 4096, &b));
    assert_int_equal(b, 16 * 210);
    assert_true(dtype_bytes(DTYPE_F4, 6, &b));
    assert_int_equal(b, 3);
    assert_true(dtype_bytes(DTYPE_F6_E3M2, 8, &b));
    assert_int_equal(b, 6);
    assert_true(dtype_bytes(DTYPE_Q8_0, 0, &b));
    assert_int_equal(b, 0);
    assert_true(dtype_bytes(DTYPE_C128, INT64_MAX / 16, &b));
    assert_int_equal(b, (uint64_t)(INT64_MAX / 16) * 16);
    b = 7;
    assert_false(dtype_bytes(DTYPE_Q6_K, 4096 + 32, &b));
    assert_false(dtype_bytes(DTYPE_F4, 1, &b));
    assert_false(dtype_bytes(DTYPE_F32, -1, &b));
    assert_false(dtype_bytes(DTYPE_Q8_0, -32, &b));
    assert_false(dtype_bytes(DTYPE_F64, INT64_MAX, &b));
    assert_false(dtype_bytes(DTYPE_COUNT, 1, &b));
    assert_int_equal(b, 7);
}

static void test_unsupported_is_named(void **state)
{
    (void)state;
    struct error err;
    float f[256] = {0};
    double d[256];
    unsigned char raw[512] = {0};
    assert_int_equal(dtype_decode_f32(DTYPE_F8_E4M3FNUZ, raw, f, 4, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "f8_e4m3fnuz"));
    assert_int_equal(dtype_decode_f64(DTYPE_C64, raw, d, 4, &err), STATUS_UNSUPPORTED);
    assert_int_equal(dtype_encode_f32(DTYPE_I32, f, raw, 4, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "i32"));
    assert_int_equal(dtype_decode_f32(DTYPE_Q4_0, raw, f, 33, &err), STATUS_RANGE);
    assert_int_equal(dtype_encode_f32(DTYPE_Q4_0, f, raw, -32, &err), STATUS_RANGE);
    assert_int_equal(dtype_decode_f32(DTYPE_COUNT, raw, f, 1, &err), STATUS_RANGE);
}

static void test_encode_rows(void **state)
{
    (void)state;
    struct error err;
    float x[512] = {0}, weights[256] = {0};
    unsigned char rows[1024], all[1024];
    for (int i = 0; i < 512; i++) x[i] = (float)(i % 37) - 18;
    for (int i = 0; i < 256; i++) weights[i] = 1;
    assert_int_equal(dtype_encode_f32(DTYPE_Q4_0, x, all, 512, &err), STATUS_OK);
    assert_int_equal(dtype_encode_rows(DTYPE_Q4_0, x, NULL, rows, 2, 256, &err), STATUS_OK);
    assert_memory_equal(rows, all, 16 * 18);
    /* no weights: Q8_0 is the same with any */
    assert_int_equal(dtype_encode_f32(DTYPE_Q8_0, x, all, 512, &err), STATUS_OK);
    assert_int_equal(dtype_encode_rows(DTYPE_Q8_0, x, weights, rows, 2, 256, &err), STATUS_OK);
    assert_memory_equal(rows, all, 16 * 34);

    assert_int_equal(dtype_encode_rows(DTYPE_IQ2_XXS, x, NULL, rows, 1, 256, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "iq2_xxs needs importance weights"));
    assert_false(dtype_can_encode(DTYPE_IQ2_XXS, false));
    assert_true(dtype_can_encode(DTYPE_Q8_0, true));
    assert_false(dtype_can_encode(DTYPE_COUNT, true));
    assert_int_equal(dtype_encode_rows(DTYPE_I32, x, weights, rows, 1, 32, &err), STATUS_UNSUPPORTED);
    /* two rows of half a block are no block */
    assert_int_equal(dtype_encode_rows(DTYPE_Q8_0, x, NULL, rows, 2, 16, &err), STATUS_RANGE);
    assert_int_equal(dtype_encode_rows(DTYPE_Q8_0, x, NULL, rows, -1, 32, &err), STATUS_RANGE);
    assert_int_equal(dtype_encode_rows(DTYPE_Q8_0, x, NULL, rows, INT64_MAX / 32, 64, &err), STATUS_RANGE);
    assert_int_equal(dtype_encode_rows(DTYPE_COUNT, x, NULL, rows, 1, 32, &err), STATUS_RANGE);
}

/* One way to say whether weights count. */
static void test_weights_are_consistent(void **state)
{
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        if (info->encode_row_weighted) assert_int_not_equal(info->weights, WEIGHTS_IGNORED);
        if (info->weights == WEIGHTS_REQUIRED) assert_null(info->encode_f32);
    }
}

static void test_plain_decoders(void **state)
{
    (void)state;
    struct error err;
    float f[4];
    double d[4];
    /* from an odd address */
    unsigned char raw[1 + 4 * 8];
    static const int64_t i64[4] = {INT64_MIN, -1, 9007199254740991, INT64_MAX};
    memcpy(raw + 1, i64, sizeof i64);
    assert_int_equal(dtype_decode_f64(DTYPE_I64, raw + 1, d, 4, &err), STATUS_OK);
    assert_true(d[0] == -0x1p63 && d[1] == -1 && d[2] == 9007199254740991.0 && d[3] == 0x1p63);
    assert_int_equal(dtype_decode_f32(DTYPE_U64, raw + 1, f, 4, &err), STATUS_OK);
    assert_true(f[0] == 0x1p63f && f[1] == 0x1p64f);
    static const uint32_t u32[4] = {0, 1, 0x80000000u, UINT32_MAX};
    memcpy(raw + 1, u32, sizeof u32);
    assert_int_equal(dtype_decode_f64(DTYPE_U32, raw + 1, d, 4, &err), STATUS_OK);
    assert_true(d[2] == 2147483648.0 && d[3] == 4294967295.0);
    assert_int_equal(dtype_decode_f64(DTYPE_I32, raw + 1, d, 4, &err), STATUS_OK);
    assert_true(d[2] == -2147483648.0 && d[3] == -1);
    static const unsigned char bytes[4] = {0, 1, 2, 255};
    /* pairs of signed halves of a byte, the first in the high one */
    const unsigned char pairs[] = {0x8F, 0x70};
    assert_int_equal(dtype_decode_f32(DTYPE_I4, pairs, f, 4, &err), STATUS_OK);
    assert_true(f[0] == -8 && f[1] == -1 && f[2] == 7 && f[3] == 0);
    assert_int_equal(dtype_decode_f32(DTYPE_BOOL, bytes, f, 4, &err), STATUS_OK);
    assert_true(f[0] == 0 && f[1] == 1 && f[2] == 1 && f[3] == 1);
    assert_int_equal(dtype_decode_f32(DTYPE_I8, bytes, f, 4, &err), STATUS_OK);
    assert_true(f[2] == 2 && f[3] == -1);
    assert_int_equal(dtype_decode_f32(DTYPE_U8, bytes, f, 4, &err), STATUS_OK);
    assert_true(f[3] == 255);
    assert_int_equal(dtype_decode_f32(DTYPE_I16, bytes, f, 2, &err), STATUS_OK);
    assert_true(f[0] == 256 && f[1] == -254);
    assert_int_equal(dtype_decode_f64(DTYPE_U16, bytes, d, 2, &err), STATUS_OK);
    assert_true(d[1] == 65282);
    static const double f64[2] = {0x1.000001p0, -1e300};
    assert_int_equal(dtype_decode_f64(DTYPE_F64, f64, d, 2, &err), STATUS_OK);
    assert_true(d[0] == f64[0] && d[1] == f64[1]);
    assert_int_equal(dtype_decode_f32(DTYPE_F64, f64, f, 2, &err), STATUS_OK);
    assert_true(f[0] == 1.0f && isinf(f[1]) &&
                signbit(f[1])); /* the tie goes to even, the rest to infinity */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ggml_types),
        cmocka_unit_test(test_removed_ids),
        cmocka_unit_test(test_safetensors_types),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_unsupported_is_named),
        cmocka_unit_test(test_encode_rows),
        cmocka_unit_test(test_weights_are_consistent),
        cmocka_unit_test(test_plain_decoders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
