#include "models/meta_params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct meta {
    const struct json *params;
    const struct checkpoint *ckpt;
    struct warnings *warn;
    struct error *err;
    int64_t dim, n_layers, n_heads, n_kv_heads, head_dim, n_ff, n_vocab;
    double theta, norm_eps;
    bool scaled_rope, mistral;
};

/* Keys with a meaning here, and those that say nothing about the arithmetic. */
static const char *const known[] = {
    "dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size", "multiple_of",
    "ffn_dim_multiplier", "norm_eps", "rope_theta", "use_scaled_rope", "rope_scaling_factor",
    "max_position_embeddings", "sliding_window",
    /* of Meta's own runtime */
    "max_seq_len", "max_batch_size", "model_parallel_size", "flash", "rope_high_freq_factor", NULL};
static const struct {
    const char *prefix, *what;
} refused[] = {
    {"lora", "LoRA adapters"},
    {"quant", "a quantized release"},
    {"vision_", "a vision model"},
    {"moe", "experts"},
    {"yarn", "Mistral's own form of YaRN"},
    {"llama_4_scaling", "a scaling of attention by position"},
};

/* ---- reading ---- */

static const struct jvalue *find(const struct meta *m, const char *key)
{
    const struct jvalue *v = json_get(json_root(m->params), key);
    return json_is(v, JTYPE_NULL) ? NULL : v;
}

static enum status bad(const struct meta *m, enum status st, const char *key, const char *what)
{
    return error_at(m->err, st, json_path(m->params), NULL, "'%s': %s", key, what);
}

/* An integer from 1 on; 0 when it is absent and need not be there. */
static enum status get_int(const struct meta *m, const char *key, bool required, int64_t *out)
{
    const struct jvalue *v = find(m, key);
    *out = 0;
    if (!v) return required ? bad(m, STATUS_NOTFOUND, key, "expected in params.json, not found") : STATUS_OK;
    TRY(json_int(m->params, v, out, m->err));
    return *out >= 1 && *out <= INT32_MAX ? STATUS_OK
                                          : bad(m, STATUS_RANGE, key, "expected a positive 32-bit integer");
}

static enum status get_real(const struct meta *m, const char *key, double fallback, double *out)
{
    const struct jvalue *v = find(m, key);
    *out = fallback;
    if (v) TRY(json_double(m->params, v, out, m->err));
    return isfinite(*out) && *out > 0 ? STATUS_OK : bad(m, STATUS_RANGE, key, "expected a number above 0");
}

static enum status get_bool(const struct meta *m, const char *key, bool *out)
{
    const struct jvalue *v = find(m, key);
    *out = v && json_is_true(v);
    return !v || json_is(v, JTYPE_BOOL) ? STATUS_OK : bad(m, STATUS_FORMAT, key, "expected true or false");
}

static enum status check_refused(const struct meta *m)
{
    for (const struct jvalue *v = json_first(json_root(m->params)); v; v = json_next(v))
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
            const char *key = json_key(v);
            if (strncmp(key, refused[i].prefix, strlen(refused[i].prefix)) != 0 || json_is(v, JTYPE_NULL))
                continue;
            char what[128];
            snprintf(what, sizeof what, "%s: not supported", refused[i].what);
            return bad(m, STATUS_UNSUPPORTED, key, what);
        }
    return STATUS_OK;
}

/* ---- what the tensors say ---- */

/* Rows of a tensor, whatever its name is wrapped in; 0 if there is none. */
static int64_t rows_of(const struct checkpoint *c, const char *name)
{
    size_t k = strlen(name);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const struct tensor *t = c->tensors[i].t;
        size_t n = strlen(t->name);
        if (n >= k && strcmp(t->name + n - k, name) == 0 && (n == k || t->name[n - k - 1] == '.'))
            return t->n_dims == 2 ? t->shape[0] : 0;
    }
    return 0;
}

/* As in Meta's code; 0 when multiple_of is not given. */
static enum status ffn_formula(const struct meta *m, int64_t *n_ff)
{
    int64_t multiple;
    double factor;
    *n_ff = 0;
    TRY(get_int(m, "multiple_of", false, &multiple));
    TRY(get_real(m, "ffn_dim_multiplier", 1, &factor));
    if (!multiple) return STATUS_OK;
    double hidden = factor * (double)(int64_t)(8.0 * (double)m->dim / 3);
    if (hidden > INT32_MAX) return bad(m, STATUS_RANGE, "ffn_dim_multiplier", "the width is beyond 32 bits");
    *n_ff = multiple * (((int64_t)hidden + multiple - 1) / multiple);
    return STATUS_OK;
}

