/* Loading a tokenizer from a folder: which files, in which order, and the rows of the vocabulary. */
#include "base/file.h"
#include "base/limits.h"
#include "formats/tok_build.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHARS_BLOCK = 64 << 10,
};
static const float score_pad = -10000.0f, score_added = -1000.0f;

/* --- texts and rows --- */

struct kv_string tok_text(struct tok_build *b, const char *s, size_t n)
{
    char *dst;
    if (n >= CHARS_BLOCK / 4) { /* a block of its own: SIZE_MAX cannot come here, s holds n bytes */
        dst = arena_alloc(&b->t->mem, n + 1);
    } else {
        if (b->chars_left < n + 1) {
            b->chars = arena_alloc(&b->t->mem, CHARS_BLOCK);
            b->chars_left = b->chars ? CHARS_BLOCK : 0;
        }
        dst = b->chars;
        if (dst) {
            b->chars += n + 1;
            b->chars_left -= n + 1;
        }
    }
    if (!dst) return (struct kv_string){NULL, 0};
    if (n > 0) memcpy(dst, s, n);
    dst[n] = 0;
    return (struct kv_string){dst, n};
}

void tok_count(struct tok_tally *t, int64_t id, const char *text, const char *other)
{
    if (t->n++ == 0) *t = (struct tok_tally){1, id, text, other};
}

/* Without an embedding the largest id decides; it may not be out of all proportion to what the files hold. */
static enum status rows_from_files(struct tok_build *b, int64_t max_id, size_t n_entries, const char *path,
                                   struct error *err)
{
    if (b->added_tokens)
        TRY(tok_max_id(b->added_tokens, json_root(b->added_tokens), &max_id, &n_entries, err));
    const struct jvalue *decoder = b->config ? json_get(json_root(b->config), "added_tokens_decoder") : NULL;
    for (const struct jvalue *e = json_first(decoder); e; e = json_next(e), n_entries++) {
        int64_t id = tok_decimal(json_key(e));
        if (id > max_id) max_id = id;
    }
    uint64_t most = 4 * (uint64_t)n_entries + 65536;
    if (max_id >= 0 && (uint64_t)max_id >= most)
        return error_at(err, STATUS_RANGE, path, NULL,
                        "token id %" PRId64 ", expected less than %" PRIu64 " for %zu tokens", max_id, most,
                        n_entries);
    b->n_rows = max_id + 1 + b->n_appended;
    return STATUS_OK;
}

int64_t tok_decimal(const char *s)
{
    int64_t v = 0;
    if (!s || !*s || (s[0] == '0' && s[1])) return -1;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > INT32_MAX) return -1;
        v = 10 * v + (*s - '0');
    }
    return v;
}

enum status tok_rows(struct tok_build *b, int64_t max_id, size_t n_entries, const char *path,
                     struct error *err)
{
    if (b->n_rows == 0) TRY(rows_from_files(b, max_id, n_entries, path, err));
    struct arena *mem = &b->t->mem;
    uint64_t n = (uint64_t)b->n_rows + 1; /* never zero bytes */
    b->tokens = arena_array(mem, n, sizeof *b->tokens);
    b->types = arena_array(mem, n, sizeof *b->types);
    bool scored = b->t->kind == TOKENIZER_SPM || b->t->kind == TOKENIZER_UNIGRAM;
    b->scores = scored ? arena_array(mem, n, sizeof *b->scores) : NULL;
    b->flags = arena_array(mem, n, sizeof *b->flags);
    if (!b->tokens || !b->types || !b->flags || (scored && !b->scores))
        return error_nomem(err, n);
    return STATUS_OK;
}

static enum status row_check(struct tok_build *b, int64_t id, const char *text, const char *path,
                             bool *beyond, struct error *err)
{
    if (id < 0)
        return error_at(err, STATUS_FORMAT, path, NULL,
                        "token '%.60s' has id %" PRId64 ", expected 0 or more", text, id);
    *beyond = id >= b->n_rows;
    if (*beyond) tok_count(&b->beyond, id, text, NULL);
    return STATUS_OK;
}

enum status tok_set(struct tok_build *b, int64_t id, struct kv_string text, enum token_type type, float score,
                    const char *path, struct error *err)
{
    bool beyond = false;
    if (!text.s) return error_nomem(err, 1);
    TRY(row_check(b, id, text.s, path, &beyond, err));
    if (beyond) return STATUS_OK;
    if (b->flags[id] & TOK_PRESENT) {
        tok_count(&b->twice, id, text.s, b->tokens[id].s);
        return STATUS_OK;
    }
    b->flags[id] |= TOK_PRESENT;
    b->tokens[id] = text;
    b->types[id] = (int32_t)type;
    if (b->scores) b->scores[id] = score;
    return STATUS_OK;
}

