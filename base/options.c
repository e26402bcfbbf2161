#include "base/options.h"
#include "base/file.h"
#include "base/options_help.h"
#include "base/suggest.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 4096 };

/* One command line being read. */
struct parser {
    struct tool *tool;
    int argc;
    char **argv;
    int next;
    struct error *err;
    bool help, version;
    struct option_spec common[OPTIONS_COMMON + 1];
};

void options_common(struct tool *t, bool *help, bool *version, struct option_spec specs[OPTIONS_COMMON + 1])
{
    const struct option_spec list[OPTIONS_COMMON + 1] = {
        {"threads", 0, "N", OPTION_INT, &t->threads, "threads to use (default: all cores)", "common options"},
        {"json", 0, NULL, OPTION_FLAG, &t->json, "one JSON document on standard output", NULL},
        {"quiet", 'q', NULL, OPTION_FLAG, &t->quiet, "errors only", NULL},
        {"progress", 0, NULL, OPTION_FLAG, &t->progress,
         "show progress although standard error is no terminal", NULL},
        {"color", 0, "auto|always|never", OPTION_CHOICE, &t->color, "colours on standard output", NULL},
        {"explain", 0, "CODE", OPTION_STRING, &t->explain, "what the warning CODE means", NULL},
        {"help", 'h', NULL, OPTION_FLAG, help, "show this text", NULL},
        {"version", 0, NULL, OPTION_FLAG, version, "show the version", NULL},
        {0},
    };
    memcpy(specs, list, sizeof list);
}

static const struct option_spec *find_in(const struct option_spec *specs, const char *name, size_t n,
                                         char letter)
{
    for (; specs && specs->name; specs++) {
        if (name ? strncmp(specs->name, name, n) == 0 && specs->name[n] == 0 : specs->letter == letter)
            return specs;
    }
    return NULL;
}

/* The tool's own options come first, so that they may take a letter of the common ones. */
static const struct option_spec *find_option(const struct parser *p, const char *name, size_t n, char letter)
{
    const struct option_spec *s = find_in(p->tool->specs, name, n, letter);
    return s ? s : find_in(p->common, name, n, letter);
}

static enum status unknown_option(struct parser *p, const char *name, size_t n)
{
    struct guess g = {0};
    for (const struct option_spec *s = p->tool->specs; s && s->name; s++)
        guess_try(&g, name, n, s->name, strlen(s->name));
    for (const struct option_spec *s = p->common; s->name; s++)
        guess_try(&g, name, n, s->name, strlen(s->name));
    if (g.word) {
        return error_set(p->err, STATUS_USAGE, "unknown option '--%.*s'; did you mean '--%s'?",
                         (int)(n < 200 ? n : 200), name, g.word);
    }
    error_set(p->err, STATUS_USAGE, "unknown option '--%.*s'", (int)(n < 200 ? n : 200), name);
    return error_hint(p->err, "'%s --help' lists the options", p->tool->name);
}

static enum status bad_value(struct parser *p, const struct option_spec *s, const char *expected,
                             const char *found)
{
    return error_set(p->err, STATUS_USAGE, "option '--%s': expected %s, found '%s'", s->name, expected,
                     found);
}

