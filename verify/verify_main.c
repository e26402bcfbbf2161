#include "verify/verify.h"

#include "base/file.h"
#include "base/options.h"
#include "core/explain.h"
#include "core/plan_report.h"
#include "verify/requantize_main.h"
#include "verify/verify_output.h"
#include "verify/verify_plot.h"
#include "verify/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT_NOT_GIVEN INT64_MIN

struct verify_options {
    const char *tokens, *save_logits, *config, *positions, *plot, *points;
    int64_t context;
    int precision;
    double tolerance;
    const char *prompt, *text;
    int ppl_style;
    bool trace, weights;
    bool requantize;
    const char *imatrix;
};

/* Everything that one call of the tool holds */
struct call {
    const struct tool *tool;
    const struct verify_options *o;
    struct model *a, *b;
    struct workers *workers;
    struct tokens tokens;
    struct words words;
    struct metrics_point *points; /* kept for --plot and --points */
    struct outfile *plot_out, *points_out;
    struct positions at; /* --positions START:END; count 0: not given */
    bool causal;         /* --positions, but for `model` */
    struct warnings warnings;
    struct progress progress;
};

static enum status check_options(const struct tool *t, const struct verify_options *o, struct error *err)
{
    if ((o->tokens != NULL) + (o->prompt != NULL) + (o->text != NULL) > 1)
        return error_set(err, STATUS_USAGE, "--tokens, --prompt and --text: only one of them");
    if (o->imatrix) return error_set(err, STATUS_USAGE, "--imatrix belongs to --requantize");
    if ((o->trace || o->weights) && t->n_args < 2)
        return error_set(err, STATUS_USAGE, "--%s compares two sides, found one", o->trace ? "trace" : "weights");
    if ((o->plot || o->points) && t->n_args < 2)
        return error_set(err, STATUS_USAGE, "--%s shows how two sides differ, found one", o->plot ? "plot" : "points");
    if (o->weights && (o->trace || o->tokens || o->prompt || o->text || o->save_logits || o->plot || o->points))
        return error_set(err, STATUS_USAGE, "--weights runs no forward pass: it goes without ids, logits, pictures and --trace");
    if (o->context <= 0 && o->context != CONTEXT_NOT_GIVEN)
        return error_set(err, STATUS_USAGE, "option '--context': expected a positive number");
    if (!isnan(o->tolerance) && (o->tolerance < 0 || t->n_args < 2))
        return error_set(err, STATUS_USAGE,
                         t->n_args < 2 ? "--tolerance is for two sides, found one"
                                       : "option '--tolerance': expected 0 or more");
    return STATUS_OK;
}

static enum status read_tokens(struct call *c, int64_t n_context, struct error *err)
{
    int64_t n_vocab = c->a->hp.n_vocab;
    const struct tokens_text text = {c->o->prompt, c->o->text, c->tool->args, c->tool->n_args};
    if (c->o->tokens) return tokens_read(&c->tokens, c->o->tokens, n_vocab, err);
    if (c->o->prompt || c->o->text) return tokens_encode(&c->tokens, &text, n_vocab, err);
    bool all = c->at.count > 0 || n_context < TOKENS_BUILT_IN;
    TRY(tokens_make(&c->tokens, all ? n_context : TOKENS_BUILT_IN, n_vocab, err));
    if (c->a->arch->frame && !c->causal) c->a->arch->frame(&c->a->hp, c->tokens.ids, c->tokens.n);
    return STATUS_OK;
}

/* --config is for the sides that do not carry a configuration of their own. */
static enum status open_model(struct call *c, size_t side, struct model **m, bool *config_used,
                              struct error *err)
{
    struct checkpoint *ckpt;
    TRY(ckpt_open(&ckpt, c->tool->args[side], err));
    const struct model_options opt = {.config_path = ckpt_gguf(ckpt) ? NULL : c->o->config};
    *config_used = *config_used || opt.config_path;
    return model_bind(m, ckpt, &opt, &c->warnings, err);
}

static enum status open_models(struct call *c, struct error *err)
{
    bool config_used = false;
    TRY(open_model(c, 0, &c->a, &config_used, err));
    if (c->tool->n_args > 1) {
        TRY(open_model(c, 1, &c->b, &config_used, err));
        TRY(verify_check_pair(c->a, c->b, err));
    }
    if (c->o->config && !config_used)
        return error_at(err, STATUS_USAGE, c->tool->args[0], NULL,
                        "--config is for checkpoints; a GGUF file has its own");
    return warnings_check(&c->warnings, err);
}

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
           !(o->weighed && o->weights.n_off > 0);
}

