/* lathe-inspect's answers from headers alone: of a model of 140 GB, nearly all of it a hole, and of every RoPE scaling. */
#include "container_support.h"

#include "convert/convert.h"
#include "family_models.h"
#include "fixtures.h"
#include "formats/gguf.h"
#include "inspect/diff.h"
#include "inspect/rope_words.h"
#include "inspect/summary.h"
#include "inspect/summary_parts.h"
#include "temp_model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct error err;

/* ---- a model of the size of Llama 3 70B, in BF16, of which only the headers are there ---- */

enum { LAYERS = 80, EMBD = 8192, FF = 28672, KV = 1024, VOCAB = 128256, SHARDS = 30 };
static const struct {
    const char *st, *gguf; /* with a layer's number */
    int64_t rows, cols;
} layer_tensors[] = {
    {"input_layernorm", "attn_norm", EMBD, 0},
    {"self_attn.q_proj", "attn_q", EMBD, EMBD},
    {"self_attn.k_proj", "attn_k", KV, EMBD},
    {"self_attn.v_proj", "attn_v", KV, EMBD},
    {"self_attn.o_proj", "attn_output", EMBD, EMBD},
    {"post_attention_layernorm", "ffn_norm", EMBD, 0},
    {"mlp.gate_proj", "ffn_gate", FF, EMBD},
    {"mlp.up_proj", "ffn_up", FF, EMBD},
    {"mlp.down_proj", "ffn_down", EMBD, FF},
};
enum { N_KINDS = sizeof layer_tensors / sizeof layer_tensors[0], N_TENSORS = LAYERS * N_KINDS + 3 };
static const int64_t n_weights = (int64_t)LAYERS * (2 * EMBD + 2 * (int64_t)EMBD * EMBD + 2 * (int64_t)KV * EMBD + 3 * (int64_t)FF * EMBD) +
                                 2 * (int64_t)VOCAB * EMBD + EMBD;

static const char config[] =
    "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":8192,\"intermediate_size\":28672,"
    "\"num_hidden_layers\":80,\"num_attention_heads\":64,\"num_key_value_heads\":8,\"vocab_size\":128256,\"rms_norm_eps\":1e-5,"
    "\"max_position_embeddings\":131072,\"rope_theta\":500000.0,\"tie_word_embeddings\":%s,\"hidden_act\":\"silu\",\"rope_scaling\":{"
    "\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}}";

struct shard {
    struct buf header;
    uint64_t bytes;
};

static void add_tensor(struct shard *s, struct buf *map, int i, const char *name, int64_t rows, int64_t cols)
{
    uint64_t bytes = 2 * (uint64_t)rows * (uint64_t)(cols ? cols : 1);
    buf_printf(&s->header, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%lld", s->header.len ? "," : "{", name, (long long)rows);
    if (cols) buf_printf(&s->header, ",%lld", (long long)cols);
    buf_printf(&s->header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)s->bytes, (unsigned long long)(s->bytes + bytes));
    buf_printf(map, "%s\"%s\":\"model-%05d-of-%05d.safetensors\"", map->len ? "," : "", name, i + 1, SHARDS);
    s->bytes += bytes;
}

/* A file of that size that begins with these bytes; false where the file system has no such files. */
static bool write_sparse(const char *name, const void *prefix, size_t n_prefix, const void *head, size_t n, uint64_t size)
{
    int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, prefix, n_prefix), (ssize_t)n_prefix);
    assert_int_equal(write(fd, head, n), (ssize_t)n);
    bool ok = ftruncate(fd, (off_t)size) == 0;
    close(fd);
    return ok;
}

