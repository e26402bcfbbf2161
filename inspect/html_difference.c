#include "inspect/html_parts.h"

#include "inspect/summary_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* ---- verify's figures ---- */

static void fact(struct buf *out, const char *label, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fact(struct buf *out, const char *label, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_printf(out, "<dt>%s</dt><dd>", label);
    html_text(out, text);
    buf_puts(out, "</dd>\n");
}

static void spread(struct buf *out, const char *label, const struct metrics_spread *s)
{
    fact(out, label, "mean %.3g ± %.2g, median %.3g, 99 %% %.3g, max %.3g nats", s->mean, s->mean_error, s->median, s->p99, s->max);
}

static void figures(const struct html_report *r, struct buf *out)
{
    const struct metrics_result *m = &r->figures;
    buf_puts(out, "<dl class=\"facts\" id=\"figures\">\n");
    fact(out, "positions", "%" PRId64 "%s", m->positions, r->tokens.built_in ? "; built-in pseudo-random ids (--prompt, --text or --tokens for your own)" : "");
    fact(out, "max |Δ logit|", "%.4g; max |logit| %.4g", m->max_abs_diff, m->max_abs_logit);
    fact(out, "rms Δ logit", "%.4g", m->rms_diff);
    spread(out, "KL(A‖B)", &m->kl_ab);
    spread(out, "KL(B‖A)", &m->kl_ba);
    fact(out, "same first choice", "%.2f %%; of the first five %.2f %%", 100 * m->top1_agreement, 100 * m->top5_agreement);
    if (isfinite(m->perplexity_a) && isfinite(m->perplexity_b))
        fact(out, "perplexity", "A %.5g ± %.2g, B %.5g ± %.2g", m->perplexity_a, m->perplexity_error_a, m->perplexity_b, m->perplexity_error_b);
    if (m->n_bad_a + m->n_bad_b > 0) fact(out, "not finite", "%" PRId64 " logits of A, %" PRId64 " of B", m->n_bad_a, m->n_bad_b);
    buf_puts(out, "</dl>\n");
}

/* ---- keys and lists ---- */

static void put_td(struct buf *out, const char *text)
{
    buf_puts(out, "<td class=\"long\">");
    html_text(out, text ? text : "");
    buf_puts(out, "</td>");
}

static void entries(const char *what, const struct diff_entries *e, struct buf *out)
{
    if (e->n_compared == 0) return;
    buf_printf(out, "<details%s><summary>%s: %zu of %zu differ</summary>\n", e->n && e->n <= 10 ? " open" : "", what, e->n, e->n_compared);
    if (e->n > 0) {
        buf_printf(out, "<div class=\"scroll\" role=\"region\" aria-label=\"%s that differ\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">key</th>"
                        "<th scope=\"col\">A</th><th scope=\"col\">B</th></tr></thead>\n<tbody>\n", what);
        for (size_t i = 0; i < e->n; i++) {
            buf_puts(out, "<tr><th scope=\"row\">");
            html_text(out, e->items[i].key);
            buf_puts(out, "</th>");
            put_td(out, e->items[i].a);
            put_td(out, e->items[i].b);
            buf_puts(out, "</tr>\n");
        }
        buf_puts(out, "</tbody>\n</table></div>\n");
    }
    buf_puts(out, "</details>\n");
}

static void lonely(const struct diff *d, bool in_a, struct buf *out)
{
    size_t n = in_a ? d->n_only_a : d->n_only_b;
    if (n == 0) return;
    buf_printf(out, "<details><summary>%zu tensors only in %c</summary>\n<ul>\n", n, in_a ? 'A' : 'B');
    for (size_t i = 0; i < d->n_pairs; i++) {
        const struct diff_tensor *t = in_a ? d->pairs[i].a : d->pairs[i].b;
        if (in_a ? d->pairs[i].b != NULL : d->pairs[i].a != NULL) continue;
        buf_puts(out, "<li><code>");
        html_text(out, t->source ? t->source : t->name);
        buf_puts(out, "</code></li>\n");
    }
    buf_puts(out, "</ul>\n</details>\n");
}

static void side(const char *letter, const struct subject *s, struct buf *out)
{
    char count[32];
    summary_count(count, s->n_elements);
    fact(out, letter, "%s, %s: %zu tensors, %s weights, %.2f bits per weight", s->arch ? s->arch->family : "no known model family", s->ckpt->format,
         s->ckpt->n_tensors, count, summary_bits(s));
}

void html_put_compare(const struct html_report *r, struct buf *out)
{
    const struct diff *d = &r->diff;
    buf_puts(out, "<dl class=\"facts\">\n");
    side("A", &r->s, out);
    side("B", &r->other, out);
    fact(out, "tensors", "%zu in both; %zu of another type, %zu of another shape", d->n_common, d->n_type, d->n_shape);
    buf_puts(out, "</dl>\n");
    if (r->has_figures) buf_puts(out, "<h3>Logits</h3>\n");
    if (r->has_figures)
        figures(r, out);
    else if (r->no_figures)
        buf_printf(out, "<p class=\"note\">No logits are compared: %s.</p>\n", r->no_figures);
    buf_puts(out, "<h3>Lists</h3>\n");
    entries("Hyperparameters", &d->hparams, out);
    entries("Metadata keys", &d->metadata, out);
    lonely(d, true, out);
    lonely(d, false, out);
}
