/* A tokenizer as GGUF keys, and back. */
#include "formats/tok_blocks.h"
#include "formats/tok_bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *key;
} specials[SPECIAL_COUNT] = {
    [SPECIAL_BOS] = {"bos", "tokenizer.ggml.bos_token_id"},
    [SPECIAL_EOS] = {"eos", "tokenizer.ggml.eos_token_id"},
    [SPECIAL_UNK] = {"unk", "tokenizer.ggml.unknown_token_id"},
    [SPECIAL_SEP] = {"sep", "tokenizer.ggml.seperator_token_id"}, /* llama.cpp's spelling */
    [SPECIAL_PAD] = {"pad", "tokenizer.ggml.padding_token_id"},
    [SPECIAL_CLS] = {"cls", "tokenizer.ggml.cls_token_id"},
    [SPECIAL_MASK] = {"mask", "tokenizer.ggml.mask_token_id"},
    [SPECIAL_GMASK] = {"gmask", "tokenizer.ggml.gmask_token_id"}, /* own */
    [SPECIAL_EOT] = {"eot", "tokenizer.ggml.eot_token_id"},
    [SPECIAL_EOM] = {"eom", "tokenizer.ggml.eom_token_id"},
    [SPECIAL_PREFIX] = {"prefix", "tokenizer.ggml.prefix_token_id"},
    [SPECIAL_SUFFIX] = {"suffix", "tokenizer.ggml.suffix_token_id"},
    [SPECIAL_MIDDLE] = {"middle", "tokenizer.ggml.middle_token_id"},
};

static const char key_template[] = "tokenizer.chat_template", key_templates[] = "tokenizer.chat_templates";
static const char key_before[] = "lathe.tokenizer.before", key_after[] = "lathe.tokenizer.after";

const char *tokenizer_special_name(enum special_token s)
{
    return (unsigned)s < SPECIAL_COUNT ? specials[s].name : "?";
}

const char *tokenizer_kind_name(enum tokenizer_kind k)
{
    static const char *const names[] = {[TOKENIZER_NONE] = "none",
                                        [TOKENIZER_BPE] = "byte-level BPE",
                                        [TOKENIZER_SPM] = "SentencePiece BPE",
                                        [TOKENIZER_UNIGRAM] = "unigram",
                                        [TOKENIZER_WORDS] = "BPE of words",
                                        [TOKENIZER_OTHER] = "other"};
    return names[k];
}

const char *tokenizer_template(const struct tokenizer *t, const char *name)
{
    for (size_t i = 0; i < t->n_templates; i++)
        if (strcmp(t->templates[i].name, name) == 0) return t->templates[i].text;
    return NULL;
}

/* --- writing --- */

static void put_said(struct gguf_writer *w, const char *key, enum said s)
{
    if (s != SAID_NOTHING) gguf_put_bool(w, key, s == SAID_YES);
}

static void put_vocabulary(const struct tokenizer *t, struct gguf_writer *w)
{
    gguf_put_string(w, "tokenizer.ggml.model", t->model);
    if (t->pre) gguf_put_string(w, "tokenizer.ggml.pre", t->pre);
    gguf_put_array(w, "tokenizer.ggml.tokens", KV_STRING, t->n_tokens, t->tokens);
    if (t->scores) gguf_put_array(w, "tokenizer.ggml.scores", KV_F32, t->n_tokens, t->scores);
    if (t->types) gguf_put_array(w, "tokenizer.ggml.token_type", KV_I32, t->n_tokens, t->types);
    if (t->kind == TOKENIZER_BPE || t->kind == TOKENIZER_WORDS)
        gguf_put_array(w, "tokenizer.ggml.merges", KV_STRING, t->n_merges, t->merges);
}

/* Letters, digits and underscores, as llama.cpp's converter leaves of a name. */
static void clean_name(char dst[64], const char *name)
{
    size_t n = 0;
    for (; name[n] && n < 63; n++) {
        char c = name[n];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        dst[n] = plain ? c : '_';
    }
    dst[n] = 0;
}

