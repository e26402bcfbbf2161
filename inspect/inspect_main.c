#include "inspect/inspect.h"

#include "base/options.h"
#include "inspect/audit.h"
#include "inspect/diff.h"
#include "inspect/html.h"
#include "inspect/listing.h"
#include "inspect/pictures.h"
#include "inspect/summary.h"
#include "inspect/table.h"
#include "inspect/tokenizer_check.h"
#include "inspect/tokens.h"

#include <stdio.h>
#include <string.h>

struct inspect_options {
    bool tensors, metadata, config, all, stats, hash, csv;
    struct picture_options pictures;
    struct tokens_request tokens;
    bool tokenizer_check, audit, diff;
    const char *html;
};

static bool wants_tokens(const struct inspect_options *o)
{
    return o->tokens.text || o->tokens.file || o->tokens.ids;
}

static enum status check_tokens(const struct tool *t, const struct inspect_options *o, struct error *err)
{
    const struct tokens_request *r = &o->tokens;
    if ((r->text != NULL) + (r->file != NULL) + (r->ids != NULL) > 1)
        return error_set(err, STATUS_USAGE, "--tokenize, --tokenize-file and --detokenize: only one of them");
    if (wants_tokens(o) && t->n_args != 1)
        return error_set(err, STATUS_USAGE, "text goes through one tokenizer: expected one checkpoint, found %d", t->n_args);
    if (!wants_tokens(o) && (r->add_special || r->no_special))
        return error_set(err, STATUS_USAGE, "--%s-special goes with --tokenize, --tokenize-file or --detokenize",
                         r->add_special ? "add" : "no");
    return STATUS_OK;
}

static enum status check_options(const struct tool *t, const struct inspect_options *o, struct error *err)
{
    TRY(pictures_check_alone(&o->pictures, err));
    if (o->csv && (t->n_args != 1 || t->json || o->metadata || o->config))
        return error_set(err, STATUS_USAGE, "--csv is the list of one checkpoint's tensors and nothing else");
    return check_tokens(t, o, err);
}

static uint64_t bytes_to_read(const struct subject *s, const struct inspect_options *o)
{
    return s->weight_bytes * ((o->stats ? 1u : 0u) + (o->hash ? 1u : 0u));
}

static enum status report_text(const struct subject *s, const struct inspect_options *o,
                               const struct listing *list, struct buf *out, struct error *err)
{
    if (o->csv) return listing_tensors_csv(s, list, out, err);
    bool lists = o->tensors || o->stats || o->hash || o->metadata || o->config;
    if (!lists) summary_text(s, out);
    if (o->config) listing_config_text(s, out);
    if (o->metadata) listing_metadata_text(s, list, out);
    if (o->tensors || o->stats || o->hash) TRY(listing_tensors_text(s, list, out, err));
    return STATUS_OK;
}

static enum status report_json(const struct subject *s, const struct inspect_options *o,
                               const struct listing *list, struct jwriter *w, struct error *err)
{
    jw_begin_object(w, NULL);
    summary_json(s, w);
    if (o->metadata) listing_metadata_json(s, list, w);
    if (o->tensors || o->stats || o->hash) TRY(listing_tensors_json(s, list, w, err));
    jw_end_object(w);
    return STATUS_OK;
}

static enum status inspect_one(const struct tool *t, const struct inspect_options *o, const char *path,
                               struct workers *workers, struct buf *out, struct jwriter *w, struct error *err)
{
    struct subject s;
    if (wants_tokens(o)) return tokens_run(path, &o->tokens, out, t->json ? w : NULL, err);
    TRY(subject_open_headers(&s, path, err));
    struct progress progress = {0};
    if (o->stats || o->hash) progress_begin(&progress, t->progress, t->quiet, "reading", bytes_to_read(&s, o));
    struct listing list = {o->stats, o->hash, o->all, workers, &progress};
    enum status st = t->json ? report_json(&s, o, &list, w, err) : report_text(&s, o, &list, out, err);
    progress_end(&progress);
    subject_close(&s);
    return st;
}

/* ---- one checkpoint, or several of which some may be unreadable ---- */

struct many {
    const struct tool *t;
    const struct inspect_options *o;
    struct workers *workers;
    struct buf *out;
    struct jwriter w;
    struct table table;
    struct buf said; /* error lines */
    int code;
};

static bool is_table(const struct many *m)
{
    const struct inspect_options *o = m->o;
    return !m->t->json && !(o->tensors || o->metadata || o->config || o->stats || o->hash);
}

