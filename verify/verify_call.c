#include "verify/verify_call.h"

#include "core/plan_report.h"
#include "core/sources.h"
#include "verify/verify_output.h"
#include "verify/verify_plot.h"
#include "verify/weights_plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void set_tolerance(const struct call *c, struct tolerance *t)
{
    if (!c->b) return;
    tolerance_default(t, c->a, c->b, (enum precision)c->o->precision);
    if (isnan(c->o->tolerance)) return;
    t->value = c->o->tolerance;
    t->lossy = false; /* the number decides, nothing else */
    snprintf(t->reason, sizeof t->reason, "as given by --tolerance");
}

/* What was run and what came out */
struct outcome {
    const struct verify_run *run;
    struct metrics_result result, probe_result;
    struct probe probe;
    struct trace_result trace;
    struct weights_report weights;
    bool probed, traced, weighed;
    struct error why_not_weighed; /* text "": there was no need */
    double seconds;
};

static bool agree(const struct call *c, const struct outcome *o, double tolerance)
{
    if (!c->b) return o->result.n_bad_a == 0;
    return metrics_agree(&o->result, tolerance) &&
           (!o->probed || metrics_agree(&o->probe_result, tolerance)) && !(o->traced && o->trace.found) &&
           !(o->weighed && o->weights.n_beyond > 0);
}

/* At the start of the ids, and once more beyond the context before scaling where a side has scaled rotary positions: a short text does not show
 * them. */
static enum status run_trace(const struct call *c, const struct verify_run *run, struct trace_result *out,
                             struct error *err)
{
    struct trace t = {.a = c->a,
                      .b = c->b,
                      .precision = run->precision,
                      .ids = c->tokens.ids,
                      .n = c->tokens.n < run->n_context ? c->tokens.n : run->n_context,
                      .workers = c->workers};
    int64_t n_learned = model_usable_positions(c->a, c->b, INT64_MAX);
    if (t.n > TRACE_POSITIONS) t.n = TRACE_POSITIONS;
    if (n_learned > 4 && t.n > n_learned - 2)
        t.n = n_learned - 2; /* room for positions counted from elsewhere */
    TRY(trace_run(&t, out, err));
    t.pos0 = trace_far_position(c->a, c->b);
    return out->found || t.pos0 == 0 ? STATUS_OK : trace_run(&t, out, err);
}

/* What was made for a file that was claimed before the run; frees the bytes. */
static enum status write_file(const struct tool *t, struct outfile **claimed, enum status made, struct buf *bytes, struct error *err)
{
    enum status st = made;
    if (st == STATUS_OK) {
        struct outfile *out = *claimed;
        *claimed = NULL;
        st = verify_output_write(t, out, bytes, err);
    }
    buf_clear(bytes);
    return st;
}

/* Pictures and tables of what was measured at each position */
static enum status write_files(struct call *c, const struct verify_report *r, struct error *err)
{
    struct buf bytes = {0};
    if (c->plot_out) TRY(write_file(c->tool, &c->plot_out, verify_plot_png(r, &bytes, err), &bytes, err));
    if (!c->points_out) return STATUS_OK;
    verify_points_csv(r, &bytes);
    return write_file(c->tool, &c->points_out, STATUS_OK, &bytes, err);
}

static enum status keep_logits(struct call *c, struct error *err)
{
    struct outfile *out = c->logits_out;
    c->logits_out = NULL;
    return tool_keep(c->tool, out, err);
}

static enum status check_sources(const struct call *c, struct error *err)
{
    TRY(sources_check(c->tool, c->a->ckpt, err));
    return c->b ? sources_check(c->tool, c->b->ckpt, err) : STATUS_OK;
}

/* Where weights were rounded, logits of an honest copy are far enough off to hide a damaged row. Two files that cannot be laid side by side are
 * left to the logits. */
static enum status look_at_weights(struct call *c, struct outcome *o, struct error *err)
{
    progress_begin(&c->progress, c->tool->progress, c->tool->quiet, "comparing weights", weights_bytes(c->a));
    enum status st = weights_compare(c->a, c->b, c->workers, &c->progress, &o->weights, err);
    progress_end(&c->progress);
    o->weighed = st == STATUS_OK;
    if (st != STATUS_UNSUPPORTED && st != STATUS_MISMATCH) return st;
    o->why_not_weighed = *err;
    return STATUS_OK;
}

static enum status report(struct call *c, const struct outcome *o, const struct tolerance *tolerance, int *code, struct buf *out,
                          struct error *err)
{
    /* opening a tokenizer takes as long as comparing a hundred positions */
    bool is_shown = c->tool->json || !c->tool->quiet || c->plot_out;
    if (o->result.n_worst > 0 && is_shown) words_open(&c->words, c->tool->args, c->tool->n_args);
    const struct verify_report r = {
        .run = o->run,
        .path_a = c->tool->args[0],
        .path_b = c->b ? c->tool->args[1] : NULL,
        .tokens_path = c->o->tokens   ? c->o->tokens
                       : c->o->text   ? c->o->text
                       : c->o->prompt ? "prompt"
                                      : NULL,
        .result = &o->result,
        .probe = o->probed ? &o->probe : NULL,
        .probe_result = o->probed ? &o->probe_result : NULL,
        .tolerance = c->b ? tolerance : NULL,
        .agree = agree(c, o, tolerance->value),
        .weights = o->weighed ? &o->weights : NULL,
        .weights_why_not = o->why_not_weighed.text[0] ? o->why_not_weighed.text : NULL,
        .seconds = o->seconds,
        .trace = o->traced ? &o->trace : NULL,
        .words = &c->words,
        .points = c->points,
        .plot_path = c->o->plot,
        .points_path = c->o->points,
        .warnings = &c->warnings,
    };
    *code = r.agree ? 0 : 1;
    TRY(write_files(c, &r, err));
    if (c->logits_out) TRY(keep_logits(c, err));
    if (c->tool->json)
        verify_report_json(&r, out);
    else if (!c->tool->quiet)
        verify_report_text(&r, out);
    return STATUS_OK;
}

