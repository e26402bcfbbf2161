/* ChatGLM2-6B, ChatGLM3-6B, GLM-4-9B and their long-context forms as published with remote code: one graph. RMS norms, one fused matrix for q, k
 * and v with few key heads, neighbouring elements of the first half of a head rotated, a gated SiLU layer with gate and up in one matrix. The
 * forms differ in tokenizer and RoPE base only. Plain causal, in spite of the [gMASK] in front of every text.
 *
 * rope_ratio has two meanings: everywhere it multiplies the base; in ChatGLM2-6B-32K it divides positions.
 *
 * chatglm2x is the same with switches that the code has and llama.cpp's graph has not: layer norms, residuals taken after the norm, no last
 * norm, halves rotated. */
#include "base/file.h"
#include "base/limits.h"
#include "models/glm_line.h"
#include "models/config_write.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIELD(name) offsetof(struct hparams, name)

#define KEYS                                                                                                           \
    {"num_layers|num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 0},                      \
        {"seq_length|max_sequence_length|max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), \
         true, 0},                                                                                                     \
        {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 0},                               \
        {"ffn_hidden_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), true, 0},                          \
        {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 0},                   \
        {NULL, "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), false, NAN},                           \
        {"kv_channels", "attention.key_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},                      \
        {NULL, "attention.value_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},                             \
        {"layernorm_epsilon", "attention.layer_norm_rms_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},   \
        {"padded_vocab_size|vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, NAN}

static const struct config_key keys[] = {KEYS, {0}};
static const struct config_key keys_x[] = {
    KEYS,
    {NULL, "residual_after_norm", CONFIG_BOOL, KV_BOOL, FIELD(normed_residual), false, false},
    {NULL, "rope.halves", CONFIG_BOOL, KV_BOOL, FIELD(rope_halves), false, false},
    {0},
};

static const struct config_fixed fixed[] = {
    {"vision_config", NULL, "models that see pictures are not supported"},
    {0},
};

static const struct config_ignored ignored[] = {
    {"apply_query_key_layer_scaling", "cancels out"},
    {"attention_softmax_in_fp32", "precision of the softmax, which is double here"},
    {"fp32_residual_connection", "precision of the residual stream"},
    {"bias_dropout_fusion", "choice of code, same arithmetic"},
    {"interleaved_qkv", "written by a training tool; the code does not read it"},
    {"prefix_projection", "P-tuning, which is refused by its own key"},
    {"quantization_embeddings", "the tensors' own types count"},
    {0},
};

static bool multi_query(const struct hparams *hp)
{
    return !hp->qkv_per_head;
}
static bool per_head(const struct hparams *hp)
{
    return hp->qkv_per_head;
}
static bool has_layer_norm(const struct hparams *hp)
{
    return hp->layer_norm;
}
static bool has_output_norm(const struct hparams *hp)
{
    return !hp->no_output_norm;
}
static bool has_output_norm_bias(const struct hparams *hp)
{
    return hp->layer_norm && !hp->no_output_norm;
}
static bool has_bias(const struct hparams *hp)
{
    return hp->mlp_bias;
}
static bool per_head_bias(const struct hparams *hp)
{
    return hp->qkv_per_head && hp->attn_bias;
}
static bool multi_query_bias(const struct hparams *hp)
{
    return !hp->qkv_per_head && hp->attn_bias;
}

