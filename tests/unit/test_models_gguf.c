/* GGUF models: files as llama.cpp's converter writes them and as ours are, keys that are missing or lie, and the keys we write. */
#include "base/file.h"
#include "models/model.h"
#include "tests/unit/fixtures.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;
static struct warnings warn;
static char path[] = "/tmp/lathe_models_gguf_XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    warnings_clear(&warn);
    return unlink(path);
}

/* --- building: L = 2, E = 32, H = 4, K = 2, D = 8, F = 64, V = 40, P = 16 --- */

static void add(struct gguf_writer *w, const char *name, enum dtype t, int64_t a, int64_t b)
{
    if (gguf_add_tensor(w, name, t, b ? 2 : 1, (int64_t[]){a, b}, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void add_layer(struct gguf_writer *w, int layer, const char *what, enum dtype t, int64_t a, int64_t b)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, what);
    add(w, name, t, a, b);
}

/* The keys that llama.cpp's converter writes for LlamaForCausalLM, and a tokenizer key, which is nothing to us. */
static void llama_keys(struct gguf_writer *w)
{
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_string(w, "general.name", "Tiny");
    gguf_put_u32(w, "llama.block_count", 2);
    gguf_put_u32(w, "llama.context_length", 128);
    gguf_put_u32(w, "llama.embedding_length", 32);
    gguf_put_u32(w, "llama.feed_forward_length", 64);
    gguf_put_u32(w, "llama.attention.head_count", 4);
    gguf_put_u32(w, "llama.attention.head_count_kv", 2);
    gguf_put_f32(w, "llama.rope.freq_base", 500000.0f);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_put_u32(w, "llama.attention.key_length", 8);
    gguf_put_u32(w, "llama.attention.value_length", 8);
    gguf_put_u32(w, "llama.vocab_size", 40);
    gguf_put_u32(w, "llama.rope.dimension_count", 8);
    gguf_put_u32(w, "general.file_type", 0);
    gguf_put_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
}

static void llama_tensors(struct gguf_writer *w)
{
    add(w, "output_norm.weight", DTYPE_F32, 32, 0);
    add(w, "token_embd.weight", DTYPE_Q8_0, 40, 32);
    for (int i = 0; i < 2; i++) {
        add_layer(w, i, "attn_norm.weight", DTYPE_F32, 32, 0);
        add_layer(w, i, "attn_q.weight", DTYPE_Q8_0, 32, 32);
        add_layer(w, i, "attn_k.weight", DTYPE_Q8_0, 16, 32);
        add_layer(w, i, "attn_v.weight", DTYPE_Q8_0, 16, 32);
        add_layer(w, i, "attn_output.weight", DTYPE_Q8_0, 32, 32);
        add_layer(w, i, "ffn_norm.weight", DTYPE_F32, 32, 0);
        add_layer(w, i, "ffn_gate.weight", DTYPE_Q4_0, 64, 32);
        add_layer(w, i, "ffn_up.weight", DTYPE_Q4_0, 64, 32);
        add_layer(w, i, "ffn_down.weight", DTYPE_F16, 32, 64);
    }
}

static void gpt2_keys(struct gguf_writer *w)
{
    gguf_put_string(w, "general.architecture", "gpt2");
    gguf_put_u32(w, "gpt2.block_count", 1);
    gguf_put_u32(w, "gpt2.context_length", 16);
    gguf_put_u32(w, "gpt2.embedding_length", 32);
    gguf_put_u32(w, "gpt2.feed_forward_length", 64);
    gguf_put_u32(w, "gpt2.attention.head_count", 4);
    gguf_put_f32(w, "gpt2.attention.layer_norm_epsilon", 1e-5f);
}

static void gpt2_tensors(struct gguf_writer *w)
{
    static const struct {
        const char *name;
        int64_t a, b;
    } rows[] = {{"attn_norm.weight", 32, 0}, {"attn_norm.bias", 32, 0},      {"attn_qkv.weight", 96, 32},
                {"attn_qkv.bias", 96, 0},    {"attn_output.weight", 32, 32}, {"attn_output.bias", 32, 0},
                {"ffn_norm.weight", 32, 0},  {"ffn_norm.bias", 32, 0},       {"ffn_up.weight", 64, 32},
                {"ffn_up.bias", 64, 0},      {"ffn_down.weight", 32, 64},    {"ffn_down.bias", 32, 0}};
    add(w, "token_embd.weight", DTYPE_F16, 40, 32);
    add(w, "position_embd.weight", DTYPE_F32, 16, 32);
    add(w, "output_norm.weight", DTYPE_F32, 32, 0);
    add(w, "output_norm.bias", DTYPE_F32, 32, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        add_layer(w, 0, rows[i].name, rows[i].b ? DTYPE_F16 : DTYPE_F32, rows[i].a, rows[i].b);
}

/* Header and a data section of `fill` bytes. Frees w's content. */
static void write_file(struct gguf_writer *w, int fill)
{
    if (gguf_layout(w, &err) != STATUS_OK) fail_msg("%s", err.text);
    char *data = malloc((size_t)w->size_bytes);
    assert_non_null(data);
    memset(data, fill, (size_t)w->size_bytes);
    memcpy(data, w->header.data, w->header.len);
    if (file_write_whole(path, OUTFILE_REPLACE, data, (size_t)w->size_bytes, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    free(data);
    gguf_writer_clear(w);
}

static struct model *open_good(void)
{
    struct model *m;
    warnings_clear(&warn);
    if (model_open(&m, path, NULL, &warn, &err) != STATUS_OK) {
        char line[2048];
        error_format(&err, "model_open", line, sizeof line);
        fail_msg("%s", line);
    }
    return m;
}

static void refused(enum status status, const char *text)
{
    struct model *m = NULL;
    warnings_clear(&warn);
    enum status st = model_open(&m, path, NULL, &warn, &err);
    char line[2048];
    error_format(&err, "model_open", line, sizeof line);
    if (st != status || !strstr(line, text) || !strstr(line, path))
        fail_msg("expected %s '%s', found %s '%s'", status_name(status), text, status_name(st),
                 st == STATUS_OK ? "" : line);
    assert_null(m);
}

/* --- good files --- */

static void test_llama(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    llama_keys(&w);
    llama_tensors(&w);
    write_file(&w, 0);
    struct model *m = open_good();
    assert_int_equal(warn.count, 0);
    assert_true(m->is_gguf && m->dialect == &m->arch->gguf && !m->config);
    assert_string_equal(m->name, "Tiny");
    assert_string_equal(m->detected_by, "general.architecture");
    assert_int_equal(m->hp.n_vocab, 40);
    assert_int_equal(m->hp.n_ctx, 128);
    assert_int_equal(m->hp.n_head_kv, 2);
    assert_int_equal(m->hp.head_dim, 8);
    assert_int_equal(m->hp.n_ff, 64);
    assert_true(m->hp.norm_eps == (double)1e-5f);
    assert_int_equal(m->hp.activation, ACTIVATION_SILU);
    assert_int_equal(m->hp.rope.type, ROPE_DEFAULT);
    assert_true(m->hp.rope.theta == 500000 && m->hp.rope.dim == 8 && m->hp.rope.factor == 1);
    assert_null(m->hp.rope.source);
    assert_true(m->hp.tied && !m->hp.attn_bias && !m->hp.mlp_bias);
    assert_int_equal(m->hp.bos_id, 1);
    assert_int_equal(m->n_weights, 20);
    assert_string_equal(model_weight(m, ROLE_FFN_DOWN, 1, PART_WEIGHT)->t->t->name, "blk.1.ffn_down.weight");
    assert_string_equal(m->weights[0].t->t->name, "token_embd.weight"); /* the rules' order, not the file's */
    model_close(m);
}

/* Older files: fewer keys, a factor under its first name, an output matrix, factors of frequencies. */
static void test_llama_old(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    llama_keys(&w);
    gguf_remove(&w, "llama.vocab_size");
    gguf_remove(&w, "llama.attention.key_length");
    gguf_remove(&w, "llama.attention.value_length");
    gguf_remove(&w, "llama.rope.freq_base");
    gguf_remove(&w, "llama.rope.dimension_count");
    gguf_put_string(&w, "llama.tensor_data_layout", "Meta AI original pth");
    gguf_put_f32(&w, "llama.rope.scale_linear", 4);
    gguf_put_u64(&w, "llama.context_length", 128);
    llama_tensors(&w);
    add(&w, "output.weight", DTYPE_Q8_0, 40, 32);
    add(&w, "rope_freqs.weight", DTYPE_F32, 4, 0);
    write_file(&w, 0x40); /* each element is 3.0039 */
    struct model *m = open_good();
    double f[4], a;
    assert_int_equal(rope_frequencies(&m->hp.rope, 10, f, &a, &err), STATUS_OK);
    assert_true(fabs(f[0] * 4 * 3.0039215087890625 - 1) < 1e-12 && a == 1); /* one on top of the other */
    assert_int_equal(warn.count, 0);
    assert_int_equal(m->hp.n_vocab, 40);
    assert_int_equal(m->hp.head_dim, 8);
    assert_int_equal(m->hp.rope.type, ROPE_LINEAR);
    assert_true(m->hp.rope.factor == 4 && m->hp.rope.theta == 10000 && m->hp.rope.dim == 8);
    assert_false(m->hp.tied);
    assert_non_null(model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT));
    assert_non_null(model_weight(m, ROLE_ROPE_FREQS, -1, PART_WEIGHT));
    model_close(m);
}

/* head_count_kv says nothing: as many as heads. Then attn_k has the wrong shape here. */
static void test_llama_kv_default(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    llama_keys(&w);
    gguf_remove(&w, "llama.attention.head_count_kv");
    llama_tensors(&w);
    write_file(&w, 0);
    refused(STATUS_MISMATCH, "tensor 'blk.0.attn_k.weight': expected 32 x 32 from config, found 16 x 32");
    assert_string_equal(err.hint, "llama.attention.head_count_kv is 4 in the config, but 2 fits the tensor");
}

static void test_llama_biases(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    llama_keys(&w);
    llama_tensors(&w);
    for (int i = 0; i < 2; i++) {
        add_layer(&w, i, "attn_q.bias", DTYPE_F32, 32, 0);
        add_layer(&w, i, "attn_k.bias", DTYPE_F32, 16, 0);
        add_layer(&w, i, "attn_v.bias", DTYPE_F32, 16, 0);
    }
    write_file(&w, 0);
    struct model *m = open_good();
    assert_true(m->hp.attn_bias && !m->hp.mlp_bias);
    assert_non_null(model_weight(m, ROLE_ATTN_V, 1, PART_BIAS));
    assert_null(model_weight(m, ROLE_ATTN_OUTPUT, 1, PART_BIAS));
    model_close(m);
    /* what layer 0 has every layer must have */
    llama_keys(&w);
    llama_tensors(&w);
    add_layer(&w, 0, "attn_q.bias", DTYPE_F32, 32, 0);
    write_file(&w, 0);
    refused(STATUS_NOTFOUND, "tensor 'blk.1.attn_q.bias': expected 32 from config, not found");
    llama_keys(&w);
    llama_tensors(&w);
    add_layer(&w, 1, "attn_q.bias", DTYPE_F32, 32, 0);
    write_file(&w, 0);
    refused(STATUS_UNSUPPORTED, "tensor 'blk.1.attn_q.bias': expected no such tensor");
}

static void test_gpt2(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    gpt2_keys(&w);
    gpt2_tensors(&w);
    write_file(&w, 0);
    struct model *m = open_good();
    assert_int_equal(warn.count, 0);
    assert_false(m->dialect->conv1d);
    assert_int_equal(m->hp.n_ctx, 16);
    assert_int_equal(m->hp.n_vocab, 40);
    assert_int_equal(m->hp.head_dim, 8);
    assert_int_equal(m->hp.activation, ACTIVATION_GELU_TANH);
    assert_int_equal(m->hp.rope.type, ROPE_NONE);
    assert_true(m->hp.tied && m->hp.attn_bias && m->hp.mlp_bias);
    model_close(m);
    gpt2_keys(&w);
    gguf_put_string(&w, "gpt2.hidden_activation", "gelu");
    gpt2_tensors(&w);
    write_file(&w, 0);
    m = open_good();
    assert_int_equal(m->hp.activation, ACTIVATION_GELU_ERF);
    model_close(m);
    gpt2_keys(&w);
    gguf_put_u32(&w, "gpt2.context_length", 17);
    gpt2_tensors(&w);
    write_file(&w, 0);
    refused(STATUS_MISMATCH, "tensor 'position_embd.weight': expected 17 x 32 from config, found 16 x 32");
}

/* --- our own keys --- */

static void test_tied(void **state)
{
    (void)state;
    static const struct {
        int said; /* -1: no key */
        bool stored;
        int fill;
        bool tied, dropped;
        const char *warning;
    } rows[] = {{-1, false, 0, true, false, NULL},
                {1, false, 0, true, false, NULL},
                {0, true, 0, false, false, NULL},
                {-1, true, 0, false, false, NULL},
                {1, true, 0, true, true, "tied-head-dropped"}};
    struct gguf_writer w = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        llama_keys(&w);
        if (rows[i].said >= 0) gguf_put_bool(&w, "lathe.tied_embeddings", rows[i].said);
        gguf_put_string(&w, "lathe.family", "llama");
        llama_tensors(&w);
        if (rows[i].stored) add(&w, "output.weight", DTYPE_Q8_0, 40, 32);
        write_file(&w, 0);
        struct model *m = open_good();
        if (m->hp.tied != rows[i].tied || m->tie_dropped != rows[i].dropped)
            fail_msg("row %zu: tied %d, dropped %d", i, m->hp.tied, m->tie_dropped);
        assert_string_equal(m->detected_by, "lathe.family");
        assert_int_equal(warn.count, rows[i].warning ? 1 : 0);
        model_close(m);
    }
    llama_keys(&w);
    gguf_put_bool(&w, "lathe.tied_embeddings", false);
    llama_tensors(&w);
    write_file(&w, 0);
    refused(STATUS_NOTFOUND,
            "tensor 'output.weight': expected since lathe.tied_embeddings is false, not found");
}

static void test_rope(void **state)
{
    (void)state;
    static const struct {
        const char *type; /* NULL: no key */
        double factor;    /* 0: no key */
        enum rope_type want;
        double want_factor;
    } rows[] = {{NULL, 0, ROPE_DEFAULT, 1},        {NULL, 2, ROPE_LINEAR, 2},
                {"linear", 2.5, ROPE_LINEAR, 2.5}, {"none", 4, ROPE_DEFAULT, 1},
                {"linear", 0, ROPE_DEFAULT, 1},     {NULL, 1, ROPE_DEFAULT, 1}};
    struct gguf_writer w = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        llama_keys(&w);
        if (rows[i].type) gguf_put_string(&w, "llama.rope.scaling.type", rows[i].type);
        if (rows[i].factor != 0) gguf_put_f32(&w, "llama.rope.scaling.factor", (float)rows[i].factor);
        llama_tensors(&w);
        write_file(&w, 0);
        struct model *m = open_good();
        if (m->hp.rope.type != rows[i].want || m->hp.rope.factor != rows[i].want_factor)
            fail_msg("row %zu: found %s, %g", i, rope_type_name(m->hp.rope.type), m->hp.rope.factor);
        assert_non_null(m->hp.rope.runtime);
        model_close(m);
    }
}

/* Which of a file's two descriptions counts. llama_keys: base 500000, context 64. */
static void test_rope_source(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        float base, factor;
        const char *type;
        bool block_counts;
        enum rope_type shown;
    } rows[] = {
        {"{\"type\": \"linear\", \"factor\": 2.5}", 5e5f, 2.5f, "linear", true, ROPE_LINEAR},
        {"{\"type\": \"linear\", \"factor\": 2.5}", 5e5f, 2.5f, NULL, true, ROPE_LINEAR},
        {"{\"type\": \"linear\", \"factor\": 2.5, \"rope_theta\": 5e5}", 5e5f, 2.5f, "linear", true, ROPE_LINEAR},
        {"{\"type\": \"linear\", \"factor\": 2.5}", 5e5f, 0, NULL, false, ROPE_DEFAULT}, /* lost */
        {"{\"type\": \"linear\", \"factor\": 2.5}", 5e5f, 2.5f, "none", false, ROPE_DEFAULT},
        {"{\"type\": \"linear\", \"factor\": 2.5}", 5e5f, 2.6f, "linear", false, ROPE_LINEAR},
        {"{\"rope_theta\": 5e5}", 5e5f, 0, NULL, true, ROPE_DEFAULT},
        {"{\"rope_theta\": 5e5}", 4e5f, 0, NULL, false, ROPE_DEFAULT},
        {"{\"type\": \"dynamic\", \"factor\": 2, \"rope_theta\": 5e5}", 5e5f, 0, NULL, true, ROPE_DYNAMIC},
        {"{\"type\": \"dynamic\", \"factor\": 2, \"rope_theta\": 5e5}", 4e5f, 0, NULL, false, ROPE_DEFAULT},
        {"{\"type\": \"dynamic\", \"factor\": 2, \"rope_theta\": 5e5}", 5e5f, 2, NULL, false, ROPE_LINEAR},
        {"{\"type\": \"yarn\", \"factor\": 4, \"rope_theta\": 5e5}", 5e5f, 4, "yarn", true, ROPE_YARN},
        {"{\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": 2}", 5e5f, 4, "yarn", false, ROPE_YARN},
    };
    struct gguf_writer w = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        llama_keys(&w);
        gguf_put_f32(&w, "llama.rope.freq_base", rows[i].base);
        if (rows[i].type) gguf_put_string(&w, "llama.rope.scaling.type", rows[i].type);
        if (rows[i].factor != 0) gguf_put_f32(&w, "llama.rope.scaling.factor", rows[i].factor);
        gguf_put_string(&w, "lathe.rope.source", rows[i].source);
        llama_tensors(&w);
        write_file(&w, 0);
        struct model *m = open_good();
        if ((m->hp.rope.runtime == NULL) != rows[i].block_counts || m->hp.rope.type != rows[i].shown ||
            warnings_has(&warn, "rope-source-differs") == rows[i].block_counts)
            fail_msg("row %zu: %s, type %s", i, m->hp.rope.runtime ? "keys" : "block",
                     rope_type_name(m->hp.rope.type));
        assert_string_equal(m->hp.rope.source, rows[i].source);
        model_close(m);
    }
}

