/* The command line as a table of words and outcomes; help, errors and results on their streams; progress. */
#include "base/json.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/suggest.h"
#include "base/workers.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct values {
    const char *output;
    int receipt;
    bool force;
    int64_t layer;
    double tolerance;
    uint64_t split;
    struct string_list types;
    struct tool tool;
    struct option_spec specs[8];
};

static void values_init(struct values *v)
{
    const struct option_spec specs[8] = {
        {"output", 'o', "OUT", OPTION_STRING, &v->output, "file or folder to write", NULL},
        {"receipt", 0, "none|lean|full", OPTION_CHOICE, &v->receipt, "how much of the source to record",
         NULL},
        {"force", 'f', NULL, OPTION_FLAG, &v->force, "replace an existing OUT", NULL},
        {"layer", 0, "N", OPTION_INT, &v->layer, "one layer", "pictures"},
        {"tolerance", 0, "X", OPTION_DOUBLE, &v->tolerance, "largest difference", NULL},
        {"split-max-size", 0, "BYTES", OPTION_SIZE, &v->split, "numbered parts", NULL},
        {"tensor-type", 0, "REGEX=TYPE", OPTION_LIST, &v->types,
         "type of some tensors, repeatable: of several expressions that match a name the last one decides",
         NULL},
        {0},
    };
    *v = (struct values){.receipt = 2};
    memcpy(v->specs, specs, sizeof specs);
    v->tool = (struct tool){.name = "lathe-trial",
                            .usage = "SRC [OTHER] -o OUT",
                            .summary = "A trial of all kinds of options, with a line about it that is longer "
                                       "than the hundred columns of a help text.",
                            .examples = "lathe-trial a -o b\n  lathe-trial c\n",
                            .specs = v->specs,
                            .n_min = 1,
                            .n_max = 2};
}

