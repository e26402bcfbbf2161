/* Hyperparameters from and to GGUF keys. Names after "<arch>." are llama.cpp's. */
#include "models/config.h"
#include "models/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct kv *config_kv(const struct arch *arch, const struct container *c, const char *key, bool *used)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch->gguf_arch, key);
    const struct kv *kv = container_kv(c, name);
    if (kv) used[kv - c->kvs] = true;
    return kv;
}

static enum status bad_kv(const struct container *c, const struct kv *kv, const char *expected,
                          struct error *err)
{
    double x;
    if (kv_get_double(kv, &x))
        return error_at(err, STATUS_RANGE, c->file.path, NULL, "%s: expected %s, found %g", kv->key, expected,
                        x);
    return error_at(err, STATUS_FORMAT, c->file.path, NULL, "%s: expected %s, found a value of type %s",
                    kv->key, expected, kv_type_name(kv->type));
}

static enum status read_int(const struct container *c, const struct kv *kv, int64_t *field, struct error *err)
{
    int64_t n;
    if (!kv_get_int(kv, &n) || n < 1 || n > INT32_MAX)
        return bad_kv(c, kv, "an integer from 1 to 2147483647", err);
    if (*field != 0 && *field != n)
        return error_at(err, STATUS_MISMATCH, c->file.path, NULL,
                        "%s: expected %lld as in the key beside it, found %lld", kv->key, (long long)*field,
                        (long long)n);
    *field = n;
    return STATUS_OK;
}

/* A bool for each layer. */
static enum status read_layers(const struct container *c, const struct kv *kv, int64_t n_layer,
                               const bool **field, struct arena *mem, struct error *err)
{
    if (kv->type != KV_ARRAY || kv->v.array.type != KV_BOOL || kv->v.array.n != (uint64_t)n_layer)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "%s: expected an array of %lld bools, one for each layer", kv->key,
                        (long long)n_layer);
    bool *layers = arena_array(mem, (uint64_t)n_layer, sizeof *layers);
    if (!layers) return error_nomem(err, (size_t)n_layer);
    const uint8_t *values = kv->v.array.data;
    for (int64_t i = 0; i < n_layer; i++) layers[i] = values[i] != 0;
    *field = layers;
    return STATUS_OK;
}

static enum status read_value(const struct container *c, const struct kv *kv, const struct config_key *k,
                              struct hparams *hp, struct arena *mem, struct error *err)
{
    void *field = (char *)hp + k->off;
    double x;
    switch (k->type) {
    case CONFIG_INT:
    case CONFIG_INT_OR_NULL:
        return read_int(c, kv, field, err);
    case CONFIG_REAL:
        if (!kv_get_double(kv, &x) || !isfinite(x) || x < 0)
            return bad_kv(c, kv, "a number of at least 0", err);
        *(double *)field = x;
        return STATUS_OK;
    case CONFIG_LAYERS:
        return read_layers(c, kv, hp->n_layer, field, mem, err);
    case CONFIG_ID:
        return kv_get_int(kv, field) && *(int64_t *)field >= 0 && *(int64_t *)field <= INT32_MAX
                   ? STATUS_OK
                   : bad_kv(c, kv, "a token id", err);
    case CONFIG_BOOL:
        return kv_get_bool(kv, field) ? STATUS_OK : bad_kv(c, kv, "a bool", err);
    case CONFIG_ACTIVATION: {
        const char *name = kv_get_string(kv);
        if (!name) return bad_kv(c, kv, "an activation's name", err);
        enum activation a = activation_from_name(name);
        if (a == ACTIVATION_COUNT)
            return error_at(err, STATUS_UNSUPPORTED, c->file.path, NULL, "%s: unknown activation '%s'",
                            kv->key, name);
        *(enum activation *)field = a;
        return STATUS_OK;
    }
    }
    return STATUS_OK;
}

/* A missing integer stays 0 until derive, or until the tensors tell. */
static void set_fallback(struct hparams *hp, const struct config_key *k)
{
    void *field = (char *)hp + k->off;
    if (k->type == CONFIG_ID) *(int64_t *)field = -1;
    if (k->type == CONFIG_REAL && !isnan(k->fallback)) *(double *)field = k->fallback;
    if (k->type == CONFIG_BOOL) *(bool *)field = k->fallback != 0;
    if (k->type == CONFIG_ACTIVATION) *(enum activation *)field = (enum activation)k->fallback;
}

_Static_assert(sizeof(bool) == 1, "arrays of bool are written as they are in memory");

static enum status read_keys(const struct arch *arch, const struct container *c, struct hparams *hp,
                             bool *used, struct arena *mem, struct error *err)
{
    for (const struct config_key *k = arch->keys; k->hf || k->gguf; k++) {
        const struct kv *kv = k->gguf ? config_kv(arch, c, k->gguf, used) : NULL;
        if (kv)
            TRY(read_value(c, kv, k, hp, mem, err));
        else if (k->required)
            return error_at(err, STATUS_NOTFOUND, c->file.path, NULL,
                            "%s.%s: expected in the metadata, not found", arch->gguf_arch, k->gguf);
        else
            set_fallback(hp, k);
    }
    return STATUS_OK;
}

static enum status read_token_id(const struct container *c, const char *key, int64_t *id, struct error *err)
{
    *id = -1;
    const struct kv *kv = container_kv(c, key);
    if (!kv) return STATUS_OK;
    return kv_get_int(kv, id) && *id >= -1 && *id <= UINT32_MAX ? STATUS_OK
                                                                : bad_kv(c, kv, "a token id", err);
}

