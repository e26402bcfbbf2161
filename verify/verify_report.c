#include "verify/verify_report.h"

#include "core/plan_report.h"
#include "verify/trace_report.h"

#include <inttypes.h>
#include <math.h>

enum { WORST_LINES = 5, TOKEN_BYTES = 32, TOKEN_TEXT = TOKEN_BYTES + 8 };

static const char *precision_name(enum precision p)
{
    return p == PRECISION_F64 ? "f64" : "f32";
}

static int64_t n_windows(const struct verify_run *r)
{
    return (r->tokens->n + r->n_context - 1) / r->n_context;
}

static void put_positions(const char *label, const struct positions *at, struct buf *out)
{
    buf_printf(out, "  %-11s %" PRId64 " positions from %" PRId64 " to %" PRId64, label, at->count, at->first,
               positions_last(at));
    if (at->step > 1) buf_printf(out, " in steps of %" PRId64, at->step);
}

static void put_run(const struct verify_report *p, struct buf *out)
{
    const struct verify_run *r = p->run;
    int64_t n = n_windows(r);
    buf_printf(out, "  positions   %" PRId64 " in %" PRId64 " window%s of at most %" PRId64 ", %s",
               p->result->positions, n, n == 1 ? "" : "s", r->n_context, precision_name(r->precision));
    buf_puts(out, p->tokens_path ? "\n" : "; built-in pseudo-random ids (--tokens FILE for your own)\n");
    if (r->at.count > 0) {
        put_positions("placed at", &r->at, out);
        buf_puts(out, " in each window\n");
    }
}

static void put_probe(const struct verify_report *p, struct buf *out)
{
    if (!p->probe) return;
    const struct metrics_result *m = p->probe_result;
    put_positions("probe", &p->probe->at, out);
    buf_printf(out, ", beyond the original context of %" PRId64 ": max |Δ| %.3g, max |logit| %.4g\n",
               p->probe->original_context, m->max_abs_diff, m->max_abs_logit);
}

static void put_perplexity(struct buf *out, const char *side, double value, double error)
{
    if (isfinite(value))
        buf_printf(out, "%s %.5g ± %.2g", side, value, error);
    else
        buf_printf(out, "%s -", side);
}

static void put_spread(struct buf *out, const char *name, const struct metrics_spread *s)
{
    buf_printf(out, "  %-11s mean %.3g ± %.2g, median %.3g, 99 %% %.3g, max %.3g nats\n", name, s->mean,
               s->mean_error, s->median, s->p99, s->max);
}

static const char *same_or_not(const struct metrics_position *w)
{
    return w->top1_a == w->top1_b ? " for both" : "";
}

/* "  worst at         411    KL 0.61    max |Δ| 2.31    after " Paris" A puts " is" first, B " was"" */
static void put_worst(const struct verify_report *p, struct buf *out)
{
    const struct metrics_result *m = p->result;
    char here[TOKEN_TEXT], a[TOKEN_TEXT], b[TOKEN_TEXT];
    for (int i = 0; i < m->n_worst && i < WORST_LINES; i++) {
        const struct metrics_position *w = &m->worst[i];
        words_quote(p->words, p->run->tokens->ids[w->position], TOKEN_BYTES, here, sizeof here);
        words_quote(p->words, w->top1_a, TOKEN_BYTES, a, sizeof a);
        words_quote(p->words, w->top1_b, TOKEN_BYTES, b, sizeof b);
        buf_printf(out, "  %-11s %6" PRId64 "  KL %-8.3g  max |Δ| %-8.3g  after %s: %s first%s", i ? "" : "worst at", w->position,
                   w->kl_ab, w->max_abs_diff, here, a, same_or_not(w));
        if (w->top1_a != w->top1_b) buf_printf(out, " for A, %s for B", b);
        buf_puts(out, "\n");
    }
}

