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
    if (lines.failed) out->failed = true; /* and the last line may have no end */
    for (const char *at = lines.data, *end; at && (end = strchr(at, '\n'));) {
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

/* All tensors of one role and part together */
struct role_use {
    size_t n_tensors;
    int64_t n_elements;
    uint64_t size_bytes;
    struct moments m;
};

static void add_use(struct role_use *u, const struct html_report *r, size_t i)
{
    const struct tensor *t = r->s.model->ckpt->tensors[i].t; /* packed integers are counted there */
    u->n_tensors++;
    u->n_elements += t->n_elements;
    u->size_bytes += t->size_bytes;
    if (r->tensors[i].has_stats) moments_merge(&u->m, &r->tensors[i].stats.m);
}

static void put_use(const struct role_use *u, const char *name, struct buf *out)
{
    char size[32];
    buf_puts(out, "<tr><th scope=\"row\">");
    html_text(out, name);
    buf_printf(out, "</th><td class=\"n\">%zu</td><td class=\"n\">%" PRId64 "</td><td class=\"n\">%s</td><td class=\"n\">%.2f</td>", u->n_tensors,
               u->n_elements, format_bytes(size, u->size_bytes), u->n_elements ? 8 * (double)u->size_bytes / (double)u->n_elements : 0.0);
    if (u->m.n > 0)
        buf_printf(out, "<td class=\"n\">%.4g</td><td class=\"n\">%.4g</td><td class=\"n\">%.4g</td><td class=\"n\">%.2f</td></tr>\n", u->m.min, u->m.max,
                   moments_std(&u->m), moments_kurtosis(&u->m));
    else
        buf_puts(out, "<td></td><td></td><td></td><td></td></tr>\n");
}

void html_put_roles(const struct html_report *r, struct buf *out)
{
    static const char *const heads[] = {"tensors", "weights", "size", "bits", "min", "max", "std", "kurtosis"};
    struct role_use use[ROLE_COUNT + 1][PART_COUNT] = {0};
    char name[64];
    for (size_t i = 0; i < r->roles.n; i++) add_use(&use[r->roles.items[i].role][r->roles.items[i].part], r, i);
    buf_puts(out, "<table>\n<thead><tr><th scope=\"col\">role</th>");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) buf_printf(out, "<th scope=\"col\" class=\"n\">%s</th>", heads[i]);
    buf_puts(out, "</tr></thead>\n<tbody>\n");
    for (int role = 0; role <= ROLE_COUNT; role++)
        for (int part = 0; part < PART_COUNT; part++) {
            const struct tensor_role which = {(enum role)role, (enum part)part, -1};
            if (use[role][part].n_tensors > 0) put_use(&use[role][part], role == ROLE_COUNT ? "other" : tensor_role_name(&which, name), out);
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