static enum status read_tie(const struct container *c, enum tie *tie, struct error *err)
{
    *tie = TIE_UNSAID;
    const struct kv *kv = container_kv(c, "lathe.tied_embeddings");
    bool tied;
    if (!kv) return STATUS_OK;
    if (!kv_get_bool(kv, &tied)) return bad_kv(c, kv, "a bool", err);
    *tie = tied ? TIE_YES : TIE_NO;
    return STATUS_OK;
}

static void report_unused(const struct arch *arch, const struct container *c, const bool *used,
                          struct warnings *warn)
{
    size_t n = strlen(arch->gguf_arch);
    for (size_t i = 0; i < c->n_kvs; i++) {
        const char *key = c->kvs[i].key;
        if (used[i] || strncmp(key, arch->gguf_arch, n) != 0 || key[n] != '.' ||
            config_is_ignored(arch, key + n + 1))
            continue;
        warnings_add(warn, "config-key-unused", "metadata key '%s' is not used", key);
    }
}

static enum status read_all(const struct arch *arch, const struct container *c, struct hparams *hp,
                            bool *used, enum tie *tie, struct arena *mem, struct error *err)
{
    TRY(read_keys(arch, c, hp, used, mem, err));
    TRY(read_tie(c, tie, err));
    TRY(read_token_id(c, "tokenizer.ggml.bos_token_id", &hp->bos_id, err));
    TRY(read_token_id(c, "tokenizer.ggml.eos_token_id", &hp->eos_id, err));
    if (arch->uses_rope) TRY(config_rope_read_gguf(arch, c, hp, used, mem, err));
    enum status st = arch->derive(hp, err);
    if (st == STATUS_OK) st = rope_check(&hp->rope, err);
    if (st != STATUS_OK && !err->path[0]) snprintf(err->path, sizeof err->path, "%s", c->file.path);
    return st;
}

enum status config_read_gguf(const struct arch *arch, const struct container *c, struct hparams *hp,
                             enum tie *tie, struct arena *mem, struct warnings *warn, struct error *err)
{
    *hp = (struct hparams){0};
    void *used;
    TRY(mem_alloc(&used, c->n_kvs, sizeof(bool), err));
    enum status st = read_all(arch, c, hp, used, tie, mem, err);
    if (st == STATUS_OK) report_unused(arch, c, used, warn);
    free(used);
    return st;
}

/* --- writing --- */

static enum status put_key(const struct arch *arch, const struct hparams *hp, const struct config_key *k,
                           struct gguf_writer *w, struct warnings *warn, struct error *err)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch->gguf_arch, k->gguf);
    const void *field = (const char *)hp + k->off;
    switch (k->type) {
    case CONFIG_INT:
    case CONFIG_INT_OR_NULL: {
        int64_t n = *(const int64_t *)field;
        if (n == 0 && !k->required) break; /* not known, or none */
        if (n < 0 || n > UINT32_MAX)
            return error_set(err, STATUS_RANGE, "%s: %lld does not fit 32 bits", name, (long long)n);
        gguf_put_u32(w, name, (uint32_t)n);
        break;
    }
    case CONFIG_ID:
        if (*(const int64_t *)field >= 0) gguf_put_u32(w, name, (uint32_t)*(const int64_t *)field);
        break;
    case CONFIG_REAL:
        gguf_put_f32(w, name, (float)*(const double *)field);
        break;
    case CONFIG_LAYERS: {
        const bool *layers = *(const bool *const *)field;
        if (layers) gguf_put_array(w, name, KV_BOOL, (uint64_t)hp->n_layer, layers);
        break;
    }
    case CONFIG_BOOL:
        gguf_put_bool(w, name, *(const bool *)field);
        break;
    case CONFIG_ACTIVATION: {
        enum activation a = *(const enum activation *)field, usual = (enum activation)k->fallback;
        if (a == usual) break;
        gguf_put_string(w, name, activation_name(a));
        if (arch->own_arch) break;
        warnings_add(warn, "runtime-ignores-activation",
                     "%s = %s: llama.cpp always computes %s for architecture '%s'", name, activation_name(a),
                     activation_name(usual), arch->gguf_arch);
        break;
    }
    }
    return STATUS_OK;
}

enum status model_put_hparams(const struct arch *arch, const struct hparams *hp, struct gguf_writer *w,
                              struct warnings *warn, struct error *err)
{
    for (const struct config_key *k = arch->keys; k->hf || k->gguf; k++)
        if (k->gguf) TRY(put_key(arch, hp, k, w, warn, err));
    if (arch->uses_rope) TRY(config_rope_put(arch, hp, w, warn, err));
    if (hp->window > 0 && hp->window < hp->n_ctx && !arch->own_arch && !arch->runtime_window)
        warnings_add(warn, "runtime-ignores-window",
                     "%s.attention.sliding_window = %lld: llama.cpp lets every query see all keys before it for "
                     "architecture '%s'; its answers are the model's up to %lld positions",
                     arch->gguf_arch, (long long)hp->window, arch->gguf_arch, (long long)hp->window);
    if (arch->remark) arch->remark(hp, warn);
    gguf_put_string(w, "lathe.family", arch->family);
    if (arch->own_arch)
        warnings_add(warn, "runtime-unknown-architecture",
                     "llama.cpp has no architecture that computes family '%s': '%s' is lathe's own", arch->family,
                     arch->gguf_arch);
    gguf_put_bool(w, "lathe.tied_embeddings", hp->tied);
    return STATUS_OK;
}
