/* Operations on rows: embedding, norms, rotation, activations. */
#include "models/ops.h"
#include "base/cpu.h"

#include <string.h>

enum { UNIT_ROWS = 16 };

const struct ops_set ops_sets[] = {
    {"portable", cpu_has_baseline, &ops_f32, &ops_f64},
#if defined(__x86_64__)
    {"avx2", cpu_has_avx2, &ops_f32_avx2, &ops_f64_avx2},
    {"avx512", cpu_has_avx512, &ops_f32_avx512, &ops_f64_avx512},
#endif
    {0},
};

const struct real_ops *ops_select(enum precision p)
{
    const struct ops_set *best = ops_sets;
    for (const struct ops_set *s = ops_sets; s->name; s++)
        if (s->supported()) best = s;
    return p == PRECISION_F64 ? best->f64 : best->f32;
}

enum status op_scratch(struct forward *f, int slot, int64_t cols, struct act *a, struct error *err)
{
    struct buffer *b = &f->state->slots[slot];
    TRY(buffer_reserve(b, (uint64_t)f->n_max * f->state->ops->size, (uint64_t)cols, err));
    *a = (struct act){.rows = f->n, .cols = cols, .data = b->data};
    return STATUS_OK;
}

enum status op_tap(struct forward *f, const char *tap, int64_t layer, struct act *a, struct error *err)
{
    return f->tap ? f->tap(f->tap_ctx, tap, layer, a, err) : STATUS_OK;
}

/* A weight that the family's rules promise */
static enum status need_weight(const struct forward *f, enum role r, int64_t layer, enum part part,
                               const struct ckpt_tensor **t, struct error *err)
{
    const struct weight *w = model_weight(f->model, r, layer, part);
    if (!w)
        return error_at(err, STATUS_NOTFOUND, f->model->ckpt->path, NULL, "the model has no %s %s",
                        role_name(r), part == PART_BIAS ? "bias" : "weight");
    *t = w->t;
    return STATUS_OK;
}

/* Room for reading one row of a table of f->n_embd columns */
static enum status prepare_table(struct forward *f, enum role table, int64_t cols,
                                 const struct ckpt_tensor **t, struct error *err)
{
    uint64_t raw;
    TRY(need_weight(f, table, -1, PART_WEIGHT, t, err));
    const struct tensor *tensor = (*t)->t;
    if (tensor_cols(tensor) != cols || !dtype_bytes(tensor->dtype, cols, &raw))
        return error_at(err, STATUS_MISMATCH, (*t)->container->file.path, tensor->name,
                        "expected rows of %lld elements, found %lld", (long long)cols,
                        (long long)tensor_cols(tensor));
    return ops_reserve(f, raw, (uint64_t)cols * f->state->ops->size, 0, err);
}

enum status op_embed(struct forward *f, struct act *dst, enum role table, struct error *err)
{
    const struct ckpt_tensor *t = NULL;
    TRY(prepare_table(f, table, dst->cols, &t, err));
    for (int64_t i = 0; i < f->n; i++)
        TRY(ops_read_rows(f, 0, t, f->ids[i], 1, ops_at(f, dst->data, i * dst->cols), err));
    return STATUS_OK;
}

static enum status check_positions(const struct forward *f, const struct ckpt_tensor *t,
                                   const int64_t *positions, struct error *err)
{
    for (int64_t i = 0; i < f->n; i++)
        if (positions[i] < 0 || positions[i] >= tensor_rows(t->t))
            return error_at(err, STATUS_RANGE, t->container->file.path, t->t->name,
                            "the model has %lld learned positions, position %lld was asked for",
                            (long long)tensor_rows(t->t), (long long)positions[i]);
    return STATUS_OK;
}

enum status op_add_positions(struct forward *f, struct act *dst, enum role table, const int64_t *positions,
                             struct error *err)
{
    const struct ckpt_tensor *t = NULL;
    TRY(prepare_table(f, table, dst->cols, &t, err));
    TRY(check_positions(f, t, positions, err));
    void *row = f->state->scratch[0].rows.data;
    for (int64_t i = 0; i < f->n; i++) {
        TRY(ops_read_rows(f, 0, t, positions[i], 1, row, err));
        f->state->ops->add(ops_at(f, dst->data, i * dst->cols), row, dst->cols);
    }
    return STATUS_OK;
}

