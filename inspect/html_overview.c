#include "inspect/html_parts.h"

#include "base/progress.h"
#include "inspect/listing.h"
#include "inspect/summary.h"
#include "inspect/summary_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_FROM = 2, TEXT_FROM = 14, N_COLORS = 8 };

/* ---- the one screen ---- */

static void put_line(const char *line, size_t n, struct buf *out)
{
    char label[TEXT_FROM], *text = strndup(line + TEXT_FROM, n - TEXT_FROM);
    snprintf(label, sizeof label, "%.*s", TEXT_FROM - LABEL_FROM, line + LABEL_FROM);
    for (size_t k = strlen(label); k > 0 && label[k - 1] == ' '; k--) label[k - 1] = '\0';
    if (!text) {
        out->failed = true;
        return;
    }
    bool warning = strcmp(label, "warning") == 0 || strcmp(label, "incomplete") == 0;
    buf_puts(out, "<dt>");
    html_text(out, label);
    buf_puts(out, warning ? "</dt><dd class=\"warning\">" : "</dt><dd>");
    html_text(out, text);
    buf_puts(out, "</dd>\n");
    free(text);
}

void html_put_overview(const struct html_report *r, struct buf *out)
{
    struct buf lines = {0};
    summary_lines(&r->s, &lines);
    if (lines.failed) out->failed = true;
    for (const char *at = lines.data; at && *at;) {
        const char *end = strchr(at, '\n');
        if (end - at > TEXT_FROM) put_line(at, (size_t)(end - at), out);
        at = end + 1;
    }
    buf_clear(&lines);
}

/* ---- types ---- */

static int color_of(size_t i)
{
    return i < N_COLORS ? (int)i : N_COLORS - 1;
}

void html_put_types(const struct html_report *r, struct buf *out)
{
    struct summary_type use[DTYPE_COUNT];
    size_t n = summary_types(&r->s, use);
    char size[32];
    double all = r->s.weight_bytes ? (double)r->s.weight_bytes : 1;
    buf_puts(out, "<div class=\"stack\" aria-hidden=\"true\">");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "<span class=\"k%d\" style=\"width:%.3f%%\"></span>", color_of(i), 100 * (double)use[i].size_bytes / all);
    buf_puts(out, "</div>\n<ul class=\"legend\">\n");
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "<li><i class=\"k%d\"></i>", color_of(i));
        html_text(out, subject_dtype_name(&r->s, use[i].dtype));
        buf_printf(out, ": %s in %zu tensor%s (%.1f %%)</li>\n", format_bytes(size, use[i].size_bytes), use[i].n_tensors,
                   use[i].n_tensors == 1 ? "" : "s", 100 * (double)use[i].size_bytes / all);
    }
    buf_puts(out, "</ul>\n");
}

/* ---- roles ---- */

void html_put_roles(const struct html_report *r, struct buf *out)
{
    struct summary_kind use[SUMMARY_KINDS];
    size_t n = summary_kinds(&r->s, use);
    char size[32];
    buf_puts(out, "<table>\n<thead><tr><th scope=\"col\">role</th><th scope=\"col\" class=\"n\">tensors</th><th scope=\"col\" class=\"n\">weights</th>"
                  "<th scope=\"col\" class=\"n\">size</th><th scope=\"col\" class=\"n\">bits per weight</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, "<tr><th scope=\"row\">");
        html_text(out, summary_kind_name(use[i].kind));
        buf_printf(out, "</th><td class=\"n\">%zu</td><td class=\"n\">%" PRId64 "</td><td class=\"n\">%s</td><td class=\"n\">%.2f</td></tr>\n",
                   use[i].n_tensors, use[i].n_elements, format_bytes(size, use[i].size_bytes), summary_kind_bits(&use[i]));
    }
    buf_puts(out, "</tbody>\n</table>\n");
}

/* ---- metadata ---- */

static const struct jvalue *config(const struct html_report *r)
{
    return r->s.config ? json_root(r->s.config) : NULL;
}

size_t html_count_metadata(const struct html_report *r)
{
    size_t n = 0;
    for (size_t f = 0; f < r->s.ckpt->n_files; f++) n += r->s.ckpt->files[f]->n_kvs;
    return n + (config(r) ? json_count(config(r)) : 0);
}

void html_put_metadata_count(const struct html_report *r, struct buf *out)
{
    buf_printf(out, "%zu", html_count_metadata(r));
}

static void row(struct buf *out, const char *key, const char *type, const struct buf *value)
{
    buf_puts(out, "<tr><th scope=\"row\">");
    html_text(out, key);
    buf_puts(out, "</th><td>");
    html_text(out, type);
    buf_puts(out, "</td><td class=\"long\">");
    html_text(out, value->data ? value->data : "");
    buf_puts(out, "</td></tr>\n");
}

void html_put_metadata(const struct html_report *r, struct buf *out)
{
    char type[32];
    buf_puts(out, "<table>\n<thead><tr><th scope=\"col\">key</th><th scope=\"col\">type</th><th scope=\"col\">value</th></tr></thead>\n<tbody>\n");
    for (const struct jvalue *v = config(r) ? json_first(config(r)) : NULL; v; v = json_next(v)) {
        struct buf value = {0};
        json_print(v, &value);
        row(out, json_key(v), "config.json", &value);
        buf_clear(&value);
    }
    for (size_t f = 0; f < r->s.ckpt->n_files; f++)
        for (size_t i = 0; i < r->s.ckpt->files[f]->n_kvs; i++) {
            const struct kv *kv = &r->s.ckpt->files[f]->kvs[i];
            struct buf value = {0};
            listing_value_text(kv, false, &value);
            listing_type_text(kv, type);
            row(out, kv->key, type, &value);
            buf_clear(&value);
        }
    buf_puts(out, "</tbody>\n</table>\n");
}
