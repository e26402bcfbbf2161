/* Text → ids → text. Expected ids come from the original libraries (tests/data/glm/README of the vectors) or are told by the rules; the
 * hand-written splitters are compared with the regular expressions they stand for. */
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "formats/encoder.h"
#include "formats/tok_charsmap.h"
#include "formats/tok_index.h"
#include "formats/tok_patterns.h"
#include "formats/tok_regex.h"
#include "formats/tok_split.h"
#include "formats/tok_unicode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

static const char *data(const char *name)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    const char *root = getenv("LATHE_ROOT");
    snprintf(p, 512, "%s/tests/%s", root ? root : ".", name);
    return p;
}

static void open_coder(struct text_coder *c, const char *name)
{
    if (text_coder_open(c, data(name), &err) != STATUS_OK) fail_msg("%s: %s", name, err.text);
}

static char dir[] = "/tmp/test_encoder_XXXXXX";

static void copy_file(const char *from, const char *name)
{
    struct buf text = {0};
    char path[64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (file_read_all(&text, data(from), 1 << 20, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(file_write_whole(path, OUTFILE_REPLACE, text.data, text.len, &err), STATUS_OK);
    buf_clear(&text);
}

static void remove_file(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    remove(path);
}

/* --- vectors of the original tokenizers --- */

static void check_ids(const char *name, const char *text, const struct id_list *got, const struct jvalue *want)
{
    size_t i = 0;
    for (const struct jvalue *v = want; v; v = json_next(v), i++) {
        int64_t id;
        assert_int_equal(json_int(NULL, v, &id, &err), STATUS_OK);
        if (i >= got->n || got->ids[i] != id)
            fail_msg("%s: '%s': id %zu is %d, expected %d", name, text, i, i < got->n ? (int)got->ids[i] : -1, (int)id);
    }
    if (i != got->n) fail_msg("%s: '%s': %zu ids, expected %zu", name, text, got->n, i);
}

/* skip: how many of the first ids the tokenizer's files do not tell */
static size_t check_vectors(struct text_coder *c, const char *name, const char *key, size_t skip)
{
    struct json *doc;
    char path[128];
    size_t n = 0;
    snprintf(path, sizeof path, "data/glm/%s/vectors.json", name);
    assert_int_equal(json_load(&doc, data(path), 1 << 20, &err), STATUS_OK);
    for (const struct jvalue *v = json_first(json_get(json_root(doc), "cases")); v; v = json_next(v), n++) {
        const char *text = json_string(json_get(v, "text"));
        struct id_list ids = {0};
        const struct jvalue *first = json_first(json_get(v, key));
        for (size_t i = 0; i < skip; i++) first = json_next(first);
        assert_int_equal(encoder_encode(c->encoder, text, strlen(text), ENCODE_SPECIAL | ENCODE_PLAIN, &ids, &err), STATUS_OK);
        check_ids(name, text, &ids, first);
        id_list_clear(&ids);
    }
    json_free(doc);
    text_coder_close(c);
    return n;
}

static void glm_vectors(void **state)
{
    (void)state;
    struct text_coder c;
    open_coder(&c, "data/glm/tok_v1_tiny");
    assert_int_equal(check_vectors(&c, "tok_v1_tiny", "ids", 0), 14);
    open_coder(&c, "data/glm/tok_v3_tiny");
    assert_int_equal(check_vectors(&c, "tok_v3_tiny", "plain", 0), 14);
    open_coder(&c, "data/glm/tok_glm4_tiny"); /* its tokenizer.json is read first, and has no template */
    assert_int_equal(check_vectors(&c, "tok_glm4_tiny", "ids", 2), 14);
    copy_file("data/glm/tok_glm4_tiny/tokenizer.model", "tokenizer.model");
    copy_file("data/glm/tok_glm4_tiny/config.json", "config.json");
    assert_int_equal(text_coder_open(&c, dir, &err), STATUS_OK);
    assert_int_equal(check_vectors(&c, "tok_glm4_tiny", "ids", 0), 14);
    remove_file("tokenizer.model");
    remove_file("config.json");
}

/* --- hand-written splitters against the patterns --- */

struct words {
    size_t ends[4096], n;
    const char *base;
};

static enum status note_word(void *arg, const char *s, size_t n, struct error *e)
{
    struct words *w = arg;
    (void)e;
    assert_true(w->n < 4096);
    w->ends[w->n++] = (size_t)(s - w->base) + n;
    return STATUS_OK;
}

static void split_with(const char *block, bool by_regex, const char *text, size_t n, struct words *w)
{
    struct json *doc;
    struct splitter *p;
    assert_int_equal(json_parse(&doc, block, strlen(block), "block", &err), STATUS_OK);
    splitter_forbid_scans(by_regex);
    if (splitter_new(&p, json_root(doc), &err) != STATUS_OK) fail_msg("%s: %s", block, err.text);
    splitter_forbid_scans(false);
    *w = (struct words){.base = text};
    assert_int_equal(splitter_run(p, text, n, true, note_word, w, &err), STATUS_OK);
    splitter_free(p);
    json_free(doc);
}

/* Characters of every class that a pattern knows, in random order */
static size_t random_text(char *dst, size_t room, uint32_t *seed)
{
    static const char *const parts[] = {
        "a",  "B",  "z",  "é", "Я",  "你", "\u0301", "\u093e", "1",  "9",      "٣",      "½",      "Ⅳ",      "'",      "'s",     "'S",
        "'ll", "'LL", "'re", "'ve", "'ſ", "'", " ", " ", " ", "  ", "\t", "\n", "\r", "\r\n", "\xC2\xA0", "\u2028", "\u180e", "\xC2\x85",
        "\u3000", "!", "?", ".", "-", "_", "$", "+", "=", "€", "…", "👍", "\x01", "\x7f", "\u200b", "\u200d", "/", "\ufffd"};
    size_t n = 0;
    for (;;) {
        *seed = *seed * 1664525u + 1013904223u;
        const char *p = parts[(*seed >> 12) % (sizeof parts / sizeof parts[0])];
        size_t len = strlen(p);
        if (n + len > room || (*seed >> 7) % 97 == 0) return n;
        memcpy(dst + n, p, len);
        n += len;
    }
}

static void scans_are_the_patterns(void **state)
{
    (void)state;
    static const char *const patterns[] = {REGEX_GPT2, REGEX_CL100K(REGEX_DIGITS3), REGEX_CL100K(REGEX_DIGIT), REGEX_QWEN35};
    static struct words a, b;
    uint32_t seed = 20;
    char text[512];
    for (size_t k = 0; k < sizeof patterns / sizeof patterns[0]; k++) {
        struct buf block = {0};
        struct jwriter w = {.out = &block};
        assert_non_null(tok_scan_find(patterns[k]));
        jw_begin_object(&w, NULL);
        jw_string(&w, "type", "Split");
        jw_begin_object(&w, "pattern");
        jw_string(&w, "Regex", patterns[k]);
        jw_end_object(&w);
        jw_string(&w, "behavior", "Isolated");
        jw_end_object(&w);
        for (int i = 0; i < 2500; i++) {
            size_t n = random_text(text, sizeof text, &seed);
            if (n == 0) continue;
            split_with(block.data, false, text, n, &a);
            split_with(block.data, true, text, n, &b);
            if (a.n != b.n || memcmp(a.ends, b.ends, a.n * sizeof *a.ends) != 0)
                fail_msg("pattern %zu: '%.*s': %zu words, PCRE2 finds %zu", k, (int)n, text, a.n, b.n);
        }
        buf_clear(&block);
    }
}

static void ascii_classes(void **state)
{
    (void)state;
    struct regex *re, *unassigned;
    static const struct {
        const char *pattern;
        unsigned class;
    } cases[] = {{"\\p{L}", UCLASS_LETTER}, {"\\p{N}", UCLASS_NUMBER}, {"\\p{P}", UCLASS_PUNCT}, {"\\p{S}", UCLASS_SYMBOL},
                 {"\\s", UCLASS_SPACE},     {"\\w", UCLASS_WORD},      {"\\p{M}", UCLASS_MARK},  {"\\p{Lu}|\\p{Lt}", UCLASS_UPPER},
                 {"\\p{Ll}", UCLASS_LOWER}, {"\\p{C}", UCLASS_OTHER},  {"\\p{Mn}", UCLASS_NONSPACING}};
    assert_int_equal(regex_new(&unassigned, "\\p{Cn}", &err), STATUS_OK);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        assert_int_equal(regex_new(&re, cases[k].pattern, &err), STATUS_OK);
        for (uint32_t code = 1; code < 0x3000; code++) {
            char s[4];
            size_t n = utf8_encode(code, s), start, end;
            bool found, new;
            assert_int_equal(regex_next(unassigned, s, n, 0, &start, &end, &new, &err), STATUS_OK);
            if (new) continue; /* the libraries' versions of Unicode may differ */
            assert_int_equal(regex_next(re, s, n, 0, &start, &end, &found, &err), STATUS_OK);
            bool ours = uclass_of(code) & cases[k].class;
            if (ours != found)
                fail_msg("U+%04X: %s is %d, PCRE2 says %d", code, cases[k].pattern, ours, found);
        }
        regex_free(re);
    }
    regex_free(unassigned);
}

/* --- patterns of files --- */

static void regex_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {{"\\s+", "\\p{wspace}+"},
                 {"[^\\s\\p{L}]", "[^\\p{wspace}\\p{L}]"},
                 {"[\\w-]", "[\\p{L}\\p{M}\\p{Nd}\\p{Pc}-]"},
                 {"\\h", "[0-9a-fA-F]"},
                 {"[]a]\\S", "[]a]\\P{wspace}"},
                 {"[[:alpha:]\\s]", "[[:alpha:]\\p{wspace}]"},
                 {"\\\\s", "\\\\s"},
                 {"[a&&b]", NULL},
                 {"[a[b]]", NULL},
                 {"[\\W]", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0};
        enum status st = regex_translate(cases[i].in, &out, &err);
        if (!cases[i].out)
            assert_int_equal(st, STATUS_UNSUPPORTED);
        else if (st != STATUS_OK || strcmp(out.data, cases[i].out) != 0)
            fail_msg("%s becomes %s", cases[i].in, out.data ? out.data : err.text);
        buf_clear(&out);
    }
    struct regex *re;
    assert_int_equal(regex_new(&re, "(", &err), STATUS_FORMAT);
    assert_int_equal(regex_new(&re, "\\p{Nonsense}", &err), STATUS_FORMAT);
}

/* A pattern that would try 2^60 ways ends with an error. */
static void regex_is_bounded(void **state)
{
    (void)state;
    struct regex *re;
    char text[64];
    size_t start, end;
    bool found;
    memset(text, 'a', sizeof text);
    assert_int_equal(regex_new(&re, "(?:a|a)*[bc]", &err), STATUS_OK);
    assert_int_equal(regex_next(re, text, sizeof text, 0, &start, &end, &found, &err), STATUS_RANGE);
    regex_free(re);
    assert_int_equal(regex_new(&re, "((a+)+)+[bc]", &err), STATUS_OK);
    assert_int_equal(regex_next(re, text, sizeof text, 0, &start, &end, &found, &err), STATUS_RANGE);
    regex_free(re);
}

/* --- tokenizers written here --- */

static void put_json(const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static enum status open_json(struct text_coder *c, const char *text)
{
    put_json(text);
    return text_coder_open(c, dir, &err);
}

#define WITH_BLOCKS(blocks) \
    "{\"added_tokens\": [{\"id\": 4, \"content\": \"<e>\", \"special\": true, \"lstrip\": true}], " blocks \
    "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"\u0120\": 3}, \"merges\": [\"a b\"]}}"

static void blocks_that_are_not_known(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
        enum status want;
    } cases[] = {
        {WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"normalizer\": {\"type\": \"Magic\"}, "), "'Magic'", STATUS_UNSUPPORTED},
        {WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": \"Odd\"}]}, "), "'Odd'", STATUS_UNSUPPORTED},
        {WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"decoder\": {\"type\": \"Rot13\"}, "), "'Rot13'", STATUS_UNSUPPORTED},
        {WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"post_processor\": {\"type\": \"Wrap\"}, "), "'Wrap'", STATUS_UNSUPPORTED},
        {WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\"}]}, "), "pattern '('", STATUS_FORMAT},
        {WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\"}]}, "), "empty", STATUS_FORMAT},
        {WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA\"}, "), "table", STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_coder c;
        enum status st = open_json(&c, cases[i].json);
        if (st != cases[i].want || !strstr(err.text, cases[i].text)) fail_msg("case %zu: %s: %s", i, status_name(st), err.text);
    }
}

