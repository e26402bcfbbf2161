/* Notes of a run that may be interrupted: which tensors of a plan are complete in OUT.partial, with the digests that prove it.
 *
 *     TRY(journal_begin(&j, path, plan, o, err));          reads what an earlier run left, keeps what still holds
 *     ... writer_run with .skip = j.done, .tensor_done = journal_tensor_done, .done_ctx = &j ...
 *     journal_end(&j, committed);                           removes the file if the output was committed
 *
 * PATH.partial.journal is text: a line with the version and the identity of the run (digest of the header, of the sources' names, sizes and times, of all
 * that decides on bytes), then a line for each complete tensor, with a CRC of the line, so that one that was cut off does not count. A tensor counts
 * as complete if its bytes in the partial file still have the digest that the journal gives. Anything that does not fit, and the run starts anew.
 */
#ifndef LATHE_JOURNAL_H
#define LATHE_JOURNAL_H

#include "base/file.h"
#include "core/plan.h"

struct journal {
    struct plan *plan;
    struct outfile *out;
    char *path;
    int fd;
    bool *done; /* by tensor */
    size_t n_done;
};
/* seed: what else decides on the bytes (options), as text. With an unfit journal or none the partial file is emptied. */
enum status journal_begin(struct journal *j, const char *path, const char *seed, struct plan *p, const struct checkpoint *sources, struct outfile *o,
                          struct error *err);
/* Makes tensor i's bytes durable, then notes them. One call at a time. */
enum status journal_tensor_done(void *ctx, size_t i, struct error *err);
void journal_end(struct journal *j, bool committed);

#endif
