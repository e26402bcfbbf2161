/* RoPE in a GGUF: llama.cpp's keys, the source's block beside them (docs/format.md section 3.3), and both written. */
#include "models/config.h"
#include "models/rope_runtime.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- reading --- */

static enum status bad_kv(const struct container *c, const struct kv *kv, const char *expected,
                          struct error *err)
{
    return error_at(err, STATUS_FORMAT, c->file.path, NULL, "%s: expected %s, found a value of type %s",
                    kv->key, expected, kv_type_name(kv->type));
}

static enum status kv_real(const struct arch *arch, const struct container *c, const char *key, bool *used,
                           float *out, struct error *err)
{
    const struct kv *kv = config_kv(arch, c, key, used);
    double x;
    if (!kv) return STATUS_OK;
    if (!kv_get_double(kv, &x)) return bad_kv(c, kv, "a number", err);
    *out = (float)x;
    return STATUS_OK;
}

static enum status kv_count(const struct container *c, const struct kv *kv, int64_t *out, struct error *err)
{
    if (!kv || (kv_get_int(kv, out) && *out >= 1 && *out <= INT32_MAX)) return STATUS_OK;
    return error_at(err, STATUS_RANGE, c->file.path, NULL, "%s: expected an integer from 1 to %d", kv->key,
                    INT32_MAX);
}

static enum status kv_positive(const struct container *c, const struct kv *kv, double *out, struct error *err)
{
    if (!kv || (kv_get_double(kv, out) && *out > 0 && isfinite(*out))) return STATUS_OK;
    return error_at(err, STATUS_RANGE, c->file.path, NULL, "%s: expected a positive, finite number", kv->key);
}

/* What stands beside the block in keys of its own */
static enum status read_beside(const struct container *c, struct hparams *hp, struct error *err)
{
    int64_t n = 0;
    TRY(kv_positive(c, container_kv(c, "lathe.rope.theta"), &hp->rope.theta, err));
    hp->rope.n_ctx = hp->n_ctx;
    TRY(kv_count(c, container_kv(c, "lathe.rope.trained_context"), &hp->rope.n_ctx, err));
    TRY(kv_count(c, container_kv(c, "lathe.rope.context"), &hp->rope.n_baked, err));
    TRY(kv_count(c, container_kv(c, "lathe.rope.original_context"), &n, err));
    if (n > 0) hp->rope.n_ctx_orig = (double)n;
    return STATUS_OK;
}

/* The source's block, kept as it is, and read as in config.json. */
static enum status read_source(const struct arch *arch, const struct container *c, struct hparams *hp,
                               double freq_base, struct arena *mem, struct error *err)
{
    static const char key[] = "lathe.rope.source";
    const struct kv *kv = container_kv(c, key);
    if (!kv) return STATUS_OK;
    const char *text = kv_get_string(kv);
    if (!text) return bad_kv(c, kv, "a string", err);
    struct json *doc;
    TRY(json_parse(&doc, text, strlen(text), c->file.path, err));
    struct warnings said = {0}; /* at conversion */
    struct config_reader r = {.arch = arch, .doc = doc, .hp = hp, .mem = mem, .warn = &said};
    enum status st = STATUS_OK;
    if (!json_is(json_root(doc), JTYPE_OBJECT))
        st = error_at(err, STATUS_FORMAT, c->file.path, NULL, "%s: expected a JSON object", key);
    if (st == STATUS_OK) st = config_rope_read_block(&r, key, json_root(doc), err);
    if (st == STATUS_OK && !json_get(json_root(doc), "rope_theta")) hp->rope.theta = freq_base;
    json_free(doc);
    warnings_clear(&said);
    TRY(st);
    hp->rope.source = arena_strndup(mem, text, strlen(text));
    return hp->rope.source ? STATUS_OK : error_nomem(err, strlen(text));
}

