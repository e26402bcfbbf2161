#include "inspect/html_parts.h"

#include "base/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- columns ---- */

struct cell {
    double value; /* to sort by */
    char text[200];
};
/* False: the cell is empty. */
typedef bool column_fn(const struct html_report *r, size_t i, struct cell *c);

static bool number(struct cell *c, const char *format, double v)
{
    c->value = v;
    snprintf(c->text, sizeof c->text, format, v);
    return true;
}

static const struct tensor *tensor_of(const struct html_report *r, size_t i)
{
    return r->s.ckpt->tensors[i].t;
}

static bool put_shape(const struct html_report *r, size_t i, struct cell *c)
{
    const struct tensor *t = tensor_of(r, i);
    size_t n = 0;
    c->value = (double)t->n_elements;
    snprintf(c->text, sizeof c->text, "scalar");
    for (int k = 0; k < t->n_dims; k++)
        n += (size_t)snprintf(c->text + n, sizeof c->text - n, "%s%" PRId64, k ? " × " : "", t->shape[k]);
    return true;
}

static bool put_bytes(const struct html_report *r, size_t i, struct cell *c)
{
    char size[32];
    c->value = (double)tensor_of(r, i)->size_bytes;
    snprintf(c->text, sizeof c->text, "%s", format_bytes(size, tensor_of(r, i)->size_bytes));
    return true;
}

static bool put_bits(const struct html_report *r, size_t i, struct cell *c)
{
    const struct tensor *t = tensor_of(r, i);
    return t->n_elements > 0 && number(c, "%.2f", 8 * (double)t->size_bytes / (double)t->n_elements);
}

static const struct tensor_stats *stats_of(const struct html_report *r, size_t i)
{
    return r->tensors[i].has_stats && r->tensors[i].stats.m.n > 0 ? &r->tensors[i].stats : NULL;
}
#define STAT(name, format, expression)                                                                       \
    static bool name(const struct html_report *r, size_t i, struct cell *c)                                  \
    {                                                                                                        \
        const struct tensor_stats *s = stats_of(r, i);                                                       \
        return s && number(c, format, expression);                                                           \
    }
STAT(put_min, "%.4g", s->m.min)
STAT(put_max, "%.4g", s->m.max)
STAT(put_mean, "%.3g", s->m.mean)
STAT(put_std, "%.4g", s->std)
STAT(put_largest, "%.4g", s->abs_max)
STAT(put_kurtosis, "%.2f", s->kurtosis)
STAT(put_zeros, "%.0f", (double)s->m.n_zero)

static bool put_broken(const struct html_report *r, size_t i, struct cell *c)
{
    return r->tensors[i].has_stats && number(c, "%.0f", (double)(r->tensors[i].stats.m.n_nan + r->tensors[i].stats.m.n_inf));
}

static bool put_outlier(const struct html_report *r, size_t i, struct cell *c)
{
    const struct tensor_stats *s = stats_of(r, i);
    if (!s || (s->rows.n_channels == 0 && s->cols.n_channels == 0)) return false;
    return number(c, "%.2f", fmax(s->rows.worst_ratio, s->cols.worst_ratio));
}

static bool put_error(const struct html_report *r, size_t i, struct cell *c)
{
    return r->tensors[i].error.known && number(c, "%.3g", r->tensors[i].error.rel);
}

static bool put_error_max(const struct html_report *r, size_t i, struct cell *c)
{
    return r->tensors[i].error.known && number(c, "%.3g", r->tensors[i].error.max_abs);
}

static const struct {
    const char *head;
    column_fn *put;
    bool map;   /* worth a picture of layers and roles */
    bool other; /* needs the other model */
} columns[] = {
    {"shape", put_shape, false, false},       {"size", put_bytes, false, false},       {"bits", put_bits, true, false},
    {"error", put_error, true, true},         {"largest error", put_error_max, true, true}, {"min", put_min, false, false},
    {"max", put_max, false, false},           {"mean", put_mean, false, false},        {"std", put_std, true, false},
    {"largest", put_largest, true, false},    {"kurtosis", put_kurtosis, true, false}, {"outlier", put_outlier, true, false},
    {"zeros", put_zeros, false, false},       {"NaN, Inf", put_broken, false, false},
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

/* ---- the table ---- */

static void put_attribute(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, " data-%s=\"", name);
    html_text(out, value);
    buf_puts(out, "\"");
}

static void put_td(struct buf *out, const char *text)
{
    buf_puts(out, "<td>");
    html_text(out, text);
    buf_puts(out, "</td>");
}

static void put_cell(const struct html_report *r, size_t i, size_t k, struct buf *out)
{
    struct cell c = {0};
    if (!columns[k].put(r, i, &c)) {
        buf_puts(out, "<td class=\"n\" data-v=\"\"></td>");
        return;
    }
    bool odd = columns[k].put == put_broken && c.value > 0;
    if (isinf(c.value))
        buf_printf(out, "<td class=\"n\" data-v=\"%sInfinity\">", c.value < 0 ? "-" : "");
    else
        buf_printf(out, odd ? "<td class=\"n odd\" data-v=\"%.17g\">" : "<td class=\"n\" data-v=\"%.17g\">", c.value);
    html_text(out, c.text);
    buf_puts(out, "</td>");
}

static void put_row(const struct html_report *r, size_t i, struct buf *out)
{
    const struct tensor *t = tensor_of(r, i);
    const struct tensor_role *role = r->roles.n ? &r->roles.items[i] : NULL;
    char name[64] = "", layer[32];
    if (role && role->role != ROLE_COUNT) tensor_role_name(role, name);
    buf_puts(out, "<tr");
    put_attribute(out, "type", subject_dtype_name(&r->s, t->dtype));
    if (name[0]) put_attribute(out, "role", name);
    if (name[0]) buf_printf(out, " data-rank=\"%d\"", (int)role->role * PART_COUNT + (int)role->part);
    if (name[0] && role->layer >= 0) {
        snprintf(layer, sizeof layer, "%" PRId64, role->layer);
        put_attribute(out, "layer", layer);
    }
    buf_puts(out, "><th scope=\"row\">");
    html_text(out, t->name);
    buf_puts(out, "</th>");
    if (r->roles.n) put_td(out, name);
    put_td(out, subject_dtype_name(&r->s, t->dtype));
    if (r->has_other) put_td(out, r->tensors[i].error.known ? r->tensors[i].error.dtype : "");
    for (size_t k = 0; k < N_COLUMNS; k++)
        if (!columns[k].other || r->has_other) put_cell(r, i, k, out);
    buf_puts(out, "</tr>\n");
}

void html_put_tensors(const struct html_report *r, struct buf *out)
{
    buf_puts(out, "<table id=\"tensor-table\">\n<thead><tr><th scope=\"col\">tensor</th>");
    if (r->roles.n) buf_puts(out, "<th scope=\"col\">role</th>");
    buf_puts(out, "<th scope=\"col\">type</th>");
    if (r->has_other) buf_puts(out, "<th scope=\"col\">type B</th>");
    for (size_t k = 0; k < N_COLUMNS; k++)
        if (!columns[k].other || r->has_other)
            buf_printf(out, "<th scope=\"col\" class=\"n\"%s>%s</th>", columns[k].map ? " data-map" : "", columns[k].head);
    buf_puts(out, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < r->s.ckpt->n_tensors; i++) put_row(r, i, out);
    buf_puts(out, "</tbody>\n</table>\n");
}
