#include "core/attention.h"

#include <stdlib.h>
#include <string.h>

/* A's maps of a layer are kept until B's come. */
#define KEPT_BYTES (UINT64_C(4) << 30)

struct capture {
    const struct attention_request *r;
    struct forward *a, *b;
    float *map;                 /* a head as floats, where the forward pass has doubles */
    float *kept;                /* A's wanted heads of the layer, (n_kept, n, n) */
    struct attention_map *seen; /* what they are */
    int64_t n_kept;
};

static bool is_wanted(const struct attention_request *r, int64_t head)
{
    return r->head < 0 || r->head == head;
}

static int64_t heads_wanted(const struct attention_request *r)
{
    return r->head < 0 ? r->model->hp.n_head : 1;
}

static void to_floats(const struct forward *f, float *dst, const void *src)
{
    size_t n = (size_t)f->n * (size_t)f->n;
    if (f->precision == PRECISION_F32) {
        memcpy(dst, src, n * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < n; i++) dst[i] = (float)((const double *)src)[i];
}

static struct attention_map describe(const struct forward *f, const struct attention *at, int64_t layer,
                                     int64_t head, const float *p)
{
    return (struct attention_map){.layer = layer,
                                  .head = head,
                                  .n = f->n,
                                  .window = at->window,
                                  .prefix = f->spans[0].prefix,
                                  .p = p};
}

/* --- what the forward pass calls --- */

static enum status keep_head(void *ctx, const struct attention *at, int64_t layer, int64_t head,
                             const void *p, struct error *err)
{
    (void)err;
    struct capture *c = ctx;
    if (!is_wanted(c->r, head)) return STATUS_OK;
    float *dst = c->kept + (size_t)c->n_kept * (size_t)c->a->n * (size_t)c->a->n;
    to_floats(c->a, dst, p);
    c->seen[c->n_kept++] = describe(c->a, at, layer, head, dst);
    return STATUS_OK;
}

static const float *as_floats(struct capture *c, const struct forward *f, const void *p)
{
    if (f->precision == PRECISION_F32) return p;
    to_floats(f, c->map, p);
    return c->map;
}

static enum status pass_head(void *ctx, const struct attention *at, int64_t layer, int64_t head,
                             const void *p, struct error *err)
{
    struct capture *c = ctx;
    if (!is_wanted(c->r, head)) return STATUS_OK;
    struct attention_map a = describe(c->a, at, layer, head, as_floats(c, c->a, p));
    return c->r->take(c->r->ctx, &a, NULL, err);
}

static enum status pass_pair(void *ctx, const struct attention *at, int64_t layer, int64_t head,
                             const void *p, struct error *err)
{
    struct capture *c = ctx;
    if (!is_wanted(c->r, head)) return STATUS_OK;
    struct attention_map b = describe(c->b, at, layer, head, as_floats(c, c->b, p));
    return c->r->take(c->r->ctx, &c->seen[c->r->head < 0 ? head : 0], &b, err);
}

/* --- the run --- */

static enum status check_number(const char *what, int64_t n, int64_t count, struct error *err)
{
    if (n < count) return STATUS_OK;
    return error_set(err, STATUS_RANGE, "%s %lld: expected 0 to %lld", what, (long long)n,
                     (long long)count - 1);
}

static enum status check_pair(const struct model *a, const struct model *b, struct error *err)
{
    if (!b || (a->hp.n_layer == b->hp.n_layer && a->hp.n_head == b->hp.n_head)) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, b->ckpt->path, NULL,
                    "expected %lld layers of %lld heads as in the other model, found %lld of %lld",
                    (long long)a->hp.n_layer, (long long)a->hp.n_head, (long long)b->hp.n_layer,
                    (long long)b->hp.n_head);
}

enum status attention_check(const struct attention_request *r, struct error *err)
{
    TRY(check_pair(r->model, r->against, err));
    TRY(check_number("layer", r->layer, r->model->hp.n_layer, err));
    TRY(check_number("head", r->head, r->model->hp.n_head, err));
    if (r->n >= 1 && r->n <= ATTENTION_IDS_MAX) return STATUS_OK;
    error_set(err, STATUS_RANGE, "attention of %lld ids: expected 1 to %d", (long long)r->n, ATTENTION_IDS_MAX);
    return error_hint(err, "--context N takes the first N");
}

static enum status keep_room(struct capture *c, struct error *err)
{
    const struct attention_request *r = c->r;
    uint64_t n_heads = (uint64_t)heads_wanted(r), head = (uint64_t)r->n * (uint64_t)r->n * sizeof *c->kept;
    void *p;
    if (head > KEPT_BYTES / n_heads) {
        error_set(err, STATUS_RANGE, "%lld heads of %lld ids do not fit the %d GiB kept for a comparison",
                  (long long)n_heads, (long long)r->n, (int)(KEPT_BYTES >> 30));
        return error_hint(err, "one head or fewer ids");
    }
    TRY(mem_alloc(&p, n_heads, head, err));
    c->kept = p;
    TRY(mem_alloc(&p, n_heads, sizeof *c->seen, err));
    c->seen = p;
    return STATUS_OK;
}

static enum status begin(struct forward **f, const struct capture *c, const struct model *m,
                         struct error *err)
{
    const struct attention_request *r = c->r;
    TRY(forward_new(f, m, r->workers, r->precision, r->n, err));
    (*f)->causal = r->causal;
    (*f)->probs_ctx = (void *)(uintptr_t)c;
    return forward_begin(*f, r->ids, r->n, 0, err);
}

static enum status open_capture(struct capture *c, struct error *err)
{
    const struct attention_request *r = c->r;
    TRY(attention_check(r, err));
    if (r->against) TRY(keep_room(c, err));
    if (r->precision == PRECISION_F64) {
        void *p;
        TRY(mem_alloc(&p, (uint64_t)r->n * (uint64_t)r->n, sizeof *c->map, err));
        c->map = p;
    }
    TRY(begin(&c->a, c, r->model, err));
    return r->against ? begin(&c->b, c, r->against, err) : STATUS_OK;
}

static int64_t last_layer(const struct attention_request *r)
{
    return r->layer < 0 ? r->model->hp.n_layer - 1 : r->layer;
}

static enum status run_layer(struct capture *c, int64_t layer, struct error *err)
{
    const struct attention_request *r = c->r;
    bool wanted = r->layer < 0 || r->layer == layer;
    c->n_kept = 0;
    c->a->probs = !wanted ? NULL : c->b ? keep_head : pass_head;
    TRY(forward_layer(c->a, layer, err));
    if (c->b) {
        c->b->probs = wanted ? pass_pair : NULL;
        TRY(forward_layer(c->b, layer, err));
    }
    if (r->progress)
        progress_add(r->progress, model_layer_bytes(r->model, layer) + model_layer_bytes(r->against, layer));
    return STATUS_OK;
}

enum status attention_capture(const struct attention_request *r, struct error *err)
{
    struct capture c = {.r = r};
    enum status st = open_capture(&c, err);
    for (int64_t i = 0; st == STATUS_OK && i <= last_layer(r); i++) st = run_layer(&c, i, err);
    forward_free(c.a);
    forward_free(c.b);
    free(c.map);
    free(c.kept);
    free(c.seen);
    return st;
}

uint64_t attention_bytes(const struct attention_request *r)
{
    uint64_t n = 0;
    for (int64_t i = 0; i <= last_layer(r); i++)
        n += model_layer_bytes(r->model, i) + model_layer_bytes(r->against, i);
    return n;
}
