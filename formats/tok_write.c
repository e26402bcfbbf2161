#include "formats/tok_write.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/utf8.h"
#include "formats/tok_blocks.h"
#include "formats/tok_bytes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    const struct tokenizer *t;
    struct jwriter w;
    const struct kv_string *texts; /* by id, as tokenizer.json spells them; len 0: not in the vocabulary */
    struct json *model;            /* the block */
    bool pieces;                   /* it is SentencePiece's */
    struct arena mem;
};

static int32_t type_of(const struct tokenizer *t, size_t id)
{
    return t->types ? t->types[id] : TOKEN_NORMAL;
}

/* Rows without a token are padding. Added tokens are spelled as they stand in a text. */
static enum status spell(struct writer *x, struct error *err)
{
    const struct tokenizer *t = x->t;
    struct kv_string *texts = arena_array(&x->mem, t->n_tokens + 1, sizeof *texts);
    if (!texts) return error_nomem(err, t->n_tokens * sizeof *texts);
    for (size_t i = 0; i < t->n_tokens; i++)
        if (type_of(t, i) != TOKEN_UNUSED) texts[i] = t->tokens[i];
    for (size_t i = 0; i < t->n_added; i++) texts[t->added[i].id] = t->added[i].text;
    x->texts = texts;
    return STATUS_OK;
}

static const char *special_text(const struct tokenizer *t, enum special_token s)
{
    return t->special[s] >= 0 ? t->tokens[t->special[s]].s : NULL;
}

/* --- added tokens --- */

static void put_added(struct writer *x)
{
    jw_begin_array(&x->w, "added_tokens");
    for (size_t i = 0; i < x->t->n_added; i++) {
        const struct added_token *a = &x->t->added[i];
        jw_begin_object(&x->w, NULL);
        jw_int(&x->w, "id", a->id);
        jw_string_n(&x->w, "content", a->text.s, (size_t)a->text.len);
        jw_bool(&x->w, "single_word", a->single_word);
        jw_bool(&x->w, "lstrip", a->lstrip);
        jw_bool(&x->w, "rstrip", a->rstrip);
        jw_bool(&x->w, "normalized", a->normalized);
        jw_bool(&x->w, "special", a->special);
        jw_end_object(&x->w);
    }
    jw_end_array(&x->w);
}

/* --- what goes around a text --- */

static void put_piece_of_template(struct jwriter *w, const char *kind, const char *id)
{
    jw_begin_object(w, NULL);
    jw_begin_object(w, kind);
    jw_string(w, "id", id);
    jw_int(w, "type_id", 0);
    jw_end_object(w);
    jw_end_object(w);
}

struct around {
    int64_t before[TOKENIZER_AROUND_MAX + 1], after[TOKENIZER_AROUND_MAX + 1];
    size_t n_before, n_after;
};

static void find_around(const struct tokenizer *t, struct around *a)
{
    *a = (struct around){.n_before = t->n_before, .n_after = t->n_after};
    for (size_t i = 0; i < t->n_before; i++) a->before[i] = t->before[i];
    for (size_t i = 0; i < t->n_after; i++) a->after[i] = t->after[i];
    if (a->n_before + a->n_after > 0) return;
    if (t->add_bos == SAID_YES && t->special[SPECIAL_BOS] >= 0) a->before[a->n_before++] = t->special[SPECIAL_BOS];
    if (t->add_eos == SAID_YES && t->special[SPECIAL_EOS] >= 0) a->after[a->n_after++] = t->special[SPECIAL_EOS];
}

static void put_template(struct writer *x, const char *key, const struct around *a, bool pair)
{
    const struct kv_string *texts = x->texts;
    jw_begin_array(&x->w, key);
    for (size_t i = 0; i < a->n_before; i++) put_piece_of_template(&x->w, "SpecialToken", texts[a->before[i]].s);
    put_piece_of_template(&x->w, "Sequence", "A");
    if (pair) put_piece_of_template(&x->w, "Sequence", "B");
    for (size_t i = 0; i < a->n_after; i++) put_piece_of_template(&x->w, "SpecialToken", texts[a->after[i]].s);
    jw_end_array(&x->w);
}

