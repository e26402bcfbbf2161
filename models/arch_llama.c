/* LLaMA 1 to 3 and whatever is built like it (SmolLM2, TinyLlama, Vicuna, Code Llama, Yi): RMS norm before
 * each half of a block, rotary positions, grouped queries, a gated SiLU feed-forward layer. Hugging Face
 * keeps the rows of a rotated head as two halves, GGUF as pairs; a file saved from LlamaModel has no "model."
 * before its names. */
#include "models/forward.h"

#include <math.h>

#define FIELD(name) offsetof(struct hparams, name)

static const struct config_key keys[] = {
    {"num_hidden_layers", "block_count", CONFIG_INT, KV_U32, FIELD(n_layer), true, 32},
    {"max_position_embeddings", "context_length", CONFIG_INT, KV_U32, FIELD(n_ctx), true, 2048},
    {"hidden_size", "embedding_length", CONFIG_INT, KV_U32, FIELD(n_embd), true, 4096},
    {"intermediate_size", "feed_forward_length", CONFIG_INT, KV_U32, FIELD(n_ff), true, 11008},
    {"num_attention_heads", "attention.head_count", CONFIG_INT, KV_U32, FIELD(n_head), true, 32},
    {"num_key_value_heads", "attention.head_count_kv", CONFIG_INT, KV_U32, FIELD(n_head_kv), false, NAN},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", CONFIG_REAL, KV_F32, FIELD(norm_eps), true, 1e-6},
    {"head_dim", "attention.key_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},
    {NULL, "attention.value_length", CONFIG_INT, KV_U32, FIELD(head_dim), false, NAN},
    {"vocab_size", "vocab_size", CONFIG_INT, KV_U32, FIELD(n_vocab), false, 32000},
    {"hidden_act", NULL, CONFIG_ACTIVATION, KV_STRING, FIELD(activation), false, ACTIVATION_SILU},
    {"attention_bias", NULL, CONFIG_BOOL, KV_BOOL, FIELD(attn_bias), false, false},
    {"mlp_bias", NULL, CONFIG_BOOL, KV_BOOL, FIELD(mlp_bias), false, false},
    {0},
};

static const struct config_fixed fixed[] = {
    {"rope_interleaved", "false", "rows are taken as halves, as LlamaModel does"},
    {"partial_rotary_factor", "1", "LLaMA rotates whole heads"},
    {0},
};

static const struct config_ignored ignored[] = {
    {"pretraining_tp", "splits the products of the training run; the result is the same"},
    {"is_llama_config", "a mark of nanotron's export without effect"},
    {"tensor_data_layout", "names the row order that every GGUF of this architecture has"},
    {0},
};

static bool has_attn_bias(const struct hparams *hp)
{
    return hp->attn_bias;
}
static bool has_mlp_bias(const struct hparams *hp)
{
    return hp->mlp_bias;
}

static const struct tensor_rule rules[] = {
    {NULL, "rope_freqs.weight", ROLE_ROPE_FREQS, PART_WEIGHT, "D/2", TRANSFORM_NONE, NULL, PRESENCE_OPTIONAL,
     NULL},
    {"{p}embed_tokens.weight", "token_embd.weight", ROLE_TOKEN_EMBD, PART_WEIGHT, "V,E", TRANSFORM_NONE, NULL,
     PRESENCE_REQUIRED, NULL},
#define NORM(src, dst, role)                                                                                 \
    {                                                                                                        \
        "{p}layers.{i}." src ".weight", "blk.{i}." dst ".weight", role, PART_WEIGHT, "E", TRANSFORM_NONE,    \
            NULL, PRESENCE_REQUIRED, NULL                                                                    \
    }
#define MATRIX(src, dst, role, out, in, transform, heads, has_bias)                                          \
    {"{p}layers.{i}." src ".weight",                                                                         \
     "blk.{i}." dst ".weight",                                                                               \
     role,                                                                                                   \
     PART_WEIGHT,                                                                                            \
     out "," in,                                                                                             \
     transform,                                                                                              \
     heads,                                                                                                  \
     PRESENCE_REQUIRED,                                                                                      \
     NULL},                                                                                                  \
    {                                                                                                        \
        "{p}layers.{i}." src ".bias", "blk.{i}." dst ".bias", role, PART_BIAS, out, transform, heads,        \
            PRESENCE_REQUIRED, has_bias                                                                      \
    }
    NORM("input_layernorm", "attn_norm", ROLE_ATTN_NORM),
    MATRIX("self_attn.q_proj", "attn_q", ROLE_ATTN_Q, "H*D", "E", TRANSFORM_ROPE_ROWS, "H", has_attn_bias),
    MATRIX("self_attn.k_proj", "attn_k", ROLE_ATTN_K, "K*D", "E", TRANSFORM_ROPE_ROWS, "K", has_attn_bias),
    MATRIX("self_attn.v_proj", "attn_v", ROLE_ATTN_V, "K*D", "E", TRANSFORM_NONE, NULL, has_attn_bias),
    MATRIX("self_attn.o_proj", "attn_output", ROLE_ATTN_OUTPUT, "E", "H*D", TRANSFORM_NONE, NULL,
           has_attn_bias),
    NORM("post_attention_layernorm", "ffn_norm", ROLE_FFN_NORM),
    MATRIX("mlp.gate_proj", "ffn_gate", ROLE_FFN_GATE, "F", "E", TRANSFORM_NONE, NULL, has_mlp_bias),
    MATRIX("mlp.up_proj", "ffn_up", ROLE_FFN_UP, "F", "E", TRANSFORM_NONE, NULL, has_mlp_bias),
    MATRIX("mlp.down_proj", "ffn_down", ROLE_FFN_DOWN, "E", "F", TRANSFORM_NONE, NULL, has_mlp_bias),
#undef NORM
#undef MATRIX
/* Tables of rotary positions that 2023's transformers saved as buffers. Their values are never used:
 * half-precision copies are inexact. */
#define DROPPED(src, shape)                                                                                  \
    {                                                                                                        \
        src, NULL, ROLE_COUNT, PART_WEIGHT, shape, TRANSFORM_NONE, NULL, PRESENCE_DROPPED, NULL              \
    }
    DROPPED("{p}layers.{i}.self_attn.rotary_emb.inv_freq", "D/2"),
    DROPPED("{p}layers.{i}.self_attn.rotary_emb.cos_cached", "1,1,?,D"),
    DROPPED("{p}layers.{i}.self_attn.rotary_emb.sin_cached", "1,1,?,D"),
    DROPPED("{p}rotary_emb.inv_freq", "D/2"),
#undef DROPPED
    {"{p}norm.weight", "output_norm.weight", ROLE_OUTPUT_NORM, PART_WEIGHT, "E", TRANSFORM_NONE, NULL,
     PRESENCE_REQUIRED, NULL},
    {"lm_head.weight", "output.weight", ROLE_OUTPUT, PART_WEIGHT, "V,E", TRANSFORM_NONE, NULL,
     PRESENCE_OPTIONAL, NULL},
    {0},
};

static enum status derive(struct hparams *hp, struct error *err)
{
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->n_head;
    if (hp->n_head % hp->n_head_kv != 0)
        return error_set(err, STATUS_MISMATCH,
                         "number of heads %lld is no multiple of the number of key/value heads %lld",
                         (long long)hp->n_head, (long long)hp->n_head_kv);
    if (hp->head_dim == 0) {
        if (hp->n_embd % hp->n_head != 0)
            return error_set(err, STATUS_MISMATCH, "width %lld is no multiple of the number of heads %lld",
                             (long long)hp->n_embd, (long long)hp->n_head);
        hp->head_dim = hp->n_embd / hp->n_head;
    }
    if (hp->rope.dim == 0) hp->rope.dim = hp->head_dim;
    if (hp->rope.dim != hp->head_dim)
        return error_set(err, STATUS_UNSUPPORTED,
                         "expected all %lld elements of a head to be rotated, found %lld",
                         (long long)hp->head_dim, (long long)hp->rope.dim);
    /* no runtime reads an activation for this architecture */
    if (hp->activation != ACTIVATION_SILU)
        return error_set(err, STATUS_UNSUPPORTED, "hidden_act: expected silu, found %s",
                         activation_name(hp->activation));
    return STATUS_OK;
}

/* --- the forward pass --- */

static enum status embed(struct forward *f, struct error *err)
{
    TRY(op_embed(f, &f->x, ROLE_TOKEN_EMBD, err));
    return op_tap(f, "embd", -1, &f->x, err);
}

/* x += o(attention(rope(q(h)), rope(k(h)), v(h))), h the normed x */
static enum status attend(struct forward *f, int64_t layer, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    enum rope_style style = f->model->dialect->rope_style;
    struct act h, q, k, v, mixed;
    TRY(op_scratch(f, 0, hp->n_embd, &h, err));
    TRY(op_scratch(f, 1, hp->n_head * hp->head_dim, &q, err));
    TRY(op_scratch(f, 2, hp->n_head_kv * hp->head_dim, &k, err));
    TRY(op_scratch(f, 3, hp->n_head_kv * hp->head_dim, &v, err));
    TRY(op_scratch(f, 4, hp->n_head * hp->head_dim, &mixed, err));

    TRY(op_rms_norm(f, &h, &f->x, ROLE_ATTN_NORM, layer, err));
    TRY(op_tap(f, "attn_norm", layer, &h, err));
    TRY(op_linear(f, &q, &h, ROLE_ATTN_Q, layer, false, err));
    TRY(op_tap(f, "q", layer, &q, err));
    TRY(op_linear(f, &k, &h, ROLE_ATTN_K, layer, false, err));
    TRY(op_tap(f, "k", layer, &k, err));
    TRY(op_linear(f, &v, &h, ROLE_ATTN_V, layer, false, err));
    TRY(op_tap(f, "v", layer, &v, err));
    TRY(op_rope(f, &q, 0, hp->n_head, hp->head_dim, style, err));
    TRY(op_tap(f, "q_rope", layer, &q, err));
    TRY(op_rope(f, &k, 0, hp->n_head_kv, hp->head_dim, style, err));
    TRY(op_tap(f, "k_rope", layer, &k, err));
    const struct attention attention = {
        .q = &q,
        .k = &k,
        .v = &v,
        .n_head = hp->n_head,
        .n_head_kv = hp->n_head_kv,
        .head_dim = hp->head_dim,
        .scale = 1 / sqrt((double)hp->head_dim),
    };
    TRY(op_attention(f, &mixed, &attention, layer, err));
    TRY(op_linear(f, &h, &mixed, ROLE_ATTN_OUTPUT, layer, false, err));
    TRY(op_tap(f, "attn_out", layer, &h, err));
    TRY(op_add(f, &f->x, &h, err));
    return op_tap(f, "attn_residual", layer, &f->x, err);
}

/* x += down(silu(gate(h)) * up(h)), h the normed x */
static enum status feed_forward(struct forward *f, int64_t layer, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    struct act h, gate, up;
    TRY(op_scratch(f, 0, hp->n_embd, &h, err));
    TRY(op_scratch(f, 1, hp->n_ff, &gate, err));
    TRY(op_scratch(f, 2, hp->n_ff, &up, err));

    TRY(op_rms_norm(f, &h, &f->x, ROLE_FFN_NORM, layer, err));
    TRY(op_tap(f, "ffn_norm", layer, &h, err));
    TRY(op_linear(f, &gate, &h, ROLE_FFN_GATE, layer, false, err));
    TRY(op_tap(f, "ffn_gate", layer, &gate, err));
    TRY(op_linear(f, &up, &h, ROLE_FFN_UP, layer, false, err));
    TRY(op_tap(f, "ffn_up", layer, &up, err));
    TRY(op_activate(f, &gate, hp->activation, err));
    TRY(op_multiply(f, &gate, &up, err));
    TRY(op_tap(f, "ffn_act", layer, &gate, err));
    TRY(op_linear(f, &h, &gate, ROLE_FFN_DOWN, layer, false, err));
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
    TRY(op_rms_norm(f, &f->x, &f->x, ROLE_OUTPUT_NORM, -1, err));
    return op_tap(f, "norm", -1, &f->x, err);
}

const struct arch arch_llama = {
    .family = "llama",
    .gguf_arch = "llama",
    .model_types = (const char *const[]){"llama", NULL},
    .architectures = (const char *const[]){"LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel", NULL},
    .prefixes = (const char *const[]){"model.", "", NULL},
    .keys = keys,
    .fixed = fixed,
    .ignored = ignored,
    .rules = rules,
    .tied_by_default = false,
    .uses_rope = true,
    .detect_tensors = (const char *const[]){"{p}embed_tokens.weight", "{p}layers.0.self_attn.q_proj.weight",
                                            "{p}layers.0.mlp.gate_proj.weight", NULL},
    .source = {.conv1d = false, .rope_style = ROPE_HALVES},
    .gguf = {.conv1d = false, .rope_style = ROPE_PAIRS},
    .derive = derive,
    .embed = embed,
    .layer = block,
    .head = head,
};
