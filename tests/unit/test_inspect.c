/* lathe-inspect's answers from headers alone: of a model of 140 GB, nearly all of it a hole, and of every RoPE scaling. */
#include "container_support.h"

#include "formats/gguf.h"
#include "inspect/rope_words.h"
#include "inspect/summary.h"
#include "inspect/summary_parts.h"

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
    look(scratch_path("large.gguf"), 40 << 20, expected); /* a header of 6 MB, read in a window that doubles, twice */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_folder),
        cmocka_unit_test(test_large_gguf),
        cmocka_unit_test(test_rope_in_words),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
