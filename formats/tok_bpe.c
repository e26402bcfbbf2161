/* BPE vocabularies: tokenizer.json, and vocab.json with merges.txt. */
#include "base/file.h"
#include "base/limits.h"
#include "formats/tok_blocks.h"

#include <string.h>

static const float score_no_merge = -1e9f, score_unset = 1.0f;

static bool type_is(const struct jvalue *v, const char *name)
{
    const char *type = json_string(json_get(v, "type"));
    return type && strcmp(type, name) == 0;
}

/* Walks a component and, for a Sequence of them, its members (under `list`); one level, as the library nests
 * no deeper in practice. */
static const struct jvalue *find_component(const struct jvalue *v, const char *list, const char *type)
{
    if (!json_is(v, JTYPE_OBJECT)) return NULL;
    if (type_is(v, type)) return v;
    if (!type_is(v, "Sequence")) return NULL;
    for (const struct jvalue *e = json_first(json_get(v, list)); e; e = json_next(e))
        if (type_is(e, type)) return e;
    return NULL;
}

enum tokenizer_kind tok_json_kind(const struct json *doc, const char **why)
{
    const struct jvalue *root = json_root(doc), *model = json_get(root, "model");
    /* Files of old versions of the library leave the type out; they are BPE if they have merges. */
    bool typeless = !json_get(model, "type") && json_get(model, "merges");
    if (type_is(model, "Unigram")) return TOKENIZER_UNIGRAM;
    if (!type_is(model, "BPE") && !typeless) {
        *why = "its model is neither BPE nor unigram";
        return TOKENIZER_NONE;
    }
    if (json_is_true(json_get(model, "byte_fallback"))) return TOKENIZER_SPM;
    const char *suffix = json_string(json_get(model, "end_of_word_suffix"));
    if (suffix && *suffix) return TOKENIZER_WORDS;
    if (find_component(json_get(root, "pre_tokenizer"), "pretokenizers", "ByteLevel") ||
        find_component(json_get(root, "decoder"), "decoders", "ByteLevel"))
        return TOKENIZER_BPE;
    *why = "its BPE is neither over bytes nor with a fallback to bytes";
    return TOKENIZER_NONE;
}

/* --- vocabulary --- */

static bool is_byte_token(const char *s)
{
    static const char hex[] = "0123456789ABCDEFabcdef";
    return strlen(s) == 6 && memcmp(s, "<0x", 3) == 0 && strchr(hex, s[3]) && strchr(hex, s[4]) &&
           s[5] == '>';
}

static enum status read_vocab(struct tok_build *b, const struct json *doc, const struct jvalue *vocab,
                              const char *path, struct error *err)
{
    if (!json_is(vocab, JTYPE_OBJECT))
        return error_at(err, STATUS_FORMAT, path, NULL,
                        "expected an object of token texts and ids as vocabulary");
    bool spm = b->t->kind == TOKENIZER_SPM;
    for (const struct jvalue *e = json_first(vocab); e; e = json_next(e)) {
        const char *text = json_key(e);
        int64_t id;
        TRY(json_int(doc, e, &id, err));
        bool byte = spm && is_byte_token(text);
        TRY(tok_set(b, id, tok_text(b, text, strlen(text)), byte ? TOKEN_BYTE : TOKEN_NORMAL,
                    byte ? 0.0f : score_unset, path, err));
    }
    return STATUS_OK;
}

/* --- merges --- */

struct merge {
    const char *left, *right;
    size_t left_len, right_len;
};

/* "left right": exactly one space, with something on both sides. */
static bool merge_split(struct merge *m, const char *s, size_t n)
{
    const char *space = memchr(s, ' ', n);
    if (!space || space == s) return false;
    *m = (struct merge){s, space + 1, (size_t)(space - s), n - (size_t)(space - s) - 1};
    return m->right_len > 0 && !memchr(m->right, ' ', m->right_len);
}

static bool merge_from_json(struct merge *m, const struct jvalue *v)
{
    const char *s = json_string(v);
    if (s) return merge_split(m, s, strlen(s));
    if (!json_is(v, JTYPE_ARRAY) || json_count(v) != 2) return false;
    m->left = json_string(json_first(v));
    m->right = json_string(json_next(json_first(v)));
    if (!m->left || !m->right || !*m->left || !*m->right) return false;
    m->left_len = strlen(m->left);
    m->right_len = strlen(m->right);
    return true;
}

