#include "models/bind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 256 };

struct binder {
    struct model *m;
    const char *prefix;
    bool *seen;                         /* by index in the checkpoint */
    size_t cap_fills;
    const struct tensor_rule *switched; /* a rule that the config switches off, though its tensor is there */
    struct warnings *warn;
};

/* What training scripts wrap weights in: {"model": ...}, {"state_dict": ...}, DataParallel's and DeepSpeed's module, and these together. */
static const char *const wrappers[] = {"",
                                       "model.",
                                       "state_dict.",
                                       "module.",
                                       "model_state_dict.",
                                       "model.module.",
                                       "state_dict.module.",
                                       "model_state_dict.module.",
                                       "module.module.",
                                       "state_dict.model.",
                                       "_forward_module.",
                                       NULL};
/* What they save beside the weights; its tensors are no weights. */
static const char *const beside[] = {"optimizer", "optim", "lr_scheduler", "scheduler", "scaler", "amp", "rng", "random", "grad",
                                     "ema", "loss", "best", "callbacks", "loops", NULL};

/* {p} → prefix, {i} → layer, behind the wrapper. Patterns are our own and short. */
static void expand(const char *pattern, const char *wrapper, const char *prefix, int64_t layer,
                   char name[NAME_MAX_BYTES])
{
    size_t n = (size_t)snprintf(name, NAME_MAX_BYTES, "%s", wrapper);
    for (const char *s = pattern; *s && n < NAME_MAX_BYTES - 24;) {
        if (strncmp(s, "{p}", 3) == 0) {
            n += (size_t)snprintf(name + n, 24, "%s", prefix);
            s += 3;
        } else if (strncmp(s, "{i}", 3) == 0) {
            n += (size_t)snprintf(name + n, 24, "%lld", (long long)layer);
            s += 3;
        } else {
            name[n++] = *s++;
        }
    }
    name[n] = 0;
}

static bool has_all(const struct checkpoint *ckpt, const struct arch *arch, const char *wrapper,
                    const char *prefix)
{
    for (const char *const *d = arch->detect_tensors; *d; d++) {
        char name[NAME_MAX_BYTES];
        bool wanted = **d != '!';
        expand(wanted ? *d : *d + 1, wrapper, prefix, 0, name);
        if ((ckpt_find(ckpt, name) != NULL) != wanted) return false;
    }
    return true;
}

const char *bind_prefix(const struct checkpoint *ckpt, const struct arch *arch, const char **wrapper)
{
    for (const char *const *w = wrappers; *w; w++)
        for (const char *const *p = arch->prefixes; *p; p++)
            if (has_all(ckpt, arch, *w, *p)) {
                *wrapper = *w;
                return *p;
            }
    *wrapper = "";
    return NULL;
}

bool bind_looks_like(const struct checkpoint *ckpt, const struct arch *arch)
{
    const char *wrapper, *prefix = bind_prefix(ckpt, arch, &wrapper);
    const char *pattern = arch->detect_wide ? arch->detect_wide : arch->detect_tall;
    if (!prefix || !pattern) return prefix != NULL;
    char name[NAME_MAX_BYTES];
    expand(pattern, wrapper, prefix, 0, name);
    const struct ckpt_tensor *t = ckpt_find(ckpt, name);
    if (!t || t->t->n_dims != 2) return false;
    return arch->detect_wide ? t->t->shape[1] > t->t->shape[0] : t->t->shape[0] > t->t->shape[1];
}

const struct tensor *config_tensor(const struct config_reader *r, const char *pattern, int64_t layer)
{
    char name[NAME_MAX_BYTES];
    if (!r->ckpt) return NULL;
    expand(pattern, r->wrapper, r->prefix, layer, name);
    const struct ckpt_tensor *t = ckpt_find(r->ckpt, name);
    return t ? t->t : NULL;
}

/* --- shapes --- */

struct shape {
    int n_dims;
    int64_t dims[TENSOR_DIMS_MAX]; /* -1: any */
};

static struct shape shape_parse(const char *text, const struct hparams *hp)
{
    struct shape s = {0};
    while (*text && s.n_dims < TENSOR_DIMS_MAX) {
        char expr[32];
        size_t n = strcspn(text, ",");
        snprintf(expr, sizeof expr, "%.*s", (int)n, text);
        /* an expression that overflows gives -2, which no dimension equals */
        int64_t v = strcmp(expr, "?") == 0 ? -1 : hparams_eval(hp, expr);
        s.dims[s.n_dims++] = v == -1 && expr[0] != '?' ? -2 : v;
        text += n + (text[n] == ',');
    }
    return s;
}

