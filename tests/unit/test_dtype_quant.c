/* Encoders at their edges: what a table of vectors does not reach. */
#include "dtypes/dtype.h"
#include "dtypes/kernels.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint8_t mxfp4_exponent(float amax)
{
    float x[32] = {0, amax};
    unsigned char block[17];
    dtype_info(DTYPE_MXFP4)->encode_f32(x, block, 32);
    return block[0];
}

/* The reference takes floorf(log2f(v)), and log2f rounds up to the next integer just below a power of two. */
static void test_mxfp4_exponent(void **state)
{
    (void)state;
    for (int r = -148; r <= 128; r++) {
        float v = r == 128 ? FLT_MAX : nextafterf(ldexpf(1, r), 0);
        for (int j = 0; j < 200 && v > 0; j++, v = nextafterf(v, 0)) {
            int want = (int)floorf(log2f(v)) - 2 + 127;
            if (mxfp4_exponent(v) != (uint8_t)want)
                fail_msg("%a: exponent %d, expected %d", (double)v, mxfp4_exponent(v), (uint8_t)want);
        }
        v = r < 128 ? ldexpf(1, r) : 0;
        for (int j = 0; j < 200 && v > 0 && v < FLT_MAX; j++, v = nextafterf(v, FLT_MAX))
            assert_int_equal(mxfp4_exponent(v), (uint8_t)((int)floorf(log2f(v)) - 2 + 127));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mxfp4_exponent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
