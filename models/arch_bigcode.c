/* GPT-BigCode: SantaCoder, StarCoder. GPT-2 with plain linear matrices and, mostly, one key and value head for all query heads; without that
 * (multi_query false) the fused matrix goes head by head, as GPT-NeoX's. llama.cpp calls it starcoder. */
#include "models/gpt_line.h"
#include "models/config_write.h"

static const struct config_key keys[] = {
    GPT_KEYS(12, "n_positions|max_position_embeddings", 1024, 768, "n_inner", 12),
    {NULL, "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), true, 0},
    {"multi_query", NULL, CONFIG_BOOL, KV_BOOL, FIELD(multi_query), false, true},
    GPT_KEY_EPS,
    GPT_KEY_ACTIVATION,
    GPT_KEY_SCALE,
    GPT_KEY_VOCAB(50257),
    {0},
};

static const struct config_fixed fixed[] = {GPT_FIXED, {0}};

static const struct config_ignored ignored[] = {
    GPT_IGNORED,
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

/* one group of all query heads, a key and a value, or a group for each head: the runtime's scale is fixed */
#define REGROUPED .transform = TRANSFORM_QKV_GROUPS, .heads = "H", .scaled = "H*D"
static const struct tensor_rule rules[] = {
    GPT_RULES_EMBD("wte", "wpe"),
    RULE_LAYER_NORM(GPT_IN "ln_1", GPT_OUT "attn_norm", ROLE_ATTN_NORM),
    RULE_WEIGHT(GPT_IN "attn.c_attn", GPT_OUT "attn_qkv", ROLE_ATTN_QKV, GPT_LINEAR("E+2*K*D", "E"), REGROUPED),
    RULE_BIAS(GPT_IN "attn.c_attn", GPT_OUT "attn_qkv", ROLE_ATTN_QKV, "E+2*K*D", REGROUPED),
    GPT_RULES_ATTN_OUT(GPT_LINEAR),
    RULE_LAYER_NORM(GPT_IN "ln_2", GPT_OUT "ffn_norm", ROLE_FFN_NORM),
    GPT_RULES_MLP(GPT_LINEAR),
    GPT_RULES_DROPPED,
    RULE_DROPPED("{p}bias", "?,?"), /* the mask once for all layers */
    RULE_LAYER_NORM("{p}ln_f", "output_norm", ROLE_OUTPUT_NORM),
    GPT_RULES_HEAD,
    {0},
};
#undef REGROUPED

static void write_config(struct config_writer *c)
{
    config_put_bool(c, "multi_query", c->hp->n_head_kv == 1 && c->hp->n_head > 1);
    config_put_bool(c, "scale_attn_weights", true); /* what differs is in the weights */
}

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->multi_query ? 1 : hp->n_head;
    return gpt_line_derive(hp, err);
}

const struct arch arch_bigcode = {
    .family = "bigcode",
    .gguf_arch = "starcoder",
    .model_types = (const char *const[]){"gpt_bigcode", NULL},
    .architectures = (const char *const[]){"GPTBigCodeForCausalLM", "GPTBigCodeModel", "GPTBigCodeLMHeadModel",
                                           "GPTBigCodeForSequenceClassification", NULL},
    .prefixes = GPT_PREFIXES,
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
