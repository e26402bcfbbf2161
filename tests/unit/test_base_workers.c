/* Workers: every unit once, on a thread of the set, and the same error for any number of threads. */
#include "base/workers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS = 1000, THREADS_MAX = 8 };

struct tally {
    atomic_int runs[UNITS];
    uint64_t last[THREADS_MAX]; /* per worker: the unit before, plus one */
    atomic_bool disorder, bad_worker;
    int n_threads;
    uint64_t fail_at[2];
    atomic_int started;
};

static enum status count_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    struct tally *t = ctx;
    if (worker < 0 || worker >= t->n_threads) {
        t->bad_worker = true;
        return STATUS_OK;
    }
    atomic_fetch_add(&t->runs[unit], 1);
    atomic_fetch_add(&t->started, 1);
    if (t->last[worker] > unit) t->disorder = true;
    t->last[worker] = unit + 1;
    if (unit % 7 == 0) sched_yield();
    for (int i = 0; i < 2; i++) {
        if (unit + 1 == t->fail_at[i]) return error_set(err, STATUS_RANGE, "unit %d", (int)unit);
    }
    return STATUS_OK;
}

static void test_each_once(void **state)
{
    (void)state;
    static const int thread_counts[] = {1, 2, 3, 8};
    struct error err;
    for (size_t i = 0; i < 4; i++) {
        struct workers *w;
        assert_int_equal(workers_new(&w, thread_counts[i], &err), STATUS_OK);
        assert_int_equal(workers_count(w), thread_counts[i]);
        static const uint64_t sizes[] = {0, 1, 2, 9, UNITS};
        for (int round = 0; round < 50; round++) { /* the set is used again and again */
            uint64_t n = sizes[round % 5];
            struct tally *t = calloc(1, sizeof *t);
            assert_non_null(t);
            t->n_threads = thread_counts[i];
            assert_int_equal(workers_run(w, n, count_unit, t, &err), STATUS_OK);
            for (uint64_t u = 0; u < UNITS; u++) assert_int_equal(t->runs[u], u < n);
            assert_false(t->disorder);
            assert_false(t->bad_worker);
            free(t);
        }
        workers_free(w);
    }
    workers_free(NULL);
}

static void test_lowest_error(void **state)
{
    (void)state;
    struct error err;
    for (int threads = 1; threads <= THREADS_MAX; threads++) {
        struct workers *w;
        assert_int_equal(workers_new(&w, threads, &err), STATUS_OK);
        for (int round = 0; round < 100; round++) {
            struct tally *t = calloc(1, sizeof *t);
            assert_non_null(t);
            t->n_threads = threads;
            t->fail_at[0] = 22; /* units are counted from 0, these from 1 */
            t->fail_at[1] = 23;
            assert_int_equal(workers_run(w, UNITS, count_unit, t, &err), STATUS_RANGE);
            assert_string_equal(err.text, "unit 21");
            for (uint64_t u = 0; u <= 21; u++) assert_int_equal(t->runs[u], 1);
            if (threads == 1) assert_int_equal(t->started, 22); /* nothing starts after a failure */
            free(t);
        }
        struct tally *t = calloc(1, sizeof *t); /* an error does not stick to the set */
        assert_non_null(t);
        t->n_threads = threads;
        assert_int_equal(workers_run(w, UNITS, count_unit, t, &err), STATUS_OK);
        assert_int_equal(t->started, UNITS);
        free(t);
        workers_free(w);
    }
}

static void test_counts(void **state)
{
    (void)state;
    struct error err;
    struct workers *w;
    cpu_set_t set;
    assert_int_equal(workers_new(&w, -1, &err), STATUS_RANGE);
    assert_null(w);
    assert_int_equal(workers_new(&w, 1000000, &err), STATUS_RANGE);
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_int_equal(workers_default_count(), CPU_COUNT(&set));
    assert_int_equal(workers_new(&w, 0, &err), STATUS_OK);
    assert_int_equal(workers_count(w), CPU_COUNT(&set));
    workers_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),
        cmocka_unit_test(test_lowest_error),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