/* One window of built-in ids at positions that a plain run does not reach, where a scaling makes them count. */
static enum status run_probe(struct call *c, const struct verify_run *plain, const struct probe *probe,
                             struct metrics_result *result, struct error *err)
{
    struct tokens ids = {0};
    struct verify_run run = *plain;
    TRY(tokens_make(&ids, probe->at.count, c->a->hp.n_vocab, err));
    run.tokens = &ids;
    run.n_context = probe->at.count;
    run.at = probe->at;
    run.logits_path = NULL;
    run.points = NULL;
    enum status st = verify_execute(&run, result, err);
    tokens_clear(&ids);
    return st;
}

static void report_weights(const struct call *c, const struct weights_report *r, double seconds, struct buf *out)
{
    struct jwriter w = {.out = out, .pretty = true};
    if (!c->tool->json) {
        if (!c->tool->quiet) weights_text(r, c->tool->args[1], out);
        return;
    }
    jw_begin_object(&w, NULL);
    jw_string(&w, "a", c->tool->args[0]);
    jw_string(&w, "b", c->tool->args[1]);
    jw_string(&w, "family", c->a->arch->family);
    weights_json(r, &w);
    report_warnings_json(&c->warnings, &w);
    jw_double(&w, "seconds", seconds);
    jw_uint(&w, "peak_bytes", memory_peak_bytes());
    jw_end_object(&w);
    buf_puts(out, "\n");
}

static enum status draw_weights(struct call *c, const struct weights_report *r, struct error *err)
{
    struct buf bytes = {0};
    return write_file(c->tool, &c->plot_out, weights_plot_png(r, c->tool->args[0], c->tool->args[1], &bytes, err), &bytes, err);
}

static enum status verify_weights(struct call *c, int *code, struct buf *out, struct error *err)
{
    int64_t start_ns = clock_ns();
    struct weights_report r;
    progress_begin(&c->progress, c->tool->progress, c->tool->quiet, "comparing", weights_bytes(c->a));
    enum status st = weights_compare(c->a, c->b, c->workers, &c->progress, &r, err);
    progress_end(&c->progress);
    if (st == STATUS_OK && c->plot_out) st = draw_weights(c, &r, err);
    if (st == STATUS_OK) {
        *code = r.n_different == 0 ? 0 : 1;
        report_weights(c, &r, (double)(clock_ns() - start_ns) * 1e-9, out);
    }
    weights_clear(&r);
    return st;
}

/* What the options ask to be run */
static struct verify_run run_of(struct call *c, int64_t n_context)
{
    return (struct verify_run){
        .a = c->a,
        .b = c->b,
        .precision = (enum precision)c->o->precision,
        .tokens = &c->tokens,
        .n_context = n_context,
        .score_from = c->o->ppl_style == 1 ? n_context / 2 : 0,
        .causal = c->causal,
        .at = c->at,
        .logits_path = c->o->save_logits,
        .logits = &c->logits_out,
        .points = c->o->plot || c->o->points ? &c->points : NULL,
        .workers = c->workers,
        .progress = &c->progress,
    };
}

static enum status run_logits(struct call *c, struct outcome *o, struct error *err)
{
    o->probed = c->b && c->at.count == 0 && probe_plan(&o->probe, c->a, c->b);
    progress_begin(&c->progress, c->tool->progress, c->tool->quiet, "running",
                   verify_bytes(o->run) + (o->probed ? verify_bytes_once(o->run) : 0));
    enum status st = verify_execute(o->run, &o->result, err);
    if (st == STATUS_OK && o->probed) st = run_probe(c, o->run, &o->probe, &o->probe_result, err);
    progress_end(&c->progress);
    return st;
}

static enum status run_all(struct call *c, struct outcome *o, struct tolerance *tolerance, struct error *err)
{
    TRY(run_logits(c, o, err));
    o->traced = c->o->trace;
    if (o->traced) TRY(run_trace(c, o->run, &o->trace, err));
    set_tolerance(c, tolerance);
    return tolerance->lossy ? look_at_weights(c, o, err) : STATUS_OK;
}

enum status call_run(struct call *c, int *code, struct buf *out, struct error *err)
{
    int64_t start_ns = clock_ns(), n_context;
    TRY(call_open(c, &n_context, err));
    if (c->o->plot) TRY(verify_output_open(&c->plot_out, c->o->plot, 0, c->a, c->b, err));
    if (c->o->weights) {
        TRY(verify_weights(c, code, out, err));
        return check_sources(c, err);
    }
    if (c->o->points) TRY(verify_output_open(&c->points_out, c->o->points, 0, c->a, c->b, err));
    const struct verify_run run = run_of(c, n_context);
    struct outcome o = {.run = &run};
    struct tolerance tolerance = {0};
    enum status st = run_all(c, &o, &tolerance, err);
    o.seconds = (double)(clock_ns() - start_ns) * 1e-9;
    if (st == STATUS_OK) st = report(c, &o, &tolerance, code, out, err);
    if (st == STATUS_OK) st = check_sources(c, err);
    weights_clear(&o.weights);
    return st;
}
