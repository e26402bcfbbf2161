/* Casts and their audit. */
#include "dtypes/dtype.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

static void check_audit(const struct cast_audit *a, uint64_t n, uint64_t n_nan, uint64_t n_inf,
                        uint64_t n_overflow, uint64_t n_flushed, uint64_t n_subnormal, int64_t first)
{
    assert_int_equal(a->n, n);
    assert_int_equal(a->n_nan, n_nan);
    assert_int_equal(a->n_inf, n_inf);
    assert_int_equal(a->n_overflow, n_overflow);
    assert_int_equal(a->n_flushed, n_flushed);
    assert_int_equal(a->n_subnormal, n_subnormal);
    assert_int_equal(a->first_overflow, first);
}

static void test_f32_to_f16(void **state)
{
    (void)state;
    static const float v[] = {
        1.0f,         -0.0f,    NAN,      INFINITY,  -INFINITY,       65519.996f,
        -65520.0f,    1e38f,    0x1p-25f, -1e-30f,   0x1.000002p-25f, 0x1.FF8p-15f,
        0x1.FFCp-15f, 0x1p-14f, 0x1p-24f, 0x1p-140f,
    };
    enum { N = sizeof v / sizeof v[0] };
    struct cast_audit a = CAST_AUDIT_INIT;
    uint16_t h[N];
    assert_int_equal(dtype_cast(DTYPE_F16, h, DTYPE_F32, v, N, &a, &err), STATUS_OK);
    for (int i = 0; i < N; i++) assert_int_equal(h[i], f16_from_f32(v[i]));
    /* flushed: 2^-25, 1e-30, 2^-140; subnormal: 0x1.000002p-25, 0x1.FF8p-15, 2^-24. 0x1.FFCp-15 rounds up to the least normal half. */
    check_audit(&a, N, 1, 2, 2, 3, 3, 6);
}

/* The audit's limits against the results themselves, over values around each of them. */
static void test_audit_follows_results(void **state)
{
    (void)state;
    static const enum dtype plain[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64};
    static const double least[] = {0x1p-126, 0x1p-14, 0x1p-126, 0x1p-1022};
    static const double around[] = {0x1p-25,
                                    0x1p-24,
                                    0x1p-14,
                                    65504,
                                    65520,
                                    65536,
                                    0x1p-134,
                                    0x1p-133,
                                    0x1p-126,
                                    0x1p-149,
                                    0x1p-150,
                                    0x1p-140,
                                    0x1p128,
                                    0x1.FFp127,
                                    0x1.FEp127,
                                    0x1.FFFFFFp127,
                                    0x1p-14 - 0x1p-25,
                                    0x1p-126 - 0x1p-134,
                                    0x1p-126 - 0x1p-150,
                                    0x1p-1022,
                                    0x1p-1074,
                                    3.0};
    enum { N = sizeof around / sizeof around[0] * 6 };
    double v[N];
    for (int i = 0; i < N; i++) {
        double x = around[i / 6];
        v[i] = i % 3 == 0 ? x : nextafter(x, i % 3 == 1 ? 0.0 : INFINITY);
        if (i % 6 >= 3) v[i] = i % 3 == 0 ? -x : -(double)nextafterf((float)x, i % 3 == 1 ? 0.0f : INFINITY);
    }
    for (int from = 0; from < 4; from++)
        for (int to = 0; to < 4; to++)
            for (int i = 0; i < N; i++) {
                unsigned char src[8], dst[8];
                double x, y;
                struct cast_audit a = CAST_AUDIT_INIT;
                assert_int_equal(dtype_cast(plain[from], src, DTYPE_F64, &v[i], 1, NULL, &err), STATUS_OK);
                assert_int_equal(dtype_cast(plain[to], dst, plain[from], src, 1, &a, &err), STATUS_OK);
                assert_int_equal(dtype_decode_f64(plain[from], src, &x, 1, &err), STATUS_OK);
                assert_int_equal(dtype_decode_f64(plain[to], dst, &y, 1, &err), STATUS_OK);
                bool over = isfinite(x) && isinf(y);
                bool flushed = x != 0 && y == 0;
                bool lowered = y != 0 && fabs(y) < least[to] && fabs(x) >= least[from];
                check_audit(&a, 1, 0, isinf(x) ? 1u : 0u, over, flushed, lowered, over ? 0 : -1);
            }
}

