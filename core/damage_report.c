#include "core/damage_report.h"

#include <inttypes.h>

enum { WORST = 3 };

/* Row of the tensor and block inside it. */
static void place(const struct plan_tensor *t, int64_t block, int64_t *row, int64_t *in_row)
{
    int64_t per_row = t->spec.cols / dtype_info(t->to)->block_len;
    *row = per_row > 0 ? block / per_row : 0;
    *in_row = per_row > 0 ? block % per_row : 0;
}

void damage_table(const struct plan *p, struct buf *b)
{
    bool any = false;
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct plan_tensor *t = &p->tensors[i];
        if (!t->damage) continue;
        if (!any)
            buf_printf(b, "%-34s %-8s %10s %10s %10s  %s\n", "tensor", "type", "RMSE", "relative", "1-cosine", "worst block: RMSE, row, block");
        any = true;
        struct damage_figures f = damage_figures(t->damage);
        char name[256];
        int64_t row, block;
        place(t, f.worst_block, &row, &block);
        text_escape(t->name, name, sizeof name);
        buf_printf(b, "%-34s %-8s %10.3e %10.3e %10.3e  %.3e, %" PRId64 ", %" PRId64 "\n", name, dtype_info(t->to)->ggml_name, f.rmse, f.relative,
                   f.one_minus_cos, f.worst_rmse, row, block);
    }
}

/* Indices of the tensors with the largest relative errors, largest first, earlier ones before equal ones; how many there are in *n_all */
static size_t find_worst(const struct plan *p, size_t worst[WORST], double relative[WORST], size_t *n_all)
{
    size_t n = 0;
    *n_all = 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        if (!p->tensors[i].damage) continue;
        double r = damage_figures(p->tensors[i].damage).relative;
        size_t at = n;
        while (at > 0 && relative[at - 1] < r) at--;
        *n_all += 1;
        if (at == WORST) continue;
        n += n < WORST;
        for (size_t k = n - 1; k > at; k--) {
            worst[k] = worst[k - 1];
            relative[k] = relative[k - 1];
        }
        worst[at] = i;
        relative[at] = r;
    }
    return n;
}

void damage_worst(const struct plan *p, struct buf *b)
{
    size_t worst[WORST], n_all;
    double relative[WORST];
    size_t n = find_worst(p, worst, relative, &n_all);
    for (size_t k = 0; k < n; k++) {
        const struct plan_tensor *t = &p->tensors[worst[k]];
        char name[256];
        text_escape(t->name, name, sizeof name);
        buf_printf(b, "%s%s (%s) %.2g %%", k ? ", " : "largest relative errors: ", name, dtype_info(t->to)->ggml_name, 100 * relative[k]);
    }
    if (n_all > n) buf_printf(b, "; --damage shows all %zu", n_all);
    if (n > 0) buf_puts(b, "\n");
}

void damage_json(const struct plan *p, struct jwriter *w)
{
    jw_begin_array(w, "damage");
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct plan_tensor *t = &p->tensors[i];
        if (!t->damage) continue;
        struct damage_figures f = damage_figures(t->damage);
        int64_t row, block;
        place(t, f.worst_block, &row, &block);
        jw_begin_object(w, NULL);
        jw_string(w, "tensor", t->name);
        jw_string(w, "dtype", dtype_info(t->to)->ggml_name);
        jw_int(w, "n", f.n);
        jw_bool(w, "imatrix", t->weights != NULL);
        jw_double(w, "rmse", f.rmse);
        jw_double(w, "relative", f.relative);
        jw_double(w, "cosine", 1 - f.one_minus_cos);
        jw_double(w, "one_minus_cosine", f.one_minus_cos);
        jw_begin_object(w, "worst");
        jw_int(w, "row", row);
        jw_int(w, "block", block);
        jw_double(w, "rmse", f.worst_rmse);
        jw_end_object(w);
        jw_end_object(w);
    }
    jw_end_array(w);
}
