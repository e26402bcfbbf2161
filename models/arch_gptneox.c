/* GPT-NeoX: Pythia, GPT-NeoX-20B, Dolly v2, RedPajama-INCITE. A fused matrix whose rows go head by head (query, key, value of the first
 * head, then of the second), the first part of each head rotated in halves, biases everywhere, attention and feed-forward layer side by
 * side on a norm each, or one after the other. GGUF has the fused matrix as all queries, all keys, all values. */
#include "models/block.h"
#include "models/config.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 44},
    {"max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 2048},
    {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 6144},
    {"intermediate_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), true, 24576},
    {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 64},
    {"layer_norm_eps", "attention.layer_norm_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},
    {"use_parallel_residual", "use_parallel_residual", CONFIG_BOOL, KV_BOOL, FIELD(parallel), false, true},
    /* an absent key means another function in config.json than in a GGUF */
    {"hidden_act", NULL, CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_GELU_ERF},
    {NULL, "hidden_activation", CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_GELU_TANH},
    {"attention_bias", NULL, CONFIG_BOOL, KV_BOOL, FIELD(attn_bias), false, true},
    {"vocab_size", NULL, CONFIG_INT, KV_U32, FIELD(n_vocab), false, 50432},
    {0},
};

static const struct config_ignored ignored[] = {
    {"*_dropout", "dropout is for training"},
    {0},
};

static bool has_attn_bias(const struct hparams *hp)
{
    return hp->attn_bias;
}

#define IN "{p}layers.{i}."
#define OUT "blk.{i}."
#define REGROUPED .transform = TRANSFORM_QKV_GROUPS, .heads = "H"
static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}embed_in", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_LAYER_NORM(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM),
    RULE_WEIGHT(IN "attention.query_key_value", OUT "attn_qkv", ROLE_ATTN_QKV, "3*E,E", REGROUPED),
    RULE_BIAS(IN "attention.query_key_value", OUT "attn_qkv", ROLE_ATTN_QKV, "3*E", REGROUPED,
              .when = has_attn_bias, .fill = FILL_ZEROS),
    RULE_WEIGHT(IN "attention.dense", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,E"),
    RULE_BIAS(IN "attention.dense", OUT "attn_output", ROLE_ATTN_OUTPUT, "E", .when = has_attn_bias,
              .fill = FILL_ZEROS),
    RULE_LAYER_NORM(IN "post_attention_layernorm", OUT "ffn_norm", ROLE_FFN_NORM),
    RULE_WEIGHT(IN "mlp.dense_h_to_4h", OUT "ffn_up", ROLE_FFN_UP, "F,E"),
    RULE_BIAS(IN "mlp.dense_h_to_4h", OUT "ffn_up", ROLE_FFN_UP, "F"),
    RULE_WEIGHT(IN "mlp.dense_4h_to_h", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    RULE_BIAS(IN "mlp.dense_4h_to_h", OUT "ffn_down", ROLE_FFN_DOWN, "E"),
    RULE_DROPPED(IN "attention.bias", "1,1,?,?"), /* the causal mask */
    RULE_DROPPED(IN "attention.masked_bias", ""), /* -1e9 */
    RULE_DROPPED(IN "attention.rotary_emb.inv_freq", "R/2"),
    RULE_DROPPED("{p}rotary_emb.inv_freq", "R/2"),
    RULE_LAYER_NORM("{p}final_layer_norm", "output_norm", ROLE_OUTPUT_NORM),
    {.source = "embed_out.weight|lm_head.weight", /* transformers 5 says one in memory and the other on disk */
     .target = "output.weight",
     .role = ROLE_OUTPUT,
     .part = PART_WEIGHT,
     .shape = "V,E",
     .presence = PRESENCE_OPTIONAL,
     .fill = FILL_EMBEDDING},
    RULE_LEFT_OUT("score.weight", "?,E"), /* GPTNeoXForSequenceClassification */
    {0},
};
#undef REGROUPED
#undef IN
#undef OUT

/* Keys that other families have and the class of this one does not read: worth a word where they say something else. */
static enum status check_unread(struct config_reader *r, const char *key, double used, struct error *err)
{
    const struct jvalue *v = config_take(r, key);
    double x = used;
    if (v) TRY(json_double(r->doc, v, &x, err));
    if (x != used)
        warnings_add(r->warn, "rope-theta-differs",
                     "config key '%s' = %.17g is not read for this family, whose own keys say %.17g", key, x, used);
    return STATUS_OK;
}

static enum status read_config(struct config_reader *r, struct error *err)
{
    if (r->hp->rope_part == 0) r->hp->rope_part = 0.25;
    TRY(check_unread(r, "rope_theta", r->hp->rope.theta, err));
    return check_unread(r, "partial_rotary_factor", r->hp->rope_part, err);
}

static enum status derive(struct hparams *hp, struct error *err)
{
    TRY(hparams_split_width(hp, err));
    hp->mlp_bias = true;
    return hparams_part_rotated(hp, err);
}

static enum status layer(struct forward *f, int64_t i, struct error *err)
{
    return f->model->hp.parallel ? block_parallel(f, i, err) : block_pre_norm(f, i, err);
}

const struct arch arch_gptneox = {
    .family = "gptneox",
    .gguf_arch = "gptneox",
    .model_types = (const char *const[]){"gpt_neox", NULL},
    .architectures =
        (const char *const[]){"GPTNeoXForCausalLM", "GPTNeoXModel", "GPTNeoXForSequenceClassification", NULL},
    .prefixes = (const char *const[]){"gpt_neox.", "", NULL},
    .keys = keys,
    .ignored = ignored,
    .rules = rules,
    .uses_rope = true,
    .rope = {.theta = "rotary_emb_base", .part = "rotary_pct", .partial = true},
    .detect_tensors = (const char *const[]){"{p}embed_in.weight",
                                            "{p}layers.0.attention.query_key_value.weight", NULL},
    .source = {.rope_style = ROPE_HALVES, .qkv = QKV_GROUPS},
    .gguf = {.rope_style = ROPE_HALVES, .qkv = QKV_BLOCKS},
    .read_config = read_config,
    .derive = derive,
    .embed = block_embed,
    .layer = layer,
    .head = block_head,
};
