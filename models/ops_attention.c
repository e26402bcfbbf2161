#include "models/ops.h"

#include <string.h>

struct attention_job {
    struct forward *f;
    const struct attention *p;
    struct act *dst;
    int64_t n_panels; /* of all windows, for one head */
    void *probs;      /* of n_group heads from head0 on: (n_group * n, n), or NULL */
    int64_t head0, n_group;
};
enum {
    PROBS_BYTES = 64 << 20, /* kept at once; one head's at least */
    TURN_ROWS = 64,
};

static int64_t panels_of(const struct forward *f, const struct forward_span *s)
{
    int64_t width = f->state->ops->width;
    return (s->n + width - 1) / width;
}

/* The window that panel number *panel lies in, and the panel's number there. */
static const struct forward_span *find_span(const struct forward *f, int64_t *panel)
{
    const struct forward_span *s = f->spans;
    for (; *panel >= panels_of(f, s); s++) *panel -= panels_of(f, s);
    return s;
}

int64_t attention_key_column(const struct attention *p, int64_t head)
{
    return head * (p->group ? p->group : p->head_dim);
}

int64_t attention_query_column(const struct attention *p, int64_t head)
{
    int64_t width = p->n_head / p->n_head_kv;
    return p->group ? head / width * p->group + head % width * p->head_dim : head * p->head_dim;
}

/* Distance of the rows of values turned: no multiple of a power of two that many rows of a cache share */
static int64_t turned_stride(const struct forward *f)
{
    int64_t line = 64 / (int64_t)f->state->ops->size;
    return (f->n + line - 1) / line * line + line;
}

static void *turned_values(const struct attention_job *job, int64_t head_kv)
{
    struct forward *f = job->f;
    return ops_at(f, f->state->shared.data, head_kv * job->p->head_dim * turned_stride(f));
}

/* Keys of one head side by side, behind all values */
static void *head_keys(const struct attention_job *job, int64_t head_kv)
{
    const struct attention *p = job->p;
    struct forward *f = job->f;
    return ops_at(f, f->state->shared.data, (p->n_head_kv * turned_stride(f) + head_kv * f->n) * p->head_dim);
}

/* Of one head of keys, TURN_ROWS of its rows: values turned to (head_dim, n), so that a sum over keys runs along a row, and keys. */
static enum status turn_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    (void)err;
    const struct attention_job *job = ctx;
    const struct attention *p = job->p;
    struct forward *f = job->f;
    int64_t head = (int64_t)unit % p->n_head_kv, column = attention_key_column(p, head);
    int64_t first = (int64_t)unit / p->n_head_kv * TURN_ROWS, end = first + TURN_ROWS < f->n ? first + TURN_ROWS : f->n;
    f->state->ops->turn(ops_at(f, turned_values(job, head), first), turned_stride(f),
                        ops_at(f, p->v->data, first * p->v->cols + p->v_col0 + column), p->v->cols, end - first, p->head_dim);
    for (int64_t t = first; t < end; t++)
        memcpy(ops_at(f, head_keys(job, head), t * p->head_dim), ops_at(f, p->k->data, t * p->k->cols + p->k_col0 + column),
               (size_t)p->head_dim * f->state->ops->size);
    return STATUS_OK;
}

