/* What the families built like LLaMA share (llama, mistral, qwen2, qwen3): configuration keys, tensor names, and what follows from them.
 * A family's file names the pieces it is made of and what is its own. For arch_*.c. */
#ifndef LATHE_LLAMA_LINE_H
#define LATHE_LLAMA_LINE_H

#include "models/block.h"
#include "models/config.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

/* Keys with the defaults of the family's class in transformers. */
#define LLAMA_KEYS(n_ctx_, n_ff_)                                                                            \
    {"num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 32},               \
        {"max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, n_ctx_}, \
        {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 4096},           \
        {"intermediate_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), true, n_ff_},   \
        {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 32}, \
        {"rms_norm_eps", "attention.layer_norm_rms_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true,     \
         1e-6},                                                                                              \
    {                                                                                                        \
        "hidden_act", NULL, CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_SILU          \
    }
/* default_ is for a config without the key; null always means as many as query heads. NAN: so does absence. */
#define LLAMA_KEY_HEADS_KV(default_)                                                                         \
    {                                                                                                        \
        "num_key_value_heads", "attention.head_count_kv", CONFIG_INT_OR_NULL, KV_U32, FIELD(n_head_kv),      \
            false, default_                                                                                  \
    }
#define LLAMA_KEYS_HEAD_DIM(default_)                                                                        \
    {"head_dim", "attention.key_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, default_},       \
    {                                                                                                        \
        NULL, "attention.value_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN                      \
    }
#define LLAMA_KEY_BIAS(key_, field_)                                                                         \
    {                                                                                                        \
        key_, NULL, CONFIG_BOOL, KV_BOOL, FIELD(field_), false, false                                        \
    }
/* Windows by layer, where llama_line_read_layers fills them */
#define LLAMA_KEYS_WINDOW_BY_LAYER                                                                           \
    {NULL, "attention.sliding_window", CONFIG_INT, KV_U32, FIELD(window), false, NAN},                \
    {                                                                                                        \
        NULL, "attention.sliding_window_pattern", CONFIG_LAYERS, KV_ARRAY, FIELD(local), false, NAN          \
    }

#define LLAMA_IN  "{p}layers.{i}."
#define LLAMA_OUT "blk.{i}."
/* How q and k rows lie in the GGUF: PAIRS for an architecture that rotates neighbouring rows, else as in the source. */
#define LLAMA_PAIRS(heads_) .transform = TRANSFORM_ROPE_ROWS, .heads = heads_
#define LLAMA_HALVES(heads_) .transform = TRANSFORM_NONE

#define LLAMA_RULE_EMBD RULE_WEIGHT("{p}embed_tokens", "token_embd", ROLE_TOKEN_EMBD, "V,E")
#define LLAMA_RULES_LAYER(ROWS)                                                                              \
    RULE_WEIGHT(LLAMA_IN "input_layernorm", LLAMA_OUT "attn_norm", ROLE_ATTN_NORM, "E"),                     \
        RULE_WEIGHT(LLAMA_IN "self_attn.q_proj", LLAMA_OUT "attn_q", ROLE_ATTN_Q, "H*D,E", ROWS("H")),       \
        RULE_WEIGHT(LLAMA_IN "self_attn.k_proj", LLAMA_OUT "attn_k", ROLE_ATTN_K, "K*D,E", ROWS("K")),       \
        RULE_WEIGHT(LLAMA_IN "self_attn.v_proj", LLAMA_OUT "attn_v", ROLE_ATTN_V, "K*D,E"),                  \
        RULE_WEIGHT(LLAMA_IN "self_attn.o_proj", LLAMA_OUT "attn_output", ROLE_ATTN_OUTPUT, "E,H*D"),        \
        RULE_WEIGHT(LLAMA_IN "post_attention_layernorm", LLAMA_OUT "ffn_norm", ROLE_FFN_NORM, "E"),          \
        RULE_WEIGHT(LLAMA_IN "mlp.gate_proj", LLAMA_OUT "ffn_gate", ROLE_FFN_GATE, "F,E"),                   \
        RULE_WEIGHT(LLAMA_IN "mlp.up_proj", LLAMA_OUT "ffn_up", ROLE_FFN_UP, "F,E"),                         \
        RULE_WEIGHT(LLAMA_IN "mlp.down_proj", LLAMA_OUT "ffn_down", ROLE_FFN_DOWN, "E,F")
/* when_: NULL or a switch of the config */
#define LLAMA_RULES_QKV_BIAS(ROWS, when_)                                                                    \
    RULE_BIAS(LLAMA_IN "self_attn.q_proj", LLAMA_OUT "attn_q", ROLE_ATTN_Q, "H*D", ROWS("H"), .when = when_), \
        RULE_BIAS(LLAMA_IN "self_attn.k_proj", LLAMA_OUT "attn_k", ROLE_ATTN_K, "K*D", ROWS("K"),            \
                  .when = when_),                                                                            \
        RULE_BIAS(LLAMA_IN "self_attn.v_proj", LLAMA_OUT "attn_v", ROLE_ATTN_V, "K*D", .when = when_)
