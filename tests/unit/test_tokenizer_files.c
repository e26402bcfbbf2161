/* Tokenizer files that are odd but legal, and what they give; those that are broken are lines of tests/hostile/cases_tokenizer.c. */
#include "base/cursor.h"
#include "base/file.h"
#include "formats/tokenizer.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;
static struct warnings warnings;
static char dir[] = "/tmp/test_tokenizer_XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static const char *const names[] = {"tokenizer.model",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "config.json",
                                    "generation_config.json",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "vocab.json",
                                    "merges.txt"};

static int empty_dir(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    warnings_clear(&warnings);
    return 0;
}

static int remove_dir(void **state)
{
    empty_dir(state);
    return rmdir(dir);
}

static void put_bytes(const char *name, const void *data, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static enum status load(int64_t n_rows, struct tokenizer **t)
{
    warnings_clear(&warnings);
    memset(&err, 0, sizeof err);
    return tokenizer_load(t, dir, n_rows, &warnings, &err);
}

static void refused_at(int64_t n_rows, enum status want, const char *text, int line)
{
    struct tokenizer *t;
    enum status st = load(n_rows, &t);
    if (st != want || !strstr(err.text, text))
        fail_msg("line %d: status %s, text '%s': expected %s, '...%s...'", line, status_name(st), err.text,
                 status_name(want), text);
    assert_null(t);
}
#define REFUSED(n_rows, want, text) refused_at(n_rows, want, text, __LINE__)

/* Loaded, with exactly this warning (NULL: none). */
static struct tokenizer *accepted_at(int64_t n_rows, const char *code, int line)
{
    struct tokenizer *t;
    if (load(n_rows, &t) != STATUS_OK) fail_msg("line %d: %s", line, err.text);
    if (code ? warnings.count != 1 || !warnings_has(&warnings, code) : warnings.count != 0)
        fail_msg("line %d: %zu warnings, first %s: %s", line, warnings.count,
                 warnings.count ? warnings.items[0].code : "-", warnings.count ? warnings.items[0].text : "");
    return t;
}
#define ACCEPTED(n_rows, code) accepted_at(n_rows, code, __LINE__)

/* --- protobuf --- */

static void varint(struct buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        char c = (char)(v | 0x80);
        buf_append(b, &c, 1);
    }
    char c = (char)v;
    buf_append(b, &c, 1);
}

static void field(struct buf *b, uint32_t number, unsigned wire)
{
    varint(b, (uint64_t)number << 3 | wire);
}

static void field_int(struct buf *b, uint32_t number, uint64_t v)
{
    field(b, number, 0);
    varint(b, v);
}

static void field_bytes(struct buf *b, uint32_t number, const void *data, size_t n)
{
    field(b, number, 2);
    varint(b, n);
    buf_append(b, data, n);
}

static void piece_n(struct buf *b, const char *text, size_t n, float score, unsigned type)
{
    struct buf p = {0};
    field_bytes(&p, 1, text, n);
    field(&p, 2, 5);
    buf_append(&p, &score, 4);
    if (type != 1) field_int(&p, 3, type);
    field_bytes(b, 1, p.data, p.len);
    buf_clear(&p);
}

static void piece(struct buf *b, const char *text, float score, unsigned type)
{
    piece_n(b, text, strlen(text), score, type);
}

static void byte_pieces(struct buf *b)
{
    for (unsigned i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", i);
        piece(b, name, 0, TOKEN_BYTE);
    }
}

static void trainer(struct buf *b, unsigned model_type, bool byte_fallback)
{
    struct buf t = {0};
    field_int(&t, 3, model_type);
    field_int(&t, 35, byte_fallback);
    field_int(&t, 43, UINT64_MAX); /* pad_id -1 */
    field_bytes(b, 2, t.data, t.len);
    buf_clear(&t);
}

static void normalizer(struct buf *b, const void *charsmap, size_t n)
{
    struct buf t = {0};
    if (charsmap) field_bytes(&t, 2, charsmap, n);
    field_int(&t, 4, 0);
    field_bytes(b, 3, t.data, t.len);
    buf_clear(&t);
}

/* Three special pieces, 256 bytes, "a", "b", "ab". */
static void good_model(struct buf *b)
{
    b->len = 0;
    piece(b, "<unk>", 0, TOKEN_UNKNOWN);
    piece(b, "<s>", 0, TOKEN_CONTROL);
    piece(b, "</s>", 0, TOKEN_CONTROL);
    byte_pieces(b);
    piece(b, "a", -2, 1);
    piece(b, "b", -3, 1);
    piece(b, "ab", -1, 1);
    trainer(b, 2, true);
    normalizer(b, NULL, 0);
}
enum { N_GOOD = 262 };