/* Words of a line, split at blanks; a word "_" stands for the empty one. */
static enum tool_parsed parse(struct values *v, const char *line, char *copy, struct error *err)
{
    char *argv[40];
    int argc = 0;
    char name[] = "lathe-trial";
    argv[argc++] = name;
    strcpy(copy, line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        if (strcmp(word, "_") == 0) *word = 0;
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    values_init(v);
    return tool_parse(&v->tool, argc, argv, err);
}

static void describe(const struct values *v, struct buf *b)
{
    if (v->output) buf_printf(b, "output=%s ", v->output);
    if (v->receipt != 2) buf_printf(b, "receipt=%d ", v->receipt);
    if (v->force) buf_puts(b, "force ");
    if (v->layer) buf_printf(b, "layer=%lld ", (long long)v->layer);
    if (v->tolerance != 0) buf_printf(b, "tolerance=%g ", v->tolerance);
    if (v->split) buf_printf(b, "split=%llu ", (unsigned long long)v->split);
    for (size_t i = 0; i < v->types.count; i++) buf_printf(b, "type=%s ", v->types.items[i]);
    if (v->tool.json) buf_puts(b, "json ");
    if (v->tool.quiet) buf_puts(b, "quiet ");
    if (v->tool.progress) buf_puts(b, "progress ");
    if (v->tool.threads) buf_printf(b, "threads=%lld ", (long long)v->tool.threads);
    if (v->tool.color) buf_printf(b, "color=%d ", v->tool.color);
    if (v->tool.explain) buf_printf(b, "explain=%s ", v->tool.explain);
    for (int i = 0; i < v->tool.n_args; i++) buf_printf(b, "[%s]", v->tool.args[i]);
}

/* A line that is accepted, and what it sets; or (starting with "!") the message. */
static const struct {
    const char *line, *outcome;
} cases[] = {
    {"a", "[a]"},
    {"a b", "[a][b]"},
    {"_", "[]"},
    {"-", "[-]"},
    {"-o x a", "output=x [a]"},
    {"a -o x", "output=x [a]"},
    {"-ox a", "output=x [a]"},
    {"-fox a", "output=x force [a]"},
    {"-fqo x a", "output=x force quiet [a]"},
    {"--output x a", "output=x [a]"},
    {"--output=x a", "output=x [a]"},
    {"--output= a", "output= [a]"},
    {"--output=a=b a", "output=a=b [a]"},
    {"--output x a --output y", "output=y [a]"},
    {"-o - a", "output=- [a]"},
    {"-o -x a", "output=-x [a]"},
    {"-o --odd a", "output=--odd [a]"},
    {"-- --force -o", "[--force][-o]"},
    {"a -- --", "[a][--]"},
    {"--force a -- b", "force [a][b]"},
    {"--receipt none a", "receipt=0 [a]"},
    {"--receipt=full a", "[a]"},
    {"--layer -1 a", "layer=-1 [a]"},
    {"--layer 9223372036854775807 a", "layer=9223372036854775807 [a]"},
    {"--tolerance 1e-3 a", "tolerance=0.001 [a]"},
    {"--tolerance -.5 a", "tolerance=-0.5 [a]"},
    {"--split-max-size 4096 a", "split=4096 [a]"},
    {"--split-max-size 2K a", "split=2048 [a]"},
    {"--split-max-size 3m a", "split=3145728 [a]"},
    {"--split-max-size 2G a", "split=2147483648 [a]"},
    {"--split-max-size 1T a", "split=1099511627776 [a]"},
    {"--split-max-size 18446744073709551615 a", "split=18446744073709551615 [a]"},
    {"--tensor-type a=q4_k --tensor-type b x --tensor-type=c=d --tensor-type e --tensor-type f",
     "type=a=q4_k type=b type=c=d type=e type=f [x]"},
    {"--json --quiet --progress --threads 3 --color never a", "json quiet progress threads=3 color=2 [a]"},
    {"--color=always a", "color=1 [a]"},
    {"--explain tied", "explain=tied "},

    {"--outptu x a", "!unknown option '--outptu'; did you mean '--output'?"},
    {"--ouput=x a", "!unknown option '--ouput'; did you mean '--output'?"},
    {"--out x a", "!unknown option '--out'; did you mean '--output'?"},
    {"--thread 2 a", "!unknown option '--thread'; did you mean '--threads'?"},
    {"--recipt=full a", "!unknown option '--recipt'; did you mean '--receipt'?"},
    {"--split-maxsize 2 a", "!unknown option '--split-maxsize'; did you mean '--split-max-size'?"},
    {"--colour never a", "!unknown option '--colour'; did you mean '--color'?"},
    {"--verbose a", "!unknown option '--verbose'"},
    {"--=x a", "!unknown option '--'"},
    {"-x a", "!unknown option '-x'"},
    {"-fx a", "!unknown option '-x'"},
    {"--force=yes a", "!option '--force' takes no argument, found 'yes'"},
    {"a --output", "!option '--output' needs an argument: OUT"},
    {"a -o", "!option '--output' needs an argument: OUT"},
    {"-o --force a", "!option '--output' needs an argument: OUT; found the option '--force'"},
    {"--output --receipt=full a",
     "!option '--output' needs an argument: OUT; found the option '--receipt=full'"},
    {"--receipt lena a", "!option '--receipt': expected none|lean|full, found 'lena'; did you mean 'lean'?"},
    {"--receipt all a", "!option '--receipt': expected none|lean|full, found 'all'"},
    {"--receipt= a", "!option '--receipt': expected none|lean|full, found ''"},
    {"--receipt none|lean a", "!option '--receipt': expected none|lean|full, found 'none|lean'"},
    {"--layer 1x a", "!option '--layer': expected a whole number, found '1x'"},
    {"--layer= a", "!option '--layer': expected a whole number, found ''"},
    {"--layer 1.0 a", "!option '--layer': expected a whole number, found '1.0'"},
    {"--layer +1 a", "!option '--layer': expected a whole number, found '+1'"},
    {"--layer 9223372036854775808 a",
     "!option '--layer': expected a whole number, found '9223372036854775808'"},
    {"--tolerance nan a", "!option '--tolerance': expected a number, found 'nan'"},
    {"--tolerance inf a", "!option '--tolerance': expected a number, found 'inf'"},
    {"--tolerance 1e999 a", "!option '--tolerance': expected a number, found '1e999'"},
    {"--tolerance 0x1p3 a", "!option '--tolerance': expected a number, found '0x1p3'"},
    {"--tolerance= a", "!option '--tolerance': expected a number, found ''"},
    {"--split-max-size -1 a",
     "!option '--split-max-size': expected a number of bytes such as 4096, 512M or 2G, found '-1'"},
    {"--split-max-size 2X a",
     "!option '--split-max-size': expected a number of bytes such as 4096, 512M or 2G, found '2X'"},
    {"--split-max-size 2GB a",
     "!option '--split-max-size': expected a number of bytes such as 4096, 512M or 2G, found '2GB'"},
    {"--split-max-size G a",
     "!option '--split-max-size': expected a number of bytes such as 4096, 512M or 2G, found 'G'"},
    {"--split-max-size 16777216T a",
     "!option '--split-max-size': expected a number of bytes such as 4096, 512M or 2G, found '16777216T'"},
    {"--split-max-size 18446744073709551616 a", "!option '--split-max-size': expected a number of bytes such "
                                                "as 4096, 512M or 2G, found '18446744073709551616'"},
    {"--threads -1 a", "!option '--threads': expected 0 to 4096, found -1"},
    {"--threads 5000 a", "!option '--threads': expected 0 to 4096, found 5000"},
    {"--json", "!expected at least 1 argument besides options, found 0"},
    {"a b c", "!unexpected argument 'c': at most 2 besides options"},
};

static void test_command_lines(void **state)
{
    (void)state;
    struct error err;
    struct values v;
    char copy[300];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = {0};
        const char *outcome = cases[i].outcome;
        enum tool_parsed parsed = parse(&v, cases[i].line, copy, &err);
        if (outcome[0] == '!') {
            assert_int_equal(parsed, TOOL_MISUSE);
            assert_int_equal(err.status, STATUS_USAGE);
            assert_string_equal(err.text, outcome + 1);
        } else {
            if (parsed != TOOL_RUN) fail_msg("'%s': %s", cases[i].line, err.text);
            describe(&v, &b);
            assert_string_equal(b.data, outcome);
        }
        buf_clear(&b);
        tool_clear(&v.tool);
    }
}

