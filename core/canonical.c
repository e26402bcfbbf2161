#include "core/canonical.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- what a tensor consists of --- */

static void add_part(struct canonical_tensor *t, enum role role, int64_t n_rows)
{
    struct canonical_part *last = t->n_parts > 0 ? &t->parts[t->n_parts - 1] : NULL;
    t->parts[t->n_parts++] = (struct canonical_part){role, last ? last->row + last->n_rows : 0, n_rows};
}

/* In the GGUF's layout a fused matrix is all queries, all keys, all values; gate and up are one behind the other. */
static void set_parts(struct canonical_tensor *t, const struct hparams *hp)
{
    int64_t q = hp->n_head * hp->head_dim, kv = hp->n_head_kv * hp->head_dim;
    t->n_parts = 0;
    if (t->role == ROLE_ATTN_QKV && t->n_rows == q + 2 * kv) {
        add_part(t, ROLE_ATTN_Q, q);
        add_part(t, ROLE_ATTN_K, kv);
        add_part(t, ROLE_ATTN_V, kv);
    } else if (t->role == ROLE_FFN_UP && hp->gate_up && t->n_rows == 2 * hp->n_ff) {
        add_part(t, ROLE_FFN_GATE, hp->n_ff);
        add_part(t, ROLE_FFN_UP, hp->n_ff);
    } else {
        add_part(t, t->role, t->n_rows);
    }
}

/* --- a checkpoint --- */

int64_t canonical_baked_length(const struct model *a, const struct model *b)
{
    int64_t x = a ? a->hp.rope.n_baked : 0, y = b ? b->hp.rope.n_baked : 0;
    return x > y ? x : y;
}

static bool changes_numbers(double scale)
{
    int exponent;
    return frexp(scale, &exponent) != 0.5;
}

/* Both sides are stored without the factor: it is left out, and numbers stay those of the files. */
static void drop_common_scale(struct plan_tensor *p, const struct model *m, const struct model *other)
{
    int64_t layer = p->layer < 0 ? 0 : p->layer;
    if (p->scaled_rows > 0 && !other->is_gguf &&
        hparams_scale_ratio(&m->hp, layer) == hparams_scale_ratio(&other->hp, layer))
        p->scaled_rows = 0;
}

static void set_planned(struct canonical_tensor *t, const struct plan_tensor *p, const struct hparams *hp)
{
    bool vector = p->spec.n_dims < 2;
    *t = (struct canonical_tensor){.name = p->name,
                                   .stored = p->n_sources > 0 ? p->sources[0].t->t->name : NULL,
                                   .role = p->rule->role,
                                   .part = p->rule->part,
                                   .layer = p->layer,
                                   .dtype = p->from,
                                   .values = p->scales.t ? DTYPE_F32 : p->from,
                                   .n_rows = vector ? p->spec.n_elements : p->spec.rows,
                                   .n_cols = vector ? 1 : p->spec.cols,
                                   .planned = p};
    t->rounds = (p->scaled_rows > 0 && changes_numbers(p->scale)) || p->scales.t || p->rule->fill == FILL_ROPE;
    set_parts(t, hp);
}

static enum status open_source(struct canonical *c, const struct model *other, struct error *err)
{
    TRY(model_plan_tensors(&c->plan, c->m, canonical_baked_length(c->m, other), err));
    c->n = c->plan.n_tensors;
    c->tensors = arena_array(&c->plan.mem, c->n + 1, sizeof *c->tensors);
    if (!c->tensors) return error_nomem(err, c->n * sizeof *c->tensors);
    for (size_t i = 0; i < c->n; i++) {
        drop_common_scale(&c->plan.tensors[i], c->m, other);
        set_planned(&c->tensors[i], &c->plan.tensors[i], &c->m->hp);
    }
    return STATUS_OK;
}

/* --- a GGUF --- */

static void set_stored(struct canonical_tensor *t, const struct weight *w, const struct hparams *hp)
{
    const struct tensor *s = w->t->t;
    bool vector = s->n_dims < 2;
    *t = (struct canonical_tensor){.name = s->name,
                                   .stored = s->name,
                                   .role = w->rule->role,
                                   .part = w->rule->part,
                                   .layer = w->layer,
                                   .dtype = s->dtype,
                                   .values = s->dtype,
                                   .n_cols = vector || tensor_cols(s) < 1 ? 1 : tensor_cols(s),
                                   .t = w->t};
    t->n_rows = s->n_elements / t->n_cols;
    set_parts(t, hp);
}

static enum status open_gguf(struct canonical *c, struct error *err)
{
    c->n = c->m->n_weights;
    c->tensors = arena_array(&c->plan.mem, c->n + 1, sizeof *c->tensors);
    if (!c->tensors) return error_nomem(err, c->n * sizeof *c->tensors);
    for (size_t i = 0; i < c->n; i++) set_stored(&c->tensors[i], &c->m->weights[i], &c->m->hp);
    return STATUS_OK;
}

enum status canonical_open(struct canonical *c, const struct model *m, const struct model *other, struct error *err)
{
    *c = (struct canonical){.m = m};
    return m->is_gguf ? open_gguf(c, err) : open_source(c, other, err);
}

void canonical_close(struct canonical *c)
{
    plan_clear(&c->plan);
    *c = (struct canonical){0};
}

/* --- numbers --- */

static enum status read_stored(const struct canonical_tensor *t, int64_t first, int64_t n, float *dst,
                               struct plan_scratch *s, struct error *err)
{
    uint64_t at, bytes;
    if (!dtype_bytes(t->dtype, first, &at) || !dtype_bytes(t->dtype, n, &bytes))
        return error_at(err, STATUS_UNSUPPORTED, t->t->container->file.path, t->name,
                        "rows of this length cannot be compared");
    TRY(plan_scratch_reserve(&s->piece, &s->piece_cap, (size_t)bytes, err));
    TRY(ckpt_read(t->t, at, s->piece, (size_t)bytes, err));
    return dtype_decode_f32(t->dtype, s->piece, dst, n, err);
}

enum status canonical_read(const struct canonical_tensor *t, int64_t row, int64_t n_rows, float *dst,
                           struct plan_scratch *s, struct error *err)
{
    if (t->t) return read_stored(t, row * t->n_cols, n_rows * t->n_cols, dst, s, err);
    if (t->planned->spec.n_dims >= 2) return plan_read_rows(t->planned, row, n_rows, dst, s, err);
    if (row == 0 && n_rows == t->n_rows) return plan_read_rows(t->planned, 0, t->planned->spec.rows, dst, s, err);
    /* some elements of a vector */
    TRY(plan_scratch_reserve(&s->floats, &s->floats_cap, (size_t)t->n_rows * sizeof(float), err));
    float *all = s->floats;
    s->floats = NULL; /* the reader may want one of its own */
    s->floats_cap = 0;
    enum status st = plan_read_rows(t->planned, 0, t->planned->spec.rows, all, s, err);
    if (st == STATUS_OK) memcpy(dst, all + row, (size_t)n_rows * sizeof(float));
    free(all);
    return st;
}

int64_t canonical_grain(const struct canonical_tensor *t)
{
    return t->planned && t->planned->spec.n_dims >= 2 ? plan_read_grain(t->planned) : 1;
}
