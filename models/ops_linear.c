/* Reading weights tile by tile, and the products with them. */
#include "models/ops.h"

enum {
    TILE_ROWS = 96,       /* rows of weights that a unit of work decodes: a multiple of MATMUL_ROWS */
    TILE_BYTES = 8 << 20, /* ... fewer when they would take more */
    CONV1D_COLS = 96,     /* columns of a unit: a multiple of both widths */
};

enum status ops_reserve(struct forward *f, uint64_t raw, uint64_t rows, uint64_t acc, struct error *err)
{
    struct forward_state *s = f->state;
    for (int i = 0; i < s->n_scratch; i++) {
        TRY(buffer_reserve(&s->scratch[i].raw, raw, 1, err));
        TRY(buffer_reserve(&s->scratch[i].rows, rows, 1, err));
        TRY(buffer_reserve(&s->scratch[i].acc, acc, 1, err));
    }
    return STATUS_OK;
}

/* Rows of scales as doubles into the worker's buffer: those of the grid's rows [first, first + n). */
static enum status read_scales(struct forward *f, int worker, const struct model_scale *s, int64_t first, int64_t n,
                               const double **values, struct error *err)
{
    struct buffer *buffer = &f->state->scratch[worker].scales;
    const struct tensor *t = s->t->t;
    uint64_t count = (uint64_t)n * (uint64_t)s->grid_cols, elem = dtype_info(t->dtype)->block_bytes;
    TRY(buffer_reserve(buffer, 2 * count, sizeof(double), err)); /* no element is longer than a double */
    double *dst = buffer->data;
    void *raw = dst + count;
    TRY(ckpt_read(s->t, (uint64_t)(first * s->grid_cols) * elem, raw, (size_t)(count * elem), err));
    *values = dst;
    return dtype_decode_f64(t->dtype, raw, dst, (int64_t)count, err);
}

/* The weight's value is its element times the scale of its block. */
static enum status apply_scales(struct forward *f, int worker, const struct model_scale *s, int64_t row,
                                int64_t n_rows, int64_t cols, void *dst, struct error *err)
{
    int64_t first = row / s->block_rows, last = (row + n_rows - 1) / s->block_rows;
    const double *grid;
    TRY(read_scales(f, worker, s, first, last - first + 1, &grid, err));
    for (int64_t r = 0; r < n_rows; r++) {
        const double *scales = grid + ((row + r) / s->block_rows - first) * s->grid_cols;
        for (int64_t block = 0; block < s->grid_cols; block++) {
            int64_t c = block * s->block_cols, n = cols - c < s->block_cols ? cols - c : s->block_cols;
            f->state->ops->scale(ops_at(f, dst, r * cols + c), n, scales[block]);
        }
    }
    return STATUS_OK;
}

enum status ops_read_rows(struct forward *f, int worker, const struct ckpt_tensor *t, int64_t row,
                          int64_t n_rows, void *dst, struct error *err)
{
    const struct real_ops *ops = f->state->ops;
    if (t->t->dtype == ops->dtype) return ckpt_read_rows(t, row, n_rows, dst, err);
    void *raw = f->state->scratch[worker].raw.data;
    int64_t cols = tensor_cols(t->t);
    TRY(ckpt_read_rows(t, row, n_rows, raw, err));
    enum status st = ops->decode(t->t->dtype, raw, dst, n_rows * cols, err);
    const struct model_scale *s = model_scale(f->model, t);
    if (st == STATUS_OK && s && n_rows > 0) return apply_scales(f, worker, s, row, n_rows, cols, dst, err);
    if (st == STATUS_OK) return st;
    struct error why = *err;
    return error_at(err, st, t->container->file.path, t->t->name, "%s", why.text);
}

/* Bytes of n rows as stored */
static enum status raw_bytes(const struct ckpt_tensor *t, int64_t n_rows, uint64_t *bytes, struct error *err)
{
    if (dtype_bytes(t->t->dtype, tensor_cols(t->t), bytes) && size_mul(*bytes, (uint64_t)n_rows, bytes))
        return STATUS_OK;
    return error_at(err, STATUS_RANGE, t->container->file.path, t->t->name,
                    "rows of %lld elements do not fit the type", (long long)tensor_cols(t->t));
}

static enum status check_elements(const struct ckpt_tensor *t, int64_t n, struct error *err)
{
    if (t->t->n_elements == n) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, t->container->file.path, t->t->name,
                    "expected %lld elements, found %lld", (long long)n, (long long)t->t->n_elements);
}

