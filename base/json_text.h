/* Inside of json.c and json_write.c: text forms of strings and numbers. */
#ifndef LATHE_JSON_TEXT_H
#define LATHE_JSON_TEXT_H

#include "base/memory.h"

enum { JSON_DOUBLE_SIZE = 40 };

/* A finite number with the fewest digits that read back equal. */
void json_format_double(char dst[JSON_DOUBLE_SIZE], double v);
/* In quotes, escaped; invalid UTF-8 becomes U+FFFD. */
void json_append_string(struct buf *b, const char *s);

#endif
