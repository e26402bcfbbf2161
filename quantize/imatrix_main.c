#include "quantize/imatrix_main.h"
#include "core/collect.h"
#include "core/emit.h"
#include "core/plan_report.h"
#include "core/tokens.h"
#include "formats/tokenizer.h"

#include <inttypes.h>
#include <stdio.h>

enum { CONTEXT_DEFAULT = 512 };

struct call {
    const struct tool *tool;
    const struct imatrix_options *o;
    struct model *model;
    struct workers *workers;
    struct tokens tokens;
    struct warnings warn;
    struct progress progress;
    struct collect_result result;
    int64_t n_context, start_ns;
    int32_t bos; /* -1: none */
};

static enum status check(const struct call *c, struct error *err)
{
    const struct imatrix_options *o = c->o;
    if (c->tool->n_args > 0)
        return error_set(err, STATUS_USAGE, "--collect-imatrix: expected no file beside the model, found '%s'", c->tool->args[0]);
    if ((o->text != NULL) + (o->tokens != NULL) != 1)
        return error_set(err, STATUS_USAGE, "--collect-imatrix: expected either --text FILE or --tokens FILE to run the model on");
    if (!o->output) return error_set(err, STATUS_USAGE, "--collect-imatrix: -o FILE names the importance matrix to write");
    if (o->n_context < 0) return error_set(err, STATUS_USAGE, "option '--context': expected a positive number");
    return emit_check_free(o->output, o->force, err);
}

static int64_t context_of(const struct call *c)
{
    int64_t trained = c->model->hp.n_ctx;
    if (c->o->n_context > 0) return c->o->n_context;
    return trained > 0 && trained < CONTEXT_DEFAULT ? trained : CONTEXT_DEFAULT;
}

/* BOS, where the model's tokenizer begins texts with it: llama-imatrix lets it take the place of each window's first id. */
static enum status find_bos(struct call *c, struct error *err)
{
    const struct checkpoint *ckpt = c->model->ckpt;
    struct warnings unheard = {0};
    struct tokenizer *t = NULL;
    enum status st = c->model->is_gguf ? tokenizer_from_gguf(&t, ckpt_gguf(ckpt), err)
                                       : tokenizer_load(&t, ckpt->dir, c->model->hp.n_vocab, &unheard, err);
    if (st == STATUS_OK && (t->add_bos == SAID_YES || (t->add_bos == SAID_NOTHING && t->kind == TOKENIZER_SPM)))
        c->bos = (int32_t)t->special[SPECIAL_BOS];
    tokenizer_free(t);
    warnings_clear(&unheard);
    return st;
}

static enum status read_ids(struct call *c, struct error *err)
{
    const struct tokens_text text = {.file = c->o->text, .paths = &c->o->model, .n_paths = 1};
    c->bos = -1;
    if (c->o->tokens) return tokens_read(&c->tokens, c->o->tokens, c->model->hp.n_vocab, err);
    TRY(tokens_encode(&c->tokens, &text, c->model->hp.n_vocab, err));
    return find_bos(c, err);
}

static enum status collect(struct call *c, struct error *err)
{
    const struct model_options plain = {0};
    TRY(check(c, err));
    TRY(workers_new(&c->workers, (int)c->tool->threads, err));
    TRY(model_open(&c->model, c->o->model, &plain, &c->warn, err));
    TRY(warnings_check(&c->warn, err));
    c->n_context = context_of(c);
    TRY(read_ids(c, err));
    struct collect_options options = {
        .tool = c->tool,
        .path = c->o->output,
        .flags = c->o->force ? OUTFILE_REPLACE : OUTFILE_NEW,
        .dataset = c->o->tokens ? c->o->tokens : c->o->text,
        .n_context = c->n_context,
        .first_id = c->bos,
        .workers = c->workers,
        .progress = &c->progress,
    };
    progress_begin(&c->progress, c->tool->progress, c->tool->quiet, "collecting", collect_bytes(c->model, c->tokens.n / c->n_context));
    enum status st = collect_run(c->model, c->tokens.ids, c->tokens.n, &options, &c->result, err);
    progress_end(&c->progress);
    return st;
}

static void report_text(const struct call *c, double seconds, struct buf *b)
{
    char name[1024], size[32], peak[32];
    int64_t rest = c->tokens.n - c->result.n_chunks * c->n_context;
    text_escape(c->o->output, name, sizeof name);
    buf_printf(b, "%s: %zu entries from %" PRId64 " window%s of %" PRId64 " positions, %s, %.1f s, peak %s\n", name, c->result.n_entries,
               c->result.n_chunks, c->result.n_chunks == 1 ? "" : "s", c->n_context, format_bytes(size, c->result.size_bytes), seconds,
               format_bytes(peak, memory_peak_bytes()));
    if (rest > 0) buf_printf(b, "the last %" PRId64 " ids are less than a window and were not used\n", rest);
}

static void report_json(const struct call *c, double seconds, struct buf *b)
{
    struct jwriter w = {.out = b};
    jw_begin_object(&w, NULL);
    jw_string(&w, "output", c->o->output);
    jw_uint(&w, "size_bytes", c->result.size_bytes);
    jw_uint(&w, "entries", c->result.n_entries);
    jw_int(&w, "chunks", c->result.n_chunks);
    jw_int(&w, "chunk_size", c->n_context);
    jw_int(&w, "unused_ids", c->tokens.n - c->result.n_chunks * c->n_context);
    report_warnings_json(&c->warn, &w);
    jw_double(&w, "seconds", seconds);
    jw_uint(&w, "peak_bytes", memory_peak_bytes());
    jw_end_object(&w);
    buf_puts(b, "\n");
}

int imatrix_main(const struct tool *tool, const struct imatrix_options *o)
{
    struct call c = {.tool = tool, .o = o, .start_ns = clock_ns()};
    struct error err = {0};
    struct buf out = {0}, notes = {0};
    int code;
    if (collect(&c, &err) == STATUS_OK) {
        double seconds = (double)(clock_ns() - c.start_ns) * 1e-9;
        if (tool->json)
            report_json(&c, seconds, &out);
        else if (!tool->quiet)
            report_text(&c, seconds, &out);
        if (!tool->json && !tool->quiet) report_warnings(&c.warn, tool->name, &notes);
        if (notes.data) fputs(notes.data, stderr);
        code = tool_finish(tool, &out, 0);
    } else {
        code = tool_fail(tool, &err);
    }
    buf_clear(&out);
    buf_clear(&notes);
    tokens_clear(&c.tokens);
    model_close(c.model);
    workers_free(c.workers);
    warnings_clear(&c.warn);
    return code;
}
