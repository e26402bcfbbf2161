/* The blocks of a tokenizer: copied from tokenizer.json, or written for files that come without one, so that they say the same. */
#include "formats/tok_blocks.h"

#include "formats/tok_bytes.h"
#include "formats/tok_patterns.h"

#include <stdio.h>
#include <string.h>

static const char *const names[BLOCK_COUNT] = {
    [BLOCK_MODEL] = "model",
    [BLOCK_NORMALIZER] = "normalizer",
    [BLOCK_PRE_TOKENIZER] = "pre_tokenizer",
    [BLOCK_POST_PROCESSOR] = "post_processor",
    [BLOCK_DECODER] = "decoder",
};

const char *tokenizer_block_name(enum token_block b)
{
    return (unsigned)b < BLOCK_COUNT ? names[b] : "?";
}

enum status tok_block_set(struct tokenizer *t, enum token_block which, struct buf *text, struct error *err)
{
    enum status st = buf_check(text, err);
    if (st == STATUS_OK && text->len > 0) {
        t->blocks[which] = arena_strndup(&t->mem, text->data, text->len);
        if (!t->blocks[which]) st = error_nomem(err, text->len);
    }
    buf_clear(text);
    return st;
}

static enum status set_literal(struct tokenizer *t, enum token_block which, const char *json, struct error *err)
{
    struct buf text = {0};
    buf_puts(&text, json);
    return tok_block_set(t, which, &text, err);
}

/* --- tokenizer.json --- */

/* The model without what grows with the vocabulary */
static void put_model(const struct jvalue *model, struct buf *out)
{
    static const char *const kept[] = {"type",      "unk_token",     "unk_id",       "continuing_subword_prefix",
                                       "fuse_unk",  "byte_fallback", "ignore_merges", "end_of_word_suffix"};
    size_t n = 0;
    buf_puts(out, "{");
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const struct jvalue *v = json_get(model, kept[i]);
        bool typeless = i == 0 && !v; /* files of old versions of the library, for BPE */
        if (!typeless && (!v || json_is(v, JTYPE_NULL))) continue;
        buf_printf(out, "%s\"%s\":", n++ > 0 ? "," : "", kept[i]);
        if (typeless)
            buf_puts(out, "\"BPE\"");
        else
            json_print(v, out);
    }
    buf_puts(out, "}");
}

enum status tok_blocks_from_json(struct tok_build *b, const struct jvalue *root, struct error *err)
{
    b->has_json_blocks = true;
    for (int i = 0; i < BLOCK_COUNT; i++) {
        const struct jvalue *v = json_get(root, names[i]);
        struct buf text = {0};
        if (!v || json_is(v, JTYPE_NULL)) continue;
        if (i == BLOCK_MODEL)
            put_model(v, &text);
        else
            json_print(v, &text);
        TRY(tok_block_set(b->t, (enum token_block)i, &text, err));
    }
    return STATUS_OK;
}

/* --- byte-level BPE --- */

static void put_split(struct jwriter *w, const char *regex)
{
    jw_begin_object(w, NULL);
    jw_string(w, "type", "Split");
    jw_begin_object(w, "pattern");
    jw_string(w, "Regex", regex);
    jw_end_object(w);
    jw_string(w, "behavior", "Isolated");
    jw_bool(w, "invert", false);
    jw_end_object(w);
}

void tok_put_byte_level(const char *const *regexes, size_t n, struct buf *out)
{
    struct jwriter w = {.out = out};
    jw_begin_object(&w, NULL);
    jw_string(&w, "type", "Sequence");
    jw_begin_array(&w, "pretokenizers");
    for (size_t i = 0; i < n; i++) put_split(&w, regexes[i]);
    jw_begin_object(&w, NULL);
    jw_string(&w, "type", "ByteLevel");
    jw_bool(&w, "add_prefix_space", false);
    jw_bool(&w, "trim_offsets", true);
    jw_bool(&w, "use_regex", false);
    jw_end_object(&w);
    jw_end_array(&w);
    jw_end_object(&w);
}

enum status tok_blocks_byte_level(struct tokenizer *t, const char *const *regexes, size_t n, bool whole_words,
                                  struct error *err)
{
    struct buf pre = {0};
    tok_put_byte_level(regexes, n, &pre);
    TRY(tok_block_set(t, BLOCK_PRE_TOKENIZER, &pre, err));
    TRY(set_literal(t, BLOCK_MODEL,
                    whole_words ? "{\"type\":\"BPE\",\"ignore_merges\":true}" : "{\"type\":\"BPE\"}", err));
    return set_literal(t, BLOCK_DECODER, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}", err);
}

