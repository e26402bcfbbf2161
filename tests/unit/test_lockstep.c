/* Two models in step against each of them alone: logits whole, figures by their definitions in long double. */
#include "core/lockstep.h"
#include "tests/unit/family_models.h"
#include "tests/unit/fixtures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Three strips of the vocabulary, the last tile cut off; more positions than a pass of the head takes, in windows of which the last is short */
enum { VOCAB = 2 * METRICS_STRIP + METRICS_TILE + 5, N = FORWARD_HEAD_POSITIONS + 30, WINDOW = 120, N_WINDOWS = 3 };

static struct error err;

static void must(enum status st)
{
    if (st != STATUS_OK) fail_msg("%s: %s", err.path, err.text);
}

struct pair {
    struct fixture fixtures[2];
    struct model *a, *b;
    int32_t ids[N], next[N];
    int64_t lengths[N_WINDOWS];
};

/* B is A with noise, and an output matrix whose logits stand higher: what is added to all of a row is no divergence. */
static void open_pair(struct pair *p)
{
    const struct fixture_sizes sizes = {VOCAB, WINDOW, 2, 32, 48, 4, 2, 8};
    for (int side = 0; side < 2; side++) {
        struct fixture *f = &p->fixtures[side];
        fixture_llama(f, &sizes);
        struct fixture_tensor *head = fixture_find(f, "lm_head.weight");
        for (int64_t i = 0; i < head->n_elements; i++) head->data[i] *= 30 + (float)side * (3 + (float)(i % 17) / 5);
    }
    p->a = family_open(fixture_write(&p->fixtures[0]));
    p->b = family_open(fixture_write(&p->fixtures[1]));
    for (int64_t i = 0; i < N; i++) {
        p->ids[i] = (int32_t)((i * 1201 + 7) % VOCAB);
        p->next[i] = i % 5 == 0 ? -1 : (int32_t)((i * 733 + 5) % VOCAB);
    }
    for (int i = 0; i < N_WINDOWS; i++) p->lengths[i] = i < N_WINDOWS - 1 ? WINDOW : N - (N_WINDOWS - 1) * WINDOW;
}

static void close_pair(struct pair *p)
{
    model_close(p->a);
    model_close(p->b);
    fixture_clear(&p->fixtures[0]);
    fixture_clear(&p->fixtures[1]);
}

/* Points of all positions: windows together, or one by one */
static struct metrics_point *run(const struct pair *p, const struct model *b, enum precision precision, int n_threads, bool together,
                                 struct metrics_result *result)
{
    struct workers *w;
    struct lockstep *l;
    must(workers_new(&w, n_threads, &err));
    const struct lockstep_setup setup = {.a = p->a, .b = b, .precision = precision, .n_max = N, .workers = w};
    must(lockstep_new(&l, &setup, &err));
    if (together) must(lockstep_run(l, p->ids, p->lengths, N_WINDOWS, p->next, &err));
    int64_t at = 0;
    for (int i = 0; i < N_WINDOWS && !together; at += p->lengths[i++])
        must(lockstep_run(l, p->ids + at, &p->lengths[i], 1, p->next + at, &err));
    must(metrics_finish(&l->metrics, result, &err));
    struct metrics_point *points = l->metrics.points;
    l->metrics.points = NULL;
    lockstep_free(l);
    workers_free(w);
    return points;
}

static void whole_logits(const struct pair *p, const struct model *m, enum precision precision, long double *out)
{
    struct workers *w;
    struct forward *f;
    void *logits = calloc((size_t)N * VOCAB, sizeof(double));
    must(workers_new(&w, 1, &err));
    must(forward_new(&f, m, w, precision, N, &err));
    must(forward_begin_windows(f, p->ids, p->lengths, N_WINDOWS, 0, &err));
    for (int64_t i = 0; i < m->hp.n_layer; i++) must(forward_layer(f, i, &err));
    must(forward_finish(f, &err));
    must(forward_logits(f, 0, N, logits, &err));
    for (int64_t i = 0; i < (int64_t)N * VOCAB; i++)
        out[i] = precision == PRECISION_F64 ? (long double)((double *)logits)[i] : (long double)((float *)logits)[i];
    free(logits);
    forward_free(f);
    workers_free(w);
}

static long double log_sum_exp(const long double *x)
{
    long double peak = x[0], sum = 0;
    for (int i = 1; i < VOCAB; i++) peak = x[i] > peak ? x[i] : peak;
    for (int i = 0; i < VOCAB; i++) sum += expl(x[i] - peak);
    return peak + logl(sum);
}

static double divergence(const long double *x, const long double *y)
{
    long double all_x = log_sum_exp(x), all_y = log_sum_exp(y), kl = 0;
    for (int i = 0; i < VOCAB; i++) kl += expl(x[i] - all_x) * ((x[i] - all_x) - (y[i] - all_y));
    return (double)kl;
}

static int64_t top(const long double *x)
{
    int64_t best = 0;
    for (int i = 1; i < VOCAB; i++) best = x[i] > x[best] ? i : best;
    return best;
}