static void put_bad(const struct metrics_result *m, struct buf *out)
{
    if (m->n_bad_a) buf_printf(out, "  A has %" PRId64 " logits that are NaN or infinite\n", m->n_bad_a);
    if (m->n_bad_b) buf_printf(out, "  B has %" PRId64 " logits that are NaN or infinite\n", m->n_bad_b);
}

static double relative(const struct metrics_result *m)
{
    return m->max_abs_diff > 0 ? m->max_abs_diff / m->max_abs_logit : 0;
}

/* What makes sides differ whose logits are close */
static const char *but(const struct verify_report *p)
{
    return p->weights && p->weights->n_beyond > 0 ? ", but weights are further off than their types explain" : ", but an operation is off";
}

static void put_verdict(const struct verify_report *p, struct buf *out)
{
    const struct metrics_result *m = p->result, *far = p->probe_result;
    bool bad = m->n_bad_a || m->n_bad_b || (far && (far->n_bad_a || far->n_bad_b));
    bool near_agrees = metrics_agree(m, p->tolerance->value);
    bool far_agrees = !far || metrics_agree(far, p->tolerance->value);
    bool only_far = near_agrees && !far_agrees, within = near_agrees && far_agrees;
    if (bad)
        buf_puts(out, "differ: not all logits are numbers\n");
    else
        buf_printf(out, "%s: max |Δlogit| is %.3g of max |logit|%s, %s the tolerance %.3g%s\n",
                   p->agree ? "agree" : "differ", only_far ? relative(far) : relative(m),
                   only_far ? " at positions beyond the original context" : "", within ? "within" : "above",
                   p->tolerance->value, within && !p->agree ? but(p) : "");
}

/* Ids that are no text can make rounding grow: SmolLM2, ids 1 to 512 in order, 4.2e-5 in F32, 5.9e-10 in F64. */
#define ROUNDING_MOST 10.0 /* times the tolerance */

static void put_hint(const struct verify_report *p, struct buf *out)
{
    double rel = fmax(relative(p->result), p->probe_result ? relative(p->probe_result) : 0), limit = p->tolerance->value;
    if (!p->tolerance->lossy && p->run->precision == PRECISION_F32 && rel > limit && rel <= ROUNDING_MOST * limit)
        buf_puts(out, "  hint        unusual ids can make F32 rounding grow this far: --precision f64 tells it from a fault\n");
}

enum { OFF_LINES = 5 };

/* What the weights say where logits alone cannot tell an honest cast from a damaged row */
static void put_weights(const struct verify_report *p, struct buf *out)
{
    const struct weights_report *r = p->weights;
    if (p->weights_why_not) buf_printf(out, "  weights     not compared: %s\n", p->weights_why_not);
    if (!r) return;
    if (r->n_beyond == 0)
        buf_printf(out, "  weights     %zu tensors, no row further off than the types explain\n", r->n);
    else
        buf_printf(out, "  weights     %zu of %zu tensors are not what the types explain (--weights tells all):\n", r->n_beyond, r->n);
    for (size_t i = 0, n = 0; i < r->n && n < OFF_LINES; i++)
        if (r->items[i].is_beyond) weight_text(&r->items[i], out), n++;
}

static void text_pair(const struct verify_report *p, struct buf *out)
{
    const struct metrics_result *m = p->result;
    put_verdict(p, out);
    if (p->trace) trace_text(p->trace, out);
    put_bad(m, out);
    buf_printf(out, "  tolerance   %.3g: %s\n", p->tolerance->value, p->tolerance->reason);
    put_hint(p, out);
    put_weights(p, out);
    put_run(p, out);
    put_probe(p, out);
    buf_printf(out, "  max |Δ|     %.3g    rms %.3g    max |logit| %.4g\n", m->max_abs_diff, m->rms_diff,
               m->max_abs_logit);
    put_spread(out, "KL(A to B)", &m->kl_ab);
    put_spread(out, "KL(B to A)", &m->kl_ba);
    buf_printf(out, "  same top-1  %.4g %%    of the top five %.4g %%\n", 100 * m->top1_agreement,
               100 * m->top5_agreement);
    buf_puts(out, "  perplexity  ");
    put_perplexity(out, "A", m->perplexity_a, m->perplexity_error_a);
    put_perplexity(out, ", B", m->perplexity_b, m->perplexity_error_b);
    if (isfinite(m->ln_ratio)) buf_printf(out, "; ln(B/A) %.3g ± %.2g", m->ln_ratio, m->ln_ratio_error);
    buf_puts(out, "\n");
    put_worst(p, out);
}

