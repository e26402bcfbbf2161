/* LLaMA 1 to 3 and whatever is built like it (SmolLM2, TinyLlama, Vicuna, Code Llama, Yi): RMS norm before
 * each half of a block, rotary positions, grouped queries, a gated SiLU feed-forward layer. Hugging Face
 * keeps the rows of a rotated head as two halves, GGUF as pairs; a file saved from LlamaModel has no "model."
 * before its names. */
#include "models/block.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 32},
    {"max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 2048},
    {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 4096},
    {"intermediate_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), true, 11008},
    {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 32},
    {"num_key_value_heads", "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), false, NAN},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-6},
    {"head_dim", "attention.key_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},
    {NULL, "attention.value_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},
    {"vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, 32000},
    {"hidden_act", NULL, CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_SILU},
    {"attention_bias", NULL, CONFIG_BOOL, KV_BOOL, FIELD(attn_bias), false, false},
    {"mlp_bias", NULL, CONFIG_BOOL, KV_BOOL, FIELD(mlp_bias), false, false},
    {0},
};

static const struct config_fixed fixed[] = {
    {"rope_interleaved", "false", "rows are taken as halves, as LlamaModel does"},
    {"partial_rotary_factor", "1", "LLaMA rotates whole heads"},
    {0},
};

static const struct config_ignored ignored[] = {
    {"pretraining_tp", "splits the products of the training run; the result is the same"},
    {"is_llama_config", "a mark of nanotron's export without effect"},
    {"tensor_data_layout", "names the row order that every GGUF of this architecture has"},
    {0},
};

static bool has_attn_bias(const struct hparams *hp)
{
    return hp->attn_bias;
}
static bool has_mlp_bias(const struct hparams *hp)
{
    return hp->mlp_bias;
}

static const struct tensor_rule rules[] = {
    RULES_ROPE_FACTORS,
    RULE_WEIGHT("{p}embed_tokens", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
#define IN "{p}layers.{i}."
#define OUT "blk.{i}."
#define ROTATED(heads_) .transform = TRANSFORM_ROPE_ROWS, .heads = heads_
    RULE_WEIGHT(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM, "E"),
    RULE_WEIGHT(IN "self_attn.q_proj", OUT "attn_q", ROLE_ATTN_Q, "H*D,E", ROTATED("H")),
    RULE_BIAS(IN "self_attn.q_proj", OUT "attn_q", ROLE_ATTN_Q, "H*D", ROTATED("H"), .when = has_attn_bias),
    RULE_WEIGHT(IN "self_attn.k_proj", OUT "attn_k", ROLE_ATTN_K, "K*D,E", ROTATED("K")),
    RULE_BIAS(IN "self_attn.k_proj", OUT "attn_k", ROLE_ATTN_K, "K*D", ROTATED("K"), .when = has_attn_bias),
    RULE_WEIGHT(IN "self_attn.v_proj", OUT "attn_v", ROLE_ATTN_V, "K*D,E"),
    RULE_BIAS(IN "self_attn.v_proj", OUT "attn_v", ROLE_ATTN_V, "K*D", .when = has_attn_bias),
    RULE_WEIGHT(IN "self_attn.o_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,H*D"),
    RULE_BIAS(IN "self_attn.o_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E", .when = has_attn_bias),
    RULE_WEIGHT(IN "post_attention_layernorm", OUT "ffn_norm", ROLE_FFN_NORM, "E"),
    RULE_WEIGHT(IN "mlp.gate_proj", OUT "ffn_gate", ROLE_FFN_GATE, "F,E"),
    RULE_BIAS(IN "mlp.gate_proj", OUT "ffn_gate", ROLE_FFN_GATE, "F", .when = has_mlp_bias),
    RULE_WEIGHT(IN "mlp.up_proj", OUT "ffn_up", ROLE_FFN_UP, "F,E"),
    RULE_BIAS(IN "mlp.up_proj", OUT "ffn_up", ROLE_FFN_UP, "F", .when = has_mlp_bias),
    RULE_WEIGHT(IN "mlp.down_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    RULE_BIAS(IN "mlp.down_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E", .when = has_mlp_bias),
    /* Tables of rotary positions that 2023's transformers saved as buffers. Their values are never used:
     * half-precision copies are inexact. */
    RULE_DROPPED(IN "self_attn.rotary_emb.inv_freq", "D/2"),
    RULE_DROPPED(IN "self_attn.rotary_emb.cos_cached", "1,1,?,D"),
    RULE_DROPPED(IN "self_attn.rotary_emb.sin_cached", "1,1,?,D"),
    RULE_DROPPED("{p}rotary_emb.inv_freq", "D/2"),
#undef ROTATED
#undef OUT
#undef IN
    RULE_WEIGHT("{p}norm", "output_norm", ROLE_OUTPUT_NORM, "E"),
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    {0},
};

/* Meta's own names: rows of a rotated head are pairs, as in a GGUF. */
static const struct tensor_rule meta_rules[] = {
    RULES_ROPE_FACTORS,
    RULE_WEIGHT("tok_embeddings", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
#define IN "layers.{i}."
#define OUT "blk.{i}."
    RULE_WEIGHT(IN "attention_norm", OUT "attn_norm", ROLE_ATTN_NORM, "E"),
    RULE_WEIGHT(IN "attention.wq", OUT "attn_q", ROLE_ATTN_Q, "H*D,E"),
    RULE_WEIGHT(IN "attention.wk", OUT "attn_k", ROLE_ATTN_K, "K*D,E"),
    RULE_WEIGHT(IN "attention.wv", OUT "attn_v", ROLE_ATTN_V, "K*D,E"),
    RULE_WEIGHT(IN "attention.wo", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,H*D"),
    RULE_WEIGHT(IN "ffn_norm", OUT "ffn_norm", ROLE_FFN_NORM, "E"),
    RULE_WEIGHT(IN "feed_forward.w1", OUT "ffn_gate", ROLE_FFN_GATE, "F,E"),
    RULE_WEIGHT(IN "feed_forward.w3", OUT "ffn_up", ROLE_FFN_UP, "F,E"),
    RULE_WEIGHT(IN "feed_forward.w2", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    /* frequencies: not what rope_freqs.weight of a GGUF is, which divides them */
    RULE_DROPPED(IN "attention.inner_attention.rope.freqs", "D/2"),
#undef OUT
#undef IN
    RULE_DROPPED("rope.freqs", "D/2"),
    RULE_WEIGHT("norm", "output_norm", ROLE_OUTPUT_NORM, "E"),
    RULE_WEIGHT("output", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    {0},
};

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->n_head;
    if (hp->n_head % hp->n_head_kv != 0)
        return error_set(err, STATUS_MISMATCH,
                         "number of heads %lld is no multiple of the number of key/value heads %lld",
                         (long long)hp->n_head, (long long)hp->n_head_kv);
    if (hp->head_dim == 0) {
        if (hp->n_embd % hp->n_head != 0)
            return error_set(err, STATUS_MISMATCH, "width %lld is no multiple of the number of heads %lld",
                             (long long)hp->n_embd, (long long)hp->n_head);
        hp->head_dim = hp->n_embd / hp->n_head;
    }
    if (hp->rope.dim == 0) hp->rope.dim = hp->head_dim;
    if (hp->rope.dim != hp->head_dim)
        return error_set(err, STATUS_UNSUPPORTED,
                         "expected all %lld elements of a head to be rotated, found %lld",
                         (long long)hp->head_dim, (long long)hp->rope.dim);
    /* no runtime reads an activation for this architecture */
    if (hp->activation != ACTIVATION_SILU)
        return error_set(err, STATUS_UNSUPPORTED, "hidden_act: expected silu, found %s",
                         activation_name(hp->activation));
    return STATUS_OK;
}

const struct arch arch_llama = {
    .family = "llama",
    .gguf_arch = "llama",
    .model_types = (const char *const[]){"llama", NULL},
    .architectures = (const char *const[]){"LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel", NULL},
    .prefixes = (const char *const[]){"model.", "", NULL},
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .tied_by_default = false,
    .uses_rope = true,
    .detect_tensors = (const char *const[]){"{p}embed_tokens.weight", "{p}layers.0.self_attn.q_proj.weight",
                                            "{p}layers.0.mlp.gate_proj.weight", NULL},
    .source = {.conv1d = false, .rope_style = ROPE_HALVES},
    .gguf = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .derive = derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};

/* The same family as Meta ships it; configurations come through models/meta_params.h. */
const struct arch arch_llama_meta = {
    .family = "llama",
    .gguf_arch = "llama",
    .model_types = (const char *const[]){NULL},
    .architectures = (const char *const[]){NULL},
    .prefixes = (const char *const[]){"", NULL},
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = meta_rules,
    .tied_by_default = false,
    .uses_rope = true,
    .detect_tensors = (const char *const[]){"tok_embeddings.weight", "layers.0.attention.wq.weight",
                                            "layers.0.feed_forward.w1.weight", NULL},
    .source = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .gguf = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .derive = derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};
