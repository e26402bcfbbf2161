/* RoPE frequencies against values computed with 50 decimal digits (Python's decimal):
 *     exp(-(2p / dim) ln theta), linear: divided by the factor; rounded once to double. */
#include "models/rope.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

static void check(const struct rope *r, const double *expected, int n)
{
    /* the exponent's rounding, times ln theta < 14, and pow's own: 14 * 2^-53 + 2^-53 */
    const double tolerance = 1.7e-15;
    double f[64], a = 0;
    assert_int_equal(rope_frequencies(r, 10, f, &a, &err), STATUS_OK);
    assert_true(a == 1);
    for (int p = 0; p < n; p++)
        if (!(fabs(f[p] - expected[p]) <= tolerance * expected[p]))
            fail_msg("pair %d: expected %.17g, found %.17g", p, expected[p], f[p]);
}

static void test_default(void **state)
{
    (void)state;
    static const double d8[] = {1.0, 0.1, 0.01, 0.001};
    check(&(struct rope){.type = ROPE_DEFAULT, .dim = 8, .theta = 1e4, .factor = 1}, d8, 4);
    static const double d20[] = {1.0,
                                 0.2692173218196956,
                                 0.07247796636776956,
                                 0.01951232399646889,
                                 0.005253055608807534,
                                 0.001414213562373095,
                                 0.00038073078774317567,
                                 0.00010249932301052075,
                                 2.7594593229224296e-05,
                                 7.428942485875671e-06};
    check(&(struct rope){.type = ROPE_DEFAULT, .dim = 20, .theta = 5e5, .factor = 1}, d20, 10);
    /* the factor belongs to other types */
    check(&(struct rope){.type = ROPE_DEFAULT, .dim = 8, .theta = 1e4, .factor = 4}, d8, 4);
}

static void test_linear(void **state)
{
    (void)state;
    static const double d8[] = {0.4, 0.04, 0.004, 0.0004};
    check(&(struct rope){.type = ROPE_LINEAR, .dim = 8, .theta = 1e4, .factor = 2.5}, d8, 4);
    static const double d12[] = {0.25, 0.025, 0.0025, 0.00025, 2.5e-05, 2.5e-06};
    check(&(struct rope){.type = ROPE_LINEAR, .dim = 12, .theta = 1e6, .factor = 4}, d12, 6);
}

static void refused(const struct rope *r, enum status status, const char *text)
{
    double f[64], a;
    assert_int_equal(rope_frequencies(r, 10, f, &a, &err), status);
    if (!strstr(err.text, text)) fail_msg("'%s' does not say '%s'", err.text, text);
}

static void test_refused(void **state)
{
    (void)state;
    struct rope r = {.type = ROPE_DEFAULT, .dim = 8, .theta = 1e4, .factor = 1};
    struct rope bad = r;
    bad.dim = 7;
    refused(&bad, STATUS_RANGE, "even");
    bad.dim = 0;
    refused(&bad, STATUS_RANGE, "even");
    bad = r, bad.theta = 0;
    refused(&bad, STATUS_RANGE, "theta");
    bad = r, bad.theta = NAN;
    refused(&bad, STATUS_RANGE, "theta");
    bad = r, bad.type = ROPE_LINEAR, bad.factor = 0;
    refused(&bad, STATUS_RANGE, "factor");
    bad = r, bad.type = ROPE_NONE;
    refused(&bad, STATUS_RANGE, "no rotary");
    bad = r, bad.type = ROPE_DYNAMIC, bad.factor = 2;
    refused(&bad, STATUS_RANGE, "max_position_embeddings");
    bad.n_ctx = 64, bad.dim = 2;
    refused(&bad, STATUS_RANGE, "more than 2");
    bad = r, bad.type = ROPE_YARN, bad.factor = 2;
    refused(&bad, STATUS_RANGE, "original_max_position_embeddings");
    bad.n_ctx_orig = 64, bad.attn_factor = -1;
    refused(&bad, STATUS_RANGE, "attention_factor");
    bad.attn_factor = 0, bad.beta_slow = -1;
    refused(&bad, STATUS_RANGE, "beta_slow");
    bad.beta_slow = 0, bad.mscale = INFINITY;
    refused(&bad, STATUS_RANGE, "mscale");
    bad.mscale = 0, bad.theta = 1;
    refused(&bad, STATUS_RANGE, "theta");
    static const double ones[] = {1, 1, 1, 1}, zero[] = {1, 1, 0, 1};
    bad = r, bad.type = ROPE_LONGROPE, bad.factor = 2, bad.n_ctx_orig = 64;
    refused(&bad, STATUS_MISMATCH, "expected 4 short and long factors");
    bad.short_factors = bad.long_factors = ones, bad.n_factors = 3;
    refused(&bad, STATUS_MISMATCH, "found 3");
    bad.n_factors = 4, bad.long_factors = zero;
    refused(&bad, STATUS_RANGE, "long factor 2");
    bad.long_factors = ones, bad.n_ctx_orig = 1;
    refused(&bad, STATUS_RANGE, "above 1");
    bad = r, bad.type = ROPE_LLAMA3, bad.factor = 8, bad.n_ctx_orig = 64;
    refused(&bad, STATUS_RANGE, "low_freq_factor");
    bad.low_freq_factor = 1;
    refused(&bad, STATUS_RANGE, "high_freq_factor");
    /* each number in order, the result is not */
    bad = r, bad.type = ROPE_LINEAR, bad.factor = 0x1p-1074;
    refused(&bad, STATUS_RANGE, "not finite");
}

static void test_names(void **state)
{
    (void)state;
    for (int t = ROPE_DEFAULT; t < ROPE_TYPE_COUNT; t++)
        assert_int_equal(rope_type_from_name(rope_type_name((enum rope_type)t)), t);
    assert_int_equal(rope_type_from_name("su"), ROPE_LONGROPE);
    assert_int_equal(rope_type_from_name("none"), ROPE_TYPE_COUNT); /* GGUF's word, no type of transformers */
    assert_int_equal(rope_type_from_name("Linear"), ROPE_TYPE_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
