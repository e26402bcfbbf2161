/* The front end: one program that is all four tools.
 *
 * Called as lathe-NAME it is that tool; called as lathe, the first argument names it. */
#include "base/options.h"
#include "convert/convert.h"
#include "inspect/inspect.h"
#include "quantize/quantize.h"
#include "verify/verify.h"

#include <stdio.h>
#include <string.h>

struct tool_entry {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};
static const struct tool_entry tools[] = {
    {"convert", convert_main, "any supported checkpoint to the unified format"},
    {"inspect", inspect_main, "what is inside: summary, tensors, statistics, pictures"},
    {"quantize", quantize_main, "smaller weights"},
    {"verify", verify_main, "two forms of one model through a reference forward pass"},
};
enum { N_TOOLS = sizeof tools / sizeof tools[0] };

static const struct tool_entry *find_tool(const char *name)
{
    for (size_t i = 0; i < N_TOOLS; i++)
        if (strcmp(tools[i].name, name) == 0) return &tools[i];
    return NULL;
}

static void print_help(FILE *out)
{
    fputs("usage: lathe TOOL ...      (the same as lathe-TOOL ...)\n\n", out);
    for (size_t i = 0; i < N_TOOLS; i++) fprintf(out, "  %-10s %s\n", tools[i].name, tools[i].summary);
    fputs("\n`lathe help TOOL` or `lathe TOOL --help` shows a tool's options.\n", out);
}

/* "convert" for any argv[0] that ends in "lathe-convert"; NULL for plain lathe */
static const char *name_from_program(const char *program)
{
    const char *base = strrchr(program, '/');
    base = base ? base + 1 : program;
    return strncmp(base, "lathe-", 6) == 0 ? base + 6 : NULL;
}

static int finish_stdout(int code)
{
    if (fflush(stdout) != 0) {
        perror("lathe: standard output");
        return 2;
    }
    return code;
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 ? name_from_program(argv[0]) : NULL;
    const struct tool_entry *tool = name ? find_tool(name) : NULL;
    if (tool) return tool->run(argc, argv);

    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("lathe %s\n", lathe_version);
        return finish_stdout(0);
    }
    bool help = strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0;
    if (help && argc == 2) {
        print_help(stdout);
        return finish_stdout(0);
    }
    tool = find_tool(help ? argv[2] : argv[1]);
    if (!tool) {
        fprintf(stderr, "lathe: unknown tool '%s'; tools are convert, inspect, quantize, verify\n",
                help ? argv[2] : argv[1]);
        return 2;
    }
    if (help) {
        char option[] = "--help";
        char *args[] = {argv[2], option, NULL};
        return tool->run(2, args);
    }
    return tool->run(argc - 1, argv + 1);
}
