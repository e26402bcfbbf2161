/* GPT-2: learned positions, layer norm before each half of a block, one fused matrix for q, k and v, output
 * tied to the embedding. Also Cerebras-GPT (erf GELU) and DialoGPT. Hugging Face stores block matrices as
 * Conv1D, (in, out); GGUF as (out, in). Files saved from GPT2Model, and the first published ones, have no
 * "transformer." before their names. */
#include "models/forward.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"n_layer|num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 12},
    /* n_ctx is an older name; where both stand, n_positions sizes the position table */
    {"n_positions|max_position_embeddings|n_ctx", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true,
     1024},
    {"n_embd|hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 768},
    {"n_inner", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), false, NAN},
    {"n_head|num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 12},
    {"layer_norm_epsilon", "attention.layer_norm_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},
    {"activation_function", "hidden_activation", CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false,
     ACTIVATION_GELU_TANH},
    {"vocab_size", NULL, CONFIG_INT, KV_U32, FIELD(n_vocab), false, 50257},
    {0},
};

static const struct config_fixed fixed[] = {
    {"scale_attn_weights", "true", "attention without the scale 1/sqrt(head size) is not supported yet"},
    {"scale_attn_by_inverse_layer_idx", "false", "attention scores scaled by layer are not supported yet"},
    {"add_cross_attention", "false", "cross attention has no place in a decoder-only model"},
    {0},
};

static const struct config_ignored ignored[] = {
    {"*_pdrop", "dropout is for training"},
    {"summary_*", "describes the head of another task"},
    {"reorder_and_upcast_attn", "the same arithmetic at another precision"},
    {0},
};

static const struct tensor_rule rules[] = {
    {"{p}wte.weight", "token_embd.weight", ROLE_TOKEN_EMBD, PART_WEIGHT, "V,E", TRANSFORM_NONE, NULL,
     PRESENCE_REQUIRED, NULL},
    {"{p}wpe.weight", "position_embd.weight", ROLE_POSITION_EMBD, PART_WEIGHT, "P,E", TRANSFORM_NONE, NULL,
     PRESENCE_REQUIRED, NULL},
#define LAYER(src, dst, role, part, shape, transform)                                                        \
    {                                                                                                        \
        "{p}h.{i}." src, "blk.{i}." dst, role, part, shape, transform, NULL, PRESENCE_REQUIRED, NULL         \
    }
    LAYER("ln_1.weight", "attn_norm.weight", ROLE_ATTN_NORM, PART_WEIGHT, "E", TRANSFORM_NONE),
    LAYER("ln_1.bias", "attn_norm.bias", ROLE_ATTN_NORM, PART_BIAS, "E", TRANSFORM_NONE),
    LAYER("attn.c_attn.weight", "attn_qkv.weight", ROLE_ATTN_QKV, PART_WEIGHT, "E,3*E", TRANSFORM_TRANSPOSE),
    LAYER("attn.c_attn.bias", "attn_qkv.bias", ROLE_ATTN_QKV, PART_BIAS, "3*E", TRANSFORM_NONE),
    LAYER("attn.c_proj.weight", "attn_output.weight", ROLE_ATTN_OUTPUT, PART_WEIGHT, "E,E",
          TRANSFORM_TRANSPOSE),
    LAYER("attn.c_proj.bias", "attn_output.bias", ROLE_ATTN_OUTPUT, PART_BIAS, "E", TRANSFORM_NONE),
    LAYER("ln_2.weight", "ffn_norm.weight", ROLE_FFN_NORM, PART_WEIGHT, "E", TRANSFORM_NONE),
    LAYER("ln_2.bias", "ffn_norm.bias", ROLE_FFN_NORM, PART_BIAS, "E", TRANSFORM_NONE),
    LAYER("mlp.c_fc.weight", "ffn_up.weight", ROLE_FFN_UP, PART_WEIGHT, "E,F", TRANSFORM_TRANSPOSE),
    LAYER("mlp.c_fc.bias", "ffn_up.bias", ROLE_FFN_UP, PART_BIAS, "F", TRANSFORM_NONE),
    LAYER("mlp.c_proj.weight", "ffn_down.weight", ROLE_FFN_DOWN, PART_WEIGHT, "F,E", TRANSFORM_TRANSPOSE),
    LAYER("mlp.c_proj.bias", "ffn_down.bias", ROLE_FFN_DOWN, PART_BIAS, "E", TRANSFORM_NONE),
#undef LAYER
#define DROPPED(src, shape, presence)                                                                        \
    {                                                                                                        \
        src, NULL, ROLE_COUNT, PART_WEIGHT, shape, TRANSFORM_NONE, NULL, presence, NULL                      \
    }
    DROPPED("{p}h.{i}.attn.bias", "1,1,?,?", PRESENCE_DROPPED), /* the causal mask */
    DROPPED("{p}h.{i}.attn.masked_bias", "", PRESENCE_DROPPED), /* -1e4 */
    {"{p}ln_f.weight", "output_norm.weight", ROLE_OUTPUT_NORM, PART_WEIGHT, "E", TRANSFORM_NONE, NULL,
     PRESENCE_REQUIRED, NULL},
    {"{p}ln_f.bias", "output_norm.bias", ROLE_OUTPUT_NORM, PART_BIAS, "E", TRANSFORM_NONE, NULL,
     PRESENCE_REQUIRED, NULL},
    {"lm_head.weight", "output.weight", ROLE_OUTPUT, PART_WEIGHT, "V,E", TRANSFORM_NONE, NULL,
     PRESENCE_OPTIONAL, NULL},
    DROPPED("score.weight", "?,E", PRESENCE_LEFT_OUT), /* GPT2ForSequenceClassification */
    DROPPED("multiple_choice_head.summary.weight", "?,E", PRESENCE_LEFT_OUT), /* GPT2DoubleHeadsModel */
    DROPPED("multiple_choice_head.summary.bias", "?", PRESENCE_LEFT_OUT),
#undef DROPPED
    {0},
};

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->n_embd % hp->n_head != 0)
        return error_set(err, STATUS_MISMATCH, "width %lld is no multiple of the number of heads %lld",
                         (long long)hp->n_embd, (long long)hp->n_head);
    hp->head_dim = hp->n_embd / hp->n_head;
    hp->n_head_kv = hp->n_head;
    if (hp->n_ff == 0) hp->n_ff = 4 * hp->n_embd;
    hp->attn_bias = hp->mlp_bias = true;
    return STATUS_OK;
}