static enum status panel_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)err;
    const struct attention_job *job = ctx;
    const struct attention *p = job->p;
    struct forward *f = job->f;
    const struct real_ops *ops = f->state->ops;
    int64_t in_group = (int64_t)unit / job->n_panels, number = (int64_t)unit % job->n_panels;
    int64_t head = job->head0 + in_group;
    int64_t head_kv = head / (p->n_head / p->n_head_kv);
    const struct forward_span *span = find_span(f, &number);
    int64_t first = number * ops->width, row = span->first + first;
    const struct attention_panel panel = {
        .q = ops_at(f, p->q->data, row * p->q->cols + p->q_col0 + attention_query_column(p, head)),
        .k = ops_at(f, head_keys(job, head_kv), span->first * p->head_dim),
        .v_turned = ops_at(f, turned_values(job, head_kv), span->first),
        .ld_q = p->q->cols,
        .ld_k = p->head_dim,
        .ld_v = turned_stride(f),
        .head_dim = p->head_dim,
        .first = first,
        .n_queries = span->n - first < ops->width ? span->n - first : ops->width,
        .window = p->window,
        .prefix = span->prefix,
        .scale = p->scale,
        .out = ops_at(f, job->dst->data, row * job->dst->cols + head * p->head_dim),
        .ld_out = job->dst->cols,
        .probs = job->probs ? ops_at(f, job->probs, (in_group * f->n + row) * f->n + span->first) : NULL,
        .ld_probs = f->n,
        .q_panel = f->state->scratch[worker].rows.data,
        .scores = f->state->scratch[worker].acc.data,
    };
    ops->attention(f->state->mm, &panel);
    return STATUS_OK;
}

static enum status reserve(struct attention_job *job, struct error *err)
{
    struct forward *f = job->f;
    const struct attention *p = job->p;
    const struct real_ops *ops = f->state->ops;
    uint64_t line = (uint64_t)ops->width * ops->size, n = (uint64_t)f->n, longest = 0;
    for (int64_t i = 0; i < f->n_spans; i++)
        if ((uint64_t)f->spans[i].n > longest) longest = (uint64_t)f->spans[i].n;
    TRY(ops_reserve(f, 0, (uint64_t)p->head_dim * line, longest * line, err));
    TRY(buffer_reserve(&f->state->shared, (n + (uint64_t)turned_stride(f)) * ops->size,
                       (uint64_t)(p->n_head_kv * p->head_dim), err));
    job->n_group = p->n_head;
    if (!f->probs) return STATUS_OK;
    uint64_t head_bytes;
    if (!size_mul(n * n, ops->size, &head_bytes)) return error_nomem(err, SIZE_MAX);
    uint64_t n_group = head_bytes <= PROBS_BYTES ? PROBS_BYTES / head_bytes : 1;
    if (n_group < (uint64_t)p->n_head) job->n_group = (int64_t)n_group;
    TRY(buffer_reserve(&f->state->probs, head_bytes, (uint64_t)job->n_group, err));
    job->probs = f->state->probs.data;
    return STATUS_OK;
}

static enum status run_group(struct attention_job *job, int64_t layer, struct error *err)
{
    struct forward *f = job->f;
    uint64_t head_elements = (uint64_t)f->n * (uint64_t)f->n;
    if (job->probs) memset(job->probs, 0, head_elements * (uint64_t)job->n_group * f->state->ops->size);
    TRY(workers_run(f->workers, (uint64_t)(job->n_group * job->n_panels), panel_unit, job, err));
    for (int64_t i = 0; job->probs && i < job->n_group; i++)
        TRY(f->probs(f->probs_ctx, job->p, layer, job->head0 + i,
                     ops_at(f, job->probs, i * (int64_t)head_elements), err));
    return STATUS_OK;
}

enum status op_attention(struct forward *f, struct act *dst, const struct attention *p, int64_t layer,
                         struct error *err)
{
    struct attention_job job = {.f = f, .p = p, .dst = dst};
    for (int64_t i = 0; i < f->n_spans; i++) job.n_panels += panels_of(f, &f->spans[i]);
    TRY(reserve(&job, err));
    TRY(workers_run(f->workers, (uint64_t)(p->n_head_kv * ((f->n + TURN_ROWS - 1) / TURN_ROWS)), turn_unit, &job, err));
    for (int64_t left = p->n_head; left > 0; left -= job.n_group, job.head0 += job.n_group) {
        if (job.n_group > left) job.n_group = left;
        TRY(run_group(&job, layer, err));
    }
    return STATUS_OK;
}
