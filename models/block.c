#include "models/block.h"
#include "models/moe.h"

static bool has_weight(const struct forward *f, enum role r, int64_t layer, enum part part)
{
    return model_weight(f->model, r, layer, part) != NULL;
}

enum status block_embed(struct forward *f, struct error *err)
{
    TRY(op_embed(f, &f->x, ROLE_TOKEN_EMBD, err));
    if (has_weight(f, ROLE_POSITION_EMBD, -1, PART_WEIGHT))
        TRY(op_add_positions(f, &f->x, ROLE_POSITION_EMBD, f->window.pos, err));
    return op_tap(f, "embd", -1, &f->x, err);
}

enum status block_norm(struct forward *f, struct act *dst, const struct act *src, enum role r, int64_t layer,
                       struct error *err)
{
    return has_weight(f, r, layer, PART_BIAS) ? op_layer_norm(f, dst, src, r, layer, err)
                                              : op_rms_norm(f, dst, src, r, layer, err);
}

/* --- attention --- */

/* Where queries, keys and values of a layer are, as its file lays them out. */
struct qkv {
    struct act q, k, v; /* one and the same matrix when fused */
    struct attention at;
};

static enum status project(struct forward *f, struct act *dst, const struct act *src, enum role r,
                           const char *tap, int64_t layer, struct error *err)
{
    TRY(op_linear(f, dst, src, r, layer, f->model->dialect->conv1d, err));
    return op_tap(f, tap, layer, dst, err);
}

/* Heads one by one, where the model has a norm for them */
static enum status norm_heads(struct forward *f, const struct act *a, enum role r, int64_t layer,
                              struct error *err)
{
    int64_t d = f->model->hp.head_dim;
    const struct act in = {.rows = a->rows * (a->cols / d), .cols = d, .data = a->data};
    struct act heads = in;
    return block_norm(f, &heads, &in, r, layer, err);
}

static enum status norm_queries_and_keys(struct forward *f, struct qkv *s, int64_t layer, struct error *err)
{
    if (has_weight(f, ROLE_ATTN_Q_NORM, layer, PART_WEIGHT)) {
        TRY(norm_heads(f, &s->q, ROLE_ATTN_Q_NORM, layer, err));
        TRY(op_tap_queries(f, "q_norm", layer, &s->q, &s->at, err));
    }
    if (!has_weight(f, ROLE_ATTN_K_NORM, layer, PART_WEIGHT)) return STATUS_OK;
    TRY(norm_heads(f, &s->k, ROLE_ATTN_K_NORM, layer, err));
    return op_tap_keys(f, "k_norm", layer, &s->k, &s->at, err);
}

static enum status tap_projections(struct forward *f, struct qkv *s, int64_t layer, struct error *err)
{
    TRY(op_tap_queries(f, "q", layer, &s->q, &s->at, err));
    TRY(op_tap_keys(f, "k", layer, &s->k, &s->at, err));
    return op_tap_values(f, "v", layer, &s->v, &s->at, err);
}

static enum status project_split(struct forward *f, struct qkv *s, const struct act *src, int64_t layer,
                                 struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    bool conv1d = f->model->dialect->conv1d;
    TRY(op_scratch(f, 1, hp->n_head * hp->head_dim, &s->q, err));
    TRY(op_scratch(f, 2, hp->n_head_kv * hp->head_dim, &s->k, err));
    TRY(op_scratch(f, 3, hp->n_head_kv * hp->head_dim, &s->v, err));
    const struct projection to[] = {{&s->q, ROLE_ATTN_Q}, {&s->k, ROLE_ATTN_K}, {&s->v, ROLE_ATTN_V}};
    TRY(op_linears(f, src, to, 3, layer, conv1d, err));
    TRY(tap_projections(f, s, layer, err));
    return norm_queries_and_keys(f, s, layer, err);
}

static enum status project_fused(struct forward *f, struct qkv *s, const struct act *src, int64_t layer,
                                 struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    int64_t d = hp->head_dim, width = hp->n_head / hp->n_head_kv;
    TRY(op_scratch(f, 1, (hp->n_head + 2 * hp->n_head_kv) * d, &s->q, err));
    TRY(op_linear(f, &s->q, src, ROLE_ATTN_QKV, layer, f->model->dialect->conv1d, err));
    s->k = s->v = s->q;
    bool groups = f->model->dialect->qkv == QKV_GROUPS || (hp->qkv_per_head && !f->model->is_gguf);
    s->at.group = groups ? (width + 2) * d : 0;
    s->at.k_col0 = (groups ? width : hp->n_head) * d;
    s->at.v_col0 = s->at.k_col0 + (groups ? 1 : hp->n_head_kv) * d;
    return tap_projections(f, s, layer, err);
}

