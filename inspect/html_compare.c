#include "inspect/html_report.h"

#include "inspect/weight_view.h"

#include <math.h>
#include <stdlib.h>

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

/* A's tensor in the checkpoint; NULL: convert makes it. Of stacked experts the first. */
static struct html_tensor *tensor_of(const struct html_report *r, const struct weight_pair *p)
{
    const struct ckpt_tensor *t = p->a->stored ? ckpt_find(r->s.ckpt, p->a->stored) : NULL;
    return t ? &r->tensors[t - r->s.ckpt->tensors] : NULL;
}

/* A fused matrix comes in as many pairs as the other side has tensors for it: their sums are added. */
static void add_error(struct html_error *e, struct weight_view *v, const struct weight_pair *p)
{
    double n = (double)p->n_rows * (double)p->a->n_cols;
    e->known = true;
    e->dtype = v->place.dtype_b;
    e->sum_a += n * v->rms_a * v->rms_a;
    e->sum_d += n * v->rms_d * v->rms_d;
    e->max_abs = fmax(e->max_abs, v->d.n_not_finite > 0 ? (double)INFINITY : v->max_d);
    e->rel = isfinite(e->max_abs) ? (e->sum_a > 0 ? sqrt(e->sum_d / e->sum_a) : e->sum_d > 0 ? (double)INFINITY : 0) : (double)INFINITY;
    if (p->n_rows != p->a->n_rows || v->d.n_rows < 2 || v->d.n_cols < 2) return;
    e->cells = v->d;
    v->d = (struct cells){0};
}

static enum status add_pair(struct html_report *r, struct weight_source *s, const struct weight_pair *p, int64_t max_cells, struct error *err)
{
    struct html_tensor *t = p->a && p->b ? tensor_of(r, p) : NULL;
    struct weight_view v;
    if (!t || p->n_rows * p->a->n_cols == 0) return STATUS_OK;
    /* the name of the part is its own, that of the whole is several pairs' */
    const char *name = p->a->n_rows <= p->b->n_rows ? p->a->name : p->b->name;
    enum status st = weight_view_make(&v, s, name, REDUCE_ABSMAX, max_cells, err);
    if (st == STATUS_UNSUPPORTED) return STATUS_OK;
    TRY(st);
    if (v.place.pair == p) add_error(&t->error, &v, p);
    weight_view_clear(&v);
    return STATUS_OK;
}

enum status html_errors(struct html_report *r, int64_t max_cells, struct workers *w, struct progress *progress, struct error *err)
{
    struct weight_source s;
    if (!r->s.model || !r->other.model) return STATUS_OK;
    enum status st = weight_source_open(&s, r->s.path, r->other.path, w, err);
    /* two models that cannot be laid side by side: the list of differences tells why */
    if (st == STATUS_MISMATCH || st == STATUS_UNSUPPORTED) return STATUS_OK;
    TRY(st);
    for (size_t i = 0; st == STATUS_OK && i < s.pairs.n; i++) {
        st = add_pair(r, &s, &s.pairs.items[i], max_cells, err);
        if (s.pairs.items[i].a) progress_add(progress, (uint64_t)(s.pairs.items[i].n_rows * s.pairs.items[i].a->n_cols) * 2);
    }
    weight_source_close(&s);
    return st;
}
