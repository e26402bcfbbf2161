/* Rows, heads and halves in another place than where the family has them, and matrices transposed. */
#include "verify/hypotheses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum status hypothesis_row_order(struct suspect *s, bool *fits, char *why, struct error *err)
{
    int64_t *from;
    if (s->trace->b->hp.rope.type == ROPE_NONE || s->trace->b->hp.rope.dim < 2) return STATUS_OK;
    TRY(suspect_new_order(s, &from, err));
    enum status st = STATUS_OK;
    for (int inverse = 0; st == STATUS_OK && !*fits && inverse < 2; inverse++) {
        order_pairs(s, from, inverse);
        st = suspect_fits_columns(s, from, fits, err);
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
            double x = suspect_get(s, s->want->data, t * cols + to * d + i),
                   y = suspect_get(s, s->got, t * cols + from * d + i);
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
    TRY(suspect_new_order(s, &from, err));
    for (int64_t h = 0; h < n; h++) {
        int64_t best = 0;
        double least = (double)INFINITY;
        for (int64_t k = 0; k < n; k++) {
            double x = head_distance(s, h, k);
            if (x < least) least = x, best = k;
        }
        for (int64_t i = 0; i < d; i++) from[h * d + i] = best * d + i;
    }
    enum status st = suspect_fits_columns(s, from, fits, err);
    free(from);
    return st;
}

enum status hypothesis_head_grouping(struct suspect *s, bool *fits, char *why, struct error *err)
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
        TRY(suspect_fits_view(s, &(struct step_view){.model = &view}, fits, err));
        if (*fits) return STATUS_OK;
    }
    snprintf(why, 256, "with the heads in another order it fits");
    return head_order(s, fits, err);
}

/* The result is another one's of the same layer. */
enum status hypothesis_halves_swapped(struct suspect *s, bool *fits, char *why, struct error *err)
{
    static const char *const parts[] = {"q", "k", "v", "ffn_gate", "ffn_up"};
    const struct model *b = s->trace->b;
    double scale = hparams_attn_scale(&b->hp, s->tap->layer);
    int64_t n = s->want->rows * s->want->cols, *from;
    bool ffn = s->tap->name[0] == 'f';
    void *data;
    TRY(suspect_new_order(s, &from, err));
    enum status st = mem_alloc(&data, (uint64_t)n, suspect_number_bytes(s), err);
    for (size_t i = 0; st == STATUS_OK && !*fits && i < sizeof parts / sizeof *parts; i++) {
        const struct kept_tap *other = suspect_kept(s, parts[i]);
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
                    suspect_put(s, data, t * s->want->cols + c, by * suspect_get(s, s->got, t * s->want->cols + from[c]));
            *fits = suspect_fits_like(s, other->data, data);
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
            if (table[i][k] && suspect_kept(s, table[i][k])) return suspect_kept(s, table[i][k]);
    return NULL;
}

enum status hypothesis_transpose(struct suspect *s, bool *fits, char *why, struct error *err)
{
    const struct kept_tap *in = input_of(s);
    const struct weight *w =
        s->role == ROLE_COUNT ? NULL : model_weight(s->trace->b, s->role, s->tap->layer, PART_WEIGHT);
    snprintf(why, 256, "with the matrix transposed it fits");
    if (!in || !w || tensor_rows(w->t->t) != tensor_cols(w->t->t) || in->cols != s->want->cols)
        return STATUS_OK;
    void *data;
    TRY(mem_alloc(&data, (uint64_t)(s->want->rows * s->want->cols), suspect_number_bytes(s), err));
    const struct act src = {in->rows, in->cols, in->data};
    struct act dst = {s->want->rows, s->want->cols, data};
    s->b->tap = NULL;
    enum status st = op_linear(s->b, &dst, &src, s->role, s->tap->layer, !s->trace->b->dialect->conv1d, err);
    if (st == STATUS_OK && s->tap->name[0] == 'q') {
        double scale = hparams_attn_scale(&s->trace->b->hp, s->tap->layer);
        for (int64_t i = 0; i < dst.rows * dst.cols; i++) suspect_put(s, data, i, scale * suspect_get(s, data, i));
    }
    if (st == STATUS_OK) *fits = suspect_fits(s, data);
    if (st == STATUS_OK && !*fits && s->trace->b->hp.rope.type != ROPE_NONE && suspect_is_tap(s, "q k")) {
        int64_t *from;
        const void *got = s->got;
        st = suspect_new_order(s, &from, err);
        if (st == STATUS_OK) {
            order_pairs(s, from, true);
            s->got = data;
            st = suspect_fits_columns(s, from, fits, err);
            s->got = got;
            free(from);
        }
    }
    free(data);
    return st;
}
