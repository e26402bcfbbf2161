/* One table per tool gives parsing, --help and the list of options for docs and completion.
 *
 *     struct convert_options o = {.type = "keep"};
 *     const struct option_spec specs[] = {
 *         {"output", 'o', "OUT", OPTION_STRING, &o.output, "file or folder to write"},
 *         {"receipt", 0, "none|lean|full", OPTION_CHOICE, &o.receipt, "how much of the source to record"},
 *         {0}};
 *     struct tool tool = {.name = "lathe-convert", .usage = "SRC -o OUT", .specs = specs, ...};
 *     enum tool_parsed p = tool_parse(&tool, argc, argv, err);     help, version: printed; misuse: an error
 *
 * Order of options and positionals is free, "--" ends options, "--name=value" and "--name value" both work;
 * no abbreviations. Every tool has --help, --version, --json, --threads N, --quiet, --progress, --color
 * auto|always|never, --explain CODE besides its own.
 */
#ifndef LATHE_OPTIONS_H
#define LATHE_OPTIONS_H

#include "base/memory.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,   /* bool *: set to true */
    OPTION_STRING, /* const char ** : the argument, not copied; the last one wins */
    OPTION_LIST,   /* struct string_list *: each one is appended */
    OPTION_CHOICE, /* int *: index of the word among those of `arg` ("none|lean|full") */
    OPTION_INT,    /* int64_t *: decimal, whole argument */
    OPTION_DOUBLE, /* double *: finite */
    OPTION_DOUBLES, /* struct double_list *: each one is appended */
    OPTION_SIZE,   /* uint64_t *: bytes with an optional suffix K M G T (powers of 1024) */
};
struct string_list {
    const char **items; /* owned by the tool's arena */
    size_t count;
};
struct double_list {
    double *items; /* likewise */
    size_t count;
};
struct option_spec {
    const char *name; /* without dashes */
    char letter;      /* 0: no short form */
    const char *arg;  /* name of the argument in help, or the choices; NULL for a flag */
    enum option_kind kind;
    void *dst;
    const char *help;  /* one line; NULL: taken, but not listed */
    const char *group; /* heading in --help, or NULL: as the one before */
};
struct outfile;
enum { TOOL_FILES_MAX = 4 };
struct tool {
    const char *name, *usage, *summary;
    const char *examples;            /* lines shown first in help */
    const struct option_spec *specs; /* ends with a zeroed entry */
    int n_min, n_max;                /* positionals wanted; n_max < 0: no bound */
    /* results */
    const char **args; /* positionals, pointing into argv */
    int n_args;
    bool json, quiet, progress;
    int64_t threads;     /* 0: all cores */
    int color;           /* 0 auto, 1 always, 2 never */
    const char *explain; /* --explain CODE: then no positional is wanted; NULL if absent */
    struct arena mem;
    struct tool_files { /* see tool_keep; NULL before tool_parse */
        struct outfile *items[TOOL_FILES_MAX];
        size_t n;
    } *files;
};
enum tool_parsed { TOOL_RUN, TOOL_DONE, TOOL_MISUSE };
/* TOOL_DONE: help or version was printed to stdout, exit 0. TOOL_MISUSE: err is set (a typo comes with a
 * suggestion); for a bare call (no argument at all) short help goes to stderr and err->text is empty. */
enum tool_parsed tool_parse(struct tool *t, int argc, char **argv, struct error *err);
/* Prints the error line (or, with --json, a JSON document with status, file, tensor, text, hint on stdout as
 * well) and returns 2. */
int tool_fail(const struct tool *t, const struct error *err);
/* Writes the text to stdout and flushes, then gives the files that were kept their names. Returns `code`, or 2 with a message when stdout cannot take
 * the text (full disk, closed pipe), or a file not its name: then there is none of them. */
int tool_finish(const struct tool *t, const struct buf *text, int code);
/* Takes a file whose bytes are written: it is committed by tool_finish, since a result that cannot be told leaves no file, and discarded by
 * tool_clear. Takes it on failure, too. */
enum status tool_keep(const struct tool *t, struct outfile *file, struct error *err);
void tool_clear(struct tool *t);
/* true when colours may be used on stdout: --color, NO_COLOR, TERM=dumb, isatty */
bool tool_color(const struct tool *t);

/* Occupies standard streams that were closed, so that no file that is opened gets their numbers and results printed into it. tool_parse
 * does it, too; for a main that prints or opens before. */
void streams_hold(void);

extern const char lathe_version[]; /* "0.1.0" */
#endif