static void put_template_token(struct writer *x, int64_t id)
{
    const char *text = x->texts[id].s;
    jw_begin_object(&x->w, text);
    jw_string(&x->w, "id", text);
    jw_begin_array(&x->w, "ids");
    jw_int(&x->w, NULL, id);
    jw_end_array(&x->w);
    jw_begin_array(&x->w, "tokens");
    jw_string(&x->w, NULL, text);
    jw_end_array(&x->w);
    jw_end_object(&x->w);
}

static void put_post_processor(struct writer *x)
{
    struct around a;
    find_around(x->t, &a);
    if (a.n_before + a.n_after == 0) {
        jw_raw(&x->w, "post_processor", x->t->blocks[BLOCK_POST_PROCESSOR] ? x->t->blocks[BLOCK_POST_PROCESSOR] : "null");
        return;
    }
    if (x->t->blocks[BLOCK_POST_PROCESSOR] && x->t->n_before + x->t->n_after == 0) {
        jw_raw(&x->w, "post_processor", x->t->blocks[BLOCK_POST_PROCESSOR]);
        return;
    }
    jw_begin_object(&x->w, "post_processor");
    jw_string(&x->w, "type", "TemplateProcessing");
    put_template(x, "single", &a, false);
    put_template(x, "pair", &a, true);
    jw_begin_object(&x->w, "special_tokens");
    for (size_t i = 0; i < a.n_before; i++) put_template_token(x, a.before[i]);
    for (size_t i = 0; i < a.n_after; i++)
        if (a.n_before == 0 || a.after[i] != a.before[0]) put_template_token(x, a.after[i]);
    jw_end_object(&x->w);
    jw_end_object(&x->w);
}

/* --- SentencePiece in the library's terms --- */

static bool piece_switch(const struct writer *x, const char *key)
{
    return json_is_true(json_get(json_root(x->model), key));
}

static void put_replace(struct jwriter *w, const char *kind, const char *pattern, const char *content)
{
    jw_begin_object(w, NULL);
    jw_string(w, "type", "Replace");
    jw_begin_object(w, "pattern");
    jw_string(w, kind, pattern);
    jw_end_object(w);
    jw_string(w, "content", content);
    jw_end_object(w);
}

static void put_charsmap(struct writer *x)
{
    struct buf text = {0};
    base64_append(&text, x->t->charsmap, x->t->charsmap_size);
    jw_begin_object(&x->w, NULL);
    jw_string(&x->w, "type", "Precompiled");
    jw_string(&x->w, "precompiled_charsmap", text.data);
    x->w.out->failed |= text.failed;
    jw_end_object(&x->w);
    buf_clear(&text);
}

static void put_piece_normalizer(struct writer *x)
{
    jw_begin_object(&x->w, "normalizer");
    jw_string(&x->w, "type", "Sequence");
    jw_begin_array(&x->w, "normalizers");
    if (x->t->charsmap_size > 0) put_charsmap(x);
    if (piece_switch(x, "remove_extra_whitespaces")) {
        jw_begin_object(&x->w, NULL);
        jw_string(&x->w, "type", "Strip");
        jw_bool(&x->w, "strip_left", true);
        jw_bool(&x->w, "strip_right", true);
        jw_end_object(&x->w);
        put_replace(&x->w, "Regex", " {2,}", " ");
    }
    if (piece_switch(x, "add_dummy_prefix")) {
        jw_begin_object(&x->w, NULL);
        jw_string(&x->w, "type", "Prepend");
        jw_string(&x->w, "prepend", SPACE_MARK);
        jw_end_object(&x->w);
    }
    put_replace(&x->w, "String", " ", SPACE_MARK);
    jw_end_array(&x->w);
    jw_end_object(&x->w);
}

