/* GPT-2: learned positions, layer norm before each half of a block, one fused matrix for q, k and v, output
 * tied to the embedding. Also Cerebras-GPT (erf GELU) and DialoGPT. Hugging Face stores block matrices as
 * Conv1D, (in, out); GGUF as (out, in). Files saved from GPT2Model, and the first published ones, have no
 * "transformer." before their names. */
#include "models/block.h"
#include "models/config_write.h"

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
    {"scale_attn_weights", NULL, CONFIG_BOOL, KV_BOOL, FIELD(scale_attn), false, true},
    {"scale_attn_by_inverse_layer_idx", NULL, CONFIG_BOOL, KV_BOOL, FIELD(attn_scale_by_layer), false, false},
    {"vocab_size", NULL, CONFIG_INT, KV_U32, FIELD(n_vocab), false, 50257},
    {0},
};

static const struct config_fixed fixed[] = {
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
    RULE_WEIGHT("{p}wte", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_WEIGHT("{p}wpe", "position_embd", ROLE_POSITION_EMBD, "P,E"),
#define IN "{p}h.{i}."
#define OUT "blk.{i}."
    RULE_LAYER_NORM(IN "ln_1", OUT "attn_norm", ROLE_ATTN_NORM),
    /* llama.cpp's scale is fixed: what differs goes into the queries */
    RULE_WEIGHT(IN "attn.c_attn", OUT "attn_qkv", ROLE_ATTN_QKV, "E,3*E", .transform = TRANSFORM_TRANSPOSE,
                .scaled = "E"),
    RULE_BIAS(IN "attn.c_attn", OUT "attn_qkv", ROLE_ATTN_QKV, "3*E", .scaled = "E"),
    RULE_WEIGHT(IN "attn.c_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,E",
                .transform = TRANSFORM_TRANSPOSE),
    RULE_BIAS(IN "attn.c_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E"),
    RULE_LAYER_NORM(IN "ln_2", OUT "ffn_norm", ROLE_FFN_NORM),
    RULE_WEIGHT(IN "mlp.c_fc", OUT "ffn_up", ROLE_FFN_UP, "E,F", .transform = TRANSFORM_TRANSPOSE),
    RULE_BIAS(IN "mlp.c_fc", OUT "ffn_up", ROLE_FFN_UP, "F"),
    RULE_WEIGHT(IN "mlp.c_proj", OUT "ffn_down", ROLE_FFN_DOWN, "F,E", .transform = TRANSFORM_TRANSPOSE),
    RULE_BIAS(IN "mlp.c_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E"),
    RULE_DROPPED(IN "attn.bias", "1,1,?,?"), /* the causal mask */
    RULE_DROPPED(IN "attn.masked_bias", ""), /* -1e4 */
#undef IN
#undef OUT
    RULE_LAYER_NORM("{p}ln_f", "output_norm", ROLE_OUTPUT_NORM),
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    RULE_LEFT_OUT("score.weight", "?,E"),                          /* GPT2ForSequenceClassification */
    RULE_LEFT_OUT("multiple_choice_head.summary.weight", "?,E"), /* GPT2DoubleHeadsModel */
    RULE_LEFT_OUT("multiple_choice_head.summary.bias", "?"),
    {0},
};

static void write_config(struct config_writer *c)
{
    config_put_bool(c, "scale_attn_weights", true); /* what differs is in the weights */
    config_put_bool(c, "scale_attn_by_inverse_layer_idx", false);
}

static enum status derive(struct hparams *hp, struct error *err)
{
    TRY(hparams_split_width(hp, err));
    if (hp->n_ff == 0) hp->n_ff = 4 * hp->n_embd;
    if (!hp->scale_attn) hp->attn_scale = 1;
    hp->attn_bias = hp->mlp_bias = true;
    return STATUS_OK;
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
    .detect_wide = "{p}h.0.attn.c_attn.weight",
    .detect_tensors =
        (const char *const[]){"{p}wte.weight", "{p}wpe.weight", "{p}h.0.attn.c_attn.weight", NULL},
    .source = {.conv1d = true, .qkv = QKV_BLOCKS},
    .gguf = {.conv1d = false, .qkv = QKV_BLOCKS},
    .write_config = write_config,
    .derive = derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};
