/* The RoPE block in both spellings of config.json (models/rope.h has the order of precedence), and in GGUF keys.
 *
 * hp->rope.source is the chosen block's text, byte for byte. A config with nothing but a top-level rope_theta gets
 * {"rope_theta": <its text>}: the same block in the newer spelling. */
#include "models/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double theta_default = 10000;

/* --- config.json --- */

static enum status take_block(struct config_reader *r, const char *key, const struct jvalue **block,
                              struct error *err)
{
    char text[80];
    *block = config_take(r, key);
    if (!*block) return STATUS_OK;
    if (!json_is(*block, JTYPE_OBJECT))
        return config_error(r, err, STATUS_FORMAT, key, "expected an object, found %s",
                            config_show(*block, text));
    if (json_count(*block) == 0) *block = NULL;
    return STATUS_OK;
}

/* Equal members, in any order. */
static bool same_block(const struct jvalue *a, const struct jvalue *b)
{
    if (json_count(a) != json_count(b)) return false;
    for (const struct jvalue *v = json_first(a); v; v = json_next(v)) {
        const struct jvalue *w = json_get(b, json_key(v));
        if (!w || !config_same(v, w)) return false;
    }
    return true;
}

/* A member of the block, NULL also for null. */
static const struct jvalue *member(const struct jvalue *block, const char *key)
{
    const struct jvalue *v = json_get(block, key);
    return json_is(v, JTYPE_NULL) ? NULL : v;
}

static enum status read_type(struct config_reader *r, const char *block_key, const struct jvalue *block,
                             struct error *err)
{
    char label[96], text[80];
    const struct jvalue *v = member(block, "rope_type"), *old = member(block, "type");
    snprintf(label, sizeof label, "%s.%s", block_key, v ? "rope_type" : "type");
    if (v && old && !config_same(v, old))
        warnings_add(r->warn, "rope-types-differ",
                     "config key '%s.type' differs from 'rope_type', which is used", block_key);
    if (!v) v = old;
    r->hp->rope.type = ROPE_DEFAULT;
    if (!v) return STATUS_OK;
    if (!json_string(v))
        return config_error(r, err, STATUS_FORMAT, label, "expected a RoPE type's name, found %s",
                            config_show(v, text));
    r->hp->rope.type = rope_type_from_name(json_string(v));
    if (r->hp->rope.type == ROPE_TYPE_COUNT)
        return config_error(r, err, STATUS_UNSUPPORTED, label, "unknown RoPE type '%s'", json_string(v));
    if (!rope_type_supported(r->hp->rope.type))
        return config_error(r, err, STATUS_UNSUPPORTED, label, "RoPE type '%s' is not supported yet",
                            json_string(v));
    return STATUS_OK;
}

static const char *theta_key(const struct config_reader *r)
{
    return r->arch->rope.theta ? r->arch->rope.theta : "rope_theta";
}

static enum status read_theta(struct config_reader *r, const char *block_key, const struct jvalue *block,
                              struct error *err)
{
    const struct jvalue *top = config_take(r, theta_key(r)), *inner = member(block, "rope_theta");
    if (block && r->arch->rope.block_wins) top = NULL;
    r->hp->rope.theta = theta_default;
    if (top) TRY(json_double(r->doc, top, &r->hp->rope.theta, err));
    if (!inner) return STATUS_OK;
    double outer = r->hp->rope.theta;
    TRY(json_double(r->doc, inner, &r->hp->rope.theta, err));
    if (top && outer != r->hp->rope.theta)
        warnings_add(r->warn, "rope-theta-differs",
                     "config key '%s' = %.17g differs from '%s.rope_theta' = %.17g, which is used",
                     theta_key(r), outer, block_key, r->hp->rope.theta);
    return STATUS_OK;
}

static enum status read_factor(struct config_reader *r, const char *block_key, const struct jvalue *block,
                               struct error *err)
{
    struct rope *rope = &r->hp->rope;
    rope->factor = 1;
    if (rope->type != ROPE_LINEAR) return STATUS_OK;
    char label[96];
    snprintf(label, sizeof label, "%s.factor", block_key);
    const struct jvalue *v = member(block, "factor");
    if (!v)
        return config_error(r, err, STATUS_NOTFOUND, label, "RoPE type 'linear' needs a factor, not found");
    TRY(json_double(r->doc, v, &rope->factor, err));
    if (!(rope->factor > 0))
        return config_error(r, err, STATUS_RANGE, label, "expected a number above 0, found %g", rope->factor);
    return STATUS_OK;
}

