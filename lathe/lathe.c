/* The front end: one program that is all four tools.
 *
 * Called as lathe-NAME it is that tool; called as lathe, the first argument names it. */
#include "base/file.h"
#include "base/options.h"
#include "base/suggest.h"
#include "convert/convert.h"
#include "inspect/inspect.h"
#include "quantize/quantize.h"
#include "verify/verify.h"

#include <stdio.h>
#include <string.h>

struct tool_entry {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary, *example;
};
static const struct tool_entry tools[] = {
    {"convert", convert_main, "any supported checkpoint to one verified file, and back",
     "lathe convert SmolLM2/ -o smol.gguf"},
    {"inspect", inspect_main, "what is inside: summary, tensors, statistics, pictures",
     "lathe inspect smol.gguf --tensors"},
    {"quantize", quantize_main, "smaller weights, with the damage measured",
     "lathe quantize smol.gguf small.gguf Q4_0"},
    {"verify", verify_main, "two forms of one model through a reference forward pass",
     "lathe verify SmolLM2/ smol.gguf"},
};
enum { N_TOOLS = sizeof tools / sizeof tools[0] };

/* For error lines and results of the front end itself. */
static const struct tool front = {.name = "lathe"};

static const struct tool_entry *find_tool(const char *name)
{
    for (size_t i = 0; i < N_TOOLS; i++) {
        if (strcmp(tools[i].name, name) == 0) return &tools[i];
    }
    return NULL;
}

static void help_text(struct buf *b)
{
    buf_puts(b, "usage: lathe TOOL ...      (the same as lathe-TOOL ...)\n"
                "Reads language-model checkpoints, rewrites them into one format, and proves that nothing "
                "was lost.\n\n"
                "examples:\n");
    for (size_t i = 0; i < N_TOOLS; i++) buf_printf(b, "  %s\n", tools[i].example);
    buf_puts(b, "\ntools:\n");
    for (size_t i = 0; i < N_TOOLS; i++) buf_printf(b, "  %-10s %s\n", tools[i].name, tools[i].summary);
    buf_puts(b, "  help       this text; 'lathe help TOOL': the options of a tool\n"
                "\nexit status:\n"
                "  0  done, or the answer is yes\n"
                "  1  the check ran, and the answer is no\n"
                "  2  it could not run: wrong usage, unreadable or malformed file, no space\n");
}

static int print_help(FILE *bare)
{
    struct buf text = {0};
    help_text(&text);
    int code = 2;
    if (bare && !text.failed) fputs(text.data, bare);
    if (!bare) code = tool_finish(&front, &text, 0);
    buf_clear(&text);
    return code;
}

static int print_version(void)
{
    struct buf text = {0};
    buf_printf(&text, "lathe %s\n", lathe_version);
    int code = tool_finish(&front, &text, 0);
    buf_clear(&text);
    return code;
}

static int unknown_tool(const char *name)
{
    struct error err;
    struct guess g = {0};
    for (size_t i = 0; i < N_TOOLS; i++)
        guess_try(&g, name, strlen(name), tools[i].name, strlen(tools[i].name));
    if (g.word) {
        error_set(&err, STATUS_USAGE, "unknown tool '%s'; did you mean '%s'?", name, g.word);
    } else {
        error_set(&err, STATUS_USAGE, "unknown tool '%s'", name);
        error_hint(&err, "'lathe help' lists the tools");
    }
    return tool_fail(&front, &err);
}

/* "convert" for a program called .../lathe-convert; NULL for plain lathe. */
static const char *name_from_program(const char *program)
{
    const char *base = path_base(program);
    return strncmp(base, "lathe-", 6) == 0 ? base + 6 : NULL;
}

static bool is_word(const char *arg, const char *word, const char *option)
{
    return strcmp(arg, word) == 0 || strcmp(arg, option) == 0;
}

static int run_help(const char *name)
{
    static char option[] = "--help";
    const struct tool_entry *tool = find_tool(name);
    char program[16];
    if (!tool) return unknown_tool(name);
    snprintf(program, sizeof program, "%s", tool->name);
    char *args[] = {program, option, NULL};
    return tool->run(2, args);
}

int main(int argc, char **argv)
{
    streams_hold();
    signals_install();
    const char *name = argc > 0 ? name_from_program(argv[0]) : NULL;
    const struct tool_entry *tool = name ? find_tool(name) : NULL;
    if (tool) return tool->run(argc, argv);

    if (argc < 2) return print_help(stderr);
    if (strcmp(argv[1], "--version") == 0) return print_version();
    if (is_word(argv[1], "help", "--help") || strcmp(argv[1], "-h") == 0) {
        return argc > 2 ? run_help(argv[2]) : print_help(NULL);
    }
    tool = find_tool(argv[1]);
    return tool ? tool->run(argc - 1, argv + 1) : unknown_tool(argv[1]);
}