/* Added tokens that publishers forgot to mark special, by their looks; llama.cpp's converter treats them so.
 */
static bool looks_special(const char *s, size_t n)
{
    static const char *const names[] = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
    static const struct {
        const char *head, *tail;
    } shapes[] = {{"<|", "|>"}, {"<\uff5c", "\uff5c>"}, {"<unused", ">"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(s, names[i]) == 0) return true;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        size_t head = strlen(shapes[i].head), tail = strlen(shapes[i].tail);
        if (n >= head && n >= tail && memcmp(s, shapes[i].head, head) == 0 &&
            memcmp(s + n - tail, shapes[i].tail, tail) == 0)
            return true;
    }
    return false;
}

struct kv_string tok_plain_spaces(struct tok_build *b, struct kv_string s)
{
    static const char mark[] = "\u2581";
    if (!memmem(s.s, s.len, mark, 3)) return s;
    char *dst = arena_strndup(&b->t->mem, s.s, s.len);
    if (!dst) return (struct kv_string){NULL, 0};
    size_t n = 0;
    for (size_t i = 0; i < s.len;) {
        bool hit = s.len - i >= 3 && memcmp(s.s + i, mark, 3) == 0;
        dst[n++] = hit ? ' ' : s.s[i];
        i += hit ? 3 : 1;
    }
    dst[n] = 0;
    return (struct kv_string){dst, n};
}

static enum status added_append(struct tok_build *b, const struct added_token *a, struct error *err)
{
    if (b->n_added == b->cap_added) {
        size_t cap = b->cap_added ? 2 * b->cap_added : 64;
        struct added_token *added = realloc(b->added, cap * sizeof *added);
        if (!added) return error_nomem(err, cap * sizeof *added);
        b->added = added;
        b->cap_added = cap;
    }
    b->added[b->n_added++] = *a;
    return STATUS_OK;
}

enum status tok_add(struct tok_build *b, const struct added_token *a, const char *path, struct error *err)
{
    bool beyond = false;
    if (!a->text.s) return error_nomem(err, 1);
    TRY(row_check(b, a->id, a->text.s, path, &beyond, err));
    if (beyond) return STATUS_OK;
    uint8_t *flags = &b->flags[a->id];
    bool special = a->special || looks_special(a->text.s, a->text.len);
    if (*flags & TOK_ADDED) {
        /* Files repeat each other; where they differ, the one that Hugging Face reads first stands. */
        if (special) b->types[a->id] = TOKEN_CONTROL;
        return STATUS_OK;
    }
    if ((*flags & TOK_PRESENT) && strcmp(b->tokens[a->id].s, a->text.s) != 0)
        tok_count(&b->replaced, a->id, a->text.s, b->tokens[a->id].s);
    *flags |= TOK_PRESENT | TOK_ADDED;
    b->tokens[a->id] = special ? a->text : tok_plain_spaces(b, a->text);
    if (!b->tokens[a->id].s) return error_nomem(err, a->text.len);
    b->types[a->id] = special ? TOKEN_CONTROL : TOKEN_USER_DEFINED;
    if (b->scores) b->scores[a->id] = score_added;
    return added_append(b, a, err);
}

enum status tok_add_controls(struct tok_build *b, struct error *err)
{
    bool pieces = b->t->kind == TOKENIZER_SPM || b->t->kind == TOKENIZER_UNIGRAM;
    for (int64_t id = 0; pieces && !b->from_tokenizer_json && id < b->n_rows; id++) {
        bool control = b->types[id] == TOKEN_CONTROL || b->types[id] == TOKEN_UNKNOWN;
        if (!control || (b->flags[id] & TOK_ADDED) || b->tokens[id].len == 0) continue;
        b->flags[id] |= TOK_ADDED;
        TRY(added_append(b, &(struct added_token){.id = id, .text = b->tokens[id], .special = true}, err));
    }
    return STATUS_OK;
}

enum status tok_max_id(const struct json *doc, const struct jvalue *v, int64_t *max_id, size_t *n_entries,
                       struct error *err)
{
    bool list = json_is(v, JTYPE_ARRAY);
    for (const struct jvalue *e = json_first(v); e; e = json_next(e), ++*n_entries) {
        int64_t id;
        TRY(json_int(doc, list ? json_get(e, "id") : e, &id, err));
        if (id > *max_id) *max_id = id;
    }
    return STATUS_OK;
}

