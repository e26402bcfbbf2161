/* A matrix reduced to the cells of a picture, while its elements go by.
 *
 *     struct cells c;
 *     TRY(cells_init(&c, REDUCE_RMS, n_rows, n_cols, 1024, err));
 *     cells_add(&c, first, values, n) ...      row-major elements [first, first + n), each once
 *     cells_finish(&c);
 *     c.values[row * c.cols + col]
 *     cells_clear(&c);
 *
 * Elements may come in any order; sums are added in the order in which they come. Rows of cells may be filled by different threads.
 */
#ifndef LATHE_CELLS_H
#define LATHE_CELLS_H

#include "base/status.h"

#include <stdint.h>

/* How many elements become one cell; the words of --reduce. */
enum reduction {
    REDUCE_EXTREME, /* the value of largest magnitude, with its sign: outliers stay visible */
    REDUCE_ABSMAX,  /* the largest magnitude */
    REDUCE_MEAN,    /* mean magnitude: structure */
    REDUCE_RMS,     /* root of the mean square */
    REDUCE_COUNT
};
const char *reduction_text(enum reduction r); /* "the value of largest magnitude, with its sign" */

struct cells {
    enum reduction reduction;
    int64_t rows, cols;         /* of cells */
    int64_t row_step, col_step; /* elements per cell, the last cell of a row or column may hold fewer */
    int64_t n_rows, n_cols;     /* of the matrix */
    double *values;             /* rows × cols, row-major; NaN where a cell holds a NaN or infinite element */
    double *peaks;              /* likewise, the largest magnitude */
    double *row_peaks, *col_peaks; /* rows, cols: the largest of peaks; set by cells_finish */
    int64_t *row_bad;              /* NaN and infinite elements by row of cells */
    int64_t n_not_finite;          /* all of them; set by cells_finish */
};
/* Cells of at most max_cells per side. n_rows, n_cols > 0. */
enum status cells_init(struct cells *c, enum reduction r, int64_t n_rows, int64_t n_cols, int64_t max_cells,
                       struct error *err);
void cells_add(struct cells *c, int64_t first, const double *values, int64_t n);
void cells_finish(struct cells *c);
void cells_clear(struct cells *c);

#endif