static void put_piece_decoder(struct writer *x)
{
    jw_begin_object(&x->w, "decoder");
    jw_string(&x->w, "type", "Sequence");
    jw_begin_array(&x->w, "decoders");
    put_replace(&x->w, "String", SPACE_MARK, " ");
    jw_raw(&x->w, NULL, "{\"type\":\"ByteFallback\"}");
    jw_raw(&x->w, NULL, "{\"type\":\"Fuse\"}");
    if (piece_switch(x, "add_dummy_prefix")) jw_raw(&x->w, NULL, "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
    jw_end_array(&x->w);
    jw_end_object(&x->w);
}

/* A pair of pieces whose texts together are a third: the merge that its score stands for. */
struct merge {
    float score;
    uint32_t whole, left, right;
    uint32_t n_left; /* bytes */
};

static int compare_merges(const void *a, const void *b)
{
    const struct merge *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->whole != y->whole) return x->whole < y->whole ? -1 : 1;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

struct merges {
    struct merge *items;
    size_t n, cap;
};

static enum status add_merge(struct merges *m, const struct merge *one, struct error *err)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 4096;
        struct merge *items = realloc(m->items, cap * sizeof *items);
        if (!items) return error_nomem(err, cap * sizeof *items);
        m->items = items;
        m->cap = cap;
    }
    m->items[m->n++] = *one;
    return STATUS_OK;
}

enum { PIECE_BYTES_MAX = 1024 }; /* a piece is cut at each of its characters */

static enum status find_merges(const struct writer *x, const struct strmap *by_text, struct merges *out, struct error *err)
{
    const struct tokenizer *t = x->t;
    for (size_t i = 0; i < t->n_tokens; i++) {
        const struct kv_string *s = &x->texts[i];
        if (type_of(t, i) != TOKEN_NORMAL || s->len > PIECE_BYTES_MAX) continue;
        for (size_t k = 1; k < s->len; k++) {
            size_t left, right;
            if (((unsigned char)s->s[k] & 0xc0) == 0x80) continue;
            if (!strmap_find_n(by_text, s->s, k, &left) || !strmap_find_n(by_text, s->s + k, (size_t)s->len - k, &right)) continue;
            struct merge one = {t->scores ? t->scores[i] : 0, (uint32_t)i, (uint32_t)left, (uint32_t)right, (uint32_t)k};
            TRY(add_merge(out, &one, err));
        }
    }
    if (out->n > 0) qsort(out->items, out->n, sizeof *out->items, compare_merges);
    return STATUS_OK;
}

static enum status put_implied_merges(struct writer *x, struct error *err)
{
    struct strmap by_text = {0};
    struct merges merges = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < x->t->n_tokens && st == STATUS_OK; i++) {
        if (x->texts[i].len == 0 || type_of(x->t, i) != TOKEN_NORMAL) continue;
        st = strmap_add(&by_text, x->texts[i].s, i, NULL, err);
        if (st == STATUS_EXISTS) st = STATUS_OK;
    }
    if (st == STATUS_OK) st = find_merges(x, &by_text, &merges, err);
    for (size_t i = 0; i < merges.n && st == STATUS_OK; i++) {
        const struct merge *m = &merges.items[i];
        const struct kv_string *whole = &x->texts[m->whole];
        jw_begin_array(&x->w, NULL);
        jw_string_n(&x->w, NULL, whole->s, m->n_left);
        jw_string_n(&x->w, NULL, whole->s + m->n_left, (size_t)whole->len - m->n_left);
        jw_end_array(&x->w);
    }
    free(merges.items);
    strmap_clear(&by_text);
    return st;
}

/* --- the model --- */

static void put_vocab(struct writer *x)
{
    jw_begin_object(&x->w, "vocab");
    for (size_t i = 0; i < x->t->n_tokens; i++) {
        const struct kv_string *s = &x->texts[i];
        if (s->len > 0 && !memchr(s->s, 0, (size_t)s->len)) jw_int(&x->w, s->s, (int64_t)i);
    }
    jw_end_object(&x->w);
}

static enum status put_merges(struct writer *x, struct error *err)
{
    enum status st = STATUS_OK;
    jw_begin_array(&x->w, "merges");
    if (x->pieces && x->t->n_merges == 0) st = put_implied_merges(x, err);
    for (size_t i = 0; i < x->t->n_merges; i++) jw_string_n(&x->w, NULL, x->t->merges[i].s, (size_t)x->t->merges[i].len);
    jw_end_array(&x->w);
    return st;
}

