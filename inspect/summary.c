#include "inspect/summary.h"

#include "base/progress.h"
#include "inspect/summary_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- how the weights are stored --- */

static int by_size_descending(const void *a, const void *b)
{
    const struct summary_type *x = a, *y = b;
    if (x->size_bytes != y->size_bytes) return x->size_bytes < y->size_bytes ? 1 : -1;
    return (x->dtype > y->dtype) - (x->dtype < y->dtype);
}

size_t summary_types(const struct subject *s, struct summary_type use[DTYPE_COUNT])
{
    struct summary_type all[DTYPE_COUNT] = {0};
    for (size_t i = 0; i < s->ckpt->n_tensors; i++) {
        const struct tensor *t = s->ckpt->tensors[i].t;
        all[t->dtype].n_tensors++;
        all[t->dtype].size_bytes += t->size_bytes;
    }
    size_t n = 0;
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (all[t].n_tensors > 0) {
            use[n] = all[t];
            use[n++].dtype = (enum dtype)t;
        }
    qsort(use, n, sizeof *use, by_size_descending);
    return n;
}

double summary_bits(const struct subject *s)
{
    return s->n_elements > 0 ? 8.0 * (double)s->weight_bytes / (double)s->n_elements : 0;
}

/* 134.5 M, 8.03 B */
void summary_count(char dst[32], int64_t n)
{
    static const struct {
        double unit;
        const char *suffix;
    } units[] = {{1e9, " B"}, {1e6, " M"}, {1e3, " K"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if ((double)n >= units[i].unit) {
            snprintf(dst, 32, "%.4g%s", (double)n / units[i].unit, units[i].suffix);
            return;
        }
    snprintf(dst, 32, "%" PRId64, n);
}

void summary_types_short(const struct subject *s, struct buf *out)
{
    struct summary_type use[DTYPE_COUNT];
    size_t n = summary_types(s, use);
    for (size_t i = 0; i < n && i < 3; i++) buf_printf(out, "%s%s", i ? "+" : "", subject_dtype_name(s, use[i].dtype));
    if (n > 3) buf_puts(out, "+...");
}

static void types_text(const struct subject *s, struct buf *out)
{
    char size[32];
    struct summary_type use[DTYPE_COUNT];
    size_t n = summary_types(s, use);
    buf_puts(out, "  types       ");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%s in %zu (%s)", i ? ", " : "", subject_dtype_name(s, use[i].dtype),
                   use[i].n_tensors, format_bytes(size, use[i].size_bytes));
    buf_puts(out, "\n");
}

static void remark(struct buf *out, const char *label, const char *text, const char *code)
{
    buf_printf(out, "  %-11s ", label);
    buf_escape(out, text);
    buf_printf(out, code ? " (%s)\n" : "\n", code);
}

/* What keeps it from being a complete model, and what is odd about it. */
static void remarks_text(const struct subject *s, struct buf *out)
{
    char text[1024];
    if (s->model_error.tensor[0])
        snprintf(text, sizeof text, "tensor '%s': %s", s->model_error.tensor, s->model_error.text);
    else
        snprintf(text, sizeof text, "%s", s->model_error.text);
    if (text[0]) remark(out, s->arch ? "incomplete" : "unknown", text, NULL);
    for (size_t i = 0; i < s->warnings.count; i++)
        remark(out, s->warnings.items[i].note ? "note" : "warning", s->warnings.items[i].text, s->warnings.items[i].code);
    for (size_t i = 0; i < s->ckpt->notes.count; i++) remark(out, "note", s->ckpt->notes.items[i], NULL);
}

void summary_lines(const struct subject *s, struct buf *out)
{
    char size[32], count[32], name[256];
    if (s->model && s->model->name) {
        text_escape(s->model->name, name, sizeof name);
        buf_printf(out, "  name        %s\n", name);
    }
    summary_count(count, s->n_elements);
    buf_printf(out, "  size        %s in %zu %s: %zu tensors, %s weights, %.2f bits per weight\n",
               format_bytes(size, s->size_bytes), s->ckpt->n_files, s->ckpt->n_files == 1 ? "file" : "files",
               s->ckpt->n_tensors, count, summary_bits(s));
    types_text(s, out);
    summary_roles_text(s, out);
    if (s->model) summary_model_text(s->model, out);
    if (s->arch) summary_tokenizer_text(s, out);
    summary_origin_text(s, out);
    remarks_text(s, out);
}

void summary_text(const struct subject *s, struct buf *out)
{
    char name[256];
    text_escape(s->path, name, sizeof name);
    buf_printf(out, "%s: %s (%s%s%s)\n", name, s->arch ? s->arch->family : "no known model family",
               s->ckpt->format, s->arch ? "; recognised by " : "", s->arch ? s->why : "");
    summary_lines(s, out);
}

void summary_json(const struct subject *s, struct jwriter *w)
{
    jw_string(w, "path", s->path);
    jw_string(w, "container", s->ckpt->format);
    jw_string(w, "family", s->arch ? s->arch->family : NULL);
    jw_string(w, "recognised_by", s->arch ? s->why : NULL);
    jw_string(w, "name", s->model ? s->model->name : NULL);
    jw_uint(w, "files", s->ckpt->n_files);
    jw_uint(w, "size_bytes", s->size_bytes);
    jw_uint(w, "n_tensors", s->ckpt->n_tensors);
    jw_int(w, "n_weights", s->n_elements);
    jw_double(w, "bits_per_weight", summary_bits(s));
    struct summary_type use[DTYPE_COUNT];
    size_t n = summary_types(s, use);
    jw_begin_array(w, "types");
    for (size_t i = 0; i < n; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "dtype", subject_dtype_name(s, use[i].dtype));
        jw_uint(w, "tensors", use[i].n_tensors);
        jw_uint(w, "size_bytes", use[i].size_bytes);
        jw_end_object(w);
    }
    jw_end_array(w);
    summary_roles_json(s, w);
    if (s->model) summary_model_json(s->model, w);
    if (s->arch) summary_tokenizer_json(s, w);
    summary_origin_json(s, w);
    jw_string(w, "incomplete", s->model_error.text[0] ? s->model_error.text : NULL);
    jw_begin_array(w, "warnings");
    for (size_t i = 0; i < s->warnings.count; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "code", s->warnings.items[i].code);
        jw_string(w, "text", s->warnings.items[i].text);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_begin_array(w, "notes");
    for (size_t i = 0; i < s->ckpt->notes.count; i++) jw_string(w, NULL, s->ckpt->notes.items[i]);
    jw_end_array(w);
}
