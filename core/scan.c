#include "core/scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements per piece: a multiple of every block length, so that any tensor, being whole blocks, can be cut there. */
enum { PIECE = 1 << 18 };

static uint64_t piece_bytes(const struct tensor *t, int64_t n)
{
    uint64_t bytes = 0;
    dtype_bytes(t->dtype, n, &bytes);
    return bytes;
}

/* --- digest --- */

enum status scan_sha256(const struct ckpt_tensor *t, uint8_t digest[SHA256_BYTES], struct progress *progress,
                        struct error *err)
{
    struct sha256 *h;
    TRY(sha256_new(&h, err));
    void *bytes = NULL;
    enum status st = mem_alloc(&bytes, piece_bytes(t->t, PIECE), 1, err);
    for (int64_t first = 0; st == STATUS_OK && first < t->t->n_elements; first += PIECE) {
        int64_t n = t->t->n_elements - first < PIECE ? t->t->n_elements - first : PIECE;
        uint64_t size = piece_bytes(t->t, n);
        st = ckpt_read(t, piece_bytes(t->t, first), bytes, size, err);
        if (st == STATUS_OK) sha256_update(h, bytes, size);
        if (progress) progress_add(progress, size);
    }
    if (st == STATUS_OK) sha256_finish(h, digest);
    free(bytes);
    sha256_free(h);
    return st;
}

/* --- cells of a picture --- */

static const char *const reduction_names[REDUCE_COUNT] = {"extreme", "mean", "rms"};

const char *reduction_name(enum reduction r)
{
    return reduction_names[r];
}

struct cells_job {
    const struct ckpt_tensor *t;
    enum reduction reduction;
    struct cells *out;
    int64_t *not_finite; /* per row of cells */
};

/* acc is the cell so far: for the mean and the root mean square a sum. NaN stays NaN. */
static double cell_add(enum reduction r, double acc, double v)
{
    if (isnan(acc) || !isfinite(v)) return NAN;
    switch (r) {
    case REDUCE_MEAN:
        return acc + fabs(v);
    case REDUCE_RMS:
        return acc + v * v;
    case REDUCE_EXTREME:
    case REDUCE_COUNT:
        break;
    }
    return fabs(v) > fabs(acc) ? v : acc;
}

static double cell_finish(enum reduction r, double acc, int64_t n)
{
    return r == REDUCE_MEAN ? acc / (double)n : r == REDUCE_RMS ? sqrt(acc / (double)n) : acc;
}

static enum status cells_row(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    struct cells_job *job = ctx;
    struct cells *c = job->out;
    const struct tensor *t = job->t->t;
    double *cells = c->values + (int64_t)unit * c->cols;
    int64_t first = (int64_t)unit * c->row_step;
    int64_t n_rows = c->n_rows - first < c->row_step ? c->n_rows - first : c->row_step;
    void *bytes, *mem;
    TRY(mem_alloc(&bytes, piece_bytes(t, c->n_cols), 1, err));
    enum status st = mem_alloc(&mem, (uint64_t)c->n_cols, sizeof(double), err);
    if (st != STATUS_OK) {
        free(bytes);
        return st;
    }
    double *values = mem;
    for (int64_t row = 0; row < n_rows; row++) {
        TRY_OUT(ckpt_read_rows(job->t, first + row, 1, bytes, err));
        TRY_OUT(dtype_decode_f64(t->dtype, bytes, values, c->n_cols, err));
        for (int64_t i = 0; i < c->n_cols; i++) {
            job->not_finite[unit] += !isfinite(values[i]);
            cells[i / c->col_step] = cell_add(job->reduction, cells[i / c->col_step], values[i]);
        }
    }
    for (int64_t k = 0; k < c->cols; k++) {
        int64_t n_cols =
            c->n_cols - k * c->col_step < c->col_step ? c->n_cols - k * c->col_step : c->col_step;
        cells[k] = cell_finish(job->reduction, cells[k], n_rows * n_cols);
    }
out:
    free(mem);
    free(bytes);
    return st;
}

enum status scan_cells(const struct ckpt_tensor *t, struct workers *w, enum reduction r, int64_t max_cells,
                       struct cells *out, struct error *err)
{
    int64_t n_rows = tensor_rows(t->t), n_cols = tensor_cols(t->t);
    *out = (struct cells){.n_rows = n_rows, .n_cols = n_cols};
    if (n_rows < 1 || n_cols < 1)
        return error_at(err, STATUS_RANGE, t->container->file.path, t->t->name, "it has no elements to draw");
    out->row_step = (n_rows + max_cells - 1) / max_cells;
    out->col_step = (n_cols + max_cells - 1) / max_cells;
    out->rows = (n_rows + out->row_step - 1) / out->row_step;
    out->cols = (n_cols + out->col_step - 1) / out->col_step;

    struct cells_job job = {.t = t, .reduction = r, .out = out};
    void *values, *not_finite;
    TRY(mem_alloc(&values, (uint64_t)(out->rows * out->cols), sizeof(double), err));
    out->values = values;
    enum status st = mem_alloc(&not_finite, (uint64_t)out->rows, sizeof(int64_t), err);
    if (st == STATUS_OK) {
        job.not_finite = not_finite;
        st = workers_run(w, (uint64_t)out->rows, cells_row, &job, err);
        for (int64_t i = 0; i < out->rows; i++) out->n_not_finite += job.not_finite[i];
        free(not_finite);
    }
    if (st != STATUS_OK) {
        free(out->values);
        out->values = NULL;
    }
    return st;
}