static void put_model(const struct buf *b)
{
    put_bytes("tokenizer.model", b->data, b->len);
}

static void spm_good(void **state)
{
    (void)state;
    struct buf b = {0};
    good_model(&b);
    put_model(&b);
    struct tokenizer *t = ACCEPTED(0, NULL);
    assert_int_equal(t->kind, TOKENIZER_SPM);
    assert_int_equal(t->n_tokens, N_GOOD);
    assert_string_equal(t->tokens[261].s, "ab");
    assert_true(t->scores[261] == -1.0f);
    assert_int_equal(t->types[3], TOKEN_BYTE);
    assert_int_equal(t->special[SPECIAL_UNK], 0); /* the defaults of absent fields */
    assert_int_equal(t->special[SPECIAL_BOS], 1);
    assert_int_equal(t->special[SPECIAL_EOS], 2);
    assert_int_equal(t->special[SPECIAL_PAD], -1);
    assert_int_equal(t->add_bos, SAID_YES);
    assert_int_equal(t->add_space_prefix, SAID_NOTHING);
    tokenizer_free(t);
    buf_clear(&b);
}

static void spm_charsmap(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 4, 7, 64};
    unsigned char map[64];
    struct buf b = {0};
    memset(map, 0xFF, sizeof map); /* node offsets far outside: nobody walks them */
    for (size_t i = 0; i < 5; i++) {
        good_model(&b);
        normalizer(&b, map, sizes[i]);
        put_model(&b);
        struct tokenizer *t = ACCEPTED(0, "tokenizer-spm-normalizer");
        assert_int_equal(t->charsmap_size, sizes[i]);
        assert_memory_equal(t->charsmap, map, sizes[i]);
        tokenizer_free(t);
    }
    buf_clear(&b);
}

static void spm_long_piece(void **state)
{
    (void)state;
    enum { LONG = 8 << 20 };
    char *text = malloc(LONG);
    assert_non_null(text);
    memset(text, 'x', LONG);
    struct buf b = {0};
    good_model(&b);
    piece_n(&b, text, LONG, -9, 1);
    put_model(&b);
    struct tokenizer *t = ACCEPTED(0, NULL);
    assert_int_equal(t->tokens[N_GOOD].len, LONG);
    tokenizer_free(t);
    free(text);
    buf_clear(&b);
}

static void spm_odd_pieces(void **state)
{
    (void)state;
    struct buf b = {0};
    good_model(&b);
    piece(&b, "", -5, 1);
    put_model(&b);
    struct tokenizer *t = ACCEPTED(0, "tokenizer-token-empty");
    assert_string_equal(t->tokens[N_GOOD].s, "[EMPTY_262]");
    tokenizer_free(t);
    good_model(&b);
    piece(&b, "ab", -5, 1);
    put_model(&b);
    t = ACCEPTED(0, "tokenizer-duplicate");
    assert_string_equal(t->tokens[261].s, "ab");
    assert_string_equal(t->tokens[262].s, "[DUP262]");
    assert_int_equal(t->types[262], TOKEN_UNUSED);
    tokenizer_free(t);
    good_model(&b);
    piece_n(&b, "\0", 1, -5, 1);
    piece_n(&b, "a\0b", 3, -6, 1);
    piece_n(&b, "a\0c", 3, -7, 1);
    put_model(&b);
    t = ACCEPTED(0, NULL);
    assert_int_equal(t->tokens[262].len, 1);
    assert_memory_equal(t->tokens[264].s, "a\0c", 4);
    tokenizer_free(t);
    buf_clear(&b);
}

static void spm_unusable(void **state)
{
    (void)state;
    struct buf b = {0};
    good_model(&b);
    trainer(&b, 3, true);
    put_model(&b);
    struct tokenizer *t = ACCEPTED(0, "tokenizer-unsupported"); /* WORD */
    assert_int_equal(t->kind, TOKENIZER_NONE);
    tokenizer_free(t);
    put("tokenizer.model", "IQ== 0\nIg== 1\n");
    t = ACCEPTED(0, "tokenizer-unsupported"); /* ranks of tiktoken */
    assert_int_equal(t->kind, TOKENIZER_NONE);
    tokenizer_free(t);
    put("tokenizer.model", "");
    tokenizer_free(ACCEPTED(0, "tokenizer-unsupported"));
    buf_clear(&b);
}

