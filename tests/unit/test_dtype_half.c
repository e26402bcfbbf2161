/* Conversions of single values: every code, every tie between neighbours, and what lies at the ends. */
#include "dtypes/dtype.h"
#include "dtypes/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t bits_of(float v)
{
    uint32_t w;
    memcpy(&w, &v, sizeof w);
    return w;
}

static float float_of(uint32_t w)
{
    float v;
    memcpy(&v, &w, sizeof v);
    return v;
}

/* A format with sign, `exponent` and `mantissa` bits, by its definition. */
struct format {
    int exponent, mantissa;
    uint16_t (*from)(float);
    float (*to)(uint16_t);
};
static const struct format formats[] = {{5, 10, f16_from_f32, f16_to_f32},
                                        {8, 7, bf16_from_f32, bf16_to_f32}};

static double value_of(const struct format *f, unsigned code)
{
    unsigned m = code & ((1u << f->mantissa) - 1);
    int e = (int)(code >> f->mantissa & ((1u << f->exponent) - 1)), bias = (1 << (f->exponent - 1)) - 1;
    double v = e == 0 ? ldexp(m, 1 - bias - f->mantissa) : ldexp(1 + ldexp(m, -f->mantissa), e - bias);
    return code >> 15 ? -v : v;
}

static void test_every_code(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        const struct format *f = &formats[k];
        unsigned infinity = (1u << (15 - f->mantissa)) - 1;
        infinity <<= f->mantissa;
        for (unsigned h = 0; h < 0x10000; h++) {
            float v = f->to((uint16_t)h);
            if ((h & 0x7FFF) < infinity) {
                assert_true((double)v == value_of(f, h) && !signbit(v) == !(h & 0x8000));
                assert_int_equal(f->from(v), h);
            } else if ((h & 0x7FFF) == infinity) {
                assert_true(isinf(v) && !signbit(v) == !(h & 0x8000));
                assert_int_equal(f->from(v), h);
            } else {
                assert_true(isnan(v) && !signbit(v) == !(h & 0x8000));
                assert_true(isnan(f->to(f->from(v))));
            }
        }
    }
}

/* Between two neighbours: the middle goes to the even one, its neighbours to the nearer one. The step after the largest is infinity. */
static void test_every_tie(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        const struct format *f = &formats[k];
        unsigned infinity = ((1u << (15 - f->mantissa)) - 1) << f->mantissa;
        for (unsigned h = 0; h < infinity; h++) {
            float middle = (float)((value_of(f, h) + value_of(f, h + 1)) / 2); /* exact: one bit more */
            for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
                float s = sign ? -1.0f : 1.0f;
                assert_int_equal(f->from(s * middle), sign | (h + (h & 1)));
                assert_int_equal(f->from(s * nextafterf(middle, 0.0f)), sign | h);
                assert_int_equal(f->from(s * nextafterf(middle, INFINITY)), sign | (h + 1));
            }
        }
    }
}

static void test_ends(void **state)
{
    (void)state;
    assert_int_equal(f16_from_f32(65504.0f), 0x7BFF);
    assert_int_equal(f16_from_f32(nextafterf(65520.0f, 0.0f)), 0x7BFF);
    assert_int_equal(f16_from_f32(65520.0f), 0x7C00);
    assert_int_equal(f16_from_f32(3e38f), 0x7C00);
    assert_int_equal(f16_from_f32(-INFINITY), 0xFC00);
    assert_int_equal(f16_from_f32(0x1p-24f), 1);
    assert_int_equal(f16_from_f32(0x1p-25f), 0);
    assert_int_equal(f16_from_f32(-0x1p-25f), 0x8000);
    assert_int_equal(f16_from_f32(0x1.000002p-25f), 1);
    assert_int_equal(f16_from_f32(0x1p-149f), 0);
    assert_int_equal(f16_from_f32(-0.0f), 0x8000);
    assert_int_equal(bf16_from_f32(float_of(0x7F7FFFFF)), 0x7F80);
    assert_int_equal(bf16_from_f32(float_of(0x7F7F7FFF)), 0x7F7F);
    assert_int_equal(bf16_from_f32(float_of(0x00000001)), 0);
    assert_int_equal(bf16_from_f32(float_of(0x00008001)), 1);
}

/* f16: one NaN per sign. bf16: the upper bits, made quiet, so that a payload in the lower half does not turn into infinity. */
static void test_nan(void **state)
{
    (void)state;
    static const uint32_t nans[] = {0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0x7F80FFFF, 0x7FA12345};
    for (size_t i = 0; i < sizeof nans / sizeof nans[0]; i++) {
        assert_int_equal(f16_from_f32(float_of(nans[i])), 0x7E00);
        assert_int_equal(f16_from_f32(float_of(nans[i] | 0x80000000)), 0xFE00);
        assert_int_equal(bf16_from_f32(float_of(nans[i])), nans[i] >> 16 | 0x40);
        assert_int_equal(bf16_from_f32(float_of(nans[i] | 0x80000000)), 0x8000 | nans[i] >> 16 | 0x40);
    }
    assert_int_equal(bits_of(f16_to_f32(0x7C01)), 0x7FC02000);
    assert_int_equal(bits_of(f16_to_f32(0xFE00)), 0xFFC00000);
    assert_int_equal(bits_of(bf16_to_f32(0x7F81)), 0x7F810000);
}

/* The selected kernels over all codes and all of the ties' neighbourhoods at once. */
static void test_kernels_agree(void **state)
{
    (void)state;
    enum { N = 0x10000 };
    const struct kernels *k = kernels_active();
    uint16_t *code = malloc(N * sizeof *code), *back = malloc(N * sizeof *back);
    float *v = malloc(N * sizeof *v);
    static const enum dtype types[] = {DTYPE_F16, DTYPE_BF16};
    for (size_t t = 0; t < 2; t++) {
        for (int i = 0; i < N; i++) code[i] = (uint16_t)i;
        k->decode_f32[types[t]](code, v, N);
        for (int i = 0; i < N; i++) assert_int_equal(bits_of(v[i]), bits_of(formats[t].to((uint16_t)i)));
        for (uint32_t low = 0; low < 4; low++) {
            static const uint32_t tails[2][4] = {{0xFFF, 0x1000, 0x1001, 0x17FF},
                                                 {0x7FFF, 0x8000, 0x8001, 0xFFFF}};
            for (uint32_t i = 0; i < N; i++) v[i] = float_of(i << 16 | tails[t][low]);
            k->encode_f32[types[t]](v, back, N);
            for (int i = 0; i < N; i++) assert_int_equal(back[i], formats[t].from(v[i]));
        }
    }
    free(v);
    free(back);
    free(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code), cmocka_unit_test(test_every_tie),     cmocka_unit_test(test_ends),
        cmocka_unit_test(test_nan),        cmocka_unit_test(test_kernels_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
