/* Reading weights tile by tile, and the products with them. */
#include "models/ops.h"

#include <string.h>

enum {
    TILE_COLS = 96,       /* columns of the result, which are rows of weights, in a unit of work: a multiple of both widths */
    TILE_BYTES = 8 << 20, /* of a unit's panels: one is enough where three would take more */
    SLAB_ROWS = 256,      /* rows of an (in, out) matrix that become panels at once: a multiple of MATMUL_BLOCK */
    BAD_STRIDE = 4096,    /* bytes: rows that far apart fall into one set of the first cache */
    CUT_TILES = 2,        /* of each thread, the last ones of a run: they are handed out panel by panel, so that no thread waits long for another */
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

/* Of positions [pos, pos + n_pos): out (n_pos, n), rows ld_out apart, = their product with panels of columns [c, c + n) of the result, over the n_k
 * numbers of x from k0 on */
static void multiply(const struct linear_job *job, int worker, int64_t pos, int64_t n_pos, int64_t c, int64_t n, const void *panels,
                     int64_t k0, int64_t n_k, void *out, int64_t ld_out)
{
    struct forward *f = job->f;
    const void *bias = job->bias && k0 + n_k == job->p.n_in ? ops_at(f, job->bias, c) : NULL;
    f->state->ops->linear(f->state->mm, out, ld_out, ops_at(f, job->x, pos * job->ld_x + k0), job->ld_x, n_pos, panels, n, n_k, k0 > 0, bias,
                          f->state->scratch[worker].edge.data);
}

static enum status copy_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    (void)err;
    const struct linear_job *job = ctx;
    const struct linear *p = &job->p;
    int64_t pos = (int64_t)unit * OPS_CHUNK, end = pos + OPS_CHUNK < p->n_pos ? pos + OPS_CHUNK : p->n_pos;
    for (; pos < end; pos++)
        memcpy(ops_at(job->f, job->x, pos * job->ld_x), ops_at(job->f, p->x, pos * p->n_in),
               (size_t)p->n_in * job->f->state->ops->size);
    return STATUS_OK;
}

/* The input as it is, or a copy whose rows are further apart */
static enum status place_input(struct linear_job *job, struct error *err)
{
    const struct linear *p = &job->p;
    struct forward_state *s = job->f->state;
    int64_t line = 64 / (int64_t)s->ops->size;
    job->x = p->x;
    job->ld_x = p->n_in;
    if (p->n_in * (int64_t)s->ops->size % BAD_STRIDE != 0 || p->n_pos < 2 * MATMUL_ROWS) return STATUS_OK;
    job->ld_x = p->n_in + line;
    TRY(buffer_reserve(&s->input, (uint64_t)p->n_pos * s->ops->size, (uint64_t)job->ld_x, err));
    job->x = s->input.data;
    return workers_run(job->f->workers, ((uint64_t)p->n_pos + OPS_CHUNK - 1) / OPS_CHUNK, copy_unit, job, err);
}

/* A panel of rows that are turned as they are decoded, so that they are not written in between; *done false: not for these */
static enum status pack_raw(const struct linear_job *job, int worker, int64_t row, int64_t n_rows, void *panel, bool *done, struct error *err)
{
    const struct linear *p = &job->p;
    const struct real_ops *ops = job->f->state->ops;
    enum dtype t = p->w->t->dtype;
    *done = false;
    if (!ops->pack_raw || n_rows < ops->width || dtype_info(t)->block_bytes != 2 || model_scale(job->f->model, p->w)) return STATUS_OK;
    void *raw = job->f->state->scratch[worker].raw.data;
    TRY(ckpt_read_rows(p->w, row, n_rows, raw, err));
    *done = ops->pack_raw(panel, t, raw, p->n_in);
    return STATUS_OK;
}

enum status linear_pack(const struct linear_job *job, int worker, int64_t c, int64_t n, struct error *err)
{
    const struct linear *p = &job->p;
    struct forward *f = job->f;
    const struct real_ops *ops = f->state->ops;
    struct worker_scratch *scratch = &f->state->scratch[worker];
    for (int64_t i = 0; i < n; i += ops->width) {
        int64_t rows = n - i < ops->width ? n - i : ops->width;
        void *panel = ops_at(f, scratch->acc.data, i * p->n_in);
        bool done;
        TRY(pack_raw(job, worker, p->row0 + c + i, rows, panel, &done, err));
        if (done) continue;
        TRY(ops_read_rows(f, worker, p->w, p->row0 + c + i, rows, scratch->rows.data, err));
        ops->pack(panel, scratch->rows.data, p->n_in, rows, p->n_in);
    }
    return STATUS_OK;
}

