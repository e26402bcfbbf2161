/* --explain CODE: what a warning means and what to do about it, without a network. */
#ifndef LATHE_EXPLAIN_H
#define LATHE_EXPLAIN_H

#include "base/options.h"

/* NULL for a code that does not exist. */
const char *explain_text(const char *code);
/* Prints the text of tool->explain; returns the exit status. "list" prints all codes; an unknown one is misuse. */
int explain_run(const struct tool *tool);

#endif