/* --- damage --- */

static void put_kv(struct gguf_writer *w, const char *key, enum kv_type type, const char *text)
{
    switch (type) {
    case KV_STRING:
        gguf_put_string(w, key, text);
        break;
    case KV_F32:
        gguf_put_f32(w, key, strtof(text, NULL));
        break;
    case KV_I32:
        gguf_put_i32(w, key, (int32_t)strtol(text, NULL, 10));
        break;
    case KV_U64:
        gguf_put_u64(w, key, strtoull(text, NULL, 10));
        break;
    case KV_BOOL:
        gguf_put_bool(w, key, text[0] == 't');
        break;
    case KV_ARRAY:
        gguf_put_array(w, key, KV_U32, 2, (const uint32_t[]){4, 4});
        break;
    default:
        fail_msg("no such row");
    }
}

static void test_damage(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum kv_type type; /* KV_TYPE_COUNT: the key is removed */
        const char *value;
        enum status status;
        const char *text;
    } rows[] = {
        {"general.architecture", KV_TYPE_COUNT, NULL, STATUS_NOTFOUND,
         "general.architecture: expected in the metadata, not found"},
        {"general.architecture", KV_STRING, "mamba", STATUS_UNSUPPORTED, "unknown architecture 'mamba'"},
        {"lathe.family", KV_STRING, "ministral9", STATUS_UNSUPPORTED,
         "unknown family 'ministral9' of architecture 'llama'"},
        {"lathe.family", KV_STRING, "gpt2", STATUS_UNSUPPORTED,
         "unknown family 'gpt2' of architecture 'llama'"},
        {"lathe.tied_embeddings", KV_STRING, "yes", STATUS_FORMAT,
         "lathe.tied_embeddings: expected a bool, found a value of type string"},
        {"llama.block_count", KV_TYPE_COUNT, NULL, STATUS_NOTFOUND,
         "llama.block_count: expected in the metadata, not found"},
        {"llama.context_length", KV_TYPE_COUNT, NULL, STATUS_NOTFOUND,
         "llama.context_length: expected in the metadata"},
        {"llama.attention.layer_norm_rms_epsilon", KV_TYPE_COUNT, NULL, STATUS_NOTFOUND,
         "layer_norm_rms_epsilon: expected in the metadata"},
        {"llama.block_count", KV_STRING, "2", STATUS_FORMAT,
         "llama.block_count: expected an integer from 1 to 2147483647, found a value of type string"},
        {"llama.block_count", KV_I32, "-2", STATUS_RANGE,
         "llama.block_count: expected an integer from 1 to 2147483647, found -2"},
        {"llama.block_count", KV_U64, "0", STATUS_RANGE, "llama.block_count: expected an integer from 1"},
        {"llama.block_count", KV_U64, "18446744073709551615", STATUS_RANGE,
         "llama.block_count: expected an integer from 1"},
        {"llama.block_count", KV_U64, "2147483647", STATUS_NOTFOUND,
         "tensor 'blk.2.attn_norm.weight': expected 32 from config, not found"},
        {"llama.block_count", KV_U64, "1", STATUS_UNSUPPORTED,
         "tensor 'blk.1.attn_norm.weight': expected no such tensor in family 'llama', found 32 (and 8 more)"},
        {"llama.attention.head_count", KV_ARRAY, "", STATUS_FORMAT,
         "llama.attention.head_count: expected an integer from 1 to 2147483647, found a value of type"},
        {"llama.attention.head_count_kv", KV_U64, "3", STATUS_MISMATCH,
         "number of heads 4 is no multiple of the number of key/value heads 3"},
        {"llama.attention.value_length", KV_U64, "16", STATUS_MISMATCH,
         "llama.attention.value_length: expected 8 as in the key beside it, found 16"},
        {"llama.attention.layer_norm_rms_epsilon", KV_F32, "nan", STATUS_RANGE,
         "layer_norm_rms_epsilon: expected a number of at least 0, found"},
        {"llama.embedding_length", KV_U64, "64", STATUS_MISMATCH,
         "expected 40 x 64 from config, found 40 x 32"},
        {"llama.rope.dimension_count", KV_U64, "4", STATUS_UNSUPPORTED,
         "expected all 8 elements of a head to be rotated, found 4"},
        {"llama.rope.dimension_count", KV_STRING, "8", STATUS_RANGE,
         "llama.rope.dimension_count: expected an integer from 1"},
        {"llama.rope.freq_base", KV_F32, "-1", STATUS_RANGE, "rope.freq_base: expected a positive, finite number, found -1"},
        {"llama.rope.freq_base", KV_STRING, "x", STATUS_FORMAT,
         "llama.rope.freq_base: expected a number, found a value of type string"},
        {"llama.rope.scaling.type", KV_STRING, "spiral", STATUS_UNSUPPORTED,
         "llama.rope.scaling.type: unknown RoPE type 'spiral'"},
        {"llama.rope.scaling.type", KV_U64, "1", STATUS_FORMAT, "llama.rope.scaling.type: expected a string"},
        {"llama.rope.scaling.factor", KV_F32, "-2", STATUS_RANGE,
         "rope.scaling.factor: expected a finite number of at least 0, found -2"},
        {"llama.rope.scaling.attn_factor", KV_F32, "0", STATUS_RANGE,
         "rope.scaling.attn_factor: expected a positive, finite number, found 0"},
        {"llama.rope.scaling.original_context_length", KV_U64, "0", STATUS_RANGE, "expected an integer from 1"},
        {"lathe.rope.source", KV_STRING, "{\"type\": \"dynamic\"}", STATUS_NOTFOUND,
         "'lathe.rope.source.factor': RoPE type 'dynamic' needs it, not found"},
        {"lathe.rope.source", KV_STRING, "{\"type\": \"spiral\"}", STATUS_UNSUPPORTED,
         "'lathe.rope.source.type': unknown RoPE type 'spiral'"},
        {"lathe.rope.source", KV_STRING, "[1]", STATUS_FORMAT, "lathe.rope.source: expected a JSON object"},
        {"lathe.rope.trained_context", KV_U64, "0", STATUS_RANGE, "lathe.rope.trained_context: expected an integer"},
        {"lathe.rope.theta", KV_F32, "-1", STATUS_RANGE, "lathe.rope.theta: expected a positive, finite number"},
        {"lathe.rope.source", KV_STRING, "{", STATUS_FORMAT, ""},
        {"lathe.rope.source", KV_U64, "1", STATUS_FORMAT, "lathe.rope.source: expected a string"},
        {"tokenizer.ggml.bos_token_id", KV_STRING, "1", STATUS_FORMAT,
         "tokenizer.ggml.bos_token_id: expected a token id"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gguf_writer w = {0};
        llama_keys(&w);
        if (rows[i].type == KV_TYPE_COUNT)
            gguf_remove(&w, rows[i].key);
        else
            put_kv(&w, rows[i].key, rows[i].type, rows[i].value);
        llama_tensors(&w);
        write_file(&w, 0);
        refused(rows[i].status, rows[i].text);
    }
    /* --config has no place beside a GGUF */
    struct model *m;
    assert_int_equal(model_open(&m, path, &(struct model_options){.config_path = "x"}, &warn, &err),
                     STATUS_USAGE);
}

