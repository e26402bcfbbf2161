#include "tests/unit/family_models.h"

#include "base/cursor.h"
#include "base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const struct family_sizes family_sizes_small = {61, 48, 2, 32, 32, 4, 2, 8};
const struct family_sizes family_sizes_wide = {61, 48, 1, 256, 256, 4, 2, 64};

extern const struct arch arch_gpt1, arch_gpt2, arch_gptneo, arch_gptj, arch_gptneox, arch_bigcode, arch_qwen3, arch_qwen2;
extern const struct arch arch_llama, arch_llama_meta, arch_mistral, arch_mistral_meta;
extern const struct arch arch_glm2021, arch_chatglm1, arch_chatglm2, arch_chatglm2x, arch_glm, arch_glm4, arch_glm4_moe;

#define GPT2_SIZES "'n_layer': @L, 'n_positions': @P, 'n_embd': @E, 'n_head': @H, 'n_inner': @F, 'vocab_size': @V"
#define LLAMA_SIZES                                                                                                    \
    "'num_hidden_layers': @L, 'max_position_embeddings': @P, 'hidden_size': @E, 'intermediate_size': @F, "             \
    "'num_attention_heads': @H, 'num_key_value_heads': @K, 'head_dim': @D, 'vocab_size': @V, 'rms_norm_eps': 1e-05, "   \
    "'hidden_act': 'silu'"
#define META_SIZES                                                                                                     \
    "'dim': @E, 'n_layers': @L, 'n_heads': @H, 'n_kv_heads': @K, 'head_dim': @D, 'norm_eps': 1e-05, " \
    "'vocab_size': @V"
#define CHATGLM2_SIZES                                                                                                 \
    "'model_type': 'chatglm', 'num_layers': @L, 'seq_length': @P, 'hidden_size': @E, 'ffn_hidden_size': @F, "          \
    "'num_attention_heads': @H, 'kv_channels': @D, 'padded_vocab_size': @V, 'layernorm_epsilon': 1e-05, "              \
    "'tie_word_embeddings': false"

