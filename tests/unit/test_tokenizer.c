/* Tokenizer folders as Hugging Face's libraries write them (tests/vectors/make_tokenizer_vectors.py), against
 * the metadata that gguf-py wrote for the same folders from what transformers and sentencepiece say. */
#include "base/file.h"
#include "formats/tokenizer.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

static const char *folder(const char *name)
{
    static char path[512];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/tests/vectors/tokenizers/%s", root ? root : ".", name);
    return path;
}

static struct tokenizer *load(const char *name, int64_t n_rows, struct warnings *w)
{
    struct tokenizer *t;
    if (tokenizer_load(&t, folder(name), n_rows, w, &err) != STATUS_OK) fail_msg("%s: %s", name, err.text);
    return t;
}

static struct container *expected(const char *name)
{
    struct container *c;
    char path[600];
    snprintf(path, sizeof path, "%s/expected.gguf", folder(name));
    if (container_open(&c, path, &err) != STATUS_OK) fail_msg("%s: %s", path, err.text);
    return c;
}

/* --- every key as expected --- */

static const struct kv *put_kv(const struct gguf_writer *w, const char *key)
{
    for (size_t i = 0; i < w->n_kvs; i++)
        if (strcmp(w->kvs[i].key, key) == 0) return &w->kvs[i];
    return NULL;
}

static void same_string(const char *key, size_t i, const struct kv_string *a, const struct kv_string *b)
{
    if (a->len != b->len || memcmp(a->s, b->s, a->len) != 0)
        fail_msg("%s[%zu] is '%s', expected '%s'", key, i, a->s, b->s);
}

static void same_value(const struct kv *got, const struct kv *want)
{
    const char *key = want->key;
    if (got->type != want->type)
        fail_msg("%s: type %s, expected %s", key, kv_type_name(got->type), kv_type_name(want->type));
    if (want->type == KV_STRING) {
        same_string(key, 0, &got->v.str, &want->v.str);
        return;
    }
    if (want->type != KV_ARRAY) {
        if (got->v.u != want->v.u) fail_msg("%s is %d, expected %d", key, (int)got->v.u, (int)want->v.u);
        return;
    }
    if (got->v.array.type != want->v.array.type || got->v.array.n != want->v.array.n)
        fail_msg("%s: %d of %s, expected %d of %s", key, (int)got->v.array.n, kv_type_name(got->v.array.type),
                 (int)want->v.array.n, kv_type_name(want->v.array.type));
    if (want->v.array.type == KV_STRING) {
        const struct kv_string *a = got->v.array.data, *b = want->v.array.data;
        for (size_t i = 0; i < want->v.array.n; i++) same_string(key, i, &a[i], &b[i]);
        return;
    }
    const uint32_t *a = got->v.array.data, *b = want->v.array.data; /* i32 or f32: compared by their bits */
    for (size_t i = 0; i < want->v.array.n; i++)
        if (a[i] != b[i]) fail_msg("%s[%zu]: %08x, expected %08x", key, i, a[i], b[i]);
}

/* Keys that only one side writes, on purpose. */
static bool only_ours(const struct kv *kv)
{
    bool no;
    if (strcmp(kv->key, "tokenizer.ggml.add_bos_token") == 0)
        return kv_get_bool(kv, &no) && !no; /* always said */
    return strncmp(kv->key, "lathe.tokenizer.", 16) == 0;
}

static bool only_theirs(const struct kv *kv)
{
    bool no;
    return strcmp(kv->key, "general.architecture") == 0 || strcmp(kv->key, "test.rows") == 0 ||
           (strcmp(kv->key, "tokenizer.ggml.add_sep_token") == 0 && kv_get_bool(kv, &no) && !no);
}