static void put_unigram(struct writer *x)
{
    jw_begin_array(&x->w, "vocab");
    for (size_t i = 0; i < x->t->n_tokens; i++) {
        const struct kv_string *s = &x->texts[i];
        jw_begin_array(&x->w, NULL);
        jw_string_n(&x->w, NULL, s->len > 0 ? s->s : x->t->tokens[i].s, (size_t)(s->len > 0 ? s->len : x->t->tokens[i].len));
        jw_double(&x->w, NULL, x->t->scores ? (double)x->t->scores[i] : 0);
        jw_end_array(&x->w);
    }
    jw_end_array(&x->w);
}

static bool is_unigram(const struct writer *x)
{
    const char *type = json_string(json_get(json_root(x->model), x->pieces ? "algorithm" : "type"));
    return type && (strcmp(type, "unigram") == 0 || strcmp(type, "Unigram") == 0);
}

/* The block's members, or those that say the same of pieces. */
static void put_model_head(struct writer *x)
{
    const struct jvalue *root = json_root(x->model), *unk = json_get(root, "unk_id");
    struct buf value = {0};
    if (!x->pieces) {
        for (const struct jvalue *v = json_first(root); v; v = json_next(v)) {
            value.len = 0;
            json_print(v, &value);
            jw_raw_buf(&x->w, json_key(v), &value);
        }
        buf_clear(&value);
        return;
    }
    int64_t id = x->t->special[SPECIAL_UNK];
    struct error ignored;
    if (unk && json_int(x->model, unk, &id, &ignored) != STATUS_OK) id = -1;
    if (id < 0 || (uint64_t)id >= x->t->n_tokens) id = -1;
    jw_string(&x->w, "type", is_unigram(x) ? "Unigram" : "BPE");
    if (is_unigram(x) && id >= 0) jw_int(&x->w, "unk_id", id);
    if (!is_unigram(x)) jw_string(&x->w, "unk_token", id >= 0 ? x->texts[id].s : NULL);
    if (!is_unigram(x)) jw_bool(&x->w, "fuse_unk", true);
    jw_bool(&x->w, "byte_fallback", piece_switch(x, "byte_fallback"));
}

static enum status put_model(struct writer *x, struct error *err)
{
    enum status st = STATUS_OK;
    jw_begin_object(&x->w, "model");
    put_model_head(x);
    if (is_unigram(x)) {
        put_unigram(x);
    } else {
        put_vocab(x);
        st = put_merges(x, err);
    }
    jw_end_object(&x->w);
    return st;
}

static enum status put_all(struct writer *x, struct error *err)
{
    const struct tokenizer *t = x->t;
    jw_begin_object(&x->w, NULL);
    jw_string(&x->w, "version", "1.0");
    jw_null(&x->w, "truncation");
    jw_null(&x->w, "padding");
    put_added(x);
    if (x->pieces)
        put_piece_normalizer(x);
    else
        jw_raw(&x->w, "normalizer", t->blocks[BLOCK_NORMALIZER] ? t->blocks[BLOCK_NORMALIZER] : "null");
    jw_raw(&x->w, "pre_tokenizer", t->blocks[BLOCK_PRE_TOKENIZER] ? t->blocks[BLOCK_PRE_TOKENIZER] : "null");
    put_post_processor(x);
    if (x->pieces)
        put_piece_decoder(x);
    else
        jw_raw(&x->w, "decoder", t->blocks[BLOCK_DECODER] ? t->blocks[BLOCK_DECODER] : "null");
    TRY(put_model(x, err));
    jw_end_object(&x->w);
    buf_puts(x->w.out, "\n");
    return buf_check(x->w.out, err);
}

