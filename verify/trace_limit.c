#include "verify/trace_limit.h"

#include "verify/tolerance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* docs/numerics.md tells what was observed. */
#define ROUNDING_F32 1e-4 /* one operation in float32, and GGUF's float32 epsilon and base */
#define ROUNDING_F64 1e-6 /* GGUF's float32 epsilon and base, folded factors */
#define STORAGE      20.0 /* times the error of a weight: rows and what they meet are not all alike; observed up to 7.2 */
#define UNRELATED    1.0  /* two unrelated columns are 1.41 apart; the largest of many columns of a coarse type is further off than most */
#define UNRELATED_ALL 0.8 /* all of them together: 1.41, too, and 1 where nothing is left */

/* The weights behind a tap. `other`: where one matrix holds several, or the weight has another name. Three of a whole branch: all of them. */
static const struct tap_source {
    const char *tap;
    enum role role, other;
    enum role more[2];
} sources[] = {
#define ONE .more = {ROLE_COUNT, ROLE_COUNT}
    {"embd", ROLE_TOKEN_EMBD, ROLE_COUNT, ONE},
    {"attn_norm", ROLE_ATTN_NORM, ROLE_ATTN_OUTPUT_NORM, ONE},
    {"q", ROLE_ATTN_Q, ROLE_ATTN_QKV, ONE},
    {"k", ROLE_ATTN_K, ROLE_ATTN_QKV, ONE},
    {"v", ROLE_ATTN_V, ROLE_ATTN_QKV, ONE},
    {"q_norm", ROLE_ATTN_Q_NORM, ROLE_COUNT, ONE},
    {"k_norm", ROLE_ATTN_K_NORM, ROLE_COUNT, ONE},
    {"attn_out", ROLE_ATTN_OUTPUT, ROLE_COUNT, ONE},
    {"attn_post_norm", ROLE_ATTN_POST_NORM, ROLE_COUNT, ONE},
    {"ffn_norm", ROLE_FFN_NORM, ROLE_ATTN_POST_NORM, ONE}, /* so named in glm4moe */
    {"ffn_gate", ROLE_FFN_GATE, ROLE_FFN_UP, ONE},
    {"ffn_up", ROLE_FFN_UP, ROLE_COUNT, ONE},
    {"ffn_out", ROLE_FFN_DOWN, ROLE_COUNT, ONE},
    {"ffn_router", ROLE_FFN_GATE_INP, ROLE_COUNT, ONE},
    {"ffn_experts", ROLE_FFN_DOWN_EXPS, ROLE_COUNT, {ROLE_FFN_GATE_EXPS, ROLE_FFN_UP_EXPS}},
    {"ffn_shared", ROLE_FFN_DOWN_SHEXP, ROLE_COUNT, {ROLE_FFN_GATE_SHEXP, ROLE_FFN_UP_SHEXP}},
    {"ffn_post_norm", ROLE_FFN_POST_NORM, ROLE_COUNT, ONE},
    {"residual", ROLE_LAYER_OUTPUT_NORM, ROLE_COUNT, ONE}, /* of post-norm blocks */
    {"norm", ROLE_OUTPUT_NORM, ROLE_COUNT, ONE},
    {"logits", ROLE_OUTPUT, ROLE_TOKEN_EMBD, ONE},
#undef ONE
};

static const struct tap_source *source_of(const char *tap)
{
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (strcmp(sources[i].tap, tap) == 0) return &sources[i];
    return NULL;
}

enum role trace_role(const struct model *m, const char *tap, int64_t layer)
{
    const struct tap_source *s = source_of(tap);
    if (!s) return ROLE_COUNT;
    if (model_weight(m, s->role, layer, PART_WEIGHT)) return s->role;
    return s->other != ROLE_COUNT && model_weight(m, s->other, layer, PART_WEIGHT) ? s->other : ROLE_COUNT;
}

/* --- limits --- */

