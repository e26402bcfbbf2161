/* What the families built like GPT-2 share (gpt1, gpt2, bigcode, and in their keys gptj): configuration keys, tensor names, and what follows from
 * them. A family's file names the pieces it is made of and what is its own. For arch_*.c. */
#ifndef LATHE_GPT_LINE_H
#define LATHE_GPT_LINE_H

#include "models/block.h"
#include "models/config.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

/* Keys with the defaults of the family's class in transformers, in the order of a GGUF. Of alternatives the first that is there counts. inner_: the key of
 * the feed-forward width, which is four times the width where it is absent or null; NULL: there is none. */
#define GPT_KEYS(n_layer_, context_, n_ctx_, n_embd_, inner_, n_head_)                                       \
    {"n_layer|num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, n_layer_},        \
        {context_, "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, n_ctx_},                        \
        {"n_embd|hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, n_embd_},        \
        {inner_, "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), false, NAN},                        \
    {                                                                                                        \
        "n_head|num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, n_head_ \
    }
#define GPT_KEY_EPS                                                                                          \
    {                                                                                                        \
        "layer_norm_epsilon", "attention.layer_norm_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5 \
    }
#define GPT_KEY_ACTIVATION                                                                                   \
    {                                                                                                        \
        "activation_function", "hidden_activation", CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false,  \
            ACTIVATION_GELU_TANH                                                                             \
    }
#define GPT_KEY_SCALE                                                                                        \
    {                                                                                                        \
        "scale_attn_weights", NULL, CONFIG_BOOL, KV_BOOL, FIELD(scale_attn), false, true                     \
    }
#define GPT_KEY_VOCAB(n_vocab_)                                                                              \
    {                                                                                                        \
        "vocab_size", NULL, CONFIG_INT, KV_U32, FIELD(n_vocab), false, n_vocab_                              \
    }

#define GPT_FIXED                                                                                            \
    {                                                                                                        \
        "add_cross_attention", "false", "cross attention has no place in a decoder-only model"               \
    }
#define GPT_IGNORED                                                                                          \
    {"*_pdrop", "dropout is for training"},                                                                  \
    {                                                                                                        \
        "summary_*", "describes the head of another task"                                                    \
    }

#define GPT_IN  "{p}h.{i}."
#define GPT_OUT "blk.{i}."

#define GPT_RULES_EMBD(tokens_, positions_)                                                                  \
    RULE_WEIGHT("{p}" tokens_, "token_embd", ROLE_TOKEN_EMBD, "V,E"),                                        \
        RULE_WEIGHT("{p}" positions_, "position_embd", ROLE_POSITION_EMBD, "P,E")

/* How the source keeps matrices: (out, in), or (in, out) as TensorFlow's Conv1D did. */
#define GPT_LINEAR(out_, in_) out_ "," in_
#define GPT_CONV1D(out_, in_) in_ "," out_, .transform = TRANSFORM_TRANSPOSE

#define GPT_RULES_ATTN_OUT(MATRIX)                                                                           \
    RULE_WEIGHT(GPT_IN "attn.c_proj", GPT_OUT "attn_output", ROLE_ATTN_OUTPUT, MATRIX("E", "E")),            \
        RULE_BIAS(GPT_IN "attn.c_proj", GPT_OUT "attn_output", ROLE_ATTN_OUTPUT, "E")
#define GPT_RULES_MLP(MATRIX)                                                                                \
    RULE_WEIGHT(GPT_IN "mlp.c_fc", GPT_OUT "ffn_up", ROLE_FFN_UP, MATRIX("F", "E")),                         \
        RULE_BIAS(GPT_IN "mlp.c_fc", GPT_OUT "ffn_up", ROLE_FFN_UP, "F"),                                    \
        RULE_WEIGHT(GPT_IN "mlp.c_proj", GPT_OUT "ffn_down", ROLE_FFN_DOWN, MATRIX("E", "F")),               \
        RULE_BIAS(GPT_IN "mlp.c_proj", GPT_OUT "ffn_down", ROLE_FFN_DOWN, "E")

/* The causal mask, and what was written where it forbids, -1e4 */
#define GPT_RULES_DROPPED                                                                                    \
    RULE_DROPPED(GPT_IN "attn.bias", "1,1,?,?"), RULE_DROPPED(GPT_IN "attn.masked_bias", "")

/* The output matrix, and the head of the class for sequence classification */
#define GPT_RULES_HEAD                                                                                       \
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL), RULE_LEFT_OUT("score.weight", "?,E")
/* ... and of the class with two heads */
#define GPT_RULES_TWO_HEADS                                                                                  \
    RULE_LEFT_OUT("multiple_choice_head.summary.weight", "?,E"), RULE_LEFT_OUT("multiple_choice_head.summary.bias", "?")

/* A file saved from the bare model has no "transformer." before its names. */
#define GPT_PREFIXES ((const char *const[]){"transformer.", "", NULL})

/* Heads that divide the width, the feed-forward width, an attention scale of 1 where the switch is off, biases everywhere. Needs GPT_KEY_SCALE. */
enum status gpt_line_derive(struct hparams *hp, struct error *err);

#endif
