#include "inspect/html_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    IDS_DEFAULT = 64,
    BYTES_DEFAULT = 6 << 20, /* of probabilities, unless --context says how many ids */
    BYTES_MAX = 64 << 20,
};

static uint64_t map_bytes(int64_t n, bool full)
{
    return full ? (uint64_t)(n * n) : (uint64_t)(n * (n + 1) / 2);
}

static int64_t n_maps(const struct html_report *r)
{
    const struct hparams *h = &r->s.model->hp;
    return h->n_layer * h->n_head * (r->attention.b ? 2 : 1);
}

/* As many ids as asked for; else as many as a page of bearable size takes. */
static enum status choose_length(struct html_report *r, const struct attention_options *o, struct error *err)
{
    struct html_attention *a = &r->attention;
    int64_t n = o->context > 0 ? o->context : IDS_DEFAULT;
    if (n > r->tokens.n) n = r->tokens.n;
    n = model_usable_positions(r->s.model, a->b ? r->other.model : NULL, n);
    if (o->context > 0 && (n > ATTENTION_IDS_MAX || (double)n_maps(r) * (double)map_bytes(n, true) > (double)BYTES_MAX))
        return error_set(err, STATUS_RANGE, "--context %lld: %lld maps of so many ids take more than %d MiB", (long long)o->context,
                         (long long)n_maps(r), BYTES_MAX >> 20);
    while (o->context == 0 && n > 1 && (uint64_t)n_maps(r) * map_bytes(n, false) > BYTES_DEFAULT) n--;
    a->n = n;
    a->is_cut = n < r->tokens.n;
    return STATUS_OK;
}

/* A row's probabilities as bytes; NaN, which a damaged model gives, as 0. */
static void put_rows(struct buf *out, const struct attention_map *m, bool full)
{
    for (int64_t q = 0; q < m->n; q++) {
        int64_t n = full ? m->n : q + 1;
        char *dst = buf_extend(out, (size_t)n);
        for (int64_t k = 0; dst && k < n; k++) {
            double p = (double)m->p[q * m->n + k];
            dst[k] = (char)(unsigned char)(p >= 0 ? lrint(255 * fmin(p, 1)) : 0);
        }
    }
}

static enum status take(void *ctx, const struct attention_map *a, const struct attention_map *b, struct error *err)
{
    struct html_report *r = ctx;
    struct html_attention *out = &r->attention;
    if (a->layer == 0 && a->head == 0) {
        out->prefix = a->prefix;
        out->full = a->prefix > 1;
    }
    out->windows[a->layer] = a->window;
    put_rows(&out->a[a->layer], a, out->full);
    if (b) put_rows(&out->b[a->layer], b, out->full);
    TRY(buf_check(&out->a[a->layer], err));
    return b ? buf_check(&out->b[a->layer], err) : STATUS_OK;
}

/* Two forms can be laid on each other only if their heads are as many. */
static bool other_fits(const struct html_report *r)
{
    const struct model *a = r->s.model, *b = r->other.model;
    return r->has_other && b && a->hp.n_layer == b->hp.n_layer && a->hp.n_head == b->hp.n_head && a->hp.n_vocab == b->hp.n_vocab;
}

enum status html_attention_make(struct html_report *r, const char *const *paths, int n_paths, const struct attention_options *o,
                                struct workers *w, struct error *err)
{
    struct html_attention *a = &r->attention;
    const struct model *m = r->s.model;
    bool both = other_fits(r);
    a->a = arena_array(&r->mem, (uint64_t)m->hp.n_layer, sizeof *a->a);
    a->b = both ? arena_array(&r->mem, (uint64_t)m->hp.n_layer, sizeof *a->b) : NULL;
    a->windows = arena_array(&r->mem, (uint64_t)m->hp.n_layer, sizeof *a->windows);
    if (!a->a || !a->windows || (both && !a->b)) return error_nomem(err, (size_t)m->hp.n_layer * sizeof *a->a);
    TRY(choose_length(r, o, err));
    TRY(token_labels_make(&a->labels, paths, n_paths, r->tokens.ids, a->n, err));
    const struct attention_request request = {.model = m,
                                              .against = both ? r->other.model : NULL,
                                              .precision = (enum precision)o->precision,
                                              .causal = o->causal,
                                              .ids = r->tokens.ids,
                                              .n = a->n,
                                              .layer = -1,
                                              .head = -1,
                                              .take = take,
                                              .ctx = r,
                                              .workers = w};
    return attention_capture(&request, err);
}

void html_attention_clear(struct html_attention *a, int64_t n_layer)
{
    for (int64_t i = 0; i < n_layer; i++) {
        if (a->a) buf_clear(&a->a[i]);
        if (a->b) buf_clear(&a->b[i]);
    }
    token_labels_clear(&a->labels);
}