/* --- GPT-1 --- */

enum status tok_blocks_gpt1(struct tokenizer *t, struct error *err)
{
    TRY(set_literal(t, BLOCK_MODEL,
                    "{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"end_of_word_suffix\":\"</w>\",\"fuse_unk\":false}",
                    err));
    TRY(set_literal(t, BLOCK_NORMALIZER,
                    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
                    "\"strip_accents\":null,\"lowercase\":true}",
                    err));
    TRY(set_literal(t, BLOCK_PRE_TOKENIZER, "{\"type\":\"BertPreTokenizer\"}", err));
    return set_literal(t, BLOCK_DECODER, "{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}", err);
}

/* --- SentencePiece --- */

static void put_pieces(const struct piece_settings *s, struct jwriter *w)
{
    jw_bool(w, "add_dummy_prefix", s->add_dummy_prefix);
    jw_bool(w, "remove_extra_whitespaces", s->remove_extra_whitespaces);
}

static void put_piece_model(const struct piece_settings *s, struct buf *out)
{
    struct jwriter w = {.out = out};
    jw_begin_object(&w, NULL);
    jw_string(&w, "type", "SentencePiece");
    jw_string(&w, "algorithm", s->unigram ? "unigram" : "bpe");
    put_pieces(s, &w);
    jw_bool(&w, "escape_whitespaces", s->escape_whitespaces);
    jw_bool(&w, "treat_whitespace_as_suffix", s->whitespace_as_suffix);
    jw_bool(&w, "byte_fallback", s->byte_fallback);
    if (s->unk_id >= 0) jw_int(&w, "unk_id", s->unk_id);
    jw_int(&w, "first_piece", s->first);
    jw_int(&w, "end_piece", s->end);
    jw_end_object(&w);
}

enum { BLANKS_MAX = 80 };

/* Texts that ChatGLM-6B puts in the place of others, and what they are in the text: "<|blank_80|>" first. i = 0 to BLANKS_MAX. */
static void blank_pair(int i, char text[BLANKS_MAX + 1], char token[24])
{
    if (i < 2) {
        strcpy(text, i == 0 ? "\n" : "\t");
        strcpy(token, i == 0 ? "<n>" : "<|tab|>");
        return;
    }
    int n = BLANKS_MAX + 2 - i; /* 80 down to 2 */
    memset(text, ' ', (size_t)n);
    text[n] = 0;
    snprintf(token, 24, "<|blank_%d|>", n);
}

static void put_blanks(struct jwriter *w, bool decode)
{
    char text[BLANKS_MAX + 1], token[24];
    for (int i = 0; i <= BLANKS_MAX; i++) {
        blank_pair(i, text, token);
        jw_begin_object(w, NULL);
        jw_string(w, "type", "Replace");
        jw_begin_object(w, "pattern");
        jw_string(w, "String", decode ? token : text);
        jw_end_object(w);
        jw_string(w, "content", decode ? text : token);
        jw_end_object(w);
    }
}

static void put_sequence(struct buf *out, const char *list, bool blanks, bool decode, const struct piece_settings *s)
{
    struct jwriter w = {.out = out};
    if (blanks) {
        jw_begin_object(&w, NULL);
        jw_string(&w, "type", "Sequence");
        jw_begin_array(&w, list);
    }
    if (decode) {
        jw_begin_object(&w, NULL);
        jw_string(&w, "type", "SentencePiece");
        put_pieces(s, &w);
        jw_end_object(&w);
    }
    if (!blanks) return;
    put_blanks(&w, decode);
    jw_end_array(&w);
    jw_end_object(&w);
}

enum status tok_blocks_pieces(struct tokenizer *t, const struct piece_settings *s, struct error *err)
{
    struct buf model = {0}, normalizer = {0}, decoder = {0};
    put_piece_model(s, &model);
    TRY(tok_block_set(t, BLOCK_MODEL, &model, err));
    put_sequence(&decoder, "decoders", s->blanks, true, s);
    TRY(tok_block_set(t, BLOCK_DECODER, &decoder, err));
    if (!s->blanks) return STATUS_OK;
    put_sequence(&normalizer, "normalizers", true, false, s);
    return tok_block_set(t, BLOCK_NORMALIZER, &normalizer, err);
}
