/* GLM of 2021 (glm-large-chinese, glm-10b, ...): GPT-2's blocks, two tables of learned positions, an output tied to the embedding, and blank
 * infilling: the context sees itself, a piece that fills a mask has the mask's position and counts in the second table. llama.cpp has no
 * architecture for it: `glm2021` is lathe's own. The activation is the erf GELU, as in the code for transformers; the original training code
 * had the tanh form. */
#include "base/file.h"
#include "models/glm_line.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"num_layers|num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 0},
    {"max_sequence_length|max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 0},
    {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 0},
    {NULL, "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), false, NAN},
    {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 0},
    {NULL, "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), false, NAN},
    {"layernorm_epsilon", "attention.layer_norm_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-5},
    {NULL, "attention.prefix_lm", CONFIG_BOOL, KV_BOOL, FIELD(prefix_lm), false, true},
    {"block_position_encoding", "block_position_encoding", CONFIG_BOOL, KV_BOOL, FIELD(block_positions), false, true},
    {NULL, "hidden_activation", CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_GELU_ERF},
    {"vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, NAN},
    {NULL, "sop_token_id", CONFIG_ID, KV_U32, FIELD(sop_id), false, NAN},
    {NULL, "mask_token_id", CONFIG_ID, KV_U32, FIELD(mask_id), false, NAN},
    {NULL, "gmask_token_id", CONFIG_ID, KV_U32, FIELD(gmask_id), false, NAN},
    {NULL, "smask_token_id", CONFIG_ID, KV_U32, FIELD(smask_id), false, NAN},
    {0},
};

static const struct config_fixed fixed[] = {
    {"relative_encoding", "false", "the published code has no relative positions"},
    {0},
};

static const struct config_ignored ignored[] = {
    {"*_dropout_prob", "dropout is for training"},
    {"checkpoint_*", "for training"},
    {"parallel_output", "for training on several machines"},
    {"output_predict", "whether a call returns logits"},
    {"attention_scale", "cancels out"},
    {"spell_length", "not read by the model's code"},
    {"spell_func", "not read by the model's code"},
    {"pool_token", "describes the head of another task"},
    {"spell_*", "not read by the model's code"},
    {0},
};

static bool has_block_positions(const struct hparams *hp)
{
    return hp->block_positions;
}

static const struct tensor_rule rules[] = {
    RULE_WEIGHT("{p}word_embeddings", "token_embd", ROLE_TOKEN_EMBD, "V,E"),
    RULE_WEIGHT("{p}transformer.position_embeddings", "position_embd", ROLE_POSITION_EMBD, "T,E"),
    RULE_WEIGHT("{p}transformer.block_position_embeddings", "block_position_embd", ROLE_BLOCK_POSITION_EMBD, "T,E",
                .when = has_block_positions),
#define IN "{p}transformer.layers.{i}."
#define OUT "blk.{i}."
    RULE_LAYER_NORM(IN "input_layernorm", OUT "attn_norm", ROLE_ATTN_NORM),
    /* rows are q, k, v already */
    RULE_WEIGHT(IN "attention.query_key_value", OUT "attn_qkv", ROLE_ATTN_QKV, "3*E,E"),
    RULE_BIAS(IN "attention.query_key_value", OUT "attn_qkv", ROLE_ATTN_QKV, "3*E"),
    RULE_WEIGHT(IN "attention.dense", OUT "attn_output", ROLE_ATTN_OUTPUT, "E,E"),
    RULE_BIAS(IN "attention.dense", OUT "attn_output", ROLE_ATTN_OUTPUT, "E"),
    RULE_LAYER_NORM(IN "post_attention_layernorm", OUT "ffn_norm", ROLE_FFN_NORM),
    RULE_WEIGHT(IN "mlp.dense_h_to_4h", OUT "ffn_up", ROLE_FFN_UP, "F,E"),
    RULE_BIAS(IN "mlp.dense_h_to_4h", OUT "ffn_up", ROLE_FFN_UP, "F"),
    RULE_WEIGHT(IN "mlp.dense_4h_to_h", OUT "ffn_down", ROLE_FFN_DOWN, "E,F"),
    RULE_BIAS(IN "mlp.dense_4h_to_h", OUT "ffn_down", ROLE_FFN_DOWN, "E"),
#undef IN
#undef OUT
    RULE_LAYER_NORM("{p}transformer.final_layernorm", "output_norm", ROLE_OUTPUT_NORM),
    {.target = "output.weight", .role = ROLE_OUTPUT, .shape = "V,E", .presence = PRESENCE_OPTIONAL},
    {0},
};

/* --- config.json and the special tokens beside it --- */

static enum status read_added(const struct config_reader *r, const char *path, struct error *err)
{
    const struct {
        const char *text;
        int64_t *id;
    } wanted[] = {{"<|startofpiece|>", &r->hp->sop_id},
                  {"[MASK]", &r->hp->mask_id},
                  {"[gMASK]", &r->hp->gmask_id},
                  {"[sMASK]", &r->hp->smask_id}};
    struct json *doc;
    TRY(json_load(&doc, path, 1 << 20, err));
    enum status st = STATUS_OK;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && st == STATUS_OK; i++) {
        const struct jvalue *v = json_get(json_root(doc), wanted[i].text);
        if (v) st = json_int(doc, v, wanted[i].id, err);
    }
    json_free(doc);
    return st;
}

/* Published vocabularies, by their padded size: the ids that the tokenizers' code fixes */
static void default_ids(struct hparams *hp)
{
    static const struct {
        int64_t n_vocab, sop, mask, gmask, smask;
    } published[] = {{50048, 50006, 50003, 50009, 50008}, {50304, 50257, 50260, 50263, 50264}};
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        if (hp->n_vocab != published[i].n_vocab) continue;
        hp->sop_id = published[i].sop;
        hp->mask_id = published[i].mask;
        hp->gmask_id = published[i].gmask;
        hp->smask_id = published[i].smask;
    }
}

static enum status read_special(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    char *path = r->ckpt ? path_join(r->mem, r->ckpt->dir, "added_tokens.json") : NULL;
    default_ids(hp);
    if (path && file_exists(path)) TRY(read_added(r, path, err));
    if (hp->sop_id < 0)
        warnings_add(r->warn, "special-ids-unknown",
                     "no added_tokens.json, and %lld rows are no published vocabulary's: every text is taken as plain, "
                     "without blanks",
                     (long long)hp->n_vocab);
    return STATUS_OK;
}

static enum status read_config(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    glm_check_config(r);
    glm_dim(r, "{p}word_embeddings.weight", 0, 1, &hp->n_vocab);
    glm_dim(r, "{p}transformer.layers.{i}.input_layernorm.weight", 0, 1, &hp->n_embd);
    glm_dim(r, "{p}transformer.layers.{i}.mlp.dense_h_to_4h.weight", 0, 1, &hp->n_ff);
    glm_count_layers(r, "{p}transformer.layers.{i}.input_layernorm.weight", &hp->n_layer);
    bool has_table = glm_has(r, "{p}transformer.block_position_embeddings.weight");
    if (!json_get(json_root(r->doc), "block_position_encoding")) hp->block_positions = has_table;
    glm_dim(r, "{p}transformer.position_embeddings.weight", 0, 1, &hp->n_ctx);
    if (hp->block_positions && !json_get(json_root(r->doc), "max_sequence_length") &&
        !json_get(json_root(r->doc), "max_position_embeddings"))
        hp->n_ctx--;
    TRY(glm_need(r, "hidden_size", hp->n_embd, err));
    TRY(glm_need(r, "max_sequence_length", hp->n_ctx, err));
    TRY(glm_need(r, "num_attention_heads", hp->n_head, err));
    return read_special(r, err);
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
    if (hp->n_ff == 0) hp->n_ff = 4 * hp->n_embd;
    hp->attn_bias = hp->mlp_bias = true;
    return STATUS_OK;
}

/* --- positions --- */

static bool is_mask(const struct hparams *hp, int64_t id)
{
    return id >= 0 && (id == hp->mask_id || id == hp->gmask_id || id == hp->smask_id);
}

/* The position of the next mask after *at, which moves there; false if there is none before `end`. */
static bool next_mask(const struct hparams *hp, const int32_t *ids, int64_t end, int64_t *at)
{
    do ++*at;
    while (*at < end && !is_mask(hp, ids[*at]));
    return *at < end;
}

/* The context ends before the first <|startofpiece|>; each piece begins with one, and the first fills the first mask, the second the second, and
 * so on. A piece has its mask's position and counts from 1 in the second table. Without a piece the text is plain and causal. */
static enum status plan(const struct model *m, const int32_t *ids, int64_t n, struct window_plan *w, struct error *err)
{
    const struct hparams *hp = &m->hp;
    int64_t context = 0, mask = -1, start = 0, piece = 0;
    while (context < n && (hp->sop_id < 0 || ids[context] != hp->sop_id)) context++;
    if (context == n) return STATUS_OK;
    w->prefix = context;
    for (int64_t t = context; t < n; t++) {
        if (ids[t] == hp->sop_id) {
            if (!next_mask(hp, ids, context, &mask))
                return error_at(err, STATUS_RANGE, m->ckpt->path, NULL,
                                "ids hold %lld pieces, but only %lld masks before them", (long long)piece + 1,
                                (long long)piece);
            piece++;
            start = t;
        }
        if (!hp->block_positions) continue;
        w->pos[t] = mask;
        w->block[t] = t - start + 1;
    }
    return STATUS_OK;
}

static enum status embed(struct forward *f, struct error *err)
{
    TRY(op_embed(f, &f->x, ROLE_TOKEN_EMBD, err));
    TRY(op_add_positions(f, &f->x, ROLE_POSITION_EMBD, f->window.pos, err));
    if (f->model->hp.block_positions)
        TRY(op_add_positions(f, &f->x, ROLE_BLOCK_POSITION_EMBD, f->window.block, err));
    return op_tap(f, "embd", -1, &f->x, err);
}

const struct arch arch_glm2021 = {
    .family = "glm2021",
    .gguf_arch = "glm2021",
    .own_arch = true,
    .model_types = (const char *const[]){"glm", NULL},
    .architectures = (const char *const[]){"GLMModel", "GLMForConditionalGeneration", "GLMForMultipleChoice", NULL},
    .prefixes = (const char *const[]){"glm.", "", NULL},
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .tied_by_default = true,
    .line = GLM_LINE,
    .told_by = "GLM's of 2021: transformer.layers.N.attention.query_key_value and a table of positions",
    .detect_tensors =
        (const char *const[]){"{p}word_embeddings.weight", "{p}transformer.position_embeddings.weight",
                              "{p}transformer.layers.0.attention.query_key_value.weight", NULL},
    .source = {.qkv = QKV_BLOCKS},
    .gguf = {.qkv = QKV_BLOCKS},
    .read_config = read_config,
    .derive = derive,
    .plan = plan,
    .frame = glm_frame,
    .embed = embed,
    .layer = block_pre_norm,
    .head = block_head,
};
