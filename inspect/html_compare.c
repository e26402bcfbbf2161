#include "inspect/html_report.h"

#include "core/exact_sum.h"
#include "core/model_plan.h"
#include "core/writer.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- verify's figures on one window ---- */

enum { WINDOW_MAX = 512, CHUNK_BYTES = 32 << 20 };

struct window {
    struct html_report *r;
    struct forward *a, *b;
    int64_t n, n_chunk;
    float *logits_a, *logits_b;
    int32_t *next;
    struct metrics metrics;
};

static enum status window_open(struct window *w, const struct attention_options *o, struct workers *workers, struct error *err)
{
    const struct model *sides[] = {w->r->s.model, w->r->other.model};
    struct forward **forwards[] = {&w->a, &w->b};
    int64_t n_vocab = sides[0]->hp.n_vocab;
    void *p;
    w->n = w->r->tokens.n < WINDOW_MAX ? w->r->tokens.n : WINDOW_MAX;
    for (int i = 0; i < 2; i++)
        if (model_learned_positions(sides[i]) < w->n) w->n = model_learned_positions(sides[i]);
    w->n_chunk = CHUNK_BYTES / (n_vocab * (int64_t)sizeof(float));
    w->n_chunk = w->n_chunk < 1 ? 1 : w->n_chunk > w->n ? w->n : w->n_chunk;
    TRY(mem_alloc(&p, (uint64_t)(w->n_chunk * n_vocab), sizeof(float), err));
    w->logits_a = p;
    TRY(mem_alloc(&p, (uint64_t)(w->n_chunk * n_vocab), sizeof(float), err));
    w->logits_b = p;
    TRY(mem_alloc(&p, (uint64_t)w->n_chunk, sizeof *w->next, err));
    w->next = p;
    metrics_begin(&w->metrics, n_vocab);
    for (int i = 0; i < 2; i++) {
        TRY(forward_new(forwards[i], sides[i], workers, PRECISION_F32, w->n, err));
        (*forwards[i])->causal = o->causal;
        TRY(forward_begin(*forwards[i], w->r->tokens.ids, w->n, 0, err));
    }
    return STATUS_OK;
}

static enum status window_run(struct window *w, struct workers *workers, struct progress *progress, struct error *err)
{
    const struct model *a = w->r->s.model, *b = w->r->other.model;
    for (int64_t layer = 0; layer < a->hp.n_layer; layer++) {
        TRY(forward_layer(w->a, layer, err));
        TRY(forward_layer(w->b, layer, err));
        progress_add(progress, model_layer_bytes(a, layer) + model_layer_bytes(b, layer));
    }
    TRY(forward_finish(w->a, err));
    TRY(forward_finish(w->b, err));
    for (int64_t pos = 0; pos < w->n; pos += w->n_chunk) {
        int64_t n = w->n - pos < w->n_chunk ? w->n - pos : w->n_chunk;
        TRY(forward_logits(w->a, pos, n, w->logits_a, err));
        TRY(forward_logits(w->b, pos, n, w->logits_b, err));
        for (int64_t i = 0; i < n; i++) w->next[i] = pos + i + 1 < w->n ? w->r->tokens.ids[pos + i + 1] : -1;
        const struct metrics_block block = {.a = w->logits_a, .b = w->logits_b, .n_pos = n, .next = w->next};
        TRY(metrics_add(&w->metrics, &block, workers, err));
    }
    return metrics_finish(&w->metrics, &w->r->figures, err);
}

static void window_close(struct window *w)
{
    metrics_clear(&w->metrics);
    forward_free(w->a);
    forward_free(w->b);
    free(w->logits_a);
    free(w->logits_b);
    free(w->next);
}

enum status html_compare(struct html_report *r, const struct attention_options *o, struct workers *workers, struct progress *progress,
                         struct error *err)
{
    struct window w = {.r = r};
    const struct model *a = r->s.model, *b = r->other.model;
    if (!a || !b)
        r->no_figures = "one of the two is no complete model of a known family";
    else if (a->hp.n_vocab != b->hp.n_vocab || a->hp.n_layer != b->hp.n_layer)
        r->no_figures = "the two have different vocabularies or numbers of layers";
    if (r->no_figures) return STATUS_OK;
    enum status st = window_open(&w, o, workers, err);
    if (st == STATUS_OK) st = window_run(&w, workers, progress, err);
    window_close(&w);
    r->has_figures = st == STATUS_OK;
    return st;
}

/* ---- what a tensor's numbers are off by ---- */

