#include "verify/weights.h"

#include "base/options.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const char *const names[] = {
    [WEIGHT_EXACT] = "exact",         [WEIGHT_CAST] = "exact after cast", [WEIGHT_QUANTIZED] = "quantized",
    [WEIGHT_DIFFERENT] = "different", [WEIGHT_MISSING] = "missing",       [WEIGHT_EXTRA] = "extra",
};

const char *weight_verdict_name(enum weight_verdict v)
{
    return names[v];
}

static void line(const struct weight_result *r, struct buf *out)
{
    char name[256];
    text_escape(r->name, name, sizeof name);
    buf_printf(out, "  %-16s %s", names[r->verdict], name);
    if (r->dtype_a && r->dtype_b) buf_printf(out, " (%s, %s)", r->dtype_a, r->dtype_b);
    if (r->verdict == WEIGHT_DIFFERENT || r->verdict == WEIGHT_QUANTIZED)
        buf_printf(out, ": max |Δ| %.3g, rms %.3g, %.3g of A's", r->max_abs_diff, r->rms_diff, r->rel);
    if (r->verdict == WEIGHT_DIFFERENT)
        buf_printf(out, "; %" PRId64 " of %" PRId64 " rows, the first is %" PRId64, r->n_rows_different,
                   r->n_rows, r->first_row);
    buf_puts(out, "\n");
}

/* What differs, line by line; of the rest how many there are, and the worst of those that are quantized. */
void weights_text(const struct weights_report *r, const char *path_b, struct buf *out)
{
    size_t count[WEIGHT_EXTRA + 1] = {0};
    const struct weight_result *worst = NULL;
    for (size_t i = 0; i < r->n; i++) {
        const struct weight_result *w = &r->items[i];
        count[w->verdict]++;
        if (w->verdict == WEIGHT_QUANTIZED && (!worst || w->rel > worst->rel)) worst = w;
    }
    buf_printf(out, "%s: %zu tensors of %s", r->n_different == 0 ? "agree" : "differ", r->n, path_b);
    for (int v = 0; v <= WEIGHT_EXTRA; v++)
        if (count[v] > 0) buf_printf(out, ", %zu %s", count[v], names[v]);
    buf_puts(out, "\n");
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].verdict >= WEIGHT_DIFFERENT) line(&r->items[i], out);
    if (!worst) return;
    buf_puts(out, "  of the quantized ones this is furthest off:\n");
    line(worst, out);
}

void weights_json(const struct weights_report *r, struct jwriter *w)
{
    jw_bool(w, "agree", r->n_different == 0);
    jw_begin_array(w, "tensors");
    for (size_t i = 0; i < r->n; i++) {
        const struct weight_result *t = &r->items[i];
        jw_begin_object(w, NULL);
        jw_string(w, "name", t->name);
        jw_string(w, "source", t->source);
        jw_string(w, "verdict", names[t->verdict]);
        jw_string(w, "dtype_a", t->dtype_a);
        jw_string(w, "dtype_b", t->dtype_b);
        jw_double(w, "max_abs_diff", t->max_abs_diff);
        jw_double(w, "rms_diff", t->rms_diff);
        jw_double(w, "rel", t->rel);
        if (t->verdict == WEIGHT_DIFFERENT) {
            jw_int(w, "rows", t->n_rows);
            jw_int(w, "rows_different", t->n_rows_different);
            jw_int(w, "first_row", t->first_row);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
}