static void test_long_and_split(void **state)
{
    (void)state;
    enum { N = 5000 };
    float *v = malloc(N * sizeof *v);
    uint16_t *one = malloc(N * sizeof *one), *two = malloc(N * sizeof *two);
    for (int i = 0; i < N; i++) v[i] = (float)i;
    v[3001] = 1e6f;
    v[4999] = -1e6f;
    struct cast_audit a = CAST_AUDIT_INIT, sum = CAST_AUDIT_INIT;
    assert_int_equal(dtype_cast(DTYPE_F16, one, DTYPE_F32, v, N, &a, &err), STATUS_OK);
    check_audit(&a, N, 0, 0, 2, 0, 0, 3001);
    static const int cuts[] = {0, 1, 1500, 3001, 3002, N};
    for (int i = 0; i < 5; i++) {
        struct cast_audit part = CAST_AUDIT_INIT;
        int n = cuts[i + 1] - cuts[i];
        assert_int_equal(dtype_cast(DTYPE_F16, two + cuts[i], DTYPE_F32, v + cuts[i], n, &part, &err),
                         STATUS_OK);
        cast_audit_add(&sum, &part);
    }
    assert_memory_equal(one, two, N * sizeof *one);
    assert_memory_equal(&a, &sum, sizeof a);
    /* and with one audit over consecutive calls */
    struct cast_audit running = CAST_AUDIT_INIT;
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            dtype_cast(DTYPE_F16, two, DTYPE_F32, v + cuts[i], cuts[i + 1] - cuts[i], &running, &err),
            STATUS_OK);
    assert_memory_equal(&a, &running, sizeof a);
    free(v);
    free(one);
    free(two);
}

static void test_copy(void **state)
{
    (void)state;
    static const uint16_t bf[] = {0x7F80, 0xFF80, 0x7F81, 0x3F80, 0x0001, 0x7F7F, 0};
    uint16_t out[7];
    struct cast_audit a = CAST_AUDIT_INIT;
    assert_int_equal(dtype_cast(DTYPE_BF16, out, DTYPE_BF16, bf, 7, &a, &err), STATUS_OK);
    assert_memory_equal(out, bf, sizeof bf); /* a signalling NaN stays as it is */
    check_audit(&a, 7, 1, 2, 0, 0, 0, -1);
    static const double d[] = {NAN, 1e300, -INFINITY, 0x1p-1074};
    double e[4];
    a = (struct cast_audit)CAST_AUDIT_INIT;
    assert_int_equal(dtype_cast(DTYPE_F64, e, DTYPE_F64, d, 4, &a, &err), STATUS_OK);
    assert_memory_equal(e, d, sizeof d);
    check_audit(&a, 4, 1, 1, 0, 0, 0, -1);
    static const unsigned char f8[] = {0x7F, 0x01, 0xFF, 0x7E};
    unsigned char f8_out[4];
    a = (struct cast_audit)CAST_AUDIT_INIT;
    assert_int_equal(dtype_cast(DTYPE_F8_E4M3, f8_out, DTYPE_F8_E4M3, f8, 4, &a, &err), STATUS_OK);
    check_audit(&a, 4, 2, 0, 0, 0, 0, -1);
    /* types without a decoder are copied too, in whole blocks */
    static const unsigned char c128[32] = {1, 2, 3};
    unsigned char c_out[32];
    a = (struct cast_audit)CAST_AUDIT_INIT;
    assert_int_equal(dtype_cast(DTYPE_C128, c_out, DTYPE_C128, c128, 2, &a, &err), STATUS_OK);
    assert_memory_equal(c_out, c128, sizeof c128);
    check_audit(&a, 2, 0, 0, 0, 0, 0, -1);
    assert_int_equal(dtype_cast(DTYPE_F4, c_out, DTYPE_F4, c128, 3, NULL, &err), STATUS_RANGE);
    assert_int_equal(dtype_cast(DTYPE_IQ1_S, c_out, DTYPE_IQ1_S, c128, 0, NULL, &err), STATUS_OK);
}

