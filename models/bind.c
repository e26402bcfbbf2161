#include "models/bind_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct binder {
    struct model *m;
    const char *prefix;
    bool *seen;                         /* by index in the checkpoint */
    size_t cap_fills;
    const struct tensor_rule *switched; /* a rule that the config switches off, though its tensor is there */
    struct warnings *warn;
};

/* What training scripts save beside the weights; its tensors are no weights. */
static const char *const beside[] = {"optimizer", "optim", "lr_scheduler", "scheduler", "scaler", "amp", "rng", "random", "grad",
                                     "ema", "loss", "best", "callbacks", "loops", NULL};

static enum status check_dtype(const struct model *m, const struct ckpt_tensor *t, struct error *err)
{
    const struct dtype_info *info = dtype_info(t->t->dtype);
    if (info && (info->is_float || info->block_len > 1 || bind_has_scale(m, t))) return STATUS_OK;
    return error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name,
                    "expected a floating-point or block type, found %s",
                    info ? info->name : "an unknown type");
}

/* --- rules --- */

/* name: of the tensor that was found, else of the first alternative */
static const struct ckpt_tensor *find(const struct binder *b, const struct tensor_rule *rule, int64_t layer,
                                      char name[BIND_NAME_BYTES])
{
    const char *pattern = b->m->is_gguf ? rule->target : rule->source;
    const struct ckpt_tensor *t = NULL;
    for (const char *s = pattern; s && *s && !t;) {
        char one[BIND_NAME_BYTES];
        size_t n = strcspn(s, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, s);
        bind_name(one, b->m->wrapper, b->prefix, layer, name);
        t = ckpt_find(b->m->ckpt, name);
        s += n + (s[n] == '|');
    }
    if (!t && pattern && strchr(pattern, '|')) {
        char one[BIND_NAME_BYTES];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(pattern, "|"), pattern);
        bind_name(one, b->m->wrapper, b->prefix, layer, name);
    }
    return t;
}

static bool rule_holds(const struct binder *b, const struct tensor_rule *rule, int64_t layer)
{
    if (!b->m->is_gguf) return !rule->when || rule->when(&b->m->hp);
    if (!rule->when && rule->fill == FILL_NONE) return true;
    char name[BIND_NAME_BYTES];
    return find(b, rule, layer < 0 ? layer : 0, name) != NULL;
}

static void mark(struct binder *b, const struct ckpt_tensor *t)
{
    b->seen[t - b->m->ckpt->tensors] = true;
}

static bool is_seen(const struct binder *b, const struct ckpt_tensor *t)
{
    return b->seen[t - b->m->ckpt->tensors];
}

/* A buffer, or weights of another task. */
static void pass_over(struct binder *b, const struct tensor_rule *rule, const struct ckpt_tensor *t)
{
    struct model *m = b->m;
    if (!shape_fits(shape_parse(rule->shape, &m->hp), shape_found(t->t), m->is_gguf)) return;
    mark(b, t);
    m->n_dropped++;
    if (rule->presence == PRESENCE_LEFT_OUT)
        warnings_add(b->warn, "task-head-dropped",
                     "tensor '%s' belongs to the head of another task and is left out", t->t->name);
}

/* Remembers a tensor that the source lacks and convert has to write; nothing for a GGUF. */
static enum status add_fill(struct binder *b, const struct tensor_rule *rule, int64_t layer,
                            struct error *err)
{
    struct model *m = b->m;
    if (m->is_gguf || rule->fill == FILL_NONE) return STATUS_OK;
    if (m->n_fills == b->cap_fills) {
        size_t cap = b->cap_fills ? 2 * b->cap_fills : 64;
        struct model_fill *fills = arena_array(&m->mem, cap, sizeof *fills);
        if (!fills) return error_nomem(err, cap * sizeof *fills);
        if (m->n_fills > 0) memcpy(fills, m->fills, m->n_fills * sizeof *fills);
        m->fills = fills;
        b->cap_fills = cap;
    }
    m->fills[m->n_fills++] = (struct model_fill){rule, layer, m->n_weights};
    return STATUS_OK;
}