static enum status read_ffn(struct meta *m)
{
    int64_t given, formula, found = rows_of(m->ckpt, "layers.0.feed_forward.w1.weight");
    TRY(get_int(m, "hidden_dim", false, &given));
    TRY(ffn_formula(m, &formula));
    int64_t said = given ? given : formula;
    m->n_ff = found ? found : said;
    if (!m->n_ff) return bad(m, STATUS_NOTFOUND, "multiple_of", "expected in params.json, not found");
    if (said && said != m->n_ff)
        warnings_add(m->warn, "meta-ffn-differs",
                     "params.json gives a feed-forward width of %lld, the tensors have %lld, which counts",
                     (long long)said, (long long)m->n_ff);
    return STATUS_OK;
}

/* -1 in LLaMA 1 and 2: as many as the tokenizer has, which are the rows of the embedding. */
static enum status read_vocab(struct meta *m)
{
    const struct jvalue *v = find(m, "vocab_size");
    int64_t given = -1;
    if (v) TRY(json_int(m->params, v, &given, m->err));
    m->n_vocab = given != -1 ? given : rows_of(m->ckpt, "tok_embeddings.weight");
    if (m->n_vocab >= 1 && m->n_vocab <= INT32_MAX) return STATUS_OK;
    return bad(m, STATUS_RANGE, "vocab_size",
               "expected a positive integer, or -1 and an embedding to take it from");
}

/* ---- what is known of the releases ---- */

/* LLaMA 1 and 2 of one size differ in the epsilon of their norms; only LLaMA 1's 65B has 80 layers without grouped queries. */
static int64_t known_context(const struct meta *m, const char **why)
{
    bool many_tokens = m->n_vocab > 100000;
    *why = "Mistral";
    if (m->mistral) return 32768;
    *why = "LLaMA 3.1 or later";
    if (m->scaled_rope) return 131072;
    *why = "LLaMA 3";
    if (many_tokens) return 8192;
    *why = "Code Llama, by rope_theta";
    if (m->theta > 10000) return 16384;
    bool first = m->norm_eps < 5e-6 || (m->n_layers == 80 && m->n_kv_heads == m->n_heads);
    *why = first ? "LLaMA 1, by norm_eps and size" : "LLaMA 2, by norm_eps";
    return first ? 2048 : 4096;
}

static enum status put_context(const struct meta *m, struct jwriter *w)
{
    int64_t n;
    const char *why;
    TRY(get_int(m, "max_position_embeddings", false, &n));
    if (!n && m->mistral) TRY(get_int(m, "max_seq_len", false, &n)); /* Meta's is a setting of its runtime */
    if (!n) {
        n = known_context(m, &why);
        warnings_note(m->warn, "meta-context-guessed",
                      "params.json does not tell the trained context: %lld, as in %s", (long long)n, why);
    }
    jw_int(w, "max_position_embeddings", n);
    return STATUS_OK;
}

/* The file says that there is a scaling, but not its factor: 32 for the small models of LLaMA 3.2, else 8. */
static const struct {
    int64_t dim, n_layers;
    double factor;
} known_factors[] = {{2048, 16, 32}, {3072, 28, 32}, {4096, 32, 8}, {8192, 80, 8}, {16384, 126, 8}};

static enum status put_rope(const struct meta *m, struct jwriter *w)
{
    double factor = 0;
    bool is_known = false;
    jw_double(w, "rope_theta", m->theta);
    if (!m->scaled_rope) return STATUS_OK;
    if (find(m, "rope_scaling_factor")) {
        TRY(get_real(m, "rope_scaling_factor", 8, &factor));
    } else {
        factor = 8;
        for (size_t i = 0; i < sizeof known_factors / sizeof known_factors[0] && !is_known; i++)
            if (known_factors[i].dim == m->dim && known_factors[i].n_layers == m->n_layers) {
                factor = known_factors[i].factor;
                is_known = true;
            }
        (is_known ? warnings_note : warnings_add)(
            m->warn, "meta-rope-factor-guessed",
            "params.json does not tell the factor of its RoPE scaling: %g, as in %s", factor,
            factor == 32 ? "LLaMA 3.2"
            : is_known   ? "LLaMA 3.1"
                         : "LLaMA 3.1 (no release has this size)");
    }
    double high;
    TRY(get_real(m, "rope_high_freq_factor", 4, &high));
    jw_begin_object(w, "rope_scaling");
    jw_string(w, "rope_type", "llama3");
    jw_double(w, "factor", factor);
    jw_double(w, "low_freq_factor", 1);
    jw_double(w, "high_freq_factor", high);
    jw_int(w, "original_max_position_embeddings", 8192);
    jw_end_object(w);
    return STATUS_OK;
}

