/* All opcodes of pickle protocols 0 to 5 as data: their names (those of Python's pickletools), what follows the code in the file, and what they do
 * to the stack. The machine of pickle.c executes some of them; pickle_audit.h walks over all.
 */
#ifndef LATHE_PICKLE_OPCODES_H
#define LATHE_PICKLE_OPCODES_H

#include "base/cursor.h"

enum pickle_argument {
    ARG_NONE,
    ARG_1, /* so many bytes */
    ARG_2,
    ARG_4,
    ARG_8,
    ARG_COUNT1, /* a length of so many bytes, and so many bytes */
    ARG_COUNT4,
    ARG_COUNT8,
    ARG_LINE, /* up to a newline */
    ARG_LINES /* two of them */
};
/* How many values an opcode takes: a number, or all above the topmost mark (and so many below it). */
struct pickle_opcode {
    const char *name; /* NULL: there is no such opcode */
    enum pickle_argument arg;
    unsigned char pops, pushes;
    bool to_mark;
    bool text; /* what it pushes is its argument, a string */
};
extern const struct pickle_opcode pickle_opcodes[256];
const char *pickle_opcode_name(unsigned char code); /* "(unknown)" */

/* The argument of an opcode, whose code was taken: a string's or a line's bytes without length and newline, an integer's as they stand. Of two lines
 * the second comes after the first's newline, without its own. False: the bytes end inside it. */
struct pickle_text {
    const char *s;
    size_t n;
};
bool pickle_argument_take(struct cursor *c, enum pickle_argument arg, struct pickle_text *out);

#endif