/* Members that no step above has read. */
static enum status check_members(struct config_reader *r, const char *block_key, const struct jvalue *block,
                                 struct error *err)
{
    static const char *const used[] = {"rope_type", "type", "rope_theta", NULL};
    for (const struct jvalue *v = json_first(block); v; v = json_next(v)) {
        char label[96], text[80];
        const char *key = json_key(v);
        snprintf(label, sizeof label, "%s.%.60s", block_key, key);
        if (json_is(v, JTYPE_OBJECT))
            return config_error(r, err, STATUS_UNSUPPORTED, label,
                                "one RoPE block for each kind of layer is not supported");
        if (strcmp(key, "partial_rotary_factor") == 0) {
            double part = 1;
            if (!json_is(v, JTYPE_NULL)) TRY(json_double(r->doc, v, &part, err));
            if (part != 1 && !r->arch->rope.partial)
                return config_error(r, err, STATUS_UNSUPPORTED, label,
                                    "expected 1, found %s: heads are rotated whole", config_show(v, text));
            continue;
        }
        bool known =
            json_is(v, JTYPE_NULL) || (strcmp(key, "factor") == 0 && r->hp->rope.type == ROPE_LINEAR);
        for (const char *const *u = used; *u; u++) known = known || strcmp(key, *u) == 0;
        if (!known)
            warnings_add(r->warn, "config-key-unused", "config key '%s' = %s is not used", label,
                         config_show(v, text));
    }
    return STATUS_OK;
}

static enum status keep_source(struct config_reader *r, const char *block_key, struct error *err)
{
    const char *start;
    size_t n;
    if (block_key && json_raw_member(r->doc, block_key, &start, &n))
        r->hp->rope.source = arena_strndup(r->mem, start, n);
    else if (config_take(r, theta_key(r)) && json_raw_member(r->doc, theta_key(r), &start, &n) && n < 64)
        r->hp->rope.source = arena_printf(r->mem, "{\"rope_theta\": %.*s}", (int)n, start);
    else
        return STATUS_OK;
    return r->hp->rope.source ? STATUS_OK : error_nomem(err, n);
}

/* The rotated part of a head: in the block, or at top level. */
static enum status read_part(struct config_reader *r, const struct jvalue *block, struct error *err)
{
    const struct rope_spelling *s = &r->arch->rope;
    const struct jvalue *top = s->part ? config_take(r, s->part) : NULL;
    const struct jvalue *inner = s->partial ? member(block, "partial_rotary_factor") : NULL;
    if (block && s->block_wins) top = NULL;
    if (!top && !inner) return STATUS_OK;
    TRY(json_double(r->doc, inner ? inner : top, &r->hp->rope_part, err));
    if (r->hp->rope_part > 0 && r->hp->rope_part <= 1) return STATUS_OK;
    return config_error(r, err, STATUS_RANGE, inner ? "partial_rotary_factor" : s->part,
                        "expected a number above 0, at most 1, found %g", r->hp->rope_part);
}

enum status config_rope_read_hf(struct config_reader *r, struct error *err)
{
    const struct jvalue *scaling, *parameters;
    if (r->arch->rope.constant) {
        r->hp->rope.type = ROPE_DEFAULT;
        r->hp->rope.theta = theta_default;
        r->hp->rope.factor = 1;
        return STATUS_OK;
    }
    TRY(take_block(r, "rope_scaling", &scaling, err));
    TRY(take_block(r, "rope_parameters", &parameters, err));
    if (scaling && parameters && !same_block(scaling, parameters))
        warnings_add(r->warn, "rope-blocks-differ",
                     "config keys 'rope_scaling' and 'rope_parameters' differ: 'rope_scaling' is used");
    const struct jvalue *block = scaling ? scaling : parameters;
    const char *block_key = scaling ? "rope_scaling" : "rope_parameters";
    TRY(read_type(r, block_key, block, err));
    TRY(read_theta(r, block_key, block, err));
    TRY(read_factor(r, block_key, block, err));
    TRY(read_part(r, block, err));
    TRY(check_members(r, block_key, block, err));
    return keep_source(r, block ? block_key : NULL, err);
}

/* --- GGUF --- */

static enum status bad_kv(const struct container *c, const struct kv *kv, const char *expected,
                          struct error *err)
{
    return error_at(err, STATUS_FORMAT, c->file.path, NULL, "%s: expected %s, found a value of type %s",
                    kv->key, expected, kv_type_name(kv->type));
}

static enum status kv_real(const struct arch *arch, const struct container *c, const char *key, bool *used,
                           double *out, struct error *err)
{
    const struct kv *kv = config_kv(arch, c, key, used);
    return kv && !kv_get_double(kv, out) ? bad_kv(c, kv, "a number", err) : STATUS_OK;
}

