#include "verify/trace_report.h"

#include <inttypes.h>

static void put_where(const struct trace_tap *t, struct buf *out)
{
    if (t->layer >= 0)
        buf_printf(out, "'%s' of layer %" PRId64, t->name, t->layer);
    else
        buf_printf(out, "'%s'", t->name);
}

void trace_text(const struct trace_result *t, struct buf *out)
{
    buf_puts(out, "  trace       ");
    if (!t->found) {
        buf_printf(out, "%" PRId64 " operations, each within its limit; closest to it: ", t->n_taps);
        put_where(&t->nearest, out);
        buf_printf(out, ", %.2g of %.2g\n", t->nearest.distance.worst, t->nearest.limit);
        return;
    }
    put_where(&t->first, out);
    buf_printf(out, " is the first that is off: %.2g (limit %.2g), worst column %" PRId64 " %.2g (limit %.2g)", t->first.distance.rel,
               t->first.rel_limit, t->first.distance.worst_col, t->first.distance.worst, t->first.limit);
    if (t->pos0 > 0) buf_printf(out, ", at positions from %" PRId64 " on", t->pos0);
    buf_puts(out, "\n");
    if (t->tensor[0]) buf_printf(out, "  tensor      %s\n", t->tensor);
    buf_printf(out, "  cause       %s: %s\n", t->cause, t->explanation);
}

static void tap_json(const char *key, const struct trace_tap *t, struct jwriter *w)
{
    jw_begin_object(w, key);
    jw_string(w, "tap", t->name);
    jw_int(w, "layer", t->layer);
    jw_double(w, "rel", t->distance.rel);
    jw_double(w, "worst_rel", t->distance.worst);
    jw_int(w, "worst_column", t->distance.worst_col);
    jw_double(w, "limit", t->limit);
    jw_double(w, "rel_limit", t->rel_limit);
    jw_end_object(w);
}

void trace_json(const struct trace_result *t, struct jwriter *w)
{
    if (t->found) {
        tap_json("first", &t->first, w);
        jw_string(w, "tensor", t->tensor[0] ? t->tensor : NULL);
        jw_string(w, "cause", t->cause);
        jw_string(w, "explanation", t->explanation);
    } else {
        jw_null(w, "first");
        jw_null(w, "tensor");
        jw_null(w, "cause");
        if (t->n_taps > 0) tap_json("nearest", &t->nearest, w);
    }
    jw_int(w, "trace_operations", t->n_taps);
    jw_int(w, "trace_position", t->pos0);
}
