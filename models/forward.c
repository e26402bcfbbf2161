#include "models/forward.h"
#include "models/ops.h"

#include <math.h>
#include <stdlib.h>

enum status buffer_reserve(struct buffer *b, uint64_t n, uint64_t size, struct error *err)
{
    uint64_t bytes;
    if (!size_mul(n, size, &bytes) || bytes > SIZE_MAX / 2) return error_nomem(err, SIZE_MAX);
    if (b->data && bytes <= b->size_bytes) return STATUS_OK;
    free(b->data);
    b->size_bytes = 0;
    TRY(mem_alloc_pages(&b->data, bytes, err));
    b->size_bytes = bytes;
    return STATUS_OK;
}

static void buffer_clear(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

/* Matrices are addressed with signed 64-bit products of these; a file's own sizes were checked against its bytes. */
static enum status check_size(const struct forward *f, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    const int64_t limit = INT64_C(1) << 31;
    if (f->n_max < 1 || f->n_max >= limit || hp->n_embd >= limit || hp->n_ff >= limit || hp->n_vocab >= limit)
        return error_set(
            err, STATUS_RANGE,
            "forward pass: %lld positions, width %lld, vocabulary %lld: expected each below 2^31",
            (long long)f->n_max, (long long)hp->n_embd, (long long)hp->n_vocab);
    return STATUS_OK;
}

static enum status alloc_tables(const struct forward *f, double **cosines, double **sines, struct error *err)
{
    uint64_t n;
    void *p;
    if (!size_mul((uint64_t)f->n_max, (uint64_t)(f->state->rope_dim / 2), &n)) return error_nomem(err, SIZE_MAX);
    TRY(mem_alloc(&p, n, sizeof(double), err));
    *cosines = p;
    TRY(mem_alloc(&p, n, sizeof(double), err));
    *sines = p;
    return STATUS_OK;
}

static enum status make_state(struct forward *f, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    void *p;
    TRY(mem_alloc(&p, 1, sizeof *f->state, err));
    struct forward_state *s = f->state = p;
    s->ops = ops_select(f->precision);
    s->mm = matmul_active();
    s->n_scratch = workers_count(f->workers);
    TRY(mem_alloc(&p, (uint64_t)s->n_scratch, sizeof *s->scratch, err));
    s->scratch = p;
    if (f->model->arch->uses_rope && hp->rope.type != ROPE_NONE) {
        s->rope_dim = hp->rope.dim;
        TRY(alloc_tables(f, &s->rope_cos, &s->rope_sin, err));
        if (hp->position_2d) TRY(alloc_tables(f, &s->block_cos, &s->block_sin, err));
    }
    uint64_t n_x;
    if (!size_mul((uint64_t)f->n_max, (uint64_t)hp->n_embd, &n_x)) return error_nomem(err, SIZE_MAX);
    TRY(buffer_reserve(&s->x, n_x, s->ops->size, err));
    f->x = (struct act){.cols = hp->n_embd, .data = s->x.data};
    return STATUS_OK;
}

enum status forward_new(struct forward **out, const struct model *m, struct workers *w,
                        enum precision precision, int64_t n_max, struct error *err)
{
    *out = NULL;
    if (!m->arch->embed || !m->arch->layer || !m->arch->head)
        return error_at(err, STATUS_UNSUPPORTED, m->ckpt->path, NULL, "family %s has no forward pass yet",
                        m->arch->family);
    void *p;
    TRY(mem_alloc(&p, 1, sizeof **out, err));
    struct forward *f = p;
    *f = (struct forward){.model = m, .workers = w, .precision = precision, .n_max = n_max};
    enum status st = check_size(f, err);
    if (st == STATUS_OK) st = make_state(f, err);
    if (st != STATUS_OK) {
        forward_free(f);
        return st;
    }
    *out = f;
    return STATUS_OK;
}

void forward_free(struct forward *f)
{
    if (!f) return;
    struct forward_state *s = f->state;
    if (s) {
        for (int i = 0; s->scratch && i < s->n_scratch; i++) {
            buffer_clear(&s->scratch[i].raw);
            buffer_clear(&s->scratch[i].rows);
            buffer_clear(&s->scratch[i].acc);
            buffer_clear(&s->scratch[i].edge);
            buffer_clear(&s->scratch[i].scales);
        }
        free(s->scratch);
        for (int i = 0; i < FORWARD_SLOTS; i++) buffer_clear(&s->slots[i]);
        buffer_clear(&s->x);
        buffer_clear(&s->probs);
        buffer_clear(&s->positions);
        buffer_clear(&s->spans);
        buffer_clear(&s->tapped);
        buffer_clear(&s->shared);
        buffer_clear(&s->input);
        buffer_clear(&s->norm_w);
        buffer_clear(&s->norm_b);
        for (int i = 0; i < PROJECTIONS_MAX; i++) buffer_clear(&s->bias[i]);
        free(s->rope_cos);
        free(s->rope_sin);
        free(s->block_cos);
        free(s->block_sin);
        free(s);
    }
    free(f);
}

/* Highest position of the window + 1, or the length that is asked for: what length-dependent scaling goes by. */
static int64_t rope_length(const struct forward *f, const struct forward_span *span)
{
    int64_t n = f->rope_length;
    for (int64_t t = span->first; t < span->first + span->n; t++)
        if (f->window.pos[t] >= n) n = f->window.pos[t] + 1;
    return n;
}

/* cos and sin (n, n_pairs) of the angles at n positions */
static void fill_tables(double *cosines, double *sines, const int64_t *positions, int64_t n, const double *inv_freq,
                        int64_t n_pairs, double attn_factor)
{
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < n_pairs; i++) {
            double angle = (double)positions[t] * inv_freq[i];
            cosines[t * n_pairs + i] = attn_factor * cos(angle);
            sines[t * n_pairs + i] = attn_factor * sin(angle);
        }
}

