/* What encoders need beside llama.cpp's keys, as keys of our own, and what stands in for them in a GGUF of another writer: the treatment
 * that llama.cpp gives text under the names it finds. */
#include "formats/tok_blocks.h"
#include "formats/tok_bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char key_added[] = "lathe.tokenizer.added_tokens", key_merges[] = "lathe.tokenizer.merges";

static const char *block_key(enum token_block b, char key[64])
{
    snprintf(key, 64, "lathe.tokenizer.%s", tokenizer_block_name(b));
    return key;
}

/* --- writing --- */

static void put_added(const struct tokenizer *t, struct buf *out)
{
    struct jwriter w = {.out = out};
    jw_begin_array(&w, NULL);
    for (size_t i = 0; i < t->n_added; i++) {
        const struct added_token *a = &t->added[i];
        const struct {
            const char *key;
            bool on;
        } flags[] = {{"special", a->special},
                     {"normalized", a->normalized},
                     {"lstrip", a->lstrip},
                     {"rstrip", a->rstrip},
                     {"single_word", a->single_word}};
        jw_begin_object(&w, NULL);
        jw_int(&w, "id", a->id);
        jw_string(&w, "content", a->text.s);
        for (size_t k = 0; k < sizeof flags / sizeof flags[0]; k++)
            if (flags[k].on) jw_bool(&w, flags[k].key, true);
        jw_end_object(&w);
    }
    jw_end_array(&w);
}

void tok_put_encoder(const struct tokenizer *t, struct gguf_writer *w)
{
    char key[64];
    struct buf added = {0};
    if (!t->blocks[BLOCK_MODEL]) return;
    for (int i = 0; i < BLOCK_COUNT; i++)
        if (t->blocks[i]) gguf_put_string(w, block_key((enum token_block)i, key), t->blocks[i]);
    put_added(t, &added);
    if (added.failed) w->failed = true;
    if (!added.failed && t->n_added > 0) gguf_put_string(w, key_added, added.data);
    buf_clear(&added);
    if (t->kind == TOKENIZER_SPM && t->n_merges > 0)
        gguf_put_array(w, key_merges, KV_STRING, t->n_merges, t->merges);
}

/* --- reading our own --- */

static enum status key_error(const struct container *c, const char *key, const char *text, struct error *err)
{
    return error_at(err, STATUS_FORMAT, c->file.path, NULL, "%s: %s", key, text);
}

static enum status read_added_one(struct tokenizer *t, const struct container *c, const struct json *doc,
                                  const struct jvalue *v, struct added_token *a, struct error *err)
{
    const char *text = json_string(json_get(v, "content"));
    TRY(json_int(doc, json_get(v, "id"), &a->id, err));
    if (!text || a->id < 0 || (uint64_t)a->id >= t->n_tokens)
        return key_error(c, key_added, "expected texts, with ids of the vocabulary", err);
    a->text.s = arena_strndup(&t->mem, text, strlen(text));
    a->text.len = strlen(text);
    if (!a->text.s) return error_nomem(err, a->text.len);
    a->special = json_is_true(json_get(v, "special"));
    a->normalized = json_is_true(json_get(v, "normalized"));
    a->lstrip = json_is_true(json_get(v, "lstrip"));
    a->rstrip = json_is_true(json_get(v, "rstrip"));
    a->single_word = json_is_true(json_get(v, "single_word"));
    return STATUS_OK;
}

static enum status read_added(struct tokenizer *t, const struct container *c, struct error *err)
{
    const char *text = kv_get_string(container_kv(c, key_added));
    struct json *doc;
    if (!text) return STATUS_OK;
    TRY(json_parse(&doc, text, strlen(text), key_added, err));
    struct added_token *added = arena_array(&t->mem, json_count(json_root(doc)) + 1, sizeof *added);
    enum status st = added ? STATUS_OK : error_nomem(err, 1);
    size_t n = 0;
    for (const struct jvalue *v = json_first(json_root(doc)); v && st == STATUS_OK; v = json_next(v))
        st = read_added_one(t, c, doc, v, &added[n++], err);
    json_free(doc);
    t->added = added;
    t->n_added = n;
    return st;
}

