#include "inspect/html_report.h"

#include "base/progress.h"
#include "inspect/html_parts.h"

#include <stdio.h>
#include <string.h>

void html_text(struct buf *out, const char *text)
{
    static const char special[] = "&<>\"'";
    static const char *const as[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    char line[4096];
    text_escape(text, line, sizeof line); /* control characters and bytes that are no UTF-8 */
    for (const char *p = line; *p;) {
        size_t n = strcspn(p, special);
        buf_append(out, p, n);
        p += n;
        if (!*p) break;
        buf_puts(out, as[strchr(special, *p) - special]);
        p++;
    }
    if (strlen(line) + 4 >= sizeof line) buf_puts(out, "…"); /* cut, or nearly: an escape takes four characters */
}

/* ---- names ---- */

static void put_file_name(const struct subject *s, struct buf *out)
{
    char name[256];
    size_t n = strlen(s->path), first;
    while (n > 1 && s->path[n - 1] == '/') n--;
    for (first = n; first > 0 && s->path[first - 1] != '/'; first--) {}
    snprintf(name, sizeof name, "%.*s", (int)(n - first), s->path + first);
    html_text(out, name);
}

static void put_title(const struct html_report *r, struct buf *out)
{
    put_file_name(&r->s, out);
    if (!r->has_other) return;
    buf_puts(out, " and ");
    put_file_name(&r->other, out);
}

static void put_lead(const struct html_report *r, struct buf *out)
{
    const struct subject *s = &r->s;
    html_text(out, s->arch ? s->arch->family : "no known model family");
    buf_printf(out, ", %s", s->ckpt->format);
    if (!s->arch) return;
    buf_puts(out, "; recognised by ");
    html_text(out, s->why);
}

static void put_generator(const struct html_report *r, struct buf *out)
{
    (void)r;
    buf_printf(out, "lathe-inspect %s", lathe_version);
}

static void put_style(const struct html_report *r, struct buf *out)
{
    (void)r;
    buf_puts(out, html_style);
}

static void put_script(const struct html_report *r, struct buf *out)
{
    (void)r;
    buf_puts(out, html_script);
}

/* ---- notes ---- */

static void put_tensors_note(const struct html_report *r, struct buf *out)
{
    (void)r;
    buf_puts(out, "Statistics are over finite elements; kurtosis is 3 for normally distributed weights. Outlier: the largest root mean square of a row or "
                  "column by the median of its kind.");
    if (r->has_other) buf_puts(out, " Error: root mean square of the difference to the other model by that of the tensor, after undoing differences of layout.");
}

static void put_heat_note(const struct html_report *r, struct buf *out)
{
    buf_printf(out, "Colours end where %g %% of the cells do; cells are shown to one of 241 levels; magenta is NaN or infinite.", 100 * r->clip);
    if (r->has_other) buf_puts(out, " The error is the largest absolute difference in a cell, in the layout of the comparison.");
}

static void put_attention_note(const struct html_report *r, struct buf *out)
{
    const struct html_attention *a = &r->attention;
    buf_printf(out, "The first %lld of %lld tokens; weights are shown to 1/255.", (long long)a->n, (long long)r->tokens.n);
    if (!a->labels.has_tokenizer) buf_puts(out, " There is no tokenizer: tokens are their ids.");
    if (a->b) buf_puts(out, " A is this model, B the other.");
}

/* ---- the template ---- */

static bool has_compare(const struct html_report *r)
{
    return r->has_other;
}
static bool has_map(const struct html_report *r)
{
    return r->roles.n > 0;
}
static bool has_heat(const struct html_report *r)
{
    for (size_t i = 0; i < r->s.ckpt->n_tensors; i++)
        if (r->tensors[i].cells.values) return true;
    return false;
}
static bool has_attention(const struct html_report *r)
{
    return r->attention.n > 0;
}
static bool has_metadata(const struct html_report *r)
{
    return html_count_metadata(r) > 0;
}

/* "{{NAME}}" in the template is replaced, "{{if NAME}}...{{end}}" kept if it holds. */
static const struct {
    const char *name;
    void (*put)(const struct html_report *r, struct buf *out);
} parts[] = {
    {"title", put_title},
    {"lead", put_lead},
    {"generator", put_generator},
    {"style", put_style},
    {"script", put_script},
    {"data", html_data},
    {"overview", html_put_overview},
    {"types", html_put_types},
    {"roles", html_put_roles},
    {"compare", html_put_compare},
    {"tensors", html_put_tensors},
    {"tensors_note", put_tensors_note},
    {"heat_note", put_heat_note},
    {"attention_note", put_attention_note},
    {"metadata", html_put_metadata},
    {"metadata_count", html_put_metadata_count},
};
static const struct {
    const char *name;
    bool (*holds)(const struct html_report *r);
} conditions[] = {
    {"compare", has_compare},     {"map", has_map},           {"roles", has_map},
    {"heat", has_heat},           {"attention", has_attention}, {"metadata", has_metadata},
};

static bool is_name(const char *name, const char *at, size_t n)
{
    return strlen(name) == n && memcmp(name, at, n) == 0;
}

static void put_part(const struct html_report *r, const char *at, size_t n, struct buf *out)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (is_name(parts[i].name, at, n)) parts[i].put(r, out);
}

static bool holds(const struct html_report *r, const char *at, size_t n)
{
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        if (is_name(conditions[i].name, at, n)) return conditions[i].holds(r);
    return false;
}

void html_page(const struct html_report *r, struct buf *out)
{
    static const char end[] = "{{end}}";
    for (const char *at = html_template; *at;) {
        const char *open = strstr(at, "{{"), *close = open ? strstr(open, "}}") : NULL;
        if (!close) {
            buf_puts(out, at);
            return;
        }
        buf_append(out, at, (size_t)(open - at));
        at = close + 2;
        const char *name = open + 2;
        if (strncmp(name, "if ", 3) == 0 && !holds(r, name + 3, (size_t)(close - name) - 3)) {
            const char *skip = strstr(at, end);
            at = skip ? skip + sizeof end - 1 : at + strlen(at);
        } else {
            put_part(r, name, (size_t)(close - name), out);
        }
    }
}
