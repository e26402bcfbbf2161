/* What is in a folder, as text: a line "NAME SIZE CRC" for each file, with the folders below in front of the name. Failures end the test. */
#ifndef LATHE_TESTS_SNAPSHOT_H
#define LATHE_TESTS_SNAPSHOT_H

#include "base/memory.h"

/* Appends it; hidden: names that begin with a dot as well. */
void snapshot(struct buf *b, const char *dir, bool hidden);
bool snapshot_equal(const struct buf *a, const struct buf *b);
/* Is each line of `part` one of `a` or of `b`? */
bool snapshot_within(const struct buf *part, const struct buf *a, const struct buf *b);
/* Is each name of `names` in `b`, whatever its content? */
bool snapshot_has_names(const struct buf *b, const struct buf *names);

/* Writes a file without flushing it to the device. */
void file_put(const char *path, const void *bytes, size_t n);
void folder_empty(const char *dir);
/* Files and folders; from: NULL does nothing. */
void folder_fill(const char *to, const char *from);

#endif