static void put_templates(const struct tokenizer *t, struct gguf_writer *w)
{
    char names[256][64], key[128];
    struct kv_string list[256];
    size_t n = 0;
    for (size_t i = 0; i < t->n_templates && n < 256; i++) {
        if (strcmp(t->templates[i].name, "default") == 0) continue;
        clean_name(names[n], t->templates[i].name);
        snprintf(key, sizeof key, "%s.%s", key_template, names[n]);
        gguf_put_string(w, key, t->templates[i].text);
        list[n] = (struct kv_string){names[n], strlen(names[n])};
        n++;
    }
    if (n > 0) gguf_put_array(w, key_templates, KV_STRING, n, list);
    const char *main_one = tokenizer_template(t, "default");
    if (main_one) gguf_put_string(w, key_template, main_one);
}

void tokenizer_put(const struct tokenizer *t, struct gguf_writer *w)
{
    if (t->kind != TOKENIZER_NONE) {
        put_vocabulary(t, w);
        for (int s = 0; s < SPECIAL_COUNT; s++)
            if (t->special[s] >= 0) gguf_put_u32(w, specials[s].key, (uint32_t)t->special[s]);
        put_said(w, "tokenizer.ggml.add_bos_token", t->add_bos);
        put_said(w, "tokenizer.ggml.add_eos_token", t->add_eos);
        put_said(w, "tokenizer.ggml.add_sep_token", t->add_sep);
        put_said(w, "tokenizer.ggml.add_space_prefix", t->add_space_prefix);
        if (t->kind == TOKENIZER_WORDS) {
            gguf_put_bool(w, "tokenizer.ggml.normalizer.lowercase", true);
            gguf_put_bool(w, "tokenizer.ggml.normalizer.strip_accents", true);
        }
        if (t->remove_extra_whitespaces) gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", true);
        if (t->charsmap)
            gguf_put_array(w, "tokenizer.ggml.precompiled_charsmap", KV_U8, t->charsmap_size, t->charsmap);
    }
    put_templates(t, w);
    if (t->n_before > 0) gguf_put_array(w, key_before, KV_I32, t->n_before, t->before);
    if (t->n_after > 0) gguf_put_array(w, key_after, KV_I32, t->n_after, t->after);
    if (t->kind != TOKENIZER_NONE) tok_put_encoder(t, w);
}

/* --- reading --- */

struct gguf_keys {
    const struct container *c;
    struct tokenizer *t;
};

static enum status key_error(const struct gguf_keys *g, const char *key, const char *text, struct error *err)
{
    return error_at(err, STATUS_FORMAT, g->c->file.path, NULL, "%s: %s", key, text);
}

/* An array of n elements; with `count`, any number, which is put there. NULL when the key is absent. */
static enum status want_array(const struct gguf_keys *g, const char *key, enum kv_type type, size_t n,
                              const void **data, size_t *count, struct error *err)
{
    const struct kv *kv = container_kv(g->c, key);
    *data = NULL;
    if (!kv) return STATUS_OK;
    if (kv->type != KV_ARRAY || (kv->v.array.type != type && !(type == KV_I32 && kv->v.array.type == KV_U32)))
        return error_at(err, STATUS_FORMAT, g->c->file.path, NULL,
                        "%s: expected an array of %s, found %s of %s", key, kv_type_name(type),
                        kv_type_name(kv->type),
                        kv->type == KV_ARRAY ? kv_type_name(kv->v.array.type) : "no elements");
    if (!count && kv->v.array.n != n)
        return error_at(err, STATUS_FORMAT, g->c->file.path, NULL,
                        "%s: %" PRIu64 " entries, expected %zu, as many as tokens", key, kv->v.array.n, n);
    if (count) *count = (size_t)kv->v.array.n;
    *data = kv->v.array.data;
    return STATUS_OK;
}

