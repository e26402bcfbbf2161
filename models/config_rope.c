/* The RoPE block, in both spellings of config.json (models/rope.h has the order of precedence) and as a GGUF carries it.
 *
 * hp->rope.source is the chosen block's text, byte for byte. A config with nothing but a top-level rope_theta gets
 * {"rope_theta": <its text>}: the same block in the newer spelling. */
#include "models/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- a block, from config.json or from lathe.rope.source --- */

struct block {
    const char *key; /* where it stands: the start of labels in messages */
    const struct jvalue *v; /* NULL: there is none */
};

/* A member of the block, NULL also for null. */
static const struct jvalue *member(const struct jvalue *block, const char *key)
{
    const struct jvalue *v = json_get(block, key);
    return json_is(v, JTYPE_NULL) ? NULL : v;
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

static enum status read_type(struct config_reader *r, const struct block *b, struct error *err)
{
    char label[96], text[80];
    const struct jvalue *v = member(b->v, "rope_type"), *old = member(b->v, "type");
    snprintf(label, sizeof label, "%s.%s", b->key, v ? "rope_type" : "type");
    if (v && old && !config_same(v, old))
        warnings_add(r->warn, "rope-types-differ",
                     "config key '%s.type' differs from 'rope_type', which is used", b->key);
    if (!v) v = old;
    r->hp->rope.type = ROPE_DEFAULT;
    if (!v) return STATUS_OK;
    if (!json_string(v))
        return config_error(r, err, STATUS_FORMAT, label, "expected a RoPE type's name, found %s",
                            config_show(v, text));
    r->hp->rope.type = rope_type_from_name(json_string(v));
    if (r->hp->rope.type == ROPE_TYPE_COUNT)
        return config_error(r, err, STATUS_UNSUPPORTED, label, "unknown RoPE type '%s'", json_string(v));
    return STATUS_OK;
}

/* What a member of the block means, by type of scaling. Other types do not look at it, as transformers do not. */
enum member_kind { MEMBER_POSITIVE, MEMBER_FINITE, MEMBER_OR_DEFAULT, MEMBER_TRUNCATE, MEMBER_LIST };
enum {
    LINEAR = 1 << ROPE_LINEAR,
    DYNAMIC = 1 << ROPE_DYNAMIC,
    YARN = 1 << ROPE_YARN,
    LONGROPE = 1 << ROPE_LONGROPE,
    LLAMA3 = 1 << ROPE_LLAMA3,
};
static const struct rope_member {
    const char *key;
    enum member_kind kind; /* POSITIVE: above 0; OR_DEFAULT: also 0, which stands for absence */
    size_t off;            /* of a double in struct rope; of a pointer for a list */
    unsigned used, required, nullable; /* bits of types; a required one that is nullable must stand there, if only as null */
} members[] = {
    {"factor", MEMBER_POSITIVE, offsetof(struct rope, factor), LINEAR | DYNAMIC | YARN | LONGROPE | LLAMA3,
     LINEAR | DYNAMIC | YARN | LLAMA3, YARN | LONGROPE},
    {"original_max_position_embeddings", MEMBER_POSITIVE, offsetof(struct rope, n_ctx_orig),
     YARN | LONGROPE | LLAMA3, 0, 0},
    {"attention_factor", MEMBER_POSITIVE, offsetof(struct rope, attn_factor), YARN | LONGROPE, 0, YARN | LONGROPE},
    {"beta_fast", MEMBER_OR_DEFAULT, offsetof(struct rope, beta_fast), YARN, 0, YARN},
    {"beta_slow", MEMBER_OR_DEFAULT, offsetof(struct rope, beta_slow), YARN, 0, YARN},
    {"mscale", MEMBER_FINITE, offsetof(struct rope, mscale), YARN, 0, YARN},
    {"mscale_all_dim", MEMBER_FINITE, offsetof(struct rope, mscale_all_dim), YARN, 0, YARN},
    {"truncate", MEMBER_TRUNCATE, offsetof(struct rope, no_truncate), YARN, 0, YARN},
    {"low_freq_factor", MEMBER_POSITIVE, offsetof(struct rope, low_freq_factor), LLAMA3, LLAMA3, 0},
    {"high_freq_factor", MEMBER_POSITIVE, offsetof(struct rope, high_freq_factor), LLAMA3, LLAMA3, 0},
    {"short_factor", MEMBER_LIST, offsetof(struct rope, short_factors), LONGROPE, LONGROPE, 0},
    {"long_factor", MEMBER_LIST, offsetof(struct rope, long_factors), LONGROPE, LONGROPE, 0},
};
enum { N_MEMBERS = sizeof members / sizeof *members, LIST_MAX = 1 << 16 };

static enum status read_number(struct config_reader *r, const char *label, const struct rope_member *m,
                               const struct jvalue *v, struct error *err)
{
    double x;
    TRY(json_double(r->doc, v, &x, err));
    bool good = isfinite(x) && (m->kind == MEMBER_FINITE || x > 0 || (m->kind == MEMBER_OR_DEFAULT && x == 0));
    if (!good)
        return config_error(r, err, STATUS_RANGE, label, "expected a finite number%s, found %g",
                            m->kind == MEMBER_FINITE       ? ""
                            : m->kind == MEMBER_OR_DEFAULT ? " of at least 0"
                                                           : " above 0",
                            x);
    *(double *)(void *)((char *)&r->hp->rope + m->off) = x;
    return STATUS_OK;
}

static enum status read_list(struct config_reader *r, const char *label, const struct rope_member *m,
                             const struct jvalue *v, struct error *err)
{
    struct rope *rope = &r->hp->rope;
    char text[80];
    size_t n = json_count(v), i = 0;
    if (!json_is(v, JTYPE_ARRAY) || n == 0 || n > LIST_MAX)
        return config_error(r, err, STATUS_FORMAT, label, "expected a list of 1 to %d numbers, found %s", LIST_MAX,
                            config_show(v, text));
    double *list = arena_array(r->mem, n, sizeof *list);
    if (!list) return error_nomem(err, n * sizeof *list);
    for (const struct jvalue *e = json_first(v); e; e = json_next(e), i++) {
        TRY(json_double(r->doc, e, &list[i], err));
        if (!(list[i] > 0) || !isfinite(list[i]))
            return config_error(r, err, STATUS_RANGE, label, "element %zu: expected a finite number above 0, found %g",
                                i, list[i]);
    }
    if (rope->n_factors != 0 && rope->n_factors != (int64_t)n)
        return config_error(r, err, STATUS_MISMATCH, label, "expected %lld numbers as in the list beside it, found %zu",
                            (long long)rope->n_factors, n);
    rope->n_factors = (int64_t)n;
    *(const double **)(void *)((char *)rope + m->off) = list;
    return STATUS_OK;
}

/* transformers asks whether the value is true: null is not. */
static enum status read_truncate(struct config_reader *r, const char *label, const struct jvalue *v,
                                 struct error *err)
{
    char text[80];
    if (!json_is(v, JTYPE_BOOL) && !json_is(v, JTYPE_NULL))
        return config_error(r, err, STATUS_FORMAT, label, "expected true or false, found %s", config_show(v, text));
    r->hp->rope.no_truncate = !json_is_true(v);
    return STATUS_OK;
}

static enum status read_member(struct config_reader *r, const struct block *b, const struct rope_member *m,
                               struct error *err)
{
    char label[96];
    unsigned type = 1U << r->hp->rope.type;
    const struct jvalue *v = json_get(b->v, m->key);
    snprintf(label, sizeof label, "%s.%s", b->key, m->key);
    if (!(m->used & type)) return STATUS_OK;
    if (!v && !(m->required & type)) return STATUS_OK;
    if (!v || (json_is(v, JTYPE_NULL) && !(m->nullable & type)))
        return config_error(r, err, STATUS_NOTFOUND, label, "RoPE type '%s' needs it, %s",
                            rope_type_name(r->hp->rope.type), v ? "found null" : "not found");
    if (m->kind == MEMBER_TRUNCATE) return read_truncate(r, label, v, err);
    if (json_is(v, JTYPE_NULL)) return STATUS_OK;
    return m->kind == MEMBER_LIST ? read_list(r, label, m, v, err) : read_number(r, label, m, v, err);
}

/* Members that no step has read. */
static enum status check_members(struct config_reader *r, const struct block *b, struct error *err)
{
    for (const struct jvalue *v = json_first(b->v); v; v = json_next(v)) {
        char label[96], text[80];
        const char *key = json_key(v);
        snprintf(label, sizeof label, "%s.%.60s", b->key, key);
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
        bool known = json_is(v, JTYPE_NULL) || strcmp(key, "rope_type") == 0 || strcmp(key, "type") == 0 ||
                     strcmp(key, "rope_theta") == 0;
        for (int i = 0; i < N_MEMBERS; i++)
            known = known || (strcmp(key, members[i].key) == 0 && (members[i].used & 1U << r->hp->rope.type));
        if (!known)
            warnings_add(r->warn, "config-key-unused", "config key '%s' = %s is not used", label,
                         config_show(v, text));
    }
    return STATUS_OK;
}

static const char *theta_key(const struct config_reader *r)
{
    return r->arch->rope.theta ? r->arch->rope.theta : "rope_theta";
}

static enum status read_theta(struct config_reader *r, const struct block *b, struct error *err)
{
    const struct jvalue *top = config_take(r, theta_key(r)), *inner = member(b->v, "rope_theta");
    r->hp->rope.theta = CONFIG_ROPE_THETA;
    if (top) TRY(json_double(r->doc, top, &r->hp->rope.theta, err));
    r->hp->rope.top_theta = !inner;
    if (!inner) return STATUS_OK;
    double outer = r->hp->rope.theta;
    TRY(json_double(r->doc, inner, &r->hp->rope.theta, err));
    if (top && outer != r->hp->rope.theta)
        warnings_add(r->warn, "rope-theta-differs",
                     "config key '%s' = %.17g differs from '%s.rope_theta' = %.17g, which is used", theta_key(r),
                     outer, b->key, r->hp->rope.theta);
    return STATUS_OK;
}

enum status config_rope_read_block(struct config_reader *r, const char *key, const struct jvalue *v,
                                   struct error *err)
{
    const struct block block = {key, v}, *b = &block;
    struct rope *rope = &r->hp->rope;
    rope->factor = 1;
    TRY(read_type(r, b, err));
    if (rope->type == ROPE_YARN || rope->type == ROPE_LONGROPE) rope->factor = 0;
    for (int i = 0; i < N_MEMBERS; i++) TRY(read_member(r, b, &members[i], err));
    TRY(check_members(r, b, err));
    return read_theta(r, b, err);
}

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

/* At top level it comes before the block's, and only the types that have an original context ask for it. */
static enum status read_original_context(struct config_reader *r, const struct block *b, struct error *err)
{
    static const char key[] = "original_max_position_embeddings";
    struct rope *rope = &r->hp->rope;
    if (!(1U << rope->type & (YARN | LONGROPE | LLAMA3))) return STATUS_OK;
    const struct jvalue *top = config_take(r, key);
    if (!top) return STATUS_OK;
    double inner = rope->n_ctx_orig;
    int64_t n;
    TRY(json_int(r->doc, top, &n, err));
    if (n < 1 || n > INT32_MAX)
        return config_error(r, err, STATUS_RANGE, key, "expected an integer from 1 to %d, found %lld", INT32_MAX,
                            (long long)n);
    rope->n_ctx_orig = (double)n;
    rope->top_ctx_orig = true;
    if (inner != 0 && inner != rope->n_ctx_orig)
        warnings_add(r->warn, "rope-original-context-differs",
                     "config key '%s' = %.17g differs from '%s.%s' = %.17g: the first is used", key, rope->n_ctx_orig,
                     b->key, key, inner);
    return STATUS_OK;
}

static enum status keep_source(struct config_reader *r, const struct block *b, struct error *err)
{
    const char *start;
    size_t n;
    if (b->v && json_raw_member(r->doc, b->key, &start, &n))
        r->hp->rope.source = arena_strndup(r->mem, start, n);
    else if (config_take(r, theta_key(r)) && json_raw_member(r->doc, theta_key(r), &start, &n) && n < 64)
        r->hp->rope.source = arena_printf(r->mem, "{\"rope_theta\": %.*s}", (int)n, start);
    else
        return STATUS_OK;
    return r->hp->rope.source ? STATUS_OK : error_nomem(err, n);
}

/* The rotated part of a head: in the block, or at top level. */
static enum status read_part(struct config_reader *r, const struct block *b, struct error *err)
{
    const struct rope_spelling *s = &r->arch->rope;
    const struct jvalue *top = s->part ? config_take(r, s->part) : NULL;
    const struct jvalue *inner = s->partial ? member(b->v, "partial_rotary_factor") : NULL;
    if (!top && !inner) return STATUS_OK;
    TRY(json_double(r->doc, inner ? inner : top, &r->hp->rope_part, err));
    if (r->hp->rope_part > 0 && r->hp->rope_part <= 1) return STATUS_OK;
    return config_error(r, err, STATUS_RANGE, inner ? "partial_rotary_factor" : s->part,
                        "expected a number above 0, at most 1, found %g", r->hp->rope_part);
}

enum status config_rope_read_hf(struct config_reader *r, struct error *err)
{
    const struct jvalue *scaling, *parameters;
    r->hp->rope = (struct rope){.n_ctx = r->hp->n_ctx, .dim = r->hp->rope.dim};
    if (r->arch->rope.constant) {
        r->hp->rope.type = ROPE_DEFAULT;
        r->hp->rope.theta = CONFIG_ROPE_THETA;
        r->hp->rope.factor = 1;
        return STATUS_OK;
    }
    TRY(take_block(r, "rope_scaling", &scaling, err));
    TRY(take_block(r, "rope_parameters", &parameters, err));
    if (scaling && parameters && !same_block(scaling, parameters))
        warnings_add(r->warn, "rope-blocks-differ",
                     "config keys 'rope_scaling' and 'rope_parameters' differ: 'rope_scaling' is used");
    const struct block b = {scaling ? "rope_scaling" : "rope_parameters", scaling ? scaling : parameters};
    TRY(config_rope_read_block(r, b.key, b.v, err));
    TRY(read_part(r, &b, err));
    TRY(read_original_context(r, &b, err));
    return keep_source(r, &b, err);
}
