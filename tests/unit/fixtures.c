#include "tests/unit/fixtures.h"

#include "base/file.h"
#include "base/json.h"
#include "base/cursor.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const struct fixture_sizes fixture_sizes_default = {
    .vocab = 40, .ctx = 64, .layers = 2, .embd = 32, .ff = 48, .heads = 4, .heads_kv = 2, .head_dim = 8};

/* xorshift64*, seeded by the name: numbers of about ±0.3, norm weights around 1 */
static void fill(struct fixture_tensor *t)
{
    uint64_t s = 1469598103934665603u;
    for (const char *p = t->name; *p; p++) s = (s ^ (unsigned char)*p) * 1099511628211u;
    bool norm = t->n_dims == 1 && (strstr(t->name, "norm.weight") || strstr(t->name, "ln_"));
    for (int64_t i = 0; i < t->n_elements; i++) {
        s ^= s >> 12, s ^= s << 25, s ^= s >> 27;
        float u = (float)((s * 2685821657736338717u) >> 40) / 16777216.0f - 0.5f;
        t->data[i] = (norm && strstr(t->name, "weight") ? 1.0f : 0.0f) + 0.6f * u;
    }
}

static void set_shape(struct fixture_tensor *t, int n_dims, const int64_t *shape)
{
    assert_in_range(n_dims, 0, 4);
    t->n_dims = n_dims;
    t->n_elements = 1;
    for (int i = 0; i < n_dims; i++) t->n_elements *= t->shape[i] = shape[i];
    free(t->data);
    t->data = calloc((size_t)t->n_elements + 1, sizeof *t->data);
    assert_non_null(t->data);
    fill(t);
}

struct fixture_tensor *fixture_add(struct fixture *f, const char *name, int n_dims, const int64_t *shape)
{
    assert_in_range(f->n_tensors, 0, FIXTURE_TENSORS_MAX - 1);
    struct fixture_tensor *t = &f->tensors[f->n_tensors++];
    *t = (struct fixture_tensor){.dtype = DTYPE_F32};
    snprintf(t->name, sizeof t->name, "%s", name);
    set_shape(t, n_dims, shape);
    return t;
}

static void add1(struct fixture *f, const char *name, int64_t a)
{
    fixture_add(f, name, 1, (int64_t[]){a});
}

static void add2(struct fixture *f, const char *name, int64_t a, int64_t b)
{
    fixture_add(f, name, 2, (int64_t[]){a, b});
}

/* "<before><layer><after>" in a buffer that the next call reuses */
static const char *in_layer(const char *before, int64_t layer, const char *after)
{
    static char name[96];
    snprintf(name, sizeof name, "%s%" PRId64 "%s", before, layer, after);
    return name;
}

static void config_int(struct fixture *f, const char *key, int64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, v);
    fixture_config(f, key, text);
}

