/* Files that a run writes beside its report: claimed before it begins, so that an hour's work is not lost to a folder that is not there. */
#ifndef LATHE_VERIFY_OUTPUT_H
#define LATHE_VERIFY_OUTPUT_H

#include "base/file.h"
#include "base/options.h"
#include "models/model.h"

/* A file of that name is replaced at commit, unless it is one that a or b (may be NULL) is read from: STATUS_EXISTS. size_bytes 0: not known. */
enum status verify_output_open(struct outfile **out, const char *path, uint64_t size_bytes, const struct model *a,
                               const struct model *b, struct error *err);
/* All of it; the tool keeps the file (tool_keep). Takes o in every case. */
enum status verify_output_write(const struct tool *t, struct outfile *o, const struct buf *bytes, struct error *err);

#endif
