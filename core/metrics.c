#include "core/metrics.h"
#include "models/vmath.h"

#include <stdlib.h>

/* Sums over the vocabulary go to interleaved partial sums in fixed order, so that the loops vectorise. */
enum { LANES = 8, CHUNK = 512 };

/* A stretch of a row as doubles */
static void load(double *dst, const void *row, bool is_f64, int64_t first, int64_t n)
{
    if (is_f64)
        for (int64_t i = 0; i < n; i++) dst[i] = ((const double *)row)[first + i];
    else
        for (int64_t i = 0; i < n; i++) dst[i] = (double)((const float *)row)[first + i];
}

/* Largest element (NaN passed over), its lowest index, and how many are not finite */
struct peak {
    double value;
    int64_t index, n_bad;
};
static void find_peak(struct peak *p, const double *x, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) p->n_bad++;
        if (x[i] > p->value) {
            p->value = x[i];
            p->index = first + i;
        }
    }
}

static double sum_lanes(const double s[LANES])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* sum of e^(x - peak) */
static double sum_exp(const void *row, bool is_f64, int64_t n, double peak)
{
    double sum[LANES] = {0}, x[CHUNK];
    for (int64_t c = 0; c < n; c += CHUNK) {
        int64_t have = n - c < CHUNK ? n - c : CHUNK;
        load(x, row, is_f64, c, have);
        for (int64_t i = have; i < CHUNK; i++) x[i] = -INFINITY;
        for (int64_t i = 0; i < CHUNK; i += LANES)
            for (int j = 0; j < LANES; j++) sum[j] += vmath_exp_f64(x[i + j] - peak);
    }
    return sum_lanes(sum);
}

static double at(const struct metrics_block *b, const void *base, int64_t element)
{
    return b->is_f64 ? ((const double *)base)[element] : (double)((const float *)base)[element];
}

static const void *row_of(const struct metrics_block *b, const void *base, int64_t pos, int64_t n_vocab)
{
    return (const char *)base + (size_t)pos * (size_t)n_vocab * (b->is_f64 ? sizeof(double) : sizeof(float));
}

/* Largest logits and the difference of the two rows */
static void compare_rows(struct metrics_position *p, const void *a, const void *b, bool is_f64, int64_t n,
                         struct peak *pa, struct peak *pb)
{
    double x[CHUNK], y[CHUNK], square[LANES] = {0};
    for (int64_t c = 0; c < n; c += CHUNK) {
        int64_t have = n - c < CHUNK ? n - c : CHUNK;
        load(x, a, is_f64, c, have);
        find_peak(pa, x, c, have);
        for (int64_t i = 0; i < have; i++)
            p->max_abs_a = fabs(x[i]) > p->max_abs_a ? fabs(x[i]) : p->max_abs_a;
        if (!b) continue;
        load(y, b, is_f64, c, have);
        find_peak(pb, y, c, have);
        for (int64_t i = 0; i < have; i++) {
            double d = fabs(x[i] - y[i]);
            p->max_abs_diff = d > p->max_abs_diff ? d : p->max_abs_diff;
        }
        for (int64_t i = have; i < CHUNK; i++) x[i] = y[i] = 0;
        for (int64_t i = 0; i < CHUNK; i += LANES)
            for (int j = 0; j < LANES; j++) square[j] += (x[i + j] - y[i + j]) * (x[i + j] - y[i + j]);
    }
    p->sum_square_diff = sum_lanes(square);
}

/* Sums of e^(logit - peak) of both rows and their divergences. With ã = a - max a and S_a = Σ e^ã: KL(a‖b) = Σ (e^ã / S_a)(ã - b̃) + ln S_b - ln S_a, which is exactly 0 for
 * equal rows. */
static void diverge(struct metrics_position *p, const void *a, const void *b, bool is_f64, int64_t n,
                    double peak_a, double peak_b, double sums[2])
{
    double ab[LANES] = {0}, ba[LANES] = {0}, sum_a[LANES] = {0}, sum_b[LANES] = {0}, x[CHUNK], y[CHUNK];
    for (int64_t c = 0; c < n; c += CHUNK) {
        int64_t have = n - c < CHUNK ? n - c : CHUNK;
        load(x, a, is_f64, c, have);
        load(y, b, is_f64, c, have);
        /* far below both peaks: adds 0 */
        for (int64_t i = have; i < CHUNK; i++) x[i] = peak_a - 1e4, y[i] = peak_b - 1e4;
        for (int64_t i = 0; i < CHUNK; i += LANES)
            for (int j = 0; j < LANES; j++) {
                double u = x[i + j] - peak_a, v = y[i + j] - peak_b;
                double e = vmath_exp_f64(u), f = vmath_exp_f64(v);
                sum_a[j] += e;
                sum_b[j] += f;
                ab[j] += e * (u - v);
                ba[j] += f * (v - u);
            }
    }
    double s_a = sums[0] = sum_lanes(sum_a), s_b = sums[1] = sum_lanes(sum_b);
    double kl_ab = sum_lanes(ab) / s_a + (log(s_b) - log(s_a)),
           kl_ba = sum_lanes(ba) / s_b + (log(s_a) - log(s_b));
    p->kl_ab = kl_ab < 0 ? 0 : kl_ab; /* rounding */
    p->kl_ba = kl_ba < 0 ? 0 : kl_ba;
}