/* Frequencies as the F16 numbers that some published code keeps them in: rounded from float. */
static void round_frequencies(double *inv_freq, int64_t n_pairs)
{
    for (int64_t i = 0; i < n_pairs; i++) inv_freq[i] = (double)f16_to_f32(f16_from_f32((float)inv_freq[i]));
}

static enum status make_rope_tables(struct forward *f, const struct forward_span *span, double *inv_freq,
                                    struct error *err)
{
    struct forward_state *s = f->state;
    int64_t n_pairs = s->rope_dim / 2, at = span->first * n_pairs;
    double attn_factor;
    TRY(rope_frequencies(&f->model->hp.rope, rope_length(f, span), inv_freq, &attn_factor, err));
    if (f->model->hp.rope_rounded) round_frequencies(inv_freq, n_pairs);
    fill_tables(s->rope_cos + at, s->rope_sin + at, f->window.pos + span->first, span->n, inv_freq, n_pairs,
                attn_factor);
    if (s->block_cos)
        fill_tables(s->block_cos + at, s->block_sin + at, f->window.block + span->first, span->n, inv_freq, n_pairs,
                    attn_factor);
    return STATUS_OK;
}

static enum status make_all_rope_tables(struct forward *f, struct error *err)
{
    if (!f->state->rope_cos) return STATUS_OK;
    void *inv_freq;
    TRY(mem_alloc(&inv_freq, (uint64_t)(f->state->rope_dim / 2), sizeof(double), err));
    enum status st = STATUS_OK;
    for (int64_t i = 0; st == STATUS_OK && i < f->n_spans; i++)
        st = make_rope_tables(f, &f->spans[i], inv_freq, err);
    free(inv_freq);
    return st;
}

static enum status check_windows(const struct forward *f, const int32_t *ids, int64_t n, int64_t pos0,
                                 struct error *err)
{
    const char *path = f->model->ckpt->path;
    const struct hparams *hp = &f->model->hp;
    if (n < 1 || n > f->n_max || pos0 < 0 || pos0 > INT64_MAX / 4)
        return error_at(err, STATUS_RANGE, path, NULL,
                        "expected 1 to %lld positions, found %lld from %lld on", (long long)f->n_max,
                        (long long)n, (long long)pos0);
    for (int64_t t = 0; t < n; t++)
        if (ids[t] < 0 || ids[t] >= hp->n_vocab)
            return error_at(err, STATUS_RANGE, path, NULL, "token id %d: expected 0 to %lld (the vocabulary)",
                            (int)ids[t], (long long)hp->n_vocab - 1);
    return STATUS_OK;
}

static enum status plan_window(struct forward *f, struct forward_span *span, struct error *err)
{
    struct window_plan plan = {.pos = f->window.pos + span->first, .block = f->window.block + span->first};
    for (int64_t t = 0; t < span->n; t++) plan.pos[t] = f->pos0 + t * (f->step ? f->step : 1), plan.block[t] = 0;
    const struct arch *arch = f->model->arch;
    if (!f->causal && arch->plan) TRY(arch->plan(f->model, f->ids + span->first, span->n, &plan, err));
    span->prefix = plan.prefix;
    return STATUS_OK;
}