/* The fewer of both sides' learned positions; 0: they have none */
static int64_t learned_positions(const struct model *a, const struct model *b)
{
    bool learned = model_weight(a, ROLE_POSITION_EMBD, -1, PART_WEIGHT) &&
                   model_weight(b, ROLE_POSITION_EMBD, -1, PART_WEIGHT);
    return !learned ? 0 : a->hp.n_ctx < b->hp.n_ctx ? a->hp.n_ctx : b->hp.n_ctx;
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
    int64_t n_learned = learned_positions(c->a, c->b);
    if (t.n > TRACE_POSITIONS) t.n = TRACE_POSITIONS;
    if (n_learned > 4 && t.n > n_learned - 2)
        t.n = n_learned - 2; /* room for positions counted from elsewhere */
    TRY(trace_run(&t, out, err));
    t.pos0 = trace_far_position(c->a, c->b);
    return out->found || t.pos0 == 0 ? STATUS_OK : trace_run(&t, out, err);
}

/* Pictures and tables of what was measured at each position */
static enum status write_files(struct call *c, const struct verify_report *r, struct error *err)
{
    struct buf bytes = {0};
    struct outfile *plot = c->plot_out, *points = c->points_out;
    enum status st = STATUS_OK;
    c->plot_out = c->points_out = NULL;
    if (plot) {
        st = verify_plot_png(r, &bytes, err);
        if (st == STATUS_OK)
            st = verify_output_write(plot, &bytes, err);
        else
            outfile_discard(plot);
    }
    buf_clear(&bytes);
    if (points && st == STATUS_OK) {
        verify_points_csv(r, &bytes);
        st = verify_output_write(points, &bytes, err);
    } else {
        outfile_discard(points);
    }
    buf_clear(&bytes);
    return st;
}

/* Where weights were rounded, logits of an honest copy are far enough off to hide a damaged row. Two files that cannot be laid side by side are
 * left to the logits. */
static enum status look_at_weights(const struct call *c, struct outcome *o, struct error *err)
{
    enum status st = weights_compare(c->a, c->b, c->workers, &(struct progress){0}, &o->weights, err);
    o->weighed = st == STATUS_OK;
    if (st != STATUS_UNSUPPORTED && st != STATUS_MISMATCH) return st;
    o->why_not_weighed = *err;
    return STATUS_OK;
}

static enum status report(struct call *c, const struct outcome *o, const struct tolerance *tolerance, int *code, struct buf *out,
                          struct error *err)
{
    if (o->result.n_worst > 0) words_open(&c->words, c->tool->args, c->tool->n_args);
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
    if (c->tool->json)
        verify_report_json(&r, out);
    else if (!c->tool->quiet)
        verify_report_text(&r, out);
    return STATUS_OK;
}

static enum status read_positions(struct call *c, struct error *err)
{
    const char *word = c->o->positions ? c->o->positions : "model";
    if (strcmp(word, "model") == 0) return STATUS_OK;
    c->causal = true;
    if (strcmp(word, "causal") == 0) return STATUS_OK;
    TRY(positions_parse(&c->at, word, err));
    if (c->o->context == CONTEXT_NOT_GIVEN) return STATUS_OK;
    return error_set(err, STATUS_USAGE,
                     "--positions says how long a window is: --context has no place beside it");
}

static enum status choose_context(struct call *c, int64_t *n_context, struct error *err)
{
    int64_t wanted = c->o->context == CONTEXT_NOT_GIVEN ? 0 : c->o->context;
    if (c->at.count == 0) return verify_context(n_context, c->a, c->b, wanted, err);
    *n_context = c->at.count;
    return STATUS_OK;
}