static void test_remarks(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    llama_keys(&w);
    gguf_put_u32(&w, "llama.expert_count", 8);
    gguf_put_u32(&w, "llamas.expert_count", 8); /* not this architecture's */
    gguf_put_u32(&w, "llama.vocab_size", 39);
    llama_tensors(&w);
    write_file(&w, 0);
    struct model *m = open_good();
    assert_int_equal(warn.count, 2);
    assert_string_equal(warn.items[0].text, "metadata key 'llama.expert_count' is not used");
    assert_string_equal(warn.items[1].code, "vocab-size-differs");
    assert_int_equal(m->hp.n_vocab, 40);
    model_close(m);
}

/* --- writing --- */

/* Each pair is in w with this value, and nothing else is. */
static void expect_keys(const struct gguf_writer *w, const char *const *lines)
{
    size_t n = 0;
    for (; lines[n]; n++) {
        bool found = false;
        for (size_t i = 0; i < w->n_kvs && !found; i++) {
            const struct kv *kv = &w->kvs[i];
            char line[256];
            switch (kv->type) {
            case KV_STRING:
                snprintf(line, sizeof line, "%s s %s", kv->key, kv->v.str.s);
                break;
            case KV_F32:
                snprintf(line, sizeof line, "%s f32 %.9g", kv->key, kv->v.f);
                break;
            default:
                snprintf(line, sizeof line, "%s %s %" PRIu64, kv->key, kv_type_name(kv->type), kv->v.u);
            }
            found = strcmp(line, lines[n]) == 0;
        }
        if (!found) fail_msg("not written: %s", lines[n]);
    }
    assert_int_equal(w->n_kvs, n);
}