/* Sends a standard stream into a file until stream_end, which gives what was written. */
static int saved_fd;
static FILE *capture;

static void stream_begin(int fd)
{
    fflush(NULL);
    saved_fd = dup(fd);
    capture = tmpfile();
    assert_non_null(capture);
    assert_int_equal(dup2(fileno(capture), fd), fd);
}

static void stream_end(int fd, struct buf *text)
{
    char piece[4096];
    size_t n;
    fflush(NULL);
    assert_int_equal(dup2(saved_fd, fd), fd);
    close(saved_fd);
    rewind(capture);
    buf_clear(text);
    buf_puts(text, "");
    while ((n = fread(piece, 1, sizeof piece, capture)) > 0) buf_append(text, piece, n);
    fclose(capture);
}

static void test_help(void **state)
{
    (void)state;
    struct error err;
    struct values v;
    struct buf text = {0};
    char copy[300];
    stream_begin(1);
    enum tool_parsed parsed = parse(&v, "--help", copy, &err);
    stream_end(1, &text);
    assert_int_equal(parsed, TOOL_DONE);
    static const char start[] =
        "usage: lathe-trial SRC [OTHER] -o OUT\n"
        "A trial of all kinds of options, with a line about it that is longer than the hundred columns of a\n"
        "help text.\n\n"
        "examples:\n"
        "  lathe-trial a -o b\n"
        "  lathe-trial c\n\n"
        "options:\n"
        "  -o, --output OUT            file or folder to write\n"
        "      --receipt none|lean|full\n"
        "                              how much of the source to record\n"
        "  -f, --force                 replace an existing OUT\n\n"
        "pictures:\n"
        "      --layer N               one layer\n";
    assert_memory_equal(text.data, start, sizeof start - 1);
    static const char *const common[] = {
        "--threads N",    "--json", "--quiet",  "--progress", "--color auto|always|never",
        "--explain CODE", "--help", "--version"};
    const char *at = strstr(text.data, "\ncommon options:\n");
    assert_non_null(at);
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++) {
        at = strstr(at, common[i]);
        if (!at) fail_msg("%s is missing", common[i]);
    }
    at = strstr(at, "\nexit status:\n  0  done");
    assert_non_null(at);
    for (const char *line = text.data; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    tool_clear(&v.tool);

    stream_begin(1);
    parsed = parse(&v, "-h nonsense", copy, &err);
    stream_end(1, &text);
    assert_int_equal(parsed, TOOL_DONE);
    assert_memory_equal(text.data, start, sizeof start - 1);
    tool_clear(&v.tool);

    stream_begin(1);
    parsed = parse(&v, "--version", copy, &err);
    stream_end(1, &text);
    assert_int_equal(parsed, TOOL_DONE);
    assert_string_equal(text.data, "lathe-trial 0.1.0\n");
    tool_clear(&v.tool);
    buf_clear(&text);
}

