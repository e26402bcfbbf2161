#include "core/cells.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

static const char *const texts[REDUCE_COUNT] = {
    [REDUCE_EXTREME] = "the value of largest magnitude, with its sign",
    [REDUCE_ABSMAX] = "the largest magnitude",
    [REDUCE_MEAN] = "mean magnitude",
    [REDUCE_RMS] = "root mean square",
};

const char *reduction_text(enum reduction r)
{
    return texts[r];
}

static enum status reserve(double **out, int64_t n, struct error *err)
{
    void *p;
    TRY(mem_alloc(&p, (uint64_t)n, sizeof **out, err));
    *out = p;
    return STATUS_OK;
}

static enum status allocate(struct cells *c, struct error *err)
{
    void *p;
    TRY(reserve(&c->values, c->rows * c->cols, err));
    TRY(reserve(&c->peaks, c->rows * c->cols, err));
    TRY(reserve(&c->row_peaks, c->rows, err));
    TRY(reserve(&c->col_peaks, c->cols, err));
    TRY(mem_alloc(&p, (uint64_t)c->rows, sizeof *c->row_bad, err));
    c->row_bad = p;
    return STATUS_OK;
}

enum status cells_init(struct cells *c, enum reduction r, int64_t n_rows, int64_t n_cols, int64_t max_cells,
                       struct error *err)
{
    *c = (struct cells){.reduction = r, .n_rows = n_rows, .n_cols = n_cols};
    c->row_step = (n_rows - 1) / max_cells + 1;
    c->col_step = (n_cols - 1) / max_cells + 1;
    c->rows = (n_rows - 1) / c->row_step + 1;
    c->cols = (n_cols - 1) / c->col_step + 1;
    enum status st = allocate(c, err);
    if (st != STATUS_OK) cells_clear(c);
    return st;
}

void cells_clear(struct cells *c)
{
    free(c->values);
    free(c->peaks);
    free(c->row_peaks);
    free(c->col_peaks);
    free(c->row_bad);
    *c = (struct cells){0};
}

/* n elements of one cell. acc is the cell so far: for the mean and the root mean square a sum. */
static void add_run(struct cells *c, int64_t row, int64_t col, const double *v, int64_t n)
{
    double *acc = &c->values[row * c->cols + col], *peak = &c->peaks[row * c->cols + col];
    for (int64_t i = 0; i < n; i++) {
        double a = fabs(v[i]);
        if (!isfinite(a)) {
            c->row_bad[row]++;
            *acc = *peak = NAN;
        } else if (!isnan(*acc)) {
            if (c->reduction == REDUCE_MEAN) *acc += a;
            if (c->reduction == REDUCE_RMS) *acc += a * a;
            if (a > *peak) {
                *peak = a;
                if (c->reduction == REDUCE_EXTREME) *acc = v[i];
                if (c->reduction == REDUCE_ABSMAX) *acc = a;
            }
        }
    }
}

void cells_add(struct cells *c, int64_t first, const double *values, int64_t n)
{
    int64_t row = first / c->n_cols, col = first % c->n_cols;
    while (n > 0) {
        int64_t cell = col / c->col_step, end = (cell + 1) * c->col_step;
        if (end > c->n_cols) end = c->n_cols;
        int64_t run = end - col < n ? end - col : n;
        add_run(c, row / c->row_step, cell, values, run);
        values += run;
        n -= run;
        col += run;
        if (col == c->n_cols) col = 0, row++;
    }
}

static int64_t in_cell(int64_t cell, int64_t step, int64_t extent)
{
    return extent - cell * step < step ? extent - cell * step : step;
}

/* The larger of two magnitudes; NaN stays */
static double larger(double a, double b)
{
    return isnan(a) || b < a ? a : b; /* a NaN in b is taken */
}

void cells_finish(struct cells *c)
{
    for (int64_t r = 0; r < c->rows; r++) {
        c->n_not_finite += c->row_bad[r];
        for (int64_t k = 0; k < c->cols; k++) {
            double *v = &c->values[r * c->cols + k], peak = c->peaks[r * c->cols + k];
            double n = (double)(in_cell(r, c->row_step, c->n_rows) * in_cell(k, c->col_step, c->n_cols));
            if (c->reduction == REDUCE_MEAN) *v /= n;
            if (c->reduction == REDUCE_RMS) *v = sqrt(*v / n);
            c->row_peaks[r] = larger(c->row_peaks[r], peak);
            c->col_peaks[k] = larger(c->col_peaks[k], peak);
        }
    }
}
