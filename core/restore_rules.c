/* A family's rules, read backwards: for files without a receipt. */
#include "core/restore_build.h"
#include "core/rule.h"

#include <stdlib.h>
#include <string.h>

static const char why_rules[] = "by the family's rules";

/* --- the narrowest type --- */

enum { SCAN_BYTES = 1 << 18 };

/* Does type t hold every number of the tensor? */
static enum status fits(const struct ckpt_tensor *source, enum dtype t, bool *yes, struct error *err)
{
    enum { N = SCAN_BYTES / 4 };
    void *mem;
    TRY(mem_alloc(&mem, 3 * N, sizeof(float), err));
    float *before = mem, *after = before + N;
    void *narrow = after + N;
    enum status st = STATUS_OK;
    *yes = true;
    for (int64_t at = 0; at < source->t->n_elements && *yes && st == STATUS_OK; at += N) {
        int64_t n = source->t->n_elements - at < N ? source->t->n_elements - at : N;
        st = ckpt_read(source, (uint64_t)at * sizeof(float), before, (size_t)n * sizeof(float), err);
        if (st == STATUS_OK) st = dtype_cast(t, narrow, DTYPE_F32, before, n, NULL, err);
        if (st == STATUS_OK) st = dtype_cast(DTYPE_F32, after, t, narrow, n, NULL, err);
        *yes = st == STATUS_OK && memcmp(before, after, (size_t)n * sizeof(float)) == 0;
    }
    free(mem);
    return st;
}

/* GGUF stores as F32 whatever is no matrix: where the type of most matrices holds the numbers, that is what they were. */
static enum status choose_type(struct restore *r, const struct ckpt_tensor *source, enum dtype *to, struct error *err)
{
    enum dtype from = source->t->dtype;
    bool yes = false;
    *to = dtype_info(from)->block_len > 1 ? DTYPE_F32 : from;
    if (from != DTYPE_F32 || r->main == DTYPE_F32 || r->opt->type != DTYPE_COUNT) return STATUS_OK;
    TRY(fits(source, r->main, &yes, err));
    if (yes) *to = r->main;
    return STATUS_OK;
}

/* --- one tensor --- */

static enum status add_named(struct restore *r, const struct tensor_rule *rule, int64_t layer, int64_t expert, const struct ckpt_tensor *const *sources,
                             size_t n_sources, struct error *err)
{
    struct rule_step step;
    enum dtype to;
    rule_step(rule, &r->m->hp, layer, &step);
    TRY(choose_type(r, sources[0], &to, err));
    const char *name = rule_name(&r->mem, rule->source, r->arch->prefixes[0], layer, expert);
    if (!name) return error_nomem(err, 64);
    return restore_add(r,
                       &(struct restore_item){
                           .name = name,
                           .sources = sources,
                           .n_sources = n_sources,
                           .transform = step.transform,
                           .args = step.args,
                           .scale = step.scale,
                           .scaled_rows = step.scaled_rows,
                           .to = to,
                           .why = why_rules,
                       },
                       err);
}

static enum status add_experts(struct restore *r, const struct weight *w, struct error *err)
{
    const struct tensor *t = w->t->t;
    int64_t n = r->m->hp.n_expert, each = n > 0 ? t->n_elements / n : 0, inner[2];
    memcpy(inner, t->shape + (t->n_dims > 2 ? t->n_dims - 2 : 0), sizeof inner);
    for (int64_t e = 0; e < n; e++) {
        const struct ckpt_tensor *view = restore_view(r, w->t, e * each, 2, inner, err);
        if (!view) return err->status;
        TRY(add_named(r, w->rule, w->layer, e, &view, 1, err));
    }
    return STATUS_OK;
}

/* --- queries, keys and values, together on one side and apart on the other --- */

static const struct tensor_rule *source_rule(const struct arch *arch, enum role role, enum part part)
{
    for (const struct tensor_rule *rule = arch->rules; rule->source || rule->target; rule++)
        if (rule->source && rule->target && rule->role == role && rule->part == part) return rule;
    return NULL;
}

static enum status cannot(const struct restore *r, const struct weight *w, struct error *err)
{
    return error_at(err, STATUS_UNSUPPORTED, r->m->ckpt->path, w->t->t->name, "has no place in a checkpoint of the family %s", r->arch->family);
}

