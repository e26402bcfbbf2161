/* GPT-Neo: GPT-2's block with three things changed: plain linear matrices, queries, keys and values apart and without biases; scores that
 * are not scaled; and layers that see only a window, in turn with layers that see all. No runtime of GGUF computes it: the architecture is
 * our own. */
#include "models/block.h"
#include "models/config.h"
#include "models/config_write.h"

#include <math.h>
#include <string.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"num_layers|num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 24},
    {"max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 2048},
    {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 2048},
    {"intermediate_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), false, NAN},
    {"num_heads|num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 16},
    {"layer_norm_epsilon", "attention.layer_norm_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},
    {NULL, "attention.scale", CONFIG_REAL, KV_F32, FIELD(attn_scale), true, 1},
    {"window_size", "attention.sliding_window", CONFIG_INT, KV_U32, FIELD(window), true, 256},
    {NULL, "attention.sliding_window_pattern", CONFIG_LAYERS, KV_ARRAY, FIELD(local), true, NAN},
    {"activation_function", "hidden_activation", CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false,
     ACTIVATION_GELU_TANH},
    {"vocab_size", NULL, CONFIG_INT, KV_U32, FIELD(n_vocab), false, 50257},
    {0},
};

static const struct config_ignored ignored[] = {
    {"*_dropout", "dropout is for training"},
    {"summary_*", "describes the head of another task"},
    {0},
};

#define IN "{p}h.{i}."
#define OUT "blk.{i}."
static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}wte", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_WEIGHT("{p}wpe", "position_embd", ROLE_POSITION_EMBD, "P,E"),
    RULE_LAYER_NORM(IN "ln_1", OUT "attn_norm", ROLE_ATTN_NORM),
    RULE_WEIGHT(IN "attn.attention.q_proj", OUT "attn_q", ROLE_ATTN_Q, "E,E"),
    RULE_WEIGHT(IN "attn.attention.k_proj", OUT "attn_k", ROLE_ATTN_K, "E,E"),
    RULE_WEIGHT(IN "attn.attention.v_proj", OUT "attn_v", ROLE_ATTN_V, "E,E"),
    RULE_WEIGHT(IN "attn.attention.out_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,E"),
    RULE_BIAS(IN "attn.attention.out_proj", OUT "attn_output", ROLE_ATTN_OUTPUT, "E"),
    RULE_LAYER_NORM(IN "ln_2", OUT "ffn_norm", ROLE_FFN_NORM),
    RULE_WEIGHT(IN "mlp.c_fc", OUT "ffn_up", ROLE_FFN_UP, "F,E"),
    RULE_BIAS(IN "mlp.c_fc", OUT "ffn_up", ROLE_FFN_UP, "F"),
    RULE_WEIGHT(IN "mlp.c_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    RULE_BIAS(IN "mlp.c_proj", OUT "ffn_down", ROLE_FFN_DOWN, "E"),
    RULE_DROPPED(IN "attn.attention.bias", "1,1,?,?"), /* the mask */
    RULE_DROPPED(IN "attn.attention.masked_bias", ""), /* -1e9 */
    RULE_LAYER_NORM("{p}ln_f", "output_norm", ROLE_OUTPUT_NORM),
    RULE_WEIGHT("lm_head", "output", ROLE_OUTPUT, "V,E", .presence = PRESENCE_OPTIONAL),
    RULE_LEFT_OUT("score.weight", "?,E"), /* GPTNeoForSequenceClassification */
    {0},
};
#undef IN
#undef OUT

/* --- which layers are local --- */

enum { LAYERS_MAX = 1 << 16 }; /* a list in memory; no tensor has been looked at yet */
struct layers {
    bool *local; /* (n) */
    int64_t n, n_max;
};

static enum status bad_types(const struct config_reader *r, const char *key, const struct jvalue *v,
                             struct error *err)
{
    char text[80];
    return config_error(r, err, STATUS_FORMAT, key,
                        "expected lists of \"global\" and \"local\" for %lld layers, found %s",
                        (long long)r->hp->n_layer, config_show(v, text));
}

/* One layer for each word of a list; beyond n_max they are only counted. */
static bool add_layers(struct layers *l, const struct jvalue *list)
{
    if (!json_is(list, JTYPE_ARRAY)) return false;
    for (const struct jvalue *v = json_first(list); v; v = json_next(v), l->n++) {
        const char *word = json_string(v);
        bool local = word && strcmp(word, "local") == 0;
        if (!local && !(word && strcmp(word, "global") == 0)) return false;
        if (l->n < l->n_max) l->local[l->n] = local;
    }
    return true;
}

/* [[["global", "local"], 12], ...]: each list as often as the number beside it says */
static bool add_types(const struct config_reader *r, struct layers *l, const struct jvalue *types)
{
    struct error ignored_error;
    if (!json_is(types, JTYPE_ARRAY)) return false;
    for (const struct jvalue *item = json_first(types); item; item = json_next(item)) {
        int64_t times;
        const struct jvalue *list = json_is(item, JTYPE_ARRAY) ? json_first(item) : NULL;
        if (!list || json_count(item) != 2 || json_count(list) == 0 ||
            json_int(r->doc, json_next(list), &times, &ignored_error) != STATUS_OK)
            return false;
        for (int64_t i = 0; i < times && l->n <= l->n_max; i++)
            if (!add_layers(l, list)) return false;
    }
    return true;
}

static enum status read_types(struct config_reader *r, struct layers *l, struct error *err)
{
    const struct jvalue *types = config_take(r, "attention_types");
    if (types && !add_types(r, l, types)) return bad_types(r, "attention_types", types, err);
    for (; !types && l->n < 24; l->n++) /* the class's default */
        if (l->n < l->n_max) l->local[l->n] = l->n % 2 == 1;
    if (l->n == l->n_max) return STATUS_OK;
    return config_error(r, err, STATUS_MISMATCH, "attention_types",
                        "expected as many layers as num_layers, %lld, found %s%lld%s", (long long)l->n_max,
                        l->n > l->n_max ? "at least " : "", (long long)l->n,
                        types ? "" : " (the default, which an absent key means)");
}

/* The same once more, written out, in files of transformers 3 to 5. */
static enum status check_layers(struct config_reader *r, const struct layers *l, struct error *err)
{
    const struct jvalue *list = config_take(r, "attention_layers");
    if (!list) return STATUS_OK;
    bool *local = arena_array(r->mem, (uint64_t)l->n_max, sizeof *local);
    if (!local) return error_nomem(err, (size_t)l->n_max);
    struct layers again = {local, 0, l->n_max};
    if (!add_layers(&again, list)) return bad_types(r, "attention_layers", list, err);
    if (again.n == l->n && memcmp(local, l->local, (size_t)l->n * sizeof *local) == 0) return STATUS_OK;
    return config_error(r, err, STATUS_MISMATCH, "attention_layers",
                        "expected what attention_types says, found another list");
}

static enum status read_config(struct config_reader *r, struct error *err)
{
    struct layers l = {.n_max = r->hp->n_layer};
    if (l.n_max > LAYERS_MAX)
        return config_error(r, err, STATUS_RANGE, "num_layers", "expected at most %d layers, found %lld",
                            LAYERS_MAX, (long long)l.n_max);
    l.local = arena_array(r->mem, (uint64_t)l.n_max, sizeof *l.local);
    if (!l.local) return error_nomem(err, (size_t)l.n_max);
    TRY(read_types(r, &l, err));
    TRY(check_layers(r, &l, err));
    r->hp->local = l.local;
    r->hp->attn_scale = 1;
    return STATUS_OK;
}

/* One list that says every layer, once. */
static void write_config(struct config_writer *c)
{
    if (!c->hp->local || !config_put_key(c, "attention_types")) return;
    jw_begin_array(&c->w, "attention_types");
    jw_begin_array(&c->w, NULL);
    jw_begin_array(&c->w, NULL);
    for (int64_t i = 0; i < c->hp->n_layer; i++) jw_string(&c->w, NULL, c->hp->local[i] ? "local" : "global");
    jw_end_array(&c->w);
    jw_int(&c->w, NULL, 1);
    jw_end_array(&c->w);
    jw_end_array(&c->w);
}

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->attn_scale == 0)
        return error_set(err, STATUS_RANGE, "attention scale: expected a number above 0, found 0");
    TRY(hparams_split_width(hp, err));
    if (hp->n_ff == 0) hp->n_ff = 4 * hp->n_embd;
    hp->attn_bias = hp->mlp_bias = true;
    return STATUS_OK;
}

const struct arch arch_gptneo = {
    .family = "gptneo",
    .gguf_arch = "gptneo",
    .own_arch = true,
    .model_types = (const char *const[]){"gpt_neo", NULL},
    .architectures = (const char *const[]){"GPTNeoForCausalLM", "GPTNeoModel",
                                           "GPTNeoForSequenceClassification", NULL},
    .prefixes = (const char *const[]){"transformer.", "", NULL},
    .keys = keys,
    .ignored = ignored,
    .rules = rules,
    .tied_by_default = true,
    .detect_tensors = (const char *const[]){"{p}wte.weight", "{p}wpe.weight",
                                            "{p}h.0.attn.attention.q_proj.weight", NULL},
    .read_config = read_config,
    .write_config = write_config,
    .derive = derive,
    .embed = block_embed,
    .layer = block_pre_norm,
    .head = block_head,
};