/* Windows of attention that differ, and that no window of ids is long enough to show */
static void warn_window(struct call *c, int64_t n_context)
{
    for (int64_t i = 0; c->b && i < c->a->hp.n_layer; i++) {
        int64_t x = hparams_window(&c->a->hp, i), y = hparams_window(&c->b->hp, i);
        int64_t shorter = x == 0 ? y : y == 0 || x < y ? x : y;
        if (x == y || shorter < n_context) continue;
        warnings_add(&c->warnings, "window-not-reached",
                     "layer %lld: A sees a window of %lld keys, B of %lld (0: all): %lld positions in a "
                     "window of ids do "
                     "not show the difference, --context %lld does",
                     (long long)i, (long long)x, (long long)y, (long long)n_context, (long long)shorter + 1);
        return;
    }
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

static enum status verify_weights(struct call *c, int *code, struct buf *out, struct error *err)
{
    int64_t start_ns = clock_ns();
    struct weights_report r;
    progress_begin(&c->progress, c->tool->progress, c->tool->quiet, "comparing", weights_bytes(c->a, c->b));
    enum status st = weights_compare(c->a, c->b, c->workers, &c->progress, &r, err);
    progress_end(&c->progress);
    if (st == STATUS_OK) {
        *code = r.n_different == 0 ? 0 : 1;
        report_weights(c, &r, (double)(clock_ns() - start_ns) * 1e-9, out);
    }
    weights_clear(&r);
    return st;
}

static enum status verify(struct call *c, int *code, struct buf *out, struct error *err)
{
    int64_t start_ns = clock_ns(), n_context;
    TRY(check_options(c->tool, c->o, err));
    TRY(read_positions(c, err));
    TRY(workers_new(&c->workers, (int)c->tool->threads, err));
    TRY(open_models(c, err));
    if (c->o->weights) return verify_weights(c, code, out, err);
    TRY(choose_context(c, &n_context, err));
    TRY(read_tokens(c, n_context, err));
    warn_window(c, c->tokens.n < n_context ? c->tokens.n : n_context);
    TRY(warnings_check(&c->warnings, err));
    if (c->o->plot) TRY(verify_output_open(&c->plot_out, c->o->plot, 0, c->a, c->b, err));
    if (c->o->points) TRY(verify_output_open(&c->points_out, c->o->points, 0, c->a, c->b, err));
    const struct verify_run run = {
        .a = c->a,
        .b = c->b,
        .precision = (enum precision)c->o->precision,
        .tokens = &c->tokens,
        .n_context = n_context,
        .score_from = c->o->ppl_style == 1 ? n_context / 2 : 0,
        .causal = c->causal,
        .at = c->at,
        .logits_path = c->o->save_logits,
        .points = c->o->plot || c->o->points ? &c->points : NULL,
        .workers = c->workers,
        .progress = &c->progress,
    };
    struct outcome o = {.run = &run};
    bool probed = c->b && c->at.count == 0 && probe_plan(&o.probe, c->a, c->b);
    progress_begin(&c->progress, c->tool->progress, c->tool->quiet, "running",
                   verify_bytes(&run) + (probed ? verify_bytes_once(&run) : 0));
    enum status st = verify_execute(&run, &o.result, err);
    if (st == STATUS_OK && probed) st = run_probe(c, &run, &o.probe, &o.probe_result, err);
    progress_end(&c->progress);
    o.probed = probed;
    o.traced = c->o->trace;
    if (st == STATUS_OK && o.traced) st = run_trace(c, &run, &o.trace, err);
    struct tolerance tolerance = {0};
    set_tolerance(c, &tolerance);
    if (st == STATUS_OK && tolerance.lossy) st = look_at_weights(c, &o, err);
    o.seconds = (double)(clock_ns() - start_ns) * 1e-9;
    if (st == STATUS_OK) st = report(c, &o, &tolerance, code, out, err);
    weights_clear(&o.weights);
    return st;
}

static void print_warnings(const struct call *c)
{
    struct buf b = {0};
    if (!c->tool->quiet) report_warnings(&c->warnings, c->tool->name, &b);
    if (b.data) fputs(b.data, stderr);
    buf_clear(&b);
}

/* Exit status of a command line that was understood */
static int run(struct call *c)
{
    struct error err = {0};
    struct buf out = {0};
    int code = 0;
    if (c->tool->explain) return explain_run(c->tool);
    if (c->o->requantize)
        return requantize_main(&(struct requantize_call){.tool = c->tool, .imatrix = c->o->imatrix, .config = c->o->config});
    if (verify(c, &code, &out, &err) == STATUS_OK) {
        print_warnings(c);
        code = tool_finish(c->tool, &out, code);
    } else {
        code = tool_fail(c->tool, &err);
    }
    buf_clear(&out);
    return code;
}

static void close_call(struct call *c)
{
    tokens_clear(&c->tokens);
    words_close(&c->words);
    free(c->points);
    outfile_discard(c->plot_out);
    outfile_discard(c->points_out);
    model_close(c->a);
    model_close(c->b);
    warnings_clear(&c->warnings);
    workers_free(c->workers);
}

int verify_main(int argc, char **argv)
{
    struct verify_options o = {.context = CONTEXT_NOT_GIVEN, .tolerance = NAN};
    const struct option_spec specs[] = {
        {"tokens", 't', "FILE", OPTION_STRING, &o.tokens,
         "token ids: numbers separated by white space, or a .npy array", "What to run"},
        {"prompt", 'p', "TEXT", OPTION_STRING, &o.prompt, "a text, through A's tokenizer (B's if A has none)",
         NULL},
        {"text", 0, "FILE", OPTION_STRING, &o.text, "a file of text, the same way", NULL},
        {"context", 'c', "N", OPTION_INT, &o.context,
         "positions per window (default: the model's, at most 512)", NULL},
        {"positions", 0, "model|causal|START:END[:STEP]", OPTION_STRING, &o.positions,
         "positions and mask as the model's code builds them from the ids (default); counted and causal; or "
         "placed there, END excluded",
         NULL},
        {"precision", 0, "f32|f64", OPTION_CHOICE, &o.precision,
         "arithmetic of the forward pass (default f32)", NULL},
        {"config", 0, "FILE", OPTION_STRING, &o.config,
         "config.json (or params.json) to use for sides that are no GGUF", NULL},
        {"tolerance", 0, "X", OPTION_DOUBLE, &o.tolerance,
         "largest max |Δlogit| / max |logit| that agrees (default: from the types of the weights)",
         "What to report"},
        {"ppl-style", 0, "all|llama", OPTION_CHOICE, &o.ppl_style,
         "ids that perplexity counts: all but each window's first, or each window's second half, as "
         "llama-perplexity does",
         NULL},
        {"save-logits", 0, "FILE.npy", OPTION_STRING, &o.save_logits,
         "write A's logits, float32 (float64 with --precision f64), shape (positions, vocabulary)", NULL},
        {"plot", 0, "FILE.png", OPTION_STRING, &o.plot,
         "draw the difference by position, with the worst tokens, and how it is distributed", NULL},
        {"points", 0, "FILE.csv", OPTION_STRING, &o.points, "write what was measured at each position as a table", NULL},
        {"weights", 0, NULL, OPTION_FLAG, &o.weights,
         "tensor by tensor, no forward pass: exact, exact after cast, quantized, different, missing, extra", NULL},
        {"trace", 0, NULL, OPTION_FLAG, &o.trace,
         "compare after every operation; name the first that is off, and the likely cause", NULL},
        {"requantize", 0, NULL, OPTION_FLAG, &o.requantize,
         "A is the source of the quantized GGUF B: derive B's tensors again and compare the bytes", "Quantized files"},
        {"imatrix", 0, "FILE", OPTION_STRING, &o.imatrix, "importance matrix that B was made with", NULL},
        {0},
    };
    struct tool tool = {
        .name = "lathe-verify",
        .usage = "A [B]",
        .summary = "Runs the same tokens through two forms of a model and compares the logits.",
        .examples = "  lathe-verify SmolLM2-135M/ smollm2.gguf\n"
                    "  lathe-verify SmolLM2-135M/ smollm2.gguf --tokens ids.txt --json\n"
                    "  lathe-verify SmolLM2-135M/ smollm2-q4.gguf --text wiki.txt\n"
                    "  lathe-verify gpt2/ --tokens ids.npy --save-logits logits.npy --precision f64\n",
        .specs = specs,
        .n_min = 1,
        .n_max = 2,
    };
    struct call c = {.tool = &tool, .o = &o};
    struct error err = {0};
    signals_install();
    enum tool_parsed parsed = tool_parse(&tool, argc, argv, &err);
    int code = parsed == TOOL_RUN ? run(&c) : parsed == TOOL_MISUSE ? tool_fail(&tool, &err) : 0;
    close_call(&c);
    tool_clear(&tool);
    return code;
}
