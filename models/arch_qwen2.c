/* Qwen2 and Qwen2.5: LLaMA's block with biases on queries, keys and values, never on the output, and a window of
 * keys in some layers where the config switches it on. llama.cpp's architecture rotates halves, as the source does,
 * so no rows move; it has no window, and wants heads that make up the width. */
#include "models/llama_line.h"

static const struct config_key keys[] = {
    LLAMA_KEYS(32768, 22016),
    LLAMA_KEY_HEADS_KV(32),
    LLAMA_KEYS_HEAD_DIM(NAN),
    {"vocab_size", NULL, CONFIG_INT, KV_U32, FIELD(n_vocab), false, 151936},
    LLAMA_KEYS_WINDOW_BY_LAYER,
    {0},
};

static const struct config_fixed fixed[] = {
    {"attention_bias", "true", "Qwen2Attention always has biases on q, k and v"},
    {"mlp_bias", "false", "Qwen2MLP has no biases"},
    {"partial_rotary_factor", "1", "Qwen2 rotates whole heads"},
    {"use_mrope", "false", "positions of pictures are not supported"},
    {0},
};

static const struct tensor_rule rules[] = {
    LLAMA_RULE_EMBD,
    LLAMA_RULES_LAYER(LLAMA_HALVES),
    LLAMA_RULES_QKV_BIAS(LLAMA_HALVES, NULL),
    LLAMA_RULES_DROPPED,
    LLAMA_RULES_HEAD,
    {0},
};

static void remark(const struct hparams *hp, struct warnings *warn)
{
    if (hp->n_head * hp->head_dim != hp->n_embd)
        warnings_add(warn, "runtime-refuses-shape",
                     "%lld heads of %lld do not make up the width %lld: llama.cpp refuses such a file of architecture "
                     "'qwen2'",
                     (long long)hp->n_head, (long long)hp->head_dim, (long long)hp->n_embd);
}

const struct arch arch_qwen2 = {
    .family = "qwen2",
    .gguf_arch = "qwen2",
    .model_types = (const char *const[]){"qwen2", NULL},
    .architectures = (const char *const[]){"Qwen2ForCausalLM", "Qwen2Model", NULL},
    .prefixes = LLAMA_PREFIXES,
    .keys = keys,
    .fixed = fixed,
    .rules = rules,
    .tied_by_default = false,
    .uses_rope = true,
    .detect_tensors = (const char *const[]){"{p}embed_tokens.weight", "{p}layers.0.self_attn.q_proj.bias",
                                            "!{p}layers.0.self_attn.o_proj.bias", "{p}layers.0.mlp.gate_proj.weight", NULL},
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