static void begin(struct fixture *f, const struct fixture_sizes *sizes)
{
    memset(f, 0, sizeof *f);
    f->sizes = sizes ? *sizes : fixture_sizes_default;
    snprintf(f->dir, sizeof f->dir, "/tmp/lathe_fixture_XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->weights, sizeof f->weights, "%s/model.safetensors", f->dir);
}

void fixture_llama(struct fixture *f, const struct fixture_sizes *sizes)
{
    begin(f, sizes);
    const struct fixture_sizes *z = &f->sizes;
    fixture_config(f, "architectures", "[\"LlamaForCausalLM\"]");
    fixture_config(f, "model_type", "\"llama\"");
    config_int(f, "vocab_size", z->vocab);
    config_int(f, "max_position_embeddings", z->ctx);
    config_int(f, "num_hidden_layers", z->layers);
    config_int(f, "hidden_size", z->embd);
    config_int(f, "intermediate_size", z->ff);
    config_int(f, "num_attention_heads", z->heads);
    config_int(f, "num_key_value_heads", z->heads_kv);
    config_int(f, "head_dim", z->head_dim);
    fixture_config(f, "rms_norm_eps", "1e-05");
    fixture_config(f, "hidden_act", "\"silu\"");
    fixture_config(f, "rope_theta", "10000.0");
    fixture_config(f, "rope_scaling", "null");
    fixture_config(f, "tie_word_embeddings", "false");
    fixture_config(f, "torch_dtype", "\"float32\"");
    fixture_config(f, "bos_token_id", "1");
    fixture_config(f, "eos_token_id", "2");
    add2(f, "lm_head.weight", z->vocab, z->embd);
    add2(f, "model.embed_tokens.weight", z->vocab, z->embd);
    for (int64_t i = 0; i < z->layers; i++) {
        add1(f, in_layer("model.layers.", i, ".input_layernorm.weight"), z->embd);
        add2(f, in_layer("model.layers.", i, ".mlp.down_proj.weight"), z->embd, z->ff);
        add2(f, in_layer("model.layers.", i, ".mlp.gate_proj.weight"), z->ff, z->embd);
        add2(f, in_layer("model.layers.", i, ".mlp.up_proj.weight"), z->ff, z->embd);
        add1(f, in_layer("model.layers.", i, ".post_attention_layernorm.weight"), z->embd);
        add2(f, in_layer("model.layers.", i, ".self_attn.k_proj.weight"), z->heads_kv * z->head_dim, z->embd);
        add2(f, in_layer("model.layers.", i, ".self_attn.o_proj.weight"), z->embd, z->heads * z->head_dim);
        add2(f, in_layer("model.layers.", i, ".self_attn.q_proj.weight"), z->heads * z->head_dim, z->embd);
        add2(f, in_layer("model.layers.", i, ".self_attn.v_proj.weight"), z->heads_kv * z->head_dim, z->embd);
    }
    add1(f, "model.norm.weight", z->embd);
}

void fixture_gpt2(struct fixture *f, const struct fixture_sizes *sizes)
{
    begin(f, sizes);
    const struct fixture_sizes *z = &f->sizes;
    fixture_config(f, "architectures", "[\"GPT2LMHeadModel\"]");
    fixture_config(f, "model_type", "\"gpt2\"");
    config_int(f, "vocab_size", z->vocab);
    config_int(f, "n_positions", z->ctx);
    config_int(f, "n_ctx", z->ctx);
    config_int(f, "n_layer", z->layers);
    config_int(f, "n_embd", z->embd);
    config_int(f, "n_head", z->heads);
    config_int(f, "n_inner", z->ff);
    fixture_config(f, "activation_function", "\"gelu_new\"");
    fixture_config(f, "layer_norm_epsilon", "1e-05");
    fixture_config(f, "attn_pdrop", "0.1");
    fixture_config(f, "initializer_range", "0.02");
    fixture_config(f, "bos_token_id", "0");
    fixture_config(f, "eos_token_id", "0");
    for (int64_t i = 0; i < z->layers; i++) {
        add1(f, in_layer("transformer.h.", i, ".attn.c_attn.bias"), 3 * z->embd);
        add2(f, in_layer("transformer.h.", i, ".attn.c_attn.weight"), z->embd, 3 * z->embd);
        add1(f, in_layer("transformer.h.", i, ".attn.c_proj.bias"), z->embd);
        add2(f, in_layer("transformer.h.", i, ".attn.c_proj.weight"), z->embd, z->embd);
        add1(f, in_layer("transformer.h.", i, ".ln_1.bias"), z->embd);
        add1(f, in_layer("transformer.h.", i, ".ln_1.weight"), z->embd);
        add1(f, in_layer("transformer.h.", i, ".ln_2.bias"), z->embd);
        add1(f, in_layer("transformer.h.", i, ".ln_2.weight"), z->embd);
        add1(f, in_layer("transformer.h.", i, ".mlp.c_fc.bias"), z->ff);
        add2(f, in_layer("transformer.h.", i, ".mlp.c_fc.weight"), z->embd, z->ff);
        add1(f, in_layer("transformer.h.", i, ".mlp.c_proj.bias"), z->embd);
        add2(f, in_layer("transformer.h.", i, ".mlp.c_proj.weight"), z->ff, z->embd);
    }
    add1(f, "transformer.ln_f.bias", z->embd);
    add1(f, "transformer.ln_f.weight", z->embd);
    add2(f, "transformer.wpe.weight", z->ctx, z->embd);
    add2(f, "transformer.wte.weight", z->vocab, z->embd);
}

void fixture_config(struct fixture *f, const char *key, const char *json)
{
    size_t i = 0;
    while (i < f->n_config && strcmp(f->config[i].key, key) != 0) i++;
    if (!json) {
        if (i < f->n_config)
            memmove(&f->config[i], &f->config[i + 1], (--f->n_config - i) * sizeof f->config[0]);
        return;
    }
    assert_in_range(i, 0, FIXTURE_KEYS_MAX - 1);
    if (i == f->n_config) f->n_config++;
    snprintf(f->config[i].key, sizeof f->config[i].key, "%s", key);
    snprintf(f->config[i].value, sizeof f->config[i].value, "%s", json);
}

struct fixture_tensor *fixture_find(struct fixture *f, const char *name)
{
    for (size_t i = 0; i < f->n_tensors; i++)
        if (strcmp(f->tensors[i].name, name) == 0) return &f->tensors[i];
    fail_msg("the fixture has no tensor '%s'", name);
    return NULL;
}

void fixture_remove(struct fixture *f, const char *name)
{
    struct fixture_tensor *t = fixture_find(f, name);
    free(t->data);
    size_t i = (size_t)(t - f->tensors);
    memmove(t, t + 1, (--f->n_tensors - i) * sizeof *t);
}

void fixture_reshape(struct fixture *f, const char *name, int n_dims, const int64_t *shape)
{
    set_shape(fixture_find(f, name), n_dims, shape);
}

void fixture_reprefix(struct fixture *f, const char *prefix, const char *add)
{
    for (size_t i = 0; i < f->n_tensors; i++) {
        char name[96];
        size_t n = strlen(prefix);
        if (strncmp(f->tensors[i].name, prefix, n) != 0) continue;
        int written = snprintf(name, sizeof name, "%s%s", add ? add : "", f->tensors[i].name + n);
        assert_in_range(written, 1, sizeof name - 1);
        memcpy(f->tensors[i].name, name, sizeof name);
    }
}

void fixture_file(struct fixture *f, const char *name, const char *text)
{
    struct error err;
    char path[192];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    if (file_write_whole(path, OUTFILE_REPLACE, text, strlen(text), &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void write_config(struct fixture *f)
{
    struct buf b = {0};
    buf_puts(&b, "{");
    for (size_t i = 0; i < f->n_config; i++)
        buf_printf(&b, "%s\n  \"%s\": %s", i ? "," : "", f->config[i].key, f->config[i].value);
    buf_puts(&b, "\n}\n");
    assert_false(b.failed);
    fixture_file(f, "config.json", b.data);
    buf_clear(&b);
}

const char *fixture_write(struct fixture *f)
{
    struct error err;
    struct buf head = {0}, data = {0}, whole = {0};
    struct jwriter w = {.out = &head};
    jw_begin_object(&w, NULL);
    for (size_t i = 0; i < f->n_tensors; i++) {
        const struct fixture_tensor *t = &f->tensors[i];
        uint64_t n;
        assert_true(dtype_bytes(t->dtype, t->n_elements, &n));
        char *raw = calloc((size_t)n + 1, 1);
        assert_non_null(raw);
        /* other types are all zeros: only their presence matters */
        if (dtype_info(t->dtype)->is_float && t->dtype != DTYPE_F8_E4M3)
            assert_int_equal(dtype_cast(t->dtype, raw, DTYPE_F32, t->data, t->n_elements, NULL, &err),
                             STATUS_OK);
        jw_begin_object(&w, t->name);
        jw_string(&w, "dtype", dtype_info(t->dtype)->st_name);
        jw_begin_array(&w, "shape");
        for (int d = 0; d < t->n_dims; d++) jw_int(&w, NULL, t->shape[d]);
        jw_end_array(&w);
        jw_begin_array(&w, "data_offsets");
        jw_uint(&w, NULL, data.len);
        jw_uint(&w, NULL, data.len + n);
        jw_end_array(&w);
        jw_end_object(&w);
        buf_append(&data, raw, (size_t)n);
        free(raw);
    }
    jw_end_object(&w);
    while (head.len % 8 != 0) buf_puts(&head, " ");
    unsigned char size[8];
    le_put64(size, head.len);
    buf_append(&whole, size, sizeof size);
    buf_append(&whole, head.data, head.len);
    buf_append(&whole, data.data, data.len);
    assert_false(head.failed || data.failed || whole.failed);
    if (file_write_whole(f->weights, OUTFILE_REPLACE, whole.data, whole.len, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    buf_clear(&head);
    buf_clear(&data);
    buf_clear(&whole);
    write_config(f);
    return f->dir;
}

void fixture_clear(struct fixture *f)
{
    struct arena a = {0};
    struct error err;
    char **names;
    size_t n;
    if (dir_list(f->dir, &a, &names, &n, &err) == STATUS_OK)
        for (size_t i = 0; i < n; i++) unlink(path_join(&a, f->dir, names[i]));
    rmdir(f->dir);
    arena_clear(&a);
    for (size_t i = 0; i < f->n_tensors; i++) free(f->tensors[i].data);
    memset(f, 0, sizeof *f);
}