/* GGUF's form "left right": a space inside a part is spelled U+0120, as the byte alphabet does. */
static struct kv_string merge_join(struct tok_build *b, struct buf *scratch, const struct merge *m)
{
    if (!memchr(m->left, ' ', m->left_len) && !memchr(m->right, ' ', m->right_len)) {
        scratch->len = 0;
        buf_append(scratch, m->left, m->left_len);
        buf_append(scratch, " ", 1);
        buf_append(scratch, m->right, m->right_len);
    } else {
        scratch->len = 0;
        for (size_t i = 0; i < m->left_len + 1 + m->right_len; i++) {
            char c = i < m->left_len ? m->left[i] : i == m->left_len ? 0 : m->right[i - m->left_len - 1];
            if (i == m->left_len)
                buf_append(scratch, " ", 1);
            else if (c == ' ')
                buf_puts(scratch, "\u0120");
            else
                buf_append(scratch, &c, 1);
        }
    }
    return scratch->failed ? (struct kv_string){NULL, 0} : tok_text(b, scratch->data, scratch->len);
}

static enum status merge_append(struct tok_build *b, struct kv_string *merges, struct buf *scratch,
                                const struct merge *m, struct error *err)
{
    struct kv_string joined = merge_join(b, scratch, m);
    if (!joined.s) return error_nomem(err, m->left_len + m->right_len + 2);
    merges[b->t->n_merges++] = joined;
    return STATUS_OK;
}

static enum status read_json_merges(struct tok_build *b, const struct json *doc, const struct jvalue *list,
                                    struct error *err)
{
    struct kv_string *merges = arena_array(&b->t->mem, json_count(list) + 1, sizeof *merges);
    if (!merges) return error_nomem(err, json_count(list) * sizeof *merges);
    b->t->merges = merges;
    struct buf scratch = {0};
    enum status st = STATUS_OK;
    size_t index = 0;
    for (const struct jvalue *e = json_first(list); e && st == STATUS_OK; e = json_next(e), index++) {
        struct merge m;
        if (merge_from_json(&m, e))
            st = merge_append(b, merges, &scratch, &m, err);
        else
            st = error_at(err, STATUS_FORMAT, json_path(doc), NULL,
                          "model.merges[%zu]: expected two parts with one space between", index);
    }
    buf_clear(&scratch);
    return st;
}

/* SentencePiece's scores are lost in tokenizer.json; merge ranks order pairs the same way. */
static enum status scores_from_merges(struct tok_build *b, const struct json *doc, const struct jvalue *list,
                                      struct error *err)
{
    struct strmap ids = {0};
    struct buf joined = {0};
    enum status st = STATUS_OK;
    for (int64_t id = 0; id < b->n_rows && st == STATUS_OK; id++)
        if (b->flags[id]) {
            st = strmap_add(&ids, b->tokens[id].s, (size_t)id, NULL, err);
            if (st == STATUS_EXISTS) st = STATUS_OK;
        }
    size_t index = 0, id;
    for (const struct jvalue *e = json_first(list); e && st == STATUS_OK; e = json_next(e), index++) {
        struct merge m;
        if (!merge_from_json(&m, e)) {
            st = error_at(err, STATUS_FORMAT, json_path(doc), NULL,
                          "model.merges[%zu]: expected two parts with one space between", index);
            break;
        }
        joined.len = 0;
        buf_append(&joined, m.left, m.left_len);
        buf_append(&joined, m.right, m.right_len);
        st = buf_check(&joined, err);
        if (st == STATUS_OK && strmap_find_n(&ids, joined.data, joined.len, &id) &&
            b->scores[id] == score_unset)
            b->scores[id] = (float)-(int64_t)index; /* negated as an integer: no -0 for the first */
    }
    for (int64_t i = 0; i < b->n_rows; i++)
        if (b->scores[i] == score_unset) b->scores[i] = score_no_merge;
    strmap_clear(&ids);
    buf_clear(&joined);
    return st;
}

/* --- what goes with the vocabulary in tokenizer.json --- */