enum status ops_read_vector(struct forward *f, const struct ckpt_tensor *t, int64_t n, void *dst,
                            struct error *err)
{
    uint64_t raw;
    TRY(check_elements(t, n, err));
    TRY(raw_bytes(t, tensor_rows(t->t), &raw, err));
    TRY(ops_reserve(f, raw, 0, 0, err));
    return ops_read_rows(f, 0, t, 0, tensor_rows(t->t), dst, err);
}

enum status ops_read_doubles(struct forward *f, const struct ckpt_tensor *t, int64_t n, double *dst,
                             struct error *err)
{
    uint64_t raw;
    TRY(check_elements(t, n, err));
    TRY(raw_bytes(t, tensor_rows(t->t), &raw, err));
    TRY(ops_reserve(f, raw, 0, 0, err));
    void *bytes = f->state->scratch[0].raw.data;
    TRY(ckpt_read_rows(t, 0, tensor_rows(t->t), bytes, err));
    return dtype_decode_f64(t->t->dtype, bytes, dst, n, err);
}

struct linear_job {
    struct forward *f;
    const struct linear *p;
    const void *bias;
    int64_t tile_rows;
    int64_t k0, n_k; /* conv1d: the slab of rows in hand */
};

static enum status pack_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    (void)err;
    const struct linear_job *job = ctx;
    const struct linear *p = job->p;
    const struct real_ops *ops = job->f->state->ops;
    int64_t pos = (int64_t)unit * ops->width, n = p->n_pos - pos < ops->width ? p->n_pos - pos : ops->width;
    ops->pack(ops_at(job->f, job->f->state->shared.data, pos * p->n_in), ops_at(job->f, p->x, pos * p->n_in),
              p->n_in, n, p->n_in);
    return STATUS_OK;
}

static enum status tile_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    const struct linear_job *job = ctx;
    const struct linear *p = job->p;
    struct forward *f = job->f;
    struct worker_scratch *scratch = &f->state->scratch[worker];
    int64_t row = (int64_t)unit * job->tile_rows,
            n = p->n_out - row < job->tile_rows ? p->n_out - row : job->tile_rows;
    TRY(ops_read_rows(f, worker, p->w, p->row0 + row, n, scratch->rows.data, err));
    f->state->ops->linear(f->state->mm, ops_at(f, p->out, row), p->n_out, f->state->shared.data, p->n_pos,
                          scratch->rows.data, n, p->n_in, job->bias ? ops_at(f, job->bias, row) : NULL,
                          scratch->acc.data);
    return STATUS_OK;
}

/* W is (n_out, n_in): units are tiles of its rows, against all positions packed into panels. */
static enum status run_rows(struct linear_job *job, struct error *err)
{
    struct forward *f = job->f;
    const struct linear *p = job->p;
    const struct real_ops *ops = f->state->ops;
    int64_t fit = TILE_BYTES / (p->n_in * (int64_t)ops->size) / MATMUL_ROWS * MATMUL_ROWS;
    job->tile_rows = fit < MATMUL_ROWS ? MATMUL_ROWS : fit < TILE_ROWS ? fit : TILE_ROWS;
    uint64_t raw, row_bytes = (uint64_t)p->n_in * ops->size;
    uint64_t n_panels = ((uint64_t)p->n_pos + (uint64_t)ops->width - 1) / (uint64_t)ops->width;
    TRY(raw_bytes(p->w, job->tile_rows, &raw, err));
    TRY(ops_reserve(f, raw, (uint64_t)job->tile_rows * row_bytes,
                    (uint64_t)OPS_CHUNK * (uint64_t)job->tile_rows * ops->size, err));
    TRY(buffer_reserve(&f->state->shared, n_panels * (uint64_t)ops->width, row_bytes, err));
    TRY(workers_run(f->workers, n_panels, pack_unit, job, err));
    return workers_run(f->workers,
                       ((uint64_t)p->n_out + (uint64_t)job->tile_rows - 1) / (uint64_t)job->tile_rows,
                       tile_unit, job, err);
}

static enum status slab_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    const struct linear_job *job = ctx;
    struct forward *f = job->f;
    void *row = f->state->scratch[worker].rows.data;
    TRY(ops_read_rows(f, worker, job->p->w, job->k0 + (int64_t)unit, 1, row, err));
    f->state->ops->scatter(f->state->shared.data, job->n_k, (int64_t)unit, row, job->p->n_out);
    return STATUS_OK;
}

