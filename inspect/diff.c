#include "inspect/diff.h"

#include "core/model_plan.h"
#include "core/weight_pairs.h"

#include <stdlib.h>
#include <string.h>

/* ---- the two sides, brought into one layout ---- */

static bool is_gguf(const struct subject *s)
{
    return ckpt_gguf(s->ckpt) != NULL;
}

static size_t count_common(const struct subject *a, const struct subject *b)
{
    size_t n = 0;
    for (size_t i = 0; i < a->ckpt->n_tensors; i++) n += ckpt_find(b->ckpt, a->ckpt->tensors[i].t->name) != NULL;
    return n;
}

/* Equal forms are compared by the names they have, unless those are two spellings. */
static bool by_names(const struct subject *a, const struct subject *b)
{
    if (is_gguf(a) && is_gguf(b)) return true;
    if (is_gguf(a) != is_gguf(b)) return false;
    size_t n = a->ckpt->n_tensors < b->ckpt->n_tensors ? a->ckpt->n_tensors : b->ckpt->n_tensors;
    return 2 * count_common(a, b) >= n;
}

static enum status plan_side(struct diff_side *side, struct error *err)
{
    struct warnings unheard = {0};
    enum status st =
        model_plan(&side->plan, side->s->model, &(struct model_plan_options){.receipt = RECEIPT_NONE}, &unheard, err);
    warnings_clear(&unheard);
    side->planned = st == STATUS_OK;
    return st;
}

static void set_shape(struct diff_tensor *t, int n_dims, const int64_t *shape)
{
    int skip = 0;
    while (skip < n_dims - 1 && shape[skip] == 1) skip++;
    t->n_dims = n_dims - skip;
    memcpy(t->shape, shape + skip, (size_t)t->n_dims * sizeof *shape);
}

static enum status list_planned(struct diff *d, struct diff_side *side, struct error *err)
{
    const struct plan *p = &side->plan;
    if (p->out.failed) return error_nomem(err, p->out.n_kvs * sizeof *p->out.kvs);
    side->tensors = arena_array(&d->mem, p->n_tensors, sizeof *side->tensors);
    if (!side->tensors) return error_nomem(err, p->n_tensors * sizeof *side->tensors);
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct plan_tensor *t = &p->tensors[i];
        struct diff_tensor *out = &side->tensors[side->n_tensors];
        /* without a source: what convert makes because runtimes insist on it */
        *out = (struct diff_tensor){.name = t->name, .dtype = t->n_sources ? t->from : t->to};
        if (t->n_sources) out->source = t->sources[0].t->t->name;
        set_shape(out, p->out.tensors[i].n_dims, p->out.tensors[i].shape);
        side->n_tensors++;
    }
    side->kvs = p->out.kvs;
    side->n_kvs = p->out.n_kvs;
    return STATUS_OK;
}

static enum status list_named(struct diff *d, struct diff_side *side, struct error *err)
{
    const struct checkpoint *c = side->s->ckpt;
    side->tensors = arena_array(&d->mem, c->n_tensors, sizeof *side->tensors);
    if (!side->tensors) return error_nomem(err, c->n_tensors * sizeof *side->tensors);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const struct tensor *t = c->tensors[i].t;
        side->tensors[i] = (struct diff_tensor){.name = t->name, .dtype = t->dtype};
        set_shape(&side->tensors[i], t->n_dims, t->shape);
    }
    side->n_tensors = c->n_tensors;
    side->kvs = c->n_files > 0 ? c->files[0]->kvs : NULL;
    side->n_kvs = c->n_files > 0 ? c->files[0]->n_kvs : 0;
    return STATUS_OK;
}

/* A source that is no complete model has no other layout than its own: then names are compared as they are. */
static enum status make_sides(struct diff *d, struct error *err)
{
    struct diff_side *sides[] = {&d->a, &d->b};
    bool can_plan = d->a.s->model && d->b.s->model && !by_names(d->a.s, d->b.s);
    for (int i = 0; i < 2; i++) {
        if (can_plan && !is_gguf(sides[i]->s)) TRY(plan_side(sides[i], err));
        TRY(sides[i]->planned ? list_planned(d, sides[i], err) : list_named(d, sides[i], err));
    }
    return STATUS_OK;
}

/* ---- tensors ---- */

static bool same_shape(const struct diff_tensor *a, const struct diff_tensor *b)
{
    return a->n_dims == b->n_dims && memcmp(a->shape, b->shape, (size_t)a->n_dims * sizeof *a->shape) == 0;
}

static enum status index_names(struct strmap *m, const struct diff_side *side, struct error *err)
{
    for (size_t i = 0; i < side->n_tensors; i++) TRY(strmap_add(m, side->tensors[i].name, i, NULL, err));
    return STATUS_OK;
}

static void compare_pair(struct diff *d, const struct diff_tensor *a, const struct diff_tensor *b)
{
    bool type = a && b && a->dtype != b->dtype, shape = a && b && !same_shape(a, b);
    d->n_common += a && b;
    d->n_type += type;
    d->n_shape += shape;
    d->n_only_a += !b;
    d->n_only_b += !a;
    if (type || shape || !a || !b) d->pairs[d->n_pairs++] = (struct diff_pair){a, b};
}

