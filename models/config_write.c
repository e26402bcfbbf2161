#include "models/config_write.h"

#include "models/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- keys, each once --- */

bool config_put_key(struct config_writer *c, const char *key)
{
    struct error ignored;
    char *own = arena_strndup(&c->mem, key, strlen(key));
    enum status st = own ? strmap_add(&c->written, own, 0, NULL, &ignored) : STATUS_NOMEM;
    if (st != STATUS_OK && st != STATUS_EXISTS) c->failed = true;
    return st == STATUS_OK;
}

void config_put_int(struct config_writer *c, const char *key, int64_t v)
{
    if (config_put_key(c, key)) jw_int(&c->w, key, v);
}

static double short_real(double v)
{
    char text[32];
    if ((double)(float)v != v) return v;
    for (int digits = 1; digits < 10; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtof(text, NULL) == (float)v) return strtod(text, NULL);
    }
    return v;
}

void config_write_real(struct config_writer *c, const char *key, double v)
{
    struct buf text = {0};
    struct jwriter w = {.out = &text};
    jw_double(&w, NULL, short_real(v));
    if (text.data && !strpbrk(text.data, ".en")) buf_puts(&text, ".0"); /* transformers asks for a float */
    jw_raw(&c->w, key, text.failed || !text.data ? "null" : text.data);
    c->failed = c->failed || text.failed;
    buf_clear(&text);
}

void config_put_real(struct config_writer *c, const char *key, double v)
{
    if (config_put_key(c, key)) config_write_real(c, key, v);
}

void config_put_bool(struct config_writer *c, const char *key, bool v)
{
    if (config_put_key(c, key)) jw_bool(&c->w, key, v);
}

void config_put_string(struct config_writer *c, const char *key, const char *v)
{
    if (config_put_key(c, key)) jw_string(&c->w, key, v);
}

void config_put_null(struct config_writer *c, const char *key)
{
    if (config_put_key(c, key)) jw_null(&c->w, key);
}

void config_put_raw(struct config_writer *c, const char *key, const char *json)
{
    if (config_put_key(c, key)) jw_raw(&c->w, key, json);
}

/* --- the table --- */

static void put_value(struct config_writer *c, const struct config_key *k, const char *key)
{
    const void *field = (const char *)c->hp + k->off;
    switch (k->type) {
    case CONFIG_INT:
        if (*(const int64_t *)field > 0) config_put_int(c, key, *(const int64_t *)field);
        break;
    case CONFIG_INT_OR_NULL:
        if (*(const int64_t *)field > 0)
            config_put_int(c, key, *(const int64_t *)field);
        else
            config_put_null(c, key);
        break;
    case CONFIG_ID:
        if (*(const int64_t *)field >= 0) config_put_int(c, key, *(const int64_t *)field);
        break;
    case CONFIG_REAL:
        config_put_real(c, key, *(const double *)field);
        break;
    case CONFIG_BOOL:
        config_put_bool(c, key, *(const bool *)field);
        break;
    case CONFIG_ACTIVATION:
        config_put_string(c, key, activation_name(*(const enum activation *)field));
        break;
    case CONFIG_LAYERS: /* the family's own matter */
        break;
    }
}

static void put_keys(struct config_writer *c)
{
    for (const struct config_key *k = c->arch->keys; k->hf || k->gguf; k++) {
        char key[64];
        if (!k->hf) continue;
        snprintf(key, sizeof key, "%.*s", (int)strcspn(k->hf, "|"), k->hf);
        put_value(c, k, key);
    }
}

static void put_architecture(struct config_writer *c)
{
    const char *name = c->arch->architectures[0];
    if (!name || !config_put_key(c, "architectures")) return;
    jw_begin_array(&c->w, "architectures");
    jw_string(&c->w, NULL, name);
    jw_end_array(&c->w);
}