/* One tensor for each expert, of the shape behind the rule's first dimension. */
static enum status bind_experts(struct binder *b, const struct tensor_rule *rule, int64_t layer, struct error *err)
{
    struct model *m = b->m;
    const char *hole = strstr(rule->source, "{e}"), *inner = strchr(rule->shape, ',');
    struct tensor_rule one = *rule;
    char pattern[BIND_NAME_BYTES], name[BIND_NAME_BYTES], shape[192];
    if (rule->in_layer && !rule->in_layer(&m->hp, layer)) return STATUS_OK;
    one.shape = inner ? inner + 1 : rule->shape;
    if ((uint64_t)m->hp.n_expert > m->ckpt->n_tensors) /* before memory is asked for */
        return error_at(err, STATUS_NOTFOUND, m->ckpt->path, rule->target, "expected %lld experts, found %zu tensors",
                        (long long)m->hp.n_expert, m->ckpt->n_tensors);
    const struct ckpt_tensor **experts = arena_array(&m->mem, (uint64_t)m->hp.n_expert, sizeof *experts);
    if (!experts) return error_nomem(err, (size_t)m->hp.n_expert * sizeof *experts);
    for (int64_t e = 0; e < m->hp.n_expert; e++) {
        snprintf(pattern, sizeof pattern, "%.*s%lld%s", (int)(hole - rule->source), rule->source, (long long)e, hole + 3);
        bind_name(pattern, m->wrapper, b->prefix, layer, name);
        experts[e] = ckpt_find(m->ckpt, name);
        if (!experts[e])
            return error_at(err, STATUS_NOTFOUND, m->ckpt->path, name, "expected %s from config, not found",
                            shape_show(shape_expected(&one, m, &m->hp), shape));
        TRY(bind_check_shape(m, &one, experts[e], err));
        TRY(check_dtype(m, experts[e], err));
        mark(b, experts[e]);
    }
    m->weights[m->n_weights++] = (struct weight){
        .t = experts[0], .rule = rule, .layer = layer, .experts = experts, .n_experts = (size_t)m->hp.n_expert};
    return STATUS_OK;
}

static enum status bind_one(struct binder *b, const struct tensor_rule *rule, int64_t layer,
                            struct error *err)
{
    struct model *m = b->m;
    char name[BIND_NAME_BYTES];
    if (!(m->is_gguf ? rule->target : rule->source)) return add_fill(b, rule, layer, err);
    if (!m->is_gguf && strstr(rule->source, "{e}")) return bind_experts(b, rule, layer, err);
    const struct ckpt_tensor *t = find(b, rule, layer, name);
    if (rule->presence == PRESENCE_DROPPED || rule->presence == PRESENCE_LEFT_OUT) {
        if (t) pass_over(b, rule, t);
        return STATUS_OK;
    }
    if (!rule_holds(b, rule, layer) || (rule->in_layer && !rule->in_layer(&m->hp, layer))) {
        if (t && !b->switched) b->switched = rule;
        return add_fill(b, rule, layer, err);
    }
    if (!t) {
        char shape[192];
        if (rule->presence == PRESENCE_OPTIONAL) return add_fill(b, rule, layer, err);
        return error_at(err, STATUS_NOTFOUND, m->ckpt->path, name, "expected %s from config, not found",
                        shape_show(shape_expected(rule, m, &m->hp), shape));
    }
    if (m->is_gguf && is_seen(b, t)) return STATUS_OK; /* two forms of a source have one form there */
    struct shape expected = shape_expected(rule, m, &m->hp);
    if (expected.n_dims == 2) TRY(bind_unpack(m, t, expected.dims[1], err));
    TRY(bind_check_shape(m, rule, t, err));
    TRY(check_dtype(m, t, err));
    mark(b, t);
    m->weights[m->n_weights++] = (struct weight){.t = t, .rule = rule, .layer = layer};
    return STATUS_OK;
}

static bool in_layer(const struct tensor_rule *r)
{
    return strstr(r->source ? r->source : r->target, "{i}") != NULL;
}

static bool is_end(const struct tensor_rule *r)
{
    return !r->source && !r->target;
}

static enum status bind_rules(struct binder *b, struct error *err)
{
    for (const struct tensor_rule *r = b->m->arch->rules; !is_end(r);) {
        if (!in_layer(r)) {
            TRY(bind_one(b, r++, -1, err));
            continue;
        }
        const struct tensor_rule *end = r;
        while (!is_end(end) && in_layer(end)) end++;
        for (int64_t i = 0; i < b->m->hp.n_layer; i++)
            for (const struct tensor_rule *q = r; q < end; q++) TRY(bind_one(b, q, i, err));
        r = end;
    }
    return STATUS_OK;
}

/* Something that a training script saved with the weights, and that is none of them. */
static bool is_beside(const struct model *m, const struct ckpt_tensor *t)
{
    const char *name = t->t->name, *first = name;
    if (strncmp(m->ckpt->format, "torch", 5) != 0) return false;
    if (strncmp(name, m->wrapper, strlen(m->wrapper)) != 0) return true;
    for (const char *const *b = beside; *b; b++)
        if (strncmp(first, *b, strlen(*b)) == 0 && strchr(first, '.')) return true;
    return false;
}