/* One operation on rows: `run` gets a range of them. */
struct rows_job {
    struct forward *f;
    struct act *dst;
    const struct act *src;
    void (*run)(const struct rows_job *job, int64_t row, int64_t n);
    enum activation activation;
    int64_t col0, n_heads, stride;
    enum rope_style style;
    bool by_block;
    double factor;
};

static enum status rows_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    (void)err;
    const struct rows_job *job = ctx;
    int64_t row = (int64_t)unit * UNIT_ROWS, left = job->dst->rows - row;
    job->run(job, row, left < UNIT_ROWS ? left : UNIT_ROWS);
    return STATUS_OK;
}

static enum status run_rows(struct rows_job *job, struct error *err)
{
    return workers_run(job->f->workers, ((uint64_t)job->dst->rows + UNIT_ROWS - 1) / UNIT_ROWS, rows_unit,
                       job, err);
}

static void *at_row(const struct rows_job *job, const struct act *a, int64_t row)
{
    return ops_at(job->f, a->data, row * a->cols);
}

/* The role's weight (and bias) in double, in state->norm_w (norm_b) */
static enum status read_norm(struct forward *f, enum role r, int64_t layer, enum part part, int64_t n,
                             struct error *err)
{
    const struct ckpt_tensor *t = NULL;
    struct buffer *b = part == PART_BIAS ? &f->state->norm_b : &f->state->norm_w;
    TRY(need_weight(f, r, layer, part, &t, err));
    TRY(buffer_reserve(b, (uint64_t)n, sizeof(double), err));
    double *values = b->data;
    TRY(ops_read_doubles(f, t, n, values, err));
    for (int64_t i = 0; f->norm_offset != 0 && part == PART_WEIGHT && i < n; i++) values[i] += f->norm_offset;
    return STATUS_OK;
}

static void run_rms_norm(const struct rows_job *job, int64_t row, int64_t n)
{
    const struct forward_state *s = job->f->state;
    s->ops->rms_norm(at_row(job, job->dst, row), at_row(job, job->src, row), n, job->src->cols,
                     s->norm_w.data, job->f->model->hp.norm_eps);
}

enum status op_rms_norm(struct forward *f, struct act *dst, const struct act *src, enum role r, int64_t layer,
                        struct error *err)
{
    TRY(read_norm(f, r, layer, PART_WEIGHT, src->cols, err));
    return run_rows(&(struct rows_job){.f = f, .dst = dst, .src = src, .run = run_rms_norm}, err);
}

static void run_layer_norm(const struct rows_job *job, int64_t row, int64_t n)
{
    const struct forward_state *s = job->f->state;
    s->ops->layer_norm(at_row(job, job->dst, row), at_row(job, job->src, row), n, job->src->cols,
                       s->norm_w.data, s->norm_b.data, job->f->model->hp.norm_eps);
}

enum status op_layer_norm(struct forward *f, struct act *dst, const struct act *src, enum role r,
                          int64_t layer, struct error *err)
{
    TRY(read_norm(f, r, layer, PART_WEIGHT, src->cols, err));
    TRY(read_norm(f, r, layer, PART_BIAS, src->cols, err));
    return run_rows(&(struct rows_job){.f = f, .dst = dst, .src = src, .run = run_layer_norm}, err);
}

static void run_rope(const struct rows_job *job, int64_t row, int64_t n)
{
    const struct forward_state *s = job->f->state;
    int64_t first = row * (s->rope_dim / 2);
    const double *cos = job->by_block ? s->block_cos : s->rope_cos, *sin = job->by_block ? s->block_sin : s->rope_sin;
    s->ops->rope(ops_at(job->f, job->dst->data, row * job->dst->cols + job->col0), job->dst->cols, n,
                 job->n_heads, job->stride, s->rope_dim, job->style, cos + first, sin + first);
}

static enum status rotate_rows(struct rows_job *job, struct error *err)
{
    const struct forward *f = job->f;
    int64_t dim = f->state->rope_dim;
    if (!f->state->rope_cos || dim > f->model->hp.head_dim ||
        job->col0 + (job->n_heads - 1) * job->stride + dim > job->dst->cols)
        return error_at(err, STATUS_MISMATCH, f->model->ckpt->path, NULL,
                        "RoPE: expected at most %lld rotated dimensions, found %lld",
                        (long long)f->model->hp.head_dim, (long long)dim);
    return run_rows(job, err);
}

