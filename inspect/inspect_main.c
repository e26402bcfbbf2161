#include "inspect/inspect.h"

#include "base/options.h"
#include "inspect/audit.h"
#include "inspect/diff.h"
#include "inspect/html.h"
#include "inspect/pictures.h"
#include "inspect/reports.h"
#include "inspect/tokenizer_check.h"

#include <string.h>

struct inspect_options {
    struct report_options report;
    struct picture_options pictures;
    bool tokenizer_check, audit, diff;
    const char *html;
};

static enum status check_tokenizers(const struct tool *t, int *code, struct buf *out, struct error *err)
{
    struct jwriter w = {.out = out, .pretty = true};
    if (t->n_args > 2)
        return error_set(err, STATUS_USAGE, "--tokenizer-check takes a source and a GGUF, or a GGUF with a receipt; found %d", t->n_args);
    enum status st = tokenizer_check_run(t->args, t->n_args, code, out, t->json ? &w : NULL, err);
    if (t->json) buf_puts(out, "\n");
    return st == STATUS_OK ? buf_check(out, err) : st;
}

static enum status audit(const struct tool *t, const struct inspect_options *o, int *code, struct buf *out, struct error *err)
{
    struct jwriter w = {.out = out, .pretty = true};
    enum status st = audit_run((const char *const *)t->args, t->n_args, o->report.all, code, out, t->json ? &w : NULL, err);
    if (t->json) buf_puts(out, "\n");
    return st == STATUS_OK ? buf_check(out, err) : st;
}

static enum status diff_two(const struct tool *t, int *code, struct buf *out, struct error *err)
{
    struct subject a, b;
    struct diff d;
    struct jwriter w = {.out = out, .pretty = true};
    if (t->n_args != 2) return error_set(err, STATUS_USAGE, "--diff takes two checkpoints, found %d", t->n_args);
    TRY(subject_open_headers(&a, t->args[0], err));
    enum status st = subject_open_headers(&b, t->args[1], err);
    if (st == STATUS_OK) {
        st = diff_make(&d, &a, &b, err);
        if (st == STATUS_OK) {
            *code = !diff_same(&d);
            t->json ? diff_json(&d, &w) : diff_text(&d, out);
            if (t->json) buf_puts(out, "\n");
            diff_clear(&d);
        }
        subject_close(&b);
    }
    subject_close(&a);
    return st == STATUS_OK ? buf_check(out, err) : st;
}

static enum status page(const struct tool *t, const struct inspect_options *o, struct buf *out, struct error *err)
{
    struct workers *workers;
    struct jwriter w = {.out = out, .pretty = true};
    TRY(workers_new(&workers, (int)t->threads, err));
    enum status st = html_report(t, o->html, &o->pictures, workers, out, t->json ? &w : NULL, err);
    if (t->json) buf_puts(out, "\n");
    workers_free(workers);
    return st == STATUS_OK ? buf_check(out, err) : st;
}

/* Each is an answer of its own. */
static enum status check_modes(const struct inspect_options *o, struct error *err)
{
    const struct {
        bool on;
        const char *name;
    } modes[] = {
        {o->tokenizer_check, "--tokenizer-check"}, {o->diff, "--diff"}, {o->audit, "--audit"}, {o->html != NULL, "--html"},
    };
    const char *first = NULL;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (!modes[i].on) continue;
        if (first) return error_set(err, STATUS_USAGE, "%s and %s: only one of them", first, modes[i].name);
        first = modes[i].name;
    }
    const char *list = first ? reports_wanted(&o->report) : NULL;
    return list ? error_set(err, STATUS_USAGE, "%s and %s: only one of them", first, list) : STATUS_OK;
}

static enum status inspect(const struct tool *t, const struct inspect_options *o, int *code, struct buf *out, struct error *err)
{
    TRY(check_modes(o, err));
    if (o->tokenizer_check) return check_tokenizers(t, code, out, err);
    if (o->diff) return diff_two(t, code, out, err);
    if (o->audit) return audit(t, o, code, out, err);
    if (o->html) return page(t, o, out, err);
    if (pictures_wanted(&o->pictures)) return pictures_run(t, &o->pictures, out, err);
    TRY(pictures_check_alone(&o->pictures, err));
    return reports_run(t, &o->report, code, out, err);
}