static void check_folder(const char *name, const char *warning)
{
    struct warnings w = {0};
    struct container *want = expected(name);
    struct gguf_writer out = {0};
    int64_t n_rows = 0;
    kv_get_int(container_kv(want, "test.rows"), &n_rows);
    struct tokenizer *t = load(name, n_rows, &w);
    tokenizer_put(t, &out);
    for (size_t i = 0; i < want->n_kvs; i++) {
        if (only_theirs(&want->kvs[i])) continue;
        const struct kv *got = put_kv(&out, want->kvs[i].key);
        if (!got) fail_msg("%s: key %s is missing", name, want->kvs[i].key);
        same_value(got, &want->kvs[i]);
    }
    for (size_t i = 0; i < out.n_kvs; i++)
        if (!container_kv(want, out.kvs[i].key) && !only_ours(&out.kvs[i]))
            fail_msg("%s: key %s is not expected", name, out.kvs[i].key);
    if (warning ? w.count != 1 || !warnings_has(&w, warning) : w.count != 0)
        fail_msg("%s: %zu warnings, the first: %s", name, w.count, w.count ? w.items[0].text : "");
    gguf_writer_clear(&out);
    tokenizer_free(t);
    container_close(want);
    warnings_clear(&w);
}

static void bpe_llama3(void **state)
{
    (void)state;
    check_folder("bpe_llama3", NULL);
}

static void bpe_smollm(void **state)
{
    (void)state;
    check_folder("bpe_smollm", NULL);
}

static void bpe_files(void **state)
{
    (void)state;
    check_folder("bpe_files", NULL);
}

static void bpe_nfc(void **state)
{
    (void)state;
    check_folder("bpe_nfc", "tokenizer-normalizer");
}

static void bpe_unknown(void **state)
{
    (void)state;
    check_folder("bpe_unknown", "tokenizer-pre-unknown");
}

static void spm(void **state)
{
    (void)state;
    check_folder("spm", NULL);
}

static void spm_json(void **state)
{
    (void)state;
    check_folder("spm_json", NULL);
}

/* --- what is kept beside the keys --- */

static void added_tokens_are_kept(void **state)
{
    (void)state;
    struct warnings w = {0};
    struct tokenizer *t = load("bpe_llama3", 320, &w);
    assert_int_equal(t->n_tokens, 320);
    assert_int_equal(t->n_known, 305);
    assert_int_equal(t->n_added, 5);
    assert_string_equal(t->added[2].text.s, "two  spaces");
    assert_false(t->added[2].special);
    assert_true(t->added[2].normalized);
    assert_true(t->added[0].special);
    assert_string_equal(t->added[4].text.s,
                        "\u2581mark"); /* as the file has it; the token is spelled for llama.cpp */
    assert_string_equal(t->tokens[304].s, " mark");
    assert_true(t->ignore_merges && t->pre_exact);
    assert_int_equal(t->n_steps, 1);
    assert_int_equal(t->add_bos, SAID_YES);
    assert_int_equal(t->special[SPECIAL_BOS], 300);
    assert_int_equal(t->special[SPECIAL_EOS], 301);
    assert_int_equal(t->special[SPECIAL_PAD], 302);
    assert_int_equal(t->special[SPECIAL_UNK], -1);
    assert_int_equal(t->n_templates, 2);
    assert_string_equal(t->templates[0].name, "default");
    assert_string_equal(tokenizer_template(t, "tool use"), "{{ tools }}");
    assert_null(tokenizer_template(t, "none"));
    tokenizer_free(t);
    warnings_clear(&w);
}

static void unknown_pre_is_kept(void **state)
{
    (void)state;
    struct warnings w = {0};
    struct gguf_writer out = {0};
    struct tokenizer *t = load("bpe_unknown", 0, &w);
    assert_false(t->pre_exact);
    assert_non_null(strstr(w.items[0].text, "{1,2}"));
    assert_non_null(strstr(w.items[0].text, "{1,3}"));
    tokenizer_put(t, &out);
    const char *json = kv_get_string(put_kv(&out, "lathe.tokenizer.pre_tokenizer"));
    assert_non_null(json);
    assert_non_null(strstr(json, "\\\\p{N}{1,2}"));
    gguf_writer_clear(&out);
    tokenizer_free(t);
    warnings_clear(&w);
}

