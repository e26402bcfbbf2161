/* Figures of damage against sums taken in long double, and that no way of sharing out the rows changes a bit. */
#include "base/cpu.h"
#include "core/damage.h"
#include "core/damage_row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t seed = 1;
static double uniform(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (double)(seed >> 8) / (1 << 24) - 0.5;
}

static void test_exact_sum(void **state)
{
    (void)state;
    struct exact_sum a = {0}, b = {0}, c = {0};
    /* what plain addition loses */
    exact_sum_add(&a, 1e300);
    exact_sum_add(&a, 1e-300);
    exact_sum_add(&a, 3);
    exact_sum_add(&a, -1e300);
    assert_true(exact_sum_value(&a) == 3.0);
    exact_sum_add(&a, -3);
    assert_true(exact_sum_value(&a) == 1e-300);
    exact_sum_add(&a, -1e-300);
    assert_true(exact_sum_value(&a) == 0.0);
    exact_sum_add(&a, -0x1p-1074); /* the smallest there is */
    assert_true(exact_sum_value(&a) == -0x1p-1074);
    exact_sum_add(&b, DBL_MAX);
    assert_true(exact_sum_value(&b) == DBL_MAX);

    double v[1000];
    struct exact_sum forwards = {0}, backwards = {0};
    for (int i = 0; i < 1000; i++) v[i] = ldexp(uniform(), (int)(100 * uniform()));
    for (int i = 0; i < 1000; i++) exact_sum_add(&forwards, v[i]);
    for (int i = 999; i >= 0; i--) exact_sum_add(i % 3 ? &backwards : &c, v[i]);
    exact_sum_join(&backwards, &c);
    assert_true(exact_sum_value(&forwards) == exact_sum_value(&backwards));
    long double sum = 0;
    for (int i = 0; i < 1000; i++) sum += (long double)v[i];
    assert_true(fabsl(sum - (long double)exact_sum_value(&forwards)) <= 1e-15L * fabsl(sum) + 1e-12L);
}

enum { ROWS = 37, COLS = 96, BLOCK = 32 };

static void fill(float *x, float *y, double scale, double error)
{
    for (int i = 0; i < ROWS * COLS; i++) {
        x[i] = (float)(scale * uniform());
        y[i] = x[i] + (float)(error * scale * uniform());
    }
}

static void near(double found, double expected, double relative)
{
    if (fabs(found - expected) > relative * fabs(expected)) fail_msg("expected %.17g, found %.17g", expected, found);
}

static void check(const float *x, const float *y, double relative)
{
    long double ee = 0, xx = 0, yy = 0, xy = 0, worst = -1;
    int worst_block = 0;
    for (int b = 0; b < ROWS * COLS / BLOCK; b++) {
        long double sum = 0;
        for (int i = b * BLOCK; i < (b + 1) * BLOCK; i++) {
            long double v = (long double)x[i], w = (long double)y[i];
            sum += (w - v) * (w - v);
            xx += v * v;
            yy += w * w;
            xy += v * w;
        }
        ee += sum;
        if (sum > worst) {
            worst = sum;
            worst_block = b;
        }
    }
    struct damage whole = {0};
    damage_add(&whole, 0, x, y, ROWS, COLS, BLOCK);
    struct damage_figures f = damage_figures(&whole);
    assert_int_equal(f.n, ROWS * COLS);
    near(f.rmse, (double)sqrtl(ee / (ROWS * COLS)), relative);
    near(f.relative, (double)sqrtl(ee / xx), relative);
    long double cos = xy / sqrtl(xx * yy);
    if (1 - cos > 1e-15L) near(f.one_minus_cos, (double)(1 - cos), relative + 1e-18 / (double)(1 - cos));
    assert_int_equal(f.worst_block, worst_block);
    near(f.worst_rmse, (double)sqrtl(worst / BLOCK), relative);

    /* rows one by one, backwards, on two sides */
    struct damage a = {0}, b = {0};
    for (int r = ROWS - 1; r >= 0; r--) damage_add(r % 2 ? &a : &b, r, x + r * COLS, y + r * COLS, 1, COLS, BLOCK);
    damage_join(&a, &b);
    struct damage_figures g = damage_figures(&a);
    assert_memory_equal(&f, &g, sizeof f);
}

