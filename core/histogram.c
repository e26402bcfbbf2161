#include "core/histogram.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum { PIECE = 1 << 16 }; /* elements: a multiple of every block */

void histogram_extend(struct histogram *h, const double *v, int64_t n)
{
    h->n += n;
    for (int64_t i = 0; i < n; i++) {
        double a = fabs(v[i]);
        h->n_zero += a == 0;
        if (isnan(a)) h->n_nan++;
        else if (isinf(a)) h->n_inf++;
        else if (a > h->largest) h->largest = a;
    }
}

enum status histogram_begin(struct histogram *h, double limit, int64_t n_bins, struct error *err)
{
    void *p;
    TRY(mem_alloc(&p, (uint64_t)n_bins, sizeof *h->counts, err));
    h->counts = p;
    h->n_bins = n_bins;
    h->limit = limit > 0 ? limit : 1;
    return STATUS_OK;
}

void histogram_add(struct histogram *h, const double *v, int64_t n)
{
    double bins = (double)h->n_bins;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) continue;
        double x = floor((v[i] / h->limit + 1) / 2 * bins);
        h->counts[x < 0 ? 0 : x >= bins ? h->n_bins - 1 : (int64_t)x]++;
    }
}

void histogram_clear(struct histogram *h)
{
    free(h->counts);
    *h = (struct histogram){0};
}

double histogram_edge(const struct histogram *h, int64_t i)
{
    return h->limit * (2 * (double)i / (double)h->n_bins - 1);
}

/* --- a tensor --- */

struct job {
    const struct ckpt_tensor *t;
    struct histogram *h;
    bool counting;
    pthread_mutex_t lock; /* of h */
};

static void merge(struct job *job, const struct histogram *part)
{
    struct histogram *h = job->h;
    pthread_mutex_lock(&job->lock);
    h->n += part->n;
    h->n_nan += part->n_nan;
    h->n_inf += part->n_inf;
    h->n_zero += part->n_zero;
    if (part->largest > h->largest) h->largest = part->largest;
    for (int64_t i = 0; job->counting && i < h->n_bins; i++) h->counts[i] += part->counts[i];
    pthread_mutex_unlock(&job->lock);
}

static enum status read_piece(const struct ckpt_tensor *t, int64_t first, int64_t n, void *raw, double *values,
                              struct error *err)
{
    uint64_t at, bytes;
    if (!dtype_bytes(t->t->dtype, first, &at) || !dtype_bytes(t->t->dtype, n, &bytes))
        return error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name, "it cannot be cut into pieces");
    TRY(ckpt_read(t, at, raw, (size_t)bytes, err));
    return dtype_decode_f64(t->t->dtype, raw, values, n, err);
}

static enum status piece_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    struct job *job = ctx;
    int64_t first = (int64_t)unit * PIECE, left = job->t->t->n_elements - first, n = left < PIECE ? left : PIECE;
    struct histogram part = {0};
    void *raw, *values = NULL;
    TRY(mem_alloc(&raw, PIECE, sizeof(double), err)); /* no type has larger elements */
    enum status st = mem_alloc(&values, PIECE, sizeof(double), err);
    if (st == STATUS_OK && job->counting) st = histogram_begin(&part, job->h->limit, job->h->n_bins, err);
    if (st == STATUS_OK) st = read_piece(job->t, first, n, raw, values, err);
    if (st == STATUS_OK && job->counting) histogram_add(&part, values, n);
    if (st == STATUS_OK && !job->counting) histogram_extend(&part, values, n);
    if (st == STATUS_OK) merge(job, &part);
    histogram_clear(&part);
    free(values);
    free(raw);
    return st;
}

enum status histogram_of(struct histogram *h, const struct ckpt_tensor *t, struct workers *w, int64_t n_bins, struct error *err)
{
    struct job job = {.t = t, .h = h};
    uint64_t n_units = ((uint64_t)t->t->n_elements + PIECE - 1) / PIECE;
    *h = (struct histogram){0};
    pthread_mutex_init(&job.lock, NULL);
    enum status st = workers_run(w, n_units, piece_unit, &job, err);
    if (st == STATUS_OK) st = histogram_begin(h, h->largest, n_bins, err);
    job.counting = true;
    if (st == STATUS_OK) st = workers_run(w, n_units, piece_unit, &job, err);
    pthread_mutex_destroy(&job.lock);
    if (st != STATUS_OK) histogram_clear(h);
    return st;
}