static void measure(struct metrics_position *p, const struct metrics_block *b, int64_t pos, int64_t n)
{
    const void *a_row = row_of(b, b->a, pos, n), *b_row = b->b ? row_of(b, b->b, pos, n) : NULL;
    struct peak pa = {.value = -INFINITY}, pb = {.value = -INFINITY};
    int32_t next = b->next[pos];
    double sums[2];
    compare_rows(p, a_row, b_row, b->is_f64, n, &pa, &pb);
    p->top1_a = pa.index;
    p->n_bad_a = pa.n_bad;
    if (b_row) {
        p->top1_b = pb.index;
        p->n_bad_b = pb.n_bad;
        diverge(p, a_row, b_row, b->is_f64, n, pa.value, pb.value, sums);
        if (next >= 0) p->nll_b = log(sums[1]) + pb.value - at(b, b_row, next);
    } else {
        sums[0] = sum_exp(a_row, b->is_f64, n, pa.value);
    }
    if (next >= 0) p->nll_a = log(sums[0]) + pa.value - at(b, a_row, next);
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
    *m = (struct metrics){0};
}

static void keep_worst(struct metrics_result *r, const struct metrics_position *p)
{
    if (!(p->max_abs_diff > 0)) return;
    int i = r->n_worst < METRICS_WORST ? r->n_worst++ : METRICS_WORST;
    for (; i > 0 && r->worst[i - 1].max_abs_diff < p->max_abs_diff; i--)
        if (i < METRICS_WORST) r->worst[i] = r->worst[i - 1];
    if (i < METRICS_WORST) r->worst[i] = *p;
}

static void fold(struct metrics_result *sum, const struct metrics_position *p, bool scored)
{
    sum->positions++;
    sum->scored += scored;
    sum->max_abs_diff = fmax(sum->max_abs_diff, p->max_abs_diff);
    sum->max_abs_logit = fmax(sum->max_abs_logit, p->max_abs_a);
    sum->rms_diff += p->sum_square_diff;
    sum->kl_ab += p->kl_ab;
    sum->kl_ba += p->kl_ba;
    sum->kl_max = p->kl_ab > sum->kl_max || isnan(p->kl_ab) ? p->kl_ab : sum->kl_max;
    sum->top1_agreement += p->top1_a == p->top1_b;
    sum->perplexity_a += p->nll_a;
    sum->perplexity_b += p->nll_b;
    sum->n_bad_a += p->n_bad_a;
    sum->n_bad_b += p->n_bad_b;
    keep_worst(sum, p);
}

enum status metrics_add(struct metrics *m, const struct metrics_block *b, struct workers *w,
                        struct error *err)
{
    if (b->n_pos > m->n_block) {
        void *p;
        free(m->block);
        m->block = NULL;
        m->n_block = 0;
        TRY(mem_alloc(&p, (uint64_t)b->n_pos, sizeof *m->block, err));
        m->block = p;
        m->n_block = b->n_pos;
    }
    for (int64_t i = 0; i < b->n_pos; i++)
        m->block[i] = (struct metrics_position){.position = m->sum.positions + i};
    TRY(workers_run(w, (uint64_t)b->n_pos, measure_unit, &(struct job){m, b}, err));
    for (int64_t i = 0; i < b->n_pos; i++) fold(&m->sum, &m->block[i], b->next[i] >= 0);
    return STATUS_OK;
}

void metrics_finish(const struct metrics *m, struct metrics_result *r)
{
    *r = m->sum;
    double n = (double)r->positions;
    if (r->positions > 0) {
        r->rms_diff = sqrt(r->rms_diff / (n * (double)m->n_vocab));
        r->kl_ab /= n;
        r->kl_ba /= n;
        r->top1_agreement /= n;
    }
    r->perplexity_a = r->scored ? exp(r->perplexity_a / (double)r->scored) : NAN;
    r->perplexity_b = r->scored ? exp(r->perplexity_b / (double)r->scored) : NAN;
    if (r->n_bad_a || r->n_bad_b) r->max_abs_diff = r->rms_diff = NAN;
}

bool metrics_agree(const struct metrics_result *r, double tolerance)
{
    return r->positions > 0 && r->n_bad_a == 0 && r->n_bad_b == 0 &&
           r->max_abs_diff <= tolerance * r->max_abs_logit;
}