static void put(struct fixture *f, struct gguf_writer *w)
{
    struct model *m;
    warnings_clear(&warn);
    if (model_open(&m, fixture_write(f), NULL, &warn, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(model_put_hparams(m->arch, &m->hp, w, &warn, &err), STATUS_OK);
    model_close(m);
}

static void test_put_llama(void **state)
{
    (void)state;
    struct fixture f;
    struct gguf_writer w = {0};
    fixture_llama(&f, NULL);
    fixture_config(&f, "rope_theta", "500000");
    put(&f, &w);
    static const char *const plain[] = {"llama.block_count u32 2",
                                        "llama.context_length u32 64",
                                        "llama.embedding_length u32 32",
                                        "llama.feed_forward_length u32 48",
                                        "llama.attention.head_count u32 4",
                                        "llama.attention.head_count_kv u32 2",
                                        "llama.attention.layer_norm_rms_epsilon f32 9.99999975e-06",
                                        "llama.attention.key_length u32 8",
                                        "llama.attention.value_length u32 8",
                                        "llama.vocab_size u32 40",
                                        "llama.rope.dimension_count u32 8",
                                        "llama.rope.freq_base f32 500000",
                                        "lathe.family s llama",
                                        "lathe.tied_embeddings bool 0",
                                        "lathe.rope.source s {\"rope_theta\": 500000}",
                                        NULL};
    expect_keys(&w, plain);
    assert_int_equal(warn.count, 0);
    gguf_writer_clear(&w);
    /* a scaled one whose numbers no float holds */
    fixture_config(&f, "rope_theta", "10000.0001");
    fixture_config(&f, "rope_scaling", "{\"type\": \"linear\",  \"factor\": 2.5}");
    put(&f, &w);
    assert_int_equal(warn.count, 1);
    assert_string_equal(warn.items[0].code, "rope-value-rounded");
    bool factor = false, type = false, source = false;
    for (size_t i = 0; i < w.n_kvs; i++) {
        const struct kv *kv = &w.kvs[i];
        factor = factor ||
                 (strcmp(kv->key, "llama.rope.scaling.factor") == 0 && kv->type == KV_F32 && kv->v.f == 2.5);
        type =
            type || (strcmp(kv->key, "llama.rope.scaling.type") == 0 && strcmp(kv->v.str.s, "linear") == 0);
        source = source || (strcmp(kv->key, "lathe.rope.source") == 0 &&
                            strcmp(kv->v.str.s, "{\"type\": \"linear\",  \"factor\": 2.5}") == 0);
    }
    assert_true(factor && type && source);
    gguf_writer_clear(&w);
    fixture_clear(&f);
}

static void test_put_gpt2(void **state)
{
    (void)state;
    struct fixture f;
    struct gguf_writer w = {0};
    fixture_gpt2(&f, NULL);
    put(&f, &w);
    static const char *const plain[] = {"gpt2.block_count u32 2",
                                        "gpt2.context_length u32 64",
                                        "gpt2.embedding_length u32 32",
                                        "gpt2.feed_forward_length u32 48",
                                        "gpt2.attention.head_count u32 4",
                                        "gpt2.attention.layer_norm_epsilon f32 9.99999975e-06",
                                        "lathe.family s gpt2",
                                        "lathe.tied_embeddings bool 1",
                                        NULL};
    expect_keys(&w, plain);
    assert_int_equal(warn.count, 0);
    gguf_writer_clear(&w);
    fixture_config(&f, "activation_function", "\"gelu\"");
    put(&f, &w);
    assert_int_equal(w.n_kvs, 9);
    assert_true(warn.count == 1 && warnings_has(&warn, "runtime-ignores-activation"));
    assert_non_null(strstr(warn.items[0].text, "gpt2.hidden_activation = gelu"));
    gguf_writer_clear(&w);
    fixture_clear(&f);
}

/* What is written is read back the same. */
static void test_round_trip(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    const struct hparams hp = {
        .n_vocab = 40,
        .n_ctx = 128,
        .n_layer = 2,
        .n_embd = 32,
        .n_ff = 64,
        .n_head = 4,
        .n_head_kv = 2,
        .head_dim = 8,
        .norm_eps = 0.25,
        .tied = true,
        .rope = {.type = ROPE_LINEAR, .dim = 8, .theta = 1e6, .factor = 4, .source = "{\"factor\":4,\"type\":\"linear\"}"}};
    gguf_put_string(&w, "general.architecture", "llama");
    warnings_clear(&warn);
    assert_int_equal(model_put_hparams(arch_by_family("llama"), &hp, &w, &warn, &err), STATUS_OK);
    llama_tensors(&w);
    write_file(&w, 0);
    struct model *m = open_good();
    assert_int_equal(warn.count, 0);
    assert_int_equal(m->hp.n_ctx, hp.n_ctx);
    assert_int_equal(m->hp.n_head_kv, hp.n_head_kv);
    assert_true(m->hp.norm_eps == hp.norm_eps && m->hp.tied);
    assert_true(m->hp.rope.type == ROPE_LINEAR && m->hp.rope.theta == 1e6 && m->hp.rope.factor == 4);
    assert_string_equal(m->hp.rope.source, hp.rope.source);
    assert_null(m->hp.rope.runtime);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_llama_old),
        cmocka_unit_test(test_llama_kv_default),
        cmocka_unit_test(test_llama_biases),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_tied),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rope_source),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_remarks),
        cmocka_unit_test(test_put_llama),
        cmocka_unit_test(test_put_gpt2),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
