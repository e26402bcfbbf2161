#include "core/dequant.h"

#include <stdlib.h>

/* Source row of a target row: transforms of scaled weights move whole rows (plan_add). */
static int64_t source_row(const struct plan_tensor *t, int64_t row)
{
    return transform_source_index(&t->spec, row * t->spec.cols) / t->spec.cols;
}

/* Grid rows [first, first + n) as floats; free() them. */
static enum status read_grid(const struct plan_scales *s, int64_t first, int64_t n, float **grid,
                             struct error *err)
{
    const struct tensor *t = s->t->t;
    uint64_t elem = dtype_info(t->dtype)->block_bytes, count = (uint64_t)n * (uint64_t)s->grid_cols;
    void *raw, *values;
    TRY(mem_alloc(&raw, count, (size_t)elem, err));
    enum status st = mem_alloc(&values, count, sizeof(float), err);
    if (st == STATUS_OK) {
        st = ckpt_read(s->t, (uint64_t)first * (uint64_t)s->grid_cols * elem, raw, (size_t)(count * elem),
                       err);
        if (st == STATUS_OK) st = dtype_cast(DTYPE_F32, values, t->dtype, raw, (int64_t)count, NULL, err);
        if (st == STATUS_OK)
            *grid = values;
        else
            free(values);
    }
    free(raw);
    return st;
}

/* n elements of one row, from column `col` on; `scales` are those of the row. */
static void multiply(float *dst, int64_t col, int64_t n, const float *scales, int64_t block_cols)
{
    for (int64_t i = 0; i < n; i++) dst[i] *= scales[(col + i) / block_cols];
}

enum status dequant_run(const struct plan_tensor *t, int64_t first, int64_t n, const void *src, float *dst,
                        struct error *err)
{
    const struct plan_scales *s = &t->scales;
    int64_t cols = t->spec.cols, row0 = first / cols, row1 = (first + n - 1) / cols, low = INT64_MAX,
            high = 0;
    float *grid;
    TRY(dtype_cast(DTYPE_F32, dst, t->from, src, n, NULL, err));
    for (int64_t row = row0; row <= row1; row++) {
        int64_t g = source_row(t, row) / s->block_rows;
        low = g < low ? g : low;
        high = g > high ? g : high;
    }
    TRY(read_grid(s, low, high - low + 1, &grid, err));
    for (int64_t row = row0, done = 0; row <= row1; row++) {
        int64_t col = row == row0 ? first % cols : 0, k = cols - col < n - done ? cols - col : n - done;
        multiply(dst + done, col, k, grid + (source_row(t, row) / s->block_rows - low) * s->grid_cols,
                 s->block_cols);
        done += k;
    }
    free(grid);
    return STATUS_OK;
}