static enum status add_row(struct many *m, const char *path, struct error *err)
{
    struct subject s;
    TRY(subject_open_headers(&s, path, err));
    enum status st = table_add(&m->table, &s, err);
    subject_close(&s);
    return st;
}

/* The file's place in the output tells why it cannot be read; what was written of it so far goes. */
static enum status tell_unreadable(struct many *m, const char *path, const struct error *why, struct error *err)
{
    char line[2 * sizeof *why];
    error_format(why, m->t->name, line, sizeof line);
    buf_printf(&m->said, "%s\n", line);
    m->code = 2;
    if (m->t->json) {
        jw_begin_object(&m->w, NULL);
        jw_string(&m->w, "path", path);
        jw_begin_object(&m->w, "error");
        jw_string(&m->w, "status", status_name(why->status));
        jw_string(&m->w, "tensor", why->tensor[0] ? why->tensor : NULL);
        jw_string(&m->w, "text", why->text);
        jw_end_object(&m->w);
        jw_end_object(&m->w);
        return STATUS_OK;
    }
    return is_table(m) ? table_add_error(&m->table, path, why, err) : STATUS_OK;
}

static enum status inspect_next(struct many *m, const char *path, struct error *err)
{
    size_t len = m->out->len;
    struct jwriter w = m->w;
    if (!m->t->json && !is_table(m) && len > 0) buf_puts(m->out, "\n");
    enum status st = is_table(m) ? add_row(m, path, err) : inspect_one(m->t, m->o, path, m->workers, m->out, &m->w, err);
    if (st == STATUS_OK || st == STATUS_NOMEM || st == STATUS_USAGE) return st;
    struct error why = *err;
    m->out->len = len;
    m->w = w;
    return tell_unreadable(m, path, &why, err);
}

static enum status inspect_many(struct many *m, struct error *err)
{
    enum status st = STATUS_OK;
    if (m->t->json) {
        jw_begin_object(&m->w, NULL);
        jw_begin_array(&m->w, "files");
    }
    for (int i = 0; st == STATUS_OK && i < m->t->n_args; i++) st = inspect_next(m, m->t->args[i], err);
    if (m->t->json) {
        jw_end_array(&m->w);
        jw_end_object(&m->w);
    }
    if (st == STATUS_OK && is_table(m)) table_text(&m->table, m->out);
    if (st == STATUS_OK && m->said.len > 0) fputs(m->said.data, stderr);
    table_clear(&m->table);
    buf_clear(&m->said);
    return st;
}

static enum status inspect_all(const struct tool *t, const struct inspect_options *o, int *code, struct buf *out,
                               struct error *err)
{
    struct many m = {.t = t, .o = o, .out = out, .w = {.out = out, .pretty = true}};
    TRY(check_options(t, o, err));
    TRY(workers_new(&m.workers, (int)t->threads, err));
    enum status st = t->n_args > 1 ? inspect_many(&m, err) : inspect_one(t, o, t->args[0], m.workers, out, &m.w, err);
    if (t->json) buf_puts(out, "\n");
    workers_free(m.workers);
    *code = m.code;
    return st == STATUS_OK ? buf_check(out, err) : st;
}

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
    enum status st = audit_run((const char *const *)t->args, t->n_args, o->all, code, out, t->json ? &w : NULL, err);
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

static enum status inspect(const struct tool *t, const struct inspect_options *o, int *code, struct buf *out, struct error *err)
{
    if (o->tokenizer_check) return check_tokenizers(t, code, out, err);
    if (o->diff) return diff_two(t, code, out, err);
    if (o->audit) return audit(t, o, code, out, err);
    if (o->html) return page(t, o, out, err);
    if (pictures_wanted(&o->pictures)) return pictures_run(t, &o->pictures, out, err);
    return inspect_all(t, o, code, out, err);
}