static void same_ids(struct text_coder *c, const char *text, unsigned flags, const char *want)
{
    struct id_list ids = {0};
    char got[256] = "";
    if (encoder_encode(c->encoder, text, strlen(text), flags, &ids, &err) != STATUS_OK) fail_msg("'%s': %s", text, err.text);
    for (size_t i = 0; i < ids.n; i++) snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d", i ? " " : "", (int)ids.ids[i]);
    if (strcmp(got, want) != 0) fail_msg("'%s' gives %s, expected %s", text, got, want);
    id_list_clear(&ids);
}

static void added_tokens(void **state)
{
    (void)state;
    struct text_coder c;
    if (open_json(&c, WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"decoder\": {\"type\": \"ByteLevel\"}, ")) != STATUS_OK) fail_msg("%s", err.text);
    same_ids(&c, "ab<e>ab", 0, "2 4 2");
    same_ids(&c, "ab   <e> b", 0, "2 4 3 1"); /* lstrip */
    same_ids(&c, "a<e", 0, "0");              /* bytes without a token are dropped */
    same_ids(&c, "a<e>", ENCODE_PLAIN, "0");
    same_ids(&c, "", ENCODE_SPECIAL, "");
    same_ids(&c, "<e><e>", 0, "4 4");
    struct buf text = {0};
    const int32_t ids[] = {2, 4, 3, 0}, bad[] = {5};
    assert_int_equal(encoder_decode(c.encoder, ids, 4, 0, &text, &err), STATUS_OK);
    assert_string_equal(text.data, "ab<e> a");
    text.len = 0;
    assert_int_equal(encoder_decode(c.encoder, ids, 4, DECODE_SKIP_SPECIAL, &text, &err), STATUS_OK);
    assert_string_equal(text.data, "ab a");
    assert_int_equal(encoder_decode(c.encoder, bad, 1, 0, &text, &err), STATUS_RANGE);
    buf_clear(&text);
    text_coder_close(&c);
}

