/* Statistics against numpy's (tests/vectors/make_stats_vectors.py), for every type of number, thread count and set of loops. */
#include "core/stats.h"
#include "tests/unit/temp_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 900, COLS = 700, N = ROWS * COLS };
static struct error err;

struct expected {
    const char *name;
    enum dtype dtype;
    int64_t zeros, nan, inf, subnormal;
    double min, max, mean, std, kurtosis;
    struct {
        int64_t outliers, worst;
        double ratio;
    } rows, cols;
};
static const struct expected table[] = {
#include "tests/vectors/stats_vectors.h"
};

static float value(int64_t i)
{
    double x = (double)((uint32_t)((uint64_t)i * 2654435761u)) / 0x1p32 - 0.5;
    if (i % COLS == 17) x *= 16;
    if (i / COLS == 5) x *= 32;
    if (i % 1000 == 0) x = 0;
    if (i % 70001 == 1) x *= 0x1p-130;
    if (i == 123) x = (double)NAN;
    if (i == 456789) x = (double)INFINITY;
    if (i == 456790) x = -(double)INFINITY;
    return (float)x;
}

static void *make(enum dtype t)
{
    float *v = malloc(N * sizeof *v);
    void *bytes = malloc(N * sizeof(double));
    struct cast_audit audit = CAST_AUDIT_INIT;
    for (int64_t i = 0; i < N; i++) v[i] = value(i);
    assert_int_equal(dtype_cast(t, bytes, DTYPE_F32, v, N, &audit, &err), STATUS_OK);
    free(v);
    return bytes;
}

static bool near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fmax(fabs(a), fabs(b));
}

static void check(const struct expected *e, const struct tensor_stats *s)
{
    assert_int_equal(s->m.n, N);
    assert_int_equal(s->m.n_finite, N - 3);
    assert_int_equal(s->m.n_zero, e->zeros);
    assert_int_equal(s->m.n_nan, e->nan);
    assert_int_equal(s->m.n_inf, e->inf);
    assert_int_equal(s->m.n_subnormal, e->subnormal);
    assert_true(s->m.min == e->min && s->m.max == e->max);
    assert_true(near(s->m.mean, e->mean, 1e-10));
    assert_true(near(s->std, e->std, 1e-12));
    assert_true(near(s->kurtosis, e->kurtosis, 1e-11));
    assert_int_equal(s->rows.n_channels, ROWS);
    assert_int_equal(s->rows.n_outliers, e->rows.outliers);
    assert_int_equal(s->rows.worst, e->rows.worst);
    assert_true(near(s->rows.worst_ratio, e->rows.ratio, 1e-12));
    assert_int_equal(s->cols.n_outliers, e->cols.outliers);
    assert_int_equal(s->cols.worst, e->cols.worst);
    assert_true(
        near(s->cols.worst_ratio, e->cols.ratio, 1e-6)); /* columns are summed in float over 64 rows */
}

static void equals_numpy(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        void *bytes = make(table[k].dtype);
        struct temp_tensor t = {"x", table[k].dtype, 2, {ROWS, COLS}, bytes};
        struct checkpoint *c = temp_model("stats.gguf", &t, 1);
        struct tensor_stats first;
        for (int threads = 1; threads <= 3; threads++) {
            struct workers *w;
            struct tensor_stats s;
            assert_int_equal(workers_new(&w, threads, &err), STATUS_OK);
            assert_int_equal(stats_tensor(ckpt_find(c, "x"), w, &s, NULL, &err), STATUS_OK);
            workers_free(w);
            check(&table[k], &s);
            if (threads == 1) first = s;
            assert_memory_equal(&first, &s, sizeof s);
        }
        ckpt_close(c);
        free(bytes);
    }
}

/* All sets of loops give the same bits, at every length. */
static void sets_agree(void **state)
{
    (void)state;
    static float v[5000], sums[2][5000];
    static double wide[5000];
    const struct moments_ops *ops = moments_ops();
    for (int64_t i = 0; i < 5000; i++) wide[i] = (double)(v[i] = value(i + 455000));
    for (int64_t n = 0; n < 5000; n += n < 40 ? 1 : 997) {
        struct moments a = {0}, b = {0}, x = {0}, y = {0};
        moments_portable.add_f32(&a, v, n, 0x1p-126);
        ops->add_f32(&b, v, n, 0x1p-126);
        assert_memory_equal(&a, &b, sizeof a);
        moments_portable.add_f64(&x, wide, n, 0x1p-1022);
        ops->add_f64(&y, wide, n, 0x1p-1022);
        assert_memory_equal(&x, &y, sizeof x);
        assert_true(a.mean == x.mean && a.m4 == x.m4);
        assert_true(moments_portable.squares_f32(v, n, sums[0]) == ops->squares_f32(v, n, sums[1]));
        assert_true(moments_portable.squares_f64(wide, n, sums[0]) == ops->squares_f64(wide, n, sums[1]));
    }
    assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
}

/* Merging parts of any size gives what the whole gives. */
static void parts_merge(void **state)
{
    (void)state;
    static const double v[] = {3, -1, 4, -1, 5, -9, 2, 6};
    for (int cut = 0; cut <= 8; cut++) {
        struct moments a = {0}, b = {0};
        moments_portable.add_f64(&a, v, cut, 0);
        moments_portable.add_f64(&b, v + cut, 8 - cut, 0);
        moments_merge(&a, &b);
        /* by hand: sum 9, sum of squares 173 */
        assert_true(near(a.mean, 9.0 / 8, 1e-15));
        assert_true(near(a.m2, 173 - 81.0 / 8, 1e-14));
        assert_true(a.min == -9 && a.max == 6);
        double m4 = 0;
        for (int i = 0; i < 8; i++) m4 += pow(v[i] - 9.0 / 8, 4);
        assert_true(near(a.m4, m4, 1e-13));
    }
}

static void odd_tensors(void **state)
{
    (void)state;
    static const float one[] = {-2}, flat[] = {1, 1, 1, 1, 1, 1};
    const struct temp_tensor t[] = {{"one", DTYPE_F32, 1, {1}, one},
                                    {"flat", DTYPE_F32, 2, {2, 3}, flat},
                                    {"row", DTYPE_F32, 2, {1, 6}, flat}};
    struct checkpoint *c = temp_model("odd.gguf", t, 3);
    struct workers *w;
    struct tensor_stats s;
    assert_int_equal(workers_new(&w, 2, &err), STATUS_OK);
    assert_int_equal(stats_tensor(ckpt_find(c, "one"), w, &s, NULL, &err), STATUS_OK);
    assert_true(s.m.mean == -2 && s.std == 0 && s.kurtosis == 0 && s.abs_max == 2 && s.rows.n_channels == 0);
    assert_int_equal(stats_tensor(ckpt_find(c, "flat"), w, &s, NULL, &err), STATUS_OK);
    assert_true(s.cols.n_channels == 3 && s.cols.n_outliers == 0 && s.cols.worst == 0 &&
                s.cols.worst_ratio == 1);
    assert_int_equal(stats_tensor(ckpt_find(c, "row"), w, &s, NULL, &err), STATUS_OK);
    assert_true(s.rows.n_channels == 0 && s.m.n_finite == 6);
    workers_free(w);
    ckpt_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_numpy),
        cmocka_unit_test(sets_agree),
        cmocka_unit_test(parts_merge),
        cmocka_unit_test(odd_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
