#include "models/arch.h"

#include <string.h>

/* One line per family, here and in the array. */
extern const struct arch arch_bigcode;
extern const struct arch arch_gpt1;
extern const struct arch arch_gpt2;
extern const struct arch arch_gptj;
extern const struct arch arch_gptneo;
extern const struct arch arch_gptneox;
extern const struct arch arch_llama;
extern const struct arch arch_llama_meta;
extern const struct arch arch_mistral;
extern const struct arch arch_mistral_meta;
extern const struct arch arch_qwen2;
extern const struct arch arch_qwen3;
extern const struct arch arch_glm2021;
extern const struct arch arch_chatglm1;
extern const struct arch arch_chatglm2;
extern const struct arch arch_chatglm2x;
extern const struct arch arch_glm;
extern const struct arch arch_glm4;
extern const struct arch arch_glm4_moe;

const struct arch *const arch_list[] = {
    &arch_gpt1,
    &arch_gpt2,
    &arch_gptneo,
    &arch_gptj,
    &arch_gptneox,
    &arch_bigcode,
    &arch_qwen3, /* before families whose tensors it has, too */
    &arch_qwen2,
    &arch_llama,
    &arch_llama_meta,
    &arch_mistral,
    &arch_mistral_meta,
    &arch_glm2021,
    &arch_chatglm1,
    &arch_chatglm2,
    &arch_chatglm2x,
    &arch_glm,
    &arch_glm4,
    &arch_glm4_moe,
    NULL,
};

static const char *const role_names[ROLE_COUNT] = {
    [ROLE_TOKEN_EMBD] = "token_embd",   [ROLE_POSITION_EMBD] = "position_embd",
    [ROLE_ATTN_NORM] = "attn_norm",     [ROLE_ATTN_QKV] = "attn_qkv",
    [ROLE_ATTN_Q] = "attn_q",           [ROLE_ATTN_K] = "attn_k",
    [ROLE_ATTN_V] = "attn_v",           [ROLE_ATTN_OUTPUT] = "attn_output",
    [ROLE_FFN_NORM] = "ffn_norm",       [ROLE_FFN_GATE] = "ffn_gate",
    [ROLE_FFN_UP] = "ffn_up",           [ROLE_FFN_DOWN] = "ffn_down",
    [ROLE_OUTPUT_NORM] = "output_norm", [ROLE_OUTPUT] = "output",
    [ROLE_ROPE_FREQS] = "rope_freqs",   [ROLE_TOKEN_EMBD_NORM] = "token_embd_norm",
    [ROLE_ATTN_Q_NORM] = "attn_q_norm", [ROLE_ATTN_K_NORM] = "attn_k_norm",
    [ROLE_ATTN_OUTPUT_NORM] = "attn_output_norm", [ROLE_LAYER_OUTPUT_NORM] = "layer_output_norm",
    [ROLE_ATTN_POST_NORM] = "post_attention_norm", [ROLE_FFN_POST_NORM] = "post_ffw_norm",
    [ROLE_ROPE_FACTORS_LONG] = "rope_factors_long",
    [ROLE_ROPE_FACTORS_SHORT] = "rope_factors_short",
    [ROLE_BLOCK_POSITION_EMBD] = "block_position_embd",
    [ROLE_FFN_GATE_INP] = "ffn_gate_inp", [ROLE_EXP_PROBS_B] = "exp_probs_b",
    [ROLE_FFN_GATE_EXPS] = "ffn_gate_exps", [ROLE_FFN_UP_EXPS] = "ffn_up_exps",
    [ROLE_FFN_DOWN_EXPS] = "ffn_down_exps", [ROLE_FFN_GATE_SHEXP] = "ffn_gate_shexp",
    [ROLE_FFN_UP_SHEXP] = "ffn_up_shexp", [ROLE_FFN_DOWN_SHEXP] = "ffn_down_shexp",
    [ROLE_NEXTN_EH_PROJ] = "nextn.eh_proj", [ROLE_NEXTN_EMBED_TOKENS] = "nextn.embed_tokens",
    [ROLE_NEXTN_ENORM] = "nextn.enorm", [ROLE_NEXTN_HNORM] = "nextn.hnorm",
    [ROLE_NEXTN_SHARED_HEAD_HEAD] = "nextn.shared_head_head",
    [ROLE_NEXTN_SHARED_HEAD_NORM] = "nextn.shared_head_norm",
};

const char *role_name(enum role r)
{
    return (unsigned)r < ROLE_COUNT ? role_names[r] : "?";
}

static bool in_list(const char *const *list, const char *word)
{
    for (; *list; list++)
        if (strcmp(*list, word) == 0) return true;
    return false;
}

const struct arch *arch_by_gguf(const char *gguf_arch)
{
    for (const struct arch *const *a = arch_list; *a; a++)
        if (strcmp((*a)->gguf_arch, gguf_arch) == 0 && !(*a)->borrowed_arch) return *a;
    return NULL;
}

const struct arch *arch_by_family(const char *family)
{
    for (const struct arch *const *a = arch_list; *a; a++)
        if (strcmp((*a)->family, family) == 0) return *a;
    return NULL;
}

const struct arch *arch_by_architecture(const char *architecture)
{
    for (const struct arch *const *a = arch_list; *a; a++)
        if (in_list((*a)->architectures, architecture)) return *a;
    return NULL;
}

const struct arch *arch_by_model_type(const char *model_type)
{
    for (const struct arch *const *a = arch_list; *a; a++)
        if (in_list((*a)->model_types, model_type)) return *a;
    return NULL;
}