static void spm_rows(void **state)
{
    (void)state;
    struct buf b = {0};
    good_model(&b);
    put_model(&b);
    struct tokenizer *t = ACCEPTED(264, NULL);
    assert_int_equal(t->n_tokens, 264);
    assert_string_equal(t->tokens[263].s, "[PAD263]");
    assert_int_equal(t->types[263], TOKEN_UNUSED);
    assert_true(t->scores[263] == -10000.0f);
    tokenizer_free(t);
    t = ACCEPTED(261, "tokenizer-too-many");
    assert_int_equal(t->n_tokens, 261);
    tokenizer_free(t);
    /* Code Llama's infill tokens, and a prefix that is switched off */
    static const char *const infill[] = {"\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "\u2581<EOT>"};
    for (size_t i = 0; i < 4; i++) piece(&b, infill[i], 0, TOKEN_CONTROL);
    put_model(&b);
    put("tokenizer_config.json",
        "{\"add_prefix_space\": false, \"add_bos_token\": false, \"add_eos_token\": true}");
    t = ACCEPTED(0, NULL);
    assert_int_equal(t->special[SPECIAL_PREFIX], N_GOOD);
    assert_int_equal(t->special[SPECIAL_EOT], N_GOOD + 3);
    assert_int_equal(t->add_space_prefix, SAID_NO);
    assert_int_equal(t->add_bos, SAID_NO);
    assert_int_equal(t->add_eos, SAID_YES);
    tokenizer_free(t);
    buf_clear(&b);
}

/* --- JSON --- */

#define PRE "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}"
#define BPE(vocab, merges, added)                                                                            \
    "{\"added_tokens\": " added ", " PRE ", \"model\": {\"type\": \"BPE\", \"vocab\": " vocab                \
    ", \"merges\": " merges "}}"

/* What is no file's fault alone, and the files beside tokenizer.json that are no targets of their own in tests/hostile */
static void rows_and_small_files(void **state)
{
    (void)state;
    put("tokenizer.json", BPE("{\"a\": 0}", "[\"a b\"]", "[]"));
    REFUSED(-1, STATUS_RANGE, "embedding of -1 rows");
    REFUSED(INT64_C(1) << 31, STATUS_RANGE, "embedding of 2147483648 rows");
    put("added_tokens.json", "{\"x\": -2}");
    REFUSED(0, STATUS_FORMAT, "id -2");
    put("added_tokens.json", "[1]");
    REFUSED(0, STATUS_FORMAT, "");
}

static void json_oddities(void **state)
{
    (void)state;
    struct tokenizer *t;
    put("tokenizer.json", BPE("{\"a\": 0, \"b\": 3, \"[PAD2]\": 1}", "[\"a b\"]", "[]"));
    t = ACCEPTED(0, "tokenizer-duplicate"); /* a real token has the name of padding */
    assert_string_equal(t->tokens[1].s, "[PAD2]");
    assert_int_equal(t->types[1], TOKEN_NORMAL);
    assert_string_equal(t->tokens[2].s, "[DUP2]");
    assert_int_equal(t->n_known, 3);
    tokenizer_free(t);

    put("tokenizer.json", BPE("{\"a\": 0, \"b\": 0}", "[\"a b\"]", "[]"));
    t = ACCEPTED(0, "tokenizer-id-twice");
    assert_string_equal(t->tokens[0].s, "a");
    tokenizer_free(t);

    put("tokenizer.json", BPE("{\"a\": 0, \"b\": 1, \"\": 2}", "[\"a b\"]", "[]"));
    t = ACCEPTED(0, "tokenizer-token-empty");
    assert_string_equal(t->tokens[2].s, "[EMPTY_2]");
    tokenizer_free(t);

    put("tokenizer.json",
        BPE("{\"a\": 0, \"b\": 1}", "[\"a b\"]", "[{\"id\": 2, \"content\": \"a\", \"special\": true}]"));
    t = ACCEPTED(0, "tokenizer-duplicate"); /* the added one is what the text finds */
    assert_string_equal(t->tokens[2].s, "a");
    assert_int_equal(t->types[2], TOKEN_CONTROL);
    assert_string_equal(t->tokens[0].s, "[DUP0]");
    tokenizer_free(t);

    put("tokenizer.json", BPE("{\"a\": 0, \"b\": 1}", "[\"a b\"]", "[{\"id\": 1, \"content\": \"c\"}]"));
    t = ACCEPTED(0, "tokenizer-token-replaced");
    assert_string_equal(t->tokens[1].s, "c");
    assert_int_equal(t->types[1], TOKEN_USER_DEFINED);
    tokenizer_free(t);

    put("tokenizer.json", BPE("{\"a\": 0, \"b\": 1}", "[\"a b\"]", "[{\"id\": 7, \"content\": \"c\"}]"));
    tokenizer_free(ACCEPTED(2, "tokenizer-too-many"));

    put("tokenizer.json", BPE("{\"a\": 0, \"b\": 1}", "[]", "[]"));
    tokenizer_free(ACCEPTED(0, "tokenizer-no-merges"));

    /* merges with spaces inside: spelled in the byte alphabet */
    put("tokenizer.json", BPE("{\"a\": 0, \"b\": 1}", "[[\"a \", \"b\"], [\" \", \" \"]]", "[]"));
    t = ACCEPTED(0, NULL);
    assert_string_equal(t->merges[0].s, "a\u0120 b");
    assert_string_equal(t->merges[1].s, "\u0120 \u0120");
    tokenizer_free(t);
}

static void unsupported_models(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{}",
        "[]",
        "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 0}}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}, \"pre_tokenizer\": {\"type\": \"Whitespace\"}}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("tokenizer.json", cases[i]);
        put("chat_template.jinja", "{{ x }}");
        struct tokenizer *t = ACCEPTED(5, "tokenizer-unsupported");
        assert_int_equal(t->kind, TOKENIZER_NONE);
        assert_int_equal(t->n_tokens, 0);
        struct gguf_writer w = {0};
        tokenizer_put(t, &w);
        assert_int_equal(w.n_kvs, 1); /* the template is still worth having */
        gguf_writer_clear(&w);
        tokenizer_free(t);
    }
}