/* The heap of long words and the array of short ones give the same ids; words of 8 MB are no trouble. */
static void long_words(void **state)
{
    (void)state;
    struct text_coder c;
    struct id_list ids = {0};
    const size_t n = (size_t)8 << 20;
    assert_int_equal(open_json(&c, WITH_BLOCKS("\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, ")), STATUS_OK);
    char *text = malloc(n);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) text[i] = i % 3 == 1 ? 'b' : 'a'; /* abaaba... */
    assert_int_equal(encoder_encode(c.encoder, text, n, 0, &ids, &err), STATUS_OK);
    assert_int_equal(ids.n, 2 * (n / 3) + n % 3 - (n % 3 == 2));
    for (size_t i = 0; i + 2 < ids.n; i++) assert_int_equal(ids.ids[i], i % 2 ? 0 : 2);
    id_list_clear(&ids);
    free(text);
    text_coder_close(&c);
}

static void merges_outside_the_vocabulary(void **state)
{
    (void)state;
    struct text_coder c;
    assert_int_equal(open_json(&c, "{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", "
                                   "\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"a b\"]}}"),
                     STATUS_FORMAT);
    assert_non_null(strstr(err.text, "merge 0"));
}

/* --- files without special tokens, and damaged ones --- */

static void put_file(const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(file_write_whole(path, OUTFILE_REPLACE, text, strlen(text), &err), STATUS_OK);
}

