#include "verify/trace.h"

#include "verify/hypotheses.h"
#include "verify/trace_limit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- distance --- */

static double number(enum precision p, const void *a, int64_t i)
{
    return p == PRECISION_F64 ? ((const double *)a)[i] : (double)((const float *)a)[i];
}

static void column_sums(double *diff, double *size, enum precision p, const void *a, const void *b,
                        int64_t rows, int64_t cols)
{
    for (int64_t t = 0; t < rows; t++)
        for (int64_t c = 0; c < cols; c++) {
            double x = number(p, a, t * cols + c), d = x - number(p, b, t * cols + c);
            diff[c] += d * d;
            size[c] += x * x;
        }
}

static void judge_columns(struct tap_distance *d, const double *diff, const double *size, int64_t cols)
{
    double all_diff = 0, all_size = 0;
    for (int64_t c = 0; c < cols; c++) all_diff += diff[c], all_size += size[c];
    double mean = all_size / (double)cols;
    *d = (struct tap_distance){.rel = all_size > 0   ? sqrt(all_diff / all_size)
                                      : all_diff > 0 ? (double)INFINITY
                                                     : 0};
    for (int64_t c = 0; c < cols; c++) {
        double by = size[c] > mean ? size[c] : mean;
        double rel = by > 0 ? sqrt(diff[c] / by) : diff[c] > 0 ? (double)INFINITY : 0;
        if (!isfinite(diff[c])) rel = (double)INFINITY;
        if (rel > d->worst) d->worst = rel, d->worst_col = c;
    }
    if (!isfinite(d->rel)) d->rel = (double)INFINITY;
}

enum status tap_compare(struct tap_distance *d, enum precision p, const void *a, const void *b, int64_t rows,
                        int64_t cols, struct error *err)
{
    double *sums = calloc((size_t)cols, 2 * sizeof *sums);
    if (!sums) return error_nomem(err, (size_t)cols * 2 * sizeof *sums);
    column_sums(sums, sums + cols, p, a, b, rows, cols);
    judge_columns(d, sums, sums + cols, cols);
    free(sums);
    return STATUS_OK;
}

/* --- a run --- */

struct tracer {
    const struct trace *t;
    struct forward *a, *b;
    struct kept_tap *kept;
    size_t n_kept, cap_kept;
    struct kept_tap before; /* A's residual stream at the start of the layer */
    struct trace_result *out;
    /* the failed tap: B's numbers */
    void *got;
    /* trace_again */
    void *again_data;
    bool again_seen;
};

static size_t tap_bytes(const struct tracer *r, const struct act *a)
{
    return (size_t)(a->rows * a->cols) * (r->t->precision == PRECISION_F64 ? sizeof(double) : sizeof(float));
}

static enum status copy_tap(struct tracer *r, void **out, const struct act *a, struct error *err)
{
    size_t n = tap_bytes(r, a);
    TRY(mem_alloc(out, n, 1, err));
    memcpy(*out, a->data, n);
    return STATUS_OK;
}

static void forget(struct tracer *r)
{
    for (size_t i = 0; i < r->n_kept; i++) free(r->kept[i].data);
    r->n_kept = 0;
}

static enum status keep(void *ctx, const char *tap, int64_t layer, struct act *a, struct error *err)
{
    struct tracer *r = ctx;
    if (r->n_kept == r->cap_kept) {
        size_t cap = r->cap_kept ? 2 * r->cap_kept : 32;
        struct kept_tap *p = realloc(r->kept, cap * sizeof *p);
        if (!p) return error_nomem(err, cap * sizeof *p);
        r->kept = p;
        r->cap_kept = cap;
    }
    struct kept_tap *k = &r->kept[r->n_kept];
    *k = (struct kept_tap){.layer = layer, .rows = a->rows, .cols = a->cols};
    snprintf(k->name, sizeof k->name, "%s", tap);
    TRY(copy_tap(r, &k->data, a, err));
    r->n_kept++;
    return STATUS_OK;
}

static const struct kept_tap *find_kept(const struct tracer *r, const char *tap)
{
    for (size_t i = 0; i < r->n_kept; i++)
        if (strcmp(r->kept[i].name, tap) == 0) return &r->kept[i];
    return NULL;
}