static enum status read_own(struct tokenizer *t, const struct container *c, struct error *err)
{
    char key[64];
    for (int i = 0; i < BLOCK_COUNT; i++)
        t->blocks[i] = kv_get_string(container_kv(c, block_key((enum token_block)i, key)));
    const struct kv *merges = container_kv(c, key_merges);
    if (merges) {
        if (merges->type != KV_ARRAY || merges->v.array.type != KV_STRING)
            return key_error(c, key_merges, "expected an array of strings", err);
        t->merges = merges->v.array.data;
        t->n_merges = (size_t)merges->v.array.n;
    }
    return read_added(t, c, err);
}

/* --- standing in for them --- */

static enum status pre_by_name(struct tokenizer *t, struct error *err)
{
    const char *const *regexes;
    size_t n = tok_pre_patterns(t->pre, &regexes);
    if (n > 0) return tok_blocks_byte_level(t, regexes, n, t->ignore_merges, err);
    struct buf unknown = {0}; /* an error once text is to be encoded */
    struct jwriter w = {.out = &unknown};
    TRY(tok_blocks_byte_level(t, NULL, 0, t->ignore_merges, err));
    jw_begin_object(&w, NULL);
    jw_string(&w, "type", t->pre);
    jw_end_object(&w);
    return tok_block_set(t, BLOCK_PRE_TOKENIZER, &unknown, err);
}

static bool has_all_bytes(const struct tokenizer *t)
{
    bool seen[256] = {false};
    size_t n = 0;
    for (size_t i = 0; i < t->n_tokens; i++) {
        int byte = byte_token_value(t->tokens[i].s, t->tokens[i].len);
        if (byte < 0 || seen[byte]) continue;
        seen[byte] = true;
        n++;
    }
    return n == 256;
}

static enum status pieces_by_keys(struct tokenizer *t, struct error *err)
{
    const struct piece_settings s = {
        .unigram = t->kind == TOKENIZER_UNIGRAM,
        .add_dummy_prefix = t->add_space_prefix != SAID_NO,
        .remove_extra_whitespaces = t->remove_extra_whitespaces,
        .escape_whitespaces = true,
        .byte_fallback = has_all_bytes(t),
        .unk_id = t->special[SPECIAL_UNK] >= 0 ? t->special[SPECIAL_UNK] : 0,
        .end = (int64_t)t->n_tokens,
    };
    return tok_blocks_pieces(t, &s, err);
}

static bool is_added(const struct tokenizer *t, size_t id)
{
    int32_t type = t->types ? t->types[id] : TOKEN_NORMAL;
    return type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED || type == TOKEN_UNKNOWN;
}

static enum status added_by_types(struct tokenizer *t, struct error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_tokens; i++)
        if (is_added(t, i) && t->tokens[i].len > 0) n++;
    struct added_token *added = arena_array(&t->mem, n + 1, sizeof *added);
    if (!added) return error_nomem(err, n * sizeof *added);
    t->added = added;
    for (size_t i = 0; i < t->n_tokens; i++)
        if (is_added(t, i) && t->tokens[i].len > 0)
            added[t->n_added++] = (struct added_token){
                .id = (int64_t)i, .text = t->tokens[i], .special = t->types[i] != TOKEN_USER_DEFINED};
    return STATUS_OK;
}

enum status tok_read_encoder(struct tokenizer *t, const struct container *c, struct error *err)
{
    char key[64];
    if (container_kv(c, block_key(BLOCK_MODEL, key))) return read_own(t, c, err);
    TRY(added_by_types(t, err));
    switch (t->kind) {
    case TOKENIZER_BPE:
        return pre_by_name(t, err);
    case TOKENIZER_SPM:
    case TOKENIZER_UNIGRAM:
        return pieces_by_keys(t, err);
    case TOKENIZER_WORDS:
        return tok_blocks_gpt1(t, err);
    default:
        return STATUS_OK;
    }
}