/* --- finishing the rows --- */

/* Key for the map of texts: a text with NUL bytes in a spelling without. */
static const char *map_key(struct tok_build *b, struct kv_string s)
{
    if (!memchr(s.s, 0, s.len)) return s.s;
    char *key = arena_alloc(&b->t->mem, 2 * s.len + 1);
    if (!key) return NULL;
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.s[i] == 0) key[n++] = (char)0xC0;
        key[n++] = s.s[i] == 0 ? (char)0x80 : s.s[i];
    }
    return key;
}

static enum status row_name(struct tok_build *b, int64_t id, const char *fmt_name, struct error *err)
{
    char name[48];
    int n = snprintf(name, sizeof name, "[%s%" PRId64 "]", fmt_name, id);
    b->tokens[id] = tok_text(b, name, (size_t)n);
    return b->tokens[id].s ? STATUS_OK : error_nomem(err, sizeof name);
}

/* Puts row `id` into the map, under another name if its own is taken. */
static enum status row_unique(struct tok_build *b, int64_t id, struct error *err)
{
    const char *key = map_key(b, b->tokens[id]);
    if (!key) return error_nomem(err, b->tokens[id].len);
    enum status st = strmap_add(&b->by_text, key, (size_t)id, NULL, err);
    if (st != STATUS_EXISTS) return st;
    tok_count(&b->duplicate, id, b->tokens[id].s, NULL);
    b->types[id] = TOKEN_UNUSED;
    /* A vocabulary may hold such names itself: try a few. */
    static const char *const names[] = {"DUP", "DUP_", "DUP__", "DUP___"};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && st == STATUS_EXISTS; i++) {
        TRY(row_name(b, id, names[i], err));
        st = strmap_add(&b->by_text, b->tokens[id].s, (size_t)id, NULL, err);
    }
    if (st == STATUS_EXISTS)
        st = error_at(err, STATUS_FORMAT, b->dir, NULL,
                      "token %" PRId64 ": no unused name for a duplicate token", id);
    return st;
}

static enum status rows_finish(struct tok_build *b, struct error *err)
{
    for (int64_t id = 0; id < b->n_rows; id++) {
        if (!(b->flags[id] & TOK_PRESENT)) {
            TRY(row_name(b, id, "PAD", err));
            b->types[id] = TOKEN_UNUSED;
            if (b->scores) b->scores[id] = score_pad;
            continue;
        }
        b->n_known++;
        if (b->tokens[id].len > 0) continue;
        tok_count(&b->empty, id, "", NULL);
        TRY(row_name(b, id, "EMPTY_", err));
    }
    /* Added tokens first: where texts are equal, they are what Hugging Face finds under it. Padding last. */
    static const uint8_t order[] = {TOK_PRESENT | TOK_ADDED, TOK_PRESENT, 0};
    for (size_t pass = 0; pass < sizeof order; pass++)
        for (int64_t id = 0; id < b->n_rows; id++)
            if (b->flags[id] == order[pass]) TRY(row_unique(b, id, err));
    return STATUS_OK;
}

static void warn_tallies(struct tok_build *b)
{
    struct warnings *w = b->warnings;
    if (b->beyond.n > 0)
        warnings_add(w, "tokenizer-too-many",
                     "%zu tokens have no row in the embedding of %" PRId64
                     " rows and are left out; the first is '%.60s', id %" PRId64,
                     b->beyond.n, b->n_rows, b->beyond.text, b->beyond.id);
    if (b->twice.n > 0)
        warnings_add(w, "tokenizer-id-twice",
                     "%zu tokens have an id that another token has, too; the first is '%.60s', id %" PRId64
                     " of '%.60s', which keeps it",
                     b->twice.n, b->twice.text, b->twice.id, b->twice.other);
    if (b->replaced.n > 0)
        warnings_add(w, "tokenizer-token-replaced",
                     "%zu added tokens take the id of another token; the first is '%.60s', id %" PRId64
                     ", before '%.60s'",
                     b->replaced.n, b->replaced.text, b->replaced.id, b->replaced.other);
    if (b->empty.n > 0)
        warnings_add(w, "tokenizer-token-empty",
                     "%zu tokens are empty; the first, id %" PRId64 ", becomes '[EMPTY_%" PRId64 "]'",
                     b->empty.n, b->empty.id, b->empty.id);
    if (b->duplicate.n > 0)
        warnings_add(w, "tokenizer-duplicate",
                     "%zu tokens have the text of another one; the first is '%.60s', id %" PRId64
                     ", which becomes '[DUP%" PRId64 "]'",
                     b->duplicate.n, b->duplicate.text, b->duplicate.id, b->duplicate.id);
    if (b->merges.n > 0)
        warnings_add(w, "tokenizer-merge-malformed",
                     "%zu merges are no two parts and are left out; the first is number %" PRId64,
                     b->merges.n, b->merges.id);
}