static void test_refusals(void **state)
{
    (void)state;
    unsigned char a[64] = {0}, b[64];
    assert_int_equal(dtype_cast(DTYPE_F32, b, DTYPE_C64, a, 2, NULL, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "c64"));
    assert_int_equal(dtype_cast(DTYPE_I8, b, DTYPE_F32, a, 2, NULL, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "i8"));
    assert_int_equal(dtype_cast(DTYPE_Q4_0, b, DTYPE_F32, a, 31, NULL, &err), STATUS_RANGE);
    assert_int_equal(dtype_cast(DTYPE_F32, b, DTYPE_F16, a, -1, NULL, &err), STATUS_RANGE);
    assert_int_equal(dtype_cast(DTYPE_COUNT, b, DTYPE_F16, a, 1, NULL, &err), STATUS_RANGE);
    assert_int_equal(dtype_cast(DTYPE_F16, b, DTYPE_COUNT, a, 1, NULL, &err), STATUS_RANGE);
}

static void test_blocks(void **state)
{
    (void)state;
    float v[128], back[128];
    unsigned char q[4 * 34], q2[4 * 34];
    for (int i = 0; i < 128; i++) v[i] = (float)(i % 32) - 16.0f;
    for (int i = 32; i < 64; i++)
        v[i] *=
            1e-9f;   /* the scale of this block is below half the least half: all flushed but the one zero */
    v[70] = 1e8f;    /* this scale is infinite; the block comes back as infinite or NaN */
    v[100] = 1e-30f; /* rounded among large neighbours */
    struct cast_audit a = CAST_AUDIT_INIT;
    assert_int_equal(dtype_cast(DTYPE_Q8_0, q, DTYPE_F32, v, 128, &a, &err), STATUS_OK);
    check_audit(&a, 128, 0, 0, 32, 31, 0, 64);
    assert_int_equal(dtype_encode_f32(DTYPE_Q8_0, v, q2, 128, &err), STATUS_OK);
    assert_memory_equal(q, q2, sizeof q);
    /* from doubles, and back out of blocks to halves */
    double d[128];
    for (int i = 0; i < 128; i++) d[i] = (double)v[i];
    a = (struct cast_audit)CAST_AUDIT_INIT;
    assert_int_equal(dtype_cast(DTYPE_Q8_0, q2, DTYPE_F64, d, 128, &a, &err), STATUS_OK);
    assert_memory_equal(q, q2, sizeof q);
    check_audit(&a, 128, 0, 0, 32, 31, 0, 64);
    uint16_t h[32];
    assert_int_equal(dtype_cast(DTYPE_F16, h, DTYPE_Q8_0, q, 32, NULL, &err), STATUS_OK);
    assert_int_equal(dtype_decode_f32(DTYPE_Q8_0, q, back, 32, &err), STATUS_OK);
    for (int i = 0; i < 32; i++) assert_int_equal(h[i], f16_from_f32(back[i]));
    /* NaN and infinity in the source are theirs, not the cast's */
    v[0] = NAN;
    v[1] = INFINITY;
    a = (struct cast_audit)CAST_AUDIT_INIT;
    assert_int_equal(dtype_cast(DTYPE_Q4_0, q, DTYPE_F32, v, 32, &a, &err), STATUS_OK);
    assert_int_equal(a.n_nan, 1);
    assert_int_equal(a.n_inf, 1);
    assert_int_equal(a.n_overflow, 30);
    assert_int_equal(a.first_overflow, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32_to_f16),     cmocka_unit_test(test_audit_follows_results),
        cmocka_unit_test(test_long_and_split), cmocka_unit_test(test_copy),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
