#include "core/metrics.h"
#include "core/metrics_loops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double at(const struct metrics_block *b, const void *base, int64_t element)
{
    return b->is_f64 ? ((const double *)base)[element] : (double)((const float *)base)[element];
}

static const void *row_of(const struct metrics_block *b, const void *base, int64_t pos, int64_t n_vocab)
{
    return (const char *)base + (size_t)pos * (size_t)n_vocab * (b->is_f64 ? sizeof(double) : sizeof(float));
}

static int count_common(const struct metrics_top *a, const struct metrics_top *b)
{
    int n = 0;
    for (int i = 0; i < METRICS_TOP; i++)
        for (int k = 0; k < METRICS_TOP; k++) n += a->index[i] >= 0 && a->index[i] == b->index[k];
    return n;
}

/* KL(a‖b) = Σ (e^ã / S_a)(ã - b̃) + ln S_b - ln S_a, which is exactly 0 for equal rows. */
static void set_divergence(struct metrics_position *p, const struct metrics_divergence *d)
{
    double kl_ab = d->ab / d->sum_a + (log(d->sum_b) - log(d->sum_a)),
           kl_ba = d->ba / d->sum_b + (log(d->sum_a) - log(d->sum_b));
    p->kl_ab = kl_ab < 0 ? 0 : kl_ab; /* rounding */
    p->kl_ba = kl_ba < 0 ? 0 : kl_ba;
}

static void measure(struct metrics_position *p, const struct metrics_block *b, int64_t pos, int64_t n)
{
    const struct metrics_loops *loops = metrics_loops();
    const void *a_row = row_of(b, b->a, pos, n), *b_row = b->b ? row_of(b, b->b, pos, n) : NULL;
    struct metrics_row row;
    struct metrics_divergence d = {0};
    p->next = b->next[pos];
    loops->compare(a_row, b_row, b->is_f64, n, &row);
    p->max_abs_a = row.max_abs_a;
    p->top1_a = row.top_a.index[0];
    p->n_bad_a = row.n_bad_a;
    if (b_row) {
        p->max_abs_diff = row.max_abs_diff;
        p->sum_square_diff = row.sum_square_diff;
        p->top1_b = row.top_b.index[0];
        p->n_top5 = count_common(&row.top_a, &row.top_b);
        p->n_bad_b = row.n_bad_b;
        loops->diverge(a_row, b_row, b->is_f64, n, row.top_a.value[0], row.top_b.value[0], &d);
        set_divergence(p, &d);
        if (p->next >= 0) p->nll_b = log(d.sum_b) + row.top_b.value[0] - at(b, b_row, p->next);
    } else {
        d.sum_a = loops->sum_exp(a_row, b->is_f64, n, row.top_a.value[0]);
    }
    if (p->next >= 0) p->nll_a = log(d.sum_a) + row.top_a.value[0] - at(b, a_row, p->next);
}

struct job {
    struct metrics *m;
    const struct metrics_block *b;
};
static enum status measure_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    (void)err;
    const struct job *job = ctx;
    measure(&job->m->block[unit], job->b, (int64_t)unit, job->m->n_vocab);
    return STATUS_OK;
}

void metrics_begin(struct metrics *m, int64_t n_vocab)
{
    *m = (struct metrics){.n_vocab = n_vocab};
}

void metrics_clear(struct metrics *m)
{
    free(m->block);
    free(m->points);
    *m = (struct metrics){0};
}

static bool is_bad(const struct metrics_position *p)
{
    return p->n_bad_a > 0 || p->n_bad_b > 0;
}

static bool is_worse(const struct metrics_position *p, const struct metrics_position *q)
{
    if (is_bad(p) || is_bad(q)) return is_bad(p) && !is_bad(q);
    return p->kl_ab != q->kl_ab ? p->kl_ab > q->kl_ab : p->max_abs_diff > q->max_abs_diff;
}

static void keep_worst(struct metrics_result *r, const struct metrics_position *p)
{
    if (!(p->max_abs_diff > 0) && !is_bad(p)) return;
    int i = r->n_worst < METRICS_WORST ? r->n_worst++ : METRICS_WORST;
    for (; i > 0 && is_worse(p, &r->worst[i - 1]); i--)
        if (i < METRICS_WORST) r->worst[i] = r->worst[i - 1];
    if (i < METRICS_WORST) r->worst[i] = *p;
}

static void fold(struct metrics *m, const struct metrics_position *p)
{
    struct metrics_result *sum = &m->sum;
    bool scored = p->next >= 0;
    m->points[sum->positions++] =
        (struct metrics_point){p->kl_ab, p->kl_ba, (float)p->max_abs_diff, scored ? (float)p->nll_a : NAN,
                               scored ? (float)p->nll_b : NAN};
    if (is_bad(p)) {
        struct metrics_point *point = &m->points[sum->positions - 1];
        point->kl_ab = point->kl_ba = point->max_abs_diff = NAN;
    }
    sum->scored += scored;
    sum->max_abs_diff = fmax(sum->max_abs_diff, p->max_abs_diff);
    sum->max_abs_logit = fmax(sum->max_abs_logit, p->max_abs_a);
    sum->rms_diff += p->sum_square_diff;
    sum->top1_agreement += p->top1_a == p->top1_b;
    sum->top5_agreement += p->n_top5;
    sum->perplexity_a += p->nll_a;
    sum->perplexity_b += p->nll_b;
    m->nll_squares[0] += p->nll_a * p->nll_a;
    m->nll_squares[1] += p->nll_b * p->nll_b;
    m->nll_squares[2] += (p->nll_b - p->nll_a) * (p->nll_b - p->nll_a);
    sum->n_bad_a += p->n_bad_a;
    sum->n_bad_b += p->n_bad_b;
    keep_worst(sum, p);
}