/* Heads that begin at col0 and every `stride` columns from there. With two positions the second one turns what follows the first one's part. */
static enum status turn_heads(struct forward *f, struct act *a, int64_t col0, int64_t n_heads, int64_t stride,
                              struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    enum rope_style style = hp->rope_halves ? ROPE_HALVES : f->model->dialect->rope_style;
    TRY(op_rope(f, a, col0, n_heads, stride, style, err));
    return hp->position_2d ? op_rope_block(f, a, col0 + hp->rope.dim, n_heads, stride, style, err)
                           : STATUS_OK;
}

/* Query heads that share a key stand side by side; groups of them may be apart. */
static enum status rotate(struct forward *f, struct qkv *s, int64_t layer, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    int64_t d = hp->head_dim, width = hp->n_head / hp->n_head_kv;
    if (hp->rope.type == ROPE_NONE) return STATUS_OK;
    for (int64_t h = 0; s->at.group && h < width; h++)
        TRY(turn_heads(f, &s->q, s->at.q_col0 + h * d, hp->n_head_kv, s->at.group, err));
    if (!s->at.group) TRY(turn_heads(f, &s->q, s->at.q_col0, hp->n_head, d, err));
    TRY(op_tap_queries(f, "q_rope", layer, &s->q, &s->at, err));
    TRY(turn_heads(f, &s->k, s->at.k_col0, hp->n_head_kv, s->at.group ? s->at.group : d, err));
    return op_tap_keys(f, "k_rope", layer, &s->k, &s->at, err);
}

enum status block_attention(struct forward *f, struct act *dst, const struct act *src, int64_t layer,
                            struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    struct qkv s = {.at = {.n_head = hp->n_head,
                           .n_head_kv = hp->n_head_kv,
                           .head_dim = hp->head_dim,
                           .scale = hparams_attn_scale(hp, layer),
                           .window = hparams_window(hp, layer)}};
    struct act mixed;
    TRY(op_scratch(f, 4, hp->n_head * hp->head_dim, &mixed, err));
    TRY(has_weight(f, ROLE_ATTN_QKV, layer, PART_WEIGHT) ? project_fused(f, &s, src, layer, err)
                                                         : project_split(f, &s, src, layer, err));
    TRY(rotate(f, &s, layer, err));
    s.at.q = &s.q;
    s.at.k = &s.k;
    s.at.v = &s.v;
    TRY(op_attention(f, &mixed, &s.at, layer, err));
    TRY(op_tap(f, "attn_mix", layer, &mixed, err));
    return project(f, dst, &mixed, ROLE_ATTN_OUTPUT, "attn_out", layer, err);
}

/* --- feed-forward layer --- */

/* gate and up in one matrix, the gate's rows first */
static enum status mlp_gate_up(struct forward *f, struct act *dst, const struct act *src, int64_t layer,
                               struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    struct act inner, both;
    TRY(op_scratch(f, 1, hp->n_ff, &inner, err));
    TRY(op_scratch(f, 2, 2 * hp->n_ff, &both, err));
    TRY(op_linear(f, &both, src, ROLE_FFN_UP, layer, f->model->dialect->conv1d, err));
    TRY(op_tap_columns(f, "ffn_gate", layer, &both, 0, hp->n_ff, err));
    TRY(op_tap_columns(f, "ffn_up", layer, &both, hp->n_ff, hp->n_ff, err));
    TRY(op_gate_halves(f, &inner, &both, hp->activation, err));
    TRY(op_tap(f, "ffn_act", layer, &inner, err));
    return project(f, dst, &inner, ROLE_FFN_DOWN, "ffn_out", layer, err);
}

static enum status mlp_gated(struct forward *f, struct act *dst, const struct act *src, int64_t layer, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    struct act gate, up;
    TRY(op_scratch(f, 1, hp->n_ff, &gate, err));
    TRY(op_scratch(f, 2, hp->n_ff, &up, err));
    const struct projection to[] = {{&gate, ROLE_FFN_GATE}, {&up, ROLE_FFN_UP}};
    TRY(op_linears(f, src, to, 2, layer, f->model->dialect->conv1d, err));
    TRY(op_tap(f, "ffn_gate", layer, &gate, err));
    TRY(op_tap(f, "ffn_up", layer, &up, err));
    TRY(op_gate(f, &gate, &up, hp->activation, err));
    TRY(op_tap(f, "ffn_act", layer, &gate, err));
    return project(f, dst, &gate, ROLE_FFN_DOWN, "ffn_out", layer, err);
}

