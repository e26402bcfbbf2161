/* Comparison metrics: answers worked out by hand, PyTorch's float64 (tests/vectors/make_ops_vectors.py), and what happens to values
 * that are not numbers. */
#include "core/metrics.h"
#include "core/metrics_loops.h"
#include "tests/vectors/ops_vectors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct metrics_result compare(const void *a, const void *b, bool is_f64, int64_t n_pos,
                                     int64_t n_vocab, const int32_t *next, int64_t block, int n_threads)
{
    struct error err;
    struct metrics m;
    struct metrics_result r;
    struct workers *w;
    size_t size = is_f64 ? sizeof(double) : sizeof(float);
    assert_int_equal(workers_new(&w, n_threads, &err), STATUS_OK);
    metrics_begin(&m, n_vocab, b != NULL);
    for (int64_t t = 0; t < n_pos; t += block) {
        int64_t n = n_pos - t < block ? n_pos - t : block;
        assert_int_equal(metrics_open(&m, next + t, n, &err), STATUS_OK);
        for (int64_t first = 0; first < n_vocab; first += METRICS_TILE) {
            size_t off = (size_t)(t * n_vocab + first) * size;
            const struct metrics_tile tile = {
                .a = (const char *)a + off,
                .b = b ? (const char *)b + off : NULL,
                .is_f64 = is_f64,
                .ld = n_vocab,
                .n_pos = n,
                .first = first,
                .n = n_vocab - first < METRICS_TILE ? n_vocab - first : METRICS_TILE,
            };
            metrics_add(&m, &tile);
        }
        assert_int_equal(metrics_close(&m, w, &err), STATUS_OK);
    }
    assert_int_equal(metrics_finish(&m, &r, &err), STATUS_OK);
    metrics_clear(&m);
    workers_free(w);
    return r;
}

#define ASSERT_NEAR(got, want, rel) assert_true(fabs((got) - (want)) <= (rel)*fabs(want))

/* p = (1/2, 1/2), q = (3/4, 1/4), then equal rows */
static void test_by_hand(void **state)
{
    (void)state;
    const float a[] = {0, 0, 5, -7}, b[] = {logf(3), 0, 5, -7};
    struct metrics_result r = compare(a, b, false, 2, 2, (const int32_t[]){1, -1}, 2, 1);
    double log3 = (double)b[0];
    assert_int_equal(r.positions, 2);
    assert_int_equal(r.scored, 1);
    assert_true(r.max_abs_diff == log3);
    ASSERT_NEAR(r.rms_diff, log3 / 2, 1e-15);
    assert_true(r.max_abs_logit == 7);
    ASSERT_NEAR(r.kl_ab.max, 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25), 1e-6); /* float's log 3 */
    ASSERT_NEAR(r.kl_ab.mean, r.kl_ab.max / 2, 1e-15);
    ASSERT_NEAR(r.kl_ba.mean, (0.75 * log(0.75 / 0.5) + 0.25 * log(0.25 / 0.5)) / 2, 1e-6);
    assert_true(r.top1_agreement == 1); /* of two equal logits the lower index is the top one */
    ASSERT_NEAR(r.perplexity_a, 2.0, 1e-15);
    ASSERT_NEAR(r.perplexity_b, 4.0, 1e-6);
    assert_int_equal(r.n_worst, 1);
    assert_int_equal(r.worst[0].position, 0);
    assert_true(metrics_agree(&r, log3 / 7 * 1.0001));
    assert_false(metrics_agree(&r, log3 / 7 * 0.9999));
}

