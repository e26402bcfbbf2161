/* GPT-1: learned positions, layer norm after each residual sum and none at the end, one fused matrix for q, k and v, output tied to the
 * embedding. Block matrices are Conv1D, (in, out), in the source. No runtime of GGUF computes it: the architecture is our own. */
#include "models/block.h"
#include "models/config.h"
#include "models/config_write.h"

#include <math.h>
#include <string.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"n_layer|num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 12},
    /* n_ctx is the name in the published file, beside n_positions */
    {"n_positions|max_position_embeddings|n_ctx", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true,
     512},
    {"n_embd|hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 768},
    {NULL, "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), false, NAN},
    {"n_head|num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 12},
    {"layer_norm_epsilon", "attention.layer_norm_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},
    {NULL, "hidden_activation", CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_GELU_TANH},
    {"vocab_size", NULL, CONFIG_INT, KV_U32, FIELD(n_vocab), false, 40478},
    {0},
};

static const struct config_fixed fixed[] = {
    {"predict_special_tokens", "true", "an output without the special tokens is not supported"},
    {0},
};

static const struct config_ignored ignored[] = {
    {"*_pdrop", "dropout is for training"},
    {"summary_*", "describes the head of another task"},
    {0},
};

#define IN "{p}h.{i}."
#define OUT "blk.{i}."
static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}tokens_embed", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_WEIGHT("{p}positions_embed", "position_embd", ROLE_POSITION_EMBD, "P,E"),
    RULE_WEIGHT(IN "attn.c_attn", OUT "attn_qkv", ROLE_ATTN_QKV, "E,3*E", .transform = TRANSFORM_TRANSPOSE),
    RULE_BIAS(IN "attn.c_attn", OUT "attn_qkv", ROLE_ATTN_QKV, "3*E"),
    RULE_WEIGHT(IN "attn.c_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,E",
                .transform = TRANSFORM_TRANSPOSE),
    RULE_BIAS(IN "attn.c_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E"),
    RULE_LAYER_NORM(IN "ln_1", OUT "attn_output_norm", ROLE_ATTN_OUTPUT_NORM),
    RULE_WEIGHT(IN "mlp.c_fc", OUT "ffn_up", ROLE_FFN_UP, "E,F", .transform = TRANSFORM_TRANSPOSE),
    RULE_BIAS(IN "mlp.c_fc", OUT "ffn_up", ROLE_FFN_UP, "F"),
    RULE_WEIGHT(IN "mlp.c_proj", OUT "ffn_down", ROLE_FFN_DOWN, "F,E", .transform = TRANSFORM_TRANSPOSE),
    RULE_BIAS(IN "mlp.c_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E"),
    RULE_LAYER_NORM(IN "ln_2", OUT "layer_output_norm", ROLE_LAYER_OUTPUT_NORM),
    RULE_DROPPED(IN "attn.bias", "1,1,?,?"), /* the causal mask */
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    RULE_LEFT_OUT("score.weight", "?,E"),                        /* OpenAIGPTForSequenceClassification */
    RULE_LEFT_OUT("multiple_choice_head.summary.weight", "?,E"), /* OpenAIGPTDoubleHeadsModel */
    RULE_LEFT_OUT("multiple_choice_head.summary.bias", "?"),
    {0},
};
#undef IN
#undef OUT

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
    .prefixes = (const char *const[]){"transformer.", "", NULL},
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