int inspect_main(int argc, char **argv)
{
    struct inspect_options o = {.pictures = PICTURE_OPTIONS_INIT};
    struct picture_options *p = &o.pictures;
    struct attention_options *a = &p->attention;
    struct report_options *r = &o.report;
    const struct option_spec specs[] = {
        {"tensors", 0, NULL, OPTION_FLAG, &r->tensors, "every tensor: name, type, shape, bytes",
         "What to show (default: one screen)"},
        {"metadata", 0, NULL, OPTION_FLAG, &r->metadata, "metadata keys with their types and values", NULL},
        {"config", 0, NULL, OPTION_FLAG, &r->config,
         "the configuration: config.json, or the architecture's keys", NULL},
        {"all", 0, NULL, OPTION_FLAG, &r->all, "layers line by line, arrays and strings whole", NULL},
        {"stats", 0, NULL, OPTION_FLAG, &r->stats,
         "per tensor: min, max, mean, std, kurtosis, zeros, NaN, Inf, subnormals, outlier channels; the same by "
         "role (reads the weights)",
         NULL},
        {"hash", 0, NULL, OPTION_FLAG, &r->hash,
         "per tensor: SHA-256 of its bytes in row-major order (reads the weights)", NULL},
        {"audit", 0, NULL, OPTION_FLAG, &o.audit,
         "what a pickle would run, where bytes lie that no tensor owns, what readers refuse (with --all: every opcode); executes nothing", NULL},
        {"diff", 0, NULL, OPTION_FLAG, &o.diff, "A B: what differs in metadata, hyperparameters, tensor names, types and shapes, layouts undone", NULL},
        {"csv", 0, NULL, OPTION_FLAG, &r->csv, "the list of tensors as comma-separated values", NULL},
        {"tokenize", 0, "TEXT", OPTION_STRING, &r->tokens.text, "pieces and ids of a text, as the model's own tokenizer cuts it",
         "Text"},
        {"tokenize-file", 0, "FILE", OPTION_STRING, &r->tokens.file, "ids of a file, one line of ids per line", NULL},
        {"detokenize", 0, "IDS", OPTION_STRING, &r->tokens.ids, "the text of ids", NULL},
        {"add-special", 0, NULL, OPTION_FLAG, &r->tokens.add_special,
         "with what the tokenizer puts around a text: BOS, EOS, ...", NULL},
        {"no-special", 0, NULL, OPTION_FLAG, &r->tokens.no_special,
         "special tokens in the text are text; with --detokenize: leave them out", NULL},
        {"tokenizer-check", 0, NULL, OPTION_FLAG, &o.tokenizer_check,
         "SOURCE OUT.gguf, or OUT.gguf with a full receipt: does the embedded tokenizer give the source's ids?", NULL},
        {"html", 0, "FILE", OPTION_STRING, &o.html,
         "everything on one page that loads nothing: tensors, statistics, weights, with a text attention, with --against what differs", "Pictures"},
        {"heatmap", 0, "TENSOR", OPTION_STRING, &p->heatmap, "a tensor's weights", NULL},
        {"grid", 0, "ROLE", OPTION_STRING, &p->grid, "a role (attn_q, ffn_down, attn_norm, ...) in all layers, on one page", NULL},
        {"histogram", 0, "TENSOR", OPTION_STRING, &p->histogram, "how often values occur in a tensor", NULL},
        {"attention", 0, NULL, OPTION_FLAG, &a->wanted, "what the heads look at over a text: all, or those of --layer and --head", NULL},
        {"output", 'o', "FILE", OPTION_STRING, &p->output,
         ".png, .svg, or .npy for the numbers behind it; replaced if it exists (default: onto the terminal)", NULL},
        {"against", 0, "OTHER", OPTION_STRING, &p->against, "another form of the model: the difference", NULL},
        {"reduce", 0, "extreme|absmax|mean|rms", OPTION_CHOICE, &p->reduction,
         "what one cell of a large matrix shows: the value of largest magnitude, that magnitude, mean magnitude, root mean square",
         NULL},
        {"clip", 0, "PERCENT", OPTION_DOUBLE, &p->clip, "of the cells that the colours reach (default 99.9); what is beyond gets the last colour", NULL},
        {"layer", 0, "N", OPTION_INT, &a->layer, "of --attention: one layer, from 0 on", NULL},
        {"head", 0, "N", OPTION_INT, &a->head, "of --attention: one head, from 0 on", NULL},
        {"prompt", 0, "TEXT", OPTION_STRING, &a->prompt, "what --attention and --html run over; no BOS is added", NULL},
        {"text", 0, "FILE", OPTION_STRING, &a->text, "the same, from a file", NULL},
        {"tokens", 0, "FILE", OPTION_STRING, &a->tokens, "the same as ids: text, or .npy", NULL},
        {"context", 0, "N", OPTION_INT, &a->context, "ids from the start (default: at most 2048)", NULL},
        {"positions", 0, "model|causal", OPTION_CHOICE, &a->causal, "positions and mask as the family's code builds them from the ids (default), or counted and causal", NULL},
        {"precision", 0, "f32|f64", OPTION_CHOICE, &a->precision, "of the forward pass", NULL},
        {0},
    };
    struct tool tool = {
        .name = "lathe-inspect",
        .usage = "FILE|DIR ...",
        .summary = "Shows what is inside a checkpoint: safetensors, PyTorch or GGUF, recognised by content.",
        .examples = "  lathe-inspect model.gguf\n"
                    "  lathe-inspect pytorch_model.bin --audit\n"
                    "  lathe-inspect SmolLM2-135M/ --tensors --stats\n"
                    "  lathe-inspect model.gguf --tokenize 'Hello world'\n"
                    "  lathe-inspect model.gguf --heatmap blk.0.attn_q.weight -o q.png\n"
                    "  lathe-inspect model.gguf --attention --prompt 'The cat sat' --layer 3 --head 5\n"
                    "  lathe-inspect SmolLM2-135M/ model.gguf --diff\n"
                    "  lathe-inspect SmolLM2-135M/ --html report.html --against model.gguf --prompt 'The cat sat'\n",
        .specs = specs,
        .n_min = 1,
        .n_max = -1,
    };
    struct error err = {0};
    struct buf out = {0};
    int code = 0;
    enum tool_parsed parsed = tool_parse(&tool, argc, argv, &err);
    if (parsed == TOOL_RUN)
        code = inspect(&tool, &o, &code, &out, &err) == STATUS_OK ? tool_finish(&tool, &out, code)
                                                                  : tool_fail(&tool, &err);
    else if (parsed == TOOL_MISUSE)
        code = err.text[0] ? tool_fail(&tool, &err) : 2;
    buf_clear(&out);
    tool_clear(&tool);
    return code;
}