static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}embedding.word_embeddings", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
#define IN "{p}encoder.layers.{i}."
#define OUT "blk.{i}."
#define QKV "self_attention.query_key_value"
    RULE_WEIGHT(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM, "E"),
    RULE_BIAS(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM, "E", .when = has_layer_norm),
    /* rows are q, k, v already, or [heads][q, k, v] */
    RULE_WEIGHT(IN QKV, OUT "attn_qkv", ROLE_ATTN_QKV, "H*D+2*K*D,E", .when = multi_query),
    RULE_WEIGHT(IN QKV, OUT "attn_qkv", ROLE_ATTN_QKV, "3*H*D,E", .when = per_head, .transform = TRANSFORM_QKV_GROUPS,
                .heads = "H"),
    RULE_BIAS(IN QKV, OUT "attn_qkv", ROLE_ATTN_QKV, "H*D+2*K*D", .when = multi_query_bias),
    RULE_BIAS(IN QKV, OUT "attn_qkv", ROLE_ATTN_QKV, "3*H*D", .when = per_head_bias, .transform = TRANSFORM_QKV_GROUPS,
              .heads = "H"),
    GLM_SPLIT_QKV(OUT),
    RULE_WEIGHT(IN "self_attention.dense", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,H*D"),
    RULE_BIAS(IN "self_attention.dense", OUT "attn_output", ROLE_ATTN_OUTPUT, "E", .when = has_bias),
    RULE_WEIGHT(IN "post_attention_layernorm", OUT "ffn_norm", ROLE_FFN_NORM, "E"),
    RULE_BIAS(IN "post_attention_layernorm", OUT "ffn_norm", ROLE_FFN_NORM, "E", .when = has_layer_norm),
    RULE_WEIGHT(IN "mlp.dense_h_to_4h", OUT "ffn_up", ROLE_FFN_UP, "2*F,E"),
    RULE_BIAS(IN "mlp.dense_h_to_4h", OUT "ffn_up", ROLE_FFN_UP, "2*F", .when = has_bias),
    RULE_WEIGHT(IN "mlp.dense_4h_to_h", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    RULE_BIAS(IN "mlp.dense_4h_to_h", OUT "ffn_down", ROLE_FFN_DOWN, "E", .when = has_bias),
#undef QKV
#undef IN
#undef OUT
    /* its target by name would be rope_freqs, which runtimes multiply with */
    RULE_DROPPED("{p}rotary_pos_emb.inv_freq", "?"),
    RULE_WEIGHT("{p}encoder.final_layernorm", "output_norm", ROLE_OUTPUT_NORM, "E", .when = has_output_norm),
    RULE_BIAS("{p}encoder.final_layernorm", "output_norm", ROLE_OUTPUT_NORM, "E", .when = has_output_norm_bias),
    RULE_WEIGHT("{p}output_layer", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    {0},
};

/* --- config.json --- */

/* "/ self.rope_ratio" */
static bool divides_by_ratio(const char *s, size_t n)
{
    static const char word[] = "rope_ratio", self[] = "self.";
    const char *end = s + n;
    for (const char *p = s; (p = memmem(p, (size_t)(end - p), word, sizeof word - 1)); p++) {
        const char *q = p;
        if (q - s >= 5 && memcmp(q - 5, self, 5) == 0) q -= 5;
        while (q > s && (q[-1] == ' ' || q[-1] == '\t')) q--;
        if (q - s >= 1 && q[-1] == '/' && !(q - s >= 2 && q[-2] == '/')) return true;
    }
    return false;
}

static bool names_32k(const char *name)
{
    const char *at = name ? strstr(name, "chatglm2") : NULL;
    return at && strstr(at, "32k");
}

/* Does rope_ratio divide positions? The code beside the weights is read as text and says so; without it the name does. */
static bool divides_positions(const struct config_reader *r)
{
    char path[4096];
    struct buf text = {0};
    struct error none;
    const char *dir = r->ckpt ? r->ckpt->dir : ".";
    snprintf(path, sizeof path, "%s/modeling_chatglm.py", dir);
    bool found = file_exists(path) && file_read_all(&text, path, LIMIT_MODEL_CODE, &none) == STATUS_OK;
    bool divides = found && text.len > 0 && divides_by_ratio(text.data, text.len);
    buf_clear(&text);
    if (found) return divides;
    return names_32k(json_string(json_get(json_root(r->doc), "_name_or_path"))) || names_32k(path_base(dir));
}

static enum status read_rope(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    const struct jvalue *v = config_take(r, "rope_ratio");
    double ratio = 1;
    bool original = true;
    if (v) TRY(json_double(r->doc, v, &ratio, err));
    if (!(ratio > 0) || !isfinite(ratio))
        return config_error(r, err, STATUS_RANGE, "rope_ratio", "expected a number above 0, found %g", ratio);
    TRY(glm_bool(r, "original_rope", &original, err));
    hp->rope_halves = !original;
    if (ratio != 1 && divides_positions(r)) {
        hp->rope.type = ROPE_LINEAR;
        hp->rope.factor = ratio;
        warnings_note(r->warn, "rope-ratio-divides", "rope_ratio = %g divides positions, as ChatGLM2-6B-32K's code does",
                      ratio);
    } else {
        hp->rope.theta *= ratio;
    }
    return STATUS_OK;
}

/* Key heads: from the config, or what the fused matrix has rows for. */
static enum status read_heads(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    const char *qkv = "{p}encoder.layers.{i}.self_attention.query_key_value.weight";
    const struct jvalue *said = json_get(json_root(r->doc), "multi_query_attention");
    const struct jvalue *groups = config_take(r, "multi_query_group_num");
    bool multi = false;
    TRY(glm_need(r, "num_attention_heads", hp->n_head, err));
    glm_dim(r, "{p}encoder.layers.{i}.self_attention.dense.weight", 1, hp->n_head, &hp->head_dim);
    TRY(glm_need(r, "kv_channels", hp->head_dim, err));
    TRY(glm_bool(r, "multi_query_attention", &multi, err));
    hp->n_head_kv = hp->n_head;
    int64_t heads = 0; /* of all kinds that the matrix has rows for */
    glm_dim(r, qkv, 0, hp->head_dim, &heads);
    if (multi) {
        int64_t n = 1;
        if (groups) TRY(json_int(r->doc, groups, &n, err));
        if (n < 1 || n > hp->n_head)
            return config_error(r, err, STATUS_RANGE, "multi_query_group_num", "expected 1 to %lld heads, found %lld",
                                (long long)hp->n_head, (long long)n);
        hp->n_head_kv = n;
    } else if (!said && heads > hp->n_head && heads < 3 * hp->n_head && (heads - hp->n_head) % 2 == 0) {
        hp->n_head_kv = (heads - hp->n_head) / 2;
        multi = true;
    }
    hp->qkv_per_head = !multi;
    return STATUS_OK;
}

static enum status read_switches(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    bool rms = true, last = true, qkv_bias = false, bias = false;
    TRY(glm_bool(r, "rmsnorm", &rms, err));
    TRY(glm_bool(r, "post_layer_norm", &last, err));
    TRY(glm_bool(r, "apply_residual_connection_post_layernorm", &hp->normed_residual, err));
    TRY(glm_bool(r, "add_qkv_bias", &qkv_bias, err));
    TRY(glm_bool(r, "add_bias_linear", &bias, err));
    hp->layer_norm = !rms;
    hp->no_output_norm = !last;
    /* the tensors say which biases there are; layer 0 speaks for all */
    hp->attn_bias = qkv_bias || bias || glm_has(r, "{p}encoder.layers.{i}.self_attention.query_key_value.bias");
    hp->mlp_bias = bias;
    return STATUS_OK;
}

static enum status read_config(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    glm_check_config(r);
    TRY(glm_storage(r, err));
    glm_dim(r, "{p}embedding.word_embeddings.weight", 0, 1, &hp->n_vocab);
    glm_dim(r, "{p}encoder.layers.{i}.input_layernorm.weight", 0, 1, &hp->n_embd);
    glm_dim(r, "{p}encoder.layers.{i}.mlp.dense_h_to_4h.weight", 0, 2, &hp->n_ff);
    glm_count_layers(r, "{p}encoder.layers.{i}.input_layernorm.weight", &hp->n_layer);
    TRY(glm_need(r, "hidden_size", hp->n_embd, err));
    TRY(glm_need(r, "ffn_hidden_size", hp->n_ff, err));
    TRY(glm_need(r, "seq_length", hp->n_ctx, err));
    TRY(read_heads(r, err));
    TRY(read_switches(r, err));
    return read_rope(r, err);
}

static bool has(const struct config_writer *c, enum role role, enum part part)
{
    return model_weight(c->m, role, role == ROLE_OUTPUT_NORM ? -1 : 0, part) != NULL;
}

/* With heads in groups the fused matrix is all queries, all keys, all values, whatever the number of groups. */
static void write_config(struct config_writer *c)
{
    const struct hparams *hp = c->hp;
    bool bias = has(c, ROLE_ATTN_OUTPUT, PART_BIAS), divides = hp->rope.type == ROPE_LINEAR;
    config_put_bool(c, "multi_query_attention", true);
    config_put_int(c, "multi_query_group_num", hp->n_head_kv);
    config_put_bool(c, "rmsnorm", !has(c, ROLE_ATTN_NORM, PART_BIAS));
    config_put_bool(c, "post_layer_norm", has(c, ROLE_OUTPUT_NORM, PART_WEIGHT));
    config_put_bool(c, "apply_residual_connection_post_layernorm", hp->normed_residual);
    config_put_bool(c, "add_bias_linear", bias);
    config_put_bool(c, "add_qkv_bias", bias || has(c, ROLE_ATTN_QKV, PART_BIAS) || has(c, ROLE_ATTN_Q, PART_BIAS));
    config_put_bool(c, "original_rope", !hp->rope_halves);
    config_put_real(c, "rope_ratio", divides ? hp->rope.factor : hp->rope.theta / CONFIG_ROPE_THETA);
    if (divides) config_put_string(c, "_name_or_path", "chatglm2-6b-32k"); /* only the name tells what the ratio means */
}

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->n_head;
    if (hp->n_head % hp->n_head_kv != 0)
        return error_set(err, STATUS_MISMATCH, "number of heads %lld is no multiple of the number of key heads %lld",
                         (long long)hp->n_head, (long long)hp->n_head_kv);
    if (hp->head_dim == 0) hp->head_dim = hp->n_embd / hp->n_head;
    if (hp->rope.dim == 0) hp->rope.dim = hp->head_dim / 2;
    hp->activation = ACTIVATION_SILU;
    hp->gate_up = true;
    return STATUS_OK;
}

static enum status layer(struct forward *f, int64_t i, struct error *err)
{
    return f->model->hp.normed_residual ? glm_normed_residual_block(f, i, err) : block_pre_norm(f, i, err);
}

extern const struct arch arch_chatglm2, arch_chatglm2x, arch_glm;

static const struct arch *variant(const struct hparams *hp)
{
    bool plain = !hp->layer_norm && !hp->no_output_norm && !hp->normed_residual && !hp->rope_halves && !hp->mlp_bias;
    return plain ? &arch_chatglm2 : &arch_chatglm2x;
}

#define COMMON                                                                                                         \
    .model_types = (const char *const[]){"chatglm", NULL},                                                             \
    .architectures = (const char *const[]){"ChatGLMModel", "ChatGLMForConditionalGeneration",                          \
                                           "ChatGLMForSequenceClassification", NULL},                                  \
    .prefixes = (const char *const[]){"transformer.", "", NULL}, .fixed = fixed, .ignored = ignored, .rules = rules,   \
    .uses_rope = true, .rope = {.constant = true}, .line = GLM_LINE,                                                   \
    .told_by = "ChatGLM2's, 3's and GLM-4's: encoder.layers.N.self_attention",                                         \
    .detect_tensors = (const char *const[]){"{p}embedding.word_embeddings.weight",                                     \
                                            "{p}encoder.layers.0.self_attention.query_key_value.weight",               \
                                            "{p}encoder.layers.0.mlp.dense_h_to_4h.weight", NULL},                     \
    .source = {.rope_style = ROPE_PAIRS, .qkv = QKV_BLOCKS}, .gguf = {.rope_style = ROPE_PAIRS, .qkv = QKV_BLOCKS},    \
    .read_config = read_config, .write_config = write_config, .derive = derive, .embed = block_embed, .layer = layer, .head = block_head

const struct arch arch_chatglm2 = {
    .family = "chatglm2",
    .remark = glm_remark_width,
    .gguf_arch = "chatglm",
    .rebuilt_as = &arch_glm,
    .keys = keys,
    .variant = variant,
    COMMON,
};
const struct arch arch_chatglm2x = {
    .family = "chatglm2x",
    .gguf_arch = "chatglm2x",
    .own_arch = true,
    .keys = keys_x,
    COMMON,
};