static void test_guess(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *words[4], *nearest;
    } guesses[] = {
        {"quantise", {"convert", "quantize", "verify"}, "quantize"},
        {"in", {"convert", "inspect"}, "inspect"},
        {"i", {"convert", "inspect"}, NULL},
        {"layers", {"player", "layer"}, "layer"},
        {"layers", {"layer", "player"}, "layer"},
        {"abcd", {"abce", "abcf"}, "abce"},
        {"wholly", {"different"}, NULL},
        {"", {"a", "b"}, "a"},
    };
    for (size_t i = 0; i < sizeof guesses / sizeof guesses[0]; i++) {
        struct guess g = {0};
        const char *typed = guesses[i].typed;
        for (const char *const *w = guesses[i].words; *w; w++)
            guess_try(&g, typed, strlen(typed), *w, strlen(*w));
        if (guesses[i].nearest) {
            assert_non_null(g.word);
            assert_string_equal(g.word, guesses[i].nearest);
        } else {
            assert_null(g.word);
        }
    }
    char deep[5000];
    memset(deep, 'x', sizeof deep);
    struct guess g = {0};
    guess_try(&g, deep, sizeof deep, deep, sizeof deep - 1);
    assert_null(g.word);
}

static void test_bare_call(void **state)
{
    (void)state;
    struct error err;
    struct values v;
    struct buf text = {0};
    char copy[300];
    stream_begin(2);
    enum tool_parsed parsed = parse(&v, "", copy, &err);
    int code = tool_fail(&v.tool, &err);
    stream_end(2, &text);
    assert_int_equal(parsed, TOOL_MISUSE);
    assert_int_equal(code, 2);
    assert_string_equal(err.text, "");
    assert_string_equal(
        text.data,
        "usage: lathe-trial SRC [OTHER] -o OUT\nA trial of all kinds of options, with a line about it that "
        "is longer than the hundred columns of a\nhelp text.\n\nexamples:\n  lathe-trial a -o b\n"
        "  lathe-trial c\n\n'lathe-trial --help' lists all options.\n");
    tool_clear(&v.tool);
    buf_clear(&text);
}

static void test_full_stdout(void **state)
{
    (void)state;
    struct error err;
    struct values v;
    struct buf text = {0}, result = {0};
    char copy[300];
    int full = open("/dev/full", O_WRONLY);
    if (full < 0) skip();
    static const char *const lines[] = {"--help", "--version", "a"};
    buf_puts(&result, "result\n");
    for (size_t i = 0; i < 3; i++) {
        stream_begin(2);
        fflush(stdout);
        int saved = dup(1);
        dup2(full, 1);
        enum tool_parsed parsed = parse(&v, lines[i], copy, &err);
        int code = parsed == TOOL_RUN      ? tool_finish(&v.tool, &result, 0)
                   : parsed == TOOL_MISUSE ? tool_fail(&v.tool, &err)
                                           : 0;
        dup2(saved, 1);
        close(saved);
        stream_end(2, &text);
        assert_int_equal(code, 2);
        assert_non_null(
            strstr(text.data, "lathe-trial: cannot write to standard output: No space left on device\n"));
        tool_clear(&v.tool);
    }
    close(full);
    buf_clear(&text);
    buf_clear(&result);
}

static void test_finish(void **state)
{
    (void)state;
    struct values v;
    struct buf text = {0}, result = {0};
    values_init(&v);
    assert_int_equal(tool_finish(&v.tool, &result, 1), 1); /* nothing to print */
    buf_puts(&result, "yes\n");
    stream_begin(1);
    int code = tool_finish(&v.tool, &result, 0);
    stream_end(1, &text);
    assert_int_equal(code, 0);
    assert_string_equal(text.data, "yes\n");
    result.failed = true;
    stream_begin(2);
    code = tool_finish(&v.tool, &result, 0);
    stream_end(2, &text);
    assert_int_equal(code, 2);
    buf_clear(&text);
    buf_clear(&result);
}

static void test_fail(void **state)
{
    (void)state;
    struct error err, parse_err;
    struct values v;
    struct buf text = {0};
    char copy[300];
    error_at(&err, STATUS_MISMATCH, "m\n.gguf", "blk.0", "expected %d, found %d", 1, 2);
    error_hint(&err, "try\x1b this");
    values_init(&v);
    stream_begin(2);
    int code = tool_fail(&v.tool, &err);
    stream_end(2, &text);
    assert_int_equal(code, 2);
    assert_string_equal(
        text.data, "lathe-trial: m\\x0a.gguf: tensor 'blk.0': expected 1, found 2\n  hint: try\\x1b this\n");

    v.tool.json = true;
    stream_begin(1);
    int saved = dup(2), null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    code = tool_fail(&v.tool, &err);
    dup2(saved, 2);
    close(saved);
    close(null);
    stream_end(1, &text);
    assert_int_equal(code, 2);
    struct json *doc;
    assert_int_equal(json_parse(&doc, text.data, text.len, "out", &parse_err), STATUS_OK);
    static const char *const members[][2] = {
        {"tool", "lathe-trial"}, {"status", "mismatch"},          {"file", "m\n.gguf"},
        {"tensor", "blk.0"},     {"text", "expected 1, found 2"}, {"hint", "try\x1b this"}};
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(json_string(json_get(json_root(doc), members[i][0])), members[i][1]);
    }
    assert_null(strchr(text.data, 0x1b));
    json_free(doc);

    /* --json counts although the misuse stands before it */
    assert_int_equal(parse(&v, "--bogus --json a", copy, &err), TOOL_MISUSE);
    assert_true(v.tool.json);
    tool_clear(&v.tool);
    assert_int_equal(parse(&v, "--bogus -- --json", copy, &err), TOOL_MISUSE);
    assert_false(v.tool.json);
    tool_clear(&v.tool);
    buf_clear(&text);
}