int inspect_main(int argc, char **argv)
{
    struct inspect_options o = {.pictures = PICTURE_OPTIONS_INIT};
    struct picture_options *p = &o.pictures;
    struct attention_options *a = &p->attention;
    const struct option_spec specs[] = {
        {"tensors", 0, NULL, OPTION_FLAG, &o.tensors, "every tensor: name, type, shape, bytes",
         "What to show (default: one screen)"},
        {"metadata", 0, NULL, OPTION_FLAG, &o.metadata, "metadata keys with their types and values", NULL},
        {"config", 0, NULL, OPTION_FLAG, &o.config,
         "the configuration: config.json, or the architecture's keys", NULL},
        {"all", 0, NULL, OPTION_FLAG, &o.all, "layers line by line, arrays and strings whole", NULL},
        {"stats", 0, NULL, OPTION_FLAG, &o.stats,
         "per tensor: min, max, mean, std, kurtosis, zeros, NaN, Inf, subnormals, outlier channels; the same by "
         "role (reads the weights)",
         NULL},
        {"hash", 0, NULL, OPTION_FLAG, &o.hash,
         "per tensor: SHA-256 of its bytes in row-major order (reads the weights)", NULL},
        {"audit", 0, NULL, OPTION_FLAG, &o.audit,
         "what a pickle would run, where bytes lie that no tensor owns, what readers refuse (with --all: every opcode); executes nothing", NULL},
        {"diff", 0, NULL, OPTION_FLAG, &o.diff, "A B: what differs in metadata, hyperparameters, tensor names, types and shapes, layouts undone", NULL},
        {"csv", 0, NULL, OPTION_FLAG, &o.csv, "the list of tensors as comma-separated values", NULL},
        {"tokenize", 0, "TEXT", OPTION_STRING, &o.tokens.text, "pieces and ids of a text, as the model's own tokenizer cuts it",
         "Text"},
        {"tokenize-file", 0, "FILE", OPTION_STRING, &o.tokens.file, "ids of a file, one line of ids per line", NULL},
        {"detokenize", 0, "IDS", OPTION_STRING, &o.tokens.ids, "the text of ids", NULL},
        {"add-special", 0, NULL, OPTION_FLAG, &o.tokens.add_special,
         "with what the tokenizer puts around a text: BOS, EOS, ...", NULL},
        {"no-special", 0, NULL, OPTION_FLAG, &o.tokens.no_special,
         "special tokens in the text are text; with --detokenize: leave them out", NULL},
        {"tokenizer-check", 0, NULL, OPTION_FLAG, &o.tokenizer_check,
         "SOURCE OUT.gguf, or OUT.gguf with a full receipt: does the embedded tokenizer give the source's ids?", NULL},
        {"html", 0, "FILE", OPTION_STRING, &o.html,
         "everything on one page that loads nothing: tensors, statistics, weights, with a text attention, with --against what differs", "Pictures"},
        {"heatmap", 0, "TENSOR", OPTION_STRING, &p->heatmap, "a tensor's weights", NULL},
        {"attention", 0, NULL, OPTION_FLAG, &a->wanted, "what the heads look at over a text: all, or those of --layer and --head", NULL},
        {"output", 'o', "FILE", OPTION_STRING, &p->output,
         ".png, .svg, or .npy for the numbers of --attention; replaced if it exists (default: onto the terminal)", NULL},
        {"against", 0, "OTHER", OPTION_STRING, &p->against, "another form of the model: the difference", NULL},
        {"reduce", 0, "extreme|mean|rms", OPTION_CHOICE, &p->reduction,
         "what one cell of a large matrix shows: value of largest magnitude, mean magnitude, root mean "
         "square",
         NULL},
        {"clip", 0, "PERCENT", OPTION_DOUBLE, &p->clip, "of the cells that the colours reach (default 99.9); what is beyond gets the last colour", NULL},
        {"layer", 0, "N", OPTION_INT, &a->layer, "of --attention: one layer, from 0 on", NULL},
        {"head", 0, "N", OPTION_INT, &a->head, "of --attention: one head, from 0 on", NULL},
        {"prompt", 0, "TEXT", OPTION_STRING, &a->prompt, "what --attention runs over; no BOS is added", NULL},
        {"text", 0, "FILE", OPTION_STRING, &a->text, "the same, from a file", NULL},
        {"tokens", 0, "FILE", OPTION_STRING, &a->tokens, "the same as ids: text, or .npy", NULL},
        {"context", 0, "N", OPTION_INT, &a->context, "ids from the start (default: at most 2048)", NULL},
        {"causal", 0, NULL, OPTION_FLAG, &a->causal, "plain positions and a causal mask, whatever the family's code makes of the ids", NULL},
        {"precision", 0, "f32|f64", OPTION_CHOICE, &a->precision, "of the forward pass", NULL},
        {0},
    };
    struct tool tool = {
        .name = "lathe-inspect",
        .usage = "FILE|DIR ...",
        .summary = "Shows what is inside a checkpoint: safetensors, PyTorch or GGUF, recognised by content.",
        .examples = "  lathe-inspect model.gguf\n"
                    "  lathe-inspect SmolLM2-135M/ --tensors --stats\n"
                    "  lathe-inspect model.gguf --tokenize 'Hello world'\n"
                    "  lathe-inspect model.gguf --heatmap blk.0.attn_q.weight -o q.png\n"
                    "  lathe-inspect model.gguf --attention --prompt 'The cat sat' --layer 3 --head 5\n",
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
