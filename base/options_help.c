#include "base/options_help.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 30, HELP_WIDTH = 100 };

static void append_spaces(struct buf *b, size_t n)
{
    for (; n > 0; n--) buf_append(b, " ", 1);
}

/* Words of text, the first of them at column `indent`; lines are broken before HELP_WIDTH and continued there. */
static void append_wrapped(struct buf *b, const char *text, size_t indent)
{
    for (size_t at = indent; *text;) {
        size_t n = strcspn(text, " ");
        if (at > indent && at + 1 + n > HELP_WIDTH) {
            buf_append(b, "\n", 1);
            append_spaces(b, indent);
            at = indent;
        } else if (at > indent) {
            buf_append(b, " ", 1);
            at++;
        }
        buf_append(b, text, n);
        at += n;
        text += n;
        text += strspn(text, " ");
    }
    buf_append(b, "\n", 1);
}

static void append_options(struct buf *b, const struct option_spec *specs, const char *heading)
{
    for (const struct option_spec *s = specs; s && s->name; s++) {
        if (!s->help) continue;
        if (s->group) heading = s->group;
        if (heading) buf_printf(b, "\n%s:\n", heading);
        heading = NULL;
        char letter[8] = "    ";
        if (s->letter) snprintf(letter, sizeof letter, "-%c, ", s->letter);
        size_t start = b->len;
        buf_printf(b, "  %s--%s%s%s", letter, s->name, s->arg ? " " : "", s->arg ? s->arg : "");
        size_t at = b->len - start;
        if (at + 2 > HELP_COLUMN) {
            buf_append(b, "\n", 1);
            at = 0;
        }
        append_spaces(b, HELP_COLUMN - at);
        append_wrapped(b, s->help, HELP_COLUMN);
    }
}

static void append_examples(const struct tool *t, struct buf *out)
{
    if (!t->examples) return;
    buf_puts(out, "\nexamples:\n");
    for (const char *line = t->examples; *line;) {
        line += strspn(line, " ");
        size_t n = strcspn(line, "\n");
        buf_printf(out, "  %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

static void append_heading(const struct tool *t, struct buf *out)
{
    buf_printf(out, "usage: %s %s\n", t->name, t->usage);
    append_wrapped(out, t->summary, 0);
    append_examples(t, out);
}

void help_short(const struct tool *t, struct buf *out)
{
    append_heading(t, out);
    buf_printf(out, "\n'%s --help' lists all options.\n", t->name);
}

void help_long(const struct tool *t, const struct option_spec *common, struct buf *out)
{
    append_heading(t, out);
    append_options(out, t->specs, "options");
    append_options(out, common, NULL);
    buf_puts(out, "\nexit status:\n"
                  "  0  done, or the answer is yes\n"
                  "  1  the check ran, and the answer is no\n"
                  "  2  it could not run: wrong usage, unreadable or malformed file, no space\n");
}