const struct family_row family_models[] = {
    {&arch_gpt1, "", "{'model_type': 'openai-gpt', 'n_layer': @L, 'n_positions': @P, 'n_embd': @E, 'n_head': @H, "
                     "'vocab_size': @V, 'afn': 'gelu', 'layer_norm_epsilon': 1e-05}",
     .heads_alike = true, .ff_is_4e = true, .hp = {.tied = true}},
    {&arch_gpt2, "", "{'model_type': 'gpt2', " GPT2_SIZES ", 'activation_function': 'gelu_new', 'layer_norm_epsilon': 1e-05}",
     .heads_alike = true, .hp = {.tied = true}},
    {&arch_gptneo, "", "{'model_type': 'gpt_neo', 'num_layers': @L, 'max_position_embeddings': @P, 'hidden_size': @E, "
                       "'num_heads': @H, 'intermediate_size': @F, 'vocab_size': @V, 'activation_function': 'gelu_new', "
                       "'attention_types': [[['global', 'local'], 1]], 'window_size': 4, 'layer_norm_epsilon': 1e-05}",
     .heads_alike = true, .hp = {.tied = true}},
    {&arch_gptj, "", "{'model_type': 'gptj', " GPT2_SIZES ", 'rotary_dim': 4, 'activation_function': 'gelu_new', "
                     "'layer_norm_epsilon': 1e-05}",
     .heads_alike = true, .hp = {.output_bias = true}},
    {&arch_gptneox, "parallel", "{'model_type': 'gpt_neox', 'num_hidden_layers': @L, 'max_position_embeddings': @P, "
                                "'hidden_size': @E, 'intermediate_size': @F, 'num_attention_heads': @H, 'vocab_size': @V, "
                                "'rotary_pct': 0.5, 'rotary_emb_base': 10000, 'use_parallel_residual': true, "
                                "'hidden_act': 'gelu', 'layer_norm_eps': 1e-05, 'tie_word_embeddings': false}",
     .heads_alike = true, .hp = {.attn_bias = true}},
    {&arch_gptneox, "sequential, tied", "{'model_type': 'gpt_neox', 'num_hidden_layers': @L, 'max_position_embeddings': @P, "
                                        "'hidden_size': @E, 'intermediate_size': @F, 'num_attention_heads': @H, "
                                        "'vocab_size': @V, 'rotary_pct': 1.0, 'rotary_emb_base': 10000, "
                                        "'use_parallel_residual': false, 'hidden_act': 'gelu', 'layer_norm_eps': 1e-05, "
                                        "'tie_word_embeddings': true}",
     .heads_alike = true, .hp = {.attn_bias = true, .tied = true}},
    {&arch_bigcode, "one key head", "{'model_type': 'gpt_bigcode', " GPT2_SIZES ", 'multi_query': true, "
                                    "'activation_function': 'gelu', 'layer_norm_epsilon': 1e-05}",
     .one_key_head = true, .hp = {.tied = true}},
    {&arch_bigcode, "all key heads", "{'model_type': 'gpt_bigcode', " GPT2_SIZES ", 'multi_query': false, "
                                     "'activation_function': 'gelu', 'layer_norm_epsilon': 1e-05}",
     .heads_alike = true, .hp = {.tied = true}},
    {&arch_qwen3, "", "{'model_type': 'qwen3', " LLAMA_SIZES ", 'tie_word_embeddings': false}", .hp = {.tied = false}},
    {&arch_qwen2, "tied", "{'model_type': 'qwen2', " LLAMA_SIZES ", 'tie_word_embeddings': true}", .hp = {.tied = true}},
    {&arch_llama, "biases", "{'model_type': 'llama', " LLAMA_SIZES ", 'attention_bias': true, 'mlp_bias': true, "
                            "'tie_word_embeddings': false}",
     .hp = {.attn_bias = true, .mlp_bias = true}},
    {&arch_llama, "tied, rope scaled", "{'model_type': 'llama', " LLAMA_SIZES ", 'tie_word_embeddings': true, "
                                       "'rope_scaling': {'rope_type': 'linear', 'factor': 4.0}}",
     .hp = {.tied = true}},
    {&arch_llama_meta, "Meta's files", "{" META_SIZES ", 'multiple_of': 32, 'ffn_dim_multiplier': 0.375}", .is_params = true}, /* F is E */
    {&arch_mistral, "", "{'model_type': 'mistral', " LLAMA_SIZES ", 'sliding_window': 5, 'tie_word_embeddings': false}", .hp = {.tied = false}},
    {&arch_mistral_meta, "its own files", "{" META_SIZES ", 'hidden_dim': @F, 'sliding_window': 5}", .is_params = true},
    {&arch_glm2021, "", "{'model_type': 'glm', 'num_layers': @L, 'max_sequence_length': @P, 'hidden_size': @E, "
                        "'num_attention_heads': @H, 'vocab_size': @V, 'block_position_encoding': true, "
                        "'relative_encoding': false, 'sop_token_id': 58, 'mask_token_id': 59, 'gmask_token_id': 60}",
     .heads_alike = true, .ff_is_4e = true, .hp = {.tied = true, .block_positions = true}},
    {&arch_chatglm1, "", "{'model_type': 'chatglm', 'num_layers': @L, 'max_sequence_length': @P, 'hidden_size': @E, "
                         "'inner_hidden_size': @F, 'num_attention_heads': @H, 'vocab_size': @V, 'layernorm_epsilon': 1e-05, "
                         "'position_encoding_2d': true, 'bos_token_id': 58, 'mask_token_id': 59, 'gmask_token_id': 60}",
     .heads_alike = true},
    {&arch_chatglm2, "", "{" CHATGLM2_SIZES ", 'add_qkv_bias': true, 'multi_query_attention': true, "
                         "'multi_query_group_num': @K}",
     .hp = {.attn_bias = true}},
    {&arch_chatglm2x, "", "{" CHATGLM2_SIZES ", 'add_bias_linear': true, 'add_qkv_bias': true, 'rmsnorm': false, "
                          "'apply_residual_connection_post_layernorm': true, 'multi_query_attention': false}",
     .heads_alike = true,
     .hp = {.attn_bias = true, .mlp_bias = true, .layer_norm = true, .qkv_per_head = true, .normed_residual = true}},
    {&arch_glm, "", "{'model_type': 'glm', " LLAMA_SIZES ", 'partial_rotary_factor': 0.5, 'attention_bias': true, "
                    "'tie_word_embeddings': false}",
     .hp = {.attn_bias = true}},
    {&arch_glm4, "", "{'model_type': 'glm4', " LLAMA_SIZES ", 'partial_rotary_factor': 0.5, 'attention_bias': true, "
                     "'tie_word_embeddings': false}",
     .hp = {.attn_bias = true}},
    {&arch_glm4_moe, "", "{'model_type': 'glm4_moe', " LLAMA_SIZES ", 'partial_rotary_factor': 0.5, 'attention_bias': true, "
                         "'use_qk_norm': true, 'n_routed_experts': 4, 'num_experts_per_tok': 2, 'n_shared_experts': 1, "
                         "'moe_intermediate_size': @F, 'first_k_dense_replace': 1, 'n_group': 1, 'topk_group': 1, "
                         "'routed_scaling_factor': 1.5, 'norm_topk_prob': true, 'tie_word_embeddings': false}",
     .hp = {.attn_bias = true, .qk_norm = true, .n_expert = 4, .n_expert_used = 2, .n_expert_shared = 1, .n_dense = 1}},
};
const size_t n_family_models = sizeof family_models / sizeof *family_models;

