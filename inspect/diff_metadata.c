#include "inspect/diff.h"

#include "core/receipt.h"
#include "inspect/listing.h"
#include "inspect/rope_words.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static enum status add_entry(struct diff *d, struct diff_entries *list, const char *key, const char *a, const char *b,
                             struct error *err)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 16;
        struct diff_entry *bigger = arena_array(&d->mem, cap, sizeof *bigger);
        if (!bigger) return error_nomem(err, cap * sizeof *bigger);
        if (list->n) memcpy(bigger, list->items, list->n * sizeof *bigger);
        list->items = bigger;
        list->cap = cap;
    }
    struct diff_entry e = {arena_strndup(&d->mem, key, strlen(key)), NULL, NULL};
    e.a = a ? arena_strndup(&d->mem, a, strlen(a)) : NULL;
    e.b = b ? arena_strndup(&d->mem, b, strlen(b)) : NULL;
    if (!e.key || (a && !e.a) || (b && !e.b)) return error_nomem(err, strlen(key));
    list->items[list->n++] = e;
    return STATUS_OK;
}

/* ---- hyperparameters, which both forms have ---- */

enum field_kind { FIELD_INT, FIELD_REAL, FIELD_BOOL };
#define FIELD(name, kind) {#name, offsetof(struct hparams, name), kind}
static const struct {
    const char *name;
    size_t offset;
    enum field_kind kind;
} fields[] = {
    FIELD(n_vocab, FIELD_INT),        FIELD(n_ctx, FIELD_INT),          FIELD(n_layer, FIELD_INT),        FIELD(n_embd, FIELD_INT),
    FIELD(n_ff, FIELD_INT),           FIELD(n_head, FIELD_INT),         FIELD(n_head_kv, FIELD_INT),      FIELD(head_dim, FIELD_INT),
    FIELD(norm_eps, FIELD_REAL),      FIELD(tied, FIELD_BOOL),          FIELD(attn_scale, FIELD_REAL),    FIELD(attn_scale_by_layer, FIELD_BOOL),
    FIELD(window, FIELD_INT),         FIELD(parallel, FIELD_BOOL),      FIELD(n_expert, FIELD_INT),
    FIELD(n_expert_used, FIELD_INT),  FIELD(n_expert_shared, FIELD_INT), FIELD(n_ff_expert, FIELD_INT),    FIELD(n_dense, FIELD_INT),
    FIELD(n_nextn, FIELD_INT),        FIELD(expert_gating, FIELD_INT),  FIELD(expert_scale, FIELD_REAL),  FIELD(expert_norm, FIELD_BOOL),
};

/* Reals as the target holds them: floats. */
static void field_text(const struct hparams *h, size_t i, char dst[48])
{
    const char *at = (const char *)h + fields[i].offset;
    int64_t n;
    double x;
    bool b;
    switch (fields[i].kind) {
    case FIELD_INT:
        memcpy(&n, at, sizeof n);
        snprintf(dst, 48, "%" PRId64, n);
        return;
    case FIELD_REAL:
        memcpy(&x, at, sizeof x);
        snprintf(dst, 48, "%.9g", (double)(float)x);
        return;
    case FIELD_BOOL:
        memcpy(&b, at, sizeof b);
        snprintf(dst, 48, "%s", b ? "true" : "false");
        return;
    }
}

static enum status compare_text(struct diff *d, const char *key, const char *a, const char *b, struct error *err)
{
    d->hparams.n_compared++;
    return strcmp(a, b) == 0 ? STATUS_OK : add_entry(d, &d->hparams, key, a, b, err);
}

static enum status compare_rope(struct diff *d, const struct hparams *a, const struct hparams *b, struct error *err)
{
    struct buf x = {0}, y = {0};
    rope_words(a, &x);
    rope_words(b, &y);
    enum status st = buf_check(&x, err);
    if (st == STATUS_OK) st = buf_check(&y, err);
    if (st == STATUS_OK) st = compare_text(d, "rope", x.data, y.data, err);
    buf_clear(&x);
    buf_clear(&y);
    return st;
}

enum status diff_hparams(struct diff *d, struct error *err)
{
    if (!d->a.s->model || !d->b.s->model) return STATUS_OK;
    const struct hparams *a = &d->a.s->model->hp, *b = &d->b.s->model->hp;
    char x[48], y[48];
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        field_text(a, i, x);
        field_text(b, i, y);
        TRY(compare_text(d, fields[i].name, x, y, err));
    }
    TRY(compare_text(d, "activation", activation_name(a->activation), activation_name(b->activation), err));
    return compare_rope(d, a, b, err);
}

/* ---- keys with typed values ---- */

static bool same_string(const struct kv_string *a, const struct kv_string *b)
{
    return a->len == b->len && memcmp(a->s, b->s, (size_t)a->len) == 0;
}

static bool same_array(const struct kv *a, const struct kv *b)
{
    if (a->v.array.type != b->v.array.type || a->v.array.n != b->v.array.n) return false;
    const struct kv_string *x = a->v.array.data, *y = b->v.array.data;
    if (a->v.array.type != KV_STRING)
        return a->v.array.n == 0 || memcmp(x, y, (size_t)a->v.array.n * kv_type_size(a->v.array.type)) == 0;
    for (uint64_t i = 0; i < a->v.array.n; i++)
        if (!same_string(&x[i], &y[i])) return false;
    return true;
}

static bool same_value(const struct kv *a, const struct kv *b)
{
    if (a->type != b->type) return false;
    if (a->type == KV_STRING) return same_string(&a->v.str, &b->v.str);
    if (a->type == KV_ARRAY) return same_array(a, b);
    if (a->type == KV_F32 || a->type == KV_F64) return memcmp(&a->v.f, &b->v.f, sizeof a->v.f) == 0;
    return a->v.u == b->v.u;
}

