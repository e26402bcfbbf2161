/* Linked with encoders that were compiled to fuse multiplications and additions (see the Makefile): the self-test must refuse them. */
#include "base/cpu.h"
#include "dtypes/dtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static bool can_fuse(void)
{
#if defined(__x86_64__)
    return cpu_has_avx2();
#else
    return true;
#endif
}

static void test_self_test_notices(void **state)
{
    (void)state;
    static const char *const names[] = {" q4_0", " q4_0+weights", " q4_1+weights", " q5_0", " q5_0+weights", " q5_1+weights",
                                        " q2_k", " q2_k+weights", " q3_k", " q3_k+weights", " q4_k", " q4_k+weights", " q5_k",
                                        " q5_k+weights", " q6_k", " q6_k+weights", " iq4_nl+weights", " iq4_xs+weights"};
    struct error err;
    if (!can_fuse()) skip();
    assert_int_equal(dtype_self_test(&err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "-ffp-contract=off"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strstr(err.text, names[i])) fail_msg("the row of%s does not differ", names[i]);
}

/* Nothing is written by such a build. */
static void test_encoders_refuse(void **state)
{
    (void)state;
    struct error err;
    float x[256] = {1};
    unsigned char out[512];
    if (!can_fuse()) skip();
    assert_int_equal(dtype_encode_f32(DTYPE_Q8_0, x, out, 256, &err), STATUS_UNSUPPORTED);
    assert_int_equal(dtype_encode_rows(DTYPE_Q4_K, x, x, out, 1, 256, &err), STATUS_UNSUPPORTED);
    assert_int_equal(dtype_cast(DTYPE_Q4_K, out, DTYPE_F32, x, 256, NULL, &err), STATUS_UNSUPPORTED);
    assert_int_equal(dtype_encode_f32(DTYPE_BF16, x, out, 256, &err), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_self_test_notices), cmocka_unit_test(test_encoders_refuse)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