#define LLAMA_RULE_O_BIAS(when_)                                                                             \
    RULE_BIAS(LLAMA_IN "self_attn.o_proj", LLAMA_OUT "attn_output", ROLE_ATTN_OUTPUT, "E", .when = when_)
#define LLAMA_RULES_MLP_BIAS(when_)                                                                          \
    RULE_BIAS(LLAMA_IN "mlp.gate_proj", LLAMA_OUT "ffn_gate", ROLE_FFN_GATE, "F", .when = when_),            \
        RULE_BIAS(LLAMA_IN "mlp.up_proj", LLAMA_OUT "ffn_up", ROLE_FFN_UP, "F", .when = when_),              \
        RULE_BIAS(LLAMA_IN "mlp.down_proj", LLAMA_OUT "ffn_down", ROLE_FFN_DOWN, "E", .when = when_)
#define LLAMA_RULES_QK_NORM                                                                                  \
    RULE_WEIGHT(LLAMA_IN "self_attn.q_norm", LLAMA_OUT "attn_q_norm", ROLE_ATTN_Q_NORM, "D"),                \
        RULE_WEIGHT(LLAMA_IN "self_attn.k_norm", LLAMA_OUT "attn_k_norm", ROLE_ATTN_K_NORM, "D")
/* Tables of rotary positions that 2023's transformers saved as buffers. Their values are never used: half-precision copies are inexact. */
#define LLAMA_RULES_DROPPED                                                                                  \
    RULE_DROPPED(LLAMA_IN "self_attn.rotary_emb.inv_freq", "D/2"),                                           \
        RULE_DROPPED(LLAMA_IN "self_attn.rotary_emb.cos_cached", "1,1,?,D"),                                 \
        RULE_DROPPED(LLAMA_IN "self_attn.rotary_emb.sin_cached", "1,1,?,D"),                                 \
        RULE_DROPPED("{p}rotary_emb.inv_freq", "D/2")
#define LLAMA_RULES_HEAD                                                                                     \
    RULE_WEIGHT("{p}norm", "output_norm", ROLE_OUTPUT_NORM, "E"),                                            \
        RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL)

/* The names of Meta's releases, and of Mistral's own: rows of a rotated head are pairs, as in a GGUF. rope.freqs are frequencies: not what
 * rope_freqs.weight of a GGUF is, which divides them. */
#define LLAMA_META_IN "layers.{i}."
#define LLAMA_RULES_META                                                                                     \
    RULES_ROPE_FACTORS, RULE_WEIGHT("tok_embeddings", "token_embd", ROLE_TOKEN_EMBD, "V,E"),                 \
        RULE_WEIGHT(LLAMA_META_IN "attention_norm", LLAMA_OUT "attn_norm", ROLE_ATTN_NORM, "E"),             \
        RULE_WEIGHT(LLAMA_META_IN "attention.wq", LLAMA_OUT "attn_q", ROLE_ATTN_Q, "H*D,E"),                 \
        RULE_WEIGHT(LLAMA_META_IN "attention.wk", LLAMA_OUT "attn_k", ROLE_ATTN_K, "K*D,E"),                 \
        RULE_WEIGHT(LLAMA_META_IN "attention.wv", LLAMA_OUT "attn_v", ROLE_ATTN_V, "K*D,E"),                 \
        RULE_WEIGHT(LLAMA_META_IN "attention.wo", LLAMA_OUT "attn_output", ROLE_ATTN_OUTPUT, "E,H*D"),       \
        RULE_WEIGHT(LLAMA_META_IN "ffn_norm", LLAMA_OUT "ffn_norm", ROLE_FFN_NORM, "E"),                     \
        RULE_WEIGHT(LLAMA_META_IN "feed_forward.w1", LLAMA_OUT "ffn_gate", ROLE_FFN_GATE, "F,E"),            \
        RULE_WEIGHT(LLAMA_META_IN "feed_forward.w3", LLAMA_OUT "ffn_up", ROLE_FFN_UP, "F,E"),                \
        RULE_WEIGHT(LLAMA_META_IN "feed_forward.w2", LLAMA_OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),            \
        RULE_DROPPED(LLAMA_META_IN "attention.inner_attention.rope.freqs", "D/2"),                           \
        RULE_DROPPED("rope.freqs", "D/2"), RULE_WEIGHT("norm", "output_norm", ROLE_OUTPUT_NORM, "E"),        \
        RULE_WEIGHT("output", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL)
#define LLAMA_DETECT_META                                                                                    \
    ((const char *const[]){"tok_embeddings.weight", "layers.0.attention.wq.weight",                          \
                           "layers.0.feed_forward.w1.weight", NULL})

/* a file saved from the bare model has no "model." before its names */
#define LLAMA_PREFIXES ((const char *const[]){"model.", "", NULL})

bool llama_line_attn_bias(const struct hparams *hp);
bool llama_line_mlp_bias(const struct hparams *hp);
/* Key heads, head size and rotated part; heads that divide, SiLU, heads rotated whole. */
enum status llama_line_derive(struct hparams *hp, struct error *err);
/* use_sliding_window, sliding_window, max_window_layers and layer_types, as Qwen2Config reads them */
enum status llama_line_read_layers(struct config_reader *r, struct error *err);
void llama_line_write_layers(struct config_writer *c);

#endif