static void text_single(const struct verify_report *p, struct buf *out)
{
    const struct metrics_result *m = p->result;
    put_perplexity(out, "perplexity", m->perplexity_a, m->perplexity_error_a);
    buf_printf(out, "    max |logit| %.4g\n", m->max_abs_logit);
    put_bad(m, out);
    put_run(p, out);
}

static void put_file(const char *label, const char *path, struct buf *out)
{
    if (path) buf_printf(out, "  %-11s %s\n", label, path);
}

/* What the layer-by-layer reading is for: this stays small whatever the model's size. */
static void put_cost(const struct verify_report *p, struct buf *out)
{
    char peak[32], read[32];
    buf_printf(out, "  memory      peak %s, for %s of weights; %.3g s\n", format_bytes(peak, memory_peak_bytes()),
               format_bytes(read, verify_bytes_once(p->run)), p->seconds);
}

void verify_report_text(const struct verify_report *p, struct buf *out)
{
    if (p->run->b)
        text_pair(p, out);
    else
        text_single(p, out);
    put_file("logits of A", p->run->logits_path, out);
    put_file("picture", p->plot_path, out);
    put_file("points", p->points_path, out);
    put_cost(p, out);
}

static void json_token(const struct verify_report *p, const char *key, int64_t id, struct jwriter *w)
{
    struct buf text = {0};
    if (words_bytes(p->words, id, &text))
        jw_string_n(w, key, text.data, text.len);
    else
        jw_null(w, key);
    buf_clear(&text);
}

static void json_worst(const struct verify_report *p, struct jwriter *w)
{
    const struct metrics_result *m = p->result;
    jw_begin_array(w, "worst");
    for (int i = 0; i < m->n_worst; i++) {
        const struct metrics_position *at = &m->worst[i];
        int64_t id = p->run->tokens->ids[at->position];
        jw_begin_object(w, NULL);
        jw_int(w, "position", at->position);
        jw_double(w, "max_abs_diff", at->max_abs_diff);
        jw_double(w, "kl_ab", at->kl_ab);
        jw_int(w, "token", id);
        json_token(p, "text", id, w);
        jw_int(w, "top1_a", at->top1_a);
        json_token(p, "top1_text_a", at->top1_a, w);
        jw_int(w, "top1_b", at->top1_b);
        json_token(p, "top1_text_b", at->top1_b, w);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void json_spread(const char *key, const struct metrics_spread *s, struct jwriter *w)
{
    jw_begin_object(w, key);
    jw_double(w, "mean_error", s->mean_error);
    jw_double(w, "median", s->median);
    jw_double(w, "p99", s->p99);
    jw_double(w, "max", s->max);
    jw_end_object(w);
}

static void json_positions(const struct positions *at, struct jwriter *w)
{
    jw_int(w, "first", at->first);
    jw_int(w, "last", positions_last(at));
    jw_int(w, "step", at->step);
}

static void json_probe(const struct verify_report *p, struct jwriter *w)
{
    const struct metrics_result *m = p->probe_result;
    if (!p->probe) {
        jw_null(w, "probe");
        return;
    }
    jw_begin_object(w, "probe");
    jw_int(w, "original_context", p->probe->original_context);
    jw_int(w, "positions", m->positions);
    json_positions(&p->probe->at, w);
    jw_double(w, "max_abs_diff", m->max_abs_diff);
    jw_double(w, "rms_diff", m->rms_diff);
    jw_double(w, "max_abs_logit", m->max_abs_logit);
    jw_bool(w, "agree", metrics_agree(m, p->tolerance->value));
    jw_end_object(w);
}

static void json_weights(const struct verify_report *p, struct jwriter *w)
{
    const struct weights_report *r = p->weights;
    if (!r) {
        jw_null(w, "weights");
        return;
    }
    const struct weight_result *nearest = weights_nearest(r);
    jw_begin_object(w, "weights");
    jw_bool(w, "agree", r->n_beyond == 0);
    jw_uint(w, "tensors", r->n);
    jw_begin_array(w, "different");
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].is_beyond) weight_json(&r->items[i], NULL, w);
    jw_end_array(w);
    if (nearest)
        weight_json(nearest, "nearest", w);
    else
        jw_null(w, "nearest");
    jw_end_object(w);
}