static struct trace_limit limit_for(const struct trace *t, double error)
{
    double rounding = t->precision == PRECISION_F64 ? ROUNDING_F64 : ROUNDING_F32;
    return (struct trace_limit){
        .worst = rounding + fmin(STORAGE * error, fmax(UNRELATED, 3.75 * error)),
        .rel = fmax(UNRELATED_ALL, 1.5 * error),
    };
}

bool trace_within(const struct tap_distance *d, double worst, double rel)
{
    return d->worst <= worst && d->rel <= rel;
}

/* Does a weight of 16 or 32-bit floats hold numbers of bfloat16 only? Then it was one on its way, and is as coarse. */
static enum status only_bfloats(const struct weight *w, bool *only, struct error *err)
{
    enum { CHUNK = 1 << 16 };
    const struct tensor *t = w->t->t;
    size_t size = dtype_info(t->dtype)->block_bytes;
    void *p;
    *only = t->dtype == DTYPE_F16 || t->dtype == DTYPE_F32;
    if (!*only) return STATUS_OK;
    TRY(mem_alloc(&p, CHUNK, 2 * sizeof(float), err));
    float *values = p;
    void *raw = values + CHUNK;
    enum status st = STATUS_OK;
    for (int64_t i = 0; st == STATUS_OK && *only && i < t->n_elements; i += CHUNK) {
        int64_t n = t->n_elements - i < CHUNK ? t->n_elements - i : CHUNK;
        st = ckpt_read(w->t, (uint64_t)i * size, raw, (size_t)n * size, err);
        if (st == STATUS_OK) st = dtype_decode_f32(t->dtype, raw, values, n, err);
        for (int64_t k = 0; st == STATUS_OK && *only && k < n; k++) {
            uint32_t bits;
            memcpy(&bits, &values[k], sizeof bits);
            *only = (bits & 0xffff) == 0;
        }
    }
    free(p);
    return st;
}

/* Adds what storage may have done to one weight; look: read B's where its type explains less than bfloat16 would. */
static enum status add_error(double *square, const struct trace *t, enum role ra, enum role rb, int64_t layer, bool look,
                             struct error *err)
{
    const struct weight *x = ra < ROLE_COUNT ? model_weight(t->a, ra, layer, PART_WEIGHT) : NULL;
    const struct weight *y = rb < ROLE_COUNT ? model_weight(t->b, rb, layer, PART_WEIGHT) : NULL;
    if (!x || !y) return STATUS_OK;
    double e = tolerance_weight_error(t->a, x, t->b, y), bfloat = tolerance_cast_error(x->t->t->dtype, DTYPE_BF16);
    bool coarse = false, already = false;
    if (look && e < bfloat && !y->n_experts) TRY(only_bfloats(y, &coarse, err));
    if (coarse) TRY(only_bfloats(x, &already, err)); /* then nothing was lost */
    if (coarse && !already) e = bfloat;
    *square += e * e;
    return STATUS_OK;
}

static enum status limit_by_storage(struct trace_limit *out, const struct trace *t, const char *tap, int64_t layer, bool look,
                                    struct error *err)
{
    const struct tap_source *s = source_of(tap);
    double square = 0;
    TRY(add_error(&square, t, trace_role(t->a, tap, layer), trace_role(t->b, tap, layer), layer, look, err));
    for (int i = 0; s && i < 2; i++) TRY(add_error(&square, t, s->more[i], s->more[i], layer, look, err));
    *out = limit_for(t, sqrt(square));
    return STATUS_OK;
}

enum status trace_limit_of(struct trace_limit *out, const struct trace *t, const char *tap, int64_t layer,
                           const struct tap_distance *d, bool *within, struct error *err)
{
    TRY(limit_by_storage(out, t, tap, layer, false, err));
    *within = trace_within(d, out->worst, out->rel);
    if (!*within) TRY(limit_by_storage(out, t, tap, layer, true, err));
    *within = trace_within(d, out->worst, out->rel);
    return STATUS_OK;
}