static enum status read_runtime(const struct arch *arch, const struct container *c, struct hparams *hp,
                                bool *used, struct rope_runtime *k, struct error *err)
{
    *k = (struct rope_runtime){.freq_base = (float)CONFIG_ROPE_THETA, .attn_factor = 1, .n_ctx_orig = hp->n_ctx};
    TRY(kv_real(arch, c, "rope.freq_base", used, &k->freq_base, err));
    TRY(kv_real(arch, c, "rope.scale_linear", used, &k->factor, err));
    TRY(kv_real(arch, c, "rope.scaling.factor", used, &k->factor, err));
    TRY(kv_real(arch, c, "rope.scaling.attn_factor", used, &k->attn_factor, err));
    TRY(kv_count(c, config_kv(arch, c, "rope.scaling.original_context_length", used), &k->n_ctx_orig, err));
    config_kv(arch, c, "rope.scaling.finetuned", used); /* a mark without effect */
    const struct kv *kv = config_kv(arch, c, "rope.scaling.type", used);
    const char *word = kv ? kv_get_string(kv) : "linear";
    if (!word) return bad_kv(c, kv, "a string", err);
    k->scaling = rope_scaling_from_name(word);
    k->scaling_given = kv != NULL;
    if (k->scaling == ROPE_SCALING_COUNT)
        return error_at(err, STATUS_UNSUPPORTED, c->file.path, NULL, "%s: unknown RoPE type '%s'", kv->key, word);
    return STATUS_OK;
}

void config_rope_describe(const struct rope_runtime *k, struct hparams *hp)
{
    static const enum rope_type types[ROPE_SCALING_COUNT] = {
        [ROPE_SCALING_NONE] = ROPE_DEFAULT,
        [ROPE_SCALING_LINEAR] = ROPE_LINEAR,
        [ROPE_SCALING_YARN] = ROPE_YARN,
        [ROPE_SCALING_LONGROPE] = ROPE_LONGROPE,
    };
    struct rope *rope = &hp->rope;
    rope->type = types[k->scaling];
    rope->theta = (double)k->freq_base;
    rope->n_ctx = hp->n_ctx;
    rope->n_baked = 0;
    rope->attn_factor = 0;
    rope->factor = k->factor == 0 || k->scaling == ROPE_SCALING_NONE ? 1 : (double)k->factor;
    if (rope->type == ROPE_YARN || rope->type == ROPE_LONGROPE) rope->n_ctx_orig = (double)k->n_ctx_orig;
    if (rope->type == ROPE_LINEAR && rope->factor == 1) rope->type = ROPE_DEFAULT;
}

enum status config_rope_read_gguf(const struct arch *arch, const struct container *c, struct hparams *hp,
                                  bool *used, struct arena *mem, struct error *err)
{
    struct rope_runtime *k = arena_alloc(mem, sizeof *k);
    if (!k) return error_nomem(err, sizeof *k);
    TRY(kv_count(c, config_kv(arch, c, "rope.dimension_count", used), &hp->rope.dim, err));
    TRY(read_runtime(arch, c, hp, used, k, err));
    TRY(read_source(arch, c, hp, (double)k->freq_base, mem, err));
    TRY(read_beside(c, hp, err));
    if (!hp->rope.source) config_rope_describe(k, hp);
    hp->rope.runtime = k; /* until the factor tensors are there to compare: models/bind_rope.c */
    return STATUS_OK;
}

/* --- writing --- */

struct putter {
    const struct arch *arch;
    struct gguf_writer *w;
    struct warnings *warn;
};

/* exact: the number before it became a float */
static void put_real(const struct putter *p, const char *key, float v, double exact)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", p->arch->gguf_arch, key);
    gguf_put_f32(p->w, name, v);
    if ((double)v != exact)
        warnings_add(p->warn, "rope-value-rounded", "%s: %.17g is stored as the float %.17g", name, exact,
                     (double)v);
}

static void put_count(const struct putter *p, const char *key, int64_t n)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", p->arch->gguf_arch, key);
    gguf_put_u32(p->w, name, (uint32_t)n);
}

