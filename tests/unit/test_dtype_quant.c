/* Encoders at their edges: what a table of vectors does not reach. */
#include "dtypes/dtype.h"
#include "dtypes/iq_codebook.h"
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

/* iq_codebook.c reserves exactly these lengths. Every vector of digits is a point or has neighbours, which are points, and no list runs into
 * another. */
static void test_codebooks(void **state)
{
    (void)state;
    static const int lengths[CODEBOOK_COUNT] = {366865, 167441, 236609, 106113, 66272, 62880};
    for (int id = 0; id < CODEBOOK_COUNT; id++) {
        const struct codebook *c = codebook_ready((enum codebook_id)id);
        int n_map = c->bits == 2 ? 0xAAAB : 4096, total = 0, n_points = 0;
        for (int u = 0; u < n_map; u++) {
            if (c->bits == 2 && (u & u >> 1 & 0x5555)) continue;
            if (c->map[u] >= 0) {
                assert_int_equal(c->points[c->map[u]], u);
                n_points++;
                continue;
            }
            assert_int_equal(-1 - c->map[u], total); /* in the order of the vectors */
            const uint16_t *list = c->neighbours + total;
            int room = (list[0] + NEIGHBOUR_VECTOR - 1) / NEIGHBOUR_VECTOR * NEIGHBOUR_VECTOR;
            assert_true(list[0] > 0);
            for (int j = 1; j <= room; j++) assert_true(c->map[list[j]] >= 0);
            for (int j = list[0] + 1; j <= room; j++) assert_int_equal(list[j], list[1]);
            total += 1 + room;
        }
        assert_int_equal(n_points, c->n_points);
        assert_int_equal(total, lengths[id]);
    }
}

static void test_self_test(void **state)
{
    (void)state;
    struct error err;
    if (dtype_self_test(&err) != STATUS_OK) fail_msg("%s", err.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mxfp4_exponent),
        cmocka_unit_test(test_codebooks),
        cmocka_unit_test(test_self_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
