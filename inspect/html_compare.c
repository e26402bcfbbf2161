#include "inspect/html_report.h"

#include "core/lockstep.h"
#include "inspect/weight_view.h"

#include <math.h>
#include <stdlib.h>

/* ---- verify's figures on one window ---- */

enum { WINDOW_MAX = 512 };

static enum status run_window(struct html_report *r, const struct attention_options *o, struct workers *workers, struct progress *progress,
                              struct error *err)
{
    const struct model *a = r->s.model, *b = r->other.model;
    int64_t n = model_usable_positions(a, b, r->tokens.n < WINDOW_MAX ? r->tokens.n : WINDOW_MAX);
    const struct lockstep_setup setup = {.a = a, .b = b, .n_max = n, .causal = o->causal, .workers = workers, .progress = progress};
    struct lockstep *l;
    int32_t next[WINDOW_MAX];
    for (int64_t i = 0; i < n; i++) next[i] = i + 1 < n ? r->tokens.ids[i + 1] : -1;
    TRY(lockstep_new(&l, &setup, err));
    enum status st = lockstep_run(l, r->tokens.ids, &n, 1, next, err);
    if (st == STATUS_OK) st = metrics_finish(&l->metrics, &r->figures, err);
    lockstep_free(l);
    return st;
}

enum status html_compare(struct html_report *r, const struct attention_options *o, struct workers *workers, struct progress *progress,
                         struct error *err)
{
    const struct model *a = r->s.model, *b = r->other.model;
    if (!a || !b)
        r->no_figures = "one of the two is no complete model of a known family";
    else if (a->hp.n_vocab != b->hp.n_vocab || a->hp.n_layer != b->hp.n_layer)
        r->no_figures = "the two have different vocabularies or numbers of layers";
    if (r->no_figures) return STATUS_OK;
    TRY(run_window(r, o, workers, progress, err));
    r->has_figures = true;
    return STATUS_OK;
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