enum status op_rope(struct forward *f, struct act *a, int64_t col0, int64_t n_heads, int64_t stride,
                    enum rope_style style, struct error *err)
{
    return rotate_rows(&(struct rows_job){.f = f,
                                          .dst = a,
                                          .run = run_rope,
                                          .col0 = col0,
                                          .n_heads = n_heads,
                                          .stride = stride,
                                          .style = style},
                       err);
}

enum status op_rope_block(struct forward *f, struct act *a, int64_t col0, int64_t n_heads, int64_t stride,
                          enum rope_style style, struct error *err)
{
    return rotate_rows(&(struct rows_job){.f = f,
                                          .dst = a,
                                          .run = run_rope,
                                          .col0 = col0,
                                          .n_heads = n_heads,
                                          .stride = stride,
                                          .style = style,
                                          .by_block = true},
                       err);
}

static void run_activate(const struct rows_job *job, int64_t row, int64_t n)
{
    job->f->state->ops->activate(at_row(job, job->dst, row), n * job->dst->cols, job->activation);
}

enum status op_activate(struct forward *f, struct act *a, enum activation kind, struct error *err)
{
    if ((unsigned)kind >= ACTIVATION_COUNT) return error_set(err, STATUS_UNSUPPORTED, "unknown activation");
    return run_rows(&(struct rows_job){.f = f, .dst = a, .run = run_activate, .activation = kind}, err);
}

/* Row by row: what the first loop wrote is in cache for the second one. */
static void run_gate(const struct rows_job *job, int64_t row, int64_t n)
{
    const struct real_ops *ops = job->f->state->ops;
    for (int64_t t = row; t < row + n; t++) {
        ops->activate(at_row(job, job->dst, t), job->dst->cols, job->activation);
        ops->multiply(at_row(job, job->dst, t), at_row(job, job->src, t), job->dst->cols);
    }
}

enum status op_gate(struct forward *f, struct act *gate, const struct act *up, enum activation kind, struct error *err)
{
    if ((unsigned)kind >= ACTIVATION_COUNT) return error_set(err, STATUS_UNSUPPORTED, "unknown activation");
    return run_rows(&(struct rows_job){.f = f, .dst = gate, .src = up, .run = run_gate, .activation = kind}, err);
}

static void run_gate_halves(const struct rows_job *job, int64_t row, int64_t n)
{
    const struct real_ops *ops = job->f->state->ops;
    int64_t width = job->dst->cols;
    for (int64_t t = row; t < row + n; t++) {
        const void *gate = at_row(job, job->src, t);
        void *to = at_row(job, job->dst, t);
        memcpy(to, gate, (size_t)width * ops->size);
        ops->activate(to, width, job->activation);
        ops->multiply(to, ops_at(job->f, gate, width), width);
    }
}

enum status op_gate_halves(struct forward *f, struct act *dst, const struct act *src, enum activation kind,
                           struct error *err)
{
    if ((unsigned)kind >= ACTIVATION_COUNT || src->cols != 2 * dst->cols)
        return error_set(err, STATUS_UNSUPPORTED, "gated activation: expected 2 x %lld columns, found %lld",
                         (long long)dst->cols, (long long)src->cols);
    return run_rows(
        &(struct rows_job){.f = f, .dst = dst, .src = src, .run = run_gate_halves, .activation = kind}, err);
}

static void run_add(const struct rows_job *job, int64_t row, int64_t n)
{
    job->f->state->ops->add(at_row(job, job->dst, row), at_row(job, job->src, row), n * job->dst->cols);
}

enum status op_add(struct forward *f, struct act *dst, const struct act *src, struct error *err)
{
    return run_rows(&(struct rows_job){.f = f, .dst = dst, .src = src, .run = run_add}, err);
}

static void run_scale(const struct rows_job *job, int64_t row, int64_t n)
{
    job->f->state->ops->scale(at_row(job, job->dst, row), n * job->dst->cols, job->factor);
}

enum status op_scale(struct forward *f, struct act *a, double factor, struct error *err)
{
    return run_rows(&(struct rows_job){.f = f, .dst = a, .run = run_scale, .factor = factor}, err);
}