static enum status plan_windows(struct forward *f, const int64_t *lengths, int64_t n_windows,
                                struct error *err)
{
    struct forward_state *s = f->state;
    TRY(buffer_reserve(&s->positions, (uint64_t)f->n_max, 2 * sizeof(int64_t), err));
    TRY(buffer_reserve(&s->spans, (uint64_t)n_windows, sizeof *f->spans, err));
    f->window.pos = s->positions.data;
    f->window.block = f->window.pos + f->n_max;
    f->spans = s->spans.data;
    f->n_spans = n_windows;
    int64_t first = 0;
    for (int64_t i = 0; i < n_windows; i++) {
        f->spans[i] = (struct forward_span){.first = first, .n = lengths[i]};
        TRY(plan_window(f, &f->spans[i], err));
        first += lengths[i];
    }
    return STATUS_OK;
}

enum status forward_begin_windows(struct forward *f, const int32_t *ids, const int64_t *lengths,
                                  int64_t n_windows, int64_t pos0, struct error *err)
{
    int64_t n = 0;
    for (int64_t i = 0; i < n_windows; i++) {
        bool fits = lengths[i] > 0 && lengths[i] <= f->n_max - n;
        n = fits ? n + lengths[i] : lengths[i] < 1 ? lengths[i] : f->n_max + 1; /* to be refused */
        if (!fits) break;
    }
    TRY(check_windows(f, ids, n, pos0, err));
    f->ids = ids;
    f->n = n;
    f->pos0 = pos0;
    f->x.rows = n;
    TRY(plan_windows(f, lengths, n_windows, err));
    TRY(make_all_rope_tables(f, err));
    return f->model->arch->embed(f, err);
}

enum status forward_begin(struct forward *f, const int32_t *ids, int64_t n, int64_t pos0, struct error *err)
{
    return forward_begin_windows(f, ids, &n, 1, pos0, err);
}

enum status forward_layer(struct forward *f, int64_t layer, struct error *err)
{
    if (layer < 0 || layer >= f->model->hp.n_layer)
        return error_set(err, STATUS_RANGE, "layer %lld: expected 0 to %lld", (long long)layer,
                         (long long)f->model->hp.n_layer - 1);
    return f->model->arch->layer(f, layer, err);
}

enum status forward_finish(struct forward *f, struct error *err)
{
    return f->model->arch->head(f, err);
}

/* The product that gives the logits of positions [first, first + n_pos) */
static enum status head_product(const struct forward *f, int64_t first, int64_t n_pos, struct linear *p, struct error *err)
{
    const struct model *m = f->model;
    const struct weight *w = model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT);
    const struct weight *b = model_weight(m, ROLE_OUTPUT, -1, PART_BIAS);
    if (!w) w = model_weight(m, ROLE_TOKEN_EMBD, -1, PART_WEIGHT);
    if (!w)
        return error_at(err, STATUS_NOTFOUND, m->ckpt->path, NULL, "no output matrix and no token embedding");
    *p = (struct linear){
        .w = w->t,
        .b = b ? b->t : NULL,
        .x = ops_at(f, f->x.data, first * f->x.cols),
        .n_pos = n_pos,
        .n_in = f->x.cols,
        .n_out = m->hp.n_vocab,
    };
    return STATUS_OK;
}

enum status forward_logits(struct forward *f, int64_t first, int64_t n_pos, void *logits, struct error *err)
{
    struct linear head;
    if (first < 0 || n_pos < 1 || first > f->n - n_pos)
        return error_set(err, STATUS_RANGE,
                         "logits of positions %lld to %lld: expected them within 0 to %lld", (long long)first,
                         (long long)(first + n_pos - 1), (long long)f->n - 1);
    TRY(head_product(f, first, n_pos, &head, err));
    head.out = logits;
    return linear_run(f, &head, err);
}

enum status forward_head_open(struct forward *f, int64_t n_cols, struct error *err)
{
    struct linear head;
    TRY(head_product(f, 0, f->n, &head, err));
    return linear_open(&f->state->head, f, &head, n_cols, err);
}

enum status forward_head_pack(const struct forward *f, int worker, int64_t first, int64_t n, struct error *err)
{
    return linear_pack(&f->state->head, worker, first, n, err);
}

void forward_head_logits(const struct forward *f, int worker, int64_t pos, int64_t n_pos, int64_t first, int64_t n, void *logits)
{
    linear_multiply(&f->state->head, worker, pos, n_pos, first, n, logits, n);
}
