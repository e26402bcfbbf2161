/* Tensors that are missing, others than they should be, or counted from another row: biases, embeddings, the output matrix. */
#include "verify/hypotheses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Has B's bias nothing but zeros? It is small: a number for each column. */
static enum status all_zero(const struct weight *w, bool *zero, struct error *err)
{
    const struct tensor *t = w->t->t;
    void *values, *raw;
    TRY(mem_alloc(&values, (uint64_t)t->n_elements, sizeof(double), err));
    enum status st = mem_alloc(&raw, t->size_bytes, 1, err);
    if (st == STATUS_OK) st = ckpt_read(w->t, 0, raw, (size_t)t->size_bytes, err);
    if (st == STATUS_OK) st = dtype_decode_f64(t->dtype, raw, values, t->n_elements, err);
    *zero = st == STATUS_OK;
    for (int64_t i = 0; *zero && i < t->n_elements; i++) *zero = ((double *)values)[i] == 0;
    free(raw);
    free(values);
    return st;
}

/* The difference is the same at every position, and one side has a bias that the other has not, or zeros. */
enum status hypothesis_missing_bias(struct suspect *s, bool *fits, char *why, struct error *err)
{
    bool a = suspect_has_bias(s->trace->a, s), b = suspect_has_bias(s->trace->b, s);
    int64_t rows = s->want->rows, cols = s->want->cols;
    if (!a && !b) return STATUS_OK;
    const struct weight *own = a && b ? model_weight(s->trace->b, s->role, s->tap->layer, PART_BIAS) : NULL;
    bool zero = !(a && b);
    if (own) TRY(all_zero(own, &zero, err));
    if (!zero) return STATUS_OK;
    void *data;
    TRY(mem_alloc(&data, (uint64_t)(rows * cols), suspect_number_bytes(s), err));
    memcpy(data, s->got, (size_t)(rows * cols) * suspect_number_bytes(s));
    suspect_take_offset(s, s->want->data, data);
    *fits = rows > 1 && suspect_near(s, s->want->data, data);
    snprintf(why, 256, "%s; with it the rest fits",
             a ? "A adds a bias that is not there, or zero, in B" : "B adds a bias that A has not");
    free(data);
    return STATUS_OK;
}

/* Logits of a side over A's last stream, through its token embedding. */
static enum status tied_logits(struct suspect *s, struct forward *f, const void *expected, bool *fits,
                               struct error *err)
{
    const struct kept_tap *norm = suspect_kept(s, "norm"), *in = norm ? norm : s->before;
    if (!model_weight(f->model, ROLE_TOKEN_EMBD, -1, PART_WEIGHT)) return STATUS_OK;
    void *data;
    TRY(mem_alloc(&data, (uint64_t)(s->want->rows * s->want->cols), suspect_number_bytes(s), err));
    const struct act src = {in->rows, in->cols, in->data};
    struct act dst = {s->want->rows, s->want->cols, data};
    f->tap = NULL;
    enum status st = op_linear(f, &dst, &src, ROLE_TOKEN_EMBD, -1, false, err);
    *fits = st == STATUS_OK && suspect_fits_like(s, expected, data); /* the table has no bias */
    free(data);
    return st;
}

enum status hypothesis_head_tying(struct suspect *s, bool *fits, char *why, struct error *err)
{
    snprintf(why, 256, "through B's token embedding instead of its output matrix it fits");
    if (model_weight(s->trace->b, ROLE_OUTPUT, -1, PART_WEIGHT))
        TRY(tied_logits(s, s->b, s->want->data, fits, err));
    if (*fits || !model_weight(s->trace->a, ROLE_OUTPUT, -1, PART_WEIGHT)) return STATUS_OK;
    snprintf(why, 256, "it is what A would give through its token embedding instead of its output matrix");
    return tied_logits(s, s->a, s->got, fits, err);
}

/* Rows of a table counted from another one. */
enum status hypothesis_embedding_offset(struct suspect *s, bool *fits, char *why, struct error *err)
{
    int64_t n = s->trace->n, n_vocab = s->trace->b->hp.n_vocab;
    void *p;
    TRY(mem_alloc(&p, (uint64_t)n, sizeof(int32_t), err));
    int32_t *ids = p;
    enum status st = STATUS_OK;
    for (int k = 1; st == STATUS_OK && !*fits && k <= 8; k++) {
        int shift = k % 2 ? (k + 1) / 2 : -k / 2;
        for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)((s->trace->ids[i] + shift + n_vocab) % n_vocab);
        st = suspect_fits_view(s, &(struct step_view){.model = s->trace->b, .ids = ids}, fits, err);
        snprintf(why, 256, "with the row of id %+d it fits", shift);
    }
    for (int shift = -2; st == STATUS_OK && !*fits && shift <= 2; shift++) {
        if (shift == 0 || s->trace->pos0 + shift < 0) continue;
        st = suspect_fits_view(s, &(struct step_view){.model = s->trace->b, .shift = shift}, fits, err);
        snprintf(why, 256, "with positions counted from %+d it fits", shift);
    }
    free(ids);
    return st;
}

enum status hypothesis_output_offset(struct suspect *s, bool *fits, char *why, struct error *err)
{
    int64_t *from, cols = s->want->cols;
    TRY(suspect_new_order(s, &from, err));
    enum status st = STATUS_OK;
    for (int k = 1; st == STATUS_OK && !*fits && k <= 8; k++) {
        int shift = k % 2 ? (k + 1) / 2 : -k / 2;
        for (int64_t c = 0; c < cols; c++) from[c] = (c + shift + cols) % cols;
        st = suspect_fits_columns(s, from, fits, err);
        snprintf(why, 256, "with the row of id %+d it fits", shift);
    }
    free(from);
    return st;
}