static void token_texts(void **state)
{
    (void)state;
    struct warnings w = {0};
    struct buf text = {0};
    struct tokenizer *t = load("bpe_llama3", 0, &w);
    /* rows 0 to 255 are the byte alphabet in some order: every byte once */
    bool seen[256] = {false};
    for (int64_t id = 0; id < 256; id++) {
        text.len = 0;
        tokenizer_token_text(t, id, &text);
        assert_int_equal(text.len, 1);
        assert_false(seen[(unsigned char)text.data[0]]);
        seen[(unsigned char)text.data[0]] = true;
    }
    text.len = 0;
    tokenizer_token_text(t, 300, &text);
    tokenizer_token_text(t, 302, &text);
    tokenizer_token_text(t, -1, &text);
    tokenizer_token_text(t, 1 << 20, &text);
    assert_string_equal(text.data, "<|begin|>two  spaces");
    tokenizer_free(t);

    t = load("spm_json", 0, &w);
    text.len = 0;
    tokenizer_token_text(t, 3 + 0xE9, &text);
    tokenizer_token_text(t, 261, &text); /* U+2581 "the" */
    assert_string_equal(text.data, "\xE9 the");
    tokenizer_free(t);
    buf_clear(&text);
    warnings_clear(&w);
}

/* What tokenizer_put wrote is what tokenizer_from_gguf reads. */
static void gguf_round_trip(const char *name)
{
    struct warnings w = {0};
    struct gguf_writer out = {0};
    char path[] = "/tmp/test_tokenizer_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct tokenizer *t = load(name, 0, &w), *back;
    tokenizer_put(t, &out);
    assert_int_equal(gguf_layout(&out, &err), STATUS_OK);
    FILE *f = fdopen(fd, "wb");
    assert_int_equal(fwrite(out.header.data, 1, out.header.len, f), out.header.len);
    fclose(f);
    struct container *c;
    if (container_open(&c, path, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (tokenizer_from_gguf(&back, c, &err) != STATUS_OK) fail_msg("%s: %s", name, err.text);
    assert_int_equal(back->kind, t->kind);
    assert_string_equal(back->pre, t->pre);
    assert_int_equal(back->ignore_merges, t->ignore_merges);
    assert_int_equal(back->n_tokens, t->n_tokens);
    assert_int_equal(back->n_merges, t->n_merges);
    assert_memory_equal(back->types, t->types, t->n_tokens * sizeof *t->types);
    for (size_t i = 0; i < t->n_tokens; i++) assert_string_equal(back->tokens[i].s, t->tokens[i].s);
    assert_memory_equal(back->special, t->special, sizeof t->special);
    assert_int_equal(back->add_bos, t->add_bos);
    assert_int_equal(back->add_space_prefix, t->add_space_prefix);
    assert_int_equal(back->n_templates, t->n_templates);
    const char *main_one = tokenizer_template(t, "default");
    if (main_one) assert_string_equal(tokenizer_template(back, "default"), main_one);
    tokenizer_free(back);
    container_close(c);
    tokenizer_free(t);
    gguf_writer_clear(&out);
    warnings_clear(&w);
    remove(path);
}

static void all_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {"bpe_llama3",  "bpe_smollm", "bpe_files", "bpe_nfc",
                                        "bpe_unknown", "spm",        "spm_json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) gguf_round_trip(names[i]);
}

static void gguf_without_vocabulary(void **state)
{
    (void)state;
    struct container c = {0};
    struct tokenizer *t;
    assert_int_equal(tokenizer_from_gguf(&t, &c, &err), STATUS_OK);
    assert_int_equal(t->kind, TOKENIZER_NONE);
    assert_int_equal(t->n_tokens, 0);
    tokenizer_free(t);
}

/* Damaged keys: one of them at a time is replaced in a small vocabulary. */
static void gguf_refusals(void **state)
{
    (void)state;
    static const struct kv_string tokens[] = {{"<0x41>", 6}, {"b", 1}},
                                  bad_byte[] = {{"<0x-1>", 6}, {"b", 1}};
    static const struct kv_string bad_bytes[][2] = {
        {{"<0xZZ>", 6}, {"b", 1}}, {{"<0x>", 4}, {"b", 1}}, {{"<0x100>", 7}, {"b", 1}}};
    static const int32_t types[] = {TOKEN_BYTE, TOKEN_NORMAL, TOKEN_NORMAL};
    static const float scores[] = {0, 1};
    const struct kv good[] = {
        {.key = "tokenizer.ggml.model", .type = KV_STRING, .v.str = {"llama", 5}},
        {.key = "tokenizer.ggml.tokens", .type = KV_ARRAY, .v.array = {KV_STRING, 2, tokens}},
        {.key = "tokenizer.ggml.token_type", .type = KV_ARRAY, .v.array = {KV_I32, 2, types}},
        {.key = "tokenizer.ggml.scores", .type = KV_ARRAY, .v.array = {KV_F32, 2, scores}},
        {.key = "tokenizer.ggml.bos_token_id", .type = KV_U32, .v.u = 1},
    };
    const struct {
        size_t index;
        struct kv kv;
    } bad[] = {
        {0, {.key = "tokenizer.ggml.model", .type = KV_U32, .v.u = 1}},
        {1, {.key = "tokenizer.ggml.tokens", .type = KV_STRING, .v.str = {"x", 1}}},
        {1, {.key = "tokenizer.ggml.tokens", .type = KV_ARRAY, .v.array = {KV_I32, 2, types}}},
        {1, {.key = "tokenizer.ggml.tokens", .type = KV_ARRAY, .v.array = {KV_STRING, 2, bad_byte}}},
        {1, {.key = "tokenizer.ggml.tokens", .type = KV_ARRAY, .v.array = {KV_STRING, 2, bad_bytes[0]}}},
        {1, {.key = "tokenizer.ggml.tokens", .type = KV_ARRAY, .v.array = {KV_STRING, 2, bad_bytes[1]}}},
        {1, {.key = "tokenizer.ggml.tokens", .type = KV_ARRAY, .v.array = {KV_STRING, 2, bad_bytes[2]}}},
        {2, {.key = "tokenizer.ggml.token_type", .type = KV_ARRAY, .v.array = {KV_I32, 3, types}}},
        {2, {.key = "tokenizer.ggml.token_type", .type = KV_ARRAY, .v.array = {KV_F32, 2, scores}}},
        {3, {.key = "tokenizer.ggml.scores", .type = KV_ARRAY, .v.array = {KV_F32, 1, scores}}},
        {4, {.key = "tokenizer.ggml.bos_token_id", .type = KV_U32, .v.u = 2}},
        {4, {.key = "tokenizer.ggml.bos_token_id", .type = KV_STRING, .v.str = {"1", 1}}},
    };
    struct kv kvs[5];
    struct container c = {.kvs = kvs, .n_kvs = 5};
    struct tokenizer *t;
    c.file.path = (char[]){"x.gguf"};
    memcpy(kvs, good, sizeof kvs);
    assert_int_equal(tokenizer_from_gguf(&t, &c, &err), STATUS_OK);
    assert_int_equal(t->kind, TOKENIZER_SPM);
    tokenizer_free(t);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memcpy(kvs, good, sizeof kvs);
        kvs[bad[i].index] = bad[i].kv;
        enum status st = tokenizer_from_gguf(&t, &c, &err);
        if (st != STATUS_FORMAT || t) fail_msg("case %zu: %s", i, status_name(st));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_llama3),
        cmocka_unit_test(bpe_smollm),
        cmocka_unit_test(bpe_files),
        cmocka_unit_test(bpe_nfc),
        cmocka_unit_test(bpe_unknown),
        cmocka_unit_test(spm),
        cmocka_unit_test(spm_json),
        cmocka_unit_test(added_tokens_are_kept),
        cmocka_unit_test(unknown_pre_is_kept),
        cmocka_unit_test(token_texts),
        cmocka_unit_test(all_round_trip),
        cmocka_unit_test(gguf_without_vocabulary),
        cmocka_unit_test(gguf_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
