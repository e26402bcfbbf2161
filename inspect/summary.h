/* The one screen that answers first questions: what it is, how big, how it is stored. From headers only. */
#ifndef LATHE_SUMMARY_H
#define LATHE_SUMMARY_H

#include "base/json.h"
#include "inspect/subject.h"

void summary_text(const struct subject *s, struct buf *out);
/* Without the first line: lines of two spaces, a label of 11 characters, a space, and a text without newline. */
void summary_lines(const struct subject *s, struct buf *out);
/* Members of an object that is already open: see docs/lathe-inspect.md for the keys. */
void summary_json(const struct subject *s, struct jwriter *w);

#endif