static void test_against_torch(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 3; n_threads++)
        for (int64_t block = 1; block <= MET_T; block++) {
            struct metrics_result r = compare(met_a, met_b, true, MET_T, MET_V, met_next, block, n_threads);
            assert_true(r.max_abs_diff == MET_MAX_ABS_DIFF);
            assert_true(r.max_abs_logit == MET_MAX_ABS_LOGIT);
            ASSERT_NEAR(r.rms_diff, MET_RMS_DIFF, 1e-14);
            ASSERT_NEAR(r.kl_ab.mean, MET_KL_AB, 1e-12);
            ASSERT_NEAR(r.kl_ba.mean, MET_KL_BA, 1e-12);
            ASSERT_NEAR(r.kl_ab.max, MET_KL_MAX, 1e-12);
            ASSERT_NEAR(r.top1_agreement, MET_TOP1, 1e-15);
            ASSERT_NEAR(r.perplexity_a, MET_PPL_A, 1e-13);
            ASSERT_NEAR(r.perplexity_b, MET_PPL_B, 1e-13);
            assert_int_equal(r.worst[0].position, MET_WORST);
            assert_int_equal(r.n_worst, MET_T);
        }
    /* the inputs are floats: the other precision must say the same */
    float a[COUNT(met_a)], b[COUNT(met_b)];
    for (size_t i = 0; i < COUNT(met_a); i++) {
        a[i] = (float)met_a[i];
        b[i] = (float)met_b[i];
    }
    struct metrics_result x = compare(a, b, false, MET_T, MET_V, met_next, 2, 2);
    struct metrics_result y = compare(met_a, met_b, true, MET_T, MET_V, met_next, 2, 1);
    assert_true(x.kl_ab.mean == y.kl_ab.mean && x.kl_ba.mean == y.kl_ba.mean && x.rms_diff == y.rms_diff &&
                x.perplexity_a == y.perplexity_a);
}

static void check_spread(const struct metrics_spread *s, double mean, double error, double median, double p99,
                         double max)
{
    ASSERT_NEAR(s->mean, mean, 1e-12);
    ASSERT_NEAR(s->mean_error, error, 1e-11);
    ASSERT_NEAR(s->median, median, 1e-12);
    ASSERT_NEAR(s->p99, p99, 1e-12);
    ASSERT_NEAR(s->max, max, 1e-12);
}

/* Quantiles, standard errors and the five largest, against torch and numpy. */
static void test_spreads(void **state)
{
    (void)state;
    for (int64_t block = 1; block <= SPR_T; block += 8) {
        struct metrics_result r = compare(spr_a, spr_b, true, SPR_T, SPR_V, spr_next, block, 2);
        check_spread(&r.kl_ab, SPR_AB_MEAN, SPR_AB_ERR, SPR_AB_MEDIAN, SPR_AB_P99, SPR_AB_MAX);
        check_spread(&r.kl_ba, SPR_BA_MEAN, SPR_BA_ERR, SPR_BA_MEDIAN, SPR_BA_P99, SPR_BA_MAX);
        ASSERT_NEAR(r.top5_agreement, SPR_TOP5, 1e-15);
        ASSERT_NEAR(r.perplexity_error_a, SPR_PPL_ERR_A, 1e-12);
        ASSERT_NEAR(r.perplexity_error_b, SPR_PPL_ERR_B, 1e-12);
        ASSERT_NEAR(r.ln_ratio, SPR_LN_RATIO, 1e-12);
        ASSERT_NEAR(r.ln_ratio_error, SPR_LN_RATIO_ERR, 1e-12);
    }
}

/* Every set of loops gives the same bits. */
static void test_sets(void **state)
{
    (void)state;
    const struct metrics_loops *p = &metrics_loops_portable, *q = metrics_loops();
    for (int64_t n = 1; n <= METRICS_TILE; n += 5) {
        struct metrics_part x, y;
        metrics_part_init(&x);
        metrics_part_init(&y);
        for (int64_t first = 0; first < 3 * n; first += n) {
            p->add(&x, met_a + first, met_b + first, true, first, n);
            q->add(&y, met_a + first, met_b + first, true, first, n);
        }
        assert_memory_equal(&x, &y, sizeof x);
        struct metrics_part later;
        metrics_part_init(&later);
        p->add(&later, met_b + n, met_a + n, true, 3 * n, n);
        p->merge(&x, &later);
        q->merge(&y, &later);
        assert_memory_equal(&x, &y, sizeof x);
    }
}

/* Fewer entries than five, equal ones, and NaN among them. */
static void test_top_of_few(void **state)
{
    (void)state;
    struct metrics_part row;
    const double few[] = {1, 3, 3}, broken[] = {1, NAN, 2, -INFINITY, 2, 7, 0, -1};
    metrics_part_init(&row);
    metrics_loops()->add(&row, few, few, true, 0, 3);
    assert_true(row.top_a.index[0] == 1 && row.top_a.index[1] == 2 && row.top_a.index[2] == 0 &&
                row.top_a.index[3] == -1);
    metrics_part_init(&row);
    metrics_loops()->add(&row, broken, broken, true, 0, 8);
    assert_int_equal(row.n_bad_a, 2);
    static const int64_t want[] = {5, 2, 4, 0, 6};
    for (int i = 0; i < METRICS_TOP; i++) assert_int_equal(row.top_a.index[i], want[i]);
    struct metrics_result r = compare(few, few, true, 1, 3, (const int32_t[]){0}, 1, 1);
    assert_true(r.top5_agreement == 1 && r.perplexity_error_a == 0);
}

