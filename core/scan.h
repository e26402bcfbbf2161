/* Single passes over a tensor's elements in bounded memory: digest, reduction to a picture's cells. Statistics: core/stats.h.
 *
 * Results do not depend on the number of threads: work is cut into fixed pieces whose results are merged in order.
 */
#ifndef LATHE_SCAN_H
#define LATHE_SCAN_H

#include "base/digest.h"
#include "base/progress.h"
#include "base/workers.h"
#include "formats/checkpoint.h"

/* SHA-256 of the elements' bytes in row-major order. */
enum status scan_sha256(const struct ckpt_tensor *t, uint8_t digest[SHA256_BYTES], struct progress *progress,
                        struct error *err);

/* How many elements become one cell. */
enum reduction {
    REDUCE_EXTREME, /* the value of largest magnitude, with its sign: outliers stay visible */
    REDUCE_MEAN,    /* mean magnitude: structure */
    REDUCE_RMS,     /* root of the mean square */
    REDUCE_COUNT
};
const char *reduction_name(enum reduction r); /* "extreme", "mean", "rms" */

struct cells {
    int64_t rows, cols;         /* of cells */
    int64_t row_step, col_step; /* elements per cell, the last cell of a row or column may hold fewer */
    int64_t n_rows, n_cols;     /* of the matrix */
    double
        *values; /* rows × cols, row-major; NaN where a cell holds a NaN or infinite element; owned: free() */
    int64_t n_not_finite; /* elements */
};
/* Cells of at most max_cells per side; a tensor of more than two dimensions is seen as its rows, a 1-D one as one row. */
enum status scan_cells(const struct ckpt_tensor *t, struct workers *w, enum reduction r, int64_t max_cells,
                       struct cells *out, struct error *err);

#endif