static enum status compare_tensors(struct diff *d, struct error *err)
{
    struct strmap in_a = {0}, in_b = {0};
    size_t at;
    enum status st = index_names(&in_a, &d->a, err);
    if (st == STATUS_OK) st = index_names(&in_b, &d->b, err);
    d->pairs = arena_array(&d->mem, d->a.n_tensors + d->b.n_tensors, sizeof *d->pairs);
    if (!d->pairs && st == STATUS_OK) st = error_nomem(err, sizeof *d->pairs);
    for (size_t i = 0; st == STATUS_OK && i < d->a.n_tensors; i++)
        compare_pair(d, &d->a.tensors[i], strmap_find(&in_b, d->a.tensors[i].name, &at) ? &d->b.tensors[at] : NULL);
    for (size_t i = 0; st == STATUS_OK && i < d->b.n_tensors; i++)
        if (!strmap_find(&in_a, d->b.tensors[i].name, &at)) compare_pair(d, NULL, &d->b.tensors[i]);
    strmap_clear(&in_a);
    strmap_clear(&in_b);
    return st;
}

/* ---- rows that one side has in one tensor, the other in several ---- */

/* Tensors of a side by what they are called in the comparison. */
struct regrouping {
    struct diff *d;
    struct canonical a, b;
    struct weight_pairs pairs;
    struct strmap in_a, in_b; /* lonely ones: places in d->pairs */
    bool *paired, *unpaired;  /* by place in d->pairs: some of its rows are in the other side, or some are not */
};

static enum status index_lonely(struct regrouping *g, struct error *err)
{
    for (size_t i = 0; i < g->d->n_pairs; i++) {
        const struct diff_pair *p = &g->d->pairs[i];
        if (!p->b) TRY(strmap_add(&g->in_a, p->a->name, i, NULL, err));
        if (!p->a) TRY(strmap_add(&g->in_b, p->b->name, i, NULL, err));
    }
    return STATUS_OK;
}

static void mark(const struct regrouping *g, const struct strmap *lonely, const struct diff_side *side, const struct canonical_tensor *t, bool both)
{
    size_t i;
    const char *name = side->planned || ckpt_gguf(side->s->ckpt) ? t->name : t->stored;
    if (!name || !strmap_find(lonely, name, &i)) return;
    *(both ? &g->paired[i] : &g->unpaired[i]) = true;
}

static void drop_regrouped(struct regrouping *g)
{
    struct diff *d = g->d;
    size_t n = 0;
    for (size_t i = 0; i < d->n_pairs; i++) {
        const struct diff_pair *p = &d->pairs[i];
        if (!g->paired[i] || g->unpaired[i]) {
            d->pairs[n++] = *p;
            continue;
        }
        d->n_regrouped++;
        *(p->b ? &d->n_only_b : &d->n_only_a) -= 1;
    }
    d->n_pairs = n;
}

/* Models that cannot be laid side by side keep their lonely tensors. */
static enum status pair_rows(struct regrouping *g, struct error *err)
{
    struct error why;
    const struct model *a = g->d->a.s->model, *b = g->d->b.s->model;
    enum status st = canonical_open(&g->a, a, b, &why);
    if (st == STATUS_OK) st = canonical_open(&g->b, b, a, &why);
    if (st == STATUS_OK) st = weight_pairs_make(&g->pairs, &g->a, &g->b, &why);
    if (st == STATUS_NOMEM) *err = why;
    if (st != STATUS_OK) return st == STATUS_NOMEM ? st : STATUS_OK;
    TRY(index_lonely(g, err));
    for (size_t i = 0; i < g->pairs.n; i++) {
        const struct weight_pair *p = &g->pairs.items[i];
        if (p->a) mark(g, &g->in_a, &g->d->a, p->a, p->b != NULL);
        if (p->b) mark(g, &g->in_b, &g->d->b, p->b, p->a != NULL);
    }
    drop_regrouped(g);
    return STATUS_OK;
}

static enum status regroup(struct diff *d, struct error *err)
{
    struct regrouping g = {.d = d};
    if (d->n_only_a == 0 || d->n_only_b == 0 || !d->a.s->model || !d->b.s->model) return STATUS_OK;
    g.paired = arena_array(&d->mem, d->n_pairs, sizeof *g.paired);
    g.unpaired = arena_array(&d->mem, d->n_pairs, sizeof *g.unpaired);
    if (!g.paired || !g.unpaired) return error_nomem(err, d->n_pairs);
    enum status st = pair_rows(&g, err);
    strmap_clear(&g.in_a);
    strmap_clear(&g.in_b);
    weight_pairs_clear(&g.pairs);
    canonical_close(&g.a);
    canonical_close(&g.b);
    return st;
}

enum status diff_make(struct diff *d, const struct subject *a, const struct subject *b, struct error *err)
{
    *d = (struct diff){.a.s = a, .b.s = b};
    enum status st = make_sides(d, err);
    if (st == STATUS_OK) st = compare_tensors(d, err);
    if (st == STATUS_OK) st = regroup(d, err);
    if (st == STATUS_OK) st = diff_hparams(d, err);
    if (st == STATUS_OK) st = diff_metadata(d, err);
    if (st != STATUS_OK) diff_clear(d);
    return st;
}

bool diff_same(const struct diff *d)
{
    bool family = d->a.s->arch && d->b.s->arch && strcmp(d->a.s->arch->family, d->b.s->arch->family) != 0;
    return !family && d->n_pairs == 0 && d->metadata.n == 0 && d->hparams.n == 0;
}

void diff_clear(struct diff *d)
{
    plan_clear(&d->a.plan);
    plan_clear(&d->b.plan);
    arena_clear(&d->mem);
    *d = (struct diff){0};
}