/* ---- the document ---- */

bool meta_is_params(const struct json *doc)
{
    static const char *const never[] = {"hidden_size", "n_embd", "model_type", "architectures", NULL};
    const struct jvalue *root = json_root(doc);
    for (const char *const *key = never; *key; key++)
        if (json_get(root, *key)) return false;
    return json_get(root, "dim") || json_get(root, "n_layers");
}

static enum status read_all(struct meta *m)
{
    TRY(check_refused(m));
    TRY(get_int(m, "dim", true, &m->dim));
    TRY(get_int(m, "n_layers", true, &m->n_layers));
    TRY(get_int(m, "n_heads", true, &m->n_heads));
    TRY(get_int(m, "n_kv_heads", false, &m->n_kv_heads));
    TRY(get_int(m, "head_dim", false, &m->head_dim));
    TRY(get_real(m, "norm_eps", 1e-5, &m->norm_eps));
    TRY(get_real(m, "rope_theta", 10000, &m->theta));
    TRY(get_bool(m, "use_scaled_rope", &m->scaled_rope));
    if (!m->n_kv_heads) m->n_kv_heads = m->n_heads;
    if (!m->head_dim && m->dim % m->n_heads != 0)
        return bad(m, STATUS_MISMATCH, "dim", "expected a multiple of n_heads");
    if (!m->head_dim) m->head_dim = m->dim / m->n_heads;
    /* Mistral gives the widths that Meta has a formula for */
    m->mistral =
        json_get(json_root(m->params), "sliding_window") ||
        (json_get(json_root(m->params), "hidden_dim") && !json_get(json_root(m->params), "multiple_of"));
    TRY(read_vocab(m));
    return read_ffn(m);
}

/* The window, or the word that there is none: a config without the key has one of 4096. */
static void put_window(const struct meta *m, struct jwriter *w)
{
    const struct jvalue *v = find(m, "sliding_window");
    struct buf text = {0};
    if (v) json_print(v, &text);
    jw_raw_buf(w, "sliding_window", &text);
    buf_clear(&text);
}

static enum status put_all(const struct meta *m, struct jwriter *w)
{
    jw_begin_object(w, NULL);
    jw_string(w, "model_type", m->mistral ? "mistral" : "llama");
    if (m->mistral) put_window(m, w);
    jw_int(w, "vocab_size", m->n_vocab);
    TRY(put_context(m, w));
    jw_int(w, "hidden_size", m->dim);
    jw_int(w, "num_hidden_layers", m->n_layers);
    jw_int(w, "num_attention_heads", m->n_heads);
    jw_int(w, "num_key_value_heads", m->n_kv_heads);
    jw_int(w, "head_dim", m->head_dim);
    jw_int(w, "intermediate_size", m->n_ff);
    jw_double(w, "rms_norm_eps", m->norm_eps);
    TRY(put_rope(m, w));
    for (const struct jvalue *v = json_first(json_root(m->params)); v; v = json_next(v)) {
        const char *const *k = known;
        while (*k && strcmp(*k, json_key(v)) != 0) k++;
        if (*k) continue;
        struct buf text = {0};
        json_print(v, &text);
        jw_raw_buf(w, json_key(v), &text);
        buf_clear(&text);
    }
    jw_end_object(w);
    return STATUS_OK;
}

enum status meta_config(struct json **out, const struct json *params, const struct checkpoint *ckpt,
                        struct warnings *warn, struct error *err)
{
    struct meta m = {.params = params, .ckpt = ckpt, .warn = warn, .err = err};
    struct buf text = {0};
    struct jwriter w = {.out = &text};
    *out = NULL;
    enum status st = read_all(&m);
    if (st == STATUS_OK) st = put_all(&m, &w);
    if (st == STATUS_OK) st = buf_check(&text, err);
    if (st == STATUS_OK) st = json_parse(out, text.data, text.len, json_path(params), err);
    buf_clear(&text);
    return st;
}