void linear_multiply(const struct linear_job *job, int worker, int64_t pos, int64_t n_pos, int64_t c, int64_t n, void *out, int64_t ld_out)
{
    multiply(job, worker, pos, n_pos, c, n, job->f->state->scratch[worker].acc.data, 0, job->p.n_in, out, ld_out);
}

/* Every worker's place for panels whose last columns are not there */
static enum status reserve_edges(struct forward *f, struct error *err)
{
    struct forward_state *s = f->state;
    for (int i = 0; i < s->n_scratch; i++)
        TRY(buffer_reserve(&s->scratch[i].edge, OPS_CHUNK * (uint64_t)s->ops->width, s->ops->size, err));
    return STATUS_OK;
}

/* Products of one input, handed out together */
struct linear_group {
    struct linear_job jobs[PROJECTIONS_MAX];
    int n;
};

static int64_t parts_of(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* W is (n_out, n_in): units are tiles of its rows, which their worker turns into panels; the last tiles of the group are cut into panels. */
static uint64_t share_out(struct linear_group *g)
{
    int64_t n_cut = (int64_t)CUT_TILES * workers_count(g->jobs[0].f->workers), n_units = 0;
    for (int i = g->n - 1; i >= 0; i--) {
        struct linear_job *job = &g->jobs[i];
        int64_t n_tiles = parts_of(job->p.n_out, job->tile_cols), cut = n_cut < n_tiles ? n_cut : n_tiles;
        int64_t left = job->p.n_out - (n_tiles - cut) * job->tile_cols;
        n_cut -= cut;
        job->n_tiles = n_tiles - cut;
        job->n_units = job->n_tiles + (cut > 0 ? parts_of(left, job->f->state->ops->width) : 0);
        n_units += job->n_units;
    }
    return (uint64_t)n_units;
}

static enum status tile_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    const struct linear_group *g = ctx;
    const struct linear_job *job = g->jobs;
    int64_t i = (int64_t)unit;
    for (; i >= job->n_units; job++) i -= job->n_units;
    int64_t width = i < job->n_tiles ? job->tile_cols : job->f->state->ops->width;
    int64_t c = i < job->n_tiles ? i * width : job->n_tiles * job->tile_cols + (i - job->n_tiles) * width;
    int64_t n = job->p.n_out - c < width ? job->p.n_out - c : width;
    TRY(linear_pack(job, worker, c, n, err));
    linear_multiply(job, worker, 0, job->p.n_pos, c, n, ops_at(job->f, job->p.out, c), job->p.n_out);
    return STATUS_OK;
}

static enum status slab_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    const struct linear_job *job = ctx;
    struct forward *f = job->f;
    void *row = f->state->scratch[worker].rows.data;
    TRY(ops_read_rows(f, worker, job->p.w, job->k0 + (int64_t)unit, 1, row, err));
    f->state->ops->scatter(f->state->shared.data, job->n_k, (int64_t)unit, row, job->p.n_out);
    return STATUS_OK;
}

static enum status columns_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)err;
    const struct linear_job *job = ctx;
    int64_t c = (int64_t)unit * TILE_COLS, n = job->p.n_out - c < TILE_COLS ? job->p.n_out - c : TILE_COLS;
    multiply(job, worker, 0, job->p.n_pos, c, n, ops_at(job->f, job->f->state->shared.data, c * job->n_k), job->k0, job->n_k,
             ops_at(job->f, job->p.out, c), job->p.n_out);
    return STATUS_OK;
}

/* W is (n_in, n_out): slabs of its rows become panels that all units share. */
static enum status run_conv1d(struct linear_job *job, struct error *err)
{
    struct forward *f = job->f;
    const struct linear *p = &job->p;
    const struct real_ops *ops = f->state->ops;
    uint64_t raw, width = (uint64_t)ops->width, n_out = ((uint64_t)p->n_out + width - 1) / width * width;
    TRY(raw_bytes(p->w, 1, &raw, err));
    TRY(ops_reserve(f, raw, n_out * ops->size, 0, err));
    TRY(buffer_reserve(&f->state->shared, n_out * SLAB_ROWS, ops->size, err));
    for (job->k0 = 0; job->k0 < p->n_in; job->k0 += job->n_k) {
        job->n_k = p->n_in - job->k0 < SLAB_ROWS ? p->n_in - job->k0 : SLAB_ROWS;
        TRY(workers_run(f->workers, (uint64_t)job->n_k, slab_unit, job, err));
        TRY(workers_run(f->workers, (n_out + TILE_COLS - 1) / TILE_COLS, columns_unit, job, err));
    }
    return STATUS_OK;
}

