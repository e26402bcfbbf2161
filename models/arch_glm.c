/* GLM in transformers' own form. `glm` (GLM-4-9B-hf, GLM-Edge): ChatGLM2's graph under other names, with q, k and v apart; GGUF has the same
 * architecture for both. `glm4` (GLM-4-0414, GLM-Z1): two more norms, of what a half of the block adds.
 *
 * Neighbouring elements of a head are rotated: transformers interleaves its halves before use, so no rows move. In glm4 the norm that is called
 * post_attention_layernorm is the one before the feed-forward layer. */
#include "models/glm_line.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"num_hidden_layers|num_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 0},
    {"max_position_embeddings|seq_length|max_sequence_length", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 0},
    {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 0},
    {"intermediate_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), true, 0},
    {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 0},
    {"num_key_value_heads", "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), false, NAN},
    {"head_dim", "attention.key_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},
    {NULL, "attention.value_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 0},
    {"vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, NAN},
    {"hidden_act", NULL, CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_SILU},
    {"attention_bias", NULL, CONFIG_BOOL, KV_BOOL, FIELD(attn_bias), false, false},
    {0},
};

static const struct config_fixed fixed[] = {
    {"num_nextn_predict_layers", "0", "layers that predict further tokens are not supported in this family"},
    {0},
};

static bool has_bias(const struct hparams *hp)
{
    return hp->attn_bias;
}

#define IN "{p}layers.{i}."
#define OUT "blk.{i}."
#define PROJECTION(src, dst, role, rows)                                                                               \
    RULE_WEIGHT(IN "self_attn." src, OUT dst, role, rows ",E"),                                                        \
        RULE_BIAS(IN "self_attn." src, OUT dst, role, rows, .when = has_bias)
/* what a GGUF may hold in place of the three above, as ChatGLM2's do */
#define FUSED                                                                                                          \
    {.target = OUT "attn_qkv.weight", .role = ROLE_ATTN_QKV, .shape = "H*D+2*K*D,E", .presence = PRESENCE_OPTIONAL},   \
        {.target = OUT "attn_qkv.bias", .role = ROLE_ATTN_QKV, .part = PART_BIAS, .shape = "H*D+2*K*D",                \
         .presence = PRESENCE_OPTIONAL}
#define ATTENTION                                                                                                      \
    FUSED, PROJECTION("q_proj", "attn_q", ROLE_ATTN_Q, "H*D"), PROJECTION("k_proj", "attn_k", ROLE_ATTN_K, "K*D"),     \
        PROJECTION("v_proj", "attn_v", ROLE_ATTN_V, "K*D"),                                                            \
        RULE_WEIGHT(IN "self_attn.o_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,H*D")
#define MLP                                                                                                            \
    RULE_WEIGHT(IN "mlp.gate_up_proj", OUT "ffn_up", ROLE_FFN_UP, "2*F,E"),                                            \
        RULE_WEIGHT(IN "mlp.down_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E,F")
#define HEAD                                                                                                           \
    RULE_DROPPED("{p}rotary_emb.inv_freq", "?"), RULE_WEIGHT("{p}norm", "output_norm", ROLE_OUTPUT_NORM, "E"),         \
        RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),                           \
        RULE_LEFT_OUT("score.weight", "?,E"), RULE_LEFT_OUT("score.bias", "?"),                                        \
        RULE_LEFT_OUT("classifier.weight", "?,E"), RULE_LEFT_OUT("classifier.bias", "?")

static const struct tensor_rule rules_glm[] = {
    RULE_WEIGHT("{p}embed_tokens", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_WEIGHT(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM, "E"),
    ATTENTION,
    RULE_WEIGHT(IN "post_attention_layernorm", OUT "ffn_norm", ROLE_FFN_NORM, "E"),
    MLP,
    HEAD,
    {0},
};

static const struct tensor_rule rules_glm4[] = {
    RULE_WEIGHT("{p}embed_tokens", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_WEIGHT(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM, "E"),
    ATTENTION,
    RULE_WEIGHT(IN "post_self_attn_layernorm", OUT "post_attention_norm", ROLE_ATTN_POST_NORM, "E"),
    RULE_WEIGHT(IN "post_attention_layernorm", OUT "ffn_norm", ROLE_FFN_NORM, "E"),
    MLP,
    RULE_WEIGHT(IN "post_mlp_layernorm", OUT "post_ffw_norm", ROLE_FFN_POST_NORM, "E"),
    HEAD,
    {0},
};

/* GLM-4.1V's text part rotates by three positions at once. */
static enum status refuse_mrope(const struct config_reader *r, struct error *err)
{
    static const char *const blocks[] = {"rope_parameters", "rope_scaling"};
    for (size_t i = 0; i < 2; i++)
        if (json_get(json_get(json_root(r->doc), blocks[i]), "mrope_section"))
            return config_error(r, err, STATUS_UNSUPPORTED, blocks[i],
                                "mrope_section: positions of pictures are not supported");
    return STATUS_OK;
}

static enum status read_config(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    TRY(refuse_mrope(r, err));
    glm_check_config(r);
    glm_dim(r, "{p}embed_tokens.weight", 0, 1, &hp->n_vocab);
    glm_dim(r, "{p}embed_tokens.weight", 1, 1, &hp->n_embd);
    glm_dim(r, "{p}layers.{i}.mlp.down_proj.weight", 1, 1, &hp->n_ff);
    glm_count_layers(r, "{p}layers.{i}.input_layernorm.weight", &hp->n_layer);
    TRY(glm_need(r, "hidden_size", hp->n_embd, err));
    TRY(glm_need(r, "num_attention_heads", hp->n_head, err));
    TRY(glm_need(r, "max_position_embeddings", hp->n_ctx, err));
    TRY(glm_need(r, "rms_norm_eps", hp->norm_eps > 0, err));
    glm_dim(r, "{p}layers.{i}.self_attn.q_proj.weight", 0, hp->n_head, &hp->head_dim);
    glm_dim(r, "{p}layers.{i}.self_attn.k_proj.weight", 0, hp->head_dim, &hp->n_head_kv);
    TRY(glm_need(r, "intermediate_size", hp->n_ff, err));
    hp->attn_bias = hp->attn_bias || glm_has(r, "{p}layers.{i}.self_attn.q_proj.bias");
    return STATUS_OK;
}

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->n_head;
    if (hp->n_head % hp->n_head_kv != 0)
        return error_set(err, STATUS_MISMATCH, "number of heads %lld is no multiple of the number of key/value heads %lld",
                         (long long)hp->n_head, (long long)hp->n_head_kv);
    if (hp->head_dim == 0) hp->head_dim = hp->n_embd / hp->n_head;
    if (hp->rope_part == 0) hp->rope_part = 0.5;
    if (hp->rope.dim == 0) hp->rope.dim = (int64_t)((double)hp->head_dim * hp->rope_part);
    hp->gate_up = true;
    if (hp->activation != ACTIVATION_SILU)
        return error_set(err, STATUS_UNSUPPORTED, "hidden_act: expected silu, found %s", activation_name(hp->activation));
    return STATUS_OK;
}

#define COMMON                                                                                                         \
    .prefixes = (const char *const[]){"model.", "", NULL}, .keys = keys, .fixed = fixed, .uses_rope = true,            \
    .rope = {.part = "partial_rotary_factor", .partial = true}, .line = GLM_LINE, .source = {.rope_style = ROPE_PAIRS}, \
    .gguf = {.rope_style = ROPE_PAIRS, .qkv = QKV_BLOCKS}, .read_config = read_config, .derive = derive,               \
    .embed = block_embed, .layer = block_pre_norm, .head = block_head

const struct arch arch_glm = {
    .family = "glm",
    .remark = glm_remark_width,
    .gguf_arch = "chatglm",
    .borrowed_arch = true,
    .model_types = (const char *const[]){"glm", NULL},
    .architectures = (const char *const[]){"GlmForCausalLM", "GlmModel", "GlmForSequenceClassification",
                                           "GlmForTokenClassification", NULL},
    .rules = rules_glm,
    .told_by = "GLM's in transformers' form: mlp.gate_up_proj, and no norm of what a half of the block adds",
    .detect_tensors = (const char *const[]){"{p}embed_tokens.weight", "{p}layers.0.self_attn.q_proj.weight",
                                            "{p}layers.0.mlp.gate_up_proj.weight", NULL},
    COMMON,
};
const struct arch arch_glm4 = {
    .family = "glm4",
    .gguf_arch = "glm4",
    .model_types = (const char *const[]){"glm4", NULL},
    .architectures = (const char *const[]){"Glm4ForCausalLM", "Glm4Model", "Glm4ForSequenceClassification",
                                           "Glm4ForTokenClassification", NULL},
    .rules = rules_glm4,
    .told_by = "GLM-4-0414's: mlp.gate_up_proj and post_mlp_layernorm",
    .detect_tensors = (const char *const[]){"{p}embed_tokens.weight", "{p}layers.0.self_attn.q_proj.weight",
                                            "{p}layers.0.mlp.gate_up_proj.weight",
                                            "{p}layers.0.post_mlp_layernorm.weight", NULL},
    COMMON,
};