/* Llama 3's special tokens follow the ranks, under the names of its version. */
static void ranks_of_meta(void **state)
{
    (void)state;
    static const struct {
        const char *params, *pad;
        int eot;
    } cases[] = {{"{\"dim\": 1}", "<|reserved_special_token_2|>", 909},
                 {"{\"model\": {\"use_scaled_rope\": true}}", "<|finetune_right_pad_id|>", 909}};
    remove_file("tokenizer.json");
    copy_file("data/glm/tok_glm4_tiny/tokenizer.model", "tokenizer.model");
    for (size_t i = 0; i < 2; i++) {
        struct text_coder c;
        put_file("params.json", cases[i].params);
        if (text_coder_open(&c, dir, &err) != STATUS_OK) fail_msg("%s", err.text);
        assert_int_equal(c.tokenizer->n_tokens, 900 + 256);
        assert_string_equal(c.tokenizer->pre, "llama-bpe");
        assert_string_equal(c.tokenizer->tokens[904].s, cases[i].pad);
        assert_int_equal(c.tokenizer->special[SPECIAL_EOT], cases[i].eot);
        same_ids(&c, "<|end_of_text|>", ENCODE_SPECIAL, "900 901");
        text_coder_close(&c);
    }
    remove_file("params.json");
    remove_file("tokenizer.model");
}