static enum status check_shape(const struct linear *p, struct error *err)
{
    int64_t rows = p->conv1d ? p->n_in : p->n_out, cols = p->conv1d ? p->n_out : p->n_in;
    bool fits = p->is_part ? p->row0 + rows <= tensor_rows(p->w->t) : rows == tensor_rows(p->w->t);
    if (fits && tensor_cols(p->w->t) == cols) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, p->w->container->file.path, p->w->t->name, "expected %lld x %lld, found %lld x %lld",
                    (long long)rows, (long long)cols, (long long)tensor_rows(p->w->t), (long long)tensor_cols(p->w->t));
}

/* Room for a tile of rows, as they are, decoded, and as panels */
static enum status reserve_tiles(const struct linear_job *job, struct error *err)
{
    struct forward *f = job->f;
    const struct real_ops *ops = f->state->ops;
    uint64_t raw, row_bytes = (uint64_t)job->p.n_in * ops->size;
    TRY(raw_bytes(job->p.w, ops->width, &raw, err));
    return ops_reserve(f, raw, (uint64_t)ops->width * row_bytes, (uint64_t)job->tile_cols * row_bytes, err);
}

/* All but the place of the input. `slot`: number among products that are under way at once */
static enum status open_product(struct linear_job *job, struct forward *f, const struct linear *p, int slot, int64_t tile_cols, struct error *err)
{
    bool is_wide = TILE_COLS * (uint64_t)p->n_in * f->state->ops->size > TILE_BYTES;
    *job = (struct linear_job){.f = f, .p = *p, .tile_cols = tile_cols ? tile_cols : is_wide ? f->state->ops->width : TILE_COLS};
    TRY(check_shape(p, err));
    if (p->b) {
        struct buffer *bias = &f->state->bias[slot];
        TRY(buffer_reserve(bias, (uint64_t)p->n_out, f->state->ops->size, err));
        TRY(ops_read_vector(f, p->b, p->n_out, bias->data, err));
        job->bias = bias->data;
    }
    TRY(reserve_edges(f, err));
    return p->conv1d ? STATUS_OK : reserve_tiles(job, err);
}

enum status linear_open(struct linear_job *job, struct forward *f, const struct linear *p, int64_t tile_cols, struct error *err)
{
    TRY(open_product(job, f, p, 0, tile_cols, err));
    return place_input(job, err);
}

static enum status run_group(struct linear_group *g, struct error *err)
{
    TRY(place_input(&g->jobs[0], err));
    for (int i = 1; i < g->n; i++) {
        g->jobs[i].x = g->jobs[0].x;
        g->jobs[i].ld_x = g->jobs[0].ld_x;
    }
    for (int i = 0; g->jobs[0].p.conv1d && i < g->n; i++) TRY(run_conv1d(&g->jobs[i], err));
    return g->jobs[0].p.conv1d ? STATUS_OK : workers_run(g->jobs[0].f->workers, share_out(g), tile_unit, g, err);
}

enum status linear_run(struct forward *f, const struct linear *p, struct error *err)
{
    struct linear_group g = {.n = 1};
    TRY(open_product(&g.jobs[0], f, p, 0, 0, err));
    return run_group(&g, err);
}

enum status op_linears(struct forward *f, const struct act *src, const struct projection *to, int n, int64_t layer, bool conv1d,
                       struct error *err)
{
    struct linear_group g = {.n = n};
    for (int i = 0; i < n; i++) {
        const struct weight *w = model_weight(f->model, to[i].role, layer, PART_WEIGHT);
        const struct weight *b = model_weight(f->model, to[i].role, layer, PART_BIAS);
        if (!w)
            return error_at(err, STATUS_NOTFOUND, f->model->ckpt->path, NULL, "layer %lld has no %s",
                            (long long)layer, role_name(to[i].role));
        if (f->before_linear) TRY(f->before_linear(f->linear_ctx, w, -1, src, err));
        const struct linear p = {
            .w = w->t,
            .b = b ? b->t : NULL,
            .conv1d = conv1d,
            .x = src->data,
            .n_pos = src->rows,
            .n_in = src->cols,
            .n_out = to[i].dst->cols,
            .out = to[i].dst->data,
        };
        TRY(open_product(&g.jobs[i], f, &p, i, 0, err));
    }
    return run_group(&g, err);
}

enum status op_linear(struct forward *f, struct act *dst, const struct act *src, enum role r, int64_t layer,
                      bool conv1d, struct error *err)
{
    return op_linears(f, src, &(struct projection){dst, r}, 1, layer, conv1d, err);
}