enum { RUN = 4096 }; /* elements compared at once: a multiple of every block */

struct pair {
    const struct ckpt_tensor *theirs; /* of the side that is not brought into the other's layout; NULL: it has none */
    struct html_error *to;            /* of A's tensor */
    int64_t n_cols;
    struct exact_sum diff, size;
    pthread_mutex_t lock;
};
struct errors {
    struct plan plan; /* of one side, as F32, in the other's layout */
    const struct model *planned, *other;
    bool planned_is_a;
    struct pair *pairs; /* by tensor of the plan */
};

static void add_to_cells(struct cells *c, int64_t index, int64_t n_cols, double diff)
{
    double *cell = &c->values[index / n_cols / c->row_step * c->cols + index % n_cols / c->col_step];
    if (!isfinite(diff))
        *cell = NAN;
    else if (diff > *cell)
        *cell = diff;
}

static enum status compare_run(struct pair *p, bool mine_is_a, const float *mine, int64_t first, int64_t n, struct error *err)
{
    uint64_t raw[RUN], at, bytes;
    float theirs[RUN];
    enum dtype type = p->theirs->t->dtype;
    if (!dtype_bytes(type, first, &at) || !dtype_bytes(type, n, &bytes))
        return error_at(err, STATUS_UNSUPPORTED, p->theirs->container->file.path, p->theirs->t->name, "rows of this length cannot be compared");
    TRY(ckpt_read(p->theirs, at, raw, (size_t)bytes, err));
    TRY(dtype_decode_f32(type, raw, theirs, n, err));
    pthread_mutex_lock(&p->lock);
    for (int64_t i = 0; i < n; i++) {
        double x = (double)mine[i], y = (double)theirs[i], d = x == y || (x != x && y != y) ? 0 : fabs(x - y), a = mine_is_a ? x : y;
        if (p->to->cells.values) add_to_cells(&p->to->cells, first + i, p->n_cols, d);
        if (!isfinite(d)) {
            p->to->max_abs = (double)INFINITY;
            continue;
        }
        if (d > p->to->max_abs) p->to->max_abs = d;
        if (d != 0) exact_sum_add(&p->diff, d * d);
        if (isfinite(a)) exact_sum_add(&p->size, a * a);
    }
    pthread_mutex_unlock(&p->lock);
    return STATUS_OK;
}

static enum status take(void *ctx, uint64_t off, const void *src, size_t n_bytes, struct error *err)
{
    struct errors *e = ctx;
    size_t i = plan_tensor_at(&e->plan, off);
    uint64_t at = off - e->plan.out.tensors[i].off_file;
    if (!e->pairs[i].theirs || at >= e->plan.out.tensors[i].size_bytes) return STATUS_OK;
    int64_t first = (int64_t)(at / sizeof(float)), n = (int64_t)(n_bytes / sizeof(float));
    for (int64_t k = 0; k < n; k += RUN)
        TRY(compare_run(&e->pairs[i], e->planned_is_a, (const float *)src + k, first + k, n - k < RUN ? n - k : RUN, err));
    return STATUS_OK;
}

/* Equal layouts: tensors of equal names. */
static enum status plan_by_names(struct errors *e, struct error *err)
{
    const struct model *m = e->planned;
    for (size_t i = 0; i < m->n_weights; i++) {
        if (!ckpt_find(e->other->ckpt, m->weights[i].t->t->name)) continue;
        struct plan_tensor t = {.name = m->weights[i].t->t->name, .to = DTYPE_F32, .why = "compared"};
        TRY(plan_add(&e->plan, &t, m->weights[i].t, err));
    }
    return STATUS_OK;
}

static enum status plan_by_rules(struct errors *e, struct error *err)
{
    struct warnings unheard = {0};
    enum status st = model_plan(&e->plan, e->planned, &(struct model_plan_options){.receipt = RECEIPT_NONE}, &unheard, err);
    warnings_clear(&unheard);
    for (size_t i = 0; i < e->plan.n_tensors; i++) {
        struct plan_tensor *t = &e->plan.tensors[i];
        if (t->n_sources > 0) t->to = t->wanted = DTYPE_F32;
    }
    return st;
}