/* The bound of docs/numerics.md, section "Figures of a comparison" */
static void near(double got, double want, double size)
{
    if (!(fabs(got - want) <= 1e-14 * (1 + size))) fail_msg("%.17g, expected %.17g", got, want);
}

static void check_points(const struct pair *p, const struct metrics_point *points, const struct metrics_result *r, const long double *a,
                         const long double *b)
{
    long double squares = 0, max_diff = 0, max_logit = 0, nll_a = 0, nll_b = 0;
    int64_t same_top = 0, scored = 0;
    for (int64_t t = 0; t < N; t++, a += VOCAB, b += VOCAB) {
        long double diff = 0;
        for (int i = 0; i < VOCAB; i++) {
            squares += (a[i] - b[i]) * (a[i] - b[i]);
            diff = fmaxl(diff, fabsl(a[i] - b[i]));
            max_logit = fmaxl(max_logit, fabsl(a[i]));
        }
        max_diff = fmaxl(max_diff, diff);
        near(points[t].kl_ab, divergence(a, b), (double)diff);
        near(points[t].kl_ba, divergence(b, a), (double)diff);
        assert_true(points[t].max_abs_diff == (float)diff);
        same_top += top(a) == top(b);
        if (p->next[t] < 0) continue;
        scored++;
        nll_a += log_sum_exp(a) - a[p->next[t]];
        nll_b += log_sum_exp(b) - b[p->next[t]];
    }
    assert_int_equal(r->positions, N);
    assert_int_equal(r->scored, scored);
    assert_true(r->max_abs_diff == (double)max_diff && r->max_abs_logit == (double)max_logit);
    assert_true(r->top1_agreement == (double)same_top / N && same_top < N);
    near(r->rms_diff, (double)sqrtl(squares / ((long double)N * VOCAB)), r->rms_diff);
    near(r->perplexity_a, (double)expl(nll_a / scored), 100 * r->perplexity_a);
    near(r->perplexity_b, (double)expl(nll_b / scored), 100 * r->perplexity_b);
    near(r->ln_ratio, (double)((nll_b - nll_a) / scored), 100);
}

static void figures_are_what_they_are_defined_as(void **state)
{
    (void)state;
    struct pair p;
    long double *a = calloc((size_t)N * VOCAB, sizeof *a), *b = calloc((size_t)N * VOCAB, sizeof *b);
    open_pair(&p);
    for (int precision = PRECISION_F32; precision <= PRECISION_F64; precision++) {
        struct metrics_result result;
        whole_logits(&p, p.a, (enum precision)precision, a);
        whole_logits(&p, p.b, (enum precision)precision, b);
        struct metrics_point *points = run(&p, p.b, (enum precision)precision, 2, true, &result);
        check_points(&p, points, &result, a, b);
        free(points);
    }
    close_pair(&p);
    free(a);
    free(b);
}

/* Bits do not depend on threads, batches, or (of A) on whether there is a B. */
static void figures_are_one_thing(void **state)
{
    (void)state;
    struct pair p;
    struct metrics_result first, result;
    open_pair(&p);
    struct metrics_point *points = run(&p, p.b, PRECISION_F32, 1, true, &first);
    for (int n_threads = 1; n_threads <= 7; n_threads += 3)
        for (int together = 0; together < 2; together++) {
            struct metrics_point *others = run(&p, p.b, PRECISION_F32, n_threads, together, &result);
            assert_memory_equal(points, others, N * sizeof *points);
            free(others);
        }
    struct metrics_point *alone = run(&p, NULL, PRECISION_F32, 2, true, &result);
    for (int i = 0; i < N; i++) assert_memory_equal(&alone[i].nll_a, &points[i].nll_a, sizeof alone[i].nll_a);
    assert_true(result.perplexity_a == first.perplexity_a && result.max_abs_logit == first.max_abs_logit);
    assert_int_equal(result.n_worst, 0);
    free(alone);
    free(points);
    close_pair(&p);
}

/* An id that the model does not have, in the second batch */
static void errors_come_back(void **state)
{
    (void)state;
    struct pair p;
    struct workers *w;
    struct lockstep *l;
    open_pair(&p);
    must(workers_new(&w, 2, &err));
    const struct lockstep_setup setup = {.a = p.a, .b = p.b, .n_max = WINDOW, .workers = w};
    must(lockstep_new(&l, &setup, &err));
    must(lockstep_run(l, p.ids, p.lengths, 1, p.next, &err));
    p.ids[3] = VOCAB;
    assert_int_equal(lockstep_run(l, p.ids, p.lengths, 1, p.next, &err), STATUS_RANGE);
    assert_int_equal(lockstep_run(l, p.ids, p.lengths, 2, p.next, &err), STATUS_RANGE); /* more than n_max */
    lockstep_free(l);
    workers_free(w);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_what_they_are_defined_as),
        cmocka_unit_test(figures_are_one_thing),
        cmocka_unit_test(errors_come_back),
    };
    return cmocka_run_group_tests_name("lockstep", tests, NULL, NULL);
}
