/* How a user would meet the malformed files: for each group of the table (hostile.h), the tools that are given its files.
 *
 * In the words of a command: %f the file, %d the folder that it lies in, %o an empty folder for outputs, %m a sound checkpoint, %g the GGUF of it, %t a GGUF
 * with a tokenizer. A tool gives what the reader refuses the exit status 2 and the table's word, what it accepts 0, if the call does not say otherwise.
 * Another verdict for a single case is a line of `tool_exceptions`, with its reason.
 */
#ifndef LATHE_TEST_TOOLS_H
#define LATHE_TEST_TOOLS_H

#include "tests/hostile/hostile.h"

enum { TOOL_WORDS = 12 };
struct tool_call {
    const char *group, *words[TOOL_WORDS];
    const char *beside;                                                                        /* whose good files lie beside it (folder.h); NULL: the group's reader's */
    void (*build)(struct buf *b, const struct hostile_group *g, const struct hostile_case *c); /* NULL: hostile_build */
    unsigned flags;
    const char *legal_word; /* the tool refuses what the reader accepts, with this; NULL: it does not */
};
enum {
    CALL_REFUSED = 1,   /* the legal ones are not run */
    CALL_ANY = 2,       /* exit status 0, 1 or 2, whatever the reader says */
    CALL_OWN_WORDS = 4, /* another part refuses than the reader */
};
extern const struct tool_call tool_calls[];
extern const size_t n_tool_calls;

struct tool_exception {
    const char *group, *name, *tool;
    int code;
    const char *word;
};
/* NULL: the rule holds */
const struct tool_exception *tool_exception(const struct tool_call *call, const struct hostile_case *c);

/* The GGUF that %g names; some files are built into it. Set before any is built. */
void tool_sound_gguf(const void *bytes, size_t n);

#endif