enum status block_mlp(struct forward *f, struct act *dst, const struct act *src, int64_t layer,
                      struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    if (hp->gate_up) return mlp_gate_up(f, dst, src, layer, err);
    if (has_weight(f, ROLE_FFN_GATE_INP, layer, PART_WEIGHT)) return moe_run(f, dst, src, layer, err);
    if (has_weight(f, ROLE_FFN_GATE, layer, PART_WEIGHT)) return mlp_gated(f, dst, src, layer, err);
    struct act inner;
    TRY(op_scratch(f, 2, hp->n_ff, &inner, err));
    TRY(project(f, &inner, src, ROLE_FFN_UP, "ffn_up", layer, err));
    TRY(op_activate(f, &inner, hp->activation, err));
    TRY(op_tap(f, "ffn_act", layer, &inner, err));
    return project(f, dst, &inner, ROLE_FFN_DOWN, "ffn_out", layer, err);
}

/* --- blocks --- */

static enum status add_residual(struct forward *f, const struct act *a, const char *tap, int64_t layer,
                                struct error *err)
{
    TRY(op_add(f, &f->x, a, err));
    return op_tap(f, tap, layer, &f->x, err);
}

static enum status normed(struct forward *f, struct act *dst, enum role r, const char *tap, int64_t layer,
                          struct error *err)
{
    TRY(block_norm(f, dst, &f->x, r, layer, err));
    return op_tap(f, tap, layer, dst, err);
}

/* A norm of what is about to be added, in families that have one */
static enum status post_norm(struct forward *f, struct act *a, enum role r, const char *tap, int64_t layer,
                             struct error *err)
{
    if (!has_weight(f, r, layer, PART_WEIGHT)) return STATUS_OK;
    TRY(block_norm(f, a, a, r, layer, err));
    return op_tap(f, tap, layer, a, err);
}

enum status block_pre_norm(struct forward *f, int64_t layer, struct error *err)
{
    struct act h;
    TRY(op_scratch(f, 0, f->model->hp.n_embd, &h, err));
    TRY(normed(f, &h, ROLE_ATTN_NORM, "attn_norm", layer, err));
    TRY(block_attention(f, &h, &h, layer, err));
    TRY(post_norm(f, &h, ROLE_ATTN_POST_NORM, "attn_post_norm", layer, err));
    TRY(add_residual(f, &h, "attn_residual", layer, err));
    TRY(normed(f, &h, ROLE_FFN_NORM, "ffn_norm", layer, err));
    TRY(block_mlp(f, &h, &h, layer, err));
    TRY(post_norm(f, &h, ROLE_FFN_POST_NORM, "ffn_post_norm", layer, err));
    return add_residual(f, &h, "residual", layer, err);
}

enum status block_parallel(struct forward *f, int64_t layer, struct error *err)
{
    struct act h, a;
    TRY(op_scratch(f, 0, f->model->hp.n_embd, &h, err));
    TRY(op_scratch(f, 5, f->model->hp.n_embd, &a, err));
    TRY(normed(f, &h, ROLE_ATTN_NORM, "attn_norm", layer, err));
    TRY(block_attention(f, &a, &h, layer, err));
    if (has_weight(f, ROLE_FFN_NORM, layer, PART_WEIGHT))
        TRY(normed(f, &h, ROLE_FFN_NORM, "ffn_norm", layer, err));
    TRY(block_mlp(f, &h, &h, layer, err));
    TRY(op_add(f, &a, &h, err));
    return add_residual(f, &a, "residual", layer, err);
}

enum status block_post_norm(struct forward *f, int64_t layer, struct error *err)
{
    struct act h;
    TRY(op_scratch(f, 0, f->model->hp.n_embd, &h, err));
    TRY(block_attention(f, &h, &f->x, layer, err));
    TRY(add_residual(f, &h, "attn_residual", layer, err));
    TRY(normed(f, &f->x, ROLE_ATTN_OUTPUT_NORM, "attn_norm", layer, err));
    TRY(block_mlp(f, &h, &f->x, layer, err));
    TRY(add_residual(f, &h, "ffn_residual", layer, err));
    return normed(f, &f->x, ROLE_LAYER_OUTPUT_NORM, "residual", layer, err);
}

enum status block_head(struct forward *f, struct error *err)
{
    if (!has_weight(f, ROLE_OUTPUT_NORM, -1, PART_WEIGHT)) return STATUS_OK;
    return normed(f, &f->x, ROLE_OUTPUT_NORM, "norm", -1, err);
}