static enum status read_ids(const struct gguf_keys *g, struct error *err)
{
    for (int s = 0; s < SPECIAL_COUNT; s++) {
        const struct kv *kv = container_kv(g->c, specials[s].key);
        int64_t id = -1;
        g->t->special[s] = -1;
        if (!kv) continue;
        if (!kv_get_int(kv, &id)) return key_error(g, specials[s].key, "expected an integer", err);
        if (id == -1 || id == UINT32_MAX) continue; /* "none", as some writers put it */
        if (id < 0 || (uint64_t)id >= g->t->n_tokens)
            return error_at(err, STATUS_FORMAT, g->c->file.path, NULL,
                            "%s: %" PRId64 ", expected an id below %zu", specials[s].key, id, g->t->n_tokens);
        g->t->special[s] = id;
    }
    return STATUS_OK;
}

static enum said read_said(const struct gguf_keys *g, const char *key)
{
    bool v;
    if (!kv_get_bool(container_kv(g->c, key), &v)) return SAID_NOTHING;
    return v ? SAID_YES : SAID_NO;
}

static enum status check_tokens(const struct gguf_keys *g, struct error *err)
{
    const struct tokenizer *t = g->t;
    for (size_t i = 0; t->types && i < t->n_tokens; i++)
        if (t->types[i] == TOKEN_BYTE && byte_token_value(t->tokens[i].s, t->tokens[i].len) < 0)
            return error_at(err, STATUS_FORMAT, g->c->file.path, NULL,
                            "token %zu: '%.40s' has type BYTE, expected <0x00> to <0xFF>", i, t->tokens[i].s);
    return STATUS_OK;
}

static enum status read_templates(const struct gguf_keys *g, struct error *err)
{
    struct tokenizer *t = g->t;
    size_t prefix = strlen(key_template), n = 0;
    struct chat_template *items = arena_array(&t->mem, g->c->n_kvs + 1, sizeof *items);
    if (!items) return error_nomem(err, g->c->n_kvs * sizeof *items);
    const char *main_one = kv_get_string(container_kv(g->c, key_template));
    if (main_one) items[n++] = (struct chat_template){"default", main_one};
    for (size_t i = 0; i < g->c->n_kvs; i++) {
        const struct kv *kv = &g->c->kvs[i];
        if (strncmp(kv->key, key_template, prefix) != 0 || kv->key[prefix] != '.') continue;
        const char *text = kv_get_string(kv);
        if (text) items[n++] = (struct chat_template){kv->key + prefix + 1, text};
    }
    t->templates = items;
    t->n_templates = n;
    return STATUS_OK;
}

/* Names under which llama.cpp takes ignore_merges as true. */
static bool pre_ignores_merges(const char *pre)
{
    static const char *const names[] = {
        "llama3",  "llama-v3", "llama-bpe", "falcon3",      "falcon-h1",
        "pixtral", "midm-2.0", "lfm2",      "jina-v5-nano", "tekken",
        "glm4",    "glm5",     "youtu",     "minicpm5",     "granite-embed-multi-97m"};
    for (size_t i = 0; pre && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(pre, names[i]) == 0) return true;
    return false;
}

/* Ids around a text: a few, all in the vocabulary. */
static enum status read_around(const struct gguf_keys *g, const char *key, int32_t *ids, size_t *n, struct error *err)
{
    const void *data;
    TRY(want_array(g, key, KV_I32, 0, &data, n, err));
    if (*n > TOKENIZER_AROUND_MAX) return key_error(g, key, "expected at most 4 ids", err);
    for (size_t i = 0; i < *n; i++) {
        ids[i] = ((const int32_t *)data)[i];
        if (ids[i] < 0 || (size_t)ids[i] >= g->t->n_tokens) return key_error(g, key, "expected ids of the vocabulary", err);
    }
    return STATUS_OK;
}

static enum tokenizer_kind kind_of_model(const char *model)
{
    static const struct {
        const char *model;
        enum tokenizer_kind kind;
    } kinds[] = {{"gpt2", TOKENIZER_BPE},
                 {"llama", TOKENIZER_SPM},
                 {"t5", TOKENIZER_UNIGRAM},
                 {TOKENIZER_WORDS_MODEL, TOKENIZER_WORDS}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(model, kinds[i].model) == 0) return kinds[i].kind;
    return TOKENIZER_OTHER;
}