static const char *type_word(enum dtype t)
{
    return t == DTYPE_F16 ? "float16" : t == DTYPE_BF16 ? "bfloat16" : "float32";
}

static int64_t padding_id(const struct config_writer *c)
{
    int64_t id;
    return kv_get_int(container_kv(ckpt_gguf(c->m->ckpt), "tokenizer.ggml.padding_token_id"), &id) && id < c->hp->n_vocab ? id : -1;
}

/* null, lest a class's default be taken, which need not be in the vocabulary */
static void put_id(struct config_writer *c, const char *key, int64_t id)
{
    if (id >= 0)
        config_put_int(c, key, id);
    else
        config_put_null(c, key);
}

static enum status write_all(struct config_writer *c, enum dtype type, struct error *err)
{
    jw_begin_object(&c->w, NULL);
    put_architecture(c);
    if (c->arch->model_types[0]) config_put_string(c, "model_type", c->arch->model_types[0]);
    if (c->arch->write_config) c->arch->write_config(c);
    put_keys(c);
    if (c->arch->uses_rope) TRY(config_rope_write_hf(c, err));
    config_put_bool(c, "tie_word_embeddings", c->hp->tied);
    put_id(c, "bos_token_id", c->hp->bos_id);
    put_id(c, "eos_token_id", c->hp->eos_id);
    put_id(c, "pad_token_id", padding_id(c));
    config_put_string(c, "torch_dtype", type_word(type));
    jw_end_object(&c->w);
    buf_puts(c->w.out, "\n");
    return c->failed ? error_nomem(err, 64) : buf_check(c->w.out, err);
}

/* --- the same when it is read again? --- */

static const struct {
    const char *name;
    size_t off;
} counts[] = {
    {"vocab_size", offsetof(struct hparams, n_vocab)},       {"context", offsetof(struct hparams, n_ctx)},
    {"layers", offsetof(struct hparams, n_layer)},           {"width", offsetof(struct hparams, n_embd)},
    {"feed-forward width", offsetof(struct hparams, n_ff)},  {"heads", offsetof(struct hparams, n_head)},
    {"key heads", offsetof(struct hparams, n_head_kv)},      {"head size", offsetof(struct hparams, head_dim)},
    {"rotated elements", offsetof(struct hparams, rope.dim)}, {"window", offsetof(struct hparams, window)},
    {"experts", offsetof(struct hparams, n_expert)},         {"used experts", offsetof(struct hparams, n_expert_used)},
    {"expert width", offsetof(struct hparams, n_ff_expert)}, {"shared width", offsetof(struct hparams, n_ff_shared)},
    {"dense layers", offsetof(struct hparams, n_dense)},
};
static const struct {
    const char *name;
    size_t off;
} switches[] = {
    {"side by side", offsetof(struct hparams, parallel)},          {"normed residual", offsetof(struct hparams, normed_residual)},
    {"halves rotated", offsetof(struct hparams, rope_halves)},     {"two positions", offsetof(struct hparams, position_2d)},
    {"block positions", offsetof(struct hparams, block_positions)}, {"expert norm", offsetof(struct hparams, expert_norm)},
    {"gate and up", offsetof(struct hparams, gate_up)},
};
static const struct {
    const char *name;
    size_t off;
} reals[] = {
    {"norm epsilon", offsetof(struct hparams, norm_eps)},
    {"alpha", offsetof(struct hparams, alpha)},
    {"expert scale", offsetof(struct hparams, expert_scale)},
};

static enum status differs(const struct config_writer *c, const char *what, double expected, double found, struct error *err)
{
    return error_at(err, STATUS_UNSUPPORTED, c->m->ckpt->path, NULL,
                    "no config.json of the family %s says what this file does: %s %.9g would be read as %.9g", c->arch->family, what, expected, found);
}