static enum status new_cells(struct html_report *r, struct cells *c, const struct tensor *t, int64_t max_cells, struct error *err)
{
    int64_t rows = tensor_rows(t), cols = tensor_cols(t);
    if (t->n_dims < 2 || rows < 2 || cols < 2) return STATUS_OK;
    *c = (struct cells){.n_rows = rows, .n_cols = cols, .row_step = (rows - 1) / max_cells + 1, .col_step = (cols - 1) / max_cells + 1};
    c->rows = (rows - 1) / c->row_step + 1;
    c->cols = (cols - 1) / c->col_step + 1;
    c->values = arena_array(&r->mem, (uint64_t)(c->rows * c->cols), sizeof *c->values);
    return c->values ? STATUS_OK : error_nomem(err, (size_t)(c->rows * c->cols) * sizeof *c->values);
}

/* A's tensor whose numbers the plan's tensor i has; -1: none. */
static int64_t tensor_of_a(const struct html_report *r, const struct errors *e, size_t i)
{
    const struct plan_tensor *p = &e->plan.tensors[i];
    const struct ckpt_tensor *t = !e->planned_is_a ? e->pairs[i].theirs : p->n_sources > 0 ? p->sources[0].t : NULL;
    if (!t) return -1;
    const struct ckpt_tensor *found = ckpt_find(r->s.ckpt, t->t->name);
    return found ? found - r->s.ckpt->tensors : -1;
}

static enum status start_pair(struct html_report *r, struct errors *e, size_t i, int64_t max_cells, struct error *err)
{
    struct pair *p = &e->pairs[i];
    p->theirs = ckpt_find(e->other->ckpt, e->plan.tensors[i].name);
    if (p->theirs && p->theirs->t->n_elements != e->plan.tensors[i].spec.n_elements) p->theirs = NULL; /* the list of differences tells it */
    int64_t at = tensor_of_a(r, e, i);
    if (!p->theirs || at < 0 || r->tensors[at].error.known) {
        p->theirs = NULL;
        return STATUS_OK;
    }
    const struct plan_tensor *planned = &e->plan.tensors[i];
    enum dtype b = e->planned_is_a ? p->theirs->t->dtype : planned->from;
    p->to = &r->tensors[at].error;
    p->to->known = true;
    p->to->dtype = subject_dtype_name(&r->other, b);
    p->n_cols = tensor_cols(p->theirs->t) > 0 ? tensor_cols(p->theirs->t) : 1;
    return new_cells(r, &p->to->cells, p->theirs->t, max_cells, err);
}

static void finish_pair(struct pair *p)
{
    if (!p->theirs) return;
    double diff = exact_sum_value(&p->diff), size = exact_sum_value(&p->size);
    p->to->rel = isfinite(p->to->max_abs) ? (size > 0 ? sqrt(diff / size) : diff > 0 ? (double)INFINITY : 0) : (double)INFINITY;
}

static enum status run_errors(struct html_report *r, struct errors *e, int64_t max_cells, struct workers *w, struct progress *progress,
                              struct error *err)
{
    void *pairs;
    TRY(!e->planned->is_gguf && e->other->is_gguf ? plan_by_rules(e, err) : plan_by_names(e, err));
    if (e->plan.n_tensors == 0) return STATUS_OK;
    TRY(plan_rebuild(&e->plan, err));
    TRY(plan_layout(&e->plan, err));
    TRY(mem_alloc(&pairs, e->plan.n_tensors, sizeof *e->pairs, err));
    e->pairs = pairs;
    for (size_t i = 0; i < e->plan.n_tensors; i++) pthread_mutex_init(&e->pairs[i].lock, NULL);
    for (size_t i = 0; i < e->plan.n_tensors; i++) TRY(start_pair(r, e, i, max_cells, err));
    const struct writer_sink sink = {take, e};
    const struct writer_options opt = {.workers = w, .progress = progress, .allow_overflow = true};
    TRY(writer_run_to(&e->plan, &sink, &opt, err));
    for (size_t i = 0; i < e->plan.n_tensors; i++) finish_pair(&e->pairs[i]);
    return STATUS_OK;
}

enum status html_errors(struct html_report *r, int64_t max_cells, struct workers *w, struct progress *progress, struct error *err)
{
    const struct model *a = r->s.model, *b = r->other.model;
    if (!a || !b) return STATUS_OK;
    bool planned_is_a = !(a->is_gguf && !b->is_gguf);
    struct errors e = {.planned = planned_is_a ? a : b, .other = planned_is_a ? b : a, .planned_is_a = planned_is_a};
    enum status st = run_errors(r, &e, max_cells, w, progress, err);
    for (size_t i = 0; e.pairs && i < e.plan.n_tensors; i++) pthread_mutex_destroy(&e.pairs[i].lock);
    free(e.pairs);
    plan_clear(&e.plan);
    return st;
}