static void unigram_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *vocab, *text;
    } cases[] = {{"{\"a\": 0}", "list of"}, {"[[\"a\"]]", "model.vocab[0]"}, {"[[\"a\", 0.0], [1, 2]]", "model.vocab[1]"},
                 {"[[\"a\", 1e300]]", "not finite"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_coder c;
        char json[256];
        snprintf(json, sizeof json, "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": %s}}", cases[i].vocab);
        enum status st = open_json(&c, json);
        if (st != STATUS_FORMAT || !strstr(err.text, cases[i].text)) fail_msg("case %zu: %s: %s", i, status_name(st), err.text);
    }
}

/* Our own keys of a GGUF, damaged one at a time: an error when they are read or when an encoder is made. */
static void gguf_keys_of_our_own(void **state)
{
    (void)state;
    static const struct kv_string tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}}, merges[] = {{"a b", 3}}, bad_merges[] = {{"ab", 2}};
    static const struct kv good[] = {
        {.key = "tokenizer.ggml.model", .type = KV_STRING, .v.str = {"gpt2", sizeof "gpt2" - 1}},
        {.key = "tokenizer.ggml.tokens", .type = KV_ARRAY, .v.array = {KV_STRING, 3, tokens}},
        {.key = "tokenizer.ggml.merges", .type = KV_ARRAY, .v.array = {KV_STRING, 1, merges}},
        {.key = "lathe.tokenizer.model", .type = KV_STRING, .v.str = {"{\"type\":\"BPE\"}", sizeof "{\"type\":\"BPE\"}" - 1}},
        {.key = "lathe.tokenizer.added_tokens", .type = KV_STRING, .v.str = {"[{\"id\":1,\"content\":\"b\"}]", sizeof "[{\"id\":1,\"content\":\"b\"}]" - 1}},
    };
    const struct {
        size_t index;
        struct kv kv;
    } bad[] = {
        {2, {.key = "tokenizer.ggml.merges", .type = KV_ARRAY, .v.array = {KV_STRING, 1, bad_merges}}},
        {3, {.key = "lathe.tokenizer.model", .type = KV_STRING, .v.str = {"{\"type\":", sizeof "{\"type\":" - 1}}},
        {3, {.key = "lathe.tokenizer.model", .type = KV_STRING, .v.str = {"{\"type\":\"X\"}", sizeof "{\"type\":\"X\"}" - 1}}},
        {3, {.key = "lathe.tokenizer.model", .type = KV_STRING, .v.str = {"[]", sizeof "[]" - 1}}},
        {3, {.key = "lathe.tokenizer.model", .type = KV_STRING, .v.str = {"{\"type\":\"SentencePiece\",\"byte_fallback\":true}", sizeof "{\"type\":\"SentencePiece\",\"byte_fallback\":true}" - 1}}},
        {4, {.key = "lathe.tokenizer.added_tokens", .type = KV_STRING, .v.str = {"[{\"id\":3,\"content\":\"b\"}]", sizeof "[{\"id\":3,\"content\":\"b\"}]" - 1}}},
        {4, {.key = "lathe.tokenizer.added_tokens", .type = KV_STRING, .v.str = {"[{\"id\":1}]", sizeof "[{\"id\":1}]" - 1}}},
        {4, {.key = "lathe.tokenizer.added_tokens", .type = KV_STRING, .v.str = {"[{", sizeof "[{" - 1}}},
        {4, {.key = "lathe.tokenizer.merges", .type = KV_STRING, .v.str = {"a b", sizeof "a b" - 1}}},
        {4, {.key = "tokenizer.ggml.precompiled_charsmap", .type = KV_STRING, .v.str = {"a", sizeof "a" - 1}}},
    };
    for (size_t i = 0; i <= sizeof bad / sizeof bad[0]; i++) {
        struct kv kvs[5];
        struct container c = {.kvs = kvs, .n_kvs = 5, .file.path = (char[]){"x.gguf"}};
        struct tokenizer *t;
        struct encoder *e = NULL;
        memcpy(kvs, good, sizeof kvs);
        if (i > 0) kvs[bad[i - 1].index] = bad[i - 1].kv;
        enum status st = tokenizer_from_gguf(&t, &c, &err);
        if (st == STATUS_OK) st = encoder_new(&e, t, &err);
        if ((i == 0) != (st == STATUS_OK) || (i > 0 && st != STATUS_FORMAT && st != STATUS_UNSUPPORTED))
            fail_msg("case %zu: %s", i, status_name(st));
        encoder_free(e);
        tokenizer_free(t);
    }
}