static enum status set_choice(struct parser *p, const struct option_spec *s, const char *value)
{
    struct guess g = {0};
    size_t n = strlen(value);
    const char *word = s->arg;
    for (int index = 0;; index++) {
        size_t len = strcspn(word, "|");
        if (len == n && memcmp(word, value, n) == 0) {
            *(int *)s->dst = index;
            return STATUS_OK;
        }
        guess_try(&g, value, n, word, len);
        if (word[len] == 0) break;
        word += len + 1;
    }
    if (!g.word) return bad_value(p, s, s->arg, value);
    return error_set(p->err, STATUS_USAGE, "option '--%s': expected %s, found '%s'; did you mean '%.*s'?",
                     s->name, s->arg, value, (int)g.len, g.word);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum status set_int(struct parser *p, const struct option_spec *s, const char *value)
{
    char *end;
    const char *digits = value[0] == '-' ? value + 1 : value;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (!is_digit(digits[0]) || *end || errno != 0) return bad_value(p, s, "a whole number", value);
    *(int64_t *)s->dst = v;
    return STATUS_OK;
}

static enum status set_double(struct parser *p, const struct option_spec *s, const char *value)
{
    char *end;
    double v = strtod(value, &end);
    if (value[0] == 0 || strspn(value, "0123456789+-.eE") != strlen(value) || *end || !isfinite(v)) {
        return bad_value(p, s, "a number", value);
    }
    *(double *)s->dst = v;
    return STATUS_OK;
}

static enum status set_size(struct parser *p, const struct option_spec *s, const char *value)
{
    static const char suffixes[] = "KMGT";
    char *end;
    uint64_t unit = 1, bytes;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    const char *suffix = *end ? strchr(suffixes, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
    if (suffix) {
        unit <<= 10 * (suffix - suffixes + 1);
        end++;
    }
    if (!is_digit(value[0]) || *end || errno != 0 || !size_mul(v, unit, &bytes)) {
        return bad_value(p, s, "a number of bytes such as 4096, 512M or 2G", value);
    }
    *(uint64_t *)s->dst = bytes;
    return STATUS_OK;
}

/* Room for one more behind `count` items: new memory, or NULL where there is room. */
static enum status more_room(struct parser *p, const void *items, size_t count, size_t size, void **larger)
{
    *larger = NULL;
    if ((count & (count - 1)) != 0) return STATUS_OK; /* full at 0 and at each power of two */
    *larger = arena_array(&p->tool->mem, count ? count * 2 : 1, size);
    if (!*larger) return error_nomem(p->err, count * 2 * size);
    if (count > 0) memcpy(*larger, items, count * size);
    return STATUS_OK;
}

static enum status append_item(struct parser *p, const struct option_spec *s, const char *value)
{
    struct string_list *list = s->dst;
    void *larger;
    TRY(more_room(p, list->items, list->count, sizeof *list->items, &larger));
    if (larger) list->items = larger;
    list->items[list->count++] = value;
    return STATUS_OK;
}

static enum status append_double(struct parser *p, const struct option_spec *s, const char *value)
{
    struct double_list *list = s->dst;
    double number;
    struct option_spec one = *s;
    void *larger;
    one.dst = &number;
    TRY(set_double(p, &one, value));
    TRY(more_room(p, list->items, list->count, sizeof *list->items, &larger));
    if (larger) list->items = larger;
    list->items[list->count++] = number;
    return STATUS_OK;
}

static enum status set_option(struct parser *p, const struct option_spec *s, const char *value)
{
    switch (s->kind) {
    case OPTION_FLAG:
        *(bool *)s->dst = true;
        return STATUS_OK;
    case OPTION_STRING:
        *(const char **)s->dst = value;
        return STATUS_OK;
    case OPTION_LIST:
        return append_item(p, s, value);
    case OPTION_CHOICE:
        return set_choice(p, s, value);
    case OPTION_INT:
        return set_int(p, s, value);
    case OPTION_DOUBLE:
        return set_double(p, s, value);
    case OPTION_DOUBLES:
        return append_double(p, s, value);
    case OPTION_SIZE:
        return set_size(p, s, value);
    }
    return STATUS_OK;
}

/* The argument from the next word. A word that is an option of ours was hardly meant: `--output --force`. */
static enum status take_next(struct parser *p, const struct option_spec *s, const char **value)
{
    const char *word = p->next < p->argc ? p->argv[p->next] : NULL;
    if (!word) return error_set(p->err, STATUS_USAGE, "option '--%s' needs an argument: %s", s->name, s->arg);
    if (strncmp(word, "--", 2) == 0 && word[2] && find_option(p, word + 2, strcspn(word + 2, "="), 0)) {
        error_set(p->err, STATUS_USAGE, "option '--%s' needs an argument: %s; found the option '%s'", s->name,
                  s->arg, word);
        return error_hint(p->err, "'--%s=%s' takes it as the argument", s->name, word);
    }
    p->next++;
    *value = word;
    return STATUS_OK;
}

static enum status parse_long(struct parser *p, const char *word)
{
    size_t n = strcspn(word, "=");
    const char *value = word[n] ? word + n + 1 : NULL;
    const struct option_spec *s = find_option(p, word, n, 0);
    if (!s) return unknown_option(p, word, n);
    if (s->kind == OPTION_FLAG && value) {
        return error_set(p->err, STATUS_USAGE, "option '--%s' takes no argument, found '%s'", s->name, value);
    }
    if (s->kind != OPTION_FLAG && !value) TRY(take_next(p, s, &value));
    return set_option(p, s, value);
}

/* "-f", "-qf", "-o OUT", "-oOUT", "-qoOUT" */
static enum status parse_letters(struct parser *p, const char *letters)
{
    for (; *letters; letters++) {
        const struct option_spec *s = find_option(p, NULL, 0, *letters);
        if (!s) {
            error_set(p->err, STATUS_USAGE, "unknown option '-%c'", *letters);
            return error_hint(p->err, "'%s --help' lists the options", p->tool->name);
        }
        if (s->kind == OPTION_FLAG) {
            TRY(set_option(p, s, NULL));
            continue;
        }
        const char *value = letters + 1;
        if (!value[0]) TRY(take_next(p, s, &value));
        return set_option(p, s, value);
    }
    return STATUS_OK;
}

static enum status parse_words(struct parser *p)
{
    bool options = true;
    while (p->next < p->argc && !p->help && !p->version) {
        const char *word = p->argv[p->next++];
        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && strncmp(word, "--", 2) == 0) {
            TRY(parse_long(p, word + 2));
        } else if (options && word[0] == '-' && word[1]) {
            TRY(parse_letters(p, word + 1));
        } else {
            p->tool->args[p->tool->n_args++] = word;
        }
    }
    return STATUS_OK;
}

static enum status check_words(struct parser *p)
{
    const struct tool *t = p->tool;
    if (t->threads < 0 || t->threads > THREADS_MAX) {
        return error_set(p->err, STATUS_USAGE, "option '--threads': expected 0 to %d, found %lld",
                         THREADS_MAX, (long long)t->threads);
    }
    if (t->explain) return STATUS_OK;
    if (t->n_args < t->n_min) {
        error_set(p->err, STATUS_USAGE, "expected %s%d argument%s besides options, found %d",
                  t->n_max == t->n_min ? "" : "at least ", t->n_min, t->n_min == 1 ? "" : "s", t->n_args);
        return error_hint(p->err, "usage: %s %s", t->name, t->usage);
    }
    if (t->n_max >= 0 && t->n_args > t->n_max) {
        error_set(p->err, STATUS_USAGE, "unexpected argument '%s': at most %d besides options",
                  t->args[t->n_max], t->n_max);
        return error_hint(p->err, "usage: %s %s", t->name, t->usage);
    }
    return STATUS_OK;
}

/* The null device is opened the wrong way round, so that using the stream still fails. */
void streams_hold(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            return;
    }
}

