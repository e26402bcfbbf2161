/* Mistral 7B, Nemo 12B, Small 24B: LLaMA's block whose queries may see only a window of keys, in every layer, and
 * whose heads need not make up the width. llama.cpp runs it as architecture `llama`, which has no window. */
#include "models/llama_line.h"

static const struct config_key keys[] = {
    LLAMA_KEYS(131072, 14336),
    LLAMA_KEY_HEADS_KV(8),
    LLAMA_KEYS_HEAD_DIM(NAN),
    {"vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, 32000},
    {"sliding_window", "attention.sliding_window", CONFIG_INT_OR_NULL, KV_U32, FIELD(window), false, 4096},
    {0},
};

static const struct config_fixed fixed[] = {
    {"attention_bias", "false", "MistralAttention has no biases"},
    {"mlp_bias", "false", "MistralMLP has no biases"},
    {"partial_rotary_factor", "1", "Mistral rotates whole heads"},
    {0},
};

static const struct config_ignored ignored[] = {
    {"tensor_data_layout", "names the row order that every GGUF of this architecture has"},
    {0},
};

static const struct tensor_rule rules[] = {
    RULES_ROPE_FACTORS,
    LLAMA_RULE_EMBD,
    LLAMA_RULES_LAYER(LLAMA_PAIRS),
    LLAMA_RULES_DROPPED,
    LLAMA_RULES_HEAD,
    {0},
};

const struct arch arch_mistral = {
    .family = "mistral",
    .gguf_arch = "llama",
    .borrowed_arch = true,
    .model_types = (const char *const[]){"mistral", NULL},
    .architectures = (const char *const[]){"MistralForCausalLM", "MistralModel", NULL},
    .prefixes = LLAMA_PREFIXES,
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .tied_by_default = false,
    .uses_rope = true,
    /* the same names as LLaMA's, which stands before it in the list */
    .detect_tensors = (const char *const[]){"{p}embed_tokens.weight", "{p}layers.0.self_attn.q_proj.weight",
                                            "{p}layers.0.mlp.gate_proj.weight", NULL},
    .source = {.conv1d = false, .rope_style = ROPE_HALVES},
    .gguf = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .derive = llama_line_derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};

/* Mistral's own layout: params.json and consolidated.safetensors. */
static const struct tensor_rule meta_rules[] = {LLAMA_RULES_META, {0}};

const struct arch arch_mistral_meta = {
    .family = "mistral",
    .gguf_arch = "llama",
    .borrowed_arch = true,
    .model_types = (const char *const[]){NULL},
    .architectures = (const char *const[]){NULL},
    .prefixes = (const char *const[]){"", NULL},
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = meta_rules,
    .tied_by_default = false,
    .uses_rope = true,
    .detect_tensors = LLAMA_DETECT_META,
    .source = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .gguf = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .derive = llama_line_derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};
