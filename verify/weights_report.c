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

void weight_text(const struct weight_result *r, struct buf *out)
{
    char name[256];
    text_escape(r->name, name, sizeof name);
    buf_printf(out, "  %-16s %s", names[r->verdict], name);
    if (r->is_part) buf_printf(out, " rows %" PRId64 " to %" PRId64, r->row, r->row + r->n_rows - 1);
    if (r->dtype_a && r->dtype_b) buf_printf(out, " (%s, %s)", r->dtype_a, r->dtype_b);
    if (r->verdict == WEIGHT_DIFFERENT || r->verdict == WEIGHT_QUANTIZED)
        buf_printf(out, ": max |Δ| %.3g, rms %.3g, %.3g of the original's", r->max_abs_diff, r->rms_diff, r->rel);
    if (r->limit > 0)
        buf_printf(out, "; row %" PRId64 " is off by %.3g (%.3g explained), rows have %.3g to %.3g left (%.3g to %.3g)", r->worst_row, r->worst_rel,
                   r->limit, r->gain_min, r->gain_max, r->gain_lo, r->gain_hi);
    if (r->whole_rows)
        buf_printf(out, ", their least cosine is %.3g (%.3g), they fit times %.3g to %.3g (%.3g to %.3g)", r->cosine_min, r->cosine_lo, r->factor_min,
                   r->factor_max, r->factor_lo, r->factor_hi);
    if (r->verdict == WEIGHT_DIFFERENT)
        buf_printf(out, "; %" PRId64 " of %" PRId64 " rows, the first is %" PRId64, r->n_rows_different,
                   r->n_rows, r->first_row);
    buf_puts(out, "\n");
}

/* What differs, line by line; of the rest how many there are, and the worst of those that are quantized. */
void weights_text(const struct weights_report *r, const char *path_b, struct buf *out)
{
    size_t count[WEIGHT_EXTRA + 1] = {0};
    const struct weight_result *nearest = weights_nearest(r);
    for (size_t i = 0; i < r->n; i++) {
        count[r->items[i].verdict]++;
    }
    buf_printf(out, "%s: %zu tensors of %s", r->n_different == 0 ? "agree" : "differ", r->n, path_b);
    for (int v = 0; v <= WEIGHT_EXTRA; v++)
        if (count[v] > 0) buf_printf(out, ", %zu %s", count[v], names[v]);
    buf_puts(out, "\n");
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].verdict >= WEIGHT_DIFFERENT) weight_text(&r->items[i], out);
    if (!nearest) return;
    buf_puts(out, "  of the quantized ones this comes closest to what its type explains:\n");
    weight_text(nearest, out);
}

void weight_json(const struct weight_result *r, const char *key, struct jwriter *w)
{
    jw_begin_object(w, key);
    jw_string(w, "name", r->name);
    jw_string(w, "source", r->source);
    jw_string(w, "verdict", names[r->verdict]);
    jw_string(w, "dtype_a", r->dtype_a);
    jw_string(w, "dtype_b", r->dtype_b);
    jw_double(w, "max_abs_diff", r->max_abs_diff);
    jw_double(w, "rms_diff", r->rms_diff);
    jw_double(w, "rel", r->rel);
    jw_int(w, "rows", r->n_rows);
    if (r->is_part) jw_int(w, "from_row", r->row);
    if (r->limit > 0) {
        jw_int(w, "worst_row", r->worst_row);
        jw_double(w, "worst_row_rel", r->worst_rel);
        jw_double(w, "row_limit", r->limit);
        jw_double(w, "row_gain_min", r->gain_min);
        jw_double(w, "row_gain_max", r->gain_max);
        jw_double(w, "row_gain_least", r->gain_lo);
        jw_double(w, "row_gain_most", r->gain_hi);
    }
    if (r->whole_rows) {
        jw_double(w, "row_cosine_min", r->cosine_min);
        jw_double(w, "row_cosine_least", r->cosine_lo);
        jw_double(w, "row_factor_min", r->factor_min);
        jw_double(w, "row_factor_max", r->factor_max);
        jw_double(w, "row_factor_least", r->factor_lo);
        jw_double(w, "row_factor_most", r->factor_hi);
    }
    if (r->verdict == WEIGHT_DIFFERENT) {
        jw_int(w, "rows_different", r->n_rows_different);
        jw_int(w, "first_row", r->first_row);
    }
    jw_end_object(w);
}

void weights_json(const struct weights_report *r, struct jwriter *w)
{
    jw_bool(w, "agree", r->n_different == 0);
    jw_begin_array(w, "tensors");
    for (size_t i = 0; i < r->n; i++) weight_json(&r->items[i], NULL, w);
    jw_end_array(w);
}
