/* GPT-2: learned positions, layer norm before each half of a block, one fused matrix for q, k and v, output
 * tied to the embedding. Also Cerebras-GPT (erf GELU) and DialoGPT. Hugging Face stores block matrices as
 * Conv1D, (in, out); GGUF as (out, in). Files saved from GPT2Model, and the first published ones, have no
 * "transformer." before their names. */
#include "models/gpt_line.h"
#include "models/config_write.h"

static const struct config_key keys[] = {
    /* n_ctx is an older name; where both stand, n_positions sizes the position table */
    GPT_KEYS(12, "n_positions|max_position_embeddings|n_ctx", 1024, 768, "n_inner", 12),
    GPT_KEY_EPS,
    GPT_KEY_ACTIVATION,
    GPT_KEY_SCALE,
    {"scale_attn_by_inverse_layer_idx", NULL, CONFIG_BOOL, KV_BOOL, FIELD(attn_scale_by_layer), false, false},
    GPT_KEY_VOCAB(50257),
    {0},
};

static const struct config_fixed fixed[] = {GPT_FIXED, {0}};

static const struct config_ignored ignored[] = {
    GPT_IGNORED,
    {"reorder_and_upcast_attn", "the same arithmetic at another precision"},
    {0},
};

static const struct tensor_rule rules[] = {
    GPT_RULES_EMBD("wte", "wpe"),
    RULE_LAYER_NORM(GPT_IN "ln_1", GPT_OUT "attn_norm", ROLE_ATTN_NORM),
    /* llama.cpp's scale is fixed: what differs goes into the queries */
    RULE_WEIGHT(GPT_IN "attn.c_attn", GPT_OUT "attn_qkv", ROLE_ATTN_QKV, GPT_CONV1D("3*E", "E"), .scaled = "E"),
    RULE_BIAS(GPT_IN "attn.c_attn", GPT_OUT "attn_qkv", ROLE_ATTN_QKV, "3*E", .scaled = "E"),
    GPT_RULES_ATTN_OUT(GPT_CONV1D),
    RULE_LAYER_NORM(GPT_IN "ln_2", GPT_OUT "ffn_norm", ROLE_FFN_NORM),
    GPT_RULES_MLP(GPT_CONV1D),
    GPT_RULES_DROPPED,
    RULE_LAYER_NORM("{p}ln_f", "output_norm", ROLE_OUTPUT_NORM),
    GPT_RULES_HEAD,
    GPT_RULES_TWO_HEADS,
    {0},
};

static void write_config(struct config_writer *c)
{
    config_put_bool(c, "scale_attn_weights", true); /* what differs is in the weights */
    config_put_bool(c, "scale_attn_by_inverse_layer_idx", false);
}

const struct arch arch_gpt2 = {
    .family = "gpt2",
    .gguf_arch = "gpt2",
    .model_types = (const char *const[]){"gpt2", NULL},
    .architectures = (const char *const[]){"GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel",
                                           "GPT2ForSequenceClassification", NULL},
    .prefixes = GPT_PREFIXES,
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
    .derive = gpt_line_derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};
