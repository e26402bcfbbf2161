/* GPT-J: attention and feed-forward layer side by side on one norm, neighbouring elements of the first part of each head rotated, no biases
 * in the attention, one on the output. llama.cpp has no such architecture, but its phi2 computes the same from rows in another order (it
 * rotates halves) and biases of zeros, so that is what a GGUF says. */
#include "models/gpt_line.h"

static const struct config_key keys[] = {
    GPT_KEYS(28, "n_positions|max_position_embeddings", 2048, 4096, "n_inner", 16),
    {NULL, "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), false, NAN},
    GPT_KEY_EPS,
    {"rotary_dim", NULL, CONFIG_INT, KV_U32, FIELD(rope.dim), false, 64},
    GPT_KEY_ACTIVATION,
    GPT_KEY_VOCAB(50400),
    {0},
};

static const struct config_fixed fixed[] = {
    {"rotary", "true", "GPT-J without rotary positions is not supported"},
    {0},
};

static const struct config_ignored ignored[] = {
    GPT_IGNORED,
    {"scale_attn_weights", "left from GPT-2; the class does not read it"},
    {0},
};

static bool has_output_bias(const struct hparams *hp)
{
    return hp->output_bias;
}

#define IN "{p}h.{i}."
#define OUT "blk.{i}."
#define ROTATED .transform = TRANSFORM_HALVES_ROWS, .heads = "H", .rotated = "R"
static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}wte", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_LAYER_NORM(IN "ln_1", OUT "attn_norm", ROLE_ATTN_NORM),
    RULE_WEIGHT(IN "attn.q_proj", OUT "attn_q", ROLE_ATTN_Q, "E,E", ROTATED),
    RULE_ZERO_BIAS(OUT "attn_q", ROLE_ATTN_Q, "E"),
    RULE_WEIGHT(IN "attn.k_proj", OUT "attn_k", ROLE_ATTN_K, "E,E", ROTATED),
    RULE_ZERO_BIAS(OUT "attn_k", ROLE_ATTN_K, "E"),
    RULE_WEIGHT(IN "attn.v_proj", OUT "attn_v", ROLE_ATTN_V, "E,E"),
    RULE_ZERO_BIAS(OUT "attn_v", ROLE_ATTN_V, "E"),
    RULE_WEIGHT(IN "attn.out_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,E"),
    RULE_ZERO_BIAS(OUT "attn_output", ROLE_ATTN_OUTPUT, "E"),
    RULE_WEIGHT(IN "mlp.fc_in", OUT "ffn_up", ROLE_FFN_UP, "F,E"),
    RULE_BIAS(IN "mlp.fc_in", OUT "ffn_up", ROLE_FFN_UP, "F"),
    RULE_WEIGHT(IN "mlp.fc_out", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    RULE_BIAS(IN "mlp.fc_out", OUT "ffn_down", ROLE_FFN_DOWN, "E"),
    RULE_DROPPED(IN "attn.bias", "1,1,?,?"), /* the causal mask */
    RULE_DROPPED(IN "attn.masked_bias", ""), /* -1e9 */
    RULE_LAYER_NORM("{p}ln_f", "output_norm", ROLE_OUTPUT_NORM),
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL,
                .fill = FILL_EMBEDDING),
    RULE_BIAS("lm_head", "output", ROLE_OUTPUT, "V", .when = has_output_bias, .fill = FILL_ZEROS),
    RULE_LEFT_OUT("score.weight", "?,E"), /* GPTJForSequenceClassification */
    {0},
};
#undef ROTATED
#undef IN
#undef OUT

/* rotary_dim null would mean whole heads, but the class then makes a table of n_embd columns that fits no head. A file of the bare model has no
 * head, and no bias of one; where there is a head its bias must not be lost. */
static enum status read_config(struct config_reader *r, struct error *err)
{
    r->hp->output_bias = config_tensor(r, "lm_head.weight", -1) || config_tensor(r, "lm_head.bias", -1);
    if (json_is(json_get(json_root(r->doc), "rotary_dim"), JTYPE_NULL))
        return config_error(r, err, STATUS_UNSUPPORTED, "rotary_dim",
                            "expected the number of rotated dimensions, found null");
    return STATUS_OK;
}

static enum status derive(struct hparams *hp, struct error *err)
{
    TRY(hparams_split_width(hp, err));
    if (hp->n_ff == 0) hp->n_ff = 4 * hp->n_embd;
    hp->mlp_bias = hp->parallel = true;
    return hparams_part_rotated(hp, err);
}

const struct arch arch_gptj = {
    .family = "gptj",
    .gguf_arch = "phi2",
    .borrowed_arch = true,
    .model_types = (const char *const[]){"gptj", NULL},
    .architectures =
        (const char *const[]){"GPTJForCausalLM", "GPTJModel", "GPTJForSequenceClassification", NULL},
    .prefixes = GPT_PREFIXES,
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .uses_rope = true,
    .rope = {.constant = true},
    .detect_tensors = (const char *const[]){"{p}wte.weight", "{p}h.0.attn.q_proj.weight",
                                            "{p}h.0.mlp.fc_in.weight", NULL},
    .source = {.rope_style = ROPE_PAIRS},
    .gguf = {.rope_style = ROPE_HALVES},
    .read_config = read_config,
    .derive = derive,
    .embed = block_embed,
    .layer = block_parallel,
    .head = block_head,
};