static bool write_folder(bool tied)
{
    struct shard shards[SHARDS] = {0};
    struct buf map = {0}, index = {0}, text = {0};
    char name[128];
    bool ok = true;
    add_tensor(&shards[0], &map, 0, "model.embed_tokens.weight", VOCAB, EMBD);
    for (int l = 0; l < LAYERS; l++)
        for (int k = 0; k < N_KINDS; k++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, layer_tensors[k].st);
            int i = l * SHARDS / LAYERS;
            add_tensor(&shards[i], &map, i, name, layer_tensors[k].rows, layer_tensors[k].cols);
        }
    add_tensor(&shards[SHARDS - 1], &map, SHARDS - 1, "model.norm.weight", EMBD, 0);
    add_tensor(&shards[SHARDS - 1], &map, SHARDS - 1, "lm_head.weight", VOCAB, EMBD);
    for (int i = 0; i < SHARDS; i++) {
        buf_puts(&shards[i].header, "}");
        uint64_t n = shards[i].header.len;
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", i + 1, SHARDS);
        ok = ok && write_sparse(name, &n, 8, shards[i].header.data, n, 8 + n + shards[i].bytes);
        buf_clear(&shards[i].header);
    }
    buf_printf(&index, "{\"metadata\":{\"total_size\":%lld},\"weight_map\":{%s}}", (long long)(2 * n_weights), map.data);
    buf_printf(&text, config, tied ? "true" : "false");
    scratch_write("model.safetensors.index.json", index.data, index.len);
    scratch_write("config.json", text.data, text.len);
    buf_clear(&map);
    buf_clear(&index);
    buf_clear(&text);
    return ok;
}

static void put_tokens(struct gguf_writer *w)
{
    struct kv_string *tokens = calloc(VOCAB, sizeof *tokens);
    int32_t *types = calloc(VOCAB, sizeof *types);
    char *text = calloc(VOCAB, 12);
    assert_true(tokens && types && text);
    for (int i = 0; i < VOCAB; i++) {
        tokens[i] = (struct kv_string){text + 12 * i, (uint64_t)snprintf(text + 12 * i, 12, "token%d", i)};
        types[i] = 1;
    }
    gguf_put_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_string(w, "tokenizer.ggml.pre", "llama-bpe");
    gguf_put_array(w, "tokenizer.ggml.tokens", KV_STRING, VOCAB, tokens);
    gguf_put_array(w, "tokenizer.ggml.token_type", KV_I32, VOCAB, types);
    gguf_put_array(w, "tokenizer.ggml.merges", KV_STRING, VOCAB, tokens);
    free(tokens);
    free(types);
    free(text);
}

static bool write_gguf(void)
{
    struct gguf_writer w = {0};
    const int64_t embd[] = {VOCAB, EMBD}, norm[] = {EMBD};
    char name[64];
    gguf_put_string(&w, "general.architecture", "llama");
    gguf_put_string(&w, "general.name", "large");
    gguf_put_u32(&w, "llama.block_count", LAYERS);
    gguf_put_u32(&w, "llama.context_length", 131072);
    gguf_put_u32(&w, "llama.embedding_length", EMBD);
    gguf_put_u32(&w, "llama.feed_forward_length", FF);
    gguf_put_u32(&w, "llama.attention.head_count", 64);
    gguf_put_u32(&w, "llama.attention.head_count_kv", 8);
    gguf_put_f32(&w, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    gguf_put_f32(&w, "llama.rope.freq_base", 500000);
    put_tokens(&w);
    assert_int_equal(gguf_add_tensor(&w, "token_embd.weight", DTYPE_BF16, 2, embd, &err), STATUS_OK);
    for (int l = 0; l < LAYERS; l++)
        for (int k = 0; k < N_KINDS; k++) {
            const int64_t shape[] = {layer_tensors[k].rows, layer_tensors[k].cols};
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, layer_tensors[k].gguf);
            assert_int_equal(gguf_add_tensor(&w, name, shape[1] ? DTYPE_BF16 : DTYPE_F32, shape[1] ? 2 : 1, shape, &err), STATUS_OK);
        }
    assert_int_equal(gguf_add_tensor(&w, "output_norm.weight", DTYPE_F32, 1, norm, &err), STATUS_OK);
    assert_int_equal(gguf_add_tensor(&w, "output.weight", DTYPE_BF16, 2, embd, &err), STATUS_OK);
    assert_int_equal(gguf_layout(&w, &err), STATUS_OK);
    bool ok = write_sparse("large.gguf", "", 0, w.header.data, w.header.len, w.size_bytes);
    gguf_writer_clear(&w);
    return ok;
}