/* SentencePiece's table: bytes, of either sign */
static enum status read_charsmap(const struct gguf_keys *g, struct error *err)
{
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    const struct kv *kv = container_kv(g->c, key);
    if (!kv) return STATUS_OK;
    if (kv->type != KV_ARRAY || (kv->v.array.type != KV_U8 && kv->v.array.type != KV_I8))
        return key_error(g, key, "expected an array of bytes", err);
    g->t->charsmap = kv->v.array.data;
    g->t->charsmap_size = (size_t)kv->v.array.n;
    return STATUS_OK;
}

static enum status read_keys(const struct gguf_keys *g, struct error *err)
{
    struct tokenizer *t = g->t;
    const void *tokens, *types, *scores, *merges;
    TRY(want_array(g, "tokenizer.ggml.tokens", KV_STRING, 0, &tokens, &t->n_tokens, err));
    TRY(read_templates(g, err));
    TRY(read_ids(g, err));
    t->model = kv_get_string(container_kv(g->c, "tokenizer.ggml.model"));
    if (!tokens) return STATUS_OK;
    if (!t->model) return key_error(g, "tokenizer.ggml.model", "expected a string beside the tokens", err);
    t->kind = kind_of_model(t->model);
    TRY(want_array(g, "tokenizer.ggml.token_type", KV_I32, t->n_tokens, &types, NULL, err));
    TRY(want_array(g, "tokenizer.ggml.scores", KV_F32, t->n_tokens, &scores, NULL, err));
    TRY(want_array(g, "tokenizer.ggml.merges", KV_STRING, 0, &merges, &t->n_merges, err));
    t->n_known = t->n_tokens;
    t->tokens = tokens;
    t->types = types;
    t->scores = scores;
    t->merges = merges;
    t->pre = kv_get_string(container_kv(g->c, "tokenizer.ggml.pre"));
    t->pre_exact = true; /* whether it is, the blocks tell */
    t->ignore_merges = pre_ignores_merges(t->pre);
    t->add_bos = read_said(g, "tokenizer.ggml.add_bos_token");
    t->add_eos = read_said(g, "tokenizer.ggml.add_eos_token");
    t->add_sep = read_said(g, "tokenizer.ggml.add_sep_token");
    t->add_space_prefix = read_said(g, "tokenizer.ggml.add_space_prefix");
    t->remove_extra_whitespaces = read_said(g, "tokenizer.ggml.remove_extra_whitespaces") == SAID_YES;
    TRY(read_charsmap(g, err));
    TRY(read_around(g, key_before, t->before, &t->n_before, err));
    TRY(read_around(g, key_after, t->after, &t->n_after, err));
    TRY(check_tokens(g, err));
    return tok_read_encoder(t, g->c, err);
}

enum status tokenizer_from_gguf(struct tokenizer **out, const struct container *c, struct error *err)
{
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof(struct tokenizer), err));
    struct gguf_keys g = {c, mem};
    enum status st = read_keys(&g, err);
    if (st != STATUS_OK) {
        tokenizer_free(g.t);
        return st;
    }
    *out = g.t;
    return STATUS_OK;
}

/* --- one token as text --- */

void tokenizer_token_text(const struct tokenizer *t, int64_t id, struct buf *out)
{
    if (id < 0 || (uint64_t)id >= t->n_tokens) return;
    const struct kv_string *s = &t->tokens[id];
    int32_t type = t->types ? t->types[id] : TOKEN_NORMAL;
    int byte = type == TOKEN_BYTE ? byte_token_value(s->s, s->len) : -1;
    bool pieces = t->kind == TOKENIZER_SPM || t->kind == TOKENIZER_UNIGRAM;
    if (byte >= 0)
        buf_append(out, &(char){(char)byte}, 1);
    else if (type == TOKEN_NORMAL && pieces)
        text_replace(s->s, s->len, SPACE_MARK, " ", out);
    else if (type == TOKEN_NORMAL && t->kind == TOKENIZER_WORDS)
        text_replace(s->s, s->len, "</w>", " ", out);
    else if (type != TOKEN_NORMAL || t->kind != TOKENIZER_BPE || !bytes_from_alphabet(s->s, s->len, out))
        buf_append(out, s->s, s->len);
}