/* --- files --- */

static enum status load_optional(struct tok_build *b, struct json **out, const char *name, struct error *err)
{
    const char *path = path_join(&b->t->mem, b->dir, name);
    if (!path) return error_nomem(err, strlen(name));
    if (!file_exists(path)) return STATUS_OK;
    return json_load(out, path, LIMIT_TOKENIZER_SMALL, err);
}

static enum status load_small_files(struct tok_build *b, struct error *err)
{
    TRY(load_optional(b, &b->config, "tokenizer_config.json", err));
    TRY(load_optional(b, &b->special_map, "special_tokens_map.json", err));
    TRY(load_optional(b, &b->added_tokens, "added_tokens.json", err));
    TRY(load_optional(b, &b->model_config, "config.json", err));
    return load_optional(b, &b->generation, "generation_config.json", err);
}

/* A protobuf of pieces begins with field 1 of wire type 2; the other thing that goes by the name
 * tokenizer.model is base64 text. */
static enum status is_protobuf(const char *path, bool *yes, struct error *err)
{
    struct file f;
    unsigned char first = 0;
    TRY(file_open(&f, path, err));
    enum status st = f.size_bytes > 0 ? file_read_at(&f, 0, &first, 1, err) : STATUS_OK;
    *yes = first == 0x0A;
    file_close(&f);
    return st;
}

static enum status read_spm(struct tok_build *b, const char *path, const char *json_file, enum glm_file as,
                            bool *done, struct error *err)
{
    tok_glm_identify(b, as);
    TRY(tok_read_spm(b, path, done, err));
    if (!*done || !file_exists(json_file)) return STATUS_OK;
    struct json *doc;
    TRY(json_load(&doc, json_file, LIMIT_TOKENIZER_VOCAB, err));
    enum status st = tok_read_json(b, doc, true, err);
    json_free(doc);
    return st;
}

/* Two kinds of file go by the name tokenizer.model. Of ranks tokenizer.json says more: the split and the special tokens. */
static enum status read_model(struct tok_build *b, const char *path, const char *json_file, bool *done,
                              struct error *err)
{
    bool protobuf, ranks;
    TRY(is_protobuf(path, &protobuf, err));
    if (protobuf) return read_spm(b, path, json_file, GLM_FILE_SPM, done, err);
    if (file_exists(json_file)) return STATUS_OK;
    TRY(tok_is_ranks(path, &ranks, err));
    if (ranks) tok_glm_identify(b, GLM_FILE_RANKS);
    if (ranks && (b->glm == GLM_4_RANKS || tok_is_meta(b))) {
        *done = true;
        if (b->glm == GLM_NONE) b->n_appended = TOK_META_SPECIALS;
        return tok_read_ranks(b, path, err);
    }
    warnings_add(b->warnings, "tokenizer-unsupported",
                 "tokenizer.model is no SentencePiece model%s and there is no tokenizer.json; the output has no "
                 "tokenizer",
                 ranks ? " but ranks of tiktoken, whose split and special tokens no file tells," : "");
    return STATUS_OK;
}

static enum status read_json_file(struct tok_build *b, const char *path, struct error *err)
{
    struct json *doc;
    const char *why = "";
    TRY(json_load(&doc, path, LIMIT_TOKENIZER_VOCAB, err));
    enum status st = STATUS_OK;
    b->t->kind = tok_json_kind(doc, &why);
    if (b->t->kind == TOKENIZER_NONE)
        warnings_add(b->warnings, "tokenizer-unsupported", "tokenizer.json: %s; the output has no tokenizer",
                     why);
    else
        st = tok_read_json(b, doc, false, err);
    json_free(doc);
    return st;
}

