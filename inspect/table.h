/* Several checkpoints as a table, a row each: what they are and how they are stored. */
#ifndef LATHE_TABLE_H
#define LATHE_TABLE_H

#include "inspect/subject.h"

enum { TABLE_COLUMNS = 9 };
struct table {
    const char *(*rows)[TABLE_COLUMNS];
    size_t n_rows, cap_rows;
    struct arena mem;
};
enum status table_add(struct table *t, const struct subject *s, struct error *err);
/* A row of a file that cannot be read: its path, and what is wrong across the other columns. */
enum status table_add_error(struct table *t, const char *path, const struct error *why, struct error *err);
void table_text(const struct table *t, struct buf *out);
void table_clear(struct table *t);

#endif
