#include "core/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNITS_MAX = 32,       /* pieces of a tensor */
    UNIT_MIN = 1 << 18,   /* elements */
    READ_BYTES = 1 << 20, /* asked for at once, or one row */
    DECODE =
        8192, /* elements decoded at once, or one row where channels are looked at; a multiple of every block */
    SUMS_BYTES = 16 << 20, /* for the columns' sums of all units */
    FLUSH_ROWS = 64,       /* that are summed in float */
};

struct stats_job {
    const struct ckpt_tensor *t;
    struct progress *progress;
    const struct moments_ops *ops;
    double least;
    int64_t n_rows, n_cols; /* of the matrix; without channels one row of everything */
    bool channels;
    int64_t grain;            /* elements that a unit is a multiple of */
    int64_t unit;             /* elements of a unit */
    int64_t n_read, n_decode; /* elements at once */
    uint64_t n_units;
    struct moments *moments; /* per unit */
    double *col_sums;        /* (n_units, n_cols) sums of squares */
    double *row_rms;
};

static uint64_t bytes_of(const struct stats_job *job, int64_t n)
{
    uint64_t bytes = 0;
    dtype_bytes(job->t->t->dtype, n, &bytes);
    return bytes;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* --- one unit --- */

struct unit {
    struct stats_job *job;
    struct moments *m;
    double *col_sums;
    float *float_sums; /* of the last rows */
    int64_t n_pending;
    void *values;
    bool wide; /* values are doubles: the type holds what floats do not */
};

static void flush(struct unit *u)
{
    for (int64_t c = 0; c < u->job->n_cols; c++) {
        u->col_sums[c] += (double)u->float_sums[c];
        u->float_sums[c] = 0;
    }
    u->n_pending = 0;
}

static void add_rows(struct unit *u, int64_t row, int64_t n_rows)
{
    const struct stats_job *job = u->job;
    int64_t n = job->n_cols;
    for (int64_t r = 0; r < n_rows; r++) {
        double sum = u->wide ? job->ops->squares_f64((const double *)u->values + r * n, n, u->float_sums)
                             : job->ops->squares_f32((const float *)u->values + r * n, n, u->float_sums);
        job->row_rms[row + r] = sqrt(sum / (double)n);
        if (++u->n_pending == FLUSH_ROWS) flush(u);
    }
}

static enum status add_values(struct unit *u, const void *src, int64_t first, int64_t n, struct error *err)
{
    const struct stats_job *job = u->job;
    enum dtype t = job->t->t->dtype;
    if (u->wide)
        TRY(dtype_decode_f64(t, src, u->values, n, err));
    else
        TRY(dtype_decode_f32(t, src, u->values, n, err));
    if (u->wide)
        job->ops->add_f64(u->m, u->values, n, job->least);
    else
        job->ops->add_f32(u->m, u->values, n, job->least);
    if (job->channels) add_rows(u, first / job->n_cols, n / job->n_cols);
    return STATUS_OK;
}

static enum status run_unit(struct unit *u, int64_t first, int64_t end, void *bytes, struct error *err)
{
    struct stats_job *job = u->job;
    for (int64_t i = first; i < end; i += job->n_read) {
        int64_t n = smaller(end - i, job->n_read);
        TRY(ckpt_read(job->t, bytes_of(job, i), bytes, bytes_of(job, n), err));
        for (int64_t k = 0; k < n; k += job->n_decode)
            TRY(add_values(u, (const char *)bytes + bytes_of(job, k), i + k, smaller(n - k, job->n_decode),
                           err));
        if (job->progress) progress_add(job->progress, bytes_of(job, n));
    }
    if (job->channels) flush(u);
    return STATUS_OK;
}

static enum status stats_unit(void *ctx, uint64_t number, int worker, struct error *err)
{
    (void)worker;
    struct stats_job *job = ctx;
    struct unit u = {
        .job = job, .m = &job->moments[number], .wide = dtype_info(job->t->t->dtype)->decode_f64 != NULL};
    int64_t first = (int64_t)number * job->unit, left = job->t->t->n_elements - first;
    void *bytes = NULL, *sums = NULL;
    if (job->channels) u.col_sums = job->col_sums + (int64_t)number * job->n_cols;
    enum status st = STATUS_OK;
    TRY_OUT(mem_alloc(&bytes, bytes_of(job, job->n_read), 1, err));
    TRY_OUT(mem_alloc(&u.values, (uint64_t)job->n_decode, u.wide ? sizeof(double) : sizeof(float), err));
    TRY_OUT(mem_alloc(&sums, job->channels ? (uint64_t)job->n_cols : 1, sizeof(float), err));
    u.float_sums = sums;
    st = run_unit(&u, first, first + smaller(left, job->unit), bytes, err);
out:
    free(sums);
    free(u.values);
    free(bytes);
    return st;
}

/* --- channels --- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum status judge_channels(struct channel_stats *c, const double *rms, int64_t n, struct error *err)
{
    void *p;
    *c = (struct channel_stats){.n_channels = n};
    TRY(mem_alloc(&p, (uint64_t)n, sizeof(double), err));
    double *sorted = p;
    memcpy(sorted, rms, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    double median = n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
    free(p);
    for (int64_t i = 0; i < n; i++) {
        if (rms[i] > rms[c->worst]) c->worst = i;
        c->n_outliers += rms[i] > STATS_OUTLIER * median;
    }
    c->worst_ratio = median > 0 ? rms[c->worst] / median : 0;
    return STATUS_OK;
}

static enum status finish_channels(struct stats_job *job, struct tensor_stats *out, struct error *err)
{
    for (uint64_t u = 1; u < job->n_units; u++)
        for (int64_t c = 0; c < job->n_cols; c++)
            job->col_sums[c] += job->col_sums[(int64_t)u * job->n_cols + c];
    for (int64_t c = 0; c < job->n_cols; c++) job->col_sums[c] = sqrt(job->col_sums[c] / (double)job->n_rows);
    TRY(judge_channels(&out->cols, job->col_sums, job->n_cols, err));
    return judge_channels(&out->rows, job->row_rms, job->n_rows, err);
}

/* --- a tensor --- */

/* Whole rows where there are channels. */
static int64_t at_once(const struct stats_job *job, int64_t wanted)
{
    int64_t n = wanted / job->grain * job->grain;
    return n > 0 ? n : job->grain;
}

static void lay_out(struct stats_job *job)
{
    const struct tensor *t = job->t->t;
    job->n_rows = tensor_rows(t);
    job->n_cols = tensor_cols(t);
    job->channels = t->n_dims >= 2 && job->n_rows > 1 && job->n_cols > 1 &&
                    job->n_rows <= STATS_CHANNELS_MAX && job->n_cols <= STATS_CHANNELS_MAX;
    job->grain = job->channels ? job->n_cols : DECODE;
    int64_t max_units = job->channels ? SUMS_BYTES / (8 * job->n_cols) : UNITS_MAX;
    if (max_units > UNITS_MAX) max_units = UNITS_MAX;
    if (max_units < 1) max_units = 1;
    int64_t unit = (t->n_elements + max_units - 1) / max_units;
    if (unit < UNIT_MIN) unit = UNIT_MIN;
    job->unit = (unit + job->grain - 1) / job->grain * job->grain;
    const struct dtype_info *info = dtype_info(t->dtype);
    job->n_read = at_once(job, (int64_t)(READ_BYTES / info->block_bytes * info->block_len));
    job->n_decode = at_once(job, DECODE);
    job->n_units = ((uint64_t)t->n_elements + (uint64_t)job->unit - 1) / (uint64_t)job->unit;
}

enum status stats_tensor(const struct ckpt_tensor *t, struct workers *w, struct tensor_stats *out,
                         struct progress *progress, struct error *err)
{
    struct stats_job job = {
        .t = t, .progress = progress, .ops = moments_ops(), .least = dtype_least_normal(t->t->dtype)};
    void *moments = NULL, *col_sums = NULL, *row_rms = NULL;
    memset(out, 0, sizeof *out);
    if (dtype_decode_f32(t->t->dtype, NULL, NULL, 0, err) != STATUS_OK)
        return error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name, "elements of type %s cannot be decoded", dtype_info(t->t->dtype)->name);
    lay_out(&job);
    enum status st = STATUS_OK;
    TRY_OUT(mem_alloc(&moments, job.n_units, sizeof *job.moments, err));
    job.moments = moments;
    if (job.channels) {
        TRY_OUT(mem_alloc(&col_sums, job.n_units * (uint64_t)job.n_cols, sizeof(double), err));
        TRY_OUT(mem_alloc(&row_rms, (uint64_t)job.n_rows, sizeof(double), err));
        job.col_sums = col_sums;
        job.row_rms = row_rms;
    }
    TRY_OUT(workers_run(w, job.n_units, stats_unit, &job, err));
    for (uint64_t i = 0; i < job.n_units; i++) moments_merge(&out->m, &job.moments[i]);
    out->std = moments_std(&out->m);
    out->kurtosis = moments_kurtosis(&out->m);
    out->abs_max = fmax(fabs(out->m.min), fabs(out->m.max));
    if (job.channels) st = finish_channels(&job, out, err);
out:
    free(row_rms);
    free(col_sums);
    free(moments);
    return st;
}
