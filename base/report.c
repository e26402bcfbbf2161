/* The half of options.h that speaks to the user: results, errors, colours. */
#include "base/file.h"
#include "base/json.h"
#include "base/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *or_null(const char *s)
{
    return s[0] ? s : NULL;
}

static void print_json(const struct tool *t, const struct error *err)
{
    struct buf text = {0};
    struct jwriter w = {.out = &text, .pretty = true};
    jw_begin_object(&w, NULL);
    jw_string(&w, "tool", t->name);
    jw_string(&w, "status", status_name(err->status));
    jw_string(&w, "file", or_null(err->path));
    jw_string(&w, "tensor", or_null(err->tensor));
    jw_string(&w, "text", err->text);
    jw_string(&w, "hint", or_null(err->hint));
    jw_end_object(&w);
    buf_puts(&text, "\n");
    if (!text.failed) fwrite(text.data, 1, text.len, stdout);
    fflush(stdout);
    buf_clear(&text);
}

int tool_fail(const struct tool *t, const struct error *err)
{
    char line[2 * sizeof *err], hint[2 * sizeof err->hint];
    if (!err->text[0]) return 2; /* a bare call: its short help has been shown */
    error_format(err, t->name, line, sizeof line);
    text_escape(err->hint, hint, sizeof hint);
    fflush(stdout);
    fprintf(stderr, "%s\n", line);
    if (hint[0]) fprintf(stderr, "  hint: %s\n", hint);
    if (t->json) print_json(t, err);
    return 2;
}

enum status tool_keep(const struct tool *t, struct outfile *file, struct error *err)
{
    if (t->files->n < TOOL_FILES_MAX) {
        t->files->items[t->files->n++] = file;
        return STATUS_OK;
    }
    outfile_discard(file);
    return error_set(err, STATUS_RANGE, "more than %d files beside a report", TOOL_FILES_MAX);
}

/* The report has been printed: an error is one line more, and no second document. */
static int commit_files(const struct tool *t)
{
    struct error err;
    struct tool plain = *t;
    if (!t->files || t->files->n == 0) return 0;
    enum status st = outfiles_commit(t->files->items, t->files->n, &err);
    t->files->n = 0;
    plain.json = false;
    return st == STATUS_OK ? 0 : tool_fail(&plain, &err);
}

int tool_finish(const struct tool *t, const struct buf *text, int code)
{
    if (text->failed) {
        fprintf(stderr, "%s: out of memory for the output\n", t->name);
        return 2;
    }
    errno = 0;
    if ((text->len == 0 || fwrite(text->data, 1, text->len, stdout) == text->len) && fflush(stdout) == 0)
        return commit_files(t) == 0 ? code : 2;
    fprintf(stderr, "%s: cannot write to standard output: %s\n", t->name, strerror(errno));
    return 2;
}

bool tool_color(const struct tool *t)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (t->color != 0) return t->color == 1;
    if (no_color && no_color[0]) return false;
    return term && strcmp(term, "dumb") != 0 && isatty(STDOUT_FILENO);
}