static void no_files(void **state)
{
    (void)state;
    struct tokenizer *t = ACCEPTED(100, "tokenizer-missing");
    assert_int_equal(t->kind, TOKENIZER_NONE);
    assert_int_equal(t->n_tokens, 0);
    tokenizer_free(t);
}

static void merges_file(void **state)
{
    (void)state;
    put("vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2, \"<|endoftext|>\": 3, \"#\": 4}");
    put("merges.txt", "#version: 0.2\r\na b\r\n# #\r\n\r\nab a");
    struct tokenizer *t = ACCEPTED(0, NULL);
    assert_int_equal(t->n_merges, 3);
    assert_string_equal(t->merges[0].s, "a b");
    assert_string_equal(t->merges[1].s, "# #");
    assert_string_equal(t->merges[2].s, "ab a");
    assert_string_equal(t->pre, "gpt-2");
    assert_int_equal(t->types[3], TOKEN_CONTROL);
    assert_int_equal(t->special[SPECIAL_BOS], 3);
    tokenizer_free(t);
    put("merges.txt", "a b\nbroken\na  b\n a\nb a\n");
    t = ACCEPTED(0, "tokenizer-merge-malformed");
    assert_int_equal(t->n_merges, 2);
    tokenizer_free(t);
    put("tokenizer_config.json", "{\"tokenizer_class\": \"Qwen2Tokenizer\", \"eos_token\": \"ab\"}");
    put("merges.txt", "a b\n");
    t = ACCEPTED(0, "tokenizer-normalizer"); /* NFC is in the class */
    assert_string_equal(t->pre, "qwen2");
    assert_int_equal(t->special[SPECIAL_EOS], 2);
    assert_int_equal(t->types[2], TOKEN_CONTROL); /* named as special: found in the text */
    tokenizer_free(t);
}

