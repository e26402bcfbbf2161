#include "inspect/reports.h"

#include "core/sources.h"
#include "inspect/listing.h"
#include "inspect/summary.h"
#include "inspect/table.h"

#include <stdio.h>
#include <string.h>

const char *reports_wanted(const struct report_options *o)
{
    const struct {
        bool on;
        const char *name;
    } lists[] = {
        {o->tensors, "--tensors"}, {o->metadata, "--metadata"}, {o->config, "--config"},
        {o->stats, "--stats"},     {o->hash, "--hash"},         {o->csv, "--csv"},
        {o->tokens.text, "--tokenize"}, {o->tokens.file, "--tokenize-file"}, {o->tokens.ids, "--detokenize"},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (lists[i].on) return lists[i].name;
    return NULL;
}

static bool wants_tokens(const struct report_options *o)
{
    return o->tokens.text || o->tokens.file || o->tokens.ids;
}

static enum status check_tokens(const struct tool *t, const struct report_options *o, struct error *err)
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

static enum status check_options(const struct tool *t, const struct report_options *o, struct error *err)
{
    if (o->csv && (t->n_args != 1 || t->json || o->metadata || o->config))
        return error_set(err, STATUS_USAGE, "--csv is the list of one checkpoint's tensors and nothing else");
    return check_tokens(t, o, err);
}

static uint64_t bytes_to_read(const struct subject *s, const struct report_options *o)
{
    return s->weight_bytes * ((o->stats ? 1u : 0u) + (o->hash ? 1u : 0u));
}

static enum status report_text(const struct subject *s, const struct report_options *o,
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

static enum status report_json(const struct subject *s, const struct report_options *o,
                               const struct listing *list, struct jwriter *w, struct error *err)
{
    jw_begin_object(w, NULL);
    summary_json(s, w);
    if (o->metadata) listing_metadata_json(s, list, w);
    if (o->tensors || o->stats || o->hash) TRY(listing_tensors_json(s, list, w, err));
    jw_end_object(w);
    return STATUS_OK;
}

static enum status inspect_one(const struct tool *t, const struct report_options *o, const char *path,
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
    if (st == STATUS_OK && (o->stats || o->hash)) st = sources_check(t, s.ckpt, err);
    subject_close(&s);
    return st;
}

/* ---- one checkpoint, or several of which some may be unreadable ---- */

struct many {
    const struct tool *t;
    const struct report_options *o;
    struct workers *workers;
    struct buf *out;
    struct jwriter w;
    struct table table;
    struct buf said; /* error lines */
    int code;
};

static bool is_table(const struct many *m)
{
    const struct report_options *o = m->o;
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

enum status reports_run(const struct tool *t, const struct report_options *o, int *code, struct buf *out,
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