/* transformers' names, and those of OpenAI's releases of GPT-2 and GPT-1 */
static enum status read_vocab_merges(struct tok_build *b, bool *done, struct error *err)
{
    static const char *const pairs[][2] = {
        {"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}, {"encoder_bpe_40000.json", "vocab_40000.bpe"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *vocab = path_join(&b->t->mem, b->dir, pairs[i][0]),
                   *merges = path_join(&b->t->mem, b->dir, pairs[i][1]);
        if (!vocab || !merges) return error_nomem(err, 1);
        *done = file_exists(vocab) && file_exists(merges);
        if (*done) return tok_read_vocab_merges(b, vocab, merges, err);
    }
    return STATUS_OK;
}

static enum status read_vocabulary(struct tok_build *b, struct error *err)
{
    struct arena *mem = &b->t->mem;
    const char *model = path_join(mem, b->dir, "tokenizer.model"),
               *ice = path_join(mem, b->dir, "ice_text.model"), *cog = path_join(mem, b->dir, "cog-pretrain.model"),
               *json = path_join(mem, b->dir, "tokenizer.json");
    if (!model || !ice || !cog || !json) return error_nomem(err, 1);

    bool done = false, found = true;
    if (file_exists(model))
        TRY(read_model(b, model, json, &done, err));
    else if (file_exists(ice))
        TRY(read_spm(b, ice, json, GLM_FILE_ICE, &done, err));
    else if (file_exists(cog))
        TRY(read_spm(b, cog, json, GLM_FILE_COG, &done, err));
    else
        found = false;
    if (done) return STATUS_OK;
    if (file_exists(json)) return read_json_file(b, json, err);
    TRY(read_vocab_merges(b, &done, err));
    if (done) return STATUS_OK;
    if (!found)
        warnings_add(
            b->warnings, "tokenizer-missing",
            "no tokenizer.json, tokenizer.model or vocab.json with merges.txt; the output has no tokenizer");
    return STATUS_OK;
}

static enum status load_parts(struct tok_build *b, struct error *err)
{
    TRY(load_small_files(b, err));
    TRY(read_vocabulary(b, err));
    if (b->t->kind == TOKENIZER_NONE) return tok_read_templates(b, err);
    TRY(tok_read_added(b, err));
    TRY(tok_glm_append(b, err));
    TRY(tok_meta_append(b, err));
    TRY(rows_finish(b, err));
    TRY(tok_mark_special(b, err));
    TRY(tok_add_controls(b, err));
    tok_read_special(b);
    if (b->t->kind == TOKENIZER_WORDS && b->t->special[SPECIAL_UNK] >= 0)
        b->types[b->t->special[SPECIAL_UNK]] = TOKEN_UNKNOWN;
    if (b->t->kind == TOKENIZER_BPE) tok_settle_pre(b);
    warn_tallies(b);
    return tok_read_templates(b, err);
}

static enum status publish(struct tok_build *b, struct error *err)
{
    struct tokenizer *t = b->t;
    TRY(warnings_check(b->warnings, err));
    t->n_tokens = t->kind == TOKENIZER_NONE ? 0 : (size_t)b->n_rows;
    t->n_known = b->n_known;
    t->tokens = b->tokens;
    t->types = b->types;
    t->scores = b->scores;
    struct added_token *added = arena_array(&t->mem, b->n_added + 1, sizeof *added);
    if (!added) return error_nomem(err, b->n_added * sizeof *added);
    if (b->n_added > 0) memcpy(added, b->added, b->n_added * sizeof *added);
    t->added = added;
    t->n_added = b->n_added;
    return STATUS_OK;
}

static void build_clear(struct tok_build *b)
{
    json_free(b->config);
    json_free(b->special_map);
    json_free(b->added_tokens);
    json_free(b->model_config);
    json_free(b->generation);
    strmap_clear(&b->by_text);
    free(b->added);
}

enum status tokenizer_load(struct tokenizer **out, const char *dir, int64_t n_rows, struct warnings *warnings,
                           struct error *err)
{
    *out = NULL;
    if (n_rows < 0 || n_rows > INT32_MAX)
        return error_at(err, STATUS_RANGE, dir, NULL,
                        "embedding of %" PRId64 " rows, expected at most %d for a vocabulary", n_rows,
                        INT32_MAX);
    void *mem;
    TRY(mem_alloc(&mem, 1, sizeof(struct tokenizer), err));
    struct tok_build b = {.t = mem, .dir = dir, .n_rows = n_rows, .warnings = warnings};
    for (int s = 0; s < SPECIAL_COUNT; s++) b.t->special[s] = b.default_ids[s] = -1;
    enum status st = load_parts(&b, err);
    if (st == STATUS_OK) st = publish(&b, err);
    build_clear(&b);
    if (st != STATUS_OK) {
        tokenizer_free(b.t);
        return st;
    }
    *out = b.t;
    return STATUS_OK;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t) return;
    arena_clear(&t->mem);
    free(t);
}