/* --- sizes --- */

static void fill_sizes(struct hparams *hp, const struct family_row *row, const struct family_sizes *s)
{
    *hp = row->hp;
    hp->n_vocab = s->vocab;
    hp->n_ctx = s->ctx;
    hp->n_layer = s->layers;
    hp->n_embd = s->embd;
    hp->n_ff = row->ff_is_4e ? 4 * s->embd : s->ff;
    hp->n_head = s->heads;
    hp->n_head_kv = row->heads_alike ? s->heads : row->one_key_head ? 1 : s->heads_kv;
    hp->head_dim = s->head_dim;
    hp->n_ff_expert = s->ff;
    hp->n_ff_shared = s->ff * row->hp.n_expert_shared;
}

static int64_t size_of_letter(const struct hparams *hp, char letter)
{
    static const char one[] = "VPLEFHKD";
    const int64_t values[] = {hp->n_vocab, hp->n_ctx, hp->n_layer, hp->n_embd, hp->n_ff, hp->n_head, hp->n_head_kv, hp->head_dim};
    const char *at = strchr(one, letter);
    assert_true(at && letter);
    return values[at - one];
}

static const char bias_on[] = "'attention_bias': true", bias_off[] = "'attention_bias': false";

static void expand_config(struct buf *out, const char *text, const struct hparams *hp)
{
    for (const char *p = text; *p; p++) {
        if (!hp->attn_bias && strncmp(p, bias_on, strlen(bias_on)) == 0) {
            expand_config(out, bias_off, hp);
            p += strlen(bias_on) - 1;
        } else if (*p == '@') buf_printf(out, "%lld", (long long)size_of_letter(hp, *++p));
        else buf_append(out, *p == '\'' ? "\"" : p, 1);
    }
}

/* --- numbers --- */

/* xorshift64*, seeded by the name: uniform in [-1, 1) */
struct numbers {
    uint64_t s;
};

static struct numbers numbers_of(const char *name)
{
    struct numbers r = {1469598103934665603u};
    for (const char *p = name; *p; p++) r.s = (r.s ^ (unsigned char)*p) * 1099511628211u;
    return r;
}

