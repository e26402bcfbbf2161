/* docs/format.md, section 4, the other way round. */
#include "core/receipt.h"

#include "base/json.h"
#include "base/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list of tensors takes some hundred bytes for each; files are those of tokenizers. */
static const char file_prefix[] = "lathe.receipt.file.";
enum { DIGEST_HEX = 2 * SHA256_BYTES };

struct reader {
    struct receipt *r;
    const struct json *doc;
    const char *digests; /* what is left of the string */
    size_t n_digests;    /* characters left */
};

static enum status bad(const struct reader *x, const char *what, struct error *err)
{
    return error_at(err, STATUS_FORMAT, x->r->gguf->file.path, NULL, "receipt: %s", what);
}

static const struct kv *find(const struct container *gguf, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "lathe.receipt.%s", name);
    return container_kv(gguf, key);
}

/* --- values --- */

static enum status read_text(const struct reader *x, const struct jvalue *v, const char **out, struct error *err)
{
    const char *s = json_string(v);
    if (!s || !*s) return bad(x, "expected a text", err);
    *out = arena_strndup(&x->r->mem, s, strlen(s));
    return *out ? STATUS_OK : error_nomem(err, strlen(s));
}

/* An optional count; 0 when absent. */
static enum status read_count(const struct reader *x, const struct jvalue *object, const char *key, int64_t *out, struct error *err)
{
    const struct jvalue *v = json_get(object, key);
    *out = 0;
    if (!v) return STATUS_OK;
    if (json_int(x->doc, v, out, err) == STATUS_OK && *out >= 0) return STATUS_OK;
    return bad(x, "expected a count", err);
}

static enum dtype type_named(const char *name)
{
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (name && strcmp(plan_source_type_name((enum dtype)t), name) == 0) return (enum dtype)t;
    return DTYPE_COUNT;
}