static void test_figures(void **state)
{
    (void)state;
    static float x[ROWS * COLS], y[ROWS * COLS];
    static const double scales[] = {1, 0.02, 1e-15, 1e-30, 1e15, 1e36};
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        fill(x, y, scales[i], 0.1);
        check(x, y, 1e-6);
        fill(x, y, scales[i], 1e-3);
        check(x, y, 1e-5);
    }
}

/* The fast ways through a row give the same bits, and against sums in double; what they refuse, all of them refuse. */
static void check_row(const float *x, const float *y, int64_t n, int64_t len, bool usual)
{
    static const struct {
        damage_row_fn *run;
        bool (*supported)(void);
    } ways[] = {
        {damage_row_portable, cpu_has_baseline},
#if defined(__x86_64__)
        {damage_row_avx2, cpu_has_avx2},
        {damage_row_avx512, cpu_has_avx512},
#endif
    };
    struct damage_row first;
    for (size_t k = 0; k < sizeof ways / sizeof ways[0]; k++) {
        struct damage_row r = {.worst_ee = -1};
        if (!ways[k].supported()) continue;
        assert_int_equal(ways[k].run(x, y, n, len, &r), usual);
        if (k == 0) first = r;
        if (usual) assert_memory_equal(&r, &first, sizeof r);
    }
}

static void test_rows(void **state)
{
    (void)state;
    enum { MOST = 1280 };
    static float x[MOST], y[MOST];
    static const int lens[] = {32, 64, 128, 256};
    for (int rounds = 0; rounds < 50; rounds++)
        for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++)
            for (int64_t n = lens[k]; n <= MOST; n += lens[k]) {
                for (int i = 0; i < MOST; i++) y[i] = (float)((double)(x[i] = (float)uniform()) + 0.01 * uniform());
                check_row(x, y, n, lens[k], true);
            }
    y[1000] = INFINITY;
    check_row(x, y, MOST, 256, false);
    y[1000] = NAN;
    check_row(x, y, MOST, 32, false);
    y[1000] = x[1000];
    x[1279] = NAN;
    check_row(x, y, MOST, 128, false);
    x[1279] = 0;
    for (int i = 0; i < 32; i++) y[1248 + i] = 0;
    check_row(x, y, MOST, 32, false); /* a block came back as zeros */
    check_row(x, y, MOST, 64, true);
    for (int i = 0; i < MOST; i++) y[i] = (x[i] *= 1e-9f) * 0.9f;
    check_row(x, y, MOST, 32, false);
}

static void test_special(void **state)
{
    (void)state;
    static float x[2 * BLOCK], y[2 * BLOCK];
    struct damage d = {0};
    damage_add(&d, 0, x, y, 1, 2 * BLOCK, BLOCK);
    struct damage_figures f = damage_figures(&d);
    assert_true(f.rmse == 0 && f.relative == 0 && f.one_minus_cos == 0 && f.worst_rmse == 0 && f.worst_block == 0);
    assert_int_equal(d.n_flushed, 0);

    for (int i = 0; i < 5; i++) x[BLOCK + 3 * i] = 1e-30f; /* a block that came back as zeros */
    d = (struct damage){0};
    damage_add(&d, 0, x, y, 1, 2 * BLOCK, BLOCK);
    assert_int_equal(d.n_flushed, 5);
    f = damage_figures(&d);
    near(f.relative, 1, 1e-12);
    assert_int_equal(f.worst_block, 1);
    assert_true(f.one_minus_cos == 0); /* no angle */

    y[7] = INFINITY;
    x[BLOCK + 2] = NAN;
    d = (struct damage){0};
    damage_add(&d, 5, x, y, 1, 2 * BLOCK, BLOCK);
    assert_int_equal(d.n_bad, 2);
    assert_int_equal(d.first_bad, 5 * 2 * BLOCK + 7);
    /* opposite directions */
    for (int i = 0; i < 2 * BLOCK; i++) y[i] = -(x[i] = 1 + (float)i);
    d = (struct damage){0};
    damage_add(&d, 0, x, y, 1, 2 * BLOCK, BLOCK);
    near(damage_figures(&d).one_minus_cos, 2, 1e-6);
    near(damage_figures(&d).relative, 2, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exact_sum), cmocka_unit_test(test_figures), cmocka_unit_test(test_rows), cmocka_unit_test(test_special)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