static enum status columns_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    (void)err;
    const struct linear_job *job = ctx;
    const struct linear *p = job->p;
    struct forward *f = job->f;
    const struct real_ops *ops = f->state->ops;
    bool last = job->k0 + job->n_k == p->n_in;
    int64_t end = ((int64_t)unit + 1) * CONV1D_COLS < p->n_out ? ((int64_t)unit + 1) * CONV1D_COLS : p->n_out;
    for (int64_t c = (int64_t)unit * CONV1D_COLS; c < end; c += ops->width)
        ops->conv1d(f->state->mm, ops_at(f, p->out, c), p->n_out, ops_at(f, p->x, job->k0), p->n_in, p->n_pos,
                    ops_at(f, f->state->shared.data, c * job->n_k), job->n_k,
                    end - c < ops->width ? end - c : ops->width, job->k0 > 0,
                    last && job->bias ? ops_at(f, job->bias, c) : NULL);
    return STATUS_OK;
}

/* W is (n_in, n_out): slabs of its rows, one block of the sum each, become panels that all units share. */
static enum status run_conv1d(struct linear_job *job, struct error *err)
{
    struct forward *f = job->f;
    const struct linear *p = job->p;
    const struct real_ops *ops = f->state->ops;
    uint64_t raw,
        n_out = ((uint64_t)p->n_out + (uint64_t)ops->width - 1) / (uint64_t)ops->width * (uint64_t)ops->width;
    TRY(raw_bytes(p->w, 1, &raw, err));
    TRY(ops_reserve(f, raw, n_out * ops->size, 0, err));
    TRY(buffer_reserve(&f->state->shared, n_out * MATMUL_CUT, ops->size, err));
    for (job->k0 = 0; job->k0 < p->n_in; job->k0 += job->n_k) {
        job->n_k = p->n_in - job->k0 < MATMUL_CUT ? p->n_in - job->k0 : MATMUL_CUT;
        TRY(workers_run(f->workers, (uint64_t)job->n_k, slab_unit, job, err));
        TRY(workers_run(f->workers, (n_out + CONV1D_COLS - 1) / CONV1D_COLS, columns_unit, job, err));
    }
    return STATUS_OK;
}

enum status linear_run(struct forward *f, const struct linear *p, struct error *err)
{
    struct linear_job job = {.f = f, .p = p};
    int64_t rows = p->conv1d ? p->n_in : p->n_out, cols = p->conv1d ? p->n_out : p->n_in;
    bool fits = p->is_part ? p->row0 + rows <= tensor_rows(p->w->t) : rows == tensor_rows(p->w->t);
    if (!fits || tensor_cols(p->w->t) != cols)
        return error_at(err, STATUS_MISMATCH, p->w->container->file.path, p->w->t->name,
                        "expected %lld x %lld, found %lld x %lld", (long long)rows, (long long)cols,
                        (long long)tensor_rows(p->w->t), (long long)tensor_cols(p->w->t));
    if (p->b) {
        TRY(buffer_reserve(&f->state->bias, (uint64_t)p->n_out, f->state->ops->size, err));
        TRY(ops_read_vector(f, p->b, p->n_out, f->state->bias.data, err));
        job.bias = f->state->bias.data;
    }
    return p->conv1d ? run_conv1d(&job, err) : run_rows(&job, err);
}

enum status op_linear(struct forward *f, struct act *dst, const struct act *src, enum role r, int64_t layer,
                      bool conv1d, struct error *err)
{
    const struct weight *w = model_weight(f->model, r, layer, PART_WEIGHT);
    const struct weight *b = model_weight(f->model, r, layer, PART_BIAS);
    if (!w)
        return error_at(err, STATUS_NOTFOUND, f->model->ckpt->path, NULL, "layer %lld has no %s",
                        (long long)layer, role_name(r));
    if (f->before_linear) TRY(f->before_linear(f->linear_ctx, w, -1, src, err));
    const struct linear p = {
        .w = w->t,
        .b = b ? b->t : NULL,
        .conv1d = conv1d,
        .x = src->data,
        .n_pos = src->rows,
        .n_in = src->cols,
        .n_out = dst->cols,
        .out = dst->data,
    };
    return linear_run(f, &p, err);
}
