#include "verify/hypotheses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- numbers of taps --- */

static size_t number_bytes(const struct suspect *s)
{
    return s->trace->precision == PRECISION_F64 ? sizeof(double) : sizeof(float);
}

static double get(const struct suspect *s, const void *a, int64_t i)
{
    return s->trace->precision == PRECISION_F64 ? ((const double *)a)[i] : (double)((const float *)a)[i];
}

static void put(const struct suspect *s, void *a, int64_t i, double v)
{
    if (s->trace->precision == PRECISION_F64)
        ((double *)a)[i] = v;
    else
        ((float *)a)[i] = (float)v;
}

static bool is_tap(const struct suspect *s, const char *names)
{
    size_t n = strlen(s->tap->name);
    for (const char *p = names; (p = strstr(p, s->tap->name)) != NULL; p += n)
        if ((p == names || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) return true;
    return false;
}

static const struct kept_tap *kept(const struct suspect *s, const char *name)
{
    for (size_t i = 0; i < s->n_kept; i++)
        if (strcmp(s->kept[i].name, name) == 0) return &s->kept[i];
    return NULL;
}

static bool near(const struct suspect *s, const void *want, const void *data)
{
    struct tap_distance d;
    tap_compare(&d, s->trace->precision, want, data, s->want->rows, s->want->cols);
    return d.worst <= s->tap->limit;
}

/* Takes from each column of data what it differs by from `want` at every position. */
static void take_offset(const struct suspect *s, const void *want, void *data)
{
    int64_t rows = s->want->rows, cols = s->want->cols;
    for (int64_t c = 0; c < cols; c++) {
        double sum = 0;
        for (int64_t t = 0; t < rows; t++) sum += get(s, data, t * cols + c) - get(s, want, t * cols + c);
        for (int64_t t = 0; t < rows; t++)
            put(s, data, t * cols + c, get(s, data, t * cols + c) - sum / (double)rows);
    }
}

static bool has_bias(const struct model *m, const struct suspect *s)
{
    if (s->role != ROLE_COUNT && model_weight(m, s->role, s->tap->layer, PART_BIAS)) return true;
    return is_tap(s, "q k v") && (model_weight(m, ROLE_ATTN_QKV, s->tap->layer, PART_BIAS) ||
                                  model_weight(m, ROLE_ATTN_Q, s->tap->layer, PART_BIAS));
}

/* Do these numbers stand where `want` says, as far as the limit goes? A weight may be repaired while its bias stays as it was: an offset that is
 * the same at every position is passed over where there is a bias. Changes data. */
static bool fits_like(const struct suspect *s, const void *want, void *data)
{
    if (near(s, want, data)) return true;
    if (s->want->rows < 8 || s->only_offset || (!has_bias(s->trace->a, s) && !has_bias(s->trace->b, s)))
        return false;
    take_offset(s, want, data);
    return near(s, want, data);
}

static bool fits_data(const struct suspect *s, void *data)
{
    return fits_like(s, s->want->data, data);
}

static enum status fits_view(struct suspect *s, const struct step_view *v, bool *fits, struct error *err)
{
    struct error mine = {0};
    void *data;
    TRY(mem_alloc(&data, (uint64_t)(s->want->rows * s->want->cols), number_bytes(s), err));
    bool seen = false;
    enum status st = trace_again(s, v, data, &seen, &mine);
    *fits = st == STATUS_OK && seen && fits_data(s, data); /* what cannot be computed is no explanation */
    free(data);
    if (st != STATUS_NOMEM && st != STATUS_IO) return STATUS_OK;
    *err = mine;
    return st;
}

/* Columns of B's result in another order: from[c] is the column that column c of the repaired result is. */
static enum status fits_columns(const struct suspect *s, const int64_t *from, bool *fits, struct error *err)
{
    void *data;
    int64_t rows = s->want->rows, cols = s->want->cols;
    TRY(mem_alloc(&data, (uint64_t)(rows * cols), number_bytes(s), err));
    for (int64_t t = 0; t < rows; t++)
        for (int64_t c = 0; c < cols; c++) put(s, data, t * cols + c, get(s, s->got, t * cols + from[c]));
    *fits = fits_data(s, data);
    free(data);
    return STATUS_OK;
}

static enum status new_order(const struct suspect *s, int64_t **from, struct error *err)
{
    void *p;
    TRY(mem_alloc(&p, (uint64_t)s->want->cols, sizeof **from, err));
    *from = p;
    return STATUS_OK;
}

/* --- hypotheses --- */

/* Rows of heads in halves where pairs are read, or the reverse. */
static void order_pairs(const struct suspect *s, int64_t *from, bool inverse)
{
    const struct hparams *hp = &s->trace->b->hp;
    int64_t r = hp->rope.dim, parts = hp->position_2d ? 2 : 1;
    for (int64_t c = 0; c < s->want->cols; c++) {
        int64_t i = c % hp->head_dim, part = i / r, j = i % r, base = c - i + part * r;
        if (part >= parts)
            from[c] = c;
        else if (inverse)
            from[c] = base + (j < r / 2 ? 2 * j : 2 * (j - r / 2) + 1);
        else
            from[c] = base + j % 2 * (r / 2) + j / 2;
    }
}

static enum status row_order(struct suspect *s, bool *fits, char *why, struct error *err)
{
    int64_t *from;
    if (s->trace->b->hp.rope.type == ROPE_NONE || s->trace->b->hp.rope.dim < 2) return STATUS_OK;
    TRY(new_order(s, &from, err));
    enum status st = STATUS_OK;
    for (int inverse = 0; st == STATUS_OK && !*fits && inverse < 2; inverse++) {
        order_pairs(s, from, inverse);
        st = fits_columns(s, from, fits, err);
    }
    free(from);
    snprintf(why, 256, "with the rows of each head reordered between halves and pairs it fits");
    return st;
}

/* Distance of B's head `from` to A's head `to`, without offsets. */
static double head_distance(const struct suspect *s, int64_t to, int64_t from)
{
    int64_t d = s->trace->b->hp.head_dim, rows = s->want->rows, cols = s->want->cols;
    double diff = 0, size = 0;
    for (int64_t i = 0; i < d; i++) {
        double sum_x = 0, sum_y = 0, xx = 0, dd = 0;
        for (int64_t t = 0; t < rows; t++) {
            double x = get(s, s->want->data, t * cols + to * d + i),
                   y = get(s, s->got, t * cols + from * d + i);
            sum_x += x;
            sum_y += y;
            xx += x * x;
            dd += (x - y) * (x - y);
        }
        double mean = (sum_x - sum_y) / (double)rows;
        diff += dd - mean * mean * (double)rows;
        size += xx - sum_x * sum_x / (double)rows;
    }
    return size > 0 ? sqrt(fmax(diff, 0) / size) : (double)INFINITY;
}

/* Heads in another order: each of A's heads is looked for among B's. */
static enum status head_order(struct suspect *s, bool *fits, struct error *err)
{
    int64_t d = s->trace->b->hp.head_dim, n = s->want->cols / d, *from;
    if (s->want->cols % d != 0 || n < 2 || n > 256) return STATUS_OK;
    TRY(new_order(s, &from, err));
    for (int64_t h = 0; h < n; h++) {
        int64_t best = 0;
        double least = (double)INFINITY;
        for (int64_t k = 0; k < n; k++) {
            double x = head_distance(s, h, k);
            if (x < least) least = x, best = k;
        }
        for (int64_t i = 0; i < d; i++) from[h * d + i] = best * d + i;
    }
    enum status st = fits_columns(s, from, fits, err);
    free(from);
    return st;
}

static enum status head_grouping(struct suspect *s, bool *fits, char *why, struct error *err)
{
    const struct model *b = s->trace->b;
    if (model_weight(b, ROLE_ATTN_QKV, s->tap->layer, PART_WEIGHT)) {
        struct dialect other = *b->dialect;
        struct model view = *b;
        bool groups = b->dialect->qkv == QKV_GROUPS || (b->hp.qkv_per_head && !b->is_gguf);
        other.qkv = groups ? QKV_BLOCKS : QKV_GROUPS;
        view.hp.qkv_per_head = false;
        view.dialect = &other;
        snprintf(why, 256, "with the fused rows read as %s it fits",
                 groups ? "[all queries][all keys][all values]" : "[head by head: query, key, value]");
        TRY(fits_view(s, &(struct step_view){.model = &view}, fits, err));
        if (*fits) return STATUS_OK;
    }
    snprintf(why, 256, "with the heads in another order it fits");
    return head_order(s, fits, err);
}

/* The result is another one's of the same layer. */
static enum status halves_swapped(struct suspect *s, bool *fits, char *why, struct error *err)
{
    static const char *const parts[] = {"q", "k", "v", "ffn_gate", "ffn_up"};
    const struct model *b = s->trace->b;
    double scale = hparams_attn_scale(&b->hp, s->tap->layer);
    int64_t n = s->want->rows * s->want->cols, *from;
    bool ffn = s->tap->name[0] == 'f';
    void *data;
    TRY(new_order(s, &from, err));
    enum status st = mem_alloc(&data, (uint64_t)n, number_bytes(s), err);
    for (size_t i = 0; st == STATUS_OK && !*fits && i < sizeof parts / sizeof *parts; i++) {
        const struct kept_tap *other = kept(s, parts[i]);
        if (!other || other == s->want || other->cols != s->want->cols || (parts[i][0] == 'f') != ffn)
            continue;
        /* what is seen of queries has their scale; rows of q and k are seen in the order of halves */
        double by = (parts[i][0] == 'q' ? scale : 1) / (s->tap->name[0] == 'q' ? scale : 1);
        for (int order = 0; !*fits && order < 3; order++) {
            for (int64_t c = 0; c < s->want->cols; c++) from[c] = c;
            if (order > 0 && (ffn || b->hp.rope.type == ROPE_NONE)) break;
            if (order > 0) order_pairs(s, from, order == 2);
            for (int64_t t = 0; t < s->want->rows; t++)
                for (int64_t c = 0; c < s->want->cols; c++)
                    put(s, data, t * s->want->cols + c, by * get(s, s->got, t * s->want->cols + from[c]));
            *fits = fits_like(s, other->data, data);
        }
        if (*fits) snprintf(why, 256, "it is what A has as '%s'", parts[i]);
    }
    free(data);
    free(from);
    return st;
}

/* The matrix as its own transpose, which only a square one can be. */
static const struct kept_tap *input_of(const struct suspect *s)
{
    static const char *const table[][3] = {
        {"q", "attn_norm", NULL},
        {"k", "attn_norm", NULL},
        {"v", "attn_norm", NULL},
        {"attn_out", "attn_mix", NULL},
        {"ffn_gate", "ffn_norm", "attn_norm"},
        {"ffn_up", "ffn_norm", "attn_norm"},
        {"ffn_out", "ffn_act", NULL},
        {"logits", "norm", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int k = 1; k < 3 && strcmp(table[i][0], s->tap->name) == 0; k++)
            if (table[i][k] && kept(s, table[i][k])) return kept(s, table[i][k]);
    return NULL;
}

static enum status transpose(struct suspect *s, bool *fits, char *why, struct error *err)
{
    const struct kept_tap *in = input_of(s);
    const struct weight *w =
        s->role == ROLE_COUNT ? NULL : model_weight(s->trace->b, s->role, s->tap->layer, PART_WEIGHT);
    snprintf(why, 256, "with the matrix transposed it fits");
    if (!in || !w || tensor_rows(w->t->t) != tensor_cols(w->t->t) || in->cols != s->want->cols)
        return STATUS_OK;
    void *data;
    TRY(mem_alloc(&data, (uint64_t)(s->want->rows * s->want->cols), number_bytes(s), err));
    const struct act src = {in->rows, in->cols, in->data};
    struct act dst = {s->want->rows, s->want->cols, data};
    s->b->tap = NULL;
    enum status st = op_linear(s->b, &dst, &src, s->role, s->tap->layer, !s->trace->b->dialect->conv1d, err);
    if (st == STATUS_OK && s->tap->name[0] == 'q') {
        double scale = hparams_attn_scale(&s->trace->b->hp, s->tap->layer);
        for (int64_t i = 0; i < dst.rows * dst.cols; i++) put(s, data, i, scale * get(s, data, i));
    }
    if (st == STATUS_OK) *fits = fits_data(s, data);
    if (st == STATUS_OK && !*fits && s->trace->b->hp.rope.type != ROPE_NONE && is_tap(s, "q k")) {
        int64_t *from;
        const void *got = s->got;
        st = new_order(s, &from, err);
        if (st == STATUS_OK) {
            order_pairs(s, from, true);
            s->got = data;
            st = fits_columns(s, from, fits, err);
            s->got = got;
            free(from);
        }
    }
    free(data);
    return st;
}

/* Values of a vector of B, as doubles; NULL when B has none. */
static enum status read_vector(const struct suspect *s, enum part part, int64_t n, double **out,
                               struct error *err)
{
    const struct weight *w = model_weight(s->trace->b, s->role, s->tap->layer, part);
    *out = NULL;
    if (!w || w->t->t->n_elements != n) return STATUS_OK;
    void *values, *raw;
    TRY(mem_alloc(&values, (uint64_t)n, sizeof(double), err));
    enum status st = mem_alloc(&raw, w->t->t->size_bytes, 1, err);
    if (st == STATUS_OK) st = ckpt_read(w->t, 0, raw, (size_t)w->t->t->size_bytes, err);
    if (st == STATUS_OK) st = dtype_decode_f64(w->t->t->dtype, raw, values, n, err);
    free(raw);
    if (st != STATUS_OK) {
        free(values);
        return st;
    }
    *out = values;
    return STATUS_OK;
}

/* A norm whose weights are stored as what is added to 1, or the reverse. */
static enum status norm_offset(struct suspect *s, bool *fits, char *why, struct error *err)
{
    double *w, *bias;
    int64_t cols = s->want->cols, n = cols;
    if (s->role == ROLE_ATTN_Q_NORM || s->role == ROLE_ATTN_K_NORM) n = s->trace->b->hp.head_dim;
    TRY(read_vector(s, PART_WEIGHT, n, &w, err));
    if (!w) return STATUS_OK;
    enum status st = read_vector(s, PART_BIAS, n, &bias, err);
    void *data = NULL;
    if (st == STATUS_OK) st = mem_alloc(&data, (uint64_t)(s->want->rows * cols), number_bytes(s), err);
    for (int add = -1; st == STATUS_OK && !*fits && add <= 1; add += 2) {
        for (int64_t i = 0; i < s->want->rows * cols; i++) {
            int64_t c = i % cols % n;
            double b = bias ? bias[c] : 0, unit = w[c] != 0 ? (get(s, s->got, i) - b) / w[c] : 0;
            put(s, data, i, unit * (w[c] + add) + b);
        }
        *fits = fits_data(s, data);
        if (*fits) snprintf(why, 256, "with weights %s 1 it fits", add > 0 ? "plus" : "minus");
    }
    free(data);
    free(bias);
    free(w);
    return st;
}

static enum status epsilon(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    if (view.hp.norm_eps == s->trace->a->hp.norm_eps) return STATUS_OK;
    view.hp.norm_eps = s->trace->a->hp.norm_eps;
    snprintf(why, 256, "with A's epsilon %g instead of %g it fits", view.hp.norm_eps,
             s->trace->b->hp.norm_eps);
    return fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

static enum status rope_base(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    if (view.hp.rope.theta == s->trace->a->hp.rope.theta) return STATUS_OK;
    view.hp.rope.theta = s->trace->a->hp.rope.theta;
    view.hp.rope.runtime = NULL;
    snprintf(why, 256, "with A's base %g instead of %g it fits", view.hp.rope.theta,
             s->trace->b->hp.rope.theta);
    return fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

static enum status rope_dim(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    if (view.hp.rope.dim == s->trace->a->hp.rope.dim) return STATUS_OK;
    view.hp.rope.dim = s->trace->a->hp.rope.dim;
    view.hp.rope.runtime = NULL;
    snprintf(why, 256, "with %lld rotated dimensions as in A instead of %lld it fits",
             (long long)view.hp.rope.dim, (long long)s->trace->b->hp.rope.dim);
    return fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

static enum status rope_scaling(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    view.hp.rope = s->trace->a->hp.rope;
    view.hp.position_2d = s->trace->a->hp.position_2d;
    snprintf(why, 256, "with A's scaling (%s) instead of B's (%s) it fits",
             rope_type_name(s->trace->a->hp.rope.type), rope_type_name(s->trace->b->hp.rope.type));
    return fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

static bool all_zero(const double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (v[i] != 0) return false;
    return true;
}

/* The difference is the same at every position, and one side has a bias that the other has not, or zeros. */
static enum status missing_bias(struct suspect *s, bool *fits, char *why, struct error *err)
{
    bool a = has_bias(s->trace->a, s), b = has_bias(s->trace->b, s);
    int64_t rows = s->want->rows, cols = s->want->cols;
    if (!a && !b) return STATUS_OK;
    if (a && b) {
        const struct weight *w = model_weight(s->trace->b, s->role, s->tap->layer, PART_BIAS);
        double *values = NULL;
        if (w) TRY(read_vector(s, PART_BIAS, w->t->t->n_elements, &values, err));
        bool zero = values && all_zero(values, w->t->t->n_elements);
        free(values);
        if (!zero) return STATUS_OK;
    }
    void *data;
    TRY(mem_alloc(&data, (uint64_t)(rows * cols), number_bytes(s), err));
    memcpy(data, s->got, (size_t)(rows * cols) * number_bytes(s));
    take_offset(s, s->want->data, data);
    *fits = rows > 1 && near(s, s->want->data, data);
    snprintf(why, 256, "%s; with it the rest fits",
             a ? "A adds a bias that is not there, or zero, in B" : "B adds a bias that A has not");
    free(data);
    return STATUS_OK;
}

static enum status activation(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    for (int k = 0; !*fits && k < ACTIVATION_COUNT; k++) {
        if ((enum activation)k == s->trace->b->hp.activation) continue;
        view.hp.activation = (enum activation)k;
        TRY(fits_view(s, &(struct step_view){.model = &view}, fits, err));
    }
    snprintf(why, 256, "with the activation %s instead of %s it fits", activation_name(view.hp.activation),
             activation_name(s->trace->b->hp.activation));
    return STATUS_OK;
}

static enum status window(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    int64_t layer = s->tap->layer;
    view.hp.window = s->trace->a->hp.window;
    view.hp.local = s->trace->a->hp.local;
    snprintf(why, 256, "with a window of %lld keys as in A instead of %lld it fits (0: all)",
             (long long)hparams_window(&s->trace->a->hp, layer),
             (long long)hparams_window(&s->trace->b->hp, layer));
    return fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

/* Logits of a side over A's last stream, through its token embedding. */
static enum status tied_logits(struct suspect *s, struct forward *f, const void *expected, bool *fits,
                               struct error *err)
{
    const struct kept_tap *in = kept(s, "norm");
    if (!in || !model_weight(f->model, ROLE_TOKEN_EMBD, -1, PART_WEIGHT)) return STATUS_OK;
    void *data;
    TRY(mem_alloc(&data, (uint64_t)(s->want->rows * s->want->cols), number_bytes(s), err));
    const struct act src = {in->rows, in->cols, in->data};
    struct act dst = {s->want->rows, s->want->cols, data};
    f->tap = NULL;
    enum status st = op_linear(f, &dst, &src, ROLE_TOKEN_EMBD, -1, false, err);
    *fits = st == STATUS_OK && fits_like(s, expected, data); /* the table has no bias */
    free(data);
    return st;
}

static enum status head_tying(struct suspect *s, bool *fits, char *why, struct error *err)
{
    snprintf(why, 256, "through B's token embedding instead of its output matrix it fits");
    if (model_weight(s->trace->b, ROLE_OUTPUT, -1, PART_WEIGHT))
        TRY(tied_logits(s, s->b, s->want->data, fits, err));
    if (*fits || !model_weight(s->trace->a, ROLE_OUTPUT, -1, PART_WEIGHT)) return STATUS_OK;
    snprintf(why, 256, "it is what A would give through its token embedding instead of its output matrix");
    return tied_logits(s, s->a, s->got, fits, err);
}

/* Rows of a table counted from another one. */
static enum status embedding_offset(struct suspect *s, bool *fits, char *why, struct error *err)
{
    int64_t n = s->trace->n, n_vocab = s->trace->b->hp.n_vocab;
    void *p;
    TRY(mem_alloc(&p, (uint64_t)n, sizeof(int32_t), err));
    int32_t *ids = p;
    enum status st = STATUS_OK;
    for (int k = 1; st == STATUS_OK && !*fits && k <= 8; k++) {
        int shift = k % 2 ? (k + 1) / 2 : -k / 2;
        for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)((s->trace->ids[i] + shift + n_vocab) % n_vocab);
        st = fits_view(s, &(struct step_view){.model = s->trace->b, .ids = ids}, fits, err);
        snprintf(why, 256, "with the row of id %+d it fits", shift);
    }
    for (int shift = -2; st == STATUS_OK && !*fits && shift <= 2; shift++) {
        if (shift == 0 || s->trace->pos0 + shift < 0) continue;
        st = fits_view(s, &(struct step_view){.model = s->trace->b, .shift = shift}, fits, err);
        snprintf(why, 256, "with positions counted from %+d it fits", shift);
    }
    free(ids);
    return st;
}

static enum status output_offset(struct suspect *s, bool *fits, char *why, struct error *err)
{
    int64_t *from, cols = s->want->cols;
    TRY(new_order(s, &from, err));
    enum status st = STATUS_OK;
    for (int k = 1; st == STATUS_OK && !*fits && k <= 8; k++) {
        int shift = k % 2 ? (k + 1) / 2 : -k / 2;
        for (int64_t c = 0; c < cols; c++) from[c] = (c + shift + cols) % cols;
        st = fits_columns(s, from, fits, err);
        snprintf(why, 256, "with the row of id %+d it fits", shift);
    }
    free(from);
    return st;
}

static const struct hypothesis {
    const char *cause, *taps;
    enum status (*test)(struct suspect *s, bool *fits, char *why, struct error *err);
} table[] = {
    {"row_order", "q k", row_order},
    {"head_grouping", "q k v", head_grouping},
    {"halves_swapped", "q k v ffn_gate ffn_up", halves_swapped},
    {"transpose", "q k v attn_out ffn_gate ffn_up ffn_out", transpose},
    {"missing_bias", "q k v attn_out ffn_gate ffn_up ffn_out logits attn_norm ffn_norm norm", missing_bias},
    {"norm_offset", "attn_norm q_norm k_norm ffn_norm attn_post_norm ffn_post_norm residual norm",
     norm_offset},
    {"epsilon", "attn_norm q_norm k_norm ffn_norm attn_post_norm ffn_post_norm residual norm", epsilon},
    {"rope_base", "q_rope k_rope", rope_base},
    {"rope_dim", "q_rope k_rope", rope_dim},
    {"rope_scaling", "q_rope k_rope", rope_scaling},
    {"window", "attn_mix", window},
    {"activation", "ffn_act", activation},
    {"head_tying", "logits", head_tying},
    {"row_offset", "embd", embedding_offset},
    {"row_offset", "logits", output_offset},
};

/* Factor that brings B's numbers closest to A's, both without the columns' means. */
static double best_factor(const struct suspect *s)
{
    int64_t rows = s->want->rows, cols = s->want->cols;
    double xy = 0, yy = 0;
    for (int64_t c = 0; c < cols; c++) {
        double sum_x = 0, sum_y = 0, c_xy = 0, c_yy = 0;
        for (int64_t t = 0; t < rows; t++) {
            double x = get(s, s->want->data, t * cols + c), y = get(s, s->got, t * cols + c);
            sum_x += x;
            sum_y += y;
            c_xy += x * y;
            c_yy += y * y;
        }
        xy += c_xy - sum_x * sum_y / (double)rows;
        yy += c_yy - sum_y * sum_y / (double)rows;
    }
    return yy > 0 ? xy / yy : 0;
}

/* What can be said of a difference that no hypothesis explains. */
static enum status describe(const struct suspect *s, char *why, struct error *err)
{
    int64_t n = s->want->rows * s->want->cols;
    double factor = best_factor(s);
    void *data;
    snprintf(why, 256, "no repair that is known fits");
    TRY(mem_alloc(&data, (uint64_t)n, number_bytes(s), err));
    for (int64_t i = 0; i < n; i++) put(s, data, i, get(s, s->got, i) * factor);
    if (s->only_offset)
        snprintf(why, 256,
                 "no repair that is known fits; the difference is the same at every position, as that of a "
                 "bias is");
    else if (factor != 0 && fits_data(s, data))
        snprintf(why, 256, "no repair that is known fits; B's numbers are A's times %.6g", 1 / factor);
    free(data);
    return STATUS_OK;
}

static enum status find_offset(struct suspect *s, struct error *err)
{
    void *data;
    size_t n = (size_t)(s->want->rows * s->want->cols) * number_bytes(s);
    TRY(mem_alloc(&data, n, 1, err));
    memcpy(data, s->got, n);
    take_offset(s, s->want->data, data);
    s->only_offset = s->want->rows >= 8 && near(s, s->want->data, data);
    free(data);
    return STATUS_OK;
}

enum status hypotheses_try(struct suspect *s, struct trace_result *out, struct error *err)
{
    out->cause = "unknown";
    snprintf(out->explanation, sizeof out->explanation, "no repair that is known fits");
    if (!s->want || !isfinite(out->first.distance.worst)) return STATUS_OK;
    TRY(find_offset(s, err));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char why[256] = "";
        bool fits = false;
        if (!is_tap(s, table[i].taps)) continue;
        TRY(table[i].test(s, &fits, why, err));
        if (!fits) continue;
        out->cause = table[i].cause;
        snprintf(out->explanation, sizeof out->explanation, "%s", why);
        return STATUS_OK;
    }
    return describe(s, out->explanation, err);
}