/* Wanted before the rest is read: an error on the way is reported as JSON, too. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) return true;
    }
    return false;
}

static enum tool_parsed print_and_end(struct tool *t, struct buf *text, struct error *err)
{
    bool failed =
        text->failed || fwrite(text->data, 1, text->len, stdout) != text->len || fflush(stdout) != 0;
    if (failed) error_errno(err, NULL, "cannot write to standard output");
    buf_clear(text);
    t->json = t->json && !failed;
    return failed ? TOOL_MISUSE : TOOL_DONE;
}

enum tool_parsed tool_parse(struct tool *t, int argc, char **argv, struct error *err)
{
    struct parser p = {.tool = t, .argc = argc, .argv = argv, .next = 1, .err = err};
    streams_hold();
    *err = (struct error){.status = STATUS_USAGE};
    options_common(t, &p.help, &p.version, p.common);
    t->n_args = 0;
    if (argc < 2) {
        struct buf text = {0};
        help_short(t, &text);
        if (!text.failed) fwrite(text.data, 1, text.len, stderr);
        buf_clear(&text);
        return TOOL_MISUSE;
    }
    t->json = asks_for_json(argc, argv);
    t->args = arena_array(&t->mem, (uint64_t)argc, sizeof *t->args);
    t->files = arena_alloc(&t->mem, sizeof *t->files);
    if (t->files) t->files->n = 0;
    if (!t->args || !t->files) {
        error_nomem(err, (size_t)argc * sizeof *t->args);
        return TOOL_MISUSE;
    }
    if (parse_words(&p) != STATUS_OK) return TOOL_MISUSE;
    struct buf text = {0};
    if (p.help) {
        help_long(t, p.common, &text);
        return print_and_end(t, &text, err);
    }
    if (p.version) {
        buf_printf(&text, "%s %s\n", t->name, lathe_version);
        return print_and_end(t, &text, err);
    }
    if (check_words(&p) != STATUS_OK) return TOOL_MISUSE;
    err->status = STATUS_OK;
    return TOOL_RUN;
}

void tool_clear(struct tool *t)
{
    for (size_t i = 0; t->files && i < t->files->n; i++) outfile_discard(t->files->items[i]);
    arena_clear(&t->mem);
    t->args = NULL;
    t->files = NULL;
    t->n_args = 0;
}
