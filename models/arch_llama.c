/* LLaMA 1 to 3 and whatever is built like it (SmolLM2, TinyLlama, Vicuna, Code Llama, Yi): RMS norm before
 * each half of a block, rotary positions, grouped queries, a gated SiLU feed-forward layer. Hugging Face
 * keeps the rows of a rotated head as two halves, GGUF as pairs. */
#include "models/llama_line.h"

static const struct config_key keys[] = {
    LLAMA_KEYS(2048, 11008),
    LLAMA_KEY_HEADS_KV(NAN),
    LLAMA_KEYS_HEAD_DIM(NAN),
    {"vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, 32000},
    LLAMA_KEY_BIAS("attention_bias", attn_bias),
    LLAMA_KEY_BIAS("mlp_bias", mlp_bias),
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

static const struct tensor_rule rules[] = {
    RULES_ROPE_FACTORS,
    LLAMA_RULE_EMBD,
    LLAMA_RULES_LAYER(LLAMA_PAIRS),
    LLAMA_RULES_QKV_BIAS(LLAMA_PAIRS, llama_line_attn_bias),
    LLAMA_RULE_O_BIAS(llama_line_attn_bias),
    LLAMA_RULES_MLP_BIAS(llama_line_mlp_bias),
    LLAMA_RULES_DROPPED,
    LLAMA_RULES_HEAD,
    {0},
};

static const struct tensor_rule meta_rules[] = {LLAMA_RULES_META, {0}};

const struct arch arch_llama = {
    .family = "llama",
    .gguf_arch = "llama",
    .model_types = (const char *const[]){"llama", NULL},
    .architectures = (const char *const[]){"LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel", NULL},
    .prefixes = LLAMA_PREFIXES,
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
    .derive = llama_line_derive,
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
    .detect_tensors = LLAMA_DETECT_META,
    .source = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .gguf = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .derive = llama_line_derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};