static struct shape shape_expected(const struct tensor_rule *rule, const struct model *m,
                                   const struct hparams *hp)
{
    struct shape s = shape_parse(rule->shape, hp);
    if (m->is_gguf && rule->transform == TRANSFORM_TRANSPOSE && s.n_dims == 2) {
        int64_t first = s.dims[0];
        s.dims[0] = s.dims[1];
        s.dims[1] = first;
    }
    return s;
}

static struct shape shape_found(const struct tensor *t)
{
    struct shape s = {.n_dims = t->n_dims};
    memcpy(s.dims, t->shape, sizeof s.dims);
    return s;
}

/* GGUF does not keep leading dimensions of 1. */
static struct shape shape_strip(struct shape s)
{
    while (s.n_dims > 1 && s.dims[0] == 1) {
        s.n_dims--;
        memmove(s.dims, s.dims + 1, (size_t)s.n_dims * sizeof *s.dims);
    }
    return s;
}

static bool shape_fits(struct shape expected, struct shape found, bool is_gguf)
{
    if (is_gguf) {
        expected = shape_strip(expected);
        found = shape_strip(found);
    }
    if (expected.n_dims != found.n_dims) return false;
    for (int i = 0; i < expected.n_dims; i++)
        if (expected.dims[i] != -1 && expected.dims[i] != found.dims[i]) return false;
    return true;
}

static const char *shape_show(struct shape s, char dst[192])
{
    size_t n = 0;
    dst[0] = 0;
    if (s.n_dims == 0) snprintf(dst, 192, "a scalar");
    for (int i = 0; i < s.n_dims; i++) {
        const char *between = i ? " x " : "";
        if (s.dims[i] == -2)
            n += (size_t)snprintf(dst + n, 192 - n, "%s(beyond 64 bits)", between);
        else
            n += (size_t)snprintf(dst + n, 192 - n, "%s%lld", between, (long long)s.dims[i]);
    }
    return dst;
}

/* Which one number of the config, changed, would give the shape that was found? The letters in this order: what is most often wrong
 * and least entangled first. */
static void hint_shape(const struct model *m, const struct tensor_rule *rule, const struct tensor *t,
                       struct error *err)
{
    static const struct {
        char letter;
        size_t off;
    } letters[] = {{'V', offsetof(struct hparams, n_vocab)}, {'P', offsetof(struct hparams, n_ctx)},
                   {'F', offsetof(struct hparams, n_ff)},    {'K', offsetof(struct hparams, n_head_kv)},
                   {'H', offsetof(struct hparams, n_head)},  {'D', offsetof(struct hparams, head_dim)},
                   {'E', offsetof(struct hparams, n_embd)}};
    struct shape expected = shape_expected(rule, m, &m->hp), found = shape_found(t);
    if (expected.n_dims != found.n_dims) return;
    for (size_t l = 0; l < sizeof letters / sizeof *letters; l++) {
        int64_t old = *(const int64_t *)(const void *)((const char *)&m->hp + letters[l].off);
        if (!strchr(rule->shape, letters[l].letter)) continue;
        for (int i = 0; i < found.n_dims; i++) {
            int64_t product;
            if (expected.dims[i] < 1 || expected.dims[i] == found.dims[i]) continue;
            if (__builtin_mul_overflow(found.dims[i], old, &product) || product % expected.dims[i] != 0)
                continue;
            struct hparams hp = m->hp;
            *(int64_t *)(void *)((char *)&hp + letters[l].off) = product / expected.dims[i];
            if (!shape_fits(shape_expected(rule, m, &hp), found, m->is_gguf)) continue;
            for (const struct config_key *k = m->arch->keys; k->hf || k->gguf; k++) {
                const char *key = m->is_gguf ? k->gguf : k->hf;
                if ((k->type != CONFIG_INT && k->type != CONFIG_INT_OR_NULL) || k->off != letters[l].off || !key) continue;
                error_hint(err, "%s%s%.*s is %lld in the config, but %lld fits the tensor",
                           m->is_gguf ? m->arch->gguf_arch : "", m->is_gguf ? "." : "",
                           (int)strcspn(key, "|"), key, (long long)old,
                           (long long)(product / expected.dims[i]));
                return;
            }
        }
    }
}