static void json_pair(const struct verify_report *p, struct jwriter *w)
{
    const struct metrics_result *m = p->result;
    jw_double(w, "max_abs_diff", m->max_abs_diff);
    jw_double(w, "rms_diff", m->rms_diff);
    jw_double(w, "kl_ab", m->kl_ab.mean);
    jw_double(w, "kl_ba", m->kl_ba.mean);
    jw_double(w, "kl_max", m->kl_ab.max);
    json_spread("kl_ab_spread", &m->kl_ab, w);
    json_spread("kl_ba_spread", &m->kl_ba, w);
    jw_double(w, "top1_agreement", m->top1_agreement);
    jw_double(w, "top5_agreement", m->top5_agreement);
    jw_double(w, "perplexity_b", m->perplexity_b);
    jw_double(w, "perplexity_error_b", m->perplexity_error_b);
    jw_double(w, "ln_perplexity_ratio", m->ln_ratio);
    jw_double(w, "ln_perplexity_ratio_error", m->ln_ratio_error);
    jw_int(w, "not_finite_b", m->n_bad_b);
    jw_double(w, "tolerance", p->tolerance->value);
    jw_string(w, "tolerance_reason", p->tolerance->reason);
    jw_bool(w, "agree", p->agree);
    json_weights(p, w);
    json_probe(p, w);
    if (p->trace) trace_json(p->trace, w);
    json_worst(p, w);
}

void verify_report_json(const struct verify_report *p, struct buf *out)
{
    struct jwriter w = {.out = out, .pretty = true};
    const struct verify_run *r = p->run;
    const struct metrics_result *m = p->result;
    jw_begin_object(&w, NULL);
    jw_string(&w, "a", p->path_a);
    jw_string(&w, "b", p->path_b);
    jw_string(&w, "family", r->a->arch->family);
    jw_string(&w, "precision", precision_name(r->precision));
    jw_string(&w, "tokens", p->tokens_path); /* null: the built-in ids */
    jw_int(&w, "context", r->n_context);
    jw_int(&w, "windows", n_windows(r));
    jw_int(&w, "positions", m->positions);
    if (r->at.count > 0) {
        jw_begin_object(&w, "placed_at");
        json_positions(&r->at, &w);
        jw_end_object(&w);
    } else {
        jw_null(&w, "placed_at");
    }
    jw_int(&w, "scored", m->scored);
    jw_int(&w, "vocabulary", r->a->hp.n_vocab);
    jw_double(&w, "max_abs_logit", m->max_abs_logit);
    jw_double(&w, "perplexity_a", m->perplexity_a);
    jw_double(&w, "perplexity_error_a", m->perplexity_error_a);
    jw_int(&w, "not_finite_a", m->n_bad_a);
    if (r->b) json_pair(p, &w);
    jw_string(&w, "logits", r->logits_path);
    if (r->b) jw_string(&w, "plot", p->plot_path);
    if (r->b) jw_string(&w, "points", p->points_path);
    report_warnings_json(p->warnings, &w);
    jw_double(&w, "seconds", p->seconds);
    jw_uint(&w, "peak_bytes", memory_peak_bytes());
    jw_end_object(&w);
    buf_puts(out, "\n");
}
