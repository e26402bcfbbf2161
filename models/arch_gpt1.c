/* GPT-1: learned positions, layer norm after each residual sum and none at the end, one fused matrix for q, k and v, output tied to the
 * embedding. Block matrices are Conv1D, (in, out), in the source. No runtime of GGUF computes it: the architecture is our own. */
#include "models/gpt_line.h"
#include "models/config_write.h"

#include <string.h>

static const struct config_key keys[] = {
    /* n_ctx is the name in the published file, beside n_positions */
    GPT_KEYS(12, "n_positions|max_position_embeddings|n_ctx", 512, 768, NULL, 12),
    GPT_KEY_EPS,
    {NULL, "hidden_activation", CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_GELU_TANH},
    GPT_KEY_VOCAB(40478),
    {0},
};

static const struct config_fixed fixed[] = {
    {"predict_special_tokens", "true", "an output without the special tokens is not supported"},
    {0},
};

static const struct config_ignored ignored[] = {GPT_IGNORED, {0}};

static const struct tensor_rule rules[] = {
    GPT_RULES_EMBD("tokens_embed", "positions_embed"),
    RULE_WEIGHT(GPT_IN "attn.c_attn", GPT_OUT "attn_qkv", ROLE_ATTN_QKV, GPT_CONV1D("3*E", "E")),
    RULE_BIAS(GPT_IN "attn.c_attn", GPT_OUT "attn_qkv", ROLE_ATTN_QKV, "3*E"),
    GPT_RULES_ATTN_OUT(GPT_CONV1D),
    RULE_LAYER_NORM(GPT_IN "ln_1", GPT_OUT "attn_output_norm", ROLE_ATTN_OUTPUT_NORM),
    GPT_RULES_MLP(GPT_CONV1D),
    RULE_LAYER_NORM(GPT_IN "ln_2", GPT_OUT "layer_output_norm", ROLE_LAYER_OUTPUT_NORM),
    RULE_DROPPED(GPT_IN "attn.bias", "1,1,?,?"), /* the causal mask */
    GPT_RULES_HEAD,
    GPT_RULES_TWO_HEADS,
    {0},
};

/* The class has a list of its own, in which "gelu" is the tanh form. */
static enum status read_activation(struct config_reader *r, struct error *err)
{
    static const struct {
        const char *name;
        enum activation kind;
    } names[] = {{"gelu", ACTIVATION_GELU_TANH},
                 {"relu", ACTIVATION_RELU},
                 {"silu", ACTIVATION_SILU},
                 {"swish", ACTIVATION_SILU}};
    const struct jvalue *v = config_take(r, "afn");
    char text[80];
    r->hp->activation = ACTIVATION_GELU_TANH;
    if (!v) return STATUS_OK;
    for (size_t i = 0; json_string(v) && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, json_string(v)) == 0) {
            r->hp->activation = names[i].kind;
            return STATUS_OK;
        }
    return config_error(r, err, STATUS_UNSUPPORTED, "afn", "expected gelu, relu, silu or swish, found %s",
                        config_show(v, text));
}

/* Fine-tuned files of 2018 and 2019 have rows for special tokens behind the vocabulary; later code counts these rows in vocab_size and leaves
 * the key as it was. The rows tell. */
static enum status read_special(struct config_reader *r, struct error *err)
{
    const struct jvalue *v = config_take(r, "n_special");
    int64_t n = 0;
    if (v) TRY(json_int(r->doc, v, &n, err));
    if (n < 0 || n > INT32_MAX)
        return config_error(r, err, STATUS_RANGE, "n_special", "expected a number of tokens, found %lld",
                            (long long)n);
    const struct tensor *t = config_tensor(r, "{p}tokens_embed.weight", -1);
    if (t && t->n_dims == 2 && t->shape[0] == r->hp->n_vocab) return STATUS_OK;
    r->hp->n_vocab += n;
    return STATUS_OK;
}

static enum status read_config(struct config_reader *r, struct error *err)
{
    TRY(read_activation(r, err));
    return read_special(r, err);
}

static void write_config(struct config_writer *c)
{
    enum activation a = c->hp->activation;
    config_put_string(c, "afn", a == ACTIVATION_GELU_TANH ? "gelu" : activation_name(a));
}

static enum status derive(struct hparams *hp, struct error *err)
{
    TRY(hparams_split_width(hp, err));
    if (hp->n_ff == 0) hp->n_ff = 4 * hp->n_embd; /* no key for it */
    hp->attn_bias = hp->mlp_bias = true;
    return STATUS_OK;
}

const struct arch arch_gpt1 = {
    .family = "gpt1",
    .gguf_arch = "gpt1",
    .own_arch = true,
    .model_types = (const char *const[]){"openai-gpt", NULL},
    .architectures = (const char *const[]){"OpenAIGPTLMHeadModel", "OpenAIGPTModel",
                                           "OpenAIGPTDoubleHeadsModel", "OpenAIGPTForSequenceClassification",
                                           NULL},
    .prefixes = GPT_PREFIXES,
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .tied_by_default = true,
    .detect_tensors = (const char *const[]){"{p}tokens_embed.weight", "{p}positions_embed.weight",
                                            "{p}h.0.attn.c_attn.weight", NULL},
    .source = {.conv1d = true, .qkv = QKV_BLOCKS},
    .gguf = {.qkv = QKV_BLOCKS},
    .read_config = read_config,
    .write_config = write_config,
    .derive = derive,
    .embed = block_embed,
    .layer = block_post_norm,
    .head = block_head,
};