static void set_tap(struct trace_tap *tap, const char *name, int64_t layer, const struct tap_distance *d,
                    const struct trace_limit *limit)
{
    *tap = (struct trace_tap){.layer = layer, .distance = *d, .limit = limit->worst, .rel_limit = limit->rel};
    snprintf(tap->name, sizeof tap->name, "%s", name);
}

/* B's numbers against A's; from then on B has A's. */
static enum status judge(void *ctx, const char *tap, int64_t layer, struct act *a, struct error *err)
{
    struct tracer *r = ctx;
    struct trace_result *out = r->out;
    const struct kept_tap *want = find_kept(r, tap);
    if (!want || out->found) return STATUS_OK; /* only one side has it: its effect shows at the next one */
    struct tap_distance d = {.rel = (double)INFINITY, .worst = (double)INFINITY};
    bool same_shape = want->rows == a->rows && want->cols == a->cols;
    if (same_shape) TRY(tap_compare(&d, r->t->precision, want->data, a->data, a->rows, a->cols, err));
    struct trace_limit limit;
    bool within;
    TRY(trace_limit_of(&limit, r->t, tap, layer, &d, &within, err));
    out->n_taps++;
    if (!within) {
        out->found = true;
        set_tap(&out->first, tap, layer, &d, &limit);
        return copy_tap(r, &r->got, a, err);
    }
    if (d.worst / limit.worst > out->nearest.distance.worst / (out->nearest.limit > 0 ? out->nearest.limit : 1))
        set_tap(&out->nearest, tap, layer, &d, &limit);
    memcpy(a->data, want->data, tap_bytes(r, a));
    return STATUS_OK;
}

/* The same for trace_again: taps before the failed one are A's, that one is measured. */
static enum status judge_again(void *ctx, const char *tap, int64_t layer, struct act *a, struct error *err)
{
    (void)layer;
    (void)err;
    struct tracer *r = ctx;
    const struct kept_tap *want = find_kept(r, tap);
    if (!want || r->again_seen || want->rows != a->rows || want->cols != a->cols) return STATUS_OK;
    if (strcmp(tap, r->out->first.name) == 0) {
        memcpy(r->again_data, a->data, tap_bytes(r, a));
        r->again_seen = true;
        return STATUS_OK;
    }
    memcpy(a->data, want->data, tap_bytes(r, a));
    return STATUS_OK;
}

/* --- logits --- */

/* As one more tap, "logits": both heads over A's last residual stream. */
static enum status run_logits(struct tracer *r, struct forward *f, tap_fn *tap, struct error *err)
{
    const struct trace *t = r->t;
    int64_t n_vocab = f->model->hp.n_vocab;
    void *p;
    TRY(mem_alloc(&p, (uint64_t)(t->n * n_vocab),
                  t->precision == PRECISION_F64 ? sizeof(double) : sizeof(float), err));
    struct act logits = {.rows = t->n, .cols = n_vocab, .data = p};
    enum status st = forward_logits(f, 0, t->n, p, err);
    if (st == STATUS_OK) st = tap(r, "logits", -1, &logits, err);
    free(p);
    return st;
}

static enum status finish(struct tracer *r, struct forward *f, tap_fn *tap, struct error *err)
{
    f->tap = tap;
    TRY(forward_finish(f, err));
    return r->out->found && tap == judge ? STATUS_OK : run_logits(r, f, tap, err);
}

/* --- steps --- */

/* Rows of heads lie as the file's maker took the rotated part; if B's number for it is wrong, that shows in the rotation and not in how
 * unrotated heads are shown. */
static int64_t shown_rope_dim(const struct trace *t, const struct model *m)
{
    const struct hparams *a = &t->a->hp;
    bool alike = a->rope.type != ROPE_NONE && a->head_dim == m->hp.head_dim && a->position_2d == m->hp.position_2d;
    return alike ? a->rope.dim : 0;
}

static enum status begin(struct tracer *r, struct forward *f, tap_fn *tap, struct error *err)
{
    f->tap = tap;
    f->tap_ctx = r;
    f->tap_changes = tap != keep;
    f->causal = r->t->causal;
    f->tap_rope_dim = shown_rope_dim(r->t, f->model);
    return forward_begin(f, r->t->ids, r->t->n, r->t->pos0, err);
}

/* The stream that a step starts from is kept: hypotheses run the step again. */
static enum status keep_before(struct tracer *r, struct error *err)
{
    free(r->before.data);
    r->before = (struct kept_tap){.rows = r->a->x.rows, .cols = r->a->x.cols};
    return copy_tap(r, &r->before.data, &r->a->x, err);
}