static enum status read_added_list(struct tok_build *b, const struct json *doc, struct error *err)
{
    const struct jvalue *added = json_get(json_root(doc), "added_tokens");
    if (added && !json_is(added, JTYPE_ARRAY) && !json_is(added, JTYPE_NULL))
        return error_at(err, STATUS_FORMAT, json_path(doc), NULL, "added_tokens: expected a list");
    for (const struct jvalue *e = json_first(added); e; e = json_next(e)) {
        const char *text = json_string(json_get(e, "content"));
        struct added_token a = {.special = json_is_true(json_get(e, "special")),
                                .normalized = json_is_true(json_get(e, "normalized")),
                                .lstrip = json_is_true(json_get(e, "lstrip")),
                                .rstrip = json_is_true(json_get(e, "rstrip")),
                                .single_word = json_is_true(json_get(e, "single_word"))};
        if (!text)
            return error_at(err, STATUS_FORMAT, json_path(doc), NULL,
                            "added_tokens: expected a string as content");
        TRY(json_int(doc, json_get(e, "id"), &a.id, err));
        a.text = tok_text(b, text, strlen(text));
        TRY(tok_add(b, &a, json_path(doc), err));
    }
    return STATUS_OK;
}

static const char *copy_special(struct tok_build *b, const struct jvalue *item)
{
    const char *id = json_string(json_get(json_get(item, "SpecialToken"), "id"));
    return id ? arena_strndup(&b->t->mem, id, strlen(id)) : NULL;
}

/* The special tokens around a single text. */
static void read_post_processor(struct tok_build *b, const struct jvalue *post)
{
    const struct jvalue *template = find_component(post, "processors", "TemplateProcessing");
    const struct jvalue *single = json_get(template, "single"), *last = NULL;
    if (!template || json_count(single) < 2) return;
    b->has_template = true;
    b->template_first = copy_special(b, json_first(single));
    size_t n = 0;
    for (const struct jvalue *e = json_first(single); e && n < TOKENIZER_AROUND_MAX; e = json_next(e)) {
        const char *text = copy_special(b, e);
        if (!text) break;
        b->template_before[n++] = text;
    }
    for (const struct jvalue *e = json_first(single); e; e = json_next(e)) last = e;
    b->template_last = copy_special(b, last);
}

/* Does the text get a space in front? SentencePiece's dummy prefix has had three spellings in tokenizer.json.
 */
static bool has_prefix_space(const struct jvalue *root)
{
    const struct jvalue *pre = json_get(root, "pre_tokenizer"), *normalizer = json_get(root, "normalizer");
    if (find_component(normalizer, "normalizers", "Prepend")) return true;
    const struct jvalue *byte_level = find_component(pre, "pretokenizers", "ByteLevel");
    if (byte_level) return json_is_true(json_get(byte_level, "add_prefix_space"));
    const struct jvalue *meta = find_component(pre, "pretokenizers", "Metaspace");
    const char *scheme = json_string(json_get(meta, "prepend_scheme"));
    if (scheme) return strcmp(scheme, "never") != 0;
    return json_is_true(json_get(meta, "add_prefix_space"));
}

static void settle_words(struct tok_build *b)
{
    b->t->model = TOKENIZER_WORDS_MODEL;
    b->t->pre = "bert-basic";
    b->t->pre_exact = true;
    b->unk_text = "<unk>";
}

/* A folder with SentencePiece's file and its translation: the pieces come from the former, how text is treated from the latter, since it is
 * what transformers reads. */
static enum status read_beside_pieces(struct tok_build *b, const struct json *doc, struct error *err)
{
    const char *why;
    const struct jvalue *root = json_root(doc), *merges = json_get(json_get(root, "model"), "merges");
    if (tok_json_kind(doc, &why) != TOKENIZER_SPM || json_count(merges) == 0) return STATUS_OK;
    TRY(tok_blocks_from_json(b, root, err));
    return read_json_merges(b, doc, merges, err);
}

enum status tok_read_json(struct tok_build *b, const struct json *doc, bool extras_only, struct error *err)
{
    const struct jvalue *root = json_root(doc), *model = json_get(root, "model");
    const struct jvalue *vocab = json_get(model, "vocab"), *merges = json_get(model, "merges");
    const char *path = json_path(doc);
    b->from_tokenizer_json = true;
    read_post_processor(b, json_get(root, "post_processor"));
    if (extras_only) {
        TRY(read_beside_pieces(b, doc, err));
        return read_added_list(b, doc, err);
    }
    tok_glm_identify(b, GLM_FILE_JSON);