static float next_number(struct numbers *r)
{
    r->s ^= r->s >> 12, r->s ^= r->s << 25, r->s ^= r->s >> 27;
    return (float)((r->s * 2685821657736338717u) >> 40) / 8388608.0f - 1;
}

/* Rows that keep the size of what they meet, norms around 1, biases that show. */
static void put_numbers(struct buf *data, const char *name, const struct tensor_rule *rule, int n_dims, int64_t n_in,
                        int64_t n)
{
    struct numbers r = numbers_of(name);
    bool table = rule->role == ROLE_TOKEN_EMBD || rule->role == ROLE_POSITION_EMBD || rule->role == ROLE_BLOCK_POSITION_EMBD;
    float base = n_dims == 1 && rule->part == PART_WEIGHT ? 1 : 0;
    float scale = n_dims == 1 ? 0.4f : table ? 1.0f : (float)(2.2 / sqrt((double)n_in));
    for (int64_t i = 0; i < n; i++) {
        float x = base + scale * next_number(&r);
        buf_append(data, &x, sizeof x);
    }
}

/* --- tensors --- */

struct st_file {
    struct buf head, data;
    const struct family_model *f;
};

static void add_tensor(struct st_file *st, const struct tensor_rule *rule, const char *name, int skip_dims)
{
    int64_t shape[4], n = 1;
    int n_dims = 0;
    char text[64], *rest = text;
    snprintf(text, sizeof text, "%s", rule->shape);
    for (char *part; (part = strsep(&rest, ",")) != NULL;) {
        if (skip_dims-- > 0) continue;
        assert_true(n_dims < 4);
        shape[n_dims] = hparams_eval(&st->f->hp, part);
        if (shape[n_dims] < 1) fail_msg("%s: shape %s", name, rule->shape);
        n *= shape[n_dims++];
    }
    bool transposed = rule->transform == TRANSFORM_TRANSPOSE;
    size_t begin = st->data.len;
    put_numbers(&st->data, name, rule, n_dims, n_dims > 1 ? shape[transposed ? 0 : n_dims - 1] : n, n);
    buf_printf(&st->head, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", st->head.len > 1 ? "," : "", name);
    for (int d = 0; d < n_dims; d++) buf_printf(&st->head, "%s%lld", d ? "," : "", (long long)shape[d]);
    buf_printf(&st->head, "],\"data_offsets\":[%zu,%zu]}", begin, st->data.len);
}

/* "{p}layers.{i}.w|other" with prefix, layer and expert put in */
static void expand_name(char out[160], const struct arch *arch, const char *pattern, int64_t layer, int64_t expert)
{
    size_t n = 0;
    for (const char *p = pattern; *p && *p != '|'; p++) {
        if (p[0] == '{') {
            if (p[1] == 'p') n += (size_t)snprintf(out + n, 160 - n, "%s", arch->prefixes[0]);
            else n += (size_t)snprintf(out + n, 160 - n, "%lld", (long long)(p[1] == 'i' ? layer : expert));
            p += 2;
        } else {
            out[n++] = *p;
        }
        assert_true(n < 160);
    }
    out[n] = 0;
}

static bool wanted(const struct family_model *f, const struct tensor_rule *r, bool untie)
{
    if (!r->source || r->presence == PRESENCE_DROPPED || r->presence == PRESENCE_LEFT_OUT) return false;
    if (r->role == ROLE_OUTPUT && r->part == PART_WEIGHT) return untie || !f->hp.tied;
    return r->presence == PRESENCE_REQUIRED && (!r->when || r->when(&f->hp));
}

static void add_rule(struct st_file *st, const struct tensor_rule *r, int64_t layer)
{
    char name[160];
    const struct arch *arch = st->f->row->arch;
    if (r->in_layer && !r->in_layer(&st->f->hp, layer)) return;
    bool experts = strstr(r->source, "{e}") != NULL;
    for (int64_t e = 0; e < (experts ? st->f->hp.n_expert : 1); e++) {
        expand_name(name, arch, r->source, layer, e);
        add_tensor(st, r, name, experts);
    }
}

static void write_file(const struct family_model *f, const char *name, const struct buf *b)
{
    char path[300];
    struct error err;
    assert_false(b->failed);
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    if (file_write_whole(path, OUTFILE_REPLACE, b->data, b->len, &err) != STATUS_OK) fail_msg("%s", err.text);
}

static void write_tensors(const struct family_model *f, bool untie)
{
    struct st_file st = {.f = f};
    unsigned char size[8];
    struct buf whole = {0};
    buf_puts(&st.head, "{");
    for (const struct tensor_rule *r = f->row->arch->rules; r->shape; r++) {
        if (!wanted(f, r, untie)) continue;
        for (int64_t l = 0; l < (strstr(r->source, "{i}") ? f->hp.n_layer : 1); l++) add_rule(&st, r, l);
    }
    buf_puts(&st.head, "}");
    while (st.head.len % 8) buf_puts(&st.head, " ");
    le_put64(size, st.head.len);
    buf_append(&whole, size, sizeof size);
    buf_append(&whole, st.head.data, st.head.len);
    buf_append(&whole, st.data.data, st.data.len);
    write_file(f, f->row->is_params ? "consolidated.safetensors" : "model.safetensors", &whole);
    buf_clear(&whole);
    buf_clear(&st.head);
    buf_clear(&st.data);
}

static bool has_output_rule(const struct arch *arch)
{
    for (const struct tensor_rule *r = arch->rules; r->shape; r++)
        if (r->role == ROLE_OUTPUT && r->part == PART_WEIGHT && r->source) return true;
    return false;
}

static void write_all(struct family_model *f, bool untie)
{
    const char *base = getenv("TMPDIR");
    const struct family_row *row = f->row;
    struct buf config = {0};
    snprintf(f->dir, sizeof f->dir, "%s/lathe-family-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    expand_config(&config, row->config, &f->hp);
    write_file(f, row->is_params ? "params.json" : "config.json", &config);
    buf_clear(&config);
    write_tensors(f, untie);
}

bool family_write(struct family_model *f, const struct family_row *row, const struct family_sizes *sizes, bool untie)
{
    *f = (struct family_model){.row = row};
    if (untie && !has_output_rule(row->arch)) return false;
    fill_sizes(&f->hp, row, sizes);
    write_all(f, untie);
    return true;
}

bool family_write_unbiased(struct family_model *f, const struct family_row *row, const struct family_sizes *sizes)
{
    *f = (struct family_model){.row = row};
    if (!row->hp.attn_bias || !strstr(row->config, bias_on)) return false;
    fill_sizes(&f->hp, row, sizes);
    f->hp.attn_bias = false;
    write_all(f, false);
    return true;
}

void family_clear(struct family_model *f)
{
    struct arena a = {0};
    struct error err;
    char **names;
    size_t n;
    if (f->dir[0] && dir_list(f->dir, &a, &names, &n, &err) == STATUS_OK)
        for (size_t i = 0; i < n; i++) unlink(path_join(&a, f->dir, names[i]));
    if (f->dir[0]) rmdir(f->dir);
    arena_clear(&a);
    *f = (struct family_model){0};
}

struct model *family_open(const char *path)
{
    struct model *m;
    struct error err;
    struct warnings w = {0};
    if (model_open(&m, path, &(struct model_options){0}, &w, &err) != STATUS_OK) fail_msg("%s: %s %s", err.path, err.tensor, err.text);
    warnings_clear(&w);
    return m;
}

void family_ids(const struct model *m, int32_t *ids, int64_t n)
{
    uint64_t s = 88172645463325252u;
    for (int64_t i = 0; i < n; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        ids[i] = (int32_t)(s % (uint64_t)m->hp.n_vocab);
    }
    if (m->arch->frame) m->arch->frame(&m->hp, ids, n);
}
