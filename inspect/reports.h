/* What is told of checkpoints: the one screen or lists of one, a table or lists of several, text through a tokenizer. */
#ifndef LATHE_REPORTS_H
#define LATHE_REPORTS_H

#include "base/options.h"
#include "inspect/tokens.h"

struct report_options {
    bool tensors, metadata, config, all, stats, hash, csv; /* none: the one screen, or the table */
    struct tokens_request tokens;
};
/* An option of these that asks for something else than the one screen; NULL: none does. */
const char *reports_wanted(const struct report_options *o);
/* Of all the tool's arguments. Of several, one that cannot be read has a line in its place and on stderr, and *code is 2. */
enum status reports_run(const struct tool *t, const struct report_options *o, int *code, struct buf *out, struct error *err);

#endif