static void broken_text(void **state)
{
    (void)state;
    static const struct {
        const char *in, *parts, *bytes;
    } cases[] = {{"a\xff" "b", "a?b", "a?b"}, {"\xe2\x82z", "?z", "??z"}, {"\xed\xa0\x80", "???", "???"},
                 {"\xf0\x9f\x98", "?", "???"}, {"\xc0\xaf", "??", "??"},  {"\xf4\x90\x80\x80", "????", "????"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int each = 0; each < 2; each++) {
            struct buf out = {0}, shown = {0};
            unicode_repair(cases[i].in, strlen(cases[i].in), each, &out);
            for (size_t k = 0; k < out.len; k++) {
                if (memcmp(out.data + k, "\xEF\xBF\xBD", 3) == 0) k += 2, buf_puts(&shown, "?");
                else buf_append(&shown, out.data + k, 1);
            }
            assert_string_equal(shown.data, each ? cases[i].bytes : cases[i].parts);
            buf_clear(&out);
            buf_clear(&shown);
        }
}

/* Every damaged table is refused or read without leaving it (under the sanitizers). */
static void damaged_charsmaps(void **state)
{
    (void)state;
    struct text_coder c;
    open_coder(&c, "data/glm/tok_v1_tiny");
    size_t n = c.tokenizer->charsmap_size;
    assert_true(n > 1000);
    unsigned char *copy = malloc(n);
    assert_non_null(copy);
    struct charsmap m;
    uint32_t seed = 1;
    for (int i = 0; i < 300; i++) {
        memcpy(copy, c.tokenizer->charsmap, n);
        for (int k = 0; k < 40; k++) {
            seed = seed * 1664525u + 1013904223u;
            copy[(seed >> 8) % (k < 4 ? 64 : n)] = (unsigned char)(seed >> 3);
        }
        if (charsmap_open(&m, copy, n, &err) != STATUS_OK) continue;
        for (uint32_t code = 1; code < 0x3000; code += 7) {
            char s[4];
            const char *to;
            size_t to_len, len = utf8_encode(code, s);
            charsmap_find(&m, s, len, false, &to, &to_len);
        }
    }
    for (size_t k = 0; k < 64; k++) charsmap_open(&m, c.tokenizer->charsmap, k, &err);
    assert_int_equal(charsmap_open(&m, c.tokenizer->charsmap, 7, &err), STATUS_FORMAT);
    assert_int_equal(charsmap_open(&m, c.tokenizer->charsmap, 0, &err), STATUS_OK);
    free(copy);
    text_coder_close(&c);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    remove_file("tokenizer.json");
    return remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(glm_vectors),
        cmocka_unit_test(scans_are_the_patterns),
        cmocka_unit_test(ascii_classes),
        cmocka_unit_test(regex_spelling),
        cmocka_unit_test(regex_is_bounded),
        cmocka_unit_test(blocks_that_are_not_known),
        cmocka_unit_test(added_tokens),
        cmocka_unit_test(long_words),
        cmocka_unit_test(merges_outside_the_vocabulary),
        cmocka_unit_test(ranks_of_meta),
        cmocka_unit_test(unigram_refusals),
        cmocka_unit_test(gguf_keys_of_our_own),
        cmocka_unit_test(broken_text),
        cmocka_unit_test(damaged_charsmaps),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
