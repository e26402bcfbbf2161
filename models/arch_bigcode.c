/* GPT-BigCode: SantaCoder, StarCoder. GPT-2 with plain linear matrices and, mostly, one key and value head for all query heads; without that
 * (multi_query false) the fused matrix goes head by head, as GPT-NeoX's. llama.cpp calls it starcoder. */
#include "models/block.h"
#include "models/config_write.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"n_layer|num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 12},
    {"n_positions|max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 1024},
    {"n_embd|hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 768},
    {"n_inner", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), false, NAN},
    {"n_head|num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 12},
    {NULL, "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), true, 0},
    {"multi_query", NULL, CONFIG_BOOL, KV_BOOL, FIELD(multi_query), false, true},
    {"layer_norm_epsilon", "attention.layer_norm_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},
    {"activation_function", "hidden_activation", CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false,
     ACTIVATION_GELU_TANH},
    {"scale_attn_weights", NULL, CONFIG_BOOL, KV_BOOL, FIELD(scale_attn), false, true},
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
    {"num_key_value_heads", "the class goes by multi_query"},
    {"attention_softmax_in_fp32", "the same arithmetic at another precision"},
    {"scale_attention_softmax_in_fp32", "the same arithmetic at another precision"},
    {"inference_runner", "choice of code, same arithmetic"},
    {"validate_runner_input", "choice of code, same arithmetic"},
    {"pre_allocate_kv_cache", "choice of code, same arithmetic"},
    {"pad_key_length", "choice of code, same arithmetic"},
    {"max_sequence_length", "sizes a cache"},
    {"max_batch_size", "sizes a cache"},
    {0},
};

#define IN "{p}h.{i}."
#define OUT "blk.{i}."
/* one group of all query heads, a key and a value, or a group for each head: the runtime's scale is fixed */
#define REGROUPED .transform = TRANSFORM_QKV_GROUPS, .heads = "H", .scaled = "H*D"
static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}wte", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_WEIGHT("{p}wpe", "position_embd", ROLE_POSITION_EMBD, "P,E"),
    RULE_LAYER_NORM(IN "ln_1", OUT "attn_norm", ROLE_ATTN_NORM),
    RULE_WEIGHT(IN "attn.c_attn", OUT "attn_qkv", ROLE_ATTN_QKV, "E+2*K*D,E", REGROUPED),
    RULE_BIAS(IN "attn.c_attn", OUT "attn_qkv", ROLE_ATTN_QKV, "E+2*K*D", REGROUPED),
    RULE_WEIGHT(IN "attn.c_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,E"),
    RULE_BIAS(IN "attn.c_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E"),
    RULE_LAYER_NORM(IN "ln_2", OUT "ffn_norm", ROLE_FFN_NORM),
    RULE_WEIGHT(IN "mlp.c_fc", OUT "ffn_up", ROLE_FFN_UP, "F,E"),
    RULE_BIAS(IN "mlp.c_fc", OUT "ffn_up", ROLE_FFN_UP, "F"),
    RULE_WEIGHT(IN "mlp.c_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    RULE_BIAS(IN "mlp.c_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E"),
    RULE_DROPPED(IN "attn.bias", "1,1,?,?"), /* the causal mask */
    RULE_DROPPED(IN "attn.masked_bias", ""), /* -1e4 */
    RULE_DROPPED("{p}bias", "?,?"),          /* the mask once for all layers */
    RULE_LAYER_NORM("{p}ln_f", "output_norm", ROLE_OUTPUT_NORM),
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    RULE_LEFT_OUT("score.weight", "?,E"), /* GPTBigCodeForSequenceClassification */
    {0},
};
#undef REGROUPED
#undef IN
#undef OUT

static void write_config(struct config_writer *c)
{
    config_put_bool(c, "multi_query", c->hp->n_head_kv == 1 && c->hp->n_head > 1);
    config_put_bool(c, "scale_attn_weights", true); /* what differs is in the weights */
}

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->multi_query ? 1 : hp->n_head;
    TRY(hparams_split_width(hp, err));
    if (hp->n_ff == 0) hp->n_ff = 4 * hp->n_embd;
    if (!hp->scale_attn) hp->attn_scale = 1;
    hp->attn_bias = hp->mlp_bias = true;
    return STATUS_OK;
}

const struct arch arch_bigcode = {
    .family = "bigcode",
    .gguf_arch = "starcoder",
    .model_types = (const char *const[]){"gpt_bigcode", NULL},
    .architectures = (const char *const[]){"GPTBigCodeForCausalLM", "GPTBigCodeModel", "GPTBigCodeLMHeadModel",
                                           "GPTBigCodeForSequenceClassification", NULL},
    .prefixes = (const char *const[]){"transformer.", "", NULL},
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .tied_by_default = true,
    .detect_tall = "{p}h.0.attn.c_attn.weight",
    .detect_tensors =
        (const char *const[]){"{p}wte.weight", "{p}wpe.weight", "{p}h.0.attn.c_attn.weight", NULL},
    .source = {.qkv = QKV_GROUPS},
    .gguf = {.qkv = QKV_BLOCKS},
    .write_config = write_config,
    .derive = derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};