/* Which tensors of RoPE factors the runtime loads for this architecture is what its rules list. */
bool config_rope_has_tensors(const struct arch *arch)
{
    for (const struct tensor_rule *r = arch->rules; r->source || r->target; r++)
        if (r->role == ROLE_ROPE_FREQS) return true;
    return false;
}

static void warn_inexact(const struct putter *p, const struct rope *rope)
{
    const char *type = rope_type_name(rope->type), *arch = p->arch->gguf_arch;
    long long o = (long long)rope_original_context(rope);
    static const char code[] = "runtime-ignores-rope";
    if (rope->type == ROPE_DYNAMIC)
        warnings_add(p->warn, code,
                     "RoPE type 'dynamic': llama.cpp has no such scaling and computes unscaled angles beyond %lld "
                     "positions; --rope-context N makes a file for one length",
                     o);
    else if (rope->type == ROPE_YARN)
        warnings_add(p->warn, code,
                     "RoPE type 'yarn': llama.cpp takes betas 32 and 1 and whole pairs for architecture '%s', the "
                     "source says otherwise",
                     arch);
    else
        warnings_add(p->warn, code,
                     "RoPE type '%s': llama.cpp does not read its factors for architecture '%s' and computes unscaled "
                     "angles",
                     type, arch);
}

/* The block, and keys beside it for what it does not hold and freq_base does not say */
static void put_source(const struct putter *p, const struct hparams *hp, double freq_base)
{
    const struct rope *rope = &hp->rope;
    if (!rope->source) return;
    gguf_put_string(p->w, "lathe.rope.source", rope->source);
    if (rope->top_theta && rope->theta != freq_base) gguf_put_f64(p->w, "lathe.rope.theta", rope->theta);
    if (rope->top_ctx_orig) gguf_put_u32(p->w, "lathe.rope.original_context", (uint32_t)rope->n_ctx_orig);
    if (rope->n_baked > 0) gguf_put_u32(p->w, "lathe.rope.context", (uint32_t)rope->n_baked);
    if (rope->n_ctx > 0 && rope->n_ctx != hp->n_ctx) gguf_put_u32(p->w, "lathe.rope.trained_context", (uint32_t)rope->n_ctx);
}

enum status config_rope_put(const struct arch *arch, const struct hparams *hp, struct gguf_writer *w,
                            struct warnings *warn, struct error *err)
{
    const struct putter p = {arch, w, warn};
    const struct rope *rope = &hp->rope;
    struct arena mem = {0};
    struct rope_runtime k;
    bool exact;
    enum status st = rope_runtime_choose(rope, config_rope_has_tensors(arch), &k, &exact, &mem, err);
    if (st == STATUS_OK && k.n_ctx_orig > UINT32_MAX)
        st = error_set(err, STATUS_RANGE, "RoPE: the original context %lld does not fit 32 bits",
                       (long long)k.n_ctx_orig);
    arena_clear(&mem);
    TRY(st);
    put_count(&p, "rope.dimension_count", rope->dim);
    put_real(&p, "rope.freq_base", k.freq_base, rope->n_baked > 0 ? (double)k.freq_base : rope->theta);
    if (k.scaling_given) {
        char name[128];
        snprintf(name, sizeof name, "%s.rope.scaling.type", arch->gguf_arch);
        gguf_put_string(w, name, rope_scaling_name(k.scaling));
    }
    if (k.factor != 0) put_real(&p, "rope.scaling.factor", k.factor, rope->factor != 0 ? rope->factor : (double)k.factor);
    if (k.scaling == ROPE_SCALING_YARN || k.scaling == ROPE_SCALING_LONGROPE)
        put_count(&p, "rope.scaling.original_context_length", k.n_ctx_orig);
    if (k.attn_factor != 1) put_real(&p, "rope.scaling.attn_factor", k.attn_factor, (double)k.attn_factor);
    if (!exact) warn_inexact(&p, rope);
    put_source(&p, hp, (double)k.freq_base);
    return STATUS_OK;
}
