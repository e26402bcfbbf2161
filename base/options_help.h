/* Inside of options.c: the help texts, and the options that every tool has. */
#ifndef LATHE_OPTIONS_HELP_H
#define LATHE_OPTIONS_HELP_H

#include "base/options.h"

enum { OPTIONS_COMMON = 8 };

void options_common(struct tool *t, bool *help, bool *version, struct option_spec specs[OPTIONS_COMMON + 1]);
void help_short(const struct tool *t, struct buf *out);
void help_long(const struct tool *t, const struct option_spec *common, struct buf *out);

#endif