static void special_ids(void **state)
{
    (void)state;
    put("tokenizer.json", BPE("{\"a\": 0, \"b\": 1, \"c\": 2}", "[\"a b\"]",
                              "[{\"id\": 3, \"content\": \"<e>\", \"special\": true}]"));
    put("tokenizer_config.json", "{\"eos_token\": \"<e>\", \"pad_token\": \"<none>\", \"bos_token\": null}");
    struct tokenizer *t = ACCEPTED(0, "tokenizer-special-missing");
    assert_int_equal(t->special[SPECIAL_EOS], 3);
    assert_int_equal(t->special[SPECIAL_PAD], -1);
    tokenizer_free(t);
    put("tokenizer_config.json", "{}");
    put("config.json", "{\"eos_token_id\": 4, \"bos_token_id\": -1}");
    put("generation_config.json", "{\"eos_token_id\": [2, 3], \"bos_token_id\": 1}");
    t = ACCEPTED(0, "tokenizer-special-range");
    assert_int_equal(t->special[SPECIAL_EOS], 2);
    assert_int_equal(t->special[SPECIAL_BOS], 1);
    assert_int_equal(t->add_bos, SAID_NO);
    tokenizer_free(t);
    put("config.json", "{}");
    put("special_tokens_map.json", "{\"bos_token\": {\"content\": \"<e>\"}}");
    put("tokenizer_config.json", "{\"add_bos_token\": true}");
    t = ACCEPTED(0, NULL);
    assert_int_equal(t->special[SPECIAL_BOS], 3);
    assert_int_equal(t->add_bos, SAID_YES);
    tokenizer_free(t);
}

/* A template that ends a text with another token than eos_token: that one ends texts, eos_token ends turns. */
static void template_ids(void **state)
{
    (void)state;
    put("tokenizer.json",
        "{" PRE ", \"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, "
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": "
        "{\"id\": \"b\"}}]}]}, "
        "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"a b\"]}}");
    put("tokenizer_config.json", "{\"eos_token\": \"a\", \"bos_token\": \"a\"}");
    struct tokenizer *t = ACCEPTED(0, NULL);
    assert_int_equal(t->special[SPECIAL_EOS], 1);
    assert_int_equal(t->special[SPECIAL_EOT], 0);
    assert_int_equal(t->add_eos, SAID_YES);
    assert_int_equal(t->add_bos, SAID_NO); /* nothing special in front */
    tokenizer_free(t);
}

static void templates(void **state)
{
    (void)state;
    struct tokenizer *t;
    put("chat_template.json", "{\"chat_template\": \"from json\"}");
    t = ACCEPTED(0, "tokenizer-missing");
    assert_string_equal(tokenizer_template(t, "default"), "from json");
    tokenizer_free(t);
    put("tokenizer_config.json", "{\"chat_template\": {\"rag\": \"r\", \"default\": \"from config\"}}");
    t = ACCEPTED(0, "tokenizer-missing");
    assert_int_equal(t->n_templates, 2);
    assert_string_equal(t->templates[0].text, "from config");
    tokenizer_free(t);
    put("chat_template.jinja", "from file");
    put("tokenizer_config.json", "{\"chat_template\": \"from config\"}");
    assert_int_equal(load(0, &t), STATUS_OK);
    assert_string_equal(tokenizer_template(t, "default"), "from file");
    assert_true(warnings_has(&warnings, "chat-template-differs"));
    tokenizer_free(t);
    put_bytes("chat_template.jinja", "a\0b", 3);
    REFUSED(0, STATUS_FORMAT, "UTF-8");
    put("chat_template.jinja", "\xff");
    REFUSED(0, STATUS_FORMAT, "UTF-8");
}

/* 10^5 tokens and as many merges: linear. */
static void large_vocabulary(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct buf b = {0};
    buf_puts(&b, "{" PRE ", \"model\": {\"type\": \"BPE\", \"vocab\": {\"t0\": 0");
    for (int i = 1; i < N; i++) buf_printf(&b, ",\"t%d\":%d", i, i);
    buf_puts(&b, "}, \"merges\": [\"t0 t1\"");
    for (int i = 1; i < N; i++) buf_printf(&b, ",[\"t%d\",\"t0\"]", i);
    buf_puts(&b, "]}}");
    assert_false(b.failed);
    put_bytes("tokenizer.json", b.data, b.len);
    struct tokenizer *t = ACCEPTED(N + 5, NULL);
    assert_int_equal(t->n_known, N);
    assert_int_equal(t->n_merges, N);
    assert_string_equal(t->tokens[N - 1].s, "t99999");
    assert_string_equal(t->merges[N - 1].s, "t99999 t0");
    tokenizer_free(t);
    buf_clear(&b);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, empty_dir)
    const struct CMUnitTest tests[] = {
        T(spm_good),
        T(spm_charsmap),
        T(spm_long_piece),
        T(spm_odd_pieces),
        T(spm_unusable),
        T(spm_rows),
        T(rows_and_small_files),
        T(json_oddities),
        T(unsupported_models),
        T(no_files),
        T(merges_file),
        T(special_ids),
        T(template_ids),
        T(templates),
        T(large_vocabulary),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