/* Bytes that this process has read; 0 where the system does not tell. */
static unsigned long long bytes_read(void)
{
    FILE *f = fopen("/proc/self/io", "r");
    unsigned long long n = 0;
    if (!f) return 0;
    if (fscanf(f, "rchar: %llu", &n) != 1) n = 0;
    fclose(f);
    return n;
}

static void look(const char *path, unsigned long long limit, const char *const *texts)
{
    struct subject s;
    struct buf out = {0};
    unsigned long long before = bytes_read();
    if (subject_open_headers(&s, path, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (s.model_error.text[0]) fail_msg("%s", s.model_error.text);
    summary_text(&s, &out);
    unsigned long long n = bytes_read() - before;
    assert_true(s.size_bytes > 100ull * 1000 * 1000 * 1000);
    assert_int_equal(s.ckpt->n_tensors, N_TENSORS);
    if (n > limit) fail_msg("%s: %llu bytes were read, expected at most %llu", path, n, limit);
    for (; *texts; texts++)
        if (!strstr(out.data, *texts)) fail_msg("%s: no '%s' in\n%s", path, *texts, out.data);
    buf_clear(&out);
    subject_close(&s);
}

/* Two readers of the headers: the list's and the model's. */
static void test_large_folder(void **state)
{
    static const char *const expected[] = {
        "llama (safetensors; recognised by config.json: model_type)", "in 30 files: 723 tensors, 70.55 B weights, 16.00 bits per weight",
        "16.00 token_embd, attn_q", "context     131072; rope llama3, base 500000, 128 of a head's 128 dimensions; llama3 scaling, factor 8 over 8192 original",
        "output matrix of its own", NULL};
    static const char *const tied[] = {"tied (a second, equal copy is stored)", "begins as the embedding", NULL};
    (void)state;
    if (!write_folder(false)) skip();
    look(scratch_dir(), 1 << 20, expected);
    if (!write_folder(true)) skip();
    look(scratch_dir(), 2 << 20, tied); /* 256 KiB of either matrix, and no more */
    scratch_clear();
}

static void test_large_gguf(void **state)
{
    static const char *const expected[] = {"llama (gguf; recognised by general.architecture)", "in 1 file: 723 tensors, 70.55 B weights",
                                           "gpt2, pre llama-bpe, 128256 tokens", NULL};
    (void)state;
    if (!write_gguf()) skip();
    look(scratch_path("large.gguf"), 8 << 20, expected); /* a header of 5.5 MB, read once in a window that grows by quarters */
    scratch_clear();
}

/* ---- RoPE in words ---- */

static void expect_words(const struct rope *r, const char *const *texts)
{
    struct hparams h = {.n_ctx = r->n_ctx, .head_dim = 128, .rope = *r};
    struct buf out = {0};
    rope_words(&h, &out);
    for (; *texts; texts++)
        if (!strstr(out.data, *texts)) fail_msg("no '%s' in: %s", *texts, out.data);
    buf_clear(&out);
}
#define WORDS(rope, ...) expect_words(&(rope), (const char *const[]){__VA_ARGS__, NULL})

static void test_rope_in_words(void **state)
{
    static const double shorts[64] = {[0] = 1, [63] = 1.25}, longs[64] = {[0] = 1.5, [63] = 64};
    struct rope none = {.type = ROPE_NONE};
    struct rope r = {.type = ROPE_DEFAULT, .dim = 128, .theta = 10000, .n_ctx = 4096, .factor = 1};
    double s[64], l[64];
    (void)state;
    for (int i = 0; i < 64; i++) {
        s[i] = shorts[i] != 0 ? shorts[i] : 1.1;
        l[i] = longs[i] != 0 ? longs[i] : 2;
    }
    WORDS(none, "learned positions");
    WORDS(r, "rope default, base 10000, 128 of a head's 128 dimensions");
    r.type = ROPE_LINEAR, r.factor = 4;
    WORDS(r, "linear scaling: positions are divided by 4");
    r.type = ROPE_DYNAMIC, r.factor = 2;
    WORDS(r, "dynamic NTK scaling, factor 2", "beyond 4096 positions");
    /* 0.1 ln 4 + 1 */
    r = (struct rope){.type = ROPE_YARN, .dim = 64, .theta = 1e6, .n_ctx = 131072, .factor = 4, .n_ctx_orig = 32768};
    WORDS(r, "YaRN scaling, factor 4 over 32768 original positions", "at least 32 times", "at most 1 times are divided by 4",
          "cos and sin times 1.13863", "64 of a head's 128");
    r.factor = 0, r.beta_fast = 16, r.attn_factor = 2;
    WORDS(r, "factor 4 over 32768", "at least 16 times", "times 2");
    /* sqrt(1 + ln 32 / ln 4096) */
    r = (struct rope){.type = ROPE_LONGROPE, .dim = 128, .theta = 1e4, .n_ctx = 131072, .n_ctx_orig = 4096, .short_factors = s, .long_factors = l, .n_factors = 64};
    WORDS(r, "LongRoPE scaling, factor 32 over 4096", "(1 to 1.25)", "(1.5 to 64)", "cos and sin times 1.19024");
    r = (struct rope){.type = ROPE_LLAMA3, .dim = 128, .theta = 5e5, .n_ctx = 131072, .factor = 8, .n_ctx_orig = 8192, .low_freq_factor = 1, .high_freq_factor = 4};
    WORDS(r, "llama3 scaling, factor 8 over 8192", "wavelengths below 2048 positions stay", "above 8192 are divided by 8",
          "high_freq_factor 4, low_freq_factor 1");
}

/* ---- differences of layout that are none ---- */

/* What a chatglm2 of family_sizes_small holds, as transformers' glm does: queries, keys and values apart */
static void write_split(struct fixture *f)
{
    static const struct {
        const char *name;
        int64_t shape[2]; /* shape[1] 0: a vector */
    } tensors[] = {{"model.embed_tokens.weight", {61, 32}},
                   {"model.layers.%d.input_layernorm.weight", {32, 0}},
                   {"model.layers.%d.self_attn.q_proj.weight", {32, 32}},
                   {"model.layers.%d.self_attn.k_proj.weight", {16, 32}},
                   {"model.layers.%d.self_attn.v_proj.weight", {16, 32}},
                   {"model.layers.%d.self_attn.q_proj.bias", {32, 0}},
                   {"model.layers.%d.self_attn.k_proj.bias", {16, 0}},
                   {"model.layers.%d.self_attn.v_proj.bias", {16, 0}},
                   {"model.layers.%d.self_attn.o_proj.weight", {32, 32}},
                   {"model.layers.%d.post_attention_layernorm.weight", {32, 0}},
                   {"model.layers.%d.mlp.gate_up_proj.weight", {64, 32}},
                   {"model.layers.%d.mlp.down_proj.weight", {32, 32}},
                   {"model.norm.weight", {32, 0}},
                   {"lm_head.weight", {61, 32}}};
    static const char *const keys[][2] = {
        {"model_type", "\"glm\""}, {"architectures", "[\"GlmForCausalLM\"]"}, {"num_hidden_layers", "2"}, {"hidden_size", "32"},
        {"max_position_embeddings", "48"}, {"intermediate_size", "32"}, {"num_attention_heads", "4"}, {"num_key_value_heads", "2"},
        {"head_dim", "8"}, {"vocab_size", "61"}, {"rms_norm_eps", "1e-05"}, {"hidden_act", "\"silu\""}, {"attention_bias", "true"},
        {"partial_rotary_factor", "0.5"}, {"tie_word_embeddings", "false"}};
    fixture_llama(f, NULL);
    while (f->n_tensors > 0) fixture_remove(f, f->tensors[0].name);
    f->n_config = 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) fixture_config(f, keys[i][0], keys[i][1]);
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        for (int layer = 0; layer < (strstr(tensors[i].name, "%d") ? 2 : 1); layer++) {
            char name[96];
            snprintf(name, sizeof name, tensors[i].name, layer);
            fixture_add(f, name, tensors[i].shape[1] ? 2 : 1, tensors[i].shape);
        }
}

static void compare(const char *a, const char *b, size_t regrouped, size_t only_a, size_t only_b)
{
    struct subject x, y;
    struct diff d;
    if (subject_open_headers(&x, a, &err) != STATUS_OK || subject_open_headers(&y, b, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (!x.model || !y.model) fail_msg("%s%s", x.model_error.text, y.model_error.text);
    if (diff_make(&d, &x, &y, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (d.n_regrouped != regrouped || d.n_only_a != only_a || d.n_only_b != only_b || d.n_shape != 0 || d.n_pairs != only_a + only_b)
        fail_msg("%zu regrouped, %zu only in A, %zu only in B, %zu of another shape", d.n_regrouped, d.n_only_a, d.n_only_b, d.n_shape);
    diff_clear(&d);
    subject_close(&x);
    subject_close(&y);
}

/* Two layers with a fused matrix and its bias, against three of each: 4 and 12 tensors. A tensor that is really missing stays one. */
static void test_fused_and_split_lists(void **state)
{
    const struct family_row *row = NULL;
    struct family_model fused;
    struct fixture split;
    (void)state;
    for (size_t i = 0; i < n_family_models; i++)
        if (strcmp(family_models[i].arch->family, "chatglm2") == 0) row = &family_models[i];
    assert_non_null(row);
    family_write(&fused, row, &family_sizes_small, false);
    write_split(&split);
    fixture_write(&split);
    compare(fused.dir, split.dir, 16, 0, 0);
    compare(split.dir, fused.dir, 16, 0, 0);
    fixture_clear(&split);
    family_clear(&fused);
}

/* Of every family: beside what convert makes of it, a checkpoint differs in nothing but types. */
static void test_every_family_and_its_gguf(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_family_models; i++) {
        struct family_model f;
        struct subject x, y;
        struct diff d;
        family_write(&f, &family_models[i], &family_sizes_small, false);
        char *argv[] = {strdup("lathe-convert"), strdup(f.dir), strdup("-o"), strdup(temp_path("family.gguf")), strdup("--quiet"), strdup("--force"), NULL};
        assert_int_equal(convert_main(6, argv), 0);
        if (subject_open_headers(&x, f.dir, &err) != STATUS_OK || subject_open_headers(&y, argv[3], &err) != STATUS_OK) fail_msg("%s", err.text);
        for (int side = 0; side < 2; side++) {
            struct buf text = {0};
            if (diff_make(&d, side ? &y : &x, side ? &x : &y, &err) != STATUS_OK) fail_msg("%s: %s", f.row->arch->family, err.text);
            diff_text(&d, &text);
            bool same = d.n_only_a + d.n_only_b + d.n_shape + d.hparams.n + d.metadata.n == 0 && d.n_common > 5;
            if (!same) fail_msg("%s %s:\n%s", f.row->arch->family, f.row->form ? f.row->form : "", text.data);
            buf_clear(&text);
            diff_clear(&d);
        }
        subject_close(&x);
        subject_close(&y);
        for (size_t k = 0; argv[k]; k++) free(argv[k]);
        family_clear(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_folder),
        cmocka_unit_test(test_large_gguf),
        cmocka_unit_test(test_rope_in_words),
        cmocka_unit_test(test_fused_and_split_lists),
        cmocka_unit_test(test_every_family_and_its_gguf),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