static enum status split_qkv(struct restore *r, const struct weight *w, struct error *err)
{
    const struct hparams *hp = &r->m->hp;
    static const enum role roles[] = {ROLE_ATTN_Q, ROLE_ATTN_K, ROLE_ATTN_V};
    const int64_t rows[] = {hp->n_head * hp->head_dim, hp->n_head_kv * hp->head_dim, hp->n_head_kv * hp->head_dim};
    const struct tensor *t = w->t->t;
    int64_t cols = t->n_dims > 1 ? t->shape[t->n_dims - 1] : 1, first = 0;
    for (int i = 0; i < 3; i++) {
        const struct tensor_rule *rule = source_rule(r->arch, roles[i], w->rule->part);
        if (!rule) return cannot(r, w, err);
        const struct ckpt_tensor *view = restore_view(r, w->t, first * cols, t->n_dims, (const int64_t[]){rows[i], cols}, err);
        if (!view) return err->status;
        first += rows[i];
        TRY(add_named(r, rule, w->layer, 0, &view, 1, err));
    }
    return STATUS_OK;
}

/* At the queries; the other two have been taken then. */
static enum status join_qkv(struct restore *r, const struct weight *w, struct error *err)
{
    if (w->rule->role != ROLE_ATTN_Q) return STATUS_OK;
    const struct weight *k = model_weight(r->m, ROLE_ATTN_K, w->layer, w->rule->part), *v = model_weight(r->m, ROLE_ATTN_V, w->layer, w->rule->part);
    const struct tensor_rule *rule = source_rule(r->arch, ROLE_ATTN_QKV, w->rule->part);
    if (!k || !v || !rule) return cannot(r, w, err);
    if (w->t->t->dtype == k->t->t->dtype && k->t->t->dtype == v->t->t->dtype)
        return add_named(r, rule, w->layer, 0, (const struct ckpt_tensor *const[]){w->t, k->t, v->t}, 3, err);
    error_at(err, STATUS_UNSUPPORTED, r->m->ckpt->path, w->t->t->name, "queries, keys and values of different types are one matrix in a checkpoint");
    return error_hint(err, "convert it to another GGUF with --type f32 first");
}

/* --- what no checkpoint has --- */

static enum status expect_zeros(const struct restore *r, const struct weight *w, struct error *err)
{
    char chunk[4096];
    for (uint64_t off = 0; off < w->t->t->size_bytes; off += sizeof chunk) {
        uint64_t left = w->t->t->size_bytes - off;
        size_t n = left < sizeof chunk ? (size_t)left : sizeof chunk;
        TRY(ckpt_read(w->t, off, chunk, n, err));
        for (size_t i = 0; i < n; i++)
            if (chunk[i]) return cannot(r, w, err);
    }
    return STATUS_OK;
}

static enum status add_without_name(struct restore *r, const struct weight *w, struct error *err)
{
    switch (w->rule->role) {
    case ROLE_ROPE_FREQS:
    case ROLE_ROPE_FACTORS_LONG:
    case ROLE_ROPE_FACTORS_SHORT:
        return STATUS_OK; /* config.json says it */
    case ROLE_ATTN_QKV:
        return split_qkv(r, w, err);
    default:
        break;
    }
    if (w->rule->fill == FILL_ZEROS) return expect_zeros(r, w, err);
    bool qkv = w->rule->role == ROLE_ATTN_Q || w->rule->role == ROLE_ATTN_K || w->rule->role == ROLE_ATTN_V;
    return qkv ? join_qkv(r, w, err) : cannot(r, w, err);
}

/* The rule that names the weight in the folder; NULL: none does. */
static const struct tensor_rule *naming_rule(const struct restore *r, const struct weight *w)
{
    if (r->arch != r->m->arch) return source_rule(r->arch, w->rule->role, w->rule->part);
    return w->rule->source ? w->rule : NULL;
}

enum status restore_by_rules(struct restore *r, struct error *err)
{
    for (size_t i = 0; i < r->m->n_weights; i++) {
        const struct weight *w = &r->m->weights[i];
        const struct tensor_rule *rule = naming_rule(r, w);
        if (!rule)
            TRY(add_without_name(r, w, err));
        else if (strstr(rule->source, "{e}"))
            TRY(add_experts(r, w, err));
        else
            TRY(add_named(r, rule, w->layer, 0, &w->t, 1, err));
    }
    return STATUS_OK;
}