    b->prefix_space = has_prefix_space(root);
    b->t->ignore_merges = json_is_true(json_get(model, "ignore_merges"));
    TRY(tok_blocks_from_json(b, root, err));
    if (b->t->kind == TOKENIZER_UNIGRAM) {
        TRY(tok_read_unigram(b, doc, err));
        return read_added_list(b, doc, err);
    }
    int64_t max_id = -1;
    size_t n_entries = 0;
    if (!json_is(vocab, JTYPE_OBJECT)) return error_at(err, STATUS_FORMAT, path, NULL, "model.vocab: expected an object");
    if (merges && !json_is(merges, JTYPE_ARRAY)) return error_at(err, STATUS_FORMAT, path, NULL, "model.merges: expected a list");
    TRY(tok_max_id(doc, vocab, &max_id, &n_entries, err));
    TRY(tok_max_id(doc, json_get(root, "added_tokens"), &max_id, &n_entries, err));
    TRY(tok_rows(b, max_id, n_entries, path, err));
    TRY(read_vocab(b, doc, vocab, path, err));
    TRY(read_json_merges(b, doc, merges, err));
    if (b->t->kind == TOKENIZER_SPM) {
        b->t->model = "llama";
        b->t->pre = "default";
        b->t->pre_exact = true;
        TRY(scores_from_merges(b, doc, merges, err));
    } else if (b->t->kind == TOKENIZER_WORDS) {
        settle_words(b);
    } else {
        b->t->model = "gpt2";
        TRY(tok_read_pre(b, json_get(root, "pre_tokenizer"), json_get(root, "normalizer"), err));
    }
    return read_added_list(b, doc, err);
}

/* --- vocab.json and merges.txt --- */

static size_t count_lines(const struct buf *text)
{
    size_t n = 1;
    for (const char *p = text->data, *end = p + text->len; p && (p = memchr(p, '\n', (size_t)(end - p))); p++)
        n++;
    return n;
}

/* One merge a line. A line that is none is passed over, as the library does with its version line. */
static enum status parse_merges(struct tok_build *b, const struct buf *text, struct error *err)
{
    struct kv_string *merges = arena_array(&b->t->mem, count_lines(text), sizeof *merges);
    if (!merges) return error_nomem(err, text->len);
    b->t->merges = merges;
    struct buf scratch = {0};
    enum status st = STATUS_OK;
    int64_t line = 0;
    for (size_t pos = 0; pos < text->len && st == STATUS_OK; line++) {
        const char *s = text->data + pos, *nl = memchr(s, '\n', text->len - pos);
        size_t n = nl ? (size_t)(nl - s) : text->len - pos;
        pos += n + 1;
        if (n > 0 && s[n - 1] == '\r') n--;
        if (n == 0 || (line == 0 && n >= 8 && memcmp(s, "#version", 8) == 0)) continue;
        struct merge m;
        if (memchr(s, 0, n) || !merge_split(&m, s, n))
            tok_count(&b->merges, line + 1, NULL, NULL);
        else
            st = merge_append(b, merges, &scratch, &m, err);
    }
    buf_clear(&scratch);
    return st;
}

/* GPT-1's merges are of words whose last character is marked. */
static bool merges_mark_ends(const struct tokenizer *t)
{
    for (size_t i = 0; i < t->n_merges; i++) {
        const struct kv_string *m = &t->merges[i];
        if (m->len > 4 && memcmp(m->s + m->len - 4, "</w>", 4) == 0) return true;
    }
    return false;
}

static enum status read_vocab_file(struct tok_build *b, const char *path, struct error *err)
{
    struct json *doc;
    int64_t max_id = -1;
    size_t n_entries = 0;
    TRY(json_load(&doc, path, LIMIT_TOKENIZER_MERGES, err));
    enum status st = tok_max_id(doc, json_root(doc), &max_id, &n_entries, err);
    if (st == STATUS_OK) st = tok_rows(b, max_id, n_entries, path, err);
    if (st == STATUS_OK) st = read_vocab(b, doc, json_root(doc), path, err);
    json_free(doc);
    return st;
}

enum status tok_read_vocab_merges(struct tok_build *b, const char *vocab_path, const char *merges_path,
                                  struct error *err)
{
    struct buf text = {0};
    tok_glm_identify(b, GLM_FILE_VOCAB);
    b->t->kind = TOKENIZER_BPE;
    b->t->model = "gpt2";
    TRY(read_vocab_file(b, vocab_path, err));
    TRY(file_read_all(&text, merges_path, LIMIT_TOKENIZER_MERGES, err));
    enum status st = parse_merges(b, &text, err);
    buf_clear(&text);
    if (st != STATUS_OK) return st;
    if (!merges_mark_ends(b->t)) return tok_read_pre(b, NULL, NULL, err);
    b->t->kind = TOKENIZER_WORDS;
    settle_words(b);
    return tok_blocks_gpt1(b->t, err);
}