/* The source's block, kept as it is. A type that the GGUF's own keys do not tell of must be one that can be run. */
static enum status read_source(const struct container *c, struct hparams *hp, struct arena *mem,
                               struct error *err)
{
    const struct kv *kv = container_kv(c, "lathe.rope.source");
    if (!kv) return STATUS_OK;
    const char *text = kv_get_string(kv);
    if (!text) return bad_kv(c, kv, "a string", err);
    struct json *doc;
    TRY(json_parse(&doc, text, strlen(text), c->file.path, err));
    const struct jvalue *v = member(json_root(doc), "rope_type");
    if (!v) v = member(json_root(doc), "type");
    enum rope_type type = json_string(v) ? rope_type_from_name(json_string(v)) : ROPE_DEFAULT;
    enum status st = STATUS_OK;
    if (!rope_type_supported(type))
        st = error_at(err, STATUS_UNSUPPORTED, c->file.path, NULL,
                      "lathe.rope.source: RoPE type '%s' is not supported yet", json_string(v));
    json_free(doc);
    TRY(st);
    hp->rope.source = arena_strndup(mem, text, strlen(text));
    return hp->rope.source ? STATUS_OK : error_nomem(err, strlen(text));
}

/* llama.cpp: without a type a factor means linear; "none" switches any factor off; a factor of 0 is none. */
static enum status read_scaling(const struct arch *arch, const struct container *c, struct hparams *hp,
                                bool *used, struct error *err)
{
    double factor = 0, attn_factor = 1;
    TRY(kv_real(arch, c, "rope.scale_linear", used, &factor, err));
    TRY(kv_real(arch, c, "rope.scaling.factor", used, &factor, err));
    TRY(kv_real(arch, c, "rope.scaling.attn_factor", used, &attn_factor, err));
    const struct kv *kv = config_kv(arch, c, "rope.scaling.type", used);
    const char *word = kv ? kv_get_string(kv) : "linear";
    if (!word) return bad_kv(c, kv, "a string", err);
    bool none = strcmp(word, "none") == 0;
    enum rope_type type = none ? ROPE_DEFAULT : rope_type_from_name(word);
    if (!rope_type_supported(type))
        return error_at(err, STATUS_UNSUPPORTED, c->file.path, NULL, "%s: %s '%s'%s", kv->key,
                        type == ROPE_TYPE_COUNT ? "unknown RoPE type" : "RoPE type", word,
                        type == ROPE_TYPE_COUNT ? "" : " is not supported yet");
    if (attn_factor != 1)
        return error_at(err, STATUS_UNSUPPORTED, c->file.path, NULL,
                        "%s.rope.scaling.attn_factor: expected 1, found %g", arch->gguf_arch, attn_factor);
    hp->rope.factor = none || factor == 0 ? 1 : factor;
    hp->rope.type = type == ROPE_LINEAR && !kv && hp->rope.factor == 1 ? ROPE_DEFAULT : type;
    return STATUS_OK;
}

enum status config_rope_read_gguf(const struct arch *arch, const struct container *c, struct hparams *hp,
                                  bool *used, struct arena *mem, struct error *err)
{
    hp->rope.theta = theta_default;
    TRY(kv_real(arch, c, "rope.freq_base", used, &hp->rope.theta, err));
    const struct kv *kv = config_kv(arch, c, "rope.dimension_count", used);
    if (kv && (!kv_get_int(kv, &hp->rope.dim) || hp->rope.dim < 1 || hp->rope.dim > INT32_MAX))
        return error_at(err, STATUS_RANGE, c->file.path, NULL, "%s: expected an integer from 1 to %d",
                        kv->key, INT32_MAX);
    /* read with the types that need it */
    config_kv(arch, c, "rope.scaling.original_context_length", used);
    config_kv(arch, c, "rope.scaling.finetuned", used);
    TRY(read_scaling(arch, c, hp, used, err));
    return read_source(c, hp, mem, err);
}

static void put_real(const struct arch *arch, const char *key, double v, struct gguf_writer *w,
                     struct warnings *warn)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch->gguf_arch, key);
    gguf_put_f32(w, name, (float)v);
    if ((double)(float)v != v)
        warnings_add(warn, "rope-value-rounded", "%s: %.17g is stored as the float %.17g", name, v,
                     (double)(float)v);
}

enum status config_rope_put(const struct arch *arch, const struct rope *rope, struct gguf_writer *w,
                            struct warnings *warn, struct error *err)
{
    TRY(rope_check(rope, err));
    char name[128];
    snprintf(name, sizeof name, "%s.rope.dimension_count", arch->gguf_arch);
    gguf_put_u32(w, name, (uint32_t)rope->dim);
    put_real(arch, "rope.freq_base", rope->theta, w, warn);
    if (rope->type == ROPE_LINEAR) {
        snprintf(name, sizeof name, "%s.rope.scaling.type", arch->gguf_arch);
        gguf_put_string(w, name, "linear");
        put_real(arch, "rope.scaling.factor", rope->factor, w, warn);
    }
    if (rope->source) gguf_put_string(w, "lathe.rope.source", rope->source);
    return STATUS_OK;
}