static enum status read_source(const struct reader *x, const struct jvalue *v, struct receipt_source *s, struct error *err)
{
    struct tensor t = {.dtype = type_named(json_string(json_get(v, "dtype")))};
    const struct jvalue *shape = json_get(v, "shape");
    TRY(read_text(x, json_get(v, "name"), &s->name, err));
    if (t.dtype == DTYPE_COUNT) return bad(x, "a source has an unknown type", err);
    if (!json_is(shape, JTYPE_ARRAY) || json_count(shape) > TENSOR_DIMS_MAX) return bad(x, "a source has no shape, or too many dimensions", err);
    for (const struct jvalue *d = json_first(shape); d; d = json_next(d))
        if (json_int(x->doc, d, &t.shape[t.n_dims++], err) != STATUS_OK) return bad(x, "expected dimensions as integers", err);
    t.name = s->name;
    TRY(tensor_set_size(&t, x->r->gguf->file.path, err));
    s->dtype = t.dtype;
    s->n_dims = t.n_dims;
    s->n_elements = t.n_elements;
    memcpy(s->shape, t.shape, sizeof s->shape);
    return STATUS_OK;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum status take_digest(struct reader *x, uint8_t out[SHA256_BYTES], struct error *err)
{
    if (x->n_digests < DIGEST_HEX) return bad(x, "fewer digests than sources", err);
    for (int i = 0; i < SHA256_BYTES; i++) {
        int high = hex_value(x->digests[2 * i]), low = hex_value(x->digests[2 * i + 1]);
        if (high < 0 || low < 0) return bad(x, "digests are no hexadecimal digits", err);
        out[i] = (uint8_t)(high << 4 | low);
    }
    x->digests += DIGEST_HEX;
    x->n_digests -= DIGEST_HEX;
    return STATUS_OK;
}

/* --- the list --- */

static enum status read_sources(struct reader *x, const struct jvalue *list, struct receipt_tensor *t, struct error *err)
{
    if (!json_is(list, JTYPE_ARRAY)) return bad(x, "a tensor has no list of sources", err);
    t->sources = arena_array(&x->r->mem, json_count(list) + 1, sizeof *t->sources);
    if (!t->sources) return error_nomem(err, json_count(list) * sizeof *t->sources);
    for (const struct jvalue *v = json_first(list); v; v = json_next(v)) {
        TRY(read_source(x, v, &t->sources[t->n_sources], err));
        TRY(take_digest(x, t->sources[t->n_sources++].sha256, err));
    }
    return STATUS_OK;
}

static enum status read_tensor(struct reader *x, const struct jvalue *v, struct receipt_tensor *t, struct error *err)
{
    const struct jvalue *scale = json_get(v, "scale");
    const char *word = json_string(json_get(v, "transform"));
    uint8_t ignored[SHA256_BYTES];
    TRY(read_text(x, json_get(v, "name"), &t->name, err));
    t->transform = word ? transform_from_name(word) : TRANSFORM_COUNT;
    if (t->transform == TRANSFORM_COUNT) return bad(x, "a tensor has an unknown transform", err);
    TRY(read_count(x, v, "heads", &t->args.heads, err));
    TRY(read_count(x, v, "groups", &t->args.groups, err));
    TRY(read_count(x, v, "rotated", &t->args.rotated, err));
    TRY(read_count(x, v, "scaled_rows", &t->scaled_rows, err));
    if (scale) TRY(json_double(x->doc, scale, &t->scale, err));
    if (t->scaled_rows > 0 && !(isfinite(t->scale) && t->scale != 0)) return bad(x, "rows are scaled by no number", err);
    TRY(read_sources(x, json_get(v, "sources"), t, err));
    t->had_scales = json_get(v, "scales") != NULL;
    return t->had_scales ? take_digest(x, ignored, err) : STATUS_OK;
}

static enum status read_list(struct reader *x, struct error *err)
{
    struct receipt *r = x->r;
    const struct jvalue *root = json_root(x->doc), *tensors = json_get(root, "tensors"), *dropped = json_get(root, "dropped");
    if (!json_is(tensors, JTYPE_ARRAY) || !json_is(dropped, JTYPE_ARRAY)) return bad(x, "expected lists of tensors and of what was dropped", err);
    TRY(read_text(x, json_get(root, "format"), &r->format, err));
    r->tensors = arena_array(&r->mem, json_count(tensors) + 1, sizeof *r->tensors);
    r->dropped = arena_array(&r->mem, json_count(dropped) + 1, sizeof *r->dropped);
    if (!r->tensors || !r->dropped) return error_nomem(err, json_count(tensors) * sizeof *r->tensors);
    for (const struct jvalue *v = json_first(tensors); v; v = json_next(v)) TRY(read_tensor(x, v, &r->tensors[r->n_tensors++], err));
    for (const struct jvalue *v = json_first(dropped); v; v = json_next(v)) {
        struct receipt_dropped *d = &r->dropped[r->n_dropped++];
        TRY(read_source(x, v, &d->source, err));
        TRY(read_text(x, json_get(v, "reason"), &d->reason, err));
    }
    return x->n_digests == 0 ? STATUS_OK : bad(x, "more digests than sources", err);
}

static enum status unpack(const struct receipt *r, const struct kv *kv, uint64_t max_bytes, struct buf *out, struct error *err)
{
    if (!kv || kv->type != KV_STRING)
        return error_at(err, STATUS_FORMAT, r->gguf->file.path, NULL, "receipt: %s", kv ? "expected a string" : "its list of tensors is missing");
    if (receipt_unpack(out, kv->v.str.s, (size_t)kv->v.str.len, (size_t)max_bytes, err) == STATUS_OK) return buf_check(out, err);
    struct error cause = *err;
    return error_at(err, cause.status, r->gguf->file.path, NULL, "%.200s: %s", kv->key, cause.text);
}

static enum status read_all(struct receipt *r, struct error *err)
{
    struct buf text = {0};
    struct json *doc = NULL;
    struct reader x = {.r = r};
    const struct kv *level = find(r->gguf, "level"), *digests = find(r->gguf, "sha256");
    const char *word = kv_get_string(level);
    if (!word || !digests || digests->type != KV_STRING) return bad(&x, "its level or its digests are missing", err);
    r->full = strcmp(word, "full") == 0;
    if (!r->full && strcmp(word, "lean") != 0) return bad(&x, "its level is neither lean nor full", err);
    x.digests = digests->v.str.s;
    x.n_digests = (size_t)digests->v.str.len;
    enum status st = unpack(r, find(r->gguf, "tensors"), LIMIT_RECEIPT_LIST, &text, err);
    if (st == STATUS_OK) st = json_parse(&doc, text.data ? text.data : "", text.len, r->gguf->file.path, err);
    x.doc = doc;
    if (st == STATUS_OK) st = read_list(&x, err);
    json_free(doc);
    buf_clear(&text);
    return st;
}

enum status receipt_read(struct receipt **out, const struct container *gguf, struct error *err)
{
    const struct kv *version = find(gguf, "version");
    int64_t n;
    void *mem;
    *out = NULL;
    if (!version) return STATUS_OK;
    if (!kv_get_int(version, &n) || n != RECEIPT_VERSION)
        return error_at(err, STATUS_UNSUPPORTED, gguf->file.path, NULL, "lathe.receipt.version: expected %d, found another", RECEIPT_VERSION);
    TRY(mem_alloc(&mem, 1, sizeof **out, err));
    struct receipt *r = mem;
    r->gguf = gguf;
    enum status st = read_all(r, err);
    if (st == STATUS_OK)
        *out = r;
    else
        receipt_free(r);
    return st;
}

void receipt_free(struct receipt *r)
{
    if (!r) return;
    arena_clear(&r->mem);
    free(r);
}

enum status receipt_read_file(const struct receipt *r, size_t i, const char **name, struct buf *out, struct error *err)
{
    const size_t n_prefix = sizeof file_prefix - 1;
    *name = NULL;
    for (size_t k = 0; k < r->gguf->n_kvs; k++) {
        const struct kv *kv = &r->gguf->kvs[k];
        if (strncmp(kv->key, file_prefix, n_prefix) != 0 || i-- > 0) continue;
        if (!receipt_file_name(kv->key + n_prefix))
            return error_at(err, STATUS_FORMAT, r->gguf->file.path, NULL, "%.200s: no configuration or tokenizer file has this name", kv->key);
        *name = kv->key + n_prefix;
        return unpack(r, kv, LIMIT_RECEIPT_FILE, out, err);
    }
    return STATUS_OK;
}

enum status receipt_read_dropped(const struct receipt *r, size_t i, bool *stored, struct buf *out, struct error *err)
{
    const struct receipt_source *s = &r->dropped[i].source;
    char key[32];
    uint64_t n_bytes;
    snprintf(key, sizeof key, "dropped.%zu", i);
    const struct kv *kv = find(r->gguf, key);
    *stored = kv != NULL;
    if (!kv) return STATUS_OK;
    if (!dtype_bytes(s->dtype, s->n_elements, &n_bytes) || n_bytes > LIMIT_RECEIPT_LIST)
        return error_at(err, STATUS_RANGE, r->gguf->file.path, s->name, "receipt: is too large to be stored there");
    TRY(unpack(r, kv, n_bytes, out, err));
    if (out->len == n_bytes) return STATUS_OK;
    return error_at(err, STATUS_FORMAT, r->gguf->file.path, s->name, "receipt: expected %llu bytes, found %zu", (unsigned long long)n_bytes, out->len);
}