static enum status reserve(struct metrics *m, int64_t n_pos, struct error *err)
{
    void *p;
    if (n_pos > m->n_block) {
        free(m->block);
        m->block = NULL;
        m->n_block = 0;
        TRY(mem_alloc(&p, (uint64_t)n_pos, sizeof *m->block, err));
        m->block = p;
        m->n_block = n_pos;
    }
    int64_t need = m->sum.positions + n_pos;
    if (need <= m->cap_points) return STATUS_OK;
    int64_t cap = need > 2 * m->cap_points ? need : 2 * m->cap_points;
    TRY(mem_alloc(&p, (uint64_t)cap, sizeof *m->points, err));
    if (m->points) memcpy(p, m->points, (size_t)m->sum.positions * sizeof *m->points);
    free(m->points);
    m->points = p;
    m->cap_points = cap;
    return STATUS_OK;
}

enum status metrics_add(struct metrics *m, const struct metrics_block *b, struct workers *w,
                        struct error *err)
{
    TRY(reserve(m, b->n_pos, err));
    for (int64_t i = 0; i < b->n_pos; i++)
        m->block[i] = (struct metrics_position){.position = m->sum.positions + i};
    TRY(workers_run(w, (uint64_t)b->n_pos, measure_unit, &(struct job){m, b}, err));
    for (int64_t i = 0; i < b->n_pos; i++) fold(m, &m->block[i]);
    return STATUS_OK;
}

/* --- figures over all positions --- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return isnan(x) || isnan(y) ? isnan(x) - isnan(y) : (x > y) - (x < y); /* NaN last: it is the largest */
}

/* Standard error of a mean, from the sums of n values and of their squares. */
static double error_of_mean(double sum, double squares, int64_t n)
{
    if (n < 2) return 0;
    double mean = sum / (double)n, variance = (squares - mean * sum) / (double)(n - 1);
    return variance > 0 ? sqrt(variance / (double)n) : variance <= 0 ? 0 : NAN;
}

static double quantile(const double *sorted, int64_t n, double q)
{
    int64_t rank = (int64_t)ceil(q * (double)n);
    return sorted[rank < 1 ? 0 : rank - 1];
}

/* Sorts v. */
static void set_spread(struct metrics_spread *s, double *v, int64_t n)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i];
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (v[i] - mean) * (v[i] - mean);
    qsort(v, (size_t)n, sizeof *v, by_value);
    *s = (struct metrics_spread){.mean = mean,
                                 .mean_error = n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : 0,
                                 .median = quantile(v, n, 0.5),
                                 .p99 = quantile(v, n, 0.99),
                                 .max = v[n - 1]};
}

static void set_perplexities(const struct metrics *m, struct metrics_result *r)
{
    double n = (double)r->scored, sum_a = m->sum.perplexity_a, sum_b = m->sum.perplexity_b;
    r->perplexity_a = r->scored ? exp(sum_a / n) : NAN;
    r->perplexity_b = r->scored ? exp(sum_b / n) : NAN;
    r->perplexity_error_a = r->perplexity_a * error_of_mean(sum_a, m->nll_squares[0], r->scored);
    r->perplexity_error_b = r->perplexity_b * error_of_mean(sum_b, m->nll_squares[1], r->scored);
    r->ln_ratio = r->scored ? (sum_b - sum_a) / n : NAN;
    r->ln_ratio_error = error_of_mean(sum_b - sum_a, m->nll_squares[2], r->scored);
}

enum status metrics_finish(const struct metrics *m, struct metrics_result *r, struct error *err)
{
    *r = m->sum;
    int64_t n = r->positions;
    if (n > 0) {
        void *p;
        TRY(mem_alloc(&p, (uint64_t)n, sizeof(double), err));
        double *v = p;
        for (int64_t i = 0; i < n; i++) v[i] = m->points[i].kl_ab;
        set_spread(&r->kl_ab, v, n);
        for (int64_t i = 0; i < n; i++) v[i] = m->points[i].kl_ba;
        set_spread(&r->kl_ba, v, n);
        free(p);
        int64_t n_top = m->n_vocab < METRICS_TOP ? m->n_vocab : METRICS_TOP;
        r->rms_diff = sqrt(r->rms_diff / ((double)n * (double)m->n_vocab));
        r->top1_agreement /= (double)n;
        r->top5_agreement /= (double)(n * n_top);
    }
    set_perplexities(m, r);
    if (r->n_bad_a || r->n_bad_b) r->max_abs_diff = r->rms_diff = NAN;
    return STATUS_OK;
}

bool metrics_agree(const struct metrics_result *r, double tolerance)
{
    return r->positions > 0 && r->n_bad_a == 0 && r->n_bad_b == 0 &&
           r->max_abs_diff <= tolerance * r->max_abs_logit;
}