/* --- the forward pass --- */

static enum status embed(struct forward *f, struct error *err)
{
    TRY(op_embed(f, &f->x, ROLE_TOKEN_EMBD, err));
    TRY(op_add_positions(f, &f->x, ROLE_POSITION_EMBD, f->window.pos, err));
    return op_tap(f, "embd", -1, &f->x, err);
}

/* x += c_proj(attention(q, k, v)), q, k, v side by side in c_attn(h), h the normed x */
static enum status attend(struct forward *f, int64_t layer, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    bool conv1d = f->model->dialect->conv1d;
    struct act h, qkv, mixed;
    TRY(op_scratch(f, 0, hp->n_embd, &h, err));
    TRY(op_scratch(f, 1, 3 * hp->n_embd, &qkv, err));
    TRY(op_scratch(f, 2, hp->n_embd, &mixed, err));

    TRY(op_layer_norm(f, &h, &f->x, ROLE_ATTN_NORM, layer, err));
    TRY(op_tap(f, "attn_norm", layer, &h, err));
    TRY(op_linear(f, &qkv, &h, ROLE_ATTN_QKV, layer, conv1d, err));
    TRY(op_tap(f, "qkv", layer, &qkv, err));
    const struct attention attention = {
        .q = &qkv,
        .k = &qkv,
        .v = &qkv,
        .k_col0 = hp->n_embd,
        .v_col0 = 2 * hp->n_embd,
        .n_head = hp->n_head,
        .n_head_kv = hp->n_head,
        .head_dim = hp->head_dim,
        .scale = 1 / sqrt((double)hp->head_dim),
    };
    TRY(op_attention(f, &mixed, &attention, layer, err));
    TRY(op_linear(f, &h, &mixed, ROLE_ATTN_OUTPUT, layer, conv1d, err));
    TRY(op_tap(f, "attn_out", layer, &h, err));
    TRY(op_add(f, &f->x, &h, err));
    return op_tap(f, "attn_residual", layer, &f->x, err);
}

/* x += c_proj(act(c_fc(h))), h the normed x */
static enum status feed_forward(struct forward *f, int64_t layer, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    bool conv1d = f->model->dialect->conv1d;
    struct act h, up;
    TRY(op_scratch(f, 0, hp->n_embd, &h, err));
    TRY(op_scratch(f, 1, hp->n_ff, &up, err));

    TRY(op_layer_norm(f, &h, &f->x, ROLE_FFN_NORM, layer, err));
    TRY(op_tap(f, "ffn_norm", layer, &h, err));
    TRY(op_linear(f, &up, &h, ROLE_FFN_UP, layer, conv1d, err));
    TRY(op_tap(f, "ffn_up", layer, &up, err));
    TRY(op_activate(f, &up, hp->activation, err));
    TRY(op_tap(f, "ffn_act", layer, &up, err));
    TRY(op_linear(f, &h, &up, ROLE_FFN_DOWN, layer, conv1d, err));
    TRY(op_tap(f, "ffn_out", layer, &h, err));
    TRY(op_add(f, &f->x, &h, err));
    return op_tap(f, "residual", layer, &f->x, err);
}

static enum status block(struct forward *f, int64_t layer, struct error *err)
{
    TRY(attend(f, layer, err));
    return feed_forward(f, layer, err);
}

static enum status head(struct forward *f, struct error *err)
{
    TRY(op_layer_norm(f, &f->x, &f->x, ROLE_OUTPUT_NORM, -1, err));
    return op_tap(f, "norm", -1, &f->x, err);
}

const struct arch arch_gpt2 = {
    .family = "gpt2",
    .gguf_arch = "gpt2",
    .model_types = (const char *const[]){"gpt2", NULL},
    .architectures = (const char *const[]){"GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel",
                                           "GPT2ForSequenceClassification", NULL},
    .prefixes = (const char *const[]){"transformer.", "", NULL},
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .tied_by_default = true,
    .uses_rope = false,
    .detect_tensors =
        (const char *const[]){"{p}wte.weight", "{p}wpe.weight", "{p}h.0.attn.c_attn.weight", NULL},
    .source = {.conv1d = true},
    .gguf = {.conv1d = false},
    .derive = derive,
    .embed = embed,
    .layer = block,
    .head = head,
};