static enum status check_all_seen(const struct binder *b, struct error *err)
{
    const struct checkpoint *c = b->m->ckpt;
    size_t n_left = 0, n_beside = 0;
    const struct ckpt_tensor *first = NULL, *first_beside = NULL;
    for (size_t i = 0; i < c->n_tensors; i++) {
        const struct ckpt_tensor *t = &c->tensors[i];
        if (b->seen[i]) continue;
        if (is_beside(b->m, t)) {
            if (n_beside++ == 0) first_beside = t;
        } else if (n_left++ == 0) {
            first = t;
        }
    }
    if (n_beside > 0) {
        b->m->n_dropped += n_beside;
        warnings_add(b->warn, "tensors-beside-dropped",
                     "%zu tensor%s saved beside the weights left out, such as '%s'", n_beside,
                     n_beside > 1 ? "s are" : " is", first_beside->t->name);
    }
    if (!first) return STATUS_OK;
    char more[48] = "", shape[192];
    if (n_left > 1) snprintf(more, sizeof more, " (and %zu more)", n_left - 1);
    error_at(err, STATUS_UNSUPPORTED, first->container->file.path, first->t->name,
             "expected no such tensor in family '%s', found %s%s", b->m->arch->family,
             shape_show(shape_found(first->t), shape), more);
    if (b->switched)
        error_hint(err, "the config switches tensors off that are here, such as '%s'", b->switched->source);
    return STATUS_UNSUPPORTED;
}

/* A GGUF has no key for them. */
static void set_bias_flags(struct model *m)
{
    for (size_t i = 0; i < m->n_weights; i++) {
        const struct tensor_rule *r = m->weights[i].rule;
        if (r->part != PART_BIAS) continue;
        if (r->role >= ROLE_ATTN_QKV && r->role <= ROLE_ATTN_OUTPUT) m->hp.attn_bias = true;
        if (r->role >= ROLE_FFN_GATE && r->role <= ROLE_FFN_DOWN) m->hp.mlp_bias = true;
    }
}

enum status bind_tensors(struct model *m, struct warnings *warn, struct error *err)
{
    struct binder b = {.m = m, .warn = warn};
    b.prefix = m->is_gguf ? NULL : bind_prefix(m->ckpt, m->arch, &m->wrapper);
    if (m->is_gguf) m->wrapper = "";
    if (!b.prefix) b.prefix = m->arch->prefixes[0];
    /* a tensor is bound once at most: names of different rules and layers differ */
    m->weights = arena_array(&m->mem, m->ckpt->n_tensors, sizeof *m->weights);
    if (!m->weights) return error_nomem(err, m->ckpt->n_tensors * sizeof *m->weights);
    void *seen;
    TRY(mem_alloc(&seen, m->ckpt->n_tensors, sizeof(bool), err));
    b.seen = seen;
    enum status st = bind_rules(&b, err);
    if (st == STATUS_OK) st = bind_scales(m, b.seen, err);
    if (st == STATUS_OK) st = check_all_seen(&b, err);
    if (st == STATUS_OK && m->is_gguf) set_bias_flags(m);
    free(seen);
    return st;
}

/* --- by role --- */

/* Slot of (role, layer, part) in m->index, which holds index + 1 into m->weights; 0: none. */
static size_t slot(enum role role, int64_t layer, enum part part)
{
    return ((size_t)(layer + 1) * ROLE_COUNT + role) * PART_COUNT + part;
}

enum status bind_index(struct model *m, struct error *err)
{
    /* every layer has tensors of its own by now, so this is no more than a small multiple of what the files hold */
    uint64_t n;
    if (!size_mul((uint64_t)m->hp.n_layer + 1, ROLE_COUNT * PART_COUNT, &n))
        return error_nomem(err, SIZE_MAX);
    size_t *index = arena_array(&m->mem, n, sizeof *index);
    if (!index) return error_nomem(err, (size_t)n * sizeof *index);
    for (size_t i = 0; i < m->n_weights; i++) {
        const struct weight *w = &m->weights[i];
        index[slot(w->rule->role, w->layer, w->rule->part)] = i + 1;
    }
    m->index = index;
    return STATUS_OK;
}

const struct weight *model_weight(const struct model *m, enum role role, int64_t layer, enum part part)
{
    if ((unsigned)role >= ROLE_COUNT || (unsigned)part >= PART_COUNT || layer < -1 || layer >= m->hp.n_layer)
        return NULL;
    size_t i = ((const size_t *)m->index)[slot(role, layer, part)];
    return i ? &m->weights[i - 1] : NULL;
}