static enum status check_shape(const struct model *m, const struct tensor_rule *rule,
                               const struct ckpt_tensor *t, struct error *err)
{
    struct shape expected = shape_expected(rule, m, &m->hp), found = shape_found(t->t);
    if (shape_fits(expected, found, m->is_gguf)) return STATUS_OK;
    char a[192], b[192];
    error_at(err, STATUS_MISMATCH, t->container->file.path, t->t->name, "expected %s from config, found %s",
             shape_show(expected, a), shape_show(found, b));
    hint_shape(m, rule, t->t, err);
    return STATUS_MISMATCH;
}

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
                                      char name[NAME_MAX_BYTES])
{
    const char *pattern = b->m->is_gguf ? rule->target : rule->source;
    const struct ckpt_tensor *t = NULL;
    for (const char *s = pattern; s && *s && !t;) {
        char one[NAME_MAX_BYTES];
        size_t n = strcspn(s, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, s);
        expand(one, b->m->wrapper, b->prefix, layer, name);
        t = ckpt_find(b->m->ckpt, name);
        s += n + (s[n] == '|');
    }
    if (!t && pattern && strchr(pattern, '|')) {
        char one[NAME_MAX_BYTES];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(pattern, "|"), pattern);
        expand(one, b->m->wrapper, b->prefix, layer, name);
    }
    return t;
}

