/* Qwen3: LLaMA's block whose queries and keys pass an RMS norm per head before they are rotated; heads of 128 unless
 * the config says otherwise. Windows as in Qwen2. llama.cpp's architecture rotates halves, as the source does. */
#include "models/llama_line.h"

static const struct config_key keys[] = {
    LLAMA_KEYS(32768, 22016),
    LLAMA_KEY_HEADS_KV(32),
    LLAMA_KEYS_HEAD_DIM(128),
    {"vocab_size", NULL, CONFIG_INT, KV_U32, FIELD(n_vocab), false, 151936},
    LLAMA_KEY_BIAS("attention_bias", attn_bias),
    LLAMA_KEYS_WINDOW_BY_LAYER,
    {0},
};

static const struct config_fixed fixed[] = {
    {"mlp_bias", "false", "Qwen3MLP has no biases"},
    {"partial_rotary_factor", "1", "Qwen3 rotates whole heads"},
    {0},
};

static const struct tensor_rule rules[] = {
    LLAMA_RULE_EMBD,
    LLAMA_RULES_LAYER(LLAMA_HALVES),
    LLAMA_RULES_QK_NORM,
    LLAMA_RULES_QKV_BIAS(LLAMA_HALVES, llama_line_attn_bias),
    LLAMA_RULE_O_BIAS(llama_line_attn_bias),
    LLAMA_RULES_DROPPED,
    LLAMA_RULES_HEAD,
    {0},
};

static void remark(const struct hparams *hp, struct warnings *warn)
{
    if (hp->attn_bias)
        warnings_add(warn, "runtime-refuses-bias",
                     "attention_bias: llama.cpp has no bias of the attention's output for architecture 'qwen3' and "
                     "refuses a file with one");
}

const struct arch arch_qwen3 = {
    .family = "qwen3",
    .gguf_arch = "qwen3",
    .model_types = (const char *const[]){"qwen3", NULL},
    .architectures = (const char *const[]){"Qwen3ForCausalLM", "Qwen3Model", NULL},
    .prefixes = LLAMA_PREFIXES,
    .keys = keys,
    .fixed = fixed,
    .rules = rules,
    .tied_by_default = false,
    .uses_rope = true,
    .detect_tensors = (const char *const[]){"{p}embed_tokens.weight", "{p}layers.0.self_attn.q_norm.weight",
                                            "{p}layers.0.mlp.gate_proj.weight", NULL},
    .source = {.conv1d = false, .rope_style = ROPE_HALVES},
    .gguf = {.conv1d = false, .rope_style = ROPE_HALVES},
    .read_config = llama_line_read_layers,
    .write_config = llama_line_write_layers,
    .derive = llama_line_derive,
    .remark = remark,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};
