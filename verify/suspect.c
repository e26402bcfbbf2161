#include "verify/suspect.h"

#include "verify/trace_limit.h"

#include <stdlib.h>
#include <string.h>

size_t suspect_number_bytes(const struct suspect *s)
{
    return s->trace->precision == PRECISION_F64 ? sizeof(double) : sizeof(float);
}

double suspect_get(const struct suspect *s, const void *a, int64_t i)
{
    return s->trace->precision == PRECISION_F64 ? ((const double *)a)[i] : (double)((const float *)a)[i];
}

void suspect_put(const struct suspect *s, void *a, int64_t i, double v)
{
    if (s->trace->precision == PRECISION_F64)
        ((double *)a)[i] = v;
    else
        ((float *)a)[i] = (float)v;
}

bool suspect_is_tap(const struct suspect *s, const char *names)
{
    size_t n = strlen(s->tap->name);
    for (const char *p = names; (p = strstr(p, s->tap->name)) != NULL; p += n)
        if ((p == names || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) return true;
    return false;
}

const struct kept_tap *suspect_kept(const struct suspect *s, const char *name)
{
    for (size_t i = 0; i < s->n_kept; i++)
        if (strcmp(s->kept[i].name, name) == 0) return &s->kept[i];
    return NULL;
}

bool suspect_near(const struct suspect *s, const void *want, const void *data)
{
    struct tap_distance d;
    struct error unheard; /* without memory no repair fits */
    if (tap_compare(&d, s->trace->precision, want, data, s->want->rows, s->want->cols, &unheard) != STATUS_OK) return false;
    return trace_within(&d, s->tap->limit, s->tap->rel_limit);
}

/* Takes from each column of data what it differs by from `want` at every position. */
void suspect_take_offset(const struct suspect *s, const void *want, void *data)
{
    int64_t rows = s->want->rows, cols = s->want->cols;
    for (int64_t c = 0; c < cols; c++) {
        double sum = 0;
        for (int64_t t = 0; t < rows; t++) sum += suspect_get(s, data, t * cols + c) - suspect_get(s, want, t * cols + c);
        for (int64_t t = 0; t < rows; t++)
            suspect_put(s, data, t * cols + c, suspect_get(s, data, t * cols + c) - sum / (double)rows);
    }
}

bool suspect_has_bias(const struct model *m, const struct suspect *s)
{
    if (s->role != ROLE_COUNT && model_weight(m, s->role, s->tap->layer, PART_BIAS)) return true;
    return suspect_is_tap(s, "q k v") && (model_weight(m, ROLE_ATTN_QKV, s->tap->layer, PART_BIAS) ||
                                  model_weight(m, ROLE_ATTN_Q, s->tap->layer, PART_BIAS));
}

/* Do these numbers stand where `want` says, as far as the limit goes? A weight may be repaired while its bias stays as it was: an offset that is
 * the same at every position is passed over where there is a bias. Changes data. */
bool suspect_fits_like(const struct suspect *s, const void *want, void *data)
{
    if (suspect_near(s, want, data)) return true;
    if (s->want->rows < 8 || s->only_offset || (!suspect_has_bias(s->trace->a, s) && !suspect_has_bias(s->trace->b, s)))
        return false;
    suspect_take_offset(s, want, data);
    return suspect_near(s, want, data);
}

bool suspect_fits(const struct suspect *s, void *data)
{
    return suspect_fits_like(s, s->want->data, data);
}

enum status suspect_fits_view(struct suspect *s, const struct step_view *v, bool *fits, struct error *err)
{
    struct error mine = {0};
    void *data;
    TRY(mem_alloc(&data, (uint64_t)(s->want->rows * s->want->cols), suspect_number_bytes(s), err));
    bool seen = false;
    enum status st = trace_again(s, v, data, &seen, &mine);
    *fits = st == STATUS_OK && seen && suspect_fits(s, data); /* what cannot be computed is no explanation */
    free(data);
    if (st != STATUS_NOMEM && st != STATUS_IO) return STATUS_OK;
    *err = mine;
    return st;
}

/* Columns of B's result in another order: from[c] is the column that column c of the repaired result is. */
enum status suspect_fits_columns(const struct suspect *s, const int64_t *from, bool *fits, struct error *err)
{
    void *data;
    int64_t rows = s->want->rows, cols = s->want->cols;
    TRY(mem_alloc(&data, (uint64_t)(rows * cols), suspect_number_bytes(s), err));
    for (int64_t t = 0; t < rows; t++)
        for (int64_t c = 0; c < cols; c++) suspect_put(s, data, t * cols + c, suspect_get(s, s->got, t * cols + from[c]));
    *fits = suspect_fits(s, data);
    free(data);
    return STATUS_OK;
}

enum status suspect_new_order(const struct suspect *s, int64_t **from, struct error *err)
{
    void *p;
    TRY(mem_alloc(&p, (uint64_t)s->want->cols, sizeof **from, err));
    *from = p;
    return STATUS_OK;
}
