#include "core/scan.h"

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

struct cells_job {
    const struct ckpt_tensor *t;
    struct cells *out;
};

static enum status cells_row(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    struct cells_job *job = ctx;
    struct cells *c = job->out;
    const struct tensor *t = job->t->t;
    int64_t first = (int64_t)unit * c->row_step;
    int64_t n_rows = c->n_rows - first < c->row_step ? c->n_rows - first : c->row_step;
    void *bytes, *values = NULL;
    TRY(mem_alloc(&bytes, piece_bytes(t, c->n_cols), 1, err));
    enum status st = mem_alloc(&values, (uint64_t)c->n_cols, sizeof(double), err);
    for (int64_t row = first; st == STATUS_OK && row < first + n_rows; row++) {
        st = ckpt_read_rows(job->t, row, 1, bytes, err);
        if (st == STATUS_OK) st = dtype_decode_f64(t->dtype, bytes, values, c->n_cols, err);
        if (st == STATUS_OK) cells_add(c, row * c->n_cols, values, c->n_cols);
    }
    free(values);
    free(bytes);
    return st;
}

enum status scan_cells(const struct ckpt_tensor *t, struct workers *w, enum reduction r, int64_t max_cells,
                       struct cells *out, struct error *err)
{
    int64_t n_rows = tensor_rows(t->t), n_cols = tensor_cols(t->t);
    *out = (struct cells){0};
    if (n_rows < 1 || n_cols < 1)
        return error_at(err, STATUS_RANGE, t->container->file.path, t->t->name, "it has no elements to draw");
    TRY(cells_init(out, r, n_rows, n_cols, max_cells, err));
    struct cells_job job = {.t = t, .out = out};
    enum status st = workers_run(w, (uint64_t)out->rows, cells_row, &job, err);
    if (st == STATUS_OK)
        cells_finish(out);
    else
        cells_clear(out);
    return st;
}