/* Numbers that went through floats on one side. */
static bool near_equal(double a, double b)
{
    return a == b || fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static enum status same_layers(const struct config_writer *c, const struct hparams *b, struct error *err)
{
    const struct hparams *a = c->hp;
    for (int64_t i = 0; i < a->n_layer; i++) {
        if (hparams_window(a, i) != hparams_window(b, i))
            return differs(c, "a layer's window", (double)hparams_window(a, i), (double)hparams_window(b, i), err);
        if (!near_equal(hparams_attn_scale(a, i), hparams_attn_scale(b, i)))
            return differs(c, "the attention's scale", hparams_attn_scale(a, i), hparams_attn_scale(b, i), err);
    }
    return STATUS_OK;
}

static enum status same_rope(struct config_writer *c, const struct hparams *b, struct error *err)
{
    const struct hparams *a = c->hp;
    const int64_t lengths[] = {1, a->n_ctx, 4 * a->n_ctx};
    int64_t n = a->rope.dim / 2;
    double *f = arena_array(&c->mem, (uint64_t)(2 * n + 2), sizeof *f), *g = f ? f + n + 1 : NULL, fa, ga;
    if (!f) return error_nomem(err, (size_t)n * sizeof *f);
    for (size_t k = 0; k < 3; k++) {
        TRY(rope_frequencies(&a->rope, lengths[k], f, &fa, err));
        TRY(rope_frequencies(&b->rope, lengths[k], g, &ga, err));
        if (!near_equal(fa, ga)) return differs(c, "a factor of the rotary positions", fa, ga, err);
        for (int64_t i = 0; i < n; i++)
            if (!near_equal(f[i], g[i])) return differs(c, "a frequency of the rotary positions", f[i], g[i], err);
    }
    return STATUS_OK;
}

static enum status same_hparams(struct config_writer *c, const struct hparams *b, struct error *err)
{
    const char *x = (const char *)c->hp, *y = (const char *)b;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t m = *(const int64_t *)(const void *)(x + counts[i].off), n = *(const int64_t *)(const void *)(y + counts[i].off);
        if (m != n) return differs(c, counts[i].name, (double)m, (double)n, err);
    }
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        bool m = *(const bool *)(x + switches[i].off), n = *(const bool *)(y + switches[i].off);
        if (m != n) return differs(c, switches[i].name, m, n, err);
    }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        double m = *(const double *)(const void *)(x + reals[i].off), n = *(const double *)(const void *)(y + reals[i].off);
        if (!near_equal(m, n)) return differs(c, reals[i].name, m, n, err);
    }
    if (c->hp->activation != b->activation) return differs(c, "activation", c->hp->activation, b->activation, err);
    TRY(same_layers(c, b, err));
    return c->arch->uses_rope ? same_rope(c, b, err) : STATUS_OK;
}

static enum status read_again(struct config_writer *c, const struct buf *text, struct error *err)
{
    struct json *doc;
    struct hparams again;
    struct warnings said = {0};
    enum tie tie;
    TRY(json_parse(&doc, text->data, text->len, "config.json", err));
    enum status st = config_read_hf(c->arch, doc, NULL, &again, &tie, &c->mem, &said, err);
    if (st == STATUS_OK) st = same_hparams(c, &again, err);
    warnings_clear(&said);
    json_free(doc);
    return st;
}

enum status config_write_hf(const struct model *m, const struct arch *arch, enum dtype type, struct buf *out, struct error *err)
{
    struct hparams hp = m->hp;
    struct config_writer c = {.m = m, .arch = arch, .hp = &hp, .w = {.out = out, .pretty = true}};
    if (hp.rope.n_baked > 0) hp.n_ctx = hp.rope.n_ctx; /* the source's, not that of one length */
    hp.n_layer -= hp.n_nextn; /* counted apart */
    enum status st = write_all(&c, type, err);
    if (st == STATUS_OK) st = read_again(&c, out, err);
    strmap_clear(&c.written);
    arena_clear(&c.mem);
    return st;
}