static void test_equal_sides(void **state)
{
    (void)state;
    struct metrics_result r = compare(met_a, met_a, true, MET_T, MET_V, met_next, 2, 1);
    assert_true(r.max_abs_diff == 0 && r.rms_diff == 0 && r.kl_ab.mean == 0 && r.kl_ba.mean == 0 &&
                r.kl_ab.max == 0);
    assert_true(r.top1_agreement == 1 && r.top5_agreement == 1 && r.perplexity_a == r.perplexity_b &&
                r.ln_ratio == 0);
    assert_int_equal(r.n_worst, 0);
    assert_true(metrics_agree(&r, 0));
}

static void test_one_side(void **state)
{
    (void)state;
    struct metrics_result r = compare(met_a, NULL, true, MET_T, MET_V, met_next, 2, 1);
    ASSERT_NEAR(r.perplexity_a, MET_PPL_A, 1e-13);
    assert_true(r.max_abs_logit == MET_MAX_ABS_LOGIT);
}

/* A logit that is no number never agrees, whatever the tolerance, on either side. */
static void test_not_finite(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < COUNT(bad); i++)
        for (int side = 0; side < 3; side++) {
            double a[] = {1, 2, 3, 4}, b[] = {1, 2, 3, 4};
            if (side != 1) a[2] = bad[i];
            if (side != 0) b[2] = bad[i];
            struct metrics_result r = compare(a, b, true, 2, 2, (const int32_t[]){0, 0}, 1, 1);
            assert_int_equal(r.n_bad_a, side != 1);
            assert_int_equal(r.n_bad_b, side != 0);
            assert_true(isnan(r.max_abs_diff) && isnan(r.rms_diff));
            assert_false(metrics_agree(&r, 1e9));
        }
}

static void test_worst_is_sorted(void **state)
{
    (void)state;
    const double a[] = {0, 0, 0, 0, 0, 0, 0}, b[] = {1, 0, 5, 2, 5, 9, 3};
    const int32_t next[] = {-1, -1, -1, -1, -1, -1, -1};
    struct metrics_result r = compare(a, b, true, 7, 1, next, 3, 2);
    static const int64_t want[] = {5, 2, 4, 6, 3, 0}; /* one entry: no divergence, the differences decide */
    assert_int_equal(r.n_worst, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) assert_int_equal(r.worst[i].position, want[i]);
    assert_true(isnan(r.perplexity_a) && r.scored == 0);
}

/* Twelve positions of two logits: the divergence grows with the distance d from equal logits, whatever is added to both of B's; position 7 has a
 * NaN. */
static void test_worst_by_divergence(void **state)
{
    (void)state;
    static const double d[12] = {0.3, 0, 1.1, 0.2, 0.9, 0.4, 1.2, 0, 0.7, 0.1, 0.5, 0.8};
    static const int64_t want[METRICS_WORST] = {7, 6, 2, 4, 11, 8, 10, 5, 0, 3};
    double a[24] = {0}, b[24];
    int32_t next[12];
    for (int i = 0; i < 12; i++) {
        b[2 * i] = i % 3;
        b[2 * i + 1] = i % 3 + d[i];
        next[i] = -1;
    }
    b[14] = NAN;
    struct metrics_result r = compare(a, b, true, 12, 2, next, 5, 2);
    assert_int_equal(r.n_worst, METRICS_WORST);
    for (int i = 0; i < METRICS_WORST; i++) assert_int_equal(r.worst[i].position, want[i]);
    assert_true(isnan(r.kl_ab.mean) && isnan(r.kl_ab.max));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),         cmocka_unit_test(test_against_torch),
        cmocka_unit_test(test_spreads),         cmocka_unit_test(test_sets),
        cmocka_unit_test(test_top_of_few),      cmocka_unit_test(test_equal_sides),
        cmocka_unit_test(test_one_side),        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_worst_is_sorted), cmocka_unit_test(test_worst_by_divergence),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