static enum status diagnose(struct tracer *r, struct error *err)
{
    const struct trace_result *out = r->out;
    const struct weight *w;
    struct suspect s = {.trace = r->t,
                        .tracer = r,
                        .a = r->a,
                        .b = r->b,
                        .kept = r->kept,
                        .n_kept = r->n_kept,
                        .before = &r->before,
                        .tap = &out->first,
                        .want = find_kept(r, out->first.name),
                        .got = r->got,
                        .role = trace_role(r->t->b, out->first.name, out->first.layer)};
    w = s.role == ROLE_COUNT ? NULL : model_weight(r->t->b, s.role, s.tap->layer, PART_WEIGHT);
    if (w) snprintf(r->out->tensor, sizeof r->out->tensor, "%s", w->t->t->name);
    return hypotheses_try(&s, r->out, err);
}

/* One step of a forward that starts as B's did. */
static enum status step_again(struct tracer *r, struct forward *f, const struct step_view *v,
                              struct error *err)
{
    const char *tap = r->out->first.name;
    f->tap = judge_again;
    f->tap_ctx = r;
    f->tap_changes = true;
    f->causal = r->t->causal;
    f->tap_rope_dim = shown_rope_dim(r->t, f->model);
    f->norm_offset = v->norm_offset;
    TRY(forward_begin(f, v->ids ? v->ids : r->t->ids, r->t->n, r->t->pos0 + v->shift, err));
    if (strcmp(tap, "embd") == 0) return STATUS_OK;
    memcpy(f->x.data, r->before.data, tap_bytes(r, &f->x));
    r->again_seen = false;
    return r->out->first.layer >= 0 ? forward_layer(f, r->out->first.layer, err)
                                    : finish(r, f, judge_again, err);
}

enum status trace_again(struct suspect *s, const struct step_view *v, void *data, bool *seen,
                        struct error *err)
{
    struct tracer *r = s->tracer;
    struct forward *f;
    r->again_seen = false;
    r->again_data = data;
    TRY(forward_new(&f, v->model, r->t->workers, r->t->precision, r->t->n, err));
    enum status st = step_again(r, f, v, err);
    forward_free(f);
    *seen = r->again_seen;
    return st;
}

static enum status run_layers(struct tracer *r, struct error *err)
{
    for (int64_t layer = 0; !r->out->found && layer < r->t->a->hp.n_layer; layer++) {
        forget(r);
        TRY(keep_before(r, err));
        TRY(forward_layer(r->a, layer, err));
        TRY(forward_layer(r->b, layer, err));
    }
    if (r->out->found) return STATUS_OK;
    forget(r);
    TRY(keep_before(r, err));
    TRY(finish(r, r->a, keep, err));
    return finish(r, r->b, judge, err);
}

static enum status run_all(struct tracer *r, struct error *err)
{
    const struct trace *t = r->t;
    TRY(forward_new(&r->a, t->a, t->workers, t->precision, t->n, err));
    TRY(forward_new(&r->b, t->b, t->workers, t->precision, t->n, err));
    TRY(begin(r, r->a, keep, err));
    TRY(begin(r, r->b, judge, err));
    if (!r->out->found) TRY(run_layers(r, err));
    return r->out->found ? diagnose(r, err) : STATUS_OK;
}

int64_t trace_far_position(const struct model *a, const struct model *b)
{
    const struct rope *ra = &a->hp.rope, *rb = &b->hp.rope;
    bool scaled = ra->type > ROPE_DEFAULT || rb->type > ROPE_DEFAULT;
    if (!scaled || ra->type == ROPE_NONE || rb->type == ROPE_NONE) return 0;
    int64_t oa = rope_original_context(ra), ob = rope_original_context(rb);
    return oa > ob ? oa : ob;
}

enum status trace_run(const struct trace *t, struct trace_result *out, struct error *err)
{
    *out = (struct trace_result){.cause = "unknown", .pos0 = t->pos0};
    struct tracer r = {.t = t, .out = out};
    enum status st = run_all(&r, err);
    forget(&r);
    free(r.kept);
    free(r.before.data);
    free(r.got);
    forward_free(r.a);
    forward_free(r.b);
    return st;
}
