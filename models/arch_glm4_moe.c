/* GLM-4.5, 4.5-Air, 4.6 (transformers' glm4_moe): LLaMA's block with halves of a part of each head rotated, norms of queries and keys in the larger
 * ones, and experts behind the first dense layers. The norm that is called post_attention_layernorm stands before the feed-forward layer, and GGUF
 * calls it post_attention_norm all the same. Layers behind the last predict the token after next; they are carried along and not part of the
 * logits. */
#include "models/glm_line.h"
#include "models/config_write.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 0},
    {"max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 0},
    {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 0},
    {"intermediate_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), true, 0},
    {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 0},
    {"num_key_value_heads", "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), false, NAN},
    {"head_dim", "attention.key_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},
    {NULL, "attention.value_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},
    {"vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, NAN},
    {"hidden_act", NULL, CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_SILU},
    {"attention_bias", NULL, CONFIG_BOOL, KV_BOOL, FIELD(attn_bias), false, false},
    {"use_qk_norm", NULL, CONFIG_BOOL, KV_BOOL, FIELD(qk_norm), false, false},
    {"first_k_dense_replace", "leading_dense_block_count", CONFIG_ID, KV_U32, FIELD(n_dense), false, NAN},
    {"moe_intermediate_size", "expert_feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff_expert), true, NAN},
    {"n_routed_experts", "expert_count", CONFIG_INT, KV_U32, FIELD(n_expert), true, NAN},
    {"num_experts_per_tok", "expert_used_count", CONFIG_INT, KV_U32, FIELD(n_expert_used), true, NAN},
    {"n_shared_experts", "expert_shared_count", CONFIG_ID, KV_U32, FIELD(n_expert_shared), false, NAN},
    {"routed_scaling_factor", "expert_weights_scale", CONFIG_REAL, KV_F32, FIELD(expert_scale), false, 1},
    {"norm_topk_prob", "expert_weights_norm", CONFIG_BOOL, KV_BOOL, FIELD(expert_norm), false, true},
    {NULL, "expert_gating_func", CONFIG_INT, KV_U32, FIELD(expert_gating), false, 2},
    {"num_nextn_predict_layers|num_mtp_layers", "nextn_predict_layers", CONFIG_ID, KV_U32, FIELD(n_nextn), false, NAN},
    {0},
};

static const struct config_fixed fixed[] = {
    {"n_group", "1", "experts in groups are not supported"},
    {"topk_group", "1", "experts in groups are not supported"},
    {0},
};

static const struct config_ignored ignored[] = {
    {"router_aux_loss_coef", "for training"},
    {"output_router_logits", "what a call returns"},
    {"num_experts", "another name of n_routed_experts"},
    {0},
};

static bool has_bias(const struct hparams *hp)
{
    return hp->attn_bias;
}
static bool has_qk_norm(const struct hparams *hp)
{
    return hp->qk_norm;
}
static bool is_dense(const struct hparams *hp, int64_t layer)
{
    return layer < hp->n_dense;
}
static bool has_experts(const struct hparams *hp, int64_t layer)
{
    return layer >= hp->n_dense;
}
static bool has_shared(const struct hparams *hp, int64_t layer)
{
    return layer >= hp->n_dense && hp->n_expert_shared > 0;
}
static bool is_nextn(const struct hparams *hp, int64_t layer)
{
    return layer >= hp->n_layer - hp->n_nextn;
}

static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}embed_tokens", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
#define IN "{p}layers.{i}."
#define OUT "blk.{i}."
#define PROJECTION(src, dst, role, rows)                                                                               \
    RULE_WEIGHT(IN "self_attn." src, OUT dst, role, rows ",E"),                                                        \
        RULE_BIAS(IN "self_attn." src, OUT dst, role, rows, .when = has_bias)
    RULE_WEIGHT(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM, "E"),
    PROJECTION("q_proj", "attn_q", ROLE_ATTN_Q, "H*D"),
    PROJECTION("k_proj", "attn_k", ROLE_ATTN_K, "K*D"),
    PROJECTION("v_proj", "attn_v", ROLE_ATTN_V, "K*D"),
    RULE_WEIGHT(IN "self_attn.o_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,H*D"),
    RULE_WEIGHT(IN "self_attn.q_norm", OUT "attn_q_norm", ROLE_ATTN_Q_NORM, "D", .when = has_qk_norm),
    RULE_WEIGHT(IN "self_attn.k_norm", OUT "attn_k_norm", ROLE_ATTN_K_NORM, "D", .when = has_qk_norm),
    RULE_WEIGHT(IN "post_attention_layernorm", OUT "post_attention_norm", ROLE_ATTN_POST_NORM, "E"),
    RULE_WEIGHT(IN "mlp.gate_proj", OUT "ffn_gate", ROLE_FFN_GATE, "F,E", .in_layer = is_dense),
    RULE_WEIGHT(IN "mlp.up_proj", OUT "ffn_up", ROLE_FFN_UP, "F,E", .in_layer = is_dense),
    RULE_WEIGHT(IN "mlp.down_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E,F", .in_layer = is_dense),
    RULE_WEIGHT(IN "mlp.gate", OUT "ffn_gate_inp", ROLE_FFN_GATE_INP, "X,E", .in_layer = has_experts),
    {.source = IN "mlp.gate.e_score_correction_bias", .target = OUT "exp_probs_b.bias", .role = ROLE_EXP_PROBS_B,
     .part = PART_BIAS, .shape = "X", .in_layer = has_experts},
    RULE_WEIGHT(IN "mlp.experts.{e}.gate_proj", OUT "ffn_gate_exps", ROLE_FFN_GATE_EXPS, "X,M,E", .in_layer = has_experts),
    RULE_WEIGHT(IN "mlp.experts.{e}.up_proj", OUT "ffn_up_exps", ROLE_FFN_UP_EXPS, "X,M,E", .in_layer = has_experts),
    RULE_WEIGHT(IN "mlp.experts.{e}.down_proj", OUT "ffn_down_exps", ROLE_FFN_DOWN_EXPS, "X,E,M", .in_layer = has_experts),
    RULE_WEIGHT(IN "mlp.shared_experts.gate_proj", OUT "ffn_gate_shexp", ROLE_FFN_GATE_SHEXP, "S,E", .in_layer = has_shared),
    RULE_WEIGHT(IN "mlp.shared_experts.up_proj", OUT "ffn_up_shexp", ROLE_FFN_UP_SHEXP, "S,E", .in_layer = has_shared),
    RULE_WEIGHT(IN "mlp.shared_experts.down_proj", OUT "ffn_down_shexp", ROLE_FFN_DOWN_SHEXP, "E,S",
                .in_layer = has_shared),
    RULE_WEIGHT(IN "eh_proj", OUT "nextn.eh_proj", ROLE_NEXTN_EH_PROJ, "E,2*E", .in_layer = is_nextn),
    RULE_WEIGHT(IN "embed_tokens", OUT "nextn.embed_tokens", ROLE_NEXTN_EMBED_TOKENS, "V,E", .in_layer = is_nextn,
                .presence = PRESENCE_OPTIONAL),
    RULE_WEIGHT(IN "enorm", OUT "nextn.enorm", ROLE_NEXTN_ENORM, "E", .in_layer = is_nextn),
    RULE_WEIGHT(IN "hnorm", OUT "nextn.hnorm", ROLE_NEXTN_HNORM, "E", .in_layer = is_nextn),
    RULE_WEIGHT(IN "shared_head.head", OUT "nextn.shared_head_head", ROLE_NEXTN_SHARED_HEAD_HEAD, "V,E",
                .in_layer = is_nextn, .presence = PRESENCE_OPTIONAL),
    RULE_WEIGHT(IN "shared_head.norm", OUT "nextn.shared_head_norm", ROLE_NEXTN_SHARED_HEAD_NORM, "E",
                .in_layer = is_nextn, .presence = PRESENCE_OPTIONAL),
#undef PROJECTION
#undef IN
#undef OUT
    RULE_DROPPED("{p}rotary_emb.inv_freq", "?"),
    RULE_WEIGHT("{p}norm", "output_norm", ROLE_OUTPUT_NORM, "E"),
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    {0},
};

/* Layers that predict further tokens count if they are there; published files carry them, files saved by transformers do not. */
static void read_nextn(struct config_reader *r)
{
    struct hparams *hp = r->hp;
    if (hp->n_nextn > 0 && config_tensor(r, "{p}layers.{i}.eh_proj.weight", hp->n_layer)) {
        hp->n_layer += hp->n_nextn;
        return;
    }
    if (hp->n_nextn > 0)
        warnings_add(r->warn, "nextn-layers-missing",
                     "the config tells of %lld layers that predict further tokens, the files have none: the output is "
                     "without them",
                     (long long)hp->n_nextn);
    hp->n_nextn = 0;
}

static enum status read_config(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    glm_check_config(r);
    glm_dim(r, "{p}embed_tokens.weight", 0, 1, &hp->n_vocab);
    glm_dim(r, "{p}embed_tokens.weight", 1, 1, &hp->n_embd);
    TRY(glm_need(r, "hidden_size", hp->n_embd, err));
    TRY(glm_need(r, "num_hidden_layers", hp->n_layer, err));
    TRY(glm_need(r, "intermediate_size", hp->n_ff, err));
    TRY(glm_need(r, "num_attention_heads", hp->n_head, err));
    TRY(glm_need(r, "max_position_embeddings", hp->n_ctx, err));
    read_nextn(r);
    return STATUS_OK;
}

static void write_config(struct config_writer *c)
{
    config_put_bool(c, "use_qk_norm", model_weight(c->m, ROLE_ATTN_Q_NORM, 0, PART_WEIGHT) != NULL);
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
    if (hp->n_dense < 0) hp->n_dense = 1;
    if (hp->n_expert_shared < 0) hp->n_expert_shared = 1;
    if (hp->n_nextn < 0) hp->n_nextn = 0;
    if (hp->expert_gating == 0) hp->expert_gating = 2;
    hp->n_ff_shared = hp->n_ff_expert * hp->n_expert_shared;
    if (hp->expert_gating != 2)
        return error_set(err, STATUS_UNSUPPORTED, "expert_gating_func: expected 2 (sigmoid), found %lld",
                         (long long)hp->expert_gating);
    if (hp->n_expert_used > hp->n_expert || hp->n_nextn >= hp->n_layer)
        return error_set(err, STATUS_MISMATCH, "%lld of %lld experts, %lld of %lld layers for further tokens: too many",
                         (long long)hp->n_expert_used, (long long)hp->n_expert, (long long)hp->n_nextn,
                         (long long)hp->n_layer);
    if (hp->activation != ACTIVATION_SILU)
        return error_set(err, STATUS_UNSUPPORTED, "hidden_act: expected silu, found %s", activation_name(hp->activation));
    return STATUS_OK;
}

static enum status layer(struct forward *f, int64_t i, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    struct act h;
    if (is_nextn(hp, i)) return STATUS_OK;
    TRY(op_scratch(f, 0, hp->n_embd, &h, err));
    TRY(block_norm(f, &h, &f->x, ROLE_ATTN_NORM, i, err));
    TRY(op_tap(f, "attn_norm", i, &h, err));
    TRY(block_attention(f, &h, &h, i, err));
    TRY(op_add(f, &f->x, &h, err));
    TRY(op_tap(f, "attn_residual", i, &f->x, err));
    TRY(block_norm(f, &h, &f->x, ROLE_ATTN_POST_NORM, i, err));
    TRY(op_tap(f, "ffn_norm", i, &h, err));
    TRY(block_mlp(f, &h, &h, i, err));
    TRY(op_add(f, &f->x, &h, err));
    return op_tap(f, "residual", i, &f->x, err);
}

const struct arch arch_glm4_moe = {
    .family = "glm4_moe",
    .gguf_arch = "glm4moe",
    .model_types = (const char *const[]){"glm4_moe", NULL},
    .architectures = (const char *const[]){"Glm4MoeForCausalLM", "Glm4MoeModel", NULL},
    .prefixes = (const char *const[]){"model.", "", NULL},
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .uses_rope = true,
    .rope = {.part = "partial_rotary_factor", .partial = true},
    .line = GLM_LINE,
    .told_by = "GLM-4.5's: mlp.experts behind dense layers, with a bias of the choice",
    .detect_tensors = (const char *const[]){"{p}embed_tokens.weight", "{p}layers.0.self_attn.q_proj.weight",
                                            "{p}layers.3.mlp.experts.0.gate_proj.weight",
                                            "{p}layers.3.mlp.gate.e_score_correction_bias", NULL},
    .source = {.rope_style = ROPE_HALVES},
    .gguf = {.rope_style = ROPE_HALVES},
    .read_config = read_config,
    .write_config = write_config,
    .derive = derive,
    .embed = block_embed,
    .layer = layer,
    .head = block_head,
};
