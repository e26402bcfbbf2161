/* ChatGLM-6B, the first one: layer norms whose result, times alpha, is the residual; two rotary positions, one for each half of a head; a fused
 * matrix with rows [heads][q, k, v]; a context that sees itself whole. llama.cpp has no architecture for it: `chatglm1` is lathe's own.
 *
 * The published code never tells a block how many layers there are, so alpha is sqrt(2 * 28) whatever the config says, and it keeps the
 * frequencies of the rotation as F16. */
#include "models/glm_line.h"
#include "models/config_write.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"num_layers|num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 0},
    {"max_sequence_length|seq_length|max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 0},
    {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 0},
    {"inner_hidden_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), true, 0},
    {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 0},
    {NULL, "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), false, NAN},
    {"layernorm_epsilon", "attention.layer_norm_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},
    {NULL, "attention.prefix_lm", CONFIG_BOOL, KV_BOOL, FIELD(prefix_lm), false, true},
    {"position_encoding_2d", "rope.position_2d", CONFIG_BOOL, KV_BOOL, FIELD(position_2d), false, true},
    {NULL, "residual_alpha", CONFIG_REAL, KV_F32, FIELD(alpha), true, NAN},
    {"vocab_size|padded_vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, NAN},
    {NULL, "sop_token_id", CONFIG_ID, KV_U32, FIELD(sop_id), false, NAN},
    {"mask_token_id", "mask_token_id", CONFIG_ID, KV_U32, FIELD(mask_id), false, NAN},
    {"gmask_token_id", "gmask_token_id", CONFIG_ID, KV_U32, FIELD(gmask_id), false, NAN},
    {NULL, "smask_token_id", CONFIG_ID, KV_U32, FIELD(smask_id), false, NAN},
    {0},
};

static const struct config_ignored ignored[] = {
    {"prefix_projection", "P-tuning, which is refused by its own key"},
    {"quantization_embeddings", "the tensors' own types count"},
    {0},
};

static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}word_embeddings", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
#define IN "{p}layers.{i}."
#define OUT "blk.{i}."
    RULE_LAYER_NORM(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM),
    RULE_WEIGHT(IN "attention.query_key_value", OUT "attn_qkv", ROLE_ATTN_QKV, "3*E,E", .transform = TRANSFORM_QKV_GROUPS,
                .heads = "H"),
    RULE_BIAS(IN "attention.query_key_value", OUT "attn_qkv", ROLE_ATTN_QKV, "3*E", .transform = TRANSFORM_QKV_GROUPS,
              .heads = "H"),
    RULE_WEIGHT(IN "attention.dense", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,E"),
    RULE_BIAS(IN "attention.dense", OUT "attn_output", ROLE_ATTN_OUTPUT, "E"),
    RULE_LAYER_NORM(IN "post_attention_layernorm", OUT "ffn_norm", ROLE_FFN_NORM),
    RULE_WEIGHT(IN "mlp.dense_h_to_4h", OUT "ffn_up", ROLE_FFN_UP, "F,E"),
    RULE_BIAS(IN "mlp.dense_h_to_4h", OUT "ffn_up", ROLE_FFN_UP, "F"),
    RULE_WEIGHT(IN "mlp.dense_4h_to_h", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    RULE_BIAS(IN "mlp.dense_4h_to_h", OUT "ffn_down", ROLE_FFN_DOWN, "E"),
    RULE_DROPPED(IN "attention.rotary_emb.inv_freq", "?"),
#undef IN
#undef OUT
    RULE_LAYER_NORM("{p}final_layernorm", "output_norm", ROLE_OUTPUT_NORM),
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    {0},
};

/* --- config.json --- */

/* Special ids keep their distances in both published vocabularies; where a config leaves them out the vocabulary's size tells which it is. */
static void default_ids(struct hparams *hp)
{
    static const struct {
        int64_t n_vocab, mask;
    } published[] = {{130528, 130000}, {150528, 150000}};
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        if (hp->n_vocab != published[i].n_vocab) continue;
        if (hp->mask_id < 0) hp->mask_id = published[i].mask;
        if (hp->gmask_id < 0) hp->gmask_id = published[i].mask + 1;
        if (hp->sop_id < 0) hp->sop_id = published[i].mask + 4;
    }
}

static enum status read_config(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    glm_check_config(r);
    TRY(glm_storage(r, err));
    glm_dim(r, "{p}word_embeddings.weight", 0, 1, &hp->n_vocab);
    glm_dim(r, "{p}layers.{i}.input_layernorm.weight", 0, 1, &hp->n_embd);
    glm_dim(r, "{p}layers.{i}.mlp.dense_h_to_4h.weight", 0, 1, &hp->n_ff);
    glm_count_layers(r, "{p}layers.{i}.input_layernorm.weight", &hp->n_layer);
    TRY(glm_need(r, "hidden_size", hp->n_embd, err));
    TRY(glm_need(r, "inner_hidden_size", hp->n_ff, err));
    TRY(glm_need(r, "max_sequence_length", hp->n_ctx, err));
    TRY(glm_need(r, "num_attention_heads", hp->n_head, err));
    hp->sop_id = hp->bos_id;
    default_ids(hp);
    TRY(glm_need(r, "bos_token_id", hp->sop_id + 1, err));
    TRY(glm_need(r, "gmask_token_id", hp->gmask_id + 1, err));
    TRY(glm_need(r, "mask_token_id", hp->mask_id + 1, err));
    hp->alpha = sqrt(2 * 28);
    return STATUS_OK;
}

static void write_config(struct config_writer *c)
{
    if (c->hp->sop_id >= 0) config_put_int(c, "bos_token_id", c->hp->sop_id);
}

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->n_embd % hp->n_head != 0)
        return error_set(err, STATUS_MISMATCH, "width %lld is no multiple of the number of heads %lld",
                         (long long)hp->n_embd, (long long)hp->n_head);
    hp->head_dim = hp->n_embd / hp->n_head;
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->n_head;
    if (hp->n_head_kv != hp->n_head)
        return error_set(err, STATUS_UNSUPPORTED, "expected as many key heads as heads, %lld, found %lld",
                         (long long)hp->n_head, (long long)hp->n_head_kv);
    if (hp->rope.dim == 0) hp->rope.dim = hp->position_2d ? hp->head_dim / 2 : hp->head_dim;
    hp->alpha = (float)hp->alpha; /* as the file holds it */
    hp->activation = ACTIVATION_GELU_TANH;
    hp->normed_residual = hp->rope_rounded = true;
    hp->attn_bias = hp->mlp_bias = true;
    return STATUS_OK;
}

/* --- positions --- */

static int64_t find_id(const int32_t *ids, int64_t n, int64_t id)
{
    int64_t i = 0;
    while (i < n && (id < 0 || ids[i] != id)) i++;
    return i;
}

/* The context ends before the first <sop> and sees itself; what follows fills the first [gMASK], or else the first [MASK], and keeps its
 * position. */
static enum status plan(const struct model *m, const int32_t *ids, int64_t n, struct window_plan *w, struct error *err)
{
    const struct hparams *hp = &m->hp;
    int64_t context = find_id(ids, n, hp->sop_id), gmask = find_id(ids, n, hp->gmask_id),
            mask = gmask < n ? gmask : find_id(ids, n, hp->mask_id);
    w->prefix = context;
    if (context == n) return STATUS_OK;
    if (mask == n)
        return error_at(err, STATUS_RANGE, m->ckpt->path, NULL,
                        "ids hold <sop> (%lld) but no [gMASK] (%lld) and no [MASK] (%lld) for it to fill",
                        (long long)hp->sop_id, (long long)hp->gmask_id, (long long)hp->mask_id);
    for (int64_t t = context; t < n; t++) {
        if (hp->position_2d || gmask == n) w->pos[t] = mask;
        if (hp->position_2d) w->block[t] = t - context + 1;
    }
    return STATUS_OK;
}

const struct arch arch_chatglm1 = {
    .family = "chatglm1",
    .gguf_arch = "chatglm1",
    .own_arch = true,
    .model_types = (const char *const[]){"chatglm", NULL},
    .architectures = (const char *const[]){"ChatGLMModel", "ChatGLMForConditionalGeneration", NULL},
    .prefixes = (const char *const[]){"transformer.", "", NULL},
    .keys = keys,
    .ignored = ignored,
    .rules = rules,
    .uses_rope = true,
    .rope = {.constant = true},
    .line = GLM_LINE,
    .told_by = "ChatGLM-6B's: layers.N.attention.query_key_value, and no table of positions",
    .detect_tensors = (const char *const[]){"{p}word_embeddings.weight", "{p}layers.0.attention.query_key_value.weight",
                                            "{p}layers.0.mlp.dense_h_to_4h.bias", NULL},
    .source = {.rope_style = ROPE_HALVES, .qkv = QKV_GROUPS},
    .gguf = {.rope_style = ROPE_HALVES, .qkv = QKV_BLOCKS},
    .read_config = read_config,
    .write_config = write_config,
    .derive = derive,
    .plan = plan,
    .frame = glm_frame,
    .embed = block_embed,
    .layer = glm_normed_residual_block,
    .head = block_head,
};
