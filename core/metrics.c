#include "core/metrics.h"
#include "core/metrics_loops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_BYTES = 48 << 20 /* of one block */ };

static int count_common(const struct metrics_top *a, const struct metrics_top *b)
{
    int n = 0;
    for (int i = 0; i < METRICS_TOP; i++)
        for (int k = 0; k < METRICS_TOP; k++) n += a->index[i] >= 0 && a->index[i] == b->index[k];
    return n;
}

/* ln Σ e^a, and of b */
static double log_sum(double peak, double sum)
{
    return peak + log(sum);
}

/* KL(a‖b) = Σ (e^a / Σ e^a) (a - b) + ln Σ e^b - ln Σ e^a, which is exactly 0 for equal logits. */
static void set_divergence(struct metrics_position *p, const struct metrics_part *s)
{
    double gap = log_sum(s->peak_b, s->sum_b) - log_sum(s->peak_a, s->sum_a);
    double kl_ab = s->ab / s->sum_a + gap, kl_ba = s->ba / s->sum_b - gap;
    p->kl_ab = kl_ab < 0 ? 0 : kl_ab; /* rounding */
    p->kl_ba = kl_ba < 0 ? 0 : kl_ba;
}

/* p->nll_a and nll_b hold the logits of the next id */
static void measure(struct metrics_position *p, const struct metrics_part *s, bool two_sides)
{
    p->max_abs_a = s->max_abs_a;
    p->n_bad_a = s->n_bad_a;
    if (p->next >= 0) p->nll_a = log_sum(s->peak_a, s->sum_a) - p->nll_a;
    if (!two_sides) return;
    p->top1_a = s->top_a.index[0];
    p->top1_b = s->top_b.index[0];
    p->n_top5 = count_common(&s->top_a, &s->top_b);
    p->max_abs_diff = s->max_abs_diff;
    p->sum_square_diff = s->sum_square_diff;
    p->n_bad_b = s->n_bad_b;
    set_divergence(p, s);
    if (p->next >= 0) p->nll_b = log_sum(s->peak_b, s->sum_b) - p->nll_b;
}

static enum status measure_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    (void)err;
    const struct metrics *m = ctx;
    const struct metrics_loops *loops = metrics_loops();
    struct metrics_part all = m->parts[unit];
    for (int64_t strip = 1; strip < metrics_strips(m->n_vocab); strip++)
        loops->merge(&all, &m->parts[strip * m->n_pos + (int64_t)unit]);
    measure(&m->block[unit], &all, m->two_sides);
    return STATUS_OK;
}

void metrics_begin(struct metrics *m, int64_t n_vocab, bool two_sides)
{
    *m = (struct metrics){.n_vocab = n_vocab, .two_sides = two_sides};
}

void metrics_clear(struct metrics *m)
{
    free(m->block);
    free(m->parts);
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

/* Room for n elements; what was there is lost. */
static enum status grow(void **p, uint64_t *cap, uint64_t n, size_t size, struct error *err)
{
    uint64_t bytes;
    if (n <= *cap) return STATUS_OK;
    free(*p);
    *p = NULL;
    *cap = 0;
    if (!size_mul(n, size, &bytes)) return error_nomem(err, SIZE_MAX);
    TRY(mem_alloc_pages(p, bytes, err));
    *cap = n;
    return STATUS_OK;
}

static enum status grow_points(struct metrics *m, int64_t need, struct error *err)
{
    void *p;
    if (need <= m->cap_points) return STATUS_OK;
    int64_t cap = need > 2 * m->cap_points ? need : 2 * m->cap_points;
    TRY(mem_alloc(&p, (uint64_t)cap, sizeof *m->points, err));
    if (m->points) memcpy(p, m->points, (size_t)m->sum.positions * sizeof *m->points);
    free(m->points);
    m->points = p;
    m->cap_points = cap;
    return STATUS_OK;
}

int64_t metrics_block_positions(int64_t n_vocab)
{
    int64_t n = PARTS_BYTES / (metrics_strips(n_vocab) * (int64_t)sizeof(struct metrics_part));
    return n < 1 ? 1 : n;
}

enum status metrics_open(struct metrics *m, const int32_t *next, int64_t n_pos, struct error *err)
{
    void *block = m->block, *parts = m->parts;
    enum status st = grow(&block, &m->cap_block, (uint64_t)n_pos, sizeof *m->block, err);
    if (st == STATUS_OK) st = grow(&parts, &m->cap_parts, (uint64_t)(n_pos * metrics_strips(m->n_vocab)), sizeof *m->parts, err);
    m->block = block;
    m->parts = parts;
    TRY(st);
    TRY(grow_points(m, m->sum.positions + n_pos, err));
    m->n_pos = n_pos;
    for (int64_t i = 0; i < n_pos; i++) m->block[i] = (struct metrics_position){.position = m->sum.positions + i, .next = next[i]};
    return STATUS_OK;
}

static double at(const struct metrics_tile *t, const void *base, int64_t element)
{
    return t->is_f64 ? ((const double *)base)[element] : (double)((const float *)base)[element];
}

void metrics_add(struct metrics *m, const struct metrics_tile *t)
{
    const struct metrics_loops *loops = metrics_loops();
    size_t row_bytes = (size_t)t->ld * (t->is_f64 ? sizeof(double) : sizeof(float));
    for (int64_t i = 0; i < t->n_pos; i++) {
        struct metrics_part *p = &m->parts[t->first / METRICS_STRIP * m->n_pos + t->pos + i];
        struct metrics_position *position = &m->block[t->pos + i];
        const void *a = (const char *)t->a + (size_t)i * row_bytes, *b = t->b ? (const char *)t->b + (size_t)i * row_bytes : NULL;
        if (t->first % METRICS_STRIP == 0) metrics_part_init(p);
        loops->add(p, a, b, t->is_f64, t->first, t->n);
        int64_t next = position->next - t->first;
        if (next < 0 || next >= t->n) continue;
        position->nll_a = at(t, a, next);
        if (b) position->nll_b = at(t, b, next);
    }
}

enum status metrics_close(struct metrics *m, struct workers *w, struct error *err)
{
    TRY(workers_run(w, (uint64_t)m->n_pos, measure_unit, m, err));
    for (int64_t i = 0; i < m->n_pos; i++) fold(m, &m->block[i]);
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