/* "u32 15"; the type is part of a value */
static enum status value_of(struct diff *d, const struct kv *kv, const char **out, struct error *err)
{
    struct buf text = {0};
    char type[32];
    listing_type_text(kv, type);
    buf_printf(&text, "%s ", type);
    listing_value_text(kv, false, &text);
    *out = text.failed ? NULL : arena_strndup(&d->mem, text.data, text.len);
    buf_clear(&text);
    return *out ? STATUS_OK : error_nomem(err, 64);
}

/* First element that differs, of two arrays of equal type and length that are shown cut. */
static enum status array_note(struct diff *d, const struct kv *a, const struct kv *b, const char **key, struct error *err)
{
    if (a->type != KV_ARRAY || b->type != KV_ARRAY || a->v.array.type != b->v.array.type || a->v.array.n != b->v.array.n) return STATUS_OK;
    size_t size = kv_type_size(a->v.array.type);
    const struct kv_string *x = a->v.array.data, *y = b->v.array.data;
    uint64_t i = 0;
    for (; i < a->v.array.n; i++)
        if (a->v.array.type == KV_STRING ? !same_string(&x[i], &y[i])
                                         : memcmp((const char *)a->v.array.data + i * size, (const char *)b->v.array.data + i * size, size) != 0)
            break;
    *key = arena_printf(&d->mem, "%s (first at %" PRIu64 ")", *key, i);
    return *key ? STATUS_OK : error_nomem(err, 64);
}

/* A receipt tells of a source; convert's plan of one has none yet. */
static bool is_compared(const struct diff *d, const struct kv *kv)
{
    return !(d->a.planned || d->b.planned) || !receipt_key(kv->key);
}

static const struct kv *find_kv(const struct strmap *m, const struct diff_side *side, const char *key)
{
    size_t i;
    return strmap_find(m, key, &i) ? &side->kvs[i] : NULL;
}

static enum status compare_kv(struct diff *d, const struct kv *a, const struct kv *b, struct error *err)
{
    const char *x = NULL, *y = NULL, *key = a ? a->key : b->key;
    if (!is_compared(d, a ? a : b)) return STATUS_OK;
    d->metadata.n_compared++;
    if (a && b && same_value(a, b)) return STATUS_OK;
    if (a) TRY(value_of(d, a, &x, err));
    if (b) TRY(value_of(d, b, &y, err));
    if (a && b) TRY(array_note(d, a, b, &key, err));
    return add_entry(d, &d->metadata, key, x, y, err);
}

static enum status compare_kvs(struct diff *d, struct error *err)
{
    struct strmap in_a = {0}, in_b = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && i < d->a.n_kvs; i++) st = strmap_add(&in_a, d->a.kvs[i].key, i, NULL, err);
    for (size_t i = 0; st == STATUS_OK && i < d->b.n_kvs; i++) st = strmap_add(&in_b, d->b.kvs[i].key, i, NULL, err);
    for (size_t i = 0; st == STATUS_OK && i < d->a.n_kvs; i++)
        st = compare_kv(d, &d->a.kvs[i], find_kv(&in_b, &d->b, d->a.kvs[i].key), err);
    for (size_t i = 0; st == STATUS_OK && i < d->b.n_kvs; i++)
        if (!find_kv(&in_a, &d->a, d->b.kvs[i].key)) st = compare_kv(d, NULL, &d->b.kvs[i], err);
    strmap_clear(&in_a);
    strmap_clear(&in_b);
    return st;
}

/* ---- config.json ---- */

static enum status json_text(struct diff *d, const struct jvalue *v, const char **out, struct error *err)
{
    struct buf text = {0};
    *out = NULL;
    if (!v) return STATUS_OK;
    json_print(v, &text);
    *out = text.failed ? NULL : arena_strndup(&d->mem, text.data, text.len);
    buf_clear(&text);
    return *out ? STATUS_OK : error_nomem(err, 64);
}

static enum status compare_member(struct diff *d, const struct jvalue *a, const struct jvalue *b, struct error *err)
{
    const char *x, *y;
    d->metadata.n_compared++;
    TRY(json_text(d, a, &x, err));
    TRY(json_text(d, b, &y, err));
    if (x && y && strcmp(x, y) == 0) return STATUS_OK;
    const char *key = arena_printf(&d->mem, "config.json: %s", json_key(a ? a : b));
    if (!key) return error_nomem(err, 64);
    return add_entry(d, &d->metadata, key, x, y, err);
}

static enum status compare_configs(struct diff *d, struct error *err)
{
    const struct jvalue *a = d->a.s->config ? json_root(d->a.s->config) : NULL, *b = d->b.s->config ? json_root(d->b.s->config) : NULL;
    for (const struct jvalue *v = a ? json_first(a) : NULL; v; v = json_next(v))
        TRY(compare_member(d, v, b ? json_get(b, json_key(v)) : NULL, err));
    for (const struct jvalue *v = b ? json_first(b) : NULL; v; v = json_next(v))
        if (!a || !json_get(a, json_key(v))) TRY(compare_member(d, NULL, v, err));
    return STATUS_OK;
}

enum status diff_metadata(struct diff *d, struct error *err)
{
    bool config = !ckpt_gguf(d->a.s->ckpt) && !ckpt_gguf(d->b.s->ckpt);
    /* two sources that are told as GGUF have their keys compared there */
    if (config && !d->a.planned) TRY(compare_configs(d, err));
    bool alike = d->a.planned == d->b.planned && strcmp(d->a.s->ckpt->format, d->b.s->ckpt->format) == 0;
    return alike || d->a.planned || d->b.planned ? compare_kvs(d, err) : STATUS_OK;
}