/* A tokenizer that the library has no words for. */
static const char *cannot(const struct writer *x)
{
    const struct tokenizer *t = x->t;
    const char *normalizer = t->blocks[BLOCK_NORMALIZER], *type = json_string(json_get(json_root(x->model), "type"));
    if (x->pieces && normalizer) return "it treats blanks as only ChatGLM-6B's code does";
    if (x->pieces && piece_switch(x, "treat_whitespace_as_suffix")) return "it marks spaces behind words";
    if (!type || (!x->pieces && strcmp(type, "BPE") != 0 && strcmp(type, "Unigram") != 0)) return "its model is none that tokenizer.json has";
    const char *const *regexes;
    if (t->kind == TOKENIZER_BPE && t->pre && t->blocks[BLOCK_PRE_TOKENIZER] && !strstr(t->blocks[BLOCK_PRE_TOKENIZER], "ByteLevel") &&
        tok_pre_patterns(t->pre, &regexes) == 0)
        return "its pre-tokenizer is a name that is not known here";
    return NULL;
}

enum status tokenizer_write_json(const struct tokenizer *t, struct buf *out, const char **why, struct error *err)
{
    struct writer x = {.t = t, .w = {.out = out}};
    *why = t->kind == TOKENIZER_NONE ? "the file has none" : !t->blocks[BLOCK_MODEL] ? "its model is none that is known here" : NULL;
    if (*why) return STATUS_OK;
    TRY(json_parse(&x.model, t->blocks[BLOCK_MODEL], strlen(t->blocks[BLOCK_MODEL]), "tokenizer", err));
    const char *type = json_string(json_get(json_root(x.model), "type"));
    x.pieces = type && strcmp(type, "SentencePiece") == 0;
    *why = cannot(&x);
    enum status st = *why ? STATUS_OK : spell(&x, err);
    if (st == STATUS_OK && !*why) st = put_all(&x, err);
    json_free(x.model);
    arena_clear(&x.mem);
    return st;
}

/* --- the small files --- */

static void put_templates(const struct tokenizer *t, struct jwriter *w)
{
    if (t->n_templates == 0) return;
    if (t->n_templates == 1 && strcmp(t->templates[0].name, "default") == 0) {
        jw_string(w, "chat_template", t->templates[0].text);
        return;
    }
    jw_begin_array(w, "chat_template");
    for (size_t i = 0; i < t->n_templates; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "name", t->templates[i].name);
        jw_string(w, "template", t->templates[i].text);
        jw_end_object(w);
    }
    jw_end_array(w);
}

enum status tokenizer_write_config(const struct tokenizer *t, int64_t n_ctx, struct buf *out, struct error *err)
{
    static const struct {
        enum special_token special;
        const char *key;
    } named[] = {{SPECIAL_BOS, "bos_token"}, {SPECIAL_EOS, "eos_token"}, {SPECIAL_UNK, "unk_token"},  {SPECIAL_PAD, "pad_token"},
                 {SPECIAL_SEP, "sep_token"}, {SPECIAL_CLS, "cls_token"}, {SPECIAL_MASK, "mask_token"}};
    struct jwriter w = {.out = out, .pretty = true};
    jw_begin_object(&w, NULL);
    jw_string(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (special_text(t, named[i].special)) jw_string(&w, named[i].key, special_text(t, named[i].special));
    if (n_ctx > 0) jw_int(&w, "model_max_length", n_ctx);
    jw_bool(&w, "clean_up_tokenization_spaces", false);
    put_templates(t, &w);
    jw_end_object(&w);
    buf_puts(out, "\n");
    return buf_check(out, err);
}

enum status tokenizer_write_generation(const struct tokenizer *t, struct buf *out, struct error *err)
{
    struct jwriter w = {.out = out, .pretty = true};
    const int64_t ends[] = {t->special[SPECIAL_EOS], t->special[SPECIAL_EOT], t->special[SPECIAL_EOM]};
    jw_begin_object(&w, NULL);
    if (t->special[SPECIAL_BOS] >= 0) jw_int(&w, "bos_token_id", t->special[SPECIAL_BOS]);
    jw_begin_array(&w, "eos_token_id");
    for (size_t i = 0; i < 3; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++) again = again || ends[k] == ends[i];
        if (ends[i] >= 0 && !again) jw_int(&w, NULL, ends[i]);
    }
    jw_end_array(&w);
    if (t->special[SPECIAL_PAD] >= 0) jw_int(&w, "pad_token_id", t->special[SPECIAL_PAD]);
    jw_end_object(&w);
    buf_puts(out, "\n");
    return buf_check(out, err);
}