static void test_color(void **state)
{
    (void)state;
    struct tool t = {0};
    struct buf text = {0};
    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    stream_begin(1);
    bool automatic = tool_color(&t);
    t.color = 1;
    setenv("NO_COLOR", "1", 1); /* what was asked for by option wins */
    bool always = tool_color(&t);
    t.color = 2;
    bool never = tool_color(&t);
    stream_end(1, &text);
    assert_false(automatic);
    assert_true(always);
    assert_false(never);
    /* a terminal */
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0) {
        static const struct {
            const char *no_color, *term;
            bool expected;
        } with[] = {{"", "xterm", true}, {"1", "xterm", false}, {"", "dumb", false}};
        t.color = 0;
        for (size_t i = 0; i < 3; i++) {
            setenv("NO_COLOR", with[i].no_color, 1);
            setenv("TERM", with[i].term, 1);
            fflush(stdout);
            int saved = dup(1);
            dup2(terminal, 1);
            bool got = tool_color(&t);
            dup2(saved, 1);
            close(saved);
            assert_int_equal(got, with[i].expected);
        }
        close(terminal);
    }
    buf_clear(&text);
}

static void test_format_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {10250, "10 KiB"},
        {1048063, "1023 KiB"},
        {1048064, "1 MiB"}, /* 1023.5 KiB */
        {1048575, "1 MiB"},
        {100663296, "96 MiB"},
        {1320702443, "1.23 GiB"},
        {18790481920, "17.5 GiB"},
        {107374182400, "100 GiB"},
        {(uint64_t)5 << 40, "5 TiB"},
        {(uint64_t)1 << 60, "1 EiB"},
        {UINT64_MAX, "16 EiB"},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char text[32];
        assert_string_equal(format_bytes(text, sizes[i].bytes), sizes[i].text);
    }
    assert_true(memory_peak_bytes() > 1 << 20);
    int64_t start = clock_ns();
    usleep(2000);
    assert_true(clock_ns() - start >= 2000000);
}

static enum status add_bytes(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)unit;
    (void)worker;
    (void)err;
    progress_add(ctx, 3);
    return STATUS_OK;
}

static void test_progress(void **state)
{
    (void)state;
    struct error err;
    struct progress p = {0};
    struct buf text = {0};
    struct workers *w;
    progress_add(&p, 5);
    progress_end(&p);
    assert_int_equal(workers_new(&w, 4, &err), STATUS_OK);
    static const struct {
        bool force, quiet, shown;
    } modes[] = {{false, false, false}, {true, false, true}, {true, true, false}};
    for (size_t i = 0; i < 3; i++) {
        stream_begin(2);
        progress_begin(&p, modes[i].force, modes[i].quiet, "blk.1\x1b\n", 3000 * 2);
        assert_int_equal(workers_run(w, 1000, add_bytes, &p, &err), STATUS_OK);
        progress_end(&p);
        stream_end(2, &text);
        assert_int_equal(p.done_bytes, modes[i].shown ? 3000 : 0);
        assert_int_equal(text.len > 0, modes[i].shown);
        assert_null(strchr(text.data, 0x1b)); /* no terminal: no control characters */
        assert_null(strchr(text.data, '\r'));
        if (modes[i].shown) assert_non_null(strstr(text.data, "  blk.1\\x1b\\x0a  2.93 KiB of 5.86 KiB"));
    }
    workers_free(w);
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_lines), cmocka_unit_test(test_help),
        cmocka_unit_test(test_guess),         cmocka_unit_test(test_bare_call),
        cmocka_unit_test(test_full_stdout),   cmocka_unit_test(test_finish),
        cmocka_unit_test(test_fail),          cmocka_unit_test(test_color),
        cmocka_unit_test(test_format_bytes),  cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
