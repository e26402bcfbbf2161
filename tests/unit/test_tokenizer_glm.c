/* The GLM line's tokenizers from their folders: which generation, what the vocabulary becomes, and the tokens that no file holds. Expected ids
 * are those of the published tokenizer code (vectors.json in each folder says them). */
#include "base/file.h"
#include "formats/tokenizer.h"
#include "tests/unit/fixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;
static struct warnings warnings;

static const char *data(const char *name)
{
    static char path[512];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/tests/data/glm/%s", root ? root : ".", name);
    return path;
}

static struct tokenizer *load(const char *dir, int64_t n_rows)
{
    struct tokenizer *t;
    warnings_clear(&warnings);
    if (tokenizer_load(&t, dir, n_rows, &warnings, &err) != STATUS_OK) fail_msg("%s: %s", dir, err.text);
    return t;
}

static void same_token(const struct tokenizer *t, int64_t id, const char *text, enum token_type type)
{
    assert_true(id >= 0 && (size_t)id < t->n_tokens);
    assert_string_equal(t->tokens[id].s, text);
    assert_int_equal(t->types[id], type);
}

/* --- folders made from the tiny vocabularies --- */

static char dir[64];

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void link_file(const char *from, const char *name)
{
    char target[1024], path[256];
    assert_non_null(realpath(data(from), target));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(symlink(target, path), 0);
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/lathe-glm-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json",     "tokenizer_config.json",   "tokenizer.model", "ice_text.model",
                                        "tokenizer.json",  "tokenization_chatglm.py", "cog-pretrain.model"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

/* --- ChatGLM-6B --- */

static void test_chat1(void **state)
{
    (void)state;
    struct tokenizer *t = load(data("tok_v1_tiny"), 1408);
    assert_int_equal(t->kind, TOKENIZER_SPM);
    assert_string_equal(t->model, "llama");
    assert_string_equal(t->pre, "chatglm1");
    assert_int_equal(t->n_tokens, 1408);
    assert_int_equal(t->special[SPECIAL_BOS], 9);
    assert_int_equal(t->special[SPECIAL_EOS], 10);
    assert_int_equal(t->special[SPECIAL_PAD], 3);
    assert_int_equal(t->special[SPECIAL_MASK], 5);
    assert_int_equal(t->special[SPECIAL_GMASK], 6);
    assert_int_equal(t->add_bos, SAID_NO);
    assert_int_equal(t->n_before, 0);
    assert_int_equal(t->n_after, 2);
    assert_int_equal(t->after[0], 6);
    assert_int_equal(t->after[1], 9);
    same_token(t, 1400, "[PAD1400]", TOKEN_UNUSED);
    tokenizer_free(t);
}

/* Ids begin behind the tokens for images where a config says so, and where nothing does but there are rows for them. */
static void test_image_tokens(void **state)
{
    (void)state;
    link_file("tok_v1_tiny/ice_text.model", "ice_text.model");
    put("tokenizer_config.json", "{\"num_image_tokens\": 100, \"bos_token\": \"<sop>\"}");
    struct tokenizer *t = load(dir, 1600);
    same_token(t, 0, "<image_0>", TOKEN_UNUSED);
    same_token(t, 99, "<image_99>", TOKEN_UNUSED);
    assert_string_equal(t->tokens[100].s, "<unk>");
    assert_int_equal(t->special[SPECIAL_BOS], 109);
    assert_int_equal(t->special[SPECIAL_GMASK], 106);
    assert_int_equal(t->special[SPECIAL_UNK], 100);
    tokenizer_free(t);
    put("tokenizer_config.json", "{}");
    t = load(dir, 150528);
    assert_int_equal(t->special[SPECIAL_BOS], 20009);
    tokenizer_free(t);
    t = load(dir, 130528);
    assert_int_equal(t->special[SPECIAL_BOS], 9);
    tokenizer_free(t);
}

/* --- ChatGLM2 and 3 --- */

static void check_masks(const struct tokenizer *t)
{
    static const char *const texts[] = {"[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"};
    for (size_t i = 0; i < COUNT(texts); i++) same_token(t, 1200 + (int64_t)i, texts[i], TOKEN_CONTROL);
    assert_int_equal(t->special[SPECIAL_GMASK], 1201);
    assert_int_equal(t->special[SPECIAL_BOS], 1);
    assert_int_equal(t->special[SPECIAL_EOS], 2);
    assert_int_equal(t->special[SPECIAL_PAD], 0);
    assert_int_equal(t->add_bos, SAID_NO);
    assert_int_equal(t->n_before, 2);
    assert_int_equal(t->before[0], 1201);
    assert_int_equal(t->before[1], 1203);
    assert_string_equal(t->pre, "chatglm-spm");
}

static void test_chat3(void **state)
{
    (void)state;
    static const char *const roles[] = {"<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"};
    struct tokenizer *t = load(data("tok_v3_tiny"), 1216);
    check_masks(t);
    for (size_t i = 0; i < COUNT(roles); i++) same_token(t, 1205 + (int64_t)i, roles[i], TOKEN_CONTROL);
    same_token(t, 1209, "[PAD1209]", TOKEN_UNUSED);
    tokenizer_free(t);
    t = load(data("tok_v3_tiny"), 0); /* without an embedding, as many rows as there are tokens */
    assert_int_equal(t->n_tokens, 1209);
    tokenizer_free(t);
}

/* The same vocabulary is ChatGLM2's if the code beside it, or else a name, says so. */
static void test_chat2(void **state)
{
    (void)state;
    link_file("tok_v3_tiny/tokenizer.model", "tokenizer.model");
    put("config.json", "{\"model_type\": \"chatglm\", \"_name_or_path\": \"THUDM/chatglm2-6b\"}");
    struct tokenizer *t = load(dir, 1216);
    check_masks(t);
    same_token(t, 1205, "[PAD1205]", TOKEN_UNUSED);
    tokenizer_free(t);
    put("tokenization_chatglm.py", "special_tokens = [\"[MASK]\", \"<|observation|>\"]\n");
    t = load(dir, 1216);
    same_token(t, 1206, "<|user|>", TOKEN_CONTROL);
    tokenizer_free(t);
    put("config.json", "{\"model_type\": \"chatglm\"}");
    put("tokenization_chatglm.py", "special_tokens = [\"[MASK]\", \"[gMASK]\"]\n");
    t = load(dir, 1216);
    same_token(t, 1206, "[PAD1206]", TOKEN_UNUSED);
    tokenizer_free(t);
}

/* Without a word of GLM the file is SentencePiece's and nothing more. */
static void test_not_glm(void **state)
{
    (void)state;
    link_file("tok_v3_tiny/tokenizer.model", "tokenizer.model");
    put("config.json", "{\"model_type\": \"llama\"}");
    struct tokenizer *t = load(dir, 1216);
    same_token(t, 1200, "[PAD1200]", TOKEN_UNUSED);
    assert_int_equal(t->special[SPECIAL_GMASK], -1);
    assert_int_equal(t->n_before, 0);
    assert_int_equal(t->add_bos, SAID_YES);
    tokenizer_free(t);
}

/* --- GLM-4 --- */

static void same_vocabulary(const struct tokenizer *a, const struct tokenizer *b)
{
    assert_int_equal(a->n_tokens, b->n_tokens);
    for (size_t i = 0; i < a->n_tokens; i++) {
        assert_string_equal(a->tokens[i].s, b->tokens[i].s);
        assert_int_equal(a->types[i], b->types[i]);
    }
}

/* b's merges, in order, among a's */
static void has_merges(const struct tokenizer *a, const struct tokenizer *b)
{
    size_t k = 0;
    for (size_t i = 0; i < a->n_merges && k < b->n_merges; i++)
        if (strcmp(a->merges[i].s, b->merges[k].s) == 0) k++;
    assert_int_equal(k, b->n_merges);
}

/* Ranks give all splits of each token, as the published tokenizer.json does; the one here holds one split of each of its 644. */
static void test_glm4(void **state)
{
    (void)state;
    struct tokenizer *json = load(data("tok_glm4_tiny"), 920);
    assert_string_equal(json->pre, "glm4");
    assert_int_equal(json->special[SPECIAL_EOT], 907);
    assert_int_equal(json->special[SPECIAL_EOM], 909);
    assert_int_equal(json->add_bos, SAID_NO);
    link_file("tok_glm4_tiny/tokenizer.model", "tokenizer.model");
    put("config.json", "{\"model_type\": \"chatglm\"}");
    struct tokenizer *ranks = load(dir, 920);
    assert_string_equal(ranks->pre, "chatglm-bpe");
    assert_true(ranks->pre_exact);
    assert_int_equal(warnings.count, 0);
    same_vocabulary(ranks, json);
    has_merges(ranks, json);
    assert_int_equal(json->n_merges, 644);
    assert_int_equal(ranks->n_merges, 779);
    assert_int_equal(ranks->special[SPECIAL_EOS], 900);
    assert_int_equal(ranks->special[SPECIAL_GMASK], 902);
    assert_int_equal(ranks->n_before, 2);
    assert_int_equal(ranks->before[0], 902);
    assert_int_equal(ranks->before[1], 904);
    tokenizer_free(ranks);
    tokenizer_free(json);
}

static void test_broken_ranks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"IQ== 0\nIg= 1\n", "line 2: expected base64"},
        {"IQ== 0\nIg==1\n", "line 2: expected base64"},
        {"IQ== 0\nIg== x\n", "line 2: expected base64"},
        {"IQ== 0\n 1\n", "line 2: expected base64"},
        {"IQ== 0\nIQ== 1\n", "rank 1: the token '!' has rank 0 already"},
        {"IQ== 0\nIg== 99999999\n", "token id 99999999, expected less than"},
    };
    put("config.json", "{\"model_type\": \"chatglm\"}");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tokenizer *t;
        put("tokenizer.model", cases[i].text);
        assert_true(tokenizer_load(&t, dir, 0, &warnings, &err) != STATUS_OK);
        if (!strstr(err.text, cases[i].message)) fail_msg("'%s', expected '%s'", err.text, cases[i].message);
    }
    /* two ranks with one id: said, as for every vocabulary */
    put("tokenizer.model", "IQ== 0\nIg== 0\n");
    struct tokenizer *t = load(dir, 0);
    assert_true(warnings_has(&warnings, "tokenizer-id-twice"));
    tokenizer_free(t);
}

/* --- there and back --- */

static void test_around_in_gguf(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    struct tokenizer *t = load(data("tok_v3_tiny"), 1216);
    tokenizer_put(t, &w);
    size_t seen = 0;
    for (size_t i = 0; i < w.n_kvs; i++) {
        const struct kv *kv = &w.kvs[i];
        if (strcmp(kv->key, "lathe.tokenizer.before") == 0) {
            assert_int_equal(kv->v.array.n, 2);
            assert_int_equal(((const int32_t *)kv->v.array.data)[0], 1201);
            seen++;
        }
        if (strcmp(kv->key, "tokenizer.ggml.gmask_token_id") == 0) {
            assert_int_equal(kv->v.u, 1201);
            seen++;
        }
    }
    assert_int_equal(seen, 2);
    gguf_writer_clear(&w);
    tokenizer_free(t);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat1), IN_DIR(test_image_tokens), cmocka_unit_test(test_chat3),
        IN_DIR(test_chat2),           IN_DIR(test_not_glm),      IN_DIR(test_glm4),
        IN_DIR(test_broken_ranks),    cmocka_unit_test(test_around_in_gguf),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    warnings_clear(&warnings);
    return failed;
}