static bool rule_holds(const struct binder *b, const struct tensor_rule *rule, int64_t layer)
{
    if (!b->m->is_gguf) return !rule->when || rule->when(&b->m->hp);
    if (!rule->when && rule->fill == FILL_NONE) return true;
    char name[NAME_MAX_BYTES];
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
    char pattern[NAME_MAX_BYTES], name[NAME_MAX_BYTES], shape[192];
    if (rule->in_layer && !rule->in_layer(&m->hp, layer)) return STATUS_OK;
    one.shape = inner ? inner + 1 : rule->shape;
    if ((uint64_t)m->hp.n_expert > m->ckpt->n_tensors) /* before memory is asked for */
        return error_at(err, STATUS_NOTFOUND, m->ckpt->path, rule->target, "expected %lld experts, found %zu tensors",
                        (long long)m->hp.n_expert, m->ckpt->n_tensors);
    const struct ckpt_tensor **experts = arena_array(&m->mem, (uint64_t)m->hp.n_expert, sizeof *experts);
    if (!experts) return error_nomem(err, (size_t)m->hp.n_expert * sizeof *experts);
    for (int64_t e = 0; e < m->hp.n_expert; e++) {
        snprintf(pattern, sizeof pattern, "%.*s%lld%s", (int)(hole - rule->source), rule->source, (long long)e, hole + 3);
        expand(pattern, m->wrapper, b->prefix, layer, name);
        experts[e] = ckpt_find(m->ckpt, name);
        if (!experts[e])
            return error_at(err, STATUS_NOTFOUND, m->ckpt->path, name, "expected %s from config, not found",
                            shape_show(shape_expected(&one, m, &m->hp), shape));
        TRY(check_shape(m, &one, experts[e], err));
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
    char name[NAME_MAX_BYTES];
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
    TRY(check_shape(m, rule, t, err));
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

/* --- the output matrix --- */

enum { COMPARE_BYTES = 1 << 18 };

/* The first max_bytes of them count. */
static enum status same_values(const struct ckpt_tensor *a, const struct ckpt_tensor *b, uint64_t max_bytes,
                               bool *same, struct error *err)
{
    uint64_t size = a->t->size_bytes < max_bytes ? a->t->size_bytes : max_bytes;
    *same = ckpt_same_bytes(a, b);
    if (*same || a->t->dtype != b->t->dtype || a->t->size_bytes != b->t->size_bytes) return STATUS_OK;
    void *p;
    TRY(mem_alloc(&p, 2, COMPARE_BYTES, err));
    char *x = p, *y = x + COMPARE_BYTES;
    enum status st = STATUS_OK;
    *same = true;
    for (uint64_t off = 0; off < size && *same; off += COMPARE_BYTES) {
        uint64_t left = size - off;
        size_t n = left < COMPARE_BYTES ? (size_t)left : COMPARE_BYTES;
        TRY_OUT(ckpt_read(a, off, x, n, err));
        TRY_OUT(ckpt_read(b, off, y, n, err));
        *same = memcmp(x, y, n) == 0;
    }
out:
    free(p);
    return st;
}

static size_t find_role(const struct model *m, enum role role)
{
    size_t i = 0;
    while (i < m->n_weights && m->weights[i].rule->role != role) i++;
    return i;
}

/* A runtime that insists on an output matrix gets it although the model is tied. */
static enum status fill_output(struct model *m, const struct tensor_rule *rule, size_t before,
                               struct error *err)
{
    if (m->is_gguf || rule->fill != FILL_EMBEDDING) return STATUS_OK;
    struct model_fill *fills = arena_array(&m->mem, m->n_fills + 1, sizeof *fills);
    if (!fills) return error_nomem(err, (m->n_fills + 1) * sizeof *fills);
    size_t n = 0;
    while (n < m->n_fills && m->fills[n].before < before) n++;
    for (size_t i = 0; i < m->n_fills; i++) fills[i < n ? i : i + 1] = m->fills[i];
    fills[n] = (struct model_fill){rule, -1, before};
    m->fills = fills;
    m->n_fills++;
    return STATUS_OK;
}

static void unbind(struct model *m, size_t i)
{
    m->n_weights--;
    memmove(&m->weights[i], &m->weights[i + 1], (m->n_weights - i) * sizeof *m->weights);
    for (size_t k = 0; k < m->n_fills; k++)
        if (m->fills[k].before > i) m->fills[k].before--;
}

/* A copy of the embedding? A shared storage is proof, whatever the config says. Equal numbers count unless it says that they are two
 * matrices; a GGUF without the word is not tied. */
static enum status is_copy(const struct model *m, const struct ckpt_tensor *output,
                           const struct ckpt_tensor *embd, enum tie tie, uint64_t max_bytes, bool *same,
                           struct error *err)
{
    *same = ckpt_same_bytes(output, embd);
    if (*same || tie == TIE_NO || (m->is_gguf && tie == TIE_UNSAID)) return STATUS_OK;
    return same_values(output, embd, max_bytes, same, err);
}

static enum status output_present(struct model *m, size_t i_output, enum tie tie, bool headers_only,
                                  struct warnings *warn, struct error *err)
{
    uint64_t max_bytes = headers_only ? COMPARE_BYTES : UINT64_MAX;
    size_t i_embd = find_role(m, ROLE_TOKEN_EMBD);
    bool same = false, same_type = false;
    const struct ckpt_tensor *output = m->weights[i_output].t;
    const struct tensor_rule *rule = m->weights[i_output].rule;
    m->hp.tied = false;
    if (i_embd < m->n_weights) {
        TRY(is_copy(m, output, m->weights[i_embd].t, tie, max_bytes, &same, err));
        same_type = output->t->dtype == m->weights[i_embd].t->t->dtype;
    }
    const char *name = output->t->name;
    /* the copy that a runtime insists on; after quantization it may be of another type, and runtimes use it */
    bool expected = m->is_gguf && rule->fill == FILL_EMBEDDING;
    if (!same) {
        if (tie == TIE_YES && (!expected || same_type))
            warnings_add(warn, "tied-head-differs",
                         "tensor '%s' differs from the embedding although the config ties them: both are kept",
                         name);
        return STATUS_OK;
    }
    if (!expected)
        warnings_note(warn, "tied-head-dropped", "tensor '%s' %s the embedding and is stored once", name,
                      ckpt_same_bytes(output, m->weights[i_embd].t) ? "is"
                      : output->t->size_bytes > max_bytes           ? "begins as"
                                                                    : "equals");
    m->hp.tied = m->tie_dropped = true;
    unbind(m, i_output);
    return fill_output(m, rule, i_output, err);
}

static enum status output_absent(struct model *m, enum tie tie, struct warnings *warn, struct error *err)
{
    m->hp.tied = true;
    if (tie == TIE_YES || (m->is_gguf && tie == TIE_UNSAID)) return STATUS_OK;
    if (m->is_gguf)
        return error_at(err, STATUS_NOTFOUND, m->ckpt->path, "output.weight",
                        "expected since lathe.tied_embeddings is false, not found");
    warnings_add(warn, "lm-head-missing",
                 "the config does not tie the output matrix to the embedding, but there is no output matrix: "
                 "taken as tied");
    return STATUS_OK;
}

/* Slot of (role, layer, part) in m->index, which holds index + 1 into m->weights; 0: none. */
static size_t slot(enum role role, int64_t layer, enum part part)
{
    return ((size_t)(layer + 1) * ROLE_COUNT + role) * PART_COUNT + part;
}

static enum status build_index(struct model *m, struct error *err)
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

enum status bind_output(struct model *m, enum tie tie, bool headers_only, struct warnings *warn,
                        struct error *err)
{
    size_t i = find_role(m, ROLE_OUTPUT);
    TRY(i < m->n_weights ? output_present(m, i, tie, headers_only, warn, err) : output_absent(m, tie, warn, err));
    return build_index(m, err);
}

const struct weight *model_weight(const struct model *m, enum role role, int64_t layer, enum part part)
{
    if ((unsigned)role >= ROLE_COUNT || (unsigned)part >= PART_COUNT || layer < -1 || layer >= m->hp.n_layer)
        return NULL;
    size_t i = ((const size_t *)m->index)[slot(role, layer, part)];
    return i ? &m->weights[i - 1] : NULL;
}
